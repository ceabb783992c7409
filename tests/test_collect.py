"""Items of generator expressions that are collected without the generator: the operations, and programs whose consumers want all
items at once."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

import programs_alike
import pytest
from test_lower import EFFORTS, Maker, Native, interpret, result_of

from jitcore import Engine
from jitcore.abi import memory


def runs(maker: Maker, effort: str) -> list[Callable[[], Any]]:
    native = Native(maker.graph, effort)
    return [native.run, lambda: interpret(maker.graph)]


def collected(maker: Maker, thing: Any) -> Any:
    """The number of items behind an int, a float, an object and a second int."""
    n, x = maker.input("i"), maker.input("f")
    count = maker.emit("collect.int", maker.emit("const.i", imm=(0,)), n)
    count = maker.emit("collect.float", count, x)
    count = maker.emit("collect.object", count, thing)
    return maker.emit("collect.int", count, n)


@pytest.mark.parametrize("effort", EFFORTS)
def test_lists_and_tuples(effort: str) -> None:
    maker = Maker()
    thing = maker.input("o")
    count = collected(maker, thing)
    maker.exit(maker.emit("collect.list", count), count)
    as_tuple = Maker()
    given = as_tuple.input("o")
    count = collected(as_tuple, given)
    as_tuple.exit(as_tuple.emit("collect.tuple", count), count)
    item = object()
    before = sys.getrefcount(item)
    for one, kind in ((maker, list), (as_tuple, tuple)):
        for run in runs(one, effort):
            one.set(id(item), 2**62, 1.5)
            address, count = run()[1]
            made = result_of(address)
            assert type(made) is kind and made == kind([2**62, 1.5, item, 2**62]) and count == 4
            assert sys.getrefcount(item) == before + 1 and (kind is tuple or gc.is_tracked(made))
            del made
    assert sys.getrefcount(item) == before


@pytest.mark.parametrize("effort", EFFORTS)
def test_nothing_collected(effort: str) -> None:
    maker = Maker()
    none = maker.emit("const.i", imm=(0,))
    empty = maker.emit("const.o", imm=("",))
    maker.exit(maker.emit("collect.list", none), maker.emit("collect.tuple", none), maker.emit("collect.join", none, empty))
    for run in runs(maker, effort):
        assert [result_of(address) for address in run()[1]] == [[], (), ""]


@pytest.mark.parametrize("effort", EFFORTS)
def test_given_to_functions(effort: str) -> None:
    maker = Maker()
    function, separator, a, b = (maker.input("o") for _ in range(4))
    zero = maker.emit("const.i", imm=(0,))
    count = maker.emit("collect.object", maker.emit("collect.object", zero, a), b)
    called = maker.emit("collect.call", count, function)
    count = maker.emit("collect.object", maker.emit("collect.object", zero, a), b)
    joined = maker.emit("collect.join", count, separator)
    maker.exit(called, joined, maker.emit("call.raised"))
    for run in runs(maker, effort):
        for f, x, y in ((sorted, "b", "a"), (set, "b", "b"), (frozenset, "x", "a"), (max, "x", "y")):
            maker.set(id(f), id(", "), id(x), id(y))
            first, second, raised = run()[1]
            assert result_of(first) == f([x, y]) and result_of(second) == f"{x}, {y}" and raised is False
        maker.set(id(sum), id(", "), id(5), id("a"))
        assert run()[1] == [0, 0, False], "what failed leaves no exception"


def template() -> int:
    return 7


@pytest.mark.parametrize("effort", EFFORTS)
def test_cells_and_functions(effort: str) -> None:
    maker = Maker()
    held = maker.input("o")
    cell = maker.emit("cell.new")
    maker.emit("obj.incref", held)
    maker.emit("field.put", cell, held, imm=("CELL_REF",))
    function = maker.emit("function.new", imm=(template.__code__, globals()))
    maker.exit(cell, function)
    closed = Maker()
    cells = closed.input("o"), closed.input("o")
    function = closed.emit("function.new", imm=(two_cells().__code__, globals()))
    closed.emit("function.close", function, *cells)
    closed.exit(function)
    item = object()
    before = sys.getrefcount(item)
    for run in runs(maker, effort):
        maker.set(id(item))
        cell, function = map(result_of, run()[1])
        assert type(cell) is CellType and cell.cell_contents is item
        assert type(function) is FunctionType and function() == 7 and function.__closure__ is None
        assert function.__globals__ is globals() and function.__module__ == __name__ and function.__qualname__ == "template"
        assert ctypes.c_ssize_t.from_address(id(function)).value & 0xFFFFFFFF >= 1
        del cell, function
        assert sys.getrefcount(item) == before
    given = CellType(3), CellType(item)
    for run in runs(closed, effort):
        closed.set(*map(id, given))
        counts = [memory.refcount(id(one)) for one in given]
        function = result_of(run()[1][0])
        assert function() == (3, item) and function.__closure__ == given
        assert [memory.refcount(id(one)) for one in given] == [count + 1 for count in counts]
        del function
        assert [memory.refcount(id(one)) for one in given] == counts


@pytest.mark.parametrize("effort", EFFORTS)
def test_sorted_and_sizes(effort: str) -> None:
    """Lists have the room that they have when the interpreter fills them from a generator."""
    maker = Maker()
    count = maker.input("i")
    for k in range(70):
        maker.emit("collect.int", maker.emit("const.i", imm=(k,)), maker.emit("const.i", imm=(k * 7 % 70,)))
    maker.exit(maker.emit("collect.list", count))
    ordered = Maker()
    a, b = ordered.input("o"), ordered.input("o")
    n = ordered.emit("collect.object", ordered.emit("collect.object", ordered.emit("const.i", imm=(0,)), a), b)
    ordered.exit(ordered.emit("collect.sorted", n), ordered.emit("call.raised"))
    native = Native(maker.graph, effort)
    for size in (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 18, 40, 55, 70):
        filled = list(k * 7 % 70 for k in range(size)) if size else []
        as_generator = (k * 7 % 70 for k in range(size))
        maker.set(size)
        made = result_of(native.run()[1][0])
        assert made == filled and sys.getsizeof(made) == sys.getsizeof(list(as_generator))
        made += [1, 2]
        assert made == [*filled, 1, 2]
    for run in runs(ordered, effort):
        ordered.set(id("b"), id("a"))
        address, raised = run()[1]
        assert result_of(address) == ["a", "b"] and raised is False
        ordered.set(id("b"), id(1))
        assert run()[1] == [0, False]


def two_cells() -> Callable[[], object]:
    a = b = None
    return lambda: (a, b)


# ---- programs --------------------------------------------------------------------------------------------------------------

PRELUDE = """
log = []
class Point:
    def __init__(self, k):
        self.k, self.x, self.name = k, k * 0.5, f"p{k % 5}"
