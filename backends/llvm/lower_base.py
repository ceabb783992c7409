"""The writer of LLVM text: what every lowering needs, and the table they register in.

IR is written as text from short templates. Parsing text costs LLVM a tenth of what it costs Python to build
the same thing as an object tree, and half of a compile is Python. A lowering gets the operands of its
operation as texts and returns the text of its result; constants never become instructions but stay literals
or symbols in the texts of their users.

No address is a literal: descriptors, objects, cells and C functions are external symbols, numbered in the
order of their first use, so that the same graph gives the same text in every process. Objects are declared
with an opaque type: LLVM then assumes nothing about their size. Offsets within CPython's layouts are
literals.

Memory is divided into domains (TBAA types). Two rules keep this sound. A domain is never a guess about an
address: frames, exit buffers, sizes, items, reference counts and so on are different memory, always. And
what frees an object counts as writing everything in `heap`, because nothing may be read after it that was
read before.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from types import CodeType
from typing import Any, NamedTuple

from ...abi import memory
from ...abi import symbol as c_symbol
from ...optimizer.ir import Graph, Op, Signature, State, Value
from ...records import dataclass, field
from ..exit_buffer import WORDS, Places, Store, places, share, words

TYPES = {"i": "i64", "f": "double", "b": "i1", "o": "ptr"}

# Operations whose result is never NULL.
NONNULL = frozenset(
    "const.o list.get list.set list.pop_last list.new tuple.get tuple.new cell.new obj.box_int obj.box_float"
    " obj.box_bool range.new frame.globals frame.builtins name.get"
    " iter.new_range iter.new_sequence iter.new_reversed iter.new_enumerate iter.new_zip".split()
)

Lowering = Callable[..., "str | None"]
LOWERINGS: dict[str, Lowering] = {}


def lowering(*names: str) -> Callable[[Lowering], Lowering]:
    """Register a lowering: `fn(emitter, op, *operand texts) -> text of the result (None without one)`."""

    def register(fn: Lowering) -> Lowering:
        for name in names:
            if name in LOWERINGS:
                raise ValueError(f"two lowerings of {name}")
            LOWERINGS[name] = fn
        return fn

    return register


def templates(table: dict[str, str]) -> None:
    """Register operations that are one instruction: {0}, {1}, {2} stand for the operands."""

    def make(template: str) -> Lowering:
        return lambda e, op, *args: e.let(template.format(*args))

    for name, template in table.items():
        lowering(name)(make(template))


DOMAINS = {
    "frame": "root",  # slots and header of the door's interpreter frame
    "buf": "root",  # the exit buffer, vectorcall argument arrays
    "cell": "root",  # our own words
    "names": "root",  # tables of the names of modules
    "alloc": "root",  # the allocator's own memory
    "heap": "root",  # all objects
    "type": "heap",
    "int": "heap",
    "float": "heap",
    "str": "heap",
    "tuple": "heap",
    "field": "heap",
    "attr": "heap",  # attributes of instances
    "order": "heap",  # in which order they came
    "shape": "heap",  # where they are
    "raw": "heap",  # items of arrays
    "counted": "heap",  # what growing or shrinking a list touches: the two below
    "ref": "counted",
    "list": "counted",
    "size": "list",
    "allocated": "list",
    "items": "list",  # the pointer to the items
    "item": "list",
}
LIKELY, UNLIKELY = "!prof !0", "!prof !1"


def metadata() -> tuple[str, dict[str, str]]:
    """The module's metadata and the suffix of a load, store or call in each domain."""
    lines = ['!0 = !{!"branch_weights", i32 100000, i32 1}', '!1 = !{!"branch_weights", i32 1, i32 100000}']
    lines.append('!2 = !{!"jitcore"}')
    number = {"root": 2}
    tags: dict[str, str] = {}
    for name, parent in DOMAINS.items():
        at = number[name] = len(lines)
        lines.append(f'!{at} = !{{!"{name}", !{number[parent]}, i64 0}}')
        lines.append(f"!{at + 1} = !{{!{at}, !{at}, i64 0}}")
        tags[name] = f", !tbaa !{at + 1}"
    return "\n".join(lines), tags


METADATA, TAGS = metadata()


@dataclass(frozen=True)
class LowerOptions:
    """How to lower.

    deopt: let guards fail without cause: each counts the i64 cell `@force_counter` down, at zero sets the
    cell `@forced` to 1 and leaves. The addresses of these cells may be given here, or to the linker.
    ticks: count the i64 cell `@ticks` down at each poll, and leave there like for the eval breaker once it is below 0:
    the door then asks for better code.
    triple: the target written into the module ("" for the host).
    count: add one to the i64 cell `@native_edges` (which the linker knows) at each back edge.
    """

    deopt: bool = False
    force_counter: int = 0
    forced: int = 0
    ticks: bool = False
    triple: str = ""
    count: bool = False


