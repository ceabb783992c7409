"""Where jitcore cannot work, or something goes wrong: the program runs as with plain Python, and who asked for the JIT is
told in one line.

Situations are made in child processes. What must be different before jitcore starts is put into a module that its engine
imports: a stand-in for `threading` on PYTHONPATH, which loads the real one and then changes something.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from jitcore.reasons import Reason

PROGRAM = """
def add(a, b):
    return a + b
def work(n):
    t = 0
    for i in range(n):
        t = add(t, i * 2)
        if t > 10 ** 9:
            t -= 10 ** 9
    return t
print([work(3000) for k in range(5)], sorted(str(n) for n in range(40))[:3])
"""
DECORATED = PROGRAM.replace("def work", "import jitcore\n@jitcore.jit(threshold=20)\ndef work")

STAND_IN = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("threading", os.path.dirname(os.__file__) + "/threading.py")
module = importlib.util.module_from_spec(spec)
sys.modules["threading"] = module
spec.loader.exec_module(module)
"""

# What is changed before jitcore starts, and the reason the user is given.
CHANGES: dict[str, tuple[str, Reason]] = {
    "another layout": (
        "import jitcore.records as records, jitcore.abi.memory as m, jitcore.abi.selftest as s\n"
        "s.LAYOUT = records.replace(m.LAYOUT, FRAME_IP=m.LAYOUT.FRAME_IP + 8)",
        Reason.UNKNOWN_INTERPRETER,
    ),
    "an unknown version": ("import jitcore.abi.selftest as s\ns.LAYOUT = None", Reason.UNKNOWN_INTERPRETER),
    "no GIL": ("sys._is_gil_enabled = lambda: False", Reason.FREE_THREADED),
    "no llvmlite": (
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'llvmlite': raise ModuleNotFoundError('No module named llvmlite')\n"
        "sys.meta_path.insert(0, Blocker())",
        Reason.LLVMLITE_MISSING,
    ),
    "no memory for the runtime": (
        "import jitcore.backends.runtime as r\ndef fail(): raise MemoryError\nr.runtime = fail",
        Reason.OUT_OF_MEMORY,
    ),
    "no memory for a region": (
        "import jitcore.regions as r\ndef fail(*a): raise MemoryError\nr.Compiler.optimise = fail",
        Reason.OUT_OF_MEMORY,
    ),
    "no memory for code": (
        "import jitcore.backends.llvm.jit as j\ndef fail(self, code, *a):\n    if a[-1] != 'runtime': raise MemoryError\n"
        "    return link(self, code, *a)\nlink = j.Jit.link\nj.Jit.link = fail",
        Reason.OUT_OF_MEMORY,
    ),
}
BROKEN = {
    "no library": "raise OSError('libllvmlite.so: cannot open shared object file')",
    "not importable": "raise ImportError('cannot import name ffi')",
    "old": "",
    "odd": "def __getattr__(name): raise RuntimeError('LLVM is not for you')",
}


def run(
    program: str, cwd: pathlib.Path, command: tuple[str, ...] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JITCORE")} | more
    (cwd / "prog.py").write_text(program)
    return subprocess.run(
        [sys.executable, *command, "prog.py"], cwd=cwd, env=environment, capture_output=True, text=True, timeout=100
    )


def told(cwd: pathlib.Path, reason: Reason, **more: str) -> None:
    """The three ways to ask for the JIT give the program's own output, and one line with the reason."""
    expected = run(PROGRAM, cwd)
    assert expected.returncode == 0 and expected.stderr == ""
    low = {"JITCORE_THRESHOLD": "20", **more}
    for done in (
        run(PROGRAM, cwd, JITCORE="1", **low),
        run(PROGRAM, cwd, ("-m", "jitcore"), **low),
        run(DECORATED, cwd, **low),
    ):
        assert (done.returncode, done.stdout) == (0, expected.stdout), done.stderr
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("jitcore: "), done.stderr
        assert reason.sentence in done.stderr


@pytest.mark.parametrize("name", CHANGES)
def test_situation(name: str, tmp_path: pathlib.Path) -> None:
    change, reason = CHANGES[name]
    stand_in = tmp_path / "modules"
    stand_in.mkdir()
    (stand_in / "threading.py").write_text(STAND_IN + change + "\n")
    told(tmp_path, reason, PYTHONPATH=str(stand_in))


@pytest.mark.parametrize("name", BROKEN)
def test_broken_llvmlite(name: str, tmp_path: pathlib.Path) -> None:
    package = tmp_path / "modules" / "llvmlite"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "binding.py").write_text(BROKEN[name] + "\n")
    told(tmp_path, Reason.LLVMLITE_MISSING, PYTHONPATH=str(package.parent))


