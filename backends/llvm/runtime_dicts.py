"""Lookups in dicts and sets, for keys whose hash and equality are known to run no code: exact strings, ints of one word, and what
`tells` says it of.

CPython's own lookup may call `__eq__` of a key in the table that has the same hash, so calling it needs a true frame. This one looks at
the table itself (Objects/dictobject.c and pycore_dict.h: open addressing with perturbation, indices of one to eight bytes, entries behind
them; Objects/setobject.c: entries looked at in runs of ten) and, where such a key comes up, says that it cannot tell.
"""

# ruff: noqa: ANN001, ANN201  (native functions: every parameter and result is a word)
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from ...abi import LAYOUT
from ...optimizer.ops.dicts import INT_HASH_END, TELLS_DEEP
from .lowlevel import alloca, c, ld8, ld16, ld32, ld64, native, st64
from .runtime_objects import is_atom, long_value
from .runtime_state import drop, take

LINEAR_PROBES = 9  # of sets
EQUAL = 2  # Py_EQ


@native
def find_text(mapping, key):
    """What an exact dict has under an exact str: a borrowed reference, 0 if nothing, NotImplemented where it cannot be told."""
    return held(place_text(mapping, key))


@native
def find_int(mapping, n):
    """The same under an int."""
    return held(place_int(mapping, n))


@native
def find_key(mapping, key):
    """The same under any object."""
    return held(place_key(mapping, key))


@native(inline=True)
def held(place):
    """What is at the place."""
    if place == -1:
        return c._Py_NotImplementedStruct
    return ld64(place) if place else 0


@native
def place_text(mapping, key):
    """Where an exact dict has what it has under an exact str: 0 if nowhere, -1 where it cannot be told."""
    hash = ld64(key + LAYOUT.STR_HASH)
    if hash == -1:
        hash = c.PyObject_Hash(key)
    return find(mapping, hash, key, 0)


@native
def place_text_anew(mapping, key, hint):
    """The same, with the index of where it was found put into a word: the next dict may have it there as well."""
    place = place_text(mapping, key)
    keys = ld64(mapping + LAYOUT.DICT_KEYS)
    if place != 0 and place != -1 and ld8(keys + LAYOUT.KEYS_KIND) == LAYOUT.KEYS_STR:
        entries = keys + LAYOUT.KEYS_INDICES + (1 << ld8(keys + LAYOUT.KEYS_INDEX_BITS))
        st64(hint, (place - entries) >> 4)
    return place


@native
def place_int(mapping, n):
    """The same under an int."""
    if n >= INT_HASH_END or n <= -INT_HASH_END:
        return -1
    hash = n
    if n == -1:
        hash = -2
    return find(mapping, hash, 0, n)


@native
def place_key(mapping, key):
    """The same for any object."""
    if tells(key, TELLS_DEEP) == 0:
        return -1
    return find(mapping, c.PyObject_Hash(key), key, 0)


@native
def tells(key, depth):
    """Whether it is told from others without running code (optimizer/ops/dicts.py)."""
    if is_atom(key):
        return 1
    kind = ld64(key + LAYOUT.OB_TYPE)
    hash = ld64(kind + LAYOUT.TYPE_HASH)
    compare = ld64(kind + LAYOUT.TYPE_COMPARE)
    if compare == ld64(c.PyBaseObject_Type + LAYOUT.TYPE_COMPARE):
        return hash == ld64(c.PyBaseObject_Type + LAYOUT.TYPE_HASH)
    if compare != ld64(c.PyTuple_Type + LAYOUT.TYPE_COMPARE) or hash != ld64(c.PyTuple_Type + LAYOUT.TYPE_HASH):
        return 0
    if ld64(kind + LAYOUT.TYPE_BASICSIZE) != ld64(c.PyTuple_Type + LAYOUT.TYPE_BASICSIZE) or ld64(kind + LAYOUT.TYPE_DICTOFFSET):
        return 0
    if depth == 0 or ld64(kind + LAYOUT.TYPE_FINALIZE):
        return 0
    at = key + LAYOUT.TUPLE_ITEMS
    end = at + 8 * ld64(key + LAYOUT.OB_SIZE)
    while at < end:
        if tells(ld64(at), depth - 1) == 0:
            return 0
        at += 8
    return 1