@dataclass
class Lowered:
    """A module's text and what its symbols stand for. `exits[k]` is the state of descriptor `@d<k>`,
    `objects[k]` the object `@o<k>`, `hints[k]` the word `@hint<k>`; the caller keeps this alive as long as the code.
    `nbuf`: words the exit buffer must have."""

    ir_text: str
    symbols: dict[str, int]
    objects: list[object] = field(default_factory=list)
    exits: list[State] = field(default_factory=list)
    nbuf: int = 0
    hints: list[object] = field(default_factory=list)

    @property
    def keepalive(self) -> list[object]:
        return [*self.objects, *self.exits, *self.hints]


def constant(value: Value) -> Op | None:
    """The operation that gives the value, if that is a constant object."""
    made = value.producer
    return made if isinstance(made, Op) and made.name == "const.o" else None


class Emitter:
    """Writes the body of one region function."""

    def __init__(
        self, exits: Callable[[State], int], valid: int, options: LowerOptions, code: CodeType | None
    ) -> None:
        self.options, self.valid, self.code = options, valid, code
        self.describe = exits
        self.lines: list[str] = []
        self.prologue: list[str] = []
        self.current = "entry"
        self.texts: dict[Value, str] = {}
        self.symbols: dict[str, int] = {}
        self.globals: dict[str, str] = {}
        self.helpers: dict[str, str] = {}
        self.objects: list[object] = []
        self.hints: list[object] = []
        self.word_names: dict[int, str] = {}
        self.object_names = {id(int): "PyLong_Type", id(float): "PyFloat_Type"}
        self.exits: dict[State, str] = {}
        self.all_exits: list[State] = []
        self.argument_slots = 0
        self.shown_words = 0
        """How much room the frames need that are offered to direct functions; 0: none are."""
        self.offering = False
        """Whether there is an offer for the next direct call."""
        self.counter = 0
        self.once: dict[str, str] = {}
        self.signature: Signature | None = None
        """Of the direct function being written."""
        self.direct: Signature | None = None
        self.direct_symbol = ""
        self.places: Places = {}
        """Where the exits of the function being written put their values."""
        """The direct function of this module, which "self" means."""

    def begin(self, graph: Graph) -> None:
        """Start another function of the module; symbols and helpers go on."""
        self.signature = graph.signature
        self.places = places(graph)
        self.code = door_code(graph)
        self.lines, self.prologue, self.once = [], [], {}
        self.current = "entry"
        self.texts, self.exits = {}, {}
        self.argument_slots = self.shown_words = 0

    # ---- text -------------------------------------------------------------------------------------------

    def fresh(self) -> str:
        self.counter += 1
        return f"%t{self.counter}"

    def label(self) -> str:
        self.counter += 1
        return f"c{self.counter}"

    def do(self, text: str) -> None:
        self.lines.append("  " + text)

    def let(self, text: str) -> str:
        """An instruction with a result; returns the result's name."""
        self.counter += 1
        name = f"%t{self.counter}"
        self.lines.append(f"  {name} = {text}")
        return name

    def start(self, label: str) -> None:
        self.lines.append(label + ":")
        self.current = label

    def at_entry(self, text: str) -> str:
        """The same instruction of the entry block for all who ask for it."""
        name = self.once.get(text)
        if name is None:
            name = self.once[text] = self.fresh()
            self.prologue.append(f"  {name} = {text}")
        return name

    # ---- memory -----------------------------------------------------------------------------------------

    def at(self, base: str, offset: int) -> str:
        """The address base + offset bytes."""
        return self.let(f"getelementptr i8, ptr {base}, i64 {offset}") if offset else base

    def load(self, type_: str, base: str, offset: int, domain: str) -> str:
        return self.let(f"load {type_}, ptr {self.at(base, offset)}, align {ALIGN[type_]}{TAGS[domain]}")

    def load_volatile(self, type_: str, base: str, offset: int) -> str:
        return self.let(f"load volatile {type_}, ptr {self.at(base, offset)}, align {ALIGN[type_]}")

    def store(self, type_: str, value: str, base: str, offset: int, domain: str) -> None:
        self.do(f"store {type_} {value}, ptr {self.at(base, offset)}, align {ALIGN[type_]}{TAGS[domain]}")

    # ---- symbols ----------------------------------------------------------------------------------------

    def data(self, name: str, address: int) -> str:
        """A named thing at an address of this process (0: whoever links it knows the address)."""
        if name not in self.globals:
            self.globals[name] = f"@{name} = external global %opaque"
            if address:
                self.symbols[name] = address
        return "@" + name

    def hint(self) -> str:
        """A word of this region's own, 0 at first, in which a routine of the runtime keeps where it has found something."""
        word = memory.words(1)
        name = f"hint{len(self.hints)}"
        self.hints.append(word)
        return self.data(name, ctypes.addressof(word))

    def object(self, obj: object) -> str:
        """A constant object, kept alive by the region. One object has one symbol: LLVM takes the addresses of
        two symbols for different."""
        name = self.object_names.get(id(obj))
        if name is None:
            name = self.object_names[id(obj)] = f"o{len(self.objects)}"
            self.objects.append(obj)
        return self.data(name, id(obj))

    def word(self, address: int) -> str:
        """A word of the program's, which is no object, at an address that does not change."""
        return self.data(self.word_names.setdefault(address, f"w{len(self.word_names)}"), address)

    def function(
        self, name: str, result: str, params: str, attributes: str = "nounwind", address: int = 0
    ) -> str:
        """A C function, exported by the interpreter if no address is given. Each signature has its own
        symbol."""
        text = f"declare {result} @{{}}({params}) {attributes}"
        symbol, n = name, 1
        while self.globals.get(symbol, text.format(symbol)) != text.format(symbol):
            n += 1
            symbol = f"{name}.{n}"
        if symbol not in self.symbols:
            self.symbols[symbol] = address or c_symbol(name)
            self.globals[symbol] = text.format(symbol)
        return "@" + symbol

    def routine(self, name: str, result: str, params: str) -> str:
        """A native routine of the runtime; whoever links knows its address."""
        self.globals.setdefault(name, f"declare {result} @{name}({params}) nounwind")
        return "@" + name

    def intrinsic(self, name: str, signature: str) -> str:
        """An LLVM intrinsic, e.g. ("llvm.fabs.f64", "double (double)")."""
        result, params = signature.split(" ", 1)
        self.globals.setdefault(name, f"declare {result} @{name}{params}")
        return "@" + name

    # ---- leaving ----------------------------------------------------------------------------------------

    def exit_label(self, state: State | None) -> str:
        """The block that leaves with this state."""
        if state is None:
            raise ValueError("a guard without a state")
        label = self.exits.get(state)
        if label is None:
            label = self.exits[state] = f"x{len(self.all_exits)}"
            self.all_exits.append(state)
        return label

    def descriptor(self, state: State) -> str:
        """The descriptor of an exit."""
        return self.data("d" + self.exit_label(state)[1:], self.describe(state))

    def guard(self, ok: str, state: State | None) -> None:
        """Go on where ok, else leave."""
        label = self.label()
        self.do(f"br i1 {ok}, label %{label}, label %{self.exit_label(state)}, {LIKELY}")
        self.start(label)

    def leave_if(self, bad: str, state: State | None) -> None:
        """Leave where bad."""
        label = self.label()
        self.do(f"br i1 {bad}, label %{self.exit_label(state)}, label %{label}, {UNLIKELY}")
        self.start(label)

    def force(self, state: State) -> None:
        """A guard that fails when the countdown ends."""
        counter = self.data("force_counter", self.options.force_counter)
        left = self.let(f"sub i64 {self.load('i64', counter, 0, 'cell')}, 1")
        self.store("i64", left, counter, 0, "cell")
        stop, go = self.label(), self.label()
        self.do(f"br i1 {self.let(f'icmp eq i64 {left}, 0')}, label %{stop}, label %{go}, {UNLIKELY}")
        self.start(stop)
        self.store("i64", "1", self.data("forced", self.options.forced), 0, "cell")
        self.do(f"br label %{self.exit_label(state)}")
        self.start(go)

    def exit_blocks(self, graph: Graph) -> int:
        """Write the exit blocks of the graph's function; returns how many words the buffer must have."""
        table = self.places
        states = [state for state in table if state in self.exits]
        if self.signature is not None:
            states = [state for state in states if not self.returned(state, self.signature)]
        labels = [self.exits[state] for state in states]

        def leave(descriptor: str, stores: list[Store]) -> Way:
            buffer, first = self.buffer() if stores else ("", 0)
            for value, at in stores:
                self.store_word(value, buffer, first + 8 * at)
            self.do("")
            return Way(self.current, descriptor, len(self.lines) - 1)

        def leaf(at: int, stores: list[Store]) -> Way:
            self.start(labels[at])
            return leave(self.descriptor(states[at]), stores)

        def node(ways: list[Way], stores: list[Store]) -> Way:
            return leave(self.meet(ways), stores)

        last = share([list(zip(state.values(), table[state], strict=True)) for state in states], node, leaf)
        if last:
            self.end_exit(self.meet(last))
        return words(table[state] for state in states)

    def meet(self, ways: list[Way]) -> str:
        """Start the block where these exits go on; returns the descriptor of the one that was taken."""
        label = self.label()
        for way in ways:
            self.lines[way.end] = f"  br label %{label}"
        self.start(label)
        if len(ways) == 1:
            return ways[0].descriptor
        return self.let(f"phi ptr {', '.join(f'[ {way.descriptor}, %{way.label} ]' for way in ways)}")

    def buffer(self) -> tuple[str, int]:
        """Where the live values of an exit go: a base address and an offset. In a direct function that is behind the first word of a new
        record in the log."""
        return ("%bufp", 0) if self.signature is None else (self.load("ptr", self.data("log_top", 0), 0, "cell"), 8)

    def end_exit(self, descriptor: str) -> None:
        """Leave, when the values are where they belong. A direct function completes the record."""
        if self.signature is None:
            self.do(f"ret i64 {self.let(f'ptrtoint ptr {descriptor} to i64')}")
            return
        base, first = self.buffer()
        self.store("ptr", descriptor, base, 0, "buf")
        count = self.load("i64", descriptor, 8 * WORDS, "cell")
        end = self.let(f"getelementptr i64, ptr {self.at(base, first)}, i64 {count}")
        self.store("ptr", end, self.data("log_top", 0), 0, "cell")
        pair = direct_result(self.signature)
        self.do(f"ret {pair} {self.let(f'insertvalue {pair} undef, i64 1, 0')}")

    def store_word(self, value: Value, base: str, offset: int) -> None:
        text, type_ = self.texts[value], TYPES[value.repr]
        if type_ == "i1":
            text, type_ = self.let(f"zext i1 {text} to i64"), "i64"
        self.store(type_, text, base, offset, "buf")

    def returned(self, state: State, signature: Signature) -> bool:
        """Write the block of an exit that is the return of a direct function, if it is one of the result that its signature says."""
        slot = state.result
        if slot is None or not slot.values or slot.kind not in ("box", "steal") or slot.values[0].repr != signature.result:
            return False
        self.start(self.exits[state])
        pair = direct_result(signature)
        value = f"{TYPES[signature.result]} {self.texts[slot.values[0]]}"
        made = self.let(f"insertvalue {pair} {{ i64 0, {TYPES[signature.result]} undef }}, {value}, 1")
        self.do(f"ret {pair} {made}")
        return True

    # ---- control flow within one operation --------------------------------------------------------------

    def when(self, condition: str, weights: str = "") -> Arm:
        """`with e.when(c):` writes a block that runs where c holds, and goes on after it."""
        return Arm(self, condition, weights)

    def operands(self, op: Op) -> list[str]:
        return [self.texts[v] for v in op.args]


