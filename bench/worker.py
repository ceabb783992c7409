"""The process that measures: `python worker.py JOB`, JOB a JSON object; the last line printed is a JSON
object.

Runs under whatever interpreter is compared, so it uses the standard library only and no syntax newer than
that of Python 3.9. Times are CPU seconds of the whole process, compiling in other threads included.

A job: `kind` 'kernel' (with `path`, `size`) or 'program' (with `path`, `entry`); `first_seconds`: how long
calls are repeated from a cold start, each one's end noted; `warm_seconds`: when, counted from the first
call, warm-up is over; `rounds` of at least `round_seconds` each, whose best is the steady state; `numba`:
let numba compile the module's functions first; `twins`: the library with the kernels in C, to be called
instead.

The values of all calls are compared here (`consistent`); the first goes into the answer for comparison
with other configurations.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import time
import types
from typing import Any, Callable

ENDS_KEPT = 2000
clock = time.process_time


def peak_memory() -> int:
    """Most bytes of memory this process ever had.

    Not ru_maxrss where it can be had otherwise: that begins with the size of the parent before exec.
    """
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def load(path: str, name: str) -> types.ModuleType:
    """The module in that file, under a name of its own."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def with_numba(module: types.ModuleType) -> None:
    """Put numba's compiled form in the place of every function of the module."""
    numba: Any = importlib.import_module("numba")

    for name, value in list(vars(module).items()):
        if isinstance(value, types.FunctionType):
            setattr(module, name, numba.njit(value))


def twin(path: str, library: str, module: types.ModuleType, size: int) -> Callable[[], Any]:
    """The kernel's twin in C as a function without arguments."""
    import ctypes

    name = os.path.splitext(os.path.basename(path))[0]
    function = getattr(ctypes.CDLL(library), name)
    function.argtypes = [ctypes.c_longlong]
    function.restype = ctypes.c_double if isinstance(module.EXPECTED[size], float) else ctypes.c_longlong
    return lambda: function(size)


def jit_report() -> dict[str, Any] | None:
    """What jitcore says about this process; None where it was not imported."""
    jitcore = sys.modules.get("jitcore")
    if jitcore is None:
        return None
    stats = jitcore.stats()
    return {
        "inactive": jitcore.default_engine().inactive_reason,
        "regions": stats.regions,
        "bridges": stats.bridges,
        "compile_seconds": stats.compile_seconds,
        "native_share": stats.native_share,
        "refusals": stats.refusals,
    }


def measure(call: Callable[[], Any], job: dict[str, Any]) -> dict[str, Any]:
    """All times of one process; see the head of this file."""
    start = clock()
    value = call()
    now = clock() - start
    ends = [now]
    first = repr(value)
    consistent = True
    last = now
    # At least a few calls, however slow the first was: they are compared with the first 100 ms of another
    # configuration, which may have done more than one call by then.
    while now < job["first_seconds"] or len(ends) < job["first_calls"]:
        again = repr(call())
        before, now = now, clock() - start
        last = now - before
        ends.append(now)
        consistent = consistent and again == first
    # The rate of the first second: up to the call during which it ended.
    counted = next((k + 1 for k, end in enumerate(ends) if end >= job["first_seconds"]), len(ends))
    while now < job["warm_seconds"]:
        again = repr(call())
        before, now = now, clock() - start
        last = now - before
        consistent = consistent and again == first
    calls = max(1, int(job["round_seconds"] / max(last, 1e-6)) + 1)
    rounds = []
    for _ in range(job["rounds"]):
        start = clock()
        for _ in range(calls):
            value = call()
        rounds.append((clock() - start) / calls)
        consistent = consistent and repr(value) == first
    return {
        "value": first,
        "consistent": consistent,
        "ends": ends[:ENDS_KEPT],
        "first_calls": counted,
        "first_seconds": ends[counted - 1],
        "rounds": rounds,
        "calls_per_round": calls,
    }


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job; the answer."""
    check: Callable[[], Any] | None = None
    if job["kind"] == "kernel":
        module: Any = load(job["path"], "kernel")
        if job.get("numba"):
            with_numba(module)
        size = job["size"]
        library = job.get("twins")
        run = twin(job["path"], library, module, size) if library else lambda: module.run(size)
        answer = measure(run, job)
    else:
        here = os.path.dirname(os.path.abspath(__file__))
        programs: Any = load(os.path.join(here, "pyperformance_programs.py"), "programs")
        call, check = programs.entry(job["path"], job["entry"])
        answer = measure(call, job)
    # Before reports import anything of their own.
    answer["peak_bytes"] = peak_memory()
    answer["jit"] = jit_report()
    if check is not None:
        answer["value"] += " " + repr(check())
    answer["python"] = sys.version.split()[0]
    answer["implementation"] = sys.implementation.name
    return answer


if __name__ == "__main__":
    del sys.path[0]  # the measured code shall not find our files
    job = json.loads(sys.argv[1])
    del sys.argv[1:]
    print(json.dumps(work(job)))
