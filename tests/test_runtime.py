"""The native runtime: loop doors with hand-made exits, and what goes wrong behind them."""

from __future__ import annotations

import ctypes
import dis
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from runtime_tools import (
    BOX_BOOL,
    BOX_FLOAT,
    BOX_INT,
    CALL_POISON,
    CONST,
    COPY_LOCAL,
    ENUMERATE,
    ERROR,
    JUMP,
    NEW,
    NULL,
    POISON,
    PY_START,
    RANGE,
    RANGE_ITER,
    RESUME,
    REVERSED_ITER,
    SAME,
    SEQUENCE_ITER,
    TAGGED,
    TOOL,
    TUPLE,
    ZIP,
    Descriptor,
    Frame,
    Region,
    after,
    back_edge,
    find,
    ip,
    line_start,
    loop_door,
    rt,
    run,
)

from jitcore.abi import LAYOUT, memory


@pytest.fixture(autouse=True)
def monitoring() -> Iterator[None]:
    sys.monitoring.use_tool_id(TOOL, "runtime tests")
    sys.monitoring.register_callback(TOOL, JUMP, rt.jump_callback)
    sys.monitoring.register_callback(TOOL, PY_START, rt.start_callback)
    yield
    sys.monitoring.free_tool_id(TOOL)
    rt.set_hooks(hot_loop=None, hot_exit=None, hot_function=None, deep_recursion=None)
    rt.set_threshold(1000)


def steady(action: Callable[[], Any], *objects: Any, rounds: int = 3000) -> None:
    """References to the objects and the number of memory blocks stay the same."""
    for _ in range(5):
        action()
    gc.collect()
    counts = [sys.getrefcount(o) for o in objects]
    gc.collect()
    blocks = sys.getallocatedblocks()
    for _ in range(rounds):
        action()
    gc.collect()
    grown = sys.getallocatedblocks() - blocks
    assert [sys.getrefcount(o) for o in objects] == counts
    assert abs(grown) < 100


def counting(n: Any) -> Any:
    i = s = 0
    x = None
    while True:
        if i >= n:
            break
        i += 1
        s += i
    return i, s, x


def test_write_back_of_every_kind_of_temp() -> None:
    code = counting.__code__
    head = back_edge(code)
    thing = object()
    temps = [
        (BOX_INT, 0),
        (BOX_INT, 1),
        (BOX_FLOAT, 2),
        (BOX_BOOL, 3),
        (NEW, 4),
        (CONST, id(thing)),
        (SAME, 5),
        (CONST, id(None)),
        (RANGE, 0, 5, 6),
        (SAME, 1),
        (COPY_LOCAL, code.co_varnames.index("n")),
        (TUPLE, 2, 9),
    ]
    frame = Frame(code, head, {"i": 0, "s": 1, "x": 11})
    region = Region(Descriptor(RESUME, temps, [frame]), [50, 1 << 62, 2.5, 1, id(thing), 90, 4])
    with loop_door(code, head, region):
        i, s, x = run(region, 3, counting, 50)
        assert (i, s) == (50, 1 << 62)
        assert x == (2.5, True, thing, thing, thing, None, range(50, 90, 4), 1 << 62, 50)
        assert x[7] is s
        steady(lambda: run(region, 3, counting, 50), thing, counting, code)
    assert counting(10) == (10, 55, None)
    assert region.entry.activations == 0 and region.entry.exits == region.entry.entries > 3000


def test_resume_in_the_middle() -> None:
    """The exit goes to another line than the jump's target."""
    code = counting.__code__
    head = back_edge(code)
    temps = [(BOX_INT, 0), (SAME, 0), (CONST, id("text"))]
    frame = Frame(code, line_start(code, 8), {"i": 0, "s": 1, "x": 2})
    region = Region(Descriptor(RESUME, temps, [frame]), [-7])
    with loop_door(code, head, region):
        assert run(region, 2, counting, 10) == (-7, -7, "text")


