"""`x in items` and `x not in items` of ints and texts in lists and tuples: natively, as long as the items are what was seen."""

from __future__ import annotations

import programs_alike
import pytest
from test_lower import EFFORTS, Maker, Native

from jitcore import Engine

PRELUDE = """
class Odd:
    def __init__(self, n):
        self.n = n
    def __eq__(self, other):
        log.append(self.n)
        return other == self.n
    __hash__ = None
log = []
class Text(str):
    def __eq__(self, other):
        log.append("text")
        return str.__eq__(self, other)
    __hash__ = str.__hash__
"""

PROGRAMS: dict[str, str] = {
    "ints": """
        def count(items, n):
            found = 0
            for k in range(n):
                if k in items:
                    found += 1
                if -k not in items:
                    found += 10
                if k << 40 in items:
                    found += 100
            return found
        def work(n):
            big = [1 << 41, 3, 5 << 40, 1 << 70, -4, 7]
            return count([1, 2, 3, -5], n), count(tuple(range(0, 90, 7)), n), count(big, n), count([], n)
        """,
    "texts": """
        def count(items, words):
            return sum([1 for word in words if word in items]) + sum([1 for word in words if word not in items]) * 100
        def work(n):
            words = ["w%d" % k for k in range(n)] + ["\\u20ac", "w1", ""]
            return count(words[::3], words), count(("w1", "w" + str(n), "x"), words), count(["\\u20ac"], words), count([], words)
        """,
    "other kinds come later": """
        def count(items, n):
            found = 0
            for k in range(n):
                found += k in items
            return found
        def work(n):
            log.clear()
            made = [count([1, 2, 3], n), count([1, 2.0, True, 5], n), count([None, 4, "5", 6], n), count([3, Odd(2), 1], n)]
            items = [1, 2, 3]
            for k in range(n):
                if k % 5 == 4:
                    items[k % 3] = k * 0.5
                made.append(k in items)
            return made, log[:20], len(log)
        """,
    "subclasses": """
        def count(items, words):
            found = 0
            for word in words:
                found += word in items
            return found
        def work(n):
            log.clear()
            words = ["a", "b", "c"] * n
            made = [count(["b", "c"], words), count(["b", Text("a"), "c"], words), count([True, "a"], words)]
            made.append(count(["a", "b"], [Text(word) for word in words]))
            return made, len(log)
        """,
    "it is the same object": """
        def work(n):
            nan = float("nan")
            found = 0
            for k in range(n):
                values = [1, k, 1000 + k]
                x = values[2]
                found += x in values
                found += nan in [nan] and not (float("nan") in [nan])
            return found
        """,
}


@pytest.mark.stress
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("mode", ["llvm", "better code at once", "every guard leaves", "reference"])
def test_alike(mode: str, name: str) -> None:
    programs_alike.check(mode, PRELUDE, PROGRAMS[name], register=True)


INTS = [
    ("list.has_int", [1, -2, 1 << 35, -(1 << 62), 0], [(1, 1), (-2, 1), (2, 0), (1 << 35, 1), (-(1 << 62), 1), (0, 1), (1 << 36, 0)]),
    ("tuple.has_int", (5, 1 << 90, True, 7), [(5, 1), (7, -1), (1, -1), (0, -1)]),
]
TEXTS = [
    ("list.has_text", ["one", "zwei", "\u20ac" * 3, "", 5, "late"], [("one", 1), ("zw" + "ei", 1), ("", 1), ("late", -1), ("none", -1)]),
    ("tuple.has_text", ("a", "bc"), [("".join(["b", "c"]), 1), ("b", 0), ("\u20ac", 0)]),
]


@pytest.mark.parametrize("effort", EFFORTS)
def test_lowering(effort: str) -> None:
    for name, items, questions in [*INTS, *TEXTS]:
        maker = Maker()
        maker.exit(maker.emit(name, maker.input("o"), maker.input("o" if "text" in name else "i")))
        native = Native(maker.graph, effort)
        for wanted, answer in questions:
            maker.set(id(items), id(wanted) if isinstance(wanted, str) else wanted)
            assert native.run()[1] == [answer], (items, wanted)


def test_no_call_is_left() -> None:
    def has(items: list[int], n: int) -> int:
        found = 0
        for k in range(n):
            found += k in items
        return found

    engine = Engine(threshold=20, background=False, deopt_every=0)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    with engine:
        for _ in range(5):
            assert has([3, 5, 900], 100) == 2
        before = engine.explain(has).regions[-1].before
    engine.close()
    assert "list.has_int" in before and "PySequence_Contains" not in before and "list.atoms" not in before
