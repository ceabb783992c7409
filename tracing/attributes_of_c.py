"""Attributes of objects whose types C code made for good: files, iterators, code objects, functions.

Such a type cannot be changed, nor can the class of its instances, so nothing is watched. A method is what it is, unless the instance has a dict
in which that name could be: then it must have none now. What a member descriptor gives, and what some getters do, runs no code of the
program's: that is a closed call. (Others may: they are audited, look at frames, or ask objects inside.)
"""

from __future__ import annotations

from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING

from ..abi import instances
from .bound_methods import push_bound
from .bytecodes_numbers import closed_call
from .methods import ABSENT, METHOD_DESCRIPTOR, is_fixed, lookup
from .values import AV, Const, Null, Obj
from .versions import CALL_NULL_FIRST

if TYPE_CHECKING:
    from .translate import Translator

USUAL = [lookup(kind, "__getattribute__") for kind in (object, list, dict, set, tuple, str, bytes, int, float, FunctionType, CodeType)]
GETTERS: dict[type, frozenset[str]] = {
    FunctionType: frozenset({"__name__", "__qualname__", "__defaults__", "__kwdefaults__", "__code__"}),
    type: frozenset({"__name__", "__qualname__", "__mro__", "__flags__", "__basicsize__"}),
    int: frozenset({"real", "imag", "numerator", "denominator"}),
    float: frozenset({"real", "imag"}),
    complex: frozenset({"real", "imag"}),
}
"""Getters that do no more than to give what is there."""


def load_of_c(t: Translator, av: AV, kind: type, name: str, as_method: bool) -> bool:
    """The attribute of the object on top of the stack, of a type that cannot change, in its place. False for others, and for what
    may run code."""
    usual = lookup(kind, "__getattribute__")
    if not is_fixed(kind) or not isinstance(av, Obj | Const) or lookup(kind, "__getattr__") is not ABSENT:
        return False
    if kind is not type and not any(usual is one for one in USUAL):
        return False
    found = lookup(kind, name)
    if type(found) is METHOD_DESCRIPTOR:
        if kind is type or not has_no_dict(t, av, kind):  # what a class has goes before what its metaclass has
            return False
        if not as_method:
            push_bound(t, found, av, kind)
            return True
        t.constants[id(found)] = found
        t.pop()
        t.push(Const(found))
        t.push(av)
        return True
    quiet = type(found) is MemberDescriptorType and not instances.is_audited(found)
    if not quiet and not (type(found) is GetSetDescriptorType and name in GETTERS.get(kind, ())):
        return False
    t.constants[id(name)] = name
    closed_call(t, "call.closed", [av, Const(name)], npop=1, result_type=None, imm=("PyObject_GetAttr", ()))
    if as_method:
        value = t.pop()
        t.frame.stack += [Null(), value] if CALL_NULL_FIRST else [value, Null()]
    return True


def has_no_dict(t: Translator, av: Obj | Const, kind: type) -> bool:
    """Make sure that the instance has no attributes of its own; False where that is not possible."""
    if not instances.has_dict(kind):
        return True
    if instances.has_managed_dict(kind):
        return False
    offset = instances.dict_offset(kind)
    if offset <= 0:
        return False
    t.constants[id(kind)] = kind
    t.guard(t.emit("obj.is_null", t.emit("slot.get", t.boxed(av), imm=(kind, offset))))
    return True
