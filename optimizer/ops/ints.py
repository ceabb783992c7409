"""Integers that fit 64 bits, and conditions.

`*_ovf` operations are guards: where the exact result does not fit they leave, and the interpreter goes on with
arbitrary precision. `*_fits` operations stand where the result is known to fit, from what iterators are or because value ranges
showed it; passes and LLVM rely on that, so they must not be moved to where it may be otherwise. The others wrap.
"""

from __future__ import annotations

from typing import Any

from ..registry import GuardFailed, op

MIN, MAX = -(1 << 63), (1 << 63) - 1
EXACT_DOUBLE = 1 << 53


def wrap(n: int) -> int:
    """n reduced to a signed 64-bit integer."""
    return ((n + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def fit(n: int) -> int:
    """n itself where it fits 64 bits, else the guard fails."""
    if MIN <= n <= MAX:
        return n
    raise GuardFailed


@op("const.i", "", "i", imm="value")
def const_i(m: Any, value: int) -> int:
    """A constant."""
    return value


@op("const.b", "", "b", imm="value")
def const_b(m: Any, value: bool) -> bool:
    """A constant condition."""
    return value


@op("int.add_ovf", "ii", "i", guard=True, commutes=True)
def add_ovf(m: Any, a: int, b: int) -> int:
    """a + b; leaves on overflow."""
    return fit(a + b)


@op("int.sub_ovf", "ii", "i", guard=True)
def sub_ovf(m: Any, a: int, b: int) -> int:
    """a - b; leaves on overflow."""
    return fit(a - b)


@op("int.mul_ovf", "ii", "i", guard=True, commutes=True)
def mul_ovf(m: Any, a: int, b: int) -> int:
    """a * b; leaves on overflow."""
    return fit(a * b)


@op("int.shl_ovf", "ii", "i", guard=True)
def shl_ovf(m: Any, a: int, b: int) -> int:
    """a << b; leaves when b is not in 0..62 or bits are lost."""
    if not 0 <= b <= 62:
        raise GuardFailed
    return fit(a << b)


@op("int.pow_ovf", "ii", "i", guard=True)
def pow_ovf(m: Any, a: int, b: int) -> int:
    """a ** b; leaves when b is negative or the result does not fit."""
    if b < 0 or b > 62 and abs(a) > 1:
        raise GuardFailed
    return fit(a**b) if abs(a) > 1 else (1 if b == 0 or a == 1 or (a == -1 and b % 2 == 0) else a)


@op("int.add", "ii", "i", commutes=True)
def add(m: Any, a: int, b: int) -> int:
    """a + b, wrapping."""
    return wrap(a + b)


@op("int.sub", "ii", "i")
def sub(m: Any, a: int, b: int) -> int:
    """a - b, wrapping."""
    return wrap(a - b)


@op("int.mul", "ii", "i", commutes=True)
def mul(m: Any, a: int, b: int) -> int:
    """a * b, wrapping."""
    return wrap(a * b)


@op("int.add_fits", "ii", "i", commutes=True)
def add_fits(m: Any, a: int, b: int) -> int:
    """a + b, which fits."""
    return wrap(a + b)


@op("int.sub_fits", "ii", "i")
def sub_fits(m: Any, a: int, b: int) -> int:
    """a - b, which fits."""
    return wrap(a - b)


@op("int.mul_fits", "ii", "i", commutes=True)
def mul_fits(m: Any, a: int, b: int) -> int:
    """a * b, which fits."""
    return wrap(a * b)


@op("int.div_pos", "ii", "i")
def div_pos(m: Any, a: int, b: int) -> int:
    """a // b where a is not negative and b is positive."""
    return a // b if b else 0


@op("int.rem_pos", "ii", "i")
def rem_pos(m: Any, a: int, b: int) -> int:
    """a % b where a is not negative and b is positive."""
    return a % b if b else 0


@op("int.and", "ii", "i", commutes=True)
def and_(m: Any, a: int, b: int) -> int:
    """a & b."""
    return a & b


@op("int.or", "ii", "i", commutes=True)
def or_(m: Any, a: int, b: int) -> int:
    """a | b."""
    return a | b


@op("int.xor", "ii", "i", commutes=True)
def xor(m: Any, a: int, b: int) -> int:
    """a ^ b."""
    return a ^ b


@op("int.invert", "i", "i")
def invert(m: Any, a: int) -> int:
    """~a."""
    return ~a


@op("int.shr", "ii", "i")
def shr(m: Any, a: int, b: int) -> int:
    """a >> b (arithmetic); b is known not to be negative and may exceed 63."""
    return a >> min(b, 63)


@op("int.floordiv", "ii", "i")
def floordiv(m: Any, a: int, b: int) -> int:
    """a // b; b is known to be neither 0 nor -1 (which overflows for the smallest int). Total: must not trap."""
    return a // b if b not in (0, -1) else 0


@op("int.mod", "ii", "i")
def mod(m: Any, a: int, b: int) -> int:
    """a % b with the sign of b; b is known to be neither 0 nor -1. Total: must not trap."""
    return a % b if b not in (0, -1) else 0


@op("int.lt", "ii", "b")
def lt(m: Any, a: int, b: int) -> bool:
    """a < b."""
    return a < b


@op("int.le", "ii", "b")
def le(m: Any, a: int, b: int) -> bool:
    """a <= b."""
    return a <= b


@op("int.gt", "ii", "b")
def gt(m: Any, a: int, b: int) -> bool:
    """a > b."""
    return a > b


@op("int.ge", "ii", "b")
def ge(m: Any, a: int, b: int) -> bool:
    """a >= b."""
    return a >= b


@op("int.eq", "ii", "b", commutes=True)
def eq(m: Any, a: int, b: int) -> bool:
    """a == b."""
    return a == b


@op("int.ne", "ii", "b", commutes=True)
def ne(m: Any, a: int, b: int) -> bool:
    """a != b."""
    return a != b


@op("int.below", "ii", "b")
def below(m: Any, a: int, b: int) -> bool:
    """0 <= a < b for b not negative: one unsigned comparison."""
    return (a & (2**64 - 1)) < (b & (2**64 - 1))


@op("int.select", "bii", "i")
def select(m: Any, c: bool, a: int, b: int) -> int:
    """a where c, else b."""
    return a if c else b


@op("int.from_bool", "b", "i")
def from_bool(m: Any, a: bool) -> int:
    """1 or 0."""
    return int(a)


@op("int.exact_double", "i", "b")
def exact_double(m: Any, a: int) -> bool:
    """Whether abs(a) <= 2**53: conversion to double is exact."""
    return -EXACT_DOUBLE <= a <= EXACT_DOUBLE


@op("int.range_len", "iii", "i")
def range_len(m: Any, start: int, stop: int, step: int) -> int:
    """len(range(start, stop, step)); step is not 0. The differences wrap, as in 64-bit unsigned arithmetic."""
    return wrap(len_of(start, stop, step))


def len_of(start: int, stop: int, step: int) -> int:
    if step > 0:
        return (stop - start - 1) // step + 1 if start < stop else 0
    return (start - stop - 1) // -step + 1 if step < 0 and start > stop else 0


@op("bool.not", "b", "b")
def not_(m: Any, a: bool) -> bool:
    """not a."""
    return not a


@op("bool.and", "bb", "b", commutes=True)
def bool_and(m: Any, a: bool, b: bool) -> bool:
    """a and b, both evaluated."""
    return a and b


@op("bool.or", "bb", "b", commutes=True)
def bool_or(m: Any, a: bool, b: bool) -> bool:
    """a or b, both evaluated."""
    return a or b


@op("bool.xor", "bb", "b", commutes=True)
def bool_xor(m: Any, a: bool, b: bool) -> bool:
    """a != b."""
    return a != b


@op("bool.select", "bbb", "b")
def bool_select(m: Any, c: bool, a: bool, b: bool) -> bool:
    """a where c, else b."""
    return a if c else b
