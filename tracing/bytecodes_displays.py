"""Displays of dicts and sets, the comprehensions that fill them, star arguments, and the head of `with`.

A display whose keys are atoms (or tuples of atoms) runs no Python code and needs no frame. Keys of any other type may have a
`__hash__` and `__eq__` of their own, and so may the keys that a dict or set already holds: what is put into one that was made
earlier is looked up first (`mappings`), or an open call.
"""

from __future__ import annotations

from types import CodeType, FunctionType
from typing import TYPE_CHECKING

from ..optimizer.ir import Value
from ..optimizer.ops.lists import ATOMS
from . import attributes, mappings
from .bytecode_table import bytecode
from .bytecodes_numbers import closed_call, known_kind
from .decode import Ins
from .intrinsics import INTRINSICS
from .iteration import settled
from .methods import ABSENT, METHOD_DESCRIPTOR, flags, is_static, lookup
from .translate import Leave
from .values import AV, FOREVER, OWNED, Const, Iterator, Null, Obj, Tup
from .versions import UNHASHABLE_IS_NAMED, special_method

if TYPE_CHECKING:
    from .translate import Translator

PLAIN = frozenset({*ATOMS, bytes})
"""Types whose values hash and compare without Python code."""
FUNCTION_PARTS = {
    1: ("PyFunction_SetDefaults", tuple),
    2: ("PyFunction_SetKwDefaults", dict),
    4: ("PyFunction_SetAnnotations", tuple),
    8: ("PyFunction_SetClosure", tuple),
}
"""The flags of MAKE_FUNCTION and SET_FUNCTION_ATTRIBUTE: what sets that part of a function, and what the part is."""
MAPPING, SEQUENCE = 1 << 6, 1 << 5  # Py_TPFLAGS_MAPPING, Py_TPFLAGS_SEQUENCE (Include/object.h)


# ---- displays -----------------------------------------------------------------------------------------------------------


def top(t: Translator, count: int) -> list[AV]:
    """The uppermost entries of the stack, deepest first."""
    entries = t.frame.stack[len(t.frame.stack) - count :] if count else []
    for av in entries:
        t.reject_hidden(av)
    return entries


def is_plain(t: Translator, key: AV, position: int) -> bool:
    """Whether the key hashes without Python code, checked where that was only seen so far."""
    if isinstance(key, Tup):
        return all(is_plain(t, item, -1) for item in key.items)
    if isinstance(key, Const):
        return plain_constant(key.obj)
    kind = known_kind(t, key, t.expected(position))
    if kind is None or kind not in PLAIN:
        return False
    t.ensure_type(key, kind)
    return True


def plain_constant(value: object) -> bool:
    return all(map(plain_constant, value)) if type(value) is tuple else type(value) in PLAIN


def check_key(t: Translator, key: AV, position: int) -> None:
    """Before an open call that hashes the key. Where the interpreter words a TypeError with the type of the key, which is poison
    when native code raises, only keys of types that have a hash are taken, and no tuples, whose items may have none."""
    if not UNHASHABLE_IS_NAMED or is_plain(t, key, position):
        return
    kind = t.specialise(key, t.expected(position)) if isinstance(key, Obj) else None
    if kind is None or kind is tuple or lookup(kind, "__hash__") in (None, ABSENT):
        raise Leave("unsupported_operand_types", "key")


def different(keys: list[AV]) -> bool:
    """Whether the keys are constants and no two are equal: then the dict holds every value."""
    constants = [key.obj for key in keys if isinstance(key, Const)]
    return len(constants) == len(keys) == len(set(constants))


def make_dict(t: Translator, keys: list[AV], values: list[AV], npop: int) -> None:
    operands = [av for pair in zip(keys, values, strict=True) for av in pair]
    if all([is_plain(t, key, 2 * k) for k, key in enumerate(keys)]):
        closed_call(t, "dict.new", operands, npop=npop, result_type=dict, imm=(), holds=different(keys))
        return
    for k, key in enumerate(keys):
        check_key(t, key, 2 * k)
    t.begin_opaque()
    pairs, temps = t.operand_values(operands)
    made = t.emit("call.dict", *pairs)
    t.finish_call(made, temps, npop, lambda av: push_as(t, av, dict))


def push_as(t: Translator, av: AV, kind: type) -> None:
    """Push the new object that an open call gave, whose type is known."""
    assert isinstance(av, Obj)
    t.push(Obj(av.value, kind, OWNED))


@bytecode("BUILD_MAP")
def build_map(t: Translator, ins: Ins) -> None:
    entries = top(t, 2 * ins.arg)
    make_dict(t, entries[::2], entries[1::2], len(entries))