@native
def same(found, key):
    """Whether what has the hash of a key that tells is equal to it; -1 where that cannot be told."""
    kind = ld64(key + LAYOUT.OB_TYPE)
    if ld64(found + LAYOUT.OB_TYPE) != kind or tells(found, TELLS_DEEP) == 0:
        return -1
    if kind == c.PyUnicode_Type:
        return c.PyUnicode_Compare(found, key) == 0
    result = c.PyObject_RichCompareBool(found, key, EQUAL)
    if result < 0:
        c.PyErr_Clear()
    return result


@native
def set_has(table, key):
    """Whether an exact set or frozenset has an object; -1 where it cannot be told."""
    if tells(key, TELLS_DEEP) == 0:
        return -1
    hash = c.PyObject_Hash(key)
    mask = ld64(table + LAYOUT.SET_MASK)
    entries = ld64(table + LAYOUT.SET_TABLE)
    perturb = hash
    at = hash & mask
    while 1:
        entry = entries + 16 * at
        left = 0
        if at + LINEAR_PROBES <= mask:
            left = LINEAR_PROBES
        while left >= 0:
            found = ld64(entry)
            if found == key:
                return 1
            found_hash = ld64(entry + 8)
            if found == 0 and found_hash == 0:
                return 0
            # What was taken out has left its place to something of hash -1, which nothing else has.
            if found_hash == hash:
                answer = same(found, key)
                if answer != 0:
                    return answer
            entry += 16
            left -= 1
        perturb = (perturb >> 5) & ((1 << 59) - 1)
        at = (at * 5 + 1 + perturb) & mask


@native
def put(mapping, place, key, value):
    """Store a value under a key that was found at that place, or not (0). -1 with an exception set where that fails."""
    # An untracked dict has to be made known to the garbage collector when it gets what can be part of a cycle.
    if place and (is_atom(value) or c.PyObject_GC_IsTracked(mapping)):
        old = ld64(place)
        st64(place, take(value))
        drop(old)
        return 0
    return c.PyDict_SetItem(mapping, key, value)


@native
def find(mapping, hash, key, n):
    """`key` is one that tells, or 0 where the int `n` is looked for. (Keys that instances share are there without a value, too.)"""
    keys = ld64(mapping + LAYOUT.DICT_KEYS)
    kind = ld8(keys + LAYOUT.KEYS_KIND)
    ok = alloca(8)
    bits = ld8(keys + LAYOUT.KEYS_SIZE_BITS)
    index_bits = ld8(keys + LAYOUT.KEYS_INDEX_BITS)
    mask = (1 << bits) - 1
    width = index_bits - bits
    indices = keys + LAYOUT.KEYS_INDICES
    entries = indices + (1 << index_bits)
    perturb = hash
    at = hash & mask
    while 1:
        if width == 0:
            index = ld8(indices + at)
            if index >= 128:
                index -= 256
        elif width == 1:
            index = ld16(indices + 2 * at)
            if index >= 32768:
                index -= 65536
        elif width == 2:
            index = ld32(indices + 4 * at)
        else:
            index = ld64(indices + 8 * at)
        if index == -1:
            return 0
        if index >= 0:
            if kind == LAYOUT.KEYS_GENERAL:
                entry = entries + 24 * index
                found_hash = ld64(entry)
                found = ld64(entry + 8)
                value = entry + 16
            else:
                entry = entries + 16 * index
                found = ld64(entry)
                found_hash = ld64(found + LAYOUT.STR_HASH)
                value = entry + 8
                if kind == LAYOUT.KEYS_SPLIT:
                    value = ld64(mapping + LAYOUT.DICT_VALUES) + LAYOUT.VALUES_ITEMS + 8 * index
            if found == key:
                return value if ld64(value) else 0
            if found_hash == hash:
                if key:
                    answer = same(found, key)
                    if answer < 0:
                        return -1
                    if answer:
                        return value if ld64(value) else 0
                else:
                    if ld64(found + LAYOUT.OB_TYPE) != c.PyLong_Type:
                        return -1
                    if long_value(found, ok) == n and ld64(ok):
                        return value
        perturb = (perturb >> 5) & ((1 << 59) - 1)
        at = (at * 5 + perturb + 1) & mask
