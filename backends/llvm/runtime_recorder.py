"""The recorder's observer: writes down, before each instruction of armed code, what the interpreter is about to work on.

This is the callback of INSTRUCTION events. A Python callback costs fifty times more, and signal handlers, the garbage
collector and other threads could run in it, between two instructions of the program. This one only copies words into a
log; what they mean is worked out when the recording has ended. Two things call Python, rarely: a callee seen for the first time
(whose code may have to be armed before the call happens), and the end.

`backends.observer` makes the block of words that is used here, and reads the log.

A *record* of the log: its length in words (upper half: the frame's place among the live ones; 0 for the instruction that ended
the recording, a record without operands), the code's index, the instruction's offset, the offset of the instruction before
it in this frame (-1: none was seen), the kind of the stack's top if that one made a result, a weak reference to the called
function or built-in, the number of operands, their kinds, and the kinds of items. A kind is the address of a type, or one
of the small numbers below; with bit 0 set it is what an array says of its items.
Types that can die, and callees, are held weakly: what dies while it is recorded is not told from what takes its place, which does
no harm.
"""

# ruff: noqa: ANN001, ANN201  (native functions: every parameter and result is a word)
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from ...abi import LAYOUT, instances
from ...abi.arrays import ARRAY_DESCRIPTION
from ...observing import (
    CALLS,
    CALLS_SECOND,
    IS_INSTRUCTION,
    LOOKS_AT_DICT,
    LOOKS_AT_ITEMS,
    MAKES_RESULT,
    RETURNS,
    SPECIAL,
    SUBSCRIPTS,
)
from . import runtime_state as S
from .lowlevel import alloca, c, ld8, ld16, ld32, ld64, native, st8, st16, st64
from .runtime_state import breaker_set, call_hook, current_frame, drop, slot_object

# The block
THREAD = 0  # the thread state that is watched; 0: none
TOP = 8  # where the next record goes
END = 16  # where no further record may begin
CODES = 24  # pairs of words: code object, table of its instructions; the recording's own code first
N_CODES = 32
RECENT = 40  # the index of the code seen last
FRAMES = 48  # pairs of words: frame, and index and offset of its last instruction
N_FRAMES = 56
KEPT = 64  # pairs of words: what the log names that may die, and a weak reference to it
N_KEPT = 72
ROOT = 80  # the frame that the recording began in
UNTIL = 88  # coming back to this offset of it is a round
ROUNDS = 96
QUIET = 104  # rounds to go without anything new
LEFT = 112  # instructions to go
REASON = 120  # why the recording has ended, if it has
ON_CALLEE = 128  # hook(object, code, offset, True): it is about to be called there; hook(class, code, offset): an instance is an operand
ON_END = 136  # hook()
ARRAY = 144  # the type array.array, or 0
EMPTY = 152  # where the log begins
BLOCK_BYTES = 160

# Reasons
CLOSED = 1
TOO_LONG = 2
INSIDE = 3
RETURNED = 4

# The table of a code: for each two bytes of it, 8 bytes
T_DEPTH = 0  # 16 bits: height of the operand stack
T_WANTED = 2  # operands to look at
T_FLAGS = 3
T_TIMES = 4  # 16 bits: how often it was seen in this recording
T_SEEN = 6  # whether it was ever seen
T_MORE = 7  # more flags

# Kinds that are no types
K_NULL = 1 << 1
K_TAGGED = 2 << 1
K_BIG_INT = 3 << 1
K_DICT = 4 << 1

VALUES_FLAGS = instances.values_flags(LAYOUT)
HEAP_TYPE = instances.HEAP_TYPE
MANAGED_DICT = instances.MANAGED_DICT

HEADER = 7
MOST_ITEMS = 64
RECORD_BYTES = 8 * (HEADER + 255 + MOST_ITEMS)
MAX_CODES = 40
MAX_FRAMES = 64
MAX_KEPT = 1024
KEPT_PER_RECORD = 255 + MOST_ITEMS + 2
LOOPS_INSIDE = 50  # times an instruction is seen before the recording is taken to be caught in a loop
QUIET_ROUNDS = 6
FIRST_TIMES = 4  # of an instruction that may call a special method: the classes of its operands are told to the hook
MORE_ROUNDS = 40  # a loop is watched for more rounds as long as one of the last few had something new
LOW = 0xFFFFFFFF
TYPE_SUBCLASS = 1 << 31


@native
def is_kept(block, word):
    """Whether what the log names by that word is held already."""
    kept = ld64(block + KEPT)
    i = ld64(block + N_KEPT)
    while i > 0:
        i -= 1
        if ld64(kept + 16 * i) == word:
            return 1
    return 0


