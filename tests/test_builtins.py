"""Built-ins, containers and text in hot loops: interpreted, native, native with every guard forced out, evaluated.

Each case is a function of one `n`; the loop gets hot with what works and then meets other types, errors and edges. What
it returns (or raises, with the line) must be the same everywhere.
"""

from __future__ import annotations

import gc
import math
import sys
import textwrap
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from jitcore import Engine

MODES: dict[str, dict[str, Any]] = {
    "llvm": {},
    "deopt": {"deopt_every": 1},
    "reference": {"backend": "reference"},
}

CASES = {
    "identity of small numbers": """
        ONE, MANY = 1, 256
        def step(n, by=ONE):
            if by is not ONE:
                return n - by
            return n + 1 if n % 257 is not MANY else 0
        def f(n):
            out, k = [], -7
            for i in range(n):
                k = step(k)
                k = step(k, i % 3)
                out.append((k is ONE, i % 257 is MANY, i - 5 is -ONE, i * 0.5 is ONE, (i > 3) is ONE, k is not ONE, k))
                if i % 9 == 0:
                    k += 250
            return out
        """,
    "identity of numbers": """
        def same(x, memo):
            d = id(x)
            memo[d] = x
            return d == id(x), id(x) in memo
        def passed(x, y):
            return x is y, y is not x
        def f(n):
            out = []
            carried, items = 5000, [2000, 0.5, 3000]
            for i in range(n):
                same_one = carried
                a = b = items[i % 3]
                out.append((same_one is carried, a is b, a is items[i % 3], passed(a, b), passed(a, a), passed(carried, same_one)))
                carried += 7
                items[0] = items[0] + 1
                x, y, t = i + 1000, i * 0.5, (i, n)
                z = x
                out.append((id(x) == id(x), id(x) == id(z), id(y) == id(y), id(t) == id(t), x is z, id(i > 5) == id(i > 7)))
                out.append(same(i * 1000, {}) + same(y, {}))
            return out
        """,
    "slices": """
        def f(n):
            out, items, text, data, row = [], list(range(9)), "abcdefgh", b"abcdefgh", tuple(range(7))
            for i in range(n):
                a, b = i % 13 - 6, i % 7 - 3
                out.append((items[a:b], text[a:], data[:b], row[a:b], items[:], text[-3:a], items[True:b]))
            return out
        """,
    "slices with steps": """
        def f(n):
            out, items, text = [], list(range(9)), "abcdefgh"
            for i in range(n):
                a, s = i % 11 - 5, i % 5 - 2
                try:
                    out.append((items[a::s], text[::s], items[:a:2], (1, 2, 3)[::-1]))
                except ValueError as error:
                    out.append(str(error))
            return out
        """,
    "slice bounds of all kinds": """
        class Index:
            def __index__(self):
                log.append(sys._getframe(1).f_lineno)
                return 2
        log = []
        def f(n):
            out, items = [], list(range(9))
            for i in range(n):
                k = i % 3 if i < 60 else (2**70, Index(), -2**70, None)[i % 4]
                out.append((items[k:], items[:k]))
            out.append(items[3:"x"] if n > 90 else log)
            return out
        """,
    "slice stores": """
        def f(n):
            items = list(range(20))
            for i in range(n):
                items[i % 5 : i % 7 + 3] = [i, i]
                items[:1] = ()
                if len(items) < 9:
                    items[2:2] = range(20)
                if i == 70:
                    items[1:2] = 5
            return items
        """,
    "deletions": """
        def f(n):
            items = list(range(300))
            table = {k: k for k in range(300)}
            for i in range(n):
                del items[i % 3 - 1], table[i]
                if i > 80:
                    del items[1:3]
                if i == 90:
                    del items[1000]
            return items, table
        """,
    "membership": """
        def f(n):
            out = []
            items, row, keys, names = [1, 2.0, "x", None, True, 2**70], (3, 4.5, "y"), {1, "x"}, {"a": 1}
            for i in range(n):
                out.append(i in (3, 5, 8))
                out.append(i not in {7, 9, 11})
                out.append((i in items, i in row, str(i) in "1234567", i in range(5, 20), i in range(20, 5, -3)))
                out.append((i in keys, "a" in names, i * 0.5 in (1.5, 2.0), i % 2 == 0 in (True, 5), b"1" in b"123", i in b"123"))
                if i == 70:
                    out.append(1 in "text")
            return out
        """,
    "membership of what compares by code": """
        class Odd:
            def __eq__(self, other):
                log.append(sys._getframe(1).f_locals["i"])
                return other == 65
            __hash__ = None
        log = []
        def f(n):
            items = [1, 2, 3]
            count = 0
            for i in range(n):
                count += i in items
                if i == 60:
                    items.append(Odd())
            return count, log
        """,
    "formatting": """
        class Loud:
            def __format__(self, spec):
                return f"<{spec}|{sys._getframe(1).f_lineno}>"
            def __repr__(self):
                return "loud"
        def f(n):
            out, x, values = [], 0.5, [1, 2.5, "s", None, True, 3j, b"q", Loud(), 2**80]
            for i in range(n):
                x = -x * 1.5
                out.append(f"{i} {x} {x:.3f} {i:>{i % 7}} {'t'} {x!r} {i!s:>4}")
                out.append("%d %s" % (i, x) + "%5.2f" % x)
                if i > 60:
                    v = values[i % 9]
                    out.append(f"{v}{v!r}{v!s}")
                if i > 90:
                    out.append(f"{x:{'q' if i > 95 else 'e'}}")
            return out
        """,
    "text grows": """
        def f(n):
            s = t = ""
            kept = []
            for i in range(n):
                s += "x"
                t = t + str(i)
                if i % 16 == 0:
                    kept.append(s)
                    u = t
                    t += t[:2]
                s += s[-1]
            return s, t, u, kept
        """,
    "text grows in a callee": """
        def add(s, k):
            s += str(k)
            s += s
            return s, len(s)
        def f(n):
            out = []
            s = "a"
            for i in range(n):
                pair = add(s, i)
                out.append(pair)
                s = pair[0][-9:]
            return out, s
        """,
    "text operators": """
        def f(n):
            out, s = [], "ab"
            for i in range(n):
                out.append((s * (i % 4), i % 3 * "-", s + "c", s[i % 2], s < "b" * (i % 3), s == "ab", s != str(i), b"x" * (i % 2)))
                if i == 80:
                    out.append(s + 1)
            return out
        """,
    "text methods": """
        def f(n):
            out = []
            for i in range(n):
                s = str(i) + ",b C,"
                out.append((s.upper(), s.split(","), s.find("b"), s.replace("b", "xx"), s.strip(","), s.startswith(("1", "2"))))
                out.append((",".join([s, "q"]), "-".join((s, s)), s.encode(), s.isdigit(), s.center(12, "."), "{:>4}".format(i)))
                if i > 80:
                    out.append(s.index("Z"))
            return out
        """,
    "list operators": """
        def f(n):
            out = []
            for i in range(n):
                a, b = [i, i + 1], [i * 0.5]
                c = a + b
                a += b
                a += (i, i)
                out.append((a, b, c, [0] * (i % 5), (i % 3) * [a], (1, i) + (2,), (0, i) * 2, [[]] * (i % 2)))
                a *= 2
            return out
        """,
    "list methods": """
        def f(n):
            out, items, other = [], [3, 1, 2], (7, 8)
            for i in range(n):
                items.insert(i % 5 - 2, i)
                items.insert(i, i * 0.5)
                items.extend(other)
                items.extend([i])
                out.append((items.pop(i % 3), items.pop(-2), items.pop()))
                items.reverse()
                out.append((items.index(items[1]), items.count(i), items.copy(), len(items)))
                if len(items) > 30:
                    items.sort()
                    items.clear()
                    items.extend("abcd")
                if i == 90:
                    items.remove("nothing")
            return out
        """,
    "list methods that fail": """
        def f(n):
            out, items = [], list(range(12))
            for i in range(n):
                try:
                    out.append(items.pop(i % 15 - 2))
                    items.insert(0, i)
                    if i > 70:
                        items.insert("x", 3)
                except (IndexError, TypeError) as error:
                    out.append(str(error))
            return out, items
        """,
    "displays with stars": """
        def f(n):
            out, row, items = [], (1, 2), [5, 6]
            for i in range(n):
                out.append([i, *row, *items, *(i, 3), *[i]])
                out.append((*items, i))
                if i > 70:
                    out.append([*range(3), *"ab"])
            return out
        """,
    "reductions": """
        def f(n):
            out, ints, floats, row = [], [3, 1, 2], [0.1] * 10 + [1e16, 1.0, -1e16], (1, 2.5, True)
            for i in range(n):
                ints.append(i % 7)
                out.append((sum(ints), sum(floats), sum(row), min(ints), max(ints), min(floats), sum(range(i)), sum([], 0.5)))
                out.append((max(i, 3.5), min(i, 2, 0.5), max(True, i), min(0.0, -0.0), max(-0.0, 0.0), min(i, 50), sorted(ints)))
                out.append((any(ints), all(ints), any([]), math.fsum(floats), math.prod(row), max((i, 3, 9)), sum([i, i])))
                if i > 80:
                    ints.append("x")
            return out
        """,
    "extremes and nan": """
        def f(n):
            out, nan = [], math.nan
            for i in range(n):
                x = nan if i % 3 == 0 else i * 0.25
                y = -0.0 if i % 2 else 0.0
                out.append((min(x, y), max(x, y), min(y, x), max(y, x), min(x, i), max(i, x), min([x, y]), sorted([x, y, 1.0])))
            return out
        """,
    "numbers": """
        def f(n):
            out = []
            for i in range(n):
                x = (i - 50) * 0.37
                out.append((ord(chr(i)), round(x, 1), round(x, -1), round(i, -1), pow(i, 3, 7), pow(x, 2), divmod(i, 7), divmod(x, 0.5)))
                out.append((int(i > 5), float(i > 5), abs(i > 5), bool(x), bool(i), int(x), i.bit_length(), x.is_integer(), (-i).bit_count()))
                out.append((math.hypot(x, i), math.gcd(i, 12, 18), math.isqrt(i), math.degrees(x), math.radians(x), math.exp2(x), math.cbrt(x)))
                out.append((math.isnan(x), math.isinf(x), math.isfinite(x), math.log(i + 1, 3), math.log1p(i), math.acosh(i + 1.5), math.erf(x)))
                out.append((+i, +x, +(i > 3), str(i), str(x), repr(x), int(str(i)), float(str(x)), hash(i), format(x, ".2f"), hex(i)))
                if i == 90:
                    out.append(math.isqrt(-i))
            return out
        """,
    "errors": """
        def f(n):
            out = []
            for i in range(n):
                for k in range(6):
                    try:
                        if k == 0:
                            out.append(chr(i if i < 60 else -i))
                        elif k == 1:
                            out.append(ord("a" * (1 + i // 60)))
                        elif k == 2:
                            out.append(pow(i, -1, 10))
                        elif k == 3:
                            out.append(math.log(i - 60 if i >= 60 else i + 1))
                        elif k == 4:
                            out.append(int("9" * (i % 3)))
                        else:
                            out.append(divmod(i, 60 - i))
                    except Exception as error:
                        out.append((type(error), str(error), error.__traceback__.tb_lineno))
            return [str(x) for x in out]
        """,
    "types": """
        class Meta(type):
            def __instancecheck__(cls, other):
                return sys._getframe(1).f_code.co_name
        class Odd(int, metaclass=Meta):
            pass
        def f(n):
            out, values = [], [1, 2.5, True, "s", None, [1], (2,), Odd(4)]
            for i in range(n):
                v = values[i % 2] if i < 60 else values[i % 8]
                out.append((isinstance(v, int), isinstance(v, (int, float)), isinstance(v, (str, (bool, list))), isinstance(v, Odd)))
                out.append((type(v) is int, type(v) is float, type(v) is bool, type(v).__name__, type(i) is int, isinstance(i, float)))
            return out
        """,
    "lengths": """
        def f(n):
            out, table, keys = [], {}, set()
            for i in range(n):
                table[i % 30] = i
                keys.add(i % 20)
                out.append((len(table), len(keys), len(range(i)), len(str(i)), len(b"ab"), len((i, 2)), len([i]), len(frozenset(keys))))
                out.append((bool(table), bool(keys), bool([]), bool(""), bool(b"a"), bool(range(i)), bool(None)))
                if i == 90:
                    out.append(len(i))
            return out
        """,
    "identity": """
        def f(n):
            nan, big = float("nan"), int("1" + "0" * 12)
            items, row = [nan, big, 2.5], (nan, big)
            out, x = [], nan
            for i in range(n):
                out.append((nan in items, nan is items[0], big is row[1], items.index(nan), row.count(nan), nan is nan, x is nan))
                out.append(([nan, big] == items[:2], (nan,) == row[:1], items[2] is x, nan in (i, nan)))
                if i > 70:
                    out.append((big is row[1], big is big, x in items, i is row[1]))
            return out
        """,
    "cells and globals": """
        seen = []
        class Loud:
            def __del__(self):
                seen.append((total, sys._getframe(1).f_locals.get("i")))
        total = 0
        count = 0
        def f(n):
            global total, last
            text, number, mixed = "", 0.5, 0
            def inner(n):
                nonlocal text, number, mixed
                global count
                for i in range(n):
                    number = number * 1.25 - i
                    text = text + "x"
                    mixed = (i, text[-2:]) if i % 3 else [i] if i < 60 else Loud()
                    count = count + 1
                return text, number
            pair = inner(n)
            for i in range(n):
                total = i
                last = Loud() if i > 80 else i * 0.5
            return pair, text, number, total, count, seen, type(last)
        """,
    "globals that come and go": """
        seen = []
        class Loud:
            def __init__(self, i):
                self.i = i
            def __del__(self):
                seen.append((self.i, "current" in globals(), sys._getframe(1).f_lineno))
        def f(n):
            global current
            out = []
            for i in range(n):
                current = Loud(i) if i % 3 else i
                if i % 5:
                    del current
                out.append("current" in globals())
                if i % 40 == 38:
                    try:
                        del current
                        del current
                    except NameError as error:
                        out.append((str(error), error.__traceback__.tb_lineno))
            return out, seen
        """,
    "returned from a callee": """
        def both(items, i):
            fresh = [items[i], [i]]
            return fresh[0], fresh[1]
        def first(i):
            fresh = [[i, str(i)]]
            return fresh[0]
        def f(n):
            out, items = [], [[k] for k in range(5)]
            for i in range(n):
                a, b = both(items, i % 5)
                out.append((a, b, first(i)))
            return out
        """,
    "numbers changed to others in between": """
        def f(n):
            out = []
            for i in range(n):
                v = i if i % 2 else i * 0.5
                w = -v if i < 60 else str(v)
                out.append((max(v, w) if i < 60 else max(str(v), w), abs(v), round(v), str(w), f"{w}"))
            return out
        """,
}


