"""Callbacks that are Python code, and signals.

A handler of the program that runs at the start of a callback of ours, and raises, would have its exception leave the callback. Nothing
is imported here: this is needed before anything else is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

FAULTS = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGABRT", "SIGSYS")
"""Signals that a thread sends to itself by a fault: they are never held up."""
AFTER_YIELD_FROM = 2  # RESUME_AFTER_YIELD_FROM of CPython's opcode_utils.h, the same in all versions

Function = TypeVar("Function", bound=Callable[..., object])


def _resume() -> None: ...


RESUME = _resume.__code__.co_code[0]
"""What every plain function begins with."""


def starts_quietly(function: Function) -> Function:
    """A decorator for callbacks that are Python code: signal handlers do not run before their first statement, which is to
    be a `try`. CPython looks at the eval breaker when a function starts (its RESUME instruction), outside of any handler of
    the function; RESUME with another argument, as generators have it behind `yield from`, does not look."""
    code = function.__code__  # type: ignore[attr-defined]
    raw = bytearray(code.co_code)
    if raw[0] == RESUME and raw[1] == 0:
        raw[1] = AFTER_YIELD_FROM
        function.__code__ = code.replace(co_code=bytes(raw))  # type: ignore[attr-defined]
    return function
