"""Lists and tuples, whose exact type is already known.

A number that is put into a list where another one was usually finds a box there that nobody else holds. Writing into
that box instead of making a new one is what `list.set_float` and `list.set_int` are for. Nobody can tell: who looked at
the old item without a reference of his own could not have kept it past this store anyway.
"""

from __future__ import annotations

import struct
from typing import Any

from ...abi import LAYOUT, memory
from ..registry import op
from .objects import DEPTH, LOOKED_INTO, harmless, parts_of

ATOMS = (int, float, bool, str, complex, type(None))
"""Exact types whose comparison, arithmetic and text run no Python code, in any combination (bytes may warn: python -b)."""


@op("list.len", "o", "i", reads="list")
def list_len(m: Any, o: int) -> int:
    """Number of items."""
    return int(memory.read64(o + LAYOUT.OB_SIZE))


@op("list.get", "oi", "o", reads="list item")
def list_get(m: Any, o: int, i: int) -> int:
    """Item i, borrowed from the list; i is known to be in range."""
    return int(memory.read64(memory.read64(o + LAYOUT.LIST_ITEMS) + 8 * i))


@op("list.set", "oio", "o", writes="item", consumes=(2,))
def list_set(m: Any, o: int, i: int, v: int) -> int:
    """Put v (its reference is taken over) at index i, in range; the result is the old item, now owned."""
    address = memory.read64(o + LAYOUT.LIST_ITEMS) + 8 * i
    old = memory.read64(address)
    memory.write64(address, v)
    return int(old)


@op("list.set_float", "oif", "", writes="item ref alloc", imm="old")
def list_set_float(m: Any, o: int, i: int, v: float, old: type | None) -> None:
    """Item i, in range, becomes the float. The end of the old item is known to run no code; `old` is its exact type, where
    that is known."""
    if not float_fits(memory.read64(memory.read64(o + LAYOUT.LIST_ITEMS) + 8 * i), v):
        memory.decref(list_set(m, o, i, memory.new_reference(-(-v))))


@op("list.set_int", "oii", "", writes="item ref alloc", imm="old")
def list_set_int(m: Any, o: int, i: int, v: int, old: type | None) -> None:
    """The same for an int. Only ints of one digit are written in place, and none of those that exist only once."""
    if not int_fits(memory.read64(memory.read64(o + LAYOUT.LIST_ITEMS) + 8 * i), v):
        memory.decref(list_set(m, o, i, memory.new_reference(v)))


def float_fits(box: int, v: float) -> bool:
    """Write the float into the box, if it is one that nobody else holds."""
    if memory.read64(box + LAYOUT.OB_TYPE) != id(float) or memory.refcount(box) != 1:
        return False
    memory.write64(box + LAYOUT.FLOAT_VALUE, int.from_bytes(struct.pack("<d", v), "little"))
    return True


def int_fits(box: int, v: int) -> bool:
    """The same for an int, if old and new value have one digit and neither is an int that exists only once."""
    if memory.read64(box + LAYOUT.OB_TYPE) != id(int) or memory.refcount(box) != 1:
        return False
    cached = LAYOUT.SMALL_INT_MIN <= v <= LAYOUT.SMALL_INT_MAX
    if memory.read64(box + LAYOUT.INT_TAG) & ~2 != 8 or abs(v) >> LAYOUT.INT_DIGIT_BITS or cached:
        return False
    memory.write64(box + LAYOUT.INT_TAG, 10 if v < 0 else 8)
    memory.write32(box + LAYOUT.INT_DIGITS, abs(v))
    return True


@op("list.append", "oo", "", writes="list alloc", consumes=(1,))
def list_append(m: Any, o: int, v: int) -> None:
    """Append v, whose reference is taken over."""
    list.append(memory.object_at(o), memory.object_at(v))  # type: ignore[arg-type]
    memory.decref(v)


@op("list.pop_last", "o", "o", writes="list alloc")
def list_pop_last(m: Any, o: int) -> int:
    """Remove and return the last item, owned; the list is known not to be empty."""
    return int(memory.new_reference(list.pop(memory.object_at(o))))  # type: ignore[arg-type]


@op("list.pop_at", "oi", "o", writes="list alloc")
def list_pop_at(m: Any, o: int, i: int) -> int:
    """Remove and return item i, owned; i is known to be in range."""
    return int(memory.new_reference(list.pop(memory.object_at(o), i)))  # type: ignore[arg-type]


@op("list.insert", "oio", "i", writes="list alloc")
def list_insert(m: Any, o: int, i: int, v: int) -> int:
    """Insert v (borrowed: the list gets a reference of its own) before index i, which is wrapped and clipped. 0, or -1 with
    an exception set and the list as it was."""
    return int(m.capi_status("PyList_Insert", (o,), (i,), (v,)))


