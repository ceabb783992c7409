"""From recorded bytecode to SSA: the translator.

A region starts at one bytecode offset of one code object (its door) on a real interpreter frame. The translator walks
the bytecode from there, along the paths the recorder saw, and keeps an abstract value for every slot of every live
frame. Python calls whose target is known are walked into, with a frame that exists only here.

Where control flow joins, the current abstract state is compared with the *versions* of that place made so far: a
version is a block whose parameters carry the slots that are numbers or references. A state that fits jumps there;
another one gets a version of its own, up to a limit; past the limit all are widened into one and the walk starts over
(SSA is cheap to make again, which is why recordings are kept and SSA is not). Loops close and branches merge this
way, inner loops lie inside outer ones, and no fact crosses a join unless it is part of the version's context.

A path that was never observed, or that cannot be translated, ends in an exit with its reason. Every exit carries a
frame state from which the interpreter goes on: *before* the current bytecode as long as nothing observable happened in
it (`emit` keeps track and `state` refuses otherwise), *after* it once an opaque operation has run.

What differs from plain trace recording: observations are stored per bytecode, not per trace, so a bridge is just new
observations for the same places and every compile sees all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from types import BuiltinMethodType, CodeType, FunctionType, GeneratorType, MethodType
from typing import TYPE_CHECKING, Any

from ..abi import instances, operands
from ..abi.unbound import UNBOUND
from ..optimizer import ops as _ops  # noqa: F401  (fills the registry)
from ..optimizer.ir import Block, Edge, FrameRec, Graph, Op, Slot, State, Value
from ..optimizer.registry import OPS, GuardFailed
from ..records import dataclass, field
from . import names
from .code_flags import GENERATORS
from .contexts import (
    NOTHING,
    Context,
    Description,
    Same,
    TranslationError,
    describe,
    fits,
    loose_kind,
    revive,
    widen,
)
from .decode import CodeInfo, Ins, code_info
from .methods import ABSENT, is_fixed, qualname
from .names import Names
from .profile import Observation, ProfileStore
from .targets import Choice, DirectTarget
from .values import (
    AV,
    FOREVER,
    FRAME,
    HEAP,
    OWNED,
    Const,
    Generator,
    InFrame,
    Iterator,
    Maybe,
    MaybeNum,
    Null,
    Num,
    Obj,
    Raised,
    Range,
    Tagged,
    Tup,
    Twin,
    children,
    local_owner,
    owned_parts,
)
from .versions import CALL_NULL_FIRST
from .weights import spared

if TYPE_CHECKING:
    from .consumers import Consumer

REPEATABLE = ("poll", "collect.")
"""Operations that may be done again although they write: nobody but the region itself can tell."""

SAFE_TO_DROP: frozenset[type] = frozenset(
    {int, float, bool, str, bytes, complex, type(None), range, type(iter(range(0))), slice, type(...)}
)
"""Exact types whose deallocation runs no Python code and frees nothing that could."""

MOST_DROPS = 2
"""How many objects a bytecode lets go of that does something, at most."""

LIST_ITERATOR: type = type(iter([]))
TUPLE_ITERATOR: type = type(iter(()))
SEQUENCE_OF: dict[type, type] = {LIST_ITERATOR: list, TUPLE_ITERATOR: tuple}

RARE = 16
"""How many calls of a function there are for each time that something rare in it is done."""
MAX_TYPES = 4
"""Types of an operand that get paths of their own."""

CALL_COST = 8
"""What a call out of native code costs more than the specialised bytecode it replaces, in bytecodes of the interpreter,"""
LINKED_COST = 12
"""and where frames are linked for it; one more for each local in them."""
OFFER_COST = 3
"""The same of a direct call for which frames are only offered."""
FUNCTION_END_COST = 8
"""What the end of a function costs more in native code than in the interpreter, which need not look into it first."""
MOST_LINKED = 40
"""Instructions of a function up to which it is inlined although it calls out: in larger ones a call more does not matter."""
FEW_RESTARTS, FEW_OPS = 10, 3000
"""Starts and operations up to which the walk starts over for a join that got too many versions."""
MOST_HANDLED = 100
"""Bytecodes of a handler up to the end of its exception, which are copied for each place that raises one."""
MAX_SPLITS = 2
"""How often paths part over the types of an operand before they meet again behind the bytecode: an expression of several such
operands would be copied for each combination."""

ASSIGNS = ("STORE_", "DELETE_", "CALL", "RETURN_", "YIELD_VALUE", "LOAD_FAST_AND_CLEAR")
"""Beginnings of the names of bytecodes behind which nothing from before them is done again."""

NUMBERS = (int, float, bool)
PLAIN = (int, float, bool, str, type(None))
"""Types of immediates that are the same if they look the same."""
REPR_OF: dict[type, str] = {int: "i", float: "f", bool: "b"}
TYPE_OF: dict[str, type] = {"i": int, "f": float, "b": bool}


class Leave(Exception):
    """Raised by a bytecode's function before it had any effect: the region is left at this bytecode."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class Branch(Exception):
    """Raised by a bytecode's function before it had any effect: what it does depends on whether an operand is of this type.
    The bytecode is done again on both sides of a check."""

    def __init__(self, av: Obj, kind: type) -> None:
        super().__init__(av, kind)
        self.av, self.kind = av, kind


class Throw(Exception):
    """Raised by a bytecode's function before it had any effect: the bytecode raises an exception of exactly this type, and goes on
    in its handler (`exceptions.require`)."""

    def __init__(self, kind: type) -> None:
        super().__init__(kind)
        self.kind = kind


class Restart(Exception):
    """The walk has to start over with what was learnt (a widened join, a callee not to walk into)."""


class Refused(Exception):
    """No region can be made here; `reason` is a key of the closed list. `final`: later tries would come to the same."""

    def __init__(self, reason: str, detail: str = "", final: bool = False) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail, self.final = reason, detail, final


@dataclass
class Limits:
    versions: int = 4
    ops: int = 20000
    inline_depth: int = 8
    inline_ops: int = 400
    restarts: int = 60


@dataclass
class Entry:
    """What the door finds: where, and the exact types of the frame's slots at the moment of compilation (type objects;
    None for an unbound slot; the string 'tagged' for 3.15's unboxed integers; an `entry.Shape` for the iterator of the loop
    whose head this is, where it can become a virtual one)."""

    code: CodeType
    offset: int
    globals: dict[str, Any]
    builtins: dict[str, Any]
    locals: list[object]
    stack: list[object]
    function_door: bool = False
    namespace: Any = None
    """The dict (or whatever) with the variables of code outside functions."""
    names: Names | None = None
    """Where the names are that have slots behind the locals; of code outside functions."""
    direct: Any = None
    """The function (or None) for which to make a direct function, without a frame: its parameters' types are those of `locals`."""
    boxed: bool = False
    """Whether that is to give a reference, whatever it returns."""


@dataclass
class Watch:
    """Something of the program that the region takes for constant: a key of a namespace (kind 'dict'), a function's code and
    defaults (kind 'function'), or all about a type (kind 'type', by its version's tag). `seen` is what it was when the region
    relied on it."""

    kind: str
    holder: Any
    name: str
    seen: Any

    def holds(self) -> bool:
        """Whether it is still what was seen."""
        if self.kind == "dict":
            return self.holder.get(self.name, ABSENT) is self.seen
        if self.kind == "type":
            return instances.current_version(self.holder) == self.seen
        return all(a is b for a, b in zip(function_parts(self.holder), self.seen, strict=True))


def function_parts(func: FunctionType) -> tuple[object, ...]:
    """What a call that is walked into takes from the function object."""
    return func.__code__, func.__defaults__, func.__kwdefaults__


@dataclass
class Translation:
    graph: Graph
    constants: list[object]
    watches: list[Watch]
    codes: set[CodeType]
    refusals: dict[str, str] = field(default_factory=dict)
    restarts: int = 0
    bytecodes: int = 0
    target: DirectTarget | None = None
    """What this is as a function for direct calls; `cell` and `valid` are not known yet."""
    targets: list[DirectTarget] = field(default_factory=list)
    """Other regions' functions that this one calls directly."""
    plans: dict[Any, Any] = field(default_factory=dict)
    """How joins were widened: the next compile of the same place may begin with them, and needs fewer restarts."""
    assigns: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    """Names that the region assigns without telling the watchers of their namespace."""
    ends: dict[int, float] = field(default_factory=dict)
    """Offsets of the door's bytecodes that are not covered, and what is spared before each."""
    calls_out: Mapping[tuple[CodeType, int], int] = field(default_factory=dict)
    """Bytecodes that call out (each makes frames true first and is no faster than in the interpreter), and what that costs."""
    covered: Mapping[tuple[CodeType, int], float] = field(default_factory=dict)
    """Bytecodes that it does itself, and what is spared with each (see `weights`). What is called directly comes to that."""

    opens: bool = False
    """Whether it is a function for direct calls that does open calls,"""
    relies: list[DirectTarget] = field(default_factory=list)
    """and which others it relies on not to do any."""

    def all_targets(self) -> list[DirectTarget]:
        """The functions that are called directly where this is run, by it and by each other."""
        targets = list(self.targets)
        for target in targets:
            targets += [other for other in target.targets if other not in targets]
        return targets

    def done_natively(self) -> dict[tuple[CodeType, int], float]:
        """All bytecodes that are done where this is run, those of functions that are called directly included."""
        done = dict(self.covered)
        for target in self.all_targets():
            done |= target.covered
        return done

    def all_calls_out(self) -> dict[tuple[CodeType, int], int]:
        """The same of what is called out for."""
        found = dict(self.calls_out)
        for target in self.all_targets():
            found |= target.calls_out
        return found