@native
def keep(block, word, weak):
    """Hold the weak reference to what the log names by that word until it is read; it is taken over."""
    n = ld64(block + N_KEPT)
    at = ld64(block + KEPT) + 16 * n
    st64(at, word)
    st64(at + 8, weak)
    st64(block + N_KEPT, n + 1)
    return 0


@native
def keep_type(block, kind):
    """The same of a type, which is named by its address. Returns 1 if it was not held before; 0 also for what never dies."""
    if ld32(kind) < 0 or is_kept(block, kind):
        return 0
    weak = c.PyWeakref_NewRef(kind, 0)
    if weak == 0:
        c.PyErr_Clear()
    keep(block, kind, weak)
    return 1


@native
def kind_word(block, bits):
    """The kind of a slot's content."""
    if LAYOUT.TAGGED:
        if (bits & 3) == 3:
            return K_TAGGED
    obj = slot_object(bits)
    if obj == 0:
        return K_NULL
    kind = ld64(obj + LAYOUT.OB_TYPE)
    if kind == c.PyLong_Type:
        digits = ld64(obj + LAYOUT.INT_TAG) >> 3
        if digits > 3 or digits == 3 and ld32(obj + LAYOUT.INT_DIGITS + 8) >= 8:
            return K_BIG_INT
        return kind
    keep_type(block, kind)
    return kind


@native
def write_items(block, out, n, obj):
    """Add the kinds of a list's or tuple's first items to those at `out`, of which there are n. Returns how many there are."""
    kind = ld64(obj + LAYOUT.OB_TYPE)
    items = obj + LAYOUT.TUPLE_ITEMS
    if kind == c.PyList_Type:
        items = ld64(obj + LAYOUT.LIST_ITEMS)
    elif kind != c.PyTuple_Type:
        return n
    size = ld64(obj + LAYOUT.OB_SIZE)
    if size > MOST_ITEMS:
        size = MOST_ITEMS
    before = 0
    i = 0
    while i < size and n < MOST_ITEMS:
        item = ld64(items + 8 * i)
        i += 1
        if item:
            kind = ld64(item + LAYOUT.OB_TYPE)
            if kind != before:
                before = kind
                keep_type(block, kind)
                st64(out + 8 * n, kind)
                n += 1
    return n


@native
def has_own_dict(obj):
    """Whether it is an instance that has a dict, and no (valid) inline values."""
    if obj == 0:
        return 0
    kind = ld64(obj + LAYOUT.OB_TYPE)
    if (ld64(kind + LAYOUT.TYPE_FLAGS) & MANAGED_DICT) == 0:
        return 0
    if ld64(kind + LAYOUT.TYPE_FLAGS) & VALUES_FLAGS != VALUES_FLAGS or ld64(kind + LAYOUT.TYPE_CACHED_KEYS) == 0:
        return ld64(obj + LAYOUT.DICT_WORD) != 0
    if LAYOUT.VALUES_IN_OBJECT:
        return (ld8(obj + ld64(kind + LAYOUT.TYPE_BASICSIZE) + LAYOUT.VALUES_VALID) & 1) == 0
    if ld64(obj + LAYOUT.DICT_WORD) == 0:
        return 0  # 3.12: a class that is derived from one of C has no inline values, and this no dict yet
    return (ld8(obj + LAYOUT.VALUES_VALID) & 1) == 0


@native
def tell_class(block, ts, kind, code, offset):
    """Tell the hook of the class of something that the instruction may call a special method of."""
    args = alloca(24)
    st64(args, kind)
    st64(args + 8, code)
    st64(args + 16, offset)
    result = call_hook(ts, ld64(block + ON_CALLEE), args, 3)
    if result:
        drop(result)
    return 0


@native
def method_of_c(func):
    """The method of a static type that a bound method of C was had from, if it is of an object of exactly that type; else 0."""
    kind = ld64(func + LAYOUT.CFUNCTION_SELF)
    if kind:
        kind = ld64(kind + LAYOUT.OB_TYPE)
        if ld64(kind + LAYOUT.TYPE_FLAGS) & HEAP_TYPE:
            return 0
    if kind == 0 or kind == c.PyModule_Type:
        return 0
    method = ld64(func + LAYOUT.CFUNCTION_METHOD)
    name = c.PyUnicode_InternFromString(ld64(method))
    if name == 0:
        c.PyErr_Clear()
        return 0
    found = c._PyType_Lookup(kind, name)
    drop(name)
    if found and ld64(found + LAYOUT.OB_TYPE) == c.PyMethodDescr_Type:
        if ld64(found + LAYOUT.DESCRIPTOR_METHOD) == method:
            return found
    return 0


