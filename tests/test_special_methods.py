"""Operators, comparisons, subscripts and calls of instances: their special methods are walked into, and nobody can tell, whatever these
say and whatever happens to classes meanwhile."""

from __future__ import annotations

import sys
import traceback
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with, entries_when_warm, nobody_sees
from jitcore.backends.llvm.runtime_answers import ROW_BYTES
from jitcore.optimizer.answers import ANSWERS, BINARY, NUMBERS, Answer

from jitcore import Engine


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


class Vector:
    def __init__(self, x: Any, y: Any) -> None:
        self.x = x
        self.y = y

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, Vector):
            return NotImplemented
        return Vector(self.x + other.x, self.y + other.y)

    def __radd__(self, other: Any) -> Any:
        return Vector(other + self.x, self.y)

    def __mul__(self, by: Any) -> Any:
        return Vector(self.x * by, self.y * by)

    def __rmul__(self, by: Any) -> Any:
        return Vector(by * self.x, -self.y)

    def __iadd__(self, other: Any) -> Any:
        self.x += other.x
        return self

    def __eq__(self, other: object) -> Any:
        return isinstance(other, Vector) and self.x == other.x and self.y == other.y

    def __lt__(self, other: Any) -> Any:
        return self.x < other.x

    def __getitem__(self, k: int) -> Any:
        if k > 1:
            raise IndexError(k)
        return self.y if k else self.x

    def __setitem__(self, k: int, value: Any) -> None:
        if k:
            self.y = value
        else:
            self.x = value

    __hash__ = None  # type: ignore[assignment]


def arithmetic() -> Any:
    total, step, seen = Vector(0, 0.5), Vector(1, 0.25), 0
    for k in range(120):
        total = total + step * k
        total += 2 * step
        total = total + Vector(k, 1)
        if step == Vector(1, 0.25):
            seen += 1
        if step < total:
            seen += 2
        total[1] = total[0] + k
    return total.x, total.y, seen, step[0]


class Grid:
    """Subscripts that are tuples: they exist only as their parts until somebody looks."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.cells: list[Any] = [0.5] * (width * width)
        self.last: Any = None

    def place(self, x: int, y: int) -> int:
        if 0 <= x < self.width:
            return y * self.width + x
        raise IndexError(x)

    def __getitem__(self, at: Any) -> Any:
        x, y = at
        return self.cells[self.place(x, y)]

    def __setitem__(self, at: Any, value: Any) -> None:
        (x, y) = at
        self.cells[self.place(x, y)] = value
        if x == y:
            self.last = at


def subscripts() -> Any:
    grid, out = Grid(8), []
    for k in range(160):
        x, y = k % 8, k // 8 % 8
        grid[x, y] = grid[7 - x, y] * 0.5 + k
        key = [x], (y, y)
        grid[key[0][0], key[1][1]] += 1
        try:
            grid[x + k // 150, y] = out
            out.append(grid[x + k // 140 * 2, y])
        except IndexError as error:
            out.append((error.args, sys.exc_info()[2].tb_next.tb_next.tb_lineno))  # type: ignore[union-attr]
        grid[x, y] = k
    return out[::7], grid.last, sum(grid.cells)


def asked_in_turn() -> Any:
    """NotImplemented, at first never, then now and again: the other operand is asked, or the error is the interpreter's."""
    out: list[Any] = []
    v = Vector(1, 2)
    for k in range(150):
        other: Any = v if k < 90 or k % 3 else (k if k % 2 else "text")
        try:
            made = v + other
            out.append((made.x, made.y))
        except TypeError as error:
            out.append(str(error))
    return out


