"""Interrupts, signal handlers, other threads and deep recursion while native code runs.

Everything happens in child processes, once plain and once under jitcore: the programs print what the interpreter
guarantees, so both must print the same. `stats` at the end proves that native code was what got interrupted.
"""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.flaky(reruns=2)  # signals and threads come when a busy machine lets them

SPIN = """
import os, signal, sys, threading, time, traceback
def add(a, b):
    return a + b
def loop():
    i = 0
    while True:
        i += 1
def inlined():
    i = 0
    while True:
        i = add(i, 1)
def nested():
    i = 0
    while True:
        for j in range(100):
            i += j
def door(n):
    i = 0
    while i < n:
        i += 1
    return i
def inner(n):
    i = 0
    for j in range(n):
        i = add(i, j)
    return i
def calling():
    i = 0
    while True:
        i += inner(10)
"""

CTRL_C = (
    SPIN
    + """
sent = []
def send():
    time.sleep(1.2)
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)
which = globals()[sys.argv[1]]
if which is door:
    import jitcore
    jitcore.jit(door)
    for _ in range(30):
        door(10)
threading.Thread(target=send, daemon=True).start()
try:
    which(1 << 62) if which is door else which()
except KeyboardInterrupt as error:
    late = time.perf_counter() - sent[0]
    print("late" if late > 0.2 else "in time", late if late > 0.2 else "")
    frames = [f.name for f in traceback.extract_tb(error.__traceback__)]
    print(frames[:2], set(frames[2:]) <= {"add", "inner"})
"""
)

HANDLERS = (
    SPIN
    + """
seen = []
def handler(number, frame):
    seen.append(frame.f_code.co_name if frame.f_globals is globals() else "of jitcore")
    if len(seen) == 60:
        signal.setitimer(signal.ITIMER_REAL, 0)  # what comes later belongs to the module
        raise TimeoutError("enough")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
try:
    globals()[sys.argv[1]]()
except TimeoutError as error:
    frames = [f.name for f in traceback.extract_tb(error.__traceback__)]
    print(error, frames[:2], frames[-1])
strange = set(seen[20:60]) - {"loop", "inlined", "nested", "calling", "inner", "add", "handler"}  # late ones interrupt themselves
print(len(seen) in (60, 61), *strange)
"""
)

TIMEOUTS = """
import signal, sys
class Timeout(Exception):
    pass
def handler(number, frame):
    raise Timeout
signal.signal(signal.SIGALRM, handler)
SOURCE = '''
def work():
    i = t = 0
    while True:
        i += 1
        for j in range(20):
            t += j
            if t > 1000000:
                t -= 1000000
        if i % 7 == 0:
            t += h(i)
def h(x):
    return x * 2
'''
caught = 0
for k in range(40):
    space = {}
    exec(compile(SOURCE, "work", "exec"), space)
    signal.setitimer(signal.ITIMER_REAL, 0.001 + k * 7 % 40 * 0.0025)
    try:
        space["work"]()
    except Timeout as error:
        caught += error.__traceback__.tb_next.tb_frame.f_code.co_name == "work"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
print(caught)
"""

THREADS = (
    SPIN
    + """
stop = time.monotonic() + 1.5
def count(slot):
    while time.monotonic() < stop:
        ticks[slot] += 1
        time.sleep(0.005)
ticks = [0, 0]
threads = [threading.Thread(target=count, args=[k]) for k in range(2)]
def interrupt():
    for t in threads:
        t.join()
    os.kill(os.getpid(), signal.SIGINT)
for t in threads:
    t.start()
threading.Thread(target=interrupt).start()
try:
    globals()[sys.argv[1]]()
except KeyboardInterrupt:
    pass
print([n > 20 for n in ticks], "" if min(ticks) > 20 else ticks)
"""
)

RECURSION = """
import sys
import time
def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)
def even(n):
    return True if n == 0 else odd(n - 1)
def odd(n):
    return False if n == 0 else even(n - 1)
def looping(n):
    s = 0
    for i in range(2):
        if i:
            s += looping(n - 1) if n else 0
        s += 1
    return s
for k in range(40):
    assert depth(20) == 20 and even(20) and looping(3) == 8
def endless(n):
    return endless(n + 1) + 1
for f in (endless, lambda n: depth(10 ** 9), lambda n: even(10 ** 9)):
    for k in range(3):
        try:
            f(0)
            print("no end?")
        except RecursionError as error:
            print("RecursionError", str(error)[:33])
sys.setrecursionlimit(400_000)
print(depth(100_000), even(100_001), looping(100_000))
print(depth(100_000))
sys.setrecursionlimit(1000)
try:
    print(depth(5000))
except RecursionError:
    print("limited again")
"""