def prepare(source: str) -> Callable[[int], Any]:
    namespace: dict[str, Any] = {"sys": sys, "math": math}
    exec(compile(textwrap.dedent(source), "<case>", "exec"), namespace)
    return namespace["f"]  # type: ignore[no-any-return]


def outcome(f: Callable[[int], Any], n: int) -> str:
    try:
        return repr(f(n))
    except Exception as error:
        lines = []
        trace = error.__traceback__
        while trace is not None:
            lines.append(trace.tb_lineno)
            trace = trace.tb_next
        return f"{type(error).__name__}: {error} {lines[1:]}"


def alike(source: str, mode: str, rounds: tuple[int, ...] = (40, 64, 100, 100)) -> int:
    """Run it both ways, for so many rounds each time. Returns how often native code was entered."""
    plain, f = prepare(source), prepare(source)
    expected = [outcome(plain, n) for n in rounds]
    reasons: list[str] = []
    engine = Engine(threshold=5, exit_threshold=4, verify=True, **MODES[mode])
    engine.on("refused", lambda event, details: reasons.append(f"{details.get('reason')}: {details.get('detail')}"))
    with engine:
        got = [outcome(f, n) for n in rounds]
        entered = engine.stats().native_entries
    engine.close()
    for want, have in zip(expected, got, strict=True):
        assert have == want
    assert not any(r.startswith("internal_error") for r in reasons), reasons
    assert entered
    return entered


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_alike(name: str, mode: str) -> None:
    alike(CASES[name], mode)


