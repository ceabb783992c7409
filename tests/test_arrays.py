"""Arrays of numbers: each typecode plain and compiled, and everything that raises or that changes the array meanwhile."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterator
from typing import Any

import pytest
from test_lower import EFFORTS, Maker, Native, agree, interpret

from jitcore import Engine
from jitcore.abi import memory
from jitcore.abi.arrays import ARRAY_DESCRIPTION, LIMITS, WIDTHS, description


class Sub(array):  # type: ignore[type-arg]
    """Not an exact array."""


@pytest.fixture(params=["llvm", "deopt", "reference"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    options: dict[str, Any] = {"llvm": {}, "deopt": {"deopt_every": 1}, "reference": {"backend": "reference"}}[request.param]
    made = Engine(threshold=5, exit_threshold=5, background=False, verify=True, **options)
    if made.inactive_reason is not None:
        pytest.skip(made.inactive_reason)
    yield made
    made.close()


def test_descriptions() -> None:
    found = {code: description(code) for code in WIDTHS}
    assert all(found.values()) and len(set(found.values())) == len(found)
    assert description("Q") == description("u") == 0
    for code, address in found.items():
        assert memory.read64(id(array(code)) + ARRAY_DESCRIPTION) == address


@pytest.mark.parametrize("code", WIDTHS)
def test_operations(code: str) -> None:
    """Each primitive by both backends; values up to the limits of the item."""
    whole = code in LIMITS
    values: list[Any] = [0.0, -0.0, 1.5, math.inf, -1e300, 2.0**-149, 1e-46, math.pi]
    if whole:
        low, high = LIMITS[code]
        values = sorted({low, low + 1, high - 1, high, 0, min(7, high)})
    get, put = ("array.get_i", "array.set_i") if whole else ("array.get_f", "array.set_f")
    for effort in EFFORTS:
        maker = Maker()
        o, i, v = maker.input("o"), maker.input("i"), maker.input("i" if whole else "f")
        maker.emit(put, o, i, v, imm=(code,))
        read = maker.emit(get, o, i, imm=(code,))
        maker.exit(read, maker.emit("array.len", o), maker.emit("array.kind_is", o, imm=(code,)))
        native = Native(maker.graph, effort)
        for run in (native.run, lambda: interpret(maker.graph)):  # noqa: B023
            for at, value in enumerate(values):
                target, expected = array(code, [0] * len(values)), array(code, [0] * len(values))
                maker.set(id(target), at, value)
                seen = run()[1]
                expected[at] = value
                assert target.tobytes() == expected.tobytes()
                assert repr(seen) == repr([expected[at], len(values), True])


def test_kinds() -> None:
    arrays = [array(code, [1]) for code in "bBhHiIlLqQfd"]
    for code in WIDTHS:
        maker = Maker()
        maker.exit(maker.emit("array.kind_is", maker.input("o"), imm=(code,)))
        agree(maker, [(id(one),) for one in arrays])


def move(source: Any, target: Any, n: int) -> Any:
    total = 0
    for k in range(-n, n):
        x = source[k]
        target[k] = x
        target[-k] += 1
        total += x + target[k]
    return total


@pytest.mark.parametrize("code", "bBhHiIlLqQfd")
def test_programs(engine: Engine, code: str) -> None:
    def run() -> Any:
        source, target = array(code, [k * 3 % 50 for k in range(41)]), array(code, [1] * 41)
        return [move(source, target, n) for n in (40, 3, 40)], target.tobytes()

    expected = run()
    with engine:
        for _ in range(4):
            assert run() == expected
    assert engine.regions and "internal_error" not in engine.stats().refusals


def fill(target: Any, values: Any) -> Any:
    done = 0
    try:
        for k in range(len(values)):
            target[k] = values[k]
            done += 1
    except (OverflowError, TypeError, IndexError) as error:
        return done, type(error), str(error), target.tolist()
    return done, target.tolist()


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ("b", 128), ("B", -1), ("h", -40000), ("H", 1 << 16), ("i", 1 << 31), ("I", -1), ("l", 1 << 63), ("q", -(1 << 70)),
        ("i", 1.5), ("b", True), ("d", 3), ("d", "x"), ("f", 1e300), ("d", 1 << 2000), ("i", None),
    ],
)  # fmt: skip
def test_what_does_not_fit(engine: Engine, code: str, bad: Any) -> None:
    good = [k % 9 for k in range(60)] if code in LIMITS else [k % 9 + 0.5 for k in range(60)]
    rows = [good, [*good[:50], bad], [bad], good, [*good, 1]]

    def run() -> Any:
        return [fill(array(code, good), row) for row in rows]

    expected = run()
    with engine:
        for _ in range(4):
            assert run() == expected
    assert engine.regions


def hostile(a: Any, n: int, grow: int) -> Any:
    seen = []
    view = None
    for k in range(n):
        try:
            a[k % 20] += 1
            seen.append(a[k % 23])
        except IndexError:
            seen.append("index")
        if k % 11 == grow:
            a.append(k)
        if k % 17 == grow:
            a.pop()
        if k == 60:
            view = memoryview(a)
        if view is not None and k < 90:
            view[k % 5] = 100
        if k == 90 and view is not None:
            view.release()
    return seen, a.tolist()


@pytest.mark.parametrize("code", "id")
def test_arrays_that_change(engine: Engine, code: str) -> None:
    """They grow, shrink, are written to through a view, and give way to subclasses and other typecodes. References are
    counted from C: native code that calls out lends its own, where the interpreter lends the local's from 3.14 on."""

    def run() -> Any:
        plain = hostile(array(code, range(20)), 200, 99)
        others = [array("h", range(20)), Sub(code, range(20)), array("Q", range(20)), array(code, range(5))]
        seen = [hostile(one, 58, 3) for one in others]
        return plain, seen, hostile(array(code, range(20)), 58, 3), list(map(sys.getrefcount, others))

    expected = run()
    with engine:
        for _ in range(6):
            assert run() == expected
    assert engine.regions and "internal_error" not in engine.stats().refusals
