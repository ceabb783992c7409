"""Methods as functions without a frame: called by native code with what exists for the call only, made anew under their callers,
replaced by the program."""

from __future__ import annotations

import gc
import sys
import traceback
import weakref
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import pytest
from engine_modes import MODES, engine_with, entries_when_warm, nobody_sees
from jitcore.tracing.methods import holders

from jitcore import Engine


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with({"function_threshold": 15, **MODES[request.param]})


class Point:
    def __init__(self, x: Any) -> None:
        self.x = x

    def weigh(self, other: Any, n: int) -> Any:
        """Large enough to be called."""
        total = 0
        for k in range(n):
            total += self.x * other.x + k
            if total > 1000:
                total -= 1000
            if total % 3 == 0:
                total += 1
            elif total % 5 == 0:
                total += 2
            elif total % 7 == 0:
                total -= 3
        if n > 3 and self.x % 11 == 10:
            total = total * 2 + 1
        return total

    @property
    def twice(self) -> Any:
        return self.weigh(self, 2) + self.weigh(self, 3)

    @classmethod
    def made(cls, x: Any) -> Any:
        point = cls(x)
        return point.weigh(point, 4) + cls(x).weigh(point, 1)

    @staticmethod
    def both(a: Any, b: Any) -> Any:
        return a.weigh(b, 2) + b.weigh(a, 3) - a.weigh(a, 4)


def temporaries() -> Any:
    return [Point(k).weigh(Point(k + 1), k % 6) for k in range(150)]


ended: list[Any] = []


class Mortal(Point):
    def __del__(self) -> None:
        ended.append(self.x)


def mortal_temporaries() -> Any:
    """They end when the callee does, and not before its result is there."""
    ended.clear()
    for k in range(120):
        ended.append(("result", Mortal(k).weigh(Mortal(-k), k % 6)))
    return list(ended)


def kinds_of_calls() -> Any:
    out = []
    for k in range(120):
        one = Point(k) if k < 70 else Mortal(k)
        out.append((one.twice, Point.made(k), Mortal.made(k), Point.both(one, Point(3))))
    return out


def late_types() -> Any:
    """The callee is made again, under callers that go on calling it."""
    out = []
    for k in range(200):
        x: Any = k if k < 80 else (k + 0.5 if k < 140 else (1 << 70) + k)
        out.append(Point(x).weigh(Point(2), k % 5))
    return out


def other_weigh(self: Any, other: Any, n: int) -> Any:
    return "other"


def replaced() -> Any:
    """The method is another one from the next call on."""
    original = Point.weigh
    out = []
    try:
        for k in range(200):
            if k == 80:
                Point.weigh = other_weigh  # type: ignore[method-assign]
            if k == 110:
                Point.weigh = original  # type: ignore[method-assign]
            if k == 150:
                Mortal.weigh = other_weigh  # type: ignore[method-assign]
            if k == 170:
                del Mortal.weigh
            one = Mortal(k) if k & 1 else Point(k)
            if k == 190:
                one.weigh = lambda other, n: "own"  # type: ignore[method-assign]
            out.append(one.weigh(one, 3))
    finally:
        Point.weigh = original  # type: ignore[method-assign]
    return out


class Even:
    def __init__(self, partner: Any) -> None:
        self.partner = partner
        self.calls = 0

    def walk(self, n: int, odd: bool) -> Any:
        self.calls += 1
        if n <= 0:
            return self.calls & 1, odd
        if n % 5 == 0:
            return self.walk(n - 1, not odd)
        if n % 7 == 0 and self.calls > 3:
            return self.partner.walk(n - 2, odd)
        return self.partner.walk(n - 1, not odd)


class Odd(Even):
    def walk(self, n: int, odd: bool) -> Any:
        self.calls += 2
        if n <= 0:
            return self.calls & 3, not odd
        if n % 3 == 0:
            return self.partner.walk(n - 2, odd)
        if n % 11 == 0:
            return super().walk(n - 1, odd)
        return self.partner.walk(n - 1, not odd)


def mutual() -> Any:
    """Each calls the other, of which there is no code yet when it is made."""
    even = Even(None)
    odd = Odd(even)
    even.partner = odd
    return [even.walk(k % 30, False) for k in range(150)], even.calls, odd.calls


class Loud(Point):
    def weigh(self, other: Any, n: int) -> Any:
        total = super().weigh(other, n)
        if n == 5 and self.x > 90:
            raise KeyError(self.x)
        return total + self.x


def raising() -> Any:
    out: list[Any] = []
    for k in range(150):
        try:
            out.append(Loud(k).weigh(Loud(2), k % 6))
        except KeyError as error:
            lines = traceback.extract_tb(error.__traceback__)
            out.append((error.args, [(line.name, line.lineno) for line in lines]))
    return out


class Deep:
    def fall(self, n: Any, what: Any) -> Any:
        if n == 0:
            return what
        if n % 2:
            return self.fall(n - 1, what)
        return self.fall(n - 1, [what])


