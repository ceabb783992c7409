"""Probes of frames and of the thread state: what a running program shows of itself.

Small subject functions are run and looked at from inside. Words that change with every Python call (the
current frame, the top of the data stack, the recursion counters) are read through views, in one expression
without a call of Python code.
"""

from __future__ import annotations

import ctypes
import gc
import operator
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FrameType, FunctionType
from typing import Any

from . import memory
from .memory import symbol
from .probing import Mismatch, Probe, probe

_u64 = ctypes.c_uint64
_i32 = ctypes.c_int32


def _slot_of(code: CodeType, name: str) -> int:
    names = [
        *code.co_varnames,
        *(c for c in code.co_cellvars if c not in code.co_varnames),
        *code.co_freevars,
    ]
    return names.index(name)


def _subject(mark: object, look: Callable[..., object]) -> object:
    """A frame to look at: cells, an immortal local, one not yet bound, and a mark on the operand stack."""
    shared = mark
    none = None
    frame = sys._getframe()
    result = (mark, look(frame, lambda: shared), none)
    late = result
    return late


@probe("frame")
def _frame(p: Probe) -> None:
    mark = object()
    layout = p.layout

    def look(frame: FrameType, closure: Any) -> FrameType:
        code = frame.f_code
        base = p.pointed(id(frame), "FRAMEOBJ_FRAME")
        p.same("FRAME_CODE", p.slot(p.pointed(base, "FRAME_CODE")), id(code))
        p.same("FRAME_FUNC", p.slot(p.pointed(base, "FRAME_FUNC")), id(_subject))
        p.word_is(base, "FRAME_GLOBALS", id(frame.f_globals))
        p.word_is(base, "FRAME_BUILTINS", id(frame.f_builtins))
        p.word_is(base, "FRAME_LOCALS", 0)
        p.word_is(base, "FRAME_OBJ", id(frame))
        p.word_is(base, "FRAME_PREVIOUS", p.pointed(id(frame.f_back), "FRAMEOBJ_FRAME"))
        p.word_is(base, "FRAME_IP", id(code) + layout.CODE_BYTES + frame.f_lasti)
        p.same("FRAME_OWNER", p.bytes(base + layout.FRAME_OWNER, 1)[0], layout.OWNER_THREAD)
        p.same("FRAME_LOCALSPLUS", layout.FRAME_LOCALSPLUS, 8 * layout.FRAME_SPECIALS_WORDS)
        slots = base + layout.FRAME_LOCALSPLUS
        for name, value in (("mark", mark), ("look", look), ("frame", frame)):
            p.same("FRAME_LOCALSPLUS", p.slot(p.word(slots + 8 * _slot_of(code, name))), id(value))
        cell = closure.__closure__[0]
        p.same("FRAME_LOCALSPLUS", p.slot(p.word(slots + 8 * _slot_of(code, "shared"))), id(cell))
        p.same("TAGGED", p.word(slots + 8 * _slot_of(code, "none")), id(None) | int(layout.TAGGED))
        p.same("NULL_SLOT", p.word(slots + 8 * _slot_of(code, "late")), layout.NULL_SLOT)
        depth = len(code.co_varnames) + len(code.co_cellvars) + 1
        if layout.SP_IS_POINTER:
            p.word_is(base, "FRAME_SP", slots + 8 * depth)
        else:
            p.half_is(base, "FRAME_SP", depth)
        p.same("FRAME_SP", p.slot(p.word(slots + 8 * (depth - 1))), id(mark))
        if layout.VERSION >= (3, 13):  # a CALL is left after one unit and three of inline cache
            offset = int.from_bytes(p.bytes(base + layout.FRAME_RETURN_OFFSET, 2), "little")
            p.same("FRAME_RETURN_OFFSET", offset, 4)
        return frame

    kept: Any = _subject(mark, look)
    frame = kept[1]  # it has moved into its frame object
    base = p.pointed(id(frame), "FRAMEOBJ_FRAME")
    p.same("OWNER_FRAME_OBJECT", 0 < base - id(frame) < 4096, True)
    p.same("OWNER_FRAME_OBJECT", p.bytes(base + layout.FRAME_OWNER, 1)[0], layout.OWNER_FRAME_OBJECT)


