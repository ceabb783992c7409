"""What native code holds on to: nothing after an exit, and no code that nobody can reach.

Counts are taken with calls through `map`, so that the loop doing the calls is C code and each call enters and leaves the
region under test anew.
"""

from __future__ import annotations

import gc
import os
import pathlib
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jitcore import Engine

ROUNDS = 10_000


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    values = getattr(request, "param", {})
    made = Engine(**{"threshold": 3, "function_threshold": 3, "exit_threshold": 1_000_000, "opt_level": 0, **values})
    assert made.inactive_reason is None
    made.enable(everything=False)
    yield made
    made.close()


def loops(engine: Any, function: Any) -> Any:
    """Let the loops of the function be compiled, but give it no door. Only of the code under test: what else runs here is
    pytest."""
    engine.register(function, function_threshold=1_000_000)
    return function


def repeat(function: Callable[..., object], times: int, *args: object) -> None:
    """Call the function from C; exceptions it raises must be caught by itself."""
    assert not any(map(lambda _: function(*args) and None, range(times)))


# One small loop for each way out. Each takes (n, xs, big) and may do to them what it likes, as long as it undoes it.

WAYS = """
def ranged(n, xs, big):
    t = 0
    for i in range(n):
        t += i
    return t
def listed(n, xs, big):
    t = 0
    for x in xs:
        t += 1 if x is big else 2
    return t
def returned(n, xs, big):
    i = 0
    while True:
        i += 1
        y = xs[0]
        if i > n:
            return y
def raised(n, xs, big):
    try:
        for i in range(n + 1):
            y = xs[i]
    except IndexError:
        return y
def failed(n, xs, big):
    try:
        for i in range(n + 1):
            y = bad(i, n, xs)
    except ValueError as error:
        return error.args
def bad(i, n, xs):
    if i == n:
        raise ValueError(xs)
    return i
def inlined(n, xs, big):
    t = 0
    for i in range(n):
        t += taking(xs, i)
    return t
def taking(xs, i):
    ys = xs
    zs = (ys, i)
    y = zs[0][i]
    return 1 if y is None else 2
def opaque(n, xs, big):
    t = 0
    for i in range(n):
        t += len(str(i)) + max(i, t, key=None)
        s = [xs, i]
    return t, s
def overflowing(n, xs, big):
    t = 1
    for i in range(n):
        t = t * 1000003 * 1000003 + i
    return t
def mismatched(n, xs, big):
    t = big
    for i in range(n):
        t = xs[i]
        u = t
    return t, u
def stored(n, xs, big):
    ys = list(xs)
    for i in range(n):
        ys[i] = big
        ys.append(xs)
        ys.pop()
    return ys
def text(n, xs, big):
    s = ""
    for i in range(n):
        s += "ab"
    return s
def float_(n, xs, big):
    t = 0.5
    for i in range(n):
        t = t * 1.5 + i
        u = (t, xs)
    return u
def nested(n, xs, big):
    t = 0
    for i in range(n):
        for x in xs:
            for j in range(2):
                t += j
    return t
def closed(n, xs, big):
    def own(i):
        return xs if i else big
    for i in range(n):
        y = own(i)
    return y
"""

names = [line[4:].partition("(")[0] for line in WAYS.splitlines() if line.startswith("def ")]
WAY_NAMES = [name for name in names if name not in ("bad", "taking")]


class Thing:
    pass


def counts(objects: list[object]) -> list[int]:
    return list(map(sys.getrefcount, objects))


