"""CPython's own tests under jitcore: `python -m tests.cpython`.

The interpreter brings a `test` package. Each module below is run by its regrtest (one module a process) three times:
plain; with JITCORE=1 and thresholds of two, so that nearly all code is compiled; and so again with every guard forced out
in turn. A module passes when each of its tests ends as it does plain (passed, failed, skipped), whatever that is: a test
that fails on this machine anyway is not ours. Names, not counts, are compared, so a test that vanishes is a difference,
too. The plain results are kept in a folder, since they do not change.

A table names what differs; `--third K` takes every third module, and `--seconds N` begins no module after that time, for runs that
must be short. What differs is run again, plain and not: only what differs both times counts. Some tests look at what no program may
rely on and jitcore changes; `KNOWN` has them with the reason, and their differences are printed but count for nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

MODULES = """
    test_int test_long test_float test_bool test_complex test_math test_list test_tuple test_dict test_set test_range
    test_enumerate test_iter test_itertools test_generators test_genexps test_generator_stop test_yield_from
    test_coroutines test_asyncgen test_exceptions test_exception_group test_raise test_traceback test_with
    test_contextlib test_scope test_closure test_keywordonlyarg test_positional_only_arg test_extcall test_call
    test_class test_descr test_property test_super test_isinstance test_slice test_sort test_str test_bytes
    test_fstring test_string_literals test_format test_compare test_richcmp test_operator test_patma
    test_named_expressions test_listcomps test_dictcomps test_setcomps test_unpack test_unpack_ex test_augassign
    test_binop test_global test_funcattrs test_functools test_collections test_dataclasses test_enum test_weakref
    test_gc test_sys test_sys_settrace test_sys_setprofile test_monitoring test_threading test_signal test_dis
    test_inspect test_pickle test_copy test_json test_re test_decimal test_fractions test_statistics test_heapq
    test_bisect test_deque test_queue test_asyncio