def _written_to(write: Callable[[FrameType], object]) -> int:
    own = 1
    write(sys._getframe())
    return own


@probe("writing to f_locals")
def _written(p: Probe) -> None:
    p.same("LOCALS_PROXY", _written_to(lambda frame: frame.f_locals.update({"own": 2})) == 2, p.layout.LOCALS_PROXY)


_module_like = compile("look(getframe())", "<self-test>", "exec")


def _from_c(look: Callable[[FrameType], object]) -> None:
    """Run look with a frame that C code entered and that has a dict for its locals."""
    exec(_module_like, {"look": look, "getframe": sys._getframe}, {"own": 1})


@probe("frame entered from C")
def _entered(p: Probe) -> None:
    def look(frame: FrameType) -> None:
        base = p.pointed(id(frame), "FRAMEOBJ_FRAME")
        p.word_is(base, "FRAME_LOCALS", id(frame.f_locals))
        p.word_is(base, "FRAME_GLOBALS", id(frame.f_globals))
        before = p.pointed(base, "FRAME_PREVIOUS")
        p.same("OWNER_C", p.bytes(before + p.layout.FRAME_OWNER, 1)[0], p.layout.OWNER_C)

    _from_c(look)


def _over_list(values: list[Any], look: Callable[[FrameType], object]) -> None:
    for _ in values:
        look(sys._getframe())


@probe("for loops")
def _for(p: Probe) -> None:
    values = [object(), object()]
    found: list[int] = []

    def look(frame: FrameType) -> None:
        base = p.pointed(id(frame), "FRAMEOBJ_FRAME")
        stack = base + p.layout.FRAME_LOCALSPLUS + 8 * len(frame.f_code.co_varnames)
        found.append(p.word(stack))
        found.append(p.word(stack + 8))

    _over_list(values, look)
    if not p.layout.FOR_ITER_PAIR:
        p.same("FOR_ITER_PAIR", p.slot(found[0]) != id(values), True)
        return
    p.same("FOR_ITER_PAIR", [p.slot(found[0]), p.slot(found[2])], [id(values)] * 2)
    p.same("FOR_ITER_PAIR", [found[1], found[3]], [1 << 2 | 3, 2 << 2 | 3])


def _generator(look: Callable[[FrameType, BaseException], object]) -> Iterator[object]:
    try:
        raise KeyError("self-test")
    except KeyError as error:
        yield look(sys._getframe(), error)


def _delegating(look: Callable[..., object]) -> Iterator[object]:
    yield from _generator(look)


