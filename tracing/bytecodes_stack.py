"""Locals, constants, names and the operand stack."""

from __future__ import annotations

from types import CellType, ModuleType
from typing import TYPE_CHECKING, Any

from ..abi.unbound import UNBOUND
from ..optimizer.ir import Value
from . import attributes, exceptions, mappings, names
from .attributes import push_callable
from .bytecode_table import bytecode
from .decode import Ins
from .methods import ABSENT
from .profile import MAX_KINDS
from .values import (
    AV,
    FRAME,
    HEAP,
    OWNED,
    Const,
    InFrame,
    Iterator,
    Maybe,
    MaybeNum,
    Null,
    Num,
    Obj,
    Owner,
    Raised,
    Tup,
    Twin,
    children,
    local_owner,
)
from .versions import CALL_NULL_FIRST, COMMON_CONSTANTS, FOR_ITER_PAIR, LAZY_IMPORT, fast_slots

if TYPE_CHECKING:
    from .translate import Frame, Translator


@bytecode("NOP", "RESUME", "CACHE", "NOT_TAKEN", "EXTENDED_ARG", "COPY_FREE_VARS")
def nop(t: Translator, ins: Ins) -> None:
    """Nothing happens here natively (free variables of walked-into frames are set up at the call)."""


def fetch(t: Translator, slot: int, frame: Frame) -> AV:
    """What the slot has, loaded from the frame (or the namespace) if it is still there. Leaves where it is empty."""
    av = frame.locals[slot]
    if isinstance(av, InFrame):
        names.check_slot(t, slot)
        value = names.load(t, slot)
        t.guard(t.emit("obj.is_null", value), False)
        if names.word_of(t, slot):
            names.check_value(t, value)
        av = frame.locals[slot] = Obj(value, None, FRAME)
    return av


def bound(t: Translator, slot: int, frame: Frame) -> AV:
    """The same of a local that is going to be used: leaves where it may be unbound and is."""
    av = fetch(t, slot, frame)
    if isinstance(av, Maybe):
        t.guard(t.emit("obj.is", av.value, t.const_o(UNBOUND)), False)
        av = frame.locals[slot] = Obj(av.value, av.type, av.owner)
    elif isinstance(av, MaybeNum):
        t.guard(av.bound)
        av = frame.locals[slot] = Num(av.value, av.dirty)
    if isinstance(av, Null):
        raise Leave("unbound_local")
    return av


def load_local(t: Translator, slot: int, depth: int = -1) -> AV:
    """A new slot with what the local of that frame (the innermost one if none is named) holds."""
    depth = len(t.frames) - 1 if depth < 0 else depth
    frame = t.frames[depth]
    av = bound(t, slot, frame)
    if isinstance(av, Raised):
        raise Leave("exception_handler")
    if isinstance(av, Twin):
        raise Leave("unsupported_operand_types", "iterator")
    if isinstance(av, Iterator) and frame.consumer is not None:
        frame.locals[slot] = Null()  # nobody is going to ask for it again, or to see that it is not there
        return av
    if isinstance(av, Iterator) and slot == 0 and not frame.stack and frame.info.is_expression:
        frame.locals[slot] = Twin()
        return av
    if isinstance(av, Iterator):
        av = frame.locals[slot] = settled(t, av)
    if isinstance(av, Obj):
        owner = local_owner(depth, slot) if av.owner in (OWNED, FRAME) else av.owner
        return Obj(av.value, av.type, owner)
    if isinstance(av, Tup):
        return t.dup(av)
    made = av.copy()
    if isinstance(made, Num) and depth == t.real and not made.dirty:
        made.home = slot
    made.dirty = False
    return made


@bytecode("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK")
def load_fast(t: Translator, ins: Ins) -> None:
    t.push(load_local(t, ins.arg))


@bytecode("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW")
def load_fast_load_fast(t: Translator, ins: Ins) -> None:
    first, second = fast_slots(ins.op, ins.arg)
    a, b = load_local(t, first), load_local(t, second)
    t.push(a)
    t.push(b)


