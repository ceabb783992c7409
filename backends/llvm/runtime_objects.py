"""What compiled code asks the runtime about objects: whether the end of one would run code, the values of ints, boxes.

Whether an end is harmless is found out by looking into what would end with it, a bounded number of levels and objects deep: see
`obj.drop_is_safe` and `obj.ends_safely` in `optimizer/ops/objects.py`, whose limits these are.
"""

# ruff: noqa: ANN001, ANN201  (native functions: every parameter and result is a word)
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from types import BuiltinMethodType, FunctionType, MethodType

from ...abi import LAYOUT, instances
from ...optimizer.ops.objects import (
    CALLABLES,
    COUNTED,
    DEPTH,
    FUNCTION_PARTS,
    LOOKED_INTO,
    MOST_REFERENCES,
    MOST_SHARED,
    TRIED,
)
from . import runtime_state as S
from .lowlevel import alloca, c, ld8, ld32, ld64, native, st64, ult
from .runtime_state import drop, take

MANAGED_DICT, MANAGED_WEAKREF, LIST_SUBCLASS = instances.MANAGED_DICT, instances.MANAGED_WEAKREF, instances.LIST_SUBCLASS
PLAIN_FLAGS = instances.plain_flags(LAYOUT)
SET_WEAKREFS: int = set.__weakrefoffset__  # type: ignore[attr-defined]
METHOD_WEAKREFS: int = CALLABLES[MethodType][0]
CFUNCTION_WEAKREFS: int = CALLABLES[BuiltinMethodType][0]
FUNCTION_WEAKREFS: int = FunctionType.__weakrefoffset__  # type: ignore[attr-defined]


@native
def inline_values(obj, kind):
    """The places of an instance that has nothing but inline values and whose end runs no code itself: of a class without
    `__del__` and slots whose bases are like it, not weakly referenced, without a dict. 0 for others."""
    if ld64(kind + LAYOUT.TYPE_DEALLOC) != ld64(c.jc_state + S.INSTANCE_DEALLOC) or ld64(kind + LAYOUT.TYPE_FINALIZE):
        return 0
    if ld64(kind + LAYOUT.TYPE_FLAGS) & PLAIN_FLAGS != PLAIN_FLAGS or ld64(kind + LAYOUT.TYPE_CACHED_KEYS) == 0:
        return 0
    base = kind
    while ld64(base + LAYOUT.TYPE_DEALLOC) == ld64(c.jc_state + S.INSTANCE_DEALLOC):
        base = ld64(base + LAYOUT.TYPE_BASE)
    if base != c.PyBaseObject_Type or ld64(kind + LAYOUT.TYPE_BASICSIZE) != ld64(base + LAYOUT.TYPE_BASICSIZE):
        return 0
    if ld64(obj + LAYOUT.WEAKREFS_WORD):
        return 0
    word = ld64(obj + LAYOUT.DICT_WORD)
    if LAYOUT.VALUES_IN_OBJECT:
        values = obj + ld64(kind + LAYOUT.TYPE_BASICSIZE)
        if word or (ld8(values + LAYOUT.VALUES_VALID) & 1) == 0:
            return 0
        return values + LAYOUT.VALUES_ITEMS
    if (word & 1) == 0:
        return 0
    return word + 1 + LAYOUT.VALUES_ITEMS


@native
def is_derived_list(obj, kind):
    """Whether it is of a class derived from list whose instances, not weakly referenced and without a dict, end as lists do."""
    if ld64(kind + LAYOUT.TYPE_DEALLOC) != ld64(c.jc_state + S.INSTANCE_DEALLOC) or ld64(kind + LAYOUT.TYPE_FINALIZE):
        return 0
    if ld64(kind + LAYOUT.TYPE_BASICSIZE) != ld64(c.PyList_Type + LAYOUT.TYPE_BASICSIZE):
        return 0
    base = kind
    while ld64(base + LAYOUT.TYPE_DEALLOC) == ld64(c.jc_state + S.INSTANCE_DEALLOC):
        base = ld64(base + LAYOUT.TYPE_BASE)
    if base != c.PyList_Type:
        return 0
    flags = ld64(kind + LAYOUT.TYPE_FLAGS)
    if flags & MANAGED_DICT:
        if ld64(obj + LAYOUT.DICT_WORD):
            return 0
    if flags & MANAGED_WEAKREF:
        if ld64(obj + LAYOUT.WEAKREFS_WORD):
            return 0
    return 1


