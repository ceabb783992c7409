"""The face: options, decorator, command line, start-up file, what importing costs.

The command line is tested against plain python: every case runs twice in fresh processes and must not differ
in what it prints, in its exit code or in its traceback.
"""

from __future__ import annotations

import os
import pathlib
import pickle
import signal
import subprocess
import sys
import sysconfig
import time
import types

import pytest

import jitcore
from jitcore import Engine, options, report
from jitcore.options import OptionError, Options
from jitcore.reasons import Reason

ROOT = pathlib.Path(__file__).resolve().parent.parent


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without any JITCORE variable (CI runs these tests with some set)."""
    return {k: v for k, v in os.environ.items() if not k.startswith("JITCORE")} | more


def run(*arguments: str, cwd: pathlib.Path, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        env=clean_environment(**more),
        timeout=120,
    )


# Options


def test_defaults_and_replace() -> None:
    plain = Options()
    assert plain.threshold == options.TABLE["threshold"].default
    changed = plain.replace(threshold=7, passes="all,-dce", stats="yes")
    assert (changed.threshold, changed.passes, changed.stats) == (7, ("all", "-dce"), True)
    assert plain == Options() and changed != plain
    assert repr(Options(threshold=7)) == "Options(threshold=7)"
    assert hash(changed) == hash(plain.replace(**changed.as_dict()))


def test_passes_are_those_there_are() -> None:
    from jitcore.optimizer.passes import ALL, PASSES, chosen

    option = options.TABLE["passes"]
    assert option.choices == tuple(PASSES)
    assert chosen(("all",)) == list(ALL)
    assert chosen(("-gvn",)) == chosen(("all", "-gvn")) == [name for name in ALL if name != "gvn"]
    assert chosen(("dce", "fold")) == ["dce", "fold"]
    with pytest.raises(OptionError, match="fold, virtuals, gvn, ranges, hoist, jumps, refcount, dce"):
        Options(passes="fold,licm")


@pytest.mark.parametrize("names", ["-fold", "-gvn", "-ranges", "-hoist", "-jumps", "-refcount", "-dce", "dce", "fold,dce"])
def test_each_choice_of_passes_compiles(names: str) -> None:
    def numbers(count: int) -> float:
        items = [1.5] * 8
        total = 0.0
        for k in range(count):
            total += items[k & 7] * k
        return total

    with Engine(passes=names, threshold=20, verify=True) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        assert numbers(4000) == 1.5 * 4000 * 3999 / 2
        assert engine.stats().native_entries and "internal_error" not in engine.stats().refusals


def test_options_are_immutable() -> None:
    with pytest.raises(AttributeError, match="replace"):
        Options().threshold = 3


@pytest.mark.parametrize("option", options.TABLE.values(), ids=lambda option: option.name)
def test_text_form_round_trip(option: options.Option) -> None:
    """Every default survives API -> text -> API, by each of the three ways."""
    text = option.text(option.default)
    assert options.parse_assignment(f"{option.name}={text}") == (option.name, option.default)
    assert Options.from_environment({option.variable: text}) == Options()
    assert Options(**{option.name: option.default}) == Options()
    assert option.help and option.allowed


@pytest.mark.parametrize(
    "name, value",
    [
        ("threshold", 0),
        ("threshold", "many"),
        ("threshold", True),
        ("threshold", 2.5),
        ("opt_level", 4),
        ("backend", "gcc"),
        ("stats", "perhaps"),
        ("stats", 2),
        ("passes", ""),
        ("passes", "a b"),
    ],
)
def test_wrong_values_say_what_is_right(name: str, value: object) -> None:
    with pytest.raises(OptionError) as caught:
        Options(**{name: value})
    assert name in str(caught.value) and options.TABLE[name].allowed in str(caught.value)


def test_wrong_names_list_the_right_ones() -> None:
    with pytest.raises(OptionError, match="did you mean 'threshold'.*max_versions"):
        Options(treshold=3)
    with pytest.raises(OptionError, match="JITCORE_TRESHOLD.*did you mean 'threshold'"):
        Options.from_environment({"JITCORE_TRESHOLD": "3"})


def test_environment() -> None:
    given = Options.from_environment(
        {
            "JITCORE": "1",
            "JITCORE_THRESHOLD": " 12 ",
            "JITCORE_STATS": "",
            "HOME": "x",
            "JITCORE_COMMAND": "1",
        }
    )
    assert given == Options(threshold=12)


def test_option_page_is_current() -> None:
    page = (ROOT / "docs" / "options.md").read_text("utf-8")
    assert page == options.markdown(), "python -m jitcore --list-options --markdown > docs/options.md"


def test_every_option_is_in_the_listing() -> None:
    assert all(name in options.listing() for name in options.TABLE)


# Reasons and reports


def test_reasons_have_sentences() -> None:
    for reason in Reason:
        assert reason.sentence.endswith(".") and len(reason.sentence) > 20
        assert Reason.from_key(reason.key) is reason
    assert len({r.sentence for r in Reason}) == len(Reason)


def test_summary_text() -> None:
    stats = report.Stats(
        regions=2,
        native_back_edges=75,
        interpreted_back_edges=25,
        refusals={"cold": 3, "trace_too_long": 9},
        rows=[
            report.RegionRow("f", __file__, 12, entries=4),
            report.RegionRow("g", "<string>", 1, state="retired"),
        ],
    )
    text = report.summary(stats)
    assert "75.0% of them native" in text and str(stats) == text
    assert text.index("trace_too_long") < text.index("cold: ")
    assert "g <string>:1 (retired)" in text
    assert pickle.loads(pickle.dumps(stats)) == stats


# The decorator


def plain(a: int, b: int = 2) -> int:
    return a + b


def test_jit_returns_the_same_object() -> None:
    assert jitcore.jit(plain) is plain
    assert jitcore.jit(threshold=3)(plain) is plain
    assert pickle.loads(pickle.dumps(plain)) is plain

    def outer() -> types.FunctionType:
        cell = 5

        @jitcore.jit
        def inner() -> int:
            return cell

        return inner

    assert outer()() == 5


def test_jit_on_methods() -> None:
    class C:
        @jitcore.jit
        def method(self) -> object:
            return self

        @jitcore.jit
        @staticmethod
        def static_outer() -> int:
            return 1

        @staticmethod
        @jitcore.jit
        def static_inner() -> int:
            return 2

        @jitcore.jit(threshold=9)
        @classmethod
        def class_outer(cls) -> object:
            return cls

        @classmethod
        @jitcore.jit
        def class_inner(cls) -> object:
            return cls

    c = C()
    assert c.method() is c and C.method(c) is c
    assert (C.static_outer(), c.static_inner()) == (1, 2)
    assert C.class_outer() is C and c.class_inner() is C
    assert isinstance(vars(C)["static_outer"], staticmethod)
    assert isinstance(vars(C)["class_outer"], classmethod)
    bound = c.method
    assert jitcore.jit(bound) is bound


@pytest.mark.parametrize("target", [len, int, 3, "text"])
def test_jit_refuses_what_has_no_bytecode(target: object) -> None:
    with pytest.raises(TypeError, match="takes Python functions"):
        jitcore.jit(target)


def test_jit_options_are_checked() -> None:
    with pytest.raises(OptionError, match="did you mean 'threshold'"):
        jitcore.jit(treshold=3)(plain)
    with pytest.raises(OptionError, match="not for single functions"):
        jitcore.jit(backend="llvm")(plain)


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        jitcore.no_such_name  # noqa: B018
    assert set(jitcore.__all__) <= set(dir(jitcore))
    for name in jitcore.__all__:
        assert getattr(jitcore, name) is not None
    assert callable(jitcore.explain) and callable(jitcore.stats) and callable(jitcore.compile)


# What importing costs


HEAVY = ["llvmlite", "numpy", "ctypes", "jitcore.engine", "dataclasses", "typing", "enum", "inspect"]


def test_import_is_light(tmp_path: pathlib.Path) -> None:
    code = f"import sys, jitcore; print([m for m in {HEAVY} if m in sys.modules and m not in before])"
    done = run("-c", "import sys; before = set(sys.modules); " + code, cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr


def test_import_takes_less_than_5_ms(tmp_path: pathlib.Path) -> None:
    code = "import time; t = time.process_time(); import jitcore; print(time.process_time() - t)"
    run("-c", code, cwd=tmp_path)  # writes the bytecode cache
    best = min(float(run("-c", code, cwd=tmp_path).stdout) for _ in range(5))
    assert best < 0.005


def test_decorating_does_not_import_llvmlite(tmp_path: pathlib.Path) -> None:
    code = (
        "import sys, jitcore\n@jitcore.jit\ndef f(): return 1\nf()\n"
        "print([m for m in ('llvmlite', 'numpy') if m in sys.modules])"
    )
    done = run("-c", code, cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr


def test_bare_source_tree_says_what_to_install(tmp_path: pathlib.Path) -> None:
    package = pathlib.Path(jitcore.__file__).parent
    (tmp_path / "jitcore").mkdir()
    (tmp_path / "jitcore" / "__init__.py").write_text((package / "__init__.py").read_text("utf-8"))
    done = run("-S", "-c", "import jitcore", cwd=tmp_path)
    assert done.returncode == 1
    assert "ImportError" in done.stderr and f"-m pip install -e {tmp_path}" in done.stderr


def test_packages_are_all_listed() -> None:
    """Every folder with an __init__.py is in pyproject's list: setuptools cannot find them by itself here."""
    if not (ROOT / "jitcore").is_dir():
        pytest.skip("runs in the source tree")
    import tomllib

    listed = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    )
    found = set()
    for top in ("jitcore", "tracing", "optimizer", "backends"):
        for init in (ROOT / top).rglob("__init__.py"):
            dotted = ".".join(init.parent.relative_to(ROOT).parts)
            found.add(dotted if top == "jitcore" else "jitcore." + dotted)
    assert listed == found


