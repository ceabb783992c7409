"""Iteration: interpreter == reference evaluator == LLVM for every kind of iterator, and what native loops do not do.

Each program runs plain and under an engine, with guards forced out in turn and with a check that repeated runs leave
no memory behind (see tests/fuzz.py).
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fuzz import MODES, check
from jitcore.optimizer.ir import Block, Graph

from jitcore import Engine
from jitcore.regions import Compiler, Region

PROGRAMS: dict[str, tuple[str, str]] = {
    "list": (
        '[1,2,3,4,5]',
        """
def f(p):
    s = 0
    for k in range(20):
        for x in p:
            s += x * k
    return s
""",
    ),
    "top": (
        'list(range(40))',
        """
def f(p):
    s = 0
    for x in p:
        s += x
    return s
""",
    ),
    "enumzip": (
        '[1,2,3,4,5], [2,3,4,5]',
        """
def f(a, b):
    s = 0
    for k in range(12):
        for i, (x, y) in enumerate(zip(a, b)):
            s += i * x + y
    return s, i, x, y
""",
    ),
    "enumzip_top": (
        'list(range(40)), [2,3,4.5,5]*10',
        """
def f(a, b):
    s = 0
    for i, (x, y) in enumerate(zip(a, b), 3):
        s += i * x + y
    return s, i, x, y
""",
    ),
    "rev": (
        '[1,2,3,4,5], 20',
        """
def f(a, n):
    s = 0
    for k in range(12):
        for x in reversed(a):
            s = s * 3 + x & 65535
        for x in reversed(range(1, n, 3)):
            s = s * 3 + x & 65535
    return s
""",
    ),
    "nest": (
        '[1,2,3,4,5], 20',
        """
def f(a, n):
    s = 0
    for k in range(12):
        for i, (j, x) in enumerate(enumerate(a, start=k), 2):
            s = s * 3 + x + i * j & 65535
        for (i, x), y, (z, w) in zip(enumerate(a), reversed(a), zip(range(n), (1,2,3,4))):
            s = s * 3 + x + i * y + z * w & 65535
    return s
""",
    ),
    "dict": (
        '{1:2,3:4,5:6,7:8}',
        """
def f(d):
    s = 0
    for k in range(12):
        for x in d:
            s = s * 3 + x & 65535
        for x in d.values():
            s = s * 3 + x & 65535
        for x, y in d.items():
            s = s * 3 + x * y & 65535
    return s
""",
    ),
    "sets": (
        "{1,2,3,4}, 'abcd\\\\u1234', b'hello'",
        """
def f(d, t, b):
    s = 0
    u = []
    for k in range(12):
        for x in d:
            s = s * 3 + x & 65535
        for x in t:
            u.append(x)
        for x in b:
            s += x
    return s, ''.join(u)
""",
    ),
    "gen": (
        '6',
        """
def f(n):
    s = 0
    for k in range(12):
        for x in squares(n):
            s = s * 3 + x & 65535
        for x in map(abs, [1,-2,3]):
            s += x
    return s
""",
    ),
    "gentop": (
        '50',
        """
def f(n):
    s = 0
    for x in squares(n):
        s = s * 3 + x & 65535
    return s
""",
    ),
    "changed": (
        '{1:2,3:4,5:6,7:8}',
        """
def f(d):
    s = 0
    for k in range(30):
        for x in d:
            s += x
            if k > 20:
                d[k + x] = 1
    return s
""",
    ),
    "changed_top": (
        '{k:k for k in range(50)}',
        """
def f(d):
    s = 0
    for x in d:
        s += x
        if s > 200:
            del d[x]
            d[s] = 4
    return s
""",
    ),
    "raising": (
        '6',
        """
class It:
    def __init__(self): self.k = 0
    def __iter__(self): return self
    def __next__(self):
        self.k += 1
        if self.k > 30: raise ValueError(self.k)
        return self.k
def f(n):
    s = 0
    try:
        for x in It():
            s += x
    except ValueError as error:
        note(str(error), lines_of(error))
    for x in It():
        s += x
    return s
""",
    ),
    "destroy": (
        '6',
        """
def f(n):
    s = 0
    for k in range(15):
        for x in [D(k), D(k + 1)]:
            s += x.k
        for x in (D(k), 3):
            pass
        for i, x in enumerate([D(k), D(k + 1)]):
            s += i
        for i, x in zip([D(k), D(k + 1)], (D(7), D(8), D(9))):
            s += 1
    return s
""",
    ),
    "grow": (
        '6',
        """
