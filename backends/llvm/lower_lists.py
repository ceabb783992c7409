"""Lists and tuples. The common case of each operation is inline; what reallocates goes through the C API in
a helper, so that growing and shrinking follow CPython's own policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...abi import LAYOUT
from ...optimizer.ir import Op
from ...optimizer.ops.lists import ATOMS
from ...optimizer.ops.objects import DEPTH
from .lower_base import LIKELY, TAGS, UNLIKELY, Emitter, lowering
from .lower_objects import drop_text, float_box_text, incref_text, int_box_text, not_cached, type_equals, unshared_text


@lowering("list.len")
def list_len(e: Emitter, op: Op, o: str) -> str:
    return e.load("i64", o, LAYOUT.OB_SIZE, "size")


def item(e: Emitter, o: str, i: str) -> str:
    """The address of item i."""
    items = e.load("ptr", o, LAYOUT.LIST_ITEMS, "items")
    return e.let(f"getelementptr ptr, ptr {items}, i64 {i}")


@lowering("list.get")
def list_get(e: Emitter, op: Op, o: str, i: str) -> str:
    return e.load("ptr", item(e, o, i), 0, "item")


@lowering("list.set")
def list_set(e: Emitter, op: Op, o: str, i: str, v: str) -> str:
    address = item(e, o, i)
    old = e.load("ptr", address, 0, "item")
    e.store("ptr", v, address, 0, "item")
    return old


@lowering("list.set_float")
def list_set_float(e: Emitter, op: Op, o: str, i: str, v: str) -> None:
    address = item(e, o, i)
    old = e.load("ptr", address, 0, "item")
    write_box(e, "f", v, old, op.imm[0], lambda made: e.store("ptr", made, address, 0, "item"))


@lowering("list.set_int")
def list_set_int(e: Emitter, op: Op, o: str, i: str, v: str) -> None:
    address = item(e, o, i)
    old = e.load("ptr", address, 0, "item")
    write_box(e, "i", v, old, op.imm[0], lambda made: e.store("ptr", made, address, 0, "item"))


def write_box(e: Emitter, repr_: str, v: str, old: str, kind: object, put: Callable[[str], None]) -> None:
    """Write a number into the old box where that can be done, else `put` a new one in its place. What is freed there may be
    anything, unless its type is known: a number's memory is its own."""
    yes, no, done = e.label(), e.label(), e.label()
    in_place = (float_in_place if repr_ == "f" else int_in_place)(e, v, old, yes, no)
    e.start(no)
    put(float_box_text(e, v) if repr_ == "f" else int_box_text(e, v))
    drop_text(e, old, {float: "float", int: "int"}.get(kind, "heap"))  # type: ignore[call-overload]
    e.do(f"br label %{done}")
    e.start(yes)
    in_place()
    e.do(f"br label %{done}")
    e.start(done)


def float_in_place(e: Emitter, v: str, old: str, yes: str, no: str) -> Callable[[], None]:
    """Jump to `yes` where the box `old` may be written to, and return what writes it there."""
    fits = e.let(f"and i1 {type_equals(e, old, e.object(float))}, {unshared_text(e, old)}")
    e.do(f"br i1 {fits}, label %{yes}, label %{no}, {LIKELY}")
    return lambda: e.store("double", v, old, LAYOUT.FLOAT_VALUE, "float")


def int_in_place(e: Emitter, v: str, old: str, yes: str, no: str) -> Callable[[], None]:
    """In place where old and new value have one digit and neither is one of the ints that exist only once (the cached ones
    have a bit of their own in the tag, or are immortal)."""
    plain = e.let(f"and i1 {type_equals(e, old, e.object(int))}, {unshared_text(e, old)}")
    size = e.let(f"call i64 {e.intrinsic('llvm.abs.i64', 'i64 (i64, i1)')}(i64 {v}, i1 false)")
    digit = e.let(f"icmp ult i64 {size}, {1 << LAYOUT.INT_DIGIT_BITS}")
    free = e.let(f"and i1 {digit}, {not_cached(e, v)}")
    tag = e.let(f"and i64 {e.load('i64', old, LAYOUT.INT_TAG, 'int')}, -3")
    fits = e.let(f"and i1 {e.let(f'icmp eq i64 {tag}, 8')}, {e.let(f'and i1 {plain}, {free}')}")
    e.do(f"br i1 {fits}, label %{yes}, label %{no}, {LIKELY}")

    def write() -> None:
        sign = e.let(f"and i64 {e.let(f'ashr i64 {v}, 62')}, 2")
        e.store("i64", e.let(f"or i64 {sign}, 8"), old, LAYOUT.INT_TAG, "int")
        e.store("i32", e.let(f"trunc i64 {size} to i32"), old, LAYOUT.INT_DIGITS, "int")

    return write


