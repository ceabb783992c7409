"""Starts the workers in turns and makes results of their samples.

One sample is one fresh process. For every task all configurations are sampled once, then all of them again: a
machine that slows down for a minute slows all of them. Of several samples the steady state is the best round
of all, everything that happens once in a process (first call, first second) the median, memory the largest.

Ratios say how many times as fast as the plain interpreter something was:

- first call: its time, compiling and all;
- first second: calls done in the first second of CPU time of a process, the first call included;
- start: the time for what the plain interpreter does in its first 100 ms (or in one call, where that is
  longer);
- steady state: time per call.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from .configurations import JITCORE, PLAIN, Configuration
from .kernels import FIRST_SIX, ORDER

HERE = os.path.dirname(os.path.abspath(__file__))
WORKER = os.path.join(HERE, "worker.py")
START_SECONDS = 0.1
Sample = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One thing to measure. `expected`: the repr of the right value, where it is known beforehand."""

    name: str
    job: dict[str, Any]
    expected: str | None = None
    door: str = "loop"
    leading: bool = False  # one of those that a mean of their own is given for


@dataclass(frozen=True)
class Settings:
    """How long to measure; seconds are CPU seconds of a worker, `timeout` is by the clock."""

    processes: int = 3
    rounds: int = 5
    first_seconds: float = 1.0
    first_calls: int = 4
    warm_seconds: float = 2.0
    round_seconds: float = 0.2
    timeout: float = 600.0


QUICK = Settings(
    processes=1,
    rounds=1,
    first_seconds=0.05,
    first_calls=1,
    warm_seconds=0.1,
    round_seconds=0.01,
    timeout=300.0,
)


@dataclass
class Result:
    """One task under one configuration: seconds, bytes, ratios to the plain interpreter (above 1: faster).

    `problem` is None or says what went wrong; without a sample the numbers are None.
    """

    task: str
    configuration: str
    problem: str | None = None
    value: str | None = None
    first_call: float | None = None
    first_second_calls: float | None = None
    steady: float | None = None
    peak_bytes: int | None = None
    first_call_ratio: float | None = None
    first_second_ratio: float | None = None
    start_ratio: float | None = None
    steady_ratio: float | None = None
    more_bytes: int | None = None
    jit: dict[str, Any] | None = None
    python: str | None = None
    samples: list[Sample] = field(default_factory=list)


@dataclass
class Mean:
    """Geometric means of ratios over the tasks of a group that the configuration got right."""

    group: str
    configuration: str
    tasks: int
    first_second_ratio: float | None
    steady_ratio: float | None


def kernel_tasks(wanted: Callable[[str], bool], quick: bool) -> list[Task]:
    """The kernels whose names `wanted` accepts, in their order."""
    tasks = []
    for name in ORDER:
        if wanted(name):
            kernel = importlib.import_module(f"{__package__}.kernels.{name}")
            size = kernel.QUICK if quick else kernel.SIZE
            job = {"kind": "kernel", "path": os.path.join(HERE, "kernels", f"{name}.py"), "size": size}
            tasks.append(Task(name, job, repr(kernel.EXPECTED[size]), kernel.DOOR, name in FIRST_SIX))
    return tasks


def program_tasks(wanted: Callable[[str], bool]) -> list[Task]:
    """The programs of pyperformance whose names `wanted` accepts.

    Raises RuntimeError where the package cannot be had.
    """
    from .pyperformance_programs import PROGRAMS, suite_folder

    folder = suite_folder()
    return [
        Task(
            name,
            {
                "kind": "program",
                "entry": name,
                "path": os.path.join(folder, f"bm_{program.folder}", "run_benchmark.py"),
            },
        )
        for name, program in PROGRAMS.items()
        if wanted(name) and program.there
    ]


def left_out(wanted: Callable[[str], bool]) -> list[str]:
    """Programs that need packages which are not here: 'name (package)'."""
    from .pyperformance_programs import PROGRAMS

    return [f"{name} ({program.needs})" for name, program in PROGRAMS.items() if wanted(name) and not program.there]


def sample(task: Task, configuration: Configuration, settings: Settings) -> Sample:
    """Measure once, in a fresh process. Where that fails, the sample has only 'problem'."""
    job = {
        **task.job,
        "first_seconds": settings.first_seconds,
        "first_calls": settings.first_calls,
        "warm_seconds": settings.warm_seconds,
        "rounds": settings.rounds,
        "round_seconds": settings.round_seconds,
        "numba": configuration.numba,
        "twins": configuration.twins,
    }
    try:
        done = subprocess.run(
            [*configuration.command, WORKER, json.dumps(job)],
            env=configuration.environment(),
            capture_output=True,
            text=True,
            timeout=settings.timeout,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"not done after {settings.timeout:g} s"}
    except OSError as error:
        return {"problem": f"not started: {error}"}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        return {"problem": f"{how}: {lines[-1] if lines else 'no message'}", "stderr": done.stderr[-4000:]}
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"problem": "the worker gave no answer", "stderr": done.stderr[-4000:]}
    if done.stderr.strip():
        answer["stderr"] = done.stderr[-4000:]
    return answer


def run(
    tasks: Sequence[Task],
    configurations: Sequence[Configuration],
    settings: Settings,
    progress: Callable[[str], object] = lambda what: None,
    measure: Callable[[Task, Configuration, Settings], Sample] = sample,
) -> list[Result]:
    """Measure every task under every configuration; `progress` is told what begins."""
    results = []
    for task in tasks:
        samples: dict[str, list[Sample]] = {c.name: [] for c in configurations}
        for turn in range(settings.processes):
            for configuration in configurations:
                progress(f"{task.name}, {configuration.name}")
                taken = samples[configuration.name]
                # What failed or ran into the time limit is not tried again.
                if not any("problem" in earlier for earlier in taken):
                    taken.append(measure(task, configuration, settings))
        results.extend(compare(task, samples))
    return results