@native
def callee(block, ts, operands, flags, code, offset):
    """A weak reference to the function or built-in that is about to be called, or 0. (A closure's cells may hold anything, and
    it must die when the program lets go of it; another one may then be in its place.) A bound method of C is made for a few calls, and what it
    was had from never dies: that is returned instead. A function or class that is new is told to the hook."""
    first = slot_object(ld64(operands))
    if flags & CALLS_SECOND and first == 0:
        first = slot_object(ld64(operands + 8))
    if first == 0 or breaker_set(ts):
        return 0  # with the breaker set a signal handler is due, and not in the hook
    kind = ld64(first + LAYOUT.OB_TYPE)
    if kind == c.PyMethod_Type:
        first = ld64(first + LAYOUT.METHOD_FUNC)
        kind = ld64(first + LAYOUT.OB_TYPE)
    found = method_of_c(first) if kind == c.PyCFunction_Type else 0
    if found:
        return found
    if kind == c.PyFunction_Type or kind == c.PyCFunction_Type:
        found = c.PyWeakref_NewRef(first, 0)
        if found == 0:
            c.PyErr_Clear()
            return 0
        new = not is_kept(block, found)
        if new:
            keep(block, found, found)
        else:
            drop(found)
    elif ld64(kind + LAYOUT.TYPE_FLAGS) & TYPE_SUBCLASS:
        new = keep_type(block, first)
    else:
        if ld64(kind + LAYOUT.TYPE_FLAGS) & HEAP_TYPE:
            tell_class(block, ts, kind, code, offset)
        return 0
    if new and kind != c.PyCFunction_Type:
        args = alloca(32)
        st64(args, first)
        st64(args + 8, code)
        st64(args + 16, offset)
        st64(args + 24, c._Py_TrueStruct)
        result = call_hook(ts, ld64(block + ON_CALLEE), args, 4)
        if result:
            drop(result)
    return found


@native
def tell_classes(block, ts, operands, n, code, offset):
    """Tell the hook of operands whose classes can change: what they have as a special method may be about to be called."""
    i = 0
    while i < n:
        bits = ld64(operands + 8 * i)
        i += 1
        obj = 0
        if not LAYOUT.TAGGED or (bits & 3) != 3:
            obj = slot_object(bits)
        if obj and breaker_set(ts) == 0 and ld64(block + THREAD) == ts:
            kind = ld64(obj + LAYOUT.OB_TYPE)
            if ld64(kind + LAYOUT.TYPE_FLAGS) & HEAP_TYPE:
                tell_class(block, ts, kind, code, offset)
    return 0


@native
def end(block, ts, reason):
    """Nothing more is written. The hook hears of it now, or at a later event."""
    st64(block + REASON, reason)
    if breaker_set(ts):
        return 0
    result = call_hook(ts, ld64(block + ON_END), alloca(8), 0)
    if result:
        drop(result)
    return 0


@native
def end_before(block, ts, out, reason):
    """The same, where the instruction is not watched any more: what became of the one before it belongs to the recording."""
    st64(out, 0)
    st64(block + TOP, out + 8 * HEADER)
    return end(block, ts, reason)


@native(inline=True)
def code_index(block, code):
    """The index of an armed code, or -1."""
    codes = ld64(block + CODES)
    i = ld64(block + RECENT)
    if ld64(codes + 16 * i) == code:
        return i
    i = ld64(block + N_CODES)
    while i > 0:
        i -= 1
        if ld64(codes + 16 * i) == code:
            st64(block + RECENT, i)
            return i
    return -1


@native(inline=True)
def frame_place(block, frame):
    """The place of a frame among the live ones; behind them for a new one."""
    frames = ld64(block + FRAMES)
    n = ld64(block + N_FRAMES)
    i = n
    while i > 0:
        i -= 1
        if ld64(frames + 16 * i) == frame:
            return i
    if n == MAX_FRAMES:
        return n - 1
    return n


