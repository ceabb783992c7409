"""What compiling leaves behind: the program's garbage collector is the program's."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import gc, json
from collections import Counter
from jitcore import Engine

def f(n):
    total = 0.0
    for i in range(n):
        total += i * 0.5 if i & 3 else -total
        if total > 1e9:
            total = abs(total)
    return total

with Engine(threshold=20, exit_threshold=5, background=False, deopt_every=0) as engine:
    first = type(f)(f.__code__.replace(co_name="first"), globals())
    for _ in range(3):
        first(200)  # imports, and makes the runtime
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    for _ in range(3):
        f(200)
    gc.collect()
    left = Counter(f"{type(x).__module__}.{type(x).__qualname__}" for x in gc.garbage)
    gc.set_debug(0)
print(json.dumps([len(engine.regions), engine.inactive_reason, left]))
"""
OURS = ("jitcore.tracing", "jitcore.backends", "jitcore.engine", "jitcore.regions")


def test_compiling_leaves_no_cycles() -> None:
    """But for the operations that passes remove (an operation and its result know one another), and what llvmlite leaves."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    regions, inactive, left = json.loads(done.stdout)
    assert regions or inactive
    assert not [name for name in left if name.startswith(OURS)], left
    # A closure that calls itself keeps all that it can see.
    assert not left.get("builtins.function", 0) and not left.get("builtins.cell", 0), left
