"""The frame-need table, entry by entry: what it calls closed is closed, and gives what the interpreter gives.

For each signature a loop calls the function with operands of these types, good and bad ones (edge values, errors), once
interpreted and then under jitcore. Results, exceptions and their messages must be the same, and the translated loop
must contain no open call.
"""

from __future__ import annotations

import itertools
import math
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from jitcore.optimizer.ir import Graph
from jitcore.tracing.frame_need import CLOSED, LETTERS, READS_LOCALS, Closed, need

from jitcore import Engine

SMALL = [0, 1, 2, -1, 3, 7, 20, -5, 65, 300]
LARGE = [2**31, -(2**62), 2**63 - 1, -(2**63), 2**64, -(2**80)]
SAMPLES: dict[type, list[Any]] = {
    int: SMALL,
    float: [0.0, -0.0, 1.0, -1.5, 0.5, 2.5, -0.75, 1e10, 1e300, -1e-300, math.inf, -math.inf, math.nan, 5e-324],
    bool: [True, False],
    str: ["", "a", "12", "-3.5", " x y ", "héllo", "a,b,,c", "日本", "nan", "{}", "{:>5}", "0x1f", "abcabc", "d"],
    bytes: [b"", b"a", b"12", b" x y ", b"a,b,,c", b"\xff\xfe", b"abcabc"],
    complex: [1j, 0j, complex(math.nan, 1), -2.5 + 0j],
    type(None): [None],
    list: [[], [1, 2, 3], [1.5, -0.0, math.nan], [True, 2, 0.5], ["b", "a"], [1, "a"], [None], [3, -(2**70)], [1j, 2]],
    tuple: [(), (1, 2, 3), (1.5, -0.0, math.inf), (False, 2), ("b", "a"), ("x", 3), (None, None), (2**64, 1)],
    dict: [{}, {1: 2}, {"a": 1, "b": None}],
    set: [set(), {1}, {"a"}],
    frozenset: [frozenset(), frozenset({2})],
    type({}.keys()): [{}.keys(), {1: 2}.keys()],
    type({}.values()): [{}.values(), {1: 2}.values()],
    type({}.items()): [{}.items(), {"a": 2}.items()],
    range: [range(0), range(10), range(5, -7, -3), range(2**40, 2**40 + 3)],
}
ORDER = list(SAMPLES)
GROWS = {pow, round, bytes, math.factorial, math.comb, math.perm, math.ldexp}
"""Large operands would keep these busy for ever."""
COLUMNS = 3


def columns(entry: Closed) -> list[tuple[type, ...]]:
    """Operand types to try: for each signature every type of each letter at least once."""
    found: dict[tuple[type, ...], None] = {}
    for signature in entry.signatures:
        lengths = [signature]
        if signature.endswith("*"):
            fixed = signature[:-1]
            lengths = [fixed, fixed + fixed[-1]]
        for letters in lengths:
            sets = [sorted(LETTERS.get(letter, {int, str, list}), key=ORDER.index) for letter in letters]
            for n in range(max(map(len, sets), default=1)):
                for shift in range(2 if len(sets) > 1 else 1):
                    found[tuple(kinds[(n + k * shift) % len(kinds)] for k, kinds in enumerate(sets))] = None
    return list(found)


def rows(entry: Closed, kinds: tuple[type, ...]) -> list[tuple[Any, ...]]:
    large = type(entry.target) is not type(str.join) and entry.target not in GROWS
    values = [SAMPLES[kind] + (LARGE if kind is int and large else []) for kind in kinds]
    made = list(itertools.islice(itertools.product(*values), 300))
    # What works first, so that the loop is hot before anything fails.
    chosen = made[:: max(1, len(made) // 30)]
    return sorted(chosen * (60 // len(chosen) + 1), key=lambda row: fails(entry.target, row))


def fails(target: Callable[..., Any], row: tuple[Any, ...]) -> bool:
    try:
        target(*row)
    except Exception:
        return True
    return False


def loop(target: object, count: int) -> Callable[[list[tuple[Any, ...]]], list[object]]:
    names = [f"a{k}" for k in range(count)]
    source = f"""
def run(rows):
    results = []
    for [{", ".join(names)}] in rows:
        try:
            result = F({", ".join(names)})
        except Exception as error:
            result = type(error).__name__ + str(error)
        results.append(result)
    return results
"""
    namespace: dict[str, Any] = {"F": target}
    exec(compile(source, "<frame need>", "exec"), namespace)
    return namespace["run"]  # type: ignore[no-any-return]


def graphs(engine: Engine, function: Callable[..., Any]) -> list[Graph]:
    assert engine.compiler is not None
    sites = [s for s in engine.sites.values() if s.code is function.__code__]  # type: ignore[attr-defined]
    return [engine.compiler.translate(region.made_for).graph for site in sites for region in site.regions]


def operations(graph: Graph) -> set[str]:
    return {op.name for block in graph.blocks for op in block.ops}


@pytest.mark.parametrize("entry", CLOSED.values(), ids=[str(e.target) for e in CLOSED.values()])
def test_closed(entry: Closed) -> None:
    closed = 0
    with warnings.catch_warnings(), Engine(threshold=4, exit_threshold=1000000, verify=True) as engine:
        warnings.simplefilter("ignore")
        for kinds in columns(entry):
            if not kinds:
                continue
            plain, run = loop(entry.target, len(kinds)), loop(entry.target, len(kinds))
            operands = rows(entry, kinds)
            engine.disable()
            expected = plain(operands)
            engine.register(run)
            engine.enable(everything=False)
            for _ in range(2):
                assert list(map(shown, run(operands))) == list(map(shown, expected)), kinds
            assert need(entry.target, kinds) == "none"
            for graph in graphs(engine, run):
                assert "call.vector" not in operations(graph), (kinds, engine.refused_places)
                if not fails(entry.target, operands[-1]):
                    assert "list.append" in operations(graph), (kinds, engine.refused_places)
                closed += 1
    engine.close()
    assert closed or not any(columns(entry))


def shown(value: object) -> str:
    return re.sub(" at 0x[0-9a-f]*", "", f"{type(value).__name__} {value!r}")


def test_the_others() -> None:
    for target in READS_LOCALS.values():
        assert need(target) == "locals"
    for unknown in (print, dict.get, list.sort, map, len):
        assert need(unknown, [object]) == "linked"
    assert need(len, [list]) == "none" and need(None) == "linked"
    assert {id(sys._getframe), id(locals), id(super)} <= set(READS_LOCALS)


def test_objects_that_run_code_are_no_atoms() -> None:
    """The types seen say atoms at first; then an item with an `__lt__` comes by."""
    seen: list[str] = []

    class Odd(int):
        def __lt__(self, other: object) -> bool:
            seen.append(sys._getframe(1).f_code.co_name)
            return True

        def __radd__(self, other: int) -> int:
            seen.append(str(sys._getframe(1).f_locals["k"]))
            return other + 1

    def run(lists: list[list[int]]) -> int:
        total = 0
        for k, items in enumerate(lists):
            total += sum(items) + min(items)
        return total

    lists = [[3, 1, 2]] * 60 + [[5, Odd(2), 1]] * 3
    expected = run(lists), list(seen)
    seen.clear()
    with Engine(threshold=4) as engine:
        assert (run(lists), seen) == expected
    engine.close()