# The start-up file


def test_startup_file_is_installed() -> None:
    line = (pathlib.Path(sysconfig.get_path("purelib")) / "jitcore_startup.pth").read_text("utf-8")
    assert line.startswith("import os;") and line.count("\n") == 1


LOADED = (
    "import sys; print([m for m in ('jitcore', 'jitcore.engine', 'llvmlite', 'numpy') if m in sys.modules])"
)


def test_startup_without_jitcore_loads_nothing(tmp_path: pathlib.Path) -> None:
    assert run("-c", LOADED, cwd=tmp_path).stdout == "[]\n"
    assert run("-c", LOADED, cwd=tmp_path, JITCORE="0").stdout == "[]\n"
    assert run("-c", LOADED, cwd=tmp_path, JITCORE="").stdout == "[]\n"


def test_startup_with_jitcore(tmp_path: pathlib.Path) -> None:
    done = run("-c", LOADED, cwd=tmp_path, JITCORE="1")
    assert done.stdout == "['jitcore', 'jitcore.engine']\n", done.stderr
    assert done.stderr == ""


def test_startup_never_stops_the_program(tmp_path: pathlib.Path) -> None:
    done = run("-c", "print('ran')", cwd=tmp_path, JITCORE="1", JITCORE_TRESHOLD="3")
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert done.stderr.startswith("jitcore: not started: ") and done.stderr.count("\n") == 1
    assert "'threshold'" in done.stderr