@pytest.mark.stress
@pytest.mark.parametrize("engine", [{}, {"deopt_every": 1}, {"backend": "reference", "deopt_every": 1}], indirect=True, ids=str)
def test_counts_stay(engine: Any) -> None:
    """References to all inputs are what they were, after whatever exit; nothing grows."""
    space: dict[str, Any] = {}
    exec(WAYS, space)
    things: list[object] = [Thing() for _ in range(5)]
    big = Thing()
    entries = 0
    for name in WAY_NAMES:
        function = loops(engine, space[name])
        for n in (5, 3, 1):
            repeat(function, 200, n, things, big)
        repeat(function, 5, 5, tuple(things), 7)
        watched = [things, big, *things, function, function.__code__]
        gc.collect()
        before, start = counts(watched), engine.stats().native_entries
        blocks = sys.getallocatedblocks()
        repeat(function, 300, 5, things, big)
        entries += engine.stats().native_entries - start
        gc.collect()
        grown = sys.getallocatedblocks() - blocks
        assert counts(watched) == before, name
        assert grown < 100, (name, grown)
    assert entries > 1000


@pytest.mark.stress
@pytest.mark.parametrize("name", ["ranged", "listed", "inlined", "failed", "opaque", "nested"])
def test_ten_thousand_entries_leave_nothing(engine: Any, name: str) -> None:
    space: dict[str, Any] = {}
    exec(WAYS, space)
    function = loops(engine, space[name])
    things = [Thing() for _ in range(5)]
    big = Thing()
    repeat(function, 100, 5, things, big)
    total: Callable[[], int] = getattr(sys, "gettotalrefcount", lambda: 0)
    for attempt in range(3):  # the engine itself may make something meanwhile; a leak shows each time
        regions = len(engine.regions)
        gc.collect()
        start = engine.stats().native_entries
        before, blocks, references = counts([things, big, *things]), sys.getallocatedblocks(), total()
        repeat(function, ROUNDS, 5, things, big)
        gc.collect()
        grown = sys.getallocatedblocks() - blocks, total() - references
        assert counts([things, big, *things]) == before
        assert engine.stats().native_entries - start >= ROUNDS
        if max(grown) < 200 and regions == len(engine.regions):
            return
    raise AssertionError(f"{name}: {grown} blocks and references more after {ROUNDS} entries")


def test_the_iterator_of_a_loop_is_given_back(engine: Any) -> None:
    def f(numbers: Any) -> int:
        t = 0
        for i in numbers:
            t += i
        return t

    repeat(loops(engine, f), 20, range(9))
    kind = type(iter(range(0)))
    assert engine.stats().native_entries
    alive = sum(type(o) is kind for o in gc.get_objects())
    shared = iter(range(50))
    assert next(shared) == 0
    count = sys.getrefcount(shared)
    assert f(shared) == sum(range(1, 50))  # somebody else's iterator: not taken apart
    assert sys.getrefcount(shared) == count and list(shared) == []
    assert sum(type(o) is kind for o in gc.get_objects()) == alive


# ---- code that nobody can reach


GLOBALS = """
K = None
def loop(n):
    t = 0
    for i in range(n):
        t += 1 if K is not None else 2
    return t
def hooked(n, hook):
    t = 0
    for i in range(n):
        t += 2
        hook(i)
    return t
"""


def natives(engine: Any) -> list[Any]:
    return [region for region in engine.regions if region.native is not None]


@pytest.mark.parametrize("engine", [{}, {"backend": "reference"}], indirect=True, ids=str)
def test_invalidated_code_is_freed(engine: Any) -> None:
    """The code, the descriptors and what they kept alive go when the loop is next hot; the world is looked at anew."""
    told: list[Any] = []
    engine.on("invalidated", lambda event, details: told.append(details["where"]))
    space: dict[str, Any] = {"K": Thing()}
    exec(GLOBALS.replace("K = None", ""), space)
    loops(engine, space["loop"])
    assert space["loop"](50) == 50
    (region,) = engine.regions
    native, constant = weakref.ref(region.native), weakref.ref(space["K"])
    block = weakref.ref(region.translation)
    assert region.entry.entries
    space["K"] = None
    assert not region.valid.value and native() is not None
    assert space["loop"](500) == 1000
    gc.collect()
    assert told == ["loop:5"] and engine.stats().invalidations == 1
    assert region.state == "invalidated" and region.native is None and not region.descriptors
    assert native() is None and constant() is None and block() is None
    assert not any(owner is region for owner in engine.exits.values())
    (alive,) = natives(engine)
    assert alive.entry.entries and alive.state == "live"
    assert len(engine.stats().rows) == 2


