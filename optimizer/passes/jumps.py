"""Control flow made shorter: a block with one predecessor that only jumps to it is appended to that; a
block that does nothing but jump is skipped.

Merging first follows chains from their heads, so each block is moved once.
"""

from __future__ import annotations

from collections import Counter

from ..analysis import predecessors
from ..ir import Block, Edge, Graph, Value
from .rewrite import Replacements, prune


def jumps(graph: Graph) -> int:
    """Returns the number of blocks merged and edges shortened."""
    changes = prune(graph) + skip(graph)
    return changes + prune(graph) + merge(graph)


def merge(graph: Graph) -> int:
    preds = predecessors(graph.blocks)
    repl = Replacements()
    gone: set[int] = set()
    for block in graph.blocks:
        if id(block) in gone:
            continue
        while block.term == "jump":
            target = block.edges[0].block
            if target is block or target is graph.blocks[0] or len(preds[target]) != 1:
                break
            for param, arg in zip(target.params, block.edges[0].args, strict=True):
                repl.replace(param, arg)
            block.ops += target.ops
            block.term, block.cond, block.edges, block.state = (
                target.term,
                target.cond,
                target.edges,
                target.state,
            )
            gone.add(id(target))
    if gone:
        graph.blocks = [b for b in graph.blocks if id(b) not in gone]
        repl.graph(graph)
    return len(gone)


def skip(graph: Graph) -> int:
    """Redirect edges past empty blocks whose parameters only they themselves pass on."""
    uses: Counter[Value] = Counter()
    for block in graph.blocks:
        for value in used(block):
            uses[value] += 1
    changes = 0
    for block in reversed(graph.reverse_postorder()):  # so that what comes behind an edge is short already
        for edge in block.edges:
            seen: set[int] = set()
            while passes_on(edge.block, uses) and id(edge.block) not in seen:
                seen.add(id(edge.block))
                uses.subtract(edge.args)
                shorten(edge)
                uses.update(edge.args)
                changes += 1
    return changes


def used(block: Block) -> list[Value]:
    values = [a for op in block.ops for a in op.args]
    values += [v for op in block.ops if op.state is not None for v in op.state.values()]
    values += [a for e in block.edges for a in e.args]
    if block.cond is not None:
        values.append(block.cond)
    return values + (block.state.values() if block.state is not None else [])


def passes_on(block: Block, uses: Counter[Value]) -> bool:
    if block.ops or block.term != "jump" or block.edges[0].block is block:
        return False
    own = Counter(block.edges[0].args)
    return all(uses[p] == own[p] for p in block.params)


def shorten(edge: Edge) -> None:
    middle = edge.block
    given: dict[Value, Value] = dict(zip(middle.params, edge.args, strict=True))
    edge.args = [given.get(a, a) for a in middle.edges[0].args]
    edge.block = middle.edges[0].block
