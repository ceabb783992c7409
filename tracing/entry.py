"""The way in: from the real frame to the first abstract state.

The door has found a frame whose slots had certain exact types when the region was compiled. The entry block checks them
again (failing guards touch nothing: the door tries its next region or stays interpreted), loads what the loop uses and
moves the operand stack out of the frame. Locals that the loop does not name stay where they are.

The iterator of a `for` at whose head the door stands becomes a virtual one (`values.Iterator`, `values.Generator`) if nobody else can
see it: the stack has the only reference to it, it has the only ones to the iterators inside, and all are of known kinds. Its
fields are read, and the object is given up. That may run code where it is an enumerate or a zip: these keep the tuple that
they gave out last, which may be the last owner of its items. The interpreter would let go of them a moment later, in the
FOR_ITER that comes next.
"""

from __future__ import annotations

from types import CodeType, FunctionType, GeneratorType
from typing import TYPE_CHECKING, Any

from ..abi import LAYOUT, memory
from ..optimizer.ir import Graph, Op, Signature, Slot, State, Value
from ..optimizer.ops.generators import SLOTS, waits_at
from ..optimizer.registry import OPS
from ..records import dataclass
from . import names
from .decode import Ins, code_info
from .generators import yields_plainly
from .iteration import COUNT_LIMIT
from .methods import holders, is_static
from .targets import ANY, DirectTarget
from .values import (
    AV,
    FOREVER,
    FRAME,
    HEAP,
    ITERATORS,
    OWNED,
    Const,
    EnumerateIter,
    Generator,
    InFrame,
    Iterator,
    ListIter,
    Null,
    Num,
    Obj,
    RangeIter,
    Tagged,
    ZipIter,
    iterator_of,
)

if TYPE_CHECKING:
    from .translate import Translator

MAX_ZIPPED = 8
UNBOX = ((int, "obj.unbox_int"), (float, "obj.unbox_float"), (bool, "obj.unbox_bool"))
"""What unboxes a number of a type, or leaves."""


@dataclass(frozen=True)
class Shape:
    """What an iterator object is made of, where it can become a virtual one: its type and the shapes inside. `counts`: a
    range's that counts 0 or more up by 1, as most do; then a loop has a constant step and indices that are not negative. Of a
    generator: its function, the offset where it goes on, and what the slots of its frame have (as in `translate.Entry`)."""

    kind: type
    inside: tuple[Shape, ...] = ()
    counts: bool = False
    func: FunctionType | None = None
    offset: int = 0
    slots: tuple[object, ...] = ()


def shape_of(address: int) -> Shape | None:
    """The shape of the object at an address, of which the caller has the only reference; None for anything that has to
    stay an object. Reads memory only, so that no reference is added while looking."""
    if memory.refcount(address) != 1:
        return None
    if memory.read64(address + LAYOUT.OB_TYPE) == id(GeneratorType):
        return generator_shape(address)
    kind = KINDS.get(memory.read64(address + LAYOUT.OB_TYPE))
    if kind is None:
        return None
    if kind is RangeIter.kind:
        start, step = (memory.signed(memory.read64(address + at)) for at in (LAYOUT.RANGEITER_START, LAYOUT.RANGEITER_STEP))
        return Shape(kind, counts=step == 1 and start >= 0)
    if issubclass(ITERATORS[kind], ListIter):
        sequence = memory.read64(address + LAYOUT.LISTITER_SEQ)
        whole = sequence and memory.read64(sequence + LAYOUT.OB_TYPE) == id(ITERATORS[kind].over)  # type: ignore[attr-defined]
        return Shape(kind) if whole else None
    if kind is enumerate:
        inner = shape_of(memory.read64(address + LAYOUT.ENUM_INNER))
        small = memory.signed(memory.read64(address + LAYOUT.ENUM_COUNT)) < COUNT_LIMIT
        return Shape(kind, (inner,)) if inner is not None and small else None
    held = memory.read64(address + LAYOUT.ZIP_INNER)
    count = memory.read64(address + LAYOUT.ZIP_COUNT)
    if memory.read64(address + LAYOUT.ZIP_STRICT) or not 0 < count <= MAX_ZIPPED or memory.refcount(held) != 1:
        return None
    inside = [shape_of(memory.read64(held + LAYOUT.TUPLE_ITEMS + 8 * n)) for n in range(count)]
    shapes = tuple(shape for shape in inside if shape is not None)
    return Shape(kind, shapes) if len(shapes) == count else None


