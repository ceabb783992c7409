"""What types say about a name: methods of built-in types, which cannot change, and anything that a class names."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeGuard

from ..abi.instances import HEAP_TYPE, IMMUTABLE_TYPE

if TYPE_CHECKING:
    from .translate import Translator

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


def holders(func: FunctionType) -> list[tuple[Any, str, Any]] | None:
    """The chain of names by which the program holds a function, as (namespace, name, what it has): a global one that is the function
    itself, or a global class, perhaps a class in it, and a function, property, class or static method of its. None where the
    function is not to be found under its qualified name: nothing would tell when the program lets go of it."""
    chain: list[tuple[Any, str, Any]] = []
    names = func.__qualname__.split(".")
    holder: Any = func.__globals__
    for name in names:
        held = (holder if not chain else _DICT(holder)).get(name, ABSENT)
        chain.append((holder, name, held))
        if len(chain) < len(names):
            if not is_class(held) or is_static(held):
                return None
            holder = held
    return chain if any(one is func for one in wrapped(chain[-1][2])) else None


def wrapped(held: object) -> tuple[object, ...]:
    """The functions that a class has under a name, if that is what it has."""
    if type(held) is property:
        return held.fget, held.fset, held.fdel
    return (held.__func__,) if issubclass(type(held), (classmethod, staticmethod)) else (held,)  # type: ignore[attr-defined]


def is_class(obj: object) -> TypeGuard[type]:
    """Whether the object is a class. (`isinstance` would ask it for its `__class__`, which may be code of the program's.)"""
    return issubclass(type(obj), type)


def is_data(found: object) -> bool:
    """Whether it is a descriptor that goes before what an instance has of its own (of a class: before what its bases have)."""
    kind = type(found)
    return found is not ABSENT and (lookup(kind, "__set__") is not ABSENT or lookup(kind, "__delete__") is not ABSENT)


def is_static(kind: type) -> bool:
    """Whether nothing about the type can change, because C code made it at the start."""
    return not _FLAGS(kind) & HEAP_TYPE


def is_fixed(kind: type) -> bool:
    """Whether nothing about the type, nor the class of its instances, can change: it is static, or C code has said so."""
    return bool(_FLAGS(kind) & IMMUTABLE_TYPE) and type(kind) is type


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


def inherits(t: Translator, kind: type, *names: str) -> bool:
    """Whether the type has under these names what `object` has (perhaps nothing), and goes on doing so."""
    return all(lookup(kind, name) is lookup(object, name) for name in names) and t.watch_type(kind)
