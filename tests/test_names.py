"""Code outside functions: its names are kept in registers, and whoever looks at the namespace finds in it what the interpreter
would have put there."""

from __future__ import annotations

import ctypes
import gc
import os
import pathlib
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with

from jitcore import Engine
from jitcore.abi import memory

PRELUDE = """
import gc, sys
LOG = []
note = LOG.append
class D:
    def __init__(self, k): self.k = k
    def __del__(self): note(("gone", self.k))
"""

PROGRAMS = {
    "numbers": """
total = i = 0
while i < 300:
    total += i ^ (i >> 3)
    i += 1
x = 0.0
for k in range(300):
    x += k * 0.5
    if k % 3 == 0:
        x -= 1
        odd = not k & 1
n = 1
for k in range(200):
    n = n * 3
for k in range(100):
    flag = k > 50
note((total, i, x, k, n, odd, flag))
""",
    "objects": """
items, a, b, text, t = [], 1, 2.5, "", ()
for i in range(200):
    a, b = b, a
    items.append(a)
    t = (i, items)
    text = str(i)
    items = items if i % 7 else list(items[-3:])
    c = t[1]
    kept = t[0]
note((items, a, b, text, t[0], len(c), kept))
for text in ["x", "y"] * 50:
    u = text
note((text, u))
""",
    "unbound": """
for i in range(100):
    if i > 40:
        late = i
    if i > 60:
        del late
        late = -i
try:
    for i in range(100):
        y = i * 2
        if i == 70:
            del y
        z = y + 1
except NameError as error:
    note(str(error))
note((late, i, z, "y" in globals()))
for max in range(100):
    least = max
note((max, least))
del max
note(max(3, 4))
""",
    "callees": """
count = 0
step = 2
def bump():
    global count
    count += step
    return count
def peek():
    return count + step
def deep(n):
    return peek() + n
def far(n):
    global step
    step = n % 5
    return sorted([n, step])[0]
s = 0
for i in range(150):
    s += bump() + peek()
    count += 1
    step = i & 3
    s += deep(i)
    if i % 10 == 0:
        s += far(i)
note((s, count, step))
def work(n):
    t = 0
    for j in range(n):
        t += step * j
    return t
for step in range(60):
    s += work(30)
note((s, step))
def fib(n):
    return n if n < step else fib(n - 1) + fib(n - 2)
for step in (2, 2, 3, 2) * 10:
    s += fib(9)
note(s)
""",
    "lookers": """
import sys
this = globals()
total = 0
for i in range(120):
    total += i
    if i % 20 == 5:
        note((this["total"], this["i"], globals()["total"], len(this) > 5, "total" in this))
    if i % 20 == 7:
        this["total"] = total + 1000
    if i % 20 == 9:
        exec("total += i; fresh = total")
        total += fresh
    if i % 20 == 11:
        note(sorted(k for k, v in this.copy().items() if v is total or k == "i"))
    if i % 20 == 13:
        this.update(total=total + 0.5)
    if i % 20 == 14:
        total = int(total)
    if i % 20 == 15:
        note(locals() is this and vars()["i"] == i)
    if i % 20 == 16:
        note(eval("total * i"))
note(total)
def frames():
    frame = sys._getframe(1)
    frame.f_globals["total"] -= 3
    frame.f_locals["i"] = 50
    return frame.f_lineno
for i in range(100):
    total += i
    if i % 10 == 3:
        total += frames() * 0 + i
note((total, i))
for i in range(100):
    total += this["i"]
    total += this.get("i", 0)
note(total)
""",
    "tables": """
total = 0
for i in range(400):
    total += i
    if i > 300:
        globals()[f"new_{i}"] = total
    k = total
note((total, k))
for i in range(100):
    last = i
    if i == 50:
        globals()["odd"] = 1
        name, value = globals().popitem()
        note((name, value))
        globals()["another"] = i
    total += last
note((total, last, another, "odd" in globals()))
for i in range(100):
    total += i
    if i == 60:
        globals()[i] = "not a name"
    last = total
note((total, last))
del globals()[60]
""",
    "destructors": """
d = D(0)
for i in range(60):
    d = D(i) if i % 3 else i
    note(i)
    e = d
    d = [D(100 + i)] if i % 5 == 0 else None
del e
d = None
note("end")
class Keeper:
    def __init__(self, k): self.k = k
    def __del__(self):
        global seen
        note((total, seen))
        seen = self.k
total = seen = 0
for i in range(60):
    total += i
    keeper = Keeper(i)
    total += seen
    keeper = None
    total += seen
note(total)
""",
    "control": """
out = []
for i in range(60):
    for j in range(i % 7):
        if j == 5:
            break
        out.append(i * j)
    else:
        out.append(-i)
    squares = [q * q for q in range(3)]
    try:
        if i % 9 == 8:
            i / 0
        r = i
    except ZeroDivisionError as error:
        r = str(error)
    finally:
        r2 = r
    out.append(squares[-1])
note((out, i, j, r, r2))
total = 0
for pair in zip(range(100), [1.5] * 100):
    total += pair[0] * pair[1]
for n, (a, b) in enumerate([(1, 2)] * 100):
    total += n * a + b
note((total, pair, n, a, b))
class Body:
    x = 0
    y = total
    for i in range(100):
        x += i
        y += x
    total = x
note((Body.x, Body.y, Body.i, Body.total, total, i))
""",
    "raising": """
def attempt(k):
    total = 0
    try:
        exec(CODE, globals())
    except Exception as error:
        note((type(error).__name__, str(error), error.__traceback__.tb_next.tb_lineno))
CODE = compile('''
for i in range(100):
    total = total + i
    w = 100 // (limit - i)
''', "<inner>", "exec")
total = 0
for limit in (1000, 1000, 70, 1000, 30):
    attempt(limit)
    note((total, i, w))
""",
    "types": """
x = 0
for i in range(200):
    x = x + 1
    if i == 60: x = x + 0.5
    if i == 90: x = "text"
    if type(x) is str: x = 5
    if i == 120: x = True
    if i == 150: x = 1 << 70
y = None
for i in range(100):
    if y is not None:
        y += 1
    elif i > 50:
        y = 0
note((x, y))
""",
    "itself": """
import types
me = types.SimpleNamespace(scale=1)
module.total = 0
for i in range(100):
    total += i
    module.other = total
    total += module.i
    if i % 10 == 0:
        module.total = total + 1
note((total, module.total, other))
""",
}