class Frame:
    """One frame of the walk. Frame 0 is real; the others exist only here."""

    __slots__ = ("info", "code", "func", "globals", "builtins", "locals", "stack", "call", "answer", "consumer")

    def __init__(
        self, info: CodeInfo, func: object, globals_: dict[str, Any], builtins: dict[str, Any], nlocals: int
    ) -> None:
        self.info = info
        self.code: CodeType = info.code
        self.func = func
        self.globals, self.builtins = globals_, builtins
        self.locals: list[AV] = [Null() for _ in range(nlocals)]
        self.stack: list[AV] = []
        self.call: Ins | None = None
        self.answer = "value"
        """What is done with the result of the call, a key of `answers.ANSWERS`."""
        self.consumer: Consumer | None = None
        """Of a generator that is used up at once: the function that does it (see `consumers`)."""

    def clone(self) -> Frame:
        made = Frame(self.info, self.func, self.globals, self.builtins, 0)
        made.locals = [a.copy() for a in self.locals]
        made.stack = [a.copy() for a in self.stack]
        made.call, made.answer, made.consumer = self.call, self.answer, self.consumer
        return made


def immediate_key(name: str, imm: object) -> object:
    """Equal for immediates of that operation that are the same. Classes may look the same and be different."""
    return (type(imm), repr(imm)) if type(imm) in PLAIN and name != "const.o" else Same(imm)


@dataclass
class Raising:
    """The exceptions that are being handled and have not been made: from where the first would be raised to where nobody holds any."""

    state: State
    """Before the bytecode that raises the first. All exits leave with that, and the interpreter does the stretch again."""
    where: Key
    """What to remember if that is not possible to the end."""
    waiting: list[AV] = field(default_factory=list)
    """What the frames and stacks held that they have ended; their tracebacks would go on holding it."""
    spoiled: bool = False
    """Whether something was done that cannot be done again."""
    length: float = 0.0
    lent: bool = False
    """Whether some slot may have borrowed from what waits."""
    exits: dict[str, State] = field(default_factory=dict)


Side = tuple[int | None, bool, Callable[[], None] | None]
Key = tuple[Any, ...]


@dataclass
class Version:
    block: Block
    context: Context
    frames: list[Frame]
    offset: int
    length: float


@dataclass
class Pending:
    """One side of a branch, still to be walked; `facts` are those known at the branch (it dominates the side)."""

    block: Block
    frames: list[Frame]
    offset: int | None
    seen: bool
    action: Callable[[], None] | None
    facts: tuple[dict[tuple[Any, ...], Value], dict[tuple[Value, Any], bool], dict[Value, Any]]
    ins: Ins | None
    before: list[AV]
    late: bool = False
    """Whether the bytecode has had its effect: no way back, so `action` is taken even on a side never seen."""
    again: bool = False
    """Whether this is the same bytecode once more, with more known: not a place to meet others."""
    splits: int = 0
    """How often a bytecode was done again on the way here from the last join."""
    length: float = 0.0
    linked: Value | None = None
    raising: Raising | None = None


