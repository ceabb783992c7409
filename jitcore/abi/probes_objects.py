"""Probes of objects: each field against the value that Python shows for the same object.

Values are chosen so that no two fields of one object hold the same word; a shifted offset then always shows.
"""

from __future__ import annotations

import builtins
import struct
import sys
from types import MethodType
from typing import Any

from .memory import symbol
from .probing import Probe, probe


@probe("object head")
def _head(p: Probe) -> None:
    for value in (1.5, "text", [1], object(), _head):
        p.word_is(id(value), "OB_TYPE", id(type(value)))
    holder = [object()]
    address = id(holder[0])
    p.half_is(address, "OB_REFCNT", 1)
    holder *= 5
    p.half_is(address, "OB_REFCNT", 5)
    # From 3.14 on the upper half of the word holds flags, and a static object like None always has some.
    flags = p.word(id(None)) >> 32 != 0
    p.same("REFCNT_BITS", p.layout.REFCNT_BITS, 32 if flags else 64)


@probe("immortal objects")
def _immortal(p: Probe) -> None:
    for value, expected in ((None, True), (True, True), (7, True), (object(), False), (2.5, False)):
        p.same("OB_REFCNT", p.half(id(value)) < 0, expected)


@probe("int")
def _int(p: Probe) -> None:
    p.same("INT_DIGIT_BITS", p.layout.INT_DIGIT_BITS, sys.int_info.bits_per_digit)
    bits = sys.int_info.bits_per_digit
    for value in (0, 1, -1, 255, 123456, -123456, 2**bits, -(2**59) - 77, 3**80):
        digits, rest = [], abs(value)
        while rest:
            rest, digit = divmod(rest, 1 << bits)
            digits.append(digit)
        sign = 1 if value == 0 else 2 if value < 0 else 0
        tag = len(digits) << 3 | sign
        if p.layout.SMALL_INT_MIN <= value <= p.layout.SMALL_INT_MAX:
            tag |= p.layout.INT_IMMORTAL_BIT
        p.word_is(id(value), "INT_TAG", tag)
        for index, digit in enumerate(digits):
            p.same("INT_DIGITS", p.half(id(value) + p.layout.INT_DIGITS + 4 * index), digit)


@probe("small ints")
def _small_ints(p: Probe) -> None:
    def fresh(value: int) -> tuple[int, int]:
        near = value - 7
        return near + 7, near + 7

    for field, outward in (("SMALL_INT_MIN", -1), ("SMALL_INT_MAX", 1)):
        bound = p.offset(field)
        one, other = fresh(bound)
        p.same(field, one is other, True)
        one, other = fresh(bound + outward)
        p.same(field, one is other, False)
    for value in range(p.layout.SMALL_INT_MIN, p.layout.SMALL_INT_MAX + 1):
        p.same("SMALL_INT_BYTES", id(value), id(0) + value * p.layout.SMALL_INT_BYTES)


@probe("float")
def _float(p: Probe) -> None:
    value = 1234.5678
    p.word_is(id(value), "FLOAT_VALUE", int.from_bytes(struct.pack("<d", value), "little"))


@probe("list")
def _list(p: Probe) -> None:
    for length in (3, 777):
        values: list[Any] = [object() for _ in range(length - 1)]
        values.append(object())  # over-allocates: the room differs from the length
        p.word_is(id(values), "OB_SIZE", length)
        room = (values.__sizeof__() - list.__basicsize__) // 8
        p.word_is(id(values), "LIST_ALLOCATED", room)
        items = p.pointed(id(values), "LIST_ITEMS")
        for index in range(0, length, 97):
            p.same("LIST_ITEMS", p.word(items + 8 * index), id(values[index]))


@probe("tuple")
def _tuple(p: Probe) -> None:
    values = (object(), object(), object())
    p.word_is(id(values), "OB_SIZE", 3)
    for index, value in enumerate(values):
        p.same("TUPLE_ITEMS", p.word(id(values) + p.layout.TUPLE_ITEMS + 8 * index), id(value))