@bytecode("BUILD_CONST_KEY_MAP")
def build_const_key_map(t: Translator, ins: Ins) -> None:
    keys = t.peek()
    if not isinstance(keys, Const) or not plain_constant(keys.obj):
        raise Leave("unsupported_operand_types", "keys of a display")
    make_dict(t, [Const(key) for key in keys.obj], top(t, ins.arg + 1)[:-1], ins.arg + 1)  # type: ignore[attr-defined]


@bytecode("BUILD_SET")
def build_set(t: Translator, ins: Ins) -> None:
    entries = [settled(t, av) for av in top(t, ins.arg)]
    if not entries:
        made = t.emit("call.closed", t.emit("obj.null"), imm=("PySet_New", ()))
        t.emit("guard", t.emit("obj.is_null", made), imm=(False,), state=t.retry_state())
        t.push(Obj(made, set, OWNED))
        return
    source = Tup(entries)
    if all([is_plain(t, av, k) for k, av in enumerate(entries)]):
        closed_call(t, "call.closed", [source], npop=ins.arg, result_type=set, imm=("PySet_New", ()))
    else:
        for k, av in enumerate(entries):
            check_key(t, av, k)
        t.opaque("PySet_New", [source], npop=ins.arg, arrange=lambda av: push_as(t, av, set))


# ---- filling ------------------------------------------------------------------------------------------------------------


def lent(t: Translator, position: int, kind: type) -> Obj:
    """The container at that place of the stack (1: the top), for a call that only borrows it."""
    av = t.peek(position)
    if not isinstance(av, Obj):
        raise Leave("unsupported_operand_types", kind.__name__)
    t.ensure_type(av, kind)
    return Obj(av.value, kind, FOREVER)


def fill(t: Translator, function: str, target: Obj, count: int) -> None:
    """function(target, the uppermost entries): an open call."""
    t.opaque_status(function, [target, *top(t, count)], npop=count)
    t.end_opaque()


@bytecode("SET_ADD")
def set_add(t: Translator, ins: Ins) -> None:
    target, item = lent(t, 1 + ins.arg, set), t.peek()
    if mappings.alter(t, target, item, 0, "set.add", False, [item]):
        t.drop(t.pop())
        return
    check_key(t, item, 0)
    fill(t, "PySet_Add", target, 1)


@bytecode("MAP_ADD")
def map_add(t: Translator, ins: Ins) -> None:
    target, key, value = lent(t, 2 + ins.arg, dict), t.peek(2), t.peek()
    where = None if isinstance(value, Iterator) else mappings.look_up(t, "place", target, key, 0)
    if where is not None:
        mappings.put(t, target.value, mappings.told(t, where), key, value, [key])
        for av in (t.pop(), t.pop()):
            t.drop(av)
        return
    check_key(t, key, 0)
    fill(t, "PyDict_SetItem", target, 2)


@bytecode("SET_UPDATE")
def set_update(t: Translator, ins: Ins) -> None:
    fill(t, "_PySet_Update", lent(t, 1 + ins.arg, set), 1)


@bytecode("DICT_MERGE")
def dict_merge(t: Translator, ins: Ins) -> None:
    """`**` of a call. Only into a dict that is empty still: the same key twice is an error that the interpreter words."""
    names = lent(t, 1 + ins.arg, dict)
    size = t.emit("call.closed_status", names.value, imm=("PyDict_Size", ()))
    t.guard(t.emit("int.eq", size, t.const_i(0)))
    dict_update(t, ins)


@bytecode("DICT_UPDATE")
def dict_update(t: Translator, ins: Ins) -> None:
    """Only from exact dicts: for anything else the interpreter has an error message of its own."""
    if known_kind(t, t.peek(), t.expected(0)) is not dict:
        raise Leave("unsupported_operand_types", ins.op)
    t.ensure_type(t.peek(), dict)
    fill(t, "PyDict_Update", lent(t, 1 + ins.arg, dict), 1)


# ---- functions ----------------------------------------------------------------------------------------------------------


@bytecode("LOAD_CLOSURE")
def load_closure(t: Translator, ins: Ins) -> None:
    from .bytecodes_stack import load_local

    t.push(load_local(t, ins.arg))


@bytecode("MAKE_FUNCTION")
def make_function(t: Translator, ins: Ins) -> None:
    """On 3.12 its flags say what else is on the stack."""
    t.constants[id(t.frame.globals)] = t.frame.globals
    parts = [(bit, t.peek(2 + k)) for k, bit in enumerate(bit for bit in (8, 4, 2, 1) if ins.arg & bit)]
    for bit, part in parts:
        check_part(t, bit, part)
    code = t.peek()
    if not isinstance(code, Const) or not isinstance(code.obj, CodeType):
        raise Leave("unsupported_operand_types", "code")
    t.constants[id(code.obj)] = code.obj
    made = t.emit("function.new", imm=(code.obj, t.frame.globals))
    t.emit("guard", t.emit("obj.is_null", made), imm=(False,), state=t.retry_state())
    t.made[made] = code.obj, []
    t.pop()
    for bit, part in parts:
        set_part(t, made, bit, part)
        t.drop(t.pop())
    t.push(Obj(made, FunctionType, OWNED))


