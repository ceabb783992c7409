"""What native code spares with each bytecode, roughly.

Whether native code is worth its entries is reckoned in one unit, what a usual bytecode takes, about 3.4 ns on the machine where it was
measured: what getting in and out and calling out cost is given in it as well (`regions.ENTRY_COST`, `translate.CALL_COST` and others).
Bytecodes differ by more than a factor of four. Adding ints takes the interpreter 7.5 ns, most of it for the objects, and next to nothing
in registers; moving a variable to the stack takes it 1 to 2 ns; a call of a C function takes as long either way, and is most of what it
is measured by. Taken as equal, code that does little but call C functions seemed worth a door and was slower behind it.
"""

from __future__ import annotations

LIGHT = 0.5
"""Loads, stores and jumps."""
USUAL = 1.0
ARITHMETIC = 2.0
ANSWERED = 1.5
"""A call that comes to a few operations,"""
WALKED_INTO = 3.0
"""and one of a function that has no frame any more, its return included."""
LEFT_AS_IT_IS = 0.0
"""Whatever is done by calling the same C function."""

_LIGHT = (
    "LOAD_FAST", "STORE_FAST", "LOAD_CONST", "LOAD_SMALL_INT", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_COMMON", "PUSH_NULL",
    "POP_TOP", "POP_JUMP", "JUMP", "COPY", "SWAP", "NOP", "NOT_TAKEN", "RESUME", "RETURN", "TO_BOOL", "IS_OP", "END_FOR", "POP_ITER",
    "KW_NAMES", "MAKE_CELL", "GET_ITER", "POP_BLOCK", "POP_EXCEPT", "PUSH_EXC_INFO", "RERAISE",
)  # fmt: skip


def spared(name: str, calls_out: bool, walks_in: bool) -> float:
    """For a bytecode of that name; `calls_out`: it calls a C function, `walks_in`: what follows is inside of a function."""
    if calls_out:
        return LEFT_AS_IT_IS
    if name.startswith("CALL"):
        return WALKED_INTO if walks_in else ANSWERED
    if name == "BINARY_OP":
        return ARITHMETIC
    return LIGHT if name.startswith(_LIGHT) else USUAL
