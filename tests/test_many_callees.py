"""Calls of many functions from one place: tables of handlers, methods of many classes, recursion through both."""

from __future__ import annotations

import ctypes
import gc
import sys
import traceback
import weakref
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import pytest
from engine_modes import MODES, engine_with, nobody_sees

from jitcore import Engine


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with({"function_threshold": 15, **MODES[request.param]})


def plus(state: Any, x: Any) -> Any:
    return x + 1


def half(state: Any, x: Any) -> Any:
    return x / 2


def itself(state: Any, x: Any) -> Any:
    return state


def nothing(state: Any, x: Any) -> Any:
    return None


def row(state: Any, x: Any) -> Any:
    return [x, state]


def either(state: Any, x: Any) -> Any:
    return (x, state) if x > 3 else x


def added_up(state: Any, x: Any) -> Any:
    total = 0
    for k in range(x):
        total += k
    return total


def written(state: Any, x: Any) -> Any:
    return str(x)


def inverse(state: Any, x: Any) -> Any:
    return 12 // (x - 5)


def assigns(state: Any, x: Any) -> Any:
    state = [x]
    x = state
    return x


HANDLERS: dict[int, Any] = dict(enumerate([plus, half, itself, nothing, row, either, added_up, written, assigns]))


def one_of(state: Any, x: Any) -> Any:
    handler = HANDLERS.get(x % len(HANDLERS))
    return handler(state, x)


def in_a_loop() -> Any:
    found = []
    for k in range(300):
        handler = HANDLERS[k % 9]
        found.append(handler("s", k % 7))
    return found


def in_a_function() -> Any:
    return [one_of(k, k % 31) for k in range(300)]


def of_large_numbers() -> Any:
    found = []
    for k in range(150):
        handler = HANDLERS[(0, 1, 4, 7, 5)[k % 5]]
        found.append(handler(None, k if k % 10 else 2**70 + k))
    return found


def with_temporaries() -> Any:
    found = []
    for k in range(200):
        handler = HANDLERS[k % 9]
        found.append(handler([k], k % 5))
        found.append(handler((k, "t"), k % 4))
    return found


def that_fail() -> Any:
    found: list[Any] = []
    table = [plus, half, itself, inverse, row, written]
    for k in range(240):
        try:
            found.append(table[k % 6](k, k % 9))
        except ZeroDivisionError as error:
            found.append((str(error), [entry.lineno for entry in traceback.extract_tb(error.__traceback__)]))
    return found


def of_other_kinds() -> Any:
    """Not only functions of the program's."""
    table: list[Any] = [plus, max, half, divmod, itself, row, written, either, Pair, lambda a, b: (b, a), one_of]
    found = []
    for k in range(220):
        result = table[k % 11](k, k % 7 + 1)
        found.append(result.shown() if type(result) is Pair else result)
    return found


def of_other_numbers_of_parameters() -> Any:
    def three(a: Any, b: Any, c: Any = 3) -> Any:
        return a, b, c

    def any_number(*args: Any) -> Any:
        return args

    def named(a: Any, b: Any, *, c: Any = 5) -> Any:
        return a, b, c

    table: list[Any] = [three, any_number, named, row, written, itself, half]
    return [table[k % 7](k, 2) for k in range(210)]


def that_come_later() -> Any:
    """After five of them are known, others come by."""
    found = []
    for k in range(400):
        last = 5 if k < 150 else 7 if k < 280 else 9
        found.append(HANDLERS[k % last](k % 3, k % 6))
    return found


class Pair:
    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b

    def shown(self) -> Any:
        return self.a, self.b


class Shape:
    def __init__(self, size: int) -> None:
        self.size = size

    def area(self, k: int) -> Any:
        return self.size * k


class Square(Shape):
    def area(self, k: int) -> Any:
        return self.size * self.size + k


class Line(Shape):
    def area(self, k: int) -> Any:
        return 0


class Circle(Shape):
    def area(self, k: int) -> Any:
        return 3.14 * self.size


class Named(Shape):
    def area(self, k: int) -> Any:
        return f"{self.size} {k}"


class Many(Shape):
    def area(self, k: int) -> Any:
        return [part.area(k) for part in (Square(k), Line(k), Circle(self.size))]


class Chain(Shape):
    inner: Any = None

    def area(self, k: int) -> Any:
        return (self.size, self.inner.area(k) if self.inner is not None else None)


def methods() -> Any:
    inner = Chain(1)
    chain = Chain(2)
    chain.inner = inner
    shapes = [Shape(1), Square(2), Line(3), Circle(4), Named(5), Many(6), chain]
    return [shapes[k % 7].area(k % 5) for k in range(280)]


