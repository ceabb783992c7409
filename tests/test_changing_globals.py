"""Globals that the program itself changes again and again: no region may live on what they once were, and no loop may be given up for
it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with

from jitcore import Engine

SOURCE = """
import math
scale, step, keep = 1, 0.5, []

def work(n):
    total = 0
    for i in range(n):
        total += i * scale + step
    return total

def counting(n):
    global count
    for i in range(n):
        count = count + i
    return count

def module(n):
    total = 0
    for i in range(n):
        total += this.scale
    return total

def calling(n):
    total = 0
    for i in range(n):
        total += change(i)
    return total

def double(x):
    return 2 * x

def square(x):
    return x * x
"""


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


def space() -> dict[str, Any]:
    module = type(sys)("changing")
    exec(SOURCE, module.__dict__)
    module.__dict__["this"] = module
    return module.__dict__


def story(names: dict[str, Any]) -> list[Any]:
    out: list[Any] = []
    names["count"] = 0
    for k in range(40):
        names["scale"] = [k, k + 0.5, True, 1 << 70, k - 3][k % 5] if k > 25 else k
        if k % 7 == 0:
            names["step"] = k / 4
        names["change"] = (names["double"], names["square"], abs)[k % 3]
        out.append((names["work"](60), names["module"](60), names["counting"](60), names["calling"](60)))
        if k == 30:
            del names["step"]
            try:
                names["work"](60)
            except NameError as error:
                assert error.__traceback__ is not None and error.__traceback__.tb_next is not None
                out.append((str(error), error.__traceback__.tb_next.tb_lineno))
            names["step"] = [1.5]
            try:
                names["work"](60)
            except TypeError as error:
                out.append(str(error))
            names["step"] = 2
    return out


def test_values(engine: Engine) -> None:
    expected = story(space())
    with engine:
        for _ in range(2):
            assert story(space()) == expected


def test_the_loop_stays_native() -> None:
    with Engine(threshold=20, exit_threshold=5, background=False, verify=True, deopt_every=0) as engine:
        names = space()
        for k in range(30):
            names["scale"] = k
            names["work"](100)
        before = engine.stats()
        for k in range(30):
            names["scale"] = k
            assert names["work"](100) == 4950 * k + 50
        after = engine.stats()
        assert after.invalidations == before.invalidations and after.native_entries - before.native_entries >= 15
    engine.close()


def test_references(engine: Engine) -> None:
    names = space()
    names["change"] = names["double"]
    big = int("1" + 30 * "0")
    before = sys.getrefcount(big)
    with engine:
        for k in range(40):
            names["scale"] = big if k % 2 else k
            names["work"](60)
    names["scale"] = 1
    engine.close()
    gc.collect()
    assert sys.getrefcount(big) == before
