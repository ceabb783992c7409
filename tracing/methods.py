"""Methods of built-in types: found on the type, which cannot change."""

from __future__ import annotations

METHOD_DESCRIPTOR = type(list.append)
BUILTIN_TYPES = frozenset(
    {list, tuple, str, bytes, dict, set, frozenset, int, float, bool, complex, bytearray, range, slice}
)


def find(kind: type, name: str) -> object | None:
    """The method descriptor that `instance.name(...)` calls, for exact built-in types; None otherwise."""
    if kind not in BUILTIN_TYPES:
        return None
    for base in kind.__mro__:
        if name in base.__dict__:
            found = base.__dict__[name]
            return found if type(found) is METHOD_DESCRIPTOR else None
    return None
