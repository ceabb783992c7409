"""jitcore: a tracing JIT for stock CPython.

    from jitcore import jit

    @jit
    def f(n): ...

This module is the face only. Importing it must cost next to nothing (any process of an environment may do
it), so the engine is imported at the first use, and llvmlite when the first region is compiled. The functions
here act on the default engine, whose options come from the environment and the command line; `Engine` makes
others.

Where jitcore cannot work (an interpreter it does not know, a free-threaded build, ...) everything here does
nothing, after one line on stderr that says why: a program must run the same with and without its JIT.
"""

from __future__ import annotations

import os
import sys

__version__ = "0.1.0"

__all__ = [
    "Engine",
    "OptionError",
    "Options",
    "Reason",
    "Stats",
    "compile",
    "default_engine",
    "disable",
    "enable",
    "explain",
    "jit",
    "on",
    "start_soon",
    "stats",
]


def _check_installed() -> None:
    """Refuse to run from a bare source tree, where the folders beside this one are no part of the package."""
    if os.path.isdir(os.path.join(__path__[0], "tracing")):
        return  # a wheel: everything is inside
    for finder in sys.meta_path:
        if finder.find_spec("jitcore.tracing", __path__) is not None:
            return  # an editable install
    root = os.path.dirname(os.path.abspath(__path__[0]))
    raise ImportError(
        f"jitcore was imported from its source tree {root}, where it is not installed: "
        f"run '{sys.executable or 'python'} -m pip install -e {root}' "
        "(or leave that folder, if jitcore is installed elsewhere in this environment)"
    )


_check_installed()

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, overload

    from .engine import Engine, default_engine
    from .options import OptionError, Options
    from .reasons import Reason
    from .report import Stats

    F = TypeVar("F")

# Names that live in a module which is imported when they are first asked for.
_LAZY = {
    "Engine": "engine",
    "default_engine": "engine",
    "OptionError": "options",
    "Options": "options",
    "Reason": "reasons",
    "Stats": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'jitcore' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module("." + _LAZY[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


def _active_engine() -> Engine | None:
    """The default engine, or None where jitcore is switched off or the process is ending (silently), or where it cannot work
    (said once)."""
    if sys.is_finalizing():
        return None
    from .engine import default_engine

    engine = default_engine()
    if not engine.options.enabled or engine.closed:
        return None
    reason = engine.inactive_reason
    if reason is not None:
        from . import log
        from .reasons import Reason

        # A program may make many subinterpreters, and none of them was asked to be fast: a line only for who wants lines.
        if reason.startswith(Reason.SUBINTERPRETER.sentence):
            log.info(f"inactive: {reason}")
        else:
            log.inactive(reason)
        return None
    _report_at_exit(engine)
    return engine


def _report_at_exit(engine: Engine) -> None:
    """Print a summary when the process ends, if the options say so."""
    if engine.options.stats:
        from . import report

        report.at_exit(engine)


def _jit(target: Any, values: dict[str, Any]) -> Any:
    function = target
    if isinstance(target, (staticmethod, classmethod)):
        function = target.__func__
    function = getattr(function, "__func__", function)  # a bound method, or a classmethod of a staticmethod
    if not hasattr(function, "__code__"):
        hint = "; decorate its methods instead" if isinstance(function, type) else ""
        raise TypeError(
            f"@jit takes Python functions, not {type(target).__name__} objects such as {target!r}{hint}"
        )
    if values:
        from .options import Options

        Options().for_function(**values)  # a wrong option is an error even where jitcore is off
    engine = _active_engine()
    if engine is not None:
        engine.register(function, **values)
    return target


if TYPE_CHECKING:

    @overload
    def jit(function: F, /) -> F: ...
    @overload
    def jit(**options: Any) -> Callable[[F], F]: ...
    def jit(function: Any = None, /, **options: Any) -> Any: ...

else:

    def jit(function=None, /, **options):
        """Mark a function for compilation: `@jit` or `@jit(threshold=10)`; returns the same object.

        Takes functions, methods, staticmethod and classmethod objects (in either order of decorators). The
        options are those of the table that make sense for one function. Raises TypeError for what has no
        bytecode, OptionError for wrong options.
        """
        if function is not None:
            return _jit(function, options)
        return lambda target: _jit(target, options)


def enable(everything: bool = True) -> None:
    """Start the default engine:

    compile whatever gets hot, or (everything=False) only what @jit has marked.
    """
    engine = _active_engine()
    if engine is not None:
        engine.enable(everything)


def start_soon() -> None:
    """Start the default engine for everything when the program has run for a moment (the option `start_after`): what JITCORE=1
    does. Raises OptionError for wrong options."""
    from .engine import default_engine

    engine = default_engine()
    if not engine.options.enabled:
        return
    _report_at_exit(engine)
    engine.enable_soon(lambda: _active_engine() is not None)


def disable() -> None:
    """Stop the default engine: the program runs interpreted from here on."""
    from .engine import default_engine

    default_engine().disable()


def compile(function: Any, *args: Any) -> Any:
    """Compile a function ahead for arguments like these (it is called with them).

    What Engine.compile returns.
    """
    from .engine import default_engine

    return default_engine().compile(function, *args)


def stats() -> Stats:
    """What the default engine has done so far."""
    from .engine import default_engine

    return default_engine().stats()


def explain(function: Any, **choices: Any) -> Any:
    """The regions of a function: recordings, form before and after the passes, LLVM IR and assembly."""
    from .engine import default_engine

    return default_engine().explain(function, **choices)


def on(event: str, callback: Callable[..., object]) -> None:
    """Call back at 'recorded', 'compiled', 'refused' or 'invalidated' events of the default engine."""
    from .engine import default_engine

    default_engine().on(event, callback)
