"""Dicts and sets: lookups that run no code, and stores to keys that such a lookup has dealt with.

A lookup gives a borrowed reference, NULL where the dict has no such key, and NotImplemented where it cannot be told without running
code: the key, or one with the same hash, has a `__hash__` or `__eq__` of its own. For a store it gives the place where the reference is; of
sets, whether they have the item.

Keys that can be told apart by themselves (`tells`) are strings and numbers, what equals nothing but itself (classes, functions,
instances of most classes), and tuples of such.
"""

from __future__ import annotations

from typing import Any

from ...abi import LAYOUT, memory
from ..registry import op
from .lists import ATOMS

TELLS_DEEP = 3
"""Tuples within each other that are looked into."""
INT_HASH_END = (1 << 61) - 1
"""`sys.hash_info.modulus`: smaller ints are their own hash, but for -1."""


@op("dict.new", "o*", "o", writes="alloc")
def dict_new(m: Any, *operands: int) -> int:
    """A new dict of key, value, key, value ..., whose keys run no Python code. NULL with the exception cleared if it fails."""
    made = dict_of(m, *operands)
    if made == 0:
        m.clear_error()
    return made


@op("call.dict", "o*", "o", writes="any")
def dict_of(m: Any, *operands: int) -> int:
    """A new dict of key, value, key, value ...; NULL with an exception set."""
    made = int(m.capi("PyDict_New", [], ()))
    for key, value in zip(operands[::2], operands[1::2], strict=True):
        if made and m.capi_status("PyDict_SetItem", [made, key, value], ()) < 0:
            m.drop(made)
            return 0
    return made


@op("dict.len", "o", "i", reads="dict names attr shape")
def dict_len(m: Any, o: int) -> int:
    """How many items an exact dict has."""
    return int(memory.read64(o + LAYOUT.DICT_USED))


@op("set.len", "o", "i", reads="dict shape")
def set_len(m: Any, o: int) -> int:
    """How many items an exact set or frozenset has."""
    return int(memory.read64(o + LAYOUT.SET_USED))


@op("dict.find_text", "oo", "o", reads="dict names attr shape")
def find_text(m: Any, o: int, key: int) -> int:
    """What an exact dict has under an exact str."""
    return find(o, memory.object_at(key))


@op("dict.find_int", "oi", "o", reads="dict names attr shape")
def find_int(m: Any, o: int, key: int) -> int:
    """What an exact dict has under an int."""
    return find(o, key) if abs(key) < INT_HASH_END else id(NotImplemented)


@op("dict.place_text", "oo", "i", reads="dict names attr shape")
def place_text(m: Any, o: int, key: int) -> int:
    """The address of the word with what an exact dict has under an exact str; 0 for no such key, -1 where it cannot be told."""
    return place(o, memory.object_at(key))


@op("dict.place_int", "oi", "i", reads="dict names attr shape")
def place_int(m: Any, o: int, key: int) -> int:
    """The same under an int."""
    return place(o, key) if abs(key) < INT_HASH_END else -1


@op("dict.find_key", "oo", "o", reads="dict names attr shape")
def find_key(m: Any, o: int, key: int) -> int:
    """What an exact dict has under an object of any type."""
    return find(o, memory.object_at(key))


@op("dict.place_key", "oo", "i", reads="dict names attr shape")
def place_key(m: Any, o: int, key: int) -> int:
    """The place of that."""
    return place(o, memory.object_at(key))


@op("set.has", "oo", "i", reads="dict shape")
def set_has(m: Any, o: int, key: int) -> int:
    """1 or 0: whether an exact set or frozenset has an object; -1 where it cannot be told."""
    wanted = memory.object_at(key)
    if not tells(wanted):
        return -1
    table = memory.read64(o + LAYOUT.SET_TABLE)
    for entry in range(table, table + 16 * (memory.read64(o + LAYOUT.SET_MASK) + 1), 16):
        # The hash that is kept there: asking for it may run code.
        if memory.read64(entry) in (0, key) or memory.read64(entry + 8) != hash(wanted) & (1 << 64) - 1:
            continue
        one = memory.object_at(memory.read64(entry))
        if not tells(one) or type(one) is not type(wanted):
            return -1
    return int(wanted in memory.object_at(o))


