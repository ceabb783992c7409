"""Probes of instances: inline values, slots, the names that a class shares among them, and what types say about both.

Classes are made anew each time: what other code does to a class would show in its instances.
"""

from __future__ import annotations

import ctypes
import sys
from types import MethodType, ModuleType
from typing import Any

from .instances import INLINE_VALUES, values_address
from .memory import symbol
from .probing import Probe, probe


def _classes() -> tuple[Any, Any, Any]:
    """A plain class, one below it with a slot as well, and one whose end runs code."""

    class Plain:
        pass

    class Slotted(Plain):
        __slots__ = ("held",)

    class Ends(Plain):
        def __new__(cls) -> Any:
            return super().__new__(cls)

        def __del__(self) -> None:
            pass

    return Plain, Slotted, Ends


@probe("instances")
def _instances(p: Probe) -> None:
    layout = p.layout
    plain, slotted, _ = _classes()
    for names in (("one", "two", "three"), ("three", "one", "two")):
        for kind in (slotted, plain):
            if layout.VALUES_IN_OBJECT and not kind.__flags__ & INLINE_VALUES:
                continue  # 3.13 has them only behind the head of an object
            instance = kind()
            for name in names:
                setattr(instance, name, object())
            _values(p, kind, instance, names)
    if layout.VALUES_IN_OBJECT:
        p.word_is(id(instance), "DICT_WORD", 0)
    shown = values_address(id(instance), kind, layout, p.word)
    p.same("DICT_WORD", len(vars(instance)), 3)  # now there is one
    word = p.pointed(id(instance), "DICT_WORD")
    p.word_is(word, "DICT_VALUES", shown)
    p.word_is(id({}), "DICT_VALUES", 0)
    p.same("DICT_WORD", p.word(word + layout.OB_TYPE), id(dict))
    instance.__dict__ = {}
    base = id(instance) + (kind.__basicsize__ if layout.VALUES_IN_OBJECT else 0)
    p.same("VALUES_VALID", p.bytes(base + layout.VALUES_VALID, 1)[0] & 1, 0)


def _values(p: Probe, kind: Any, instance: Any, names: tuple[str, ...]) -> None:
    """The values are where the class's shared keys say, and came in the order of the names."""
    layout = p.layout
    keys = p.pointed(id(kind), "TYPE_CACHED_KEYS")
    p.same("KEYS_KIND", p.bytes(keys + layout.KEYS_KIND, 1)[0], layout.KEYS_SPLIT)
    p.word_is(keys, "KEYS_COUNT", len(names))
    entries = keys + layout.KEYS_INDICES + (1 << p.bytes(keys + layout.KEYS_INDEX_BITS, 1)[0])
    interned = {id(name): name for name in ("one", "two", "three")}
    shared = [interned.get(p.word(entries + 16 * k), "") for k in range(len(names))]
    p.same("KEYS_INDICES", sorted(shared), sorted(names))
    where = values_address(id(instance), kind, layout, p.word)
    places = where + layout.VALUES_ITEMS
    valid = (where if layout.VALUES_IN_OBJECT else id(instance)) + layout.VALUES_VALID
    byte = p.bytes(valid, 1)[0]
    p.same("VALUES_VALID", byte if layout.VALUES_IN_OBJECT else byte & 1, 1)
    p.same("VALUES_COUNT", p.bytes(where + layout.VALUES_COUNT, 1)[0], len(names))
    if layout.VALUES_IN_OBJECT:
        empty = kind()  # where places are NULL, none looks like a flag
        p.same("VALUES_VALID", p.bytes(values_address(id(empty), kind, layout, p.word) + layout.VALUES_VALID, 1)[0], 1)
        capacity = p.bytes(where + layout.VALUES_CAPACITY, 1)[0]
        order = list(p.bytes(places + 8 * capacity, len(names)))
    else:
        p.same("VALUES_CAPACITY", layout.VALUES_CAPACITY, 0)
        order = list(p.bytes(where + layout.VALUES_COUNT - len(names), len(names)))[::-1]
    p.same("VALUES_COUNT", [shared[k] for k in order], list(names))
    for k, name in enumerate(shared):
        p.same("VALUES_ITEMS", p.word(places + 8 * k), id(getattr(instance, name)))


@probe("keys of dicts")
def _keys(p: Probe) -> None:
    for mapping, general in (({"one": 1, "two": 2}, False), ({"one": 1, 2: 3}, True), ({5: 6, 7: 8}, True), ({"x": object()}, False)):
        keys = p.pointed(id(mapping), "DICT_KEYS")
        kind = p.layout.KEYS_GENERAL if general else p.layout.KEYS_STR
        p.same("KEYS_KIND", p.bytes(keys + p.layout.KEYS_KIND, 1)[0], kind)
        p.word_is(keys, "KEYS_COUNT", len(mapping))
        p.word_is(id(mapping), "DICT_USED", len(mapping))
        entries = keys + p.layout.KEYS_INDICES + (1 << p.bytes(keys + p.layout.KEYS_INDEX_BITS, 1)[0])
        for k, (key, value) in enumerate(mapping.items() if not general else ()):
            p.same("KEYS_INDICES", (p.word(entries + 16 * k), p.word(entries + 16 * k + 8)), (id(key), id(value)))