def generator_shape(address: int) -> Shape | None:
    """The shape of a generator that waits behind a yield and can be walked into. The region keeps its function, which must therefore
    be one that the program holds by a name."""
    frame = address + LAYOUT.GEN_FRAME
    code: CodeType = memory.object_at(memory.slot_object(memory.read64(frame + LAYOUT.FRAME_CODE)))
    info = code_info(code)
    offset = memory.read64(frame + LAYOUT.FRAME_IP) - LAYOUT.OWN_FRAME_IP_ADJUST - LAYOUT.CODE_BYTES - id(code)
    func = memory.object_at(memory.slot_object(memory.read64(frame + LAYOUT.FRAME_FUNC)))
    behind = info.by_offset.get(offset)
    if behind is None or behind.op != "RESUME" or not waits_at(address, id(func), id(code), offset):
        return None
    if func.__code__ is not code or not yields_plainly(info) or holders(func) is None:
        return None
    depth = info.depth_at(offset) - 1  # without what `next` will send
    slots = tuple(kind_of(memory.read64(address + SLOTS + 8 * k), k >= info.nlocalsplus) for k in range(info.nlocalsplus + depth))
    return Shape(GeneratorType, func=func, offset=offset, slots=slots)


def kind_of(bits: int, iterates: bool = False) -> object:
    """The exact type of what a slot holds; None for NULL, 'tagged' for an unboxed integer. `iterates`: or the shape of an
    iterator to which the slot has the only reference."""
    if LAYOUT.TAGGED and bits & 3 == 3:
        return "tagged"
    address = memory.slot_object(bits)
    if not address:
        return None
    shape = shape_of(address) if iterates and not (LAYOUT.TAGGED and bits & 1) else None
    return shape or type(memory.object_at(address))


KINDS: dict[int, type] = {id(kind): kind for kind in ITERATORS}


def mismatch() -> State:
    return State("mismatch", (), "entry")


def enter(t: Translator) -> None:
    """Emit the entry block and jump to the door's first version."""
    from .translate import Frame, Refused

    entry = t.entry
    info = t.root
    t.block = t.graph.block("entry")
    frame = Frame(info, None, entry.globals, entry.builtins, len(entry.locals))
    t.frames = [frame]
    is_same = t.emit("obj.is", t.emit("frame.globals"), t.const_o(entry.globals))
    t.emit("guard", is_same, imm=(True,), state=mismatch())
    is_same = t.emit("obj.is", t.emit("frame.builtins"), t.const_o(entry.builtins))
    t.emit("guard", is_same, imm=(True,), state=mismatch())
    if entry.namespace is not None:
        is_same = t.emit("obj.is", t.emit("frame.namespace"), t.const_o(entry.namespace))
        t.emit("guard", is_same, imm=(True,), state=mismatch())
    names.check_own_table(t, mismatch())
    used = used_slots(t)
    live = info.live.get(info.real(entry.offset), frozenset())
    dead = frozenset(range(info.nlocalsplus)) - live if not entry.function_door else frozenset()
    for k, kind in enumerate(entry.locals):
        is_name = k >= info.nlocalsplus
        if is_name and (t.names is None or k not in t.names.words) or entry.function_door and kind is None:
            frame.locals[k] = Null()  # the door made the frame: what is no parameter is unbound. A name has no value yet
        else:
            frame.locals[k] = load_local(t, k, kind, k in dead) if k in used else InFrame()
    stack: list[AV] = []
    for depth, kind in enumerate(entry.stack):
        stack.append(load_stack(t, depth, kind))
    frame.stack = stack
    gone: list[tuple[Iterator | Generator, Value]] = []
    for depth, av in enumerate(stack):
        # Only now, when no entry guard can fail any more, references are moved out.
        if isinstance(av, Obj):
            av.value = t.emit("frame.take_stack", imm=(depth,))
        elif isinstance(av, Iterator | Generator):
            gone.append((av, t.emit("frame.take_stack", imm=(depth,))))
            t.own(av)
    if entry.stack:
        t.emit("frame.lower_stack", imm=(0,))
    for it, value in gone:
        if not isinstance(it, EnumerateIter | ZipIter | Generator):
            t.emit("obj.drop", value)
            continue
        t.emit("call.dealloc", value)
        names.forget(t)
        state = t.frame_state(entry.offset, reason="invalidated", when="after")
        t.emit("guard", t.emit("region.valid"), imm=(True,), state=state)
        t.emit("guard", t.emit("frame.taken"), imm=(False,), state=state)
        names.check_own_table(t, state)
    t.effect = False
    if t.body is not None or info.is_merge(entry.offset):
        t.arrive(entry.offset)
    else:
        t.walk(entry.offset)
    if not t.versions and t.body is not None:
        raise Refused("not_a_loop")


