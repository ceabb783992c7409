"""Class and mapping patterns, interpreted and native."""

from __future__ import annotations

from typing import Any

import programs_alike
import pytest

from jitcore import Engine

PRELUDE = """
import sys
log = []
class Point:
    __match_args__ = ("x", "y")
    def __init__(self, x, y):
        self.x, self.y = x, y
class Slots:
    __slots__ = __match_args__ = ("left", "right")
    def __init__(self, left, right):
        self.left, self.right = left, right
class Leaf(Slots):
    __slots__ = ()
class Late(Point):
    label = "class"
class Loud(Point):
    def __del__(self):
        log.append(("end", self.x))
"""

PROGRAMS: dict[str, str] = {
    "classes": """
        def what(v):
            match v:
                case Point(0, y=y):
                    return "zero", y
                case Point(x, y) if x == y:
                    return "same", x
                case Late(label=label, y=y):
                    return label, y
                case Point(x=x):
                    return "x", x
                case Leaf():
                    return "leaf"
                case Slots(Slots(a, b), c) | Slots(Leaf(a, b), c):
                    return "deep", a, b, c
                case Slots(left, right):
                    return left, right
                case None | True:
                    return "single"
                case int(n) | float(n):
                    return "number", n
                case str() | bytes() as text:
                    return "text", text
                case list([first, *_]):
                    return "list", first
            return "nothing"
        def work(n):
            out = []
            for i in range(n):
                things = [Point(i % 3, i), Point(i, i), Late(1, i), Slots(i, 2), Slots(Slots(1, i), 3), Leaf(1, 2), Slots(Leaf(1, 2), i), i, i / 2]
                out.append([what(v) for v in [*things, None, True, "ab", b"c", [i], [], {}, 2**70]])
            return out
        """,
    "one class in a loop": """
        def work(n):
            total, points = 0, [Point(i, i * 0.5) for i in range(n)]
            for p in points:
                match p:
                    case Point(x, y):
                        total += x * y
            return total
        """,
    "subjects that end": """
        def work(n):
            for i in range(n):
                match Loud(i, [i]):
                    case Point(x, y) if x % 3:
                        log.append((x, y))
                    case Point(y=y):
                        log.append(y)
                match Loud([i], i) if i % 2 else Loud(i, i):
                    case Point(int(x)):
                        log.append(x)
            return log
        """,
    "mappings": """
        def what(v):
            match v:
                case {"kind": "a", "x": x}:
                    return "a", x
                case {"kind": kind, 1: one, **rest}:
                    return kind, one, rest
                case {"x": {"y": y}}:
                    return "deep", y
                case {"x": x}:
                    return "x", x
                case {}:
                    return "mapping"
            return "none"
        def work(n):
            out = []
            for i in range(n):
                out += [what({"kind": "a", "x": i}), what({"kind": i, 1: [i], "z": 3}), what({"x": {"y": i}}), what({"x": i * 0.5})]
                out += [what({}), what({1: 2}), what(i), what([("x", 1)])]
            return out
        """,
    "attributes that are not there": """
        def what(v):
            match v:
                case Point(x, y=y):
                    return x, y
                case Point(x):
                    return x
                case object(missing=m):
                    return m
            return "no"
        def work(n):
            out = []
            for i in range(n):
                p = Point(i, 1)
                if i % 4 == 1:
                    del p.y
                if i % 4 == 3:
                    del p.x
                    p.missing = i
                out.append(what(p))
            return out
        """,
    "patterns that raise": """
        class Odd:
            __match_args__ = ["x"]
        class Few:
            __match_args__ = ("x",)
        class Same:
            __match_args__ = ("x",)
            x = 1
        class Lively:
            __match_args__ = ("x",)
            def __getattr__(self, name):
                if name == "x":
                    raise AttributeError if len(log) % 2 else ValueError("x")
                return name
        def one(v, k):
            match k:
                case 0:
                    match v:
                        case Odd(a): return a
                case 1:
                    match v:
                        case Few(a, b): return a
                case 2:
                    match v:
                        case Same(a, x=b): return a
                case 3:
                    match v:
                        case Lively(a): return a
                        case Lively(name=b): return b
            return "no"
        def work(n):
            out = []
            for i in range(n):
                for k, v in enumerate((Odd(), Few(), Same(), Lively())):
                    try:
                        out.append(one(v, k))
                    except (TypeError, ValueError) as error:
                        out.append((type(error).__name__, str(error), error.__traceback__.tb_next.tb_lineno))
                log.append(i)
            return out
        """,
    "what classes say changes": """
        def what(v):
            match v:
                case Point(a, b):
                    return a, b
            return "no"
        def work(n):
            out = []
            for i in range(n):
                out.append(what(Point(i, 2)))
                if i % 20 == 11:
                    Point.__match_args__ = ("y", "x")
                if i % 20 == 15:
                    Point.x = property(lambda self: "property", lambda self, v: None)
                if i % 20 == 17:
                    del Point.x
                if i % 20 == 18:
                    Point.__match_args__ = ("x", "y")
            return out
        """,
}


@pytest.mark.stress
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("mode", ["llvm", "better code at once", "every guard leaves", "reference"])
def test_alike(mode: str, name: str) -> None:
    programs_alike.check(mode, PRELUDE, PROGRAMS[name])


def both_kinds(points: list[Any], mappings: list[Any]) -> float:
    total = 0.0
    for p in points:
        match p:
            case complex(real=_):
                total -= 1
            case Pair(a, b):
                total += a * b
    for m in mappings:
        match m:
            case {"a": a, 2: b}:
                total += a + b
            case {"a": a}:
                total -= a
    return total


class Pair:
    __match_args__ = ("a", "b")

    def __init__(self, a: int, b: float) -> None:
        self.a, self.b = a, b


def test_patterns_stay_native() -> None:
    engine = Engine(threshold=5, background=False, deopt_every=0)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    points = [Pair(i, 0.5) for i in range(3000)]
    mappings = [{"a": i, 2: 3} if i % 3 else {"a": 1} for i in range(3000)]
    expected = both_kinds(points, mappings)
    with engine:
        for _ in range(8):
            assert both_kinds(points, mappings) == expected
        before = engine.stats().native_entries
        assert both_kinds(points, mappings) == expected
        assert engine.stats().native_entries - before < 10
    engine.close()
