"""Regions too large for LLVM's full pipeline: compiled with less effort, to the same results."""

from __future__ import annotations

from typing import Any

import pytest
from jitcore.backends.llvm.jit import MOST_LINES, affordable

from jitcore import Engine


def wide(statements: int) -> Any:
    """A function whose loop has that many different statements, each with a guard or two."""
    lines = ["def wide(items, total, rounds):", "    for _ in range(rounds):"]
    for n in range(statements):
        lines.append(f"        total = (total * 3 + items[{n}]) & 65535")
    names: dict[str, Any] = {}
    exec("\n".join([*lines, "    return total"]), names)
    return names["wide"]


@pytest.mark.parametrize("statements, effort", [(10, "full"), (350, "quick"), (1000, "light")])
def test_effort_shrinks_as_regions_grow(statements: int, effort: str) -> None:
    f = wide(statements)
    items = [n * 7 % 1000 for n in range(statements)]
    expected = f(items, 1, 300)
    limits = {"trace_limit": 100_000, "max_region_ops": 100_000, "compile_share": 100}
    with Engine(threshold=20, tier_threshold=50, background=False, verify=True, deopt_every=0, **limits) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        assert [f(items, 1, 300) for _ in range(5)] == [expected] * 5
        site = next(s for s in engine.sites.values() if s.code is f.__code__)
        assert [region.tier for region in site.regions] == [effort]


def test_what_is_affordable() -> None:
    over = {effort: "\n" * (most + 1) for effort, most in MOST_LINES.items()}
    assert affordable("full", "") == "full" and affordable("none", over["quick"]) == "none"
    assert affordable("full", over["full"]) == affordable("quick", over["full"]) == "quick"
    assert affordable("full", over["quick"]) == affordable("quick", over["quick"]) == "light"