@bytecode("LOAD_FAST_AND_CLEAR")
def load_fast_and_clear(t: Translator, ins: Ins) -> None:
    """A comprehension's variable hides a local of the same name, which waits on the stack."""
    frame = t.frame
    av = fetch(t, ins.arg, frame)
    root = t.in_real_frame()
    gone = Null()
    if root and isinstance(av, Obj):
        # The frame's reference moves to the stack: one is added there before the frame gives up its own.
        t.emit("obj.incref", av.value)
        t.emit("frame.store_local", t.emit("obj.null"), imm=(ins.arg,))
        av = (Maybe if isinstance(av, Maybe) else Obj)(av.value, av.type, OWNED)
    else:
        gone.dirty = root and not (isinstance(av, Null) and not av.dirty)
        av = av.copy()
        av.dirty = False
    t.promote_from(len(t.frames) - 1, ins.arg, keep=av)
    frame.locals[ins.arg] = gone
    t.push(av)


def store_check(t: Translator, slot: int, depth: int = -1, alone: bool = True) -> None:
    """Make sure that overwriting the local runs no code; leaves before the bytecode otherwise. `alone`: nothing else is dropped
    before that."""
    old = fetch(t, slot, t.frames[depth])
    if isinstance(old, Raised):
        raise Leave("exception_handler")
    if isinstance(old, Obj) and old.owner in (OWNED, FRAME) and old.type not in safe():
        if alone:
            t.end_check(old)
        else:
            t.guard(t.emit("obj.drop_is_safe", old.value))
    elif not isinstance(old, Obj):
        t.drop_check(old)


def safe() -> frozenset[type]:
    from .translate import SAFE_TO_DROP

    return SAFE_TO_DROP


def store_local(t: Translator, slot: int, av: AV, depth: int = -1) -> None:
    """Move av into the local. In the real frame, references are written through and numbers stay out of it."""
    depth = len(t.frames) - 1 if depth < 0 else depth
    frame = t.frames[depth]
    old = frame.locals[slot]
    if t.consumer is not None:
        if depth < t.consumer:
            t.call_it()
        frame.locals[slot] = av  # which is held by somebody else for as long as it is there
        return
    if isinstance(av, Obj):
        t.own(av)
    if depth != t.real:
        own_parts(t, av, local_owner(depth, slot))
        av = settled(t, av)
    t.promote_from(depth, slot, keep=av)
    if isinstance(old, Obj) and old.owner in (OWNED, FRAME) and old.type not in safe():
        t.promote_heap()  # what was borrowed from it may go with it
    if depth != t.real:
        frame.locals[slot] = av
        t.drop(old)
        return
    if isinstance(av, Num):
        if isinstance(old, Obj):
            # The slot must not keep an object alive that the interpreter would have dropped.
            names.clear(t, slot)
        frame.locals[slot] = av.copy()
        frame.locals[slot].dirty = True
        return
    value = t.owned_value(av)
    names.store(t, slot, t.value_or_null(av) if isinstance(av, Maybe) else value)
    if isinstance(av, Const):
        frame.locals[slot] = Const(av.obj)
    elif isinstance(av, Maybe):
        frame.locals[slot] = Maybe(value, av.type, FRAME)
    else:
        frame.locals[slot] = Obj(value, t.type_of(av), FRAME)


def own_parts(t: Translator, av: AV, local: Owner) -> None:
    """What exists only as its parts is about to replace what the local has: own those that were borrowed from that, or from what goes
    with it."""
    for part in children(av):
        if not isinstance(part, Obj):
            own_parts(t, part, local)
        elif part.owner is HEAP or part.owner == local:
            t.own(part)


def prepare_stored(t: Translator, position: int, root: bool) -> None:
    """Before the stack entry at `position` (1: the top) is stored. What a local of the real frame cannot hold leaves before
    the bytecode. An item that its container holds and that was always an int is unboxed: that is cheaper than another
    reference, and programs do not depend on its identity. (They do on that of a nan: `x in items` looks at it.)"""
    av = t.peek(position)
    if root and not isinstance(av, Maybe | MaybeNum) or isinstance(av, Raised):
        t.reject_hidden(av)
    if isinstance(av, Obj) and av.owner == HEAP:
        kinds = t.expected(t.expected_operands() - position)
        number = t.number(av, kinds) if kinds in ({int}, {bool}) else None
        if number is not None:
            t.frame.stack[-position] = number


@bytecode("STORE_FAST", "STORE_FAST_MAYBE_NULL")
def store_fast(t: Translator, ins: Ins) -> None:
    if isinstance(t.peek(), Null):
        restore_null(t, ins.arg)
        return
    if isinstance(t.peek(), Raised):
        exceptions.bind(t, ins.arg)
        return
    if isinstance(t.frame.locals[ins.arg], Raised) and isinstance(t.peek(), Const):
        exceptions.unbind(t, ins.arg)
        return
    prepare_stored(t, 1, t.in_real_frame())
    store_check(t, ins.arg)
    store_local(t, ins.arg, t.pop())


