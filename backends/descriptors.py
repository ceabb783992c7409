"""Exit descriptors: a frame state turned into the words that the native exit routine interprets.

Exits build nothing in the region's own code. The region stores the raw live values of the exit into a
buffer and returns the address of a descriptor; one native routine does the rest. That keeps a guard at a
compare and a jump, and makes the word format below the only contract between states and the runtime.

A descriptor is an array of signed 64-bit words:

    0 count    1 hot threshold (0: never)    2 exit id    3 kind    4 number of temps    5 number of frames
    6 index of the first frame word          7 number of buffer words
    8 of a direct function: address of the word in which its quick code counts down, or 0
    9.. temps, four words each: op, a, b, c  (see `Temp`); each makes one owned reference
    then the frames, outermost first: code, func, ip, call ip, nlocals, nwrites, nstack, npoison, answer,
         nwrites x [slot number or address of a name's word, temp], nstack x [temp], npoison x [code, see POISON_WORDS]

Every slot of the state gets a temp of its own, because filling the slot consumes the reference. One SSA
value is boxed once: the second slot that shows it takes another reference to the first one's object
(`SAME`), so identity is what the interpreter would have had. Ownership counts slots: a value in two `steal`
slots comes with two references (copying an owned slot increfs), so each of them is moved out on its own.
Boxes have for b one more than the buffer index of a flag that says whether there is a value at all, or 0; `STEAL` and `NEW` the
address of the object that stands for none, or 0.
Tuples, iterators, generators and instances steal their parts, which must be consecutive temps; therefore all other slots come
first, and a part never is the first owner of something a plain slot shows too. Two of them may share a
part: `SAME` then names a temp that was taken over, which is still valid to read because the tuple or
iterator holds the object.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

from ..abi import LAYOUT, instances, memory
from ..abi.unbound import UNBOUND
from ..optimizer.answers import NUMBERS
from ..optimizer.ir import GENERATOR_HEAD, SHARED, FrameRec, Graph, Slot, State, Value
from .exit_buffer import WORDS, places
from .exit_buffer import words as written

KINDS = {"resume": 0, "return": 1, "mismatch": 2, "error": 3, "suspended": 4}
POISON_WORDS = {"null": 0, "poison": 1, "none": 2, "empty": 3}
HEADER_WORDS = 9
TICKS = 8
TEMP_WORDS = 4

Entry = tuple[int, int, int, int]


class Temp(IntEnum):
    """How a temp is made: buf[n] is the exit's n-th live value."""

    NULL = 0
    BOX_INT = 1
    BOX_FLOAT = 2
    BOX_BOOL = 3
    STEAL = 4
    NEW = 5
    CONST = 6
    SAME = 7
    RANGE_ITER = 8
    RANGE = 9
    TUPLE = 10
    TAGGED = 11
    POISON = 12
    COPY_LOCAL = 13
    SEQUENCE_ITER = 14
    REVERSED_ITER = 15
    ENUMERATE = 16
    ZIP = 17
    GENERATOR = 18
    INSTANCE = 19
    CELL = 20
    FUNCTION = 21
    METHOD = 22


WITH_PARTS = {
    "tuple": Temp.TUPLE,
    "sequence_iter": Temp.SEQUENCE_ITER,
    "reversed_iter": Temp.REVERSED_ITER,
    "enumerate": Temp.ENUMERATE,
    "zip": Temp.ZIP,
    "generator": Temp.GENERATOR,
    "instance": Temp.INSTANCE,
    "cell": Temp.CELL,
    "function": Temp.FUNCTION,
    "method": Temp.METHOD,
}
"""Slots made of others: (temp, first part, number of parts, and the buffer index of a number, of a generator the offset, of an
instance the address of its `shape`, of a function its code, or 0)."""
BOXES = {"i": Temp.BOX_INT, "f": Temp.BOX_FLOAT, "b": Temp.BOX_BOOL}


