"""Attributes of instances: read and written where they are, with what the class says taken for constant.

What a name means for an instance is decided by its exact type: a slot or another data descriptor of the class first, then the
instance's own value, then what else the class has. The type is checked, and watched: whatever changes about it or its
bases ends the region. That leaves for the loop, of an instance's value: does it (still) have inline values, is there one; of a
method or another thing of the class: has no instance been given an attribute of that name (the class's shared names are as many as
they were), or has this one none.

Instances with a dict of their own (of attributes that came late) are looked up in it, and changed there, where such were seen.

What is not covered here (setters, other descriptors, `__getattr__`, modules) returns False and is done by the
generic operation.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING

from ..abi import instances
from ..optimizer.ir import Value
from ..optimizer.ops.objects import ITSELF
from ..records import dataclass
from . import mappings
from .attributes_of_c import load_of_c
from .bound_methods import push_bound
from .exceptions import may_be_caught, require
from .methods import ABSENT, BUILTIN_TYPES, METHOD_DESCRIPTOR, SLOT_WRAPPER, find, is_class, is_data, is_static, lookup, lookup_behind, mro
from .translate import MAX_TYPES, Throw
from .values import AV, FOREVER, HEAP, OWNED, Const, Iterator, Null, Num, Obj
from .versions import CALL_NULL_FIRST

if TYPE_CHECKING:
    from .translate import Translator

BUILT_IN = (object, list, dict, set, frozenset, tuple, str, bytes, int, float, BaseException)
DEFAULTS = {name: [lookup(kind, name) for kind in BUILT_IN] for name in ("__getattribute__", "__setattr__")}
"""The usual way, under the names of the built-in types that have one of their own for it."""
ONLY_DICT = -2


@dataclass(frozen=True)
class Place:
    """Where an attribute is: in a slot (`at`: bytes), or in inline values (at: which place; -1 if no instance has the name), and
    then what the class has for instances without it."""

    kind: type
    slot: bool
    at: int
    found: object = ABSENT
    names: int = -1
    """How many shared names there are; -1: instances have no names but the class's, ONLY_DICT: or those in their dict."""


def settled(t: Translator, found: object) -> bool:
    """Make sure that what a class has under a name stays of its type: it could become a descriptor with a say. False where that
    is not possible."""
    kind = type(found)
    if found is not ABSENT and not is_static(kind):
        if not t.watch_type(kind):
            return False
        t.ensure_type(Obj(t.const_o(found), None, FOREVER), kind)
    return True


def locate(kind: type, name: str) -> Place | None:
    """What the name means for instances of the type, if what the class has is `settled`; None for what has no native form."""
    found = lookup(kind, name)
    if is_data(found):
        offset = instances.member_offset(found, kind)
        return Place(kind, True, offset) if offset > 0 else None
    names = instances.shared_names(kind)
    if names is None:
        if instances.has_managed_dict(kind):
            return Place(kind, False, -1, found, ONLY_DICT)
        return None if instances.has_dict(kind) else Place(kind, False, -1, found)
    return Place(kind, False, names.index(name) if name in names else -1, found, len(names))


def instance(t: Translator, av: AV, kind: type, default: str) -> Obj | None:
    """av, known to be of that type, as an object with the usual way to look up (or set) attributes, whose type is watched; None
    where it is none."""
    if is_static(kind) or not any(lookup(kind, default) is usual for usual in DEFAULTS[default]):
        return None
    if default == "__getattribute__" and lookup(kind, "__getattr__") is not ABSENT:
        return None
    if isinstance(av, Const):
        # That is what it was when it was looked at. It may be of another class next time.
        t.constants[id(av.obj)] = av.obj
        av = Obj(t.const_o(av.obj), None, FOREVER)
        t.ensure_type(av, kind)
    return av if isinstance(av, Obj) and t.watch_type(kind) else None


