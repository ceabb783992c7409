"""Class and mapping patterns.

What a class pattern binds exists only as the parts of a tuple (`values.Tup`), which the code behind it unpacks. Attributes are those
that instances have in slots or inline values; keys are those that are told from others without running code. For anything else
(properties, patterns that raise, classes with an `__instancecheck__`) the region is left in front of the bytecode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import attributes, mappings
from .bytecode_table import bytecode
from .decode import Ins
from .intrinsics import INTRINSICS
from .methods import ABSENT, flags, lookup
from .translate import Leave
from .values import AV, HEAP, OWNED, Const, Obj, Tup

if TYPE_CHECKING:
    from .translate import Translator

MATCH_SELF = 1 << 22
"""Flag of the types whose pattern's only positional part is the subject itself."""


@bytecode("MATCH_CLASS")
def match_class(t: Translator, ins: Ins) -> None:
    subject, class_, names = t.peek(3), t.peek(2), t.peek(1)
    if not isinstance(names, Const) or not isinstance(class_, Const) or type(class_.obj) is not type:
        raise Leave("unsupported_operand_types", "a class pattern")
    kind = t.specialise(subject, t.expected(0))
    is_one = INTRINSICS[id(isinstance)](t, [subject, class_]) if kind is not None else None
    if kind is None or not isinstance(is_one, Const):
        raise Leave("unsupported_operand_types", "a class pattern")
    whole, wanted = parts_of(t, class_.obj, ins.arg, names.obj) if is_one.obj else (False, ())  # type: ignore[arg-type]
    parts: list[AV] = [attribute(t, subject, kind, name) for name in wanted]
    t.drop_check(subject)
    found = Tup([t.dup(subject), *parts] if whole else parts)
    if isinstance(subject, Obj) and subject.owner is OWNED:
        t.own(found)
    del t.frame.stack[-3:]
    t.drop(subject)
    t.push(found if is_one.obj else Const(None))


def parts_of(t: Translator, kind: type, count: int, names: tuple[str, ...]) -> tuple[bool, tuple[str, ...]]:
    """(whether the first part is the subject itself, names of the attributes that are the others) of a pattern with `count` positional
    parts and those by name. Leaves where the pattern raises."""
    if not count:
        return False, names
    order = lookup(kind, "__match_args__")
    if not t.watch_type(kind):
        raise Leave("unsupported_operand_types", "__match_args__")
    if order is ABSENT and count == 1 and flags(kind) & MATCH_SELF:
        return True, names
    wanted = (*order[:count], *names) if type(order) is tuple and count <= len(order) else ()
    if not wanted or any(type(name) is not str for name in wanted) or len(set(wanted)) < len(wanted):
        raise Leave("always_fails", "a class pattern")
    return False, wanted


def attribute(t: Translator, subject: AV, kind: type, name: str) -> Obj:
    """An attribute that an instance has of its own."""
    obj = attributes.instance(t, subject, kind, "__getattribute__")
    place = attributes.locate(kind, name) if obj is not None and attributes.settled(t, lookup(kind, name)) else None
    if obj is None or place is None or not place.slot and place.at < 0:
        raise Leave("unsupported_operand_types", f"{name} in a class pattern")
    value = attributes.read(t, obj, place)
    t.guard(t.emit("obj.is_null", value), False)
    return Obj(value, None, HEAP)


@bytecode("MATCH_KEYS")
def match_keys(t: Translator, ins: Ins) -> None:
    """Of exact dicts. Whether the keys are there decides how it goes on."""
    subject, keys = t.peek(2), t.peek(1)
    wanted = keys.items if isinstance(keys, Tup) else [Const(key) for key in keys.obj] if isinstance(keys, Const) else []  # type: ignore[attr-defined]
    plain = [key.obj for key in wanted if isinstance(key, Const) and type(key.obj) in (str, int)]
    if t.specialise(subject, t.expected(0)) is not dict or len(set(plain)) < len(wanted) or not wanted:
        raise Leave("unsupported_operand_types", "a mapping pattern")
    found = [mappings.find(t, subject, key, -1) for key in wanted]
    values = [value for value in found if value is not None]
    if len(values) < len(found):
        raise Leave("unsupported_operand_types", "a mapping pattern")
    missing = t.const_b(False)
    for value in values:
        missing = t.emit("bool.or", missing, t.emit("obj.is_null", value))
    there = Tup([Obj(value, None, HEAP) for value in values])
    t.split(missing, (ins.next, True, lambda: t.push(Const(None))), (ins.next, True, lambda: t.push(there)))
