"""Objects: types, boxes, reference counts, single fields.

Object values are addresses. Whether a value is owned is the translator's knowledge and shows in the explicit
`incref` and `drop` operations and in the slots of frame states; the verifier checks the balance.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections import Counter
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MethodDescriptorType, MethodType, WrapperDescriptorType
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


@op("obj.id", "o", "i")
def identity(m: Any, a: int) -> int:
    """What `id` says of an object: its address."""
    return a


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


@op("type.is_below", "oo", "b", reads="attr shape")
def is_below(m: Any, kind: int, other: int) -> bool:
    """Whether a class is another one or derived from it. Both are of exact type `type`, which nobody asks what it thinks of that."""
    return issubclass(memory.object_at(kind), memory.object_at(other))


@op("type.find", "oo", "o", reads="attr shape")
def type_find(m: Any, kind: int, name: int) -> int:
    """What a class has of its own or from its bases under a name that its metaclass `type` does not deal with: borrowed, NULL where
    there is nothing, NotImplemented where `__get__` has a say in what that comes to."""
    for base in memory.object_at(kind).__mro__:
        if memory.object_at(name) in vars(base):
            found = vars(base)[memory.object_at(name)]
            own = type(found) in ITSELF or not hasattr(type(found), "__get__")
            return id(found) if own else id(NotImplemented)
    return 0


ITSELF = (FunctionType, WrapperDescriptorType, MethodDescriptorType)
"""Types of what a class gives away as it is."""


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


@op("obj.unbox_number", "o", "f", guard=True)
def unbox_number(m: Any, o: int) -> float:
    """The value of an exact float, or of an exact int as the float that it equals; leaves where o is neither or NULL, or the int
    is beyond 2**53."""
    kind = memory.read64(o + LAYOUT.OB_TYPE) if o else 0
    if kind != id(float) and (kind != id(int) or abs(memory.object_at(o)) > 1 << 53):
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


@op("obj.box_int_if", "ib", "o", writes="alloc")
def box_int_if(m: Any, a: int, c: bool) -> int:
    """A new reference to the int where c, else NULL."""
    return box_int(m, a) if c else 0


@op("obj.box_float_if", "fb", "o", writes="alloc")
def box_float_if(m: Any, a: float, c: bool) -> int:
    """A new reference to a new float where c, else NULL."""
    return box_float(m, a) if c else 0


@op("obj.box_bool_if", "bb", "o")
def box_bool_if(m: Any, a: bool, c: bool) -> int:
    """True or False where c, else NULL."""
    return box_bool(m, a) if c else 0


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
DEPTH = 5
"""Levels of containers and instances that are looked into."""
LOOKED_INTO = 64
"""How many objects inside that have other owners, perhaps, are looked into: that is in vain where they survive."""
TRIED = 4
"""How many of them it is tried to find out for,"""
COUNTED = 64
"""by looking at so many references."""
MOST_REFERENCES = 1000
"""So many are looked at to see first that all that others have as well survives,"""
MOST_SHARED = 64
"""as long as it is so few objects."""


@op("obj.drop_is_safe", "o", "b", reads="ref list item")
def drop_is_safe(m: Any, o: int) -> bool:
    """Whether dropping a reference to o (possibly NULL) runs no code: others hold it, or its exact type is one of HARMLESS, or
    it is a list, a tuple, a dict, a set, a cell, a bound method or an instance of a plain class with such things, at most DEPTH deep, and
    nobody is told of its end. Several objects may be asked about before they are dropped together."""
    return o == 0 or outlives(m, o, 1)


@op("obj.ends_safely", "o", "b", reads="ref list item")
def ends_safely(m: Any, o: int) -> bool:
    """The same for an object (not NULL) that is dropped before anything else is: what is in it may be anything that has more
    references than there are in there. So it may be a function, whose code and namespaces others have."""
    return memory.refcount(o) > 1 or others_survive(o) or harmless(o, DEPTH, o, [LOOKED_INTO, TRIED, 0])


@op("obj.outlives", "o", "b", reads="ref list item", imm="drops")
def outlives(m: Any, o: int, drops: int) -> bool:
    """Whether dropping `drops` references to o (not NULL) runs no code: it has more of them, or is as harmless as
    `obj.drop_is_safe` wants it."""
    return memory.refcount(o) > drops or harmless(o, DEPTH)


def others_survive(o: int) -> bool:
    """Whether the end of the object ends nothing but what nobody else has, and that quietly."""
    kind: type = memory.object_at(memory.read64(o + LAYOUT.OB_TYPE))  # type: ignore[assignment]
    return kind in HARMLESS or only_lets_go(o, kind, DEPTH, Counter(), [MOST_REFERENCES])


def only_lets_go(o: int, kind: type, depth: int, counts: Counter[int], left: list[int]) -> bool:
    """Whether the end of an object that nobody else has does nothing but let go of what is in it, that quietly, and whether what others
    have as well has more references than there are in there. `counts`: of those, how often each was seen."""
    if kind is dict:
        watched = memory.read8(o + LAYOUT.DICT_WATCHERS)
        held = None if watched else [id(one) for pair in memory.object_at(o).items() for one in pair]  # type: ignore[attr-defined]
    elif kind is set:
        whole: set[object] = memory.object_at(o)  # type: ignore[assignment]
        held = None if weakref.getweakrefcount(whole) else [*map(id, whole)]
    else:
        held = parts_of(o, kind)
    if held is None:
        return False
    for one in held:
        if not one:
            continue
        left[0] -= 1
        if left[0] < 0:
            return False
        kind = memory.object_at(memory.read64(one + LAYOUT.OB_TYPE))  # type: ignore[assignment]
        if kind in HARMLESS or memory.is_immortal(one):
            continue
        if memory.refcount(one) == 1:
            if depth == 0 or not only_lets_go(one, kind, depth - 1, counts, left):
                return False
            continue
        counts[one] += 1
        if counts[one] >= memory.refcount(one) or len(counts) > MOST_SHARED:
            return False
    return True


def harmless(o: int, depth: int, root: int = 0, budget: list[int] | None = None) -> bool:
    """Whether the end of the object runs no code, or it has an owner outside of what ends with `root` (0: the object itself). Looks
    at memory only, so that no reference is added. `budget`: how many objects that may survive are still looked into, and how often
    it is still tried to find out whether one does, and whether there was a function."""
    kind: type = memory.object_at(memory.read64(o + LAYOUT.OB_TYPE))  # type: ignore[assignment]
    if kind in HARMLESS:
        return True
    root, budget = root or o, budget if budget is not None else [LOOKED_INTO, 0, 0]
    if o != root and memory.refcount(o) > 1:
        budget[0] -= 1
        if budget[0] < 0:
            return False
    return depth > 0 and harmless_inside(o, depth, root, kind, budget) or survives(o, root, budget)


def harmless_inside(o: int, depth: int, root: int, kind: type, budget: list[int]) -> bool:
    """Whether the object is of a kind whose end does nothing but let go of what is in it, and that is harmless."""
    if kind is dict:
        watched = memory.read8(o + LAYOUT.DICT_WATCHERS)
        inside = [id(one) for pair in memory.object_at(o).items() for one in pair]  # type: ignore[attr-defined]
        return not watched and all(harmless(one, depth - 1) for one in inside)
    if kind is set:
        whole: set[object] = memory.object_at(o)  # type: ignore[assignment]
        return not weakref.getweakrefcount(whole) and all(harmless(one, depth - 1) for one in map(id, whole))
    held = parts_of(o, kind)
    if held is None:
        return False
    if kind is FunctionType:
        # The first function's would be held by another in there only, which is looked at more closely.
        first, budget[2] = budget[2] == 0, 1
        shared = [held[k] for k in NAMESPACES_AND_CODE]
        if budget[1] <= 0 or not all(memory.refcount(one) > (1 if first else occurrences_in(root, one)) for one in shared):
            return False
        held = [one for k, one in enumerate(held) if k not in NAMESPACES_AND_CODE]
    return all(harmless(one, depth - 1, root, budget) for one in held if one)


FUNCTION_PARTS = (LAYOUT.FUNC_VECTORCALL - LAYOUT.FUNC_GLOBALS) // 8
"""How many references a function has, side by side."""
NAMESPACES_AND_CODE = tuple((at - LAYOUT.FUNC_GLOBALS) // 8 for at in (LAYOUT.FUNC_GLOBALS, LAYOUT.FUNC_BUILTINS, LAYOUT.FUNC_CODE))
"""Those that others have as well, which are not looked into."""


def parts_of(o: int, kind: type) -> list[int] | None:
    """The references (0 for none) that a list, a tuple, a cell, a function, a bound method or an instance of a plain class holds; None
    for others."""
    if kind is list or kind is tuple:
        items = memory.read64(o + LAYOUT.LIST_ITEMS) if kind is list else o + LAYOUT.TUPLE_ITEMS
        return [memory.read64(items + 8 * k) for k in range(memory.read64(o + LAYOUT.OB_SIZE))]
    if kind is CellType:
        return [memory.read64(o + LAYOUT.CELL_REF)]
    if kind is FunctionType:
        held = [memory.read64(o + LAYOUT.FUNC_GLOBALS + 8 * k) for k in range(FUNCTION_PARTS)]
        return None if memory.read64(o + FunctionType.__weakrefoffset__) else held  # type: ignore[attr-defined]
    if kind in CALLABLES:
        weak, first = CALLABLES[kind]
        return None if memory.read64(o + weak) else [memory.read64(o + first), memory.read64(o + first + 8)]
    return instances.derived_items(o) if memory.read64(id(kind) + LAYOUT.TYPE_FLAGS) & instances.LIST_SUBCLASS else instances.plain_values(o)


CALLABLES: dict[type, tuple[int, int]] = {
    MethodType: (MethodType.__weakrefoffset__, LAYOUT.METHOD_FUNC),  # type: ignore[attr-defined]
    BuiltinMethodType: (BuiltinMethodType.__weakrefoffset__, LAYOUT.CFUNCTION_SELF),  # type: ignore[attr-defined]
}
"""Bound methods and functions written in C, which end quietly: where there is a weak reference to them, and the first of two that they
hold."""


def survives(o: int, root: int, budget: list[int]) -> bool:
    """Whether the object, found inside `root`, has more references than there are in there, as far as that is easily counted."""
    if o == root or memory.refcount(o) == 1:
        return False
    budget[1] -= 1
    if budget[1] < 0:
        return False
    return memory.refcount(o) > occurrences_in(root, o)


def occurrences_in(root: int, o: int) -> float:
    """How often `root` and what is in it refer to the object; infinitely often where that is not easily counted."""
    left = [COUNTED]
    found = occurrences(root, o, DEPTH, left)
    return found if left[0] >= 0 else math.inf


def occurrences(holder: int, o: int, depth: int, left: list[int]) -> int:
    """How often `holder` and what is in it refer to the object. More than `left` references are not looked at: then it gets
    negative."""
    kind: type = memory.object_at(memory.read64(holder + LAYOUT.OB_TYPE))  # type: ignore[assignment]
    if kind in HARMLESS or depth == 0:
        return 0
    if kind is dict or kind is set:
        left[0] = -1
    found = 0
    for k, one in enumerate(parts_of(holder, kind) or ()):
        left[0] -= 1
        if left[0] < 0:
            break
        if one:
            found += one == o
            if not (kind is FunctionType and k in NAMESPACES_AND_CODE):
                found += occurrences(one, o, depth - 1, left)
    return found


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


@op("field.put", "oo", "", writes="field ref", imm="offset_name", consumes=(1,))
def field_put(m: Any, o: int, value: int, offset_name: str) -> None:
    """Store a reference (taken over; may be NULL) to a reference field of o, then drop what it held, if anything: known to be
    harmless."""
    address = o + getattr(LAYOUT, offset_name)
    old = memory.read64(address)
    memory.write64(address, value)
    if old:
        memory.decref(old)


@op("cell.new", "", "o", writes="alloc")
def cell_new(m: Any) -> int:
    """A new cell with nothing in it."""
    return int(memory.new_reference(CellType()))


@op("function.new", "", "o", writes="alloc", imm="code namespace")
def function_new(m: Any, code: CodeType, namespace: dict[str, Any]) -> int:
    """A new function that has neither a closure nor defaults. NULL, without an exception, where there is no memory."""
    result = int(m.capi("PyFunction_New", (id(code), id(namespace)), ()))
    if result == 0:
        m.clear_error()
    return result


@op("function.close", "oo*", "", writes="alloc ref")
def function_close(m: Any, o: int, *cells: int) -> None:
    """Give a new function its closure: these cells, which are borrowed."""
    closure = tuple([memory.object_at(cell) for cell in cells])
    m.capi_status("PyFunction_SetClosure", (o, id(closure)), ())


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
