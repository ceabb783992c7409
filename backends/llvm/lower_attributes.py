"""Attributes of instances. Where a type's instances have their inline values is known when the code is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...abi import LAYOUT, instances, memory
from ...optimizer.ir import Op
from .lower_base import LIKELY, TAGS, UNLIKELY, Emitter, lowering
from .lower_dicts import as_object, looked_up
from .lower_lists import write_box
from .lower_objects import drop_text, float_box_text, int_box_text


def values(e: Emitter, o: str, kind: Any) -> tuple[str, int]:
    """Where an instance's inline values are: a base address and an offset."""
    if LAYOUT.VALUES_IN_OBJECT:
        return o, instances.values_offset(kind)
    return e.load("ptr", o, LAYOUT.DICT_WORD, "shape"), 1


@lowering("values.valid")
def values_valid(e: Emitter, op: Op, o: str) -> str:
    at = instances.values_offset(op.imm[0]) if LAYOUT.VALUES_IN_OBJECT else 0  # type: ignore[arg-type]
    return e.let(f"trunc i8 {e.load('i8', o, at + LAYOUT.VALUES_VALID, 'shape')} to i1")


@lowering("values.alone")
def values_alone(e: Emitter, op: Op, o: str) -> str:
    if not LAYOUT.VALUES_IN_OBJECT:
        return "true"
    return e.let(f"icmp eq ptr {e.load('ptr', o, LAYOUT.DICT_WORD, 'shape')}, null")


@lowering("values.get")
def values_get(e: Emitter, op: Op, o: str) -> str:
    return e.load("ptr", *value_place(e, op, o), "attr")


@lowering("values.put")
def values_put(e: Emitter, op: Op, o: str, v: str) -> None:
    base, at = value_place(e, op, o)
    old = e.load("ptr", base, at, "attr")
    e.store("ptr", v, base, at, "attr")
    with e.when(e.let(f"icmp ne ptr {old}, null")):
        drop_text(e, old, "heap")
    with e.when(e.let(f"icmp eq ptr {old}, null"), UNLIKELY):
        add_to_order(e, op, o)


@lowering("values.put_float")
def values_put_float(e: Emitter, op: Op, o: str, v: str) -> None:
    base, at = value_place(e, op, o)
    put_number(e, op, "f", v, base, at, lambda: add_to_order(e, op, o))


@lowering("values.put_int")
def values_put_int(e: Emitter, op: Op, o: str, v: str) -> None:
    base, at = value_place(e, op, o)
    put_number(e, op, "i", v, base, at, lambda: add_to_order(e, op, o))


@lowering("slot.put_float")
def slot_put_float(e: Emitter, op: Op, o: str, v: str) -> None:
    put_number(e, op, "f", v, o, slot_place(op))


@lowering("slot.put_int")
def slot_put_int(e: Emitter, op: Op, o: str, v: str) -> None:
    put_number(e, op, "i", v, o, slot_place(op))


def put_number(
    e: Emitter, op: Op, repr_: str, v: str, base: str, at: int, added: Callable[[], None] = lambda: None
) -> None:
    """A number as an attribute: in the box that is there, or in a new one. `added` is for an attribute that there was not."""
    old = e.load("ptr", base, at, "attr")

    def put(box: str) -> None:
        e.store("ptr", box, base, at, "attr")

    def replace() -> None:
        write_box(e, repr_, v, old, op.imm[2], put)

    def add() -> None:
        put(float_box_text(e, v) if repr_ == "f" else int_box_text(e, v))
        added()

    there, missing, done = e.label(), e.label(), e.label()
    e.do(f"br i1 {e.let(f'icmp ne ptr {old}, null')}, label %{there}, label %{missing}, {LIKELY}")
    for label, work in ((there, replace), (missing, add)):
        e.start(label)
        work()
        e.do(f"br label %{done}")
    e.start(done)


def value_place(e: Emitter, op: Op, o: str) -> tuple[str, int]:
    base, at = values(e, o, op.imm[0])
    return base, at + LAYOUT.VALUES_ITEMS + 8 * int(op.imm[1])  # type: ignore[call-overload]


def slot_place(op: Op) -> int:
    return int(op.imm[1])  # type: ignore[call-overload]


def add_to_order(e: Emitter, op: Op, o: str) -> None:
    """The attribute is the instance's newest."""
    kind, place = op.imm[:2]
    base, at = values(e, o, kind)
    count = e.load("i8", base, at + LAYOUT.VALUES_COUNT, "order")
    e.store("i8", e.let(f"add i8 {count}, 1"), base, at + LAYOUT.VALUES_COUNT, "order")
    number = e.let(f"zext i8 {count} to i64")
    if LAYOUT.VALUES_IN_OBJECT:
        capacity = e.let(f"zext i8 {e.load('i8', base, at + LAYOUT.VALUES_CAPACITY, 'order')} to i64")
        behind = e.let(f"getelementptr ptr, ptr {e.at(base, at + LAYOUT.VALUES_ITEMS)}, i64 {capacity}")
        end = e.let(f"getelementptr i8, ptr {behind}, i64 {number}")
    else:
        before = e.at(base, at + LAYOUT.VALUES_COUNT - 1)
        end = e.let(f"getelementptr i8, ptr {before}, i64 {e.let(f'sub i64 0, {number}')}")
    e.store("i8", str(place), end, 0, "order")