class Translator:
    """One attempt to make a graph. Use `translate`."""

    def __init__(self, entry: Entry, profiles: ProfileStore, limits: Limits, memory: Memory) -> None:
        self.entry, self.profiles, self.limits, self.memory = entry, profiles, limits, memory
        self.root = code_info(entry.code)
        self.graph = Graph(f"{entry.code.co_qualname}@{entry.offset}")
        self.names = entry.names
        self.assigns: set[int] = set()
        """Slots of names that are stored to."""
        self.stores: dict[tuple[int, str], dict[str, Any]] = {}
        """Other names that are stored to where they are, and their namespaces."""
        self.real = 0 if entry.direct is None else -1
        """Which frame of `frames` is one of the interpreter's."""
        self.own_target: DirectTarget | None = None
        self.calls_itself = False
        self.opens = memory.opens
        """Whether this, a function for direct calls, does open calls."""
        self.relies: list[DirectTarget] = []
        """Functions that are called without frames for this, because they do no open calls."""
        self.targets: list[DirectTarget] = []
        self.choices: dict[Key, Choice] = {}
        """The functions that a call of many may be of, by its code and offset."""
        self.constants: dict[int, object] = {}
        self.watches: dict[tuple[str, int, object], Watch] = {}
        self.codes: set[CodeType] = {entry.code}
        self.refusals: dict[str, str] = {}
        self.made: dict[Value, tuple[CodeType, list[Value]]] = {}
        """Functions that were made here: their code and cells."""
        self.bound_methods: dict[Value, Description] = {}
        """Bound methods that were made here: of which function and which constant, both as `Same`, or of an object of which type."""
        self.unbound: Ins | None = None
        """The call whose bound method gave way last to its function and object."""
        self.versions: dict[Key, list[Version]] = {}
        self.work: list[Version | Pending] = []
        self.body = self.loop_body() if not entry.function_door else None
        self.known: dict[Value, Any] = {}
        self.cse: dict[tuple[Any, ...], Value] = {}
        self.checked: dict[tuple[Value, Any], bool] = {}
        self.frames: list[Frame] = []
        self.block: Block | None = None
        self.pc = 0
        self.splits = 0
        self.length = 0.0
        """What is spared since the head of the door's loop on the way here; calls out of native code count against it."""
        self.ins: Ins | None = None
        self.effect = False
        self.before: list[AV] = []
        self.count = 0
        self.bytecodes = 0
        self.kwnames: tuple[str, ...] | None = None
        self.calls_out: dict[tuple[CodeType, int], int] = {}
        self.covered: dict[tuple[CodeType, int], float] = {}
        self.calls_c = False
        """Whether the current bytecode calls a C function."""
        self.ends: dict[int, float] = {}
        self.resume: tuple[Block, int, State] | None = None
        self.raising: Raising | None = None
        """What is known of the exceptions that are being handled and have not been made."""
        self.wrote = False
        """Whether the current bytecode has written, allocated or counted anything."""
        self.linked: Value | None = None
        """The frames that have been linked for the open call of the current bytecode."""

    def watch(self, kind: str, holder: Any, name: str, seen: object) -> None:
        """Rely on something that a watcher guards. What changed since it was first looked at starts the walk over."""
        first = self.watches.setdefault((kind, id(holder), name), Watch(kind, holder, name, seen))
        if not first.holds():
            raise Restart

    def assigned(self) -> list[tuple[dict[str, Any], str]]:
        """The names that are stored to without telling watchers."""
        own = self.entry.names
        slots = [(own.namespace, own.words[k][0]) for k in self.assigns] if own is not None else []
        return slots + [(namespace, name) for (_, name), namespace in self.stores.items()]

    def watch_type(self, kind: type) -> bool:
        """Rely on everything that the type and its bases say. False where that is not possible, or has not paid."""
        if is_fixed(kind):
            return True
        tag = 0 if self.memory.is_unstable(kind, "") else instances.version_tag(kind)
        if tag:
            self.constants[id(kind)] = kind
            self.watch("type", kind, "", tag)
        return tag != 0

    # ---- emission -------------------------------------------------------------------------------------------------

    def emit(self, name: str, *args: Value, imm: tuple[Any, ...] = (), state: State | None = None) -> Value:
        """Append an operation, folding what is constant and sharing what is pure. Operations without a result return a
        dummy value that must not be used."""
        info = OPS[name]
        key: tuple[Any, ...] = (name, args, tuple(immediate_key(name, i) for i in imm))
        if info.pure and not info.reads:
            found = self.cse.get(key)
            if found is not None:
                return found
            if args and info.result != "o" and all(a in self.known for a in args) and all(a.repr != "o" for a in args):
                made = self.constant(info.evaluate(None, *(self.known[a] for a in args), *imm), info.result)
                self.cse[key] = made
                return made
        elif info.guard and not info.reads and not info.writes and args and all(a in self.known for a in args) and args[0].repr != "o":
            try:
                folded = info.evaluate(None, *(self.known[a] for a in args), *imm)
            except GuardFailed:
                pass
            else:
                return self.constant(folded, info.result) if info.result else args[0]
        if info.writes:
            self.calls_c |= name.startswith("call.")
            if self.consumer is not None and not name.startswith(REPEATABLE):
                self.call_it()
            if self.raising is not None and not self.wrote and (info.writes - {"alloc", "ref"} or name in ("obj.drop", "obj.incref")):
                self.end_waiting()
            self.resume = None
            self.wrote = True
            if self.raising is not None and name == "obj.incref":
                self.raising.spoiled = True  # an earlier state does not have that reference
            if info.writes - {"alloc", "ref"} or name == "obj.drop":
                self.effect = True
        if info.guard and state is None:
            state = self.state()
        op = Op(info, list(args), imm, state)
        self.current.ops.append(op)
        self.count += 1
        if self.count > self.limits.ops:
            raise Refused("region_too_large", f"more than {self.limits.ops} operations")
        if op.result is None:
            return args[0] if args else Value("o", op)
        if name.startswith("const.") and name != "const.o":
            self.known[op.result] = imm[0]
        if info.pure and not info.reads:
            self.cse[key] = op.result
        return op.result

    @property
    def current(self) -> Block:
        assert self.block is not None
        return self.block

    def constant(self, value: Any, repr_: str) -> Value:
        return self.emit(f"const.{repr_}", imm=(value,))

    def const_i(self, value: int) -> Value:
        return self.emit("const.i", imm=(value,))

    def const_f(self, value: float) -> Value:
        return self.emit("const.f", imm=(value,))

    def const_b(self, value: bool) -> Value:
        return self.emit("const.b", imm=(value,))

    def const_o(self, obj: object) -> Value:
        self.constants[id(obj)] = obj
        return self.emit("const.o", imm=(obj,))

    def guard(self, cond: Value, expected: bool = True, state: State | None = None) -> None:
        """Leave unless cond is `expected`; nothing is emitted where that is known."""
        known = self.known.get(cond)
        if known is not None:
            if known == expected:
                return
            raise Leave("always_fails")
        if self.checked.get((cond, "b")) == expected and (cond, "b") in self.checked:
            return
        self.emit("guard", cond, imm=(expected,), state=state)
        self.checked[(cond, "b")] = expected

    # ---- slots and ownership --------------------------------------------------------------------------------------

    @property
    def frame(self) -> Frame:
        return self.frames[-1]

    @property
    def consumer(self) -> int | None:
        """The depth of the frame of a generator that is used up: from there on nothing is done that cannot be done again."""
        return next((depth for depth, frame in enumerate(self.frames) if frame.consumer is not None), None)

    def call_it(self) -> None:
        """The generator does something that cannot be done again: it is an object, which the function is called with."""
        depth = self.consumer
        assert depth is not None
        caller = self.frames[depth - 1]
        assert caller.call is not None
        self.memory.called.add((Same(caller.code), caller.call.offset))
        raise Restart

    def in_real_frame(self) -> bool:
        """Whether the innermost frame is the interpreter's own, which others can look at."""
        return len(self.frames) - 1 == self.real

    def push(self, av: AV) -> None:
        self.frame.stack.append(av)

    def pop(self) -> AV:
        return self.frame.stack.pop()

    def peek(self, n: int = 1) -> AV:
        return self.frame.stack[-n]

    def all_slots(self) -> Iterable[AV]:
        for frame in self.frames:
            yield from frame.locals
            yield from frame.stack

    def own(self, av: AV) -> None:
        """Give a borrowed reference one of its own."""
        if isinstance(av, Obj):
            if av.owner not in (OWNED, FRAME):
                self.emit("obj.incref", av.value)
                av.owner = OWNED
        else:
            for part in children(av):
                self.own(part)

    def promote(self, which: Callable[[Obj], bool], keep: AV | None = None) -> None:
        """Own every borrowed reference that `which` selects: its owner is about to let go."""

        work = list(self.all_slots())[::-1]
        while work:
            av = work.pop()
            if isinstance(av, Obj):
                if av is not keep and which(av):
                    self.own(av)
            else:
                work += children(av)[::-1]

    def promote_heap(self) -> None:
        """Before an operation that may change containers."""
        self.promote(lambda o: o.owner is HEAP)

    def promote_owned_by(self, depth: int) -> None:
        """Before the frame at `depth` goes: own what was borrowed from its locals, also by its result on the stack."""
        self.promote(lambda o: o.owner.kind == "local" and o.owner.frame == depth)

    def promote_from(self, depth: int, slot: int, keep: AV | None = None) -> None:
        """Before a local gives up its object: own what was borrowed from it, but for `keep`."""
        self.promote(lambda o: o.owner == local_owner(depth, slot), keep)

    def dup(self, av: AV) -> AV:
        """A second slot with the same value."""
        if isinstance(av, Obj):
            made = av.copy()
            if av.owner is OWNED:
                self.emit("obj.incref", av.value)
            elif av.owner is FRAME:
                raise TranslationError("dup of a frame local")
            return made
        if isinstance(av, Tup):
            return Tup([self.dup(i) for i in av.items])
        if isinstance(av, Iterator | Generator):
            raise TranslationError("a second name for a virtual iterator")
        made2 = av.copy()
        made2.dirty = False
        return made2

    def owned_value(self, av: AV) -> Value:
        """The reference of av, owned by whoever consumes the result; av is then dead. Boxes and materialises."""
        if isinstance(av, Obj):
            self.own(av)
            return av.value
        if isinstance(av, Tup):
            self.reject_hidden(av)
            return self.emit("tuple.new", *[self.owned_value(i) for i in av.items])
        if isinstance(av, Range):
            return self.emit("range.new", av.start, av.stop, av.step)
        if isinstance(av, Iterator):
            from .iteration import new_iterator

            return new_iterator(self, av)
        value = self.boxed(av)
        if isinstance(av, Const):
            self.emit("obj.incref", value)
        return value

    def value_or_null(self, av: AV) -> Value:
        """The same of what may be unbound, as a frame has it."""
        if isinstance(av, Null):
            return self.emit("obj.null")
        if isinstance(av, MaybeNum):
            name = {"i": "obj.box_int_if", "f": "obj.box_float_if", "b": "obj.box_bool_if"}[av.repr]
            return self.emit(name, av.value, av.bound)
        value = self.owned_value(av)
        if isinstance(av, Maybe):
            return self.emit("obj.select", self.emit("obj.is", value, self.const_o(UNBOUND)), self.emit("obj.null"), value)
        return value

    def reject_hidden(self, av: AV) -> None:
        """Leave where av has something that the program cannot hold (an index of the interpreter's, an empty slot), or that only an
        exit can make."""
        if isinstance(av, Tagged | Null | InFrame | Generator | Raised | Maybe | MaybeNum | Twin):
            raise Leave("unsupported_operand_types", f"{type(av).__name__} escapes")
        for part in children(av):
            self.reject_hidden(part)

    def boxed(self, av: AV) -> Value:
        """av as a reference: a new owned one of a number, the constant itself (borrowed), the object (as it is held).
        Displays that exist only as their parts are for `owned_value`."""
        if isinstance(av, Num):
            if self.is_home(av):
                value = names.load(self, av.home)
                self.emit("obj.incref", value)
                return value
            return self.emit({"i": "obj.box_int", "f": "obj.box_float", "b": "obj.box_bool"}[av.repr], av.value)
        if isinstance(av, Const):
            return self.const_o(av.obj)
        if isinstance(av, Obj):
            return av.value
        self.reject_hidden(av)
        raise TranslationError(f"cannot box {type(av).__name__}")

    def is_home(self, av: Num) -> bool:
        """Whether av's own box is still in the local that it came from: who asks for the object gets that one."""
        local = self.frames[0].locals[av.home] if av.home >= 0 and self.real == 0 else None
        return isinstance(local, Num) and local.value is av.value and not local.dirty

    def drop_check(self, *avs: AV) -> None:
        """Make sure that `drop` of these runs no code; leaves before the bytecode otherwise."""
        unsafe = [o for av in avs for o in owned_parts(av) if o.type not in SAFE_TO_DROP]
        for obj in unsafe:
            if len(unsafe) > 1:
                # Any of them may be the same object.
                self.guard(self.emit("obj.outlives", obj.value, imm=(len(unsafe),)))
            elif obj.type in SEQUENCE_OF:
                # It dies with its last reference and lets go of its sequence.
                sequence = self.emit("field.o", obj.value, imm=("LISTITER_SEQ",))
                self.guard(self.emit("obj.drop_is_safe", sequence))
            elif obj.type is MethodType or obj.type is BuiltinMethodType:
                # What it has goes with it, which may be the same object twice.
                self.guard(self.emit("obj.ends_safely", obj.value))
            else:
                self.guard(self.emit("obj.drop_is_safe", obj.value))

    def receive_check(self, value: AV, *holders: AV) -> None:
        """The same of what one of them has been given the value first, which goes with it if nobody else has it."""
        holding = any(o.type not in SAFE_TO_DROP for av in holders for o in owned_parts(av))
        self.drop_check(*holders, *([value] if holding else []))

    def end_check(self, obj: Obj, state: State | None = None) -> None:
        """Make sure that the end of an object that is let go of alone runs no code. Looking into functions takes a while."""
        if obj.type is FunctionType:
            self.length -= FUNCTION_END_COST
        self.guard(self.emit("obj.ends_safely", obj.value), state=state)

    def drop(self, av: AV) -> None:
        """The slot of av is gone. `drop_check` has run before the bytecode had any effect."""
        for obj in owned_parts(av):
            if obj.type not in SAFE_TO_DROP:
                self.promote_heap()  # what was borrowed from it may go with it
            self.emit("obj.drop", obj.value)

    # ---- types ----------------------------------------------------------------------------------------------------

    def observation(self, ins: Ins | None = None) -> Observation | None:
        ins = ins or self.ins
        assert ins is not None
        return self.profiles.get(self.frame.code, ins.offset)

    def expected(self, position: int) -> set[Any]:
        """Kinds observed for operand `position` (0 = deepest recorded) of the current bytecode."""
        obs = self.observation()
        if obs is None or not 0 <= position < len(obs.operands):
            return set()
        if CALL_NULL_FIRST and position == 1 and self.unbound is self.ins:
            return set()  # that was the bound method
        return set(obs.operands[position])

    def expected_operands(self) -> int:
        """How many operands were recorded at the current bytecode."""
        obs = self.observation()
        return len(obs.operands) if obs is not None else 0

    def expected_results(self) -> set[Any]:
        obs = self.observation()
        return set(obs.results) if obs is not None else set()

    def type_of(self, av: AV) -> type | None:
        """The exact type, where known."""
        if isinstance(av, Num):
            return TYPE_OF[av.repr]
        if isinstance(av, Const):
            return type(av.obj)
        if isinstance(av, Obj):
            return av.type
        if isinstance(av, Tup):
            return tuple
        if isinstance(av, Range):
            return range
        if isinstance(av, Generator):
            return GeneratorType
        return av.kind if isinstance(av, Iterator) else None

    def ensure_type(self, av: AV, expected: type) -> None:
        """Check that av is exactly of that type, or leave."""
        known = self.type_of(av)
        if known is expected:
            return
        if known is not None or not isinstance(av, Obj):
            raise Leave("unsupported_operand_types", f"{known} where {expected.__name__} was recorded")
        self.constants[id(expected)] = expected
        self.guard(self.emit("obj.type_is", av.value, imm=(expected,)))
        self.learn_type(av, expected)

    def learn_type(self, av: Obj, kind: type) -> None:
        """The object is of that type, in whichever slots it is: a local that is a number from here on meets others as one."""
        av.type = kind
        for other in self.all_slots():
            if isinstance(other, Obj) and other.value is av.value:
                other.type = kind

    def specialise(self, av: AV, kinds: set[Any]) -> type | None:
        """av's exact type: known, or the single one observed (checked now), or one of a few (on a path of its own). None where
        too many were seen."""
        known = self.type_of(av)
        if known is not None:
            return known
        kind = self.choose(av, kinds) if isinstance(av, Obj) else None
        if kind is not None and kind is not slice:  # only of slices made here is it known that they die quietly
            self.ensure_type(av, kind)
            return kind
        return None

    def choose(self, av: Obj, kinds: Iterable[Any]) -> type | None:
        """The one type that is left to check for, of those observed. Raises Branch for an operand on the stack where more are
        left, and returns None where that cannot be done."""
        kinds = list(kinds)
        if len(kinds) == 1:
            return kinds[0] if isinstance(kinds[0], type) else None
        if not 1 < len(kinds) <= MAX_TYPES or not all(isinstance(kind, type) for kind in kinds) or slice in kinds:
            return None
        if self.effect or not any(av is one for one in self.before):
            return None
        left = []
        for kind in sorted(kinds, key=qualname):
            self.constants[id(kind)] = kind
            if self.checked.get((self.emit("obj.type_is", av.value, imm=(kind,)), "b")) is not False:
                left.append(kind)
        if len(left) > 1:
            raise Branch(av, left[0])
        return left[0] if left else None

    def number(self, av: AV, kinds: set[Any] = frozenset()) -> Num | None:  # type: ignore[assignment]
        """av as an unboxed number, or None where it is (or was seen as) anything else. Ints beyond 64 bits are None."""
        if isinstance(av, Num):
            return av
        if isinstance(av, Const):
            kind = type(av.obj)
            if kind is bool:
                return Num(self.const_b(av.obj))  # type: ignore[arg-type]
            if kind is int:
                return Num(self.const_i(av.obj)) if -(1 << 63) <= av.obj < 1 << 63 else None  # type: ignore[operator, arg-type]
            if kind is float:
                return Num(self.const_f(av.obj))  # type: ignore[arg-type]
            return None
        if not isinstance(av, Obj):
            return None
        kind_: Any = av.type
        if kind_ is None and (len(kinds) == 1 or all(kind in NUMBERS for kind in kinds)):
            kind_ = self.choose(av, kinds)
        if kind_ in NUMBERS and not (kind_ is int and av.type is None and not kinds):
            if kind_ is int and self.big(kinds):
                return None
            value = self.unbox(av, kind_, None)
            self.learn_type(av, kind_)
            return Num(value)
        return None

    @staticmethod
    def big(kinds: Iterable[Any]) -> bool:
        return any(k == "BIG_INT" or getattr(k, "name", "") == "BIG_INT" for k in kinds)

    def unbox(self, av: Obj, kind: type, state: State | None) -> Value:
        name = {"i": "obj.unbox_int", "f": "obj.unbox_float", "b": "obj.unbox_bool"}[REPR_OF[kind]]
        key = (av.value, kind)
        found = self.cse.get(key)
        if found is None:
            found = self.cse[key] = self.emit(name, av.value, state=state)
        return found

    # ---- frame states ---------------------------------------------------------------------------------------------

    def slot(self, av: AV) -> Slot:
        if isinstance(av, MaybeNum):
            return Slot("maybe_box", (av.value, av.bound))
        if isinstance(av, Num):
            return Slot("local", index=self.place(av.home)) if self.is_home(av) else Slot("box", (av.value,))
        if isinstance(av, Const):
            self.constants[id(av.obj)] = av.obj
            return Slot("const", obj=av.obj)
        if isinstance(av, Null):
            return Slot("null")
        if isinstance(av, Obj):
            kind = "steal" if av.owner is OWNED else "new"
            return Slot(f"maybe_{kind}" if isinstance(av, Maybe) else kind, (av.value,))
        if isinstance(av, Iterator):
            return Slot(av.name, av.values, parts=tuple(self.slot(part) for part in av.parts))
        if isinstance(av, Range):
            return Slot("range", (av.start, av.stop, av.step))
        if isinstance(av, Tup):
            return Slot("tuple", parts=tuple(self.slot(i) for i in av.items))
        if isinstance(av, Generator):
            func, inside = self.slot(av.func), self.slots(av.locals, av.stack)
            parts = (func, *(Slot("const", obj=obj) for obj in (av.code, code_info(av.code).named_only)), *inside)
            return Slot("generator", parts=parts, index=av.offset)
        if isinstance(av, Tagged):
            return Slot("tagged", (av.value,))
        raise TranslationError(f"{type(av).__name__} in a frame state")

    def slots(self, locals_: list[AV], stack: list[AV]) -> list[Slot]:
        """Of a generator's frame. The iterator that a local shares with the stack is made for the local."""
        twin = next((k for k, av in enumerate(locals_) if isinstance(av, Twin)), None)
        made = [Slot("null") if isinstance(av, Twin) else self.slot(av) for av in (*locals_, *stack)]
        if twin is not None and stack and isinstance(stack[0], Iterator | Obj):
            made[twin], made[len(locals_)] = made[len(locals_)], Slot("twin", index=twin)
        return made

    def place(self, slot: int) -> int:
        """A slot of the real frame, as states have it: its number, or the address of a name's word."""
        return names.word_of(self, slot) or slot

    def result_slot(self, av: AV) -> Slot:
        """The value a function door returns: one reference, made here where it is a tuple that does not exist yet."""
        if isinstance(av, Tup | Range | Iterator):
            return Slot("steal", (self.owned_value(av),))
        self.reject_hidden(av)
        return self.slot(av)

    def frame_state(
        self,
        offset: int,
        stack: list[AV] | None = None,
        *,
        reason: str = "",
        when: str = "before",
        kind: str = "resume",
        poison: tuple[Slot, ...] = (),
    ) -> State:
        """The state in which the innermost frame goes on at `offset`: at the first EXTENDED_ARG of the instruction there,
        without which the interpreter would run it with another argument."""
        if self.raising is not None:
            self.cannot_go_back()
        frames = self.frames
        depth = self.consumer
        if depth is not None:
            # Before the call of the generator's function: all of it is done again.
            frames = frames[:depth]
            call = frames[-1].call
            assert call is not None
            offset, stack, kind, poison, when = call.offset, None, "resume", (), "before"
        offset = frames[-1].info.at(offset).start
        records = []
        last = len(frames) - 1
        for i, frame in enumerate(frames):
            if i == self.real:
                locals_ = {self.place(k): self.slot(a) for k, a in enumerate(frame.locals) if a.dirty}
                self.assigns.update(k for k, a in enumerate(frame.locals) if a.dirty and names.word_of(self, k))
                slots = [self.slot(a) for a in (frame.stack if i < last or stack is None else stack)]
            else:
                made = self.slots(frame.locals, frame.stack if i < last or stack is None else stack)
                locals_ = {k: slot for k, slot in enumerate(made[: len(frame.locals)]) if slot.kind != "null"}
                slots = made[len(frame.locals) :]
            if i == last:
                record = FrameRec(frame.code, frame.func, offset, offset, locals_, slots + list(poison), answer=frame.answer)
            else:
                assert frame.call is not None
                record = FrameRec(
                    frame.code,
                    frame.func,
                    frame.call.next,
                    frame.call.start if frame.call.op == "FOR_ITER" else frame.call.offset,
                    locals_,
                    slots,
                    self.memory.poison_call(frame.call),
                    frame.answer,
                )
            records.append(record)
        return State(kind, tuple(records), reason, None, when, work=max(self.length, 0))

    def state(self, reason: str = "guard") -> State:
        """The state before the current bytecode. Guards are content with an earlier one, as long as everything since then
        can be done again without anybody noticing: nothing was written, allocated or counted, and no local assigned.
        So an expression's guards share one exit, and what is on the stack in its middle need not be kept for them."""
        if self.effect:
            raise TranslationError(f"state before {self.ins} after an effect")
        assert self.ins is not None
        if self.raising is not None:
            return self.state_before_raise(reason)
        if reason != "guard":
            return self.frame_state(self.ins.start, self.before, reason=reason)
        if self.resume is not None:
            block, depth, state = self.resume
            if block is self.block and depth == len(self.frames):
                return state
        state = self.frame_state(self.ins.start, self.before, reason=reason)
        self.resume = self.current, len(self.frames), state
        return state

    def retry_state(self) -> State:
        """The state before the current bytecode, for an operation that makes something and failed: nothing was done. Later
        guards do not share it, because what was made has to go somewhere."""
        assert self.ins is not None
        if self.raising is not None:
            return self.state_before_raise("guard").map(lambda value: value)
        return self.frame_state(self.ins.start, self.before, reason="guard")

    def state_before_raise(self, reason: str) -> State:
        """The state before the bytecode that raised the exception which is being handled."""
        raising = self.raising
        assert raising is not None
        if raising.spoiled:
            self.cannot_go_back()
        found = raising.exits.get(reason)
        if found is None:
            found = raising.exits[reason] = raising.state.map(lambda value: value)
            found.reason = reason
        return found

    def cannot_go_back(self) -> None:
        """The handler has done something, and now would have to leave: this exception is left to the interpreter."""
        assert self.raising is not None
        self.memory.unhandled.add(self.raising.where)
        raise Restart

    def end_waiting(self) -> None:
        """A handler is about to do the first thing that cannot be done again: what goes with the exception goes now, while there is
        still a way back if its end would run code. (That it goes early is seen by nobody, then.)"""
        raising = self.raising
        assert raising is not None
        unsafe = [one for av in raising.waiting for one in owned_parts(av) if one.type not in SAFE_TO_DROP]
        if raising.spoiled or raising.lent or not unsafe:
            return
        waiting, raising.waiting = raising.waiting, []
        effect = self.effect
        for one in unsafe:
            # What the handler lets go of itself has been asked about already, and may be the same, or have it.
            self.guard(self.emit("obj.outlives", one.value, imm=(len(unsafe) + MOST_DROPS,)))
        for av in waiting:
            self.drop(av)
        self.effect = effect
        raising.spoiled = True

    def suspended_state(self) -> State:
        """The state of all frames while the innermost one waits for the call it does: operands gone, no result yet."""
        call = self.frame.call
        assert call is not None
        state = self.frame_state(call.next, reason="suspended", when="after", kind="suspended")
        last = state.frames[-1]
        last.call_offset, last.poison = call.offset, self.memory.poison_call(call)
        return state

    def leave(
        self,
        reason: str,
        offset: int | None = None,
        stack: list[AV] | None = None,
        branch: tuple[CodeType, int, bool] | None = None,
    ) -> None:
        """End the block with an exit."""
        assert self.ins is not None or offset is not None
        if self.raising is not None:
            state = self.state_before_raise(reason)
        elif offset is None:
            assert self.ins is not None
            state = self.state(reason)
        else:
            state = self.frame_state(offset, stack, reason=reason)
            state.branch = branch
        self.current.exit(state)
        self.block = None

    # ---- opaque operations ----------------------------------------------------------------------------------------

    def begin_opaque(self, directly: bool = False, cost: int = 0) -> None:
        """Make the frames true for whoever looks at them: linked, locals written, instruction pointer exact, nothing borrowed from
        what may change. `end_opaque` takes back what is only done for that. `directly`: it is a direct function that is called, which
        links the frames if it needs them. `cost`: what it costs more than others do."""
        assert self.ins is not None
        if self.consumer is not None:
            self.call_it()
        if self.linked is not None:
            return  # the bytecode's second open call
        if self.raising is not None:
            if self.effect:
                self.cannot_go_back()
            raise Leave("exception_handler")  # whoever is called may ask for the exception
        self.promote(lambda o: o.owner is HEAP or o.owner.kind == "local")
        self.link(directly)
        at = self.outermost_offset()
        linked = self.linked is not None and not directly
        cost += OFFER_COST if directly else CALL_COST
        if linked:
            shown = [av for frame in self.frames[self.real + 1 :] for av in frame.locals if not isinstance(av, Null)]
            cost += LINKED_COST - CALL_COST + len(shown)
        where = self.frame.code, self.ins.offset
        self.calls_out[where] = max(cost, self.calls_out.get(where, 0))
        self.length -= cost
        if self.real < 0:
            return
        for k, av in enumerate(self.frames[0].locals):
            if av.dirty:
                names.store(self, k, self.value_or_null(av.copy()))
                av.dirty = False
        self.emit("frame.set_ip", imm=(at,))

    def outermost_offset(self) -> int:
        """Where the outermost frame is: at the current bytecode, or at the call that it waits for."""
        at = self.frames[0].call or self.ins
        assert at is not None
        return at.offset

    def link(self, directly: bool) -> None:
        """Make interpreter frames of those that exist only here, until `unlink`; for a direct call they are only offered. Only their
        locals are in there: operands cannot be looked at. Where it cannot be done now, the interpreter does the bytecode."""
        count = len(self.frames) - 1 - self.real
        if not count:
            return
        for frame in self.frames[1:]:
            if frame.code.co_flags & GENERATORS:
                self.refuse_to_link(frame)
        if self.real < 0 and not self.effect:
            self.may_open()
        if len(self.frames) == 1:
            if self.effect:
                raise Refused("needs_frame", self.ins.op if self.ins is not None else "", final=True)
        elif not self.effect and self.is_rare():
            raise Leave("cold")
        elif self.effect or not directly and len(self.frame.info.instructions) > MOST_LINKED:
            self.memory.no_inline.add(self.path(len(self.frames) - 1))
            self.memory.call_out.add(self.frame.code)
            raise Restart
        for frame in self.frames[self.real + 1 :]:
            for k, av in enumerate(frame.locals):
                if isinstance(av, Tup | Range | Iterator):
                    frame.locals[k] = Obj(self.owned_value(av), self.type_of(av), OWNED)
        self.linked = self.emit("frame.offer" if directly else "frame.link", imm=(count,), state=self.retry_state())

    def refuse_to_link(self, generator: Frame) -> None:
        """A generator that runs has a frame inside of it, which cannot be made for the time of a call: where that happens often it
        is an object from the beginning."""
        if not self.effect and self.is_rare():
            raise Leave("cold")
        self.memory.call_out.add(generator.code)
        raise Restart

    def may_open(self) -> None:
        """A function for direct calls does an open call: whoever calls it has to have frames then."""
        if not self.opens:
            self.opens = self.memory.opens = True
            if self.calls_itself:
                raise Restart

    def unlink(self, state: State) -> None:
        """The frames that `link` made go, unless somebody has them, or watches them: then they are gone on with."""
        if self.linked is not None:
            producer = self.linked.producer
            offered = isinstance(producer, Op) and producer.name == "frame.offer"
            taken = self.emit("frame.withdraw" if offered else "frame.unlink", self.linked)
            self.emit("guard", taken, imm=(False,), state=state)
            self.linked = None

    def is_rare(self) -> bool:
        """Whether the current bytecode of an inlined function was seen in few of its calls, or never: what is done there is not worth
        keeping all of the function from being inlined."""
        seen = self.observation()
        first = self.profiles.get(self.frame.code, self.frame.info.first_offset)
        return seen is None or first is not None and seen.count * RARE < first.count

    def end_opaque(self, offset: int | None = None) -> None:
        """After an opaque operation whose result (if any) is on the stack already: leave, with the state after it, if the
        region was invalidated meanwhile or somebody took the frame. `offset`: where the interpreter goes on, if that is
        not behind the bytecode."""
        assert self.ins is not None
        self.forget_types()
        names.forget(self)
        state = self.frame_state(self.ins.next if offset is None else offset, reason="invalidated", when="after")
        self.unlink(state)
        self.emit("guard", self.emit("region.valid"), imm=(True,), state=state)
        if self.real == 0:
            self.emit("guard", self.emit("frame.taken"), imm=(False,), state=state)
        names.check_own_table(self, state)

    def forget_types(self) -> None:
        """Any code has run: instances may be of other classes now."""
        work = list(self.all_slots())
        while work:
            av = work.pop()
            if isinstance(av, Obj) and av.type is not None and not is_fixed(av.type):
                av.type = None
            work += children(av)
        self.cse = {key: value for key, value in self.cse.items() if key[0] != "obj.type_is"}

    def raised(self, failed: Value, expected: bool, operands: int) -> None:
        """Leave with the pending exception when `failed` is `expected`: operands of the bytecode were popped already and
        are gone; the interpreter raises at this bytecode through poison operands."""
        assert self.ins is not None
        poison = self.memory.poison_operands(self.ins, operands)
        state = self.frame_state(self.ins.start, reason="raised", when="after", kind="error", poison=poison)
        self.emit("guard", failed, imm=(not expected,), state=state)

    def opaque(
        self,
        function: str,
        operands: list[AV],
        extra: tuple[Any, ...] = (),
        *,
        npop: int,
        arrange: Callable[[AV], None] | None = None,
    ) -> None:
        """A generic operation by the C API: pops npop stack entries and pushes the result (or lets `arrange` do it)."""
        self.begin_opaque()
        values, temps = self.operand_values(operands)
        result = self.emit("call.object", *values, imm=(function, extra))
        self.finish_call(result, temps, npop, arrange)

    def opaque_status(self, function: str, operands: list[AV], *, npop: int) -> Value:
        """Like `opaque` for functions returning a C int; pops the operands and returns the int (never -1)."""
        self.begin_opaque()
        values, temps = self.operand_values(operands)
        result = self.emit("call.status", *values, imm=(function, ()))
        self.release_operands(temps, npop)
        self.raised(self.emit("int.lt", result, self.const_i(0)), True, npop)
        return result

    def operand_values(self, operands: list[AV]) -> tuple[list[Value], list[AV]]:
        """References for a call, and what has to be released after it."""
        values: list[Value] = []
        temps: list[AV] = []
        for av in operands:
            if isinstance(av, Null):
                values.append(self.emit("obj.null"))
                continue
            if isinstance(av, Num | Tup | Range | Iterator):
                value = self.owned_value(av)
                temps.append(Obj(value, self.type_of(av), OWNED))
            else:
                value = self.boxed(av)
                if isinstance(av, Obj) and av.owner is OWNED:
                    temps.append(av)
            values.append(value)
        return values, temps

    def finish_call(
        self, result: Value, temps: list[AV], npop: int, arrange: Callable[[AV], None] | None = None
    ) -> None:
        self.release_operands(temps, npop)
        self.raised(self.emit("obj.is_null", result), True, npop)
        (arrange or self.push)(Obj(result, None, OWNED))
        self.end_opaque()

    def release_operands(self, temps: list[AV], npop: int) -> None:
        """The operands of an opaque bytecode go, in the interpreter's order (boxes made for it alone are not among them)."""
        assert self.ins is not None
        stack = self.frame.stack
        places = {id(av): k for k, av in enumerate(stack[len(stack) - npop :])}
        del stack[len(stack) - npop :]
        first = operands.top_first("operator" if self.ins.op == "BINARY_OP" else "call")
        for temp in sorted(temps, key=lambda av: places.get(id(av), -1), reverse=first):
            self.release(temp)

    def release(self, av: AV) -> None:
        """Drop inside an opaque bytecode: the frame is true already, so code may run."""
        for obj in owned_parts(av):
            self.emit("obj.drop" if obj.type in SAFE_TO_DROP else "call.dealloc", obj.value)

    # ---- joins ----------------------------------------------------------------------------------------------------

    def path(self, upto: int | None = None) -> Key:
        frames = self.frames if upto is None else self.frames[:upto]
        return tuple((Same(f.code), f.call.offset if f.call else -1) for f in frames)

    def normalise(self, offset: int) -> None:
        """Bring the state into the form in which states are compared at a join."""
        from .generators import settle

        frame = self.frame
        head = frame.info.is_loop_head(offset)
        changed = frame.info.stores_in_loop(offset) if head else frozenset()
        looking = self.consumer
        if looking is None:
            self.promote_heap()
        for depth, f in enumerate(self.frames):
            self.forget_dead(f.info, f.locals, self.place_in(f, offset))
            for where in (f.locals, f.stack):
                for k, av in enumerate(where):
                    is_local = where is f.locals
                    if isinstance(av, Const) and type(av.obj) in NUMBERS:
                        number = self.number(av)
                        if number is not None:
                            where[k] = av = Num(number.value, av.dirty)
                    elif isinstance(av, Generator):
                        settle(self, av)
                    elif isinstance(av, Obj) and looking is not None and depth >= looking:
                        av.owner = FOREVER  # nothing changes as long as it is there
                    elif isinstance(av, Obj) and is_local and av.type in NUMBERS and not isinstance(av, Maybe) and k not in f.info.identified:
                        value = self.unbox(av, av.type, self.frame_state(offset, reason="guard", when="after"))
                        if av.owner is OWNED:
                            self.promote_from(depth, k)
                            self.emit("obj.drop", av.value)
                        where[k] = av = Num(value)
                    if depth == self.real and is_local and head and f is frame and k in changed and isinstance(av, Num):
                        av.dirty = True
            self.forget_bound(depth, offset)

    def forget_dead(self, info: CodeInfo, locals_: list[AV], offset: int) -> None:
        """Locals that will be assigned before they are looked at again: what they are, if no numbers, does not matter at a join."""
        for k in info.dead(offset):
            av = locals_[k]
            if isinstance(av, Obj) and av.type not in NUMBERS:
                av.type = None

    def forget_bound(self, depth: int, offset: int) -> None:
        """Variables that some ways have bound and others have not, and that nobody is going to look at, are both at a join."""
        frame = self.frames[depth]
        loose = self.profiles.of(frame.code).loose
        for k in frame.info.dead(self.place_in(frame, offset)) if loose else ():
            av, kind = frame.locals[k], loose.get(k)
            if kind is None or isinstance(av, Maybe | MaybeNum):
                continue
            if kind == "m":
                if isinstance(av, Obj):
                    frame.locals[k] = Maybe(av.value, None, av.owner)
                elif isinstance(av, Null):
                    if av.dirty:
                        names.clear(self, k)
                    looking = self.consumer is not None and depth >= self.consumer
                    owner = FOREVER if looking else FRAME if depth == self.real else OWNED
                    frame.locals[k] = Maybe(self.const_o(UNBOUND), None, owner)
            elif isinstance(av, Num) and av.repr == kind[1]:
                frame.locals[k] = MaybeNum(av.value, self.const_b(True), av.dirty)
            elif isinstance(av, Null):
                frame.locals[k] = MaybeNum(self.constant(NOTHING[kind], kind[1]), self.const_b(False), av.dirty)

    def context(self) -> Context:
        slot = self.description
        return tuple((*map(slot, f.locals), ("/",), *map(slot, f.stack)) for f in self.frames)

    def description(self, av: AV) -> Description:
        """A slot's part of the context. Of a bound method that was made here it says what it is."""
        made = self.bound_methods.get(av.value) if isinstance(av, Obj) else None
        return (*describe(av), *made) if made is not None else describe(av)

    def revived(self, desc: Description, block: Block) -> AV:
        made = revive(desc, block)
        if isinstance(made, Obj) and len(desc) > 3:
            self.bound_methods[made.value] = desc[3:]
        return made

    def arrive(self, offset: int) -> None:
        """End the current block by jumping to the join at `offset`."""
        offset = self.frame.info.real(offset)
        goes_round = self.ins is not None and self.ins.goes_back
        self.ins = None
        self.effect = False
        self.normalise(offset)
        if self.frame.info.is_loop_head(offset) and not goes_round:
            if (self.frame.code, offset) not in self.memory.no_hoisting and self.consumer is None:
                self.emit("anchor", state=self.frame_state(offset, reason="hoisted", when="after"))
        key: Key = (*self.path(), *(f.answer for f in self.frames), offset)
        context = self.context()
        known = self.versions.setdefault(key, [])
        for version in known:
            if version.context == context:
                self.join(version, offset)
                return
        for version in known:
            if fits(context, version.context, coercing=False):
                self.join(version, offset)
                return
        self.loosen(key, context, offset)
        planned = self.memory.plans.get(key)
        if planned is not None:
            for version in known:
                if fits(context, version.context, coercing=True):
                    self.join(version, offset)
                    return
            if not known and fits(context, planned, coercing=True):
                self.new_version(key, planned, offset)
                self.join(self.versions[key][0], offset)
                return
            if self.memory.attempt >= FEW_RESTARTS:
                self.leave("too_many_versions", offset)
                return
        if planned is not None or len(known) >= self.limits.versions:
            plan = context
            for other in [version.context for version in known] or ([planned] if planned is not None else []):
                merged = widen(plan, other, self.real, [f.info.nlocalsplus for f in self.frames])
                if merged is None:
                    self.leave("too_many_versions", offset)
                    return
                plan = merged
            if plan == planned:
                self.leave("too_many_versions", offset)
                return
            self.memory.plans[key] = plan
            # Starting over gives smaller code. What has got far already goes on with one more version.
            if self.memory.attempt < FEW_RESTARTS and self.count < FEW_OPS:
                raise Restart
            context = plan
        self.join(self.new_version(key, context, offset), offset)

    def loosen(self, key: Key, context: Context, offset: int) -> None:
        """The context needs a version of its own. Where others have variables unbound that this one has bound, or the other way round,
        and nobody is going to look at them before they are assigned, as in the first rounds of loops: start over without
        telling these apart."""
        if self.memory.attempt >= FEW_RESTARTS or self.count >= FEW_OPS:
            return
        found = False
        for depth, f in enumerate(self.frames):
            dead = f.info.dead(self.place_in(f, offset))
            found |= self.found_loose(f.code, dead, [v.context[depth] for v in self.versions[key]] + [context[depth]])
        if not found:
            return
        for versions in self.versions.values():
            # What is found now need not be found later.
            for depth, f in enumerate(versions[0].frames if len(versions) > 1 else ()):
                at = versions[0].offset if f is versions[0].frames[-1] else f.call.next if f.call is not None else -1
                self.found_loose(f.code, f.info.dead(at), [v.context[depth] for v in versions])
        raise Restart

    def found_loose(self, code: CodeType, dead: Iterable[int], contexts: list[tuple[Description, ...]]) -> bool:
        """Note which of the variables that nobody is going to look at are bound in some of these contexts of a frame only. Returns
        whether there are any that were not known."""
        known = self.profiles.of(code).loose
        found = False
        for k in dead:
            kinds = {context[k] for context in contexts}
            kind = loose_kind(kinds) if k not in known and len(kinds) > 1 else None
            if kind is not None:
                known[k] = kind
                found = True
        return found

    def place_in(self, frame: Frame, offset: int) -> int:
        """Where a frame goes on, of which the innermost is at `offset`."""
        return offset if frame is self.frame else frame.call.next if frame.call is not None else -1

    def new_version(self, key: Key, context: Context, offset: int) -> Version:
        block = self.graph.block(f"{self.frame.code.co_name}_{offset}")
        frames = []
        for template, descs in zip(self.frames, context, strict=True):
            made = template.clone()
            nlocals = len(template.locals)
            made.locals = [self.revived(d, block) for d in descs[:nlocals]]
            made.stack = [self.revived(d, block) for d in descs[nlocals + 1 :]]
            frames.append(made)
        at_head = len(frames) == 1 and self.body is not None and offset == self.root.real(self.entry.offset)
        version = Version(block, context, frames, offset, 0 if at_head else self.length)
        self.versions[key].append(version)
        self.work.append(version)
        return version

    def join(self, version: Version, offset: int) -> None:
        args: list[Value] = []
        for depth, (frame, descs) in enumerate(zip(self.frames, version.context, strict=True)):
            nlocals = len(frame.locals)
            wanted = [*descs[:nlocals], *descs[nlocals + 1 :]]
            for k, (av, desc) in enumerate(zip([*frame.locals, *frame.stack], wanted, strict=True)):
                self.pass_value(av, desc, args, offset, k if depth == self.real and k < nlocals else -1)
        self.current.jump(version.block, args)
        self.block = None

    def pass_value(self, av: AV, desc: tuple[Any, ...], args: list[Value], offset: int, root_local: int) -> None:
        """Append what the version's parameters for this slot get, converting where the version is wider."""
        kind = desc[0]
        if isinstance(av, Null) and kind in NOTHING:
            args += [self.constant(NOTHING[kind], kind[1]), self.const_b(False)]
            return
        if isinstance(av, Null) and kind == "m":
            if av.dirty:
                names.clear(self, root_local)
            args.append(self.owned_value(Const(UNBOUND)))
            return
        if kind == "fr" and not isinstance(av, InFrame) and root_local >= 0:
            if av.dirty:
                names.store(self, root_local, self.owned_value(av))
            return
        if kind in ("n", "fr", "k", "twin"):
            return
        if kind in REPR_OF.values() or kind in NOTHING:
            number = av if isinstance(av, Num) else self.number(av)
            assert isinstance(number, Num) and number.repr == kind[-1], (av, desc)
            args.append(number.value)
            if kind in NOTHING:
                args.append(number.bound if isinstance(number, MaybeNum) else self.const_b(True))
        elif kind in ("o", "m"):
            if isinstance(av, Obj):
                if desc[2] == OWNED:
                    self.own(av)
                args.append(av.value)
            elif root_local >= 0:
                if isinstance(av, Const) and not av.dirty:
                    args.append(self.const_o(av.obj))
                else:
                    value = self.owned_value(av)
                    names.store(self, root_local, value)
                    args.append(value)
            else:
                args.append(self.owned_value(av))
        elif isinstance(kind, type):
            assert isinstance(av, Iterator) and av.kind is kind
            args += av.values
            for part, wanted in zip(av.parts, desc[1], strict=True):
                self.pass_value(part, wanted, args, offset, -1)
        elif kind == "r":
            assert isinstance(av, Range)
            args += [av.start, av.stop, av.step]
        elif kind == "t":
            assert isinstance(av, Tup)
            for item, part in zip(av.items, desc[1], strict=True):
                self.pass_value(item, part, args, offset, -1)
        elif kind == "g":
            for part, wanted in zip(children(av), [*desc[3], *desc[4], *desc[5]], strict=True):
                self.pass_value(part, wanted, args, offset, -1)
        elif kind == "tag":
            assert isinstance(av, Tagged)
            args.append(av.value)
        else:
            raise TranslationError(f"context {desc}")

    # ---- the walk -------------------------------------------------------------------------------------------------

    def loop_body(self) -> frozenset[int]:
        body = self.root.loop_body(self.entry.offset)
        if not body:
            raise Refused("not_a_loop")
        return body

    def run(self) -> None:
        from .entry import enter, enter_direct

        func = self.entry.direct
        if func is not None:
            enter_direct(self)
        else:
            enter(self)
        while self.work:
            version = self.work.pop()
            if isinstance(version, Pending):
                self.follow(version)
                continue
            self.block = version.block
            self.frames, self.splits, self.length = [f.clone() for f in version.frames], 0, version.length
            self.cse, self.checked, self.known = {}, {}, {}
            self.raising = None
            self.walk(version.offset)

    def walk(self, offset: int) -> None:
        """Translate from `offset` to the end of the block."""
        self.pc = offset
        first = True
        while self.block is not None:
            frame = self.frame
            if not self.in_body(self.pc):
                self.ins, self.effect = None, False
                self.leave("loop_exit", self.pc)
                return
            if self.raising is not None:
                if frame.info.is_loop_head(self.pc) or self.raising.length > MOST_HANDLED:
                    self.leave("exception_handler")
                    return
            elif not first and (frame.info.is_merge(self.pc) or self.splits >= MAX_SPLITS and self.kwnames is None):
                self.arrive(self.pc)
                return
            first = False
            self.step(frame.info.at(self.pc))

    def step(self, ins: Ins) -> None:
        from . import exceptions
        from .bytecode_table import refusal
        from .bytecodes import HANDLERS

        self.ins = ins
        self.effect = False
        self.linked = None
        if self.raising is not None:
            self.raising.spoiled |= self.wrote
            self.raising.length += 1
        self.wrote = False
        self.before = list(self.frame.stack)
        self.pc = ins.next
        self.bytecodes += 1
        self.calls_c = False
        expected = spared(ins.op, False, False)
        self.length += expected
        handler, place, depth = HANDLERS.get(ins.op), (self.frame.code, ins.offset), len(self.frames)
        try:
            if handler is None:
                raise Leave(refusal(ins.op), ins.op)
            handler(self, ins)
            gained = spared(ins.op, self.calls_c, len(self.frames) > depth)
            self.covered[place] = min(gained, self.covered.get(place, gained))
            self.length += gained - expected
            if ins.op.startswith(ASSIGNS):
                self.resume = None
            if self.linked is not None and self.block is not None:
                raise TranslationError(f"{ins.op} leaves frames linked")
        except Throw as thrown:
            if self.consumer is not None:
                self.call_it()
            self.frame.stack[:] = self.before
            exceptions.throw(self, thrown.kind)
        except Branch as branch:
            self.frame.stack[:] = self.before
            self.branch_on_type(branch.av, branch.kind)
        except Leave as leave:
            if self.effect:
                raise TranslationError(f"{ins.op} left after an effect: {leave.reason}") from leave
            self.refusals.setdefault(f"{self.frame.code.co_qualname}:{ins.line}", f"{leave.reason}: {leave.detail or ins.op}")
            self.frame.stack[:] = self.before
            if leave.reason != "cold":
                self.ends.setdefault(self.outermost_offset(), self.length)
            self.leave(leave.reason)

    def branch_on_type(self, av: Obj, kind: type) -> None:
        """End the block: on one side av is of the type, on the other it is not."""
        self.do_again(self.emit("obj.type_is", av.value, imm=(kind,)), lambda: self.learn_type(av, kind))

    def do_again(self, check: Value, holds: Callable[[], None]) -> None:
        """End the block with a check, and do the current bytecode again on both sides, with what is then known. `holds` is
        what follows where it holds."""
        assert self.ins is not None

        def is_it() -> None:
            self.checked[check, "b"] = True
            holds()

        def is_not() -> None:
            self.checked[check, "b"] = False

        self.split(check, (self.ins.start, True, is_it), (self.ins.start, True, is_not), again=True)

    def branch(self, cond: Value, taken: int, not_taken: int, likely: Callable[[bool], bool]) -> None:
        """End the block with a two-way branch to bytecode offsets; a side that was never observed is a cold exit. The
        operands have been popped already; dropping them is done."""
        known = self.known.get(cond)
        if known is not None:
            self.pc = taken if known else not_taken
            return
        ends: list[Side]
        ends = [(target, likely(which), None) for which, target in ((True, taken), (False, not_taken))]
        self.split(cond, ends[0], ends[1])

    def split(self, cond: Value, yes: Side, no: Side, late: bool = False, again: bool = False) -> None:
        """End the block with a branch. A side is (bytecode offset, whether it was ever seen, what to do first); without an
        offset, or where its preparation leaves, the interpreter does the current bytecode again. That cannot be after
        an effect: then (`late`) preparations neither leave nor are left out. `again`: both sides are this bytecode, to be
        done with what is then known."""
        known = self.known.get(cond)
        start = self.current
        edges = []
        splits = self.splits + again
        for which, (offset, seen, action) in ((True, yes), (False, no)):
            tag = f"{self.ins.offset if self.ins else 0}{'t' if which else 'f'}"
            if known is not None and known != which:
                continue
            block = self.graph.block(f"{self.frame.code.co_name}_{tag}")
            edges.append(Edge(block, []))
            facts = (dict(self.cse), dict(self.checked), dict(self.known))
            frames = [f.clone() for f in self.frames]
            reached = seen or known is not None
            way = Pending(block, frames, offset, reached, action, facts, self.ins, self.before, late, again, splits, self.length, self.linked)
            way.raising = self.same_raising()
            self.work.append(way)
        if known is not None:
            start.jump(edges[0].block, [])
        else:
            start.branch(cond, edges[0], edges[1])
        self.block = None

    def same_raising(self) -> Raising | None:
        """What is being handled, for a path of its own."""
        now = self.raising
        if now is None:
            return None
        return Raising(now.state, now.where, now.waiting, now.spoiled or self.wrote, now.length, now.lent, now.exits)

    def follow(self, side: Pending) -> None:
        """Go on after a branch, in its side's own block."""
        self.block, self.frames, self.splits, self.length = side.block, side.frames, side.splits, side.length
        self.cse, self.checked, self.known = side.facts
        self.ins, self.before, self.effect, self.linked = side.ins, side.before, side.late, side.linked
        self.raising, self.wrote = side.raising, False
        if side.offset is None:
            self.leave("exhausted")
            return
        if side.action is not None:
            if not side.seen and not side.late:
                self.leave("cold" if self.in_body(side.offset) else "loop_exit")
                return
            try:
                side.action()
            except Leave as leave:
                self.leave(leave.reason)
                return
            if self.block is None:
                return
        self.ins, self.effect, self.pc = None, False, side.offset
        if not side.seen:
            ins = side.ins
            branch = (self.frame.code, ins.offset, side.offset != ins.next) if ins is not None else None
            self.leave("cold", side.offset, branch=branch)
        elif self.raising is None and not side.again and self.in_body(side.offset) and self.frame.info.is_merge(side.offset):
            self.arrive(side.offset)
        else:
            self.walk(side.offset)

    def in_body(self, offset: int) -> bool:
        """Whether the region goes on there (a loop door's region ends where its loop does)."""
        return self.body is None or len(self.frames) > 1 or self.root.real(offset) in self.body


