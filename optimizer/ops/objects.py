"""Objects: types, boxes, reference counts, single fields.

Object values are addresses. Whether a value is owned is the translator's knowledge and shows in the explicit
`incref` and `drop` operations and in the slots of frame states; the verifier checks the balance.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

from ...abi import LAYOUT, instances, memory
from ..registry import GuardFailed, op
from .ints import MAX, MIN


@op("const.o", "", "o", imm="object")
def const_o(m: Any, object: object) -> int:
    """A constant object, kept alive by the region."""
    return id(object)


@op("obj.null", "", "o")
def null(m: Any) -> int:
    """NULL."""
    return 0


@op("obj.is_null", "o", "b")
def is_null(m: Any, o: int) -> bool:
    """Whether the reference is NULL."""
    return o == 0


@op("obj.is", "oo", "b", commutes=True)
def is_(m: Any, a: int, b: int) -> bool:
    """Identity."""
    return a == b


@op("obj.select", "boo", "o")
def select(m: Any, c: bool, a: int, b: int) -> int:
    """a where c, else b."""
    return a if c else b


@op("obj.type_is", "o", "b", imm="type")
def type_is(m: Any, o: int, type: type) -> bool:
    """Whether the exact type of o (not NULL) is `type`. An object's type is taken as constant between effects."""
    return memory.read64(o + LAYOUT.OB_TYPE) == id(type)


@op("obj.unbox_int", "o", "i", guard=True)
def unbox_int(m: Any, o: int) -> int:
    """The value of an exact int; leaves where o is NULL, no exact int, or does not fit 64 bits."""
    if o == 0 or memory.read64(o + LAYOUT.OB_TYPE) != id(int):
        raise GuardFailed
    value = memory.object_at(o)
    if not MIN <= value <= MAX:
        raise GuardFailed
    return int(value)


@op("obj.unbox_float", "o", "f", guard=True)
def unbox_float(m: Any, o: int) -> float:
    """The value of an exact float; leaves where o is NULL or no exact float."""
    if o == 0 or memory.read64(o + LAYOUT.OB_TYPE) != id(float):
        raise GuardFailed
    return float(memory.object_at(o))


@op("obj.float_value", "o", "f")
def float_value(m: Any, o: int) -> float:
    """The value of what is known to be an exact float. Boxes are written to in place only while nobody can look at them as
    an object, so for one reference it is always the same."""
    return float(memory.object_at(o))


@op("obj.int_value", "o", "i", guard=True)
def int_value(m: Any, o: int) -> int:
    """The value of what is known to be an exact int; leaves where it does not fit 64 bits."""
    value = memory.object_at(o)
    if not MIN <= value <= MAX:
        raise GuardFailed
    return int(value)


@op("obj.unbox_bool", "o", "b", guard=True)
def unbox_bool(m: Any, o: int) -> bool:
    """The value of True or False; leaves on anything else."""
    if o == id(True):
        return True
    if o == id(False):
        return False
    raise GuardFailed


@op("obj.box_int", "i", "o", writes="alloc")
def box_int(m: Any, a: int) -> int:
    """A new reference to the int."""
    return int(memory.new_reference(a))


@op("obj.box_float", "f", "o", writes="alloc")
def box_float(m: Any, a: float) -> int:
    """A new reference to a new float."""
    return int(memory.new_reference(-(-a)))  # arithmetic makes a fresh float each time


@op("obj.box_bool", "b", "o")
def box_bool(m: Any, a: bool) -> int:
    """True or False (immortal: owned and borrowed are the same)."""
    return id(True) if a else id(False)


@op("range.new", "iii", "o", writes="alloc")
def range_new(m: Any, start: int, stop: int, step: int) -> int:
    """A new range object; step is not 0."""
    return int(memory.new_reference(range(start, stop, step)))


@op("obj.incref", "o", "", writes="ref")
def incref(m: Any, o: int) -> None:
    """Another reference to o (not NULL)."""
    memory.incref(o)


@op("obj.drop", "o", "", writes="ref", consumes=(0,))
def drop(m: Any, o: int) -> None:
    """One reference less. Only for objects whose deallocation runs no code, or proved to have another owner."""
    memory.decref(o)