class Noisy:
    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def __del__(self) -> None:
        frame = sys._getframe(1)
        self.log.append(
            (frame.f_code.co_name, frame.f_locals.get("s"), frame.f_lineno - frame.f_code.co_firstlineno)
        )


def holding(n: int, log: list[Any]) -> Any:
    s: Any = Noisy(log)
    i = 0
    while True:
        if i >= n:
            break
        i += 1
    return s


def test_old_contents_are_dropped_after_the_new_are_stored() -> None:
    code = holding.__code__
    head = back_edge(code)
    frame = Frame(code, line_start(code, 7), {"s": 0})
    region = Region(Descriptor(RESUME, [(BOX_INT, 0)], [frame]), [77])
    log: list[Any] = []
    with loop_door(code, head, region):
        assert run(region, 2, holding, 10, log) == 77
        assert log == [("holding", 77, 7)]
        steady(lambda: (run(region, 2, holding, 10, log), log.clear()), Noisy, code)


def ranging(n: int) -> Any:
    seen = []
    for i in range(n):
        seen.append(i)
    return seen


def pair(temp: int, null: int) -> list[int]:
    """What a for loop keeps on the stack for an iterator."""
    return [temp, null] if LAYOUT.FOR_ITER_PAIR else [temp]


def test_range_iterator() -> None:
    code = ranging.__code__
    head = back_edge(code)
    temps = [(RANGE_ITER, 0, 1, 2), (NULL,)]
    region = Region(Descriptor(RESUME, temps, [Frame(code, head, {}, pair(0, 1))]), [100, 4, -10])
    with loop_door(code, head, region):
        assert run(region, 3, ranging, 6) == [0, 1, 2, 100, 90, 80, 70]
        steady(lambda: run(region, 3, ranging, 6), code, range)


def test_iterators_with_parts() -> None:
    """enumerate(zip(list, backwards, tuple), 70), each part at an index of its own."""
    code = ranging.__code__
    head = back_edge(code)
    xs, ys = [10, 11, 12, 13], (20, 21, 22, 23, 24)
    temps = [(NEW, 0), (CONST, id(ys)), (SAME, 0)]  # the plain parts, then rows of them
    temps += [(SEQUENCE_ITER, 0, 1, 1), (REVERSED_ITER, 2, 1, 2), (SEQUENCE_ITER, 1, 1, 3)]
    temps += [(ZIP, 3, 3, 0), (ENUMERATE, 6, 1, 4), (NULL,)]
    region = Region(Descriptor(RESUME, temps, [Frame(code, head, {}, pair(7, 8))]), [id(xs), 1, 2, 3, 70])
    with loop_door(code, head, region):
        assert run(region, 3, ranging, 6) == [0, 1, 2, (70, (11, 12, 23)), (71, (12, 11, 24))]
        steady(lambda: run(region, 3, ranging, 6), xs, ys, code)


def listing(xs: list[Any]) -> Any:
    seen = []
    for x in xs:
        seen.append(x)
    return seen


@pytest.mark.skipif(not LAYOUT.FOR_ITER_PAIR, reason="loops keep tagged indexes from 3.15 on")
def test_tagged_index() -> None:
    code = listing.__code__
    head = back_edge(code)
    xs = [1, 2, 3, 4, 5, 6]
    region = Region(Descriptor(RESUME, [(NEW, 0), (TAGGED, 1)], [Frame(code, head, {}, [0, 1])]), [id(xs), 4])
    with loop_door(code, head, region):
        assert run(region, 2, listing, xs) == [1, 2, 5, 6]
        steady(lambda: run(region, 2, listing, xs), xs, code)


def outer(n: int) -> Any:
    r = []
    i = 0
    while True:
        if i >= n:
            break
        i += 1
        try:
            r.append(inner(i, 2))
        except ZeroDivisionError as e:
            r.append(("caught", lines(e)))
    return r


