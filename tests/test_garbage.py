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


CYCLES = """
import gc, weakref
from jitcore import Engine

class Node:
    pass

def make(n, seen):
    most = 0
    for k in range(n):
        node = Node()
        node.other = [node]
        if k % 1000 == 0:
            seen.append(weakref.ref(node))
    return n

with Engine(threshold=20, exit_threshold=5, background=False, deopt_every=0) as engine:
    make(3000, [])
    before = sum(stat["collections"] for stat in gc.get_stats())
    seen = []
    make(60_000, seen)
    after = sum(stat["collections"] for stat in gc.get_stats())
    print(len(engine.regions) > 0 or engine.inactive_reason is not None)
    print(after - before >= 5, sum(ref() is not None for ref in seen) < 30)
"""


def test_cycles_made_by_native_code_are_collected() -> None:
    """Native code goes on for a while when a collection is asked for, but not for ever."""
    done = subprocess.run([sys.executable, "-c", CYCLES], capture_output=True, text=True)
    assert done.stdout.split() == ["True"] * 3, done.stdout + done.stderr
