"""The SSA form: values, operations, blocks, frame states, graphs.

A graph is what one compile of a region works on. It is regenerated from the recorded observations each time, so the
classes here are plain and disposable: no use lists, no intrusive links. Joins are expressed with block parameters
(each jump passes arguments) because they keep the frame states and the values of a merge in one place; a phi is the
same thing written at the other end.

Every value has one of four representations, and no operation converts between them silently:

    i   a Python int that fits 64 bits, as i64
    f   a Python float, as double
    b   a bool (or an internal condition), as i1
    o   a reference to a Python object (0 where the operation says NULL is possible)

A *frame state* describes, for each interpreter frame that is live at a point, how to rebuild it there. Operations
that can leave the region carry one. States name values, so passes rewrite them together with operands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType
from typing import TYPE_CHECKING

from ..records import dataclass, field

if TYPE_CHECKING:
    from .registry import OpInfo

REPRS = ("i", "f", "b", "o")


class Value:
    """One SSA value; `producer` is the operation, or the block it is a parameter of."""

    __slots__ = ("repr", "producer", "number")

    def __init__(self, repr_: str, producer: Op | Block) -> None:
        self.repr = repr_
        self.producer = producer
        self.number = -1

    def __repr__(self) -> str:
        return f"%{self.number if self.number >= 0 else hex(id(self))[-5:]}:{self.repr}"


class Op:
    """One operation: registry entry, operands, immediates, result and, where it can leave the region, a state."""

    __slots__ = ("info", "args", "imm", "result", "state")

    def __init__(self, info: OpInfo, args: list[Value], imm: tuple[object, ...], state: State | None) -> None:
        self.info = info
        self.args = args
        self.imm = imm
        self.result: Value | None = Value(info.result, self) if info.result else None
        self.state = state

    @property
    def name(self) -> str:
        return self.info.name

    def consumed(self) -> list[Value]:
        """The references that the operation takes over."""
        if -1 in self.info.consumes:
            return [a for a in self.args if a.repr == "o"]
        return [self.args[n] for n in self.info.consumes]

    def __repr__(self) -> str:
        return f"<{self.name} {self.args} {self.imm}>"


STEALS = ("steal", "maybe_steal")
"""Kinds of slots that take their value's reference over."""


@dataclass(eq=False)
class Slot:
    """How to fill one interpreter slot: what to materialise from which values.

    kind is one of: null, box (values[0] is i, f or b), steal (owned object), new (borrowed object, gets a new
    reference), const (obj), range_iter (start, length, step), range (start, stop, step), tuple (parts), tagged
    (3.15's unboxed stack integers), poison, local (another reference to what the outermost frame's local `index`
    holds), and iterators: sequence_iter and reversed_iter (index; the list or tuple as a part), enumerate (count; the
    iterator inside), zip (the iterators inside). generator: its parts are its function, its code and the names of parameters that are
    given by name only, then locals and operand stack; it goes on at the offset `index`, or is new (0). One that runs has the first
    three only: what it has is in its frame's record. twin: on the stack of a generator's frame, another reference to its local `index`.
    maybe_box (values: a number, and a b that says whether there is one), maybe_steal and maybe_new are for locals that may be unbound
    (the reference is then to `UNBOUND`), and leave the slot empty where they are.
    instance: of the class `obj`, with the parts as its attributes, oldest first; `places` says of each where it is (the number of
    the place in inline values, or minus the offset in the instance). cell: its part, if it has one, is what is in it. function: of the
    code `obj`; the first part is its namespace, others are the cells of its closure. method: bound, its parts are the function and
    the object. Of these four (SHARED) slots with the same `index`
    show the same object.
    """

    kind: str
    values: tuple[Value, ...] = ()
    obj: object = None
    parts: tuple[Slot, ...] = ()
    index: int = 0
    places: tuple[int, ...] = ()

    def map(self, fn: Callable[[Value], Value]) -> Slot:
        parts = tuple(p.map(fn) for p in self.parts)
        return Slot(self.kind, tuple(map(fn, self.values)), self.obj, parts, self.index, self.places)

    def each_value(self) -> Iterator[Value]:
        yield from self.values
        for part in self.parts:
            yield from part.each_value()


GENERATOR_HEAD = 3
"""The parts of a generator before those that its frame has."""
SHARED = ("instance", "cell", "function", "method")
"""Slots that show objects which several slots may show."""

_NO_LOCALS: dict[int, Slot] = {}
_NO_STACK: list[Slot] = []


@dataclass(eq=False)
class FrameRec:
    """One frame of a state. `offset` is the instruction to run next there (of an outer frame: the one after its
    call), `call_offset` the call in progress (of an innermost frame in an error state: the raising instruction).
    `locals` lists the slots to write (by number, or by the address of a name's word, see tracing/names.py); of inlined frames
    (func is not None) every other slot is NULL. `answer`: what is done with the result of the call
    in progress, a key of `answers.ANSWERS`."""

    code: CodeType
    func: object
    offset: int
    call_offset: int
    locals: dict[int, Slot]
    stack: list[Slot]
    poison: tuple[str, ...] = ()
    answer: str = "value"

    def map(self, fn: Callable[[Value], Value]) -> FrameRec:
        return FrameRec(
            self.code,
            self.func,
            self.offset,
            self.call_offset,
            {k: s.map(fn) for k, s in self.locals.items()},
            [s.map(fn) for s in self.stack],
            self.poison,
            self.answer,
        )


