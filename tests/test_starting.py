"""When a process with JITCORE=1 gets ready: not in programs that end at once, and in time in all others, whatever they are doing."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

SPIN = """
import sys, time
def loop(seconds):
    end = time.process_time() + seconds
    n = 0
    while True:
        n += 1
        if n & 1023 == 0 and time.process_time() > end:
            return n
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
"""
REPORT = """
import jitcore, sys
engine = jitcore.default_engine()
sys.stdout.write(f"{engine.enabled} {engine.runtime is not None} {jitcore.stats().native_entries > 0}\\n")
"""


def run(program: str, cwd: pathlib.Path, **more: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JITCORE")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, env={**environment, "JITCORE": "1", **more}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def test_a_short_program_pays_for_nothing(tmp_path: pathlib.Path) -> None:
    loaded = "import sys; print(sorted({'llvmlite', 'ctypes', 'jitcore.abi', 'jitcore.regions', 'jitcore.backends'} & set(sys.modules)))"
    assert run(loaded, tmp_path) == "[]\n"
    counted = SPIN + "loop(0.02)\nprint(sys.monitoring.get_tool(sys.monitoring.OPTIMIZER_ID) or 'nobody listens')"
    assert run(counted, tmp_path) == "nobody listens\n"


@pytest.mark.parametrize("work", ["loop(1.0)", "[fib(24) for _ in range(400)]", "[loop(0.001) for _ in range(900)]"])
def test_a_long_one_is_compiled(work: str, tmp_path: pathlib.Path) -> None:
    assert run(SPIN + work + REPORT, tmp_path) == "True True True\n"


def test_in_the_middle_of_an_import(tmp_path: pathlib.Path) -> None:
    """Nothing is loaded while somebody else's import is under way, and everything soon after it."""
    (tmp_path / "slow.py").write_text(SPIN + "loop(0.4)\nduring = 'llvmlite' in sys.modules\n")
    program = "import slow\nslow.loop(0.6)\nprint(slow.during)" + REPORT
    assert run(program, tmp_path) == "False\nTrue True True\n"


def test_at_once_where_that_is_wanted(tmp_path: pathlib.Path) -> None:
    report = SPIN + "import jitcore\nprint(jitcore.default_engine().enabled)"
    assert run(report, tmp_path) == "False\n"
    assert run(report, tmp_path, JITCORE_START_AFTER="0") == "True\n"
    assert run(report, tmp_path, JITCORE_THRESHOLD="20") == "True\n"
    assert run(report.replace("print", "jitcore.enable()\nprint"), tmp_path) == "True\n"


def test_marked_functions_do_not_wait(tmp_path: pathlib.Path) -> None:
    """And do not keep all others from being compiled when it is time."""
    program = SPIN + "import jitcore\n@jitcore.jit\ndef marked(n):\n    return n + 1\n"
    program += "engine = jitcore.default_engine()\nprint(engine.enabled, engine.everything)\nloop(0.8)\nprint(engine.everything)"
    assert run(program, tmp_path) == "True False\nTrue\n"


def test_threads_and_forks(tmp_path: pathlib.Path) -> None:
    """A fork in the first moments is no fork of a process with threads; parent and child are compiled both."""
    program = (
        "import os, warnings\nwarnings.simplefilter('error')\n"
        + SPIN
        + "child = os.fork()\nloop(1.0)\n"
        + REPORT
        + "sys.stdout.flush()\nif child:\n    assert os.waitpid(child, 0)[1] == 0\nelse:\n    os._exit(0)"
    )
    assert run(program, tmp_path) == "True True True\n" * 2
    threads = SPIN + "import threading\nworkers = [threading.Thread(target=loop, args=[2.0]) for _ in range(3)]\n"
    threads += "[t.start() for t in workers]\n[t.join() for t in workers]" + REPORT
    assert run(threads, tmp_path).startswith("True True ")
