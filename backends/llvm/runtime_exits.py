"""Leaving compiled code: the interpreter of exit descriptors, interpreter frames of our own, the poison
object.

A region returns the address of a descriptor (see `backends/descriptors.py` for the words) after storing the
exit's raw values in a buffer. `run_exit` turns both into a frame state the interpreter can go on from. It
works in steps whose order matters, because dropping a reference may run any Python code, which may look at
every frame:

 1. take the exception out of the thread state, if the exit carries one;
 2. make all temps: allocation only, no Python code runs;
 3. store into the outermost frame's slots, keeping what was there; build the frames of inlined callees above
    it;
 4. now that every frame shows the new state, with the innermost one current, drop what was kept, and temporary operands;
 5. tell the hot-exit hook;
 6. run the inner frames, innermost first, each with its caller current. A value is pushed on the caller; an
    exception makes the caller run with throwflag=1, unless the caller is the frame a loop door stands in.
    That one is run by somebody else already, so it gets poison operands and repeats its call, which raises.

Frames of our own lie on the thread's data stack, as the interpreter's do, and `_PyEval_EvalFrameDefault`
links, pops and clears them. What instruction pointer to store differs: a frame about to be evaluated stores
next-2 on 3.12; a frame suspended at its call stores the call; a frame that is thrown into looks its handler
up one unit before its ip from 3.13 on, so there the ip points behind the first unit of the call (which all
have a cache unit there; the few calls without caches follow a load in the same block, whose handler is the
same).
"""

# ruff: noqa: ANN001, ANN201  (native functions: every parameter and result is a word)
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from ...abi import LAYOUT
from . import runtime_state as S
from .lowlevel import alloca, c, icall, ld16, ld32, ld64, native, st32, st64, ult
from .runtime_answers import answered, drop_temps, iterated, iterated_by_next, pop_operands, push_operand
from .runtime_collect import forget_collected
from .runtime_generators import enter_generator
from .runtime_state import (
    breaker_set,
    call_hook,
    current_frame,
    drop,
    get_depth,
    set_current_frame,
    set_depth,
    slot_close,
    slot_new,
    slot_object,
    slot_steal,
    table_row,
    take,
)
from .runtime_temps import FIRST_ADDRESS, STEAL, checked, make_temp, out_of_memory

# Descriptor words, in bytes
D_COUNT = 0
D_HOT = 8
D_ID = 16
D_KIND = 24
D_NTEMPS = 32
D_NFRAMES = 40
D_FRAMES = 48
D_NBUF = 56
D_TICKS = 64
D_TEMPS = 72

RESUME = 0
RETURN = 1
MISMATCH = 2
ERROR = 3
SUSPENDED = 4

# Frame entries
X_CODE = 0
X_FUNC = 8
X_IP = 16
X_CALL_IP = 24
X_NLOCALS = 32
X_NWRITES = 40
X_NSTACK = 48
X_NPOISON = 56
X_ANSWER = 64
X_LISTS = 72


POISON_EXCEPTION = 16
POISON_KEPT = 24  # what goes with the poison
POISON_BYTES = 32

LOOP_DOOR = 0
FUNCTION_DOOR = 1
DIRECT_DOOR = 2  # of a function without a frame

MOST_STACK = 67108864  # of a C stack that native recursion uses; the log of direct functions is large enough for it
CHUNK_BYTES = 16384
CHUNK_OVERHEAD = 8000
OTHERS = ~0x2020202020202020  # bits of all tools but the optimizer's (5), in eight events
OTHERS_16 = 0xDFDF
EVAL_UNITS = 2  # what a level of `_PyEval_EvalFrameDefault` costs of a thread's C-recursion units
BUILTIN_UNITS = 1  # what a call of a builtin costs