@lowering("slot.get")
def slot_get(e: Emitter, op: Op, o: str) -> str:
    return e.load("ptr", o, slot_place(op), "attr")


@lowering("slot.put")
def slot_put(e: Emitter, op: Op, o: str, v: str) -> None:
    at = slot_place(op)
    old = e.load("ptr", o, at, "attr")
    e.store("ptr", v, o, at, "attr")
    with e.when(e.let(f"icmp ne ptr {old}, null")):
        drop_text(e, old, "heap")


@lowering("instance.bare")
def instance_bare(e: Emitter, op: Op, o: str) -> str:
    return e.let(f"icmp eq i64 {e.load('i64', o, LAYOUT.DICT_WORD, 'shape')}, 0")


@lowering("instance.dict")
def instance_dict(e: Emitter, op: Op, o: str) -> str:
    e.helpers["jc_own_dict"] = own_dict(e)
    return e.let(f"call ptr @jc_own_dict(ptr {o})")


def own_dict(e: Emitter) -> str:
    """The instance's dict, if it is an exact one with nothing but text for keys, else NULL. (Up to 3.12 an odd word is no dict.)"""
    e.object(dict)
    return f"""define internal ptr @jc_own_dict(ptr %o) nounwind noinline memory(read) {{
entry:
  %at = getelementptr i8, ptr %o, i64 {LAYOUT.DICT_WORD}
  %word = load i64, ptr %at, align 8
  %low = and i64 %word, 1
  %odd = icmp ne i64 %low, 0
  %none = icmp eq i64 %word, 0
  %skip = or i1 %odd, %none
  br i1 %skip, label %no, label %look
look:
  %dict = inttoptr i64 %word to ptr
  %typeat = getelementptr i8, ptr %dict, i64 {LAYOUT.OB_TYPE}
  %type = load ptr, ptr %typeat, align 8
  %exact = icmp eq ptr %type, {e.object(dict)}
  br i1 %exact, label %ask, label %no
ask:
  %keysat = getelementptr i8, ptr %dict, i64 {LAYOUT.DICT_KEYS}
  %keys = load ptr, ptr %keysat, align 8
  %kindat = getelementptr i8, ptr %keys, i64 {LAYOUT.KEYS_KIND}
  %kind = load i8, ptr %kindat, align 1
  %general = icmp eq i8 %kind, {LAYOUT.KEYS_GENERAL}
  br i1 %general, label %no, label %yes
yes:
  ret ptr %dict
no:
  ret ptr null
}}"""


@lowering("attr.find")
def attr_find(e: Emitter, op: Op, o: str, name: str) -> str:
    return as_object(e, looked_up(e, "jc_attribute_find", o, name))


@lowering("attr.method")
def attr_method(e: Emitter, op: Op, o: str, name: str) -> str:
    return as_object(e, looked_up(e, "jc_method_find", o, name))


@lowering("instance.new")
def instance_new(e: Emitter, op: Op) -> str:
    """By the C function behind `object.__new__`, which the class inherits."""
    new = e.function("jc_object_new", "ptr", "ptr, ptr, ptr", address=memory.read64(id(object) + LAYOUT.TYPE_NEW))
    made = e.let(f"call ptr {new}(ptr {e.object(op.imm[0])}, ptr {e.object(())}, ptr null){TAGS['alloc']}")
    with e.when(e.let(f"icmp eq ptr {made}, null"), UNLIKELY):
        e.do(f"call void {e.function('PyErr_Clear', 'void', '')}()")
    return made


@lowering("method.new")
def method_new(e: Emitter, op: Op, o: str) -> str:
    """By the C function behind `__get__`."""
    kind: Any = type(op.imm[0])
    bind = e.function(f"jc_bind_{kind.__name__}", "ptr", "ptr, ptr, ptr", address=memory.read64(id(kind) + LAYOUT.TYPE_DESCR_GET))
    owner = e.load("ptr", o, LAYOUT.OB_TYPE, "type")
    made = e.let(f"call ptr {bind}(ptr {e.object(op.imm[0])}, ptr {o}, ptr {owner}){TAGS['alloc']}")
    with e.when(e.let(f"icmp eq ptr {made}, null"), UNLIKELY):
        e.do(f"call void {e.function('PyErr_Clear', 'void', '')}()")
    return made


@lowering("method.is_of")
def method_is_of(e: Emitter, op: Op, o: str) -> str:
    wanted = e.load("ptr", e.object(op.imm[0]), LAYOUT.DESCRIPTOR_METHOD, "field")
    return e.let(f"icmp eq ptr {e.load('ptr', o, LAYOUT.CFUNCTION_METHOD, 'field')}, {wanted}")


@lowering("keys.count")
def keys_count(e: Emitter, op: Op) -> str:
    keys = e.load("ptr", e.object(op.imm[0]), LAYOUT.TYPE_CACHED_KEYS, "shape")
    return e.load("i64", keys, LAYOUT.KEYS_COUNT, "shape")