class DescriptorBlock:
    """The words of one exit, at a fixed address as long as this object lives; keeps alive what the words
    point to. `places`: the buffer index of each of `state.values()`."""

    __slots__ = ("words", "address", "exit_id", "state", "keep", "places")

    def __init__(
        self, words: list[int], exit_id: int, state: State, keep: list[object], places: tuple[int, ...]
    ) -> None:
        self.places = places
        self.words = memory.words(len(words))
        self.words[: len(words)] = words
        self.address = ctypes.addressof(self.words)
        self.exit_id = exit_id
        self.state = state
        self.keep = keep

    @property
    def count(self) -> int:
        """How often the exit was taken."""
        return int(self.words[0])

    @property
    def hot(self) -> int:
        return int(self.words[1])

    @hot.setter
    def hot(self, threshold: int) -> None:
        self.words[1] = threshold

    def count_in(self, ticks: int) -> None:
        """The exit's direct function counts its use down in the word at this address."""
        self.words[TICKS] = ticks

    def temps(self) -> list[Entry]:
        """The temp entries, for tests and reports."""
        w = self.words
        starts = range(HEADER_WORDS, HEADER_WORDS + TEMP_WORDS * w[4], TEMP_WORDS)
        return [(w[k], w[k + 1], w[k + 2], w[k + 3]) for k in starts]


class Temps:
    """The temp entries under construction."""

    def __init__(self, index: dict[Value, int], keep: list[object]) -> None:
        self.index = index
        self.keep = keep
        self.entries: list[Entry] = []
        self.first: dict[Value | int, int] = {}

    def add(self, entry: Entry) -> int:
        self.entries.append(entry)
        return len(self.entries) - 1

    def put(self, slot: Slot) -> int:
        """A temp for the slot; returns its index."""
        key = self.key(slot)
        entry = self.share(key) or (self.row(slot) if slot.kind in WITH_PARTS else self.leaf(slot))
        at = self.add(entry)
        if key is not None:
            self.first.setdefault(key, at)
        return at

    def key(self, slot: Slot) -> Value | int | None:
        """What two slots must have in common to show the same object: a value, or being the same virtual
        object."""
        if slot.kind == "box":
            return slot.values[0]
        if slot.kind in SHARED:
            return -1 - slot.index
        return id(slot) if slot.kind in ("range_iter", "range", *WITH_PARTS) else None

    def share(self, key: Value | int | None) -> Entry | None:
        at = self.first.get(key) if key is not None else None
        return None if at is None else (Temp.SAME, at, 0, 0)

    def row(self, slot: Slot) -> Entry:
        """Emit the parts as consecutive temps. The parts of parts come before the whole row; a part that was
        already made is shared like any other object. One level of the Python stack per level of nesting,
        which is as deep as the source's own displays."""
        inner: dict[Value | int | None, Entry] = {}
        # What has another part in it comes first: it makes that one.
        for part in sorted(slot.parts, key=nesting, reverse=True):
            key = self.key(part)
            if part.kind in WITH_PARTS and key not in self.first and key not in inner:
                inner[key] = self.row(part)
        start = len(self.entries)
        for part in slot.parts:
            key = self.key(part)
            if part.kind == "twin":
                entry: Entry = (Temp.SAME, start + GENERATOR_HEAD + part.index, 0, 0)
            else:
                entry = self.share(key) or inner.get(key) or self.leaf(part)
            at = self.add(entry)
            if key is not None:
                self.first.setdefault(key, at)
        number = self.index[slot.values[0]] if slot.values else slot.index
        if slot.kind == "instance":
            number = self.shape(slot)
        if slot.kind == "function":
            number = id(slot.obj)
            self.keep.append(slot.obj)
        return (WITH_PARTS[slot.kind], start, len(slot.parts), number)

    def shape(self, slot: Slot) -> int:
        """The address of an instance's class, where its inline values begin, and the places of its attributes."""
        kind: Any = slot.obj
        offset = instances.values_offset(kind) if LAYOUT.VALUES_IN_OBJECT else 0
        row = [id(kind), offset, *slot.places]
        words = memory.words(len(row))
        words[: len(row)] = row
        self.keep += [kind, words]
        return ctypes.addressof(words)

    def leaf(self, slot: Slot) -> Entry:
        at = [self.index[v] for v in slot.values]
        match slot.kind:
            case "null":
                return (Temp.NULL, 0, 0, 0)
            case "box":
                return (BOXES[slot.values[0].repr], at[0], 0, 0)
            case "steal":
                return (Temp.STEAL, at[0], 0, 0)
            case "new":
                return (Temp.NEW, at[0], 0, 0)
            case "maybe_box":
                return (BOXES[slot.values[0].repr], at[0], at[1] + 1, 0)
            case "maybe_steal":
                return (Temp.STEAL, at[0], id(UNBOUND), 0)
            case "maybe_new":
                return (Temp.NEW, at[0], id(UNBOUND), 0)
            case "const":
                self.keep.append(slot.obj)
                return (Temp.CONST, id(slot.obj), 0, 0)
            case "range_iter":
                return (Temp.RANGE_ITER, at[0], at[1], at[2])
            case "range":
                return (Temp.RANGE, at[0], at[1], at[2])
            case "tagged":
                return (Temp.TAGGED, at[0], 0, 0)
            case "poison":
                return (Temp.POISON, 0, 0, 0)
            case "local":
                return (Temp.COPY_LOCAL, slot.index, 0, 0)
        raise ValueError(f"slot kind {slot.kind!r}")