def load(t: Translator, name: str, as_method: bool) -> bool:
    """The attribute of the object on top of the stack, in its place. `as_method`: as a callable, in the form that calls expect."""
    av = t.peek()
    if isinstance(av, Const) and is_class(av.obj):
        return load_of_class(t, av.obj, name, as_method)
    kind = t.specialise(av, t.expected(0))
    if kind is None:
        return load_of_many(t, av, name, as_method)
    method = find(kind, name) if as_method else None
    if method is not None:
        t.pop()
        push_method(t, method, av)
        return True
    method = find(kind, name)
    if method is not None and isinstance(av, Obj | Const):
        push_bound(t, method, av, kind)
        return True
    if load_of_c(t, av, kind, name, as_method):
        return True
    obj = instance(t, av, kind, "__getattribute__")
    if obj is not None and not as_method and get_property(t, obj, lookup(kind, name)):
        return True
    place = locate(kind, name) if obj is not None and settled(t, lookup(kind, name)) else None
    if obj is None or place is None:
        return False
    of_class = has_class_value(place)
    held = own_dict(t, obj, place, of_class)
    if t.block is None:
        return True
    error = AttributeError if place.found is ABSENT else None
    if held is None and place.at < 0 and not of_class:
        if error is None or not may_be_caught(t, error):
            return False
        if place.names >= 0:
            check_names(t, obj, place)
        raise Throw(error)
    t.frame.stack[-1] = obj
    if held is None and place.at < 0:
        push_class_value(t, place, as_method)
        return True
    value = mappings.find_name(t, held, name) if held is not None else read(t, obj, place)
    missing = t.emit("obj.is_null", value)
    if not of_class:
        if error is not None:
            require(t, missing, False, error)
        else:
            t.guard(missing, False)
        push_value(t, value, as_method)
        return True
    if held is not None and (as_method or type(place.found) in (FunctionType, METHOD_DESCRIPTOR, classmethod)):
        t.guard(missing)
        push_class_value(t, place, as_method, known=True)
        return True
    assert t.ins is not None
    absent = (t.ins.next, True, lambda: push_class_value(t, place, as_method, held is not None))
    t.split(missing, absent, (t.ins.next, True, lambda: push_value(t, value, as_method)))
    return True


def load_of_many(t: Translator, av: AV, name: str, as_method: bool) -> bool:
    """The same of an object that may be of more classes than get paths of their own: looked for when the code runs. False where that
    would run code for one of those that were seen."""
    seen = list(t.expected(0))
    if not isinstance(av, Obj) or len(seen) <= MAX_TYPES or not all(isinstance(kind, type) and may_be_found(kind, name, as_method) for kind in seen):
        return False
    t.constants[id(name)] = name
    value = t.emit("attr.method" if as_method else "attr.find", av.value, t.const_o(name))
    t.guard(t.emit("obj.is", value, t.const_o(NotImplemented)), False)
    if not as_method:
        t.guard(t.emit("obj.is_null", value), False)
        push_value(t, value, False)
        return True
    t.pop()
    t.push(Obj(value, None, HEAP))
    t.push(av)
    return True


def may_be_found(kind: type, name: str, as_method: bool) -> bool:
    """Whether `attr.find`, or `attr.method`, finds what instances of the class have under the name, as it is now."""
    if not instances.looks_up_plainly(kind):
        return False
    found = lookup(kind, name)
    if as_method:
        return type(found) is FunctionType or type(found) is METHOD_DESCRIPTOR
    if is_data(found):
        return instances.member_offset(found, kind) > 0
    return lookup(type(found), "__get__") is ABSENT


def get_property(t: Translator, obj: Obj, found: object) -> bool:
    """Go on in the getter of a property, if that is what was found."""
    from .bytecodes_calls import walk_into

    if type(found) is not property or type(found.fget) is not FunctionType:
        return False
    assert t.ins is not None
    unchanged(t, found, found.fget)
    t.frame.stack[-1] = obj
    return walk_into(t, t.ins, found.fget, [obj], [obj])


def load_of_class(t: Translator, kind: type, name: str, as_method: bool) -> bool:
    """An attribute of a class that is known, as far as the class itself or a base has it and it is no descriptor with a say."""
    found, meta = lookup(kind, name), type(kind)
    usual = lookup(meta, "__getattribute__") is lookup(type, "__getattribute__")
    if found is ABSENT or is_data(lookup(meta, name)) or not usual or not t.watch_type(kind):
        return False
    if meta is not type:
        if not t.watch_type(meta):
            return False
        t.ensure_type(Obj(t.const_o(kind), None, FOREVER), meta)
    if type(found) is classmethod and as_method and type(found.__func__) is FunctionType:
        unchanged(t, found, found.__func__)
        t.pop()
        push_method(t, found.__func__, Const(kind))
        return True
    value = found
    if type(found) is staticmethod:
        value = found.__func__
        unchanged(t, found, value)
    elif type(found) not in ITSELF and (lookup(type(found), "__get__") is not ABSENT or not settled(t, found)):
        return False
    t.constants[id(value)] = value
    t.pop()
    push_callable(t, Const(value), as_method)
    return True