@native(inline=True)
def is_atom(obj):
    """Whether it is of one of the types that are harmless by themselves (HARMLESS in optimizer/ops/objects.py)."""
    kind = ld64(obj + LAYOUT.OB_TYPE)
    if kind == c.PyFloat_Type or kind == c.PyLong_Type or kind == c.PyUnicode_Type or kind == c.PyBool_Type:
        return 1
    if kind == c.PyBytes_Type or kind == c.PyComplex_Type or kind == c.PyRange_Type or obj == c._Py_NoneStruct:
        return 1
    return 0


@native
def parts_of(obj, size):
    """Where a list, a tuple, a cell, a function, a bound method or an instance of a plain class has its references; their number is
    stored at `size`, -1 for others. (An empty list has no items anywhere.)"""
    kind = ld64(obj + LAYOUT.OB_TYPE)
    st64(size, -1)
    if kind == c.PyList_Type or kind == c.PyTuple_Type:
        st64(size, ld64(obj + LAYOUT.OB_SIZE))
        return ld64(obj + LAYOUT.LIST_ITEMS) if kind == c.PyList_Type else obj + LAYOUT.TUPLE_ITEMS
    if kind == c.PyMethod_Type or kind == c.PyCFunction_Type:
        st64(size, -1 if ld64(obj + (METHOD_WEAKREFS if kind == c.PyMethod_Type else CFUNCTION_WEAKREFS)) else 2)
        return obj + (LAYOUT.METHOD_FUNC if kind == c.PyMethod_Type else LAYOUT.CFUNCTION_SELF)
    if kind == c.PyCell_Type:
        st64(size, 1)
        return obj + LAYOUT.CELL_REF
    if kind == c.PyFunction_Type:
        st64(size, -1 if ld64(obj + FUNCTION_WEAKREFS) else FUNCTION_PARTS)
        return obj + LAYOUT.FUNC_GLOBALS
    if ld64(kind + LAYOUT.TYPE_FLAGS) & LIST_SUBCLASS:
        st64(size, ld64(obj + LAYOUT.OB_SIZE) if is_derived_list(obj, kind) else -1)
        return ld64(obj + LAYOUT.LIST_ITEMS)
    items = inline_values(obj, kind)
    if items:
        st64(size, ld64(ld64(kind + LAYOUT.TYPE_CACHED_KEYS) + LAYOUT.KEYS_COUNT))
    return items


@native
def occurrences(holder, obj, depth, left):
    """How often `holder` and what is in it refer to the object (see optimizer/ops/objects.py)."""
    if is_atom(holder) or depth == 0:
        return 0
    kind = ld64(holder + LAYOUT.OB_TYPE)
    if kind == c.PyDict_Type or kind == c.PySet_Type:
        st64(left, -1)
        return 0
    size = alloca(8)
    items = parts_of(holder, size)
    n = ld64(size)
    found = 0
    i = 0
    while i < n:
        more = ld64(left) - 1
        st64(left, more)
        if more < 0:
            return found
        item = ld64(items + 8 * i)
        if item:
            found += item == obj
            if kind != c.PyFunction_Type or is_namespace_or_code(items + 8 * i - holder) == 0:
                found += occurrences(item, obj, depth - 1, left)
        i += 1
    return found


@native(inline=True)
def is_namespace_or_code(at):
    """Whether that word of a function is one of those that are not looked into, because others have them as well."""
    return (at == LAYOUT.FUNC_GLOBALS) | (at == LAYOUT.FUNC_BUILTINS) | (at == LAYOUT.FUNC_CODE)


@native
def has_others(obj, root):
    """Whether there are more references to the object than in `root` and what is in it."""
    count = ld32(obj)
    if count < 0:
        return 1
    left = alloca(8)
    st64(left, COUNTED)
    found = occurrences(root, obj, DEPTH, left)
    if ld64(left) < 0:
        return 0
    return found < count


