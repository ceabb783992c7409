"""What becomes of a callee's result in a frame that waits for it: the rows of `optimizer/answers.py`, done in native code.

This runs where a special method was walked into by a region and its frame was given to the interpreter meanwhile. The waiting
frame still has the operands; what CPython does behind the call of the method (`binary_op1` and `slot_nb_add` with its kin,
`do_richcompare`) is done here with the result: usually nothing but dropping the operands. It runs as well where a
generator was walked into by the loop over it.
"""

# ruff: noqa: ANN001, ANN201  (native functions: every parameter and result is a word)
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from ...abi import LAYOUT
from ...optimizer.answers import ASSIGNS, COMPARE_NUMBER, COMPARISON, INPLACE, ITERATES, LAST, NEXT, NONE, OPERATOR, TEMPS, VALUE
from . import runtime_state as S
from .lowlevel import alloca, c, icall, ld8, ld64, native, st64
from .runtime_state import drop, get_depth, set_depth, slot_close, slot_object, slot_steal, take

# Rows
A_WHAT = 0
A_OPERANDS = 8
A_METHOD = 16  # the name's text, or 0
A_REFLECTED = 24
A_TEXT = 32  # a C string
A_TRUTH = 40
A_OP = 48
A_TOP_FIRST = 56
ROW_BYTES = 64

METHOD_DESCRIPTOR = 1 << 17  # flag of types whose objects are called with the instance as first argument
DESCR_GET = 54  # the number of tp_descr_get for PyType_GetSlot
EQ, NE = COMPARE_NUMBER["=="], COMPARE_NUMBER["!="]


@native
def push_operand(frame, bits):
    depth = get_depth(frame)
    st64(frame + LAYOUT.FRAME_LOCALSPLUS + 8 * depth, bits)
    set_depth(frame, depth + 1)
    return 0


@native
def iterated(frame, number):
    """The generator whose next item the frame waits for, if that is what it does."""
    row = ld64(c.jc_state + S.ANSWERS) + number * ROW_BYTES
    if ld64(row + A_WHAT) != ITERATES:
        return 0
    depth = get_depth(frame) - ld64(row + A_OPERANDS)
    return slot_object(ld64(frame + LAYOUT.FRAME_LOCALSPLUS + 8 * depth))


@native
def initialised(value):
    """What `__init__` has returned goes. 0, with an exception set, if it was not None."""
    if value == c._Py_NoneStruct:
        drop(value)
        return 1
    name = ld64(ld64(value + LAYOUT.OB_TYPE) + LAYOUT.TYPE_NAME)
    c.PyErr_Format(ld64(c.PyExc_TypeError), c.jc_state + S.INIT_TEXT, name)
    drop(value)
    return 0


@native
def ask(obj, name, other):
    """What the object's special method of that name says of the other one: a new reference, 0 with an exception set. NotImplemented
    where there is no such method."""
    kind = ld64(obj + LAYOUT.OB_TYPE)
    method = c._PyType_Lookup(kind, name)
    if method == 0:
        return take(c._Py_NotImplementedStruct)
    take(method)
    args = alloca(16)
    st64(args, obj)
    st64(args + 8, other)
    described = ld64(method + LAYOUT.OB_TYPE)
    if ld64(described + LAYOUT.TYPE_FLAGS) & METHOD_DESCRIPTOR:
        result = c.PyObject_Vectorcall(method, args, 2, 0)
        drop(method)
        return result
    get = c.PyType_GetSlot(described, DESCR_GET)
    if get:
        bound = icall(get, method, obj, kind)
        drop(method)
        if bound == 0:
            return 0
        method = bound
    result = c.PyObject_Vectorcall(method, args + 8, 1, 0)
    drop(method)
    return result


