"""What compiling leaves behind: the program's garbage collector is the program's."""

from __future__ import annotations

import gc
from collections import Counter

import pytest

from jitcore import Engine

OURS = ("jitcore.tracing", "jitcore.backends", "jitcore.engine", "jitcore.regions")


def test_compiling_leaves_no_cycles() -> None:
    """But for the operations that passes remove (an operation and its result know one another), and what llvmlite leaves."""

    def f(n: int) -> float:
        total = 0.0
        for i in range(n):
            total += i * 0.5 if i & 3 else -total
            if total > 1e9:
                total = abs(total)
        return total

    with Engine(threshold=20, exit_threshold=5, background=False, deopt_every=0) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        f(10)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(3):
                f(200)
            gc.collect()
            left = Counter(f"{type(x).__module__}.{type(x).__qualname__}" for x in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert engine.regions
    engine.close()
    assert not [name for name in left if name.startswith(OURS)], left
    assert not left["builtins.function"] and not left["builtins.cell"], left