@probe("str")
def _str(p: Probe) -> None:
    text = "jitcore".join("a" * 130)
    p.word_is(id(text), "STR_LENGTH", len(text))
    p.word_is(id(text), "STR_HASH", hash(text) & 2**64 - 1)


@probe("range")
def _range(p: Probe) -> None:
    value = range(10**6 + 1, 10**7 + 2, 10**3 + 3)
    p.word_is(id(value), "RANGE_START", id(value.start))
    p.word_is(id(value), "RANGE_STOP", id(value.stop))
    p.word_is(id(value), "RANGE_STEP", id(value.step))
    length = p.pointed(id(value), "RANGE_LENGTH")
    p.same("RANGE_LENGTH", p.word(length + p.layout.OB_TYPE), id(int))
    p.same("RANGE_LENGTH", p.half(length + p.layout.INT_DIGITS), len(value))


@probe("iterators")
def _iterators(p: Probe) -> None:
    # Unusual numbers: a word that lies beside the object by chance must not equal them.
    ranges = iter(range(10**9, 10**12, 7919))
    next(ranges)
    p.word_is(id(ranges), "RANGEITER_START", 10**9 + 7919)
    p.word_is(id(ranges), "RANGEITER_STEP", 7919)
    p.word_is(id(ranges), "RANGEITER_LEN", len(range(10**9 + 7919, 10**12, 7919)))
    values = [None] * 300
    lists = iter(values)
    items = tuple(values)
    tuples = iter(items)
    for index in range(1, 260):
        next(lists)
        next(tuples)
        if index in (211, 259):
            p.word_is(id(lists), "LISTITER_INDEX", index)
            p.word_is(id(tuples), "TUPLEITER_INDEX", index)
    p.word_is(id(lists), "LISTITER_SEQ", id(values))
    p.word_is(id(tuples), "TUPLEITER_SEQ", id(items))
    # These are laid out like the list's.
    text, wide, data = "a" * 300, "\u0100" * 300, b"a" * 300
    for iterator, sequence in ((iter(text), text), (iter(wide), wide), (iter(data), data)):
        for _ in range(259):
            next(iterator)
        p.word_is(id(iterator), "LISTITER_INDEX", 259)
        p.word_is(id(iterator), "LISTITER_SEQ", id(sequence))
    backwards = reversed(values)
    next(backwards)
    p.word_is(id(backwards), "LISTITER_INDEX", len(values) - 2)
    p.word_is(id(backwards), "LISTITER_SEQ", id(values))


@probe("iterators of dicts and sets")
def _hash_iterators(p: Probe) -> None:
    table = {object(): object(), object(): object()}
    for view in (table.keys(), table.values(), table.items()):
        for iterator in (iter(view), reversed(view)):
            p.word_is(id(iterator), "DICTITER_DICT", id(table))
    items = iter(table.items())
    first = next(items)
    p.word_is(id(items), "DICTITER_PAIR", id(first))
    elements = {object()}
    over = iter(elements)
    p.word_is(id(over), "SETITER_SET", id(elements))


@probe("enumerate and zip")
def _combined(p: Probe) -> None:
    inner = iter([None] * 3)
    counting = enumerate(inner, 12345)
    next(counting)
    p.word_is(id(counting), "ENUM_COUNT", 12346)
    p.word_is(id(counting), "ENUM_INNER", id(inner))
    made = []
    for strict in (False, True, True, False, True, False, False, True, True):  # no neighbour has these by chance
        inners: list[object] = [iter([]) for _ in range(77)]
        zipped = zip(*inners, strict=strict)  # type: ignore[call-overload]
        made.append(zipped)
        p.word_is(id(zipped), "ZIP_COUNT", 77)
        held = p.pointed(id(zipped), "ZIP_INNER")
        for n, each in enumerate(inners):
            p.same("ZIP_INNER", p.word(held + p.layout.TUPLE_ITEMS + 8 * n), id(each))
        p.half_is(id(zipped), "ZIP_STRICT", int(strict))


