"""Operators, comparisons and subscripts of instances: their special methods are walked into, and nobody can tell, whatever these say
and whatever happens to classes meanwhile."""

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


PROGRAMS = [both_ways, arithmetic, subscripts, asked_in_turn, raising, changing, looked_at, ends, nested, truths, mixed_numbers]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_programs(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)


@pytest.mark.parametrize("name", SHY)
def test_not_implemented(engine: Engine, name: str) -> None:
    nobody_sees(engine, SHY[name])


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


def test_the_table() -> None:
    assert ANSWERS["value"] == Answer(0) and NUMBERS["value"] == 0 and NUMBERS["none"] == 1
    assert ROW_BYTES == 64 and len(set(NUMBERS.values())) == len(ANSWERS)
    for symbol, name in BINARY.items():
        assert ANSWERS[name].text == symbol and ANSWERS[f"i{name}"].text == f"{symbol}="
