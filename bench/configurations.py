"""What is compared: this interpreter without and with jitcore, and the peers that this machine has.

A configuration is a command that runs a Python file and an environment for it. Environments are made from
the current one without any variable that steers a JIT; jitcore's own configuration gets the JITCORE_<NAME>
options back, so that `JITCORE_OPT_LEVEL=1 python -m bench` measures what it says.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field

from . import twins

PLAIN = "plain"
JITCORE = "jitcore"
_NEVER_PASSED = {"PYTHON_JIT", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONDONTWRITEBYTECODE"}
# Variables for one process only, or that would make every worker talk.
_NOT_PASSED = {"JITCORE", "JITCORE_COMMAND", "JITCORE_STATS"}


@dataclass(frozen=True)
class Configuration:
    """A way to run a Python file. `peer`: shown for comparison; what it gets wrong fails nothing."""

    name: str
    command: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    peer: bool = True
    numba: bool = False
    twins: str | None = None
    """The library of the kernels' C twins, which are called instead of the kernels."""

    @property
    def for_programs(self) -> bool:
        """Whether it runs whole programs, too."""
        return not self.numba and self.twins is None

    def environment(self) -> dict[str, str]:
        """The environment of its processes. Bytecode is kept, whatever the shell says: a process that compiles all it imports
        is not what anybody has, but for the first time."""
        base = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("JITCORE") and key not in _NEVER_PASSED
        }
        return {**base, "PYTHONHASHSEED": "0", **self.variables}


def own(at_once: bool = False) -> list[Configuration]:
    """This interpreter, plain and with jitcore. `at_once`: not only after a moment, which programs that are just a check do not take."""
    options = {
        key: value
        for key, value in os.environ.items()
        if key.startswith("JITCORE_") and key not in _NOT_PASSED
    }
    return [
        Configuration(PLAIN, (sys.executable,), peer=False),
        Configuration(JITCORE, (sys.executable,), {"JITCORE": "1", **({"JITCORE_START_AFTER": "0"} if at_once else {}), **options}, peer=False),
    ]


def peers() -> list[Configuration]:
    """Other compilers for Python that this machine has, and the C compiler."""
    found = []
    seen = set()
    for command in (sys.executable, "python3.14", "python3.15"):
        path = shutil.which(command)
        version = _own_jit(path) if path is not None else None
        if path is not None and version is not None and version not in seen:
            seen.add(version)
            found.append(Configuration(f"cpython{version}-jit", (path,), {"PYTHON_JIT": "1"}))
    pypy = shutil.which("pypy3")
    if pypy is not None:
        found.append(Configuration("pypy", (pypy,)))
    if importlib.util.find_spec("numba") is not None:
        found.append(Configuration("numba", (sys.executable,), numba=True))
    library = twins.library()
    if library is not None:
        found.append(Configuration("C -O2", (sys.executable,), twins=library))
    return found


def _own_jit(python: str) -> str | None:
    """The version of an interpreter that has a JIT of its own ('3.14'); None for all others."""
    code = "import sys; print('%d.%d' % sys.version_info[:2] if sys._jit.is_available() else '')"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def from_text(text: str) -> Configuration:
    """A peer from the command line: 'NAME=[VARIABLE=VALUE ...] COMMAND ...'.

    Raises ValueError with what is wrong.
    """
    name, mark, rest = text.partition("=")
    words = shlex.split(rest)
    variables = {}
    while words and "=" in words[0] and "/" not in words[0].partition("=")[0]:
        key, _, value = words.pop(0).partition("=")
        variables[key] = value
    if not mark or not name or not words:
        raise ValueError(
            f"wrong peer {text!r}: give NAME=[VARIABLE=VALUE ...] COMMAND, such as 'pypy=/opt/pypy/bin/pypy3'"
        )
    return Configuration(name, tuple(words), variables)
