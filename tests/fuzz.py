"""Random programs, interpreted and under jitcore: `python -m tests.fuzz --seconds 20`.

Each program (tests/generator.py) runs plain, then three times per mode under an engine with tiny thresholds: native,
native with every guard forced out in turn, and (a share of programs) on the reference backend. Logs must be equal to
the last character. A share of the programs is then repeated to see that memory does not grow.

Batches run in child processes, so that a crash costs one batch and names its seed. What fails is run again alone, made
smaller (statements are dropped and expressions replaced by their parts as long as it still fails, each try in a
forked child) and printed. The exit code is 1 then, and also when not a single region was entered: a fuzz that tests
nothing must not look like a success.
"""

from __future__ import annotations

import argparse
import ast
import copy
import faulthandler
import gc
import os
import queue
import random
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

if __package__:
    from .generator import Prepared, generate
else:
    from generator import Prepared, generate  # type: ignore[import-not-found,no-redef]

MODES: dict[str, dict[str, object]] = {
    "llvm": {},
    "llvm-deopt": {"deopt_every": 1},
    "reference": {"backend": "reference"},
    "reference-deopt": {"backend": "reference", "deopt_every": 1},
}
REPEATS = 3
PROGRAM_TIMEOUT = 90.0


class Problem(Exception):
    """jitcore did something else than the interpreter; the text says what."""


def first_difference(expected: list[str], got: list[str]) -> str:
    for k, (a, b) in enumerate(zip(expected, got, strict=False)):
        if a != b:
            return f"line {k} of the log:\n    plain   {a[:600]}\n    jitcore {b[:600]}"
    longer, whose = (expected, "plain") if len(expected) > len(got) else (got, "jitcore")
    return f"{abs(len(expected) - len(got))} more lines with {whose}: {longer[min(len(expected), len(got))][:600]}"


def growth(program: Prepared, rounds: int) -> int:
    """Blocks of memory that `rounds` runs leave behind."""
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(rounds):
        program.run()
    gc.collect()
    return sys.getallocatedblocks() - before


def check_memory(program: Prepared, engine: object) -> None:
    """A program that is repeated settles down; then nothing may pile up, whatever is entered and left."""
    for _ in range(4):
        program.run()
    rounds, tries = 6, []
    for _ in range(24):  # caches of the process fill up for a while; what leaks never ends
        made = (len(engine.regions), engine.bridges, sum(engine.refusals.values()))  # type: ignore[attr-defined]
        grown = growth(program, rounds)
        if made == (len(engine.regions), engine.bridges, sum(engine.refusals.values())):  # type: ignore[attr-defined]
            tries.append(grown)
            if grown <= rounds:
                return
    if len(tries) >= 3:
        raise Problem(f"memory grows: {rounds} runs leave {tries} blocks behind")


def check(
    source: str, mode: str, memory: bool = False, inspect: Callable[[Any], None] | None = None, **options: object
) -> Counter[str]:
    """Runs a program plain and in a mode. Raises Problem where they differ; counts what was native. `inspect` is called with
    the engine before it is closed."""
    from jitcore import Engine

    plain = Prepared(source)
    expected = plain.run()
    if plain.run() != expected:
        return Counter(unsteady=1)
    program = Prepared(source)
    engine = Engine(**{"threshold": 3, "exit_threshold": 2, "verify": True, **MODES[mode], **options})
    internal: list[str] = []

    def refused(_event: str, details: dict[str, object]) -> None:
        if details.get("reason") == "internal_error":
            internal.append(f"{details.get('where')}: {details.get('detail')}")

    engine.on("refused", refused)
    before = engine_counts(engine)
    engine.enable()
    try:
        if engine.inactive_reason is not None:
            raise Problem(f"jitcore is inactive: {engine.inactive_reason}")
        for k in range(REPEATS):
            got = program.run()
            if got != expected:
                engine.disable()
                raise Problem(f"run {k + 1}: {first_difference(expected, got)}")
        if internal:
            raise Problem(f"internal error: {internal[0]}")
        if memory:
            check_memory(program, engine)
        if inspect is not None:
            engine.disable()
            inspect(engine)
        counts = engine_counts(engine)
        counts.subtract(before)
        counts["regions"] = len(engine.regions)
        counts["refusals"] = sum(engine.refusals.values())
        return counts
    finally:
        engine.close()


def engine_counts(engine: object) -> Counter[str]:
    """Counters of the runtime; they belong to the process, not to the engine."""
    if "jitcore.backends.runtime" not in sys.modules:
        return Counter()
    counters = sys.modules["jitcore.backends.runtime"].runtime().counters()
    return Counter(entries=counters.get("entries", 0), exits=counters.get("exits", 0))