def test_code_is_not_freed_while_it_runs(engine: Any) -> None:
    """A hook in the middle of the loop takes the region away; the run ends well, and its end frees the code."""
    space: dict[str, Any] = {}
    exec(GLOBALS, space)
    during: list[Any] = []

    def hook(i: int) -> None:
        if i != 30 or not ready:
            return
        regions = natives(engine)
        for region in regions:
            if region.entry.activations:
                engine._uninstall(region, "replaced")
                during.append((region, region.native is not None))

    loop, ready = loops(engine, space["hooked"]), False
    assert loop(40, hook) == 80
    ready = True
    assert loop(40, hook) == 80
    assert during, "no region was running"
    for region, kept in during:
        assert kept and region.native is None and region.entry.activations == 0 and not region.entry.words[0]
    assert loop(40, hook) == 80


def test_replaced_code_is_freed() -> None:
    """A hot exit makes the region again; the old one goes with its last exit."""
    engine = Engine(threshold=3, exit_threshold=3, opt_level=0, deopt_every=0)
    engine.enable(everything=False)

    def f(n: int) -> int:
        t = 0
        for i in range(n):
            if i > 30:
                t += 2
            else:
                t += 1
        return t

    loops(engine, f)
    assert f(20) == 20
    (first,) = natives(engine)
    for _ in range(8):
        assert f(60) == 31 + 58
    assert engine.bridges and first.state == "replaced" and first.native is None
    kept = natives(engine)
    assert kept and all(region.state == "live" for region in kept)
    engine.close()
    assert not natives(engine) and first.translation is None


def test_closed_engines_free_everything() -> None:
    engine = Engine(threshold=3, opt_level=0)
    engine.enable(everything=False)
    space: dict[str, Any] = {}
    exec(GLOBALS, space)
    loops(engine, space["loop"])
    space["loop"](50)
    references = [weakref.ref(region.native) for region in engine.regions]
    assert references
    engine.close()
    gc.collect()
    assert [r() for r in references] == [None] * len(references)
    assert space["loop"](50) == 100


