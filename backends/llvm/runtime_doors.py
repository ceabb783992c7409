"""The doors: native callbacks and vectorcalls through which running Python code enters compiled regions.

Loop door: `jump_callback` is registered for JUMP events. It pushes no frame, so the current frame is the
monitored one, and the instruction pointer and stack that it leaves there are honoured. Each (code,
destination) has a row with a countdown until the hot hook and a chain of entries. Entries are tried in turn
until one runs; an entry whose guards do not fit says so (MISMATCH) before it has touched anything.

Function door: `function_entry` stands in `func->vectorcall`. It makes the interpreter frame that the call
would have made, links it and runs the region on it. So a frame exists from the start, and every exit is the
same as a loop door's, only that our frame is ours to run. Calls that do not fit (keywords, other argument
counts, no valid entry, a pending eval breaker, not enough stack) go to the function's original vectorcall. Arguments left to
defaults are filled in.

When the C stack gets low the function is given back to the interpreter, vectorcall and version: it can then
recurse as deep as Python allows without using C stack, and the hook is told so. Loop doors stay shut then.

None of this returns NULL from a monitoring callback: CPython would look for the handler in the wrong place.
"""

# ruff: noqa: ANN001, ANN201  (native functions: every parameter and result is a word)
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from ...abi import LAYOUT
from ...abi.operands import top_first
from . import runtime_state as S
from .lowlevel import alloca, c, icall, ld32, ld64, native, st32, st64
from .runtime_exits import (
    BUILTIN_UNITS,
    D_KIND,
    DIRECT_DOOR,
    EVAL_UNITS,
    FUNCTION_DOOR,
    LOOP_DOOR,
    MISMATCH,
    RETURN,
    bound_of_thread,
    evaluate,
    fill_stack_none,
    lend_units,
    pop_frame,
    push_frame,
    return_units,
    run_exit,
    stack_low,
    watched,
)
from .runtime_state import (
    breaker_set,
    bump,
    call_hook,
    current_frame,
    drop,
    forget_frame_object,
    set_current_frame,
    slot_close,
    slot_new,
    table_find,
    table_row,
    take,
)

FEW_CALLS = 16  # so near to the recursion limit the interpreter goes on alone: regions that are Python code need some
FEW_UNITS = 60  # the same of C recursion (3.12, 3.13): a callback that cannot be called gives no answer, not even an error
ARGUMENTS = 0x7FFFFFFFFFFFFFFF  # without the flag that callers may set in nargsf
LAST_FIRST = int(top_first("locals"))  # in which order a frame lets go of its locals


@native(inline=True)
def small_int(obj):
    """The value of a non-negative int object below 2**30: bytecode offsets."""
    return ld32(obj + LAYOUT.INT_DIGITS)


@native
def loop_row(code, dst):
    """The row of a loop head, or of a function's start (dst -1); 0 if there are too many."""
    row = table_find(c.jc_state + S.LOOPS, code, dst)
    if row == 0:
        row = table_row(c.jc_state + S.LOOPS, code, dst)
        if row:
            threshold = ld64(c.jc_state + (S.LOOP_THRESHOLD if dst >= 0 else S.FUNCTION_THRESHOLD))
            st64(row + S.R_COUNT, threshold)
            st64(row + S.R_RESET, threshold)
    return row


@native
def disable():
    return take(ld64(c.jc_state + S.DISABLE))


@native
def call_region(entry, frame, ts, buf, units):
    """Run an entry's code; returns its exit's descriptor. `units` is what a level of recursion through this door costs.
    Handles the stress switch."""
    lent = lend_units(ts, units)
    if ld64(c.jc_state + S.FORCE_ENABLED) == 0:
        desc = icall(ld64(entry + S.E_FN), frame, ts, buf)
        return_units(ts, lent)
        return desc
    st64(c.jc_state + S.FORCE_COUNTER, ld64(c.jc_state + S.FORCE_TARGET))
    st64(c.jc_state + S.FORCED, 0)
    desc = icall(ld64(entry + S.E_FN), frame, ts, buf)
    return_units(ts, lent)
    target = 1
    if ld64(c.jc_state + S.FORCED):
        target = ld64(c.jc_state + S.FORCE_TARGET) + ld64(c.jc_state + S.FORCE_ENABLED)
    st64(c.jc_state + S.FORCE_TARGET, target)
    return desc


