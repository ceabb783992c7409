"""Value ranges: checks that cannot fail, found by interval analysis.

Each int has an interval of what it can be. It starts from the operation (a length is not negative, `x & 7` is in 0..7) and
narrows below guards and branches on comparisons. Parameters of loop heads begin with what comes from outside, and grow in sweeps over the
dominator tree until nothing changes; an end that keeps moving is let go (to 0, -1 or the end of 64 bits), so few sweeps do.
A last sweep takes each parameter's interval from its edges once more, which only makes it smaller, and rewrites:

- arithmetic that cannot overflow becomes arithmetic without a check;
- comparisons with one outcome become constants (guards and branches on them go when constants are folded);
- division of what is not negative becomes the machine's; masks and remainders that change nothing go.

Beside intervals there are facts `a < b` between two values, from comparisons, and from counting loops: where a range's
iterator starts at `s` with `n` items to come, an item is below the range's stop as long as `n` is positive. That is what
makes `a[i]` in `for i in range(len(a))` need no check of bounds.

The scheme is Cousot's widening and narrowing, along the dominator tree: its children in reverse postorder are a topological order of
forward edges, so one walk with an undo log has the facts of each place at hand.
"""

from __future__ import annotations

from collections.abc import Callable

from ...records import dataclass
from ..analysis import Dominators, predecessors
from ..ir import Block, Graph, Op, Value
from ..ops.ints import EXACT_DOUBLE, MAX, MIN
from ..registry import OPS
from .dce import copies
from .fold import NOT_CONSTANT, constant
from .rewrite import Replacements

Range = tuple[int, int]
"""The smallest and the largest int that a value can be."""

FULL: Range = (MIN, MAX)
SIZE: Range = (0, MAX >> 3)
"""Lengths of things that have eight bytes an item."""
MOST_SWEEPS = 40
WIDEN_AFTER = 2


def ranges(graph: Graph) -> int:
    """Returns the number of operations simplified and of parameters taken away."""
    if not any(op.result is not None and op.result.repr == "i" for block in graph.blocks for op in block.ops):
        return 0
    return copies(graph) + Analysis(graph).run()


# ---- intervals through operations ---------------------------------------------------------------------------------------


def clamp(low: int, high: int) -> Range:
    """Of an exact result that is known to fit, or checked to."""
    return (max(low, MIN), min(high, MAX)) if low <= MAX and high >= MIN else FULL


def wrapping(low: int, high: int) -> Range:
    return (low, high) if MIN <= low and high <= MAX else FULL


def sums(a: Range, b: Range) -> Range:
    return a[0] + b[0], a[1] + b[1]


def differences(a: Range, b: Range) -> Range:
    return a[0] - b[1], a[1] - b[0]


def products(a: Range, b: Range) -> Range:
    every = [x * y for x in a for y in b]
    return min(every), max(every)


def shifted_left(a: Range, b: Range) -> Range:
    low, high = max(b[0], 0), min(b[1], 62)
    if low > high:
        return FULL
    return min(a[0] << low, a[0] << high), max(a[1] << low, a[1] << high)


def shifted_right(a: Range, b: Range) -> Range:
    low, high = min(max(b[0], 0), 63), min(max(b[1], 0), 63)
    return min(a[0] >> low, a[0] >> high), max(a[1] >> low, a[1] >> high)


