"""Items of `array.array`: numbers that are never objects. The typecode is known; it says what an item is."""

from __future__ import annotations

import ctypes
from typing import Any

from ...abi import memory
from ...abi.arrays import ARRAY_DESCRIPTION, ARRAY_ITEMS, ARRAY_SIZE, WIDTHS, description
from ..registry import op

C_TYPES: dict[str, Any] = {
    "b": ctypes.c_int8,
    "B": ctypes.c_uint8,
    "h": ctypes.c_int16,
    "H": ctypes.c_uint16,
    "i": ctypes.c_int32,
    "I": ctypes.c_uint32,
    "l": ctypes.c_int64,
    "q": ctypes.c_int64,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}


def item(o: int, i: int, code: str) -> Any:
    return C_TYPES[code].from_address(memory.read64(o + ARRAY_ITEMS) + WIDTHS[code] * i)


@op("array.kind_is", "o", "b", imm="code")
def kind_is(m: Any, o: int, code: str) -> bool:
    """Whether an exact array has that typecode (which never changes)."""
    return memory.read64(o + ARRAY_DESCRIPTION) == description(code)


@op("array.len", "o", "i", reads="list")
def array_len(m: Any, o: int) -> int:
    """Number of items."""
    return int(memory.read64(o + ARRAY_SIZE))


@op("array.get_i", "oi", "i", reads="list item", imm="code")
def get_i(m: Any, o: int, i: int, code: str) -> int:
    """Item i, in range, of an array of ints."""
    return int(item(o, i, code).value)


@op("array.get_f", "oi", "f", reads="list item", imm="code")
def get_f(m: Any, o: int, i: int, code: str) -> float:
    """Item i, in range, of an array of floats."""
    return float(item(o, i, code).value)


@op("array.set_i", "oii", "", writes="item", imm="code")
def set_i(m: Any, o: int, i: int, v: int, code: str) -> None:
    """Store v, which fits, at index i, in range."""
    item(o, i, code).value = v


@op("array.set_f", "oif", "", writes="item", imm="code")
def set_f(m: Any, o: int, i: int, v: float, code: str) -> None:
    """Store v, rounded to the item's width, at index i, in range."""
    item(o, i, code).value = v
