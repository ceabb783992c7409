"""The benchmarks: kernels compute what they say, and samples become the right ratios, tables and files.

Nothing here measures time; samples are made up, but for one real worker at the smallest size.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# The folder of benchmarks is not installed; where tests run elsewhere without it, there is nothing to test.
if not os.path.isdir(os.path.join(ROOT, "bench", "kernels")):
    pytest.skip("no benchmarks here", allow_module_level=True)


def _bench(name: str) -> Any:
    """A module of the folder `bench`, without leaving the root (and its bare `jitcore`) on sys.path."""
    sys.path.insert(0, ROOT)
    try:
        return importlib.import_module(f"bench.{name}")
    finally:
        sys.path.remove(ROOT)


kernels = _bench("kernels")
configurations = _bench("configurations")
runner = _bench("runner")
report = _bench("report")
page = _bench("page")
programs = _bench("pyperformance_programs")
main = _bench("__main__")


@pytest.mark.parametrize("name", kernels.ORDER)
def test_kernel_is_right(name: str) -> None:
    kernel = _bench(f"kernels.{name}")
    assert kernel.run(kernel.QUICK) == kernel.EXPECTED[kernel.QUICK]
    assert set(kernel.EXPECTED) == {kernel.QUICK, kernel.SIZE}
    assert kernel.DOOR in ("loop", "function")


def test_all_kernels_are_in_the_order() -> None:
    files = {name[:-3] for name in os.listdir(os.path.join(ROOT, "bench", "kernels")) if name.endswith(".py")}
    assert files - {"__init__"} == set(kernels.ORDER)


def made_up(
    value: str = "42", each: float = 0.05, first: float = 0.05, regions: int | None = None
) -> dict[str, Any]:
    """A sample whose first call takes `first` seconds and every other one `each`."""
    ends = [first]
    while ends[-1] < 1.0 or len(ends) < 4:
        ends.append(ends[-1] + each)
    jit = {"inactive": None, "regions": regions, "compile_seconds": 0.1, "refusals": {"reason": 2}}
    return {
        "value": value,
        "consistent": True,
        "ends": ends,
        "first_calls": len(ends),
        "first_seconds": ends[-1],
        "rounds": [each * 1.1, each],
        "calls_per_round": 3,
        "peak_bytes": 20_000_000 if regions is None else 90_000_000,
        "jit": None if regions is None else jit,
        "python": "3.13.0",
        "implementation": "cpython",
    }


TASK = runner.Task("kernel", {"kind": "kernel", "size": 1000}, "42")
CONFIGURATIONS = [*configurations.own(), configurations.from_text("other=A=1 python --flag")]


def results_of(**samples: dict[str, Any]) -> Any:
    def measure(task: Any, configuration: Any, settings: Any) -> dict[str, Any]:
        return samples[configuration.name]

    settings = runner.Settings(processes=2)
    return runner.run([TASK], CONFIGURATIONS, settings, measure=measure)


@pytest.fixture
def good() -> Any:
    return results_of(
        plain=made_up(), jitcore=made_up(each=0.005, first=0.2, regions=1), other=made_up(each=0.025)
    )


def document_of(results: Any) -> Any:
    settings = runner.Settings(processes=2)
    document = runner.document([TASK], CONFIGURATIONS, settings, results)
    return json.loads(json.dumps(document))


def test_ratios(good: Any) -> None:
    plain, jit, other = good
    assert [r.problem for r in good] == [None, None, None]
    assert plain.steady_ratio == 1 and plain.more_bytes == 0
    assert jit.steady_ratio == pytest.approx(10)
    assert jit.first_call_ratio == pytest.approx(0.25)
    assert (
        jit.first_second_ratio == pytest.approx(20 * 161 / 160 / 20, rel=0.02) or jit.first_second_ratio > 7
    )
    assert jit.start_ratio == pytest.approx(0.1 / 0.205, rel=0.01)
    assert jit.more_bytes == 70_000_000
    mean = runner.means([TASK], good)
    assert [(m.group, m.configuration, m.tasks) for m in mean] == [("all", "jitcore", 1), ("all", "other", 1)]
    assert mean[1].steady_ratio == pytest.approx(2)
    assert runner.failures([TASK], good, need_regions=True) == []


def test_samples_are_taken_in_turns() -> None:
    order = []

    def measure(task: Any, configuration: Any, settings: Any) -> dict[str, Any]:
        order.append(configuration.name)
        return made_up()

    runner.run([TASK], CONFIGURATIONS, runner.Settings(processes=2), measure=measure)
    assert order == ["plain", "jitcore", "other"] * 2


def test_what_is_wrong_is_found() -> None:
    wrong_value = results_of(plain=made_up(), jitcore=made_up("43", regions=1), other=made_up("44"))
    assert len(runner.failures([TASK], wrong_value, need_regions=False)) == 1  # a peer's is only noted
    assert "right is 42" in wrong_value[2].problem
    cold = results_of(plain=made_up(), jitcore=made_up(regions=0), other=made_up())
    assert runner.failures([TASK], cold, need_regions=False) == []
    assert "nothing was compiled (reason 2x)" in runner.failures([TASK], cold, need_regions=True)[0]
    crashed = results_of(plain=made_up(), jitcore={"problem": "signal 11: no message"}, other=made_up())
    assert runner.failures([TASK], crashed, need_regions=False) == ["kernel, jitcore: signal 11: no message"]
    absent = results_of(plain=made_up(), jitcore=made_up(), other=made_up())
    assert "not started" in runner.failures([TASK], absent, need_regions=True)[0]


def test_table_and_page_show_everything(good: Any) -> None:
    document = document_of(good)
    table = report.text_table(document)
    assert "kernel 1,000" in table and "10.0" in table and "5 ms" in table and "geometric mean, all" in table
    assert len({line.index("x") for line in table.splitlines()[:1]}) == 1
    text = page.page(document)
    assert text.count("<svg") >= 3 and "jitcore: 10.00" in text
    assert "http" not in text  # needs nothing but itself


def test_problems_are_shown_and_escaped() -> None:
    document = document_of(
        results_of(plain=made_up(), jitcore={"problem": "no <good>"}, other={"problem": "absent"})
    )
    assert "! no <good>" in report.text_table(document)
    assert "no &lt;good&gt;" in page.page(document) and "<good>" not in page.page(document)


def test_numbers_for_people() -> None:
    assert [report.seconds(v) for v in (2.5, 0.0123, 0.0000456, 123.4)] == [
        "2.5 s",
        "12.3 ms",
        "45.6 us",
        "123 s",
    ]
    assert report.ratio(0.5) == "0.50" and report.ratio(52.34) == "52.3" and report.ratio(None) == ""


def test_pyperf_files(good: Any, tmp_path: Any) -> None:
    pyperf = pytest.importorskip("pyperf")
    paths = report.write_pyperf(document_of(good), str(tmp_path))
    assert [os.path.basename(path) for path in paths] == ["plain.json", "jitcore.json", "other.json"]
    assert pyperf.BenchmarkSuite.load(paths[1]).get_benchmark("kernel").get_nvalue() == 4


def test_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "JITCORE": "1",
        "JITCORE_THRESHOLD": "7",
        "JITCORE_STATS": "1",
        "PYTHON_JIT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    plain, jit = configurations.own()
    assert not [name for name in plain.environment() if name.startswith("JITCORE") or name == "PYTHON_JIT"]
    environment = jit.environment()
    assert environment["JITCORE"] == "1" and environment["JITCORE_THRESHOLD"] == "7"
    assert "JITCORE_STATS" not in environment


def test_twins_in_c_are_right() -> None:
    """Every kernel has a twin, which computes the same."""
    library = configurations.twins.library()
    if library is None:
        pytest.skip("no C compiler")
    wanted = runner.kernel_tasks(lambda name: True, True)
    configuration = configurations.Configuration("C -O2", (sys.executable,), twins=library)
    assert not configuration.for_programs
    results = runner.run(wanted, [configuration], runner.QUICK)
    assert [(r.task, r.problem, r.value) for r in results] == [(t.name, None, t.expected) for t in wanted]


def test_peers_from_the_command_line() -> None:
    peer = configurations.from_text("p=A=1 B=2 /x/python -X a=b")
    assert peer.command == ("/x/python", "-X", "a=b") and peer.variables == {"A": "1", "B": "2"}
    for wrong in ("", "name", "name=", "=python", "name=A=1"):
        with pytest.raises(ValueError, match="NAME="):
            configurations.from_text(wrong)


def test_filter() -> None:
    assert main.chooser("")("anything")
    assert main.chooser("fib, s*m")("sum") and main.chooser("fib")("fib") and not main.chooser("fib")("life")


def test_a_real_worker_and_a_failing_one(tmp_path: Any) -> None:
    task = runner.kernel_tasks(lambda name: name == "fib", quick=True)[0]
    plain = configurations.own()[0]
    (result,) = runner.run([task], [plain], runner.QUICK)
    assert result.problem is None and result.peak_bytes > 1_000_000 and result.jit is None
    broken = tmp_path / "broken.py"
    broken.write_text("def run(n): raise ValueError('broken on purpose')\n")
    task = runner.Task("broken", {"kind": "kernel", "path": str(broken), "size": 1})
    (result,) = runner.run([task], [plain], runner.QUICK)
    assert result.problem == "exit code 1: ValueError: broken on purpose"


SCRIPT = """
import pyperf
state = []
def value(n): return n + 1
def timed(loops, n):
    start = pyperf.perf_counter()
    state.append((loops, n))
    return pyperf.perf_counter() - start
if __name__ == "__main__":
    runner = pyperf.Runner(add_cmdline_args=None)
    runner.metadata["description"] = "a script"
    runner.argparser.add_argument("--size", type=int, default=5)
    args = runner.parse_args()
    runner.bench_func("a", value, args.size)
    runner.bench_time_func("b", timed, args.size)
"""


def test_scripts_for_pyperf(tmp_path: Any) -> None:
    script = tmp_path / "run_benchmark.py"
    script.write_text(SCRIPT)
    before = sys.modules.get("pyperf")
    call, check = programs.entry(str(script), "a")
    assert call() == 6 and check is None
    call, _ = programs.entry(str(script), "b")
    assert call() is None and call.__closure__ is not None
    assert sys.modules.get("pyperf") is before
    with pytest.raises(KeyError):
        programs.entry(str(script), "c")


def test_command_line_lists() -> None:
    command = [sys.executable, "-m", "bench", "--list", "--no-peers", "--filter", "fi*,sum"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[0].split(None, 1)[1] == "fib, sum_int, sum_float", done.stderr
    done = subprocess.run([*command, "--processes=0"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0  # nothing is measured
    done = subprocess.run(
        [*command[:3], "--quick", "--filter=none"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and "no task is called like 'none'" in done.stderr