def enter_direct(t: Translator) -> None:
    """A function for direct calls: parameters are what the signature says, everything else is unbound."""
    from .translate import REPR_OF, Frame, Refused, function_parts

    entry, info = t.entry, t.root
    func: Any = entry.direct
    kinds: list[type] = []
    for kind in entry.locals[: entry.code.co_argcount]:
        if not isinstance(kind, type):
            raise Refused("unsupported_operand_types", "an unbound parameter")
        kinds.append(kind)
    reprs = ["o" if k in info.identified else REPR_OF.get(kind, "o") for k, kind in enumerate(kinds)]
    signature = Signature("".join(reprs), "o" if entry.boxed else result_kind(t))
    t.graph.signature = signature
    t.own_target = t.memory.declare(func, tuple(kinds), signature, boxed=entry.boxed)
    t.block = t.graph.block("entry")
    frame = Frame(info, func, entry.globals, entry.builtins, info.nlocalsplus)
    t.constants[id(func)] = func
    t.watch("function", func, "", function_parts(func))
    watch_holders(t, func)
    t.frames = [frame]
    for k, (kind, repr_) in enumerate(zip(kinds, signature.params, strict=True)):
        value = t.emit(f"arg.{repr_}", imm=(k,))
        if repr_ != "o":
            frame.locals[k] = Num(value)
        elif kind is type(None):
            frame.locals[k] = Const(None)
        else:
            frame.locals[k] = Obj(value, None if kind is ANY else kind, FOREVER)
    for k, cell in zip(info.free, func.__closure__ or ()):
        frame.locals[k] = Const(cell)
    if info.is_merge(entry.offset):
        t.arrive(entry.offset)
    else:
        t.walk(entry.offset)


def watch_holders(t: Translator, func: FunctionType) -> None:
    """Rely on the names by which the program holds the function: the region keeps it alive, so something must tell when the
    program lets go of it. Raises Refused where there is nothing of the kind."""
    from .translate import Refused

    chain = holders(func)
    if chain is None:
        raise Refused("needs_frame", "a function that no global name holds")
    for holder, name, held in chain:
        if not isinstance(holder, type):
            t.watch("dict", holder, name, held)
        elif not t.watch_type(holder):
            raise Refused("needs_frame", "a method of a class that changes")