def inner(a: int, b: int) -> Any:
    f = sys._getframe()
    c = middle(f.f_lineno - f.f_code.co_firstlineno, f.f_back.f_code.co_name)  # type: ignore[union-attr]
    return c


def middle(x: Any, y: Any) -> Any:
    d = 10 // x
    return "middle", d, y


def escaping(n: int) -> Any:
    i = 0
    while True:
        if i >= n:
            break
        i += 1
        inner(i, 2)


def lines(error: BaseException) -> list[tuple[str, int]]:
    found = []
    for summary, _ in traceback.walk_tb(error.__traceback__):
        found.append((summary.f_code.co_name, _ - summary.f_code.co_firstlineno))
    return found


def chain(function: Any, x: int, poison: bool = True, hot: int = 0) -> Region:
    """An exit in the middle of `middle`, called by `inner`, called by the function's frame."""
    code = function.__code__
    call = offsets(code, "CALL", line_of(function))[0]
    call_in = offsets(inner.__code__, "CALL", 2)[-1]
    # `a` of inner shows the same object as `i`; filling a slot consumes its temp.
    temps: list[tuple[int, ...]] = [(BOX_INT, 0), (CONST, id("text")), (BOX_INT, 1), (SAME, 2)]
    stack = []
    if function is outer:  # r.append is on the stack while inner is called
        temps += [(COPY_LOCAL, code.co_varnames.index("r")), (CONST, id(list.append))]
        stack = [5, 4]
    words = [*CALL_POISON, 2, 2] if poison else []
    after_in = after(inner.__code__, call_in)
    frames = [
        Frame(code, after(code, call), {"i": 2}, stack, call, poison=words),
        Frame(inner.__code__, after_in, {"a": 3}, (), call_in, inner, poison=words),  # type: ignore[arg-type]
        Frame(middle.__code__, line_start(middle.__code__, 1), {"x": 0, "y": 1}, (), -1, middle),  # type: ignore[arg-type]
    ]
    return Region(Descriptor(RESUME, temps, frames, hot=hot), [x, 8])


def line_of(function: Any) -> int:
    return 8 if function is outer else 6


def offsets(code: Any, name: str, line: int) -> list[int]:
    """Offsets of real calls on a line."""
    return [
        i.offset
        for i in dis.get_instructions(code)
        if i.opname == name and i.positions and i.positions.lineno == code.co_firstlineno + line
    ]


def test_inlined_callees_return() -> None:
    region = chain(outer, 5)
    code = outer.__code__
    with loop_door(code, back_edge(code, 0), region):
        result = run(region, 3, outer, 9)
        assert result[3] == ("middle", 2, "text") and len(result) == 5, result
        steady(lambda: run(region, 3, outer, 9), outer, inner, middle, code, inner.__code__, middle.__code__)


def test_inlined_callee_raises_into_the_real_frame() -> None:
    region = chain(outer, 0)
    code = outer.__code__
    with loop_door(code, back_edge(code), region):
        result = run(region, 3, outer, 9)
        assert result[3] == ("caught", [("outer", 8), ("inner", 2), ("middle", 1)]), result
        assert len(result) == 5
        steady(lambda: run(region, 3, outer, 9), outer, inner, middle, code, inner.__code__, middle.__code__)


def test_inlined_callee_raises_out_of_the_real_frame() -> None:
    region = chain(escaping, 0)
    code = escaping.__code__

    def again() -> Any:
        try:
            run(region, 3, escaping, 9)
        except ZeroDivisionError as error:
            return lines(error)[-3:]

    with loop_door(code, back_edge(code), region):
        assert again() == [("escaping", 6), ("inner", 2), ("middle", 1)]
        steady(again, escaping, inner, middle, code, inner.__code__, middle.__code__)


