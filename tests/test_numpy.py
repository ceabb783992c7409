"""Values of an extension module in hot loops.

numpy's scalars are the hard case for type guards: float64 is a subclass of float, comparisons give bool_ and arrays, the
truth of an array raises, operators are all opaque calls into C that may call back. Nothing of it may be taken for the
exact built-in types.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from jitcore import Engine

numpy = pytest.importorskip("numpy")


def scalars(n: int) -> object:
    out = []
    x = numpy.float64(0.5)
    k = numpy.int64(3)
    for i in range(n):
        x = x * 1.5 - i
        k = k + i
        out.append((type(x).__name__, float(x), int(k), x > 3, isinstance(x, float), type(x) is float, round(float(x), 2)))
        if x > 1e6:
            x = x / 1e7
    return out


def plain_then_numpy(n: int) -> object:
    out, values = [], [1.5, 2.5] * (n // 3) + [numpy.float64(2.5), numpy.int32(7), 3] * (n // 3)
    s = 0.0
    for v in values:
        s = s + v
        out.append((type(s).__name__, type(v).__name__, abs(v), min(v, 2.0), v in (2.5, 3), f"{v:.2f}" if v != 7 else str(v)))
    return s, out


def arrays(n: int) -> object:
    a = numpy.arange(12)
    total, failures = 0, 0
    for i in range(n):
        total += a[i % 12] * 2
        a[i % 5] = i
        b = a[i % 3 : 9]
        total += int(b.sum()) + len(b) + (i in a)
        try:
            if a:
                total += 1
        except ValueError:
            failures += 1
    return int(total), failures, a.tolist()


def sums(n: int) -> object:
    out, items = [], [1.5, 2.5, 3.5]
    for i in range(n):
        out.append((sum(items), max(items), sorted(items)[0], type(sum(items)).__name__))
        if i == n // 2:
            items.append(numpy.float64(9.5))
    return out


def overflow(n: int) -> object:
    out, k = [], numpy.int8(100)
    for i in range(n):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            out.append((int(k + numpy.int8(i % 100)), len(caught)))
    return out


@pytest.mark.parametrize("options", [{}, {"deopt_every": 1}], ids=["llvm", "deopt"])
@pytest.mark.parametrize("function", [scalars, plain_then_numpy, arrays, sums, overflow])
def test_alike(function: Callable[[int], object], options: dict[str, Any]) -> None:
    expected = [repr(function(n)) for n in (30, 90)]
    with Engine(threshold=4, exit_threshold=3, verify=True, **options) as engine:
        assert [repr(function(n)) for n in (30, 90)] == expected
        assert engine.stats().native_entries or engine.stats().refusals
    engine.close()
