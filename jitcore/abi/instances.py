"""Instances of classes: where their attributes are.

An instance made by a Python class has its attributes in *inline values*: an array with one place for each name that instances of
its class were ever given, in the order in which the class first saw the names (the class's shared keys). The place of a name never
changes, and places are only added. As soon as an instance gets a dict that differs, its values move there; its array then says
that it is not valid any more. Attributes named by `__slots__` have fixed offsets.

What is here asks types, at the time of compilation; nothing is cached, because classes change.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from types import MemberDescriptorType
from typing import Any

from .layout import Layout
from .memory import known, object_at, read8, read32, read64, signed, symbol

_FLAGS = type.__dict__["__flags__"].__get__
INLINE_VALUES = 1 << 2
"""Flag of 3.13+: instances have inline values."""
MANAGED_DICT = 1 << 4
HEAP_TYPE = 1 << 9
IMMUTABLE_TYPE = 1 << 8
"""Flag of types that cannot be changed, all static ones among them; nor can the class of their instances."""
AUDITED = 2
"""Flag of members that tell audit hooks."""
ABSTRACT = 1 << 20
MANAGED_WEAKREF = 1 << 3
LIST_SUBCLASS = 1 << 25
"""Flag of list, and of what is derived from it."""
_MRO = type.__dict__["__mro__"].__get__
_BASICSIZE = type.__dict__["__basicsize__"].__get__


def values_flags(layout: Layout) -> int:
    """What the flags of a class have to have for instances with inline values."""
    return HEAP_TYPE | MANAGED_DICT | (INLINE_VALUES if layout.VALUES_IN_OBJECT else 0)


def shared_names(kind: type) -> list[Any] | None:
    """The names that instances' inline values have places for, in the order of the places; None for types whose instances have
    no inline values."""
    layout = known()
    wanted = values_flags(layout)
    if _FLAGS(kind) & wanted != wanted:
        return None
    keys = read64(id(kind) + layout.TYPE_CACHED_KEYS)
    if not keys or read8(keys + layout.KEYS_KIND) != layout.KEYS_SPLIT:
        return None
    if not layout.VALUES_IN_OBJECT and outmost(id(kind)) != id(object):
        return None  # 3.12: only `object.__new__` makes them
    entries = keys + layout.KEYS_INDICES + (1 << read8(keys + layout.KEYS_INDEX_BITS))
    return [object_at(read64(entries + 16 * k)) for k in range(read64(keys + layout.KEYS_COUNT))]


def outmost(kind: int) -> int:
    """The first of the bases that lay out a class's instances which C code made; both by their addresses."""
    layout = known()
    end = read64(id(Plain) + layout.TYPE_DEALLOC)
    while read64(kind + layout.TYPE_DEALLOC) == end:
        kind = read64(kind + layout.TYPE_BASE)
    return kind


def values_offset(kind: type) -> int:
    """Where in an instance its inline values begin (3.13+)."""
    return int(_BASICSIZE(kind))


def values_address(address: int, kind: type, layout: Layout, word: Callable[[int], int]) -> int:
    """Where an instance's inline values are; `word` reads memory."""
    return address + values_offset(kind) if layout.VALUES_IN_OBJECT else word(address + layout.DICT_WORD) + 1


def made_by_object(kind: type) -> bool:
    """Whether calling the class makes an instance as `object.__new__` does."""
    at = known().TYPE_NEW
    return bool(_FLAGS(kind) & HEAP_TYPE) and not _FLAGS(kind) & ABSTRACT and read64(id(kind) + at) == read64(id(object) + at)


def made_by_statement(kind: type) -> bool:
    """Whether a class statement made the type (or what comes to the same), and no C code, which has slots of its own."""
    at = known().TYPE_DEALLOC
    return bool(_FLAGS(kind) & HEAP_TYPE) and read64(id(kind) + at) == read64(id(Plain) + at)


def has_managed_dict(kind: type) -> bool:
    """Whether the dict of an instance, if it has one, is in front of it."""
    return bool(_FLAGS(kind) & MANAGED_DICT)


def has_dict(kind: type) -> bool:
    """Whether instances can have attributes that no class names."""
    return bool(_FLAGS(kind) & MANAGED_DICT) or read64(id(kind) + known().TYPE_DICTOFFSET) != 0


def looks_up_plainly(kind: type) -> bool:
    """Whether instances look up attributes as plain objects do: the class has no `__getattribute__` or `__getattr__`, and no C code has a
    way of its own."""
    at = known().TYPE_GETATTRO
    return read64(id(kind) + at) == read64(id(object) + at)


def dict_offset(kind: type) -> int:
    """Where an instance of a type made by C code has its dict; 0 where it has none, negative where it is elsewhere."""
    return signed(read64(id(kind) + known().TYPE_DICTOFFSET))


