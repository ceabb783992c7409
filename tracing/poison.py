"""Poison layouts: which operands make the interpreter raise a stored exception at a bytecode.

When native code gets an exception from an operation of the door's own frame, the interpreter resumes *at* the raising
bytecode with a poison object for the operand that is looked at first; whatever slot of it is called raises the stored
exception. So the line, the handler and the traceback are the interpreter's own.
"""

from __future__ import annotations

from ..optimizer.ir import Slot
from .decode import Ins
from .versions import CALL_NULL_FIRST, FOR_ITER_PAIR, NAMES_ALWAYS

POISON = Slot("poison")
NONE = Slot("const", obj=None)
NULL = Slot("null")
NO_ARGUMENTS = Slot("const", obj=())
NO_NAMES = Slot("const", obj={})

WORDS = {"poison": POISON, "null": NULL, "none": NONE, "empty": NO_ARGUMENTS}


def poison_call(ins: Ins) -> tuple[str, ...]:
    """Operands that replace those of a call in progress, deepest first."""
    if ins.op == "CALL_KW":
        return ("poison", "null", *("none",) * ins.arg, "empty")
    if ins.op == "CALL":
        return (("null", "poison") if CALL_NULL_FIRST else ("poison", "null")) + ("none",) * ins.arg
    if ins.op == "CALL_FUNCTION_EX":
        first = ("null", "poison") if CALL_NULL_FIRST else ("poison", "null")
        return (*first, "empty", *(("null",) if NAMES_ALWAYS else ()))
    if ins.op in ("BINARY_OP", "BINARY_SUBSCR", "COMPARE_OP"):
        return ("poison", "none")
    if ins.op == "STORE_SUBSCR":
        return ("none", "poison", "none")
    if ins.op == "FOR_ITER" and FOR_ITER_PAIR:
        return ("poison", "null")
    return ("poison",)


# The operand that is looked at first, for operations where it is not the deepest.
_POSITIONS = {"STORE_SUBSCR": 1, "STORE_ATTR": 1, "CONTAINS_OP": 1, "DELETE_SUBSCR": 0, "STORE_SLICE": 1}


def poison_operands(ins: Ins, count: int) -> tuple[Slot, ...]:
    """The `count` operands with which `ins` raises the stored exception when it is run again."""
    if ins.op == "CALL_FUNCTION_EX":
        first = (NULL, POISON) if CALL_NULL_FIRST else (POISON, NULL)
        return (*first, NO_ARGUMENTS, NO_NAMES)[:count]
    if ins.op in ("CALL", "CALL_KW"):
        return tuple(WORDS[w] for w in poison_call(ins))
    if ins.op == "FOR_ITER":
        return (POISON, NULL)[:count]
    at = _POSITIONS.get(ins.op, 0)
    return tuple(POISON if k == at else NONE for k in range(count))
