"""Operands of a few types, and calls of a few functions: each gets a path of its own, checked where the bytecode begins."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with

from jitcore import Engine


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


def arithmetic(items: list[Any], factor: Any) -> Any:
    total = 0
    small = 0
    for x in items:
        total = total + x * factor
        if x < 3:
            small += 1
    return total, small


def merged(items: list[Any], other: list[Any]) -> Any:
    """The operand comes from either side of a conditional, so that the bytecode that asks for its type is a join itself."""
    total = 0
    for k in range(len(items)):
        total = 1 + (items[k] if k % 3 else other[k])
        total = -(other[k] if k % 2 else items[k]) + total
    return total


def subscripts(rows: list[Any], n: int) -> Any:
    total = 0
    for k in range(n):
        total += rows[k % len(rows)][k % 5]
    return total


def stores(rows: list[Any], values: list[Any], n: int) -> None:
    for k in range(n):
        rows[k % len(rows)][k % 5] = values[k % len(values)]


MIXED: list[Any] = [1, 2.5, True, 7, -0.0, 3, False, 1e10] * 20


def compare(engine: Engine, run: Callable[[], Any], code: Any, opaque: bool = False) -> None:
    expected = repr(run())
    with engine:
        for _ in range(6):
            assert repr(run()) == expected
    assert engine.regions and "internal_error" not in engine.stats().refusals
    if not opaque:
        regions = engine.explain(code).regions
        assert regions and not any("call.object" in one.after or "call.vector" in one.after for one in regions)


def test_numbers_of_several_types(engine: Engine) -> None:
    compare(engine, lambda: [arithmetic(MIXED, f) for f in (2, 0.5)], arithmetic)


def test_big_numbers_among_them(engine: Engine) -> None:
    compare(engine, lambda: arithmetic([*MIXED, 1 << 80, 2, 2.0], 3), arithmetic, opaque=True)


def test_the_bytecode_is_a_join(engine: Engine) -> None:
    compare(engine, lambda: merged(MIXED, MIXED[::-1]), merged)
    compare(engine, lambda: merged([*range(50), "x"][:50], [k / 2 for k in range(50)]), merged)


def test_containers_of_several_types(engine: Engine) -> None:
    rows: list[Any] = [[1, 2, 3, 4, 5], (1.5, 2.5, 3.5, 4.5, 5.5)]
    compare(engine, lambda: subscripts(rows, 200), subscripts)
    more = [*rows, array("d", [7.0, 8.0, 9.0, 10.0, 11.0])]
    compare(engine, lambda: subscripts(more, 201), subscripts)


def test_too_many_types(engine: Engine) -> None:
    rows: list[Any] = [[1, 2, 3, 4, 5], (1.5, 2, 3, 4, 5), array("i", range(5)), bytes(range(5)), range(5), "abcde"]
    numbers = [row for row in rows if type(row) is not str]
    compare(engine, lambda: subscripts(numbers, 200), subscripts, opaque=True)

    def last() -> Any:
        try:
            return subscripts(rows, 200)
        except TypeError as error:
            return str(error)

    compare(engine, last, subscripts, opaque=True)


def test_stores_of_several_types(engine: Engine) -> None:
    def run() -> Any:
        rows: list[Any] = [[1] * 5, array("d", [0] * 5), [None] * 5]
        stores(rows, [1, 2.5, True, 7], 300)
        return rows

    compare(engine, run, stores)


def one(x: Any) -> Any:
    return x + 1


def two(x: Any, y: int = 3) -> Any:
    return x * y


def three(x: Any) -> Any:
    s = 0
    for k in range(x % 7):
        s += k
    return s


def calls(functions: list[Any], n: int) -> Any:
    total = 0
    for k in range(n):
        f = functions[k % len(functions)]
        total = (total + f(k)) % 1_000_003
    return total


def test_several_callees(engine: Engine) -> None:
    compare(engine, lambda: calls([one, two, three], 300), calls)


def test_a_callee_nobody_saw(engine: Engine) -> None:
    """It leaves, gets a path, and at the end there are too many."""
    lists: list[list[Any]] = [[one], [one, two], [one, two, three], [one, lambda x: x, two, lambda x: -x, three, abs]]
    compare(engine, lambda: [calls(functions, 120) for functions in lists], calls, opaque=True)


def test_callees_that_raise(engine: Engine) -> None:
    def bad(x: Any) -> Any:
        return 10 // (x - 150)

    def run() -> Any:
        try:
            return calls([one, bad], 200), "not raised"
        except ZeroDivisionError as error:
            trace = error.__traceback__
            lines = []
            while trace is not None:
                lines.append((trace.tb_frame.f_code.co_name, trace.tb_lineno))
                trace = trace.tb_next
            return str(error), lines

    def even(x: Any) -> Any:
        return 10 // (x - 151)

    compare(engine, run, calls, opaque=True)
    compare(engine, lambda: calls([one, even], 100), calls)
