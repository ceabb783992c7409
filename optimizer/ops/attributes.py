"""Attributes of instances: places in inline values and slots (see `abi/instances.py`).

`type` is the instance's exact type, which has been checked and is watched; it says where the values begin. Which place a name has is
the translator's knowledge. Two places are the same memory only if their numbers are equal: of one object because places do
not overlap, of two because those are different memory anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, MethodDescriptorType
from typing import Any

from ...abi import LAYOUT, instances, memory
from ..registry import op
from .dicts import find
from .lists import float_fits, int_fits


@op("values.valid", "o", "b", reads="shape", imm="type")
def values_valid(m: Any, o: int, type: type) -> bool:
    """Whether the instance has its attributes in inline values."""
    base = o + (instances.values_offset(type) if LAYOUT.VALUES_IN_OBJECT else 0)
    return bool(memory.read8(base + LAYOUT.VALUES_VALID) & 1)


@op("values.alone", "o", "b", reads="shape", imm="type")
def values_alone(m: Any, o: int, type: type) -> bool:
    """Whether no dict shows the instance's inline values (known to be valid): then they can be stored to directly."""
    return not LAYOUT.VALUES_IN_OBJECT or memory.read64(o + LAYOUT.DICT_WORD) == 0


@op("values.get", "o", "o", reads="attr", imm="type place")
def values_get(m: Any, o: int, type: type, place: int) -> int:
    """The reference at that place of valid inline values, borrowed; NULL where the instance has no such attribute."""
    return int(memory.read64(places(o, type) + 8 * place))


@op("values.put", "oo", "", writes="attr ref alloc", imm="type place", consumes=(1,))
def values_put(m: Any, o: int, v: int, type: type, place: int) -> None:
    """Put v (its reference is taken over) at that place of inline values that are valid and alone. The end of what was there is
    known to run no code; if there was nothing, the attribute is the instance's newest."""
    address = places(o, type) + 8 * place
    old = memory.read64(address)
    memory.write64(address, v)
    if old:
        memory.decref(old)
    else:
        add_to_order(o, type, place)


@op("slot.get", "o", "o", reads="attr", imm="type place")
def slot_get(m: Any, o: int, type: type, place: int) -> int:
    """The reference of a slot, `place` bytes behind the instance's address, borrowed; NULL where it is unset."""
    return int(memory.read64(o + place))


@op("slot.put", "oo", "", writes="attr ref alloc", imm="type place", consumes=(1,))
def slot_put(m: Any, o: int, v: int, type: type, place: int) -> None:
    """Put v (its reference is taken over) into a slot. The end of what was there (possibly NULL) is known to run no code."""
    old = memory.read64(o + place)
    memory.write64(o + place, v)
    if old:
        memory.decref(old)


@op("values.put_float", "of", "", writes="attr ref alloc", imm="type place old")
def values_put_float(m: Any, o: int, v: float, type: type, place: int, old: type | None) -> None:
    """The same as `values.put` of a float, but written into the box that is there if nobody else holds it (see `ops/lists`). `old`
    is the exact type of what was there, where that is known."""
    if not put_in_place(float_fits, places(o, type) + 8 * place, v):
        values_put(m, o, memory.new_reference(-(-v)), type, place)


@op("values.put_int", "oi", "", writes="attr ref alloc", imm="type place old")
def values_put_int(m: Any, o: int, v: int, type: type, place: int, old: type | None) -> None:
    """The same for an int."""
    if not put_in_place(int_fits, places(o, type) + 8 * place, v):
        values_put(m, o, memory.new_reference(v), type, place)


@op("slot.put_float", "of", "", writes="attr ref alloc", imm="type place old")
def slot_put_float(m: Any, o: int, v: float, type: type, place: int, old: type | None) -> None:
    """The same as `slot.put` of a float, in place where that can be."""
    if not put_in_place(float_fits, o + place, v):
        slot_put(m, o, memory.new_reference(-(-v)), type, place)


@op("slot.put_int", "oi", "", writes="attr ref alloc", imm="type place old")
def slot_put_int(m: Any, o: int, v: int, type: type, place: int, old: type | None) -> None:
    """The same for an int."""
    if not put_in_place(int_fits, o + place, v):
        slot_put(m, o, memory.new_reference(v), type, place)


def put_in_place(write: Callable[[int, Any], bool], address: int, value: object) -> bool:
    """Write the number into the box at that address, if there is one and it can be done."""
    box = memory.read64(address)
    return box != 0 and write(box, value)


@op("instance.bare", "o", "b", reads="attr shape")
def instance_bare(m: Any, o: int) -> bool:
    """Whether an instance of a class that has no inline values has no dict (yet), so no attributes of its own."""
    return bool(memory.read64(o + LAYOUT.DICT_WORD) == 0)