def guarded_division(n: int, d: Any) -> Any:
    i = 0
    r = []
    while True:
        if i >= n:
            break
        i += 1
        try:
            r.append(i // d)
        except LookupError as e:
            r.append((e, lines(e)))
    return r


def test_error_in_the_real_frame() -> None:
    code = guarded_division.__code__
    head = back_edge(code)
    error = LookupError("stored")
    at = find(code, "BINARY_OP", 1)
    temps = [
        (CONST, id(list.append)),
        (COPY_LOCAL, code.co_varnames.index("r")),
        (POISON,),
        (BOX_INT, 0),
        (BOX_INT, 0),
    ]
    frame = Frame(code, at, {"i": 4}, [0, 1, 2, 3])
    region = Region(Descriptor(ERROR, temps, [frame]), [5], error)

    def again() -> Any:
        error.__traceback__ = None
        return run(region, 3, guarded_division, 6, 1)

    with loop_door(code, head, region):
        result = again()
        assert (
            result[3] == (error, [("guarded_division", 8)]) and result[:3] == [1, 2, 3] and result[4:] == [6]
        )
        steady(again, error, code)


def test_error_in_an_inlined_frame() -> None:
    """The innermost frame, our own, is thrown into at its raising instruction."""
    error = LookupError("stored")
    code, callee = escaping.__code__, guarded_division.__code__
    call = offsets(code, "CALL", 6)[0]
    at = find(callee, "BINARY_OP", 1)
    made: list[Any] = []
    temps = [(BOX_INT, 0), (BOX_INT, 1), (BOX_INT, 1), (NEW, 2)]
    throw = 2 if not LAYOUT.OWN_FRAME_IP_ADJUST else 0
    frames = [
        Frame(code, after(code, call), {"i": 0}, (), call, poison=[*CALL_POISON, 2, 2]),
        Frame(callee, at, {"n": 1, "i": 2, "r": 3}, (), at, guarded_division, throw=throw),  # type: ignore[arg-type]
    ]
    region = Region(Descriptor(ERROR, temps, frames), [100, 3, id(made)], error)

    def again() -> Any:
        error.__traceback__ = None
        made.clear()
        run(region, 3, escaping, 9)
        return made

    with loop_door(code, back_edge(code), region):
        assert again() == [(error, [("guarded_division", 8)])]
        steady(again, error, code, callee, guarded_division)


def test_deep_chain_grows_the_data_stack() -> None:
    """More frames than a chunk of the data stack holds."""
    code = escaping.__code__
    call = offsets(code, "CALL", 6)[0]
    call_in = offsets(relay.__code__, "CALL", 1)[-1]
    depth = 400
    middles = [Frame(relay.__code__, after(relay.__code__, call_in), {}, (), call_in, relay)] * depth  # type: ignore[arg-type]
    last = Frame(middle.__code__, line_start(middle.__code__, 1), {"x": 1}, (), -1, middle)  # type: ignore[arg-type]
    temps = [(BOX_INT, 0), (BOX_INT, 1)]
    first = Frame(code, after(code, call), {"i": 0}, (), call, poison=[*CALL_POISON, 2, 2])
    region = Region(Descriptor(RESUME, temps, [first, *middles, last]), [100, 0])
    with loop_door(code, back_edge(code), region):
        for _ in range(3):
            with pytest.raises(ZeroDivisionError) as caught:
                run(region, 3, escaping, 9)
            assert [name for name, _ in lines(caught.value)].count("relay") == depth


def relay(x: Any) -> Any:
    return middle(x, x)


# -- the poison object


def test_poison_in_every_slot() -> None:
    kind = rt.poison_type
    assert kind.__name__ == "Poison"

    def fresh(error: BaseException) -> Any:
        poison = object.__new__(kind)
        memory.incref(id(error))
        ctypes.c_int64.from_address(id(poison) + 16).value = id(error)
        return poison

    def enter(p: Any) -> None:
        with p:
            pass

    uses: dict[str, Callable[[Any], Any]] = {
        "add": lambda p: p + 1,
        "reflected": lambda p: 1 + p,
        "inplace": lambda p: exec("p += 1", {"p": p}),
        "power": lambda p: p**2,
        "matmul": lambda p: p @ p,
        "call": lambda p: p(1),
        "keywords": lambda p: p(*[1], a=2),
        "item": lambda p: p[0],
        "slice": lambda p: p[0:1],
        "store": lambda p: exec("p[0] = 1", {"p": p}),
        "attribute": lambda p: p.x,
        "method": lambda p: p.m(1),
        "assign": lambda p: setattr(p, "x", 1),
        "iter": lambda p: [0 for _ in p],
        "next": lambda p: next(p),
        "unpack": lambda p: [a for a, b in [p]],
        "less": lambda p: p < 1,
        "equal": lambda p: p == 1,
        "contains": lambda p: 1 in p,
        "bool": lambda p: not p,
        "negative": lambda p: -p,
        "invert": lambda p: ~p,
        "len": lambda p: len(p),
        "hash": lambda p: hash(p),
        "str": lambda p: str(p),
        "format": lambda p: f"{p!s}",
        "repr": lambda p: repr(p),
        "int": lambda p: int(p),
        "index": lambda p: [1][p],
        "with": enter,
    }
    for name, use in uses.items():
        error = RuntimeError(name)
        with pytest.raises(RuntimeError) as caught:
            use(fresh(error))
        assert caught.value is error
        with pytest.raises(SystemError):
            used = fresh(error)
            with pytest.raises(RuntimeError):
                use(used)
            use(used)

    def again() -> None:
        p = fresh(error)
        try:
            p + 1
        except RuntimeError:
            error.__traceback__ = None
        fresh(error)

    del caught, used
    steady(again, error, kind)


# -- chains, counters, hooks


def test_entries_are_tried_in_turn() -> None:
    code = counting.__code__
    head = back_edge(code)

    def exit_with(value: int) -> Region:
        return Region(Descriptor(RESUME, [(BOX_INT, 0)], [Frame(code, head, {"i": 0})]), [value])

    first, second, third = exit_with(20), exit_with(30), exit_with(40)
    with loop_door(code, head, first, second, third):
        first.trigger.value, second.trigger.value, third.trigger.value = 3, 100, 100
        assert counting(20)[0] == 20 and first.exit.count == 1
        assert third.entry.mismatches == 3 and second.entry.mismatches == 3
        second.valid.value = 0
        first.trigger.value, second.trigger.value = 100, 1
        assert counting(20)[0] == 20 and second.exit.count == 0 and second.trigger.value == 1
        rt.remove_loop(code, head, second.entry)
        first.trigger.value = 2
        assert counting(20)[0] == 20 and first.exit.count == 2


def test_hot_loop_hook_backs_off() -> None:
    calls: list[Any] = []

    def hot(code: Any, offset: int, frame: int) -> None:
        calls.append((code, offset, memory.slot_object(memory.read64(frame + LAYOUT.FRAME_CODE)) == id(code)))

    def fresh(n: int) -> int:
        i = 0
        while True:
            if i >= n:
                break
            i += 1
        return i

    rt.set_hooks(hot_loop=hot)
    rt.set_threshold(10)
    sys.monitoring.set_local_events(TOOL, fresh.__code__, JUMP)
    fresh(9)
    assert not calls
    fresh(1)
    assert calls == [(fresh.__code__, back_edge(fresh.__code__), True)]
    fresh(39)
    assert len(calls) == 1
    fresh(1)
    assert len(calls) == 2
    rt.set_counter(fresh.__code__, back_edge(fresh.__code__), 2)
    fresh(2)
    assert len(calls) == 3
    before = rt.counters()["back_edges"]
    rt.set_never(fresh.__code__, back_edge(fresh.__code__))
    fresh(1000)
    assert rt.counters()["back_edges"] == before and len(calls) == 3


def test_hook_may_disable_and_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_value))
    error = ValueError("in the hook")
    answers: list[Any] = [error, sys.monitoring.DISABLE]

    def hot(code: Any, offset: int, frame: int) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def fresh(n: int) -> int:
        i = 0
        while True:
            if i >= n:
                break
            i += 1
        return i

    rt.set_hooks(hot_loop=hot)
    rt.set_threshold(1)
    sys.monitoring.set_local_events(TOOL, fresh.__code__, JUMP)
    assert fresh(1) == 1
    assert reported == [error]
    assert fresh(100) == 100 and not answers


