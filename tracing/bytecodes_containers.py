"""Lists and tuples: items, displays, unpacking, slices, membership."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..optimizer.ir import Value
from .bytecode_table import bytecode
from .bytecodes_numbers import as_int
from .decode import Ins
from .iteration import settled
from .translate import Leave
from .values import AV, HEAP, OWNED, Const, Num, Obj, Tup

if TYPE_CHECKING:
    from .translate import Translator


def checked_index(t: Translator, index: Value, length: Value) -> Value:
    """index, wrapped when negative, checked against length; out of range leaves (the interpreter raises)."""
    known = t.known.get(index)
    if known is not None:
        wrapped = index if known >= 0 else t.emit("int.add", index, length)
    else:
        negative = t.emit("int.lt", index, t.const_i(0))
        wrapped = t.emit("int.add", index, t.emit("int.select", negative, length, t.const_i(0)))
    t.guard(t.emit("int.below", wrapped, length))
    return wrapped


@bytecode("BINARY_SUBSCR")
def subscript(t: Translator, ins: Ins) -> None:
    container, key = t.peek(2), t.peek(1)
    if isinstance(container, Tup) and isinstance(key, Const) and type(key.obj) is int:
        if not -len(container.items) <= key.obj < len(container.items):
            raise Leave("always_fails")
        t.drop_check(container)
        item = t.dup(container.items[key.obj])
        t.pop()
        t.pop()
        t.drop(container)
        t.push(item)
        return
    kind = t.specialise(container, t.expected(0))
    index = t.number(key, t.expected(1)) if kind in (list, tuple) else None
    if kind in (list, tuple) and index is not None and index.repr != "f":
        name = kind.__name__  # type: ignore[union-attr]
        base = t.boxed(container)
        at = checked_index(t, as_int(t, index), t.emit(f"{name}.len", base))
        t.drop_check(container, key)
        item = Obj(t.emit(f"{name}.get", base, at), None, HEAP)
        expected = t.expected_results()
        if len(expected) == 1 and next(iter(expected)) in (int, float, bool, list, tuple, str):
            t.specialise(item, expected)
        t.pop()
        t.pop()
        if isinstance(container, Obj) and container.owner is OWNED:
            t.own(item)
        t.drop(key)
        t.drop(container)
        t.push(item)
        return
    if kind is str and index is not None and index.repr != "f" or kind in (str, tuple, list) and isinstance(key, Const) and type(key.obj) is slice:
        from .bytecodes_numbers import closed

        closed(t, "PyObject_GetItem", [container, key], (), npop=2, result_type=kind)
        return
    t.opaque("PyObject_GetItem", [container, key], npop=2)


@bytecode("STORE_SUBSCR")
def store_subscript(t: Translator, ins: Ins) -> None:
    value, container, key = t.peek(3), t.peek(2), t.peek(1)
    kind = t.specialise(container, t.expected(1))
    index = t.number(key, t.expected(2)) if kind is list else None
    if kind is list and index is not None and index.repr != "f":
        t.reject_hidden(value)
        base = t.boxed(container)
        at = checked_index(t, as_int(t, index), t.emit("list.len", base))
        old = t.emit("list.get", base, at)
        t.guard(t.emit("obj.drop_is_safe", old))
        t.drop_check(container, key)
        t.promote_heap()
        for _ in range(3):
            t.pop()
        replaced = t.emit("list.set", base, at, t.owned_value(value))
        t.emit("obj.drop", replaced)
        t.drop(key)
        t.drop(container)
        return
    t.opaque_status("PyObject_SetItem", [container, key, value], npop=3)
    t.end_opaque()


@bytecode("DELETE_SUBSCR")
def delete_subscript(t: Translator, ins: Ins) -> None:
    t.opaque_status("PyObject_DelItem", [t.peek(2), t.peek(1)], npop=2)
    t.end_opaque()


@bytecode("BINARY_SLICE")
def binary_slice(t: Translator, ins: Ins) -> None:
    container, start, stop = t.peek(3), t.peek(2), t.peek(1)
    kind = t.specialise(container, t.expected(0))
    if kind in (list, tuple, str) and isinstance(start, Const) and isinstance(stop, Const):
        from .bytecodes_numbers import closed

        key = slice(start.obj, stop.obj)
        if all(x is None or type(x) is int for x in (start.obj, stop.obj)):
            closed(t, "PyObject_GetItem", [container, Const(key)], (), npop=3, result_type=kind)
            return
    raise Leave("unsupported_bytecode", "slice with computed bounds")


@bytecode("BUILD_TUPLE")
def build_tuple(t: Translator, ins: Ins) -> None:
    items = t.frame.stack[len(t.frame.stack) - ins.arg :] if ins.arg else []
    for item in items:
        t.reject_hidden(item)
    if not ins.arg:
        t.push(Const(()))
        return
    del t.frame.stack[len(t.frame.stack) - ins.arg :]
    t.push(Tup([settled(t, item) for item in items]))


@bytecode("BUILD_LIST")
def build_list(t: Translator, ins: Ins) -> None:
    items = t.frame.stack[len(t.frame.stack) - ins.arg :] if ins.arg else []
    for item in items:
        t.reject_hidden(item)
    del t.frame.stack[len(t.frame.stack) - len(items) :]
    values = [t.owned_value(i) for i in items]
    t.push(Obj(t.emit("list.new", *values), list, OWNED))


@bytecode("LIST_APPEND")
def list_append(t: Translator, ins: Ins) -> None:
    value, target = t.peek(1), t.peek(1 + ins.arg)
    if not isinstance(target, Obj):
        raise Leave("unsupported_operand_types", "list")
    t.reject_hidden(value)
    t.ensure_type(target, list)
    t.promote_heap()
    t.pop()
    t.emit("list.append", target.value, t.owned_value(value))


@bytecode("UNPACK_SEQUENCE")
def unpack_sequence(t: Translator, ins: Ins) -> None:
    av = t.peek()
    if isinstance(av, Tup):
        if len(av.items) != ins.arg:
            raise Leave("always_fails")
        t.pop()
        for item in reversed(av.items):
            t.push(item)
        return
    if isinstance(av, Const) and type(av.obj) is tuple:
        if len(av.obj) != ins.arg:
            raise Leave("always_fails")
        t.pop()
        for obj in reversed(av.obj):
            t.constants[id(obj)] = obj
            t.push(Const(obj))
        return
    kind = t.specialise(av, t.expected(0))
    if kind not in (list, tuple) or not isinstance(av, Obj):
        raise Leave("unsupported_operand_types", f"unpacking {kind}")
    name = kind.__name__  # type: ignore[union-attr]
    t.guard(t.emit("int.eq", t.emit(f"{name}.len", av.value), t.const_i(ins.arg)))
    t.drop_check(av)
    items: list[AV] = [Obj(t.emit(f"{name}.get", av.value, t.const_i(k)), None, HEAP) for k in range(ins.arg)]
    t.pop()
    if av.owner is OWNED:
        for item in items:
            t.own(item)
    t.drop(av)
    for item in reversed(items):
        t.push(item)


@bytecode("CONTAINS_OP")
def contains_op(t: Translator, ins: Ins) -> None:
    item, container = t.peek(2), t.peek(1)
    status = t.opaque_status("PySequence_Contains", [container, item], npop=2)
    result = t.emit("int.ne", status, t.const_i(0))
    t.push(Num(t.emit("bool.not", result) if ins.arg else result))
    t.end_opaque()


@bytecode("LIST_EXTEND")
def list_extend(t: Translator, ins: Ins) -> None:
    """Only for displays: `[*constants]`."""
    source, target = t.peek(1), t.peek(1 + ins.arg)
    if not (isinstance(source, Const) and type(source.obj) is tuple and isinstance(target, Obj)):
        raise Leave("unsupported_bytecode", "LIST_EXTEND")
    t.promote_heap()
    t.pop()
    for obj in source.obj:
        t.emit("list.append", target.value, t.owned_value(Const(obj)))
