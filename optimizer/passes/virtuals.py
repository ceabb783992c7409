"""Virtual instances, cells, functions and bound methods: objects that nobody else gets to see exist only as what is in them (escape
analysis and scalar replacement).

An instance that is made here, given its attributes, read, and dropped again, as the points, vectors and rays of object-oriented
programs are, needs no memory. What `instance.new` gave is such a *virtual* if all that is done with it is known: attributes
read and put, questions about its type and its references, frame states. Then what is put into it is what is read from it, and
frame states say what it has, so that an exit makes it. What it holds may be virtual as well: those are found in further rounds.

It escapes where anything else has it: an operation that takes the reference, a join with another object, the interpreter's frame. Then
it is made as before, even if that happens on one path only.

Its references are counted here: an instance ends at its last `drop`, and what is in it is then let go of. Whether that end would run
code, which was asked of the instance, is asked of what is in it. All paths to a place must agree on the count and on what is in it.

Functions that are made to be called at once, as those of generator expressions are, and the cells through which these see variables
are like that: a cell has one place, a function has its cells. So are bound methods that are kept in variables and called: they have
their object.

Numbers are put into attributes as boxes, since they may be taken out as objects. A box of which nothing but the number is wanted
is not made either: frame states show the number.
"""

from __future__ import annotations

from collections.abc import Callable
from types import BuiltinMethodType, CellType, FunctionType, MethodType

from ...abi import instances
from ...records import dataclass, field
from ..analysis import ENDS, drops_asked, predecessors
from ..ir import Block, FrameRec, Graph, Op, Slot, State, Value
from ..registry import OPS
from .dce import copies
from .fold import QUIET, producer_name
from .rewrite import Replacements

MOST_ROUNDS = 8
"""How deep virtual instances lie in each other, at most."""

MAKERS = frozenset({"instance.new", "cell.new", "function.new", "method.new"})
PUTS = {"values.put": "", "slot.put": "", "field.put": "", "values.put_float": "obj.box_float", "values.put_int": "obj.box_int"}
PUTS |= {"slot.put_float": "obj.box_float", "slot.put_int": "obj.box_int"}
BOX_USES = ENDS | {"obj.incref", "obj.drop", "obj.is_null"}
BOXES = {
    "obj.box_int": ("obj.unbox_int", "obj.int_value"),
    "obj.box_float": ("obj.unbox_float", "obj.unbox_number", "obj.float_value"),
}

Attributes = dict[int, Value]
"""What an instance has, oldest first: by the number of the place, or (attributes with slots) minus the offset. What is in a cell is at
place 0; the cells of a function are at places from 1 on; the object of a bound method is at place 1."""
KNOWN_PART = {"function": 1, "method": 0}
"""The number of the immediate that what is shown of these begins with."""
FIELDS = {"cell.new": {"CELL_REF"}, "method.new": {"METHOD_FUNC", "METHOD_SELF", "METHOD_WEAKREFS"}}
FIELDS["method.new"] |= {"CFUNCTION_SELF", "CFUNCTION_MODULE", "CFUNCTION_WEAKREFS"}
"""The fields that are known of what these make."""


def virtuals(graph: Graph) -> int:
    """Returns the number of instances and boxes that are not made any more."""
    if not any(op.name in MAKERS for block in graph.blocks for op in block.ops):
        return 0
    copies(graph)
    changes = 0
    for _ in range(MOST_ROUNDS):
        found = Round(graph).run()
        if not found:
            break
        changes += found
    return changes + (boxes(graph) if changes else 0)


@dataclass
class Uses:
    """Of one value: the operations with it as an operand, and those (or blocks) with it in their state."""

    ops: list[Op] = field(default_factory=list)
    states: list[Op | Block] = field(default_factory=list)


def uses_of(graph: Graph, made: Callable[[Op], bool], known: Callable[[Op, Op, Value], bool]) -> dict[Value, Uses]:
    """The uses of what certain operations have made, if that does not escape: `known(maker, op, value)` says whether it may be an
    operand there. What is passed to another block, returned, or shown to the program in linked frames does escape. (Looking into
    states takes longest, and comes last.)"""
    found: dict[Value, Uses] = {op.result: Uses() for block in graph.blocks for op in block.ops if op.result is not None and made(op)}
    for block in graph.blocks if found else ():
        for op in block.ops:
            for value in set(op.args) if not found.keys().isdisjoint(op.args) else ():
                if value in found:
                    maker = value.producer
                    assert isinstance(maker, Op)
                    if known(maker, op, value):
                        found[value].ops.append(op)
                    else:
                        del found[value]
        for edge in block.edges:
            for value in edge.args:
                found.pop(value, None)
    named: dict[State, list[Value]] = {}
    for block in graph.blocks if found else ():
        users: list[Op | Block] = [op for op in block.ops if op.state is not None]
        if block.state is not None:
            users.append(block)
        for user in users:
            state = user.state
            assert state is not None
            if state not in named:
                named[state] = [value for value in state.values() if value in found]
            for value in named[state]:
                if state.kind == "return" or isinstance(user, Op) and user.name in ("frame.link", "frame.offer"):
                    found.pop(value, None)
                elif value in found:
                    found[value].states.append(user)
    return found