@dataclass
class Memory:
    """What restarts remember, and what a compile is told from outside."""

    is_unstable: Callable[[Any, str], bool] = lambda holder, name: False
    """Whether a namespace's name, or a type (and no name), has changed too often to be taken for constant."""
    watcher: int = -1
    """The number of our watcher of dicts."""
    stored: set[tuple[int, str]] = field(default_factory=set)
    """Names that the region itself assigns: namespaces' addresses and names."""
    attempt: int = 0
    """How often the walk has started over."""
    plans: dict[Key, Context] = field(default_factory=dict)
    no_inline: set[Key] = field(default_factory=set)
    poison_call: Callable[[Ins], tuple[str, ...]] = lambda ins: ()
    poison_operands: Callable[[Ins, int], tuple[Slot, ...]] = lambda ins, n: ()
    direct: Callable[..., DirectTarget | None] = lambda func, kinds, boxed=False: None
    make_direct: Callable[..., DirectTarget | None] = lambda func, kinds, boxed=False: None
    declare: Callable[..., DirectTarget] = DirectTarget
    """The target that a function for direct calls is made for, with these types and this signature."""
    called: set[Key] = field(default_factory=set)
    """Calls of generator expressions whose generators are made."""
    in_vain: set[Key] = field(default_factory=set)
    """Functions of which no direct ones could be made."""
    heavy: Callable[[CodeType], bool] = lambda code: False
    """Whether a call of this code spends so long in loops of its own that nothing is gained by walking into it."""
    call_out: set[CodeType] = field(default_factory=set)
    """Large functions that were found to do open calls, and are not walked into for that."""
    unhandled: set[Key] = field(default_factory=set)
    """Exceptions whose handlers do something before they may have to leave, which are therefore left to the interpreter."""
    opens: bool = False
    """Whether the function was found to do open calls."""
    no_hoisting: Container[tuple[CodeType, int]] = ()
    """Loops (code and offset of the head) before which nothing is to be checked that belongs into their rounds: such checks
    have failed."""


    def changes(self, namespace: Any, name: str) -> bool:
        """Whether the name in the namespace is to be looked up whenever it is used."""
        return (id(namespace), name) in self.stored or self.is_unstable(namespace, name)