def test_switched_off(tmp_path: pathlib.Path) -> None:
    done = run("-c", "import jitcore; print(jitcore.jit(lambda: 4)())", cwd=tmp_path, JITCORE_ENABLED="0")
    assert (done.stdout, done.stderr) == ("4\n", "")


# The command line


PROGRAMS = {
    "arguments": "import sys; print(sys.argv, __name__, sys.path[0], __file__, __spec__)",
    "namespace": "import __main__; x = 1; print(sorted(vars(__main__)), __main__.x)",
    "pickle": "import pickle\nclass C: pass\nprint(type(pickle.loads(pickle.dumps(C()))) is C)",
    "depth": "import inspect; print([f.function for f in inspect.stack()])",
    "environment": "import os; print(sorted(k for k in os.environ))",
    "flags": "import sys; print(sys.flags, sys.orig_argv)",
    "exit number": "import sys; sys.exit(7)",
    "exit text": "raise SystemExit('sorry')",
    "exit none": "raise SystemExit",
    "error": "def f(n):\n    return 1 / n\n\ndef g():\n    f(0)\n\ng()",
    "error group": "raise ExceptionGroup('g', [ValueError(1), KeyError(2)])",
    "syntax error": "x = (1,\n",
    "chained": "try:\n    {}['a']\nexcept KeyError as e:\n    raise RuntimeError('b') from e",
    "hook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1 / 0",
    "interrupt": "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('no')",
    "at exit": (
        "import atexit\nclass D:\n    def __del__(self): print('del')\nd = D()\natexit.register(print, 'bye')"
    ),
    "thread": "import threading\nt = threading.Thread(target=lambda: print('t'))\nt.start()",
    "input": "print(input())",
}


