"""Open calls in functions that have no interpreter frame of their own: while one runs the frames are there, with their lines and
variables, whoever looks at them, holds them, changes them, raises through them or begins to watch them."""

from __future__ import annotations

import gc
import sys
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


HELD: list[Any] = []


class Caller:
    """Called through the type's slot: an open call. Looks at its callers."""

    def __init__(self, look: Callable[[Any, Any], Any]) -> None:
        self.look = look

    def __eq__(self, other: object) -> Any:
        return self.look(sys._getframe(1), other)

    __hash__ = None  # type: ignore[assignment]


def frames(frame: Any, n: int = 4) -> list[tuple[str, int]]:
    found = []
    while frame is not None and len(found) < n and not frame.f_code.co_filename.endswith("engine_modes.py"):
        found.append((frame.f_code.co_name, frame.f_lineno))
        frame = frame.f_back
    return found


def variables(frame: Any) -> dict[str, Any]:
    return {name: value for name, value in frame.f_locals.items() if isinstance(value, int | float | str | tuple | list)}


def inner(x: Any, look: Any, extra: float = 0.5) -> Any:
    half = x * extra
    pair = (x, half)
    seen = look == x
    return half, pair, seen


def outer(x: Any, look: Any) -> Any:
    before = x + 1
    result = inner(before, look)
    after = inner(before + 1, look, 0.25)
    return before, result, after


def loop(look: Any, times: int = 60) -> Any:
    found = []
    for k in range(times):
        found.append(outer(k, look))
    return found


def with_look(look: Callable[[Any, Any], Any]) -> Any:
    return loop(Caller(look))


def hold_every_tenth(frame: Any, x: Any) -> Any:
    if x % 10 == 0:
        HELD.append(frame)
    return len(HELD)


def held_frames() -> Any:
    HELD.clear()
    result = with_look(hold_every_tenth)
    seen = [(frame.f_code.co_name, frame.f_lineno, variables(frame)) for frame in HELD]
    HELD.clear()
    return result, seen


def change(frame: Any, x: Any) -> Any:
    if x % 16 == 5:
        frame.f_back.f_locals["before"] = -x
    return x


def raises_sometimes(frame: Any, x: Any) -> Any:
    if x % 9 == 4:
        raise KeyError(x)
    return x


def catching() -> Any:
    found: list[Any] = []
    look = Caller(raises_sometimes)
    for k in range(60):
        try:
            found.append(outer(k, look))
        except KeyError as error:
            trace = [(step.name, step.lineno) for step in traceback.extract_tb(error.__traceback__)]
            found.append((error.args, trace))
    return found


def handler_inside(x: Any, look: Any) -> Any:
    text = str(x)
    try:
        seen = look == x
    except KeyError as error:
        seen = [(step.name, step.lineno) for step in traceback.extract_tb(error.__traceback__)]
    finally:
        text += "!"
    return text, seen


def handlers() -> Any:
    look = Caller(raises_sometimes)
    return [handler_inside(k, look) for k in range(60)]


def tracing_begins(frame: Any, x: Any) -> Any:
    if x == 50:
        sys.settrace(lambda *_: None)
        frame.f_trace = tracer
        frame.f_back.f_trace = tracer
    return x


LINES: list[Any] = []


def tracer(frame: Any, event: str, argument: Any) -> Any:
    LINES.append((frame.f_code.co_name, event, frame.f_lineno))
    return tracer


def traced() -> Any:
    LINES.clear()
    try:
        result = with_look(tracing_begins)
    finally:
        sys.settrace(None)
    return result, LINES[:8]


class Mortal:
    log: list[Any] = []

    def __init__(self, name: Any) -> None:
        self.name = name

    def __del__(self) -> None:
        self.log.append((self.name, frames(sys._getframe(1), 2)))


def keeps(x: Any, look: Any) -> Any:
    first = Mortal(x)
    seen = look == x
    first = Mortal(-x)
    again = look == x
    return seen, again, first.name


def destructors() -> Any:
    Mortal.log.clear()
    look = Caller(lambda frame, x: len(Mortal.log))
    result = [keeps(k, look) for k in range(40)]
    return result, list(Mortal.log)


def weak(x: Any, look: Any) -> Any:
    value = {x}
    dead = weakref.ref(value)
    seen = look == x
    there = dead() is value
    value = None  # type: ignore[assignment]
    again = look == x
    return seen, there, again, dead() is None


