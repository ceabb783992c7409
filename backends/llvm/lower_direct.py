"""Direct functions and calls of them.

A call passes the thread state, the end of the C stack and the calls left by the recursion limit along with the
arguments, all in registers. In a region behind a door the last two come from the door (the word before the exit
buffer) and the thread state.
"""

from __future__ import annotations

from typing import Any

from ...abi import LAYOUT
from ...optimizer.ir import Op, Signature, State
from .lower_base import TYPES, Emitter, direct_result, lowering
from .lower_control import asks_for_attention


@lowering("arg.i", "arg.f", "arg.b", "arg.o")
def arg(e: Emitter, op: Op) -> str:
    return f"%a{op.imm[0]}"


@lowering("door.arg")
def door_arg(e: Emitter, op: Op) -> str:
    return e.load("ptr", "%framep", 8 * int(op.imm[0]), "buf")  # type: ignore[call-overload]


def bound(e: Emitter) -> str:
    if e.signature is not None:
        return "%bound"
    return e.at_entry(f"load ptr, ptr {e.at_entry('getelementptr i8, ptr %bufp, i64 -8')}, align 8")


def remaining(e: Emitter) -> str:
    """How many more calls the recursion limit allows here."""
    if e.signature is not None:
        return "%remaining"
    left = e.load("i32", "%tstatep", LAYOUT.TS_PY_RECURSION_REMAINING, "cell")
    return e.let(f"sext i32 {left} to i64")


def leave_unless_ready(e: Emitter, state: State | None, flag: str | None) -> None:
    """Leave where a call should rather be made by the interpreter. `flag`: the target's validity, if it has one."""
    e.leave_if(asks_for_attention(e), state)
    here = e.intrinsic("llvm.frameaddress.p0", "ptr (i32)")
    low = e.let(f"icmp ult ptr {e.let(f'call ptr {here}(i32 0)')}, {bound(e)}")
    few = e.let(f"icmp slt i64 {remaining(e)}, 2")
    bad = e.let(f"or i1 {low}, {few}")
    if flag is not None:
        bad = e.let(f"or i1 {bad}, {e.let(f'icmp eq i64 {flag}, 0')}")
    e.leave_if(bad, state)


@lowering("direct.ready")
def ready(e: Emitter, op: Op) -> None:
    target: Any = op.imm[0]
    flag = None if target == "self" else e.load_volatile("i64", e.data(f"valid_{id(target):x}", target.valid), 0)
    leave_unless_ready(e, op.state, flag)


@lowering("direct.call_i", "direct.call_f", "direct.call_b", "direct.call_o")
def call(e: Emitter, op: Op, *args: str) -> str:
    target: Any = op.imm[0]
    signature: Signature | None = e.direct if target == "self" else target.signature
    if signature is None:
        raise ValueError("a direct call of nothing")
    function = "@" + e.direct_symbol if target == "self" else e.load("ptr", e.data(f"code_{id(target):x}", target.cell), 0, "cell")
    return call_code(e, op, function, signature, args)


def call_code(e: Emitter, op: Op, function: str, signature: Signature, args: tuple[str, ...]) -> str:
    given = "".join(f", {TYPES[p]} {a}" for p, a in zip(signature.params, args, strict=True))
    left = e.let(f"sub i64 {remaining(e)}, 1")
    pair = direct_result(signature)
    offer, e.offering = "%offer" if e.offering else "null", False
    made = e.let(f"call {pair} {function}(ptr %tstatep, ptr {bound(e)}, i64 {left}, ptr {offer}{given})")
    e.leave_if(e.let(f"icmp ne i64 {e.let(f'extractvalue {pair} {made}, 0')}, 0"), op.state)
    return e.let(f"extractvalue {pair} {made}, 1")


@lowering("direct.choose")
def choose(e: Emitter, op: Op, o: str) -> str:
    choice: Any = op.imm[0]
    words = "null"
    for target in reversed(choice.targets):
        it = e.let(f"icmp eq ptr {o}, {e.object(target.func)}")
        words = e.let(f"select i1 {it}, ptr {e.data(f'code_{id(target):x}', target.cell)}, ptr {words}")
    return e.let(f"ptrtoint ptr {words} to i64")


@lowering("direct.ready_at")
def ready_at(e: Emitter, op: Op, words: str) -> None:
    leave_unless_ready(e, op.state, e.load_volatile("i64", e.let(f"inttoptr i64 {words} to ptr"), 8))


@lowering("direct.call_at")
def call_at(e: Emitter, op: Op, words: str, *args: str) -> str:
    choice: Any = op.imm[0]
    return call_code(e, op, e.load("ptr", e.let(f"inttoptr i64 {words} to ptr"), 0, "cell"), choice.signature, args)
