"""Calls with every kind of parameter and argument are walked into, and nobody can tell."""

from __future__ import annotations

import functools
import gc
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with, entries_when_warm, nobody_sees
from test_generators import Noisy

from jitcore import Engine


@pytest.fixture(params=["llvm", "deopt", "reference"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


def total(*values: Any) -> Any:
    found = 0
    for value in values:
        found += value
    return found, len(values)


def named(a: Any, /, b: Any = 2, *, c: Any = 3, d: Any) -> Any:
    return a, b, c, d


def everything(a: Any, b: Any = 5, *rest: Any, c: Any = 7, **others: Any) -> Any:
    return a, b, rest, c, others


def only_others(**others: Any) -> Any:
    others["more"] = len(others)
    return others


def passes_on(*args: Any) -> Any:
    return everything(*args)


def passes_all(*args: Any, **names: Any) -> Any:
    return everything(*args, **names)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


@decorated
def product(a: Any, b: Any) -> Any:
    return a * b


class Point:
    def __init__(self, x: Any, y: Any = 1, *, z: Any = 2) -> None:
        self.x, self.y, self.z = x, y, z

    def moved(self, *by: Any, scale: Any = 1) -> Any:
        return Point(self.x + by[0] * scale, z=self.z)

    @staticmethod
    def of(*args: Any, **names: Any) -> Any:
        return Point(*args, **names)


def all_kinds() -> Any:
    seen: list[Any] = []
    for k in range(30):
        seen += [total(), total(k), total(k, 2.5, True), total(*(k, 1)), total(*[k, 2], 3)]
        seen += [named(k, d=1), named(k, 3, c=k, d=None), named(k, d=2, b=4)]
        seen += [everything(k), everything(k, 1, 2, 3, c=4), everything(k, b=2, x=1.5, y=k), everything(*(k, 1, 2), **{"z": 3})]
        seen += [only_others(), only_others(a=k, b="b"), passes_on(k), passes_on(k, 1, 2), passes_all(k, 2, 3, c=1, d=2), passes_all(k)]
        seen += [product(k, 3), product("a", k & 3), product(2.5, k)]
        point = Point(k, z=4).moved(2, 3, scale=0.5)
        seen += [point.x, point.y, point.z, Point(y=k, x=2).y, Point.of(1, y=k).y, Point.of(k).z]
    return seen


def fails() -> Any:
    seen: list[Any] = []

    def inner(a: Any, *rest: Any, c: Any = 0) -> Any:
        return rest[0] // c if c < 25 else a.missing

    def calls(k: int) -> Any:
        args = (k, k + 1)
        return inner(*args, c=25 - k) if k % 2 else inner(k, k, c=25 - k)

    for k in range(30):
        for attempt in (
            lambda: calls(k),
            lambda: named(k),
            lambda: named(a=k, d=1),
            lambda: named(k, 2, 3, d=1),
            lambda: everything(),
            lambda: everything(1, a=k),
            lambda: product(k),
            lambda: Point(z=3),
            lambda: Point(1, q=3),
        ):
            try:
                seen.append(attempt())
            except (TypeError, ZeroDivisionError, AttributeError) as error:
                seen.append((str(error), [(f.name, f.lineno) for f in traceback.extract_tb(error.__traceback__)]))
    return seen


def defaults_change() -> Any:
    def changing(a: Any, b: Any = 1, *, c: Any = 2) -> Any:
        return a + b * c

    seen = []
    for k in range(90):
        seen.append(changing(k))
        seen.append(changing(k, c=3))
        if k == 40:
            changing.__kwdefaults__["c"] = 5
        if k == 60:
            changing.__defaults__ = (10,)
        if k == 75:
            changing.__kwdefaults__ = {"c": 0.5}
    return seen


def ends() -> Any:
    log: list[Any] = []

    def takes(first: Any, *rest: Any, last: Any = None, **others: Any) -> Any:
        log.append((first.name, len(rest), sorted(others)))
        del first
        log.append("first gone")
        return rest[-1].name if rest else None

    for k in range(40):
        log.append(takes(Noisy(log, ("a", k)), Noisy(log, ("b", k)), last=Noisy(log, ("c", k)), other=Noisy(log, ("d", k))))
        log.append(takes(*(Noisy(log, ("e", k)), Noisy(log, ("f", k)))))
        log.append("next")
    return log


def looks() -> Any:
    def own(a: Any, *args: Any, b: Any = 1, **names: Any) -> Any:
        values = dict(locals())
        frame = sys._getframe(1)
        return sorted(values.items(), key=repr), frame.f_code.co_name, frame.f_lineno

    return [(own(k, 1, 2, x=k), own(k, *(k,))) for k in range(40)]


def yields() -> Any:
    def picked(*values: Any, step: int = 1, **names: Any) -> Iterator[Any]:
        for k in range(0, len(values), step):
            yield values[k]
        for name in names:
            yield name

    seen = []
    for k in range(40):
        for value in picked(k, 2, 3, step=2):
            seen.append(value)
        for value in picked(k, x=1):
            seen.append(value)
    return seen


def polymorphic() -> Any:
    def apply(function: Any, *args: Any) -> Any:
        return function(*args)

    calls = [(product, (2, 3)), (max, (1, 5)), (total, (1, 2, 3)), (Point, (7,)), (str, (3,)), ("x".join, (["a", "b"],))]
    return [repr(apply(f, *args))[:20] for _ in range(30) for f, args in calls]


PROGRAMS: dict[str, Callable[[], Any]] = {
    f.__name__: f for f in (all_kinds, fails, defaults_change, ends, looks, yields, polymorphic)
}


@pytest.mark.stress
@pytest.mark.parametrize("name", PROGRAMS)
def test_nobody_sees_it(engine: Engine, name: str) -> None:
    nobody_sees(engine, PROGRAMS[name])


def calls_decorated(n: int) -> int:
    found = 0
    for k in range(n):
        found += product(k, 3) + everything(k)[3]
    return found


@pytest.mark.parametrize("engine", ["llvm"], indirect=True)
def test_decorated_functions_are_native(engine: Engine) -> None:
    with engine:
        calls_decorated(3000)
        assert entries_when_warm(engine, lambda: calls_decorated(300), 3, 10) <= 10


def test_references_are_those_of_the_interpreter() -> None:
    class Item:
        pass

    def run(item: Any) -> int:
        return sum(len(everything(item, item, item, k, c=item, x=item)) + len(passes_on(item, item)) for k in range(50))

    for made in engine_with(MODES["llvm"]):
        item = Item()
        plain = run(item)
        gc.collect()
        before = sys.getrefcount(item)
        with made:
            for _ in range(8):
                assert run(item) == plain
        made.close()
        gc.collect()
        assert sys.getrefcount(item) == before
