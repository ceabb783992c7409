"""Watcher callbacks: when something a region assumed is about to change, clear the region's validity word.

CPython calls these in the middle of whatever it does (a store to a global, the deallocation of a dict), with
or without an exception set, so they only walk a table and store zeros; compiled code and doors look at the
words later.

Dict keys are told apart by their hash: the key that CPython passes is the one of the store, which may be
equal to the watched one without being the same object. Two keys with equal hashes invalidate one another's
regions, which costs time, not correctness. A key that is no plain string, or whose hash is not known yet,
invalidates everything that depends on that dict, because asking for its hash could run Python code.
"""

# ruff: noqa: ANN001, ANN201  (native functions: every parameter and result is a word)
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from ...abi import LAYOUT
from . import runtime_state as S
from .lowlevel import c, ld64, native, st64
from .runtime_state import table_find, table_row

DICT_CLONED = 3  # this and higher: all keys
DICT_DEALLOCATED = 5
FUNCTION_CREATE = 0


@native
def watch_row(a, b, of_dict):
    """The row of a watched thing, made if new. Rows of a dict's keys hang on the dict's own row, for events
    that mean all keys. Returns 0 when there are too many."""
    known = table_find(c.jc_state + S.WATCHES, a, b)
    if known:
        return known
    row = table_row(c.jc_state + S.WATCHES, a, b)
    if row and of_dict:
        head = table_row(c.jc_state + S.WATCHES, a, S.WATCH_DICT)
        if head == 0:
            return 0
        st64(row + S.W_NEXT, ld64(head + S.W_NEXT))
        st64(head + S.W_NEXT, row)
    return row


@native
def watch_add(row, flag):
    """Clear the word at `flag` when the row's thing changes. Returns 0 when memory is out."""
    node = c.PyMem_RawCalloc(2, 8)
    if node == 0:
        return 0
    st64(node, ld64(row + S.W_NODES))
    st64(node + 8, flag)
    st64(row + S.W_NODES, node)
    return 1


@native
def watch_remove(row, flag):
    """Forget a flag at a row. Returns how many others are left."""
    left = 0
    link = row + S.W_NODES
    node = ld64(link)
    while node:
        following = ld64(node)
        if ld64(node + 8) == flag:
            st64(link, following)
            c.PyMem_RawFree(node)
        else:
            link = node
            left += 1
        node = following
    return left


@native
def fire(row):
    """Clear all flags of a row."""
    node = ld64(row + S.W_NODES)
    while node:
        st64(ld64(node + 8), 0)
        node = ld64(node)
    return 0


@native
def fire_dict(mapping, dead):
    """Clear the flags of all keys of a dict."""
    head = table_find(c.jc_state + S.WATCHES, mapping, S.WATCH_DICT)
    if head == 0:
        return 0
    if dead:
        st64(head + S.W_DEAD, 1)
    row = ld64(head + S.W_NEXT)
    while row:
        fire(row)
        row = ld64(row + S.W_NEXT)
    return 0


@native
def dict_event(event, mapping, key, value):
    """PyDict_WatchCallback."""
    event &= 0xFFFFFFFF
    if event >= DICT_CLONED or key == 0:
        return fire_dict(mapping, event == DICT_DEALLOCATED)
    if ld64(key + LAYOUT.OB_TYPE) != c.PyUnicode_Type or ld64(key + LAYOUT.STR_HASH) == -1:
        return fire_dict(mapping, 0)
    row = table_find(c.jc_state + S.WATCHES, mapping, ld64(key + LAYOUT.STR_HASH))
    if row:
        fire(row)
    return 0


@native
def type_event(kind):
    """PyType_WatchCallback."""
    row = table_find(c.jc_state + S.WATCHES, kind, S.WATCH_TYPE)
    if row:
        fire(row)
    return 0


@native
def function_event(event, func, value):
    """PyFunction_WatchCallback; called for every function that is created or dies in the process."""
    if (event & 0xFFFFFFFF) == FUNCTION_CREATE:
        return 0
    row = table_find(c.jc_state + S.WATCHES, func, S.WATCH_FUNCTION)
    if row:
        fire(row)
    return 0
