"""Lowering of a graph to one LLVM function: `i64 region(i64 frame, i64 tstate, i64 buf)`.

Blocks are written in reverse postorder, so every operand is written before its users; only phis look back,
and they are filled in at the end. A guard ends an LLVM block: the phis of a successor name the LLVM block
in which the graph's block ended. Exit blocks come last and hold nothing but stores of the live values and
the descriptor's address.
"""

from __future__ import annotations

from collections.abc import Callable

from ...optimizer.analysis import forcible
from ...optimizer.ir import Block, Graph, Signature, State
from . import (
    lower_arrays,
    lower_attributes,
    lower_call,
    lower_collect,
    lower_control,
    lower_dicts,
    lower_direct,
    lower_floats,
    lower_generators,
    lower_ints,
    lower_iterators,
    lower_lists,
    lower_objects,
)
from .lower_base import LOWERINGS, METADATA, TYPES, Emitter, Lowered, LowerOptions, direct_result
from .runtime_links import OFFER_WORDS

__all__ = ["LOWERINGS", "Lowered", "LowerOptions", "explain", "lower"]

DOMAIN_MODULES = (
    lower_arrays,
    lower_attributes,
    lower_call,
    lower_collect,
    lower_control,
    lower_dicts,
    lower_direct,
    lower_floats,
    lower_generators,
    lower_ints,
    lower_iterators,
    lower_lists,
    lower_objects,
)


def lower(
    graph: Graph,
    name: str,
    exits: Callable[[State], int],
    *,
    valid: int = 0,
    options: LowerOptions | None = None,
    direct: Graph | None = None,
) -> Lowered:
    """The LLVM module of one region.

    `name` is the exported function, `exits` gives the address of a state's descriptor, `valid` is the address
    of the i64 that is 1 as long as the region's assumptions hold. `direct` is a function for direct calls that goes
    into the same module, as `direct_name(name)`; calls of "self" mean it. Raises KeyError for an operation without a
    lowering, ValueError for a graph that the verifier would refuse.
    """
    e = Emitter(exits, valid, options or LowerOptions(), None)
    e.direct = direct.signature if direct is not None else None
    e.direct_symbol = direct_name(name)
    functions: list[str] = []
    nbuf = 0
    if direct is not None:
        nbuf = function(e, direct, e.direct_symbol, functions)
    nbuf = max(nbuf, function(e, graph, name, functions))
    return Lowered(module(e, functions), e.symbols, e.objects, e.all_exits, nbuf, e.hints)


def direct_name(name: str) -> str:
    """The symbol of the direct function beside a region of that name."""
    return f"{name}_direct"


def function(e: Emitter, graph: Graph, name: str, functions: list[str]) -> int:
    """Write one function; returns the largest number of words an exit of it stores."""
    e.begin(graph)
    order = graph.reverse_postorder()
    labels = {block: f"b{n}" for n, block in enumerate(order)}
    for block in order:
        for value in block.params:
            e.texts[value] = e.fresh()
    starts: list[tuple[Block, int]] = []
    incoming: dict[Block, list[tuple[str, list[str]]]] = {block: [] for block in order}
    pending: list[tuple[Block, str, Block, int]] = []
    for block in order:
        e.start(labels[block])
        starts.append((block, len(e.lines)))
        for op in block.ops:
            if e.options.deopt and op.state is not None and forcible(op):
                e.force(op.state)
            text = LOWERINGS[op.name](e, op, *[e.texts[v] for v in op.args])
            if op.result is not None:
                if text is None:
                    raise ValueError(f"the lowering of {op.name} gives no result")
                e.texts[op.result] = text
        pending += terminate(e, block, labels)
    for source, label, target, edge in pending:
        incoming[target].append((label, [e.texts[v] for v in source.edges[edge].args]))
    body_end = len(e.lines)
    nbuf = e.exit_blocks(graph)
    lines = with_phis(e, starts, incoming, body_end)
    head = region_head(e, name) if graph.signature is None else direct_head(name, graph.signature)
    if e.argument_slots:
        head.append(f"  %args = alloca [{e.argument_slots} x ptr], align 8")
    if e.shown_words:
        head += [f"  %offer = alloca [{OFFER_WORDS} x i64], align 8", f"  %shown = alloca [{e.shown_words} x i64], align 8"]
    functions += [*head, *e.prologue, "  br label %b0", *lines, "}"]
    return nbuf


def explain(graph: Graph, name: str = "region", *, options: LowerOptions | None = None) -> str:
    """The IR text alone, with descriptors that lead nowhere: for reports and for targets other than the host
    (see `LowerOptions.triple`)."""
    return lower(graph, name, lambda state: 0, options=options).ir_text


def terminate(e: Emitter, block: Block, labels: dict[Block, str]) -> list[tuple[Block, str, Block, int]]:
    """Write the terminator; returns the edges as (source, LLVM block it leaves from, target, index of the
    edge)."""
    match block.term:
        case "jump":
            target = block.edges[0].block
            e.do(f"br label %{labels[target]}")
            return [(block, e.current, target, 0)]
        case "branch":
            assert block.cond is not None
            yes, no = (edge.block for edge in block.edges)
            cond = e.texts[block.cond]
            if yes is not no:
                e.do(f"br i1 {cond}, label %{labels[yes]}, label %{labels[no]}")
                return [(block, e.current, yes, 0), (block, e.current, no, 1)]
            # A phi cannot tell two edges from one block apart: each gets a block of its own.
            via = [e.label(), e.label()]
            e.do(f"br i1 {cond}, label %{via[0]}, label %{via[1]}")
            for label in via:
                e.start(label)
                e.do(f"br label %{labels[yes]}")
            return [(block, via[0], yes, 0), (block, via[1], no, 1)]
        case "exit":
            e.do(f"br label %{e.exit_label(block.state)}")
            return []
    raise ValueError(f"{block!r} has no terminator")


def with_phis(
    e: Emitter, starts: list[tuple[Block, int]], incoming: dict[Block, list[tuple[str, list[str]]]], end: int
) -> list[str]:
    """The function's lines with the phis put where the blocks start."""
    lines: list[str] = []
    at = 0
    for block, start in starts:
        lines += e.lines[at:start]
        at = start
        for n, value in enumerate(block.params):
            sources = ", ".join(f"[ {args[n]}, %{label} ]" for label, args in incoming[block])
            lines.append(f"  {e.texts[value]} = phi {TYPES[value.repr]} {sources}")
    return lines + e.lines[at:]


def region_head(e: Emitter, name: str) -> list[str]:
    head = [f"define i64 @{name}(i64 %frame, i64 %tstate, i64 %buf) nounwind {{", "entry:"]
    for word in ("frame", "tstate", "buf"):
        head.append(f"  %{word}p = inttoptr i64 %{word} to ptr")
    return head


def direct_head(name: str, signature: Signature) -> list[str]:
    """Besides its parameters a direct function gets the thread state, the address below which the C stack should not grow,
    how many more calls the recursion limit allows, and which frames its callers offer."""
    params = "".join(f", {TYPES[p]} %a{n}" for n, p in enumerate(signature.params))
    result = direct_result(signature)
    return [f"define {result} @{name}(ptr %tstatep, ptr %bound, i64 %remaining, ptr %offered{params}) nounwind {{", "entry:"]


def module(e: Emitter, functions: list[str]) -> str:
    head = ["%opaque = type opaque"]
    if e.options.triple:
        head.insert(0, f'target triple = "{e.options.triple}"')
    return "\n".join([*head, *e.globals.values(), *e.helpers.values(), *functions, METADATA, ""])