@bytecode("SET_FUNCTION_ATTRIBUTE")
def set_function_attribute(t: Translator, ins: Ins) -> None:
    part, func = t.peek(2), t.peek()
    if not isinstance(func, Obj) or func.type is not FunctionType:
        raise Leave("unsupported_operand_types", "function")
    check_part(t, ins.arg, part)
    t.pop()
    set_part(t, func.value, ins.arg, part)
    t.drop(t.pop())
    t.push(func)


def check_part(t: Translator, bit: int, part: AV) -> None:
    if bit not in FUNCTION_PARTS or t.type_of(part) is not FUNCTION_PARTS[bit][1]:
        raise Leave("unsupported_operand_types", f"part {bit} of a function")


def set_part(t: Translator, func: Value, bit: int, part: AV) -> None:
    """Cannot fail: the function is new, and the part of the right type."""
    if bit == 8 and func in t.made:
        if isinstance(part, Tup) and all(isinstance(item, Obj | Const) for item in part.items):
            cells = [t.boxed(item) for item in part.items]
            t.made[func] = t.made[func][0], cells
            t.emit("function.close", func, *cells)
            return
        del t.made[func]
    value = t.owned_value(t.dup(part))
    t.emit("call.closed_status", func, value, imm=(FUNCTION_PARTS[bit][0], ()))
    t.emit("obj.drop", value)


# ---- with, match, the rest --------------------------------------------------------------------------------------------------


def special(t: Translator, av: AV, name: str) -> tuple[Obj | Const, object]:
    """(av with its type checked, what its type has under that name: a function or a method of C). Leaves for others."""
    kind = t.specialise(av, t.expected(0))
    found = lookup(kind, name) if kind is not None else ABSENT
    if type(found) not in (FunctionType, METHOD_DESCRIPTOR) or not isinstance(av, Obj | Const):
        raise Leave("unsupported_operand_types", name)
    assert kind is not None
    t.ensure_type(av, kind)
    if not is_static(kind) and not t.watch_type(kind):
        raise Leave("unsupported_operand_types", name)
    t.constants[id(found)] = found
    return av, found


@bytecode("LOAD_SPECIAL")
def load_special(t: Translator, ins: Ins) -> None:
    """3.14: the method, then the object that it is called with."""
    av, found = special(t, t.peek(), special_method(ins))
    t.pop()
    attributes.push_method(t, found, av)


@bytecode("BEFORE_WITH")
def before_with(t: Translator, ins: Ins) -> None:
    """Up to 3.13: the manager gives way to its bound `__exit__` and what `__enter__` returned."""
    manager, leave = special(t, t.peek(), "__exit__")
    _, enter = special(t, manager, "__enter__")
    bind = leave.__get__  # type: ignore[attr-defined]
    t.constants[id(bind)] = bind
    t.begin_opaque()
    values, temps = t.operand_values([Const(enter), Const(bind), manager])
    pair = t.emit("call.enter", *values)
    t.finish_call(pair, temps, 1, lambda made: push_pair(t, made))


def push_pair(t: Translator, pair: AV) -> None:
    """The two items of a tuple that nobody else has."""
    assert isinstance(pair, Obj)
    for k in range(2):
        item = t.emit("tuple.get", pair.value, t.const_i(k))
        t.emit("obj.incref", item)
        t.push(Obj(item, None, OWNED))
    t.emit("obj.drop", pair.value)


@bytecode("MATCH_SEQUENCE", "MATCH_MAPPING")
def match_kind(t: Translator, ins: Ins) -> None:
    """Whether the subject's type is a sequence or a mapping: a flag that no class made by C changes."""
    kind = t.specialise(t.peek(), t.expected(0))
    if kind is None or not is_static(kind):
        raise Leave("unsupported_operand_types", ins.op)
    t.push(Const(bool(flags(kind) & (SEQUENCE if ins.op == "MATCH_SEQUENCE" else MAPPING))))


@bytecode("GET_LEN")
def get_len(t: Translator, ins: Ins) -> None:
    kind = t.specialise(t.peek(), t.expected(0))
    length = INTRINSICS[id(len)](t, [t.peek()]) if kind is not None and is_static(kind) else None
    if length is None:
        raise Leave("unsupported_operand_types", ins.op)
    t.push(length)


@bytecode("LOAD_ASSERTION_ERROR")
def load_assertion_error(t: Translator, ins: Ins) -> None:
    t.push(Const(AssertionError))


@bytecode("DELETE_ATTR")
def delete_attr(t: Translator, ins: Ins) -> None:
    """As a store of NULL."""
    t.opaque_status("PyObject_SetAttr", [t.peek(), Const(t.frame.code.co_names[ins.arg]), Null()], npop=1)
    t.end_opaque()