@native(inline=True)
def watched(code):
    """Whether another tool has an event active in the code: it must see every instruction, so native code stays out.
    The bits are CPython's own, kept up to date for running code; sys.settrace and sys.setprofile are tools too."""
    data = ld64(code + LAYOUT.CODE_MONITORING)
    if data == 0:
        return 0
    others = ld64(data + LAYOUT.MONITORS_ACTIVE) & OTHERS
    return others | ld16(data + LAYOUT.MONITORS_ACTIVE + 8) & OTHERS_16


# -- the poison object: an operand whose every use raises the exception it holds


@native
def poison_new(exception):
    """A poison object that owns the exception."""
    poison = c._PyObject_New(ld64(c.jc_state + S.POISON_TYPE))
    if poison == 0:
        return out_of_memory()
    st64(poison + POISON_EXCEPTION, exception)
    st64(poison + POISON_KEPT, LAYOUT.NULL_SLOT)
    return poison


@native
def poison_dealloc(self):
    kind = ld64(self + LAYOUT.OB_TYPE)
    exception = ld64(self + POISON_EXCEPTION)
    if exception:
        drop(exception)
    slot_close(ld64(self + POISON_KEPT))
    c.PyObject_Free(self)
    drop(kind)
    return 0


@native
def poison_raise(self):
    """Move the exception to the thread state. Used up or empty ones raise SystemError."""
    exception = ld64(self + POISON_EXCEPTION)
    st64(self + POISON_EXCEPTION, 0)
    if exception == 0:
        c.PyErr_SetNone(ld64(c.PyExc_SystemError))
        return 0
    c.PyErr_SetRaisedException(exception)
    return 0


@native
def poison_unary(a):
    """Slot functions that return an object, whose first argument is the poison."""
    poison_raise(a)
    return 0


@native
def poison_binary(a, b):
    """Number slots: either operand may be the poison."""
    if ld64(a + LAYOUT.OB_TYPE) != ld64(c.jc_state + S.POISON_TYPE):
        a = b
    poison_raise(a)
    return 0


@native
def poison_status(a):
    """Slot functions that return an int or a size."""
    poison_raise(a)
    return -1


@native
def poison_get(self, instance, owner):
    """tp_descr_get of the type's `__enter__` and its kin: raises what the instance holds."""
    if instance:
        self = instance
    poison_raise(self)
    return 0


# -- frames