def door_graph(target: DirectTarget) -> Graph:
    """The way from a vectorcall's arguments into a direct function: unboxed, called, the result boxed."""
    graph = Graph(f"{target.func.__code__.co_qualname} door")
    block = graph.block("entry")

    def emit(name: str, *args: Value, imm: tuple[Any, ...] = (), state: State | None = None) -> Value:
        made = Op(OPS[name], list(args), imm, state)
        block.ops.append(made)
        return made.result if made.result is not None else Value("o", made)

    values: list[Value] = []
    for k, (kind, repr_) in enumerate(zip(target.kinds, target.signature.params, strict=True)):
        value = emit("door.arg", imm=(k,))
        if repr_ != "o":
            name = {"i": "obj.unbox_int", "f": "obj.unbox_float", "b": "obj.unbox_bool"}[repr_]
            value = emit(name, value, state=mismatch())
        elif kind is not ANY:
            emit("guard", emit("obj.type_is", value, imm=(kind,)), imm=(True,), state=mismatch())
        values.append(value)
    result = target.signature.result
    gone = State("suspended", (), "suspended", None, "after")
    made = emit(f"direct.call_{result}", *values, imm=("self",), state=gone)
    block.exit(State("return", (), "return", Slot("steal" if result == "o" else "box", (made,))))
    return graph


def result_kind(t: Translator) -> str:
    """The representation of the function's result: that of the only type ever returned, a reference otherwise."""
    from .translate import REPR_OF

    kinds: set[object] = set()
    for ins in t.root.instructions:
        if ins.op == "RETURN_CONST":
            kinds.add(type(t.root.code.co_consts[ins.arg]))
        elif ins.op == "RETURN_VALUE":
            seen = t.profiles.get(t.root.code, ins.offset)
            if seen is not None and seen.operands:
                kinds.update(seen.operands[0])
    only = kinds.pop() if len(kinds) == 1 else None
    return REPR_OF.get(only, "o") if isinstance(only, type) else "o"


def used_slots(t: Translator) -> set[int]:
    offsets = t.body if t.body is not None else t.root.reachable
    used: set[int] = set()
    for offset in offsets:
        ins: Ins = t.root.at(offset)
        used.update(t.root.slots_used(ins))
    return used


def load_local(t: Translator, slot: int, kind: object, dead: bool) -> AV:
    """A local with its recorded type checked, if it is no class's, and the code is going to look at it. Its box stays in the frame,
    which goes on owning it."""
    names.check_slot(t, slot, mismatch())
    value = names.load(t, slot)
    if kind is None:
        t.emit("guard", t.emit("obj.is_null", value), imm=(True,), state=mismatch())
        return Null()
    assert isinstance(kind, type)
    number = unboxed(t, value, kind) if slot not in t.root.identified else None
    if number is not None:
        return number
    if kind is type(None) and not dead:
        t.emit("guard", t.emit("obj.is", value, t.const_o(None)), imm=(True,), state=mismatch())
        return Const(None)
    if dead or not is_static(kind):
        # One region for all classes: where the loop looks at the object it finds out, and what does not change is hoisted.
        t.emit("guard", t.emit("obj.is_null", value), imm=(False,), state=mismatch())
        if names.word_of(t, slot):
            names.check_value(t, value, mismatch())
        return Obj(value, None, FRAME)
    check(t, value, kind)
    return Obj(value, kind, FRAME)


def unboxed(t: Translator, value: Value, kind: object) -> Num | None:
    """The number that an object of that type is; None for other types. Compared by identity: a metaclass may say what is equal."""
    for number, name in UNBOX:
        if kind is number:
            return Num(t.emit(name, value, state=mismatch()))
    return None


def check(t: Translator, value: Value, kind: Any) -> None:
    t.emit("guard", t.emit("obj.is_null", value), imm=(False,), state=mismatch())
    t.constants[id(kind)] = kind
    t.emit("guard", t.emit("obj.type_is", value, imm=(kind,)), imm=(True,), state=mismatch())


def load_stack(t: Translator, depth: int, kind: object) -> AV:
    """An operand-stack entry; its reference is not moved yet."""
    if kind == "tagged":
        return Tagged(t.emit("frame.stack_tagged", imm=(depth,), state=mismatch()))
    value = t.emit("frame.stack", imm=(depth,))
    if kind is None:
        t.emit("guard", t.emit("obj.is_null", value), imm=(True,), state=mismatch())
        return Null()
    if isinstance(kind, Shape):
        t.emit("guard", t.emit("frame.stack_unique", imm=(depth,)), imm=(True,), state=mismatch())
        return load_generator(t, value, kind) if kind.func is not None else load_iterator(t, value, kind)
    check(t, value, kind)
    return Obj(value, kind, OWNED)  # type: ignore[arg-type]