POWERS = """
    TINY = 2.2250738585072014e-308
    BASES = [0.0, -0.0, 1.0, -1.0, -2.5, 1e-200, -1e-200, 1e200, -1e200, math.inf, -math.inf, math.nan, 5e-324, -5e-324, TINY, -TINY]
    BASES += [1e-162, 1.5e-154, 1.4916681462400413e-154, 1.3407807929942596e154, 0, -0, 3, -2, True, False, 10 ** 400]
    def power(x, y):
        try:
            return repr(EXPRESSION)
        except (ZeroDivisionError, OverflowError) as error:
            return repr(error)
    def f(n):
        out = []
        for i in range(n):
            out.append(power(i * 0.75 if i % 3 else 0.0, float(i % 4)))
            if i > n // 2:
                out.append((i, power(BASES[i % len(BASES)], BASES[i * 7 % len(BASES[1:])])))
        return out
"""
EXPONENTS = ["2", "3", "2.0", "3.0", "0.5", "1.5", "1", "0", "0.0", "-0.0", "-1", "-2.0", "-3", "-0.5", "True", "5e-324", "1e300"]
EXPONENTS += ["1e9", "1000000001.0", "math.inf", "-math.inf", "math.nan"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("expression", [*(f"x ** {exponent}" for exponent in EXPONENTS), "x ** y", "pow(x, 2.0)", "math.pow(x, 3.0)"])
def test_powers(expression: str, mode: str) -> None:
    """Of zeros, infinities, what is no number, and what gets too small or too large."""
    alike(POWERS.replace("EXPRESSION", expression).replace("math.pow(x", "math.pow(float(x)"), mode, (40, 100, 120))


@pytest.mark.parametrize("exponent", ["2", "2.0", "3", "0.5", "1.5"])
def test_powers_of_zero_stay_native(exponent: str) -> None:
    f = prepare(
        f"""
        def f(n):
            total, zero = 1.0, 0.0
            for i in range(n):
                total += (zero if i % 4 else 1.5) ** {exponent}
            return total
        """
    )
    expected = f(200)
    with Engine(threshold=5, exit_threshold=4) as engine:
        for _ in range(4):
            assert f(200) == expected
        before = engine.stats().native_exits
        assert [f(200) for _ in range(3)] == [expected] * 3 and engine.stats().native_exits - before <= 3
    engine.close()


def test_growing_text_is_linear() -> None:
    """With a second reference to the text every round would copy it."""

    def f(n: int) -> int:
        s = ""
        for _ in range(n):
            s += "x"
        return len(s)

    def seconds(n: int) -> float:
        """Of this thread, whatever else the machine does; the best of some."""
        taken = []
        for _ in range(4):
            start = time.thread_time()
            f(n)
            taken.append(time.thread_time() - start)
        return min(taken)

    with Engine(threshold=5) as engine:
        f(1000)
        times = [seconds(20_000), seconds(200_000)]
    engine.close()
    assert times[1] < 60 * times[0]


def test_no_references_are_lost() -> None:
    # Destructors of other tests' programs look at their callers' locals, which before 3.13 leaves a dict of these behind.
    gc.collect()

    class Item:
        pass

    item = Item()

    def f(n: int) -> object:
        kept = [item]
        for i in range(n):
            a = [item, i] + kept
            a += [item]
            a.insert(0, item)
            a.extend((item, item))
            del a[0]
            b = a[1:3], (item, i)[:1], [item] * 3
            a.reverse()
            c = item in kept, [*a, *kept], f"{i}{len(b)}"
            a.pop(1)
        return c

    f(3)
    before = sys.getrefcount(item)
    with Engine(threshold=5, exit_threshold=4, deopt_every=3) as engine:
        for _ in range(5):
            f(100)
    engine.close()
    gc.collect()
    assert sys.getrefcount(item) == before


def test_recordings_keep_no_closure_alive() -> None:
    made: list[weakref.ref[Any]] = []

    def make(n: int) -> float:
        def inner(n: int) -> float:
            x = 0.5
            for i in range(n):
                x = x * 1.25 - i
            return x

        made.append(weakref.ref(inner))
        return inner(n)

    with Engine(threshold=5) as engine:
        for _ in range(40):
            make(9)
            assert made[-1]() is None
    engine.close()
