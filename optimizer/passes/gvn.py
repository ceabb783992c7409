"""Value numbering over the dominator tree: nothing is computed or checked twice on one path.

- Pure operations, and guards with a result (`int.add_ovf`, `obj.unbox_int`): the same operation on the same
  operands above makes this one its result. The guard above has held, so this one would.
- `guard c`: below it, and below a branch on c, c is known. A guard on it is dropped, a branch becomes a
  jump.
- Loads: the same load earlier in the block, or up a chain of single-predecessor blocks, with no write to
  what it reads in between. A store makes its own slot, field, item or attribute known. Items at different constant
  indices are different, of whatever lists, and so are attributes at different places.
- Types: below a check that holds, and below an unboxing, the object's type is known. Then it is not checked
  again, unboxing becomes a load, and the end of a number is known to run no code.

The type of an object counts as pure only for static types; a class's instances can be given another class
by any Python code. Ownership needs no care here: references are counted by incref, consumption and state
slots, which are rewritten with the value.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable

from ...records import dataclass
from ..analysis import Dominators, predecessors
from ..ir import Block, Graph, Op, Value
from ..ops.objects import HARMLESS
from ..registry import OPS
from .fold import NOT_CONSTANT, UNBOXES, constant, fixed_type, make_constant
from .rewrite import Replacements, prune, take_edge

LOADS = frozenset({"list", "item", "field", "frame", "attr", "shape", "any"})
KNOWN_TYPE: dict[str, tuple[type, str]] = {
    "obj.unbox_float": (float, "obj.float_value"),
    "obj.unbox_number": (float, "obj.float_value"),
    "obj.unbox_int": (int, "obj.int_value"),
}
"""What unboxing becomes where the type is known to be this one."""
ITEM = frozenset({"list", "item"})
ATTRIBUTE = frozenset({"attr"})
MEMORY_LIMIT = 256
"""Loads remembered along a chain of blocks; each branch copies them."""

Key = tuple[Hashable, ...]


@dataclass(eq=False)
class Load:
    """What memory is known to hold: for as long as nothing writes to what it `reads`; of items, at which index. A `box` is
    known by the number in it."""

    value: Value
    reads: frozenset[str]
    index: Value | None = None
    box: type | None = None


Memory = dict[Key, Load]


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
    """The domains a shareable load reads; empty if the operation is none. Types change only where any code may run."""
    info = op.info
    if op.name == "obj.type_is":
        return frozenset({"type"})
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
        self.types: dict[Value, type] = {}
        self.numbers: dict[Value, Value] = {}
        self.undo: list[tuple[dict, object]] = []  # type: ignore[type-arg]
        self.memory: dict[Block, Memory] = {}
        self.kept: list[Op] = []
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
        memory: Memory = {}
        if len(preds) == 1:
            self.enter_branch(preds[0], block)
            memory = dict(self.memory.get(preds[0], ()))
        kept = self.kept = []
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
            self.condition(self.repl.get(pred.cond), pred.edges[0].block is block)

    def condition(self, cond: Value, holds: bool) -> None:
        """From here on the condition is known, and what follows from it."""
        self.define(self.known, cond, holds)
        check = cond.producer
        if holds and isinstance(check, Op) and check.name == "obj.type_is" and fixed_type(check.imm[0]):
            self.define(self.types, check.args[0], check.imm[0])

    def boolean(self, value: bool) -> Value:
        """A new constant."""
        made = make_constant("b", value)
        self.kept.append(made)
        assert made.result is not None
        return made.result

    def find(self, op: Op, memory: Memory) -> Value | None:
        """The value that makes the operation superfluous, or None after taking note of it."""
        if op.name == "guard":
            cond, expected = op.args[0], bool(op.imm[0])
            if self.known.get(cond) is expected:
                return cond
            self.condition(cond, expected)
            return None
        found = self.by_type(op)
        if found is not None:
            return found
        if numbered(op):
            key = op_key(op)
            if key in self.table:
                return self.table[key]
            self.define(self.table, key, op.result)
            if op.name in UNBOXES:
                self.define(self.types, op.args[0], UNBOXES[op.name][0])
                if op.name in KNOWN_TYPE:
                    self.define(self.table, (KNOWN_TYPE[op.name][1], *key[1:]), op.result)
            return None
        reads = loaded(op)
        if reads:
            key = op_key(op)
            if key in memory:
                return memory[key].value
            assert op.result is not None
            index = op.args[1] if op.name == "list.get" else None
            memory[key] = Load(op.result, reads, index)
            inside = memory.get(("number", *key))
            if inside is not None and inside.box is not None:
                self.define(self.types, op.result, inside.box)
                self.define(self.numbers, op.result, inside.value)
            return None
        if op.info.writes:
            self.write(op, memory)
        return None

    def by_type(self, op: Op) -> Value | None:
        """What the operation comes to where its operand's type is known; it is made simpler in place where it stays."""
        kind = self.types.get(op.args[0]) if op.args else None
        if kind is None:
            return None
        if op.name == "obj.type_is" and fixed_type(op.imm[0]):
            return self.boolean(kind is op.imm[0])
        if op.name in ("obj.drop_is_safe", "obj.outlives"):
            return self.boolean(True) if kind in HARMLESS else None
        if op.name in KNOWN_TYPE and KNOWN_TYPE[op.name][0] is kind:
            if op.args[0] in self.numbers:
                return self.numbers[op.args[0]]
            op.info = OPS[KNOWN_TYPE[op.name][1]]
            if not op.info.guard:
                op.state = None
            self.changes += 1
        return None


    def write(self, op: Op, memory: Memory) -> None:
        """Forget what the operation may have changed, and remember what it stored."""
        if op.name in ("frame.set_ip", "frame.lower_stack"):
            return
        if op.name == "frame.store_local":
            slot = immediate(op.imm[0])
            for key in [k for k, m in memory.items() if "any" in m.reads or k[0] == "frame.local" and k[1] == slot]:
                del memory[key]
            memory["frame.local", slot] = Load(op.args[0], frozenset({"frame"}))
            return
        if op.name in STORES:
            self.store_item(op, memory)
            return
        if op.name in PUTS:
            self.put(op, memory)
            return
        forget(op.info.writes, memory)
        if op.name == "field.set_i":
            memory["field.i", id(op.args[0]), immediate(op.imm[0])] = Load(op.args[1], frozenset({"field"}))

    def store_item(self, op: Op, memory: Memory) -> None:
        holder, index, value = op.args
        key = ("list.get", id(holder), id(index))
        old = memory.get(key)
        if op.imm and old is not None and self.types.get(old.value) in (int, float):
            op.imm = (self.types[old.value],)
        forget(op.info.writes, memory, index)
        kind = STORES[op.name]
        if kind is None:
            memory[key] = Load(value, ITEM, index)
        else:
            memory["number", *key] = Load(value, ITEM, index, kind)

    def put(self, op: Op, memory: Memory) -> None:
        """An instance's attribute gets a value; those at other places stay as they are."""
        load, kind = PUTS[op.name]
        place = immediate(op.imm[1])
        key = (load, id(op.args[0]), immediate(op.imm[0]), place)
        old = memory.get(key)
        if kind is not None and old is not None and self.types.get(old.value) in (int, float):
            op.imm = (*op.imm[:2], self.types[old.value])
        for other in [k for k, m in memory.items() if "attr" in m.reads and k[-1] == place]:
            del memory[other]
        if kind is None:
            memory[key] = Load(op.args[1], ATTRIBUTE)
        else:
            memory["number", *key] = Load(op.args[1], ATTRIBUTE, None, kind)


STORES: dict[str, type | None] = {"list.set": None, "list.set_float": float, "list.set_int": int}
"""Operations that replace an item, and the type of the box if they make it themselves."""
PUTS: dict[str, tuple[str, type | None]] = {
    f"{where}.put{ending}": (f"{where}.get", kind)
    for where in ("values", "slot")
    for ending, kind in (("", None), ("_float", float), ("_int", int))
}
"""Operations that give an attribute a value, the load of it, and the type of the box likewise."""


def forget(writes: frozenset[str], memory: Memory, index: Value | None = None) -> None:
    """Forget what reads one of these domains; of items only those that may be at that index."""
    if "any" in writes:
        memory.clear()
        return
    written = writes - {"ref", "alloc"}
    for key in [k for k, m in memory.items() if m.reads & written or "any" in m.reads]:
        if index is None or memory[key].index is None or same_index(index, memory[key].index):
            del memory[key]


def same_index(a: Value, b: Value | None) -> bool:
    """Whether two indices may be the same."""
    known, other = constant(a), constant(b) if b is not None else NOT_CONSTANT
    return known is NOT_CONSTANT or other is NOT_CONSTANT or known == other
