"""What all native runtime routines share: the state block, slots, references, the thread's current frame,
tables.

The routines keep no globals of their own. One block of words, allocated by `Runtime` and bound to the symbol
`jc_state` at link time, holds hooks, tables, counters and switches; the constants below are byte offsets in
it. So the object code of the runtime contains no address and could be kept between processes.

A *slot* is a word of a frame's locals or operand stack: an owned reference, tagged from 3.14 on (immortal
objects must carry tag 1 there, owned ones 0; 1 alone is an empty slot).

Tables map a pair of words to a row that never moves and is never freed: a row is 16 words, the first two are
the key. Rows are found by open addressing in an array of row addresses. Keys are often addresses of objects
that may have died; who puts more than a counter in a row makes sure that a stale row does no harm.
"""

# ruff: noqa: ANN001, ANN201  (native functions: every parameter and result is a word)
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import signal
import sys
from types import FrameType

from ...abi import LAYOUT
from .lowlevel import alloca, c, ld32, ld64, native, st32, st64

# Objects and addresses
DISABLE = 0
EMPTY_RANGE = 8
EMPTY_TUPLE = 16
POISON_TYPE = 24
ARENA_CONTEXT = 32
ARENA_ALLOC = 40
ARENA_FREE = 48
FUNCTION_VECTORCALL = 56  # what a function without a door has
# Hooks: callables or 0
HOOK_LOOP = 64
HOOK_EXIT = 72
HOOK_FUNCTION = 80
HOOK_DEEP = 88
# Tables: three words each: array of rows, mask, number of rows
LOOPS = 96
FUNCTIONS = 120
WATCHES = 144
STACKS = 168
# Settings
LOOP_THRESHOLD = 192
FUNCTION_THRESHOLD = 200
MAX_ROWS = 208
# Counters
N_EDGES = 216
N_STARTS = 224
N_ENTRIES = 232
N_EXITS = 240
N_MISMATCHES = 248
N_CALLS = 256
N_DEEP = 264
# The stress switch: compiled guards count force_counter down and fail at zero. A run that was forced out
# makes the next one get `force_enabled` guards further; a run that was not starts again from the first guard.
FORCE_ENABLED = 272
FORCE_COUNTER = 280
FORCE_TARGET = 288
FORCED = 296
PENDING_ERROR = 304  # an owned exception from a region that cannot set it in the thread state
C_UNITS = 312  # C-recursion units of a thread that has not recursed
N_NATIVE_EDGES = 320  # back edges in compiled code, where that counts them
NEVER = 328  # always 0: the validity word of regions that are to find themselves invalid
HOOK_IDLE = 336  # called when the last run of a retired entry has ended
EAGER = 344  # the stress switch: call that hook after every run
HOOK_TIER = 352
# Direct functions that leave record their states here, innermost first (see optimizer/ops/direct.py)
LOG_TOP = 360
LOG_BASE = 368
# The stack bound that was asked for last, and the thread it is of
BOUND_THREAD = 376
BOUND = 384
RECORDER = 392  # the block of a recording, or 0 (see runtime_recorder)
INSTANCE_DEALLOC = 400  # how instances of classes written in Python end
ANSWERS = 408  # the rows of optimizer/answers.py (see runtime_answers)
OPERATOR_TEXT = 416  # C strings: what is said where no operand knows an operator,
COMPARE_TEXT = 424  # or how to compare
PUT_OFF = 432  # polls for which a garbage collection that is asked for can still wait
OBJECT_NEW = 440  # the C function behind `object.__new__`
SIGNALS = 448  # a sigset_t of 128 bytes: the signals that wait while a hook runs
INIT_TEXT = 576  # 64 bytes: what is said where `__init__` has returned something
COLLECTED = 640  # the array of what has been collected, and for how many items there is room in it
COLLECTED_ROOM = 648
STATE_BYTES = 656
PATIENCE = 1000
"""Polls (back edges and direct calls) for which native code goes on although a garbage collection is asked for: leaving costs as much as
many of them, and where the interpreter gets its turn anyway it collects."""

SIG_BLOCK = int(signal.SIG_BLOCK)
SIG_SETMASK = int(signal.SIG_SETMASK)

# Entries, made by `runtime.Entry`
E_FN = 0
E_NEXT = 8
E_NBUF = 16
E_VALID = 24
E_ACTIVATIONS = 32
E_ENTRIES = 40
E_MISMATCHES = 48
E_EXITS = 56
E_TICKS = 64  # address of the word that counts how much the entry is used, or 0
E_DIRECT = 72  # of a function without a frame: the address of its code for direct calls
E_RETIRED = 80  # taken out of every door: its code may be freed when nobody runs it any more
ENTRY_BYTES = 128
ENTRY_TICKS = 16  # what an entry counts as, in iterations