def modes_for(seed: int, chosen: str | None) -> list[str]:
    if chosen == "reference":
        return ["reference", "reference-deopt"]
    share = [] if chosen == "llvm" else ["reference", "reference-deopt"][seed // 6 % 2 :][:1] if seed % 6 == 0 else []
    return ["llvm", "llvm-deopt", *share]


def settings(options: argparse.Namespace, seed: int, mode: str) -> dict[str, object]:
    """Options of the engine. Most of the time goes into LLVM, so only some programs get its whole pipeline."""
    values: dict[str, object] = {"threshold": options.threshold, "opt_level": 0 if seed % 4 else 2}
    if options.deopt_every and mode.endswith("deopt"):
        values["deopt_every"] = options.deopt_every
    return values


# ---- a batch, in a child ------------------------------------------------------------------------------------------


def work(options: argparse.Namespace) -> int:
    """Check seeds, one line of output each. The parent watches."""
    faulthandler.enable()
    end = time.monotonic() + options.seconds
    total: Counter[str] = Counter()
    failed = False
    for seed in range(options.seed, options.seed + options.count):
        if time.monotonic() > end:
            break
        source = generate(seed)
        for mode in modes_for(seed, options.backend):
            say("try", seed, mode)
            try:
                counts = check(source, mode, seed % 5 == 0 and mode == "llvm", **settings(options, seed, mode))
            except Problem as problem:
                say("fail", seed, mode, ascii(str(problem)))
                failed = True
            except BaseException:
                say("fail", seed, mode, ascii("harness: " + traceback.format_exc(limit=-4)))
                failed = True
            else:
                total.update(counts)
                total[f"programs:{mode}"] += 1
        say("done", seed)
        if failed:
            break
    say("total", *[f"{k}={v}" for k, v in total.items()])
    return int(failed)


def say(*words: object) -> None:
    print(*words, flush=True)


class Batch:
    """A child with a batch of seeds, and what became of it."""

    def __init__(self, options: argparse.Namespace, seed: int, count: int, seconds: float) -> None:
        self.last: tuple[int, str] = (seed, "llvm")
        self.next_seed = seed
        self.total: Counter[str] = Counter()
        self.failure = ""
        arguments = ["-X", "faulthandler", "-m", "tests.fuzz", "--worker", "--seed", str(seed), "--count", str(count)]
        arguments += ["--seconds", str(seconds), "--threshold", str(options.threshold)]
        arguments += ["--deopt-every", str(options.deopt_every)]
        arguments += ["--backend", options.backend] if options.backend else []
        top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        child = subprocess.Popen(
            [sys.executable, *arguments], cwd=top, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.follow(child)

    def follow(self, child: subprocess.Popen[str]) -> None:
        lines: queue.Queue[str | None] = queue.Queue()
        errors: list[str] = []

        def read() -> None:
            assert child.stdout is not None
            for line in child.stdout:
                lines.put(line)
            lines.put(None)

        def read_errors() -> None:
            assert child.stderr is not None
            errors.extend(child.stderr)

        threads = [threading.Thread(target=read, daemon=True), threading.Thread(target=read_errors, daemon=True)]
        for thread in threads:
            thread.start()
        while True:
            try:
                line = lines.get(timeout=PROGRAM_TIMEOUT)
            except queue.Empty:
                child.send_signal(signal.SIGABRT)
                child.wait()
                self.failure = f"no end after {PROGRAM_TIMEOUT:.0f} s"
                break
            if line is None:
                break
            self.note(line)
        code = child.wait()
        for thread in threads:
            thread.join(5)
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
        if code not in (0, 1) and not self.failure:
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            self.failure = f"crash: {name}"
        if code and not self.failure:
            self.failure = "the child failed"
        if self.failure and (code < 0 or "child failed" in self.failure):
            self.failure += "\n" + "".join(errors[-40:])

    def note(self, line: str) -> None:
        word, *rest = line.split(maxsplit=3)
        if word == "try":
            self.last = (int(rest[0]), rest[1])
        elif word == "done":
            self.next_seed = int(rest[0]) + 1
        elif word == "fail" and not self.failure:
            self.last = (int(rest[0]), rest[1])
            self.failure = ast.literal_eval(rest[2])
        elif word == "total":
            self.total.update({k: int(v) for k, v in (pair.split("=") for pair in line.split()[1:])})


# ---- making a failing program smaller -----------------------------------------------------------------------------


def fails(source: str, mode: str, memory: bool, values: dict[str, object], seconds: float = 20.0) -> str:
    """How a program fails in a mode, in a forked child: '' (it does not), 'differs', 'crash' ...

    Forking from a process in which jitcore is imported, but has not started, makes a try cheap.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        answer = "harness"
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            check(source, mode, memory, **values)
            answer = ""
        except Problem as problem:
            answer = "differs" if str(problem).startswith("run") else str(problem).split(":")[0]
        except BaseException:
            pass
        finally:
            os.write(writer, b"." + answer.encode())
            os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], seconds)
    text = os.read(reader, 1000).decode() if ready else ""
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.close(reader)
    os.waitpid(child, 0)
    if not ready:
        return "no end"
    return text[1:] if text else "crash"


def bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            if isinstance(body, list) and body:
                yield body


def is_fuel(statement: ast.stmt) -> bool:
    """Statements that make loops end."""
    return isinstance(statement, ast.AugAssign) and "fuel" in ast.unparse(statement.target)


def smaller(tree: ast.Module) -> Iterator[ast.Module]:
    """Programs with something less, big steps first."""
    count = len(list(bodies(tree)))
    for size in (8, 4, 2, 1):
        for k in range(count):
            for start in range(0, 200, size):
                made = copy.deepcopy(tree)
                body = list(bodies(made))[k]
                if start >= len(body):
                    break
                part = body[start : start + size]
                if len(part) < size or any(is_fuel(s) for s in part):
                    continue
                body[start : start + size] = [] if len(body) > size else [ast.Pass()]
                if ast.dump(made) != ast.dump(tree):
                    yield made
    for k in range(count):
        for start in range(len(list(bodies(tree))[k])):
            made = copy.deepcopy(tree)
            body = list(bodies(made))[k]
            inner = getattr(body[start], "body", None)
            if isinstance(inner, list) and not isinstance(body[start], ast.FunctionDef):
                body[start : start + 1] = inner
                yield made
    places = [n for n in ast.walk(tree) if isinstance(n, ast.expr)]
    for k in range(len(places)):
        parts = [n for n in ast.iter_child_nodes(places[k]) if isinstance(n, ast.expr)]
        for p in range(len(parts)):
            made = copy.deepcopy(tree)
            place = [n for n in ast.walk(made) if isinstance(n, ast.expr)][k]
            if isinstance(getattr(place, "ctx", ast.Load()), ast.Load):
                part = [n for n in ast.iter_child_nodes(place) if isinstance(n, ast.expr)][p]
                yield Replace(place, part).visit(made)


class Replace(ast.NodeTransformer):
    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def shrink(
    source: str, mode: str, memory: bool, values: dict[str, object], seconds: float
) -> tuple[str, str]:
    """The smallest program found that fails the same way, and that way. '' if it does not fail alone."""
    import jitcore.backends.runtime  # noqa: F401  (imported, not started: children are forked from here)

    how = fails(source, mode, memory, values, 60)
    if not how or how == "no end":
        return source, how
    end = time.monotonic() + seconds
    tree = ast.parse(source)
    again = True
    while again and time.monotonic() < end:
        again = False
        for candidate in smaller(tree):
            if time.monotonic() > end:
                break
            try:
                text = ast.unparse(candidate)
                compile(text, "<candidate>", "exec")
            except (SyntaxError, ValueError):
                continue
            if fails(text, mode, memory, values) == how:
                tree, again = ast.parse(text), True
                break
    return ast.unparse(tree), how


# ---- the command --------------------------------------------------------------------------------------------------


def report(batch: Batch, options: argparse.Namespace, first: int) -> None:
    seed, mode = batch.last
    say(f"\nFAILED: seed {seed}, mode {mode}, Python {sys.version.split()[0]}\n{batch.failure}")
    memory = batch.failure.startswith("memory")
    values = settings(options, seed, mode)
    source, how = shrink(generate(seed), mode, memory, values, options.shrink_seconds)
    if not how:
        say(f"It does not fail alone; the batch began with seed {first}.")
        return
    say(f"\nmade smaller ({how}; after the prelude of tests/generator.py):\n\n{source}\n")
    if how not in ("crash", "no end"):
        try:
            check(source, mode, memory, **values)
        except BaseException as problem:
            say(problem)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="how long")
    parser.add_argument("--seed", type=int, help="the first seed; otherwise random")
    parser.add_argument("--count", type=int, default=10**9, help="at most so many programs")
    parser.add_argument("--backend", choices=("llvm", "reference"), help="only this backend")
    parser.add_argument("--deopt-every", type=int, default=0, help="for the modes that force guards (default 1)")
    parser.add_argument("--threshold", type=int, default=3)
    parser.add_argument("--batch", type=int, default=40, help="programs per child process")
    parser.add_argument("--shrink-seconds", type=float, default=60.0)
    parser.add_argument("--show", action="store_true", help="print the program of --seed and stop")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6) * 1000
    if options.show:
        say(generate(options.seed))
        return 0
    if options.worker:
        return work(options)
    end = time.monotonic() + options.seconds
    seed, last = options.seed, options.seed + options.count
    total: Counter[str] = Counter()
    while seed < last and time.monotonic() < end:
        batch = Batch(options, seed, min(options.batch, last - seed), end - time.monotonic())
        if batch.failure:
            report(batch, options, seed)
            return 1
        total.update(batch.total)
        if batch.next_seed == seed:
            break
        seed = batch.next_seed
    runs = ", ".join(f"{v} {k.partition(':')[2]}" for k, v in sorted(total.items()) if k.startswith("programs:"))
    say(f"fuzz: seeds {options.seed} to {seed - 1}: {runs}; all alike")
    say(f"fuzz: {total['regions']} regions, {total['entries']} native entries, {total['exits']} exits")
    if not total["regions"] or not total["entries"]:
        say("FAILED: nothing was compiled and entered, so nothing was tested")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
