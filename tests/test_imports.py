"""Imports inside functions: what native code makes of them, and that it notices when modules change."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import programs_alike
import pytest

from jitcore import Engine

PRELUDE = """
import builtins, sys
from importlib.machinery import ModuleSpec
from types import ModuleType
"""

PROGRAMS: dict[str, str] = {
    "modules that stay": """
        def one(i):
            import math
            from os import path
            from os.path import join as j
            import os.path as p, os.path
            from collections import abc, OrderedDict
            return math.gcd(i, 12), path is p, j("a", "b"), os.sep, abc.Sized.__name__, OrderedDict.__name__
        def work(n):
            return [one(i) for i in range(n)]
        """,
    "an attribute that changes": """
        def work(n):
            out = []
            for i in range(n):
                import jc_first
                from jc_first import value, double
                out.append((value, double(i), jc_first.value))
                if i % 16 == 7:
                    jc_first.value = i
            return out
        """,
    "modules that come and go": """
        def get():
            import jc_first
            return jc_first.name
        def work(n):
            out, old = [], sys.modules["jc_first"]
            for i in range(n):
                try:
                    out.append(get())
                except ImportError as error:
                    out.append((type(error).__name__, str(error), error.name))
                if i % 24 == 11:
                    del sys.modules["jc_first"]
                if i % 24 == 13:
                    sys.modules["jc_first"] = old
                if i % 24 == 17:
                    other = sys.modules["jc_first"] = ModuleType("jc_first")
                    other.name = "another"
                if i % 24 == 19:
                    sys.modules["jc_first"] = None
                if i % 24 == 21:
                    sys.modules["jc_first"] = old
            return out
        """,
    "names that are not there": """
        def get():
            from jc_first import sometimes
            return sometimes
        def work(n):
            out, module = [], sys.modules["jc_first"]
            module.sometimes = 0
            for i in range(n):
                try:
                    out.append(get())
                except ImportError as error:
                    out.append((str(error), error.name, error.__traceback__.tb_next.tb_lineno))
                if i % 24 == 11:
                    del module.sometimes
                if i % 24 == 13:
                    module.sometimes = i
            return out
        """,
    "an __import__ of its own": """
        def get(i):
            import jc_first
            from jc_first import value
            return jc_first.name, value
        def work(n):
            out, usual = [], builtins.__import__
            def own(name, globals=None, locals=None, fromlist=(), level=0):
                if name.startswith("jc_"):
                    out.append((name, locals, fromlist, level))
                return usual(name, globals, locals, fromlist, level)
            try:
                for i in range(n):
                    builtins.__import__ = own if i % 24 == 19 else usual
                    out.append(get(i))
            finally:
                builtins.__import__ = usual
            return out
        """,
    "from inside a package": """
        __package__ = "jc_package"
        __spec__ = ModuleSpec("jc_package.inside", None)
        def get():
            from . import value, part
            from .part import value as other
            return value, part.__name__, other
        def work(n):
            out = []
            for i in range(n):
                out.append(get())
                if i % 16 == 7:
                    sys.modules["jc_package.part"].value = i
                if i % 16 == 9:
                    part = sys.modules["jc_package"].part
                    del sys.modules["jc_package"].part
                    out.append(get()[2])
                    sys.modules["jc_package"].part = part
            return out
        """,
    "a module that answers by itself": """
        def get(i):
            from jc_lively import anything
            import jc_lively
            return anything, jc_lively.other
        def work(n):
            return [get(i) for i in range(n)]
        """,
}


@pytest.fixture(autouse=True)
def modules() -> Iterator[None]:
    def make(name: str, /, **values: Any) -> ModuleType:
        made = ModuleType(name)
        made.__spec__ = ModuleSpec(name, None, is_package="__path__" in values)
        made.__dict__.update(values)
        return made

    part = make("jc_package.part", value=5)
    names: dict[str, ModuleType] = {
        "jc_first": make("jc_first", name="first", value=1, double=lambda x: x * 2),
        "jc_package": make("jc_package", __path__=[], value=3, part=part),
        "jc_package.part": part,
        "jc_lively": make("jc_lively", __getattr__=lambda name: f"some {name}" if name[:1] != "_" else exec("raise AttributeError")),
    }
    sys.modules.update(names)
    yield
    for name in names:
        sys.modules.pop(name, None)


def outcomes(work: Callable[[int], Any]) -> list[str]:
    """What it returns, with modules as they were before each call."""
    first = sys.modules["jc_first"]
    kept = dict(first.__dict__)
    made = []
    for n in (30, 50, 50):
        made.append(repr(work(n)))
        sys.modules["jc_first"] = first
        first.__dict__.update(kept)
        sys.modules["jc_package.part"].value = 5  # type: ignore[attr-defined]
    return made


@pytest.mark.stress
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("mode", ["llvm", "every guard leaves", "reference"])
def test_alike(mode: str, name: str) -> None:
    stays_out = name == "a module that answers by itself"
    programs_alike.check(mode, PRELUDE, PROGRAMS[name], outcomes=outcomes, refused=("internal_error",), may_stay_out=stays_out)


def imports(n: int) -> float:
    total = 0.0
    for i in range(n):
        from math import sqrt

        total += sqrt(i)
    return total


def test_nothing_is_left_of_an_import() -> None:
    engine = Engine(threshold=5, background=False, deopt_every=0)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    with engine:
        for _ in range(10):
            imports(200)
        before = engine.stats().native_entries
        imports(5000)
        assert engine.stats().native_entries - before < 10
        assert "sqrt" in engine.explain(imports).regions[-1].after
    engine.close()
