"""Doubles. No fast-math flags anywhere, and LLVM never contracts without one.

Functions of the C library are called through symbols of our own (`jc_libm_pow`): LLVM knows `pow` by name
and rewrites it to functions with other results. They are declared free of memory effects; errno is nobody's
business here. Rounding intrinsics become calls of `floor`, `ceil` ... on processors without an instruction
for them, so these symbols are always provided.
"""

from __future__ import annotations

import ctypes
from functools import cache

from ...optimizer.ir import Op
from .lower_base import Emitter, double, lowering, templates

templates(
    {
        "float.add": "fadd double {0}, {1}",
        "float.sub": "fsub double {0}, {1}",
        "float.mul": "fmul double {0}, {1}",
        "float.div": "fdiv double {0}, {1}",
        "float.neg": "fneg double {0}",
        "float.lt": "fcmp olt double {0}, {1}",
        "float.le": "fcmp ole double {0}, {1}",
        "float.gt": "fcmp ogt double {0}, {1}",
        "float.ge": "fcmp oge double {0}, {1}",
        "float.eq": "fcmp oeq double {0}, {1}",
        "float.ne": "fcmp une double {0}, {1}",
        "float.select": "select i1 {0}, double {1}, double {2}",
        "float.from_int": "sitofp i64 {0} to double",
    }
)


@cache
def libm_address(name: str) -> int:
    """The address of a function of the C math library; raises AttributeError where there is none."""
    try:
        fn = getattr(ctypes.CDLL(None), name)
    except AttributeError:
        from ctypes.util import find_library  # which loads subprocess

        fn = getattr(ctypes.CDLL(find_library("m")), name)
    return ctypes.cast(fn, ctypes.c_void_p).value or 0


def libm(e: Emitter, name: str, *args: str) -> str:
    """Call a function of the C math library under a name that LLVM does not know."""
    params = ", ".join(["double"] * len(args))
    attributes = "nounwind willreturn memory(none)"
    function = e.function(f"jc_libm_{name}", "double", params, attributes, libm_address(name))
    return e.let(f"call double {function}({', '.join(f'double {a}' for a in args)})")


@lowering("const.f")
def const_f(e: Emitter, op: Op) -> str:
    return double(op.imm[0])  # type: ignore[arg-type]


def unary(e: Emitter, function: str, a: str) -> str:
    return e.let(f"call double {e.intrinsic(f'llvm.{function}.f64', 'double (double)')}(double {a})")


UNARY = {"float.abs": "fabs", "float.sqrt": "sqrt"}
ROUNDING = {f"float.{name}": name for name in ("floor", "ceil", "trunc", "roundeven")}


@lowering(*UNARY)
def intrinsic(e: Emitter, op: Op, a: str) -> str:
    return unary(e, UNARY[op.name], a)


@lowering(*ROUNDING)
def rounding(e: Emitter, op: Op, a: str) -> str:
    function = ROUNDING[op.name]
    e.symbols.setdefault(function, libm_address(function))
    return unary(e, function, a)


@lowering("float.copysign")
def copysign(e: Emitter, op: Op, a: str, b: str) -> str:
    return with_sign(e, a, b)


def with_sign(e: Emitter, a: str, b: str) -> str:
    function = e.intrinsic("llvm.copysign.f64", "double (double, double)")
    return e.let(f"call double {function}(double {a}, double {b})")


@lowering("float.fits_int")
def fits_int(e: Emitter, op: Op, a: str) -> str:
    return e.let(f"fcmp olt double {unary(e, 'fabs', a)}, {double(2.0**62)}")


@lowering("float.to_int")
def to_int(e: Emitter, op: Op, a: str) -> str:
    fits = e.let(f"fcmp olt double {unary(e, 'fabs', a)}, {double(2.0**62)}")
    return e.let(f"select i1 {fits}, i64 {e.let(f'fptosi double {a} to i64')}, i64 0")


@lowering("float.is_finite")
def is_finite(e: Emitter, op: Op, a: str) -> str:
    return e.let(f"fcmp one double {unary(e, 'fabs', a)}, {double(float('inf'))}")


ZERO, ONE, HALF = double(0.0), double(1.0), double(0.5)


def needs_wrap(e: Emitter, rest: str, b: str) -> str:
    """Whether fmod's result is not zero (nan is not) and its sign differs from the divisor's."""
    some = e.let(f"fcmp une double {rest}, {ZERO}")
    below = e.let(f"fcmp olt double {b}, {ZERO}")
    other = e.let(f"xor i1 {below}, {e.let(f'fcmp olt double {rest}, {ZERO}')}")
    return e.let(f"and i1 {some}, {other}")


@lowering("float.mod")
def mod(e: Emitter, op: Op, a: str, b: str) -> str:
    rest = libm(e, "fmod", a, b)
    wrap = needs_wrap(e, rest, b)
    some = e.let(f"fcmp une double {rest}, {ZERO}")
    made = e.let(f"select i1 {wrap}, double {e.let(f'fadd double {rest}, {b}')}, double {rest}")
    return e.let(f"select i1 {some}, double {made}, double {with_sign(e, ZERO, b)}")


@lowering("float.floordiv")
def floordiv(e: Emitter, op: Op, a: str, b: str) -> str:
    rest = libm(e, "fmod", a, b)
    wrap = needs_wrap(e, rest, b)
    plain = e.let(f"fdiv double {e.let(f'fsub double {a}, {rest}')}, {b}")
    div = e.let(f"select i1 {wrap}, double {e.let(f'fsub double {plain}, {ONE}')}, double {plain}")
    e.symbols.setdefault("floor", libm_address("floor"))
    floor = unary(e, "floor", div)
    low = e.let(f"fcmp ogt double {e.let(f'fsub double {div}, {floor}')}, {HALF}")
    near = e.let(f"select i1 {low}, double {e.let(f'fadd double {floor}, {ONE}')}, double {floor}")
    zero = with_sign(e, ZERO, e.let(f"fdiv double {a}, {b}"))
    some = e.let(f"fcmp une double {div}, {ZERO}")
    return e.let(f"select i1 {some}, double {near}, double {zero}")


@lowering("float.libm1")
def libm1(e: Emitter, op: Op, a: str) -> str:
    return libm(e, str(op.imm[0]), a)


@lowering("float.libm2")
def libm2(e: Emitter, op: Op, a: str, b: str) -> str:
    return libm(e, str(op.imm[0]), a, b)
