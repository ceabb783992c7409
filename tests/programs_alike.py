"""Small programs that are run plain and under an engine with tiny thresholds: what they return must be the same.

A program is source text that defines `work(n)`. Everything in it may be compiled after a few rounds, exits are followed after a few
more, and graphs are verified after every pass.
"""

from __future__ import annotations

import gc
import sys
import textwrap
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest

from jitcore import Engine

MODES: dict[str, dict[str, Any]] = {
    "llvm": {},
    "better code at once": {"tier_threshold": 1, "background": False},
    "compiled at once": {"threshold": 2, "function_threshold": 2},
    "every guard leaves": {"deopt_every": 1},
    "reference": {"backend": "reference"},
    "reference, every guard leaves": {"backend": "reference", "deopt_every": 1},
}
ROUNDS = (30, 40, 40)
LOUD = """
import sys
log = []
class Loud:
    def __init__(self, name):
        self.name = name
    def __del__(self):
        log.append(("end", self.name))
"""
"""A prelude with objects whose end is noticed."""


def least_growth(work: Callable[[], object], rounds: int = 8) -> int:
    """How many blocks of memory the round of `work` that left the fewest has left behind."""
    growths = []
    for _ in range(rounds):
        blocks = sys.getallocatedblocks()
        work()
        growths.append(sys.getallocatedblocks() - blocks)
    return min(growths)


def prepare(prelude: str, source: str) -> dict[str, Any]:
    """What the program defines."""
    scope: dict[str, Any] = {"__name__": "program"}
    exec(compile(textwrap.dedent(prelude) + textwrap.dedent(source), "<program>", "exec"), scope)
    return scope


def outcome(work: Callable[[int], Any], n: int) -> str:
    result = repr(work(n))
    gc.collect()
    return result


def check(
    mode: str,
    prelude: str,
    source: str,
    register: bool = False,
    outcomes: Callable[[Callable[[int], Any]], list[str]] = lambda work: [outcome(work, n) for n in ROUNDS],
    refused: tuple[str, ...] = ("internal_error", "unsupported_bytecode"),
    may_stay_out: bool = False,
) -> None:
    """Run it both ways. `register`: give every function but `work` a door of its own; `refused`: reasons that may not be given;
    `may_stay_out`: whether native code need not be entered."""
    expected = outcomes(prepare(prelude, source)["work"])
    scope = prepare(prelude, source)
    reasons: list[str] = []
    engine = Engine(**{"threshold": 5, "function_threshold": 5, "exit_threshold": 4, "verify": True, **MODES[mode]})
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    engine.on("refused", lambda event, details: reasons.append(f"{details.get('reason')}: {details.get('detail')}"))
    for thing in scope.values() if register else ():
        if type(thing) is FunctionType and thing is not scope["work"]:
            engine.register(thing)
    with engine:
        got = outcomes(scope["work"])
        entered = engine.stats().native_entries
    engine.close()
    for want, have in zip(expected, got, strict=True):
        assert have == want
    assert not any(r.startswith(refused) for r in reasons), reasons
    assert entered or may_stay_out
