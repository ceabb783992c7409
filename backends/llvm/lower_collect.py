"""Collected items: stored inline while there is room, made into objects by a routine of the runtime (`runtime_collect`)."""

from __future__ import annotations

from ...optimizer.ir import Op
from ...optimizer.ops.collect import FLOAT, INT, ITEM_BYTES, OBJECT
from .lower_base import LIKELY, Emitter, lowering
from .lower_call import forget_error


@lowering("collect.object")
def put_object(e: Emitter, op: Op, i: str, o: str) -> str:
    return put(e, i, OBJECT, "ptr", o)


@lowering("collect.int")
def put_int(e: Emitter, op: Op, i: str, n: str) -> str:
    return put(e, i, INT, "i64", n)


@lowering("collect.float")
def put_float(e: Emitter, op: Op, i: str, x: str) -> str:
    return put(e, i, FLOAT, "double", x)


def put(e: Emitter, i: str, what: int, type_: str, value: str) -> str:
    """Where there is no memory the item is not stored, and `collected_list` does not find it."""
    store, more, done = e.label(), e.label(), e.label()
    e.do(f"br i1 {is_room(e, i)}, label %{store}, label %{more}, {LIKELY}")
    e.start(more)
    e.do(f"call void {e.routine('jc_make_room', 'void', 'i64')}(i64 {i})")
    e.do(f"br i1 {is_room(e, i)}, label %{store}, label %{done}, {LIKELY}")
    e.start(store)
    items = e.load("ptr", e.data("collected", 0), 0, "cell")
    item = e.let(f"getelementptr {{i64, i64}}, ptr {items}, i64 {i}")
    e.store("i64", str(what), item, 0, "buf")
    e.store(type_, value, item, ITEM_BYTES // 2, "buf")
    e.do(f"br label %{done}")
    e.start(done)
    return e.let(f"add i64 {i}, 1")


def is_room(e: Emitter, i: str) -> str:
    return e.let(f"icmp slt i64 {i}, {e.load('i64', e.data('collected_room', 0), 0, 'cell')}")


@lowering("collect.list")
def collected_list(e: Emitter, op: Op, count: str) -> str:
    return made(e, "jc_collected_list", count)


@lowering("collect.sorted")
def collected_sorted(e: Emitter, op: Op, count: str) -> str:
    return made(e, "jc_collected_sorted", count)


@lowering("collect.tuple")
def collected_tuple(e: Emitter, op: Op, count: str) -> str:
    return made(e, "jc_collected_tuple", count)


@lowering("collect.call")
def collected_call(e: Emitter, op: Op, count: str, function: str) -> str:
    return made(e, "jc_collected_call", count, function)


@lowering("collect.join")
def collected_text(e: Emitter, op: Op, count: str, separator: str) -> str:
    return made(e, "jc_collected_text", count, separator)


def made(e: Emitter, routine: str, count: str, *others: str) -> str:
    """What a routine makes of the items, with other objects."""
    function = e.routine(routine, "ptr", ", ".join(["i64", *["ptr"] * len(others)]))
    result = e.let(f"call ptr {function}({', '.join([f'i64 {count}', *(f'ptr {other}' for other in others)])})")
    forget_error(e, e.let(f"icmp eq ptr {result}, null"))
    return result