@native
def used(entry, ts):
    """Count a run of an entry; when it was used enough, say so once. The hook may run any code: the run must not have been
    taken off the entry's activations yet."""
    ticks = ld64(entry + S.E_TICKS)
    if ticks == 0:
        return 0
    left = ld64(ticks) - S.ENTRY_TICKS
    st64(ticks, left)
    if left >= 0 or breaker_set(ts):
        return 0  # with the breaker set a signal handler is due, and not in the hook: next time
    error = c.PyErr_GetRaisedException()
    st64(ticks, ARGUMENTS)  # a number that is never counted down to 0
    args = alloca(8)
    number = c.PyLong_FromLongLong(entry)
    if number:
        st64(args, number)
        result = call_hook(ts, ld64(c.jc_state + S.HOOK_TIER), args, 1)
        if result:
            drop(result)
        drop(number)
    else:
        c.PyErr_Clear()
    if error:
        c.PyErr_SetRaisedException(error)
    return 0


@native
def leave_entry(entry, ts):
    """A run has ended. The last one of a retired entry says so: its code may be freed, so nothing of the entry is
    touched after this. An exception that is on its way stays set."""
    used(entry, ts)
    left = ld64(entry + S.E_ACTIVATIONS) - 1
    st64(entry + S.E_ACTIVATIONS, left)
    if left or breaker_set(ts):
        return 0  # with the breaker set, whoever frees something next does this too
    if ld64(entry + S.E_RETIRED) or ld64(c.jc_state + S.EAGER):
        error = c.PyErr_GetRaisedException()
        result = call_hook(ts, ld64(c.jc_state + S.HOOK_IDLE), alloca(8), 0)
        if result:
            drop(result)
        if error:
            c.PyErr_SetRaisedException(error)
    return 0


@native
def enter_loop(entry, frame, ts):
    """Try one entry. Returns 1 if it ran, 0 if it does not fit."""
    buf = alloca(8 * ld64(entry + S.E_NBUF) + 64) + 16
    st64(buf - 8, bound_of_thread())  # where direct calls of the region find it
    tracing = ld32(ts + LAYOUT.TS_TRACING)
    st32(ts + LAYOUT.TS_TRACING, 0)
    st64(entry + S.E_ACTIVATIONS, ld64(entry + S.E_ACTIVATIONS) + 1)
    if LAYOUT.LOCALS_PROXY:
        forget_frame_object(frame)
    desc = call_region(entry, frame, ts, buf, EVAL_UNITS + BUILTIN_UNITS)
    ran = 0
    if desc:
        if ld64(desc + D_KIND) == MISMATCH:
            st64(desc, ld64(desc) + 1)
        else:
            ran = 1
    if ran:
        st64(entry + S.E_ENTRIES, ld64(entry + S.E_ENTRIES) + 1)
        bump(S.N_ENTRIES)
        run_exit(frame, ts, desc, buf, LOOP_DOOR)
        st64(entry + S.E_EXITS, ld64(entry + S.E_EXITS) + 1)
        bump(S.N_EXITS)
    else:
        # No Python code has run, so the entry cannot have been retired, and the chain is what it was.
        st64(entry + S.E_MISMATCHES, ld64(entry + S.E_MISMATCHES) + 1)
        bump(S.N_MISMATCHES)
        st64(entry + S.E_ACTIVATIONS, ld64(entry + S.E_ACTIVATIONS) - 1)
    st32(ts + LAYOUT.TS_TRACING, tracing)
    if ran:
        leave_entry(entry, ts)
    return ran


@native
def count_down(row, hook, code, dst):
    """One more event that no entry took. At zero the hook is called, and the counter starts again four times
    higher. Returns what the callback returns."""
    count = ld64(row + S.R_COUNT) - 1
    st64(row + S.R_COUNT, count)
    if count > 0:
        return c._Py_NoneStruct
    ts = c.PyThreadState_Get()
    if breaker_set(ts):
        # A signal handler is due, and would run in the hook: first the program gets it.
        st64(row + S.R_COUNT, 1)
        return c._Py_NoneStruct
    reset = ld64(row + S.R_RESET) * 4
    if reset <= 0:
        reset = 4
    if reset > S.MAX_RESET:
        reset = S.MAX_RESET
    st64(row + S.R_RESET, reset)
    st64(row + S.R_COUNT, reset)
    args = alloca(24)
    st64(args, code)
    n = 1
    if dst >= 0:
        offset = c.PyLong_FromLongLong(dst)
        if offset == 0:
            c.PyErr_Clear()
            return c._Py_NoneStruct
        st64(args + 8, offset)
        n = 2
    address = c.PyLong_FromLongLong(current_frame(ts))
    if address == 0:
        c.PyErr_Clear()
        return c._Py_NoneStruct
    st64(args + 8 * n, address)
    result = call_hook(ts, hook, args, n + 1)
    drop(address)
    if n == 2:
        drop(ld64(args + 8))
    if result == 0:
        return c._Py_NoneStruct
    if result == ld64(c.jc_state + S.DISABLE):
        return result
    drop(result)
    if ld64(row + S.R_FLAGS) & S.FLAG_NEVER:
        return disable()
    return c._Py_NoneStruct


