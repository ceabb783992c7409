"""The objects that an exit makes: one for each temp entry of its descriptor (`descriptors.Temp` numbers the kinds, and says what the
words of an entry mean).

What existed as numbers and parts only (boxes, tuples, ranges, iterators, generators, virtual instances, cells, functions and bound
methods) becomes the object that the interpreter would have made. Here nothing is run but allocation: no code of the program sees an
exit that is half done. Parts lie before what is made of them, and give it their references. Nothing can be taken back at this point:
without memory the process ends, as that of CPython does where it cannot go on.
"""

# ruff: noqa: ANN001, ANN201  (native functions: every parameter and result is a word)
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from ...abi import LAYOUT, instances
from . import runtime_state as S
from .lowlevel import alloca, c, icall, ld8, ld64, native, st8, st64, ult
from .runtime_generators import make_generator
from .runtime_state import drop, slot_close, slot_copy, slot_new, slot_object, slot_steal, take

ABSTRACT = instances.ABSTRACT
STEAL = 4  # a row of `descriptors.Temp`
FIRST_ADDRESS = 1 << 20  # a local slot is a number below that, or the address of a name's word


@native
def out_of_memory():
    """There is no state to go back to while an exit is being taken."""
    c.Py_FatalError(c.jc_out_of_memory)
    return 0


@native
def checked(obj):
    if obj == 0:
        return out_of_memory()
    return obj


@native
def make_range(start, stop, step):
    """A range object of three C integers."""
    args = alloca(24)
    st64(args, checked(c.PyLong_FromLongLong(start)))
    st64(args + 8, checked(c.PyLong_FromLongLong(stop)))
    st64(args + 16, checked(c.PyLong_FromLongLong(step)))
    made = checked(c.PyObject_Vectorcall(c.PyRange_Type, args, 3, 0))
    drop(ld64(args))
    drop(ld64(args + 8))
    drop(ld64(args + 16))
    return made


@native
def make_range_iterator(start, length, step):
    """A range iterator in that state: a fresh one of the empty range, overwritten."""
    made = checked(c.PyObject_GetIter(ld64(c.jc_state + S.EMPTY_RANGE)))
    st64(made + LAYOUT.RANGEITER_START, start)
    st64(made + LAYOUT.RANGEITER_LEN, length)
    st64(made + LAYOUT.RANGEITER_STEP, step)
    return made


@native
def make_tuple(slots, n):
    """A tuple of n temps, whose references it takes over."""
    made = checked(c.PyTuple_New(n))
    i = 0
    while i < n:
        st64(made + LAYOUT.TUPLE_ITEMS + 8 * i, slot_object(ld64(slots + 8 * i)))
        i += 1
    return made


@native
def make_sequence_iterator(part, index, backwards):
    """An iterator over the list or tuple in the temp `part`, whose reference it takes over, at that index."""
    sequence = slot_object(ld64(part))
    args = alloca(8)
    st64(args, sequence)
    if backwards:
        made = checked(c.PyObject_Vectorcall(c.PyReversed_Type, args, 1, 0))
    elif ld64(sequence + LAYOUT.OB_TYPE) == c.PyTuple_Type:
        made = checked(c.PyObject_GetIter(sequence))
    else:
        # One of another list, overwritten: a derived class may have got an `__iter__` just now.
        other = checked(c.PyList_New(0))
        made = checked(c.PyObject_GetIter(other))
        st64(made + LAYOUT.LISTITER_SEQ, take(sequence))
        drop(other)
        drop(other)
    st64(made + LAYOUT.LISTITER_INDEX, index)
    slot_close(ld64(part))
    return made


@native
def make_enumerate(part, count):
    """enumerate over the iterator in the temp `part`, whose reference it takes over."""
    args = alloca(16)
    st64(args, slot_object(ld64(part)))
    st64(args + 8, checked(c.PyLong_FromLongLong(count)))
    made = checked(c.PyObject_Vectorcall(c.PyEnum_Type, args, 2, 0))
    drop(ld64(args + 8))
    slot_close(ld64(part))
    return made


@native
def make_zip(parts, n):
    """zip of the iterators in n temps, whose references it takes over."""
    args = alloca(8 * n + 8)
    i = 0
    while i < n:
        st64(args + 8 * i, slot_object(ld64(parts + 8 * i)))
        i += 1
    made = checked(c.PyObject_Vectorcall(c.PyZip_Type, args, n, 0))
    i = 0
    while i < n:
        slot_close(ld64(parts + 8 * i))
        i += 1
    return made