@native
def survives(obj, root, budget):
    """Whether the object, found inside `root`, has more references than there are in there."""
    count = ld32(obj)
    if obj == root or count == 1:
        return 0
    tries = ld64(budget + 8) - 1
    st64(budget + 8, tries)
    if tries < 0:
        return 0
    return has_others(obj, root)


@native
def harmless_inside(obj, depth, root, budget):
    """Whether the object is of a kind whose end does nothing but let go of what is in it, and that is harmless."""
    kind = ld64(obj + LAYOUT.OB_TYPE)
    if kind == c.PyDict_Type:
        return dict_harmless(obj, depth - 1)
    if kind == c.PySet_Type:
        return set_harmless(obj, depth - 1)
    size = alloca(8)
    items = parts_of(obj, size)
    n = ld64(size)
    if n < 0:
        return 0
    if kind == c.PyFunction_Type:
        return function_harmless(obj, depth, root, budget)
    return items_harmless(items, items + 8 * n, depth - 1, root, budget)


@native
def items_harmless(at, end, depth, root, budget):
    """The same of all objects in a row of words. What a type says of one atom it says of the others."""
    atoms = 0
    while at < end:
        item = ld64(at)
        if item:
            kind = ld64(item + LAYOUT.OB_TYPE)
            if kind != atoms:
                if is_atom(item):
                    atoms = kind
                elif harmless_in(item, depth, root, budget) == 0:
                    return 0
        at += 8
    return 1


@native
def function_harmless(func, depth, root, budget):
    """Whether others have the function's code and namespaces, and the ends of its other parts would run no code."""
    if ld64(budget + 8) < 1:
        return 0
    first = ld64(budget + 16) == 0
    st64(budget + 16, 1)
    at = LAYOUT.FUNC_GLOBALS
    while at < LAYOUT.FUNC_VECTORCALL:
        item = ld64(func + at)
        if item:
            if is_namespace_or_code(at):
                if ld32(item) == 1:
                    return 0
                if not first and has_others(item, root) == 0:
                    return 0
            elif harmless_in(item, depth - 1, root, budget) == 0:
                return 0
        at += 8
    return 1


@native
def harmless_in(obj, depth, root, budget):
    """Whether the end of the object would run no code, or it has an owner outside of what ends with `root`."""
    if is_atom(obj):
        return 1
    if obj != root and ld32(obj) != 1:
        left = ld64(budget) - 1
        st64(budget, left)
        if left < 0:
            return 0
    if depth:
        if harmless_inside(obj, depth, root, budget):
            return 1
    return survives(obj, root, budget)


@native
def harmless_root(obj, depth, tries):
    """Whether the end of the object itself would run no code; `tries`: how often to find out whether something in it survives."""
    budget = alloca(24)
    st64(budget, LOOKED_INTO)
    st64(budget + 8, tries)
    st64(budget + 16, 0)
    return harmless_in(obj, depth, obj, budget)


@native
def all_atoms(at, end):
    """Whether the objects in a row of words are."""
    while at < end:
        item = ld64(at)
        if item:
            if is_atom(item) == 0:
                return 0
        at += 8
    return 1


@native
def once_more(table, obj):
    """Count the object in a table: how many there are, then their addresses and counts. Returns its count; a large number where there are
    too many. (They are few as a rule, and most are found at once.)"""
    used = ld64(table)
    entry = table + 8 + 16 * used
    while entry > table + 8:
        entry -= 16
        if ld64(entry) == obj:
            count = ld64(entry + 8) + 1
            st64(entry + 8, count)
            return count
    if used == MOST_SHARED:
        return 1 << 32
    st64(table, used + 1)
    st64(table + 8 + 16 * used, obj)
    st64(table + 16 + 16 * used, 1)
    return 1


@native
def goes_quietly(obj, depth, table, left):
    """Whether letting go of one reference, found inside of what ends, ends nothing but what nobody else has, and that quietly. The
    references to what others have as well are counted in the table (see optimizer/ops/objects.py)."""
    more = ld64(left) - 1
    st64(left, more)
    if more < 0:
        return 0
    count = ld32(obj)
    if count < 0:
        return 1
    if is_atom(obj):
        return 1
    if count > 1:
        return once_more(table, obj) < count
    if depth == 0:
        return 0
    return only_lets_go(obj, depth - 1, table, left)