@op("instance.dict", "o", "o", reads="attr shape")
def instance_dict(m: Any, o: int) -> int:
    """The instance's own dict, borrowed, if it is an exact one with nothing but text for keys; NULL otherwise."""
    word = memory.read64(o + LAYOUT.DICT_WORD)
    if not word or word & 1 or memory.read64(word + LAYOUT.OB_TYPE) != id(dict):
        return 0
    keys = memory.read64(word + LAYOUT.DICT_KEYS)
    return int(word) if memory.read8(keys + LAYOUT.KEYS_KIND) != LAYOUT.KEYS_GENERAL else 0


@op("attr.find", "oo", "o", reads="attr shape dict any")
def attr_find(m: Any, o: int, name: int) -> int:
    """What an object has under a name, as far as no code runs for that: borrowed, NULL for nothing, NotImplemented where that cannot be
    told: the class looks in a way of its own, has a descriptor that does something, or gives what would have to be bound."""
    obj, text = memory.object_at(o), memory.object_at(name)
    found = looked_up(type(obj), text)
    if not instances.looks_up_plainly(type(obj)):
        return id(NotImplemented)
    if found is not NOTHING and hasattr(type(found), "__set__"):
        offset = instances.member_offset(found, type(obj))
        return int(memory.read64(o + offset)) if offset > 0 else id(NotImplemented)
    own = own_value(o, type(obj), text)
    if own or found is NOTHING:
        return own
    return id(NotImplemented) if hasattr(type(found), "__get__") else id(found)


@op("attr.method", "oo", "o", reads="attr shape dict any")
def attr_method(m: Any, o: int, name: int) -> int:
    """The function, or method of C, that is called with the object as a method of that name: borrowed, NotImplemented where it is none, or that
    cannot be told."""
    obj, text = memory.object_at(o), memory.object_at(name)
    found = looked_up(type(obj), text)
    if type(found) not in (FunctionType, MethodDescriptorType) or not instances.looks_up_plainly(type(obj)) or own_value(o, type(obj), text):
        return id(NotImplemented)
    return id(found)


NOTHING = object()


def looked_up(kind: type, name: str) -> Any:
    """What the class or a base has under the name, or NOTHING."""
    for base in kind.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return NOTHING


def own_value(o: int, kind: type, name: str) -> int:
    """What an instance has of its own under the name, or NULL, or NotImplemented."""
    names = instances.shared_names(kind)
    if names is not None and values_valid(None, o, kind):
        return int(memory.read64(places(o, kind) + 8 * names.index(name))) if name in names else 0
    offset = LAYOUT.DICT_WORD if instances.has_managed_dict(kind) else instances.dict_offset(kind)
    held = memory.read64(o + offset) if offset else 0
    if not held:
        return 0
    return find(held, name) if memory.read64(held + LAYOUT.OB_TYPE) == id(dict) else id(NotImplemented)


@op("instance.new", "", "o", writes="alloc", imm="type")
def instance_new(m: Any, type: type) -> int:
    """A new instance of a class that is made as `object.__new__` does. NULL with the exception cleared where there is no
    memory."""
    return int(memory.new_reference(object.__new__(type)))


@op("method.new", "o", "o", writes="alloc ref", imm="method")
def method_new(m: Any, o: int, method: Any) -> int:
    """A new bound method: of a function, or of a method of C whose type o is checked to be. NULL with the exception cleared where
    there is no memory."""
    obj = memory.object_at(o)
    return int(memory.new_reference(method.__get__(obj, type(obj))))


@op("method.is_of", "o", "b", imm="method")
def method_is_of(m: Any, o: int, method: Any) -> bool:
    """Whether a function written in C is what the method of C gives for some object."""
    return memory.read64(o + LAYOUT.CFUNCTION_METHOD) == memory.read64(id(method) + LAYOUT.DESCRIPTOR_METHOD)


@op("keys.count", "", "i", reads="shape", imm="type")
def keys_count(m: Any, type: type) -> int:
    """How many names have places in the inline values of the class's instances. They are only added."""
    return int(memory.read64(memory.read64(id(type) + LAYOUT.TYPE_CACHED_KEYS) + LAYOUT.KEYS_COUNT))


def places(o: int, kind: type) -> int:
    """The address of the first place of an instance's inline values."""
    return instances.values_address(o, kind, LAYOUT, memory.read64) + LAYOUT.VALUES_ITEMS


def add_to_order(o: int, kind: type, place: int) -> None:
    """The attribute at that place is the newest."""
    values = instances.values_address(o, kind, LAYOUT, memory.read64)
    count = memory.read8(values + LAYOUT.VALUES_COUNT)
    memory.write8(values + LAYOUT.VALUES_COUNT, count + 1)
    if LAYOUT.VALUES_IN_OBJECT:
        capacity = memory.read8(values + LAYOUT.VALUES_CAPACITY)
        memory.write8(values + LAYOUT.VALUES_ITEMS + 8 * capacity + count, place)
    else:
        memory.write8(values + LAYOUT.VALUES_COUNT - 1 - count, place)
