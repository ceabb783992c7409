"""Lists and tuples: items, displays, unpacking, slices, membership."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..optimizer.ir import Value
from ..optimizer.ops.lists import ATOMS
from . import mappings, special_methods
from .arrays import load_item, observed_code, store_item
from .bytecode_table import bytecode
from .bytecodes_numbers import as_int, check_atoms, closed, closed_status, compare, known_kind, may_be_atoms
from .decode import Ins
from .exceptions import require
from .indices import checked_index
from .iteration import settled
from .translate import Leave
from .values import AV, HEAP, OWNED, Const, Num, Obj, Range, Tup
from .views import viewed

if TYPE_CHECKING:
    from .translate import Translator


NUMERIC: frozenset[type] = frozenset({int, float})


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
        t.push(item)
        t.drop(container)
        return
    container, kind = viewed(t, container, t.specialise(container, t.expected(0)), "__getitem__")
    index = t.number(key, t.expected(1)) if kind in (list, tuple) and not isinstance(container, Tup) else None
    if index is not None and index.repr != "f":
        name = kind.__name__  # type: ignore[union-attr]
        base = t.boxed(container)
        at = checked_index(t, as_int(t, index), t.emit(f"{name}.len", base))
        t.drop_check(container, key)
        item = Obj(t.emit(f"{name}.get", base, at), None, HEAP)
        expected = t.expected_results()
        if expected <= NUMERIC:
            # Asked for its type where a number is wanted. Many are only moved; what goes into a local is to be one.
            if t.frame.info.at(ins.next).op.startswith("STORE_FAST"):
                t.number(item, expected)
        elif len(expected) == 1 and next(iter(expected)) in (bool, list, tuple, str):
            t.specialise(item, expected)
        mappings.push_item(t, item, container, key)
        return
    if kind is dict and mappings.load(t, container, key):
        return
    if kind is not None and special_methods.load_item(t, ins, kind):
        return
    code = observed_code(t, kind)
    if code and load_item(t, container, key, code):
        return
    text = kind in (str, bytes) and known_kind(t, key, t.expected(1)) in (int, bool)
    if text or kind in (str, bytes, tuple, list) and t.type_of(key) is slice:
        if text:
            t.ensure_type(key, known_kind(t, key, t.expected(1)))  # type: ignore[arg-type]
            kind = str if kind is str else int
        closed(t, "PyObject_GetItem", [container, key], (), npop=2, result_type=kind)
        return
    t.opaque("PyObject_GetItem", [container, key], npop=2)


@bytecode("STORE_SUBSCR")
def store_subscript(t: Translator, ins: Ins) -> None:
    value, container, key = t.peek(3), t.peek(2), t.peek(1)
    container, kind = viewed(t, container, t.specialise(container, t.expected(1)), "__setitem__")
    index = t.number(key, t.expected(2)) if kind is list else None
    if kind is list and index is not None and index.repr != "f":
        t.reject_hidden(value)
        base = t.boxed(container)
        at = checked_index(t, as_int(t, index), t.emit("list.len", base))
        old = t.emit("list.get", base, at)
        t.guard(t.emit("obj.drop_is_safe", old))
        t.receive_check(value, container, key)
        t.promote_heap()
        for _ in range(3):
            t.pop()
        if isinstance(value, Num) and value.repr != "b" and not t.is_home(value):
            t.emit("list.set_float" if value.repr == "f" else "list.set_int", base, at, value.value, imm=(None,))
        else:
            t.emit("obj.drop", t.emit("list.set", base, at, t.owned_value(value)))
        t.drop(key)
        t.drop(container)
        return
    if kind is dict and mappings.store(t, container, key, value):
        return
    if kind is not None and special_methods.store_item(t, ins, kind):
        return
    code = observed_code(t, kind)
    if code and store_item(t, container, key, value, code):
        return
    t.opaque_status("PyObject_SetItem", [container, key, value], npop=3)
    t.end_opaque()


@bytecode("DELETE_SUBSCR")
def delete_subscript(t: Translator, ins: Ins) -> None:
    container, key = t.peek(2), t.peek(1)
    kind = known_kind(t, container, t.expected(0))
    index = t.number(key, t.expected(1)) if kind is list else None
    if index is not None and index.repr != "f" and isinstance(container, Obj):
        t.ensure_type(container, list)
        at = checked_index(t, as_int(t, index), t.emit("list.len", container.value))
        t.guard(t.emit("obj.drop_is_safe", t.emit("list.get", container.value, at)))
        t.drop_check(container, key)
        t.promote_heap()
        t.pop()
        t.pop()
        t.emit("obj.drop", t.emit("list.pop_at", container.value, at))
        t.drop(key)
        t.drop(container)
        return
    if kind is dict and mappings.remove(t, container, key):
        return
    t.opaque_status("PyObject_DelItem", [t.peek(2), t.peek(1)], npop=2)
    t.end_opaque()


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
    require(t, t.emit("int.eq", t.emit(f"{name}.len", av.value), t.const_i(ins.arg)), True, ValueError)
    t.drop_check(av)
    for item in reversed(take_items(t, av, name, [t.const_i(k) for k in range(ins.arg)])):
        t.push(item)


def take_items(t: Translator, av: Obj, name: str, places: list[Value]) -> list[AV]:
    """The list or tuple on top of the stack (`name`) gives way to its items at these places, which are left to be pushed."""
    items: list[AV] = [Obj(t.emit(f"{name}.get", av.value, place), None, HEAP) for place in places]
    t.pop()
    if av.owner is OWNED:
        for item in items:
            t.own(item)
    t.drop(av)
    return items


@bytecode("UNPACK_EX")
def unpack_ex(t: Translator, ins: Ins) -> None:
    """Of lists and tuples: what the star takes becomes a list of its own."""
    av = t.peek()
    before, after = ins.arg & 0xFF, ins.arg >> 8
    if isinstance(av, Tup):
        if len(av.items) < before + after:
            raise Leave("always_fails")
        end = len(av.items) - after
        middle = [settled(t, item) for item in av.items[before:end]]
        first, last = av.items[:before], av.items[end:]
        t.pop()
        rest = t.emit("list.new", *[t.owned_value(item) for item in middle])
        push_unpacked(t, first, rest, last)
        return
    kind = t.specialise(av, t.expected(0))
    if kind not in (list, tuple) or not isinstance(av, Obj):
        raise Leave("unsupported_operand_types", f"unpacking {kind}")
    name = kind.__name__  # type: ignore[union-attr]
    length = t.emit(f"{name}.len", av.value)
    t.guard(t.emit("int.ge", length, t.const_i(before + after)))
    t.drop_check(av)
    end_at = t.emit("int.sub", length, t.const_i(after))
    rest = t.emit("list.slice" if kind is list else "seq.slice", av.value, t.const_i(before), end_at)
    t.emit("guard", t.emit("obj.is_null", rest), imm=(False,), state=t.retry_state())
    if kind is tuple:
        part, rest = rest, t.emit("call.closed", rest, imm=("PySequence_List", ()))
        t.emit("obj.drop", part)
        t.emit("guard", t.emit("obj.is_null", rest), imm=(False,), state=t.retry_state())
    places = [t.const_i(k) for k in range(before)]
    places += [t.emit("int.add", end_at, t.const_i(k)) for k in range(after)]
    items = take_items(t, av, name, places)
    push_unpacked(t, items[:before], rest, items[before:])


def push_unpacked(t: Translator, first: list[AV], rest: Value, last: list[AV]) -> None:
    for item in reversed(last):
        t.push(item)
    t.push(Obj(rest, list, OWNED))
    for item in reversed(first):
        t.push(item)


@bytecode("CONTAINS_OP")
def contains_op(t: Translator, ins: Ins) -> None:
    item, container = t.peek(2), t.peek(1)
    result = contains(t, item, container)
    if result is not None:
        t.drop_check(item, container)
        t.pop()
        t.pop()
        t.drop(container)
        t.drop(item)
    elif closed_membership(t, item, container):
        status = closed_status(t, "PySequence_Contains", [container, item], npop=2)
        result = t.emit("int.ne", status, t.const_i(0))
    else:
        status = t.opaque_status("PySequence_Contains", [container, item], npop=2)
        result = t.emit("int.ne", status, t.const_i(0))
        t.push(Num(t.emit("bool.not", result) if ins.arg else result))
        t.end_opaque()
        return
    t.push(Num(t.emit("bool.not", result) if ins.arg else result))


FEW = 8


def contains(t: Translator, item: AV, container: AV) -> Value | None:
    """Membership that needs no call: of a number in a range of unit steps or in a few constants of its own type, of a key in a dict."""
    if isinstance(container, Range) and t.known.get(container.step) == 1:
        number = t.number(item, t.expected(0))
        if number is not None and number.repr != "f":
            n = as_int(t, number)
            return t.emit("bool.and", t.emit("int.le", container.start, n), t.emit("int.lt", n, container.stop))
    if isinstance(container, Const) and type(container.obj) in (tuple, frozenset) and len(container.obj) <= FEW:  # type: ignore[arg-type]
        number = t.number(item, t.expected(0))
        members = list(container.obj)  # type: ignore[call-overload]
        wanted = float if number is not None and number.repr == "f" else int
        # An item is in a tuple also by identity, which matters for nan alone.
        if number is not None and all(type(m) is wanted and m == m and (wanted is float or abs(m) < 1 << 62) for m in members):
            found = t.const_b(False)
            for member in members:
                same = compare(t, "==", number, Num(t.const_f(member) if wanted is float else t.const_i(member)))
                found = t.emit("bool.or", found, same)
            return found
    where = known_kind(t, container, t.expected(1))
    if where in (list, tuple) and isinstance(container, Obj | Const):
        return among(t, item, container, where)
    if where is dict:
        value = mappings.find(t, container, item, 0)
        return t.emit("bool.not", t.emit("obj.is_null", value)) if value is not None else None
    return mappings.member(t, container, where, item, 0) if where is set or where is frozenset else None


def among(t: Translator, item: AV, container: AV, where: type) -> Value | None:
    """Membership of an int among ints, or of text among texts, as far as was seen; None for others. No code runs where items are
    compared, and where one of another kind comes before what is looked for the interpreter does it."""
    seen = t.observation()
    kinds = set(seen.items) if seen is not None else set()
    if isinstance(container, Const):
        kinds = {type(member) for member in container.obj}  # type: ignore[attr-defined]
    kind = known_kind(t, item, t.expected(0))
    if kind not in (int, str) or kinds != {kind}:
        return None
    wanted = t.number(item, t.expected(0)) if kind is int else item
    if wanted is None:
        return None
    t.ensure_type(item, kind)
    t.ensure_type(container, where)
    name = f"{where.__name__}.has_{'int' if kind is int else 'text'}"
    found = t.emit(name, t.boxed(container), wanted.value if isinstance(wanted, Num) else t.boxed(item))
    t.guard(t.emit("int.lt", found, t.const_i(0)), False)
    return t.emit("int.ne", found, t.const_i(0))


def closed_membership(t: Translator, item: AV, container: AV) -> bool:
    """Whether looking for the item runs no Python code: atoms in a sequence of atoms, text in text."""
    kind, where = known_kind(t, item, t.expected(0)), known_kind(t, container, t.expected(1))
    if where is frozenset and isinstance(container, Const):
        fits = kind in ATOMS and all(type(member) in ATOMS for member in container.obj)  # type: ignore[attr-defined]
    elif where in (list, tuple):
        fits = kind in ATOMS and kind is not bytes and may_be_atoms(t, container)
    elif where is range:
        fits = kind in (int, bool)
    else:
        fits = where is str and kind is str or where is bytes and kind in (int, bool, bytes)
    if not fits:
        return False
    assert kind is not None and where is not None
    t.ensure_type(item, kind)
    t.ensure_type(container, where)
    if where in (list, tuple):
        check_atoms(t, container)
    return True


@bytecode("LIST_EXTEND")
def list_extend(t: Translator, ins: Ins) -> None:
    """Only by exact lists and tuples: for anything else the interpreter has an error message of its own."""
    source, target = t.peek(1), t.peek(1 + ins.arg)
    if isinstance(source, Tup):
        for item in source.items:
            t.reject_hidden(item)
    elif known_kind(t, source, t.expected(0)) not in (list, tuple):
        raise Leave("unsupported_operand_types", "LIST_EXTEND")
    if not isinstance(target, Obj):
        raise Leave("unsupported_operand_types", "list")
    t.ensure_type(source, known_kind(t, source, t.expected(0)))  # type: ignore[arg-type]
    t.promote_heap()
    t.pop()
    if isinstance(source, Tup):
        for item in source.items:
            t.emit("list.append", target.value, t.owned_value(item))
        return
    status = t.emit("list.extend", target.value, t.boxed(source))
    t.drop(source)  # if this is its end, the list holds its items
    t.raised(t.emit("int.lt", status, t.const_i(0)), True, 1)
