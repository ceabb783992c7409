"""Integers and conditions.

Everything without `_ovf`, `_fits` or `_pos` is total: it may stand before the guard that makes its operands sensible, so
divisors that trap are replaced first. Divisors and shift counts are mostly literals; those get the short
forms here, because LLVM cannot see that `q - (r != 0 && r ^ b < 0)` is a shift.
"""

from __future__ import annotations

from ...optimizer.ir import Op
from .lower_base import Emitter, literal, lowering, templates

PAIR = "{ i64, i1 }"

templates(
    {
        "int.add": "add i64 {0}, {1}",
        "int.sub": "sub i64 {0}, {1}",
        "int.mul": "mul i64 {0}, {1}",
        "int.add_fits": "add nsw i64 {0}, {1}",
        "int.sub_fits": "sub nsw i64 {0}, {1}",
        "int.mul_fits": "mul nsw i64 {0}, {1}",
        "int.div_pos": "udiv i64 {0}, {1}",
        "int.rem_pos": "urem i64 {0}, {1}",
        "int.and": "and i64 {0}, {1}",
        "int.or": "or i64 {0}, {1}",
        "int.xor": "xor i64 {0}, {1}",
        "int.invert": "xor i64 {0}, -1",
        "int.lt": "icmp slt i64 {0}, {1}",
        "int.le": "icmp sle i64 {0}, {1}",
        "int.gt": "icmp sgt i64 {0}, {1}",
        "int.ge": "icmp sge i64 {0}, {1}",
        "int.eq": "icmp eq i64 {0}, {1}",
        "int.ne": "icmp ne i64 {0}, {1}",
        "int.below": "icmp ult i64 {0}, {1}",
        "int.select": "select i1 {0}, i64 {1}, i64 {2}",
        "int.from_bool": "zext i1 {0} to i64",
        "bool.not": "xor i1 {0}, true",
        "bool.and": "and i1 {0}, {1}",
        "bool.or": "or i1 {0}, {1}",
        "bool.xor": "xor i1 {0}, {1}",
        "bool.select": "select i1 {0}, i1 {1}, i1 {2}",
    }
)


@lowering("const.i")
def const_i(e: Emitter, op: Op) -> str:
    return str(int(op.imm[0]))  # type: ignore[call-overload]


@lowering("const.b")
def const_b(e: Emitter, op: Op) -> str:
    return "true" if op.imm[0] else "false"


OVERFLOW = {"int.add_ovf": "sadd", "int.sub_ovf": "ssub", "int.mul_ovf": "smul"}


@lowering(*OVERFLOW)
def overflow(e: Emitter, op: Op, a: str, b: str) -> str:
    function = e.intrinsic(f"llvm.{OVERFLOW[op.name]}.with.overflow.i64", "{i64,i1} (i64, i64)")
    return checked(e, op, e.let(f"call {PAIR} {function}(i64 {a}, i64 {b})"))


def checked(e: Emitter, op: Op, pair: str) -> str:
    """The first half of a pair whose second half says that the operation failed."""
    e.leave_if(e.let(f"extractvalue {PAIR} {pair}, 1"), op.state)
    return e.let(f"extractvalue {PAIR} {pair}, 0")


@lowering("int.shl_ovf")
def shl_ovf(e: Emitter, op: Op, a: str, b: str) -> str:
    count = e.let(f"and i64 {b}, 63")
    made = e.let(f"shl i64 {a}, {count}")
    same = e.let(f"icmp eq i64 {e.let(f'ashr i64 {made}, {count}')}, {a}")
    small = e.let(f"icmp ult i64 {b}, 63")
    e.guard(e.let(f"and i1 {same}, {small}"), op.state)
    return made


@lowering("int.pow_ovf")
def pow_ovf(e: Emitter, op: Op, a: str, b: str) -> str:
    e.intrinsic("llvm.smul.with.overflow.i64", "{i64,i1} (i64, i64)")
    e.helpers["jc_pow"] = POW
    return checked(e, op, e.let(f"call {PAIR} @jc_pow(i64 {a}, i64 {b})"))


# Square and multiply. A square that overflows while bits of the exponent remain is a factor of the result,
# whose magnitude then exceeds 2**63 (which is no square itself).
POW = """define internal { i64, i1 } @jc_pow(i64 %a, i64 %b) nounwind {
entry:
  %neg = icmp slt i64 %b, 0
  br i1 %neg, label %fail, label %head
head:
  %e = phi i64 [ %b, %entry ], [ %rest, %square ]
  %base = phi i64 [ %a, %entry ], [ %squared, %square ]
  %made = phi i64 [ 1, %entry ], [ %next, %square ]
  %bit = and i64 %e, 1
  %odd = icmp ne i64 %bit, 0
  %factor = select i1 %odd, i64 %base, i64 1
  %product = call { i64, i1 } @llvm.smul.with.overflow.i64(i64 %made, i64 %factor)
  %bad = extractvalue { i64, i1 } %product, 1
  br i1 %bad, label %fail, label %step
step:
  %next = extractvalue { i64, i1 } %product, 0
  %rest = lshr i64 %e, 1
  %done = icmp eq i64 %rest, 0
  br i1 %done, label %out, label %more
more:
  %wide = call { i64, i1 } @llvm.smul.with.overflow.i64(i64 %base, i64 %base)
  %over = extractvalue { i64, i1 } %wide, 1
  br i1 %over, label %fail, label %square
square:
  %squared = extractvalue { i64, i1 } %wide, 0
  br label %head
out:
  %good = insertvalue { i64, i1 } { i64 undef, i1 false }, i64 %next, 0
  ret { i64, i1 } %good
fail:
  ret { i64, i1 } { i64 0, i1 true }
}"""