def test_hot_exit_hook_sees_the_restored_frame() -> None:
    code = counting.__code__
    head = back_edge(code)
    seen: list[Any] = []
    rt.set_hooks(hot_exit=lambda number, c, frame: seen.append((number, c, sys._getframe(1).f_locals["s"])))
    frame = Frame(code, head, {"i": 0, "s": 1})
    region = Region(Descriptor(RESUME, [(BOX_INT, 0), (BOX_INT, 1)], [frame], hot=2, number=41), [50, 9])
    with loop_door(code, head, region):
        run(region, 2, counting, 50)
        assert not seen
        run(region, 2, counting, 50)
        run(region, 2, counting, 50)
    assert seen == [(41, code, 9)]


def test_hot_exit_hook_of_an_inlined_frame() -> None:
    seen: list[Any] = []

    def hot(number: int, code: Any, frame: int) -> None:
        caller = sys._getframe(1)
        seen.append((code, [caller.f_code.co_name, caller.f_back.f_code.co_name]))  # type: ignore[union-attr]

    rt.set_hooks(hot_exit=hot)
    region = chain(outer, 5, hot=1)
    with loop_door(outer.__code__, back_edge(outer.__code__), region):
        assert run(region, 3, outer, 9)[3] == ("middle", 2, "text")
    assert seen == [(middle.__code__, ["middle", "inner"])]