class Escapes(Exception):
    """The instance has to be made."""


@dataclass
class Now:
    """What is known of an instance at a place: its references, and what it has."""

    references: int
    attributes: Attributes

    def copy(self) -> Now:
        return Now(self.references, dict(self.attributes))

    def is_like(self, other: Now) -> bool:
        """Whether that is the same, attributes in the same order."""
        return self.references == other.references and [*self.attributes.items()] == [*other.attributes.items()]


class Round:
    """All instances that do not escape, but for those that are in others of these."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.order = graph.reverse_postorder()
        self.before = predecessors(self.order)
        self.place = {block: at for at, block in enumerate(self.order)}
        self.uses = uses_of(graph, may_be_virtual, is_known)
        self.repl = Replacements()
        self.instead: dict[Op, list[Op]] = {}
        """What comes in the place of operations."""
        self.shown: dict[Op | Block, dict[Value, Slot]] = {}
        """What their states show instead of references."""

    def run(self) -> int:
        """Returns how many were found."""
        found = 0
        for block in self.order if self.uses else ():
            for op in block.ops:
                if op.result in self.uses:
                    try:
                        Instance(self, op, block, self.uses[op.result]).replace()
                        found += 1
                    except Escapes:
                        pass
        if found:
            rewrite(self.graph, self.instead, self.shown, self.repl)
        return found


def may_be_virtual(op: Op) -> bool:
    """Whether the operation makes an instance whose end is known to do nothing but to let go of what is in it."""
    if op.name == "instance.new":
        return isinstance(op.imm[0], type) and instances.ends_plainly(op.imm[0])
    return op.name in MAKERS


def is_known(maker: Op, op: Op, value: Value) -> bool:
    """Whether the operation does nothing with the instance but what `Instance` knows."""
    if op.name.startswith("field.") and op.imm[0] not in FIELDS.get(maker.name, ()):
        return False
    if op.name not in RULES and op.name not in PUTS:
        return False
    return value not in op.args[1:] or op.name == "obj.is"


def rewrite(graph: Graph, instead: dict[Op, list[Op]], shown: dict[Op | Block, dict[Value, Slot]], repl: Replacements) -> None:
    """Put operations in the places of others, show slots where states (of the operations and blocks in `shown`) have references, and
    replace values. States that were shared and show the same are shared again."""
    states: dict[tuple[State, frozenset[tuple[Value, int]]], State] = {}
    for user, table in shown.items():
        assert user.state is not None
        key = user.state, frozenset((value, id(slot)) for value, slot in table.items())
        if key not in states:
            states[key] = showing(user.state, table)
        user.state = states[key]
    for block in graph.blocks:
        if any(op in instead for op in block.ops):
            block.ops[:] = [new for op in block.ops for new in instead.get(op, (op,))]
    repl.graph(graph)


def showing(state: State, table: dict[Value, Slot]) -> State:
    """The state with slots in the places of references. What shows none of them is shared with the state that was."""

    def instead(slot: Slot) -> Slot:
        values = slot.values
        if len(values) == 1 and values[0] in table:
            return table[values[0]]
        if slot.parts:
            parts = tuple(map(instead, slot.parts))
            if any(new is not old for new, old in zip(parts, slot.parts, strict=True)):
                return Slot(slot.kind, values, slot.obj, parts, slot.index, slot.places)
        return slot

    frames = []
    for frame in state.frames:
        locals_ = {k: instead(slot) for k, slot in frame.locals.items()}
        stack = [*map(instead, frame.stack)]
        same = all(new is old for new, old in zip(stack, frame.stack, strict=True))
        if not same or any(new is not frame.locals[k] for k, new in locals_.items()):
            frame = FrameRec(frame.code, frame.func, frame.offset, frame.call_offset, locals_, stack, frame.poison, frame.answer)
        frames.append(frame)
    return State(state.kind, tuple(frames), state.reason, state.result, state.when, state.exit_id, state.branch, state.work)


class Instance:
    """One instance: the walk along its life."""

    def __init__(self, round_: Round, op: Op, block: Block, uses: Uses) -> None:
        self.round, self.op, self.block, self.at = round_, op, block, block
        assert op.result is not None
        self.made = op.result
        round_.graph.instances += 1
        self.number = round_.graph.instances
        self.left: set[Op | Block] = {*uses.ops, *uses.states}
        """Users that have not been met."""
        self.uses = self.left.copy()
        self.instead: dict[Op, list[Op]] = {op: [Op(OPS["obj.incref"], [held], (), None) for held in op.args]}
        self.answers: list[tuple[Value, Value]] = []
        self.shown: dict[Op | Block, Slot] = {}
        self.slots: dict[tuple[tuple[int, Value], ...], Slot] = {}

    def replace(self) -> None:
        """Note what is to be done. Raises Escapes."""
        place = self.round.place
        begins: dict[Block, Now] = {}
        ends: dict[Block, Now] = {}
        work = [self.block]
        while work:
            # In reverse postorder: what comes before a block, but for the ends of loops, has been seen.
            block = min(work, key=place.__getitem__)
            work.remove(block)
            now = self.walk(block, begins.get(block))
            ends[block] = now.copy()
            if not now.references:
                continue
            for edge in block.edges:
                if edge.block not in begins:
                    if place[edge.block] <= place[block]:
                        raise Escapes  # a loop that it is made in, or before whose head something else may come
                    begins[edge.block] = now.copy()
                    work.append(edge.block)
        if self.left:
            raise Escapes
        for block, begin in begins.items():
            if not all(one in ends and ends[one].is_like(begin) for one in self.round.before[block]):
                raise Escapes
        self.round.instead |= self.instead
        for user, slot in self.shown.items():
            self.round.shown.setdefault(user, {})[self.made] = slot
        for old, new in self.answers:
            self.round.repl.replace(old, new)

    def walk(self, block: Block, begin: Now | None) -> Now:
        """Go through a block, from the instance's making on where that is in it. Returns what is known at its end."""
        now = begin.copy() if begin is not None else Now(0, {})
        self.at = block
        for op in block.ops:
            if op is self.op:
                now = Now(1, dict(enumerate(op.args, 1)))
            elif op in self.uses:
                if not now.references:
                    raise Escapes
                self.left.discard(op)
                if self.made in op.args:
                    self.instead[op] = RULES[op.name](self, op, now) if op.name in RULES else put(self, op, now)
                elif op.state is not None:
                    self.shown[op] = self.slot(now)
        if block in self.uses:
            if not now.references:
                raise Escapes
            self.left.discard(block)
            self.shown[block] = self.slot(now)
            now.references = 0  # the exit has it
        return now

    def slot(self, now: Now) -> Slot:
        """How a state shows the instance."""
        key = tuple(now.attributes.items())
        if key not in self.slots:
            places, parts = [*now.attributes], [Slot("steal", (value,)) for value in now.attributes.values()]
            shown = self.op.name.split(".")[0]
            if shown in KNOWN_PART:
                places, parts = [0, *places], [Slot("const", obj=self.op.imm[KNOWN_PART[shown]]), *parts]
            what = self.op.imm[0] if self.op.imm else CellType
            self.slots[key] = Slot(shown, (), what, tuple(parts), self.number, tuple(places))
        return self.slots[key]

    @property
    def type(self) -> object:
        """The class of the object."""
        if self.op.name == "method.new":
            return MethodType if type(self.op.imm[0]) is FunctionType else BuiltinMethodType
        return {"cell.new": CellType, "function.new": FunctionType}.get(self.op.name) or self.op.imm[0]

    def answer(self, op: Op, value: Value) -> None:
        if op.result is not None:
            self.answers.append((op.result, value))

    def known(self, op: Op, truth: bool) -> list[Op]:
        """The question has that answer."""
        made = Op(OPS["const.b"], [], (truth,), None)
        assert made.result is not None
        self.answer(op, made.result)
        return [made]


