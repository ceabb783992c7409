"""Instances made in native code: as the interpreter makes them, in every mode, with their ends and their exceptions."""

from __future__ import annotations

import abc
import gc
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with, nobody_sees

from jitcore import Engine


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


class Point:
    def __init__(self, x: Any, y: Any = 2.0) -> None:
        self.x = x
        self.y = y

    def plus(self, other: Any) -> Any:
        return Point(self.x + other.x, self.y + other.y)

    def size(self) -> Any:
        return self.x * self.x + self.y * self.y


class Empty:
    pass


class Slots:
    __slots__ = ("one", "two")

    def __init__(self, one: Any) -> None:
        self.one = one


class Pair:
    def __init__(self, left: Any, right: Any) -> None:
        self.left = Point(left)
        self.right = Point(right, left)
        self.both = (self.left, self.right)


def points() -> Any:
    at, total, kept = Point(0.5), 0.0, []
    for i in range(150):
        step = Point(i * 0.5)
        at = at.plus(step)
        total += step.plus(at).size()
        if i % 40 == 0:
            kept.append(step)
    return total, [list(vars(one).items()) for one in (at, *kept)]


def empty_ones() -> Any:
    out: list[Any] = []
    for i in range(120):
        one: Any = Empty()
        one.number = i
        if i % 3 == 0:
            one.other = one.number
        out.append(one)
    return [vars(one) for one in out], len({id(one) for one in out})


def nested() -> Any:
    out = []
    for i in range(120):
        pair = Pair(i, i + 0.5)
        out.append((pair.left.size(), pair.right.x, pair.both[1] is pair.right, list(vars(pair))))
    return out


def slots() -> Any:
    out = []
    for i in range(120):
        one: Any = Slots(i)
        try:
            out.append(one.two if i % 30 == 29 else one.one)
        except AttributeError as error:
            out.append(str(error))
    return out


def raising() -> Any:
    class Raises:
        def __init__(self, number: int) -> None:
            self.number = number
            if number % 40 == 39:
                raise ValueError(number)

    out: list[Any] = []
    for i in range(130):
        try:
            out.append(Raises(i).number)
        except ValueError as error:
            out.append([(entry.name, entry.lineno) for entry in traceback.extract_tb(error.__traceback__)])
    return out


def returning() -> Any:
    class Returns:
        def __init__(self, number: int) -> None:
            self.number = number
            if number % 40 == 39:
                return number  # type: ignore[return-value]

    out: list[Any] = []
    for i in range(130):
        try:
            out.append((i, Returns(i).number))
        except TypeError as error:
            out.append((str(error), [(entry.name, entry.lineno) for entry in traceback.extract_tb(error.__traceback__)]))
    return out


def wrong_arguments() -> Any:
    out: list[Any] = []
    for i in range(100):
        try:
            out.append(Point(1, 2, 3) if i % 30 == 29 else Empty(1) if i % 30 == 28 else Point(i).x)  # type: ignore[call-arg]
        except TypeError as error:
            out.append(str(error))
    return out


def loops_inside() -> Any:
    class Sums:
        def __init__(self, n: int) -> None:
            self.total = 0
            for k in range(n):
                self.total += k

    return [Sums(i % 13).total for i in range(200)]


def made_otherwise() -> Any:
    class New:
        def __new__(cls, number: int) -> Any:
            return number if number % 2 else super().__new__(cls)

        def __init__(self, number: int) -> None:
            self.number = number

    class Meta(type):
        def __call__(cls, *args: Any) -> Any:
            return super().__call__(*args), args

    class Made(metaclass=Meta):
        def __init__(self, number: int) -> None:
            self.number = number

    class Abstract(abc.ABC):
        @abc.abstractmethod
        def get(self) -> Any: ...

    class Items(list):  # type: ignore[type-arg]
        def __init__(self, number: int) -> None:
            super().__init__(range(number))

    out: list[Any] = []
    for i in range(100):
        new: Any = New(i)
        made: Any = Made(i)
        out += [getattr(new, "number", new), made[0].number, made[1], Items(i % 4)]
        try:
            Abstract()  # type: ignore[abstract]
        except TypeError as error:
            out.append(str(error))
    return out


def classes_change() -> Any:
    class Changing:
        def __init__(self, number: int) -> None:
            self.number = number

    original = Changing.__init__
    out: list[Any] = []
    for i in range(300):
        if i == 80:
            Changing.__init__ = lambda self, number: setattr(self, "number", -number)  # type: ignore[method-assign]
        if i == 120:
            Changing.__init__ = original  # type: ignore[method-assign]
        if i == 280:
            Changing.__new__ = lambda cls, number: out.append("new") or object.__new__(cls)  # type: ignore[method-assign]
        if i == 200:
            original.__defaults__ = (7,)
        if i == 240:
            original.__code__ = (lambda self, number=7: setattr(self, "number", number * 100)).__code__
        out.append(Changing(i).number)
    return out


def ends_in_time() -> Any:
    out: list[Any] = []

    class Ends:
        def __init__(self, number: int) -> None:
            self.number = number

        def __del__(self) -> None:
            out.append(self.number)

    class Holds:
        def __init__(self, number: int) -> None:
            self.inner = Ends(number) if number % 20 == 0 else Point(number)

    for i in range(100):
        holder = Holds(i)
        point = Point(i)
        if i % 10 == 0:
            reference = weakref.ref(point, lambda _: out.append("gone"))
        out.append((i, holder.inner is not None))
    del holder, point
    return out, reference()


def seen_by_the_collector() -> Any:
    out = []
    for i in range(100):
        one = Point([i])
        one.x.append(one)
        if i == 50:
            out.append((gc.is_tracked(one), len(gc.get_referents(one))))
    del one
    return out


PROGRAMS = [
    points,
    empty_ones,
    nested,
    slots,
    raising,
    returning,
    wrong_arguments,
    loops_inside,
    made_otherwise,
    classes_change,
    ends_in_time,
    seen_by_the_collector,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_nobody_sees_it(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)


def test_it_is_native(engine: Engine) -> None:
    with engine:
        for _ in range(6):
            points()
        regions = [region for site in list(engine.sites.values()) for region in site.regions if site.code is points.__code__]
        assert any(region.translation is not None and not region.translation.calls_out for region in regions)


def test_no_instance_is_left_over(engine: Engine) -> None:
    def count() -> int:
        gc.collect()
        return sum(type(one) in (Point, Pair, Slots, Empty) for one in gc.get_objects())

    before = count()
    with engine:
        for _ in range(6):
            for program in (points, empty_ones, nested, slots, raising):
                program()
    engine.close()
    assert count() == before