class Run:
    """A program in a module of its own; run again it goes on in the same namespace."""

    def __init__(self, source: str) -> None:
        self.code = compile(source, "<program>", "exec")
        self.module = types.ModuleType("program")
        self.namespace: dict[str, Any] = self.module.__dict__
        self.namespace["module"] = self.module
        exec(PRELUDE, self.namespace)

    def __call__(self) -> list[Any]:
        log: list[Any] = self.namespace["LOG"]
        log.clear()
        exec(self.code, self.namespace)
        gc.collect()
        return [*map(repr, log), sorted((k, repr(v)) for k, v in self.namespace.items() if type(v) in (int, float, str, list, tuple, bool))]


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


@pytest.mark.parametrize("name", PROGRAMS)
def test_nobody_sees(name: str, engine: Engine) -> None:
    plain, native = Run(PROGRAMS[name]), Run(PROGRAMS[name])
    expected = [plain() for _ in range(5)]
    with engine:
        for k in range(5):
            assert native() == expected[k], f"run {k}"
    assert engine.stats().native_entries > 0 and not engine.refusals["internal_error"]
    # In namespaces of their own, too.
    with engine:
        for _ in range(3):
            assert Run(PROGRAMS[name])() == expected[0]


@pytest.mark.parametrize("name", ["numbers", "callees", "control"])
def test_loops_stay_native(name: str) -> None:
    """Nearly all rounds are made by native code."""
    options = {"threshold": 20, "exit_threshold": 2, "background": False, "opt_level": 0, "stats": True}
    with Engine(**options) as engine:
        run = Run(PROGRAMS[name])
        for _ in range(12):
            run()
        before = engine.stats()
        for _ in range(5):
            run()
        after = engine.stats()
    engine.close()
    assert before.native_back_edges is not None and after.native_back_edges is not None
    native = after.native_back_edges - before.native_back_edges
    interpreted = after.interpreted_back_edges - before.interpreted_back_edges
    assert native > 3 * interpreted, (native, interpreted)


