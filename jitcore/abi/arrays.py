"""Objects of the module `array`: where they keep their items, and how one tells of which kind they are.

The module is an extension, so its objects are not part of the table in `layout` and of the self-test: most programs never
load it. They are looked at the first time such an object is compiled for, in the same way: every word against what
Python shows of the same object. Where anything differs, arrays get no native code of their own.

An array points to a description of its typecode, one for all arrays of that code for as long as the process lives, and an
array keeps its code for life.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from .memory import read64

ARRAY_SIZE = 16
ARRAY_ITEMS = 24
ARRAY_DESCRIPTION = 40

LIMITS = {
    "b": (-(1 << 7), (1 << 7) - 1),
    "B": (0, (1 << 8) - 1),
    "h": (-(1 << 15), (1 << 15) - 1),
    "H": (0, (1 << 16) - 1),
    "i": (-(1 << 31), (1 << 31) - 1),
    "I": (0, (1 << 32) - 1),
    "l": (-(1 << 63), (1 << 63) - 1),
    "q": (-(1 << 63), (1 << 63) - 1),
}
"""Typecodes of ints that fit 64 bits with their sign, and the numbers that items may be."""
WIDTHS = {"b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "l": 8, "q": 8, "f": 4, "d": 8}


def array_type() -> Any:
    """The type `array.array` if the program has loaded it, else None."""
    return getattr(sys.modules.get("array"), "array", None)


@cache
def description(code: str) -> int:
    """The address to which all arrays of that code point; 0 where arrays are not what is thought here."""
    kind = array_type()
    if kind is None or code not in WIDTHS:
        return 0
    found: set[int] = set()
    for length in (0, 1, 5, 77):
        one = kind(code, [k % 7 for k in range(length)])
        address, size = one.buffer_info()
        base = id(one)
        if one.itemsize != WIDTHS[code] or read64(base + ARRAY_SIZE) != size or size != length:
            return 0
        if length and read64(base + ARRAY_ITEMS) != address:
            return 0
        found.add(read64(base + ARRAY_DESCRIPTION))
    others = {read64(id(kind(other)) + ARRAY_DESCRIPTION) for other in WIDTHS if other != code}
    return found.pop() if len(found) == 1 and not found & others and 0 not in found else 0
