"""Iterator objects. Making one is a call of its type or of `iter`, with the position stored into it."""

from __future__ import annotations

from ...abi import LAYOUT
from ...optimizer.ir import Op
from ...optimizer.ops.iterators import QUIET
from .lower_base import TAGS, Emitter, lowering
from .lower_call import vectorcall
from .lower_objects import count_type, drop_text, incref_text, outlives_text


def call(e: Emitter, name: str, o: str) -> str:
    return e.let(f"call ptr {e.function(name, 'ptr', 'ptr')}(ptr {o})")


@lowering("iter.quiet")
def quiet(e: Emitter, op: Op, o: str) -> str:
    info = QUIET[op.imm[0]]  # type: ignore[index]
    good = "true"
    if info.container:
        container = e.load("ptr", o, getattr(LAYOUT, info.container), "field")
        with e.when(e.let(f"icmp ne ptr {container}, null")) as there:
            kept = outlives_text(e, container, 1)
        good = there.phi("i1", kept, "true")
    if info.pair:
        pair = e.load("ptr", o, getattr(LAYOUT, info.pair), "field")
        count = e.load(count_type(), pair, LAYOUT.OB_REFCNT, "ref")
        with e.when(e.let(f"icmp eq {count_type()} {count}, 1")) as reused:
            # The pair is no tuple to the alias rules: its items change.
            items = [e.load("ptr", pair, LAYOUT.TUPLE_ITEMS + 8 * n, "field") for n in range(2)]
            both = e.let(f"and i1 {outlives_text(e, items[0], 2)}, {outlives_text(e, items[1], 2)}")
        good = e.let(f"and i1 {good}, {reused.phi('i1', both, 'true')}")
    return good


@lowering("iter.next")
def next_(e: Emitter, op: Op, o: str) -> str:
    return call(e, "PyIter_Next", o)


@lowering("iter.undo")
def undo(e: Emitter, op: Op, o: str, container: str) -> None:
    e.do(f"call void {e.function('PyErr_Clear', 'void', '')}()")
    if container == "null":
        return
    with e.when(e.let(f"icmp ne ptr {container}, null")):
        held = e.load("ptr", o, LAYOUT.DICTITER_DICT, "field")
        with e.when(e.let(f"icmp eq ptr {held}, null")):
            incref_text(e, container)
            e.store("ptr", container, o, LAYOUT.DICTITER_DICT, "field")


@lowering("iter.new_range")
def new_range(e: Emitter, op: Op, start: str, length: str, step: str) -> str:
    made = call(e, "PyObject_GetIter", e.object(EMPTY))
    e.store("i64", start, made, LAYOUT.RANGEITER_START, "field")
    e.store("i64", length, made, LAYOUT.RANGEITER_LEN, "field")
    e.store("i64", step, made, LAYOUT.RANGEITER_STEP, "field")
    return made


EMPTY = range(0)


@lowering("iter.new_sequence")
def new_sequence(e: Emitter, op: Op, o: str, index: str) -> str:
    return positioned(e, call(e, "PyObject_GetIter", o), o, index)


@lowering("iter.new_reversed")
def new_reversed(e: Emitter, op: Op, o: str, index: str) -> str:
    return positioned(e, vectorcall(e, e.object(reversed), [o]), o, index)


def positioned(e: Emitter, made: str, o: str, index: str) -> str:
    e.store("i64", index, made, LAYOUT.LISTITER_INDEX, "field")
    drop_text(e, o, "ref")
    return made


@lowering("iter.new_enumerate")
def new_enumerate(e: Emitter, op: Op, o: str, count: str) -> str:
    box = e.let(f"call ptr {e.function('PyLong_FromLongLong', 'ptr', 'i64')}(i64 {count}){TAGS['alloc']}")
    made = vectorcall(e, e.object(enumerate), [o, box])
    drop_text(e, box, "heap")
    drop_text(e, o, "ref")
    return made


@lowering("iter.new_zip")
def new_zip(e: Emitter, op: Op, *parts: str) -> str:
    made = vectorcall(e, e.object(zip), list(parts))
    for part in parts:
        drop_text(e, part, "ref")
    return made