def weak_references() -> Any:
    look = Caller(lambda frame, x: gc.isenabled())
    return [weak(k, look) for k in range(40)]


def rebinding(frame: Any, x: Any) -> Any:
    if x == 30:
        globals()["FACTOR"] = 3
    return x


FACTOR = 2


def scaled(x: Any, look: Any) -> Any:
    first = x * FACTOR
    seen = look == x
    return first, seen, x * FACTOR


def rebound() -> Any:
    globals()["FACTOR"] = 2
    look = Caller(rebinding)
    return [scaled(k, look) for k in range(60)]


def named(x: Any) -> Any:
    y = x + 0.5
    return sorted(locals().items()), eval("x + y"), sys._getframe().f_lineno


def reads_locals() -> Any:
    return [named(k) for k in range(40)]


def down(n: int, look: Any) -> Any:
    if n == 0:
        return look == n
    here = n * 0.5
    below = down(n - 1, look)
    return below, here, n


def recursion() -> Any:
    look = Caller(lambda frame, x: frames(frame, 6))
    return [down(k % 7, look) for k in range(60)]


def endless(n: int, look: Any) -> Any:
    return endless(n + 1, look), look == n


def too_deep() -> Any:
    found = []
    for k in range(30):
        try:
            endless(k, 1)
        except RecursionError as error:
            found.append(str(error).split(":")[0])
    return found


def even(n: int, look: Any) -> Any:
    return look == n if n == 0 else odd(n - 1, look)


def odd(n: int, look: Any) -> Any:
    return (look == n, even(n - 1, look)) if n else False


def mutual() -> Any:
    look = Caller(lambda frame, x: frames(frame, 5))
    return [even(k % 6, look) for k in range(60)]


def unwinds(frame: Any, x: Any) -> Any:
    """A result of a type that native code does not expect, now and then."""
    return x if x % 7 else str(x)


def twice(x: Any, look: Any) -> Any:
    return (look == x) * 2


def kinds() -> Any:
    look = Caller(unwinds)
    return [twice(k, look) for k in range(60)]


def either(x: int, look: Any) -> Any:
    """A local that is an int here and a tuple there, in use when the ways meet."""
    found = []
    for k in (x, x + 10**6):
        result = look == k
        found.append(result if isinstance(result, int) else (result[0], len(result)))
    return found


def meeting() -> Any:
    look = Caller(lambda frame, x: x + 10**9 if x < 10**6 else (x, x))
    return [either(k, look) for k in range(200)]


COUNT = 0


def counting(x: int) -> int:
    global COUNT
    COUNT += x
    return COUNT - x


def stored_global() -> Any:
    globals()["COUNT"] = 10**12
    found = [counting(k) + COUNT for k in range(60)]
    return found, COUNT


def numbers_and_identity(x: Any, y: Any, other: Any) -> Any:
    return x is y, x is other, other is not x, id(other) == id(y), type(other) is type(x), type(x)


def identities() -> Any:
    some = [[], "text", 5, 1.5, None, int, len]
    return [numbers_and_identity(k, some[k % 7], some[(k + k // 7) % 7]) for k in range(140)]


PROGRAMS: dict[str, Callable[[], Any]] = {
    "frames": lambda: with_look(lambda frame, x: frames(frame)),
    "variables": lambda: with_look(lambda frame, x: (variables(frame), variables(frame.f_back))),
    "held": held_frames,
    "changed": lambda: with_look(change),
    "caught": catching,
    "handlers": handlers,
    "traced": traced,
    "destructors": destructors,
    "weak references": weak_references,
    "rebound": rebound,
    "locals": reads_locals,
    "recursion": recursion,
    "too deep": too_deep,
    "mutual": mutual,
    "kinds": kinds,
    "meeting": meeting,
    "stored global": stored_global,
    "identities": identities,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_open_calls_without_a_frame(engine: Engine, name: str) -> None:
    nobody_sees(engine, PROGRAMS[name])


def test_references_are_given_back(engine: Engine) -> None:
    def count(look: Any, x: Any) -> int:
        loop(look)
        return sys.getrefcount(x)

    def fails(frame: Any, x: Any) -> Any:
        raise ValueError(x)

    kept = object()
    calm, wild = Caller(lambda frame, x: kept), Caller(hold_every_tenth)
    with engine:
        for _ in range(4):
            loop(calm)
        before = count(calm, kept)
        for _ in range(5):
            loop(wild)
            HELD.clear()
            with pytest.raises(ValueError):
                loop(Caller(fails))
            assert count(calm, kept) == before
