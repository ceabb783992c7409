"""Objects: types, boxes, reference counts, single fields.

Reference counts are changed in place. The immortal test looks at the low 32 bits on every version; what is
incremented is 64 bits wide up to 3.13 and 32 bits after that (the upper half then holds flags). Builds that
count all references get calls instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from ...abi import LAYOUT, memory
from ...optimizer.ir import Op
from ...optimizer.ops.objects import DEPTH
from .lower_base import NONNULL, TAGS, UNLIKELY, Emitter, constant, lowering, templates

COUNTS_ALL_REFERENCES = hasattr(sys, "gettotalrefcount")

templates(
    {
        "obj.is_null": "icmp eq ptr {0}, null",
        "obj.is": "icmp eq ptr {0}, {1}",
        "obj.id": "ptrtoint ptr {0} to i64",
        "obj.select": "select i1 {0}, ptr {1}, ptr {2}",
    }
)


@lowering("const.o")
def const_o(e: Emitter, op: Op) -> str:
    return e.object(op.imm[0])


@lowering("obj.null")
def null(e: Emitter, op: Op) -> str:
    return "null"


def count_type() -> str:
    return f"i{LAYOUT.REFCNT_BITS}"


def type_equals(e: Emitter, o: str, expected: str) -> str:
    return e.let(f"icmp eq ptr {e.load('ptr', o, LAYOUT.OB_TYPE, 'type')}, {expected}")


def exact_type(e: Emitter, op: Op, o: str, expected: type) -> None:
    """Leave unless o is not NULL and exactly of the type."""
    not_null(e, op, o)
    e.guard(type_equals(e, o, e.object(expected)), op.state)


def not_null(e: Emitter, op: Op, o: str) -> None:
    producer = getattr(op.args[0].producer, "name", "")
    if producer not in NONNULL:
        e.leave_if(e.let(f"icmp eq ptr {o}, null"), op.state)


@lowering("obj.type_is")
def type_is(e: Emitter, op: Op, o: str) -> str:
    return type_equals(e, o, e.object(op.imm[0]))


@lowering("type.is_below")
def is_below(e: Emitter, op: Op, kind: str, other: str) -> str:
    below = e.let(f"call i32 {e.function('PyType_IsSubtype', 'i32', 'ptr, ptr')}(ptr {kind}, ptr {other}) memory(read)")
    return e.let(f"icmp ne i32 {below}, 0")


@lowering("type.find")
def type_find(e: Emitter, op: Op, kind: str, name: str) -> str:
    found = e.let(f"call i64 {e.routine('jc_type_find', 'i64', 'ptr, ptr')}(ptr {kind}, ptr {name})")
    return e.let(f"inttoptr i64 {found} to ptr")


@lowering("obj.unbox_int")
def unbox_int(e: Emitter, op: Op, o: str) -> str:
    return int_text(e, op, o, exact_type)


@lowering("obj.int_value")
def int_value(e: Emitter, op: Op, o: str) -> str:
    return int_text(e, op, o, None)


def int_text(e: Emitter, op: Op, o: str, check: Callable[[Emitter, Op, str, type], None] | None) -> str:
    """Ints that exist once lie side by side: the address says which one it is. Else, after the check: one digit inline (sign
    in the tag: 0 positive, 1 zero, 2 negative), more in a helper."""
    zero, step = f"ptrtoint (ptr {e.object(0)} to i64)", LAYOUT.SMALL_INT_BYTES
    away = e.let(f"sub i64 {e.let(f'ptrtoint ptr {o} to i64')}, {zero}")
    cached = e.let(f"ashr i64 {away}, {step.bit_length() - 1}")
    with e.when(not_cached(e, cached)) as arm:
        if check is not None:
            check(e, op, o, int)
        other = digits_text(e, op, o)
    return arm.phi("i64", other, cached)


def digits_text(e: Emitter, op: Op, o: str) -> str:
    e.helpers["jc_wide_int"] = wide_int()
    tag = e.load("i64", o, LAYOUT.INT_TAG, "int")
    sign = e.let(f"sub i64 1, {e.let(f'and i64 {tag}, 3')}")
    digit = e.let(f"zext i32 {e.load('i32', o, LAYOUT.INT_DIGITS, 'int')} to i64")
    compact = e.let(f"mul i64 {digit}, {sign}")
    with e.when(e.let(f"icmp ugt i64 {tag}, 15"), UNLIKELY) as arm:
        pair = e.let(f"call {{ i64, i1 }} @jc_wide_int(ptr {o}, i64 {tag})")
        e.guard(e.let(f"extractvalue {{ i64, i1 }} {pair}, 1"), op.state)
        wide = e.let(f"extractvalue {{ i64, i1 }} {pair}, 0")
    return arm.phi("i64", wide, compact)


def wide_int() -> str:
    """Ints of two or three 30-bit digits: (value, whether it fits)."""
    d, tag = LAYOUT.INT_DIGITS, TAGS["int"]
    head = "define internal { i64, i1 } @jc_wide_int(ptr %o, i64 %tag) nounwind noinline cold memory(read)"
    return f"""{head} {{
entry:
  %n = lshr i64 %tag, 3
  %p0 = getelementptr i8, ptr %o, i64 {d}
  %p1 = getelementptr i8, ptr %o, i64 {d + 4}
  %i0 = load i32, ptr %p0, align 4{tag}
  %i1 = load i32, ptr %p1, align 4{tag}
  %d0 = zext i32 %i0 to i64
  %d1 = zext i32 %i1 to i64
  %h1 = shl i64 %d1, 30
  %low = or i64 %d0, %h1
  switch i64 %n, label %fail [ i64 2, label %join
                               i64 3, label %three ]
three:
  %p2 = getelementptr i8, ptr %o, i64 {d + 8}
  %i2 = load i32, ptr %p2, align 4{tag}
  %d2 = zext i32 %i2 to i64
  %some = icmp ult i64 %d2, 16
  %h2 = shl i64 %d2, 60
  %all = or i64 %low, %h2
  br i1 %some, label %join, label %fail
join:
  %size = phi i64 [ %low, %entry ], [ %all, %three ]
  %s = and i64 %tag, 3
  %neg = icmp eq i64 %s, 2
  %minus = sub i64 0, %size
  %value = select i1 %neg, i64 %minus, i64 %size
  %most = select i1 %neg, i64 {-(1 << 63)}, i64 {(1 << 63) - 1}
  %fits = icmp ule i64 %size, %most
  %r0 = insertvalue {{ i64, i1 }} undef, i64 %value, 0
  %r1 = insertvalue {{ i64, i1 }} %r0, i1 %fits, 1
  ret {{ i64, i1 }} %r1
fail:
  ret {{ i64, i1 }} zeroinitializer
}}"""


@lowering("obj.unbox_float")
def unbox_float(e: Emitter, op: Op, o: str) -> str:
    exact_type(e, op, o, float)
    return e.load("double", o, LAYOUT.FLOAT_VALUE, "float")


@lowering("obj.unbox_number")
def unbox_number(e: Emitter, op: Op, o: str) -> str:
    not_null(e, op, o)
    is_float = type_equals(e, o, e.object(float))
    # What is no float may be smaller than one: another is read in its place.
    floating = e.load("double", e.let(f"select i1 {is_float}, ptr {o}, ptr {e.object(0.0)}"), LAYOUT.FLOAT_VALUE, "float")
    with e.when(e.let(f"xor i1 {is_float}, true")) as arm:
        number = int_text(e, op, o, exact_type)
        e.guard(e.let(f"icmp ule i64 {e.let(f'add i64 {number}, {1 << 53}')}, {1 << 54}"), op.state)
        exact = e.let(f"sitofp i64 {number} to double")
    return arm.phi("double", exact, floating)


@lowering("obj.float_value")
def float_value(e: Emitter, op: Op, o: str) -> str:
    return e.load("double", o, LAYOUT.FLOAT_VALUE, "float")


@lowering("obj.unbox_bool")
def unbox_bool(e: Emitter, op: Op, o: str) -> str:
    yes = e.let(f"icmp eq ptr {o}, {e.object(True)}")
    no = e.let(f"icmp eq ptr {o}, {e.object(False)}")
    e.guard(e.let(f"or i1 {yes}, {no}"), op.state)
    return yes


@lowering("obj.box_int")
def box_int(e: Emitter, op: Op, a: str) -> str:
    return int_box_text(e, a)


def int_box_text(e: Emitter, a: str) -> str:
    """A reference to the int. Ints that exist once lie side by side."""
    zero = e.object(0)
    small = e.let(f"getelementptr i8, ptr {zero}, i64 {e.let(f'mul i64 {a}, {LAYOUT.SMALL_INT_BYTES}')}")
    with e.when(not_cached(e, a)) as arm:
        made = e.let(f"call ptr {e.function('PyLong_FromLongLong', 'ptr', 'i64')}(i64 {a}){TAGS['alloc']}")
    return arm.phi("ptr", made, small)


def not_cached(e: Emitter, a: str) -> str:
    """Whether ints of this value may exist more than once."""
    lowest, count = LAYOUT.SMALL_INT_MIN, LAYOUT.SMALL_INT_MAX - LAYOUT.SMALL_INT_MIN + 1
    return e.let(f"icmp uge i64 {e.let(f'sub i64 {a}, {lowest}')}, {count}")


@lowering("obj.box_float")
def box_float(e: Emitter, op: Op, a: str) -> str:
    return float_box_text(e, a)


def float_box_text(e: Emitter, a: str) -> str:
    """A reference to a new float."""
    return e.let(f"call ptr {e.function('PyFloat_FromDouble', 'ptr', 'double')}(double {a}){TAGS['alloc']}")


@lowering("obj.box_bool")
def box_bool(e: Emitter, op: Op, a: str) -> str:
    return bool_box_text(e, a)


def bool_box_text(e: Emitter, a: str) -> str:
    return e.let(f"select i1 {a}, ptr {e.object(True)}, ptr {e.object(False)}")


@lowering("obj.box_int_if", "obj.box_float_if", "obj.box_bool_if")
def box_if(e: Emitter, op: Op, a: str, c: str) -> str:
    box = {"i": int_box_text, "f": float_box_text, "b": bool_box_text}[op.args[0].repr]
    with e.when(c) as arm:
        made = box(e, a)
    return arm.phi("ptr", made, "null")


@lowering("range.new")
def range_new(e: Emitter, op: Op, start: str, stop: str, step: str) -> str:
    e.function("PyLong_FromLongLong", "ptr", "i64")
    e.function("PyObject_Vectorcall", "ptr", "ptr, ptr, i64, ptr")
    e.function("Py_DecRef", "void", "ptr")
    e.helpers["jc_range"] = RANGE.format(range=e.object(range))
    return e.let(f"call ptr @jc_range(i64 {start}, i64 {stop}, i64 {step}){TAGS['alloc']}")


RANGE = """define internal ptr @jc_range(i64 %start, i64 %stop, i64 %step) nounwind noinline cold {{
  %args = alloca [3 x ptr], align 8
  %a1 = getelementptr ptr, ptr %args, i64 1
  %a2 = getelementptr ptr, ptr %args, i64 2
  %o0 = call ptr @PyLong_FromLongLong(i64 %start)
  %o1 = call ptr @PyLong_FromLongLong(i64 %stop)
  %o2 = call ptr @PyLong_FromLongLong(i64 %step)
  store ptr %o0, ptr %args, align 8
  store ptr %o1, ptr %a1, align 8
  store ptr %o2, ptr %a2, align 8
  %made = call ptr @PyObject_Vectorcall(ptr {range}, ptr %args, i64 3, ptr null)
  call void @Py_DecRef(ptr %o0)
  call void @Py_DecRef(ptr %o1)
  call void @Py_DecRef(ptr %o2)
  ret ptr %made
}}"""


def incref_text(e: Emitter, o: str) -> None:
    """Another reference to o, which is not NULL."""
    if COUNTS_ALL_REFERENCES:
        e.do(f"call void {e.function('Py_IncRef', 'void', 'ptr')}(ptr {o}){TAGS['ref']}")
        return
    count, mortal = mortality(e, o)
    with e.when(mortal):
        e.store(count_type(), e.let(f"add {count_type()} {count}, 1"), o, LAYOUT.OB_REFCNT, "ref")


def mortality(e: Emitter, o: str) -> tuple[str, str]:
    """The reference count and whether it counts."""
    count = e.load(count_type(), o, LAYOUT.OB_REFCNT, "ref")
    low = e.let(f"trunc i64 {count} to i32") if LAYOUT.REFCNT_BITS == 64 else count
    return count, e.let(f"icmp sgt i32 {low}, -1")


def drop_text(e: Emitter, o: str, domain: str | None) -> None:
    """One reference to o (not NULL) less. `domain` is what deallocation may write, None for everything."""
    tag = TAGS[domain] if domain else ""
    if COUNTS_ALL_REFERENCES:
        e.do(f"call void {e.function('Py_DecRef', 'void', 'ptr')}(ptr {o}){tag}")
        return
    count, mortal = mortality(e, o)
    with e.when(mortal):
        left = e.let(f"sub {count_type()} {count}, 1")
        e.store(count_type(), left, o, LAYOUT.OB_REFCNT, "ref")
        with e.when(e.let(f"icmp eq {count_type()} {left}, 0")):
            e.do(f"call void {e.function('_Py_Dealloc', 'void', 'ptr')}(ptr {o}){tag}")


@lowering("obj.incref")
def incref(e: Emitter, op: Op, o: str) -> None:
    if not immortal(op):
        incref_text(e, o)


@lowering("obj.drop")
def drop(e: Emitter, op: Op, o: str) -> None:
    if not immortal(op):
        drop_text(e, o, "heap")


def immortal(op: Op) -> bool:
    """Whether the operand is a constant whose references nobody counts. It stays that for life."""
    made = constant(op.args[0])
    return made is not None and memory.is_immortal(id(made.imm[0]))


@lowering("obj.shared")
def shared(e: Emitter, op: Op, o: str) -> str:
    return shared_text(e, o)


def unshared_text(e: Emitter, o: str) -> str:
    """Whether o (not NULL) has one reference."""
    return e.let(f"icmp eq {count_type()} {e.load(count_type(), o, LAYOUT.OB_REFCNT, 'ref')}, 1")


def shared_text(e: Emitter, o: str) -> str:
    """Whether o (not NULL) has more than one reference; immortal objects have."""
    return e.let(f"icmp ne {count_type()} {e.load(count_type(), o, LAYOUT.OB_REFCNT, 'ref')}, 1")


@lowering("obj.drop_is_safe")
def drop_is_safe(e: Emitter, op: Op, o: str) -> str:
    if getattr(op.args[0].producer, "name", "") in NONNULL:
        return outlives_text(e, o, 1)
    with e.when(e.let(f"icmp ne ptr {o}, null")) as arm:
        safe = outlives_text(e, o, 1)
    return arm.phi("i1", safe, "true")


@lowering("obj.outlives")
def outlives(e: Emitter, op: Op, o: str) -> str:
    return outlives_text(e, o, int(op.imm[0]))  # type: ignore[call-overload]


@lowering("obj.ends_safely")
def ends_safely(e: Emitter, op: Op, o: str) -> str:
    return outlives_text(e, o, 1, "jc_harmless_now")


def outlives_text(e: Emitter, o: str, drops: int, routine: str = "jc_harmless") -> str:
    """Whether o (not NULL) survives that many drops or is harmless. Counts of immortal objects are large, read unsigned."""
    few = e.let(f"icmp ule {count_type()} {e.load(count_type(), o, LAYOUT.OB_REFCNT, 'ref')}, {drops}")
    with e.when(few, UNLIKELY) as last:
        answer = e.let(f"call i64 {e.routine(routine, 'i64', 'ptr, i64')}(ptr {o}, i64 {DEPTH}){TAGS['alloc']}")
        harmless = e.let(f"icmp ne i64 {answer}, 0")
    return last.phi("i1", harmless, "true")


@lowering("field.i")
def field_i(e: Emitter, op: Op, o: str) -> str:
    return e.load("i64", o, getattr(LAYOUT, str(op.imm[0])), "field")


@lowering("field.o")
def field_o(e: Emitter, op: Op, o: str) -> str:
    return e.load("ptr", o, getattr(LAYOUT, str(op.imm[0])), "field")


@lowering("field.set_i")
def field_set_i(e: Emitter, op: Op, o: str, value: str) -> None:
    e.store("i64", value, o, getattr(LAYOUT, str(op.imm[0])), "field")


@lowering("field.put")
def field_put(e: Emitter, op: Op, o: str, value: str) -> None:
    offset = getattr(LAYOUT, str(op.imm[0]))
    old = e.load("ptr", o, offset, "field")
    e.store("ptr", value, o, offset, "field")
    with e.when(e.let(f"icmp ne ptr {old}, null")):
        drop_text(e, old, "heap")


@lowering("str.len")
def str_len(e: Emitter, op: Op, o: str) -> str:
    return e.load("i64", o, LAYOUT.STR_LENGTH, "str")


@lowering("str.append")
def str_append(e: Emitter, op: Op, a: str, b: str) -> str:
    """The C function wants its left operand in memory: the first word of the call argument array."""
    e.argument_slots = max(e.argument_slots, 1)
    e.store("ptr", a, "%args", 0, "buf")
    e.do(f"call void {e.function('PyUnicode_Append', 'void', 'ptr, ptr')}(ptr %args, ptr {b})")
    return e.load("ptr", "%args", 0, "buf")