def f(n):
    s = 0
    for k in range(15):
        p = [1, 2, 3]
        for i, x in enumerate(p):
            s += x * i
            if len(p) < 8:
                p.append(x + i)
        for x in p:
            if x > 2:
                p.pop()
            s += x
        q = [k] * 5
        for x in reversed(q):
            s += x
            if s & 1:
                q.pop()
    return s
""",
    ),
    "escape": (
        '[1,2,3,4,5]',
        """
def f(a):
    s = 0
    for k in range(15):
        z = zip(a, a)
        for x, y in z:
            s += x * y
            if x == 3:
                break
        for x, y in z:
            s += x
        e = enumerate(a)
        s += len(list(e)) + sum(i for i, x in enumerate(a))
        u = list(zip(a, range(k)))
        w = [reversed(a), enumerate(reversed(a), 2)]
        for i, x in w[1]:
            s += i * x
        v = total(reversed(a)) + total(a)
        s += v + len(u)
    return s
""",
    ),
    "comp": (
        "[1,2,3,4,5], 'x', {1:2, 3:4}",
        """
def f(a, x, d):
    s = 0
    k = a
    y = 5
    for r in range(15):
        u = [k + 1 for k in a]
        v = [k * y for y in a for k in range(3)]
        w = [(i, x) for i, x in enumerate(a) if x & 1]
        q = [x + y for x, y in zip(a, v)]
        z = [k for k in d]
        m = {k: i for i, k in enumerate(a)}
        s += sum(u) + sum(v) + len(w) + sum(q) + len(z) + len(k) + len(m)
    return s, u, v, w, q, k, x, y
""",
    ),
    "floats": (
        "[1.5,2.5,float('nan')], [2.0,3.0]",
        """
def f(a, b):
    s = 0.0
    for r in range(15):
        for x, y in zip(a, b):
            s += x * y
    z = [x for x in a]
    return s, z[0] is a[0], z[2] is a[2]
""",
    ),
    "breaks": (
        '[1,2,3,4,5,6]',
        """
def f(a):
    s = 0
    for r in range(15):
        for i, x in enumerate(a):
            if x == r: break
            if x & 1: continue
            s += i
        else:
            s += 100
        for x in zip(a, a, a):
            if x[1] == 2: break
            s += x[0]
        for x in a:
            if x == 3: break
            s += x
        for x in a[1:]:
            if x == 3: break
            s += x
    return s, x
