"""Facts about a graph's shape that several passes and the verifier need: predecessors and dominators.

Dominators are computed by the iterative scheme of Cooper, Harvey and Kennedy over reverse postorder, which
for reducible graphs (translated bytecode is) needs two sweeps; tree intervals answer queries in constant
time.
"""

from __future__ import annotations

from .ir import Block, Op

MAKES_OR_FAILS = frozenset(
    {"dict.new", "instance.new", "function.new", "method.new", "call.closed", "call.closed_vector", "seq.slice", "list.slice", "list.take"}
    | {"collect.list", "collect.sorted", "collect.tuple", "collect.call", "collect.join"}
)
"""Operations that give a new reference, or NULL with nothing done."""


ENDS = frozenset({"obj.drop_is_safe", "obj.ends_safely", "obj.outlives"})
"""Questions whether the end of an object would run code."""


def drops_asked(op: Op) -> int:
    """How many drops one of `ENDS` asks about."""
    return int(op.imm[0]) if op.imm else 1  # type: ignore[call-overload]


def forcible(op: Op) -> bool:
    """Whether the operation is a guard that may leave although it holds, which stress makes it do: leaving there means no
    more than to go on in the interpreter. Where the guard asks whether something was made, the exit believes it was not
    and would not give it back; where it asks whether something was done, that would be done twice."""
    if not op.info.guard or op.state is None or op.state.kind != "resume":
        return False
    asked = op.args[0].producer if op.name == "guard" else None
    made = asked.args[0].producer if isinstance(asked, Op) and asked.args else None
    if not isinstance(asked, Op) or not isinstance(made, Op):
        return True
    if asked.name == "int.lt":
        return not made.info.writes - {"alloc"}
    return asked.name != "obj.is_null" or made.name not in MAKES_OR_FAILS



def predecessors(order: list[Block]) -> dict[Block, list[Block]]:
    """Predecessor blocks of each block; a block that branches twice to one target appears twice."""
    preds: dict[Block, list[Block]] = {block: [] for block in order}
    for block in order:
        for edge in block.edges:
            preds[edge.block].append(block)
    return preds


class Dominators:
    """The dominator tree of blocks given in reverse postorder."""

    def __init__(self, order: list[Block]) -> None:
        index = {block: n for n, block in enumerate(order)}
        preds = [[index[p] for p in ps] for ps in predecessors(order).values()]
        idom = [0] + [-1] * (len(order) - 1)
        changed = True
        while changed:
            changed = False
            for n in range(1, len(order)):
                new = -1
                for p in preds[n]:
                    if p != 0 and idom[p] < 0:
                        continue
                    new = p if new < 0 else intersect(idom, p, new)
                if idom[n] != new:
                    idom[n] = new
                    changed = True
        self.order = order
        self.index = index
        self.children: list[list[int]] = [[] for _ in order]
        for n in range(1, len(order)):
            self.children[idom[n]].append(n)
        self.idom = idom
        self.first = [0] * len(order)
        self.last = [0] * len(order)
        clock = 0
        work = [(0, False)]
        while work:
            n, done = work.pop()
            clock += 1
            if done:
                self.last[n] = clock
                continue
            self.first[n] = clock
            work.append((n, True))
            work += [(child, False) for child in self.children[n]]

    def dominates(self, above: Block, below: Block) -> bool:
        """Whether every path to `below` goes through `above` (a block dominates itself)."""
        a, b = self.index[above], self.index[below]
        return self.first[a] <= self.first[b] and self.last[b] <= self.last[a]


def intersect(idom: list[int], a: int, b: int) -> int:
    while a != b:
        while a > b:
            a = idom[a]
        while b > a:
            b = idom[b]
    return a
