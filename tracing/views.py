"""Instances of classes derived from list, where they are lists.

`class Stack(list)` has the methods of list that it does not replace, and its instances are laid out as lists are, with their own
attributes elsewhere. So what a bytecode does with a list it does with such an instance, as long as the class has what the bytecode asks
for from list: that is looked up here, and the class is watched. The instance is then *viewed* as a list for that one bytecode: there it
has another type than elsewhere, and nobody else gets to see that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..abi import instances
from .methods import METHOD_DESCRIPTOR, is_class, is_static, lookup, mro
from .values import AV, Obj

if TYPE_CHECKING:
    from .translate import Translator


def is_derived(kind: Any) -> bool:
    """Whether a class statement made the class, and its instances are laid out as lists."""
    return is_class(kind) and not is_static(kind) and list in mro(kind) and instances.made_by_statement(kind)


def viewed(t: Translator, av: AV, kind: type | None, *names: str) -> tuple[AV, type | None]:
    """av, whose type has been found to be `kind`, and its type: as a list, if the type has what is under these names from list."""
    if kind is None or is_static(kind) or not isinstance(av, Obj) or not is_derived(kind):
        return av, kind
    if any(lookup(kind, name) is not lookup(list, name) for name in names) or not t.watch_type(kind):
        return av, kind
    return Obj(av.value, list, av.owner), list


def as_receiver(t: Translator, method: object, args: list[AV]) -> list[AV]:
    """The arguments of a method of list, the first one as a list if it is of a derived class."""
    first = args[0] if args else None
    if type(method) is not METHOD_DESCRIPTOR or getattr(method, "__objclass__", None) is not list or not isinstance(first, Obj):
        return args
    kind = t.type_of(first)
    return [Obj(first.value, list, first.owner), *args[1:]] if kind is not None and is_derived(kind) else args
