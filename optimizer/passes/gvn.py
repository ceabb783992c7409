"""Value numbering over the dominator tree: nothing is computed or checked twice on one path.

- Pure operations, and guards with a result (`int.add_ovf`, `obj.unbox_int`): the same operation on the same
  operands above makes this one its result. The guard above has held, so this one would.
- `guard c`: below it, and below a branch on c, c is known. A guard on it is dropped, a branch becomes a
  jump.
- Loads: the same load earlier in the block, or up a chain of single-predecessor blocks, with no write to
  what it reads in between. A store makes its own slot or field known.

The type of an object counts as pure only for static types; a class's instances can be given another class
by any Python code. Ownership needs no care here: references are counted by incref, consumption and state
slots, which are rewritten with the value.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable

from ..analysis import Dominators, predecessors
from ..ir import Block, Graph, Op, Value
from ..registry import OpInfo
from .fold import fixed_type
from .rewrite import Replacements, prune, take_edge

LOADS = frozenset({"list", "field", "frame", "any"})
MEMORY_LIMIT = 256
"""Loads remembered along a chain of blocks; each branch copies them."""

Key = tuple[Hashable, ...]


def gvn(graph: Graph) -> int:
    """Returns the number of operations removed and branches decided."""
    return Numbering(graph).run()


def immediate(value: object) -> Hashable:
    """Equal exactly for interchangeable immediates."""
    if type(value) is float:
        return (float, struct.pack("d", value))
    if type(value) is tuple:
        return (tuple, *map(immediate, value))
    if value is None or type(value) in (int, bool, str):
        return (type(value), value)
    return (object, id(value))


def op_key(op: Op) -> Key:
    args = [id(a) for a in op.args]
    if op.info.commutes:
        args.sort()
    by_identity = op.name == "const.o"
    return (op.name, *args, *(id(i) if by_identity else immediate(i) for i in op.imm))


def numbered(op: Op) -> bool:
    """Whether the result depends on the operands alone."""
    info = op.info
    if info.reads or info.writes or not info.result:
        return False
    return op.name != "obj.type_is" or fixed_type(op.imm[0])


def loaded(op: Op) -> frozenset[str]:
    """The domains a shareable load reads; empty if the operation is none."""
    info = op.info
    if op.name == "obj.type_is":
        return frozenset({"any"})
    return (
        info.reads if info.reads and info.reads <= LOADS and not info.writes and info.result else frozenset()
    )


class Numbering:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.order = graph.reverse_postorder()
        self.preds = predecessors(self.order)
        self.repl = Replacements()
        self.table: dict[Key, Value] = {}
        self.known: dict[Value, bool] = {}
        self.undo: list[tuple[dict, object]] = []  # type: ignore[type-arg]
        self.memory: dict[Block, dict[Key, tuple[Value, frozenset[str]]]] = {}
        self.changes = 0

    def run(self) -> int:
        tree = Dominators(self.order)
        work: list[tuple[int, int]] = [(0, -1)]
        while work:
            n, mark = work.pop()
            if mark >= 0:
                while len(self.undo) > mark:
                    table, key = self.undo.pop()
                    del table[key]
                continue
            work.append((n, len(self.undo)))
            self.block(self.order[n])
            work += [(child, -1) for child in reversed(tree.children[n])]
        if self.changes:
            self.repl.graph(self.graph)
            prune(self.graph)
        return self.changes

    def define(self, table: dict, key: object, value: object) -> None:  # type: ignore[type-arg]
        """Enter a fact for this block and those it dominates."""
        if key not in table:
            table[key] = value
            self.undo.append((table, key))

    def block(self, block: Block) -> None:
        preds = self.preds[block]
        memory: dict[Key, tuple[Value, frozenset[str]]] = {}
        if len(preds) == 1:
            self.enter_branch(preds[0], block)
            memory = dict(self.memory.get(preds[0], ()))
        kept: list[Op] = []
        for op in block.ops:
            op.args[:] = map(self.repl.get, op.args)
            found = self.find(op, memory)
            if found is None:
                kept.append(op)
                continue
            self.changes += 1
            if op.result is not None:
                self.repl.replace(op.result, found)
        block.ops[:] = kept
        if len(memory) <= MEMORY_LIMIT:
            self.memory[block] = memory
        if block.cond is not None:
            block.cond = self.repl.get(block.cond)
            if block.term == "branch" and block.cond in self.known:
                take_edge(block, 0 if self.known[block.cond] else 1)
                self.changes += 1

    def enter_branch(self, pred: Block, block: Block) -> None:
        """The one edge into this block says what the condition was."""
        if pred.term == "branch" and pred.cond is not None and pred.edges[0].block is not pred.edges[1].block:
            self.define(self.known, self.repl.get(pred.cond), pred.edges[0].block is block)

    def find(self, op: Op, memory: dict[Key, tuple[Value, frozenset[str]]]) -> Value | None:
        """The value that makes the operation superfluous, or None after taking note of it."""
        if op.name == "guard":
            cond, expected = op.args[0], bool(op.imm[0])
            if self.known.get(cond) is expected:
                return cond
            self.define(self.known, cond, expected)
            return None
        if numbered(op):
            key = op_key(op)
            if key in self.table:
                return self.table[key]
            self.define(self.table, key, op.result)
            return None
        reads = loaded(op)
        if reads:
            key = op_key(op)
            if key in memory:
                return memory[key][0]
            assert op.result is not None
            memory[key] = (op.result, reads)
            return None
        if op.info.writes:
            write(op, memory)
        return None


def write(op: Op, memory: dict[Key, tuple[Value, frozenset[str]]]) -> None:
    """Forget what the operation may have changed, and remember what it stored."""
    if op.name in ("frame.set_ip", "frame.lower_stack"):
        return
    if op.name == "frame.store_local":
        slot = immediate(op.imm[0])
        for key in [
            k for k, (_, reads) in memory.items() if "any" in reads or k[0] == "frame.local" and k[1] == slot
        ]:
            del memory[key]
        memory["frame.local", slot] = (op.args[0], frozenset({"frame"}))
        return
    forget(op.info, memory)
    if op.name == "field.set_i":
        memory["field.i", id(op.args[0]), immediate(op.imm[0])] = (op.args[1], frozenset({"field"}))


def forget(info: OpInfo, memory: dict[Key, tuple[Value, frozenset[str]]]) -> None:
    if "any" in info.writes:
        memory.clear()
        return
    written = info.writes - {"ref", "alloc"}
    if written:
        for key in [k for k, (_, reads) in memory.items() if reads & written or "any" in reads]:
            del memory[key]
