"""What passes share: replacing values everywhere, frame states included, and pruning what became
unreachable.

States are rewritten in place. Several states may share a frame record or a slot, and whoever made a state
may hold on to it; replacing is idempotent, so a slot visited twice comes to no harm.
"""

from __future__ import annotations

from ..ir import Block, Graph, Slot, State, Value


class Replacements:
    """A forwarding table. Chains are followed and shortened."""

    def __init__(self) -> None:
        self.table: dict[Value, Value] = {}

    def __bool__(self) -> bool:
        return bool(self.table)

    def __len__(self) -> int:
        return len(self.table)

    def replace(self, old: Value, new: Value) -> None:
        new = self.get(new)
        if new is not old:
            self.table[old] = new

    def get(self, value: Value) -> Value:
        table = self.table
        if value not in table:
            return value
        end = value
        while end in table:
            end = table[end]
        while value in table:
            table[value], value = end, table[value]
        return end

    def slot(self, slot: Slot) -> None:
        values = slot.values
        if len(values) == 1:
            if values[0] in self.table:
                slot.values = (self.get(values[0]),)
        elif values:
            slot.values = tuple(map(self.get, values))
        for part in slot.parts:
            self.slot(part)

    def state(self, state: State) -> None:
        if state.result is not None:
            self.slot(state.result)
        for frame in state.frames:
            for slot in frame.locals.values():
                self.slot(slot)
            for slot in frame.stack:
                self.slot(slot)

    def end(self, block: Block) -> None:
        """Rewrite the uses of the block's terminator, its state excepted."""
        if block.cond is not None:
            block.cond = self.get(block.cond)
        for edge in block.edges:
            edge.args[:] = map(self.get, edge.args)

    def graph(self, graph: Graph) -> None:
        """Rewrite every use."""
        if not self.table:
            return
        for block in graph.blocks:
            for op in block.ops:
                op.args[:] = map(self.get, op.args)
            self.end(block)
        for state in set(graph.states()):
            self.state(state)


def prune(graph: Graph) -> int:
    """Drop unreachable blocks; the others keep their places."""
    reached = {id(b) for b in graph.reverse_postorder()}
    before = len(graph.blocks)
    if len(reached) != before:
        graph.blocks = [b for b in graph.blocks if id(b) in reached]
    return before - len(graph.blocks)


def leave_always(block: Block, at: int, state: State) -> None:
    """The guard at position `at` never holds: the block ends there."""
    del block.ops[at:]
    block.cond = None
    block.exit(state)


def take_edge(block: Block, taken: int) -> None:
    """A branch that always goes one way becomes a jump."""
    edge = block.edges[taken]
    block.cond = None
    block.jump(edge.block, edge.args)
