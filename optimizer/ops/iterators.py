"""Iterator objects: made in a given state, and stepped where that runs no Python code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...abi import LAYOUT, memory
from ...records import dataclass
from ..registry import op
from .objects import outlives


@dataclass(frozen=True)
class Quiet:
    """Where an iterator type keeps (names of LAYOUT) the container it lets go of when exhausted, and the pair that it uses
    again for each item; '' for nothing."""

    container: str = ""
    pair: str = ""


def _quiet() -> dict[type, Quiet]:
    mapping: dict[Any, Any] = {}
    table: dict[type, Quiet] = {}
    iterator: Iterator[Any]
    for view in (mapping.keys(), mapping.values(), mapping.items()):
        pair = "DICTITER_PAIR" if type(view) is type(mapping.items()) else ""
        for iterator in (iter(view), reversed(view)):
            table[type(iterator)] = Quiet("DICTITER_DICT", pair)
    for iterator in (iter("a"), iter("\u0100"), iter(b""), reversed([]), iter([]), iter(())):
        table[type(iterator)] = Quiet("LISTITER_SEQ")
    table[type(iter(set()))] = Quiet("SETITER_SET")
    for iterator in (iter(range(0)), iter(range(1 << 70))):
        table[type(iterator)] = Quiet()
    return table


QUIET: dict[type, Quiet] = _quiet()
"""Exact iterator types whose step runs no Python code, as long as nothing dies in it."""


@op("iter.quiet", "o", "b", reads="ref field list item", imm="kind")
def quiet(m: Any, o: int, kind: type) -> bool:
    """Whether the next step of an iterator of a type in QUIET runs no code: its container has another owner or is harmless
    to drop, and so have the two objects in the pair it is going to reuse."""
    info = QUIET[kind]
    if info.container:
        container = memory.read64(o + getattr(LAYOUT, info.container))
        if container and not outlives(m, container, 1):
            return False
    if info.pair:
        pair = memory.read64(o + getattr(LAYOUT, info.pair))
        if memory.refcount(pair) == 1:
            return all(outlives(m, memory.read64(pair + LAYOUT.TUPLE_ITEMS + 8 * n), 2) for n in range(2))
    return True


@op("iter.next", "o", "o", writes="alloc field ref")
def next_(m: Any, o: int) -> int:
    """The next item of an iterator that is quiet, as a new reference. NULL where it is exhausted, or with an exception set
    where its container was changed."""
    return int(m.capi("PyIter_Next", [o], ()))


@op("iter.undo", "oo", "", writes="field ref")
def undo(m: Any, o: int, container: int) -> None:
    """After a quiet step that raised: clear the exception and give the iterator its container back (the one it had before
    the step, NULL if that cannot be lost). The same step then raises the same exception."""
    m.clear_error()
    if container and memory.read64(o + LAYOUT.DICTITER_DICT) == 0:
        memory.incref(container)
        memory.write64(o + LAYOUT.DICTITER_DICT, container)


@op("iter.new_range", "iii", "o", writes="alloc")
def new_range(m: Any, start: int, length: int, step: int) -> int:
    """A new iterator over a range, with `length` values left."""
    made = memory.new_reference(iter(range(0)))
    memory.write64(made + LAYOUT.RANGEITER_START, start)
    memory.write64(made + LAYOUT.RANGEITER_LEN, length)
    memory.write64(made + LAYOUT.RANGEITER_STEP, step)
    return int(made)


def over(iterator: object, o: int, index: int) -> int:
    made = memory.new_reference(iterator)
    memory.write64(made + LAYOUT.LISTITER_INDEX, index)
    memory.decref(o)
    return int(made)


@op("iter.new_sequence", "oi", "o", writes="alloc", consumes=(0,))
def new_sequence(m: Any, o: int, index: int) -> int:
    """A new iterator over an exact list or tuple, at that index."""
    return over(iter(memory.object_at(o)), o, index)


@op("iter.new_reversed", "oi", "o", writes="alloc", consumes=(0,))
def new_reversed(m: Any, o: int, index: int) -> int:
    """A new iterator backwards over an exact list, at that index."""
    return over(reversed(memory.object_at(o)), o, index)


@op("iter.new_enumerate", "oi", "o", writes="alloc", consumes=(0,))
def new_enumerate(m: Any, o: int, count: int) -> int:
    """enumerate(o, count) of an exact built-in iterator."""
    made = memory.new_reference(enumerate(memory.object_at(o), count))
    memory.decref(o)
    return int(made)


@op("iter.new_zip", "o*", "o", writes="alloc", consumes=(-1,))
def new_zip(m: Any, *parts: int) -> int:
    """zip(*parts) of exact built-in iterators."""
    made = memory.new_reference(zip(*[memory.object_at(part) for part in parts], strict=False))
    for part in parts:
        memory.decref(part)
    return int(made)