def is_audited(descriptor: object) -> bool:
    """Whether audit hooks are told when this member descriptor is asked."""
    layout = known()
    return bool(read32(read64(id(descriptor) + layout.MEMBER_DEF) + layout.MEMBERDEF_FLAGS) & AUDITED)


def member_offset(descriptor: object, kind: type) -> int:
    """Where in an instance of that type a member descriptor keeps its reference; 0 where it is none of that kind, or another
    class's."""
    layout = known()
    if type(descriptor) is not MemberDescriptorType or not any(base is descriptor.__objclass__ for base in _MRO(kind)):
        return 0
    member = read64(id(descriptor) + layout.MEMBER_DEF)
    holds, flags = read32(member + layout.MEMBERDEF_TYPE), read32(member + layout.MEMBERDEF_FLAGS)
    return signed(read64(member + layout.MEMBERDEF_OFFSET)) if holds == layout.MEMBER_OBJECT and not flags else 0


class Plain:
    """A class of which only the type object is looked at."""


def ends_plainly(kind: type) -> bool:
    """Whether the end of an instance does no more than to let go of what is in it: there is no `__del__`, and no base written in C has
    a say in it."""
    layout = known()
    end = read64(id(Plain) + layout.TYPE_DEALLOC)
    base = id(kind)
    if read64(base + layout.TYPE_DEALLOC) != end or read64(base + layout.TYPE_FINALIZE):
        return False
    while read64(base + layout.TYPE_DEALLOC) == end:
        base = read64(base + layout.TYPE_BASE)
    return base == id(object)


def plain_flags(layout: Layout) -> int:
    """What `values_flags` says, for instances that may be weakly referenced as well."""
    return values_flags(layout) | MANAGED_WEAKREF


def plain_values(address: int) -> list[int] | None:
    """The inline values (addresses, 0 for none) of an instance that has nothing else and whose end runs no code itself: of a class
    without `__del__` and slots whose bases are like it, not weakly referenced, without a dict. None for others."""
    layout = known()
    kind = read64(address + layout.OB_TYPE)
    end = read64(id(Plain) + layout.TYPE_DEALLOC)
    if read64(kind + layout.TYPE_DEALLOC) != end or read64(kind + layout.TYPE_FINALIZE):
        return None
    flags, keys = plain_flags(layout), read64(kind + layout.TYPE_CACHED_KEYS)
    if read64(kind + layout.TYPE_FLAGS) & flags != flags or not keys:
        return None
    base = outmost(kind)
    if base != id(object) or read64(kind + layout.TYPE_BASICSIZE) != read64(base + layout.TYPE_BASICSIZE):
        return None
    word, size = read64(address + layout.DICT_WORD), read64(kind + layout.TYPE_BASICSIZE)
    valid = read8(address + (size if layout.VALUES_IN_OBJECT else 0) + layout.VALUES_VALID) & 1
    if read64(address + layout.WEAKREFS_WORD) or not valid or layout.VALUES_IN_OBJECT and word:
        return None
    places = values_address(address, object_at(kind), layout, read64) + layout.VALUES_ITEMS
    return [read64(places + 8 * k) for k in range(read64(keys + layout.KEYS_COUNT))]


def derived_items(address: int) -> list[int] | None:
    """The items (addresses, 0 for none) of an instance of a class derived from list, which ends as a list does: of a class without
    `__del__` and slots whose bases are like it, not weakly referenced, without a dict. None for others."""
    layout = known()
    kind, end = read64(address + layout.OB_TYPE), read64(id(Plain) + layout.TYPE_DEALLOC)
    if read64(kind + layout.TYPE_DEALLOC) != end or read64(kind + layout.TYPE_FINALIZE):
        return None
    base = outmost(kind)
    if base != id(list) or read64(kind + layout.TYPE_BASICSIZE) != read64(base + layout.TYPE_BASICSIZE):
        return None
    flags = read64(kind + layout.TYPE_FLAGS)
    if flags & MANAGED_DICT and read64(address + layout.DICT_WORD) or flags & MANAGED_WEAKREF and read64(address + layout.WEAKREFS_WORD):
        return None
    items = read64(address + layout.LIST_ITEMS)
    return [read64(items + 8 * k) for k in range(read64(address + layout.OB_SIZE))]


def version_tag(kind: type) -> int:
    """The tag of the type's current version: it gets another one, or 0, when anything about it or a base changes. 0 where it
    can get none any more: each class has a limited number of versions."""
    assigner()(id(kind))  # by address: ctypes asks an object for its `__class__`, which a metaclass may have code for
    return current_version(kind)


@cache
def assigner() -> Callable[[int], int]:
    """The C function that gives the type at an address a version, if it can."""
    return ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(symbol("PyUnstable_Type_AssignVersionTag"))


def current_version(kind: type) -> int:
    """The same, or 0 where it has none at the moment."""
    return read32(id(kind) + known().TYPE_VERSION_TAG)
