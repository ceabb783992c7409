"""Lists and tuples, whose exact type is already known."""

from __future__ import annotations

from typing import Any

from ...abi import LAYOUT, memory
from ..registry import op


@op("list.len", "o", "i", reads="list")
def list_len(m: Any, o: int) -> int:
    """Number of items."""
    return int(memory.read64(o + LAYOUT.OB_SIZE))


@op("list.get", "oi", "o", reads="list")
def list_get(m: Any, o: int, i: int) -> int:
    """Item i, borrowed from the list; i is known to be in range."""
    return int(memory.read64(memory.read64(o + LAYOUT.LIST_ITEMS) + 8 * i))


@op("list.set", "oio", "o", writes="list", consumes=(2,))
def list_set(m: Any, o: int, i: int, v: int) -> int:
    """Put v (its reference is taken over) at index i, in range; the result is the old item, now owned."""
    address = memory.read64(o + LAYOUT.LIST_ITEMS) + 8 * i
    old = memory.read64(address)
    memory.write64(address, v)
    return int(old)


@op("list.append", "oo", "", writes="list alloc", consumes=(1,))
def list_append(m: Any, o: int, v: int) -> None:
    """Append v, whose reference is taken over."""
    memory.object_at(o).append(memory.object_at(v))
    memory.decref(v)


@op("list.pop_last", "o", "o", writes="list alloc")
def list_pop_last(m: Any, o: int) -> int:
    """Remove and return the last item, owned; the list is known not to be empty."""
    return int(memory.new_reference(memory.object_at(o).pop()))


@op("list.new", "o*", "o", writes="alloc", consumes=(-1,))
def list_new(m: Any, *items: int) -> int:
    """A new list of the items, whose references are taken over."""
    made = [memory.object_at(v) for v in items]
    for v in items:
        memory.decref(v)
    return int(memory.new_reference(made))


@op("tuple.len", "o", "i")
def tuple_len(m: Any, o: int) -> int:
    """Number of items."""
    return int(memory.read64(o + LAYOUT.OB_SIZE))


@op("tuple.get", "oi", "o")
def tuple_get(m: Any, o: int, i: int) -> int:
    """Item i, borrowed from the tuple; i is known to be in range."""
    return int(memory.read64(o + LAYOUT.TUPLE_ITEMS + 8 * i))


@op("tuple.new", "o*", "o", writes="alloc", consumes=(-1,))
def tuple_new(m: Any, *items: int) -> int:
    """A new tuple of the items, whose references are taken over."""
    made = tuple([memory.object_at(v) for v in items])
    for v in items:
        memory.decref(v)
    return int(memory.new_reference(made))