""",
    ),
}


def source(name: str) -> str:
    arguments, text = PROGRAMS[name]
    return f"{text}\ndef main():\n    for _ in range(4):\n        attempt(f, {arguments})\n"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, mode: str) -> None:
    counts = check(source(name), mode, memory=mode == "llvm", background=False)
    assert counts["regions"] and counts["entries"], "nothing was compiled, so nothing was tested"


# ---- what is in a native loop ------------------------------------------------------------------------------------------


def enumerated_pairs(a: Any, b: Any) -> Any:
    s = 0
    for i, (x, y) in enumerate(zip(a, b)):
        s += i * x + y
    return s


def nested(a: Any, b: Any) -> Any:
    s = 0
    for (i, x), y, z in zip(enumerate(a, 5), reversed(b), range(3, 900, 2)):
        s += i * x + y - z
    return s


def plain(a: Any, b: Any) -> Any:
    s = 0
    for x in a:
        s += x
    for x in reversed(b):
        s -= x
    return s


def tupled(a: Any, b: Any) -> Any:
    s = 0
    for i, x in enumerate(tuple(a)):
        s += i * x
    return s


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine(threshold=5, exit_threshold=3, verify=True, background=False)
    made.enable(everything=False)
    yield made
    made.close()


def loops(graph: Graph) -> list[Block]:
    """The blocks that can be reached from themselves."""

    def reach(block: Block) -> set[int]:
        seen: set[int] = set()
        work = [edge.block for edge in block.edges]
        while work:
            at = work.pop()
            if id(at) not in seen:
                seen.add(id(at))
                work += [edge.block for edge in at.edges]
        return seen

    return [block for block in graph.blocks if id(block) in reach(block)]


ALLOWED = ("int.", "bool.", "const.", "list.len", "list.get", "tuple.len", "tuple.get", "obj.unbox_int", "guard", "poll")


@pytest.mark.parametrize("function", [enumerated_pairs, nested, plain, tupled])
def test_loops_allocate_nothing_and_touch_no_iterator(
    engine: Engine, function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[Region, list[list[tuple[str, frozenset[str]]]]] = {}
    link = Compiler.link

    def look(self: Compiler, region: Region, graph: Graph, direct: Graph | None, *rest: Any) -> None:
        made[region] = [[(op.name, op.info.writes) for op in block.ops] for block in loops(direct or graph)]
        link(self, region, graph, direct, *rest)

    monkeypatch.setattr(Compiler, "link", look)
    engine.register(function)
    a, b = list(range(50)), list(range(7, 57))
    expected = [function(a, b)]
    for _ in range(6):
        expected.append(function(a, b))
    assert len(set(expected)) == 1
    live = [r for r in engine.regions if r.state == "live"]
    assert live and all(r.entry.entries for r in live)
    for region in live:
        assert made[region]
        for ops in made[region]:
            assert [name for name, _ in ops if not name.startswith(ALLOWED)] == []
            assert not any(writes - {"any"} for _, writes in ops), "only the poll is said to write"


# ---- the way in and out ------------------------------------------------------------------------------------------------


def over(items: Any) -> Any:
    s = 0
    for x in items:
        s += 1
    return s


KINDS: dict[str, Callable[[list[Any]], Any]] = {
    "range": lambda xs: range(len(xs)),
    "list": lambda xs: xs,
    "tuple": tuple,
    "reversed": reversed,
    "enumerate": enumerate,
    "enumerate from": lambda xs: enumerate(xs, 1 << 40),
    "zip": lambda xs: zip(xs, xs),
    "nested": lambda xs: enumerate(zip(reversed(xs), enumerate(xs), range(100))),
    "dict": dict.fromkeys,
    "items": lambda xs: dict.fromkeys(xs).items(),
    "set": set,
    "str": lambda xs: "x" * len(xs),
    "bytes": lambda xs: b"x" * len(xs),
    "map": lambda xs: map(id, xs),
    "generator": lambda xs: (x for x in xs),
    "zip strict": lambda xs: zip(xs, xs, strict=True),
    "zip of a generator": lambda xs: zip(xs, (x for x in xs)),
    "enumerate beyond": lambda xs: enumerate(xs, 1 << 62),
}


@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_entries_leave_nothing_behind(engine: Engine, kind: str) -> None:
    """The iterator on the stack is given up or stepped where it is; its items and sequences keep their counts."""
    engine.register(over)
    items = [object() for _ in range(6)]
    make = KINDS[kind]
    for _ in range(300):
        assert over(make(items)) == 6
    entered = sum(r.entry.entries for r in engine.regions)
    assert entered
    gc.collect()
    counts, blocks = [sys.getrefcount(o) for o in (items, *items)], sys.getallocatedblocks()
    for _ in range(10_000):
        over(make(items))
    gc.collect()
    assert [sys.getrefcount(o) for o in (items, *items)] == counts
    assert sys.getallocatedblocks() - blocks < 3000, "one for each entry would be 10,000; new code takes some"
    assert sum(r.entry.entries for r in engine.regions) - entered >= 9_500


def halved(it: Any) -> Any:
    s = []
    for x in it:
        s.append(x)
        if len(s) == 30:
            break
    return s


@pytest.mark.parametrize(
    "make",
    [
        lambda xs: iter(xs),
        lambda xs: iter(tuple(xs)),
        lambda xs: reversed(xs),
        lambda xs: enumerate(xs, 3),
        lambda xs: zip(xs, reversed(xs)),
        lambda xs: enumerate(zip(xs, xs)),
    ],
)
def test_iterators_that_others_hold_go_on_where_the_loop_left_them(engine: Engine, make: Callable[..., Any]) -> None:
    engine.register(halved)
    xs = list(range(100))
    for _ in range(6):
        it, other = make(xs), make(xs)
        first = halved(it)
        assert first == [next(other) for _ in range(30)]
        assert list(it) == list(other)
        parts = [xs[n : n + 1] for n in range(40)]
        inner = iter(parts)
        assert [halved(zip(inner, xs)), len(list(inner))] == [[(parts[n], n) for n in range(30)], 10]
    assert any(r.entry.entries for r in engine.regions)


def keep_last(n: int, log: list[str]) -> int:
    class Last:
        def __init__(self, k: int) -> None:
            self.k = k

        def __del__(self) -> None:
            log.append(f"end {self.k}")

    s = 0
    objects = [Last(k) for k in range(n)]
    for i, x in enumerate(objects):
        objects[i] = i
        x = None  # noqa: F841  (the item dies here)
        log.append(f"step {i}")
        s += i
    return s


def test_the_tuple_that_enumerate_keeps_ends_its_items_in_time(engine: Engine) -> None:
    """At the entry of the loop the last item may live only in the hidden result tuple of enumerate."""
    expected: list[str] = []
    keep_last(12, expected)
    engine.register(keep_last)
    for _ in range(8):
        log: list[str] = []
        assert keep_last(12, log) == 66
        assert sorted(log) == sorted(expected)
        assert [e for e in log if e.startswith("end")] == [e for e in expected if e.startswith("end")]