SUBINTERPRETER = """
import sys
{program}
inside = {program!r} + "\\nfrom jitcore.engine import default_engine\\nprint(default_engine().inactive_reason)"
try:
    import _interpreters as interpreters
except ImportError:  # before 3.13
    import _xxsubinterpreters as interpreters
    one = interpreters.create()
    problem = interpreters.run_string(one, inside)
else:
    one = interpreters.create("isolated")
    problem = interpreters.exec(one, inside)
interpreters.destroy(one)
sys.exit(problem)
"""


@pytest.mark.parametrize("log", ["off", "info"])
def test_subinterpreter(log: str, tmp_path: pathlib.Path) -> None:
    done = run(
        SUBINTERPRETER.format(program=PROGRAM), tmp_path, JITCORE="1", JITCORE_THRESHOLD="20", JITCORE_LOG=log
    )
    printed, reason = done.stdout.splitlines()[:-1], done.stdout.splitlines()[-1]
    assert done.returncode == 0, done.stderr
    assert printed[: len(printed) // 2] == printed[len(printed) // 2 :] and len(printed) >= 2
    assert reason.startswith(Reason.SUBINTERPRETER.sentence)
    if log == "off":  # a program may make many of them
        assert done.stderr == ""
    else:
        assert f"jitcore: inactive: {Reason.SUBINTERPRETER.sentence}" in done.stderr


# ---- other tools

TOOLS = {
    "trace": (
        "def trace(frame, event, arg):\n    seen[event] += 1\n    return trace\nimport sys\nsys.settrace(trace)",
        "sys.settrace(None)",
    ),
    "profile": ("def profile(frame, event, arg): seen[event] += 1\nsys.setprofile(profile)", "sys.setprofile(None)"),
    "coverage": (
        "M = sys.monitoring\nM.use_tool_id(M.COVERAGE_ID, 'cover')\n"
        "M.register_callback(M.COVERAGE_ID, M.events.LINE, lambda code, line: seen.update([line % 50]))\n"
        "M.set_events(M.COVERAGE_ID, M.events.LINE)",
        "M.set_events(M.COVERAGE_ID, 0)",
    ),
    "debugger": (
        "M = sys.monitoring\nM.use_tool_id(M.DEBUGGER_ID, 'debug')\n"
        "M.register_callback(M.DEBUGGER_ID, M.events.PY_START, lambda code, at: seen.update([code.co_name]))\n"
        "M.set_events(M.DEBUGGER_ID, M.events.PY_START)",
        "M.set_events(M.DEBUGGER_ID, 0)",
    ),
    "instructions": (
        "M = sys.monitoring\nM.use_tool_id(3, 'other')\n"
        "M.register_callback(3, M.events.INSTRUCTION, lambda code, at: seen.update([code.co_name]))\n"
        "M.set_local_events(3, work.__code__, M.events.INSTRUCTION)",
        "M.set_local_events(3, work.__code__, 0)",
    ),
}
TRACED = """
import sys
from collections import Counter
seen = Counter()
def add(a, b):
    return a + b
def step(i):
    if i == when[0]:
        when[0] = -1  # no global is rebound, which would end the region by itself
        on()
    return 1
def work(n, call):
    t = 0
    for i in range(n):
        t = add(t, i)
        t += sorted([i], key=call)[0] + call(i)
    return t
def on():
    {on}
def off():
    {off}
def show(what):
    print(what, sorted((str(k), v) for k, v in seen.items()))
when = [-1]
{before}
print(work(1500, step), work(1500, step))
{during}
print(work(1500, step))
{after}
show("seen")
print(work(1500, step))
show("still")
"""


def traced(name: str, when: str) -> str:
    on, off = (text.replace("\n", "\n    ") for text in TOOLS[name])
    on = "global M\n    " + on
    places = {"before": ("on()", "", "off()"), "during": ("", "when[0] = 1000", "off()")}[when]
    return TRACED.format(on=on, off=off, before=places[0], during=places[1], after=places[2])


@pytest.mark.parametrize("when", ["before", "during"])
@pytest.mark.parametrize("name", TOOLS)
def test_tools_see_everything(name: str, when: str, tmp_path: pathlib.Path) -> None:
    program = traced(name, when)
    expected = run(program, tmp_path)
    assert expected.returncode == 0, expected.stderr
    done = run(program, tmp_path, JITCORE="1", JITCORE_THRESHOLD="20")
    assert (done.returncode, done.stdout) == (0, expected.stdout), done.stderr
    said = [Reason.TRACING_ACTIVE.sentence, Reason.TOOL_CONFLICT.sentence]
    assert done.stderr.count("\n") <= 1 and all(any(s in line for s in said) for line in done.stderr.splitlines())
    if when == "before" and name != "debugger":
        assert done.stderr, "nothing was said"


LATE = """
import sys
from collections import Counter
seen = Counter()
def work(n):
    a = n + 1
    b = a * 2 + n * n - a // 2 + n % 3
    c = b - n * 2 + a * 3 - b // 3 + a % 5
    d = c + b * a - n * c + b % 7
    return c + d - a * b + n
def rounds(n):
    t = 0
    for i in range(n):
        t += i
    return t
print(sum(map(work, [3] * 100)), sum(map(rounds, [30] * 100)))
{on}
work(3)
rounds(30)
{off}
print(sorted((str(k), v) for k, v in seen.items()), work(3), rounds(30))
"""


@pytest.mark.parametrize("name", ["trace", "profile", "debugger", "instructions"])
def test_a_tool_that_comes_before_the_call(name: str, tmp_path: pathlib.Path) -> None:
    """Functions that are not running when it comes learn of it when they are called: those with native code, too."""
    on, off = TOOLS[name]
    program = LATE.format(on=on, off=off)
    expected = run(program, tmp_path)
    low = {"JITCORE": "1", "JITCORE_THRESHOLD": "20", "JITCORE_FUNCTION_THRESHOLD": "20", "JITCORE_STATS": "1"}
    done = run(program, tmp_path, **low)
    assert (done.returncode, done.stdout) == (0, expected.stdout)
    assert "function" in done.stderr and "work prog.py" in done.stderr


def test_another_optimizer(tmp_path: pathlib.Path) -> None:
    """The optimizer's place in sys.monitoring is taken."""
    program = (
        "import sys\nsys.monitoring.use_tool_id(sys.monitoring.OPTIMIZER_ID, 'other one')\nimport jitcore\njitcore.enable()\n" + PROGRAM
    )
    done = run(program, tmp_path)
    assert done.stdout == run(PROGRAM, tmp_path).stdout
    assert done.stderr.count("\n") == 1 and Reason.TOOL_CONFLICT.sentence in done.stderr and "other one" in done.stderr


@pytest.mark.skipif(sys.version_info < (3, 14), reason="CPython's own JIT is there from 3.14 on")
def test_with_the_jit_of_cpython(tmp_path: pathlib.Path) -> None:
    """Both at once: the same results, and native code of ours is entered."""
    expected = run(PROGRAM, tmp_path)
    program = PROGRAM + "import jitcore\nprint(jitcore.stats().native_entries > 0)\n"
    done = run(program, tmp_path, JITCORE="1", PYTHON_JIT="1", JITCORE_THRESHOLD="20")
    assert (done.stdout, done.stderr) == (expected.stdout + "True\n", "")