def _made() -> Any:
    """A function with everything a function can have, new each time."""
    shared = object()

    def function(one: Any, two: Any = shared, *, key: Any = shared) -> Any:
        """Some text."""
        return one, two, key, shared

    setattr(function, "note", 1)
    return function


@probe("cell and method")
def _cell(p: Probe) -> None:
    function = _made()
    cell = function.__closure__[0]
    p.word_is(id(cell), "CELL_REF", id(cell.cell_contents))
    owner = object()
    wrappers: tuple[Any, ...] = (staticmethod(function), classmethod(function), property(function))
    for wrapper in wrappers:
        p.word_is(id(wrapper), "WRAPPER_FUNC", id(function))
    bound = MethodType(function, owner)
    p.word_is(id(bound), "METHOD_FUNC", id(function))
    p.word_is(id(bound), "METHOD_SELF", id(owner))
    items: list[object] = []
    append, pop = items.append, items.pop
    p.word_is(id(append), "CFUNCTION_METHOD", p.word(id(list.append) + p.layout.DESCRIPTOR_METHOD))
    p.word_is(id(pop), "CFUNCTION_METHOD", p.word(id(list.pop) + p.layout.DESCRIPTOR_METHOD))
    p.word_is(id(list.append), "DESCRIPTOR_TYPE", id(list))
    p.same("DESCRIPTOR_METHOD", len({p.word(id(one) + p.layout.CFUNCTION_METHOD) for one in (append, pop)}), 2)
    p.same("METHOD_WEAKREFS", p.layout.METHOD_WEAKREFS, MethodType.__weakrefoffset__)
    p.same("CFUNCTION_WEAKREFS", p.layout.CFUNCTION_WEAKREFS, type(len).__weakrefoffset__)
    for builtin, holder in ((append, items), (len, builtins)):
        p.word_is(id(builtin), "CFUNCTION_SELF", id(holder))
        p.word_is(id(builtin), "CFUNCTION_MODULE", id(builtin.__module__) if builtin.__module__ else 0)


@probe("function")
def _function(p: Probe) -> None:
    function = _made()
    base = id(function)
    p.half_is(base, "FUNC_VERSION", p.half(id(function.__code__) + p.layout.CODE_VERSION))
    p.same("FUNC_VERSION", p.half(base + p.layout.FUNC_VERSION) != 0, True)
    function.__defaults__ = (1, 2)  # makes the version invalid: 0, or 1 on 3.14+
    p.same("FUNC_VERSION", p.half(base + p.layout.FUNC_VERSION) in (0, 1), True)
    p.word_is(base, "FUNC_GLOBALS", id(function.__globals__))
    p.word_is(base, "FUNC_BUILTINS", id(function.__builtins__))
    p.word_is(base, "FUNC_NAME", id(function.__name__))
    p.word_is(base, "FUNC_QUALNAME", id(function.__qualname__))
    p.word_is(base, "FUNC_CODE", id(function.__code__))
    p.word_is(base, "FUNC_DEFAULTS", id(function.__defaults__))
    p.word_is(base, "FUNC_KWDEFAULTS", id(function.__kwdefaults__))
    p.word_is(base, "FUNC_CLOSURE", id(function.__closure__))
    p.word_is(base, "FUNC_DOC", id(function.__doc__))
    p.word_is(base, "FUNC_DICT", id(function.__dict__))


@probe("function entry")
def _vectorcall(p: Probe) -> None:
    # CPython's own setter says where the word is; the function is never called with what we put there.
    import ctypes

    function = _made()
    setter = ctypes.PYFUNCTYPE(None, ctypes.py_object, ctypes.c_void_p)(
        ("PyFunction_SetVectorcall", ctypes.pythonapi)
    )
    before = p.pointed(id(function), "FUNC_VECTORCALL")
    other = symbol("PyObject_Vectorcall")
    setter(function, other)
    p.word_is(id(function), "FUNC_VECTORCALL", other)
    setter(function, before)