@op("set.add", "oo", "i", writes="dict ref alloc")
def set_add(m: Any, o: int, key: int) -> int:
    """Add an object that was looked for. -1 where there is no memory, with the exception cleared."""
    status = int(m.capi_status("PySet_Add", [o, key], ()))
    if status < 0:
        m.clear_error()
    return status


@op("set.discard", "oo", "", writes="dict ref")
def set_discard(m: Any, o: int, key: int) -> None:
    """Take out an object that was looked for, if it is there, which cannot fail."""
    m.capi_status("PySet_Discard", [o, key], ())


@op("dict.at", "i", "o", reads="dict names attr shape")
def at(m: Any, where: int) -> int:
    """What the word at a place holds, borrowed; NULL for place 0."""
    return int(memory.read64(where)) if where else 0


@op("dict.unwatched", "o", "b", reads="dict")
def unwatched(m: Any, o: int) -> bool:
    """Whether nobody is told of changes of the dict."""
    return bool(memory.read8(o + LAYOUT.DICT_WATCHERS) == 0)


@op("dict.put", "oioo", "i", writes="dict ref alloc attr")
def put(m: Any, o: int, where: int, key: int, value: int) -> int:
    """Store a value (borrowed) under a key that was looked for, and found at that place or not (0). The end of what was there is known
    to run no code. -1 with an exception set where there is no memory."""
    return int(m.capi_status("PyDict_SetItem", [o, key, value], ()))


@op("dict.remove", "oo", "", writes="dict ref attr")
def remove(m: Any, o: int, key: int) -> None:
    """Delete the item under a key that was found, which cannot fail."""
    m.capi_status("PyDict_DelItem", [o, key], ())


def find(o: int, key: object) -> int:
    """The lookup: a borrowed reference, NULL, NotImplemented."""
    where = place(o, key)
    return id(NotImplemented) if where == -1 else memory.read64(where) if where else 0


def place(o: int, key: object) -> int:
    """The lookup, by going through all entries."""
    keys = memory.read64(o + LAYOUT.DICT_KEYS)
    kind = memory.read8(keys + LAYOUT.KEYS_KIND)
    entries = keys + LAYOUT.KEYS_INDICES + (1 << memory.read8(keys + LAYOUT.KEYS_INDEX_BITS))
    size, at = (24, 8) if kind == LAYOUT.KEYS_GENERAL else (16, 0)
    if not tells(key):
        return -1
    unknown = False
    for entry in range(entries, entries + size * memory.read64(keys + LAYOUT.KEYS_COUNT), size):
        one, where = memory.read64(entry + at), entry + at + 8
        if kind == LAYOUT.KEYS_SPLIT:
            where = memory.read64(o + LAYOUT.DICT_VALUES) + LAYOUT.VALUES_ITEMS + (entry - entries) // 2
        if not one or not memory.read64(where):
            continue
        known = memory.object_at(one)
        if known is key:
            return where
        if type(known) is type(key) and tells(known):
            if known == key:
                return where
        elif (memory.read64(entry) if at else hash(known)) == hash(key) & (1 << 64) - 1:
            unknown = True
    return -1 if unknown else 0


def kind_tells(kind: type) -> bool:
    """Whether objects of exactly that type may be told from others without running code: hash and equality are those of `object`, of a
    tuple or of an atom."""
    return kind in ATOMS or kind in (bytes, range) or is_row(kind) or kind.__hash__ is object.__hash__ and kind.__eq__ is object.__eq__


def is_row(kind: type) -> bool:
    """Whether objects of the type are tuples, and have nothing else that would notice their end or end with them (named tuples are)."""
    if kind.__hash__ is not tuple.__hash__ or kind.__eq__ is not tuple.__eq__ or hasattr(kind, "__del__"):
        return False
    return kind.__basicsize__ == tuple.__basicsize__ and kind.__dictoffset__ == 0


def tells(key: object, depth: int = TELLS_DEEP) -> bool:
    """Whether it is told from others without running code."""
    kind = type(key)
    if is_row(kind):
        parts: Any = key
        return depth > 0 and all(tells(part, depth - 1) for part in tuple.__iter__(parts))
    return kind_tells(kind)