def attribute(op: Op) -> int:
    """The key in `Attributes` of an operation's place."""
    if op.name.startswith("field."):
        return int(str(op.imm[0]).endswith("_SELF"))
    at = int(op.imm[1])  # type: ignore[call-overload]
    return -at if op.name.startswith("slot.") else at


def get(one: Instance, op: Op, now: Now) -> list[Op]:
    found = now.attributes.get(attribute(op))
    if found is not None:
        one.answer(op, found)
        return []
    made = Op(OPS["const.o"], [], (one.op.imm[0],), None) if op.imm[0] == "METHOD_FUNC" else Op(OPS["obj.null"], [], (), None)
    assert made.result is not None
    one.answer(op, made.result)
    return [made]


def put(one: Instance, op: Op, now: Now) -> list[Op]:
    made: list[Op] = []
    value = op.args[1]
    if PUTS[op.name]:
        made.append(Op(OPS[PUTS[op.name]], [value], (), None))
        value = made[0].result  # type: ignore[assignment]
    at = attribute(op)
    old = now.attributes.get(at)
    now.attributes[at] = value
    if producer_name(value) == "obj.null":
        del now.attributes[at]
    return made if old is None else [*made, Op(OPS["obj.drop"], [old], (), None)]


def is_there(one: Instance, op: Op, now: Now) -> list[Op]:
    """It is no NULL. What leaves where it was not made goes: its state does not know of what a bound method has taken."""
    for guard in one.at.ops:
        if guard.name == "guard" and guard.args[0] is op.result and not guard.imm[0]:
            one.instead[guard] = []
    return one.known(op, False)