@native(inline=True)
def nearly_deep(ts):
    """Whether the thread is so near to a recursion limit that nothing but the interpreter may go on."""
    if ld32(ts + LAYOUT.TS_PY_RECURSION_REMAINING) < FEW_CALLS:
        return 1
    if LAYOUT.TS_C_RECURSION:
        if ld32(ts + LAYOUT.TS_C_RECURSION) < FEW_UNITS:
            return 1
    return 0


@native(inline=True)
def outdated(ts, code):
    """Whether the interpreter would look, when it starts to run the code, which tools want to see it: since it last did, some tool's
    events have changed. So `watched` may not be true yet."""
    if LAYOUT.EVAL_BREAKER_IN_INTERP:
        now = ld64(ld64(ts + LAYOUT.TS_INTERP) + LAYOUT.INTERP_MONITORING_VERSION)
    else:
        now = ld64(ts + LAYOUT.EVAL_BREAKER_OFFSET) & ~LAYOUT.EVAL_BREAKER_MASK
    return now != ld64(code + LAYOUT.CODE_INSTRUMENTATION_VERSION)


@native
def jump_callback(self, args, nargs):
    """METH_FASTCALL (code, source offset, destination offset) for sys.monitoring's JUMP."""
    code = ld64(args)
    dst = small_int(ld64(args + 16))
    if dst > small_int(ld64(args + 8)):
        return disable()
    row = loop_row(code, dst)
    if row == 0:
        return disable()
    if ld64(row + S.R_FLAGS) & S.FLAG_NEVER:
        return disable()
    bump(S.N_EDGES)
    entry = ld64(row + S.R_HEAD)
    if entry:
        ts = c.PyThreadState_Get()
        if breaker_set(ts) or nearly_deep(ts):
            return c._Py_NoneStruct
        if watched(code) or stack_low():
            return c._Py_NoneStruct
        frame = current_frame(ts)
        while entry:
            following = ld64(entry + S.E_NEXT)
            if ld64(ld64(entry + S.E_VALID)):
                if enter_loop(entry, frame, ts):
                    return c._Py_NoneStruct
            entry = following
    return count_down(row, ld64(c.jc_state + S.HOOK_LOOP), code, dst)


@native
def start_callback(self, args, nargs):
    """METH_FASTCALL (code, offset) for sys.monitoring's PY_START."""
    code = ld64(args)
    row = loop_row(code, -1)
    if row == 0:
        return disable()
    if ld64(row + S.R_FLAGS) & S.FLAG_NEVER:
        return disable()
    bump(S.N_STARTS)
    return count_down(row, ld64(c.jc_state + S.HOOK_FUNCTION), code, -1)


# -- function door


@native
def function_row(func):
    """The row of a function, made if new; 0 if there are too many."""
    return table_row(c.jc_state + S.FUNCTIONS, func, 0)


@native
def call_original(func, args, nargsf, kwnames):
    """Let the interpreter do the call. It costs C stack, which the call would not have cost without a door."""
    ts = c.PyThreadState_Get()
    lent = lend_units(ts, EVAL_UNITS)
    result = icall(ld64(c.jc_state + S.FUNCTION_VECTORCALL), func, args, nargsf, kwnames)
    return_units(ts, lent)
    return result


@native
def give_back(func, row):
    """Make the function a plain one again, for the interpreter's specialised calls too."""
    st64(func + LAYOUT.FUNC_VECTORCALL, ld64(c.jc_state + S.FUNCTION_VECTORCALL))
    st32(func + LAYOUT.FUNC_VERSION, ld64(row + S.F_VERSION))
    return 0


@native
def call_deep(ts, func, row, args, nargsf, kwnames):
    """A call that finds the C stack low."""
    take(func)
    bump(S.N_DEEP)
    give_back(func, row)
    hook_args = alloca(8)
    st64(hook_args, func)
    result = call_hook(ts, ld64(c.jc_state + S.HOOK_DEEP), hook_args, 1)
    if result:
        drop(result)
    result = call_original(func, args, nargsf, kwnames)
    drop(func)
    return result


