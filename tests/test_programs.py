"""Whole programs, plain and with JITCORE=1, in fresh processes: output, exit code and traceback must not
differ.

The programs are small but go the whole way: loops hot enough to compile, and then something that leaves
native code. JITCORE_ variables of the surroundings (CI's stress runs) reach the programs; thresholds are low
if nothing is set.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

PROGRAMS = {
    "int loop at module level": """
total = 0
for i in range(3000):
    total += i * i % 7
print(total, i)
""",
    "float loop in a function": """
def f(n):
    x = 0.0
    for i in range(1, n):
        x += 1 / i - (i & 3) * 0.25
    return x
print(repr(f(3000)), [repr(f(k)) for k in range(20)])
""",
    "numbers in lists that others hold": """
import sys
def fill(xs, ys, kept, n):
    for i in range(n):
        k = i & 7
        x = xs[k]
        xs[k] = x + 0.5
        xs[k] += 1.5
        if i % 97 == 0:
            kept.append(xs[k])
            kept.append(x)
        if i % 31 == 0:
            ys[k] = xs[k]
        ys[k] -= 1
        xs[7 - k] = ys[k] * 2.0
    return x
def count(xs, same, n):
    old = xs[0]
    for i in range(n):
        xs[i & 3] += 100_003 - (i & 1)
        same[i & 1] = xs[i & 3] >> 3
        if i == 1000:
            old = xs[1]
            same = xs
        if i % 500 == 0:
            xs[2] = xs[1]
            xs[3] = i
    return old
xs, ys, kept = [k * 1.25 for k in range(8)], [k * 3.5 for k in range(8)], []
print(fill(xs, ys, kept, 3000), xs, ys, kept)
print([sys.getrefcount(x) for x in xs], len({id(x) for x in xs + ys + kept}) > 60)
ns = [k * 1_000_003 for k in range(4)]
start = list(ns)
print(count(ns, [5, 6], 4000), ns, start)
print(count(ns, [5, 6], 700), ns, start, ns[2] is ns[1])
""",
    "overflow into big ints": """
def f(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
print(f(300), f(10), f(3000) % 10**20)
""",
    "types change in the middle": """
def f(items):
    s = 0
    for x in items:
        s = s + x
    return s
print(f(list(range(2000))), f([1] * 1500 + [0.5] * 1500 + [True] * 9), f([2**70] * 5))
""",
    "uncaught exception": """
def f(n):
    s = 0
    for i in range(n, -5, -1):
        s += 1000 // i
    return s
f(2000)
""",
    "caught exceptions": """
def f(n):
    caught = []
    for i in range(n):
        try:
            if 10 % (i % 50) > 3:
                caught.append(i)
        except ZeroDivisionError as error:
            caught.append(str(error))
    return caught
r = f(2000)
print(len(r), r[:30], r.count(r[0]))
""",
    "index error and negative indices": """
def f(items, n):
    s = 0
    for i in range(n):
        s += items[i] - items[-i - 1]
    return s
items = list(range(1500))
print(f(items, 1500))
try:
    f(items, 1501)
except IndexError as error:
    print(error, error.__traceback__.tb_next.tb_lineno)
""",
    "nested loops, break, continue, else": """
def primes(n):
    found = []
    for k in range(2, n):
        for p in found:
            if p * p > k:
                found.append(k)
                break
            if k % p == 0:
                break
        else:
            found.append(k)
            continue
    return found
print(len(primes(3000)), primes(60))
""",
    "while with comparisons": """
def collatz(n):
    steps = 0
    while n != 1:
        n = 3 * n + 1 if n % 2 else n // 2
        steps += 1
    return steps
print(max((collatz(k), k) for k in range(1, 1500)))
""",
    "calls, defaults and recursion": """
def add(a, b=2):
    return a + b
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
print(sum(add(i) + add(i, i) for i in range(2000)), fib(16))
def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)
print(deep(500))
try:
    deep(10**6)
except RecursionError as error:
    print(type(error).__name__)
""",
    "globals that change": """
factor = 1
def f(n):
    s = 0
    for i in range(n):
        s += i * factor
    return s
print(f(2000)); factor = 3; print(f(2000)); factor = 0.5; print(f(2000))
len_ = len
def g(n):
    return sum(len("ab") for _ in range(n))
print(g(900))
len = lambda x: 7
print(g(900))
""",
    "closures and generators": """
def make(k):
    total = 0
    def inner(n):
        nonlocal total
        for i in range(n):
            total += k * i
        return total
    return inner
a, b = make(2), make(0.5)
print(a(1500), b(1500), a(10))
def squares(n):
    for i in range(n):
        yield i * i
print(sum(squares(2500)), list(zip(squares(4), reversed(range(4)), enumerate('abcd'))))
""",
    "lists": """
def f(n):
    out = [0] * n
    for i, (x, y) in enumerate(zip(range(n), reversed(range(n)))):
        out[i] = x * y
    while len(out) > 10:
        out.pop()
    return out + [v for v in out if v in (0, 1998)]
print(f(2000))
""",
    "builtins and math": """
import math
def f(n):
    s = 0.0
    for i in range(1, n):
        s += abs(min(i, 5) - max(i, 2.5)) + round(i / 7, 2) + divmod(i, 7)[1] + pow(i, 2, 11)
        s += math.sqrt(i) + math.floor(i / 3) + math.sin(i) + float(ord(chr(i % 100 + 30))) + int(i / 2)
    return s
print(repr(f(2000)))
""",
    "signed zeros and nan": """
def f(n):
    out = []
    z, nan = -0.0, float("nan")
    for i in range(n):
        z = -z if i % 3 else z * 1.0
        if nan == nan or nan < z:
            out.append("wrong")
    return z, out, -7 // 2, -7 % 3, -7.5 // 2, -7.5 % 3, 7 % -3, 0.0 * -1
print(f(2001))
""",
    "a callee looks at frames": """
import sys
def look():
    frame = sys._getframe(1)
    return frame.f_lineno, frame.f_locals["i"], frame.f_code.co_name, frame.f_back.f_lineno
def f(n):
    seen = None
    for i in range(n):
        if i % 700 == 699:
            seen = look(), sorted(locals())
    return seen
print(f(2800))
""",
    "destructors run in time": """
log = []
class D:
    def __init__(self, k): self.k = k
    def __del__(self): log.append(self.k)
def f(n):
    d = None
    for i in range(n):
        d = D(i)
        if len(log) != i:
            return "late", i, len(log)
    return "in time"
print(f(1500), len(log))
""",
    "exit code from a loop": """
import sys
i = 0
while True:
    i += 1
    if i * 3 > 4500:
        sys.exit(i % 256)
""",
}


def run(program: pathlib.Path, environment: dict[str, str]) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, program.name],
        cwd=program.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.stress
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, tmp_path: pathlib.Path) -> None:
    program = tmp_path / "prog.py"
    program.write_text(PROGRAMS[name].lstrip(), "utf-8")
    settings = {k: v for k, v in os.environ.items() if k.startswith("JITCORE_")}
    plain = {k: v for k, v in os.environ.items() if not k.startswith("JITCORE")}
    low = {"JITCORE_THRESHOLD": "20", "JITCORE_FUNCTION_THRESHOLD": "20", "JITCORE_EXIT_THRESHOLD": "5"}
    expected = run(program, plain)
    assert run(program, plain | low | settings | {"JITCORE": "1"}) == expected
