"""The recorder on running programs: what it stores, where it ends, and that programs do not notice it."""

from __future__ import annotations

import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import pytest
from jitcore.backends.runtime import runtime
from jitcore.tracing.decode import code_info
from jitcore.tracing.profile import Observation, ProfileStore
from jitcore.tracing.recorder import Recorder, Recording, conflict, replay

from jitcore.abi import memory

MONITORING = sys.monitoring
JUMP = MONITORING.events.JUMP
INSTRUCTION = MONITORING.events.INSTRUCTION
TOOL = MONITORING.OPTIMIZER_ID


class Harness:
    """Starts a recording at the `at`-th back edge of a function's code, as the engine does."""

    def __init__(self) -> None:
        self.store = ProfileStore()
        self.done: list[Recording] = []
        self.answer: list[str | None] = []
        self.recorder = Recorder(TOOL, self.store, self.arm, runtime().observer)

    def arm(self, code: CodeType, on: bool) -> None:
        kept = self.kept.get(code, 0)
        MONITORING.set_local_events(TOOL, code, kept | INSTRUCTION if on else kept)

    def run(
        self, func: Callable[..., Any], *args: Any, at: int = 5, limit: int = 2000, rounds: int = 2
    ) -> Any:
        code = func.__code__
        self.kept: dict[CodeType, int] = {code: JUMP}
        edges = 0
        thread = threading.get_ident()

        def on_jump(jumping: CodeType, source: int, target: int) -> None:
            nonlocal edges
            if jumping is code and target < source and threading.get_ident() == thread:
                edges += 1
                if edges == at:
                    frame = memory.frame_address(sys._getframe(1))
                    start = self.recorder.start
                    self.answer.append(start(code, frame, target, limit, rounds, self.done.append))

        MONITORING.register_callback(TOOL, JUMP, on_jump)
        MONITORING.set_local_events(TOOL, code, JUMP)
        try:
            return func(*args)
        finally:
            MONITORING.set_local_events(TOOL, code, MONITORING.get_local_events(TOOL, code) & ~JUMP)
            MONITORING.register_callback(TOOL, JUMP, None)

    def seen(self, func: Callable[..., Any], op: str, nth: int = 0) -> Observation:
        found = [i for i in code_info(func.__code__).instructions if i.op == op]
        seen = self.store.get(func.__code__, found[nth].offset)
        assert seen is not None, f"{op} was not recorded"
        return seen


@pytest.fixture
def harness() -> Iterator[Harness]:
    MONITORING.use_tool_id(TOOL, "recorder tests")
    made = Harness()
    yield made
    made.recorder.stop("test over")
    MONITORING.free_tool_id(TOOL)


def helper(x: int) -> int:
    return x + 1


def test_a_simple_loop(harness: Harness) -> None:
    def f(n: int) -> float:
        t = 0.0
        for i in range(n):
            t = t + i
        return t

    assert harness.run(f, 50) == sum(range(50))
    (recording,) = harness.done
    assert recording.reason == "closed" and recording.code is f.__code__
    seen = harness.seen(f, "BINARY_OP")
    assert [set(kinds) for kinds in seen.operands] == [{float}, {int}]
    assert seen.results == {float}
    assert harness.seen(f, "FOR_ITER").not_taken >= 1
    assert MONITORING.get_local_events(TOOL, f.__code__) & INSTRUCTION == 0
    assert "FOR_ITER" in recording.dump()


def test_logs_can_be_replayed(harness: Harness) -> None:
    """A log says all that the recording has learnt."""

    class Both:
        def __init__(self, x: int) -> None:
            self.x = x

    def f(n: int) -> float:
        t, parts = 0.0, [1, 2.5, None]
        for i in range(n):
            t += helper(i) if i % 3 else abs(t)
            if i % 5 in parts:
                t -= Both(i).x
        return t

    harness.run(f, 60, rounds=9)
    (recording,) = harness.done
    again = ProfileStore()
    replay(recording, again)
    assert len(recording.codes) == 3 and recording.length == len(recording.events) > 50
    for code in recording.codes:
        first, second = harness.store.of(code), again.of(code)
        assert first.dump() == second.dump() and first.observations
        assert [o.items for o in first.observations.values()] == [o.items for o in second.observations.values()]
        assert [o.callees for o in first.observations.values()] == [o.callees for o in second.observations.values()]
    assert any(o.items == {int, float, type(None)} for o in again.of(f.__code__).observations.values())


def test_types_die_when_the_program_lets_go_of_them(harness: Harness) -> None:
    alive: list[weakref.ref[type]] = []

    def f(n: int) -> int:
        t = 0
        for i in range(n):
            one = type(f"Kind{i}", (), {"x": i})()
            alive.append(weakref.ref(type(one)))
            t += [one][0].x
            del one
            gc.collect()
            t += 100 * (alive[-1]() is not None)
        return t

    assert harness.run(f, 12, at=2, rounds=4) == 66
    assert any(kind == "GONE" for one in harness.store.of(f.__code__).observations.values() for kinds in one.operands for kind in kinds)