def load_iterator(t: Translator, value: Value, shape: Shape) -> Iterator:
    """The virtual iterator in the state of the real one, of which there is no second reference. The sequences are still
    borrowed."""
    check(t, value, shape.kind)
    cls = ITERATORS[shape.kind]
    if cls is RangeIter:
        start, length, step = (t.emit("field.i", value, imm=(f"RANGEITER_{f}",)) for f in ("START", "LEN", "STEP"))
        if shape.counts:
            require(t, t.emit("int.eq", step, t.const_i(1)))
            require(t, t.emit("int.lt", start, t.const_i(0)), False)
            step = t.const_i(1)
        return RangeIter(start, length, step)
    if issubclass(cls, ListIter):
        sequence = t.emit("field.o", value, imm=("LISTITER_SEQ",))
        check(t, sequence, cls.over)
        index = t.emit("field.i", value, imm=("LISTITER_INDEX",))
        return iterator_of(shape.kind, (index,), (Obj(sequence, cls.over, HEAP),))
    if cls is EnumerateIter:
        count = t.emit("field.i", value, imm=("ENUM_COUNT",))
        require(t, t.emit("int.lt", count, t.const_i(COUNT_LIMIT)))
        return EnumerateIter(count, load_inner(t, t.emit("field.o", value, imm=("ENUM_INNER",)), shape.inside[0]))
    for name, wanted in (("ZIP_STRICT", 0), ("ZIP_COUNT", len(shape.inside))):
        require(t, t.emit("int.eq", t.emit("field.i", value, imm=(name,)), t.const_i(wanted)))
    held = t.emit("field.o", value, imm=("ZIP_INNER",))
    require(t, t.emit("obj.shared", held), False)
    inside = [load_inner(t, t.emit("tuple.get", held, t.const_i(n)), s) for n, s in enumerate(shape.inside)]
    return ZipIter(tuple(inside))


def load_generator(t: Translator, value: Value, shape: Shape) -> Generator:
    """The virtual generator in the state of the real one, likewise."""
    from .generators import origin
    from .translate import function_parts

    func: Any = shape.func
    code = func.__code__
    t.constants[id(func)], t.constants[id(code)] = func, code
    t.codes.add(code)
    t.watch("function", func, "", function_parts(func))
    watch_holders(t, func)
    check(t, value, shape.kind)
    require(t, t.emit("generator.waits", value, imm=(func, code, shape.offset)))
    slots = [load_slot(t, value, k, kind) for k, kind in enumerate(shape.slots)]
    nlocals = code_info(code).nlocalsplus
    return Generator(origin(func), Const(func), shape.offset, slots[:nlocals], slots[nlocals:])


def load_slot(t: Translator, generator: Value, slot: int, kind: object) -> AV:
    """What a slot of the generator's frame has, with its recorded type checked if it is no class's."""
    if kind == "tagged":
        return Tagged(t.emit("generator.tagged", generator, imm=(slot,), state=mismatch()))
    value = t.emit("generator.slot", generator, imm=(slot,))
    if kind is None:
        t.emit("guard", t.emit("obj.is_null", value), imm=(True,), state=mismatch())
        return Null()
    number = unboxed(t, value, kind)
    if number is not None:
        return number
    if isinstance(kind, Shape) and kind.func is None:
        return load_inner(t, value, kind)
    kind = kind.kind if isinstance(kind, Shape) else kind
    if isinstance(kind, type) and is_static(kind):
        check(t, value, kind)
        return Obj(value, kind, HEAP)
    t.emit("guard", t.emit("obj.is_null", value), imm=(False,), state=mismatch())
    return Obj(value, None, HEAP)


def load_inner(t: Translator, value: Value, shape: Shape) -> Iterator:
    require(t, t.emit("obj.shared", value), False)
    return load_iterator(t, value, shape)


def require(t: Translator, cond: Value, expected: bool = True) -> None:
    t.emit("guard", cond, imm=(expected,), state=mismatch())