def restore_null(t: Translator, slot: int) -> None:
    """A comprehension gives back an unbound local."""
    store_check(t, slot)
    t.pop()
    old = t.frame.locals[slot]
    t.promote_from(len(t.frames) - 1, slot)
    if isinstance(old, Obj) and old.owner in (OWNED, FRAME) and old.type not in safe():
        t.promote_heap()
    made = Null()
    if t.in_real_frame():
        if isinstance(old, Obj):
            t.emit("frame.store_local", t.emit("obj.null"), imm=(slot,))
        else:
            made.dirty = True
    else:
        t.drop(old)
    t.frame.locals[slot] = made


@bytecode("STORE_FAST_STORE_FAST")
def store_fast_store_fast(t: Translator, ins: Ins) -> None:
    first, second = fast_slots(ins.op, ins.arg)
    root = t.in_real_frame()
    prepare_stored(t, 1, root)
    prepare_stored(t, 2, root)
    store_check(t, first, alone=False)
    store_check(t, second, alone=False)
    store_local(t, first, t.pop())
    store_local(t, second, t.pop())


@bytecode("STORE_FAST_LOAD_FAST")
def store_fast_load_fast(t: Translator, ins: Ins) -> None:
    first, second = fast_slots(ins.op, ins.arg)
    if first != second:
        if isinstance(t.frame.locals[second], InFrame):
            raise Leave("unbound_local")
        bound(t, second, t.frame)
    prepare_stored(t, 1, t.in_real_frame())
    store_check(t, first)
    store_local(t, first, t.pop())
    t.push(load_local(t, second))


@bytecode("DELETE_FAST")
def delete_fast(t: Translator, ins: Ins) -> None:
    bound(t, ins.arg, t.frame)
    store_check(t, ins.arg)
    t.push(Null())
    restore_null(t, ins.arg)


@bytecode("LOAD_CONST", "LOAD_CONST_IMMORTAL", "LOAD_CONST_MORTAL")
def load_const(t: Translator, ins: Ins) -> None:
    t.push(Const(t.frame.code.co_consts[ins.arg]))


@bytecode("LOAD_SMALL_INT")
def load_small_int(t: Translator, ins: Ins) -> None:
    t.push(Const(ins.arg))


@bytecode("LOAD_COMMON_CONSTANT")
def load_common_constant(t: Translator, ins: Ins) -> None:
    if not 0 <= ins.arg < len(COMMON_CONSTANTS):
        raise Leave("unsupported_bytecode", f"LOAD_COMMON_CONSTANT {ins.arg}")
    t.push(Const(COMMON_CONSTANTS[ins.arg]))


@bytecode("PUSH_NULL")
def push_null(t: Translator, ins: Ins) -> None:
    t.push(Null())


@bytecode("POP_TOP", "POP_ITER")
def pop_top(t: Translator, ins: Ins) -> None:
    """3.15's POP_ITER also removes the index kept beside the iterable."""
    pair = ins.op == "POP_ITER" and FOR_ITER_PAIR
    avs = [t.peek(2), t.peek(1)] if pair else [t.peek()]
    t.drop_check(*avs)
    for _ in avs:
        t.pop()
    for av in avs:
        t.drop(av)


@bytecode("END_FOR")
def end_for(t: Translator, ins: Ins) -> None:
    raise Leave("unsupported_bytecode", "END_FOR is never reached: exhausted loops go on behind it")


@bytecode("COPY")
def copy(t: Translator, ins: Ins) -> None:
    t.frame.stack[-ins.arg] = settled(t, t.peek(ins.arg))
    t.push(t.dup(t.peek(ins.arg)))


@bytecode("SWAP")
def swap(t: Translator, ins: Ins) -> None:
    stack = t.frame.stack
    stack[-1], stack[-ins.arg] = stack[-ins.arg], stack[-1]


@bytecode("LOAD_GLOBAL")
def load_global(t: Translator, ins: Ins) -> None:
    name = t.frame.code.co_names[ins.arg >> 1]
    found = global_value(t, name)
    if ins.arg & 1 and CALL_NULL_FIRST:
        t.push(Null())
    t.push(found)
    if ins.arg & 1 and not CALL_NULL_FIRST:
        t.push(Null())


def global_value(t: Translator, name: str) -> AV:
    """The value of a global or built-in name."""
    frame = t.frame
    return name_in(t, name, frame.globals, frame.builtins)


