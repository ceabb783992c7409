"""Reference counts that cancel: `incref v` and a later `drop v` of the same block, with nothing between
that could tell.

Without the pair the count is one lower in between. That matters to whoever could release another reference
to the object (a drop, a slot or item replaced, any Python code), who looks at counts, and who was going to
take this very reference over (an operation that consumes v). All of these end the search; other guards and
arithmetic do not. Nor does a number that is put into the list v in the place of a number: what ends there is
no list.

A frame state between the two takes the reference over where the region is left there. Without the pair it makes one of its own, of the
object that somebody else holds. (While frames are linked, which of their slots holds what has been settled, and such pairs stay.)

Whether the end of v would run code need not be asked while there is a reference more than is dropped. Asked of another object, that
is no end of the search, though it may look at v inside: the answer is the true one of a program in which v has one owner less.
"""

from __future__ import annotations

from collections import Counter

from ...records import dataclass, field
from ..analysis import ENDS, drops_asked
from ..ir import SHARED, STEALS, Block, Graph, Op, Slot, State, Value
from ..registry import OPS
from .rewrite import Replacements

TELLING = frozenset({"ref", "any", "frame"})
INSTEAD = {"steal": "new", "maybe_steal": "maybe_new"}
assert INSTEAD.keys() == set(STEALS)


@dataclass(eq=False)
class Incref:
    """One that may cancel: where it is, and the operations since then whose states take it over."""

    at: int
    states: list[Op] = field(default_factory=list)


def refcount(graph: Graph) -> int:
    """Returns the number of pairs removed and of questions answered."""
    changes = 0
    repl = Replacements()
    copies: dict[tuple[State, frozenset[tuple[Value, int]]], State] = {}
    taken: dict[State, Counter[Value]] = {}
    linked_at: set[Block] = set()
    for block in graph.reverse_postorder():
        linked = block in linked_at
        open_: dict[Value, list[Incref]] = {}
        dead: set[int] = set()
        answered: dict[Value, Op] = {}
        fewer: dict[Op, Counter[Value]] = {}
        for at, op in enumerate(block.ops):
            name = op.name
            linked = name in ("frame.link", "frame.offer") or linked and name not in ("frame.unlink", "frame.withdraw")
            if name == "obj.incref":
                open_.setdefault(op.args[0], []).append(Incref(at))
            elif name == "obj.drop" and open_.get(op.args[0]):
                pair = open_[op.args[0]].pop()
                dead |= {pair.at, at}
                changes += 1
                for user in pair.states:
                    fewer.setdefault(user, Counter())[op.args[0]] += 1
            elif name in ENDS:
                if len(open_.get(op.args[0], ())) >= drops_asked(op):
                    assert op.result is not None
                    answered[op.result] = block.ops[at] = Op(OPS["const.b"], [], (True,), None)
                    changes += 1
            elif name == "guard" and op.args[0] in answered and op.imm[0] is True:
                dead.add(at)
            else:
                close(op, open_, taken, linked)
        if linked:
            linked_at |= {edge.block for edge in block.edges}
        for old, new in answered.items():
            assert new.result is not None
            repl.replace(old, new.result)
        for user, counts in fewer.items():
            assert user.state is not None
            key = user.state, frozenset(counts.items())
            if key not in copies:
                copies[key] = lending(user.state, counts)
            user.state = copies[key]
        if dead:
            block.ops[:] = [op for at, op in enumerate(block.ops) if at not in dead]
    repl.graph(graph)
    return changes


def close(op: Op, open_: dict[Value, list[Incref]], taken: dict[State, Counter[Value]], linked: bool) -> None:
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
    if op.state is None:
        return
    if op.state not in taken:
        taken[op.state] = stolen(op.state)
    counts = taken[op.state]
    for value, increfs in [*open_.items()]:
        if linked and counts[value]:
            del open_[value]
        else:
            for incref in increfs[len(increfs) - min(counts[value], len(increfs)) :]:
                incref.states.append(op)


def stolen(state: State) -> Counter[Value]:
    """The references that the state takes over. (Several slots may show one instance, which takes them once.)"""
    work = [s for f in state.frames for s in (*f.locals.values(), *f.stack)]
    if state.result is not None:
        work.append(state.result)
    found: Counter[Value] = Counter()
    instances: set[int] = set()
    while work:
        slot = work.pop()
        if slot.kind in SHARED:
            if slot.index in instances:
                continue
            instances.add(slot.index)
        work += slot.parts
        if slot.kind in STEALS:
            found[slot.values[0]] += 1
    return found


def lending(state: State, fewer: Counter[Value]) -> State:
    """The state, taking over so many references fewer of each of these values."""
    left = Counter(fewer)
    instances: dict[int, Slot] = {}

    def lend(slot: Slot) -> Slot:
        if slot.kind in SHARED:
            if slot.index in instances:
                return instances[slot.index]
            instances[slot.index] = slot
        if slot.kind in STEALS and left[slot.values[0]] > 0:
            left[slot.values[0]] -= 1
            slot.kind = INSTEAD[slot.kind]
        if slot.parts:
            slot.parts = tuple(map(lend, slot.parts))
        return slot

    made = state.map(lambda value: value)
    for frame in made.frames:
        for k, slot in frame.locals.items():
            frame.locals[k] = lend(slot)
        frame.stack[:] = map(lend, frame.stack)
    assert not +left
    return made
