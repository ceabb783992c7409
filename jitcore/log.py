"""One-line messages to the user, on stderr.

jitcore never uses `logging`: it runs before the program has configured anything, its own code may be called
in the middle of a program's bytecode, and a message about the JIT must not end up in the program's log files.
A message that cannot be written (stderr closed or replaced by something broken) is dropped: the program
matters more.
"""

from __future__ import annotations

import sys

_said: set[str] = set()
_LEVELS = {"off": 0, "info": 1, "debug": 2}
_level = 0


def set_level(name: str) -> None:
    """Which of `info` and `debug` lines are written:

    the value of the option `log` ('off', 'info' or 'debug').
    """
    global _level
    _level = _LEVELS[name]


def enabled(name: str) -> bool:
    """Whether lines of this level are written: ask before composing an expensive message."""
    return _level >= _LEVELS[name]


def say(message: str) -> None:
    """Write 'jitcore: message' as one line."""
    stream = sys.stderr
    if stream is None:
        return
    try:
        stream.write("jitcore: " + " ".join(message.splitlines()) + "\n")
        stream.flush()
    except Exception:  # whatever stands in sys.stderr may raise anything
        return


def say_once(message: str) -> None:
    """As `say`, but the same message is written once per process."""
    if message not in _said:
        _said.add(message)
        say(message)


def info(message: str) -> None:
    if _level >= 1:
        say(message)


def debug(message: str) -> None:
    if _level >= 2:
        say(message)


def inactive(reason: str) -> None:
    """The one line for a user who asked for the JIT where it cannot work."""
    say_once(f"inactive: {reason}; the program runs interpreted")
