"""What becomes of collected items (`optimizer/ops/collect.py`): the array they wait in, and lists, tuples and other things made of it."""

# ruff: noqa: ANN001, ANN201  (native functions: every parameter and result is a word)
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from ...abi import LAYOUT
from ...optimizer.ops.collect import INT, ITEM_BYTES, OBJECT
from . import runtime_state as S
from .lowlevel import alloca, c, ld64, native, st64
from .runtime_objects import box_float, box_int
from .runtime_state import drop, take

FIRST_ROOM = 1024
KEPT_ROOM = 1 << 16  # more is given back at once
FIRST_ALLOCATED = 8  # what a list that is filled from an iterator of unknown length begins with


@native
def make_room(index):
    """Room for an item at that index. What has been collected stays; where there is no memory, so does the room."""
    room = ld64(c.jc_state + S.COLLECTED_ROOM)
    if room == 0:
        room = FIRST_ROOM
    while room <= index:
        room += room
    items = c.PyMem_RawRealloc(ld64(c.jc_state + S.COLLECTED), room * ITEM_BYTES)
    if items:
        st64(c.jc_state + S.COLLECTED, items)
        st64(c.jc_state + S.COLLECTED_ROOM, room)
    return 0


@native
def new_item(item):
    """A new reference to an item, or 0."""
    what = ld64(item)
    if what == OBJECT:
        return take(ld64(item + 8))
    if what == INT:
        return box_int(ld64(item + 8))
    return box_float(ld64(item + 8))


@native
def fill(items, count):
    """Put the first items into the places of a new list or tuple. Returns 1, or 0 where there is no memory."""
    collected = ld64(c.jc_state + S.COLLECTED)
    i = 0
    while i < count:
        item = new_item(collected + ITEM_BYTES * i)
        if item == 0:
            return 0
        st64(items + 8 * i, item)
        i += 1
    return 1


@native(inline=True)
def forget_collected():
    """Free the array, if it has become large: also where native code is left before all is collected."""
    if ld64(c.jc_state + S.COLLECTED_ROOM) > KEPT_ROOM:
        c.PyMem_RawFree(ld64(c.jc_state + S.COLLECTED))
        st64(c.jc_state + S.COLLECTED, 0)
        st64(c.jc_state + S.COLLECTED_ROOM, 0)
    return 0


@native(inline=True)
def is_there(count):
    """Whether there was room for all of them."""
    return count == 0 or ld64(c.jc_state + S.COLLECTED_ROOM) >= count


@native
def allocated_for(count):
    """The room in a list that was filled with so many items from a generator (`list_resize` and the end of `list_extend` in
    Objects/listobject.c)."""
    room = FIRST_ALLOCATED
    while room < count:
        room = (room + 1 + ((room + 1) >> 3) + 6) & -4
    if count < room >> 1:
        room = (count + (count >> 3) + 6) & -4
    return room if count else 0


@native
def collected_list(count):
    """A new list of the first items, or 0, with an exception set or not."""
    made = c.PyList_New(allocated_for(count)) if is_there(count) else 0
    if made:
        st64(made + LAYOUT.OB_SIZE, count)
    if made and count and fill(ld64(made + LAYOUT.LIST_ITEMS), count) == 0:
        drop(made)
        made = 0
    forget_collected()
    return made


@native
def collected_sorted(count):
    """The same in order; 0 also where it has none."""
    made = collected_list(count)
    if made and c.PyList_Sort(made) < 0:
        drop(made)
        return 0
    return made


@native
def collected_tuple(count):
    """The same as a tuple."""
    made = c.PyTuple_New(count) if is_there(count) else 0
    if made and count and fill(made + LAYOUT.TUPLE_ITEMS, count) == 0:
        drop(made)
        made = 0
    forget_collected()
    return made


@native
def collected_call(count, function):
    """function(list of the first items), or 0."""
    args = alloca(8)
    items = collected_list(count)
    if items == 0:
        return 0
    st64(args, items)
    result = c.PyObject_Vectorcall(function, args, 1, 0)
    drop(items)
    return result


@native
def collected_text(count, separator):
    """The first items joined, or 0."""
    items = collected_list(count)
    if items == 0:
        return 0
    result = c.PyUnicode_Join(separator, items)
    drop(items)
    return result