@lowering("int.shr")
def shr(e: Emitter, op: Op, a: str, b: str) -> str:
    known = literal(b)
    if known is not None:
        return e.let(f"ashr i64 {a}, {min(known & (2**64 - 1), 63)}")
    clamp = e.intrinsic("llvm.umin.i64", "i64 (i64, i64)")
    return e.let(f"ashr i64 {a}, {e.let(f'call i64 {clamp}(i64 {b}, i64 63)')}")


@lowering("int.floordiv")
def floordiv(e: Emitter, op: Op, a: str, b: str) -> str:
    known = literal(b)
    if known in (0, -1):
        return "0"
    if known is not None and known > 0 and known & (known - 1) == 0:
        return e.let(f"ashr i64 {a}, {known.bit_length() - 1}")
    traps, divisor = safe_divisor(e, b)
    quotient = e.let(f"sdiv i64 {a}, {divisor}")
    rest = e.let(f"srem i64 {a}, {divisor}")
    less = e.let(f"sext i1 {signs_differ(e, rest, divisor)} to i64")
    return zero_where(e, traps, e.let(f"add i64 {quotient}, {less}"))


@lowering("int.mod")
def mod(e: Emitter, op: Op, a: str, b: str) -> str:
    known = literal(b)
    if known in (0, -1):
        return "0"
    if known is not None and known > 0 and known & (known - 1) == 0:
        return e.let(f"and i64 {a}, {known - 1}")
    traps, divisor = safe_divisor(e, b)
    rest = e.let(f"srem i64 {a}, {divisor}")
    more = e.let(f"select i1 {signs_differ(e, rest, divisor)}, i64 {divisor}, i64 0")
    return zero_where(e, traps, e.let(f"add i64 {rest}, {more}"))


def safe_divisor(e: Emitter, b: str) -> tuple[str, str]:
    """Whether b is 0 or -1 ('' when it is a literal that is neither), and b or 1."""
    if literal(b) is not None:
        return "", b
    traps = e.let(f"icmp ult i64 {e.let(f'add i64 {b}, 1')}, 2")
    return traps, e.let(f"select i1 {traps}, i64 1, i64 {b}")


def signs_differ(e: Emitter, rest: str, divisor: str) -> str:
    """Whether the remainder is not zero and has the other sign: C rounded the quotient up."""
    some = e.let(f"icmp ne i64 {rest}, 0")
    other = e.let(f"icmp slt i64 {e.let(f'xor i64 {rest}, {divisor}')}, 0")
    return e.let(f"and i1 {some}, {other}")


def zero_where(e: Emitter, condition: str, value: str) -> str:
    return e.let(f"select i1 {condition}, i64 0, i64 {value}") if condition else value


@lowering("int.exact_double")
def exact_double(e: Emitter, op: Op, a: str) -> str:
    return e.let(f"icmp ule i64 {e.let(f'add i64 {a}, {2**53}')}, {2**54}")


@lowering("int.range_len")
def range_len(e: Emitter, op: Op, start: str, stop: str, step: str) -> str:
    known = literal(step)
    if known == 0:
        return "0"
    if known is not None:
        low, high, size = (start, stop, str(known)) if known > 0 else (stop, start, str(-known))
        some = e.let(f"icmp slt i64 {low}, {high}")
    else:
        up = e.let(f"icmp sgt i64 {step}, 0")
        low = e.let(f"select i1 {up}, i64 {start}, i64 {stop}")
        high = e.let(f"select i1 {up}, i64 {stop}, i64 {start}")
        none = e.let(f"icmp eq i64 {step}, 0")
        size = e.let(f"select i1 {up}, i64 {step}, i64 {e.let(f'sub i64 0, {step}')}")
        size = e.let(f"select i1 {none}, i64 1, i64 {size}")
        ordered = e.let(f"icmp slt i64 {low}, {high}")
        some = e.let(f"select i1 {none}, i1 false, i1 {ordered}")
    span = e.let(f"sub i64 {high}, {low}")
    steps = e.let(f"udiv i64 {e.let(f'sub i64 {span}, 1')}, {size}")
    return e.let(f"select i1 {some}, i64 {e.let(f'add i64 {steps}, 1')}, i64 0")