@lowering("list.append")
def list_append(e: Emitter, op: Op, o: str, v: str) -> None:
    helper(e, "jc_append", "void", "ptr %list, ptr %item", append_slow)
    size = e.load("i64", o, LAYOUT.OB_SIZE, "size")
    room = e.let(f"icmp slt i64 {size}, {e.load('i64', o, LAYOUT.LIST_ALLOCATED, 'allocated')}")
    fast, slow, done = e.label(), e.label(), e.label()
    e.do(f"br i1 {room}, label %{fast}, label %{slow}, {LIKELY}")
    e.start(slow)
    e.do(f"call void @jc_append(ptr {o}, ptr {v}){TAGS['counted']}")
    e.do(f"br label %{done}")
    e.start(fast)
    e.store("ptr", v, item(e, o, size), 0, "item")
    e.store("i64", e.let(f"add i64 {size}, 1"), o, LAYOUT.OB_SIZE, "size")
    e.do(f"br label %{done}")
    e.start(done)


def append_slow(e: Emitter) -> str:
    e.do(f"call i32 {e.function('PyList_Append', 'i32', 'ptr, ptr')}(ptr %list, ptr %item)")
    drop_text(e, "%item", None)
    return "void"


@lowering("list.pop_last")
def list_pop_last(e: Emitter, op: Op, o: str) -> str:
    """CPython keeps the allocation while it is at least half full."""
    helper(e, "jc_shrink", "void", "ptr %list, ptr %item, i64 %left", shrink_slow)
    left = e.let(f"sub i64 {e.load('i64', o, LAYOUT.OB_SIZE, 'size')}, 1")
    last = e.load("ptr", item(e, o, left), 0, "item")
    half = e.let(f"ashr i64 {e.load('i64', o, LAYOUT.LIST_ALLOCATED, 'allocated')}, 1")
    fast, slow, done = e.label(), e.label(), e.label()
    e.do(f"br i1 {e.let(f'icmp slt i64 {left}, {half}')}, label %{slow}, label %{fast}, {UNLIKELY}")
    e.start(slow)
    e.do(f"call void @jc_shrink(ptr {o}, ptr {last}, i64 {left}){TAGS['counted']}")
    e.do(f"br label %{done}")
    e.start(fast)
    e.store("i64", left, o, LAYOUT.OB_SIZE, "size")
    e.do(f"br label %{done}")
    e.start(done)
    return last


def shrink_slow(e: Emitter) -> str:
    incref_text(e, "%item")
    end = e.let("add i64 %left, 1")
    function = e.function("PyList_SetSlice", "i32", "ptr, i64, i64, ptr")
    e.do(f"call i32 {function}(ptr %list, i64 %left, i64 {end}, ptr null)")
    return "void"


@lowering("list.pop_at")
def list_pop_at(e: Emitter, op: Op, o: str, i: str) -> str:
    helper(e, "jc_shrink", "void", "ptr %list, ptr %item, i64 %left", shrink_slow)
    taken = e.load("ptr", item(e, o, i), 0, "item")
    e.do(f"call void @jc_shrink(ptr {o}, ptr {taken}, i64 {i}){TAGS['counted']}")
    return taken


@lowering("list.insert")
def list_insert(e: Emitter, op: Op, o: str, i: str, v: str) -> str:
    function = e.function("PyList_Insert", "i32", "ptr, i64, ptr")
    status = e.let(f"call i32 {function}(ptr {o}, i64 {i}, ptr {v}){TAGS['counted']}")
    return e.let(f"sext i32 {status} to i64")


@lowering("list.extend")
def list_extend(e: Emitter, op: Op, o: str, other: str) -> str:
    """As a slice put behind the last item."""
    end = e.load("i64", o, LAYOUT.OB_SIZE, "size")
    function = e.function("PyList_SetSlice", "i32", "ptr, i64, i64, ptr")
    return e.let(f"sext i32 {e.let(f'call i32 {function}(ptr {o}, i64 {end}, i64 {end}, ptr {other})')} to i64")