def test_what_changes_while_it_is_compiled_counts(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may rebind a name between the walk and the installation. Nothing is left watching freed memory."""
    space: dict[str, Any] = {}
    exec(GLOBALS, space)
    from jitcore.regions import Compiler

    compile_, made = Compiler.compile, []

    def changing(self: Any, *args: Any) -> Any:
        region = compile_(self, *args)
        if not made:
            space["K"] = 1
        made.append(region)
        return region

    monkeypatch.setattr(Compiler, "compile", changing)
    assert 1000 < loops(engine, space["loop"])(1000) < 1020
    first, last = made[0], made[-1]
    assert first.state == "invalidated" and first.native is None and first is not last
    assert first.flag_address not in engine.runtime._flags and last.flag_address in engine.runtime._flags
    assert space["loop"](100) == 100
    space["K"] = None
    assert space["loop"](100) == 200 and first.valid.value == 0


def test_functions_with_doors_die_when_the_program_drops_them(engine: Any) -> None:
    log: list[int] = []

    class Ends:
        def __init__(self, k: int) -> None:
            self.k = k

        def __del__(self) -> None:
            log.append(self.k)

    def make(k: int) -> Any:
        ends = Ends(k)

        def f(n: int) -> object:
            t = 0
            while t < n:
                t += 1
            return t if ends else None

        engine.register(f, function_threshold=3)
        return f

    for k in range(12):
        f = make(k)
        for _ in range(10):
            assert f(20) == 20
        if k == 11:
            assert memory_of_door(engine, f)
        del f
        assert log == list(range(k + 1))
    assert any(row.kind == "function" and row.entries for row in engine.stats().rows)


def memory_of_door(engine: Any, function: Any) -> bool:
    """Whether the function has its door."""
    from jitcore.abi import LAYOUT, memory

    return memory.read64(id(function) + LAYOUT.FUNC_VECTORCALL) == engine.runtime.helper("function_entry")


@pytest.mark.parametrize("engine", [{"background": False}], indirect=True, ids=str)
def test_an_invalidated_function_is_made_again(engine: Any) -> None:
    # (Made when it is due, whatever the garbage collector has cost in between.)
    space: dict[str, Any] = {"K": 5}
    exec("def f(n):\n    t = 0\n    while t < n:\n        t += K\n    return t\n", space)
    f = space["f"]
    engine.register(f)
    repeat(f, 30, 50)
    assert memory_of_door(engine, f) and f(50) == 50
    space["K"] = 3
    assert f(50) == 51
    repeat(f, 30, 50)
    assert memory_of_door(engine, f) and f(50) == 51
    states = {region.state for region in engine.regions if region.offset < 0}
    assert states == {"live", "invalidated"}


# ---- the share of iterations


@pytest.mark.parametrize(
    "engine",
    [{"deopt_every": 0, "stats": True, **more} for more in ({}, {"opt_level": 2}, {"backend": "reference"})],
    indirect=True,
    ids=str,
)
def test_native_back_edges_are_counted(engine: Any) -> None:
    def f(n: int) -> int:
        t = 0
        for i in range(n):
            for j in range(10):
                t += j
        return t

    assert loops(engine, f)(2000) == 2000 * 45
    engine.disable()
    stats = engine.stats()
    assert stats.native_back_edges is not None and stats.native_share is not None
    total = stats.native_back_edges + stats.interpreted_back_edges
    assert 2000 * 11 - 20 <= total <= 2000 * 11 + 20
    assert stats.native_share > 0.9 and f"{100 * stats.native_share:.1f}% of them native" in str(stats)


def test_without_the_option_no_share_is_given(engine: Any) -> None:
    assert engine.stats().native_share == 0.0  # nothing was compiled, which is known

    def f(n: int) -> int:
        t = 0
        for i in range(n):
            t += i
        return t

    loops(engine, f)(1000)
    if engine.options.stats:
        pytest.skip("the environment asks for it")
    stats = engine.stats()
    assert stats.native_entries and stats.native_back_edges is None and stats.native_share is None
    assert "% of them native" not in str(stats)


END_OF_PROCESS = """
import atexit, sys
import jitcore
class Told:
    k = 1
    def __init__(self, name): self.name = name
    def __del__(self): print("end of", self.name)
def work(n):
    t = 0
    for i in range(n):
        t += told.k
    return t
@jitcore.jit(threshold=5)
def marked(n):
    t = 0
    for i in range(n):
        t += i
    return t
told = Told("a global")
held = (Told(name) for name in ["a generator's"])
atexit.register(lambda: print(work(1000), marked(1000)))
out = open("written.txt", "w")  # never closed
def write(n):
    for i in range(n):
        out.write("line\\n")
print(work(1000), marked(1000), write(1000), next(held).name)
if sys.argv[1:] == ["late"]:
    class Late:
        def __del__(self):
            @jitcore.jit
            def late(n):
                return sum(i for i in range(n))
            print(late(1000), marked(1000))
    late = Late()
"""


@pytest.mark.parametrize("arguments", [[], ["late"]], ids=["", "late"])
def test_the_end_of_the_process_ends_the_programs_objects(arguments: list[str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "prog.py").write_text(END_OF_PROCESS)

    def run(**more: str) -> tuple[list[str], str, str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("JITCORE")} | more
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "prog.py", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
        )
        written = tmp_path / "written.txt"
        text = written.read_text()
        written.unlink()
        # A module that is part of a cycle is ended by the garbage collector: in an order that depends on its runs.
        return sorted(done.stdout.splitlines()), done.stderr, text

    plain = run(JITCORE_ENABLED="0")
    assert "end of a global" in plain[0] and plain[2] == "line\n" * 1000 and not plain[1]
    for threshold in ("2", "20"):
        assert run(JITCORE="1", JITCORE_THRESHOLD=threshold, JITCORE_FUNCTION_THRESHOLD=threshold) == plain
    assert run() == plain
