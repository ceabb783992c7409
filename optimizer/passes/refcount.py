"""Reference counts that cancel: `incref v` and a later `drop v` of the same block, with nothing between
that could tell.

Without the pair the count is one lower in between. That matters to whoever could release another reference
to the object (a drop, a slot or item replaced, any Python code), who looks at counts, and who was going to
take this very reference over (an operation consuming v, a state stealing it). All of these end the search;
other guards and arithmetic do not. Nor does a number that is put into the list v in the place of a number: what ends there is
no list.
"""

from __future__ import annotations

from ..ir import Graph, Op, State, Value

TELLING = frozenset({"ref", "any", "frame"})


def refcount(graph: Graph) -> int:
    """Returns the number of pairs removed."""
    pairs = 0
    for block in graph.blocks:
        open_: dict[Value, int] = {}
        dead: set[int] = set()
        for at, op in enumerate(block.ops):
            if op.name == "obj.incref":
                open_[op.args[0]] = at
                continue
            if op.name == "obj.drop" and op.args[0] in open_:
                dead |= {open_.pop(op.args[0]), at}
                pairs += 1
                continue
            close(op, open_)
        if dead:
            block.ops[:] = [op for at, op in enumerate(block.ops) if at not in dead]
    return pairs


def close(op: Op, open_: dict[Value, int]) -> None:
    """Forget the increfs that must stay because of this operation."""
    if not open_:
        return
    info = op.info
    if op.name in ("list.set_float", "list.set_int") and op.imm[0] in (int, float):
        for value in [value for value in open_ if value is not op.args[0]]:
            del open_[value]
        return
    if info.writes & TELLING and op.name not in ("frame.set_ip", "poll") or "ref" in info.reads:
        open_.clear()
        return
    for value in op.consumed():
        open_.pop(value, None)
    if op.state is not None:
        for value in stolen(op.state):
            open_.pop(value, None)


def stolen(state: State) -> set[Value]:
    work = [s for f in state.frames for s in (*f.locals.values(), *f.stack)]
    if state.result is not None:
        work.append(state.result)
    found: set[Value] = set()
    while work:
        slot = work.pop()
        work += slot.parts
        if slot.kind == "steal":
            found.add(slot.values[0])
    return found