def name_in(t: Translator, name: str, *namespaces: dict[str, Any]) -> AV:
    """The value that the first namespace has for the name: what is in its slot, if it has one; else held constant by a watcher,
    unless it has changed often."""
    for namespace in namespaces:
        slot = t.names.slot_of(namespace, name) if t.names is not None else -1
        if slot >= 0:
            return load_local(t, slot, t.real)
        if t.memory.changes(namespace, name):
            return changing(t, namespace, name)
        watch(t, namespace, name)
        if name in namespace:
            value = namespace[name]
            if type(value) is LAZY_IMPORT:
                raise Leave("unbound_global", name)
            t.constants[id(value)] = value
            return Const(value)
    raise Leave("unbound_global", name)


@bytecode("LOAD_NAME")
def load_name(t: Translator, ins: Ins) -> None:
    frame, namespace = t.frame, t.entry.namespace
    if type(namespace) is not dict or not t.in_real_frame():
        raise Leave("module_level_names")
    rest = (frame.globals, frame.builtins) if namespace is not frame.globals else (frame.builtins,)
    t.push(name_in(t, frame.code.co_names[ins.arg], namespace, *rest))


@bytecode("STORE_NAME")
def store_name(t: Translator, ins: Ins) -> None:
    if not t.in_real_frame():
        raise Leave("module_level_names")
    assign(t, t.entry.namespace, t.frame.code.co_names[ins.arg])


def assign(t: Translator, namespace: Any, name: str) -> None:
    """Give the name what is on top of the stack: in its slot, or in the namespace, which tells the watchers: where this region
    relies on the name, it is left behind the store."""
    if type(namespace) is not dict:
        raise Leave("module_level_names")
    slot = t.names.slot_of(namespace, name) if t.names is not None else -1
    if slot >= 0:
        prepare_stored(t, 1, True)
        av = t.peek()
        if isinstance(av, Obj) and av.type is None:
            names.check_value(t, av.value)
        store_check(t, slot, t.real)
        store_local(t, slot, t.pop(), t.real)
        return
    if store_changing(t, namespace, name):
        return
    t.opaque_status("PyDict_SetItem", [Const(namespace), Const(name), t.peek()], npop=1)
    t.end_opaque()


def store_changing(t: Translator, namespace: dict[str, Any], name: str) -> bool:
    """Put what is on top of the stack where the namespace's table has the name, which nobody takes for constant from here on; False
    where it has no place."""
    found = names.place(namespace, name, t.memory.watcher)
    if found is None:
        return False
    if not t.memory.changes(namespace, name):
        t.memory.stored.add((id(namespace), name))
        raise Restart
    av = t.peek()
    t.reject_hidden(av)
    word = names.checked_word(t, namespace, found)
    if isinstance(av, Obj) and av.type is None:
        names.check_value(t, av.value)
    t.guard(t.emit("obj.drop_is_safe", t.emit("name.get", imm=(word,))))
    t.promote_heap()
    t.pop()
    t.emit("name.put", t.owned_value(av), imm=(word,))
    t.stores[id(namespace), name] = namespace
    return True


def changing(t: Translator, namespace: dict[str, Any], name: str) -> AV:
    """What the namespace holds now, from where its table has it."""
    found = names.place(namespace, name, t.memory.watcher)
    if found is None:
        raise Leave("unstable_global", name)
    word = names.checked_word(t, namespace, found)
    value = t.emit("name.get", imm=(word,))
    names.check_value(t, value)
    return Obj(value, None, HEAP)


def watch(t: Translator, namespace: dict[str, object], name: str) -> None:
    t.watch("dict", namespace, name, namespace.get(name, ABSENT))


def cell_of(t: Translator, slot: int) -> Value:
    """The cell object in a local slot."""
    cell = t.frame.locals[slot]
    if isinstance(cell, InFrame):
        cell = t.frame.locals[slot] = Obj(t.emit("frame.local", imm=(slot,)), CellType, FRAME)
    if isinstance(cell, Const):
        return t.const_o(cell.obj)
    if isinstance(cell, Obj):
        return cell.value
    raise Leave("unsupported_operand_types", "cell")


@bytecode("MAKE_CELL")
def make_cell(t: Translator, ins: Ins) -> None:
    """The local gives way to a new cell that has what it had. Nothing ends with that."""
    slot = ins.arg
    held = Null() if isinstance(t.frame.locals[slot], Null) else load_local(t, slot)
    if not isinstance(held, Null):
        t.reject_hidden(held)
    store_local(t, slot, new_cell(t, held))