@native
def bind(frame, func, code, args, nargs):
    """Fill a new frame's parameters and free variables."""
    slots = frame + LAYOUT.FRAME_LOCALSPLUS
    i = 0
    while i < nargs:
        st64(slots + 8 * i, slot_new(ld64(args + 8 * i)))
        i += 1
    closure = ld64(func + LAYOUT.FUNC_CLOSURE)
    if closure:
        n = ld64(closure + LAYOUT.OB_SIZE)
        slots += 8 * (ld32(code + LAYOUT.CODE_NLOCALSPLUS) - n)
        i = 0
        while i < n:
            st64(slots + 8 * i, slot_new(ld64(closure + LAYOUT.TUPLE_ITEMS + 8 * i)))
            i += 1
    return 0


@native
def leave_frame(ts, frame, value, row):
    """Pop a frame whose function returns the value, as the interpreter would. Returns the result."""
    previous = ld64(frame + LAYOUT.FRAME_PREVIOUS)
    set_current_frame(ts, previous)
    if ld64(frame + LAYOUT.FRAME_OBJ):
        # Somebody holds the frame: the interpreter knows how to hand it over. It executes a return of None;
        # the value is ours. The value may be dropped by nobody else meanwhile, we own it.
        fill_stack_none(frame, ld32(ld64(row + S.F_CODE) + LAYOUT.CODE_NLOCALSPLUS))
        st64(frame + LAYOUT.FRAME_IP, ld64(row + S.F_RETURN) + LAYOUT.OWN_FRAME_IP_ADJUST)
        result = evaluate(ts, frame, 0)
        if result == 0:
            drop(value)
            return 0
        drop(result)
        return value
    slots = frame + LAYOUT.FRAME_LOCALSPLUS
    n = ld32(ld64(row + S.F_CODE) + LAYOUT.CODE_NLOCALSPLUS)
    i = 0
    while i < n:
        at = slots + 8 * (n - 1 - i if LAST_FIRST else i)
        bits = ld64(at)
        st64(at, LAYOUT.NULL_SLOT)
        slot_close(bits)
        i += 1
    slot_close(ld64(frame + LAYOUT.FRAME_FUNC))
    code = ld64(frame + LAYOUT.FRAME_CODE)
    pop_frame(ts, frame)
    slot_close(code)
    return value


@native
def enter_function(ts, func, row, entry, args, nargs):
    """Make the call's frame and run the entry on it. Returns the call's result."""
    code = ld64(row + S.F_CODE)
    caller = current_frame(ts)
    frame = push_frame(ts, func, code, caller, ld64(row + S.F_RESUME))
    bind(frame, func, code, args, nargs)
    set_current_frame(ts, frame)
    remaining = ts + LAYOUT.TS_PY_RECURSION_REMAINING
    st32(remaining, ld32(remaining) - 1)
    st64(entry + S.E_ACTIVATIONS, ld64(entry + S.E_ACTIVATIONS) + 1)
    buf = alloca(8 * ld64(entry + S.E_NBUF) + 64) + 16
    st64(buf - 8, bound_of_thread())  # where direct calls of the region find it
    bump(S.N_CALLS)
    desc = call_region(entry, frame, ts, buf, EVAL_UNITS)
    st32(remaining, ld32(remaining) + 1)
    kind = MISMATCH
    if desc:
        kind = ld64(desc + D_KIND)
    if kind == MISMATCH:
        if desc:
            st64(desc, ld64(desc) + 1)
        st64(entry + S.E_MISMATCHES, ld64(entry + S.E_MISMATCHES) + 1)
        bump(S.N_MISMATCHES)
        set_current_frame(ts, caller)
        st64(frame + LAYOUT.FRAME_IP, ld64(row + S.F_RESUME) + LAYOUT.OWN_FRAME_IP_ADJUST)
        result = evaluate(ts, frame, 0)
    else:
        st64(entry + S.E_ENTRIES, ld64(entry + S.E_ENTRIES) + 1)
        bump(S.N_ENTRIES)
        result = run_exit(frame, ts, desc, buf, FUNCTION_DOOR)
        if kind == RETURN:
            result = leave_frame(ts, frame, result, row)
        st64(entry + S.E_EXITS, ld64(entry + S.E_EXITS) + 1)
        bump(S.N_EXITS)
    leave_entry(entry, ts)
    return result


