"""The ways in which tests run a program with jitcore: quick and best native code, every guard forced out, the reference backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jitcore import Engine

MODES: dict[str, dict[str, Any]] = {
    "llvm": {},
    "full": {"opt_level": 3},
    "deopt": {"deopt_every": 1},
    "reference": {"backend": "reference"},
}


def nobody_sees(engine: Engine, program: Callable[[], Any]) -> None:
    """The program gives the same with jitcore as without, time and again, and is compiled, or refused, or invalidated."""
    expected = repr(program())
    with engine:
        for _ in range(6):
            assert repr(program()) == expected
    assert engine.stats().native_entries > 0 or engine.refusals or engine.invalidations


def entries_when_warm(engine: Engine, program: Callable[[], Any], warm: int, rounds: int) -> int:
    """How often native code is entered in some more rounds of a program. Skips where jitcore is inactive."""
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    for _ in range(warm):
        program()
    before = engine.stats().native_entries
    for _ in range(rounds):
        program()
    return engine.stats().native_entries - before


def engine_with(mode: dict[str, Any]) -> Iterator[Engine]:
    """What a fixture yields: an engine with a mode's options that compiles early, at once and checked. Skips where jitcore is inactive."""
    options = {"deopt_every": 0, **mode}
    made = Engine(threshold=20, exit_threshold=5, background=False, verify=True, **options)
    if made.inactive_reason is not None:
        pytest.skip(made.inactive_reason)
    yield made
    made.close()