@probe("generator")
def _generators(p: Probe) -> None:
    layout = p.layout
    state = p.thread_state + layout.TS_EXC_INFO
    outside = p.pointed(p.thread_state, "TS_EXC_INFO")

    def look(frame: FrameType, error: BaseException) -> None:
        base = p.pointed(id(frame), "FRAMEOBJ_FRAME")
        p.same("OWNER_GENERATOR", p.bytes(base + layout.FRAME_OWNER, 1)[0], layout.OWNER_GENERATOR)
        inside = p.word(state)
        p.same("TS_EXC_INFO", abs(base - inside) < 1024, True)  # both are parts of the generator
        p.same("GEN_EXC", inside, base - layout.GEN_FRAME + layout.GEN_EXC)
        p.same("GEN_EXECUTING", p.bytes(base - layout.GEN_FRAME + layout.GEN_STATE, 1)[0], layout.GEN_EXECUTING)
        p.word_is(inside, "EXC_INFO_VALUE", id(error))
        p.word_is(inside, "EXC_INFO_PREVIOUS", outside)

    generator: Any = _generator(look)
    p.same("GEN_FRAME", p.pointed(id(generator.gi_frame), "FRAMEOBJ_FRAME"), id(generator) + layout.GEN_FRAME)
    next(generator)
    p.same("GEN_SUSPENDED", p.bytes(id(generator) + layout.GEN_STATE, 1)[0], layout.GEN_SUSPENDED)

    # A suspended generator goes on at the RESUME after its YIELD_VALUE; the first RESUME of the code comes
    # after RETURN_GENERATOR and POP_TOP.
    frame = generator.gi_frame
    base = p.pointed(id(frame), "FRAMEOBJ_FRAME")
    at = p.pointed(base, "FRAME_IP") - layout.OWN_FRAME_IP_ADJUST
    code = generator.gi_code.co_code
    offset = at - id(generator.gi_code) - layout.CODE_BYTES
    p.same("OWN_FRAME_IP_ADJUST", 0 < offset < len(code) and code[offset] == code[4], True)
    generator.close()

    if layout.VERSION < (3, 13):  # here calls leave no return offset, but SEND does
        outer: Any = _delegating(lambda frame, error: seen(frame.f_back))

        def seen(frame: FrameType) -> None:
            base = p.pointed(id(frame), "FRAMEOBJ_FRAME")
            offset = int.from_bytes(p.bytes(base + layout.FRAME_RETURN_OFFSET, 2), "little")
            argument = frame.f_code.co_code[frame.f_lasti - 1]  # SEND itself, before its one cache
            p.same("FRAME_RETURN_OFFSET", offset, argument)

        next(outer)
        outer.close()


@probe("thread state")
def _thread(p: Probe) -> None:
    layout = p.layout
    interpreter = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyInterpreterState_Get", ctypes.pythonapi))()
    p.word_is(p.thread_state, "TS_INTERP", interpreter)

    cell = p.thread_state + layout.TS_CURRENT_FRAME
    if layout.TS_CFRAME_INDIRECT:
        cell = p.view(cell, _u64).value
    view = p.view(cell, _u64)
    frame = sys._getframe()
    current = view.value
    p.same("TS_CURRENT_FRAME", current, p.pointed(id(frame), "FRAMEOBJ_FRAME"))


@probe("data stack")
def _data_stack(p: Probe) -> None:
    layout = p.layout
    chunk = p.view(p.thread_state + layout.TS_DATASTACK_CHUNK, _u64)
    top = p.view(p.thread_state + layout.TS_DATASTACK_TOP, _u64)
    limit = p.view(p.thread_state + layout.TS_DATASTACK_LIMIT, _u64)
    frame = sys._getframe()
    base = p.pointed(id(frame), "FRAMEOBJ_FRAME")
    here, end, old = top.value, limit.value, chunk.value
    size = p.half(id(frame.f_code) + layout.CODE_FRAMESIZE)
    p.same("TS_DATASTACK_TOP", here, base + 8 * size)
    p.same("TS_DATASTACK_LIMIT", here <= end, True)
    p.same("TS_DATASTACK_CHUNK", old < base, True)
    p.same("TS_DATASTACK_LIMIT", size_fits(p.word(old + layout.CHUNK_SIZE), end - old), True)
    room = (end - here) // 8
    if room > 10**6:
        return  # someone made a huge chunk; filling it would cost too much

    def look(frame: FrameType) -> None:
        new = chunk.value
        p.same("CHUNK_DATA", p.pointed(id(frame), "FRAMEOBJ_FRAME"), new + layout.CHUNK_DATA)
        p.word_is(new, "CHUNK_PREVIOUS", old)
        p.same("CHUNK_SIZE", size_fits(p.word(new + layout.CHUNK_SIZE), limit.value - new), True)
        p.same("CHUNK_TOP", old + layout.CHUNK_DATA + 8 * p.word(old + layout.CHUNK_TOP), here)

    # A frame too large for the room that is left makes the interpreter start another chunk.
    large = _calls_back.__code__.replace(co_stacksize=room + 16)
    FunctionType(large, globals())(look)