@native
def push_chunk(ts, words):
    """A new chunk of the thread's data stack with a first frame of that many words; returns the frame's
    address. The interpreter frees the chunk when the frame is popped."""
    size = CHUNK_BYTES
    while size < words * 8 + CHUNK_OVERHEAD:
        size += size
    old = ld64(ts + LAYOUT.TS_DATASTACK_CHUNK)
    chunk = icall(ld64(c.jc_state + S.ARENA_ALLOC), ld64(c.jc_state + S.ARENA_CONTEXT), size)
    if chunk == 0:
        return out_of_memory()
    if old:
        used = ld64(ts + LAYOUT.TS_DATASTACK_TOP) - (old + LAYOUT.CHUNK_DATA)
        st64(old + LAYOUT.CHUNK_TOP, used // 8)
    st64(chunk + LAYOUT.CHUNK_PREVIOUS, old)
    st64(chunk + LAYOUT.CHUNK_SIZE, size)
    st64(chunk + LAYOUT.CHUNK_TOP, 0)
    st64(ts + LAYOUT.TS_DATASTACK_CHUNK, chunk)
    st64(ts + LAYOUT.TS_DATASTACK_LIMIT, chunk + size)
    # The very first chunk starts with an unused word, so that its first frame does not free it.
    return chunk + LAYOUT.CHUNK_DATA + (0 if old else 8)


@native
def push_frame(ts, func, code, previous, ip):
    """A frame on the data stack with all locals empty and an empty operand stack. Not linked."""
    take(func)
    take(code)
    return push_plain_frame(ts, func, code, previous, ip)


@native
def push_plain_frame(ts, func, code, previous, ip):
    """The same without references to its function and code."""
    words = ld32(code + LAYOUT.CODE_FRAMESIZE)
    frame = ld64(ts + LAYOUT.TS_DATASTACK_TOP)
    if frame == 0 or not ult(frame + words * 8, ld64(ts + LAYOUT.TS_DATASTACK_LIMIT)):
        frame = push_chunk(ts, words)
    st64(ts + LAYOUT.TS_DATASTACK_TOP, frame + words * 8)
    st64(frame + LAYOUT.FRAME_CODE, slot_steal(code))
    st64(frame + LAYOUT.FRAME_PREVIOUS, previous)
    st64(frame + LAYOUT.FRAME_FUNC, slot_steal(func))
    st64(frame + LAYOUT.FRAME_GLOBALS, ld64(func + LAYOUT.FUNC_GLOBALS))
    st64(frame + LAYOUT.FRAME_BUILTINS, ld64(func + LAYOUT.FUNC_BUILTINS))
    st64(frame + LAYOUT.FRAME_LOCALS, 0)
    st64(frame + LAYOUT.FRAME_OBJ, 0)
    st64(frame + LAYOUT.FRAME_IP, ip)
    st32(frame + LAYOUT.FRAME_RETURN_OFFSET, 0)  # and the owner: the thread
    nlocals = ld32(code + LAYOUT.CODE_NLOCALSPLUS)
    set_depth(frame, nlocals)
    i = 0
    while i < nlocals:
        st64(frame + LAYOUT.FRAME_LOCALSPLUS + 8 * i, LAYOUT.NULL_SLOT)
        i += 1
    return frame


@native
def pop_frame(ts, frame):
    """Give the newest frame's memory back, with its chunk if it was the first there."""
    chunk = ld64(ts + LAYOUT.TS_DATASTACK_CHUNK)
    if frame != chunk + LAYOUT.CHUNK_DATA:
        st64(ts + LAYOUT.TS_DATASTACK_TOP, frame)
        return 0
    old = ld64(chunk + LAYOUT.CHUNK_PREVIOUS)
    st64(ts + LAYOUT.TS_DATASTACK_CHUNK, old)
    st64(ts + LAYOUT.TS_DATASTACK_TOP, old + LAYOUT.CHUNK_DATA + 8 * ld64(old + LAYOUT.CHUNK_TOP))
    st64(ts + LAYOUT.TS_DATASTACK_LIMIT, old + ld64(old + LAYOUT.CHUNK_SIZE))
    icall(
        ld64(c.jc_state + S.ARENA_FREE),
        ld64(c.jc_state + S.ARENA_CONTEXT),
        chunk,
        ld64(chunk + LAYOUT.CHUNK_SIZE),
    )
    return 0


@native
def stack_low():
    """Whether this thread is about to run out of C stack (see `stack_bound`)."""
    here = alloca(8)
    return ult(here, bound_of_thread())


@native
def stack_bound():
    """The address below which this thread should not recurse natively: a quarter of its stack, at most 2 MiB,
    stays for the interpreter and C code; of a very large one only MOST_STACK bytes are used. Asked from the system
    once per thread, kept under the thread's own descriptor."""
    thread = c.pthread_self()
    row = table_row(c.jc_state + S.STACKS, thread, 0)
    if row and ld64(row + 16):
        return ld64(row + 16)
    attributes = alloca(128)
    base = alloca(16)
    st64(base, 0)
    bound = 1
    if c.pthread_getattr_np(thread, attributes) == 0:
        if c.pthread_attr_getstack(attributes, base, base + 8) == 0:
            reserve = ld64(base + 8) // 4
            if reserve > 2097152:
                reserve = 2097152
            bound = ld64(base) + reserve
            if ld64(base + 8) > MOST_STACK:
                bound = ld64(base) + ld64(base + 8) - MOST_STACK
        c.pthread_attr_destroy(attributes)
    if row:
        st64(row + 16, bound)
    return bound


@native(inline=True)
def bound_of_thread():
    """`stack_bound` of the thread that runs, remembered from one call to the next."""
    thread = c.pthread_self()
    if ld64(c.jc_state + S.BOUND_THREAD) != thread:
        st64(c.jc_state + S.BOUND, stack_bound())
        st64(c.jc_state + S.BOUND_THREAD, thread)
    return ld64(c.jc_state + S.BOUND)


@native
def lend_units(ts, wanted):
    """Before native code calls back into the interpreter: give the thread the C-recursion units that this
    will cost (3.12, 3.13), so that recursion through compiled code is limited by the real stack and by
    Python's own limit, as without compiled code. Never more than the thread had at first. Returns how many to
    take back with `return_units`."""
    if LAYOUT.TS_C_RECURSION:
        units = ts + LAYOUT.TS_C_RECURSION
        if ld32(units) < ld64(c.jc_state + S.C_UNITS) and not stack_low():
            st32(units, ld32(units) + wanted)
            return wanted
    return 0


@native(inline=True)
def return_units(ts, lent):
    if LAYOUT.TS_C_RECURSION:
        units = ts + LAYOUT.TS_C_RECURSION
        st32(units, ld32(units) - lent)
    return 0


@native
def evaluate(ts, frame, throw):
    """Let the interpreter run a frame of ours to its end; it pops the frame. Returns a new reference or 0
    with an exception set."""
    lent = lend_units(ts, EVAL_UNITS)
    result = c._PyEval_EvalFrameDefault(ts, frame, throw)
    return_units(ts, lent)
    return result


# -- the frame states of a descriptor


@native(inline=True)
def entry_end(entry):
    """The frame entry after this one."""
    words = 2 * ld64(entry + X_NWRITES) + ld64(entry + X_NSTACK) + ld64(entry + X_NPOISON)
    return entry + X_LISTS + 8 * words


@native
def fill_stack(frame, entry, temps):
    """Set the operand stack to the temps of a frame entry."""
    nlocals = ld64(entry + X_NLOCALS)
    nstack = ld64(entry + X_NSTACK)
    source = entry + X_LISTS + 16 * ld64(entry + X_NWRITES)
    target = frame + LAYOUT.FRAME_LOCALSPLUS + 8 * nlocals
    i = 0
    while i < nstack:
        st64(target + 8 * i, ld64(temps + 8 * ld64(source + 8 * i)))
        i += 1
    set_depth(frame, nlocals + nstack)
    return 0


@native
def write_locals(frame, entry, temps, kept):
    """Store the temps of a frame entry into its locals; what was there goes to `kept`, unless that is 0."""
    n = ld64(entry + X_NWRITES)
    i = 0
    while i < n:
        pair = entry + X_LISTS + 16 * i
        place = ld64(pair)
        bits = ld64(temps + 8 * ld64(pair + 8))
        if place >= FIRST_ADDRESS:
            # The word of a name: a plain reference.
            bits = slot_object(bits)
        else:
            place = frame + LAYOUT.FRAME_LOCALSPLUS + 8 * place
        if kept:
            st64(kept + 8 * i, ld64(place))
        st64(place, bits)
        i += 1
    return 0


@native
def fill_stack_none(frame, nlocals):
    """Set the operand stack to a single None."""
    set_depth(frame, nlocals)
    push_operand(frame, slot_new(c._Py_NoneStruct))
    return 0


@native
def push_poison(frame, entry, exception):
    """The operands with which a loop door's frame repeats its call, to raise the callee's exception."""
    poison = poison_new(exception)
    source = entry + X_LISTS + 16 * ld64(entry + X_NWRITES) + 8 * ld64(entry + X_NSTACK)
    n = ld64(entry + X_NPOISON)
    i = 0
    while i < n:
        kind = ld64(source + 8 * i)
        bits = LAYOUT.NULL_SLOT
        if kind == 1:
            bits = slot_new(poison)
        elif kind == 2:
            bits = slot_new(c._Py_NoneStruct)
        elif kind == 3:
            bits = slot_new(ld64(c.jc_state + S.EMPTY_TUPLE))
        push_operand(frame, bits)
        i += 1
    drop(poison)
    return 0


@native
def iteration_ended(frame, entry):
    """The frame's callee has raised. If that was StopIteration from the `__next__` of the iterator that the frame loops over, the
    FOR_ITER is to be done again: it raises that, tells tools of it and ends the loop, and then what it finds in place of the iterator goes,
    and the iterator with it. Then 2 (see `answered`), else 0."""
    place = iterated_by_next(frame, ld64(entry + X_ANSWER))
    if place == 0:
        return 0
    if c.PyErr_ExceptionMatches(ld64(c.PyExc_StopIteration)) == 0:
        return 0
    poison = poison_new(c.PyErr_GetRaisedException())
    st64(poison + POISON_KEPT, ld64(place))
    st64(place, slot_steal(poison))
    return 2


@native(inline=True)
def throw_ip(entry):
    """The ip of a frame whose call raised."""
    call = ld64(entry + X_CALL_IP)
    if LAYOUT.OWN_FRAME_IP_ADJUST == 0:
        if ld64(entry + X_IP) - call >= 4:
            return call + 2
    return call


@native
def tell_of_exit(ts, desc, wanted, code, frame):
    """Call the exit hook with (exit id, code, frame address) of the innermost frame, if the exit has been taken often, or for
    another reason (`wanted`). With the breaker set a signal handler is due, and not in the hook: another time."""
    count = ld64(desc + D_COUNT)
    if count != ld64(desc + D_HOT) and wanted == 0:
        return 0
    if breaker_set(ts):
        st64(desc + D_COUNT, count - 1)
        return 0
    args = alloca(24)
    st64(args, checked(c.PyLong_FromLongLong(ld64(desc + D_ID))))
    st64(args + 8, code)
    st64(args + 16, checked(c.PyLong_FromLongLong(frame)))
    result = call_hook(ts, ld64(c.jc_state + S.HOOK_EXIT), args, 3)
    if result:
        drop(result)
    drop(ld64(args))
    drop(ld64(args + 16))
    return 0


@native
def ticks_used_up(desc):
    """Whether the exit's region has left in order to get better code. Doors look themselves (`used`), but only native code may
    call a direct function."""
    ticks = ld64(desc + D_TICKS)
    if ticks == 0:
        return 0
    return ld64(ticks) < 0


@native
def make_temps(desc, buf, temps, frame, poison):
    """All temps of a descriptor."""
    n = ld64(desc + D_NTEMPS)
    i = 0
    while i < n:
        st64(temps + 8 * i, make_temp(desc + D_TEMPS + 32 * i, buf, temps, frame, poison))
        i += 1
    return 0


@native
def linked_frames(ts, base, links):
    """Note the frames that are linked (see `runtime_links`) above the one in which native code was entered: at `links` their number,
    then themselves, innermost first. From here on they do not count as running."""
    frame = current_frame(ts)
    n = 0
    while frame != base:
        n += 1
        st64(links + 8 * n, frame)
        frame = ld64(frame + LAYOUT.FRAME_PREVIOUS)
    st64(links, n)
    remaining = ts + LAYOUT.TS_PY_RECURSION_REMAINING
    st32(remaining, ld32(remaining) + n)
    return 0


@native
def keep_linked(desc, entry, temps):
    """A linked frame stays: it gets references to its function and code. The temps of its locals go, but for what native code owned:
    the frame has that, and references of its own to the rest."""
    take(ld64(entry + X_FUNC))
    take(ld64(entry + X_CODE))
    n = ld64(entry + X_NWRITES)
    i = 0
    while i < n:
        at = ld64(entry + X_LISTS + 16 * i + 8)
        if ld64(desc + D_TEMPS + 32 * at) != STEAL:
            slot_close(ld64(temps + 8 * at))
        i += 1
    return 0


@native
def push_frames(ts, desc, temps, frames, previous, skip, running, links):
    """Push a descriptor's frames but for the first `skip`, above `previous`, and note each with its entry in the list of
    pairs at `frames`; those that are linked already are taken from `links`, those of generators are in these. They wait for
    their callees, but for the innermost one if it is `running`. Returns the innermost frame."""
    entry = desc + 8 * ld64(desc + D_FRAMES)
    n = ld64(desc + D_NFRAMES)
    generator = 0
    i = 0
    while i < n:
        if i >= skip:
            ip = ld64(entry + X_CALL_IP)
            if running and i == n - 1:
                ip = ld64(entry + X_IP) + LAYOUT.OWN_FRAME_IP_ADJUST
            left = ld64(links)
            if generator:
                previous = enter_generator(ts, generator, previous, ip)
                write_locals(previous, entry, temps, 0)
            elif left:
                previous = ld64(links + 8 * left)
                st64(links, left - 1)
                st64(previous + LAYOUT.FRAME_IP, ip)
                keep_linked(desc, entry, temps)
            else:
                previous = push_frame(ts, ld64(entry + X_FUNC), ld64(entry + X_CODE), previous, ip)
                write_locals(previous, entry, temps, 0)
            fill_stack(previous, entry, temps)
            st64(frames + 16 * i, previous)
            st64(frames + 16 * i + 8, entry)
        generator = iterated(previous, ld64(entry + X_ANSWER))
        entry = entry_end(entry)
        i += 1
    return previous


@native
def drop_all_temps(frames, n):
    """Now that all frames of a list are in place, what they only keep for that goes."""
    i = 0
    while i < n:
        drop_temps(ld64(frames + 16 * i), ld64(ld64(frames + 16 * i + 8) + X_ANSWER))
        i += 1
    return 0


@native
def raised_exception():
    """The exception with which native code leaves, taken out of the thread state."""
    error = c.PyErr_GetRaisedException()
    if error == 0:  # a region that is Python code leaves it in a cell
        error = ld64(c.jc_state + S.PENDING_ERROR)
        st64(c.jc_state + S.PENDING_ERROR, 0)
    return error


@native
def run_exit(frame, ts, desc, buf, door):
    """Do what a descriptor says to the door's frame.

    Loop door: the frame is ready to be continued by its own interpreter; returns 0. Function door: RESUME and
    ERROR run and pop the frame and return its result (0 with an exception set); RETURN returns the value and
    leaves the frame to the door. MISMATCH does nothing and is counted by the door."""
    kind = ld64(desc + D_KIND)
    st64(desc + D_COUNT, ld64(desc + D_COUNT) + 1)
    if kind == MISMATCH:
        return 0
    forget_collected()
    base = frame  # in which native code was entered
    if frame == 0:
        base = ld64(buf - 16)
    if kind == SUSPENDED:
        return run_unwound(frame, ts, desc, buf, door, base)
    nframes = ld64(desc + D_NFRAMES)
    error = 0
    poison = 0
    if kind == ERROR:
        error = raised_exception()
        if nframes == 1 and door == LOOP_DOOR:
            poison = poison_new(error)
            error = 0

    ntemps = ld64(desc + D_NTEMPS)
    temps = alloca(8 * ntemps + 8)
    make_temps(desc, buf, temps, frame, poison)
    if poison:
        drop(poison)
    if kind == RETURN:
        return slot_object(ld64(temps))
    links = alloca(8 * nframes + 8)
    linked_frames(ts, base, links)

    # The outermost frame: store first, keep what was there.
    entry = desc + 8 * ld64(desc + D_FRAMES)
    nwrites = ld64(entry + X_NWRITES)
    nlocals = ld64(entry + X_NLOCALS)
    on_stack = get_depth(frame) - nlocals
    if on_stack < 0:
        on_stack = 0
    kept = alloca(8 * (nwrites + on_stack) + 8)
    i = 0
    while i < on_stack:
        st64(kept + 8 * (nwrites + i), ld64(frame + LAYOUT.FRAME_LOCALSPLUS + 8 * (nlocals + i)))
        i += 1
    write_locals(frame, entry, temps, kept)
    fill_stack(frame, entry, temps)
    ip = ld64(entry + X_IP)
    if nframes > 1:
        ip = ld64(entry + X_CALL_IP)
    elif door == FUNCTION_DOOR:
        if kind == ERROR:
            ip = ld64(entry + X_CALL_IP)
        else:
            ip += LAYOUT.OWN_FRAME_IP_ADJUST
    st64(frame + LAYOUT.FRAME_IP, ip)

    # The frames of inlined callees above it.
    frames = alloca(16 * nframes)  # pairs: frame, its entry
    st64(frames, frame)
    st64(frames + 8, entry)
    innermost = push_frames(ts, desc, temps, frames, frame, 1, kind != ERROR, links)

    # Every frame shows the new state: now references may go.
    set_current_frame(ts, innermost)
    i = 0
    while i < nwrites + on_stack:
        slot_close(ld64(kept + 8 * i))
        i += 1
    drop_all_temps(frames, nframes)
    tell_of_exit(ts, desc, 0, ld64(ld64(frames + 16 * nframes - 8) + X_CODE), innermost)

    throw = 0
    if error:
        throw = 1
        c.PyErr_SetRaisedException(error)
    return run_chain(ts, frames, nframes, door != LOOP_DOOR, 0, throw)


@native
def run_chain(ts, frames, n, mine, value, throw):
    """Run the n frames of a list (pairs: frame, its entry), innermost first, each with its caller current. `mine`: the
    first frame is ours too; otherwise its own interpreter goes on with it, and 0 is returned. The innermost frame is to
    be run (with an exception, if `throw`), or was run already and gave `value`. Returns the first frame's result. A
    frame of ours that waits counts against the recursion limit, as one of the interpreter's does."""
    if n == 0:
        return value  # a function that was called by the interpreter has returned something unexpected
    remaining = ts + LAYOUT.TS_PY_RECURSION_REMAINING
    waiting = n if mine else n - 1
    i = n - 1
    if value == 0:
        if i == 0 and mine == 0:
            return 0
        waiting -= 1
    st32(remaining, ld32(remaining) - waiting)
    if value == 0:
        inner = ld64(frames + 16 * i)
        set_current_frame(ts, ld64(inner + LAYOUT.FRAME_PREVIOUS))
        value = evaluate(ts, inner, throw)
        if i == 0:
            return value
        i -= 1
    while True:
        frame = ld64(frames + 16 * i)
        entry = ld64(frames + 16 * i + 8)
        ours = i > 0 or mine
        throw = 0
        raised = value == 0
        if value:
            value = answered(frame, ld64(entry + X_ANSWER), value)
        else:
            value = iteration_ended(frame, entry)
        if value:
            ip = ld64(entry + X_IP)
            if value == 2:
                ip = ld64(entry + X_CALL_IP)
            if ours:
                ip += LAYOUT.OWN_FRAME_IP_ADJUST
            st64(frame + LAYOUT.FRAME_IP, ip)
        elif ours:
            throw = 1
            st64(frame + LAYOUT.FRAME_IP, throw_ip(entry))
        else:
            if raised:
                pop_operands(frame, ld64(entry + X_ANSWER))
            push_poison(frame, entry, c.PyErr_GetRaisedException())
            st64(frame + LAYOUT.FRAME_IP, ld64(entry + X_CALL_IP))
        if ours == 0:
            return 0
        st32(remaining, ld32(remaining) + 1)
        set_current_frame(ts, ld64(frame + LAYOUT.FRAME_PREVIOUS))
        value = evaluate(ts, frame, throw)
        if i == 0:
            return value
        i -= 1
    return 0


# -- functions without frames that left


@native
def build_frames(ts, desc, buf, frames, previous, running, links):
    """Push the frames of one record, all of them new, and note them in the list of pairs at `frames`. They wait for
    their callees, but for the innermost one if it is `running`. Returns the innermost frame."""
    ntemps = ld64(desc + D_NTEMPS)
    temps = alloca(8 * ntemps + 8)
    make_temps(desc, buf, temps, 0, 0)
    return push_frames(ts, desc, temps, frames, previous, 0, running, links)


@native
def run_unwound(frame, ts, desc, buf, door, caller):
    """Go on in the interpreter after direct functions left: make the frames of all that were under way, from the log
    and, outermost, the door's own region (`desc`, `buf`; its first frame is the door's), and run them. `caller`: the frame in
    which native code was entered. Returns what `run_exit` returns."""
    base = ld64(c.jc_state + S.LOG_BASE)
    size = ld64(c.jc_state + S.LOG_TOP) - base
    log = checked(c.PyMem_RawMalloc(size + 8))
    total = ld64(desc + D_NFRAMES)
    records = 0
    at = 0
    while at < size:
        st64(log + at, ld64(base + at))
        at += 8
    st64(c.jc_state + S.LOG_TOP, base)  # other direct functions may leave while the frames run
    at = 0
    while at < size:
        record = ld64(log + at)
        total += ld64(record + D_NFRAMES)
        records += 1
        at += 8 + 8 * ld64(record + D_NBUF)
    order = checked(c.PyMem_RawMalloc(8 * records + 8))
    at = 0
    i = 0
    while i < records:
        st64(order + 8 * i, log + at)
        at += 8 + 8 * ld64(ld64(log + at) + D_NBUF)
        i += 1
    frames = checked(c.PyMem_RawMalloc(16 * total + 16))
    links = checked(c.PyMem_RawMalloc(8 * total + 8))
    linked_frames(ts, caller, links)
    error = 0
    if ld64(ld64(log) + D_KIND) == ERROR:
        error = raised_exception()

    innermost = caller
    kept = alloca(8)
    nkept = 0
    n = ld64(desc + D_NFRAMES)
    if n:
        # The door's own region: its first frame exists, see `run_exit`.
        ntemps = ld64(desc + D_NTEMPS)
        temps = alloca(8 * ntemps + 8)
        make_temps(desc, buf, temps, frame, 0)
        entry = desc + 8 * ld64(desc + D_FRAMES)
        nkept = ld64(entry + X_NWRITES)
        kept = alloca(8 * nkept + 8)
        write_locals(frame, entry, temps, kept)
        fill_stack(frame, entry, temps)
        st64(frame + LAYOUT.FRAME_IP, ld64(entry + X_CALL_IP))
        st64(frames, frame)
        st64(frames + 8, entry)
        innermost = push_frames(ts, desc, temps, frames, frame, 1, 0, links)

    value = 0
    i = records - 1
    while i >= 0:
        record = ld64(order + 8 * i)
        first = ld64(record)
        kind = ld64(first + D_KIND)
        if kind == RETURN:
            # A result of another type than the caller was made for: it was made before anything left.
            value = slot_object(make_temp(first + D_TEMPS, record + 8, record, 0, 0))
        else:
            innermost = build_frames(ts, first, record + 8, frames + 16 * n, innermost, kind == RESUME, links)
            n += ld64(first + D_NFRAMES)
        i -= 1
    first = ld64(log)
    c.PyMem_RawFree(order)
    c.PyMem_RawFree(log)
    c.PyMem_RawFree(links)

    set_current_frame(ts, innermost)
    i = 0
    while i < nkept:
        slot_close(ld64(kept + 8 * i))
        i += 1
    drop_all_temps(frames, n)
    st64(first + D_COUNT, ld64(first + D_COUNT) + 1)
    if n:
        tell_of_exit(ts, first, ticks_used_up(first), ld64(ld64(frames + 16 * n - 8) + X_CODE), innermost)
    throw = 0
    if error:
        throw = 1
        c.PyErr_SetRaisedException(error)
    result = run_chain(ts, frames, n, door != LOOP_DOOR, value, throw)
    c.PyMem_RawFree(frames)
    return result