def quotients(a: Range, b: Range) -> Range:
    if b[0] <= 0:
        return FULL
    every = [x // y for x in a for y in b]
    return min(every), max(every)


def remainders(a: Range, b: Range) -> Range:
    if b[0] > 0:
        return (a[0] if a[1] < b[0] else 0, min(a[1], b[1] - 1)) if a[0] >= 0 else (0, b[1] - 1)
    return (b[0] + 1, 0) if b[1] < -1 else FULL


def bits_of(*known: Range) -> int:
    """How many bits, besides the sign, hold all of these."""
    return max(n.bit_length() if n >= 0 else (~n).bit_length() for pair in known for n in pair)


def conjunction(a: Range, b: Range) -> Range:
    tops = [r[1] for r in (a, b) if r[0] >= 0]
    if tops:
        return 0, min(tops)
    return -(1 << bits_of(a, b)), max(a[1], b[1])


def disjunction(a: Range, b: Range) -> Range:
    top = (1 << bits_of(a, b)) - 1
    return (max(a[0], b[0]), top) if a[0] >= 0 and b[0] >= 0 else (-top - 1, top)


def exclusion(a: Range, b: Range) -> Range:
    top = (1 << bits_of(a, b)) - 1
    return (0, top) if a[0] >= 0 and b[0] >= 0 else (-top - 1, top)


def range_length(start: Range, stop: Range, step: Range) -> Range:
    most = stop[1] - start[0]
    if step[0] <= 0:
        most = max(most, start[1] - stop[0])
    return (0, max(0, most)) if most <= MAX else FULL  # the difference may wrap


TRANSFER: dict[str, Callable[..., Range]] = {
    "int.add": lambda a, b: wrapping(*sums(a, b)),
    "int.sub": lambda a, b: wrapping(*differences(a, b)),
    "int.mul": lambda a, b: wrapping(*products(a, b)),
    "int.add_fits": lambda a, b: clamp(*sums(a, b)),
    "int.sub_fits": lambda a, b: clamp(*differences(a, b)),
    "int.mul_fits": lambda a, b: clamp(*products(a, b)),
    "int.add_ovf": lambda a, b: clamp(*sums(a, b)),
    "int.sub_ovf": lambda a, b: clamp(*differences(a, b)),
    "int.mul_ovf": lambda a, b: clamp(*products(a, b)),
    "int.shl_ovf": lambda a, b: clamp(*shifted_left(a, b)),
    "int.shr": shifted_right,
    "int.floordiv": quotients,
    "int.div_pos": quotients,
    "int.mod": remainders,
    "int.rem_pos": remainders,
    "int.and": conjunction,
    "int.or": disjunction,
    "int.xor": exclusion,
    "int.invert": lambda a: (~a[1], ~a[0]),
    "int.range_len": range_length,
}
"""Of operations on ints alone: the interval of the result from those of the operands."""

LENGTHS: dict[str, Range] = {"list.len": SIZE, "tuple.len": SIZE, "str.len": (0, MAX), "array.len": (0, MAX), "dict.len": SIZE, "set.len": SIZE}
WITHOUT_CHECK = {"int.add_ovf": "int.add_fits", "int.sub_ovf": "int.sub_fits", "int.mul_ovf": "int.mul_fits"}
EXACT = {"int.add_ovf": sums, "int.sub_ovf": differences, "int.mul_ovf": products}
OF_NATURALS = {"int.floordiv": "int.div_pos", "int.mod": "int.rem_pos"}
ORDERS = {"int.lt": (0, 1, 1), "int.gt": (1, 0, 1), "int.le": (0, 1, 0), "int.ge": (1, 0, 0)}
"""Comparisons as x < y (1) or x <= y (0): which operands x and y are."""
CONDITIONS = frozenset({*ORDERS, "int.eq", "int.ne", "int.below", "int.exact_double"})


# ---- counting loops -----------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Counting:
    """A range's iterator in a loop: the item to come next is below (counting down: above) `stop` while `left` is positive."""

    item: Value
    stop: Value
    up: bool


def counting_loops(order: list[Block], preds: dict[Block, list[Block]], tree: Dominators) -> dict[Value, list[Counting]]:
    """By the number of items that are left. Such a loop starts with (start, range_len(start, stop, step)), and its rounds end with
    (start + step, left - 1)."""
    found: dict[Value, list[Counting]] = {}
    for head in order:
        if len(head.params) < 2:
            continue
        back = [e.args for p in preds[head] if tree.dominates(head, p) for e in p.edges if e.block is head]
        first = [e.args for p in preds[head] if not tree.dominates(head, p) for e in p.edges if e.block is head]
        if not back or len(first) != 1:
            continue
        for n, left in enumerate(head.params):
            length = first[0][n].producer
            if not isinstance(length, Op) or length.name != "int.range_len":
                continue
            start, stop, step = length.args
            by = constant(step)
            if type(by) is not int or by == 0 or not all(moves(args[n], "int.sub_fits", left, 1) for args in back):
                continue
            for k, item in enumerate(head.params):
                if first[0][k] is start and all(moves(args[k], "int.add_fits", item, by) for args in back):
                    found.setdefault(left, []).append(Counting(item, stop, by > 0))
    return found


def moves(value: Value, name: str, of: Value, by: int) -> bool:
    op = value.producer
    return isinstance(op, Op) and op.name == name and op.args[0] is of and constant(op.args[1]) == by


# ---- the analysis -------------------------------------------------------------------------------------------------------


class Analysis:
    def __init__(self, graph: Graph) -> None:
        self.order = graph.reverse_postorder()
        self.preds = predecessors(self.order)
        self.tree = Dominators(self.order)
        self.counting = counting_loops(self.order, self.preds, self.tree)
        self.known: dict[Value, Range] = {}
        self.less: set[tuple[Value, Value]] = set()
        self.undo: list[tuple[Value, Range] | tuple[Value, Value, None]] = []
        self.incoming: dict[Block, dict[int, list[Range | None]]] = {}
        """By block and edge: the intervals of what the edge passes, as of the last sweep. None for what is no int."""
        self.params: dict[Block, list[Range | None]] = {}
        self.work = {block: self.interesting(block) for block in self.order}
        self.repl = Replacements()
        self.changes = 0

    def interesting(self, block: Block) -> list[tuple[Op, Callable[..., Range] | None]]:
        """The operations that say something, with what computes their intervals where operands alone decide that. Intervals that are the
        same in every sweep are set here."""
        found: list[tuple[Op, Callable[..., Range] | None]] = []
        for op in block.ops:
            name = op.name
            if name in TRANSFER:
                found.append((op, TRANSFER[name]))
            elif name == "const.i":
                self.known[op.result] = (op.imm[0], op.imm[0])  # type: ignore[index, assignment]
            elif name in LENGTHS:
                self.known[op.result] = LENGTHS[name]  # type: ignore[index]
            elif name == "int.from_bool":
                self.known[op.result] = (0, 1)  # type: ignore[index]
            elif name == "field.i" and op.imm[0] == "RANGEITER_LEN":
                self.known[op.result] = (0, MAX)  # type: ignore[index]
            elif name in ("guard", "int.select") or name in CONDITIONS:
                found.append((op, None))
        return found

    def run(self) -> int:
        for sweep in range(MOST_SWEEPS):
            if not self.sweep(sweep):
                break
        else:
            return 0
        self.sweep(-1)
        if self.repl:
            for block in self.order:
                for op in block.ops:
                    op.args[:] = map(self.repl.get, op.args)
                self.repl.end(block)
                block.ops[:] = [op for op in block.ops if op.result not in self.repl.table]
            for state in {op.state for b in self.order for op in b.ops if op.state} | {b.state for b in self.order if b.state}:
                self.repl.state(state)
        return self.changes

    def sweep(self, number: int) -> bool:
        """Walk the dominator tree once; the last time (-1) rewriting. Returns whether the ends of rounds bring what the heads of
        their loops did not have."""
        changed = False
        known = self.known
        work: list[tuple[int, int]] = [(0, -1)]
        while work:
            at, mark = work.pop()
            if mark >= 0:
                self.take_back(mark)
                continue
            block = self.tree.order[at]
            work.append((at, len(self.undo)))
            self.enter(block, number)
            for op, transfer in self.work[block]:
                if number < 0:
                    self.simplify(op)
                if transfer is not None:
                    known[op.result] = transfer(*[known.get(a, FULL) for a in op.args])  # type: ignore[index]
                elif op.name == "guard":
                    self.assume(op.args[0], bool(op.imm[0]))
                elif op.name == "int.select":
                    known[op.result] = self.selected(op)  # type: ignore[index]
            changed |= self.leave(block)
            work += [(child, -1) for child in reversed(self.tree.children[at])]
        return changed

    def enter(self, block: Block, number: int) -> None:
        """The block's parameters, and what is known from the branch that leads here."""
        if block.params:
            edges = self.incoming.get(block, {}).values()
            old = self.params.get(block, [None] * len(block.params))
            new: list[Range | None] = []
            for k, (param, before) in enumerate(zip(block.params, old, strict=True)):
                if param.repr != "i":
                    new.append(None)
                    continue
                arriving = [edge[k] for edge in edges]
                low, high = union([r for r in arriving if r is not None])
                if number >= 0 and before is not None:
                    low, high = union([before, (low, high)])
                    if number >= WIDEN_AFTER:
                        low, high = widen(before, (low, high))
                self.known[param] = (low, high)
                new.append((low, high))
            self.params[block] = new
        above = self.preds[block]
        if len(above) == 1 and above[0].term == "branch" and above[0].cond is not None:
            self.assume(above[0].cond, above[0].edges[0].block is block)

    def leave(self, block: Block) -> bool:
        """What the block passes on. Returns whether it goes back and brings something new."""
        changed = False
        for n, edge in enumerate(block.edges):
            if not edge.args:
                continue
            mark = len(self.undo)
            if block.term == "branch" and block.cond is not None and edge.block is not block.edges[1 - n].block:
                self.assume(block.cond, n == 0)
            passed = [self.of(a) if a.repr == "i" else None for a in edge.args]
            self.incoming.setdefault(edge.block, {})[id(edge)] = passed
            self.take_back(mark)
            if self.tree.index[edge.block] <= self.tree.index[block]:
                changed |= any(r and not within(r, p) for r, p in zip(passed, self.params[edge.block], strict=True))
        return changed

    def take_back(self, mark: int) -> None:
        while len(self.undo) > mark:
            entry = self.undo.pop()
            if len(entry) == 2:
                self.known[entry[0]] = entry[1]
            else:
                self.less.discard((entry[0], entry[1]))

    def of(self, value: Value) -> Range:
        return self.known.get(value, FULL)

    # ---- facts ----

    def selected(self, op: Op) -> Range:
        """Each side as far as the condition says something of it."""
        cond, *sides = op.args
        found = []
        for outcome, side in zip((True, False), sides, strict=True):
            mark = len(self.undo)
            self.assume(cond, outcome)
            found.append(self.of(side))
            self.take_back(mark)
        return union(found)

    def narrow(self, value: Value, low: int, high: int) -> None:
        old = self.of(value)
        new = (max(old[0], low), min(old[1], high))
        if new != old and new[0] <= new[1]:
            self.undo.append((value, old))
            self.known[value] = new

    def below(self, a: Value, b: Value) -> None:
        """a < b."""
        self.at_most(a, b, 1)
        if (a, b) not in self.less and constant(a) is NOT_CONSTANT and constant(b) is NOT_CONSTANT:
            self.less.add((a, b))
            self.undo.append((a, b, None))

    def at_most(self, a: Value, b: Value, by: int = 0) -> None:
        """a + by <= b."""
        self.narrow(a, MIN, self.of(b)[1] - by)
        self.narrow(b, self.of(a)[0] + by, MAX)

    def assume(self, cond: Value, outcome: bool) -> None:
        op = cond.producer
        if not isinstance(op, Op):
            return
        name = op.name
        if name in ORDERS:
            first, second, strict = ORDERS[name]
            x, y = op.args[first], op.args[second]
            if not outcome:
                x, y, strict = y, x, 1 - strict
            if strict:
                self.below(x, y)
                if constant(x) == 0:
                    for loop in self.counting.get(y, ()):
                        self.below(*((loop.item, loop.stop) if loop.up else (loop.stop, loop.item)))
            else:
                self.at_most(x, y)
        elif name == "int.eq" and outcome or name == "int.ne" and not outcome:
            a, b = op.args
            self.narrow(a, *self.of(b))
            self.narrow(b, *self.of(a))
        elif name == "int.below" and outcome and self.of(op.args[1])[0] >= 0:
            self.narrow(op.args[0], 0, MAX)
            self.below(*op.args)
        elif name == "int.exact_double" and outcome:
            self.narrow(op.args[0], -EXACT_DOUBLE, EXACT_DOUBLE)
        elif name == "bool.not":
            self.assume(op.args[0], not outcome)
        elif name == "bool.and" and outcome or name == "bool.or" and not outcome:
            for part in op.args:
                self.assume(part, outcome)

    # ---- rewriting ----

    def simplify(self, op: Op) -> None:
        """Make the operation simpler in place where its operands' intervals allow it."""
        name = op.name
        if name in CONDITIONS:
            known = self.outcome(op)
            if known is not None:
                self.become(op, "const.b", (known,))
                op.args = []
        elif name in WITHOUT_CHECK:
            low, high = EXACT[name](*map(self.of, op.args))
            if MIN <= low and high <= MAX:
                self.become(op, WITHOUT_CHECK[name])
        elif name in OF_NATURALS:
            a, b = map(self.of, op.args)
            if name == "int.mod" and 0 <= a[0] and a[1] < b[0]:
                self.replace(op)
            elif a[0] >= 0 and b[0] > 0 and constant(op.args[1]) is NOT_CONSTANT:
                self.become(op, OF_NATURALS[name])
        elif name == "int.and":
            mask = constant(op.args[1])
            if type(mask) is int and mask & (mask + 1) == 0 and 0 <= self.of(op.args[0])[0] and self.of(op.args[0])[1] <= mask:
                self.replace(op)

    def become(self, op: Op, name: str, imm: tuple[object, ...] = ()) -> None:
        op.info, op.imm, op.state = OPS[name], imm, None
        self.changes += 1

    def replace(self, op: Op) -> None:
        """The operation gives its first operand."""
        assert op.result is not None
        self.repl.replace(op.result, op.args[0])
        self.changes += 1

    def outcome(self, op: Op) -> bool | None:
        """What a comparison comes to; None if that is not known."""
        name = op.name
        if name == "int.exact_double":
            low, high = self.of(op.args[0])
            return True if -EXACT_DOUBLE <= low and high <= EXACT_DOUBLE else None
        if name in ORDERS:
            first, second, strict = ORDERS[name]
            x, y = op.args[first], op.args[second]
            if self.is_less(x, y, strict):
                return True
            return False if self.is_less(y, x, 1 - strict) else None
        a, b = map(self.of, op.args)
        if name == "int.below":
            if b[0] < 0:
                return None
            if a[0] >= 0 and self.is_less(op.args[0], op.args[1], 1):
                return True
            return False if a[1] < 0 or a[0] >= 0 and self.is_less(op.args[1], op.args[0], 0) else None
        apart = a[1] < b[0] or b[1] < a[0] or (op.args[0], op.args[1]) in self.less or (op.args[1], op.args[0]) in self.less
        if apart:
            return name == "int.ne"
        return name == "int.eq" if a[0] == a[1] == b[0] == b[1] else None

    def is_less(self, x: Value, y: Value, strict: int) -> bool:
        """Whether x < y (strict), or x <= y, always."""
        return self.of(x)[1] + strict <= self.of(y)[0] or (x, y) in self.less


def union(every: list[Range]) -> Range:
    """The interval that has all of these inside. (Of none, where nothing arrives: everything.)"""
    if not every:
        return FULL
    return min(r[0] for r in every), max(r[1] for r in every)


def within(inner: Range, outer: Range | None) -> bool:
    return outer is not None and outer[0] <= inner[0] and inner[1] <= outer[1]


def widen(old: Range, new: Range) -> Range:
    low, high = new
    if low < old[0]:
        low = 0 if low >= 0 else -1 if low >= -1 else MIN
    return (low, MAX) if high > old[1] else (low, high)
