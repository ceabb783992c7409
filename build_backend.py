"""The build backend: setuptools, plus one start-up file in site-packages.

`JITCORE=1 python prog.py` needs a line that every Python process of the environment runs at its start: a
`.pth` file at the top of site-packages. setuptools has no public way to put a file there that works for
wheels *and* editable installs (an editable wheel holds a path finder instead of the package), so this backend
lets setuptools build its wheel and then adds the file to it, with its line in RECORD. A wheel is a zip file
with a published format, so this leans on no internals of setuptools.

Why no `.start` file for CPython 3.15, which would replace the import line: it makes `site` import `pkgutil`
and all that this needs in every process, JITCORE set or not (measured: 10 ms start-up time become 18 ms, the
`.pth` line costs nothing that can be told from noise). Import lines of `.pth` files are honoured up to 3.17.
When they go, a `jitcore_startup.start` next to the `.pth` is one more entry in START_FILES: of two files of
one name Python runs one.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from typing import Any

from setuptools import build_meta as _setuptools

START_FILES = {
    # One line beginning with "import" is what `site` executes. JITCORE is for users; JITCORE_COMMAND is how
    # `python -m jitcore` hands its options to the process it turns into.
    "jitcore_startup.pth": (
        'import os; (os.environ.get("JITCORE", "0") not in ("", "0") or "JITCORE_COMMAND" in os.environ)'
        ' and __import__("jitcore._startup")\n'
    ),
}

get_requires_for_build_wheel = _setuptools.get_requires_for_build_wheel
get_requires_for_build_editable = _setuptools.get_requires_for_build_editable
get_requires_for_build_sdist = _setuptools.get_requires_for_build_sdist
prepare_metadata_for_build_wheel = _setuptools.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = _setuptools.prepare_metadata_for_build_editable
build_sdist = _setuptools.build_sdist


def build_wheel(directory: str, settings: dict[str, Any] | None = None, metadata: str | None = None) -> str:
    name = _setuptools.build_wheel(directory, settings, metadata)
    add_start_files(os.path.join(directory, name))
    return name


def build_editable(
    directory: str, settings: dict[str, Any] | None = None, metadata: str | None = None
) -> str:
    name = _setuptools.build_editable(directory, settings, metadata)
    add_start_files(os.path.join(directory, name))
    return name


def add_start_files(wheel: str) -> None:
    """Rewrite the wheel at this path with START_FILES at its top level and in its RECORD."""
    changed = wheel + ".new"
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new:
        members = old.infolist()
        record = next(m for m in members if m.filename.endswith(".dist-info/RECORD"))
        for member in members:
            if member is not record:
                new.writestr(member, old.read(member))
        lines = old.read(record).decode("utf-8").splitlines()
        for filename, text in START_FILES.items():
            data = text.encode("utf-8")
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")
            lines.append(f"{filename},sha256={digest},{len(data)}")
            entry = zipfile.ZipInfo(filename, date_time=record.date_time)
            entry.external_attr = 0o644 << 16
            new.writestr(entry, data)
        new.writestr(record, "\n".join(lines) + "\n")
    os.replace(changed, wheel)
