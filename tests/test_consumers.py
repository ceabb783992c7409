"""Generator expressions that `sum`, `any`, `all`, `min` and `max` use up: walked into as loops, and done again by the interpreter where anything else
than looking would have to be done."""

from __future__ import annotations

import gc
import sys
from typing import Any

import programs_alike
import pytest

from jitcore import Engine

PRELUDE = """
log = []
class Widget:
    def __init__(self, k):
        self.knob, self.n, self.x = k % 3 == 1, k, k * 0.5
    @property
    def loud(self):
        log.append(self.n)
        return self.n > 2
    def quiet(self):
        return self.n & 1
class Odd:
    def __init__(self, n):
        self.n = n
    def __bool__(self):
        log.append(("bool", self.n))
        return self.n > 3
    def __radd__(self, other):
        return other + self.n
    def __mul__(self, other):
        return self.n * other
"""

PROGRAMS: dict[str, str] = {
    "plainly": """
        def all_of(ws, xs, k):
            a = sum(x * k for x in xs if x > 1)
            b = any(w.knob for w in ws if w)
            c = all(x < 100 for x in xs)
            d = sum(w.n & k for w in ws)
            e = any(x == k for x in range(20))
            f = sum(1 for x in xs if x & 1)
            g = all(not w.knob for w in ws)
            return a, b, c, d, e, f, g
        def work(n):
            ws, xs = [Widget(k) for k in range(9)], list(range(10))
            return [all_of(ws, xs, k) for k in range(n)] + [all_of([], [], 1), all_of(ws[:1], (5,), 2), all_of(ws[:2], range(3), 2)]
        """,
    "over all kinds of things": """
        def over(xs, pairs, words, table):
            return (
                sum(i * x for i, x in enumerate(xs)),
                sum(a * b for a, b in zip(xs, xs)),
                sum(a + b for a, b in pairs),
                sum(1 for w in words if w),
                any(w == "b" for w in words),
                sum(v for v in table.values()),
                sum(k for k in table),
                sum(x for x in reversed(xs)),
                sum(x for x in iter(xs)),
                sum(x > 2 for x in xs),
                all(w for w in words),
                any(x for x in (None, "", "a") if x is not None),
            )
        def work(n):
            xs = list(range(n % 7))
            return [over(xs, [(1, 2), (3, k)], ["a", "b" * (k % 3), ""], {k: k, 7: 8}) for k in range(n)]
        """,
    "numbers of other kinds": """
        def totals(xs):
            return sum(x for x in xs), sum(x * 2 for x in xs), any(x for x in xs), all(x for x in xs)
        def work(n):
            made = []
            for k in range(n):
                made.append(totals([1, 2, k]))
                if k > 10:
                    made.append(totals([0.1] * k))
                    made.append(totals([1, 0.5, True, k]))
                if k > 15:
                    made.append(totals([1 << 62, 1 << 62, k]))
                    made.append(totals([1 << 70, -1]))
                if k > 20:
                    made.append(totals([Odd(k), 0, Odd(2)]))
            return made, log[-9:]
        """,
    "what is noticed": """
        def looks(ws):
            return sum(w.quiet() for w in ws), any(w.loud for w in ws), sum(w.x for w in ws), all(w.loud for w in ws)
        def appends(xs, to):
            return any(to.append(x) for x in xs), sum(len(to) for x in xs)
        def work(n):
            log.clear()
            ws = [Widget(k) for k in range(5)]
            to = []
            return [looks(ws) for _ in range(n)], log[-20:], len(log), [appends([1, 2], to) for _ in range(n)], len(to)
        """,
    "errors": """
        def fails(xs, k):
            return sum(12 // (x - k) for x in xs)
        def types(xs):
            return all(x < 5 for x in xs)
        def unbound(xs, flag):
            if flag:
                y = 1
            return sum(x + y for x in xs)
        def work(n):
            made = []
            for k in range(n):
                for call in (lambda: fails([1, 2, 30], k % 7), lambda: types([1, 2, "x"] if k % 5 == 4 else [1, 2]), lambda: unbound([1], k % 4)):
                    try:
                        made.append(call())
                    except Exception as error:
                        trace, lines = error.__traceback__, []
                        while trace is not None:
                            lines.append((trace.tb_frame.f_code.co_name, trace.tb_lineno))
                            trace = trace.tb_next
                        made.append((str(error), lines[1:]))
            return made
        """,
    "nested, and in each other's way": """
        def inner(rows, k):
            return sum(sum(x for x in row if x != k) for row in rows), any(all(x for x in row) for row in rows)
        def two(xs, ys):
            return sum(x * y for x in xs for y in ys if x > y)
        def names(sum, xs):
            return sum(x for x in xs)
        def work(n):
            rows = [[1, 2, 3], [0, 5], []]
            return [(inner(rows, k), two(range(k % 5), [1, 2]), names(len if k < 0 else max, [k, 3]), names(sum, [k])) for k in range(1, n)]
        """,
    "closures": """
        def counter(limit):
            seen = 0
            def below(xs):
                nonlocal seen
                seen += 1
                return sum(x for x in xs if x < limit) + seen + any(x == seen for x in xs)
            return below
        def work(n):
            below = counter(n // 2)
            return [below(list(range(k % 9))) for k in range(n)], [counter(k)([1, 2, 3]) for k in range(n)]
        """,
    "the least and the greatest": """
        def ends(xs):
            return min(x * 2 for x in xs), max(x - 3 for x in xs), max(x for x in xs if x > 0)
        def kinds(xs):
            return repr(min(x for x in xs)), repr(max(x for x in xs)), repr(max(x > 1 for x in xs))
        def work(n):
            made, nan = [], float("nan")
            for k in range(n):
                made += [ends([k, 2, -k]), ends([k * 0.5, -1.5, 7.0]), kinds([k, 3, k]), kinds([0.0, -0.0, 0.0])]
                if k > n // 2:
                    made += [kinds([nan, 1.0, 2.0]), kinds([1.0, nan, 0.5]), kinds([1, 2.5, 1.0, k]), kinds([1 << 70, 3]), kinds([True, 1, 0])]
                for xs in ([], [-1], ["a", 1]):
                    try:
                        made.append(ends(xs))
                    except (ValueError, TypeError) as error:
                        made.append(str(error))
            return made
        """,
    "assigned inside": """
        last = 0
        SOURCE = "any((last := x) > 3 for x in xs); total += sum((kept := x) for x in xs) + kept"
        def inside(xs):
            found = any((last := x) > k for x in xs for k in (2, 3))
            total = sum((kept := x) for x in xs)
            return found, last, total, kept
        def at_top(n):
            space = {"xs": [1, 2, n % 7], "total": 0, "n": n}
            exec("for i in range(n):\\n " + SOURCE, space)
            return space["last"], space["total"], space["kept"]
        def work(n):
            return [inside([1, 2, k % 6]) for k in range(n)], at_top(n)
        """,
    "in loops and in other functions": """
        def helper(xs, k):
            return sum(x for x in xs if x != k)
        def many(rows, n):
            total = 0
            for k in range(n):
                for row in rows:
                    total += helper(row, k) + sum(k - x for x in row)
                    if any(x == k for x in row):
                        total += 1000
                last = sum(1 for row in rows if row)
            return total, last
        def work(n):
            return [many([[1, 2, 3], [], [n, 5]], n), many([], 3), many([[2] * 50], n)]
        """,
    "changed in between": """
        def total(xs):
            return sum(x for x in xs)
        def work(n):
            global sum
            made, xs = [], [1, 2, 3]
            for k in range(n):
                made.append(total(xs))
                if k == n - 5:
                    sum = lambda xs: sorted(xs)[-1]
                if k == n - 2:
                    del sum
                xs[k % 3] += 1
            return made
        """,
}


