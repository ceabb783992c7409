"""Object code kept on disk between processes.

The runtime's routines are the same in every process of one interpreter on one machine, and compiling them costs more
than everything else before the first region. Their object code holds no address (symbols are bound when it is
linked), so it is kept in the user's cache folder, one file per combination of what it was made from: the sources of
the routines, the interpreter's layout, LLVM, the processor. A wrong key would be a crash, so everything that went into
the text goes into the key.

Machine code from a file is as trustworthy as the file: the folder and the file must belong to this user and be
writable by nobody else, and the content must match its own digest. Anything else counts as not there. Nothing here
ever fails: without a cache the code is compiled.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

try:
    from _sha2 import sha256  # type: ignore[import-not-found]  # hashlib would load OpenSSL
except ImportError:
    from hashlib import sha256

KEPT = 40
"""Files that stay when a new one is written; the oldest go."""
DIGEST_BYTES = 32


def folder() -> str:
    """Where the files are: jitcore below XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "jitcore")


def key(parts: Iterable[bytes]) -> str:
    """The name for code made from these parts."""
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def load(name: str) -> bytes | None:
    """The code stored under that name, or None."""
    place = folder()
    try:
        if not own(os.stat(place)):
            return None
        with open(os.path.join(place, name), "rb") as file:
            if not own(os.fstat(file.fileno())):
                return None
            data = file.read()
    except OSError:
        return None
    code, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    return code if code and sha256(code).digest() == digest else None


def store(name: str, code: bytes) -> None:
    """Keep the code under that name, if that is possible."""
    place = folder()
    try:
        os.makedirs(place, 0o700, exist_ok=True)
        if not own(os.stat(place)):
            return
        temporary = os.path.join(place, f"{name}.{os.getpid()}")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(code + sha256(code).digest())
        os.replace(temporary, os.path.join(place, name))
        forget_old(place)
    except OSError:
        return


def own(status: os.stat_result) -> bool:
    """Whether only this user can have written it."""
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def forget_old(place: str) -> None:
    with os.scandir(place) as entries:
        files = sorted(((e.stat().st_mtime, e.path) for e in entries if e.is_file()), reverse=True)
    for _, path in files[KEPT:]:
        os.unlink(path)
