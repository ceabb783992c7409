"""Interpreter == reference evaluator == LLVM, over random loop programs.

hypothesis draws the programs (tests/generator.py) and makes failing ones smaller. The seeds are fixed, so that a run
says something about the change at hand; tests/fuzz.py is the one that looks for news.
"""

from __future__ import annotations

from collections import Counter

import pytest
from fuzz import MODES, check, modes_for
from generator import PRELUDE, Prepared, generate, programs
from hypothesis import HealthCheck, Phase, given, settings

RUNS = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.stress
@pytest.mark.parametrize("mode", MODES)
def test_random_programs(mode: str) -> None:
    counts: Counter[str] = Counter()

    @RUNS
    @given(programs())
    def alike(source: str) -> None:
        counts.update(check(source, mode))

    alike()
    assert counts["regions"] and counts["entries"], "nothing was compiled, so nothing was tested"


@pytest.mark.stress
@pytest.mark.parametrize("seed", range(3))
def test_memory_stays(seed: int) -> None:
    check(generate(seed), "llvm", memory=True)


def test_programs_depend_on_the_seed_alone() -> None:
    assert generate(7) == generate(7) != generate(8)
    assert modes_for(0, None)[2:] and not modes_for(1, None)[2:]


def test_programs_do_something_and_end_alike() -> None:
    """Plain runs: most functions work on several inputs, and a second run does what the first did."""
    calls = raised = 0
    for seed in range(25):
        program = Prepared(generate(seed))
        log = program.run()
        assert program.run() == log == Prepared(generate(seed)).run()
        calls += sum(line.startswith("-- ") for line in log)
        raised += sum(line.startswith("raised ") for line in log)
    assert calls > 100 and 0 < raised < calls * 0.6


def test_the_prelude_is_plain_python() -> None:
    compile(PRELUDE, "<prelude>", "exec")


FAR_LOOP = """
def f0(a, x, p, t=(1, 2, 3), b=5):
    c, y, u, d, i1, k1, acc = (1, 0.5, None, None, 0, 2, Account(1))
    n1 = 1
    for (i1, c), u in zip(enumerate(p[:9]), reversed(p)):
        for u in zip(reversed(p)):
            for i3, u, c in zip(p, reversed(p), p):
                y = x * 0.1 + b
                if bool(y):
                    if 0 < c <= a and 257 % 2 > 1:
                        x = x
                    else:
                        u = sum(p)
                    if c <= k1:
                        if u is None:
                            p[-1] = 0 * -3
                        elif -1 > c:
                            b = a + c
                        else:
                            y += y
                        if c == c:
                            a += -5
                        if c <= -5:
                            p = [k + b for b, k in enumerate(p[:9])]
                        elif a >= a or (a == b and b < c):
                            p[a % 3] = b + float('9.3e18')
                            x = n1 * 0.5
                        else:
                            b = wrap(p[i1 % 4])
                    elif c + 5 == 2.0:
                        if not -6 <= a:
                            b = 10
                        else:
                            pass
                        x, *_ = (x, y, a)
                    a, b, c = (c, a, b)

def main():
    attempt(f0, 1, 0.5, [1, 2, 3, 4])
"""
"""Loops so long that their heads stand behind EXTENDED_ARG, given up there for too many versions."""


@pytest.mark.stress
@pytest.mark.parametrize("mode", MODES)
def test_loop_heads_behind_extended_arg(mode: str) -> None:
    assert check(FAR_LOOP, mode)["entries"]