@native
def instruction_callback(self, args, nargs):
    """METH_FASTCALL (code, offset) for sys.monitoring's INSTRUCTION."""
    block = ld64(c.jc_state + S.RECORDER)
    ts = c.PyThreadState_Get()
    if block == 0 or ld64(block + THREAD) != ts:
        return c._Py_NoneStruct
    if ld64(block + REASON):
        end(block, ts, ld64(block + REASON))
        return c._Py_NoneStruct
    code = ld64(args)
    offset = ld32(ld64(args + 8) + LAYOUT.INT_DIGITS)
    index = code_index(block, code)
    if index < 0:
        return c._Py_NoneStruct
    table = ld64(ld64(block + CODES) + 16 * index + 8)
    row = table + offset * 4
    flags = ld8(row + T_FLAGS)
    if not flags & IS_INSTRUCTION:
        return c._Py_NoneStruct
    frame = current_frame(ts)
    depth = ld16(row + T_DEPTH)
    top = frame + LAYOUT.FRAME_LOCALSPLUS + 8 * (ld32(code + LAYOUT.CODE_NLOCALSPLUS) + depth)
    place = frame_place(block, frame)
    last = ld64(block + FRAMES) + 16 * place
    out = ld64(block + TOP)
    previous = -1
    result = 0
    if place < ld64(block + N_FRAMES) and ld64(last) == frame and ld64(last + 8) >> 32 == index:
        previous = ld64(last + 8) & LOW
        if depth and ld8(table + previous * 4 + T_FLAGS) & MAKES_RESULT:
            result = kind_word(block, ld64(top - 8))
    st64(out, HEADER | place << 32)
    st64(out + 8, index)
    st64(out + 16, offset)
    st64(out + 24, previous)
    st64(out + 32, result)
    st64(out + 40, 0)
    st64(out + 48, 0)
    if frame == ld64(block + ROOT) and index == 0 and offset == ld64(block + UNTIL) and out != ld64(block + EMPTY):
        rounds = ld64(block + ROUNDS) - 1
        quiet = ld64(block + QUIET) - 1
        st64(block + ROUNDS, rounds)
        st64(block + QUIET, quiet)
        if rounds <= 0 and (quiet <= 0 or rounds <= -MORE_ROUNDS):
            end_before(block, ts, out, CLOSED)
            return c._Py_NoneStruct
    if ld64(block + LEFT) <= 0 or out >= ld64(block + END) or ld64(block + N_KEPT) > MAX_KEPT - KEPT_PER_RECORD:
        end_before(block, ts, out, TOO_LONG)
        return c._Py_NoneStruct
    st64(block + LEFT, ld64(block + LEFT) - 1)
    if ld8(row + T_SEEN) == 0:
        st8(row + T_SEEN, 1)
        st64(block + QUIET, QUIET_ROUNDS)
    times = ld16(row + T_TIMES) + 1
    st16(row + T_TIMES, times)
    if times > LOOPS_INSIDE:
        st64(block + TOP, out + 8 * HEADER)
        end(block, ts, INSIDE)
        return c._Py_NoneStruct
    words = HEADER
    wanted = ld8(row + T_WANTED)
    if wanted and depth >= wanted:
        operands = top - 8 * wanted
        if flags & CALLS:
            st64(out + 40, callee(block, ts, operands, flags, code, ld64(args + 8)))
            if ld64(block + THREAD) != ts:
                return c._Py_NoneStruct  # the hook has ended the recording
        if ld8(row + T_MORE) & SPECIAL >> 8 and times <= FIRST_TIMES:
            tell_classes(block, ts, operands, wanted, code, ld64(args + 8))
            if ld64(block + THREAD) != ts:
                return c._Py_NoneStruct
        i = 0
        while i < wanted:
            st64(out + 8 * (HEADER + i), kind_word(block, ld64(operands + 8 * i)))
            i += 1
        st64(out + 48, wanted)
        words += wanted
        n = 0
        if flags & LOOKS_AT_ITEMS:
            i = 0
            while i < wanted:
                bits = ld64(operands + 8 * i)
                if not LAYOUT.TAGGED or (bits & 3) != 3:
                    if slot_object(bits):
                        n = write_items(block, out + 8 * words, n, slot_object(bits))
                i += 1
        elif flags & LOOKS_AT_DICT:
            if has_own_dict(slot_object(ld64(operands + 8 * (wanted - 1)))):
                st64(out + 8 * words, K_DICT)
                n = 1
        elif flags & SUBSCRIPTS and ld64(block + ARRAY):
            if ld64(out + 8 * (HEADER + wanted - 2)) == ld64(block + ARRAY):
                array = slot_object(ld64(operands + 8 * (wanted - 2)))
                st64(out + 8 * words, ld64(array + ARRAY_DESCRIPTION) | 1)
                n = 1
        words += n
    st64(out, words | place << 32)
    st64(block + TOP, out + 8 * words)
    if flags & RETURNS:
        st64(block + N_FRAMES, place)
        if frame == ld64(block + ROOT):
            end(block, ts, RETURNED)
        return c._Py_NoneStruct
    st64(last, frame)
    st64(last + 8, index << 32 | offset)
    st64(block + N_FRAMES, place + 1)
    return c._Py_NoneStruct
