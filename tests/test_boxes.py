"""Numbers that are taken out of objects, computed with, and given to others as objects: the same object where it is at hand."""

from __future__ import annotations

import sys

import programs_alike
import pytest

from jitcore import Engine

PRELUDE = "import math\n"

PROGRAMS: dict[str, str] = {
    "items given to functions": """
        def texts(items):
            out = []
            for x in items:
                out.append(repr(x) + str(x + 1))
            return out
        def work(n):
            items = [n << 40, n * 1000, n * 0.5, -n * 12345]
            return texts([i * 7919 for i in range(n)]), texts(items), texts([i / 7 for i in range(n)])
        """,
    "gone from the list meanwhile": """
        def shrink(items):
            out = []
            while items:
                x = items[-1]
                y = x + 1
                items.pop()
                out.append(math.floor(x))
                out.append(y)
                del items[-1:]
                out.append(repr(x))
            return out
        def work(n):
            return shrink([i * 1001 for i in range(n)]), shrink([i * 1001.25 for i in range(n)])
        """,
    "written in place meanwhile": """
        def smooth(items):
            seen = []
            for k in range(1, len(items)):
                x = items[k]
                items[k] = x * 0.5 + items[k - 1]
                seen.append(math.floor(x))
                seen.append(repr(x))
                y = items[k]
                items[k] = y + 1.0
                seen.append(str(y))
            return seen, items
        def work(n):
            return smooth([i * 3.25 for i in range(n)])
        """,
    "ints among floats": """
        class Point:
            def __init__(self, x, y):
                self.x, self.y = x, y
        def lengths(points, scale):
            out = []
            for p in points:
                out.append((p.x * p.x + p.y * scale, p.x - scale, scale / p.y if p.y else p.x, p.y // 0.5, scale % (p.x or 3.5)))
            return out
        def work(n):
            points = [Point(k if k % 3 else k * 0.5, -k * 1.5 if k % 5 else k) for k in range(n)]
            return lengths(points, 1.5), lengths(points, -0.25)
        """,
    "at least one of them a float, until both are ints": """
        def sums(pairs):
            out = []
            for a, b in pairs:
                try:
                    out.append((a + b, a - b, a * b, a / b, a // b, a % b))
                except ZeroDivisionError as error:
                    out.append(str(error))
            return out
        def work(n):
            pairs = [(k, k * 0.5 - 2) if k % 2 else (k * 0.75, k - 4) for k in range(n)]
            return sums(pairs), sums(pairs + [(3, 4), (1 << 60, 2.0), (2.5, 1 << 70), (7, 2), (True, 0.5), (5, 0), (0.5, 0)] + pairs)
        """,
    "a counter and what is a float once": """
        def sums(items):
            total = 0
            for k, x in enumerate(items):
                total += k * x + (k - x) / 4
            return total
        def work(n):
            return sums([k * 0.5 if k else 3 for k in range(n)]), sums([k if k % 2 else 0.25 for k in range(n)])
        """,
    "comparisons of ints and floats": """
        def order(items, limit):
            return [(x < limit, x >= limit, x == limit, limit != x, limit <= x) for x in items]
        def both(pairs):
            return [(a < b, a == b, a >= b, max(a, b)) for a, b in pairs]
        def work(n):
            items = [k if k % 2 else k / 2 for k in range(n)]
            far = [1 << 53, (1 << 53) + 1, 2.0**53, -(1 << 53) - 1, 1 << 80, float("nan"), float("inf"), False]
            pairs = [(k, k / 2) if k % 3 else (k * 0.5, k) for k in range(n)]
            return order(items, 7.0), order(items + far, 2.0**53), both(pairs), both(pairs + [(1, 2), (1 << 53, 2.0**53), ((1 << 53) + 1, 2.0**53)])
        """,
    "other operands come later": """
        class Half:
            def __add__(self, other):
                return "half", other
            __radd__ = __rmul__ = __add__
            def __lt__(self, other):
                return True
            __gt__ = __lt__
        def both(pairs):
            out = []
            for a, b in pairs:
                try:
                    out.append((a + b, a * 2.0, a < b))
                except TypeError as error:
                    out.append(str(error))
            return out
        def work(n):
            pairs = [(k, 0.5) if k % 2 else (k * 0.5, 2.5) for k in range(n)]
            return both(pairs + [(Half(), 1.0), (1.0, Half()), (None, 0.5), (1, None), (2j, 0.5)] + pairs)
        """,
    "which end there": """
        def work(n):
            numbers = {k: k if k % 2 else k / 4 for k in range(n)}
            total = 0.0
            for k in range(n):
                total += numbers.pop(k) * 1.5
                numbers[k + n] = total if k % 2 else k * 1000
                total -= numbers[k + n] / 2.5
            return total, sorted(numbers.values())
        """,
}


@pytest.mark.stress
@pytest.mark.parametrize("mode", programs_alike.MODES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, mode: str) -> None:
    programs_alike.check(mode, PRELUDE, PROGRAMS[name])


def test_no_box_is_made_for_an_item() -> None:
    def lengths(items: list[int]) -> int:
        total = 0
        for x in items:
            total += len(repr(x))
        return total

    items = [k * 1001 + 1000 for k in range(300)]
    before = [sys.getrefcount(x) for x in items]
    engine = Engine(threshold=20, background=False, deopt_every=0)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    with engine:
        assert {lengths(items) for _ in range(5)} == {sum(len(str(x)) for x in items)}
        region = engine.explain(lengths).regions[-1]
    engine.close()
    assert "obj.box_int" in region.before and "obj.box_int" not in region.after
    assert [sys.getrefcount(x) for x in items] == before


def test_ints_among_floats_are_no_objects() -> None:
    def total(items: list[float], scale: float) -> float:
        result = 0.0
        for x in items:
            result += x * scale if x > 1.5 else x / 2
        return result

    items: list[float] = [k if k % 2 else k * 0.5 for k in range(300)]
    expected = total(items, 1.25)
    engine = Engine(threshold=20, background=False, deopt_every=0)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    with engine:
        assert {total(items, 1.25) for _ in range(5)} == {expected}
        region = engine.explain(total).regions[-1]
    engine.close()
    assert "obj.unbox_number" in region.before and "PyNumber" not in region.after and "RichCompare" not in region.after
