"""Checks and loads done once before a loop: nobody sees a difference, and where that fails it is not tried again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import engine_modes
import pytest
from engine_modes import engine_with

from jitcore import Engine

MODES = {**engine_modes.MODES, "plain": {"passes": "all,-hoist"}}


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


def product(a: list[Any], b: list[Any], n: int) -> Any:
    c = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            for k in range(n):
                c[i][j] += a[i][k] * b[k][j]
    return c


def paths(d: list[Any], n: int) -> Any:
    for k in range(n):
        for i in range(n):
            for j in range(n):
                t = d[i][k] + d[k][j]
                if t < d[i][j]:
                    d[i][j] = t
    return d


def numbers(n: int) -> list[Any]:
    return [[(i * 7 + j * 3) % 11 + 0.5 for j in range(n)] for i in range(n)]


def plain_products() -> Any:
    return product(numbers(14), numbers(14), 14), paths(numbers(14), 14)


def rows_of_many_kinds() -> Any:
    a: list[Any] = numbers(14)
    a[3] = tuple(a[3])
    a[5] = a[4]
    a[7] = [int(x) for x in a[7]]
    a[9] = [*a[9], None]
    return product(a, [list(map(float, row)) for row in numbers(14)], 14)


def rows_that_are_one() -> Any:
    row = [0.0] * 12
    return paths([row] * 12, 12), row


def rows_replaced_inside() -> Any:
    """The store may hit the very item that was loaded before the loop."""
    out = []
    for k in range(40):
        rows: list[Any] = [[k, 2, 3], [4, 5, 6]]
        kept = rows[0]
        for i in range(30):
            out.append(rows[0][i % 3])
            rows[i % 2] = [k, i, kept[0]]
    return out


def a_row_inside_a_row() -> Any:
    out = []
    for k in range(30):
        rows: list[Any] = [1.5, [2.5, 3.5]]
        rows[0] = rows
        for i in range(20):
            rows[0][1][i % 2] = rows[0][1][(i + 1) % 2] + 1.0
            out.append(rows[1][0])
        del rows[0]
    return out


def lists_that_shrink() -> Any:
    out = 0
    rows = [list(range(10)) for _ in range(60)]
    while rows:
        last = len(rows) - 1
        for j in range(10):
            out += rows[last][j] + rows[-1][-1 - j]
        rows.pop()
    return out


def beyond_the_end() -> Any:
    """The loop that would go wrong is not gone through even once."""
    rows = [[1, 2, 3], [4, 5, 6]]
    out = []
    for k in range(120):
        i = k % 3
        for j in range(3 if i < 2 else 0):
            out.append(rows[i][j])
    return out


def an_index_error_in_time() -> Any:
    rows: list[Any] = [[1, 2, 3]] * 4
    out = []
    for k in range(90):
        seen = 0
        try:
            for j in range(3):
                seen += 1
                out.append(rows[k % 5][j])
        except IndexError as error:
            assert error.__traceback__ is not None
            out.append((str(error), seen, error.__traceback__.tb_lineno))
    return out


def tuples_of_tuples() -> Any:
    grid: Any = tuple(tuple(range(i, i + 8)) for i in range(8))
    total = 0
    for k in range(40):
        for j in range(8):
            total += grid[k % 8][j] * grid[-1 - k % 8][-1]
    return total


PROGRAMS: list[Callable[[], Any]] = [
    plain_products,
    rows_of_many_kinds,
    rows_that_are_one,
    rows_replaced_inside,
    a_row_inside_a_row,
    lists_that_shrink,
    beyond_the_end,
    an_index_error_in_time,
    tuples_of_tuples,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_nobody_sees_it(engine: Engine, program: Callable[[], Any]) -> None:
    expected = program()
    with engine:
        for _ in range(6):
            assert repr(program()) == repr(expected)
    assert engine.stats().native_entries > 0 or engine.refusals


def test_references(engine: Engine) -> None:
    a, b = numbers(9), numbers(9)
    before = [sys.getrefcount(x) for x in (a, b, *a, *b)]
    with engine:
        for _ in range(12):
            product(a, b, 9)
    engine.close()
    assert [sys.getrefcount(x) for x in (a, b, *a, *b)] == before


def total(rows: list[Any], kinds: list[int], n: int) -> Any:
    found = 0
    for k in range(n):
        i = kinds[k % len(kinds)]
        for j in range(len(rows[i])):
            found += rows[i][j]
    return found


def test_what_failed_is_not_tried_again() -> None:
    """Rows that are lists while the loop is recorded, and tuples ever after."""
    with Engine(threshold=20, exit_threshold=5, background=False, verify=True, deopt_every=0) as engine:
        lists, tuples = [[1, 2, 3]] * 3, [(1, 2, 3)] * 3
        for _ in range(4):
            assert total(lists, [0, 1, 2], 60) == 360
        assert engine.compiler is not None and not engine.compiler.no_hoisting
        for _ in range(30):
            assert total(tuples, [0, 1, 2], 60) == 360
        assert engine.compiler.no_hoisting
        exits = engine.stats().native_exits
        for _ in range(10):
            assert total(tuples, [0, 1, 2], 60) == 360
        assert engine.stats().native_exits - exits < 100
    engine.close()
