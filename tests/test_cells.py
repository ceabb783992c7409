"""Functions that put locals into cells, because functions inside them share these.

Programs run plain and under engines with tiny thresholds, with doors on every function: results, exceptions, when what was
captured ends, and the reference counts of it and of cells must not differ.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

import programs_alike
import pytest

from jitcore import Engine

PRELUDE = programs_alike.LOUD + """class Plain:
    def __init__(self, v):
        self.v = v
"""

PROGRAMS: dict[str, str] = {
    "counters": """
        def counter(start):
            count = start
            def step(by=1):
                nonlocal count
                count += by
                return count
            return step
        def work(n):
            total = 0
            for i in range(n):
                step = counter(i)
                for k in range(3):
                    total += step(k)
                total += counter(0.5)(i)
            return total
        """,
    "a loop over a local in a cell": """
        def work(n):
            total, items = 0, []
            def add(x):
                nonlocal total
                total += x
                items.append(total)
            for i in range(n):
                add(i)
                total -= 1
            return total, items
        """,
    "parameters in cells": """
        def scaled(items, factor, offset=1):
            return [x * factor + offset for x in items], (lambda: (factor, offset))
        def total(values, weight):
            return sum(v * weight for v in values)
        def work(n):
            out = []
            for i in range(n):
                made, parts = scaled([i, i + 1], i * 0.5)
                out.append((made, parts(), total(made, i), scaled("c" if i % 9 == 0 else (i,), 2, offset="")[0] if i % 9 == 0 else i))
            return out
        """,
    "generators over captured locals": """
        def pairs(rows, low):
            high = low + 5
            return any(low < x < high for x in rows), all(x >= low for x in rows), sorted(rows, key=lambda x: (x - low) ** 2)
        def work(n):
            return [pairs([i, i + 2, 7], i % 4) for i in range(n)]
        """,
    "recursive functions inside": """
        def outer(n, acc):
            def inner(k):
                if k <= 0:
                    return acc
                return inner(k - 1) + n
            return inner(n % 7)
        def work(n):
            out = 0
            for i in range(n):
                out += outer(i, i * 2)
            return out
        """,
    "unbound cells": """
        def late(i):
            def show():
                return value
            if i % 5:
                value = i
            try:
                return show()
            except NameError as error:
                return type(error).__name__, str(error), error.name
        def own(i):
            if i % 5:
                value = i
            try:
                return value, lambda: value
            except UnboundLocalError as error:
                return str(error)
        def gone(i):
            value = i
            read = lambda: value
            if i % 5 == 0:
                del value
            try:
                del value
            except UnboundLocalError as error:
                return str(error)
            try:
                return read()
            except NameError as error:
                return str(error)
        def work(n):
            out = []
            for i in range(n):
                mine = own(i)
                out.append((late(i), mine if isinstance(mine, str) else mine[1](), gone(i)))
            return out
        """,
    "bound and deleted in loops": """
        def work(n):
            def look():
                return value
            out = []
            for i in range(n):
                value = i
                out.append(look())
                if i % 3:
                    del value
                    value = [i]
                out.append(look())
                del value
            return out
        """,
    "ends": """
        def keeps(thing, other):
            thing = Loud(thing)
            inner = Loud(("inner", thing.name))
            read = lambda: (thing, inner)
            if other % 2:
                thing = None
            if other % 3 == 0:
                del inner
            return read if other % 5 == 0 else other
        def work(n):
            kept = None
            for i in range(n):
                got = keeps(i, i)
                log.append(("back", i))
                kept = got if i % 10 == 0 else kept
            return log
        """,
    "ends of a frame's locals": """
        def maker(tag):
            def inner(i):
                a, b, c = Loud(("a", i)), Loud(("b", i)), Loud(("c", i))
                total = 0
                for k in range(3):
                    total += k + tag
                return total
            return inner
        inner = maker(2)
        def work(n):
            return list(map(inner, range(n))), log
        """,
    "counts": """
        def makes(a):
            held = [a]
            return lambda: (a, held)
        def work(n):
            out, shared = [], Plain(1)
            for i in range(n):
                made = makes(shared)
                out.append(list(map(sys.getrefcount, [shared, *made.__closure__])))
            return out
        """,
    "cells shared between functions": """
        def pair(value):
            def get():
                return value
            def put(new):
                nonlocal value
                old, value = value, new
                return old
            return get, put
        def work(n):
            out = []
            for i in range(n):
                get, put = pair(i)
                out.append((put(i * 0.5), get(), put([i]), get(), get.__closure__[0] is put.__closure__[0]))
            return out
        """,
    "cells of three levels": """
        def outer(a):
            b = a + 1
            def middle(c):
                nonlocal b
                b += c
                def inner(d):
                    nonlocal b
                    b += d
                    return a, b, c, d
                return inner
            return middle(a)(b), b
        def work(n):
            return [outer(i) for i in range(n)]
        """,
    "comprehensions with cells": """
        def work(n):
            out = []
            for i in range(n):
                made = [lambda: x for x in range(i % 4)]
                out.append([f() for f in made])
                out.append([(lambda y: y + x + i)(2) for x in range(3)])
            return out
        """,
    "frames seen from inside": """
        def seen(a, b):
            c = [a]
            read = lambda: (a, c)
            names = sorted(sys._getframe().f_locals)
            values = sys._getframe().f_locals["a"], sys._getframe().f_locals["c"]
            return read(), names, values, sys._getframe().f_lineno
        def work(n):
            out = []
            for i in range(n):
                out.append(seen(i, 0.5))
            return out
        """,
    "exceptions through them": """
        def checked(limit, x):
            message = "at"
            def fail():
                raise ValueError(message, limit, x)
            if x % 6 == 0:
                fail()
            return limit // (x % 4)
        def work(n):
            out = []
            for i in range(n):
                try:
                    out.append(checked(i, i))
                except (ValueError, ZeroDivisionError) as error:
                    lines, tb = [], error.__traceback__
                    while tb is not None:
                        lines.append((tb.tb_frame.f_code.co_name, tb.tb_lineno))
                        tb = tb.tb_next
                    out.append((error.args, lines))
            return out
        """,
    "a value in a cell of many types": """
        def changing(x):
            value = x
            def get():
                return value
            value = value + value if not isinstance(value, Plain) else value.v
            if get() == 6:
                value = "six"
            return value, get()
        def work(n):
            kinds = [3, 0.5, "ab", [1], Plain(4), 2**62]
            return [changing(kinds[i % len(kinds)]) for i in range(n)]
        """,
    "methods": """
        class Shape:
            def __init__(self, size):
                self.size = size
            def areas(self, factors):
                base = self.size
                return [area for area in map(lambda f: f * base * self.size, factors)]
            def twice(self):
                return (lambda: __class__)().__name__, super().__repr__()[:9]
        def work(n):
            return [(Shape(i).areas([1, 2, i]), Shape(i).twice()) for i in range(n)]
        """,
}


@pytest.mark.stress
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("mode", programs_alike.MODES)
def test_alike(mode: str, name: str) -> None:
    programs_alike.check(mode, PRELUDE, PROGRAMS[name], register=True)


def adder(a: int, b: int) -> int:
    total = a
    for k in range(b):
        total += k
    reads = lambda: total  # noqa: E731
    return total + len(reads.__closure__ or ())


def test_a_function_with_cells_has_a_door() -> None:
    engine = Engine(function_threshold=5, threshold=5, background=False, deopt_every=0)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    engine.register(adder)
    with engine:
        for _ in range(60):
            assert adder(3, 4) == 10
        before = engine.stats().native_entries
        assert list(map(adder, [3] * 50, [4] * 50)) == [10] * 50
        assert engine.stats().native_entries - before >= 50
        assert "cell.new" in engine.explain(adder).regions[-1].before
    engine.close()


def test_nothing_is_lost() -> None:
    class Item:
        pass

    item = Item()

    def makes(a: Any, b: Any) -> Any:
        c = [a]

        def inner() -> Any:
            return a, b, c

        b = a
        return inner

    def work(n: int) -> None:
        for i in range(n):
            made = makes(item, i)
            made()

    work(3)
    gc.collect()
    before = sys.getrefcount(item)
    with Engine(threshold=5, function_threshold=5, exit_threshold=10**6, background=False, deopt_every=3) as engine:
        growth = programs_alike.least_growth(lambda: work(1000))
    engine.close()
    gc.collect()
    assert sys.getrefcount(item) == before
    assert growth < 20
