"""Regions have to pay their way: what does nothing between entry and exit is taken out again, what works is made better."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jitcore import Engine


def numbers(n: int) -> Iterator[int]:
    k = 0
    while k < n:
        yield k
        k += 1


def busy(n: int) -> int:
    total = 0
    for k in range(n):
        total += k & 7
    return total


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine(threshold=20, tier_threshold=2000, background=False, deopt_every=0)
    made.enable()
    if made.inactive_reason is not None:
        pytest.skip(made.inactive_reason)
    yield made
    made.close()


def test_a_loop_that_leaves_in_every_round_is_retired(engine: Engine) -> None:
    iterator = numbers(10**6)
    for expected in range(5000):
        assert next(iterator) == expected
    site = next(s for s in engine.sites.values() if s.code is numbers.__code__)
    assert site.state == "refused" and site.reason == "not_profitable" and not site.regions
    assert "not_profitable" in engine.stats().refusals


def test_a_loop_that_works_gets_better_code(engine: Engine) -> None:
    for _ in range(20):
        assert busy(1000) == 3500
    site = next(s for s in engine.sites.values() if s.code is busy.__code__)
    assert [region.tier for region in site.regions] == ["full"]


def late(n: int, start: int) -> int:
    total = 0
    for k in range(n):
        if k > start:
            total += 3
        total += 1
    return total


def test_a_way_first_taken_after_compiling_gets_native_code(engine: Engine) -> None:
    """The recording behind the exit begins after the branch: that it went the other way has to be told."""
    for _ in range(4):
        assert late(30_000, 1000) == 30_000 + 3 * 28_999
    site = next(s for s in engine.sites.values() if s.code is late.__code__)
    (region,) = site.regions
    assert engine.bridges == 1 and region.entry.entries < 200