def size_fits(size: int, used: int) -> bool:
    """Whether a chunk of which `used` bytes are in use can have that size. 3.15 keeps a chunk for the next time and then
    may use less of it than there is."""
    return used <= size < 1 << 32 and size % 4096 == 0


def _calls_back(look: Callable[[FrameType], object]) -> None:
    look(sys._getframe())


@probe("recursion counters")
def _recursion(p: Probe) -> None:
    layout = p.layout
    p.half_is(p.thread_state, "TS_PY_RECURSION_LIMIT", sys.getrecursionlimit())
    left: Any = p.view(p.thread_state + layout.TS_PY_RECURSION_REMAINING, _i32)
    before = left.value
    p.same("TS_PY_RECURSION_REMAINING", 0 < before <= sys.getrecursionlimit(), True)
    p.same("TS_PY_RECURSION_REMAINING", (lambda: left.value)(), before - 1)
    if layout.TS_C_RECURSION:
        c_left: Any = p.view(p.thread_state + layout.TS_C_RECURSION, _i32)
        before = c_left.value
        p.same("TS_C_RECURSION", (lambda: c_left.value)(), before)
        inside: list[int] = []
        _from_c(lambda frame: inside.append(c_left.value))
        p.same("TS_C_RECURSION", 1 <= before - inside[0] <= 10, True)
    if layout.TS_C_STACK_SOFT_LIMIT:
        at = p.thread_state + layout.TS_C_STACK_SOFT_LIMIT
        highest, soft, hard = p.word(at - 8), p.word(at), p.word(at + 8)

        def look(frame: FrameType) -> None:
            # The frame before one entered from C lies on the C stack.
            there = p.pointed(p.pointed(id(frame), "FRAMEOBJ_FRAME"), "FRAME_PREVIOUS")
            p.same("TS_C_STACK_SOFT_LIMIT", 0 < hard < soft < there < highest, True)

        _from_c(look)


def _tools_of_events(p: Probe) -> list[int]:
    """Which tools watch each of the events of exceptions; nothing where that cannot be read."""
    base = p.pointed(p.thread_state, "TS_INTERP") + p.layout.INTERP_MONITORS
    try:
        return [p.bytes(base + number, 1)[0] for number in memory.event_numbers()]
    except Mismatch:
        return []