def translate(
    entry: Entry,
    profiles: ProfileStore,
    limits: Limits | None = None,
    is_unstable: Callable[[Any, str], bool] = lambda holder, name: False,
    direct: Callable[..., DirectTarget | None] = lambda func, kinds, boxed=False: None,
    make_direct: Callable[..., DirectTarget | None] = lambda func, kinds, boxed=False: None,
    declare: Callable[..., DirectTarget] = DirectTarget,
    heavy: Callable[[CodeType], bool] = lambda code: False,
    no_hoisting: Container[tuple[CodeType, int]] = (),
    call_out: set[CodeType] | None = None,
    plans: dict[Any, Any] | None = None,
    watcher: int = -1,
) -> Translation:
    """Make the graph of a region.

    Raises Refused with a reason where no region can be made, TranslationError where an internal rule broke.
    """
    from .poison import poison_call, poison_operands

    limits = limits or Limits()
    memory = Memory(
        is_unstable,
        watcher,
        plans=dict(plans or {}),
        poison_call=poison_call,
        poison_operands=poison_operands,
        direct=direct,
        make_direct=make_direct,
        declare=declare,
        heavy=heavy,
        no_hoisting=no_hoisting,
        call_out=call_out if call_out is not None else set(),
    )
    for attempt in range(limits.restarts):
        memory.attempt = attempt
        translator = Translator(entry, profiles, limits, memory)
        try:
            translator.run()
        except Restart:
            translator.graph.clear()
            continue
        if translator.own_target is not None:
            translator.own_target.size = translator.bytecodes
            translator.own_target.covered, translator.own_target.targets = translator.covered, translator.targets
            translator.own_target.calls_out = translator.calls_out
        return Translation(
            translator.graph,
            list(translator.constants.values()),
            list(translator.watches.values()),
            translator.codes,
            translator.refusals,
            attempt,
            translator.bytecodes,
            translator.own_target,
            translator.targets,
            memory.plans,
            translator.assigned(),
            translator.ends,
            translator.calls_out,
            translator.covered,
            translator.opens,
            translator.relies,
        )
    raise Refused("too_many_versions", "joins did not settle")