@lowering("list.reverse")
def list_reverse(e: Emitter, op: Op, o: str) -> None:
    e.do(f"call i32 {e.function('PyList_Reverse', 'i32', 'ptr')}(ptr {o}){TAGS['list']}")


@lowering("list.atoms")
def list_atoms(e: Emitter, op: Op, o: str) -> str:
    return all_atoms(e, *list_items(e, o))


@lowering("tuple.atoms")
def tuple_atoms(e: Emitter, op: Op, o: str) -> str:
    return all_atoms(e, *tuple_items(e, o))


def list_items(e: Emitter, o: str) -> tuple[str, str]:
    """Where a list's items are, and how many."""
    return e.load("ptr", o, LAYOUT.LIST_ITEMS, "items"), e.load("i64", o, LAYOUT.OB_SIZE, "size")


def tuple_items(e: Emitter, o: str) -> tuple[str, str]:
    """The same of a tuple."""
    return e.at(o, LAYOUT.TUPLE_ITEMS), e.load("i64", o, LAYOUT.OB_SIZE, "tuple")


def all_atoms(e: Emitter, items: str, count: str) -> str:
    """Whether all items are of the types ATOMS: a loop of its own, compared with one type after the other."""
    types = " ".join(f"%k{n} = icmp eq ptr %type, {e.object(one)}\n" for n, one in enumerate(ATOMS))
    anyone = "\n".join(f"  %a{n} = or i1 %{f'a{n - 1}' if n > 1 else 'k0'}, %k{n}" for n in range(1, len(ATOMS)))
    e.helpers["jc_atoms"] = f"""define internal i1 @jc_atoms(ptr %items, i64 %count) nounwind noinline memory(read) {{
entry:
  br label %head
head:
  %n = phi i64 [ 0, %entry ], [ %next, %more ]
  %end = icmp sge i64 %n, %count
  br i1 %end, label %yes, label %look
look:
  %at = getelementptr ptr, ptr %items, i64 %n
  %item = load ptr, ptr %at, align 8
  %typeat = getelementptr i8, ptr %item, i64 {LAYOUT.OB_TYPE}
  %type = load ptr, ptr %typeat, align 8
  {types}{anyone}
  br i1 %a{len(ATOMS) - 1}, label %more, label %no
more:
  %next = add i64 %n, 1
  br label %head
yes:
  ret i1 true
no:
  ret i1 false
}}"""
    return e.let(f"call i1 @jc_atoms(ptr {items}, i64 {count})")


@lowering("seq.slice")
def seq_slice(e: Emitter, op: Op, o: str, start: str, stop: str) -> str:
    function = e.function("PySequence_GetSlice", "ptr", "ptr, i64, i64")
    return cleared(e, e.let(f"call ptr {function}(ptr {o}, i64 {start}, i64 {stop})"))


@lowering("list.slice")
def list_slice(e: Emitter, op: Op, o: str, start: str, stop: str) -> str:
    function = e.function("PyList_GetSlice", "ptr", "ptr, i64, i64")
    return cleared(e, e.let(f"call ptr {function}(ptr {o}, i64 {start}, i64 {stop}){TAGS['alloc']}"))


def cleared(e: Emitter, made: str) -> str:
    """What was made, without the exception where it was not."""
    with e.when(e.let(f"icmp eq ptr {made}, null"), UNLIKELY):
        e.do(f"call void {e.function('PyErr_Clear', 'void', '')}()")
    return made


@lowering("list.take")
def list_take(e: Emitter, op: Op, o: str, start: str, count: str) -> str:
    helper(e, "jc_take", "ptr", "ptr %list, i64 %start, i64 %count, i64 %step", take)
    return cleared(e, e.let(f"call ptr @jc_take(ptr {o}, i64 {start}, i64 {count}, i64 {op.imm[0]}){TAGS['alloc']}"))


