"""Guards and loads that come to the same in each round of a loop, done once before it.

LLVM moves arithmetic out of loops by itself, but no guard (leaving earlier is another behaviour to it) and no load behind one.
Here both are possible: before each loop stands an `anchor`, whose frame state is that of the loop's head. A guard that is moved there
leaves with that state, and the interpreter does the loop's rounds: leaving earlier than need be is never wrong. It may be
useless, if the guard fails where the loop would not have come to it; the door notices such exits, and the place gets no anchor
again.

What can be moved is done in every round (its block dominates the ends of all rounds) and has operands from outside of
the loop, or moved ones. Loads need that nothing in the loop writes what they read; of items, those that hold an object of one type
survive stores to those that held a number; attributes survive stores to other places. A load relies on checks that may stay
inside, on branches even, so it takes along checks of its own: that the object is there, is a list, and has the item.

Inner loops come first: what is moved out of them can then be moved on.
"""

from __future__ import annotations

from ...records import dataclass
from ..analysis import Dominators, predecessors
from ..ir import Block, Graph, Op, State, Value
from ..registry import OPS
from .dce import copies
from .fold import fixed_type

MOVABLE = frozenset(
    {
        "const.i", "const.f", "const.b", "const.o", "obj.is_null", "obj.is",
        "int.lt", "int.le", "int.gt", "int.ge", "int.eq", "int.ne", "int.below", "int.add", "int.sub", "int.select", "int.add_fits", "int.sub_fits",
        "guard", "obj.unbox_int", "obj.unbox_float", "obj.unbox_bool", "obj.unbox_number",
    }
)  # fmt: skip
"""Operations that can be done anywhere: they trap on nothing. (What fits in the loop may wrap before it.)"""
HOLDERS: dict[str, type] = {"list.len": list, "list.get": list, "tuple.len": tuple, "tuple.get": tuple}
"""Loads, and the exact type that their first operand has to have."""
ATTRIBUTES = frozenset({"values.valid", "values.alone", "values.get", "slot.get", "keys.count"})
"""Loads, with the exact type that their operand has to have as an immediate."""
PLACES = frozenset({"values.get", "slot.get"})
EVERYWHERE = -1
"""The place at which functions put attributes that are called directly."""
WORTH = frozenset({"guard", "obj.unbox_int", "obj.unbox_float", "obj.unbox_bool", "obj.unbox_number", *HOLDERS, *PLACES})
"""What LLVM would not move; the others only go along with these."""
NUMBERS = (int, float)


def hoist(graph: Graph) -> int:
    """Takes all anchors away. Returns the number of operations moved, and of anchors and parameters taken away."""
    if not any(op.name == "anchor" for block in graph.blocks for op in block.ops):
        return 0
    changes = copies(graph)
    order = graph.reverse_postorder()
    tree = Dominators(order)
    homes = {op.result: block for block in order for op in block.ops if op.result is not None}
    homes.update((param, block) for block in order for param in block.params)
    for loop in loops(order, tree):
        changes += Mover(loop, tree, homes).run()
    for block in order:
        kept = [op for op in block.ops if op.name != "anchor"]
        changes += len(block.ops) - len(kept)
        block.ops[:] = kept
    return changes


@dataclass(eq=False)
class Loop:
    before: Block
    """The one block from which it is entered."""
    blocks: list[Block]
    """In reverse postorder."""
    ends: list[Block]
    """Where rounds end: the blocks that jump to the head."""


def loops(order: list[Block], tree: Dominators) -> list[Loop]:
    """The loops that are entered from one place with an anchor, inner ones first."""
    preds = predecessors(order)
    place = {block: n for n, block in enumerate(order)}
    found = []
    for head in order:
        ends = [p for p in preds[head] if tree.dominates(head, p)]
        entries = [p for p in preds[head] if not tree.dominates(head, p)]
        if not ends or len(entries) != 1 or entries[0].term != "jump":
            continue
        body = {head}
        work = list(ends)
        while work:
            block = work.pop()
            if block not in body:
                body.add(block)
                work += preds[block]
        found.append(Loop(entries[0], sorted(body, key=place.__getitem__), ends))
    return sorted(found, key=lambda loop: len(loop.blocks))