def test_hot_function_hook() -> None:
    calls: list[Any] = []

    def hot(code: Any, frame: int) -> Any:
        calls.append(code)
        return sys.monitoring.DISABLE

    def fresh() -> int:
        return 1

    rt.set_hooks(hot_function=hot)
    rt.set_threshold(1000, 5)
    sys.monitoring.set_local_events(TOOL, fresh.__code__, PY_START)
    for _ in range(20):
        fresh()
    assert calls == [fresh.__code__]


def test_forward_jumps_are_disabled() -> None:
    code = counting.__code__
    line = line_start(code, 1)
    assert rt.jump_callback(code, line, line + 20) is sys.monitoring.DISABLE


def test_monitoring_sees_inlined_callees_but_not_hooks() -> None:
    """Callees run with events on; the tracing counter is as before afterwards."""
    started: list[str] = []
    other = 4
    sys.monitoring.use_tool_id(other, "other")
    try:
        sys.monitoring.register_callback(other, PY_START, lambda code, offset: started.append(code.co_name))
        sys.monitoring.set_local_events(other, leaf.__code__, PY_START)
        code = escaping.__code__
        call = offsets(code, "CALL", 6)[0]
        frames = [
            Frame(code, after(code, call), {"i": 0}, (), call),
            Frame(
                caller_of_leaf.__code__, line_start(caller_of_leaf.__code__, 1), {}, (), -1, caller_of_leaf
            ),  # type: ignore[arg-type]
        ]
        region = Region(Descriptor(RESUME, [(BOX_INT, 0)], frames), [100])
        with loop_door(code, back_edge(code), region):
            run(region, 3, escaping, 9)
        assert started == ["leaf"]
    finally:
        sys.monitoring.free_tool_id(other)


def leaf() -> int:
    return 1


def caller_of_leaf() -> int:
    return leaf()