def load_super(t: Translator, name: str, as_method: bool) -> bool:
    """What `super(kind, obj).name` finds, for a method of a base that is called, or anything else that it gives as it is. On
    the stack: super, the class, the object."""
    kind_av, av = t.peek(2), t.peek(1)
    own = t.specialise(av, t.expected(2))
    base = enclosing_class(t)
    if own is None or base is None or base not in mro(own) or not isinstance(av, Obj) or not t.watch_type(own):
        return False
    found = lookup_behind(own, base, name)
    kind = type(found)
    is_method = kind is FunctionType or kind is METHOD_DESCRIPTOR or kind is SLOT_WRAPPER
    if found is ABSENT or name == "__class__" or is_method is not as_method:
        return False
    if not is_method and not (is_static(kind) and lookup(kind, "__get__") is ABSENT):
        return False
    t.ensure_type(av, own)
    t.constants[id(base)] = base
    t.guard(t.emit("obj.is", t.boxed(kind_av), t.const_o(base)))
    t.drop_check(kind_av)
    if not is_method:
        t.drop_check(av)
    t.constants[id(found)] = found
    obj, kind_av = t.pop(), t.pop()
    t.pop()
    t.drop(kind_av)
    if is_method:
        push_method(t, found, obj)
    else:
        t.drop(obj)
        push_callable(t, Const(found), as_method)
    return True


def enclosing_class(t: Translator) -> type | None:
    """What the current function's cell `__class__` holds now: the class whose body the function was written in."""
    func = t.frame.func
    names = t.frame.code.co_freevars
    if not isinstance(func, FunctionType) or "__class__" not in names:
        return None
    cell = (func.__closure__ or ())[names.index("__class__")]
    try:
        held = cell.cell_contents
    except ValueError:
        return None
    return held if is_class(held) else None


def load_by_super_object(t: Translator, name: str, arrange: Callable[[AV], None]) -> None:
    """The same in general: by an object of type super."""
    t.begin_opaque()
    values, temps = t.operand_values([t.peek(3), t.peek(2), t.peek(1)])
    made = t.emit("call.vector", *values, imm=(None,))
    del t.frame.stack[-3:]
    for temp in temps:
        t.release(temp)
    t.raised(t.emit("obj.is_null", made), True, 3)
    t.constants[id(name)] = name
    result = t.emit("call.object", made, t.const_o(name), imm=("PyObject_GetAttr", ()))
    t.release(Obj(made, super, OWNED))
    t.raised(t.emit("obj.is_null", result), True, 3)
    arrange(Obj(result, None, OWNED))
    t.end_opaque()


def unchanged(t: Translator, wrapper: object, func: object) -> None:
    """A static or class method or a property can be initialised anew, with another function."""
    t.constants[id(wrapper)] = wrapper
    t.constants[id(func)] = func
    held = t.emit("field.o", t.const_o(wrapper), imm=("WRAPPER_FUNC",))
    t.guard(t.emit("obj.is", held, t.const_o(func)))


def is_absent(t: Translator, av: AV, kind: type, name: str) -> bool:
    """Whether an object of that type has no such attribute, and nothing that is asked instead; makes sure of it."""
    if is_static(kind):
        return kind in BUILTIN_TYPES and lookup(kind, name) is ABSENT
    obj = instance(t, av, kind, "__getattribute__")
    place = locate(kind, name) if obj is not None and lookup(kind, name) is ABSENT else None
    if obj is None or place is None or place.at >= 0 or held_in_dicts(t, place):
        return False
    if place.names == ONLY_DICT:
        t.guard(t.emit("instance.bare", obj.value))
    elif place.names >= 0:
        check_names(t, obj, place)
    return True


def check_names(t: Translator, obj: Obj, place: Place) -> None:
    """Leave where instances have got more names than there were."""
    t.guard(t.emit("values.valid", obj.value, imm=(place.kind,)))
    t.guard(t.emit("int.eq", t.emit("keys.count", imm=(place.kind,)), t.const_i(place.names)))


def read(t: Translator, obj: Obj, place: Place) -> Value:
    """What is there, or NULL."""
    if place.slot:
        return t.emit("slot.get", obj.value, imm=(place.kind, place.at))
    t.guard(t.emit("values.valid", obj.value, imm=(place.kind,)))
    return t.emit("values.get", obj.value, imm=(place.kind, place.at))


def held_in_dicts(t: Translator, place: Place) -> bool:
    """Whether instances were seen here that have a dict of their own."""
    seen = t.observation()
    # (That dict could be the namespace whose names are kept in slots.)
    known = not place.slot and place.names != -1
    return known and seen is not None and "DICT" in seen.items and t.names is None


def own_dict(t: Translator, obj: Obj, place: Place, of_class: bool) -> Value | None:
    """The dict that the instance has instead of inline values; None for one that has them. Where either may be what is wanted the
    block ends here, and the bytecode is done again for each. `of_class`: the class has something under that name."""
    if not held_in_dicts(t, place):
        if place.names == ONLY_DICT:
            t.guard(t.emit("instance.bare", obj.value))
        return None
    key = (obj.value, "own dict")
    known = t.checked.pop(key, None) if of_class or place.at >= 0 else True
    if known is None:
        assert t.ins is not None
        start = t.ins.start

        def note(known: bool) -> None:
            t.checked[key] = known

        inline = t.emit("instance.bare", obj.value) if place.names == ONLY_DICT else t.emit("values.valid", obj.value, imm=(place.kind,))
        t.frame.stack[:] = t.before
        t.split(inline, (start, True, lambda: note(False)), (start, True, lambda: note(True)), again=True)
        return None
    if not known:
        return None
    held = t.emit("instance.dict", obj.value)
    t.guard(t.emit("obj.is_null", held), False)
    return held