def close(one: Instance, op: Op, now: Now) -> list[Op]:
    cells = op.args[1:]
    now.attributes.update(enumerate(cells, 1))
    return [Op(OPS["obj.incref"], [cell], (), None) for cell in cells]


def incref(one: Instance, op: Op, now: Now) -> list[Op]:
    now.references += 1
    return []


def drop(one: Instance, op: Op, now: Now) -> list[Op]:
    now.references -= 1
    if now.references:
        return []
    return [Op(OPS["obj.drop"], [value], (), None) for value in now.attributes.values()]


def ends(one: Instance, op: Op, now: Now) -> list[Op]:
    """Whether the drops that are asked about run no code."""
    drops = drops_asked(op)
    if now.references > drops:
        return one.known(op, True)
    inside = [value for value in now.attributes.values() if producer_name(value) not in QUIET]
    if not inside:
        return one.known(op, True)
    if len(inside) == 1:
        made = [Op(op.info, inside, op.imm, None)]
    else:
        # Any of them may be the same object, which may be in others as well that are asked about with this one. As each question is
        # shared out among what is inside, one of those about an object is for as many drops as there are.
        made = [Op(OPS["obj.outlives"], [value], (drops * len(inside),), None) for value in inside]
    whole, *others = (check.result for check in made)
    assert whole is not None
    for other in others:
        assert other is not None
        both = Op(OPS["bool.and"], [whole, other], (), None)
        made.append(both)
        assert both.result is not None
        whole = both.result
    one.answer(op, whole)
    return made


RULES = {
    "obj.is_null": is_there,
    "obj.type_is": lambda one, op, now: one.known(op, op.imm[0] is one.type),
    "obj.is": lambda one, op, now: one.known(op, op.args[0] is op.args[1]),
    "values.valid": lambda one, op, now: one.known(op, True),
    "values.alone": lambda one, op, now: one.known(op, True),
    "values.get": get,
    "slot.get": get,
    "field.o": get,
    "function.close": close,
    "method.is_of": lambda one, op, now: one.known(op, op.imm[0] is one.op.imm[0]),
    "obj.incref": incref,
    "obj.drop": drop,
    **dict.fromkeys(ENDS, ends),
}
"""What stands in the place of an operation with a virtual instance."""


# ---- boxes --------------------------------------------------------------------------------------------------------------


def boxes(graph: Graph) -> int:
    """Numbers that are boxed, and of which nobody wants the box, are not: frame states show the number. Returns how many there were."""
    found = 0
    repl = Replacements()
    instead: dict[Op, list[Op]] = {}
    shown: dict[Op | Block, dict[Value, Slot]] = {}
    boxed = uses_of(graph, lambda op: op.name in BOXES, lambda maker, op, box: op.name in BOX_USES or op.name in BOXES[maker.name])
    for box, uses in boxed.items():
        made = box.producer
        assert isinstance(made, Op)
        found += 1
        for op in (made, *uses.ops):
            instead[op] = []
            if op.name in BOXES[made.name]:
                assert op.result is not None
                repl.replace(op.result, made.args[0])
            elif op is not made and op.result is not None:
                answer = Op(OPS["const.b"], [], (op.name != "obj.is_null",), None)
                assert answer.result is not None
                repl.replace(op.result, answer.result)
                instead[op] = [answer]
        slot = Slot("box", (made.args[0],))
        for user in uses.states:
            shown.setdefault(user, {})[box] = slot
    rewrite(graph, instead, shown, repl)
    return found
