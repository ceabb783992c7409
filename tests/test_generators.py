"""Generators that are walked into by the loops over them: nobody can tell, wherever native code leaves."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from engine_modes import MODES, engine_with, entries_when_warm, nobody_sees
from jitcore.tracing.decode import code_info
from jitcore.tracing.generators import yields_plainly
from test_lower import EFFORTS, Maker, Native, interpret

from jitcore import Engine
from jitcore.abi import LAYOUT


@pytest.fixture(params=["llvm", "deopt", "reference"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


def count(n: Any) -> Iterator[Any]:
    i = 0
    while i < n:
        yield i
        i += 1


def items(values: Any) -> Iterator[Any]:
    for value in values:
        yield value


def pairs(values: list[Any]) -> Iterator[Any]:
    for k, value in enumerate(values):
        yield k, value


def doubled(values: Any) -> Iterator[Any]:
    for value in items(values):
        yield value
        yield value * 2


def above(n: int, *, least: int) -> Iterator[int]:
    for i in range(n):
        yield i + least


def several(n: int) -> Iterator[Any]:
    yield "first"
    for i in range(n):
        if i % 3 == 0:
            yield i
        elif i % 3 == 1:
            yield i + 0.5
        else:
            yield str(i)
    yield "last"
    yield "the very last"
    return 7  # noqa: B901


def with_default(n: int, step: int = 3, start: float = 0.5) -> Iterator[float]:
    while n > 0:
        yield start
        start += step
        n -= 1


def nothing() -> Iterator[int]:
    return
    yield 1


def simple() -> Any:
    total = 0
    for x in count(30):
        total += x
    for x in with_default(20, start=2.0):
        total += x
    for x in with_default(20, 4):
        total += x
    for x in nothing():
        total += x
    return total


def of_objects() -> Any:
    seen = []
    for _ in range(12):
        for k, value in pairs(["a", 1, 2.5, None, (1, 2)]):
            seen.append((k, value))
        for value in doubled([1, 2.5, "x", [3]]):
            seen.append(value)
        for value in several(10):
            seen.append(value)
    return seen


def nested() -> Any:
    total = 0
    for x in count(12):
        for y in count(x):
            for z in items([x, y]):
                total += x * y - z
    return total


def left_early() -> Any:
    def first(limit: int) -> int:
        for x in count(1000):
            if x * x > limit:
                return x
        return -1

    total = [first(n) for n in range(60)]
    for x in count(50):
        if x == 40:
            break
    else:
        total.append("not reached")
    for _y in count(5):
        continue
    else:
        total.append("reached")
    return total, x


def grows_big() -> Any:
    def powers(n: int) -> Iterator[int]:
        p = 1
        while n:
            yield p
            p *= 7
            n -= 1

    return [p for p in powers(40)]


def fails_inside() -> Any:
    def inverse(values: list[int]) -> Iterator[float]:
        for value in values:
            yield 1 / value

    seen: list[Any] = []
    for values in ([1, 2, 4], [1, 0, 2]) * 25:
        try:
            for x in inverse(values):
                seen.append(x)
        except ZeroDivisionError as error:
            lines = [(f.name, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
            seen.append((lines, repr(error.__context__)))
    return seen


def fails_outside() -> Any:
    seen: list[Any] = []
    for k in range(60):
        try:
            for x in items([3, 2, 1, k % 2]):
                seen.append(12 // x)
        except ZeroDivisionError as error:
            seen.append([(f.name, f.lineno) for f in traceback.extract_tb(error.__traceback__)])
    return seen


def raises_stop_iteration() -> Any:
    def bad(values: list[int]) -> Iterator[int]:
        at = iter(values)
        while True:
            yield next(at)

    seen: list[Any] = []
    for _ in range(40):
        try:
            for x in bad([1, 2, 3]):
                seen.append(x)
        except RuntimeError as error:
            seen.append((repr(error), repr(error.__cause__)))
    return seen


def looks_at_frames() -> Any:
    def watching(n: int) -> Iterator[Any]:
        for i in range(n):
            frame = sys._getframe()
            yield frame.f_lineno, sorted(frame.f_locals), frame.f_back.f_code.co_name if frame.f_back else None, i

    return [one for one in watching(50)]


def tells_callers() -> Any:
    def where() -> Any:
        return [f.f_code.co_name for f in (sys._getframe(1), sys._getframe(2))]

    def asking(n: int) -> Iterator[Any]:
        for i in range(n):
            yield i
            if i > 40:
                yield where()

    return [x for x in asking(44)]


def in_a_try() -> Any:
    seen = []

    def guarded(n: int) -> Iterator[int]:
        try:
            for i in range(n):
                yield i
        finally:
            seen.append("closed")

    for k in range(30):
        for x in guarded(5):
            if x == 3:
                break
        seen.append(k)
    return seen


class Noisy:
    def __init__(self, log: list[Any], name: Any) -> None:
        self.log, self.name = log, name

    def __del__(self) -> None:
        self.log.append(self.name)


def ends_of_objects() -> Any:
    log: list[Any] = []

    def holding(k: int) -> Iterator[int]:
        first, second = Noisy(log, ("first", k)), Noisy(log, ("second", k))
        yield 1
        first = second
        yield 2
        second = None  # type: ignore[assignment]
        yield 3
        log.append(first is second)

    for k in range(40):
        for x in holding(k):
            log.append(x)
            if x == 1 + k % 3:
                break
        log.append("left")
    return log


def given_objects() -> Any:
    log: list[Any] = []

    def with_it(it: Any, n: int) -> Iterator[Any]:
        for i in range(n):
            yield i, it.name
        del it
        yield None

    for k in range(40):
        for x in with_it(Noisy(log, k), 3):
            log.append(x)
            if k % 4 == 0 and x == (1, k):
                break
    return log


def rebinds() -> Any:
    """The function of the generator changes while it runs."""
    namespace: dict[str, Any] = {}
    exec("def gen(n):\n    for i in range(n):\n        yield i", namespace)
    exec(
        "def use(n):\n    global gen\n    total = 0\n    for x in gen(n):\n        total += x\n"
        "        if n == 50 and x == 7:\n            gen = other\n    return total",
        namespace,
    )
    namespace["other"] = lambda n: iter([n])
    seen = [namespace["use"](k) for k in range(60)]
    first = namespace["gen"]
    exec("def gen(n):\n    yield from range(0, n, 2)", namespace)
    seen += [namespace["use"](k) for k in range(20)]
    return seen, first is namespace["other"]


def methods() -> Any:
    class Tree:
        def __init__(self, left: Any, value: int, right: Any) -> None:
            self.left, self.value, self.right = left, value, right

        def __iter__(self) -> Iterator[int]:
            if self.left is not None:
                for x in self.left:
                    yield x
            yield self.value
            if self.right is not None:
                for x in self.right:
                    yield x

        def values(self) -> Iterator[int]:
            for x in self:
                yield x + 1

    class Reversed(Tree):
        def __iter__(self) -> Iterator[int]:
            for x in (self.value, -self.value):
                yield x

    def build(n: int) -> Any:
        if n % 7 == 6:
            return Reversed(None, n, None)
        return Tree(build(n // 2), n, build(n // 3)) if n else None

    return [sum(x for x in build(25)) for _ in range(10)], [x for x in build(60).values()]


def sends() -> Any:
    def echo() -> Iterator[Any]:
        got = None
        for i in range(50):
            got = yield (i, got)

    seen: list[Any] = [one for one in echo()]
    running = echo()
    next(running)
    seen += [running.send(k) for k in range(30)]  # type: ignore[attr-defined]
    return seen


def interrupted() -> Any:
    """What is done with generators by hand, beside loops over others of the same function."""
    seen: list[Any] = []
    for k in range(40):
        one = count(5)
        next(one)
        for x in count(4):
            seen.append((x, next(one, None)))
        seen.append(list(one))
        if k % 2:
            one.close()  # type: ignore[attr-defined]
    return seen


def many_types() -> Any:
    values: list[Any] = [1, 2.5, True, "s", None, 1 << 70, (1,), [2], {3: 4}, b"x"] * 4
    return [[x, x] for x in items(values)], [x for x in items(tuple(values))], [x for x in items({1: 2, "a": 3})]


class Countdown:
    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if self.n <= 0:
            raise StopIteration
        self.n -= 1
        return self.n


class Itself(Countdown):
    """Gives itself, and is the only one to hold what it holds."""

    def __next__(self) -> Any:
        Countdown.__next__(self)
        if self.n == 3:
            raise KeyError(self.n)
        return self


def own_iterators() -> Any:
    log: list[Any] = []

    class Ending(Countdown):
        def __del__(self) -> None:
            log.append("end")

    total = 0
    for k in range(40):
        for x in Countdown(k):
            total += x
        for x in Ending(3):
            log.append(x)
        else:
            log.append("else")
        for x in Ending(5):
            if x == 2:
                break
        try:
            for y in Itself(k % 6):
                log.append(y.n)
        except KeyError as error:
            log.append([(f.name, f.lineno) for f in traceback.extract_tb(error.__traceback__)])
    left = Countdown(5)
    return total, log, [x for x in left], list(left), left.n


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def deep(n: Any) -> Any:
    return 0 if n <= 0 else 1 + deep(n - 1)


def calls_inside() -> Any:
    """Direct calls in a generator, which may leave, return something else, or fail."""

    def calling(n: int) -> Iterator[Any]:
        for i in range(n):
            yield fib(i % 9)
            yield deep(i if i != 30 else 30.5)
            if i == 38:
                yield deep("no number")

    seen: list[Any] = []
    for _ in range(3):
        try:
            for x in calling(40):
                seen.append(x)
        except TypeError as error:
            seen.append([(f.name, f.lineno) for f in traceback.extract_tb(error.__traceback__)])
    return seen


PROGRAMS: dict[str, Callable[[], Any]] = {
    f.__name__: f
    for f in (
        simple, of_objects, nested, left_early, grows_big, fails_inside, fails_outside, raises_stop_iteration, looks_at_frames,
        tells_callers, in_a_try, ends_of_objects, given_objects, rebinds, methods, sends, interrupted, many_types,
        own_iterators, calls_inside,
    )
}  # fmt: skip


@pytest.mark.stress
@pytest.mark.parametrize("name", PROGRAMS)
def test_nobody_sees_it(engine: Engine, name: str) -> None:
    nobody_sees(engine, PROGRAMS[name])


def outer(n: int) -> int:
    total = 0
    for k in range(n):
        for x in count(20):
            total += x ^ k
    return total


@pytest.mark.parametrize("engine", ["llvm"], indirect=True)
def test_the_loop_over_a_generator_stays_in_native_code(engine: Engine) -> None:
    with engine:
        outer(300)
        outer(300)
        # One entry for a call, or two: of the function, and of its loop.
        assert entries_when_warm(engine, lambda: outer(300), 3, 10) <= 30


@pytest.mark.parametrize("mode", ["llvm", "deopt"])
def test_references_are_those_of_the_interpreter(mode: str) -> None:
    class Item:
        pass

    def run(things: list[Any]) -> int:
        n = 0
        for k in range(30):
            for thing in items(things):
                for other in pairs(things):
                    n += thing is other[1]
                    if k == 29 and n % 7 == 0:
                        break
        return n

    for made in engine_with(MODES[mode]):
        things = [Item() for _ in range(4)]
        plain = run(things)
        gc.collect()
        before = [sys.getrefcount(thing) for thing in things], sys.getrefcount(items), sys.getrefcount(pairs)
        with made:
            for _ in range(8):
                assert run(things) == plain
        made.close()
        gc.collect()
        after = [sys.getrefcount(thing) for thing in things], sys.getrefcount(items), sys.getrefcount(pairs)
        assert after == before


def under_way(n: int) -> Any:
    """Loops that native code enters in their middle, and the generators behind them."""
    total, seen = 0, []
    for x in count(n):
        total += x
    for k, value in pairs([1, 2.5, 3] * (n // 3)):
        total += k * value
    for x in doubled(range(n)):
        total -= x
        if x > n:
            seen.append(x)
    waiting = count(n)
    for x in waiting:
        if x == n // 2:
            break
    return total, seen, next(waiting), x, list(waiting)[-2:]


@pytest.mark.stress
@pytest.mark.parametrize("n", [150, 300])
def test_loops_are_entered_in_their_middle(engine: Engine, n: int) -> None:
    nobody_sees(engine, lambda: under_way(n))


def alone(n: int) -> int:
    total = 0
    for x in count(n):
        total ^= x
    return total


@pytest.mark.parametrize("engine", ["llvm"], indirect=True)
def test_a_long_loop_is_entered_once(engine: Engine) -> None:
    with engine:
        alone(3000)
        # Once more when the quick code has been used enough.
        assert entries_when_warm(engine, lambda: alone(3000), 2, 10) <= 11


def counts_down(n: int) -> int:
    total = 0
    for k in range(n):
        for x in Countdown(k & 7):
            total += x
    return total


@pytest.mark.parametrize("engine", ["llvm"], indirect=True)
def test_loops_over_iterators_written_in_python_end_in_native_code(engine: Engine) -> None:
    with engine:
        counts_down(300)
        counts_down(300)
        assert entries_when_warm(engine, lambda: counts_down(300), 3, 10) <= 30


def test_what_is_looked_at_decides() -> None:
    def handled() -> Iterator[int]:
        try:
            yield 1
        except ValueError:
            pass

    def beside() -> Iterator[int]:
        try:
            x = int("3")
        except ValueError:
            x = 0
        yield x

    assert yields_plainly(code_info(count.__code__))
    assert not yields_plainly(code_info(several.__code__))
    assert yields_plainly(code_info(beside.__code__))
    assert not yields_plainly(code_info(handled.__code__))


def test_parameters_by_name_only_have_no_defaults(engine: Engine) -> None:
    def program() -> list[object]:
        found: list[object] = []
        for r in range(60):
            for x in above(5, least=r):
                found.append(x)
                if x == 50:
                    found.append(len([x]))
                if r % 9 == 3 and x % 3 == 1:
                    break
        return found

    nobody_sees(engine, program)


def test_function_changes_while_its_generator_waits(engine: Engine) -> None:
    """In code that is called: native code leaves behind the call, with a generator of the code that was."""

    def plain(n: int, step: int = 1, *, least: int = 0) -> Iterator[int]:
        for i in range(n):
            yield i * step + least

    def other(n: int, step: int = 1, *, least: int = 0) -> Iterator[int]:
        yield n
        a = b = c = d = step
        for i in range(n):
            yield i + a + b + c + d + least

    first, second = plain.__code__, other.__code__
    seen = 0

    def look(x: int) -> int:
        nonlocal seen
        seen += 1
        if seen in (202, 402):
            plain.__code__ = second if plain.__code__ is first else first
        if seen in (302, 303, 502, 503):
            plain.__kwdefaults__ = {"least": seen} if seen % 2 else None  # type: ignore[assignment]
        if seen in (312, 313, 512, 513):
            plain.__defaults__ = (seen,) if seen % 2 else None
        return x

    look_at = partial(look)

    def program() -> list[object]:
        nonlocal seen
        plain.__code__, plain.__defaults__, plain.__kwdefaults__, seen = first, (1,), {"least": 0}, 0
        found: list[object] = []
        for _ in range(130):
            for x in plain(5):
                found.append(look_at(x))
        return found

    nobody_sees(engine, program)


def test_tools_that_watch_exceptions_see_the_end_of_loops(engine: Engine) -> None:
    """The interpreter says twice that StopIteration is raised: in `__next__`, and in the loop."""
    monitoring = sys.monitoring
    tool = 3
    seen: list[str] = []

    def program() -> int:
        total = 0
        for x in Countdown(9):
            total += x
        return total

    def note(code: Any, offset: int, error: BaseException) -> None:
        if code in (program.__code__, Countdown.__next__.__code__):
            seen.append(code.co_name)

    def watched_program() -> Any:
        monitoring.set_events(tool, monitoring.events.RAISE)
        try:
            return program(), seen[:]
        finally:
            monitoring.set_events(tool, 0)
            del seen[:]

    monitoring.use_tool_id(tool, "test")
    monitoring.register_callback(tool, monitoring.events.RAISE, note)
    try:
        expected = watched_program()
        assert expected == (36, ["__next__", "program"])
        with engine:
            for _ in range(6):
                assert program() == 36
            assert watched_program() == expected
    finally:
        monitoring.register_callback(tool, monitoring.events.RAISE, None)
        monitoring.free_tool_id(tool)


@pytest.mark.parametrize("effort", EFFORTS)
def test_generator_operations(effort: str) -> None:
    def one(value: Any) -> Iterator[Any]:
        for _ in [1, 2]:
            yield value

    code = one.__code__
    kept = ["value"]
    running = one(kept)
    at = [ins.next for ins in code_info(code).instructions if ins.op == "YIELD_VALUE"][0]

    def ask() -> list[object]:
        maker = Maker()
        o = maker.emit("const.o", imm=(running,))
        places = ((one, code, at), (one, code, at + 2), (count, code, at), (one, count.__code__, at))
        asked = [maker.emit("generator.waits", o, imm=place) for place in places]
        slots = [maker.emit("generator.slot", o, imm=(k,)) for k in range(2)]
        maker.exit(*asked, *slots)
        native = Native(maker.graph, effort).run(0)
        assert native == interpret(maker.graph, 0)
        return native[1]

    assert ask()[:5] == [False] * 4 + [id(kept)]
    next(running)
    assert ask() == [True, False, False, False, id(kept), id(1)]
    maker = Maker()
    maker.exit(maker.emit("generator.tagged", maker.emit("const.o", imm=(running,)), imm=(3,)))
    native = Native(maker.graph, effort).run(0)
    assert native == interpret(maker.graph, 0)
    assert native[1] == ([1] if LAYOUT.FOR_ITER_PAIR else [])
    running.close()  # type: ignore[attr-defined]
    assert ask()[0] is False
