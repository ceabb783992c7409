"""What differs between bytecode versions, as tables.

The translator and the decoder know bytecodes by name; where the same name means something else in another version,
they ask here.
"""

from __future__ import annotations

import builtins
import dis
import sys
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .decode import Ins

VERSION = sys.version_info[:2]

CALL_NULL_FIRST = VERSION == (3, 12)
"""3.12 pushes NULL (or the method) before the callable; later versions push self-or-NULL after it."""

UNHASHABLE_IS_NAMED = VERSION >= (3, 14)
"""Whether a TypeError of a key's hash is replaced by one that names the key's type."""

NAMES_ALWAYS = VERSION >= (3, 14)
"""Whether CALL_FUNCTION_EX always has an operand for arguments by name (NULL if there are none)."""

FOR_ITER_PAIR = VERSION >= (3, 15)
WIDTH = 2 if FOR_ITER_PAIR else 1
"""Stack entries of a loop."""
"""3.15 keeps two stack entries per loop: the iterator and NULL, or a sequence and an unboxed index."""

HAS_KW_NAMES = VERSION == (3, 12)

NO_EVENT = frozenset({"CACHE", "RESUME", "END_FOR", "MAKE_CELL", "COPY_FREE_VARS", "RETURN_GENERATOR"})

_COMPARE_SHIFT = 4 if VERSION == (3, 12) else 5
_COMPARE_COERCES = 0 if VERSION == (3, 12) else 16
_COMPARE = ("<", "<=", "==", "!=", ">", ">=")

_BINARY = tuple(symbol for _, symbol in getattr(dis, "_nb_ops", ()))

_COMMON_BY_VERSION: dict[tuple[int, int], tuple[object, ...]] = {
    (3, 14): (AssertionError, NotImplementedError, tuple, builtins.all, builtins.any),
    (3, 15): (AssertionError, NotImplementedError, tuple, builtins.all, builtins.any),
}


def _common_constants() -> tuple[object, ...]:
    listed = getattr(__import__("opcode"), "_common_constants", None)
    return tuple(listed) if listed is not None else _COMMON_BY_VERSION.get(VERSION, ())


COMMON_CONSTANTS = _common_constants()


LAZY_IMPORT: type | None = getattr(types, "LazyImportType", None)
"""The type of what stands for a module in a namespace (3.15) until somebody loads the name."""

def imported_name(ins: Ins) -> tuple[int, bool]:
    """The number of the name that IMPORT_NAME imports, and whether that is done at once. (From 3.15 on there are flags: lazy, now.)"""
    return (ins.arg >> 2, bool(ins.arg & 2)) if VERSION >= (3, 15) else (ins.arg, True)


_INTRINSICS_1 = tuple(getattr(dis, "_intrinsic_1_descs", ()))


_SPECIAL_METHODS = ("__enter__", "__exit__", "__aenter__", "__aexit__")


def special_method(ins: Ins) -> str:
    """The name that LOAD_SPECIAL (3.14) looks up in a type."""
    return _SPECIAL_METHODS[ins.arg]


def intrinsic_1(ins: Ins) -> str:
    """What CALL_INTRINSIC_1 does: 'INTRINSIC_UNARY_POSITIVE', ..."""
    return _INTRINSICS_1[ins.arg] if ins.arg < len(_INTRINSICS_1) else f"INTRINSIC_1_{ins.arg}"


def binary_op_symbol(ins: Ins) -> str:
    """The operator of BINARY_OP: '+', '+=', ..., '[]'."""
    if ins.op == "BINARY_SUBSCR":
        return "[]"
    return _BINARY[ins.arg]


def compare_symbol(ins: Ins) -> str:
    return _COMPARE[ins.arg >> _COMPARE_SHIFT]


def compare_coerces(ins: Ins) -> bool:
    """Whether the comparison's result is made a bool (3.13+)."""
    return bool(ins.arg & _COMPARE_COERCES)


def exhausted_target(ins: Ins) -> int:
    """Where the interpreter goes on when FOR_ITER finds its iterator exhausted, with the iterator popped."""
    return ins.exhausted


def after_exhaustion(target_op: str, next_op: str) -> int:
    """How many instructions at a FOR_ITER's target the interpreter skips when it has popped the iterator itself: END_FOR
    on 3.12, END_FOR and POP_TOP on 3.13. From 3.14 on POP_ITER runs and pops what FOR_ITER left."""
    if target_op != "END_FOR":
        return 0
    if VERSION >= (3, 14):
        return 1
    return 2 if VERSION == (3, 13) and next_op == "POP_TOP" else 1


EXHAUSTED_KEEPS_ITERATOR = VERSION >= (3, 14)


def fast_slots(op: str, arg: int) -> tuple[int, ...]:
    """The local slots that an instruction names, in operand order."""
    if op in _TWO_SLOTS:
        return (arg >> 4, arg & 15)
    return (arg,) if op in _ONE_SLOT else ()


_TWO_SLOTS = frozenset(
    {
        "LOAD_FAST_LOAD_FAST",
        "LOAD_FAST_BORROW_LOAD_FAST_BORROW",
        "STORE_FAST_STORE_FAST",
        "STORE_FAST_LOAD_FAST",
    }
)
_ONE_SLOT = frozenset(
    {
        "LOAD_FAST",
        "LOAD_FAST_BORROW",
        "LOAD_FAST_CHECK",
        "LOAD_FAST_AND_CLEAR",
        "STORE_FAST",
        "STORE_FAST_MAYBE_NULL",
        "DELETE_FAST",
        "LOAD_DEREF",
        "STORE_DEREF",
        "DELETE_DEREF",
        "MAKE_CELL",
        "LOAD_CLOSURE",
        "LOAD_FROM_DICT_OR_DEREF",
    }
)


def stored_slots(op: str, arg: int) -> tuple[int, ...]:
    """The local slots that an instruction assigns."""
    if op == "STORE_FAST_STORE_FAST":
        return (arg >> 4, arg & 15)
    if op == "STORE_FAST_LOAD_FAST":
        return (arg >> 4,)
    if op in ("STORE_FAST", "STORE_FAST_MAYBE_NULL", "DELETE_FAST", "LOAD_FAST_AND_CLEAR"):
        return (arg,)
    return ()


def loaded_slots(op: str, arg: int) -> frozenset[int]:
    """The local slots that an instruction looks at (DELETE_FAST does: it raises where there is nothing)."""
    if op == "STORE_FAST_LOAD_FAST":
        return frozenset({arg & 15})
    if op in ("STORE_FAST", "STORE_FAST_STORE_FAST", "STORE_FAST_MAYBE_NULL"):
        return frozenset()
    return frozenset(fast_slots(op, arg))