@op("obj.shared", "o", "b", reads="ref")
def shared(m: Any, o: int) -> bool:
    """Whether dropping one reference to o leaves it alive (another reference exists, or it is immortal)."""
    return memory.refcount(o) != 1


HARMLESS = (int, float, bool, str, bytes, complex, type(None), range)
DEPTH = 3
"""Levels of containers and instances that are looked into."""


@op("obj.drop_is_safe", "o", "b", reads="ref list item")
def drop_is_safe(m: Any, o: int) -> bool:
    """Whether dropping a reference to o (possibly NULL) runs no code: others hold it, or its exact type is one of HARMLESS, or
    it is a list, a tuple, a dict, a set or an instance of a plain class with such things, at most DEPTH deep, and nobody is told of
    its end."""
    return o == 0 or outlives(m, o, 1)


@op("obj.outlives", "o", "b", reads="ref list item", imm="drops")
def outlives(m: Any, o: int, drops: int) -> bool:
    """Whether dropping `drops` references to o (not NULL) runs no code: it has more of them, or is as harmless as
    `obj.drop_is_safe` wants it."""
    return memory.refcount(o) > drops or harmless(memory.object_at(o), DEPTH)


def harmless(obj: object, depth: int) -> bool:
    """Whether the end of the object runs no code. Items count whoever else holds them: a list may hold one object twice."""
    if type(obj) in HARMLESS:
        return True
    if depth > 0 and type(obj) in (list, tuple):
        return all(harmless(item, depth - 1) for item in obj)  # type: ignore[attr-defined]
    if depth > 0 and type(obj) is dict:
        watched = memory.read8(id(obj) + LAYOUT.DICT_WATCHERS)
        return not watched and all(harmless(key, depth - 1) and harmless(value, depth - 1) for key, value in obj.items())
    if depth > 0 and type(obj) is set:
        return not weakref.getweakrefcount(obj) and all(harmless(item, depth - 1) for item in obj)
    values = instances.plain_values(id(obj)) if depth > 0 else None
    return values is not None and all(harmless(memory.object_at(one), depth - 1) for one in values if one)


@op("field.i", "o", "i", reads="field", imm="offset_name")
def field_i(m: Any, o: int, offset_name: str) -> int:
    """The 64-bit integer field of o at LAYOUT.<offset_name>."""
    raw = memory.read64(o + getattr(LAYOUT, offset_name))
    return raw - (1 << 64) if raw >> 63 else raw


@op("field.o", "o", "o", reads="field", imm="offset_name")
def field_o(m: Any, o: int, offset_name: str) -> int:
    """The reference field of o at LAYOUT.<offset_name>, borrowed; may be NULL."""
    return int(memory.read64(o + getattr(LAYOUT, offset_name)))


@op("field.set_i", "oi", "", writes="field", imm="offset_name")
def field_set_i(m: Any, o: int, value: int, offset_name: str) -> None:
    """Store a 64-bit integer field of o."""
    memory.write64(o + getattr(LAYOUT, offset_name), value & (2**64 - 1))


@op("field.set_o", "oo", "o", writes="field", imm="offset_name", consumes=(1,))
def field_set_o(m: Any, o: int, value: int, offset_name: str) -> int:
    """Store a reference (taken over) to a reference field of o; the result is what it held, now owned; may be NULL."""
    address = o + getattr(LAYOUT, offset_name)
    old = memory.read64(address)
    memory.write64(address, value)
    return int(old)


@op("str.len", "o", "i")
def str_len(m: Any, o: int) -> int:
    """len of an exact str."""
    return int(memory.read64(o + LAYOUT.STR_LENGTH))


@op("str.append", "oo", "o", writes="alloc ref", consumes=(0,))
def str_append(m: Any, a: int, b: int) -> int:
    """a + b of exact strs; a's reference is taken over and where it was the only one, a grows in place. NULL with an
    exception set when there is no memory (a is gone then)."""
    cell = ctypes.c_int64(a)
    m.capi_void("PyUnicode_Append", (ctypes.addressof(cell), b))
    return int(cell.value)
