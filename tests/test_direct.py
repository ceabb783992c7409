"""Functions without an interpreter frame: recursion natively, leaving from the middle of it, and its limits.

Every function runs plain and under an engine with tiny thresholds; results, tracebacks, frames seen from outside, the
depth at which RecursionError comes and the reference counts of arguments must not differ.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from jitcore.optimizer.text import parse, show
from jitcore.optimizer.verify import verify

from jitcore import Engine

MODES: dict[str, dict[str, Any]] = {
    "llvm": {},
    "better code at once": {"tier_threshold": 1, "background": False},
    "every guard leaves": {"deopt_every": 1},
    "reference": {"backend": "reference"},
    "reference, every guard leaves": {"backend": "reference", "deopt_every": 1},
}


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def down(n: Any, acc: Any) -> Any:
    if n <= 0:
        return acc
    return down(n - 1, acc + n)


def divide(n: int) -> int:
    if n == 0:
        return 1 // n
    return divide(n - 1) + 1


def other_type(n: int) -> float:
    if n == 0:
        return 0.5
    return other_type(n - 1) + 1


def grows(n: int) -> int:
    if n == 0:
        return 1
    return grows(n - 1) * 10


def in_list(items: list[int], n: int) -> int:
    if n == 0:
        return 0
    items[n % 3] = n
    return in_list(items, n - 1) + items[n % 3]


def with_default(n: int, step: int = 2) -> int:
    return 0 if n <= 0 else 1 + with_default(n - step)


def even(n: int) -> bool:
    return n == 0 or odd(n - 1)


def odd(n: int) -> bool:
    return n != 0 and even(n - 1)


def frames_above(n: int) -> list[int]:
    if n == 0:
        frame: Any = sys._getframe()
        lines = []
        while frame is not None and frame.f_code.co_name == "frames_above":
            lines.append(frame.f_lineno)
            frame = frame.f_back
        return lines
    return frames_above(n - 1)


def in_loop(n: int) -> int:
    total = 0
    for k in range(n):
        total += fib(k % 9) - down(k % 5, k)
    return total


def many(n: int) -> int:
    total = 0
    for k in range(n):
        total += fib(k % 15)
    return total


def ackermann(m: int, n: int) -> int:
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1)
    return ackermann(m - 1, ackermann(m, n - 1))


def tree(n: int) -> int:
    return 1 if n == 0 else tree(n - 1) + tree(n - 1)


def step(n: int) -> int:
    return 0 if n == 0 else n + step(n - 1)


def caught(function: Callable[..., Any], *args: Any) -> Any:
    """What a call does, tracebacks included."""
    try:
        return function(*args)
    except Exception as error:
        lines = [(f.name, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
        return type(error).__name__, str(error), lines


def program() -> list[Any]:
    log: list[Any] = []
    items = [1, 2, 3]
    for k in range(40):
        log += [fib(k % 12), down(k, 1), other_type(k % 7), grows(k), in_list(items, k % 9), with_default(k)]
        log += [caught(divide, k % 5), even(k), ackermann(2, k % 4), in_loop(k), frames_above(k % 6)]
        log += [down(k, 0.5), down(True, k), down(2**70, -1) if k < 0 else 0]
    log.append(sys.getrefcount(items))
    log.append(down(100, 2**63 - 50))
    log += [caught(down, "a", 1), caught(fib, None), caught(fib, 3.0)]
    return log


def limits() -> list[Any]:
    log: list[Any] = []
    for depth in (100, 2000):
        result = caught(down, depth, 0)
        log.append((result[0], len(result[2])) if isinstance(result, tuple) else result)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(200_000)
    try:
        log += [down(100_000, 0), down(30_000, 0.0), grows(5000) % 7]
    finally:
        sys.setrecursionlimit(before)
    return log


def fresh(name: str) -> Callable[[], list[Any]]:
    """A function of this file from code objects of its own: what an earlier engine has given up in the others, and told the
    interpreter not to report again, stays so."""
    spec = importlib.util.spec_from_file_location("fresh_test_direct", __file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[], list[Any]] = getattr(module, name)
    return found


@pytest.mark.stress
@pytest.mark.parametrize("name", ["program", "limits"])
@pytest.mark.parametrize("mode", MODES)
def test_alike(mode: str, name: str) -> None:
    work = fresh(name)
    expected = work()
    # A higher limit for all but the depth at which it is hit: pytest's own frames differ from call to call only here.
    with Engine(threshold=3, function_threshold=3, exit_threshold=4, verify=True, **MODES[mode]) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        for _ in range(3):
            assert work() == expected
    stats = engine.stats()
    engine.close()
    assert "internal_error" not in stats.refusals
    # The reference backend leaves deep recursion to the interpreter; only a loop over tracebacks is left there.
    assert stats.native_entries > (100 if name == "program" else 0)


def test_recursion_stays_in_native_code() -> None:
    with Engine(function_threshold=5, threshold=5, background=False, deopt_every=0) as engine:
        for _ in range(10):
            tree(6)
        before = engine.stats().native_entries
        assert tree(14) == 2**14
        assert engine.stats().native_entries - before <= 30  # a call, and where signals or other threads came between
        assert "direct.call_i" in engine.explain(tree).regions[-1].after
    engine.close()


def test_memory_stays() -> None:
    def repeat(n: int) -> None:
        for _ in range(n):
            step(9)

    with Engine(function_threshold=3, exit_threshold=10**6, deopt_every=1, background=False) as engine:
        for _ in range(3):
            repeat(3000)
        before = sys.getallocatedblocks()
        repeat(3000)
        grown = sys.getallocatedblocks() - before
    engine.close()
    assert grown < 300


def test_text_of_a_direct_function() -> None:
    text = """graph "f" direct("io", "i")
block entry.0():
  %0:i = arg.i [index=0]
  %1:o = arg.o [index=1]
  direct.ready [target="self"] else resume before "guard" frame @f+4 call 4 func @f_function {0: box %0, 1: new %1} []
  %2:i = direct.call_i %0, %1 [target="self"] else suspended after "suspended" frame @f+8 call 4 func @f_function {0: box %0} []
  exit return before "return" = box %2
"""
    from jitcore.optimizer.text import Symbols

    symbols = Symbols(f=fib.__code__, f_function=fib)
    graph = parse(text, symbols)
    verify(graph)
    assert show(graph, symbols) == text


def test_a_function_that_only_native_code_calls_gets_better_code_when_its_count_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves to ask for that, by exits that may have been taken often before, and be far from being hot the next time."""
    expected = many(400)
    engine = Engine(threshold=100, function_threshold=100, background=False, tier_threshold=1_000_000_000)
    engine.register(fib)
    engine.register(many)
    engine.enable()
    try:
        for _ in range(6):
            assert many(400) == expected
        region = next(r for r in engine.regions if r.state == "live" and r.target is not None and r.code is fib.__code__)
        for block in region.descriptors.values():
            block.hot = 1 << 40
        left_at: list[int] = []
        tell = engine._hot_exit

        def told(exit_id: int) -> None:
            left_at.append(region.ticks.value)
            tell(exit_id)

        monkeypatch.setattr(engine, "_hot_exit", told)
        assert region.tier == "none" and region.ticks.value > 0
        region.ticks.value = 100
        assert many(400) == expected
        assert any(ticks < 0 for ticks in left_at)
        assert region.tier == "full"
    finally:
        engine.disable()