def take(e: Emitter) -> str:
    made = e.let(f"call ptr {e.function('PyList_New', 'ptr', 'i64')}(i64 %count)")
    some = e.let(f"and i1 {e.let(f'icmp ne ptr {made}, null')}, {e.let('icmp sgt i64 %count, 0')}")
    with e.when(some):
        source, target = e.load("ptr", "%list", LAYOUT.LIST_ITEMS, "items"), e.load("ptr", made, LAYOUT.LIST_ITEMS, "items")
        before, loop, done = e.current, e.label(), e.label()
        e.do(f"br label %{loop}")
        e.start(loop)
        first = len(e.lines)
        n, at = e.fresh(), e.fresh()
        one = e.load("ptr", e.let(f"getelementptr ptr, ptr {source}, i64 {at}"), 0, "item")
        incref_text(e, one)
        e.store("ptr", one, e.let(f"getelementptr ptr, ptr {target}, i64 {n}"), 0, "item")
        following, next_at = e.let(f"add i64 {n}, 1"), e.let(f"add i64 {at}, %step")
        e.lines[first:first] = [
            f"  {n} = phi i64 [ 0, %{before} ], [ {following}, %{e.current} ]",
            f"  {at} = phi i64 [ %start, %{before} ], [ {next_at}, %{e.current} ]",
        ]
        e.do(f"br i1 {e.let(f'icmp slt i64 {following}, %count')}, label %{loop}, label %{done}")
        e.start(done)
    return f"ptr {made}"


@lowering("list.has_int", "tuple.has_int")
def has_int(e: Emitter, op: Op, o: str, n: str) -> str:
    return among(e, op, o, f"i64 {n}", "jc_has_int", "i64")


@lowering("list.has_text", "tuple.has_text")
def has_text(e: Emitter, op: Op, o: str, text: str) -> str:
    return among(e, op, o, f"ptr {text}", "jc_has_text", "ptr")


def among(e: Emitter, op: Op, o: str, wanted: str, routine: str, kind: str) -> str:
    """Ask a routine that goes through the items."""
    items, size = (list_items if op.name.startswith("list.") else tuple_items)(e, o)
    return e.let(f"call i64 {e.routine(routine, 'i64', f'ptr, i64, {kind}')}(ptr {items}, i64 {size}, {wanted})")


@lowering("list.part_is_safe")
def list_part_is_safe(e: Emitter, op: Op, o: str, start: str, stop: str) -> str:
    routine = e.routine("jc_part_harmless", "i64", "ptr, i64, i64, i64")
    answer = e.let(f"call i64 {routine}(ptr {o}, i64 {start}, i64 {stop}, i64 {DEPTH})")
    return e.let(f"icmp ne i64 {answer}, 0")


@lowering("list.set_part")
def list_set_part(e: Emitter, op: Op, o: str, start: str, stop: str, other: str) -> str:
    return e.let(f"call i64 {e.routine('jc_set_part', 'i64', 'ptr, i64, i64, ptr')}(ptr {o}, i64 {start}, i64 {stop}, ptr {other})")


def helper(e: Emitter, name: str, result: str, params: str, write: object) -> None:
    """A cold function of the module, written once with the same emitter."""
    if name in e.helpers:
        return
    lines, current, e.lines = e.lines, e.current, []
    e.start("entry")
    e.do(f"ret {write(e)}")  # type: ignore[operator]
    body = "\n".join(e.lines)
    e.helpers[name] = f"define internal {result} @{name}({params}) nounwind noinline cold {{\n{body}\n}}"
    e.lines, e.current = lines, current


@lowering("list.new")
def list_new(e: Emitter, op: Op, *values: str) -> str:
    made = e.let(f"call ptr {e.function('PyList_New', 'ptr', 'i64')}(i64 {len(values)}){TAGS['alloc']}")
    if values:
        items = e.load("ptr", made, LAYOUT.LIST_ITEMS, "items")
        for n, v in enumerate(values):
            e.store("ptr", v, items, 8 * n, "item")
    return made


@lowering("tuple.len")
def tuple_len(e: Emitter, op: Op, o: str) -> str:
    return e.load("i64", o, LAYOUT.OB_SIZE, "tuple")


@lowering("tuple.get")
def tuple_get(e: Emitter, op: Op, o: str, i: str) -> str:
    address = e.let(f"getelementptr ptr, ptr {e.at(o, LAYOUT.TUPLE_ITEMS)}, i64 {i}")
    return e.load("ptr", address, 0, "tuple")


@lowering("tuple.new")
def tuple_new(e: Emitter, op: Op, *values: str) -> str:
    return tuple_text(e, values)


def tuple_text(e: Emitter, values: Sequence[str]) -> str:
    """A new tuple of these, whose references it takes over."""
    made = e.let(f"call ptr {e.function('PyTuple_New', 'ptr', 'i64')}(i64 {len(values)}){TAGS['alloc']}")
    for n, v in enumerate(values):
        e.store("ptr", v, made, LAYOUT.TUPLE_ITEMS + 8 * n, "tuple")
    return made