class Shy:
    """Says NotImplemented to everything from some time on."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.asked = 0

    def answer(self, what: str) -> Any:
        self.asked += 1
        return NotImplemented if self.asked > self.limit else what

    def __sub__(self, other: object) -> Any:
        return self.answer("sub")

    def __isub__(self, other: object) -> Any:
        return self.answer("isub")

    def __lt__(self, other: object) -> Any:
        return self.answer("lt")

    def __eq__(self, other: object) -> Any:
        return self.answer("eq")

    __hash__ = None  # type: ignore[assignment]


class Bold(Shy):
    def __rsub__(self, other: object) -> Any:
        return "rsub", type(other).__name__

    def __gt__(self, other: object) -> Any:
        return ["gt"]


def shy(left: Callable[[], Any], right: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        out: list[Any] = []
        one, other = left(), right()
        for _ in range(70):
            for work in (minus, minus_in_place, less, equal):
                try:
                    out.append(work(one, other))
                except TypeError as error:
                    out.append(str(error))
        return out

    return run


def minus(a: Any, b: Any) -> Any:
    return [a - b for _ in range(2)]


def minus_in_place(a: Any, b: Any) -> Any:
    out = []
    for _ in range(2):
        c = a
        c -= b
        out.append(c)
    return out


def less(a: Any, b: Any) -> Any:
    return ["yes" if a < b else "no" for _ in range(2)], a < b


def equal(a: Any, b: Any) -> Any:
    return ["yes" if a == b else "no" for _ in range(2)], a == b, a == a


class Plain:
    pass


SHY = {
    "itself": shy(lambda: Shy(300), lambda: Shy(5)),
    "bold": shy(lambda: Shy(300), lambda: Bold(9)),
    "a derived class first": shy(lambda: Bold(300), lambda: Shy(9)),
    "plain": shy(lambda: Shy(300), Plain),
    "a number": shy(lambda: Shy(300), lambda: 5),
    "of a number": shy(lambda: 5, lambda: Bold(200)),
    "of None": shy(lambda: None, lambda: Bold(200)),
    "text": shy(lambda: Shy(300), lambda: "text"),
    "a list": shy(lambda: Shy(300), lambda: [1]),
}


def raising() -> Any:
    out: list[Any] = []
    v = Vector(3, 4)
    for k in range(150):
        try:
            out.append(v[0 if k < 100 else k % 4])
            v[k % 2] = k
            out.append(v + (Vector(1, "x") if k % 50 == 49 else v))
            out[-1] = out[-1].x
        except (IndexError, TypeError) as error:
            lines = traceback.extract_tb(error.__traceback__)
            out.append((repr(error), [(line.name, line.lineno) for line in lines]))
    return out


def changing() -> Any:
    """Classes change in the middle of a loop."""

    class Local(Vector):
        pass

    out: list[Any] = []
    one, two = Local(1, 1), Local(2, 2)
    for k in range(160):
        out.append((one + two).x)
        if k == 100:
            Local.__add__ = lambda self, other: Vector(-1, -1)  # type: ignore[method-assign]
        if k == 120:
            one.__class__ = Vector  # type: ignore[assignment]
        if k == 140:
            del Local.__add__
            one.__class__ = Local
    return out


class Looking(Vector):
    def __sub__(self, other: Any) -> Any:
        frame = sys._getframe(1)
        return frame.f_code.co_name, frame.f_lineno - frame.f_code.co_firstlineno

    def __xor__(self, other: Any) -> Any:
        return sys.getrefcount(self) - sys.getrefcount(other)


def looked_at() -> Any:
    out: set[Any] = set()
    one, two = Looking(1, 2), Looking(3, 4)
    three = two
    for _ in range(120):
        out.add(one - two)
        out.add(one ^ two)
    return sorted(map(str, out)), three is two


ended: list[Any] = []


class Mortal(Vector):
    def __mul__(self, by: Any) -> Any:
        return Mortal(self.x * by, by)

    def __mod__(self, other: Any) -> Any:
        ended.append(("in", self.x))
        return Mortal(self.x + other.x, 0)

    def __lt__(self, other: Any) -> Any:
        return self.x < other.x

    def __del__(self) -> None:
        ended.append(("end", self.x if type(self.x) is int else type(self.x).__name__))


def ends() -> Any:
    """Operands that nobody else has end when the operator is done, before its result is used."""
    ended.clear()
    one = Mortal(1, 1)
    for k in range(100):
        made = one * k % (one * 2)
        ended.append(("made", made.x))
        ended.append((one * k < one * 3, (one * k)[(one * 4).y & 1]))
        (one * 5)[(one * k).y & 1] = one * 6
    del made
    return list(ended)


class Nested:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __eq__(self, other: object) -> Any:
        return isinstance(other, Nested) and self.inner == other.inner

    def __add__(self, other: Any) -> Any:
        return Nested(self.inner + other.inner)

    __hash__ = None  # type: ignore[assignment]


def nested() -> Any:
    a, b = Nested(Nested(Vector(1, 2))), Nested(Nested(Vector(1, 2)))
    same = 0
    for k in range(120):
        if a == b:
            same += 1
        if k == 80:
            b.inner.inner.x = 1.5
        c = a + b
    return same, c.inner.inner.x


class Truths:
    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __gt__(self, k: Any) -> Any:
        return self.values[k % len(self.values)]


def truths() -> Any:
    """A comparison may give anything."""
    out = []
    plain, odd = Truths([True, False]), Truths([[], [1], None, 2.5])
    for k in range(150):
        out.append("y" if (odd if k > 100 else plain) > k else "n")
        out.append(plain > k)
    return out, odd > 1


def mixed_numbers() -> Any:
    """Ints here and floats there, in every combination: no path for each of them."""
    values = [Vector(1, 2.5), Vector(2.5, 1), Vector(3, 4), Vector(0.5, 0.25), Vector(1 << 70, True)]
    total: Any = 0
    less_often = 0
    for k in range(200):
        a, b = values[k % 5], values[k * 3 % 5 if k < 150 else k % 4]
        total = total + (a.x - b.x) * (a.y + b.y) - a.x * b.y
        if a.x < b.y:
            less_often += 1
    return total, less_often


class Either:
    """One function for both ways."""

    def __init__(self, k: Any) -> None:
        self.k = k

    def __add__(self, other: Any) -> Any:
        if isinstance(other, str):
            return NotImplemented
        return self.k, other if type(other) is int else other.k

    __radd__ = __add__

    def __mul__(self, other: Any) -> Any:
        return NotImplemented if self.k % 2 else self.k

    def __matmul__(self, other: Any) -> Any:
        return "matmul" if isinstance(other, Either) else NotImplemented


def both_ways() -> Any:
    out: list[Any] = []
    operands: list[Any] = [1, Either(2), 3, Either(4), "text", array("i", [1]), None]
    for k in range(260):
        left, right = operands[k % 2 if k < 90 else k % 4], operands[(k * 3 + 1) % (2 if k < 60 else 4 if k < 120 else 7)]
        for work in (plus, times, at):
            try:
                out.append(work(left, right))
            except (TypeError, AttributeError) as error:
                out.append(str(error))
    return [one if type(one) in (int, str, tuple) else type(one).__name__ for one in out]


def plus(left: Any, right: Any) -> Any:
    return [left + right for _ in range(3)][-1]


def times(left: Any, right: Any) -> Any:
    return [left * right for _ in range(3)][-1]


def at(left: Any, right: Any) -> Any:
    return [left @ right for _ in range(3)][-1]


class Adder:
    def __init__(self, n: Any) -> None:
        self.n = n

    def __call__(self, k: Any) -> Any:
        return self.n + k


class Doubler(Adder):
    def __call__(self, k: Any) -> Any:
        return super().__call__(k) * 2


class Rich:
    def __init__(self, n: Any) -> None:
        self.n = n

    def __call__(self, a: Any, b: Any = 2, *c: Any, d: Any = 4, **e: Any) -> Any:
        return self.n, a, b, c, d, e


class Few:
    def __call__(self, *args: Any) -> Any:
        return sum(args)


class Eight:
    def __call__(self, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
        return a + b - c + d * e + f + g - h


class Nine:
    def __call__(self, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, i: Any) -> Any:
        return a + b - c + d * e + f + g - h + i


ADDER, EIGHT, NINE = Adder(5), Eight(), Nine()


def calls() -> Any:
    """Of a constant, of what is made here, of attributes and items; with every kind of argument."""
    out: list[Any] = []
    rich, few, holder = Rich(1), Few(), Nested(Adder(2))
    for k in range(100):
        out.append((ADDER(k), Adder(k)(1), holder.inner(k), [holder.inner, ADDER][k % 2](k), EIGHT(*range(8)), EIGHT(k, 1, 2, 3, 4, 5, 6, 7)))
        out.append((rich(k), rich(k, 1), rich(k, 1, 2, 3), rich(k, d=1), rich(b=1, a=k), rich(1, z=k), rich(*(k, 2)), rich(**{"a": k})))
        out.append((few(), few(1), few(1, 2), few(1, 2, 3), few(k, 2, 3, 4), few(k, 2, 3, 4, 5), few(k, 2, 3, 4, 5, 6), few(1, 2, 3, 4, 5, 6, k)))
        out.append((NINE(k, 1, 2, 3, 4, 5, 6, 7, 8), ADDER.__call__(k), Adder.__call__(holder.inner, k), list(map(ADDER, (k, 1)))))
        if k == 70:
            holder.inner = Doubler(k)
    return out


def several_classes() -> Any:
    out: list[Any] = []
    callables: list[Any] = [Adder(1), Doubler(2), Adder(0.5), Few(), abs, lambda k: -k, Rich]
    for k in range(240):
        called = callables[k % (1 + k // 35)]
        made = called(k)
        out.append(made if type(made) is not Rich else made.n)
    return out


class Faulty:
    def __call__(self, k: int) -> Any:
        made = 7
        if k == 3:
            raise KeyError(k)
        return made // \
            (k - 5)


def failing_calls() -> Any:
    out: list[Any] = []
    faulty: Any = Faulty()
    for k in range(160):
        try:
            out.append(faulty(9 if k < 50 else k % 7))
            out.append([faulty(k % 9) for _ in range(2)])
            out.append(ADDER("x") if k % 20 == 19 else ADDER(k))
            out.append(ADDER() if k % 20 == 15 else ADDER(k, k) if k % 20 == 13 else ADDER(n=k) if k % 20 == 11 else 1)  # type: ignore[call-arg]
        except (KeyError, ZeroDivisionError, TypeError) as error:
            lines = traceback.extract_tb(error.__traceback__)
            out.append((repr(error), [(line.name, line.lineno, line.colno) for line in lines]))
    return out


def changing_calls() -> Any:
    """What is called changes in the middle of a loop."""

    class Local(Adder):
        def __call__(self, k: Any) -> Any:
            return "local", self.n, k

    original = Local.__call__
    out: list[Any] = []
    one: Any = Local(1)
    for k in range(220):
        if k == 60:
            Local.__call__ = lambda self, k: ("other", self.n)  # type: ignore[method-assign, assignment]
        if k == 80:
            del Local.__call__
        if k == 100:
            Local.__call__ = original  # type: ignore[method-assign]
        if k == 110:
            one.__call__ = lambda k: "own"  # nobody asks for it
        if k == 120:
            one.__class__ = Doubler
        if k == 130:
            one.__class__ = Local
        if k == 140:
            Local.__call__ = staticmethod(abs)  # type: ignore[method-assign, assignment]
        if k == 150:
            Local.__call__ = ADDER  # type: ignore[method-assign, assignment]
        if k == 160:
            Local.__call__ = property(lambda self: len)  # type: ignore[method-assign, assignment]
        if k == 170:
            Local.__call__ = None  # type: ignore[method-assign, assignment]
        if k == 180:
            Local.__call__ = original  # type: ignore[method-assign]
        if k == 190:
            original.__code__ = (lambda self, k: ("code", k)).__code__
        if k == 200:
            original.__defaults__ = (3,)
            out.append(one())
        try:
            out.append(one(k))
        except TypeError as error:
            out.append(str(error))
    return out


class Doer:
    """Changes itself while it is called."""

    def __init__(self) -> None:
        self.called = 0

    def __call__(self, k: int) -> Any:
        self.called += 1
        if k == 50:
            self.__class__ = Undoer  # type: ignore[assignment]
        return self.called, type(self).__name__


class Undoer(Doer):
    def __call__(self, k: int) -> Any:
        self.called -= 2
        if k > 60:
            self.__class__ = Doer  # type: ignore[assignment]
        return self.called, "undone"


def changing_while_called() -> Any:
    one = Doer()
    return [one(k) for k in range(120)]


class Recursive:
    def __call__(self, n: int) -> Any:
        return 0 if n == 0 else 1 + self(n - 1)


class Lazy:
    def __call__(self, n: int) -> Any:
        for k in range(n):
            yield k


class Watching:
    def __call__(self, *args: Any) -> Any:
        frame = sys._getframe(1)
        return frame.f_code.co_name, frame.f_lineno - frame.f_code.co_firstlineno, sorted(frame.f_locals), len(args)


def calls_of_other_kinds() -> Any:
    recursive, lazy, watching = Recursive(), Lazy(), Watching()
    out: list[Any] = []
    for k in range(100):
        out.append((recursive(k % 6), sum(lazy(k % 5)), [one for one in lazy(3)], watching(k)))
        out.append(Watching()(
            k,
            recursive(1),
        ))
    try:
        recursive(10**6)
    except RecursionError:
        out.append("deep")
    return out


class Loud(Mortal):
    def __call__(self, *others: Any) -> Any:
        ended.append(("in", self.x))
        if others and others[0].x == -60:
            raise KeyError(self.x)
        return self.x + len(others)


class Giving(Mortal):
    def __call__(self, other: Any) -> Any:
        other = other.x
        ended.append(("given", other))
        return self.x - other


LARGE = "".join(f"    t += k * {n}\n    if t > {n * 1000}: t -= {n}\n" for n in range(1, 16))
exec(f"def large(self, k, other):\n    t = 0\n{LARGE}    return t + self.x - other.x\n")


class Large(Mortal):
    __call__ = globals()["large"]


def ends_of_calls() -> Any:
    """Callables and arguments that nobody else has end when the call is done, in the interpreter's order."""
    ended.clear()
    for k in range(100):
        made = Loud(k, 0)() + 1
        ended.append(("made", made))
        made = Loud(k, 0)(Loud(-1, 0)) + 1
        ended.append(("made", made))
        made = Giving(k, 0)(Mortal(k + 1000, 0)) + 1
        ended.append(("made", made))
        made = Large(k, 0)(k, Mortal(k + 2000, 0)) + 1
        ended.append(("made", made))
        try:
            Loud(k, 0)(Mortal(-60, 1), Mortal(k + 3000, 0))
        except KeyError as error:
            ended.append(error.args)
    return list(ended)