@op("list.extend", "oo", "i", writes="list alloc")
def list_extend(m: Any, o: int, other: int) -> int:
    """Append the items of `other`, an exact list or tuple (o itself too). 0, or -1 with an exception set and the list as it
    was."""
    end = memory.read64(o + LAYOUT.OB_SIZE)
    return int(m.capi_status("PyList_SetSlice", (o,), (end, end), (other,)))


@op("list.reverse", "o", "", writes="list")
def list_reverse(m: Any, o: int) -> None:
    """Reverse the list in place."""
    list.reverse(memory.object_at(o))  # type: ignore[arg-type]


@op("list.slice", "oii", "o", reads="list item", writes="alloc")
def list_slice(m: Any, o: int, start: int, stop: int) -> int:
    """A new list of the items from start to stop, which are clipped and not counted from the end. NULL, without an exception,
    where there is no memory."""
    return int(memory.new_reference(memory.object_at(o)[max(start, 0) : max(stop, 0)]))


@op("list.take", "oii", "o", reads="list item", writes="alloc", imm="step")
def list_take(m: Any, o: int, start: int, count: int, step: int) -> int:
    """A new list of `count` items, which exist: the one at start and every step-th from there. NULL as above."""
    items = memory.object_at(o)
    return int(memory.new_reference([items[start + step * k] for k in range(count)]))


@op("list.part_is_safe", "oii", "b", reads="ref list item")
def list_part_is_safe(m: Any, o: int, start: int, stop: int) -> bool:
    """Whether the items from start to stop (as in `list.slice`) end without running code."""
    items = parts_of(o, list) or []
    budget = [LOOKED_INTO, 0, 0]
    return all(harmless(one, DEPTH, o, budget) for one in items[max(start, 0) : max(stop, 0)])


@op("list.set_part", "oiio", "i", writes="list item ref alloc")
def list_set_part(m: Any, o: int, start: int, stop: int, other: int) -> int:
    """Replace the items from start to stop (as in `list.slice`) by those of `other`, an exact list (o itself too). 0, or -1
    with an exception set and the list as it was."""
    return int(m.capi_status("PyList_SetSlice", (o,), (start, stop), (other,)))


@op("list.atoms", "o", "b", reads="list item")
def list_atoms(m: Any, o: int) -> bool:
    """Whether the exact type of every item is one of ATOMS."""
    return all(type(item) in ATOMS for item in memory.object_at(o))


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


@op("list.has_int", "oi", "i", reads="list item")
def list_has_int(m: Any, o: int, n: int) -> int:
    """Whether n is among the items: 1 or 0, -1 where something else than an exact int comes before it."""
    return among(memory.object_at(o), n)


@op("list.has_text", "oo", "i", reads="list item")
def list_has_text(m: Any, o: int, text: int) -> int:
    """The same of an exact str among exact strs."""
    return among(memory.object_at(o), memory.object_at(text))


@op("tuple.has_int", "oi", "i")
def tuple_has_int(m: Any, o: int, n: int) -> int:
    """Like `list.has_int`."""
    return among(memory.object_at(o), n)


@op("tuple.has_text", "oo", "i")
def tuple_has_text(m: Any, o: int, text: int) -> int:
    """Like `list.has_text`."""
    return among(memory.object_at(o), memory.object_at(text))


def among(items: Any, wanted: int | str) -> int:
    for item in items:
        if type(item) is not type(wanted):
            return -1
        if item == wanted:
            return 1
    return 0


@op("tuple.get", "oi", "o")
def tuple_get(m: Any, o: int, i: int) -> int:
    """Item i, borrowed from the tuple; i is known to be in range."""
    return int(memory.read64(o + LAYOUT.TUPLE_ITEMS + 8 * i))


@op("tuple.atoms", "o", "b")
def tuple_atoms(m: Any, o: int) -> bool:
    """Whether the exact type of every item is one of ATOMS."""
    return all(type(item) in ATOMS for item in memory.object_at(o))


@op("tuple.new", "o*", "o", writes="alloc", consumes=(-1,))
def tuple_new(m: Any, *items: int) -> int:
    """A new tuple of the items, whose references are taken over."""
    made = tuple([memory.object_at(v) for v in items])
    for v in items:
        memory.decref(v)
    return int(memory.new_reference(made))


@op("seq.slice", "oii", "o", reads="list item", writes="alloc")
def seq_slice(m: Any, o: int, start: int, stop: int) -> int:
    """o[start:stop] of an exact list, tuple, str or bytes: a new reference, or NULL with the exception cleared."""
    result = int(m.capi("PySequence_GetSlice", (o,), (start, stop)))
    if result == 0:
        m.clear_error()
    return result
