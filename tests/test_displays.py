"""Dict and set displays, comprehensions, star arguments, functions made in loops, `with`, `super`, `match`, unpacking with a star."""

from __future__ import annotations

import contextlib
import gc
import threading
import traceback
from collections.abc import Callable, Iterator
from types import CellType, MethodType
from typing import Any

import pytest
from engine_modes import MODES, engine_with, nobody_sees

from jitcore import Engine


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


class Key:
    """A key with a hash and an equality of its own, which can fail."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __hash__(self) -> int:
        if self.n % 17 == 16:
            raise ValueError(self.n)
        return self.n % 4

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.n % 8 == other.n % 8

    def __repr__(self) -> str:
        return f"Key({self.n})"


class Item:
    """Something whose ends are counted."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __repr__(self) -> str:
        return f"Item({self.n})"


def lines(error: BaseException) -> list[int]:
    return [line for _, line in traceback.walk_tb(error.__traceback__)]


def dicts() -> Any:
    out: list[Any] = []
    one = 1
    for i in range(150):
        plain = {"a": i, "b": i * 0.5, i: "n", (i, "x"): Item(i)}
        twice = {i % 3: i, 0: -1, True: Item(i), one: Item(-i)}
        out.append((plain, twice, {}, {**plain, "a": None}))
    return out[::25], len(out)


def dicts_of_anything() -> Any:
    out: list[Any] = []
    for i in range(150):
        try:
            out.append({Key(i): i, Key(i + 8): str(i), "k": Key(i)})
        except ValueError as error:
            out.append((error.args, lines(error)))
        try:
            if i % 50 == 49:
                out.append({[]: i, "after": i})
        except TypeError as error:
            out.append((str(error), lines(error)))
    return out


def sets() -> Any:
    out: list[Any] = []
    for i in range(150):
        try:
            out.append(({i, i % 2, "t", 1.0}, {Key(i), Key(i + 1), Item is Key}, {*range(i % 4), i}))
        except ValueError as error:
            out.append((error.args, lines(error)))
    return [sorted(map(repr, a)) for a, *_ in out if isinstance(a, set)], out[14:18]


def comprehensions() -> Any:
    out: list[Any] = []
    for i in range(120):
        a = {k: k * i for k in range(i % 7)}
        b = {str(k) for k in range(i % 5)}
        try:
            c: Any = {Key(k): k for k in range(i % 20)}
        except ValueError as error:
            c = error.args, lines(error)
        try:
            d: Any = len({Key(k) for k in range(i % 20)})
        except ValueError as error:
            d = error.args, lines(error)
        out.append((a, sorted(b), c, d, {a: b for a, b in zip("xyz", range(i), strict=False)}))
    return out


def starred(*args: Any, **names: Any) -> Any:
    return args, names


def star_calls() -> Any:
    out: list[Any] = []
    given, named = (1, 2), {"x": 3, "y": Item(4)}
    for i in range(150):
        out.append(starred(*given, i, **named))
        out.append(starred(*[i, Item(i)], *given, z=Item(i)))
        out.append(max(*given, i))
        try:
            out.append(starred(*given, **{"x": 1}, **(named if i % 40 == 39 else {"y": i})))
        except TypeError as error:
            out.append((str(error).replace(__name__, ""), lines(error)))
        try:
            out.append(divmod(*(i, 3 - i % 4)))
        except ZeroDivisionError as error:
            out.append((str(error), lines(error)))
        try:
            out.append(starred(*(given if i % 45 != 44 else i)))  # type: ignore[misc]
        except TypeError as error:
            out.append(("error", lines(error)))
    return out


def functions() -> Any:
    total: list[Any] = []
    for i in range(150):
        by = i % 5

        def scale(x: int, y: int = i, *, z: int = by) -> int:
            return x * by + y + z

        total.append(sorted([3, 1, 2], key=lambda v: -v * by)[0])
        total.append((scale(2), scale.__defaults__, scale.__kwdefaults__, scale.__name__, scale.__qualname__, scale.__module__))
        total.append([f(1) for f in [lambda q, i=i: q + i]])
    return total


class Manager:
    log: list[Any] = []

    def __init__(self, n: int) -> None:
        self.n = n

    def __enter__(self) -> int:
        if self.n % 37 == 36:
            raise KeyError(self.n)
        return self.n

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        Manager.log.append((self.n, kind))
        return self.n % 2 == 0