@probe("monitoring")
def _monitoring(p: Probe) -> None:
    """TS_TRACING is 0 in normal code and 1 in the callback of an event; tried with an event of our own."""
    layout = p.layout
    tracing: Any = p.view(p.thread_state + layout.TS_TRACING, _i32)
    if tracing.value:
        # We run in a trace function or a callback already, where no further event comes.
        p.same("TS_TRACING", 0 < tracing.value < 8, True)
        return
    monitoring = sys.monitoring
    tool = next((n for n in (4, 3, 5, 2, 1, 0) if monitoring.get_tool(n) is None), None)
    if tool is None:
        return
    code = (lambda: None).__code__.replace(co_name="<self-test>")
    target = FunctionType(code, {})
    seen: list[int] = []
    monitoring.use_tool_id(tool, "jitcore self-test")
    try:
        event = monitoring.events.PY_START
        monitoring.register_callback(tool, event, lambda *_: seen.append(tracing.value))
        monitoring.set_local_events(tool, code, event)
        target()
        data = p.pointed(id(code), "CODE_MONITORING")
        active = [p.view(data + layout.MONITORS_ACTIVE + k, ctypes.c_uint8).value for k in range(8)]
        p.same("MONITORS_ACTIVE", active[0] >> tool & 1, 1)
        p.same("MONITORS_ACTIVE", [bits >> tool & 1 for bits in active[1:]], [0] * 7)
        monitoring.set_local_events(tool, code, monitoring.events.JUMP)
        p.same("MONITORS_ACTIVE", p.view(data + layout.MONITORS_ACTIVE + 7, ctypes.c_uint8).value >> tool & 1, 1)
        monitoring.set_local_events(tool, code, 0)
        monitoring.register_callback(tool, event, None)
        # A global change, of an event that instruments no code, gives the interpreter a new version.
        monitoring.set_events(tool, monitoring.events.RAISE)
        raising = _tools_of_events(p)
        monitoring.set_events(tool, 0)
        # The field lies far behind others that depend on how CPython was built. Without it exceptions are left to the interpreter.
        found = [bits >> tool & 1 for bits in raising]
        memory.exceptions_proven = found == [int(event == "RAISE") for event in memory.EXCEPTION_EVENTS]
        memory.exceptions_proven &= not any(bits >> tool & 1 for bits in _tools_of_events(p))
    finally:
        monitoring.free_tool_id(tool)
    p.same("TS_TRACING", seen, [1])
    p.same("TS_TRACING", tracing.value, 0)
    stale = p.word(id(code) + layout.CODE_INSTRUMENTATION_VERSION)
    target()
    if layout.EVAL_BREAKER_IN_INTERP:
        now = p.word(p.pointed(p.thread_state, "TS_INTERP") + layout.INTERP_MONITORING_VERSION)
    else:
        p.same("INTERP_MONITORING_VERSION", layout.INTERP_MONITORING_VERSION, 0)
        now = p.word(p.thread_state + layout.EVAL_BREAKER_OFFSET) & ~0xFF
    p.same("CODE_INSTRUMENTATION_VERSION", now not in (0, stale), True)
    p.word_is(id(code), "CODE_INSTRUMENTATION_VERSION", now)


@probe("eval breaker")
def _eval_breaker(p: Probe) -> None:
    # Ask for a pending call and look before the interpreter can run it: list(map(...)) makes both calls
    # without executing a bytecode instruction in between. The pending call does no more than what the
    # interpreter does there anyway.
    layout = p.layout
    base = p.thread_state
    if layout.EVAL_BREAKER_IN_INTERP:
        base = p.pointed(base, "TS_INTERP")
    view: Any = p.view(base + layout.EVAL_BREAKER_OFFSET, _i32)
    if all(
        view.value & layout.EVAL_BREAKER_MASK for _ in range(100)
    ):  # another thread's wish for the GIL passes
        raise Mismatch("EVAL_BREAKER_OFFSET")
    if threading.current_thread() is not threading.main_thread():
        return  # pending calls are the main thread's
    prototype = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    add = prototype(("Py_AddPendingCall", ctypes.pythonapi))
    ask = partial(add, symbol("PyErr_CheckSignals"), None)
    asked, after = list(map(operator.call, [ask, partial(getattr, view, "value")]))
    p.same("EVAL_BREAKER_MASK", asked == 0 and after & layout.EVAL_BREAKER_MASK != 0, True)
    if not layout.COLLECTION_ASKED:
        return

    def wishes(call: Callable[[], object]) -> set[int]:
        """What stands there after the call, in several trials: another thread's wish for the GIL passes, and a collection may be due
        just then."""
        both: list[Any] = [call, partial(getattr, view, "value")]
        return {list(map(operator.call, both))[1] & layout.EVAL_BREAKER_MASK for _ in range(10)}

    calls = wishes(ask)
    p.same("COLLECTION_ASKED", any(not wish & layout.COLLECTION_ASKED for wish in calls), True)
    enough = gc.get_threshold()[0] + 100
    if gc.isenabled() and 100 < enough < 20_000:
        seen = wishes(partial(sorted, [()] * enough, key=list))  # so many lists at once
        # In a finalizer that a collection calls, nothing is asked for.
        p.same("COLLECTION_ASKED", layout.COLLECTION_ASKED in seen or seen == {0}, True)