def test_helpers() -> None:
    value = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.py_object, ctypes.c_void_p)(rt.helper("long_value"))
    ok = ctypes.c_int64(5)
    for n in (0, 1, -1, 257, 1 << 30, -(1 << 59), (1 << 63) - 1, -(1 << 63)):
        assert value(n, ctypes.addressof(ok)) == n and ok.value == 1
    for other in (1 << 63, -(1 << 63) - 1, True, 1.0, "x", 10**50):
        value(other, ctypes.addressof(ok))
        assert ok.value == 0
    assert ip(counting.__code__, 0) == id(counting.__code__) + LAYOUT.CODE_BYTES


def test_pending_signals_go_first() -> None:
    """With the eval breaker set the door stays shut: a signal arrives as it would have."""
    code = counting.__code__
    head = back_edge(code)
    region = Region(Descriptor(RESUME, [(BOX_INT, 0)], [Frame(code, head, {"i": 0})]), [50])
    got: list[int] = []

    old = signal.signal(signal.SIGUSR1, lambda number, frame: got.append(frame.f_locals["i"]))  # type: ignore[union-attr]
    try:
        with loop_door(code, head, region):
            region.trigger.value = 10**9
            timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            counting(3_000_000)
            timer.join()
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert len(got) == 1 and 0 < got[0] < 3_000_000


def test_interrupt_in_a_hook_reaches_the_program() -> None:
    def hot(code: Any, offset: int, frame: int) -> None:
        raise KeyboardInterrupt

    def fresh(n: int) -> int:
        i = 0
        while True:
            if i >= n:
                break
            i += 1
        return i

    rt.set_hooks(hot_loop=hot)
    rt.set_threshold(5)
    sys.monitoring.set_local_events(TOOL, fresh.__code__, JUMP)
    with pytest.raises(KeyboardInterrupt):
        fresh(100_000)


def test_region_in_other_threads() -> None:
    code = counting.__code__
    head = back_edge(code)
    region = Region(Descriptor(RESUME, [(BOX_INT, 0)], [Frame(code, head, {"i": 0})]), [50])
    results: list[Any] = []
    with loop_door(code, head, region):
        region.trigger.value = 1000
        threads = [threading.Thread(target=lambda: results.append(counting(100_000)[0])) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [100_000] * 4 and region.exit.count == 1


def test_forced_exits_go_on_one_guard_further() -> None:
    """A region of three guards, as compiled code counts them."""
    code = counting.__code__
    head = back_edge(code)
    frame = Frame(code, head, {"x": 0})
    exits = [Descriptor(RESUME, [(BOX_INT, 0)], [frame]) for _ in range(4)]
    parts = []
    for n, exit in enumerate(exits[:3]):
        parts.append(f"""
  %c{n} = load i64, ptr @force_counter
  %d{n} = sub i64 %c{n}, 1
  store i64 %d{n}, ptr @force_counter
  %z{n} = icmp eq i64 %d{n}, 0
  br i1 %z{n}, label %out{n}, label %next{n}
out{n}:
  store i64 1, ptr @forced
  ret i64 {exit.address}
next{n}:""")
    text = f"""
@force_counter = external global i64
@forced = external global i64
define i64 @region(i64 %f, i64 %t, i64 %b) {{
  %p = inttoptr i64 %b to ptr
  store i64 5, ptr %p
{"".join(parts)}
  ret i64 {exits[3].address}
}}
"""
    module = rt.jit.compile_ir(text, rt.symbols, ["region"])
    valid = ctypes.c_int64(1)
    entry = rt.install_loop(code, head, module.address("region"), 1, ctypes.addressof(valid))
    rt.set_deopt_every(1)
    sys.monitoring.set_local_events(TOOL, code, JUMP)
    try:
        counting(10)
    finally:
        rt.set_deopt_every(0)
        sys.monitoring.set_local_events(TOOL, code, 0)
        rt.remove_loop(code, head, entry)
    assert [e.count for e in exits] == [3, 3, 2, 2]