@native
def make_instance(parts, n, shape):
    """An instance of a plain class with n temps as its attributes, whose references it takes over. `shape`: its class, where its inline
    values begin, and where each attribute is: a place in those, or minus the offset in the instance."""
    kind = ld64(shape)
    flags = ld64(kind + LAYOUT.TYPE_FLAGS)
    st64(kind + LAYOUT.TYPE_FLAGS, flags & ~ABSTRACT)  # it may have become abstract since the instance was made
    made = checked(icall(ld64(c.jc_state + S.OBJECT_NEW), kind, ld64(c.jc_state + S.EMPTY_TUPLE), 0))
    st64(kind + LAYOUT.TYPE_FLAGS, flags)
    values = made + ld64(shape + 8) if LAYOUT.VALUES_IN_OBJECT else ld64(made + LAYOUT.DICT_WORD) + 1
    i = 0
    while i < n:
        place = ld64(shape + 16 + 8 * i)
        held = slot_object(ld64(parts + 8 * i))
        if place < 0:
            st64(made - place, held)
        else:
            st64(values + LAYOUT.VALUES_ITEMS + 8 * place, held)
            newest = ld8(values + LAYOUT.VALUES_COUNT)
            st8(values + LAYOUT.VALUES_COUNT, newest + 1)
            if LAYOUT.VALUES_IN_OBJECT:
                capacity = ld8(values + LAYOUT.VALUES_CAPACITY)
                st8(values + LAYOUT.VALUES_ITEMS + 8 * capacity + newest, place)
            else:
                st8(values + LAYOUT.VALUES_COUNT - 1 - newest, place)
        i += 1
    return made


@native
def make_cell(parts, n):
    """A cell with what is in the temp, if there is one, whose reference it takes over."""
    made = checked(c.PyCell_New(0))
    if n:
        st64(made + LAYOUT.CELL_REF, slot_object(ld64(parts)))
    return made


@native
def make_function(parts, n, code):
    """A function with the temps: its namespace, and the cells of its closure. Takes their references over."""
    made = checked(c.PyFunction_New(code, slot_object(ld64(parts))))
    slot_close(ld64(parts))
    if n > 1:
        closure = make_tuple(parts + 8, n - 1)
        c.PyFunction_SetClosure(made, closure)
        drop(closure)
    return made


@native
def make_method(parts):
    """The bound method of the temps: a function or method of C, and the object. Takes their references over."""
    func = slot_object(ld64(parts))
    obj = slot_object(ld64(parts + 8))
    bind = ld64(ld64(func + LAYOUT.OB_TYPE) + LAYOUT.TYPE_DESCR_GET)
    made = checked(icall(bind, func, obj, ld64(obj + LAYOUT.OB_TYPE)))
    slot_close(ld64(parts))
    slot_close(ld64(parts + 8))
    return made


@native(inline=True)
def reference_slot(entry, value):
    """The slot of a reference, taken over or new, with that value."""
    if value == ld64(entry + 16):
        return LAYOUT.NULL_SLOT
    if ld64(entry) == STEAL:
        return slot_steal(value)
    return slot_new(value)


@native
def make_temp(entry, buf, temps, frame, poison):
    """One temp entry as an owned slot."""
    op = ld64(entry)
    a = ld64(entry + 8)
    value = ld64(buf + 8 * a) if ult(0, op) and op <= 11 and op != 6 and op != 7 and op != 10 else 0
    if op == 4 or op == 5:
        return reference_slot(entry, value)
    if op <= 3:
        flag = ld64(entry + 16)
        if flag:
            if ld64(buf + 8 * flag - 8) == 0:
                return LAYOUT.NULL_SLOT
    if op == 1:
        return slot_steal(checked(c.PyLong_FromLongLong(value)))
    if op == 2:
        return slot_steal(checked(c.PyFloat_FromDouble(value)))
    if op == 3:
        return slot_steal(c._Py_TrueStruct if value else c._Py_FalseStruct)
    if op == 6:
        return slot_new(a)
    if op == 7:
        return slot_copy(ld64(temps + 8 * a))
    b = ld64(entry + 16)
    if op == 8 or op == 9:
        second = ld64(buf + 8 * b)
        third = ld64(buf + 8 * ld64(entry + 24))
        if op == 8:
            return slot_steal(make_range_iterator(value, second, third))
        return slot_steal(make_range(value, second, third))
    if op == 10:
        return slot_steal(make_tuple(temps + 8 * a, b))
    if op == 11:
        return (value << 2) | 3
    if op == 12:
        return slot_new(poison)
    if op == 13:
        if a >= FIRST_ADDRESS:
            return slot_new(ld64(a))
        return slot_copy(ld64(frame + LAYOUT.FRAME_LOCALSPLUS + 8 * a))
    if op == 17:
        return slot_steal(make_zip(temps + 8 * a, b))
    if op == 18:
        return slot_steal(checked(make_generator(temps + 8 * a, b, ld64(entry + 24))))
    if op == 19:
        return slot_steal(make_instance(temps + 8 * a, b, ld64(entry + 24)))
    if op == 20:
        return slot_steal(make_cell(temps + 8 * a, b))
    if op == 21:
        return slot_steal(make_function(temps + 8 * a, b, ld64(entry + 24)))
    if op == 22:
        return slot_steal(make_method(temps + 8 * a))
    if op > 13:
        number = ld64(buf + 8 * ld64(entry + 24))
        if op == 16:
            return slot_steal(make_enumerate(temps + 8 * a, number))
        return slot_steal(make_sequence_iterator(temps + 8 * a, number, op == 15))
    return LAYOUT.NULL_SLOT