class Machine:
    """A dispatcher whose handlers call the dispatcher."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self.out: list[Any] = []

    def save(self, x: Any) -> None:
        handler = self.handlers.get(type(x))
        if handler is None:
            raise TypeError(f"cannot save {type(x).__name__}")
        handler(self, x)

    def note(self, x: Any) -> None:
        self.seen[id(x)] = len(self.seen)

    def save_int(self, x: Any) -> None:
        self.out.append(x + 1)

    def save_float(self, x: Any) -> None:
        self.out.append(-x)

    def save_text(self, x: Any) -> None:
        self.out.append(x.encode("utf-8", "surrogatepass"))

    def save_none(self, x: Any) -> None:
        self.out.append("none")

    def save_list(self, x: Any) -> None:
        save = self.save
        for item in x:
            save(item)
        self.note(x)

    def save_tuple(self, x: Any) -> None:
        for item in x:
            self.save(item)
        self.out.append(len(x))

    def save_dict(self, x: Any) -> None:
        for key, value in x.items():
            self.save(key)
            self.save(value)

    handlers: dict[Any, Any] = {int: save_int, float: save_float, str: save_text, type(None): save_none, list: save_list}
    handlers |= {tuple: save_tuple, dict: save_dict}


def dispatch(bad: bool = False) -> Any:
    machine = Machine()
    data: Any = {"a": [1, 2.5, None, ("x", 3, [4])], "b": {"c": (1, 2), "d": None}, "e": [[], [1.5], "text"]}
    if bad:
        data["z"] = [1, {2}, 3]
    found: list[Any] = []
    for _ in range(40):
        try:
            machine.save(data)
        except TypeError as error:
            found.append((str(error), [entry.name for entry in traceback.extract_tb(error.__traceback__)]))
    return machine.out, found


def dispatch_that_fails() -> Any:
    return dispatch(True)


PROGRAMS = [in_a_loop, in_a_function, of_large_numbers, with_temporaries, that_fail, of_other_kinds, of_other_numbers_of_parameters]
PROGRAMS += [that_come_later, methods, dispatch, dispatch_that_fails]


@pytest.mark.parametrize("program", PROGRAMS)
def test_alike(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)


def looks(state: Any, x: Any) -> Any:
    """Looks at its caller."""
    frame = sys._getframe(1)
    return frame.f_code.co_name, sorted(name for name in frame.f_locals if name != "found")


def test_callees_that_look_at_frames(engine: Engine) -> None:
    def program() -> Any:
        table = [plus, half, itself, row, written, looks, nothing]
        found = []
        for k in range(210):
            handler = table[k % 7]
            found.append(handler(k, k % 3))
        return found

    nobody_sees(engine, program)


def starts_to_look(state: Any, x: Any) -> Any:
    """Calls nothing for a long time; callers do without frames then."""
    total = x
    for k in range(3):
        total += k
    if state == "look":
        return sys._getframe(1).f_code.co_name, sys._getframe(2).f_code.co_name
    return total


def between(state: Any, x: Any) -> Any:
    result = starts_to_look(state, x)
    for k in range(2):
        x += k
    return result, x


def test_open_calls_that_come_later(engine: Engine) -> None:
    """Frames that nobody needed are there from then on."""

    def program() -> Any:
        found = []
        for k in range(300):
            found.append(between("look" if k > 150 and k % 2 else "no", k % 3))
        return found

    nobody_sees(engine, program)


def test_changed_functions(engine: Engine) -> None:
    def program() -> Any:
        found = []
        before = plus.__code__
        try:
            for k in range(200):
                if k == 120:
                    plus.__code__ = half.__code__
                found.append(HANDLERS[k % 9](k % 4, k % 5))
        finally:
            plus.__code__ = before
        return found

    nobody_sees(engine, program)


def test_references(engine: Engine) -> None:
    """What is called, and what it is called with, has the references that it had."""
    state = object()
    watched = [state, *HANDLERS.values()]

    def program() -> Any:
        for k in range(200):
            HANDLERS[k % 9](state, 4)
            one_of(state, k % 9)
        return None

    program()
    gc.collect()
    before = [sys.getrefcount(one) for one in watched]
    with engine:
        for _ in range(6):
            program()
    engine.close()
    gc.collect()
    after = [sys.getrefcount(one) for one in watched]
    assert [b - a for a, b in zip(before, after, strict=True)] == [0] * len(before)


def test_handlers_are_let_go() -> None:
    """Closures in a table die when it does."""
    engine = Engine(threshold=20, function_threshold=15, exit_threshold=5, background=False)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)

    def made(n: int) -> Callable[[Any, Any], Any]:
        return lambda a, b: (a, b, n)

    with engine:
        table = [made(k) for k in range(7)]
        dead = [weakref.ref(one) for one in table]
        for k in range(400):
            table[k % 7](1, 2)
        del table
        gc.collect()
        assert not any(one() is not None for one in dead)
    engine.close()


def test_one_of_many_is_a_direct_call() -> None:
    engine = Engine(threshold=20, function_threshold=15, exit_threshold=5, background=False)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    with engine:
        for _ in range(10):
            in_a_loop()
        code = in_a_loop.__code__
        loops = [r.translation for r in engine.regions if r.state == "live" and r.code is code and r.translation is not None]
        assert loops and not loops[-1].calls_out
        assert {target.func for target in loops[-1].targets} >= {f for f in HANDLERS.values() if type(f) is FunctionType}
        assert all(target.boxed for target in loops[-1].targets)
    engine.close()


def climb(n: int, way: str) -> Any:
    if n == 0:
        return sys._getframe(1).f_code.co_name if way == "look" else n
    return climb(n - 1, way)


def climbs(n: int, way: str) -> Any:
    total = 0
    for k in range(3):
        total += k
    return climb(n, way), total


def test_nothing_is_watched_for_words_that_callers_had() -> None:
    """What a function's first callers look at is not written to any more once the engine is gone."""
    from jitcore.backends.runtime import runtime

    engine = Engine(threshold=20, function_threshold=15, exit_threshold=5, background=False)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    with engine:
        for round_ in range(8):
            for k in range(300):
                assert climbs(k % 4 + 1, "look" if round_ > 2 and k % 2 else "no") == ("climb" if round_ > 2 and k % 2 else 0, 3)
        targets = [target for site in engine.sites.values() for target in site.targets if target.func is climb]
        former = [ctypes.addressof(words) + 8 for target in targets for words in target.former]
        assert former and not set(former) & set(runtime()._flags)
    engine.close()
