"""What lies around the engine: the interpreter it runs in, jitcore's own code, the frames of whoever called it.

None of this is compiled or counted, and all of it can be asked before there is anything to compile: nothing here imports the compiler.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec
from types import FrameType

from .reasons import Reason

PACKAGES = ("jitcore", "jitcore.tracing", "jitcore.optimizer", "jitcore.backends", "llvmlite")


def environment_problem() -> str | None:
    """Why jitcore cannot work in this process; None where it can."""
    if sys.implementation.name != "cpython" or sys.version_info[:2] < (3, 12):
        return Reason.UNKNOWN_INTERPRETER.sentence
    if hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled():
        return Reason.FREE_THREADED.sentence
    try:
        from .abi import check, in_main_interpreter
    except ImportError as error:  # an isolated subinterpreter refuses extension modules that do not support it
        return f"{Reason.SUBINTERPRETER.sentence} ({error})"
    if not in_main_interpreter():
        return Reason.SUBINTERPRETER.sentence
    problem = check()
    return f"{Reason.UNKNOWN_INTERPRETER.sentence} ({problem})" if problem else None


@cache
def own_folders() -> tuple[str, ...]:
    """Where jitcore's own code lies (several folders in an editable install), and what it runs on: never compiled."""
    found: list[str] = []
    for name in PACKAGES:
        try:
            spec = find_spec(name)
        except Exception as error:  # an import hook of the program may raise anything
            from .abi.pending import is_the_programs

            if is_the_programs(error):
                raise  # a signal handler did: this is asked again
            continue
        if spec is not None:
            found += spec.submodule_search_locations or ()
    return tuple(found)


def user_frame() -> FrameType | None:
    """The innermost frame that is not jitcore's own."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(own_folders()):
        frame = frame.f_back
    return frame


def importing(frame: FrameType | None) -> bool:
    """Whether the frame is part of an import."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def from_llvmlite(error: BaseException) -> bool:
    """Whether the exception came out of llvmlite, or misses something in it."""
    if isinstance(error, AttributeError) and getattr(error.obj, "__name__", "").startswith("llvmlite"):
        return True
    trace = error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == "llvmlite":
            return True
        trace = trace.tb_next
    return False
