"""Dicts: lookups that run no code, and stores to keys that such a lookup has dealt with.

A lookup gives a borrowed reference, NULL where the dict has no such key, and NotImplemented where it cannot be told without running code:
a key of another type has the same hash, or the dict shows an instance's inline values.
"""

from __future__ import annotations

from typing import Any

from ...abi import LAYOUT, memory
from ..registry import op

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


@op("dict.find_text", "oo", "o", reads="dict names attr shape")
def find_text(m: Any, o: int, key: int) -> int:
    """What an exact dict has under an exact str."""
    return find(o, memory.object_at(key))


@op("dict.find_int", "oi", "o", reads="dict names attr shape")
def find_int(m: Any, o: int, key: int) -> int:
    """What an exact dict has under an int."""
    return find(o, key) if abs(key) < INT_HASH_END else id(NotImplemented)


@op("dict.unwatched", "o", "b", reads="dict")
def unwatched(m: Any, o: int) -> bool:
    """Whether nobody is told of changes of the dict."""
    return bool(memory.read8(o + LAYOUT.DICT_WATCHERS) == 0)


@op("dict.put", "ooo", "i", writes="dict ref alloc")
def put(m: Any, o: int, key: int, value: int) -> int:
    """Store a value (borrowed) under a key that was looked for. The end of what was there is known to run no code. -1 with an exception
    set where there is no memory."""
    return int(m.capi_status("PyDict_SetItem", [o, key, value], ()))


def find(o: int, key: object) -> int:
    """The lookup, by going through all entries."""
    keys = memory.read64(o + LAYOUT.DICT_KEYS)
    kind = memory.read8(keys + LAYOUT.KEYS_KIND)
    if kind == LAYOUT.KEYS_SPLIT:
        return id(NotImplemented)
    entries = keys + LAYOUT.KEYS_INDICES + (1 << memory.read8(keys + LAYOUT.KEYS_INDEX_BITS))
    size, at = (24, 8) if kind == LAYOUT.KEYS_GENERAL else (16, 0)
    unknown = False
    for entry in range(entries, entries + size * memory.read64(keys + LAYOUT.KEYS_COUNT), size):
        one, value = memory.read64(entry + at), memory.read64(entry + at + 8)
        if not one or not value:
            continue
        known = memory.object_at(one)
        if type(known) is type(key):
            if known == key:
                return value
        elif (memory.read64(entry) if at else hash(known)) == hash(key) & (1 << 64) - 1:
            unknown = True
    return id(NotImplemented) if unknown else 0
