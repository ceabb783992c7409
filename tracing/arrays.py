"""Subscripts of `array.array`: native for every typecode whose items fit an unboxed number.

The recorder notes typecodes among the observed `items`. Everything that raises (an index out of range, a number
that does not fit, a float for an array of ints) leaves before the bytecode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..abi.arrays import LIMITS, WIDTHS, array_type, description
from .bytecodes_numbers import as_float, as_int
from .indices import checked_index
from .values import AV, Num

if TYPE_CHECKING:
    from .translate import Translator


def observed_code(t: Translator, kind: object) -> str:
    """The one typecode of the arrays seen at the current bytecode; '' where there was none or several, or one that has no
    native form."""
    if kind is None or kind is not array_type():
        return ""
    seen = t.observation()
    codes = [code for code in (seen.items if seen is not None else ()) if isinstance(code, str)]
    return codes[0] if len(codes) == 1 and description(codes[0]) else ""


def place(t: Translator, container: AV, key: AV, position: int, code: str) -> tuple[object, object] | None:
    """The array and the checked index; None where the key is no int."""
    index = t.number(key, t.expected(position))
    if index is None or index.repr == "f":
        return None
    base = t.boxed(container)
    t.guard(t.emit("array.kind_is", base, imm=(code,)))
    return base, checked_index(t, as_int(t, index), t.emit("array.len", base))


def load_item(t: Translator, container: AV, key: AV, code: str) -> bool:
    """container[key] on the stack for both; False where this is not to be done here."""
    found = place(t, container, key, 1, code)
    if found is None:
        return False
    t.drop_check(container, key)
    value = t.emit("array.get_f" if code in "fd" else "array.get_i", *found, imm=(code,))  # type: ignore[arg-type]
    t.pop()
    t.pop()
    t.drop(key)
    t.drop(container)
    t.push(Num(value))
    return True


def store_item(t: Translator, container: AV, key: AV, value: AV, code: str) -> bool:
    """container[key] = value; all three go off the stack."""
    number = t.number(value, t.expected(0))
    if number is None or number.repr == "f" and code not in "fd":
        return False
    found = place(t, container, key, 2, code)
    if found is None:
        return False
    if code in "fd":
        stored, name = as_float(t, number), "array.set_f"
    else:
        stored, name = as_int(t, number), "array.set_i"
        if WIDTHS[code] < 8:
            low, high = LIMITS[code]
            t.guard(t.emit("int.le", t.const_i(low), stored))
            t.guard(t.emit("int.le", stored, t.const_i(high)))
    t.drop_check(container, key, value)
    for _ in range(3):
        t.pop()
    t.emit(name, *found, stored, imm=(code,))  # type: ignore[arg-type]
    for av in (value, key, container):
        t.drop(av)
    return True


__all__ = ["load_item", "observed_code", "store_item"]