class Way(NamedTuple):
    """A way out that is not finished: its block, the descriptor, and which line is to be the jump that ends it."""

    label: str
    descriptor: str
    end: int


def door_code(graph: Graph) -> CodeType | None:
    """The code object of the door's frame: every state that has frames starts with that one."""
    return next((state.frames[0].code for state in graph.states() if state.frames), None)


def direct_result(signature: Signature) -> str:
    """The type of what a direct function returns: 0 and its result, or 1 after it has recorded that it left."""
    return f"{{ i64, {TYPES[signature.result]} }}"


class Arm:
    """The body of an `Emitter.when`; `before` and `after` are the labels a phi behind it needs."""

    def __init__(self, emitter: Emitter, condition: str, weights: str) -> None:
        self.e, self.condition, self.weights = emitter, condition, weights
        self.before = self.after = self.done = ""

    def __enter__(self) -> Arm:
        body, self.done = self.e.label(), self.e.label()
        self.before = self.e.current
        weights = f", {self.weights}" if self.weights else ""
        self.e.do(f"br i1 {self.condition}, label %{body}, label %{self.done}{weights}")
        self.e.start(body)
        return self

    def __exit__(self, *failure: Any) -> None:
        self.after = self.e.current
        self.e.do(f"br label %{self.done}")
        self.e.start(self.done)

    def phi(self, type_: str, inside: str, outside: str) -> str:
        return self.e.let(f"phi {type_} [ {inside}, %{self.after} ], [ {outside}, %{self.before} ]")


ALIGN = {"i64": 8, "double": 8, "ptr": 8, "float": 4, "i32": 4, "i16": 2, "i8": 1}


def double(value: float) -> str:
    """The exact literal of a float."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def literal(text: str) -> int | None:
    """The value of an i64 operand that is a literal."""
    return int(text) if text[0] not in "%@" else None