@native
def settle(row, value, left, right):
    """The result of an operator or comparison, of which a method of the left (LAST: of the right) operand gave `value`."""
    what = ld64(row + A_WHAT)
    refused = c._Py_NotImplementedStruct
    if value == refused and what == INPLACE:
        drop(value)
        value = ask(left, ld64(row + A_METHOD), right)
        if value == 0:
            return 0
    compares = (what & ~LAST) == COMPARISON
    if value == refused and (what & LAST) == 0:
        if compares or ld64(left + LAYOUT.OB_TYPE) != ld64(right + LAYOUT.OB_TYPE):
            drop(value)
            value = ask(right, ld64(row + A_REFLECTED), left)
            if value == 0:
                return 0
    if value == refused:
        drop(value)
        one = ld64(ld64(left + LAYOUT.OB_TYPE) + LAYOUT.TYPE_NAME)
        other = ld64(ld64(right + LAYOUT.OB_TYPE) + LAYOUT.TYPE_NAME)
        error = ld64(c.PyExc_TypeError)
        if compares == 0:
            icall(c.PyErr_Format, error, ld64(c.jc_state + S.OPERATOR_TEXT), ld64(row + A_TEXT), one, other)
            return 0
        same = left == right
        if ld64(row + A_OP) == EQ:
            value = take(c._Py_TrueStruct if same else c._Py_FalseStruct)
        elif ld64(row + A_OP) == NE:
            value = take(c._Py_FalseStruct if same else c._Py_TrueStruct)
        else:
            icall(c.PyErr_Format, error, ld64(c.jc_state + S.COMPARE_TEXT), ld64(row + A_TEXT), one, other)
            return 0
    if ld64(row + A_TRUTH):
        truth = c.PyObject_IsTrue(value)
        drop(value)
        if truth < 0:
            return 0
        value = take(c._Py_TrueStruct if truth else c._Py_FalseStruct)
    return value


@native
def let_go(frame, n, top_first):
    """The topmost n operands of a frame go."""
    depth = get_depth(frame) - n
    first = frame + LAYOUT.FRAME_LOCALSPLUS + 8 * depth
    gone = alloca(8 * n + 8)
    i = 0
    while i < n:
        st64(gone + 8 * i, ld64(first + 8 * i))
        i += 1
    set_depth(frame, depth)
    i = 0
    while i < n:
        slot_close(ld64(gone + 8 * (n - 1 - i if top_first else i)))
        i += 1
    return 0


@native
def drop_temps(frame, number):
    """Operands that are only there to be let go."""
    row = ld64(c.jc_state + S.ANSWERS) + number * ROW_BYTES
    if ld64(row + A_WHAT) == TEMPS:
        let_go(frame, ld64(row + A_OPERANDS), ld64(row + A_TOP_FIRST))
    return 0


@native
def pop_operands(frame, number):
    """The operands of what a frame waits in go; an exception that is set stays so."""
    row = ld64(c.jc_state + S.ANSWERS) + number * ROW_BYTES
    n = ld64(row + A_OPERANDS)
    if ld64(row + A_WHAT) == NONE:
        n = 1
    if n == 0 or ld64(row + A_WHAT) == TEMPS:
        return 0
    error = c.PyErr_GetRaisedException()
    let_go(frame, n, ld64(row + A_TOP_FIRST))
    if error:
        c.PyErr_SetRaisedException(error)
    return 0


@native
def iterated_by_next(frame, number):
    """Where the frame's stack has the iterator whose `__next__` is what it waits for; 0 where it waits for something else."""
    row = ld64(c.jc_state + S.ANSWERS) + number * ROW_BYTES
    if ld64(row + A_WHAT) != NEXT:
        return 0
    return frame + LAYOUT.FRAME_LOCALSPLUS + 8 * (get_depth(frame) - ld64(row + A_OPERANDS))


@native
def answered(frame, number, value):
    """The frame's callee has returned the value: bring its operand stack into the state behind the call. 0, with an exception
    set, where something raised; 2 where the bytecode is to be done again."""
    row = ld64(c.jc_state + S.ANSWERS) + number * ROW_BYTES
    what = ld64(row + A_WHAT)
    if what == VALUE or what == TEMPS or what == NEXT:
        push_operand(frame, slot_steal(value))
        return 1
    if what == NONE:
        if initialised(value):
            return 1
        pop_operands(frame, number)
        return 0
    if what == ITERATES:
        if ld8(iterated(frame, number) + LAYOUT.GEN_STATE) == LAYOUT.GEN_SUSPENDED:
            push_operand(frame, slot_steal(value))
            return 1
        drop(value)
        return 2
    if what >= OPERATOR:
        first = frame + LAYOUT.FRAME_LOCALSPLUS + 8 * get_depth(frame) - 16
        value = settle(row, value, slot_object(ld64(first)), slot_object(ld64(first + 8)))
    pop_operands(frame, number)
    if value == 0:
        return 0
    if what == ASSIGNS:
        drop(value)
    else:
        push_operand(frame, slot_steal(value))
    return 1
