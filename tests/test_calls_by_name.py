"""Native functions that are called with arguments by name, and functions that call themselves from where they were walked into."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with, nobody_sees

from jitcore import Engine


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with({"function_threshold": 15, **MODES[request.param]})


def large(a: Any, b: Any = 2, c: Any = 3, d: Any = 5) -> Any:
    """Large enough to be called."""
    total = 0
    for k in range(b):
        total += a * k + c
        if total > 1000:
            total -= 1000
        if total % 3 == 0:
            total += d
        elif total % 5 == 0:
            total += 3
        elif total % 7 == 0:
            total -= c
    if total % 11 == 10:
        total = total * 2 + 1
    return total, d


def in_any_order() -> Any:
    found = []
    for k in range(150):
        found.append(large(k, c=k % 7))
        found.append(large(d=1, c=k, a=2))
        found.append(large(k, 4, d=k % 3))
        found.append(large(b=3, a=k))
        found.append(large(a=k, b=2, c=1, d=0))
    return found


def of_other_types() -> Any:
    found = []
    for k in range(150):
        found.append(large(k if k % 3 else k / 2, c=k % 7 if k % 5 else 0.5))
        found.append(large(k, d="text" if k % 2 else None, b=0))
    return found


def wrong_names() -> Any:
    found: list[Any] = []
    for k in range(120):
        try:
            if k % 4 == 1:
                found.append(large(k, e=1))  # type: ignore[call-arg]
            elif k % 4 == 2:
                found.append(large(k, a=1))  # type: ignore[misc]
            elif k % 4 == 3:
                found.append(large(b=1))  # type: ignore[call-arg]
            else:
                found.append(large(k, b=1))
        except TypeError as error:
            found.append((str(error), [entry.lineno for entry in traceback.extract_tb(error.__traceback__)]))
    return found


class Node:
    def __init__(self, above: Any, number: int) -> None:
        self.above = above or self
        self.number = number

    def find(self, update: bool = False) -> Any:
        above = self.above
        if above.number != self.number:
            above = above.find(update)
            if update:
                self.above = above
        return above

    def depth(self, *, limit: int = 5) -> int:
        if limit == 0:
            raise ValueError(self.number)
        return 0 if self.above is self else 1 + self.above.depth(limit=limit - 1)


def chain() -> list[Node]:
    nodes = [Node(None, 0)]
    for k in range(1, 9):
        nodes.append(Node(nodes[k - 1], k))
    return nodes


def recursion() -> Any:
    nodes, found = chain(), []
    for k in range(200):
        found.append(nodes[k % 9].find().number)
        if k % 50 == 49:
            found.append(nodes[8].find(update=True).number)
            nodes = chain()
    return found


def recursion_that_fails() -> Any:
    nodes, found = chain(), []
    for k in range(150):
        try:
            found.append(nodes[k % 9].depth(limit=6))
        except ValueError as error:
            found.append((error.args, [entry.lineno for entry in traceback.extract_tb(error.__traceback__)]))
    return found


@pytest.mark.parametrize("program", [in_any_order, of_other_types, wrong_names, recursion, recursion_that_fails])
def test_alike(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)


def test_changed_defaults(engine: Engine) -> None:
    """What is left out is what the function has for it at that time."""

    def program() -> Any:
        found = []
        before = large.__defaults__
        try:
            for k in range(150):
                if k == 100:
                    large.__defaults__ = (3, 4, 6)
                found.append(large(k, c=1))
        finally:
            large.__defaults__ = before
        return found

    nobody_sees(engine, program)


def test_recursion_is_native() -> None:
    """Not an open call from where the function was walked into."""
    engine = Engine(threshold=20, exit_threshold=5, background=False)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    nodes = chain()

    def deepest(n: int) -> int:
        total = 0
        for k in range(n):
            total += nodes[k % 9].find(update=False).number + 1
        return total

    with engine:
        for _ in range(8):
            assert deepest(90) == 90
        loops = [r.translation for r in engine.regions if r.state == "live" and r.code is deepest.__code__ and r.translation is not None]
        assert loops and not any(one.calls_out for one in loops)
    engine.close()
