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