STATS = """
import jitcore
with open("stats", "w") as file:
    done = jitcore.stats()
    print(done.native_entries, done.native_back_edges or 0, sum(row.kind == "function" for row in done.rows), file=file)
"""


STRESSED = any(name.startswith("JITCORE_") for name in os.environ)
"""In the stress runs so much is compiled while a program imports what it needs that its own loops may have to wait, and that
signals arrive in jitcore long after the start."""


def run(program: str, *arguments: str, cwd: pathlib.Path, **more: str) -> tuple[int, str, str]:
    environment = {k: v for k, v in os.environ.items() if k != "JITCORE"}
    if not more:
        environment = {k: v for k, v in environment.items() if not k.startswith("JITCORE")}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd,
        env=environment | more,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout, done.stderr


def native(program: str, *arguments: str, cwd: pathlib.Path, **more: str) -> tuple[tuple[int, str, str], list[int]]:
    """What the program does under jitcore, and [entries, native back edges, function doors]."""
    settings = {"JITCORE": "1", "JITCORE_STATS": "1", **more}
    code, out, errors = run(program + STATS, *arguments, cwd=cwd, **settings)
    errors = errors.partition("jitcore summary\n")[0]
    numbers = (cwd / "stats").read_text() if (cwd / "stats").exists() else "0 0 0"
    return (code, out, errors), [int(n) for n in numbers.split()]


@pytest.mark.stress
@pytest.mark.parametrize("where", ["loop", "inlined", "nested", "door", "calling"])
def test_ctrl_c(where: str, tmp_path: pathlib.Path) -> None:
    got, (entries, edges, _) = native(CTRL_C, where, cwd=tmp_path)
    assert got == (0, f"in time \n['<module>', '{where}'] True\n", ""), got
    assert STRESSED or entries and edges > 100_000


@pytest.mark.stress
@pytest.mark.parametrize("where", ["loop", "inlined", "calling"])
def test_handlers_run_and_may_raise(where: str, tmp_path: pathlib.Path) -> None:
    got, (entries, _, _) = native(HANDLERS, where, cwd=tmp_path)
    right = [f"enough ['<module>', '{where}'] handler\nTrue\n"]
    if STRESSED:
        right.append(right[0][:-1] + " of jitcore\n")
    assert got in [(0, out, "") for out in right], got
    assert STRESSED or entries


@pytest.mark.stress
def test_handlers_that_raise_while_something_is_made(tmp_path: pathlib.Path) -> None:
    """The exception of a handler arrives in the program although jitcore was recording or compiling."""
    got, (entries, _, _) = native(TIMEOUTS, cwd=tmp_path)
    assert got == run(TIMEOUTS, cwd=tmp_path) == (0, "40\n", "")
    assert STRESSED or entries


@pytest.mark.stress
@pytest.mark.parametrize("where", ["loop", "inlined"])
def test_other_threads_go_on(where: str, tmp_path: pathlib.Path) -> None:
    got, (entries, _, _) = native(THREADS, where, cwd=tmp_path)
    assert got == (0, "[True, True] \n", ""), got
    assert STRESSED or entries


@pytest.mark.stress
@pytest.mark.parametrize("door", ["everything", "decorated"])
def test_deep_recursion(door: str, tmp_path: pathlib.Path) -> None:
    program = RECURSION
    if door == "decorated":
        program = program.replace("\ndef ", "\n@jitcore.jit(function_threshold=10, threshold=10)\ndef ").replace(
            "import sys", "import sys, jitcore", 1
        )
    plain = run(RECURSION, cwd=tmp_path)
    assert plain[0] == 0, plain
    more = {"JITCORE": "0"} if door == "decorated" else {"JITCORE_THRESHOLD": "10"}
    got, (entries, _, doors) = native(program, cwd=tmp_path, **more)
    assert got == plain
    assert entries and (doors or door == "everything")


def test_signals_while_python_callbacks_count(tmp_path: pathlib.Path) -> None:
    """Before the first loop is hot the callbacks are Python code; Ctrl-C that arrives there ends the program as ever."""
    program = "def f(): pass\nprint('up', flush=True)\nwhile True: f()"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JITCORE")}
    environment |= {"JITCORE": "1", "JITCORE_THRESHOLD": "1000000000", "JITCORE_FUNCTION_THRESHOLD": "1000000000"}
    for wait in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        time.sleep(0.003 * wait)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == -signal.SIGINT
        assert errors.rstrip().endswith("KeyboardInterrupt") and "jitcore" not in errors