@native
def enter_direct(ts, func, entry, args, nargsf):
    """Run a function that has no frame: the first version that these arguments fit. Returns the call's result."""
    while entry:
        if ld64(ld64(entry + S.E_VALID)) and ld64(entry + S.E_DIRECT):
            st64(entry + S.E_ACTIVATIONS, ld64(entry + S.E_ACTIVATIONS) + 1)
            buf = alloca(8 * ld64(entry + S.E_NBUF) + 64) + 16
            st64(buf - 8, bound_of_thread())
            st64(buf - 16, current_frame(ts))
            bump(S.N_CALLS)
            desc = call_region(entry, args, ts, buf, EVAL_UNITS)
            kind = MISMATCH
            if desc:
                kind = ld64(desc + D_KIND)
            if kind != MISMATCH:
                st64(entry + S.E_ENTRIES, ld64(entry + S.E_ENTRIES) + 1)
                bump(S.N_ENTRIES)
                result = run_exit(0, ts, desc, buf, DIRECT_DOOR)
                if kind != RETURN:
                    st64(entry + S.E_EXITS, ld64(entry + S.E_EXITS) + 1)
                    bump(S.N_EXITS)
                leave_entry(entry, ts)
                return result
            if desc:
                st64(desc, ld64(desc) + 1)
            st64(entry + S.E_MISMATCHES, ld64(entry + S.E_MISMATCHES) + 1)
            bump(S.N_MISMATCHES)
            st64(entry + S.E_ACTIVATIONS, ld64(entry + S.E_ACTIVATIONS) - 1)
        entry = ld64(entry + S.E_NEXT)
    return call_original(func, args, nargsf, 0)


@native(inline=True)
def enter_entry(ts, func, row, entry, args, nargsf):
    """Run an entry of whichever kind. Returns the call's result."""
    if ld64(entry + S.E_DIRECT):
        return enter_direct(ts, func, entry, args, nargsf)
    return enter_function(ts, func, row, entry, args, nargsf & ARGUMENTS)


@native(inline=True)
def default_count(func):
    """How many of the last parameters have defaults."""
    defaults = ld64(func + LAYOUT.FUNC_DEFAULTS)
    if defaults == 0:
        return 0
    return ld64(defaults + LAYOUT.OB_SIZE)


@native
def enter_with_defaults(ts, func, row, entry, args, nargs, missing):
    """A call that leaves the last arguments to the defaults. These are held meanwhile: the program may give the function others."""
    defaults = take(ld64(func + LAYOUT.FUNC_DEFAULTS))
    given = alloca(8 * (nargs + missing))
    i = 0
    while i < nargs:
        st64(given + 8 * i, ld64(args + 8 * i))
        i += 1
    source = defaults + LAYOUT.TUPLE_ITEMS + 8 * (ld64(defaults + LAYOUT.OB_SIZE) - missing)
    i = 0
    while i < missing:
        st64(given + 8 * (nargs + i), ld64(source + 8 * i))
        i += 1
    result = enter_entry(ts, func, row, entry, given, nargs + missing)
    drop(defaults)
    return result


@native
def function_entry(func, args, nargsf, kwnames):
    """The vectorcall of functions with a door."""
    row = table_find(c.jc_state + S.FUNCTIONS, func, 0)
    if row == 0 or kwnames:
        return call_original(func, args, nargsf, kwnames)
    nargs = nargsf & ARGUMENTS
    missing = ld64(row + S.F_ARGCOUNT) - nargs
    if missing > default_count(func) or missing < 0 or ld64(func + LAYOUT.FUNC_CODE) != ld64(row + S.F_CODE):
        return call_original(func, args, nargsf, kwnames)
    entry = ld64(row + S.F_ENTRY)
    while entry:
        if ld64(ld64(entry + S.E_VALID)):
            break
        entry = ld64(entry + S.E_NEXT)
    if entry == 0:
        return call_original(func, args, nargsf, kwnames)
    ts = c.PyThreadState_Get()
    code = ld64(row + S.F_CODE)
    if breaker_set(ts) or outdated(ts, code) or watched(code):
        return call_original(func, args, nargsf, kwnames)
    if nearly_deep(ts):
        return call_original(func, args, nargsf, kwnames)
    if stack_low():
        return call_deep(ts, func, row, args, nargsf, kwnames)
    if missing:
        return enter_with_defaults(ts, func, row, entry, args, nargs, missing)
    return enter_entry(ts, func, row, entry, args, nargsf)