@dataclass(eq=False)
class State:
    """A frame state: frames outermost first, what kind of exit it is and why it is taken.

    kind: resume (go on at the innermost frame's offset), return (value = result), mismatch (entry guard: nothing
    was touched), error (a Python exception is set), suspended (all frames wait for their callee, which has left
    itself: see ops/direct.py). `when` says whether the state describes the moment before or
    after the current bytecode; the verifier holds opaque operations and what follows them to it.
    """

    kind: str
    frames: tuple[FrameRec, ...]
    reason: str = ""
    result: Slot | None = None
    when: str = "before"
    exit_id: int = field(default=-1)
    branch: tuple[CodeType, int, bool] | None = None
    """Of a way never taken while recording: code, bytecode offset and whether it is the jump's target. What a recording
    behind the exit cannot see."""
    work: float = 0.0
    """What native code has spared in the current round of the door's loop when it leaves here, about, in the unit of tracing/weights.py."""

    def map(self, fn: Callable[[Value], Value]) -> State:
        return State(
            self.kind,
            tuple(f.map(fn) for f in self.frames),
            self.reason,
            self.result.map(fn) if self.result is not None else None,
            self.when,
            self.exit_id,
            self.branch,
            self.work,
        )

    def forget_slots(self) -> None:
        """Give up what says how to fill frames, when a descriptor has been made of it."""
        self.result = None
        for frame in self.frames:
            frame.locals, frame.stack = _NO_LOCALS, _NO_STACK

    def values(self) -> list[Value]:
        """The distinct values named, in a fixed order: their positions are their exit-buffer indices."""
        seen: dict[Value, None] = {}
        if self.result is not None:
            for v in self.result.each_value():
                seen.setdefault(v)
        for frame in self.frames:
            for slot in frame.locals.values():
                for v in slot.each_value():
                    seen.setdefault(v)
            for slot in frame.stack:
                for v in slot.each_value():
                    seen.setdefault(v)
        return list(seen)


@dataclass(eq=False)
class Edge:
    block: Block
    args: list[Value]


class Block:
    """A basic block. `edges` belong to the terminator: jump has one, branch two (true, false), exit none."""

    __slots__ = ("label", "params", "ops", "term", "cond", "edges", "state", "note")

    def __init__(self, label: str) -> None:
        self.label = label
        self.params: list[Value] = []
        self.ops: list[Op] = []
        self.term = ""
        self.cond: Value | None = None
        self.edges: list[Edge] = []
        self.state: State | None = None
        self.note = ""

    def param(self, repr_: str) -> Value:
        value = Value(repr_, self)
        self.params.append(value)
        return value

    def jump(self, target: Block, args: list[Value]) -> None:
        self.term, self.edges = "jump", [Edge(target, args)]

    def branch(self, cond: Value, yes: Edge, no: Edge) -> None:
        self.term, self.cond, self.edges = "branch", cond, [yes, no]

    def exit(self, state: State) -> None:
        self.term, self.state, self.edges = "exit", state, []

    def __repr__(self) -> str:
        return f"<block {self.label}>"


@dataclass(frozen=True)
class Signature:
    """How native code calls a function directly: the representations of its parameters and of its result."""

    params: str
    result: str


class Graph:
    """A single-entry graph of blocks; `blocks[0]` is the entry and has no parameters. With a signature it is a function
    for direct calls, without a frame of the interpreter (see ops/direct.py)."""

    def __init__(self, name: str, signature: Signature | None = None) -> None:
        self.name = name
        self.signature = signature
        self.blocks: list[Block] = []
        self.instances = 0
        """The highest number of an instance that states show."""

    def block(self, label: str) -> Block:
        made = Block(f"{label}.{len(self.blocks)}")
        self.blocks.append(made)
        return made

    def clear(self) -> None:
        """Give everything up. Values and what produces them refer to each other, and would keep the program's objects that are
        immediates of operations until the next garbage collection."""
        for block in self.blocks:
            for op in block.ops:
                if op.result is not None:
                    del op.result.producer
                op.args, op.imm, op.result, op.state = [], (), None, None
            block.params, block.ops, block.edges, block.cond, block.state = [], [], [], None, None
        self.blocks = []

    def reverse_postorder(self) -> list[Block]:
        """Reachable blocks, each before its successors except along back edges."""
        order: list[Block] = []
        seen: set[int] = {id(self.blocks[0])}
        work: list[tuple[Block, int]] = [(self.blocks[0], 0)]
        while work:
            block, at = work.pop()
            if at < len(block.edges):
                work.append((block, at + 1))
                target = block.edges[at].block
                if id(target) not in seen:
                    seen.add(id(target))
                    work.append((target, 0))
            else:
                order.append(block)
        order.reverse()
        return order

    def states(self) -> Iterator[State]:
        for block in self.blocks:
            for op in block.ops:
                if op.state is not None:
                    yield op.state
            if block.state is not None:
                yield block.state

    def number(self) -> None:
        """Give values their printed numbers, in reverse postorder."""
        n = 0
        for block in self.reverse_postorder():
            for value in block.params:
                value.number = n
                n += 1
            for op in block.ops:
                if op.result is not None:
                    op.result.number = n
                    n += 1
