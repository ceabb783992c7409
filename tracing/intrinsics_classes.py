"""Built-in functions that ask about classes: what an object is, what a class is derived from, what it has.

Where a class is not known at compile time it is looked at when the code runs, as long as its metaclass is exactly `type`: another may
answer in its own way (`__instancecheck__`, `__subclasscheck__`, `__getattribute__`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..optimizer.ir import Value
from .attributes import is_absent, may_be_found
from .bytecodes_numbers import known_kind
from .intrinsics import intrinsic, or_default
from .methods import ABSENT, inherits, is_data, is_static, lookup
from .values import AV, HEAP, Const, Num, Obj, Tup

if TYPE_CHECKING:
    from .translate import Translator

PLAIN_KINDS = frozenset({int, float, bool, complex, str, bytes, list, tuple, dict, set, frozenset, range, type(None)})
"""Types that nobody can change: their instances are what they are."""


@intrinsic(isinstance)
def isinstance_(t: Translator, args: list[AV]) -> AV | None:
    """Decided where the type is known and the classes take no part in the decision."""
    classes = class_list(args[1]) if len(args) == 2 else None
    if classes is None:
        return None
    kind = t.specialise(args[0], t.expected(t.expected_operands() - 2))
    if kind is None:
        return None
    if any(issubclass(kind, c) for c in classes):
        return Const(True)
    # Of others the object's `__class__` is asked for.
    plain = kind in PLAIN_KINDS or not is_static(kind) and inherits(t, kind, "__class__", "__getattribute__")
    return Const(False) if plain else None


def class_list(av: AV) -> list[type] | None:
    """The classes of isinstance's second argument, or None where one of them may have a say of its own."""
    if isinstance(av, Tup):
        parts = [class_list(item) for item in av.items]
    elif isinstance(av, Const) and type(av.obj) is tuple:
        parts = [class_list(Const(item)) for item in av.obj]
    else:
        return [av.obj] if isinstance(av, Const) and type(av.obj) is type else None
    found: list[type] = []
    for part in parts:
        if part is None:
            return None
        found += part
    return found


@intrinsic(type)
def type_(t: Translator, args: list[AV]) -> AV | None:
    if len(args) != 1:
        return None
    kinds = t.expected(t.expected_operands() - 1)
    kind = t.type_of(args[0]) or (t.specialise(args[0], kinds) if kinds <= PLAIN_KINDS else None)
    if kind in PLAIN_KINDS:
        return Const(kind)
    return Obj(t.emit("field.o", args[0].value, imm=("OB_TYPE",)), None, HEAP) if isinstance(args[0], Obj) else None


@intrinsic(issubclass)
def issubclass_(t: Translator, args: list[AV]) -> AV | None:
    classes = class_list(args[1]) if len(args) == 2 else None
    kind = a_class(t, args[0], 2) if classes else None
    if classes is None or kind is None:
        return None
    result = t.const_b(False)
    for one in classes:
        result = t.emit("bool.or", result, t.emit("type.is_below", kind, t.const_o(one)))
    return Num(result)


def a_class(t: Translator, av: AV, nargs: int) -> Value | None:
    """The first of so many arguments as a class, whose metaclass is `type`; None where it was not seen to be one."""
    if isinstance(av, Const):
        return t.const_o(av.obj) if type(av.obj) is type else None
    if not isinstance(av, Obj) or t.type_of(av) is not type and t.expected(t.expected_operands() - nargs) != {type}:
        return None
    t.ensure_type(av, type)
    return av.value


@intrinsic(getattr)
def getattr_(t: Translator, args: list[AV]) -> AV | None:
    """Of a class, by a name that its metaclass does not have, or has no say in; what is there is no descriptor that does anything. Of
    other objects, where there is no such attribute, but a constant for that."""
    if not 2 <= len(args) <= 3 or not isinstance(args[1], Const) or type(args[1].obj) is not str:
        return None
    if len(args) == 3 and isinstance(args[2], Const) and lacks(t, args):
        return args[2].copy()
    found = found_in_instance(t, args)
    if found is not None:
        if len(args) == 3 and isinstance(args[2], Obj | Const):
            return or_default(t, found, args[2])
        if len(args) == 3:
            return None
        t.guard(t.emit("obj.is_null", found), False)
        return Obj(found, None, HEAP)
    of_metaclass = lookup(type, args[1].obj)
    if is_data(of_metaclass):
        return None
    kind = a_class(t, args[0], len(args))
    if kind is None:
        return None
    found = t.emit("type.find", kind, t.boxed(args[1]))
    t.guard(t.emit("obj.is", found, t.const_o(NotImplemented)), False)
    default = args[2] if len(args) == 3 and of_metaclass is ABSENT else None
    if isinstance(default, Obj | Const):
        return or_default(t, found, default)
    t.guard(t.emit("obj.is_null", found), False)
    return Obj(found, None, HEAP)


@intrinsic(hasattr)
def hasattr_(t: Translator, args: list[AV]) -> AV | None:
    """Of instances whose classes have no say in it."""
    if len(args) != 2 or not isinstance(args[1], Const) or type(args[1].obj) is not str:
        return None
    if lacks(t, args):
        return Const(False)
    found = found_in_instance(t, args)
    return Num(t.emit("bool.not", t.emit("obj.is_null", found))) if found is not None else None


def found_in_instance(t: Translator, args: list[AV]) -> Value | None:
    """What the first argument, an instance of classes that have no say in it, has under the name that is the second, or NULL. None for
    others."""
    av, name = args[0], args[1]
    known = t.type_of(av)
    kinds = [known] if known is not None else list(t.expected(t.expected_operands() - len(args)))
    if not isinstance(av, Obj) or not isinstance(name, Const) or not kinds:
        return None
    if not all(isinstance(kind, type) and may_be_found(kind, str(name.obj), False) for kind in kinds):
        return None
    found = t.emit("attr.find", av.value, t.boxed(name))
    t.guard(t.emit("obj.is", found, t.const_o(NotImplemented)), False)
    return found


def lacks(t: Translator, args: list[AV]) -> bool:
    """Whether the first argument, an object that is no class, has no attribute of the name that is the second."""
    kind = known_kind(t, args[0], t.expected(t.expected_operands() - len(args)))
    if kind is None or issubclass(kind, type) or not isinstance(args[1], Const):
        return False
    t.ensure_type(args[0], kind)
    return is_absent(t, args[0], kind, str(args[1].obj))