def same(*program: str, cwd: pathlib.Path, stdin: str = "", flags: tuple[str, ...] = ()) -> None:
    expected = run(*flags, *program, cwd=cwd, stdin=stdin)
    got = run(*flags, "-m", "jitcore", *program, cwd=cwd, stdin=stdin)
    assert (got.returncode, got.stdout, got.stderr) == (expected.returncode, expected.stdout, expected.stderr)


@pytest.mark.parametrize("name", PROGRAMS)
def test_script_runs_as_with_python(name: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "prog.py").write_text(PROGRAMS[name] + "\n")
    same("prog.py", "a", "--stats", "-c", cwd=tmp_path, stdin="typed\n")


def test_other_ways_to_name_the_program(tmp_path: pathlib.Path) -> None:
    shown = "import sys; print(sys.argv, __name__, repr(sys.path[0]), __spec__ and __spec__.name)\n"
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(shown)
    (package / "module.py").write_text(shown + "def f(): raise KeyError(1)\nf()\n")
    same("-m", "package", "x", "-m", cwd=tmp_path)
    same("-m", "package.module", cwd=tmp_path)
    same("-m", "no_such_module", cwd=tmp_path)
    same("package", cwd=tmp_path)
    same("-c", shown + "1/0", "-O", "x", cwd=tmp_path)
    same("-", "y", cwd=tmp_path, stdin=shown + "1/0\n")
    same("no_such_file.py", cwd=tmp_path)


def test_interpreter_options_are_kept(tmp_path: pathlib.Path) -> None:
    code = "import sys; print(sys.flags, sys.warnoptions, sys._xoptions, sys.argv)"
    for flags in (("-O",), ("-Wignore", "-X", "dev"), ("-IB",), ("-W", "error", "-Xutf8"), ("-u", "-P")):
        same("-c", code, cwd=tmp_path, flags=flags)
    expected = run("-B", "-c", code, cwd=tmp_path)
    assert run("-Bmjitcore", "-c", code, cwd=tmp_path).stdout == expected.stdout


def test_command_line_options_reach_the_engine(tmp_path: pathlib.Path) -> None:
    code = (
        "import jitcore; o = jitcore.default_engine().options; print(o.threshold, o.verify, o.passes, "
        "o.trace_limit)"
    )
    done = run(
        *["-m", "jitcore", "-O", "threshold=3", "-Overify", "-O", "passes=all,-gvn", "-c", code],
        cwd=tmp_path,
        JITCORE_THRESHOLD="9",
        JITCORE_TRACE_LIMIT="77",
    )
    assert done.stdout == "3 True ('all', '-gvn') 77\n", done.stderr


def test_child_processes_run_as_they_would(tmp_path: pathlib.Path) -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {LOADED!r}])"
    assert run("-m", "jitcore", "-c", code, cwd=tmp_path).stdout == "[]\n"