class Mover:
    """Moves what can be moved out of one loop."""

    def __init__(self, loop: Loop, tree: Dominators, homes: dict[Value, Block]) -> None:
        self.loop, self.tree, self.homes = loop, tree, homes
        self.inside = set(loop.blocks)
        self.always = [b for b in loop.blocks if all(tree.dominates(b, end) for end in loop.ends)]
        self.out: list[Op] = []
        self.ready: set[Value] = set()
        self.known: set[tuple[Value, object]] = set()
        """(value, type) of what is checked before the loop, by now; (value, None): that it is not NULL."""
        self.here: set[tuple[Value, object]] = set()
        """The same of what is checked at the anchor: of classes that objects may lose. (value, True): has inline values."""

    def run(self) -> int:
        ops = self.loop.before.ops
        at = next((n for n in range(len(ops) - 1, -1, -1) if ops[n].name == "anchor"), -1)
        if at < 0:
            return 0
        state = ops[at].state
        assert state is not None
        self.state: State = state
        self.late = {op.result for op in ops[at:]}
        self.look_around(ops[:at])
        moved = 0
        while self.sweep():
            ops[at:at] = self.out
            moved += len(self.out)
            at += len(self.out)
            self.out = []
        return moved

    def look_around(self, before: list[Op]) -> None:
        """What the loop writes (attributes at which places), what types it finds, and what is known before it."""
        self.writes: set[str] = set()
        self.types: dict[Value, object] = {}
        self.numbers_only = True
        self.put: set[object] = set()
        for block in self.loop.blocks:
            for op in block.ops:
                if op.name == "poll":
                    continue
                self.writes |= op.info.writes
                if "attr" in op.info.writes:
                    self.put.add(op.imm[1] if len(op.imm) > 1 else EVERYWHERE)
                if "item" in op.info.writes:
                    self.numbers_only &= bool(op.imm) and op.name.startswith("list.set_") and op.imm[0] in NUMBERS
        for block in self.always:
            self.types.update(checked(block.ops))
        block = self.loop.before
        self.known.update(checked(before))
        while (n := self.tree.index[block]) != 0:
            block = self.tree.order[self.tree.idom[n]]
            self.known.update(checked(block.ops))

    def outside(self, value: Value) -> bool:
        return value in self.ready or (self.homes[value] not in self.inside and value not in self.late)

    def sweep(self) -> bool:
        """Move one round of candidates to `out`. Returns whether there was something."""
        chosen: list[tuple[Block, Op]] = []
        start = set(self.ready)
        for block in self.always:
            for op in block.ops:
                if self.can_move(op):
                    chosen.append((block, op))
                    if op.result is not None:
                        self.ready.add(op.result)
        needed = self.needed([op for _, op in chosen])
        self.ready = start
        for block in {block for block, _ in chosen}:
            block.ops[:] = [op for op in block.ops if id(op) not in needed]
        for _, op in chosen:
            if id(op) not in needed:
                continue
            self.take_along(op)
            if op.info.guard:
                op.state = self.state
            elif op.name.endswith("_fits"):
                op.info = OPS[op.name.removesuffix("_fits")]
            self.emit(op)
            if op.name == "guard":
                self.known.update(checked([op]))
                self.here.update(checked([op]))
        return bool(self.out)

    def needed(self, chosen: list[Op]) -> set[int]:
        """Those that are worth moving, with what they need."""
        makers = {op.result: op for op in chosen if op.result is not None}
        work = [op for op in chosen if op.name in WORTH]
        found: set[int] = set()
        while work:
            op = work.pop()
            if id(op) not in found:
                found.add(id(op))
                work += [makers[a] for a in op.args if a in makers]
        return found

    def can_move(self, op: Op) -> bool:
        if not all(self.outside(a) for a in op.args):
            return False
        if op.info.guard and (op.state is None or op.state.kind != "resume"):
            return False
        if op.name == "obj.type_is":
            return fixed_type(op.imm[0]) or "any" not in self.writes
        if op.name in MOVABLE:
            return True
        if op.name in ATTRIBUTES:
            return "any" not in self.writes and not (op.name in PLACES and {op.imm[1], EVERYWHERE} & self.put)
        if op.name not in HOLDERS or self.writes & (op.info.reads - {"item"}) or "any" in self.writes:
            return False
        if "item" not in op.info.reads or "item" not in self.writes:
            return True
        kind = self.types.get(op.result) if op.result is not None else None
        return self.numbers_only and isinstance(kind, type) and kind not in NUMBERS

    def take_along(self, op: Op) -> None:
        """The checks that the operation relies on, wherever they are: that they hold before the loop is not said."""
        if op.name == "obj.type_is":
            self.check_null(op.args[0])
        elif op.name in ATTRIBUTES and op.args:
            self.check_instance(op)
        elif op.name in HOLDERS:
            holder, kind = op.args[0], HOLDERS[op.name]
            self.check_null(holder)
            if (holder, kind) not in self.known:
                self.known.add((holder, kind))
                self.check(self.new("obj.type_is", [holder], (kind,)), True)
            if op.name.endswith(".get"):
                size = self.new(op.name.replace("get", "len"), [holder])
                self.check(self.new("int.below", [op.args[1], size]), True)

    def check_instance(self, op: Op) -> None:
        holder, kind = op.args[0], op.imm[0]
        self.check_null(holder)
        if (holder, kind) not in self.here:
            self.here.add((holder, kind))
            self.check(self.new("obj.type_is", [holder], (kind,)), True)
        if op.name == "values.get" and (holder, True) not in self.here:
            self.here.add((holder, True))
            self.check(self.new("values.valid", [holder], (kind,)), True)

    def check_null(self, value: Value) -> None:
        if not {(value, None), (value, list), (value, tuple)} & (self.known | self.here):
            self.known.add((value, None))
            self.check(self.new("obj.is_null", [value]), False)

    def new(self, name: str, args: list[Value], imm: tuple[object, ...] = ()) -> Value:
        op = Op(OPS[name], args, imm, None)
        self.emit(op)
        assert op.result is not None
        return op.result

    def check(self, condition: Value, expected: bool) -> None:
        self.emit(Op(OPS["guard"], [condition], (expected,), self.state))

    def emit(self, op: Op) -> None:
        self.out.append(op)
        if op.result is not None:
            self.homes[op.result] = self.loop.before
            self.ready.add(op.result)


def checked(ops: list[Op]) -> list[tuple[Value, object]]:
    """(value, type) of what guards among the operations make sure of; (value, None): that it is not NULL."""
    found: list[tuple[Value, object]] = []
    for op in ops:
        if op.name == "guard":
            asked = op.args[0].producer
            if isinstance(asked, Op) and asked.name == "obj.type_is" and op.imm[0]:
                found.append((asked.args[0], asked.imm[0]))
            elif isinstance(asked, Op) and asked.name == "obj.is_null" and not op.imm[0]:
                found.append((asked.args[0], None))
        elif op.name in ("list.new", "tuple.new") and op.result is not None:
            found.append((op.result, HOLDERS[op.name.replace("new", "len")]))
    return found
