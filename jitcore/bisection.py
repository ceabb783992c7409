"""`python -m jitcore --bisect prog.py`: which optimizer pass, of which region, changes what a program does.

The program is run interpreted and then, again and again, with passes on only the first so many graphs and passes
(option `pass_limit`), until two limits are neighbours of which one gives the interpreter's result and the other does
not. What is compared: exit code, standard output, and standard error without jitcore's own lines. The program has to
do the same in every run and must not need input.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from .records import dataclass

FIRST = 64
MARK = "jitcore: pass "
PATIENCE = 60.0
"""Seconds that a run may take beyond ten times as long as the interpreter."""


@dataclass(frozen=True)
class Outcome:
    """What can be seen of a run. `last` names the pass that used up the limit, where that many were applied."""

    code: int | None
    out: bytes
    err: bytes
    last: str = ""

    def same(self, other: Outcome) -> bool:
        return (self.code, self.out, self.err) == (other.code, other.out, other.err)


def execute(command: list[str], timeout: float | None = None) -> Outcome:
    """Run a command; the code is None where it took too long."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("JITCORE")}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as late:
        return Outcome(None, late.stdout or b"", b"")
    lines = done.stderr.splitlines()
    last = next((line.decode() for line in reversed(lines) if line.startswith(MARK.encode())), "")
    rest = b"\n".join(line for line in lines if not line.startswith(b"jitcore: "))
    return Outcome(done.returncode, done.stdout, rest, last.removeprefix(MARK))


def search(expected: Outcome, attempt: Callable[[int], Outcome]) -> tuple[int, str]:
    """(the smallest limit found under which the program does something else, what was applied last there); (0, "") if
    it does so with no pass at all, (-1, "") if it never does."""
    if not expected.same(attempt(0)):
        return 0, ""
    good, bad = 0, FIRST
    while True:
        outcome = attempt(bad)
        if not expected.same(outcome):
            break
        if not outcome.last:  # fewer were applied than allowed
            return -1, ""
        good, bad = bad, bad * 2
    last = outcome.last
    while bad - good > 1:
        middle = (good + bad) // 2
        outcome = attempt(middle)
        if expected.same(outcome):
            good = middle
        else:
            bad, last = middle, outcome.last
    return bad, last


def bisect(flags: list[str], options: dict[str, str], command: list[str]) -> int:
    """Do it and print what was found. Returns the exit code: 0 if all agree, 1 if not."""
    from time import perf_counter

    start = perf_counter()
    expected = execute([sys.executable, *flags, *command])
    patience = PATIENCE + 10 * (perf_counter() - start)
    if not expected.same(execute([sys.executable, *flags, *command], patience)):
        print("jitcore: two interpreted runs differ already: make the program repeatable first", file=sys.stderr)
        return 1

    def attempt(limit: int) -> Outcome:
        given = [word for name, text in options.items() for word in ("-O", f"{name}={text}")]
        given += ["-O", f"pass_limit={limit}"]
        outcome = execute([sys.executable, *flags, "-m", "jitcore", *given, *command], patience)
        print(f"jitcore: passes 1 to {limit}: {'same' if outcome.same(expected) else 'DIFFERENT'}", file=sys.stderr)
        return outcome

    limit, last = search(expected, attempt)
    if limit < 0:
        print("jitcore: the program does the same with all passes as interpreted", file=sys.stderr)
        return 0
    if limit == 0:
        print(
            "jitcore: the program does something else with no pass at all: it is not the optimizer (try "
            "-O backend=reference)",
            file=sys.stderr,
        )
    else:
        print(f"jitcore: the first pass that changes what the program does is {last or f'number {limit}'}", file=sys.stderr)
    return 1