# Rows of LOOPS: (code, destination offset), or (code, -1) for the start of a function
R_COUNT = 16
R_HEAD = 24
R_FLAGS = 32
R_RESET = 40
R_EVENTS = 48
FLAG_NEVER = 1
MAX_RESET = 1 << 24

# Rows of FUNCTIONS: (function, 0)
F_CODE = 16
F_ENTRY = 24
F_ARGCOUNT = 32
F_RESUME = 40
F_RETURN = 48
F_VERSION = 56
F_VECTORCALL = 64

# Rows of WATCHES: (dict, hash of a key), (dict, WATCH_DICT), (type, WATCH_TYPE), (function, WATCH_FUNCTION)
W_NODES = 16
W_NEXT = 24
W_DEAD = 32
WATCH_DICT = -1
WATCH_TYPE = -3
WATCH_FUNCTION = -4

HOOK_CALLS = 300  # calls that a hook may nest beyond the program's recursion limit
COUNTS_ALL_REFERENCES = int(hasattr(sys, "gettotalrefcount"))  # debug builds: a total must be kept, too
ROW_BYTES = 128
HASH = 0x1E3779B97F4A7C15


# -- references and slots


@native(inline=True)
def take(obj):
    """A new reference to an object; returns the object."""
    if COUNTS_ALL_REFERENCES:
        c.Py_IncRef(obj)
        return obj
    count = ld32(obj)
    if count >= 0:
        st32(obj, count + 1)
    return obj


@native
def drop(obj):
    """Give a reference back. May run any Python code."""
    if COUNTS_ALL_REFERENCES:
        c.Py_DecRef(obj)
        return 0
    count = ld32(obj)
    if count < 0:
        return 0
    st32(obj, count - 1)
    if count == 1:
        c._Py_Dealloc(obj)
    return 0


@native(inline=True)
def slot_steal(obj):
    """The slot for an owned reference; 0 gives an empty slot."""
    if obj == 0:
        return LAYOUT.NULL_SLOT
    if LAYOUT.TAGGED:
        if ld32(obj) < 0:
            return obj | 1
    return obj


@native(inline=True)
def slot_new(obj):
    """The slot for a borrowed reference."""
    if obj == 0:
        return LAYOUT.NULL_SLOT
    return slot_steal(take(obj))


@native(inline=True)
def slot_object(bits):
    """The object of a slot, or 0. Not for tagged ints."""
    if LAYOUT.TAGGED:
        return bits & -2
    return bits


@native
def slot_copy(bits):
    """Another owned slot with the same content."""
    if bits == LAYOUT.NULL_SLOT or bits == 0:
        return LAYOUT.NULL_SLOT
    if LAYOUT.TAGGED:
        if (bits & 3) == 3:
            return bits
        return slot_new(bits & -2)
    return slot_new(bits)


@native(inline=True)
def slot_close(bits):
    """Drop a slot's reference."""
    if bits == 0:
        return 0
    if LAYOUT.TAGGED:
        if bits & 1:
            return 0
    return drop(bits)


# -- the thread's current frame


@native(inline=True)
def current_frame(ts):
    if LAYOUT.TS_CFRAME_INDIRECT:
        return ld64(ld64(ts + LAYOUT.TS_CURRENT_FRAME))
    return ld64(ts + LAYOUT.TS_CURRENT_FRAME)


@native(inline=True)
def set_current_frame(ts, frame):
    if LAYOUT.TS_CFRAME_INDIRECT:
        st64(ld64(ts + LAYOUT.TS_CURRENT_FRAME), frame)
    else:
        st64(ts + LAYOUT.TS_CURRENT_FRAME, frame)
    return 0


@native(inline=True)
def breaker_set(ts):
    """Whether the interpreter wants to be asked: signals, other threads, garbage collection."""
    if LAYOUT.EVAL_BREAKER_IN_INTERP:
        return ld32(ld64(ts + LAYOUT.TS_INTERP) + LAYOUT.EVAL_BREAKER_OFFSET) & LAYOUT.EVAL_BREAKER_MASK
    return ld32(ts + LAYOUT.EVAL_BREAKER_OFFSET) & LAYOUT.EVAL_BREAKER_MASK


@native(inline=True)
def set_depth(frame, n):
    """Say that locals and operand stack together have n slots in use."""
    if LAYOUT.SP_IS_POINTER:
        st64(frame + LAYOUT.FRAME_SP, frame + LAYOUT.FRAME_LOCALSPLUS + 8 * n)
    else:
        st32(frame + LAYOUT.FRAME_SP, n)
    return 0


@native(inline=True)
def get_depth(frame):
    if LAYOUT.SP_IS_POINTER:
        return (ld64(frame + LAYOUT.FRAME_SP) - frame - LAYOUT.FRAME_LOCALSPLUS) // 8
    return ld32(frame + LAYOUT.FRAME_SP)