CALLS = [calls, several_classes, failing_calls, changing_calls, changing_while_called, calls_of_other_kinds, ends_of_calls]
PROGRAMS = [both_ways, arithmetic, subscripts, asked_in_turn, raising, changing, looked_at, ends, nested, truths, mixed_numbers]
PROGRAMS += CALLS


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_programs(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)


@pytest.mark.parametrize("name", SHY)
def test_not_implemented(engine: Engine, name: str) -> None:
    nobody_sees(engine, SHY[name])


@pytest.mark.parametrize("program", CALLS, ids=lambda program: program.__name__)
def test_calls_in_functions(program: Callable[[], Any]) -> None:
    """The same where functions have doors of their own and what they call is compiled for direct calls."""
    with Engine(threshold=20, function_threshold=15, exit_threshold=5, background=False, verify=True, deopt_every=0) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        nobody_sees(engine, program)
        assert "internal_error" not in engine.refusals
    engine.close()


def simple_calls() -> Any:
    adders, total = [Adder(2), Doubler(0.5)], 0
    for k in range(120):
        total += ADDER(k) + adders[0](k) + Adder(k)(1)
        total += adders[k % 2](k)
    return total


def test_calls_are_walked_into() -> None:
    with Engine(threshold=20, background=False, deopt_every=0) as engine:
        assert entries_when_warm(engine, simple_calls, 10, 10) < 40
        shown = str(engine.explain(simple_calls))
    assert "SSA after the passes" in shown and "call.vector" not in shown and "call.object" not in shown