def compare(task: Task, samples: dict[str, list[Sample]]) -> list[Result]:
    """The results of one task from the samples of each configuration; the plain one's are the measure."""
    results = {name: _alone(task, name, taken) for name, taken in samples.items()}
    plain = results.get(PLAIN)
    if plain is None:
        return list(results.values())
    for result in results.values():
        if result.problem is None and plain.value is not None and result.value != plain.value:
            result.problem = (
                f"the value is {_short(result.value)}, the plain interpreter's {_short(plain.value)}"
            )
        if result.steady is None or plain.steady is None:
            continue
        result.first_call_ratio = _ratio(plain.first_call, result.first_call)
        result.first_second_ratio = _ratio(result.first_second_calls, plain.first_second_calls)
        result.steady_ratio = _ratio(plain.steady, result.steady)
        result.start_ratio = _start_ratio(plain.samples, result.samples)
        assert plain.peak_bytes is not None and result.peak_bytes is not None
        result.more_bytes = result.peak_bytes - plain.peak_bytes
    return list(results.values())


def _alone(task: Task, name: str, taken: list[Sample]) -> Result:
    """What the samples of one configuration say by themselves."""
    result = Result(task.name, name)
    for one in taken:
        if "problem" in one:
            result.problem = one["problem"]
            return result
    if not taken:
        result.problem = "not measured"
        return result
    result.samples = taken
    result.value = taken[0]["value"]
    result.python = f"{taken[0]['implementation']} {taken[0]['python']}"
    result.first_call = median(one["ends"][0] for one in taken)
    result.first_second_calls = median(one["first_calls"] / one["first_seconds"] for one in taken)
    result.steady = min(min(one["rounds"]) for one in taken)
    result.peak_bytes = max(one["peak_bytes"] for one in taken)
    result.jit = taken[0]["jit"]
    for one in taken:
        if task.expected is not None and one["value"] != task.expected:
            result.problem = f"the value is {_short(one['value'])}, right is {_short(task.expected)}"
        elif one["value"] != result.value or not one["consistent"]:
            result.problem = "the value changes from call to call"
    return result


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _start_ratio(plain: list[Sample], other: list[Sample]) -> float | None:
    """How fast what plain does in its first 100 ms was done; None where fewer calls were observed."""
    ends = min((one["ends"] for one in plain), key=lambda ends: ends[0])
    calls = next((k for k, end in enumerate(ends) if end >= START_SECONDS), len(ends) - 1)
    reached = [one["ends"][calls] for one in other if len(one["ends"]) > calls]
    return ends[calls] / median(reached) if reached else None


def _short(value: str | None) -> str:
    text = value or "missing"
    return text if len(text) <= 60 else text[:57] + "..."


def means(tasks: Sequence[Task], results: Iterable[Result]) -> list[Mean]:
    """Geometric means by configuration: of all tasks and, where all of them ran, of the leading ones."""
    leading = {task.name for task in tasks if task.leading}
    groups = [("all", {task.name for task in tasks})]
    if len(leading) == len(FIRST_SIX):
        groups.insert(0, ("first six", leading))
    by_name: dict[str, list[Result]] = {}
    for result in results:
        by_name.setdefault(result.configuration, []).append(result)
    answer = []
    for group, names in groups:
        for configuration, rows in by_name.items():
            right = [row for row in rows if row.task in names and row.problem is None]
            if configuration != PLAIN and right:
                first = _geometric(row.first_second_ratio for row in right)
                answer.append(
                    Mean(
                        group, configuration, len(right), first, _geometric(row.steady_ratio for row in right)
                    )
                )
    return answer


def _geometric(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value]
    return math.exp(sum(math.log(value) for value in known) / len(known)) if known else None


def failures(tasks: Sequence[Task], results: Iterable[Result], need_regions: bool) -> list[str]:
    """What is wrong: values of plain or jitcore and, if wanted, hot loops that jitcore did not compile."""
    doors = {task.name: task.door for task in tasks}
    wrong = []
    for result in results:
        if result.configuration not in (PLAIN, JITCORE):
            continue
        if result.problem is not None:
            wrong.append(f"{result.task}, {result.configuration}: {result.problem}")
        elif result.configuration == JITCORE and need_regions:
            jit = result.jit
            if jit is None:
                wrong.append(f"{result.task}: jitcore was not started; is it installed in this environment?")
            elif jit["inactive"] is not None:
                wrong.append(f"{result.task}: jitcore is inactive: {jit['inactive']}")
            elif jit["regions"] == 0 and doors[result.task] == "loop":
                refused = ", ".join(f"{key} {count}x" for key, count in jit["refusals"].items())
                wrong.append(
                    f"{result.task}: nothing was compiled ({refused or 'nothing was refused either'})"
                )
    return wrong


def document(
    tasks: Sequence[Task],
    configurations: Sequence[Configuration],
    settings: Settings,
    results: Sequence[Result],
) -> dict[str, Any]:
    """Everything about one run, for JSON and for the pages made from it."""
    return {
        "format": 1,
        "made": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cpus": os.cpu_count(),
            "load": list(os.getloadavg()),
        },
        "settings": asdict(settings),
        "configurations": [
            {"name": c.name, "command": list(c.command), "variables": c.variables} for c in configurations
        ],
        "tasks": [{"name": t.name, "leading": t.leading, "size": t.job.get("size")} for t in tasks],
        "results": [asdict(result) for result in results],
        "means": [asdict(mean) for mean in means(tasks, results)],
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
