"""Programs of the pyperformance suite, taken from its package on PyPI and run as they are.

Their scripts describe themselves to `pyperf.Runner`, which would start processes and choose repetitions by
itself. Here a small stand-in takes pyperf's place while a script is loaded as `__main__`; it notes the
functions and arguments that the script wants to have timed, and `worker` times those like any kernel.

Some scripts time themselves and return seconds. One call of these does what one measurement of pyperf
does, preparation included, and there is a check beside it, run after the timing: it does a smaller piece
of the same work with the same (by then compiled) functions from a known state and returns a value to
compare.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import types
import zipfile
import zlib
from array import array
from typing import Any, Callable, Iterable, NamedTuple, Tuple


class Program(NamedTuple):
    """A script of the suite: its folder, what it is called with, the package beyond the standard library that it needs."""

    folder: str
    arguments: Tuple[str, ...] = ()
    needs: str = ""

    @property
    def there(self) -> bool:
        """Whether this interpreter has what it needs."""
        return not self.needs or importlib.util.find_spec(self.needs) is not None


# By entry; some scripts have several. Those that start processes or talk to a network are not here.
PROGRAMS = {
    "richards": Program("richards"),
    "deltablue": Program("deltablue"),
    "raytrace": Program("raytrace"),
    "chaos": Program("chaos"),
    "go": Program("go"),
    "hexiom": Program("hexiom"),
    "pyflate": Program("pyflate"),
    "quadtree_nbody": Program("barnes_hut"),
    "meteor_contest": Program("meteor_contest"),
    "mdp": Program("mdp"),
    "comprehensions": Program("comprehensions"),
    "generators": Program("generators"),
    "coroutines": Program("coroutines"),
    "unpack_sequence": Program("unpack_sequence"),
    "deepcopy": Program("deepcopy"),
    "deepcopy_reduce": Program("deepcopy"),
    "deepcopy_memo": Program("deepcopy"),
    "logging_format": Program("logging"),
    "logging_silent": Program("logging"),
    "logging_simple": Program("logging"),
    "json_dumps": Program("json_dumps"),
    "pprint_pformat": Program("pprint"),
    "telco": Program("telco"),
    "typing_runtime_protocols": Program("typing_runtime_protocols"),
    "nbody": Program("nbody"),
    "fannkuch": Program("fannkuch"),
    "spectral_norm": Program("spectral_norm"),
    "float": Program("float"),
    "nqueens": Program("nqueens"),
    "scimark_sor": Program("scimark"),
    "scimark_sparse_mat_mult": Program("scimark"),
    "scimark_monte_carlo": Program("scimark"),
    "scimark_lu": Program("scimark"),
    "scimark_fft": Program("scimark"),
    "pickle_pure_python": Program("pickle", ("--pure-python", "pickle")),
    "unpickle_pure_python": Program("pickle", ("--pure-python", "unpickle")),
    "xml_etree_pure_python_process": Program("xml_etree", ("--no-accelerator", "process")),
    "xml_etree_pure_python_generate": Program("xml_etree", ("--no-accelerator", "generate")),
    "async_tree_none": Program("async_tree", ("none",)),
    "crypto_pyaes": Program("crypto_pyaes", needs="pyaes"),
    "tomli_loads": Program("tomli_loads", needs="tomli"),
    "sqlglot_v2_parse": Program("sqlglot_v2", ("parse",), "sqlglot"),
    "sqlglot_v2_optimize": Program("sqlglot_v2", ("optimize",), "sqlglot"),
    "sympy_expand": Program("sympy", ("expand",), "sympy"),
    "docutils": Program("docutils", needs="docutils"),
    "html5lib": Program("html5lib", needs="html5lib"),
}
# Where one round is small beside its preparation, which pyperf does not time.
LOOPS = {
    "scimark_sparse_mat_mult": 10,
    "scimark_lu": 3,
    "hexiom": 5,
    "comprehensions": 200,
    "unpack_sequence": 100,
    "deepcopy": 100,
    "deepcopy_reduce": 300,
    "deepcopy_memo": 300,
    "logging_format": 1000,
    "logging_silent": 10000,
    "logging_simple": 1000,
    "telco": 3,
    "typing_runtime_protocols": 20,
}


class Runner:
    """What a script sees of pyperf.Runner: notes (name, function, arguments, returns seconds?)."""

    arguments: Iterable[str] = ()

    def __init__(self, **ignored: Any) -> None:
        self.argparser = argparse.ArgumentParser()
        self.metadata: dict[str, str] = {}
        self.args: Any = None

    def parse_args(self, args: Any = None) -> Any:
        self.args = self.argparser.parse_args(list(self.arguments))
        return self.args

    def bench_func(self, name: str, func: Callable[..., Any], *args: Any, **ignored: Any) -> None:
        entries[name] = (func, args, False)

    def bench_time_func(self, name: str, func: Callable[..., Any], *args: Any, **ignored: Any) -> None:
        entries[name] = (func, args, True)

    def bench_async_func(self, name: str, func: Callable[..., Any], *args: Any, **ignored: Any) -> None:
        import asyncio

        entries[name] = (lambda: asyncio.run(func(*args)), (), False)


entries: dict[str, tuple[Callable[..., Any], tuple[Any, ...], bool]] = {}


def load(path: str, arguments: Iterable[str] = ()) -> types.ModuleType:
    """Run a script as `__main__` with the stand-in for pyperf, called with these arguments; fills `entries`."""
    Runner.arguments = arguments
    stand_in = types.ModuleType("pyperf")
    name = sys.implementation.name
    vars(stand_in).update(Runner=Runner, perf_counter=time.perf_counter, python_implementation=lambda: name)
    spec = importlib.util.spec_from_file_location("__main__", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get("pyperf")
    sys.modules["pyperf"] = stand_in
    try:
        spec.loader.exec_module(module)
    finally:
        if before is None:
            del sys.modules["pyperf"]
        else:
            sys.modules["pyperf"] = before
    return module


def entry(path: str, name: str) -> tuple[Callable[[], Any], Callable[[], Any] | None]:
    """(call to be timed, check or None) for one entry of a script. Raises KeyError for an unknown entry."""
    module = load(path, PROGRAMS[name].arguments if name in PROGRAMS else ())
    func, args, returns_seconds = entries[name]
    make_check = CHECKS.get(name)
    check = make_check(module) if make_check is not None else None
    if not returns_seconds:
        return (lambda: func(*args)), check
    loops = LOOPS.get(name, 1)

    def call() -> None:
        func(loops, *args)

    return call, check


# ---- checks ----------------------------------------------------------------------------------------------


def _nbody(module: Any) -> Callable[[], Any]:
    """The planets are global and move with every call: start from where they were at the beginning."""
    start = [(list(place), list(speed)) for place, speed, _ in module.SYSTEM]

    def check() -> Any:
        for (place, speed, _), (place_0, speed_0) in zip(module.SYSTEM, start):
            place[:] = place_0
            speed[:] = speed_0
        module.offset_momentum(module.BODIES["sun"])
        module.advance(0.01, 3000)
        return module.report_energy(), [place for place, _, _ in module.SYSTEM]

    return check


def _spectral_norm(module: Any) -> Callable[[], Any]:
    return lambda: module.eval_AtA_times_u([1 + i % 3 for i in range(60)])


def _nqueens(module: Any) -> Callable[[], Any]:
    return lambda: list(module.n_queens(6))


def _sor(module: Any) -> Callable[[], Any]:
    def check() -> int:
        grid = module.Random(7).RandomMatrix(module.Array2D(30, 30))
        module.SOR_execute(1.25, grid, 5, module.Array2D)
        return zlib.crc32(grid.data.tobytes())

    return check


def _sparse(module: Any) -> Callable[[], Any]:
    def check() -> int:
        size, per_row = 100, 7
        x = module.Random(7).RandomVector(size)
        values = module.Random(11).RandomVector(size * per_row)
        y = array("d", [0]) * size
        column = array("i", [(r * 3 + k * 13) % size for r in range(size) for k in range(per_row)])
        row = array("i", range(0, size * per_row + 1, per_row))
        module.SparseCompRow_matmult(size, y, values, row, column, x, 3)
        return zlib.crc32(y.tobytes())

    return check


def _monte_carlo(module: Any) -> Callable[[], Any]:
    return lambda: module.MonteCarlo(5000)


def _lu(module: Any) -> Callable[[], Any]:
    def check() -> tuple[list[int], int]:
        size = 30
        matrix = module.Random(7).RandomMatrix(module.ArrayList(size, size))
        factors = module.ArrayList(size, size)
        pivot = array("i", [0]) * size
        module.LU(factors, matrix, pivot)
        return list(pivot), zlib.crc32(b"".join(line.tobytes() for line in factors.data))

    return check


def _fft(module: Any) -> Callable[[], Any]:
    def check() -> int:
        data = module.Random(7).RandomVector(512)
        module.FFT_transform(512, data)
        middle = zlib.crc32(data.tobytes())
        module.FFT_inverse(512, data)
        return zlib.crc32(data.tobytes(), middle)

    return check


CHECKS: dict[str, Callable[[Any], Callable[[], Any]]] = {
    "nbody": _nbody,
    "spectral_norm": _spectral_norm,
    "nqueens": _nqueens,
    "scimark_sor": _sor,
    "scimark_sparse_mat_mult": _sparse,
    "scimark_monte_carlo": _monte_carlo,
    "scimark_lu": _lu,
    "scimark_fft": _fft,
}


# ---- the package -----------------------------------------------------------------------------------------


def suite_folder() -> str:
    """The folder with the bm_* folders: of the installed package, or of one that pip downloads into a cache.

    Raises RuntimeError, with what to do, where neither works.
    """
    inside = os.path.join("pyperformance", "data-files", "benchmarks")
    spec = importlib.util.find_spec("pyperformance")
    if spec is not None and spec.origin is not None:
        folder = os.path.join(os.path.dirname(os.path.dirname(spec.origin)), inside)
        if os.path.isdir(folder):
            return folder
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "jitcore-bench")
    if not os.path.isdir(os.path.join(cache, inside)):
        _download(cache)
    return os.path.join(cache, inside)


def _download(cache: str) -> None:
    os.makedirs(cache, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "-d", folder, "pyperformance"]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = [name for name in os.listdir(folder) if name.endswith(".whl")]
        if done.returncode or not wheels:
            raise RuntimeError(
                "the programs come from the package pyperformance, which is not installed and could not be "
                f"downloaded: 'pip install pyperformance' in this environment helps\n{done.stderr.strip()}"
            )
        with zipfile.ZipFile(os.path.join(folder, wheels[0])) as wheel:
            # To its place in one step, so that another process sees all of it or nothing.
            wheel.extractall(os.path.join(folder, "all"))
        try:
            os.rename(os.path.join(folder, "all", "pyperformance"), os.path.join(cache, "pyperformance"))
        except OSError:
            if not os.path.isdir(os.path.join(cache, "pyperformance")):
                raise