@probe("lookups in dicts")
def _lookups(p: Probe) -> None:
    """Keys are where the hash says: tables with indices of one and of two bytes."""
    layout = p.layout
    for size in (3, 100, 300):
        mapping = {k: object() for k in range(size)}
        keys = p.pointed(id(mapping), "DICT_KEYS")
        bits, index_bits = p.bytes(keys + layout.KEYS_SIZE_BITS, 1)[0], p.bytes(keys + layout.KEYS_INDEX_BITS, 1)[0]
        p.same("KEYS_SIZE_BITS", size <= 1 << bits <= 4 * size + 8, True)
        indices, width = keys + layout.KEYS_INDICES, 1 << index_bits - bits
        for key in (0, size // 2, size - 1):  # each has the place of its hash: they came in order
            index = int.from_bytes(p.bytes(indices + width * key, width), sys.byteorder)
            entry = indices + (1 << index_bits) + 24 * index
            found = p.word(entry), p.word(entry + 16)
            p.same("KEYS_SIZE_BITS", found, (key, id(mapping[key])))


@probe("lookups in sets")
def _sets(p: Probe) -> None:
    """Ints are where their hash says, in tables inside the set and out of it."""
    layout = p.layout
    for size in (4, 30, 300):
        ints = list(range(size))
        numbers = set(ints)
        fewer = set(ints)
        fewer.discard(0)  # what was taken out is still counted as filled
        p.word_is(id(fewer), "SET_USED", size - 1)
        mask, table = p.word(id(numbers) + layout.SET_MASK), p.pointed(id(numbers), "SET_TABLE")
        p.same("SET_MASK", mask & mask + 1 == 0 and size <= mask < 16 * size, True)
        for number in (1, size // 2, size - 1):
            p.same("SET_TABLE", (p.word(table + 16 * number), p.word(table + 16 * number + 8)), (id(ints[number]), number))


@probe("watchers of dicts")
def _watchers(p: Probe) -> None:
    def call(name: str, *args: Any) -> int:
        types = [ctypes.py_object if type(arg) is dict else ctypes.c_void_p for arg in args]
        return int(ctypes.PYFUNCTYPE(ctypes.c_int, *types)((name, ctypes.pythonapi))(*args))

    mapping = {"one": 1}
    number = call("PyDict_AddWatcher", symbol("Py_IsInitialized"))  # never called: nothing changes meanwhile
    try:
        for bit, name in ((1 << number, "PyDict_Watch"), (0, "PyDict_Unwatch")):
            call(name, number, mapping)
            p.same("DICT_WATCHERS", p.bytes(id(mapping) + p.layout.DICT_WATCHERS, 1)[0], bit)
        namespace = ModuleType("").__dict__
        own = p.bytes(id(namespace) + p.layout.DICT_WATCHERS, 1)[0]
        p.same("LAZY_IMPORTS_WATCHER", own, p.layout.LAZY_IMPORTS_WATCHER)
    finally:
        call("PyDict_ClearWatcher", number)


@probe("slots")
def _slots(p: Probe) -> None:
    class Slots:
        __slots__ = ("first", "second")

    instance: Any = Slots()
    instance.second = object()
    for name, offset in (("first", 0), ("second", 8)):
        member = p.pointed(id(Slots.__dict__[name]), "MEMBER_DEF")
        p.half_is(member, "MEMBERDEF_TYPE", p.layout.MEMBER_OBJECT)
        p.half_is(member, "MEMBERDEF_FLAGS", 0)
        at = p.pointed(member, "MEMBERDEF_OFFSET")
        p.same("MEMBERDEF_OFFSET", at, object.__basicsize__ + offset)
        p.same("MEMBERDEF_OFFSET", p.word(id(instance) + at), id(instance.second) if offset else 0)
    for kind, name, flags in ((range, "step", 1), (slice, "start", 1), (MethodType, "__self__", 1), (BaseException, "__suppress_context__", 0)):
        p.half_is(p.pointed(id(kind.__dict__[name]), "MEMBER_DEF"), "MEMBERDEF_FLAGS", flags)


@probe("how instances begin and end")
def _ends(p: Probe) -> None:
    plain, slotted, ends = _classes()
    for kind in (plain, slotted, ends, dict):
        name = kind.__name__.encode() + b"\0"
        p.same("TYPE_NAME", p.bytes(p.pointed(id(kind), "TYPE_NAME"), len(name)), name)
    p.word_is(id(slotted), "TYPE_BASE", id(plain))
    p.word_is(id(bool), "TYPE_BASE", id(int))
    new = p.pointed(id(object), "TYPE_NEW")
    p.bytes(new, 1)
    p.word_is(id(plain), "TYPE_NEW", new)
    p.same("TYPE_NEW", p.pointed(id(ends), "TYPE_NEW") != new, True)
    end = p.pointed(id(plain), "TYPE_DEALLOC")
    p.bytes(end, 1)
    p.word_is(id(slotted), "TYPE_DEALLOC", end)
    p.same("TYPE_DEALLOC", p.pointed(id(object), "TYPE_DEALLOC") not in (end, 0), True)
    p.word_is(id(plain), "TYPE_FINALIZE", 0)
    p.bytes(p.pointed(id(ends), "TYPE_FINALIZE"), 1)
    watched = plain()
    p.word_is(id(watched), "WEAKREFS_WORD", 0)
    import weakref

    reference = weakref.ref(watched)
    p.word_is(id(watched), "WEAKREFS_WORD", id(reference))