""".split()

KNOWN = {
    "test.test_genexps.__test__.doctests": "counts on temporary tuples being made in the same place again",
    "test.test_descr.ClassPropertiesAndMethods.test_slots": "counts all objects of the process, jitcore's among them",
    "test.test_gc.GCTests.test_resurrection_does_not_block_cleanup_of_other_objects": "counts all garbage, jitcore's among it",
    "test.test_gc.GCTogglingTests.test_bug1055820c": "counts on which allocation starts a collection",
    "test.test_gc.GCTogglingTests.test_bug1055820d": "likewise",
    "test.test_dis.": "shows specialised and instrumented bytecode",
    "test.test_monitoring.": "looks at all events of sys.monitoring, jitcore's among them, and at places that native code passes",
}
"""Tests, or beginnings of their names, that may end in another way, and why."""

# Nothing is put off for its cost (verify), and quick code is enough: the optimizer does the same for both tiers.
NATIVE = {
    "JITCORE": "1",
    "JITCORE_THRESHOLD": "2",
    "JITCORE_FUNCTION_THRESHOLD": "2",
    "JITCORE_OPT_LEVEL": "0",
    "JITCORE_VERIFY": "1",
}
MODES: dict[str, dict[str, str]] = {"native": NATIVE, "deopt": {**NATIVE, "JITCORE_DEOPT_EVERY": "1"}}


class Broken(Exception):
    """A run that gave no results: what it printed at the end."""


def outcomes(report: ElementTree.Element) -> dict[str, str]:
    """Test name -> 'passed', 'skipped' or what went wrong, of a JUnit report."""
    found: dict[str, str] = {}
    for case in report.iter("testcase"):
        what = "passed"
        for tag in ("error", "failure", "skipped"):
            if case.find(tag) is not None:
                what = tag
        if case.get("result") not in (None, "completed") and what == "passed":
            what = case.get("result") or what
        found[case.get("name") or "?"] = what
    return found


def run(module: str, environment: dict[str, str], timeout: float) -> tuple[dict[str, str], str]:
    """The outcomes of a module's tests, and what it printed. Raises Broken."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("JITCORE")}
    with tempfile.TemporaryDirectory(prefix="cpython-tests-") as folder:
        report = pathlib.Path(folder, "report.xml")
        command = [sys.executable, "-m", "test", "--junit-xml", str(report), "--tempdir", folder, "-v", module]
        child = subprocess.Popen(
            command,
            env={**clean, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            printed = child.communicate(timeout=timeout)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            printed = child.communicate()[0].decode(errors="replace")
            raise Broken(f"no end after {timeout:.0f} s\n{printed[-3000:]}") from None
        if not report.exists():
            raise Broken(f"exit code {child.returncode}\n{printed[-3000:]}")
        return outcomes(ElementTree.parse(report).getroot()), printed


def plain(module: str, kept: pathlib.Path, timeout: float) -> dict[str, str]:
    """The outcomes without jitcore, from the folder if they are there."""
    path = kept / f"{'.'.join(map(str, sys.version_info[:3]))}-{module}.txt"
    if not path.exists():
        found, _ = run(module, {}, timeout)
        kept.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\t{what}\n" for name, what in sorted(found.items())), encoding="utf-8")
    return dict(line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())


def differences(expected: dict[str, str], got: dict[str, str]) -> Iterator[str]:
    for name in sorted(expected.keys() | got.keys()):
        before, after = expected.get(name, "absent"), got.get(name, "absent")
        if before != after:
            yield f"{name}: {before} plain, {after} under jitcore"


def compare(module: str, mode: str, expected: dict[str, str], timeout: float) -> tuple[list[str], str]:
    """How the module's tests end otherwise in that mode, and what they printed."""
    try:
        got, printed = run(module, MODES[mode], timeout)
    except Broken as broken:
        return [f"{module}: {str(broken).splitlines()[0]}"], str(broken)
    return list(differences(expected, got)), printed


def reason(difference: str) -> str | None:
    """Why the test may end in another way."""
    return next((why for name, why in KNOWN.items() if difference.startswith(name)), None)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cpython", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("modules", nargs="*", help="only these (default: all of the list)")
    parser.add_argument("--mode", choices=MODES, action="append", help="only this way of running (default: all)")
    parser.add_argument("--third", type=int, help="every third module, beginning with this one, and those of --always")
    parser.add_argument("--always", default="", help="modules, separated by commas, that --third does not leave out")
    parser.add_argument("--skip", default="", help="modules, separated by commas, that are left out")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no module after so many seconds")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for a module in one mode")
    parser.add_argument("--jobs", type=int, default=1, help="modules at a time")
    parser.add_argument("--kept", type=pathlib.Path, help="folder for plain results (default: one of this run)")
    parser.add_argument("--output", type=pathlib.Path, help="folder for what failing runs printed")
    options = parser.parse_args(arguments)
    chosen = options.modules or MODULES
    if options.third is not None:
        always = options.always.split(",")
        chosen = [m for k, m in enumerate(chosen) if k % 3 == options.third % 3 or m in always]
    chosen = [m for m in chosen if m not in options.skip.split(",")]
    chosen = [m for m in chosen if importlib.util.find_spec(f"test.{m}") is not None]
    if not chosen:
        print("This interpreter has none of these test modules; install its test package.")
        return 2
    bad: list[str] = []
    left_out: list[str] = []
    end = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory(prefix="cpython-plain-") as folder:
        kept = options.kept or pathlib.Path(folder)

        def check(module: str) -> list[tuple[str, str, float]]:
            rows: list[tuple[str, str, float]] = []
            if time.monotonic() > end:
                left_out.append(module)
                return rows
            try:
                expected = plain(module, kept, options.timeout)
            except Broken as broken:
                return [("plain", f"cannot be run here: {broken}", 0.0)]
            for mode in options.mode or MODES:
                start = time.monotonic()
                found, printed = compare(module, mode, expected, options.timeout)
                once: list[str] = []
                if not all(map(reason, found)):
                    with tempfile.TemporaryDirectory(prefix="cpython-again-") as again:
                        try:
                            expected = plain(module, pathlib.Path(again), options.timeout)
                        except Broken as broken:
                            return [*rows, (mode, f"cannot be run here every time: {broken}", time.monotonic() - start)]
                    second, printed = compare(module, mode, expected, options.timeout)
                    once = [f"{one} (once)" for one in found if one not in second and not reason(one)]
                    found = [one for one in second if one in found or reason(one)]
                known = [f"{one} ({reason(one)})" for one in found if reason(one)]
                what = "\n".join(one for one in found if not reason(one))
                alike = f"{len(expected) - len(known)} tests alike" + (f", {len(known)} known to differ" if known else "")
                rows.append((mode, what or "\n".join([alike, *known, *once]), time.monotonic() - start))
                if what:
                    bad.append(f"{module} ({mode})")
                    if options.output:
                        options.output.mkdir(parents=True, exist_ok=True)
                        (options.output / f"{module}-{mode}.txt").write_text(f"{what}\n\n{printed}", encoding="utf-8")
            return rows

        with ThreadPoolExecutor(options.jobs) as pool:
            for module, rows in zip(chosen, pool.map(check, chosen), strict=True):
                for mode, what, seconds in rows:
                    first, *rest = what.splitlines() or [""]
                    print(f"{module:<28} {mode:<8} {seconds:6.1f} s  {first}", flush=True)
                    for line in rest[:20]:
                        print(f"{'':<46} {line}", flush=True)
    if bad:
        print(f"FAILED: {len(bad)} runs differ: {', '.join(bad)}")
        return 1
    if left_out:
        print(f"no time for {len(left_out)} modules: {', '.join(sorted(left_out))}")
    print(f"{len(chosen) - len(left_out)} modules end as they do without jitcore")
    return 0


if __name__ == "__main__":
    sys.exit(main())
