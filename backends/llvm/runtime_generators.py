"""Generators that existed only as what is in their frames: made real where native code leaves.

A generator object is got by calling its function, as CPython does: the call ends at RETURN_GENERATOR, before anything of the
program has run. The function may have got other code and other defaults since native code went on in it; for the time of the call
it has the code that the generator runs, and every parameter is given something. The generator's frame, which lies in the object,
is then given what the virtual one had. One that was suspended waits behind its yield; one that was running is entered as
`gen_send_ex2` does (Objects/genobject.c): it says that it executes, and its exception state becomes the thread's. The interpreter
undoes both where the frame yields, returns or raises.
"""

# ruff: noqa: ANN001, ANN201  (native functions: every parameter and result is a word)
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from ...abi import LAYOUT
from ...optimizer.ir import GENERATOR_HEAD
from . import runtime_state as S
from .lowlevel import alloca, c, icall, ld32, ld64, native, st8, st32, st64
from .runtime_state import set_depth, slot_close, slot_object

SPARE_LEVELS = 8  # of Python's recursion limit, and of C recursion, for a call that runs nothing of the program


@native
def new_generator(func, code, names):
    """A generator of that function and code with an empty tuple for all arguments (generator expressions of 3.15 ask for its iterator
    at once), which has not begun. `names`: a tuple of the parameters that are given by name only."""
    ts = c.PyThreadState_Get()
    n = ld32(code + LAYOUT.CODE_ARGCOUNT)
    total = n + ld64(names + LAYOUT.OB_SIZE)
    args = alloca(8 * total + 8)
    i = 0
    while i < total:
        st64(args + 8 * i, ld64(c.jc_state + S.EMPTY_TUPLE))
        i += 1
    remaining = ts + LAYOUT.TS_PY_RECURSION_REMAINING
    st32(remaining, ld32(remaining) + SPARE_LEVELS)
    if LAYOUT.TS_C_RECURSION:
        st32(ts + LAYOUT.TS_C_RECURSION, ld32(ts + LAYOUT.TS_C_RECURSION) + SPARE_LEVELS)
    now = ld64(func + LAYOUT.FUNC_CODE)
    st64(func + LAYOUT.FUNC_CODE, code)
    made = icall(ld64(c.jc_state + S.FUNCTION_VECTORCALL), func, args, n, names)
    st64(func + LAYOUT.FUNC_CODE, now)
    if LAYOUT.TS_C_RECURSION:
        st32(ts + LAYOUT.TS_C_RECURSION, ld32(ts + LAYOUT.TS_C_RECURSION) - SPARE_LEVELS)
    st32(remaining, ld32(remaining) - SPARE_LEVELS)
    return made


@native
def empty_frame(frame, nlocals):
    """What a new generator's frame has (arguments, the function's cells; an iterator over nothing holds nothing) goes."""
    i = 0
    while i < nlocals:
        place = frame + LAYOUT.FRAME_LOCALSPLUS + 8 * i
        slot_close(ld64(place))
        st64(place, LAYOUT.NULL_SLOT)
        i += 1
    set_depth(frame, nlocals)
    return 0


@native
def make_generator(parts, n, offset):
    """A generator of the function, code and names (see `new_generator`) in the first of n temps, which it takes over. The others
    are what its frame has; without them, it is new. With an offset it has yielded and goes on there."""
    code = slot_object(ld64(parts + 8))
    made = new_generator(slot_object(ld64(parts)), code, slot_object(ld64(parts + 16)))
    if made == 0:
        return 0
    i = 0
    while i < GENERATOR_HEAD:
        slot_close(ld64(parts + 8 * i))
        i += 1
    if n > GENERATOR_HEAD:
        frame = made + LAYOUT.GEN_FRAME
        empty_frame(frame, ld32(code + LAYOUT.CODE_NLOCALSPLUS))
        while i < n:
            st64(frame + LAYOUT.FRAME_LOCALSPLUS + 8 * (i - GENERATOR_HEAD), ld64(parts + 8 * i))
            i += 1
        set_depth(frame, n - GENERATOR_HEAD)
    if offset:
        st64(made + LAYOUT.GEN_FRAME + LAYOUT.FRAME_IP, code + LAYOUT.CODE_BYTES + offset + LAYOUT.OWN_FRAME_IP_ADJUST)
        st8(made + LAYOUT.GEN_STATE, LAYOUT.GEN_SUSPENDED)
    return made


@native
def enter_generator(ts, generator, previous, ip):
    """The frame of a new generator as that of one that runs, with `previous` waiting for it and nothing in it yet."""
    frame = generator + LAYOUT.GEN_FRAME
    empty_frame(frame, ld32(slot_object(ld64(frame + LAYOUT.FRAME_CODE)) + LAYOUT.CODE_NLOCALSPLUS))
    st64(frame + LAYOUT.FRAME_PREVIOUS, previous)
    st64(frame + LAYOUT.FRAME_IP, ip)
    st64(generator + LAYOUT.GEN_EXC + LAYOUT.EXC_INFO_PREVIOUS, ld64(ts + LAYOUT.TS_EXC_INFO))
    st64(ts + LAYOUT.TS_EXC_INFO, generator + LAYOUT.GEN_EXC)
    st8(generator + LAYOUT.GEN_STATE, LAYOUT.GEN_EXECUTING)
    return frame
