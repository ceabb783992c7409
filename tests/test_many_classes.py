"""Attributes of objects of more classes than get paths of their own, and what `getattr` and `hasattr` find in instances."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with, nobody_sees
from test_lower import EFFORTS, Maker, agree

from jitcore import Engine


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


class Base:
    shared = 3

    def __init__(self, n: int) -> None:
        self.n = n

    def area(self, k: int) -> Any:
        return self.n * k

    @property
    def twice(self) -> int:
        return 2 * self.n


def derived(name: str) -> type[Base]:
    return type(name, (Base,), {"shared": name, "__module__": __name__})


class Slots:
    __slots__ = ("n", "missing")
    shared = 1.5

    def __init__(self, n: int) -> None:
        self.n = n

    def area(self, k: int) -> Any:
        return ("slots", k)


class Asked(Base):
    def __getattr__(self, name: str) -> Any:
        return name


class Counts(Base):
    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, name)


class OfC(io.BytesIO):
    shared = "c"
    n = 7

    def area(self, k: int) -> Any:
        return k


CLASSES: list[Any] = [Base, *(derived(f"Derived{k}") for k in range(5)), Slots]


def objects() -> list[Any]:
    made = [kind(k) for k, kind in enumerate(CLASSES)]
    made[2].late = 5  # type: ignore[attr-defined]
    made[3].__dict__["n"] = 33
    made[4].__dict__ = {"n": 44, "other": 1}
    return made


def attributes() -> Any:
    made = objects()
    return [(one.n, one.shared) for k in range(140) for one in (made[k % len(made)],)]


def methods() -> Any:
    made = objects()
    found = []
    for k in range(140):
        one = made[k % len(made)]
        found.append(one.area(k))
    return found


def shadowed_methods() -> Any:
    made = objects()
    found = []
    for k in range(140):
        one = made[k % (len(made) - 1)]
        if k == 80:
            one.area = lambda n: ("own", n)
        found.append(one.area(k))
    return found


def missing() -> Any:
    made = objects()
    found: list[Any] = []
    for k in range(140):
        one = made[k % len(made)]
        try:
            found.append(one.late)
        except AttributeError as error:
            found.append(str(error))
    return found


def empty_slots() -> Any:
    found: list[Any] = []
    made = objects()
    for k in range(140):
        one = made[k % len(made)]
        found.append((hasattr(one, "missing"), getattr(one, "missing", None), getattr(one, "late", k), hasattr(one, "late")))
    return found


def properties() -> Any:
    made = objects()[:-1]
    return [made[k % len(made)].twice for k in range(140)]


def others_come_by() -> Any:
    made: list[Any] = objects()
    found = []
    for k in range(260):
        if k == 130:
            made += [Asked(5), Counts(6), OfC()]
        one = made[k % len(made)]
        found.append((one.n, one.shared, one.area(k), getattr(one, "late", None), hasattr(one, "nothing")))
    return found


def changed_classes() -> Any:
    found = []
    made = objects()
    before = Base.area
    try:
        for k in range(200):
            if k == 120:
                Base.area = lambda self, n: ("new", n)  # type: ignore[method-assign, assignment, misc]
            one = made[k % len(made)]
            found.append((one.area(k), one.shared))
    finally:
        Base.area = before  # type: ignore[method-assign]
    return found


def of_other_things() -> Any:
    """Classes, modules, functions and numbers have ways of their own."""
    things: list[Any] = [Base, sys, attributes, 5, "text", Base(1), Slots(2)]
    found: list[Any] = []
    for k in range(140):
        thing = things[k % 7]
        found.append((hasattr(thing, "shared"), getattr(thing, "shared", "none"), hasattr(thing, "maxsize"), hasattr(thing, "__doc__")))
    return found


PROGRAMS = [attributes, methods, shadowed_methods, missing, empty_slots, properties, others_come_by, changed_classes, of_other_things]


@pytest.mark.parametrize("program", PROGRAMS)
def test_alike(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)


def test_ends_of_objects(engine: Engine) -> None:
    """What an attribute was had from may go at once."""
    ended: list[int] = []

    class Loud(Base):
        def __del__(self) -> None:
            ended.append(self.n)

    kinds = [*CLASSES[:-1], Loud]

    def program() -> Any:
        ended.clear()
        found = []
        for k in range(140):
            found.append(kinds[k % len(kinds)](k).n)
            found.append(kinds[k % len(kinds)]([k]).n)
        return found, list(ended)

    nobody_sees(engine, program)


@pytest.mark.parametrize("name", ["attr.find", "attr.method"])
def test_found_natively(name: str) -> None:
    maker = Maker()
    maker.exit(maker.emit(name, maker.input("o"), maker.input("o")))
    kept: list[Any] = [*objects(), Asked(1), Counts(2), OfC(), io.BytesIO(), Base, sys, attributes, 5, "text", [], {}, ValueError("x")]
    names = [sys.intern(one) for one in ("n", "shared", "area", "late", "missing", "twice", "nothing", "other", "append", "read", "__class__")]
    agree(maker, [(id(one), id(text)) for one in kept for text in names], EFFORTS)


@pytest.mark.parametrize("program", [attributes, methods])
def test_nothing_is_called_out_for(program: Callable[[], Any]) -> None:
    engine = Engine(threshold=20, exit_threshold=5, background=False)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    with engine:
        for _ in range(12):
            program()
        live = [r for r in engine.regions if r.state == "live" and r.translation is not None]
        out = {(code.co_name, offset) for r in live if r.code.co_name == program.__name__ for code, offset in r.translation.calls_out}
        assert any(r.code.co_name == program.__name__ for r in live) and not out
    engine.close()


class Look:
    """Its comparison is an open call, which looks at its callers."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.held: list[Any] = []

    def __eq__(self, other: object) -> Any:
        frame: Any = sys._getframe(1)
        if self.way == "raise" and other == 2:
            raise ValueError(other)
        if self.way == "hold" and other == 1:
            self.held.append(frame)
        found = []
        while frame is not None and frame.f_code.co_name in ("down", "sideways", "start"):
            found.append((frame.f_code.co_name, frame.f_lineno, frame.f_locals["depth"]))
            frame = frame.f_back
        return found

    __hash__ = None  # type: ignore[assignment]


def down(look: Any, depth: int) -> Any:
    """Looks at its callers at the bottom only, or on the way back too."""
    mark = depth * 2
    for k in range(2):
        mark += k
    if depth == 0:
        return [look == depth]
    found = sideways(look, depth - 1) if depth % 2 else down(look, depth - 1)
    if depth % 3 == 1:
        found.append(look == depth)
    found.append((mark, depth))
    return found


def sideways(look: Any, depth: int) -> Any:
    mark = depth + 100
    for k in range(2):
        mark += k
    found = down(look, depth)
    found.append((mark, depth))
    return found


def start(look: Any) -> Any:
    found: list[Any] = []
    for depth in range(7):
        for _ in range(4):
            try:
                found.append(down(look, depth))
            except ValueError as error:
                lines, one = [], error.__traceback__
                while one is not None:
                    lines.append((one.tb_frame.f_code.co_name, one.tb_lineno, one.tb_frame.f_locals.get("mark")))
                    one = one.tb_next
                found.append(lines)
    return found, [(frame.f_code.co_name, frame.f_locals["mark"]) for frame in look.held]


@pytest.mark.parametrize("way", ["look", "raise", "hold"])
def test_frames_that_are_only_offered(engine: Engine, way: str) -> None:
    """A chain of native calls has frames when somebody looks, and only then."""
    nobody_sees(engine, lambda: start(Look(way)))