def test_operators_stay_native() -> None:
    with Engine(threshold=20, background=False, deopt_every=0) as engine:
        assert entries_when_warm(engine, arithmetic, 10, 10) < 40 and not engine.refusals.get("needs_frame")


def test_references_are_kept(engine: Engine) -> None:
    v = Vector(1.5, 2)

    def program() -> Any:
        for k in range(100):
            made = v + v
            v[1] = k
            made += v
        return made.x

    with engine:
        before = sys.getrefcount(v), sys.getrefcount(Vector)
        for _ in range(5):
            assert program() == 4.5
        assert sys.getrefcount(v) == before[0]


def test_references_of_calls_are_kept(engine: Engine) -> None:
    adder, few, value = Adder(1.5), Few(), 10**30

    def program() -> Any:
        total: Any = 0
        for k in range(100):
            total += adder(k) + few(value, k) - value
            try:
                few(value, "x") if k % 20 == 19 else adder(value)
            except TypeError:
                total += 1
        return total

    expected = program()
    with engine:
        assert program() == expected
        before = sys.getrefcount(value)
        for _ in range(5):
            assert program() == expected
        assert sys.getrefcount(value) <= before + 1  # a region may have it
        counts = sys.getrefcount(adder), sys.getrefcount(few)
        assert program() == expected
        assert (sys.getrefcount(adder), sys.getrefcount(few)) == counts


def test_the_table() -> None:
    assert ANSWERS["value"] == Answer(0) and NUMBERS["value"] == 0 and NUMBERS["none"] == 1
    assert ROW_BYTES == 64 and len(set(NUMBERS.values())) == len(ANSWERS)
    for symbol, name in BINARY.items():
        assert ANSWERS[name].text == symbol and ANSWERS[f"i{name}"].text == f"{symbol}="
