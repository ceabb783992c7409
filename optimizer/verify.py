"""The verifier: what every pass may rely on, checked after each one in tests.

1. Operands, immediates and results are what the registry says; edges fit the parameters of their targets.
2. Every use is dominated by its definition, those in frame states too (an operation's state does not see
   its result).
3. Guards, and only guards, have a state; blocks end in a complete terminator; the entry has no parameters.
4. A state *before* a bytecode is legal only while nothing observable happened in it. The bytecode an effect
   belongs to is known from what precedes it: a state before that bytecode or the instruction pointer set
   for it. A later state before the same bytecode is an error; it would do the effect twice. The facts are
   carried along single-predecessor edges. Polls observe but do nothing, so they do not count.
5. A mismatch state changes nothing at all, so no operation with effects may come before it.
6. References: along a block a value is not consumed, or stolen by a state, more often than it was owned
   (once, if its operation makes a new reference, plus once per incref anywhere).
7. Nor is one lost: where a guard may leave, references made since the block began were consumed, or the state has
   them. (That an operation made nothing is asked by a guard on its result, which is excepted.)
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import NoReturn

from .analysis import Dominators, predecessors
from .ir import REPRS, SHARED, STEALS, Block, Graph, Op, Slot, State, Value
from .registry import OPS
from .text import number_all, show_op, show_state

KINDS = ("resume", "return", "mismatch", "error", "suspended")
SLOT_VALUES = {
    "null": ("",),
    "box": ("i", "f", "b"),
    "steal": ("o",),
    "new": ("o",),
    "maybe_box": ("ib", "fb", "bb"),
    "maybe_steal": ("o",),
    "maybe_new": ("o",),
    "const": ("",),
    "range_iter": ("iii",),
    "range": ("iii",),
    "tuple": ("",),
    "sequence_iter": ("i",),
    "reversed_iter": ("i",),
    "enumerate": ("i",),
    "zip": ("",),
    "generator": ("",),
    "instance": ("",),
    "cell": ("",),
    "function": ("",),
    "method": ("",),
    "tagged": ("i",),
    "poison": ("",),
    "local": ("",),
    "twin": ("",),
}
SLOT_PARTS = {"tuple": None, "zip": None, "generator": None, "sequence_iter": 1, "reversed_iter": 1, "enumerate": 1}
SLOT_PARTS |= dict.fromkeys(SHARED)
"""How many parts a slot of a kind has (None: any number; other kinds: none)."""
ITERATORS = frozenset({"range_iter", "sequence_iter", "reversed_iter", "enumerate", "zip"})
INSIDE = {
    "enumerate": ITERATORS,
    "zip": ITERATORS,
    "sequence_iter": frozenset({"steal", "new", "const"}),
    "reversed_iter": frozenset({"steal", "new", "const"}),
} | dict.fromkeys(SHARED, frozenset({"box", "steal", "new", "const", *SHARED}))
"""What the parts may be. No code may run when an exit makes an iterator, so these hold known built-in ones."""
POISON = ("null", "poison", "none", "empty")
OBSERVABLE = frozenset({"any", "dict", "list", "item", "field", "attr"})
QUIET = frozenset({"poll"})
BORROWED = frozenset(
    {
        "dict.find_int", "dict.find_key", "dict.find_text", "door.arg", "field.o", "frame.local", "frame.namespace", "frame.stack", "name.get",
        "generator.slot", "instance.dict", "dict.at", "type.find",
        "list.get", "slot.get", "tuple.get", "values.get",
    }
)
UNCOUNTED = frozenset({"const.o", "obj.box_bool", "obj.box_bool_if", "obj.null"})

Key = tuple[tuple[int, int], ...]
NOWHERE: Key = ()


class VerifyError(Exception):
    """The graph breaks a rule; the message shows where."""


def verify(graph: Graph) -> None:
    """Raises VerifyError if the graph breaks a rule. Unreachable blocks are not looked at."""
    try:
        Verifier(graph).run()
    except VerifyError:
        number_all(graph)  # once more, for a message with numbers: nearly all graphs are right, and need none
        Verifier(graph).run()
        raise


def matches(operands: str, args: list[Value]) -> bool:
    """Whether the arguments' representations are those of an operand string, a trailing '*' repeating its
    letter."""
    reprs = "".join([a.repr for a in args])
    if operands.endswith("*"):
        fixed, letter = operands[:-2], operands[-2]
        if letter == "?":
            return reprs.startswith(fixed)
        return reprs.startswith(fixed) and set(reprs[len(fixed) :]) <= {letter}
    return reprs == operands


class Verifier:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        if not graph.blocks:
            raise VerifyError("the graph has no blocks")
        self.order = graph.reverse_postorder()
        self.known = {id(b) for b in graph.blocks}
        self.preds = predecessors(self.order)
        self.block: Block | None = None
        self.at: Op | State | None = None
        self.inside: State | None = None
        self.states: dict[State, tuple[list[Value], Counter[Value]]] = {}
        """What those that were looked at name, and how many references to each value they take over."""

    def fail(self, message: str) -> NoReturn:
        raise VerifyError(f"{message}\n  in {self.where()}")

    def see(self, block: Block, at: Op | State | None) -> None:
        """Say what is looked at: an operation, the state of an exit, or the terminator."""
        self.block, self.at, self.inside = block, at, None

    def where(self) -> str:
        """What is looked at, as text."""
        if self.block is None:
            return "graph"
        if isinstance(self.at, Op):
            text = show_op(self.at)
        else:
            text = f"exit {show_state(self.at)}" if self.at is not None else self.block.term or "no terminator"
        return f"{self.block.label}: {text}" + (f"\n  state {show_state(self.inside)}" if self.inside is not None else "")

    def run(self) -> None:
        graph = self.graph
        if graph.blocks[0].params:
            self.fail("the entry block has parameters")
        if self.preds[graph.blocks[0]]:
            self.fail("the entry block has predecessors")
        self.dominators = Dominators(self.order)
        self.defs: dict[Value, tuple[Block, int]] = {}
        for block in self.order:
            self.define(block)
        for block in self.order:
            for at, op in enumerate(block.ops):
                self.see(block, op)
                self.op(op)
                self.uses(op.args, block, at)
                if op.state is not None:
                    self.state(op.state, block, at)
            self.see(block, None)
            self.terminator(block)
        self.effects()
        self.references()

    def define(self, block: Block) -> None:
        if id(block) not in self.known:
            self.fail(f"{block.label} is jumped to but not in the graph")
        for value in block.params:
            self.define_value(value, block, -1)
            if value.producer is not block:
                self.fail(f"parameter {value} has another producer")
        for at, op in enumerate(block.ops):
            if op.result is not None:
                self.define_value(op.result, block, at)
                if op.result.producer is not op:
                    self.fail(f"{op.result} has another producer")

    def define_value(self, value: Value, block: Block, at: int) -> None:
        if value in self.defs:
            self.fail(f"{value} is defined twice")
        if value.repr not in REPRS:
            self.fail(f"{value} has no representation")
        self.defs[value] = (block, at)

    def uses(self, values: list[Value] | tuple[Value, ...], block: Block, at: int) -> None:
        for value in values:
            found = self.defs.get(value)
            if found is None:
                self.fail(f"{value} is not defined in a reachable block")
            home, place = found
            if not (place < at if home is block else self.dominators.dominates(home, block)):
                self.fail(f"{value} is used where its definition does not dominate")

    def op(self, op: Op) -> None:
        info = op.info
        if OPS.get(info.name) is not info:
            self.fail(f"{info.name} is not in the registry")
        if not matches(info.operands, op.args):
            self.fail(f"operands should be '{info.operands}'")
        if len(op.imm) != len(info.imm):
            self.fail(f"immediates should be {info.imm}")
        if (op.result.repr if op.result is not None else "") != info.result:
            self.fail(f"result should be '{info.result}'")
        if info.guard != (op.state is not None):
            self.fail("a guard needs a state" if info.guard else "only guards have states")

    def state(self, state: State, block: Block, at: int) -> None:
        self.inside = state
        if state not in self.states:  # guards share states
            self.states[state] = self.shape(state)
        self.uses(self.states[state][0], block, at)

    def shape(self, state: State) -> tuple[list[Value], Counter[Value]]:
        if state.kind not in KINDS or state.when not in ("before", "after"):
            self.fail("unknown kind of state")
        if not state.frames and state.kind not in ("mismatch", "return", "suspended"):
            self.fail("the state has no frame")
        if (state.result is not None) != (state.kind == "return"):
            self.fail("return states, and no others, have a result")
        for frame in state.frames:
            if not set(frame.poison) <= set(POISON):
                self.fail("unknown poison operand")
        if any(f.func is None and caller.answer != "iterates" for caller, f in pairwise(state.frames)):
            self.fail("an inlined frame needs its function")  # but for a generator's, which has it
        named: list[Value] = []
        taken: Counter[Value] = Counter()
        work = top_slots(state)
        instances: set[int] = set()
        for slot in work:
            self.slot(slot)
            if slot.kind in SHARED:
                if slot.index in instances:
                    continue  # the same once more
                instances.add(slot.index)
            named += slot.values
            if slot.kind in STEALS:
                taken[slot.values[0]] += 1
            if slot.parts:
                work += slot.parts
        return named, taken

    def slot(self, slot: Slot) -> None:
        kind, values, parts = slot.kind, slot.values, slot.parts
        if kind not in SLOT_VALUES:
            self.fail(f"unknown slot kind {kind}")
        if (values[0].repr if len(values) == 1 else "".join(v.repr for v in values)) not in SLOT_VALUES[kind]:
            self.fail(f"wrong values in a {kind} slot")
        if not parts and kind not in SLOT_PARTS:
            return
        wanted = SLOT_PARTS.get(kind, 0)
        if wanted is not None and len(parts) != wanted:
            self.fail(f"a {kind} slot has {len(parts)} parts")
        if kind in SHARED and (len(slot.places) != len(parts) or len(set(slot.places)) != len(parts)):
            self.fail(f"what is in a {kind} slot needs places of its own")
        if not {p.kind for p in parts} <= INSIDE.get(kind, SLOT_VALUES.keys()):
            self.fail(f"a {kind} slot has the wrong parts")

    def terminator(self, block: Block) -> None:
        wanted = {"jump": 1, "branch": 2, "exit": 0}.get(block.term)
        if wanted is None or len(block.edges) != wanted:
            self.fail("the terminator is incomplete")
        if (block.state is not None) != (block.term == "exit"):
            self.fail("exits, and no others, have a state")
        if (block.cond is not None) != (block.term == "branch"):
            self.fail("branches, and no others, have a condition")
        end = len(block.ops)
        if block.cond is not None:
            if block.cond.repr != "b":
                self.fail("the condition is no b")
            self.uses([block.cond], block, end)
        for edge in block.edges:
            self.uses(edge.args, block, end)
            if [a.repr for a in edge.args] != [p.repr for p in edge.block.params]:
                self.fail(f"the arguments for {edge.block.label} do not fit its parameters")
        if block.state is not None:
            self.state(block.state, block, end)

    # ---- effects ------------------------------------------------------------

    def effects(self) -> None:
        """Rules 4 and 5: see the module's text."""
        leaving: dict[Block, tuple[Key, Key, bool]] = {}
        for block in self.order:
            preds = self.preds[block]
            now, dirty, touched = leaving[preds[0]] if len(preds) == 1 else (NOWHERE, NOWHERE, bool(preds))
            last: Op | None = None
            for op in block.ops:
                self.see(block, op)
                if op.state is not None:
                    # What leaves because the effect has failed leaves before it.
                    undone = last is not None and asks_for_failure_of(op, last)
                    now, dirty = self.check_state(op.state, now, NOWHERE if undone else dirty, touched)
                if op.name == "frame.set_ip":
                    now = ((now[0][0] if now else 0, int(str(op.imm[0]))),)
                    if not same_place(dirty, now):
                        dirty = NOWHERE
                elif op.info.writes & OBSERVABLE and op.name not in QUIET:
                    dirty, last = now, op
                touched = touched or (bool(op.info.writes - {"alloc"}) and op.name not in QUIET)
            if block.state is not None:
                self.see(block, block.state)
                now, dirty = self.check_state(block.state, now, dirty, touched)
            leaving[block] = (now, dirty, touched)

    def check_state(self, state: State, now: Key, dirty: Key, touched: bool) -> tuple[Key, Key]:
        if state.kind == "mismatch":
            if touched:
                self.fail("a mismatch state after an operation with effects")
            return now, dirty
        key = tuple((id(f.code), f.offset) for f in state.frames)
        if state.when == "before" and state.kind == "resume":
            if same_place(dirty, key):
                self.fail("a state before a bytecode that has had its effect")
            return key, NOWHERE
        return NOWHERE, NOWHERE

    # ---- references ------------------------------------------------------------

    def references(self) -> None:
        """Rule 6."""
        owned: Counter[Value] = Counter()
        for block in self.order:
            for op in block.ops:
                if op.name == "obj.incref":
                    owned[op.args[0]] += 1
        for block in self.order:
            gone: Counter[Value] = Counter()
            held: Counter[Value] = Counter()
            for op in block.ops:
                self.see(block, op)
                if op.state is not None:
                    taken = self.steals(op.state, owned, gone)
                    if op.state.kind == "resume":
                        self.kept(op, held, taken)
                for value in op.consumed():
                    gone[value] += 1
                    held[value] -= 1
                    if gone[value] > owned[value] + makes_reference(value):
                        self.fail(f"{value} is consumed more often than it is owned")
                if op.name == "obj.incref" and op.args[0] in held:
                    held[op.args[0]] += 1
                if op.result is not None and op.result.repr == "o" and op.info.writes:
                    held[op.result] = 1
            if block.state is not None:
                self.see(block, block.state)
                self.steals(block.state, owned, gone)

    def kept(self, op: Op, held: Counter[Value], taken: Counter[Value]) -> None:
        """Rule 7."""
        asked = op.args[0].producer if op.name == "guard" else None
        made = asked.args[0] if isinstance(asked, Op) and asked.name == "obj.is_null" else None
        for value, times in held.items():
            if times > 0 and times > taken.get(value, 0) and value is not made:
                self.fail(f"{value} is lost where this leaves")

    def steals(self, state: State, owned: Counter[Value], gone: Counter[Value]) -> Counter[Value]:
        taken = self.states[state][1]
        for value, times in taken.items():
            if times + gone[value] > owned[value] + makes_reference(value):
                self.fail(f"{value} is stolen more often than it is owned")
        return taken


def asks_for_failure_of(guard: Op, op: Op) -> bool:
    """Whether the guard leaves if the operation's result, a status, is negative."""
    asked = guard.args[0].producer if guard.name == "guard" else None
    return isinstance(asked, Op) and asked.name == "int.lt" and asked.args[0].producer is op


def same_place(known: Key, key: Key) -> bool:
    """Whether two places are one; the code of an instruction pointer set before any state is not known
    (0)."""
    if len(known) != len(key) or not known:
        return False
    return (
        known[1:] == key[1:] and known[0][1] == key[0][1] and (known[0][0] == key[0][0] or known[0][0] == 0)
    )


def top_slots(state: State) -> list[Slot]:
    slots = [s for f in state.frames for s in (*f.locals.values(), *f.stack)]
    return slots + ([state.result] if state.result is not None else [])


def makes_reference(value: Value) -> int:
    """How many references come with a value: one, none where its operation borrows, any number of an
    immortal or NULL."""
    producer = value.producer
    if isinstance(producer, Op):
        if producer.name in BORROWED:
            return 0
        if producer.name in UNCOUNTED:
            return 1 << 30
    return 1
