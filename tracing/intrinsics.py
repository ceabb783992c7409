"""Built-in functions that are open-coded where their arguments are numbers, lists or tuples.

Each function gets the translator and the arguments and returns the result's abstract value, or None to fall back to a
real call. They emit only operations without effects (guards may leave before the call); the caller drops operands.
`METHODS` are those with effects: they do the whole bytecode and say whether they did.

The domain guards in front of the C library's functions exclude exactly what CPython's math module treats specially
(Modules/mathmodule.c): errors, infinities, nan. The interpreter does those.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..optimizer.ir import Value
from .bytecodes_numbers import (
    DBL_MIN,
    LENGTHS,
    SIZED,
    arithmetic,
    as_float,
    as_int,
    compare,
    identity_of,
    known_kind,
    length_of,
    truth,
)
from .indices import checked_index
from .translate import Leave
from .values import AV, OWNED, Const, Num, Obj, Range, Tup
from .views import is_derived

if TYPE_CHECKING:
    from .translate import Translator

Intrinsic = Callable[["Translator", list[AV]], AV | None]
Method = Callable[["Translator", list[AV], list[AV]], bool]
INTRINSICS: dict[int, Intrinsic] = {}
METHODS: dict[int, Method] = {}


def intrinsic(*targets: object) -> Callable[[Intrinsic], Intrinsic]:
    def declare(fn: Intrinsic) -> Intrinsic:
        for target in targets:
            INTRINSICS[id(target)] = fn
        return fn

    return declare


def numbers(t: Translator, args: list[AV]) -> list[Num] | None:
    """All arguments as numbers, by known type or by the types observed at the call."""
    found = []
    for k, av in enumerate(args):
        n = t.number(av, t.expected(t.expected_operands() - len(args) + k))
        if n is None:
            return None
        found.append(n)
    return found


def or_default(t: Translator, found: Value, default: Obj | Const) -> Obj:
    """What was found, borrowed, or the default where that is NULL: as a reference of its own."""
    result = t.emit("obj.select", t.emit("obj.is_null", found), t.boxed(default), found)
    t.emit("obj.incref", result)
    return Obj(result, None, OWNED)


@intrinsic(len)
def len_(t: Translator, args: list[AV]) -> AV | None:
    if len(args) != 1:
        return None
    kinds = t.expected(t.expected_operands() - 1)
    known = all(kind in (*LENGTHS, *SIZED) or is_derived(kind) for kind in kinds)
    length = length_of(t, args[0], t.specialise(args[0], kinds) if known else t.type_of(args[0]))
    return Num(length) if length is not None else None


@intrinsic(abs)
def abs_(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args)
    if ns is None or len(ns) != 1:
        return None
    if ns[0].repr == "f":
        return Num(t.emit("float.abs", ns[0].value))
    value = as_int(t, ns[0])
    negated = t.emit("int.sub_ovf", t.const_i(0), value)
    return Num(t.emit("int.select", t.emit("int.lt", value, t.const_i(0)), negated, value))


def extreme(t: Translator, args: list[AV], symbol: str) -> AV | None:
    """min and max keep the first of equals: a later argument replaces the best so far only if it is strictly better."""
    ns = numbers(t, args)
    if ns is None or len(ns) < 2 or len({n.repr for n in ns}) != 1 or ns[0].repr == "b":
        return None
    best = ns[0]
    kind = "float" if best.repr == "f" else "int"
    for n in ns[1:]:
        better = compare(t, symbol, n, best)
        best = Num(t.emit(f"{kind}.select", better, n.value, best.value))
    return best


@intrinsic(min)
def min_(t: Translator, args: list[AV]) -> AV | None:
    return extreme(t, args, "<")


@intrinsic(max)
def max_(t: Translator, args: list[AV]) -> AV | None:
    return extreme(t, args, ">")


@intrinsic(int, math.trunc)
def int_(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args)
    if ns is None or len(ns) != 1:
        return None
    if ns[0].repr == "f":
        t.guard(t.emit("float.fits_int", ns[0].value))
        return Num(t.emit("float.to_int", ns[0].value))
    return Num(as_int(t, ns[0]))


@intrinsic(float)
def float_(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args)
    return Num(as_float(t, ns[0])) if ns is not None and len(ns) == 1 else None


@intrinsic(bool)
def bool_(t: Translator, args: list[AV]) -> AV | None:
    if len(args) != 1 or t.specialise(args[0], t.expected(t.expected_operands() - 1)) is None:
        return None
    value = truth(t, args[0])
    return Num(value) if value is not None else None


@intrinsic(round)
def round_(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args)
    if ns is None or len(ns) != 1:
        return None
    if ns[0].repr == "f":
        t.guard(t.emit("float.fits_int", ns[0].value))
        return Num(t.emit("float.to_int", t.emit("float.roundeven", ns[0].value)))
    return Num(as_int(t, ns[0]))


@intrinsic(divmod)
def divmod_(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args)
    if ns is None or len(ns) != 2:
        return None
    quotient, remainder = arithmetic(t, "//", *ns), arithmetic(t, "%", *ns)
    if quotient is None or remainder is None:
        return None
    return Tup([Num(quotient), Num(remainder)])


@intrinsic(pow)
def pow_(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args)
    if ns is None or len(ns) != 2:
        return None
    result = arithmetic(t, "**", *ns)
    return Num(result) if result is not None else None


@intrinsic(operator.index)
def index(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args) if len(args) == 1 else None
    return Num(ns[0].value) if ns is not None and ns[0].repr == "i" else None


@intrinsic(object.__init__)
def object_init(t: Translator, args: list[AV]) -> AV | None:
    """Without arguments it does nothing."""
    return Const(None) if len(args) == 1 else None


@intrinsic(id)
def id_(t: Translator, args: list[AV]) -> AV | None:
    """Of numbers that exist without a box it is not known, and a box made for the question would be another one the next time."""
    if len(args) != 1:
        return None
    if isinstance(args[0], Const):
        return Num(t.emit("obj.id", t.const_o(args[0].obj)))
    value = t.boxed(args[0]) if isinstance(args[0], Num) and args[0].repr == "b" else identity_of(t, args[0])
    if value is None:
        raise Leave("unsupported_operand_types", "identity of unboxed values")
    return Num(t.emit("obj.id", value))


@intrinsic(range)
def range_(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args)
    if ns is None or not 1 <= len(ns) <= 3 or any(n.repr == "f" for n in ns):
        return None
    values = [as_int(t, n) for n in ns]
    start, stop = (t.const_i(0), values[0]) if len(values) == 1 else values[:2]
    step = values[2] if len(values) == 3 else t.const_i(1)
    limit = t.const_i(1 << 61)
    for value in (start, stop, step):
        # Keeps every sum and difference of the loop within 64 bits.
        t.guard(t.emit("int.lt", value, limit))
        t.guard(t.emit("int.gt", value, t.const_i(-(1 << 61))))
    t.guard(t.emit("int.eq", step, t.const_i(0)), False)
    return Range(start, stop, step)


def finite_argument(t: Translator, x: Value) -> None:
    t.guard(t.emit("float.is_finite", x))


def libm(function: str, domain: Callable[[Translator, Value], None] = finite_argument) -> Intrinsic:
    """A one-argument function of the math module that is one call of the C library."""

    def build(t: Translator, args: list[AV]) -> AV | None:
        ns = numbers(t, args)
        if ns is None or len(ns) != 1:
            return None
        x = as_float(t, ns[0])
        domain(t, x)
        result = t.emit("float.libm1", x, imm=(function,))
        t.guard(t.emit("float.is_finite", result))
        return Num(result)

    return build


def positive(t: Translator, x: Value) -> None:
    t.guard(t.emit("float.gt", x, t.const_f(0.0)))
    t.guard(t.emit("float.is_finite", x))


def unit(t: Translator, x: Value) -> None:
    t.guard(t.emit("float.le", t.emit("float.abs", x), t.const_f(1.0)))


def above_one(t: Translator, x: Value) -> None:
    t.guard(t.emit("float.ge", x, t.const_f(1.0)))
    t.guard(t.emit("float.is_finite", x))


def inside_unit(t: Translator, x: Value) -> None:
    t.guard(t.emit("float.lt", t.emit("float.abs", x), t.const_f(1.0)))


def above_minus_one(t: Translator, x: Value) -> None:
    t.guard(t.emit("float.gt", x, t.const_f(-1.0)))
    t.guard(t.emit("float.is_finite", x))


INTRINSICS[id(math.acosh)] = libm("acosh", above_one)
INTRINSICS[id(math.atanh)] = libm("atanh", inside_unit)
INTRINSICS[id(math.log1p)] = libm("log1p", above_minus_one)
for _name in ("sin", "cos", "tan", "atan", "exp", "exp2", "sinh", "cosh", "tanh", "asinh", "expm1", "cbrt"):
    INTRINSICS[id(getattr(math, _name))] = libm(_name)
for _name in ("log", "log2", "log10"):
    INTRINSICS[id(getattr(math, _name))] = libm(_name, positive)
for _name in ("asin", "acos"):
    INTRINSICS[id(getattr(math, _name))] = libm(_name, unit)


@intrinsic(math.sqrt)
def sqrt_(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args)
    if ns is None or len(ns) != 1:
        return None
    x = as_float(t, ns[0])
    t.guard(t.emit("float.ge", x, t.const_f(0.0)))
    return Num(t.emit("float.sqrt", x))


def scaled(factor: float) -> Intrinsic:
    """A conversion of angles: one multiplication, as in the C source."""

    def build(t: Translator, args: list[AV]) -> AV | None:
        ns = numbers(t, args)
        if ns is None or len(ns) != 1:
            return None
        return Num(t.emit("float.mul", as_float(t, ns[0]), t.const_f(factor)))

    return build


INTRINSICS[id(math.degrees)] = scaled(180.0 / math.pi)
INTRINSICS[id(math.radians)] = scaled(math.pi / 180.0)


def classified(build_test: Callable[[Translator, Value], Value]) -> Intrinsic:
    def build(t: Translator, args: list[AV]) -> AV | None:
        ns = numbers(t, args)
        if ns is None or len(ns) != 1:
            return None
        return Num(build_test(t, as_float(t, ns[0])))

    return build


INTRINSICS[id(math.isfinite)] = classified(lambda t, x: t.emit("float.is_finite", x))
INTRINSICS[id(math.isnan)] = classified(lambda t, x: t.emit("float.ne", x, x))
INTRINSICS[id(math.isinf)] = classified(lambda t, x: t.emit("float.eq", t.emit("float.abs", x), t.const_f(math.inf)))


@intrinsic(math.fabs)
def fabs_(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args)
    return Num(t.emit("float.abs", as_float(t, ns[0]))) if ns is not None and len(ns) == 1 else None


def rounding(operation: str) -> Intrinsic:
    def build(t: Translator, args: list[AV]) -> AV | None:
        ns = numbers(t, args)
        if ns is None or len(ns) != 1:
            return None
        if ns[0].repr != "f":
            return Num(as_int(t, ns[0]))
        t.guard(t.emit("float.fits_int", ns[0].value))
        return Num(t.emit("float.to_int", t.emit(operation, ns[0].value)))

    return build


INTRINSICS[id(math.floor)] = rounding("float.floor")
INTRINSICS[id(math.ceil)] = rounding("float.ceil")


@intrinsic(math.copysign)
def copysign_(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args)
    if ns is None or len(ns) != 2:
        return None
    return Num(t.emit("float.copysign", as_float(t, ns[0]), as_float(t, ns[1])))


@intrinsic(math.atan2)
def atan2_(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args)
    if ns is None or len(ns) != 2:
        return None
    y, x = as_float(t, ns[0]), as_float(t, ns[1])
    finite_argument(t, x)
    finite_argument(t, y)
    t.guard(t.emit("float.eq", y, t.const_f(0.0)), False)
    return Num(t.emit("float.libm2", y, x, imm=("atan2",)))


@intrinsic(math.fmod)
def fmod_(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args)
    if ns is None or len(ns) != 2:
        return None
    x, y = as_float(t, ns[0]), as_float(t, ns[1])
    finite_argument(t, x)
    finite_argument(t, y)
    t.guard(t.emit("float.eq", y, t.const_f(0.0)), False)
    return Num(t.emit("float.libm2", x, y, imm=("fmod",)))


@intrinsic(math.pow)
def math_pow(t: Translator, args: list[AV]) -> AV | None:
    ns = numbers(t, args)
    if ns is None or len(ns) != 2:
        return None
    x, y = as_float(t, ns[0]), as_float(t, ns[1])
    positive(t, x)
    finite_argument(t, y)
    result = t.emit("float.libm2", x, y, imm=("pow",))
    t.guard(t.emit("float.is_finite", result))
    t.guard(t.emit("float.ge", result, t.const_f(DBL_MIN)))
    return Num(result)


def method(target: object) -> Callable[[Method], Method]:
    def declare(fn: Method) -> Method:
        METHODS[id(target)] = fn
        return fn

    return declare


@method(list.append)
def append(t: Translator, args: list[AV], operands: list[AV]) -> bool:
    if len(args) != 2 or t.type_of(args[0]) is not list or not isinstance(args[0], Obj):
        return False
    target, value = args
    t.reject_hidden(value)
    t.receive_check(value, target)
    t.promote_heap()
    del t.frame.stack[len(t.frame.stack) - len(operands) :]
    t.emit("list.append", t.boxed(target), t.owned_value(value))
    t.drop(target)
    t.push(Const(None))
    return True


@method(list.pop)
def pop(t: Translator, args: list[AV], operands: list[AV]) -> bool:
    if not 1 <= len(args) <= 2 or t.type_of(args[0]) is not list or not isinstance(args[0], Obj):
        return False
    target = args[0]
    index = None
    if len(args) == 2:
        index = t.number(args[1], t.expected(t.expected_operands() - 1))
        if index is None or index.repr == "f":
            return False
    length = t.emit("list.len", target.value)
    if index is None:
        t.guard(t.emit("int.eq", length, t.const_i(0)), False)
    else:
        at = checked_index(t, as_int(t, index), length)
    t.drop_check(*args)
    t.promote_heap()
    del t.frame.stack[len(t.frame.stack) - len(operands) :]
    popped = t.emit("list.pop_last", target.value) if index is None else t.emit("list.pop_at", target.value, at)
    for av in args:
        t.drop(av)
    t.push(Obj(popped, None, OWNED))
    return True


@method(list.insert)
def insert(t: Translator, args: list[AV], operands: list[AV]) -> bool:
    if len(args) != 3 or t.type_of(args[0]) is not list or not isinstance(args[0], Obj):
        return False
    target, where, value = args
    index = t.number(where, t.expected(t.expected_operands() - 2))
    if index is None or index.repr == "f":
        return False
    t.reject_hidden(value)
    t.receive_check(value, target, where)
    t.promote_heap()
    del t.frame.stack[len(t.frame.stack) - len(operands) :]
    item = t.owned_value(value)
    status = t.emit("list.insert", t.boxed(target), as_int(t, index), item)
    t.emit("obj.drop", item)  # the list has a reference of its own
    t.drop(where)
    t.drop(target)
    t.raised(t.emit("int.lt", status, t.const_i(0)), True, len(operands))
    t.push(Const(None))
    return True


@method(list.extend)
def extend(t: Translator, args: list[AV], operands: list[AV]) -> bool:
    if len(args) != 2 or t.type_of(args[0]) is not list or not isinstance(args[0], Obj):
        return False
    target, source = args
    kind = known_kind(t, source, t.expected(t.expected_operands() - 1))
    if kind not in (list, tuple) or not isinstance(source, Obj | Const):
        return False
    t.ensure_type(source, kind)  # type: ignore[arg-type]
    t.receive_check(source, target)
    t.promote_heap()
    del t.frame.stack[len(t.frame.stack) - len(operands) :]
    status = t.emit("list.extend", t.boxed(target), t.boxed(source))
    t.drop(source)  # if this is its end, the list holds its items
    t.drop(target)
    t.raised(t.emit("int.lt", status, t.const_i(0)), True, len(operands))
    t.push(Const(None))
    return True


@method(list.reverse)
def reverse(t: Translator, args: list[AV], operands: list[AV]) -> bool:
    if len(args) != 1 or t.type_of(args[0]) is not list or not isinstance(args[0], Obj):
        return False
    target = args[0]
    t.drop_check(target)
    t.promote_heap()
    del t.frame.stack[len(t.frame.stack) - len(operands) :]
    t.emit("list.reverse", target.value)
    t.drop(target)
    t.push(Const(None))
    return True