@native(inline=True)
def set_item(entry):
    """What an entry of a set's table has, or 0. (What was taken out has left its place to something of hash -1, which nothing else has.)"""
    return ld64(entry) if ld64(entry + 8) != -1 else 0


@native
def only_lets_go(obj, depth, table, left):
    """Whether the end of an object that nobody else has does nothing but let go of what is in it, and that quietly."""
    kind = ld64(obj + LAYOUT.OB_TYPE)
    size = alloca(32)
    if kind == c.PyDict_Type:
        if ld8(obj + LAYOUT.DICT_WATCHERS):
            return 0
        st64(size, 0)
        while c.PyDict_Next(obj, size, size + 8, size + 16):
            if goes_quietly(ld64(size + 8), depth, table, left) == 0:
                return 0
            if goes_quietly(ld64(size + 16), depth, table, left) == 0:
                return 0
        return 1
    if kind == c.PySet_Type:
        if ld64(obj + SET_WEAKREFS):
            return 0
        entry = ld64(obj + LAYOUT.SET_TABLE)
        end = entry + 16 * (ld64(obj + LAYOUT.SET_MASK) + 1)
        while entry < end:
            item = set_item(entry)
            if item:
                if goes_quietly(item, depth, table, left) == 0:
                    return 0
            entry += 16
        return 1
    items = parts_of(obj, size)
    n = ld64(size)
    if n < 0:
        return 0
    i = 0
    while i < n:
        item = ld64(items + 8 * i)
        i += 1
        if item:
            if goes_quietly(item, depth, table, left) == 0:
                return 0
    return 1


@native
def others_survive(obj):
    """Whether the end of the object ends nothing but what nobody else has, and that quietly."""
    if is_atom(obj):
        return 1
    kind = ld64(obj + LAYOUT.OB_TYPE)
    if kind != c.PyDict_Type and kind != c.PySet_Type:
        size = alloca(8)
        items = parts_of(obj, size)
        n = ld64(size)
        if n < 0 or n > MOST_REFERENCES:
            return 0
        if all_atoms(items, items + 8 * n):
            return 1
    left = alloca(8)
    st64(left, MOST_REFERENCES)
    table = alloca(16 * MOST_SHARED + 8)
    st64(table, 0)
    return only_lets_go(obj, DEPTH, table, left)


@native
def harmless(obj, depth):
    """Whether the end of the object would run no code (see `obj.drop_is_safe`)."""
    return harmless_root(obj, depth, 0)


@native
def harmless_now(obj, depth):
    """The same if nothing else is dropped before (see `obj.ends_safely`)."""
    if others_survive(obj):
        return 1
    return harmless_root(obj, depth, TRIED)


@native
def dict_harmless(obj, depth):
    """Whether nobody watches the dict, and the ends of its keys and values would run no code."""
    if ld8(obj + LAYOUT.DICT_WATCHERS):
        return 0
    at = alloca(24)
    st64(at, 0)
    while c.PyDict_Next(obj, at, at + 8, at + 16):
        if harmless(ld64(at + 8), depth) == 0:
            return 0
        if harmless(ld64(at + 16), depth) == 0:
            return 0
    return 1


@native
def set_harmless(obj, depth):
    """Whether nobody has a weak reference to the set, and the ends of its items would run no code."""
    if ld64(obj + SET_WEAKREFS):
        return 0
    entry = ld64(obj + LAYOUT.SET_TABLE)
    end = entry + 16 * (ld64(obj + LAYOUT.SET_MASK) + 1)
    atoms = 0
    while entry < end:
        item = set_item(entry)
        if item:
            kind = ld64(item + LAYOUT.OB_TYPE)
            if kind != atoms:
                if is_atom(item):
                    atoms = kind
                elif harmless(item, depth) == 0:
                    return 0
        entry += 16
    return 1


