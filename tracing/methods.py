"""What types say about a name: methods of built-in types, which cannot change, and anything that a class names."""

from __future__ import annotations

from typing import Any

from ..abi.instances import HEAP_TYPE

METHOD_DESCRIPTOR = type(list.append)
SLOT_WRAPPER = type(object.__init__)
BUILTIN_TYPES = frozenset(
    {list, tuple, str, bytes, dict, set, frozenset, int, float, bool, complex, bytearray, range, slice}
)


_DICT, mro, _FLAGS, qualname = (type.__dict__[name].__get__ for name in ("__dict__", "__mro__", "__flags__", "__qualname__"))
ABSENT: object = object()
"""What is found where there is nothing."""


def lookup(kind: type, name: str) -> Any:
    """What the type or the first of its bases has under that name, or ABSENT. Asks no class: `__mro__` and `__dict__` of a
    metaclass could run code."""
    return first(mro(kind), name)


def lookup_behind(kind: type, base: type, name: str) -> Any:
    """What the bases of the type that come after `base` have under that name, or ABSENT."""
    order = mro(kind)
    return first(order[order.index(base) + 1 :], name)


def first(bases: tuple[type, ...], name: str) -> Any:
    for base in bases:
        found = _DICT(base).get(name, ABSENT)
        if found is not ABSENT:
            return found
    return ABSENT


def is_static(kind: type) -> bool:
    """Whether nothing about the type can change, because C code made it at the start."""
    return not _FLAGS(kind) & HEAP_TYPE


def flags(kind: type) -> int:
    """The type's `tp_flags`."""
    return int(_FLAGS(kind))


def find(kind: type, name: str) -> object | None:
    """The method descriptor that `instance.name(...)` calls, for exact built-in types; None otherwise."""
    if kind not in BUILTIN_TYPES:
        return None
    for base in kind.__mro__:
        if name in base.__dict__:
            found = base.__dict__[name]
            return found if type(found) is METHOD_DESCRIPTOR else None
    return None