def nesting(slot: Slot) -> int:
    """How deep slots lie in it."""
    return 1 + max(map(nesting, slot.parts), default=0)


def build(state: State, exit_id: int, hot: int = 0, indices: tuple[int, ...] | None = None) -> DescriptorBlock:
    """The descriptor of one exit. `indices` are the buffer indices of `state.values()` (see `exit_buffer`), by default their
    positions. Raises ValueError or KeyError for a state that the verifier would refuse."""
    keep: list[object] = []
    values = state.values()
    if indices is None:
        indices = tuple(range(len(values)))
    temps = Temps(dict(zip(values, indices, strict=True)), keep)
    if state.result is not None:
        if state.result.kind in WITH_PARTS:
            raise ValueError("a returned tuple has parts that would come before it; make it with tuple.new")
        temps.put(state.result)
    places: dict[Place, int] = {}
    for place, slot in ordered(state):
        twin = places[place[0], "local", slot.index] if slot.kind == "twin" else None
        places[place] = temps.put(slot) if twin is None else temps.add((Temp.SAME, twin, 0, 0))
    frames: list[int] = []
    for depth, frame in enumerate(state.frames):
        frames += frame_words(depth, frame, places, keep)
    words = [0, hot, exit_id, KINDS[state.kind], len(temps.entries), len(state.frames)]
    words += [HEADER_WORDS + TEMP_WORDS * len(temps.entries), written([indices]), 0]
    assert len(words) == HEADER_WORDS and words[WORDS] == written([indices])
    words += [word for entry in temps.entries for word in entry]
    return DescriptorBlock(words + frames, exit_id, state, keep, indices)


def build_all(
    graph: Graph, exit_ids: Iterator[int] | None = None, hot: int = 0
) -> dict[State, DescriptorBlock]:
    """Descriptors of every state of the graph, with ids from `exit_ids` (kept in `state.exit_id`)."""
    ids = exit_ids if exit_ids is not None else itertools.count()
    made: dict[State, DescriptorBlock] = {}
    for state, indices in places(graph).items():
        state.exit_id = next(ids)
        made[state] = build(state, state.exit_id, hot, indices)
    return made


Place = tuple[int, str, int]


def ordered(state: State) -> list[tuple[Place, Slot]]:
    """All slots with their places, those with parts behind others, and then those that share what a local has."""
    slots: list[tuple[Place, Slot]] = []
    for depth, frame in enumerate(state.frames):
        slots += [((depth, "local", n), slot) for n, slot in frame.locals.items()]
        slots += [((depth, "stack", n), slot) for n, slot in enumerate(frame.stack)]
    return sorted(slots, key=lambda item: 2 if item[1].kind == "twin" else item[1].kind in WITH_PARTS)


def frame_words(depth: int, frame: FrameRec, places: dict[Place, int], keep: list[object]) -> list[int]:
    keep.append(frame.code)
    if frame.func is not None:
        keep.append(frame.func)
    start = id(frame.code) + LAYOUT.CODE_BYTES
    nlocals = memory.read32(id(frame.code) + LAYOUT.CODE_NLOCALSPLUS)
    words = [id(frame.code), id(frame.func) if frame.func is not None else 0, start + frame.offset]
    words += [start + frame.call_offset, nlocals, len(frame.locals), len(frame.stack), len(frame.poison), NUMBERS[frame.answer]]
    for n in frame.locals:
        words += [n, places[depth, "local", n]]
    words += [places[depth, "stack", n] for n in range(len(frame.stack))]
    words += [POISON_WORDS[word] for word in frame.poison]
    return words
