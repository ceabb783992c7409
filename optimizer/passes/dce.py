"""Dead code: unreachable blocks, parameters that are another value or that nobody uses, operations without
effect.

Liveness is marked from what must stay: operations with effects, guards, terminators and frame states. A
parameter is live only if something live uses it; the arguments for dead ones are not uses. Numbers boxed
and only dropped again go with their increfs and drops.
"""

from __future__ import annotations

from ..analysis import predecessors
from ..ir import Block, Graph, Op, State, Value
from .rewrite import Replacements, prune

BOXES = frozenset({"obj.box_int", "obj.box_float", "range.new"})
COUNTS = frozenset({"obj.incref", "obj.drop"})
MOST_SWEEPS = 20
"""Over the parameters of a graph, before less is found out about what is left."""


def dce(graph: Graph) -> int:
    """Returns the number of blocks, parameters and operations removed."""
    changes = prune(graph)
    changes += copies(graph)
    live = mark(graph)
    for block in graph.blocks:
        kept = [op for op in block.ops if stays(op) or op.result in live or counts_live(op, live)]
        changes += len(block.ops) - len(kept)
        block.ops[:] = kept
        for edge in block.edges:
            edge.args[:] = [a for a, p in zip(edge.args, edge.block.params, strict=True) if p in live]
    for block in graph.blocks:
        params = [p for p in block.params if p in live]
        changes += len(block.params) - len(params)
        block.params[:] = params
    return changes


def stays(op: Op) -> bool:
    """Whether the operation is kept for its effect."""
    return not (op.info.removable or op.name in BOXES or counts_box(op))


def counts_box(op: Op) -> bool:
    """An incref or drop of a box made here: needed only if the box is."""
    if op.name not in COUNTS:
        return False
    producer = op.args[0].producer
    return isinstance(producer, Op) and producer.name in BOXES


def counts_live(op: Op, live: set[Value]) -> bool:
    return op.name in COUNTS and op.args[0] in live


def mark(graph: Graph) -> set[Value]:
    """The values that something live uses."""
    live: set[Value] = set()
    work: list[Value] = []
    incoming: dict[Value, list[Value]] = {}
    states: set[State] = set()

    def use(state: State | None) -> None:
        if state is not None and state not in states:
            states.add(state)
            work.extend(state.values())

    for block in graph.blocks:
        for op in block.ops:
            if stays(op):
                work += op.args
            use(op.state)
        use(block.state)
        if block.cond is not None:
            work.append(block.cond)
        for edge in block.edges:
            for param, arg in zip(edge.block.params, edge.args, strict=True):
                incoming.setdefault(param, []).append(arg)
    while work:
        value = work.pop()
        if value in live:
            continue
        live.add(value)
        producer = value.producer
        work += incoming.get(value, ()) if isinstance(producer, Block) else producer.args
    return live


def copies(graph: Graph) -> int:
    """Replace parameters that have one incoming value besides themselves by it, also those that loops pass round among each other.

    What a parameter stands for is assumed until something else comes in: nothing, then one value, then itself (the optimistic scheme of
    Wegman and Zadeck's constant propagation, for copies)."""
    preds = predecessors(graph.blocks)
    sources: dict[Value, list[Value]] = {}
    order = graph.reverse_postorder()
    for block in order:
        for edge in block.edges:
            for param, arg in zip(edge.block.params, edge.args, strict=True):
                sources.setdefault(param, []).append(arg)
    params = [p for block in order for p in block.params if p in sources]
    stands_for: dict[Value, Value | None] = dict.fromkeys(params)
    changed, sweeps = True, 0
    while changed:
        changed, sweeps = False, sweeps + 1
        for param in params:
            now = stands_for[param]
            if now is param:
                continue
            incoming = {stands_for.get(arg, arg) for arg in sources[param]}
            if sweeps > MOST_SWEEPS:
                incoming.add(now)  # no value but the first one, or itself: that ends
            incoming.discard(None)
            new = (incoming.pop() if len(incoming) == 1 else param) if incoming else None
            if new is not now:
                stands_for[param], changed = new, True
    repl = Replacements()
    for param, value in stands_for.items():
        if value is not None and value is not param:
            repl.replace(param, value)
    if not repl:
        return 0
    for block in graph.blocks:
        gone = {n for n, p in enumerate(block.params) if p in repl.table}
        if gone:
            block.params[:] = [p for n, p in enumerate(block.params) if n not in gone]
            for edge in {id(e): e for p in preds[block] for e in p.edges if e.block is block}.values():
                edge.args[:] = [a for n, a in enumerate(edge.args) if n not in gone]
    repl.graph(graph)
    return len(repl)