def push_value(t: Translator, value: Value, as_method: bool) -> None:
    """The instance on top of the stack has the attribute: the value, in its place."""
    obj = t.peek()
    item = Obj(value, None, HEAP)
    assert t.ins is not None and isinstance(obj, Obj)
    if not as_method:
        expected = t.expected_results()
        if t.frame.info.at(t.ins.next).op.startswith("STORE_FAST") and expected <= {int, float}:
            t.number(item, expected)
    t.drop_check(obj)
    t.pop()
    if obj.owner is OWNED:
        t.own(item)
    t.drop(obj)
    push_callable(t, item, as_method)


def has_class_value(place: Place) -> bool:
    """Whether what the class has is a method, or something that it gives as it is."""
    kind = type(place.found)
    if kind is METHOD_DESCRIPTOR or kind is FunctionType:
        return True
    if kind is classmethod:
        return type(place.found.__func__) is FunctionType  # type: ignore[attr-defined]
    if kind is staticmethod:
        return True
    return place.found is not ABSENT and lookup(kind, "__get__") is ABSENT


def push_class_value(t: Translator, place: Place, as_method: bool, known: bool = False) -> None:
    """The instance on top of the stack has no such attribute (which is `known` already): what the class has, in its place."""
    obj, found = t.peek(), place.found
    assert isinstance(obj, Obj)
    if place.at < 0 and place.names >= 0 and not known:
        check_names(t, obj, place)
    t.constants[id(found)] = found
    if type(found) in (FunctionType, METHOD_DESCRIPTOR):
        if as_method:
            t.pop()
            push_method(t, found, obj)
        else:
            push_bound(t, found, obj, obj.type)
        return
    if type(found) is staticmethod or type(found) is classmethod:
        unchanged(t, found, found.__func__)
    if type(found) is classmethod and not as_method:
        push_bound(t, found.__func__, Const(place.kind), None)
        return
    t.drop_check(obj)
    if type(found) is classmethod:
        t.pop()
        t.drop(obj)
        push_method(t, found.__func__, Const(place.kind))
        return
    if type(found) is staticmethod:
        found = found.__func__
    t.pop()
    t.drop(obj)
    push_callable(t, Const(found), as_method)


def push_method(t: Translator, method: object, av: AV) -> None:
    """The function, then the object: what a call makes of a method."""
    t.push(Const(method))
    t.push(av)


def push_callable(t: Translator, av: AV, with_null: bool) -> None:
    """A value that is called without an object, or (`with_null` unset) not called."""
    if with_null and CALL_NULL_FIRST:
        t.push(Null())
    t.push(av)
    if with_null and not CALL_NULL_FIRST:
        t.push(Null())


def store(t: Translator, name: str) -> bool:
    """Give the object on top of the stack the attribute; the value is below it."""
    value, av = t.peek(2), t.peek(1)
    kind = t.specialise(av, t.expected(1))
    obj = instance(t, av, kind, "__setattr__") if kind is not None else None
    kind = obj.type if obj is not None else None
    place = locate(kind, name) if kind is not None and settled(t, lookup(kind, name)) else None
    if obj is None or place is None:
        return False
    held = own_dict(t, obj, place, False)
    if t.block is None:
        return True
    if held is not None:
        if isinstance(value, Iterator):
            return False
        t.constants[id(name)] = name
        mappings.put(t, held, mappings.place_of_name(t, held, name), Const(name), value, [obj])
        t.pop()
        t.pop()
        t.drop(obj)
        t.drop(value)
        return True
    if place.at < 0:
        return False
    t.reject_hidden(value)
    old = read(t, obj, place)
    if not place.slot:
        t.guard(t.emit("values.alone", obj.value, imm=(place.kind,)))
    t.guard(t.emit("obj.drop_is_safe", old))
    t.receive_check(value, obj)
    t.promote_heap()
    t.pop()
    t.pop()
    where = "slot" if place.slot else "values"
    if isinstance(value, Num) and value.repr != "b" and not t.is_home(value):
        ending, imm = {"f": "_float", "i": "_int"}[value.repr], (place.kind, place.at, None)
        t.emit(f"{where}.put{ending}", obj.value, value.value, imm=imm)
    else:
        t.emit(f"{where}.put", obj.value, t.owned_value(value), imm=(place.kind, place.at))
    t.drop(obj)
    return True