def test_references(engine: Engine) -> None:
    source = """
for i in range(100):
    held = things[i & 1]
    pair = (held, i)
    other = held if i % 3 else None
    number = number + 0.5
"""
    counts = []
    run = Run(source)
    things = run.namespace["things"] = [object(), object()]
    run.namespace["number"] = 0.5
    for step in range(6):
        if step == 2:
            engine.enable()
        run()
        counts.append((*map(sys.getrefcount, things), sys.getrefcount(run.namespace["number"])))
    engine.disable()
    assert engine.stats().native_entries > 0
    assert len(set(counts)) == 1, counts


def test_watchers_of_others_are_told() -> None:
    """Somebody else's watcher of the namespace hears of every store: the loop leaves the dict to the interpreter then."""
    api = ctypes.pythonapi
    told: list[tuple[int, str]] = []
    prototype = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p)

    @prototype
    def event(what: int, _namespace: object, key: int, _value: int) -> int:
        told.append((what, str(memory.object_at(key)) if key else ""))
        return 0

    add = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(("PyDict_AddWatcher", api))
    watch = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.py_object)(("PyDict_Watch", api))
    unwatch = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.py_object)(("PyDict_Unwatch", api))
    clear = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_int)(("PyDict_ClearWatcher", api))
    number = add(ctypes.cast(event, ctypes.c_void_p))
    source = "total = 0\nfor i in range(100):\n    total += i\n    if i == late:\n        start()\n"
    try:
        for early in (True, False):
            seen = []
            for native in (False, True):
                run = Run(source)
                run.namespace.update(late=50, start=lambda run=run: watch(number, run.namespace))
                told.clear()
                with Engine(threshold=5, exit_threshold=2, opt_level=0, verify=True, enabled=native) as engine:
                    if early:
                        watch(number, run.namespace)
                    for _ in range(3):
                        run()
                        if not early:
                            unwatch(number, run.namespace)
                    unwatch(number, run.namespace)
                engine.close()
                seen.append(list(told))
            assert len(seen[0]) > 100 and seen[0] == seen[1]
    finally:
        clear(number)


def test_a_mapping_for_locals_stays_in_the_interpreter() -> None:
    class Mapping(dict):  # type: ignore[type-arg]
        def __setitem__(self, key: object, value: object) -> None:
            log.append(key)
            super().__setitem__(key, value)

        def __missing__(self, key: object) -> object:
            raise KeyError(key)

    log: list[object] = []
    code = compile("t = 0\nfor i in range(200):\n    t += i", "<m>", "exec")
    with Engine(threshold=5, verify=True, opt_level=0) as engine:
        for _ in range(3):
            space: Any = Mapping()
            exec(code, {}, space)
            assert space["t"] == sum(range(200)) and space["i"] == 199
        plain: dict[str, Any] = {}
        exec(code, {"t": "another"}, plain)
        assert plain == {"t": sum(range(200)), "i": 199}
    engine.close()
    assert log.count("i") == 600


@pytest.mark.skipif(not hasattr(types, "LazyImportType"), reason="3.15 has lazy imports")
def test_lazy_imports() -> None:
    source = """
total = 0
for i in range(100):
    lazy import colorsys
    raw = globals()["colorsys"] if i % 2 else i
    found = type(colorsys).__name__
    total += len(found) + (type(raw) is int)
    x = raw
    y = type(x).__name__
note((total, found, y))
def use():
    return type(colorsys).__name__
for i in range(100):
    lazy import colorsys
    total += len(use())
note(total)
"""
    plain = Run(source)
    expected = [plain() for _ in range(3)]
    with Engine(threshold=5, exit_threshold=2, opt_level=0, verify=True) as engine:
        run = Run(source)
        assert [run() for _ in range(3)] == expected
    engine.close()


def test_a_script(tmp_path: pathlib.Path) -> None:
    """As users have it: a file, and the loop in its body."""
    (tmp_path / "script.py").write_text("t = 0\nfor i in range(200_000):\n    t += i % 7\nprint(t, i)\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JITCORE")}
    done = subprocess.run(
        [sys.executable, "-m", "jitcore", "-O", "start_after=0", "--stats", "script.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0 and done.stdout == f"{sum(i % 7 for i in range(200_000))} 199999\n", done.stderr
    assert "of them native" in done.stderr and " 0.0%" not in done.stderr
