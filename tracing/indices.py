"""Indices of sequences, which Python counts from either end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..optimizer.ir import Value
from .exceptions import require

if TYPE_CHECKING:
    from .translate import Translator


def wrapped(t: Translator, index: Value, length: Value) -> Value:
    """The index counted from the start: may still be out of range on either side."""
    known = t.known.get(index)
    if known is not None:
        return index if known >= 0 else t.emit("int.add", index, length)
    negative = t.emit("int.lt", index, t.const_i(0))
    return t.emit("int.add", index, t.emit("int.select", negative, length, t.const_i(0)))


def checked_index(t: Translator, index: Value, length: Value) -> Value:
    """The same, checked against length; out of range it is an IndexError."""
    at = wrapped(t, index, length)
    require(t, t.emit("int.below", at, length), True, IndexError)
    return at
