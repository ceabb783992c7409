"""What the recorder (tracing) asks of the native observer (backends), and what it is told: the words between the two rooms.

A *kind* is the exact type of an operand, or a name: 'NULL' for an empty slot, 'TAGGED' for an integer that is no object (3.15), 'BIG_INT'
for an exact int that does not fit 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any

from .records import dataclass

# How an instruction is looked at
IS_INSTRUCTION = 1
MAKES_RESULT = 2  # the kind of the stack's top is told with the frame's next instruction
RETURNS = 4
CALLS = 8
CALLS_SECOND = 16  # the callee is the second operand where the first one is NULL
LOOKS_AT_ITEMS = 32  # of operands that are lists or tuples
LOOKS_AT_DICT = 128  # the last operand may be an instance with a dict of its own ('DICT' among the items)
SPECIAL = 256  # an operand's class may have a method for it
SUBSCRIPTS = 64  # the last operand but one may be an array, whose typecode is told

_LASTING: dict[int, Callable[[], Any]] = {}


def lasting(obj: Any) -> Callable[[], Any]:
    """What is called like a weak reference to an object that never dies (those to methods of C do not exist); the same one each time."""
    return _LASTING.setdefault(id(obj), lambda: obj)


@dataclass(eq=False)
class Instruction:
    """An instruction that is to be watched: the height of the stack before it, how many operands there are to look at, flags
    (above), and whether it has been seen in an earlier recording."""

    offset: int
    depth: int
    wanted: int
    flags: int
    known: bool


@dataclass(eq=False)
class Record:
    """Something that was seen, `times` times. `previous`: the offset of the instruction before in the same frame, or -1;
    `result`: the kind of what that one left on the stack, if it is one that makes a result. `callee`: a weak reference to
    the function or built-in that is called (of a bound method of C a `lasting` one, to the method). `items`: types of the items of lists and
    tuples, typecodes of arrays. `ended`: the instruction itself is not part of the recording, only what became of the one before."""

    times: int
    code: CodeType
    offset: int
    previous: int
    result: Any
    callee: Callable[[], Any] | None
    operands: tuple[Any, ...]
    items: tuple[Any, ...]
    ended: bool = False