class Odd:
    def __init__(self, k):
        self.k = k
    def __hash__(self):
        log.append(("hash", self.k))
        return 3
    def __eq__(self, other):
        return self is other
    def __lt__(self, other):
        log.append(("lt", self.k, other.k))
        return self.k < other.k
    def __repr__(self):
        return f"Odd({self.k})"
class Loud:
    def __init__(self, k):
        self.k = k
    def __del__(self):
        log.append(("end", self.k))
def kinds(things):
    return [(type(one).__name__, one) for one in things]
"""

PROGRAMS: dict[str, str] = {
    "plainly": """
        def made(ps, xs, k):
            return (
                list(p.k for p in ps), tuple(p.x for p in ps if p.k != k), set(x + k for x in xs), frozenset(x % 3 for x in xs),
                sorted(-x for x in xs), ", ".join(p.name for p in ps), sum(p.x for p in ps), min(p.name for p in ps),
                sorted(p.name for p in ps if p.k > 1), len(set(x * x for x in xs)), max(p.x for p in ps),
            )
        def work(n):
            ps = [Point(k) for k in range(7)]
            return [repr(made(ps[: 1 + k % 7], list(range(k)), k)) for k in range(1, n)]
        """,
    "the same objects": """
        def same(ps):
            a, b = list(p for p in ps), tuple(p.name for p in ps)
            return [x is y for x, y in zip(a, ps)] + [x is y.name for x, y in zip(b, ps)]
        def work(n):
            ps = [Point(k) for k in range(3)]
            return [same(ps[: k % 4]) for k in range(n)]
        """,
    "of several kinds": """
        def mixed(xs):
            return kinds(list(x for x in xs)), kinds(tuple(x for x in xs)), repr(sorted(set(x for x in xs if x is not None), key=repr))
        def numbers(xs):
            return repr(sum(x for x in xs)), repr(list(x * 2 for x in xs)), repr(sorted(x for x in xs))
        def work(n):
            made = []
            for k in range(n):
                made.append(repr(mixed([1, 2, k])))
                made.append(numbers([1, 2, k]))
                if k > 10:
                    made.append(repr(mixed([1, 2.5, "a", None, True, k])))
                    made.append(numbers([0.1] * 10 + [1e100, 1.0, -1e100, k]))
                    made.append(numbers([True, 2.5, 1 << 70, k]))
                    made.append(numbers([1 << 62, 1 << 62, 1 << 62]))
                if k > 20:
                    made.append(repr(mixed([(1, 2), (1, 2), b"x", 1j])))
            return made
        """,
    "with code of the program's": """
        def odd(things):
            return len(set(t for t in things)), sorted(t for t in things), list(t for t in things), min(t for t in things)
        def text(things):
            return "-".join(t for t in things)
        def work(n):
            log.clear()
            made = []
            for k in range(n):
                made.append(repr(odd([3, 1, 2])))
                made.append(text(["a", "b"]))
                if k > 12:
                    made.append(repr(odd([Odd(k), Odd(1)])))
                for things in ([1], ["a", None], [], [Odd(1)]):
                    try:
                        made.append(text(things))
                    except TypeError as error:
                        made.append((str(error), error.__traceback__.tb_next.tb_lineno))
            return made, log
        """,
    "errors in the middle": """
        def fails(xs, k):
            return list(12 // (x - k) for x in xs), set(xs[x] for x in xs)
        def unsorted(xs):
            return sorted(x for x in xs)
        def work(n):
            made = []
            for k in range(n):
                for call in (lambda: fails([1, 2, 30 if k % 3 else 0], k % 7), lambda: unsorted([1, "a"] if k % 4 == 3 else [2, 1])):
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
    "sums of floats": """
        import random
        def sums(xs):
            return repr(sum(x for x in xs)), repr(sum(-x for x in xs if x != 1.0)), repr(sum(x * y for x in xs for y in xs[:2]))
        def work(n):
            inf, nan, draw = float("inf"), float("nan"), random.Random(n)
            lists = [[0.1] * 10, [1e100, 1.0, -1e100], [-0.0], [-0.0, -0.0], [inf, -1.0], [1.0, inf, -inf], [nan, 1.0], [1.0, nan], [1.0]]
            lists += [[1e308, 1e308, -1e308], [1.5, 1e16, 1.0, -1e16], [5e-324, -5e-324], [inf, nan], [1e308, 1e308, -inf], [], [1.0] * 9]
            made = [sums(lists[k % len(lists)]) for k in range(3 * n)]
            made += [sums([draw.uniform(-1, 1) * 10.0 ** draw.randrange(-20, 20) for _ in range(k % 9)]) for k in range(2 * n)]
            for k in range(n):
                made += [sums([0.5, k, 0.1]), sums([k, 1e16, 1.0, True]), sums([0.1, 1 << 70])]
            return made
        """,
    "many": """
        def many(k):
            xs = list(x ^ k for x in range(k))
            return sum(xs), len(tuple(x for x in xs)), len(set(x & 255 for x in xs)), sum(x * 0.5 for x in xs)
        def work(n):
            return [many(k) for k in range(40)] + [many(k * 500) for k in range(n // 5)]
        """,
    "nested, and one after the other": """
        def rows(k):
            return list(sum(x for x in range(row) if x != k) for row in range(5)), [tuple(x * r for x in range(3)) for r in range(k % 4)]
        def grid(k):
            return list(a * b for a in range(3) for b in range(k % 3)), ",".join(w for row in (["a", "b"], ["c"]) for w in row)
        def work(n):
            return [(rows(k), grid(k)) for k in range(n)]
        """,
    "what the names stand for": """
        def shadowed(list, xs):
            return list(x for x in xs), ":".join(x for x in "abc")
        class Text(str):
            def join(self, items):
                log.append("join")
                return str.join(self, items)
        def joined(by, items):
            return by.join(x for x in items)
        def work(n):
            log.clear()
            global tuple
            made = [shadowed(one, [k, 1]) for k in range(n) for one in (list, set, sorted)]
            made += [joined(by, ["a", "b"]) for by in (",", "") for _ in range(n)] + [joined(Text("+"), ["a", "b"])]
            for k in range(n):
                if k == n - 3:
                    tuple = len
                try:
                    made.append(tuple(x for x in (k, 1)))
                except TypeError as error:
                    made.append(str(error))
            del tuple
            return made, log
        """,
    "closures": """
        def closed(k):
            table = [k, k + 1, 5]
            other = table
            def add(x):
                nonlocal k
                k += x
                return k
            found = tuple(table[i] + k for i in range(3)), set(t for t in table if t != k), list(other[i] for i in (2, 1))
            add(2)
            return found, k, sum(x - k for x in table)
        def work(n):
            return [closed(k) for k in range(n)]
        """,
    "what is let go of": """
        def ends(k):
            things = [Loud((k, 0)), Loud((k, 1))]
            kept = list(t for t in things if t.k[1] >= k % 2)
            del things
            log.append(len(kept))
            return tuple(t.k for t in kept)
        def work(n):
            log.clear()
            return [ends(k) for k in range(n)], log
        """,
    "looked at in between": """
        import gc, sys
        def looks(xs):
            return list(sys._getframe().f_lineno - x for x in xs)
        def counted(ps):
            return list(p for p in ps) and sys.getrefcount(ps[0])
        def called(make, xs):
            return list(x for x in make(xs)), tuple(make(x) for x in [xs, xs])
        def work(n):
            ps = [Point(1)]
            return [(looks([k, 1]), counted(ps), called(sorted, [k, 1]), called(lambda xs: xs[:], [k])) for k in range(n)]
        """,
    "looped over": """
        def loops(xs, k):
            found = []
            for x in (x * k for x in xs if x != k):
                if x > 40:
                    break
                found.append(x)
            return found, [x for x in (y + 1 for y in xs)], {x: y for x, y in ((x, x * 2) for x in xs)}
        def inside(xs, k):
            for x in (xs[i] for i in range(len(xs))):
                for y in (x + z for z in range(k % 3)):
                    if y == 7:
                        return x, y
            return any(x == k for x in xs), all(x in xs for x in range(k)), tuple(x - k for x in xs), list(x for x in xs), set(x for x in xs)
        def work(n):
            return [(loops(list(range(k % 12)), k % 7), inside([k, 3, 1], k)) for k in range(n)]
        """,
    "looped over, with effects": """
        def effects(things, seen):
            for x in (seen.append(t) or t.k for t in things):
                seen.append(x)
                if x == 3:
                    break
            return len(seen), any(seen.append(t) for t in things), tuple(str(t.k) for t in things)
        def raises(xs, k):
            try:
                for x in (10 // (x - k) for x in xs):
                    log.append(x)
            except ZeroDivisionError as error:
                return error.__traceback__.tb_next.tb_lineno, error.__traceback__.tb_next.tb_frame.f_locals["x"]
            return None
        def kept(xs):
            gen = (x + 1 for x in xs)
            found = []
            for x in gen:
                found.append(x)
                if x == 3:
                    found.append(next(gen, None))
                    break
            return found, list(gen)
        def work(n):
            log.clear()
            points = [Point(k) for k in range(5)]
            return [(effects(points[: k % 6], []), raises([1, 2, 5], k % 7), kept(list(range(k % 6)))) for k in range(n)], log
        """,
    "generators with cells": """
        def orders(items, r):
            pool = tuple(items)
            places = list(range(len(pool)))
            yield tuple(pool[i] for i in places[:r])
            for k in reversed(range(r)):
                places[k], places[0] = places[0], places[k]
                held = pool[k]
                yield list(pool[i] for i in places), (lambda: held)
        def late(k):
            total = k
            def more():
                nonlocal total
                total += 1
                return total
            for i in range(3):
                total += i
                yield more, total
            yield more, -1
        def first(xs):
            return next((lambda: x for x in xs if x), None)
        def goes(k):
            found = [len(one) for one in orders(range(k % 4 + 2), k % 3)]
            kept = []
            for more, total in late(k):
                if total == 4:
                    break
                kept.append((more, total, more() if k % 2 else 0))
            shown = [f() for f in [(lambda: x) for x in (x * k for x in range(3))]]
            return found, [(f(), t, m) for f, t, m in kept], shown, [f() for f in (lambda: x for x in (k, 2))], first([0, k]) and first([0, k])()
        def work(n):
            return [goes(k) for k in range(n)] + list(orders("abc", 2))[0:1]
        """,
    "over what was just made": """
        def over(k, d):
            some = (
                tuple(x for x in [k, 2][:]), any(x == 9 for x in (k, 3)), list(x for x in d.items()), list(x for x in str(k)), set(x for x in {k, 1}),
                all(x for x in range(k, k + 2)), tuple(x for x in zip([k], "a")), list(x for x in reversed([k, 1])), list(d[x] for x in d.keys()),
                tuple(x for x in iter([k])), any(x == "" for x in map(str, [k])),
                [x for x in (y for y in sorted([k, 2]))], tuple(x for x in Row(k)),
            )
            for x in (y + k for y in [1, k, 3][: k % 4]):
                if x == 2 * k:
                    break
            return some, x if k % 4 else 0
        class Row:
            def __init__(self, k):
                self.k = k
            def __iter__(self):
                log.append(self.k)
                return iter((self.k, self))
            def __repr__(self):
                return "Row"
        def work(n):
            log.clear()
            return [repr(over(k, {k: "a", "b": k})) for k in range(n)], log
        """,
    "ranges that are kept": """
        def over(r, s):
            total = 0
            for x in r:
                total += x
            return total, sum(x for x in r), [x * y for x in r for y in s if y], len(set(x % 3 for x in r)), {x: y for x, y in zip(r, s)}
        def work(n):
            ranges = [range(5), range(2, 9, 3), range(9, 0, -2), range(0), range(1, 1), range(-3, 3)]
            made = [over(ranges[k % 6], ranges[k % 5]) for k in range(n)]
            for k in range(n):
                made.append(over(range(1 << 63, (1 << 63) + k % 3), range(3)))
                made.append(over(range(1 << 61, (1 << 61) + k % 3), range(-(1 << 62), -(1 << 62) + 2)))
            return made
        """,
    "sets and dicts from comprehensions": """
        def fill(xs, ws):
            return {x % 3 for x in xs}, {w: x for w, x in zip(ws, xs)}, {(x, w) for x in xs for w in ws}, {x: {y for y in xs} for x in xs[:2]}
        def odd(xs):
            return len({x for x in xs}), [*{x: 1 for x in xs}], {1.5 * k: Odd(k).k for k in range(3)}
        def work(n):
            log.clear()
            made = []
            for k in range(n):
                made.append(repr([sorted(map(repr, one)) for one in fill([1, k, 2], ["a", "b", str(k)])]))
                if k > 10:
                    made.append(repr(odd([Odd(1), Odd(2), 3, 3.0, "3", Odd(k)])))
                for bad in ([[1]], [1, {}], [(1, [])]):
                    try:
                        made.append(({x for x in bad}, {x: 1 for x in bad}))
                    except TypeError as error:
                        made.append((str(error), error.__traceback__.tb_lineno))
            return made, log
        """,
    "looped over, let go of": """
        def ends(k):
            seen = []
            for one in (Loud((k, i)) for i in range(3)):
                seen.append(one.k)
                if one.k[1] == k % 4:
                    break
            log.append("behind")
            return seen
        def owner(k):
            held = Loud((k, "held"))
            for x in (held.k[0] + i for i in range(3)):
                if x == k + 1:
                    del held
                    log.append("deleted")
                    break
            return x
        def work(n):
            log.clear()
            return [(ends(k), owner(k)) for k in range(n)], log
        """,
}


