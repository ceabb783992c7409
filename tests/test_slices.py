"""Slices of lists: read, with steps, and assigned, against the interpreter; and what their primitives do."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from test_lower import EFFORTS, Maker, Native, agree, interpret

from jitcore import Engine
from jitcore.abi import memory

MODES: dict[str, dict[str, Any]] = {
    "llvm": {},
    "full": {"opt_level": 3},
    "deopt": {"deopt_every": 1},
    "reference": {"backend": "reference"},
}
BOUNDS: list[Any] = [None, 0, 1, 2, 5, 7, 9, 100, -1, -2, -7, -8, -100, True]


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    made = Engine(threshold=5, exit_threshold=5, background=False, verify=True, **{"deopt_every": 0, **MODES[request.param]})
    if made.inactive_reason is not None:
        pytest.skip(made.inactive_reason)
    yield made
    made.close()


def read(items: Any, bounds: list[Any]) -> Any:
    rows = []
    for i in bounds:
        for j in bounds:
            rows.append(items[i:j])
            rows.append(items[i:j:-1])
            rows.append(items[i:j:2])
            rows.append(items[i:j:-3])
    return rows


def constant(items: Any, n: int) -> Any:
    rows = []
    for k in range(n):
        rows.append(items[:])
        rows.append(items[k:])
        rows.append(items[:-1])
        rows.append(items[::-1])
        rows.append(items[k::-1])
        rows.append(items[k:k:1])
        rows.append(items[-2:1:-2])
    return rows


def assign(bounds: list[Any], source: Any) -> Any:
    rows = []
    for i in bounds:
        for j in bounds:
            items = [1, 2, 3, 4, 5, 6, 7]
            items[i:j] = source
            rows.append(items)
    return rows


def flip(items: list[Any], n: int) -> Any:
    k = 0
    for _ in range(n):
        items[: k + 1] = items[k::-1]
        k = (k * 3 + 1) % len(items)
    return items


def same(engine: Engine, *runs: Any) -> None:
    expected = [repr(run()) for run in runs]
    with engine:
        for _ in range(5):
            assert [repr(run()) for run in runs] == expected
    assert engine.regions and "internal_error" not in engine.stats().refusals


def test_reading(engine: Engine) -> None:
    same(engine, lambda: read([1, 2, 3, 4, 5, 6, 7], BOUNDS), lambda: read([], BOUNDS))
    same(engine, lambda: constant([*"abcdefg"], 9), lambda: constant([1.5, None], 9))


def test_other_sequences(engine: Engine) -> None:
    same(engine, *[lambda s=s: read(s, BOUNDS) for s in ((1, 2, 3, 4, 5), "abcdé", b"abcde", range(7))])  # type: ignore[misc]


def test_assigning(engine: Engine) -> None:
    for source in ([], [9], [8, 9, 10], list(range(12)), (1, 2), "ab", {3: 4}):
        same(engine, lambda source=source: assign(BOUNDS, source))  # type: ignore[misc]


def test_flips(engine: Engine) -> None:
    same(engine, lambda: flip(list(range(9)), 200), lambda: flip([[k] for k in range(5)], 60))
    if engine.options.backend == "llvm" and not engine.options.deopt_every:
        engine.enable()
        after = engine.explain(flip).regions[-1].after
        assert "list.take" in after and "list.set_part" in after and "call.object" not in after and "PySlice_New" not in after


def test_a_list_assigned_to_itself(engine: Engine) -> None:
    def run() -> Any:
        rows = []
        for k in range(30):
            items = [1, 2, 3]
            items[k % 4 : 2] = items
            rows.append(items)
        return rows

    same(engine, run)


class Loud:
    def __init__(self, log: list[Any], name: object) -> None:
        self.log, self.name = log, name

    def __del__(self) -> None:
        self.log.append(self.name)


class Sub(list):  # type: ignore[type-arg]
    def __getitem__(self, key: Any) -> Any:
        return ("sub", key)


def test_what_is_replaced_may_have_finalizers(engine: Engine) -> None:
    def run() -> Any:
        log: list[Any] = []
        items: list[Any] = [1, 2, 3]
        for k in range(60):
            items[1:2] = [Loud(log, k)] if k > 20 else [k, k]
            log.append(len(items))
        del items
        return log

    same(engine, run)


def wrong(items: Any, key: Any, value: Any, n: int) -> Any:
    seen = []
    for k in range(n):
        try:
            seen.append(items[k:key:2])
            items[k:key] = value
            seen.append(items[1:5:key])
        except (TypeError, ValueError, OverflowError) as error:
            seen.append(f"{type(error).__name__}: {error}")
    return seen, items


@pytest.mark.parametrize("key", [3, 0, "x", 1.5, 1 << 70, None])
@pytest.mark.parametrize("value", [[1], 5, (2, 3)])
def test_what_is_wrong(engine: Engine, key: Any, value: Any) -> None:
    same(engine, lambda: wrong([1, 2, 3, 4], key, value, 40), lambda: wrong(Sub([1, 2]), key, value, 20))


def test_references(engine: Engine) -> None:
    objects = [object() for _ in range(8)]

    def run() -> int:
        items = list(objects)
        for k in range(300):
            part = items[k % 8 :: -1]
            items[: len(part)] = part
            part = items[1:5]
        return len(items)

    run()
    gc.collect()
    before = [sys.getrefcount(one) for one in objects]
    with engine:
        for _ in range(5):
            assert run() == 8
    gc.collect()
    assert [sys.getrefcount(one) for one in objects] == before


# ---- primitives


@pytest.mark.parametrize("effort", EFFORTS)
def test_parts(effort: str) -> None:
    items = [object() for _ in range(5)]
    ends = [0, 1, 4, 5, 9, -1, -4, 1 << 62, -(1 << 63)]
    maker = Maker()
    maker.exit(maker.emit("list.slice", *[maker.input(r) for r in "oii"]))
    native = Native(maker.graph, effort)
    counts = [sys.getrefcount(one) for one in items]
    for start in ends:
        for stop in ends:
            maker.set(id(items), start, stop)
            for run in (native.run, lambda: interpret(maker.graph)):
                address = run()[1][0]
                assert memory.object_at(address) == items[max(start, 0) : max(stop, 0)]
                memory.decref(address)
    assert [sys.getrefcount(one) for one in items] == counts


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("step", [1, -1, 3, -2])
def test_taking(effort: str, step: int) -> None:
    items = [object() for _ in range(9)]
    maker = Maker()
    maker.exit(maker.emit("list.take", *[maker.input(r) for r in "oii"], imm=(step,)))
    native = Native(maker.graph, effort)
    counts = [sys.getrefcount(one) for one in items]
    for start in range(9):
        for count in range(10):
            if count and not 0 <= start + (count - 1) * step < 9:
                continue
            maker.set(id(items), start, count)
            for run in (native.run, lambda: interpret(maker.graph)):
                address = run()[1][0]
                assert memory.object_at(address) == [items[start + step * k] for k in range(count)]
                memory.decref(address)
    assert [sys.getrefcount(one) for one in items] == counts


def test_quiet_parts() -> None:
    maker = Maker()
    maker.exit(maker.emit("list.part_is_safe", *[maker.input(r) for r in "oii"]))
    rows: list[list[Any]] = [[1, 2.5, "x", None], [1, object(), 2], [[1], (2, [3])], [{}, 1], [[[[[[1]]]]], 1]]
    agree(maker, [(id(row), i, j) for row in rows for i in (0, 1, -3, 9) for j in (0, 1, 2, 3, 1 << 62, -1)])


@pytest.mark.parametrize("effort", EFFORTS)
def test_replacing(effort: str) -> None:
    maker = Maker()
    maker.exit(maker.emit("list.set_part", *[maker.input(r) for r in "oiio"]))
    native = Native(maker.graph, effort)
    for run in (native.run, lambda: interpret(maker.graph)):
        for start, stop, other in ((0, 2, [7]), (1, 1, [8, 9]), (3, 99, []), (-5, 2, [1, 1, 1]), (1, 3, [7, 8]), (-1, 99, [9] * 4)):
            target = [1, 2, 3, 4]
            maker.set(id(target), start, stop, id(other))
            assert run()[1] == [0]
            expected = [1, 2, 3, 4]
            expected[max(start, 0) : stop] = other
            assert target == expected
        target = [1, 2, 3]
        maker.set(id(target), 1, 2, id(target))
        assert run()[1] == [0] and target == [1, 1, 2, 3, 3]
        maker.set(id(target), 0, 5, id(target))
        assert run()[1] == [0] and target == [1, 1, 2, 3, 3]
        kept, gone = object(), object()
        counts = sys.getrefcount(kept), sys.getrefcount(gone)
        target, other = [gone, kept, gone], [kept, gone, kept]
        maker.set(id(target), 0, 3, id(other))
        assert run()[1] == [0] and target == other and target is not other
        del target, other
        assert (sys.getrefcount(kept), sys.getrefcount(gone)) == counts