def withs() -> Any:
    Manager.log.clear()
    out: list[Any] = []
    lock, shared = threading.Lock(), Manager(4)
    for i in range(150):
        with lock:
            out.append(lock.locked())
        try:
            with Manager(i) as n, shared:
                out.append(n)
                if i % 29 == 28:
                    raise IndexError(i)
        except (KeyError, IndexError) as error:
            out.append((repr(error), lines(error)))
        with contextlib.suppress(ZeroDivisionError):
            out.append(1 // (i % 11))
        assert not lock.locked()
    return out, list(Manager.log)


class Base:
    kind = "base"

    def __init__(self, x: Any) -> None:
        self.x = x

    def value(self, by: Any) -> Any:
        return self.x * by

    def fails(self, i: int) -> Any:
        return 1 // (i % 50 - 49)

    @property
    def double(self) -> Any:
        return self.x * 2

    @classmethod
    def named(cls) -> str:
        return cls.__name__


class Middle(Base):
    def __init__(self, x: Any) -> None:
        super().__init__(x + 1)

    def value(self, by: Any) -> Any:
        return super().value(by) + 1

    def fails(self, i: int) -> Any:
        return super().fails(i)

    def all(self) -> Any:
        return super().kind, super().double, super().named(), super(Middle, self).value(3), repr(super().__init__)[:20]


class Other(Base):
    kind = "other"

    def value(self, by: Any) -> Any:
        return -super().value(by)


class Both(Middle, Other):
    def missing(self) -> Any:
        return super().nothing  # type: ignore[misc]


def supers() -> Any:
    out: list[Any] = []
    for i in range(150):
        one: Any = Both(i) if i % 3 else Middle(i)
        out.append((one.value(2), one.all()))
        try:
            out.append(one.fails(i))
            out.append(one.missing())
        except (ZeroDivisionError, AttributeError) as error:
            out.append((str(error), lines(error)))
    return out


def matched(subject: Any) -> Any:
    match subject:
        case [a, b]:
            return "two", a, b
        case [a, *rest]:
            return "more", a, rest
        case (0 | 1) as n:
            return "small", n
        case None:
            return "none"
    return "other"


def matches() -> Any:
    out: list[Any] = []
    subjects = [[1, 2], (1, 2, 3), 0, None, "text", {"a": 1}, [], b"xy", [[1], [2]], range(2)]
    for i in range(200):
        out.append(matched(subjects[i % len(subjects)]))
    return out


def unpacked() -> Any:
    out: list[Any] = []
    for i in range(150):
        a, *b = [i, Item(2), 3][: 1 + i % 3]
        *c, d = (i, Item(i), 2.5)
        e, *f, g = (str(i), Item(i))
        try:
            h, *j, k = [1, 2][: i % 3]
        except ValueError as error:
            h, j, k = str(error), lines(error), None  # type: ignore[assignment]
        b.append(a)
        out.append((a, b, c, d, e, f, g, h, j, k))
    return out


class Plain:
    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, (value, value))

    def __delattr__(self, name: str) -> None:
        if self.__dict__[name][0] % 41 == 40:
            raise AttributeError("kept")
        object.__delattr__(self, name)


def deletions() -> Any:
    out: list[Any] = []
    one, two = Plain(), Base(0)
    for i in range(150):
        one.a = i
        two.y = i  # type: ignore[attr-defined]
        try:
            del two.y  # type: ignore[attr-defined]
            del one.a
        except AttributeError as error:
            out.append((str(error), lines(error)))
        out.append((dict(vars(one)), list(vars(two))))
        assert i >= 0, "never"
    return out


def linked(k: int, n: int) -> Any:
    made: Any = [k]
    for i in range(n):
        made = i, made
    return made


def linked_in_turn(k: int) -> Any:
    one, other = [k], [-k]
    for i in range(4):
        one, other = (other, i), (one, i)  # type: ignore[assignment]
    return one, other


def wrapped(value: Any) -> Any:
    value = (value, value)
    value = ((value, 1), value[0])
    return value


def unlinked(k: int) -> Any:
    made, out = linked(k, 5), []
    while type(made) is tuple:
        i, made = made
        out.append((made, i))
    return out


def tuples_in_place_of_their_parts() -> Any:
    """A variable gets a tuple with what was in the variable."""
    out: list[Any] = []
    for k in range(120):
        out.append((linked(k, k % 6), linked_in_turn(k), unlinked(k)))
        out.append((wrapped([k]), wrapped(k), [[k, 1], [k, 2], (k,)]))
    return out


PROGRAMS = [
    tuples_in_place_of_their_parts,
    dicts,
    dicts_of_anything,
    sets,
    comprehensions,
    star_calls,
    functions,
    withs,
    supers,
    matches,
    unpacked,
    deletions,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_nobody_sees(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)


def alive() -> int:
    gc.collect()
    mine = [one for one in gc.get_objects() if type(one).__module__ == __name__ or getattr(one, "__module__", "") == __name__]
    return len(mine) + sum(isinstance(one, MethodType | CellType) for one in gc.get_objects())


@pytest.mark.parametrize("engine", ["llvm", "deopt"], indirect=True)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_nothing_is_kept(engine: Engine, program: Callable[[], Any]) -> None:
    with engine:
        counts = []
        for _ in range(6):
            program()
            Manager.log.clear()
            counts.append(alive())
    assert counts[-1] <= counts[1] + 20