@pytest.mark.stress
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("mode", programs_alike.MODES)
def test_alike(mode: str, name: str) -> None:
    programs_alike.check(mode, PRELUDE, PROGRAMS[name], register=True)


def consumers(items: list[float], k: int) -> Any:
    return list(x + k for x in items), set(x for x in items if x > k), sorted(-x for x in items), sum(x for x in items)


def test_there_is_no_generator_and_no_function() -> None:
    engine = Engine(threshold=10**6, function_threshold=5, background=False, deopt_every=0)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    engine.register(consumers)
    items = [float(k) for k in range(6)]
    with engine:
        for k in range(60):
            consumers(items, k % 7)
        shown = engine.explain(consumers).regions[-1]
    engine.close()
    assert "function.new" in shown.before and "cell.new" in shown.before and "collect.float" in shown.before
    assert "function.new" not in shown.after and "cell.new" not in shown.after


def test_nothing_is_lost() -> None:
    item = 12.25
    before = sys.getrefcount(item)
    for every in (0, 3):
        with Engine(threshold=5, function_threshold=5, exit_threshold=10**6, background=False, deopt_every=every) as engine:
            engine.register(consumers)
            growth = programs_alike.least_growth(lambda: [consumers([item] * 3, k % 9) for k in range(300)])
        engine.close()
        assert growth < 20
    assert sys.getrefcount(item) == before


def large(n: int) -> list[int]:
    return sorted(x ^ 1 for x in range(n))


def late_error(xs: list[int], k: int) -> object:
    return sorted(10 // (x - k) for x in xs)


def test_a_large_array_is_given_back() -> None:
    from jitcore.backends.runtime import runtime

    engine = Engine(threshold=10**6, function_threshold=5, background=False, deopt_every=0)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    engine.register(large)
    engine.register(late_error)
    with engine:
        for k in range(60):
            large(k)
            late_error([5] * k, 7)
        room = ctypes.c_int64.from_address(runtime().cell("collected_room"))
        for _ in range(5):  # native code may be left in the middle, for better code
            assert len(large(100_000)) == 100_000
        assert room.value == 0
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                late_error([5] * 100_000 + [7], 7)
        assert room.value == 0
        assert large(50) == [*range(50)] and 0 < room.value <= 1 << 16  # what is kept
    engine.close()