@probe("code")
def _code(p: Probe) -> None:
    code = _made().__code__  # never run, so its bytecode stands still
    base = id(code)
    layout = p.layout
    # One with numbers that nothing else has by chance; it is never run either.
    names = tuple(f"name{n}" for n in range(350))
    wide = code.replace(
        co_stacksize=1234,
        co_argcount=151,
        co_nlocals=200,
        co_varnames=names[:200],
        co_cellvars=names[200:287],
        co_freevars=names[287:],
    )
    maker: Any = _made.__code__
    for each in (code, wide, maker):
        slots = len({*each.co_varnames, *each.co_cellvars, *each.co_freevars})
        p.half_is(id(each), "CODE_NLOCALSPLUS", slots)
        p.half_is(id(each), "CODE_STACKSIZE", each.co_stacksize)
        p.half_is(id(each), "CODE_FRAMESIZE", slots + each.co_stacksize + layout.FRAME_SPECIALS_WORDS)
        p.half_is(id(each), "CODE_FLAGS", each.co_flags)
        p.half_is(id(each), "CODE_ARGCOUNT", each.co_argcount)
        p.half_is(id(each), "CODE_NLOCALS", each.co_nlocals)
        p.half_is(id(each), "CODE_NCELLVARS", len(each.co_cellvars))
        p.half_is(id(each), "CODE_NFREEVARS", len(each.co_freevars))
        p.word_is(id(each), "CODE_CONSTS", id(each.co_consts))
        p.word_is(id(each), "CODE_NAMES", id(each.co_names))
        p.word_is(id(each), "CODE_EXCEPTION_TABLE", id(each.co_exceptiontable))
    p.same("CODE_BYTES", p.bytes(base + layout.CODE_BYTES, len(wide.co_code)), code._co_code_adaptive)
    one, other = (compile("0", "", "eval") for _ in range(2))
    p.same("CODE_VERSION", p.half(id(other) + layout.CODE_VERSION) - p.half(id(one) + layout.CODE_VERSION), 1)


@probe("type")
def _type(p: Probe) -> None:
    each: Any
    for each in (int, list, type, _Versioned):
        p.word_is(id(each), "TYPE_FLAGS", each.__flags__)
        p.word_is(id(each), "TYPE_BASICSIZE", each.__basicsize__)
        p.word_is(id(each), "TYPE_DICTOFFSET", each.__dictoffset__ & 2**64 - 1)
    # By the numbers of `typeslots.h`, which PyType_GetSlot looks up.
    slots = {"TYPE_DESCR_GET": 54, "TYPE_DESCR_SET": 55, "TYPE_GETATTRO": 58, "TYPE_HASH": 59, "TYPE_COMPARE": 67}
    for place, number in slots.items():
        for each in (int, tuple, type(_made), property):
            p.word_is(id(each), place, _slot(each, number))
    versions = set()
    classes = [type("Fresh", (_Versioned,), {}) for _ in range(4)]
    for each in classes:
        each.attribute  # looking up gives the class a version of its own
        versions.add(p.half(id(each) + p.layout.TYPE_VERSION_TAG))
    p.same("TYPE_VERSION_TAG", len(versions - {0}), len(classes))
    for each in classes:
        each.attribute = 2  # and changing it takes that away
        p.half_is(id(each), "TYPE_VERSION_TAG", 0)


def _slot(kind: type, number: int) -> int:
    """What CPython itself says is in that slot of a type."""
    import ctypes

    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_int)(("PyType_GetSlot", ctypes.pythonapi))
    return get(kind, number) or 0


class _Versioned:
    attribute = 1
