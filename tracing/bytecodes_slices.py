"""Slices.

Of lists they are native with any int or None for bounds; `items[i:j:k]` is one operation if the step is a constant: the
bytecode that makes the slice looks at what follows, and where that is a subscript of a list the slice is never made.
Of other built-in sequences they are closed calls, of everything else open ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..optimizer.ir import Value
from .bytecode_table import bytecode
from .bytecodes_numbers import as_int, closed, known_kind
from .decode import Ins
from .indices import wrapped
from .translate import Leave
from .values import AV, OWNED, Const, Obj, Tup
from .versions import binary_op_symbol

if TYPE_CHECKING:
    from .translate import Translator

MAX_SIZE = (1 << 63) - 1


def slice_bound(t: Translator, av: AV, position: int, default: int) -> Value | None:
    """A bound of a slice without step as an index; None where it is neither None nor an int of 64 bits."""
    if isinstance(av, Const) and av.obj is None:
        return t.const_i(default)
    number = t.number(av, t.expected(position))
    return as_int(t, number) if number is not None and number.repr != "f" else None


def list_slice(t: Translator, container: AV, start: AV, stop: AV) -> bool:
    """A new list of a part; False where the bounds are something else than ints and None."""
    t.ensure_type(container, list)
    low, high = slice_bound(t, start, 1, 0), slice_bound(t, stop, 2, MAX_SIZE)
    if low is None or high is None:
        return False
    base = t.boxed(container)
    length = t.emit("list.len", base)
    t.drop_check(container, start, stop)
    push_list(t, t.emit("list.slice", base, wrapped(t, low, length), wrapped(t, high, length)), 3)
    return True


def push_list(t: Translator, made: Value, operands: int) -> None:
    """The new list in the place of the operands; without memory the interpreter does it again."""
    t.emit("guard", t.emit("obj.is_null", made), imm=(False,), state=t.retry_state())
    gone = t.frame.stack[-operands:]
    del t.frame.stack[-operands:]
    for av in reversed(gone):
        t.drop(av)
    t.push(Obj(made, list, OWNED))


def store_list_slice(t: Translator, value: AV, container: AV, start: AV, stop: AV) -> bool:
    """A part of a list replaced by the items of another; what is replaced has to end quietly."""
    kinds = [known_kind(t, av, t.expected(k)) for k, av in enumerate((value, container))]
    if kinds != [list, list] or not isinstance(value, Obj):
        return False
    t.ensure_type(value, list)
    t.ensure_type(container, list)
    low, high = slice_bound(t, start, 2, 0), slice_bound(t, stop, 3, MAX_SIZE)
    if low is None or high is None:
        return False
    base, source = t.boxed(container), t.boxed(value)
    length = t.emit("list.len", base)
    low, high = wrapped(t, low, length), wrapped(t, high, length)
    t.guard(t.emit("list.part_is_safe", base, low, high))
    t.drop_check(value, container, start, stop)
    t.promote_heap()
    status = t.emit("list.set_part", base, low, high, source)
    del t.frame.stack[-4:]
    for av in (stop, start, container, value):
        t.drop(av)
    t.raised(t.emit("int.lt", status, t.const_i(0)), True, 4)
    return True


def stepped_slice(t: Translator, ins: Ins) -> bool:
    """`items[start:stop:step]` of a list, where that is what the slice is made for."""
    following = t.frame.info.at(ins.next)
    if following.op not in ("BINARY_SUBSCR", "BINARY_OP") or binary_op_symbol(following) != "[]":
        return False
    container, start, stop, step = t.frame.stack[-4:]
    seen = t.profiles.get(t.frame.code, following.offset)
    kinds = set(seen.operands[0]) if seen is not None and seen.operands else set()
    if t.frame.info.is_merge(following.offset) or known_kind(t, container, kinds) is not list:
        return False
    if not isinstance(step, Const) or type(step.obj) is not int or not 0 < abs(step.obj) < 1 << 31:
        return False
    t.ensure_type(container, list)
    by, base = step.obj, t.boxed(container)
    length, zero, one = t.emit("list.len", base), t.const_i(0), t.const_i(1)
    ends = (zero, length) if by > 0 else (t.emit("int.sub", length, one), t.const_i(-1))
    lowest, highest = ends if by > 0 else (ends[1], ends[0])
    found: list[Value] = []
    for k, av in enumerate((start, stop)):
        if isinstance(av, Const) and av.obj is None:
            found.append(ends[k])
            continue
        bound = slice_bound(t, av, k, 0)
        if bound is None:
            return False
        bound = wrapped(t, bound, length)
        bound = t.emit("int.select", t.emit("int.lt", bound, lowest), lowest, bound)
        found.append(t.emit("int.select", t.emit("int.gt", bound, highest), highest, bound))
    first, last = found
    span = t.emit("int.sub", last, first) if by > 0 else t.emit("int.sub", first, last)
    if abs(by) > 1:
        span = t.emit("int.floordiv", t.emit("int.add", span, t.const_i(abs(by) - 1)), t.const_i(abs(by)))
    count = t.emit("int.select", t.emit("int.gt", span, zero), span, zero)
    t.drop_check(container, start, stop)
    push_list(t, t.emit("list.take", base, first, count, imm=(by,)), 4)
    t.pc = following.next
    return True


@bytecode("BINARY_SLICE")
def binary_slice(t: Translator, ins: Ins) -> None:
    container, start, stop = t.peek(3), t.peek(2), t.peek(1)
    kind = known_kind(t, container, t.expected(0))
    if kind is list and list_slice(t, container, start, stop):
        return
    if kind in (list, tuple, str, bytes):
        t.ensure_type(container, kind)  # type: ignore[arg-type]
        low, high = slice_bound(t, start, 1, 0), slice_bound(t, stop, 2, MAX_SIZE)
        if low is not None and high is not None and not isinstance(container, Tup):
            t.drop_check(container, start, stop)
            made = t.emit("seq.slice", t.boxed(container), low, high)
            t.emit("guard", t.emit("obj.is_null", made), imm=(False,), state=t.retry_state())
            del t.frame.stack[-3:]
            t.drop(stop)
            t.drop(start)
            t.drop(container)
            t.push(Obj(made, kind, OWNED))
            return
    t.begin_opaque()
    values, temps = t.operand_values([container, start, stop])
    del t.frame.stack[-3:]
    key = slice_object(t, values[1], values[2], 3)
    result = t.emit("call.object", values[0], key, imm=("PyObject_GetItem", ()))
    release_slice(t, key, temps)
    t.raised(t.emit("obj.is_null", result), True, 3)
    t.push(Obj(result, None, OWNED))
    t.end_opaque()


def slice_object(t: Translator, start: Value, stop: Value, operands: int) -> Value:
    """A slice of any bounds, inside an opaque bytecode whose operands are popped."""
    key = t.emit("call.closed", start, stop, t.const_o(None), imm=("PySlice_New", ()))
    t.raised(t.emit("obj.is_null", key), True, operands)
    return key


def release_slice(t: Translator, key: Value, temps: list[AV]) -> None:
    """The slice goes first: the bounds are operands still, so it takes nothing along."""
    t.release(Obj(key, slice, OWNED))
    for temp in reversed(temps):
        t.release(temp)


@bytecode("STORE_SLICE")
def store_slice(t: Translator, ins: Ins) -> None:
    value, container, start, stop = t.frame.stack[-4:]
    if store_list_slice(t, value, container, start, stop):
        return
    t.begin_opaque()
    values, temps = t.operand_values([value, container, start, stop])
    del t.frame.stack[-4:]
    key = slice_object(t, values[2], values[3], 4)
    status = t.emit("call.status", values[1], key, values[0], imm=("PyObject_SetItem", ()))
    release_slice(t, key, temps)
    t.raised(t.emit("int.lt", status, t.const_i(0)), True, 4)
    t.end_opaque()


@bytecode("BUILD_SLICE")
def build_slice(t: Translator, ins: Ins) -> None:
    """Of ints and None: such a slice dies quietly wherever it goes."""
    if ins.arg == 3 and stepped_slice(t, ins):
        return
    bounds = t.frame.stack[len(t.frame.stack) - ins.arg :]
    for k, av in enumerate(bounds):
        if known_kind(t, av, t.expected(k)) not in (int, bool, type(None)):
            raise Leave("unsupported_operand_types", "slice bounds")
    for k, av in enumerate(bounds):
        t.ensure_type(av, known_kind(t, av, t.expected(k)))  # type: ignore[arg-type]
    operands = bounds if len(bounds) == 3 else [*bounds, Const(None)]
    closed(t, "PySlice_New", operands, (), npop=ins.arg, result_type=slice)