FRAMEOBJ_BYTES = FrameType.__basicsize__ - LAYOUT.FRAME_LOCALSPLUS  # room for a dead function's frame comes behind
FRAMEOBJ_FLAGS = 40  # line number and switches of a tracer; a new frame object has `f_trace_lines` on and nothing else
FRAMEOBJ_NEW = 1 << 32
FRAMEOBJ_MASK = (1 << 48) - 1  # padding follows


@native
def forget_frame_object(frame):
    """Let go of a frame object that only the frame itself holds and that nobody has put anything into: from here on, having
    one means that somebody asked for it. Our own hooks and recorder ask for frames all the time."""
    obj = ld64(frame + LAYOUT.FRAME_OBJ)
    if obj == 0 or ld32(obj) != 1:
        return 0
    i = 16
    while i < FRAMEOBJ_BYTES:
        word = ld64(obj + i)
        if i == FRAMEOBJ_FLAGS:
            word = (word & FRAMEOBJ_MASK) - FRAMEOBJ_NEW
        if word and i != LAYOUT.FRAMEOBJ_FRAME:
            return 0
        i += 8
    st64(frame + LAYOUT.FRAME_OBJ, 0)
    return drop(obj)


@native(inline=True)
def bump(offset):
    """Add one to a counter of the state block."""
    address = c.jc_state + offset
    st64(address, ld64(address) + 1)
    return 0


# -- tables


@native(inline=True)
def table_hash(a, b):
    return ((a ^ (b << 40) ^ b) * HASH) >> 30


@native
def table_find(table, a, b):
    """The row of a key, or 0."""
    base = ld64(table)
    mask = ld64(table + 8)
    i = table_hash(a, b)
    while base:
        row = ld64(base + (i & mask) * 8)
        if row == 0:
            return 0
        if ld64(row) == a and ld64(row + 8) == b:
            return row
        i += 1
    return 0


@native
def table_place(base, mask, row):
    i = table_hash(ld64(row), ld64(row + 8))
    while ld64(base + (i & mask) * 8):
        i += 1
    st64(base + (i & mask) * 8, row)
    return 0


@native
def table_grow(table):
    """Double the array of rows. Returns 0 when memory is out."""
    old = ld64(table)
    mask = ld64(table + 8)
    size = 128
    if old:
        size = (mask + 1) * 2
    base = c.PyMem_RawCalloc(size, 8)
    if base == 0:
        return 0
    i = 0
    while old and i <= mask:
        row = ld64(old + i * 8)
        if row:
            table_place(base, size - 1, row)
        i += 1
    st64(table, base)
    st64(table + 8, size - 1)
    c.PyMem_RawFree(old)
    return 1


@native
def table_row(table, a, b):
    """The row of a key, made with zeros if new; 0 when there are too many rows or memory is out."""
    row = table_find(table, a, b)
    if row:
        return row
    count = ld64(table + 16)
    if count >= ld64(c.jc_state + MAX_ROWS):
        return 0
    if count * 2 >= ld64(table + 8):
        if table_grow(table) == 0:
            return 0
    row = c.PyMem_RawCalloc(1, ROW_BYTES)
    if row == 0:
        return 0
    st64(row, a)
    st64(row + 8, b)
    table_place(ld64(table), ld64(table + 8), row)
    st64(table + 16, count + 1)
    return row


# -- hooks


@native
def call_hook(ts, hook, args, nargs):
    """Call a Python callable with borrowed arguments, under tracing (its own code fires no events). Returns a
    new reference; 0 if there is no such hook or it raised: the exception is reported as unraisable, but an
    interrupt from the keyboard belongs to the program and is raised again there. Signals wait until the hook has ended:
    their handlers are for the program's frames to run."""
    if hook == 0:
        return 0
    take(hook)
    signals = alloca(128)
    c.pthread_sigmask(SIG_BLOCK, c.jc_state + SIGNALS, signals)
    tracing = ts + LAYOUT.TS_TRACING
    remaining = ts + LAYOUT.TS_PY_RECURSION_REMAINING
    st32(tracing, ld32(tracing) + 1)
    st32(remaining, ld32(remaining) + HOOK_CALLS)
    result = c.PyObject_Vectorcall(hook, args, nargs, 0)
    st32(remaining, ld32(remaining) - HOOK_CALLS)
    if result == 0:
        if c.PyErr_ExceptionMatches(ld64(c.PyExc_KeyboardInterrupt)):
            c.PyErr_Clear()
            c.PyErr_SetInterrupt()
        else:
            c.PyErr_WriteUnraisable(hook)
    st32(tracing, ld32(tracing) - 1)
    drop(hook)
    c.pthread_sigmask(SIG_SETMASK, signals, 0)
    return result