@native
def part_harmless(obj, start, stop, depth):
    """Whether the ends of a list's items from start to stop, clipped, would run no code."""
    budget = alloca(24)
    st64(budget, LOOKED_INTO)
    st64(budget + 8, 0)
    st64(budget + 16, 0)
    items = ld64(obj + LAYOUT.LIST_ITEMS)
    n = ld64(obj + LAYOUT.OB_SIZE)
    if stop < n:
        n = stop
    if start < 0:
        start = 0
    return items_harmless(items + 8 * start, items + 8 * n, depth, obj, budget)


@native
def set_part(obj, start, stop, other):
    """Replace a list's items from start to stop by those of another list; what goes ends quietly. As many as there were are put where
    these are. 0, or -1 with an exception set."""
    n = ld64(obj + LAYOUT.OB_SIZE)
    if start < 0:
        start = 0
    if stop > n:
        stop = n
    count = stop - start
    if count <= 0 or obj == other or ld64(other + LAYOUT.OB_SIZE) != count:
        return c.PyList_SetSlice(obj, start, stop, other)
    source = ld64(other + LAYOUT.LIST_ITEMS)
    target = ld64(obj + LAYOUT.LIST_ITEMS) + 8 * start
    i = 0
    while i < count:
        old = ld64(target + 8 * i)
        st64(target + 8 * i, take(ld64(source + 8 * i)))
        drop(old)
        i += 1
    return 0


@native
def has_int(items, n, wanted):
    """Whether an int of that value is among n items: 1 or 0, -1 where something else than an exact int comes before it."""
    ok = alloca(8)
    i = 0
    while i < n:
        item = ld64(items + 8 * i)
        if ld64(item + LAYOUT.OB_TYPE) != c.PyLong_Type:
            return -1
        tag = ld64(item + LAYOUT.INT_TAG)
        if ult(tag, 16):  # one digit, or none
            if ld32(item + LAYOUT.INT_DIGITS) * (1 - (tag & 3)) == wanted:
                return 1
        elif long_value(item, ok) == wanted:
            if ld64(ok):
                return 1
        i += 1
    return 0


@native
def has_text(items, n, wanted):
    """The same of an exact str among exact strs."""
    hash = ld64(wanted + LAYOUT.STR_HASH)
    i = 0
    while i < n:
        item = ld64(items + 8 * i)
        if item == wanted:
            return 1
        if ld64(item + LAYOUT.OB_TYPE) != c.PyUnicode_Type:
            return -1
        other = ld64(item + LAYOUT.STR_HASH)
        if hash == other or hash == -1 or other == -1:
            if c.PyUnicode_Compare(item, wanted) == 0:
                return 1
        i += 1
    return 0


@native
def long_value(obj, ok):
    """The value of an exact int that fits 64 bits; stores 1 to the word at `ok`, or 0 for anything else. No
    Python exception is left set."""
    st64(ok, 0)
    if ld64(obj + LAYOUT.OB_TYPE) != c.PyLong_Type:
        return 0
    overflow = alloca(8)
    st64(overflow, 0)
    value = c.PyLong_AsLongLongAndOverflow(obj, overflow)
    if ld32(overflow):
        return 0
    st64(ok, 1)
    return value


@native
def box_int(value):
    """A new reference to an int."""
    return c.PyLong_FromLongLong(value)


@native
def box_float(bits):
    """A new reference to a float."""
    return c.PyFloat_FromDouble(bits)


@native
def box_bool(value):
    """A reference to True or False."""
    return c._Py_TrueStruct if value else c._Py_FalseStruct


@native
def type_find(kind, name):
    """What a class has under a name: borrowed, 0 for nothing, NotImplemented where that is not what one gets (optimizer/ops/objects.py)."""
    found = c._PyType_Lookup(kind, name)
    if found == 0:
        return 0
    described = ld64(found + LAYOUT.OB_TYPE)
    if described == c.PyFunction_Type or described == c.PyWrapperDescr_Type or described == c.PyMethodDescr_Type:
        return found
    return c._Py_NotImplementedStruct if ld64(described + LAYOUT.TYPE_DESCR_GET) else found


@native
def helper_take(obj):
    """A new reference to the object."""
    return take(obj)


@native
def helper_drop(obj):
    """Give a reference back. May run any Python code."""
    return drop(obj)