def deep() -> Any:
    one = Deep()
    out = []
    for k in (5, 30, 100, 10**6):
        try:
            out.append(str(one.fall(k, 1)).count("["))
        except RecursionError as error:
            out.append(str(error).split(" while")[0])
    return out


LARGE = """
    for k in range(3):
        t += k * n
    if t > 1000:
        t -= 1000
    elif t % 3 == 1:
        t += 2
"""
exec(f"def heavy(self, n, other, more):\n    t = 0\n{LARGE * 7}\n    return t + self.x - other.x + more.x\n")
heavy: Any = globals()["heavy"]


class Heavy(Mortal):
    heavy = heavy
    __call__ = heavy


def large_calls_of_temporaries() -> Any:
    """What several arguments of a native call have been made for ends in the interpreter's order."""
    ended.clear()
    lasting = Mortal(5000)
    for k in range(100):
        heavy(Mortal(k), k, Mortal(1000 + k), Mortal(2000 + k))
        ended.append("function")
        Heavy(k).heavy(k, Mortal(1000 + k), lasting if k % 3 else Mortal(2000 + k))
        ended.append("method")
        Heavy(k)(k, Mortal(1000 + k), Mortal(2000 + k))
        ended.append("call")
        bound = Heavy(k).heavy
        bound(k, Mortal(1000 + k), Mortal(2000 + k))
        ended.append("bound")
    del lasting, bound
    return list(ended)


PROGRAMS = [temporaries, mortal_temporaries, kinds_of_calls, late_types, replaced, mutual, raising, deep, large_calls_of_temporaries]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_programs(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)


def made_here() -> Any:
    class Local:
        def work(self, n: int) -> int:
            total = 0
            for k in range(n):
                total += k
            return total

    return Local


class Outer:
    class Inner:
        def method(self) -> None: ...

        @property
        def read(self) -> Any: ...


renamed = Point.weigh


def test_holders() -> None:
    """A function is held by the names of its qualified name, if at all."""
    module = sys.modules[__name__]

    def names(func: Any) -> Any:
        found = holders(func)
        return [name for _, name, _ in found] if found is not None else None

    assert names(temporaries) == ["temporaries"] and names(Point.weigh) == ["Point", "weigh"]
    assert names(Outer.Inner.method) == ["Outer", "Inner", "method"]
    assert names(Outer.Inner.__dict__["read"].fget) == ["Outer", "Inner", "read"]
    assert names(Point.made.__func__) == ["Point", "made"] and names(Point.both) == ["Point", "both"]
    assert names(made_here().work) is None and names(lambda: 1) is None
    copy = FunctionType(Point.weigh.__code__, vars(module), "weigh")
    copy.__qualname__ = "Point.weigh"
    assert names(copy) is None


def test_a_method_that_the_program_lets_go_of_is_let_go_of() -> None:
    namespace: dict[str, Any] = {"__name__": "made"}
    source = "class Gone:\n    def sum(self, n):\n        t = 0\n        for k in range(n):\n            t += k\n        return t\n"
    source += "def use():\n    g = Gone()\n    return [g.sum(5) for _ in range(100)]\n"
    exec(source, namespace)
    with Engine(threshold=20, function_threshold=15, background=False, deopt_every=0) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        for _ in range(5):
            assert namespace["use"]() == [10] * 100
        gone = weakref.ref(namespace["Gone"].sum)
        del namespace["Gone"].sum
        namespace["Gone"].sum = lambda self, n: -n
        assert namespace["use"]() == [-5] * 100
        for _ in range(3):
            namespace["use"]()
    engine.close()
    gc.collect()
    assert gone() is None


CIRCLE = f"""
def ping(n, t):
{LARGE * 6}
    return pong(n - 1, t) if n > 0 else t
def pong(n, t):
{LARGE * 5}
    return ping(n - 1, t) if n > 0 else -t
def use():
    return [ping(20, k) for k in range(100)]
"""


def test_functions_that_call_each_other_are_let_go_of() -> None:
    namespace: dict[str, Any] = {"__name__": "made"}
    exec(CIRCLE, namespace)
    expected = namespace["use"]()
    with Engine(threshold=20, function_threshold=15, background=False, deopt_every=0) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        for _ in range(5):
            assert namespace["use"]() == expected
        regions = [r for r in engine.regions if r.state == "live" and r.target is not None]
        assert len(regions) >= 2 and all(r.entry.users for r in regions)
        gone = weakref.ref(namespace["ping"]), weakref.ref(namespace["pong"])
        namespace.clear()
    engine.close()
    assert not engine.leaving
    del regions
    gc.collect()
    assert [one() for one in gone] == [None, None]


def test_methods_are_called_directly() -> None:
    with Engine(threshold=20, function_threshold=15, background=False, deopt_every=0) as engine:
        assert entries_when_warm(engine, temporaries, 20, 10) <= 100
