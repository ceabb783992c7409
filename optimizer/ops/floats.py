"""Doubles, with exactly CPython's results: no reassociation, no contraction, libm through opaque symbols."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cache
from typing import Any

from ..registry import op


@cache
def libm(name: str, arity: int) -> Callable[..., float]:
    """The C library's function of that name over doubles: CPython's math module calls the same ones."""
    fn = getattr(ctypes.CDLL(None), name)
    fn.restype = ctypes.c_double
    fn.argtypes = [ctypes.c_double] * arity
    return fn  # type: ignore[no-any-return]


@op("const.f", "", "f", imm="value")
def const_f(m: Any, value: float) -> float:
    """A constant."""
    return value


@op("float.add", "ff", "f")
def add(m: Any, a: float, b: float) -> float:
    """a + b."""
    return a + b


@op("float.sub", "ff", "f")
def sub(m: Any, a: float, b: float) -> float:
    """a - b."""
    return a - b


@op("float.mul", "ff", "f")
def mul(m: Any, a: float, b: float) -> float:
    """a * b."""
    return a * b


@op("float.div", "ff", "f")
def div(m: Any, a: float, b: float) -> float:
    """a / b; b is known not to be zero (IEEE division otherwise)."""
    if b != 0.0:
        return a / b
    sign = math.copysign(1.0, a) * math.copysign(1.0, b)
    return math.nan if a == 0.0 or a != a else math.copysign(math.inf, sign)


@op("float.floordiv", "ff", "f")
def floordiv(m: Any, a: float, b: float) -> float:
    """a // b as CPython computes it (from fmod); b is known not to be zero."""
    return a // b if b != 0.0 else math.nan


@op("float.mod", "ff", "f")
def mod(m: Any, a: float, b: float) -> float:
    """a % b as CPython computes it (fmod, sign of b, signed zero); b is known not to be zero."""
    return a % b if b != 0.0 else math.nan


@op("float.neg", "f", "f")
def neg(m: Any, a: float) -> float:
    """-a."""
    return -a


@op("float.abs", "f", "f")
def abs_(m: Any, a: float) -> float:
    """abs(a)."""
    return abs(a)


@op("float.lt", "ff", "b")
def lt(m: Any, a: float, b: float) -> bool:
    """a < b (false for nan)."""
    return a < b


@op("float.le", "ff", "b")
def le(m: Any, a: float, b: float) -> bool:
    """a <= b (false for nan)."""
    return a <= b


@op("float.gt", "ff", "b")
def gt(m: Any, a: float, b: float) -> bool:
    """a > b (false for nan)."""
    return a > b


@op("float.ge", "ff", "b")
def ge(m: Any, a: float, b: float) -> bool:
    """a >= b (false for nan)."""
    return a >= b


@op("float.eq", "ff", "b")
def eq(m: Any, a: float, b: float) -> bool:
    """a == b (false for nan)."""
    return a == b


@op("float.ne", "ff", "b")
def ne(m: Any, a: float, b: float) -> bool:
    """a != b (true for nan)."""
    return a != b


@op("float.select", "bff", "f")
def select(m: Any, c: bool, a: float, b: float) -> float:
    """a where c, else b."""
    return a if c else b


@op("float.from_int", "i", "f")
def from_int(m: Any, a: int) -> float:
    """float(a), rounded to nearest even."""
    return float(a)


@op("float.fits_int", "f", "b")
def fits_int(m: Any, a: float) -> bool:
    """Whether abs(a) < 2**62: truncation fits an i64 (false for nan and infinities)."""
    return abs(a) < 2.0**62


@op("float.to_int", "f", "i")
def to_int(m: Any, a: float) -> int:
    """a truncated towards zero; known to fit. Total: must not trap."""
    return int(a) if abs(a) < 2.0**62 else 0


@op("float.is_finite", "f", "b")
def is_finite(m: Any, a: float) -> bool:
    """Neither infinite nor nan."""
    return math.isfinite(a)


@op("float.sqrt", "f", "f")
def sqrt(m: Any, a: float) -> float:
    """Square root; a is known to be >= 0 (or nan)."""
    return math.sqrt(a) if a >= 0.0 else math.nan


@op("float.floor", "f", "f")
def floor(m: Any, a: float) -> float:
    """The largest integral double not above a."""
    return float(libm("floor", 1)(a))


@op("float.ceil", "f", "f")
def ceil(m: Any, a: float) -> float:
    """The smallest integral double not below a."""
    return float(libm("ceil", 1)(a))


@op("float.trunc", "f", "f")
def trunc(m: Any, a: float) -> float:
    """a rounded towards zero, as a double."""
    return float(libm("trunc", 1)(a))


@op("float.roundeven", "f", "f")
def roundeven(m: Any, a: float) -> float:
    """The nearest integral double, ties to even."""
    return math.copysign(float(round(a)), a) if abs(a) < 2.0**52 else a


@op("float.copysign", "ff", "f")
def copysign(m: Any, a: float, b: float) -> float:
    """abs(a) with b's sign."""
    return math.copysign(a, b)


@op("float.libm1", "f", "f", imm="function")
def libm1(m: Any, a: float, function: str) -> float:
    """function(a) of the C math library, called, never rewritten. Error cases are guarded by whoever emits it."""
    return float(libm(function, 1)(a))


@op("float.libm2", "ff", "f", imm="function")
def libm2(m: Any, a: float, b: float, function: str) -> float:
    """function(a, b) of the C math library, called, never rewritten."""
    return float(libm(function, 2)(a, b))