def new_cell(t: Translator, held: AV) -> Obj:
    """A cell with that, which it takes over, or (Null) with nothing in it."""
    cell = t.emit("cell.new")
    if not isinstance(held, Null):
        t.emit("field.put", cell, t.owned_value(held), imm=("CELL_REF",))
    return Obj(cell, CellType, OWNED)


@bytecode("STORE_DEREF")
def store_deref(t: Translator, ins: Ins) -> None:
    av = t.peek()
    t.reject_hidden(av)
    cell = cell_of(t, ins.arg)
    t.guard(t.emit("obj.drop_is_safe", t.emit("field.o", cell, imm=("CELL_REF",))))
    t.promote_heap()
    t.pop()
    t.emit("field.put", cell, t.owned_value(av), imm=("CELL_REF",))


@bytecode("DELETE_DEREF")
def delete_deref(t: Translator, ins: Ins) -> None:
    cell = cell_of(t, ins.arg)
    old = t.emit("field.o", cell, imm=("CELL_REF",))
    t.guard(t.emit("obj.is_null", old), False)
    t.guard(t.emit("obj.drop_is_safe", old))
    t.promote_heap()
    t.emit("field.put", cell, t.emit("obj.null"), imm=("CELL_REF",))


@bytecode("STORE_GLOBAL")
def store_global(t: Translator, ins: Ins) -> None:
    assign(t, t.frame.globals, t.frame.code.co_names[ins.arg])


@bytecode("DELETE_GLOBAL")
def delete_global(t: Translator, ins: Ins) -> None:
    """Of a name that is there, so that it cannot fail; what the name held may end."""
    namespace, name = t.frame.globals, t.frame.code.co_names[ins.arg]
    found = None
    if type(namespace) is dict and (t.names is None or t.names.slot_of(namespace, name) < 0):
        found = mappings.find(t, Const(namespace), Const(name), -1)
    if found is None:
        raise Leave("module_level_names")
    t.guard(t.emit("obj.is_null", found), False)
    t.opaque_status("PyDict_DelItem", [Const(namespace), Const(name)], npop=0)
    t.end_opaque()


@bytecode("LOAD_DEREF")
def load_deref(t: Translator, ins: Ins) -> None:
    value = t.emit("field.o", cell_of(t, ins.arg), imm=("CELL_REF",))
    t.guard(t.emit("obj.is_null", value), False)
    made = Obj(value, None, HEAP)
    t.specialise(made, t.expected_results())
    t.push(made)


@bytecode("LOAD_ATTR")
def load_attr(t: Translator, ins: Ins) -> None:
    name = t.frame.code.co_names[ins.arg >> 1]
    is_method = bool(ins.arg & 1)
    av = t.peek()
    if isinstance(av, Const) and type(av.obj) is ModuleType:
        namespace = av.obj.__dict__
        found = name_in(t, name, namespace)
        t.pop()
        push_callable(t, found, is_method)
        return
    if attributes.load(t, name, is_method):
        return
    known, seen = t.type_of(av), t.expected(0)
    if known is not None and 0 < len(seen) < MAX_KINDS and known not in seen:
        raise Leave("cold", f"an attribute of {known.__name__}")  # a path on which such an object has never come here
    t.opaque(
        "PyObject_GetAttr", [av, Const(name)], npop=1, arrange=lambda made: push_callable(t, made, is_method)
    )


@bytecode("LOAD_SUPER_ATTR")
def load_super_attr(t: Translator, ins: Ins) -> None:
    name, as_method = t.frame.code.co_names[ins.arg >> 2], bool(ins.arg & 1)
    function = t.peek(3)
    if not isinstance(function, Const) or function.obj is not super:
        raise Leave("unsupported_call", "super")
    if not attributes.load_super(t, name, as_method):
        attributes.load_by_super_object(t, name, lambda made: push_callable(t, made, as_method))


@bytecode("STORE_ATTR")
def store_attr(t: Translator, ins: Ins) -> None:
    name = t.frame.code.co_names[ins.arg]
    if attributes.store(t, name):
        return
    t.opaque_status("PyObject_SetAttr", [t.peek(1), Const(name), t.peek(2)], npop=2)
    t.end_opaque()


from .iteration import settled  # noqa: E402  (likewise)
from .translate import Leave, Restart  # noqa: E402  (likewise)
