"""What a generator has yielded so far, where its consumer is a function of C that wants all of it (see `tracing/consumers.py`).

The items wait in one array of the process: numbers without boxes, and objects without references, for whoever collects does nothing
that could end them. No code runs between the first item and the last, so one array is enough; what is in it is forgotten by beginning
again at index 0. Only what becomes of them in the end is an object.
"""

from __future__ import annotations

from typing import Any

from ...abi import memory
from ..registry import op

OBJECT, INT, FLOAT = 0, 1, 2
"""What an item is."""
ITEM_BYTES = 16
"""Of each item in the array of native code: what it is, and its word."""


def put(m: Any, i: int, item: object) -> int:
    del m.collected[i:]
    m.collected.append(item)
    return i + 1


@op("collect.object", "io", "i", writes="alloc")
def put_object(m: Any, i: int, o: int) -> int:
    """Item i is the object, which is borrowed. The result is i + 1."""
    return put(m, i, memory.object_at(o))


@op("collect.int", "ii", "i", writes="alloc")
def put_int(m: Any, i: int, n: int) -> int:
    """Item i is that int."""
    return put(m, i, n)


@op("collect.float", "if", "i", writes="alloc")
def put_float(m: Any, i: int, x: float) -> int:
    """Item i is that float."""
    return put(m, i, x)


@op("collect.list", "i", "o", writes="alloc")
def collected_list(m: Any, count: int) -> int:
    """A new list of the first items, or NULL, without an exception, where there is no memory. (Natively it has as much room as one that
    the interpreter has filled from a generator.)"""
    return int(memory.new_reference(take(m, count)))


@op("collect.sorted", "i", "o", writes="alloc")
def collected_sorted(m: Any, count: int) -> int:
    """The same in order, of items whose comparison runs no Python code. NULL, with the exception cleared, also where they have none."""
    try:
        return int(memory.new_reference(sorted(take(m, count))))
    except TypeError:
        return 0


@op("collect.tuple", "i", "o", writes="alloc")
def collected_tuple(m: Any, count: int) -> int:
    """The first items as a tuple, or NULL."""
    return int(memory.new_reference(tuple(take(m, count))))


@op("collect.call", "io", "o", writes="alloc")
def collected_call(m: Any, count: int, function: int) -> int:
    """function(list of the first items), of a function of C that with these items runs no Python code. A failure gives NULL with the
    exception cleared."""
    items = take(m, count)
    result = int(m.vectorcall(function, [id(items)], None))
    if result == 0:
        m.clear_error()
    return result


@op("collect.join", "io", "o", writes="alloc")
def collected_text(m: Any, count: int, separator: int) -> int:
    """The first items, exact strs, joined by an exact str. NULL as above."""
    items = take(m, count)
    result = int(m.capi("PyUnicode_Join", (separator, id(items)), ()))
    if result == 0:
        m.clear_error()
    return result


def take(m: Any, count: int) -> list[Any]:
    """The first items, which are not kept any more."""
    items, m.collected = m.collected[:count], []
    return items  # type: ignore[no-any-return]