def test_stats_at_exit(tmp_path: pathlib.Path) -> None:
    by_option = run("-m", "jitcore", "--stats", "-c", "print(1)", cwd=tmp_path)
    by_variable = run("-c", "print(1)", cwd=tmp_path, JITCORE="1", JITCORE_STATS="1")
    for done in (by_option, by_variable):
        assert done.stdout == "1\n"
        assert done.stderr.startswith("jitcore summary\n") and done.stderr.count("jitcore summary") == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--statts", "x.py"], "did you mean '--stats'"),
        (["-O", "treshold=3", "x.py"], "did you mean 'threshold'"),
        (["-O", "threshold", "x.py"], "needs a value"),
        (["-O", "threshold=x", "x.py"], "a whole number"),
        (["--stats"], "which program"),
        (["-m"], "argument expected"),
        ([], "usage:"),
    ],
)
def test_wrong_command_lines(arguments: list[str], message: str, tmp_path: pathlib.Path) -> None:
    done = run("-m", "jitcore", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and done.stdout == ""


def test_information_options(tmp_path: pathlib.Path) -> None:
    assert jitcore.__version__ in run("-m", "jitcore", "--version", cwd=tmp_path).stdout
    assert "usage:" in run("-m", "jitcore", "--help", cwd=tmp_path).stdout
    assert run("-m", "jitcore", "--list-options", "--markdown", cwd=tmp_path).stdout == options.markdown()


def test_interrupt_from_outside(tmp_path: pathlib.Path) -> None:
    """Ctrl-C ends the program the way it ends one of python: traceback, then death by the signal."""
    program = [sys.executable, "-m", "jitcore", "-c", "print('up', flush=True)\nwhile True: pass"]
    process = subprocess.Popen(
        program,
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert time.monotonic() - started < 10
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt") and "jitcore" not in errors


@pytest.mark.slow
@pytest.mark.parametrize("editable", [False, True], ids=["wheel", "editable"])
def test_fresh_environment(editable: bool, tmp_path: pathlib.Path) -> None:
    """Installed into an empty environment, the start-up file works; uninstalled, it is gone."""
    if not (ROOT / "build_backend.py").exists():
        pytest.skip("runs in the source tree")
    tree = tmp_path / "tree"
    packed = subprocess.run(
        [
            "tar",
            "-C",
            str(ROOT),
            "--exclude=.venv",
            "--exclude=.git",
            "--exclude=build",
            "--exclude=.ci",
            "-cf",
            "-",
            ".",
        ],
        stdout=subprocess.PIPE,
        check=True,
    )
    tree.mkdir()
    subprocess.run(["tar", "-C", str(tree), "-xf", "-"], input=packed.stdout, check=True)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python = str(tmp_path / "env" / "bin" / "python")

    def call(*arguments: str, **more: str) -> str:
        done = subprocess.run(
            [python, *arguments], cwd=tmp_path, env=clean_environment(**more), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def loaded(**more: str) -> str:
        return call("-c", "import sys; print('jitcore' in sys.modules)", **more)

    call("-m", "pip", "install", "-q", "--no-deps", *(["-e"] if editable else []), str(tree))
    assert loaded() == "False\n"
    assert loaded(JITCORE="1") == "True\n"
    assert (
        call("-c", "import jitcore.tracing, jitcore.optimizer.ops, jitcore.backends.llvm; print(1)") == "1\n"
    )
    call("-m", "pip", "uninstall", "-q", "-y", "jitcore")
    assert not list((tmp_path / "env").rglob("jitcore*.pth"))
    assert loaded(JITCORE="1") == "False\n"


# Bisection

BROKEN = """
import jitcore.optimizer.passes as passes
from jitcore.optimizer.registry import OPS

def broken(graph):
    for block in graph.blocks:
        for op in block.ops:
            if op.name == "int.xor":
                op.info = OPS["int.or"]
    return 1

passes.PASSES["jumps"] = broken

def first(n):
    total = 0
    for k in range(n):
        total += k
    return total

def second(n):
    total = 0
    for k in range(n):
        total ^= k
    return total

print(first(5000), second(5000))
"""


def test_bisecting_names_the_pass_and_the_region(tmp_path: pathlib.Path) -> None:
    (tmp_path / "prog.py").write_text(BROKEN)
    done = run("-m", "jitcore", "--bisect", "-O", "threshold=50", "prog.py", cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "the first pass that changes what the program does is" in last and ": jumps of second" in last
    (tmp_path / "prog.py").write_text(BROKEN.replace('["jumps"]', '["none"]'))
    done = run("-m", "jitcore", "--bisect", "-O", "threshold=50", "prog.py", cwd=tmp_path)
    assert done.returncode == 0 and "the same with all passes" in done.stderr


@pytest.mark.parametrize("culprit", [1, 2, 63, 64, 65, 1000, 4097])
def test_bisecting_finds_each_place(culprit: int) -> None:
    from jitcore.bisection import Outcome, search

    total, right = 5000, Outcome(0, b"1", b"")

    def attempt(limit: int) -> Outcome:
        last = f"{limit}: fold of f" if limit <= total else ""
        return Outcome(0, b"1" if limit < culprit else b"2", b"", last)

    assert search(right, attempt)[0] == culprit
    assert search(right, lambda limit: Outcome(0, b"2", b""))[0] == 0
    assert search(right, lambda limit: Outcome(0, b"1", b"", "x" if limit <= total else ""))[0] == -1
