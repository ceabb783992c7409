"""The kernels' C twins (twins.c), built with the C compiler of this machine: how far away machine code could be.

They are a yardstick, not a goal: a C array of doubles is less work than a list of float objects that anybody may look at. The compiler
folds what it can prove (sum_int needs no loop), as it would in any program.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "twins.c")
COMPILERS = ("gcc", "cc", "clang")

_folder: tempfile.TemporaryDirectory[str] | None = None


def compiler() -> str | None:
    """The path of a C compiler, or None."""
    return next((path for path in map(shutil.which, COMPILERS) if path is not None), None)


def library() -> str | None:
    """The path of the twins as a shared library, built at the first call and gone when the process ends; None without a compiler
    that can do it."""
    global _folder
    command = compiler()
    if command is None:
        return None
    if _folder is None:
        _folder = tempfile.TemporaryDirectory(prefix="jitcore-twins-")
    made = os.path.join(_folder.name, "twins.so")
    if not os.path.exists(made):
        # No contraction of products and sums: values are compared to the bit.
        arguments = ["-O2", "-ffp-contract=off", "-shared", "-fPIC", "-o", made, SOURCE, "-lm"]
        try:
            subprocess.run([command, *arguments], check=True, capture_output=True, timeout=120)
        except (OSError, subprocess.SubprocessError):
            return None
    return made