@pytest.mark.stress
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("mode", programs_alike.MODES)
def test_alike(mode: str, name: str) -> None:
    programs_alike.check(mode, PRELUDE, PROGRAMS[name], register=True)


class Plain:
    def __init__(self, n: int) -> None:
        self.n = n


def uses(items: list[Plain], k: int) -> Any:
    return sum(one.n * k for one in items if one.n > 1), sum(one.n == k for one in items)


def test_there_is_no_generator() -> None:
    engine = Engine(threshold=10**6, function_threshold=5, background=False, deopt_every=0)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    engine.register(uses)
    items = [Plain(k) for k in range(6)]
    with engine:
        for k in range(60):
            uses(items, k % 7)
        before = engine.explain(uses).regions[-1].before
        calls = engine.stats().native_entries
        assert uses(items, 3) == (42, 1)
        assert engine.stats().native_entries > calls
    engine.close()
    assert "poll" in before and "call.vector" not in before


def test_nothing_is_lost() -> None:
    item = Plain(5)
    uses([item], 1)
    gc.collect()
    before = sys.getrefcount(item)
    for every in (0, 3):
        with Engine(threshold=5, function_threshold=5, exit_threshold=10**6, background=False, deopt_every=every) as engine:
            engine.register(uses)
            growth = programs_alike.least_growth(lambda: [uses([item] * 3, k % 9) for k in range(300)])
        engine.close()
        assert growth < 20
    gc.collect()
    assert sys.getrefcount(item) == before


def floats(items: list[float], k: int) -> Any:
    return sum(x for x in items) + k


def test_others_are_calls() -> None:
    """What cannot be walked into (sums of floats are compensated) does not make native code end there."""
    engine = Engine(threshold=10**6, function_threshold=5, exit_threshold=5, background=False, deopt_every=0)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    engine.register(floats)
    with engine:
        for k in range(100):
            floats([0.5, 0.25], k)
        exits = engine.stats().native_exits
        entries = engine.stats().native_entries
        for k in range(100):
            assert floats([0.5, 0.25], k) == 0.75 + k
        assert engine.stats().native_entries >= entries + 100
        assert engine.stats().native_exits - exits < 10
    engine.close()