def test_many_callees_and_deep_calls(harness: Harness) -> None:
    """More code objects and live frames than the observer has room for."""
    space: dict[str, Any] = {}
    source = [f"def g{k}(x):\n return x + {k}\n" for k in range(60)]
    source.append("def deep(n):\n return n if n == 0 else 1 + deep(n - 1)\n")
    source.append("def f(n):\n t = 0\n for i in range(n):\n  t = " + " + ".join(f"g{k}(i)" for k in range(60)) + " + deep(30) - t\n return t\n")
    exec("".join(source), space)
    f, deep = space["f"], space["deep"]
    expected = f(20)
    assert harness.run(f, 20, at=4, limit=100000, rounds=2) == expected
    assert len(harness.done[0].codes) == 40

    def g(n: int) -> int:
        t = 0
        while n:
            n -= 1
            t += deep(90 if n % 2 else 3)
        return t

    assert harness.run(g, 20, at=4, limit=100000, rounds=3) == 930
    assert harness.done[1].reason in ("loops_inside", "closed")


def test_code_that_gets_hot_while_a_recording_is_ended(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector may run code of the program wherever a function of ours begins. What wants to record then has to wait."""
    observer = harness.recorder.observer
    end, answers = observer.end, []

    def begin_another() -> Any:
        frame = sys._getframe()
        found = harness.recorder.start(frame.f_code, memory.frame_address(frame), 0, 100, 1, harness.done.append)
        harness.recorder.stop("nested")
        answers.append(found)
        return end()

    monkeypatch.setattr(observer, "end", begin_another)

    def f(n: int) -> int:
        t = 0
        for i in range(n):
            t += helper(i)
        return t

    assert harness.run(f, 40) == 820
    assert answers == ["recording_lost"] and [r.reason for r in harness.done] == ["closed"]
    assert {code.co_name for code in harness.done[0].codes} == {"f", "helper"} and harness.done[0].length > 10
    monkeypatch.undo()
    assert harness.run(f, 40) == 820 and len(harness.done) == 2


@pytest.mark.parametrize("place", ["begin", "add"])
def test_code_that_gets_hot_while_a_recording_is_begun(harness: Harness, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """The same at the other end, also where the code that waits has no frame of the recording below it."""
    observer = harness.recorder.observer
    original, answers = getattr(observer, place), []

    def begin_another(*args: Any) -> Any:
        frame = sys._getframe()
        monkeypatch.undo()
        root, harness.recorder.root = harness.recorder.root, 0
        answers.append(harness.recorder.start(frame.f_code, memory.frame_address(frame), 0, 100, 1, harness.done.append))
        harness.recorder.stop("nested")
        harness.recorder.root = root
        return original(*args)

    monkeypatch.setattr(observer, place, begin_another)

    def f(n: int) -> int:
        t = 0
        for i in range(n):
            t += i
        return t

    assert harness.run(f, 40) == 780
    assert answers == ["recording_lost"] and [r.reason for r in harness.done] == ["closed"] and harness.done[0].length > 5
    assert harness.run(f, 40) == 780 and len(harness.done) == 2


def test_branches(harness: Harness) -> None:
    def f(n: int) -> int:
        t = 0
        for i in range(n):
            if i >= 0:
                t += 1
        return t

    assert harness.run(f, 30) == 30
    op = next(i.op for i in code_info(f.__code__).instructions if i.op.startswith("POP_JUMP"))
    seen = harness.seen(f, op)
    assert seen.taken + seen.not_taken >= 1 and 0 in (seen.taken, seen.not_taken)


def test_big_ints_are_told_from_small_ones(harness: Harness) -> None:
    def f(n: int) -> int:
        t = 1 << 70
        for i in range(n):
            t = t + i
        return t

    harness.run(f, 30)
    assert set(harness.seen(f, "BINARY_OP").operands[0]) == {"BIG_INT"}


def test_calls_are_followed(harness: Harness) -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

        def moved(self, by: int) -> int:
            return helper(self.x + by)

    def f(n: int) -> int:
        t = 0
        for i in range(n):
            t += Point(i).moved(2) + helper(i)
        return t

    assert harness.run(f, 20) == sum(2 * i + 4 for i in range(20))
    (recording,) = harness.done
    names = {code.co_name for code in recording.codes}
    assert names == {"f", "__init__", "moved", "helper"}
    assert harness.seen(helper, "BINARY_OP").operands[0] == {int}
    calls = [i for i in code_info(f.__code__).instructions if i.op == "CALL"]
    last = harness.store.get(f.__code__, calls[-1].offset)
    assert last is not None and list(last.callees) == [helper]
    for code in recording.codes:
        assert MONITORING.get_local_events(TOOL, code) & INSTRUCTION == 0


def test_generators_are_followed_into_loops_only(harness: Harness) -> None:
    def others(n: int) -> Iterator[int]:
        while n > 0:
            yield n
            n -= 4

    def numbers(n: int) -> Iterator[int]:
        yield from range(n)

    def f(n: int) -> int:
        t = 0
        for i in range(n):
            t += sum(numbers(i))
            for other in others(i):
                t += other
        return t

    assert harness.run(f, 10) == f(10)
    assert [code.co_name for code in harness.done[0].codes] == ["f", "others"]


def test_a_long_inner_loop_ends_the_recording(harness: Harness) -> None:
    def f(n: int) -> int:
        t = 0
        for i in range(n):
            for j in range(1000):
                t += j
            t -= i
        return t

    # The first back edge of the inner loop comes first: wait for one of the outer loop.
    assert harness.run(f, 4, at=1001) == 4 * 499500 - 6
    assert harness.done[0].reason == "loops_inside"


def test_the_end_of_the_function_ends_the_recording(harness: Harness) -> None:
    def f(n: int) -> int:
        t = 0
        while n:
            n -= 1
            t += n
        return t

    assert harness.run(f, 6, at=5, rounds=10) == 15
    assert harness.done[0].reason == "returned"


def test_the_limit_ends_the_recording(harness: Harness) -> None:
    def f(n: int) -> int:
        t = 0
        for i in range(n):
            t += i
        return t

    harness.run(f, 30, limit=4)
    assert harness.done[0].reason == "trace_too_long"
    assert len(harness.done[0].events) == 4


def test_exceptions_keep_their_meaning(harness: Harness) -> None:
    def risky(i: int) -> int:
        if i % 2:
            raise ValueError(i)
        return i

    def f(n: int) -> list[object]:
        out: list[object] = []
        for i in range(n):
            try:
                out.append(risky(i))
            except ValueError as error:
                trace = error.__traceback__
                assert trace is not None
                out.append((str(error), trace.tb_lineno, trace.tb_next is not None))
        return out

    expected = f(12)
    assert harness.run(f, 12, rounds=3) == expected
    assert harness.done[0].reason == "closed"


def test_an_exception_out_of_the_root_ends_the_recording(harness: Harness) -> None:
    def bad(n: int) -> int:
        for i in range(n):
            if i == 6:
                raise KeyError(i)
        return 0

    def good(n: int) -> int:
        t = 0
        for i in range(n):
            t += i
        return t

    with pytest.raises(KeyError):
        harness.run(bad, 20, at=6, rounds=50)
    assert harness.run(good, 30) == 435
    assert harness.answer[-1] is None


def test_reference_counts_stay(harness: Harness) -> None:
    values = [object() for _ in range(4)]

    def f(n: int) -> int:
        t = 0
        for i in range(n):
            v = values[i & 3]
            t += v is values[0]
        return t

    f(40)
    before = [sys.getrefcount(v) for v in values]
    harness.run(f, 40, rounds=5)
    assert [sys.getrefcount(v) for v in values] == before


def test_another_tool_is_respected(harness: Harness) -> None:
    def f(n: int) -> int:
        t = 0
        for i in range(n):
            t += i
        return t

    MONITORING.use_tool_id(4, "other")
    try:
        MONITORING.register_callback(4, INSTRUCTION, lambda code, offset: None)
        MONITORING.set_events(4, INSTRUCTION)
        assert conflict(TOOL) == "tool_conflict"
        assert harness.run(f, 30) == 435
    finally:
        MONITORING.set_events(4, 0)
        MONITORING.free_tool_id(4)
    assert harness.answer == ["tool_conflict"] and not harness.done
    assert conflict(TOOL) is None


def test_tracers_are_respected() -> None:
    before = sys.gettrace()
    sys.settrace(lambda *args: None)
    try:
        assert conflict(TOOL) == "tracing_active"
    finally:
        sys.settrace(before)


def test_other_threads_are_not_recorded(harness: Harness) -> None:
    stop = threading.Event()

    def f(n: int, text: object) -> int:
        t = 0
        for i in range(n):
            t += len(str(text)) + i
        return t

    def elsewhere() -> None:
        while not stop.is_set():
            f(20, 1.5)

    before = sys.getswitchinterval()
    worker = threading.Thread(target=elsewhere)
    sys.setswitchinterval(1e-5)
    try:
        worker.start()
        code_info(f.__code__)
        for _ in range(20):
            assert harness.run(f, 300, "ab", at=100, rounds=20) == 300 * 2 + 44850
    finally:
        stop.set()
        worker.join()
        sys.setswitchinterval(before)
    loads = [i for i in code_info(f.__code__).instructions if i.op in ("LOAD_FAST", "LOAD_FAST_BORROW")]
    text = f.__code__.co_varnames.index("text")
    (load,) = [i for i in loads if i.arg == text]
    seen = harness.store.get(f.__code__, load.offset)
    assert seen is not None and seen.results == {str}


FIRST = """
import jitcore
def inner(x):
    return x + 1
def run(n):
    i = 0
    while i < n:
        i = inner(i)
    return i
seen = []
jitcore.on("recorded", lambda event, details: seen.append(details["reason"]))
assert jitcore.jit(run)(20000) == 20000
assert seen and seen[0] == "closed", seen
"""


def test_the_first_recording_of_a_process_is_of_the_programs_frame() -> None:
    """Calls inside the loop come back to it; they do not end the recording."""
    import subprocess

    clean = {name: value for name, value in os.environ.items() if not name.startswith("JITCORE")}
    subprocess.run([sys.executable, "-c", FIRST], check=True, env=clean)
