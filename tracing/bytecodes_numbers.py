"""Arithmetic, comparison and truth, with Python's exact semantics on unboxed numbers.

Where an operand combination would raise (division by zero, negative shift) or needs arbitrary precision, a guard leaves
before the bytecode and the interpreter does it. Other operand types become calls of the C API: *closed* where exact
built-in types make sure that no Python code runs, opaque otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..optimizer.ir import Value
from .bytecode_table import bytecode
from .decode import Ins
from .translate import Leave, TranslationError
from .values import AV, OWNED, Const, Iterator, Null, Num, Obj, Range, Tup
from .versions import binary_op_symbol, compare_coerces, compare_symbol

if TYPE_CHECKING:
    from .translate import Translator

COMPARE = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
COMPARE_CODE = {"<": 0, "<=": 1, "==": 2, "!=": 3, ">": 4, ">=": 5}
BITWISE = {"&": "and", "|": "or", "^": "xor"}
PLAIN = {"+": "add", "-": "sub", "*": "mul"}
NUMBER_FUNCTION = {
    "+": "Add",
    "-": "Subtract",
    "*": "Multiply",
    "/": "TrueDivide",
    "//": "FloorDivide",
    "%": "Remainder",
    "<<": "Lshift",
    ">>": "Rshift",
    "&": "And",
    "|": "Or",
    "^": "Xor",
    "@": "MatrixMultiply",
    "**": "Power",
}
CLOSED_NUMBERS = frozenset({int, float, bool})
CLOSED_TYPES = frozenset({int, float, bool, str, bytes, complex, type(None)})
DBL_MIN = 2.2250738585072014e-308


def as_int(t: Translator, n: Num) -> Value:
    return t.emit("int.from_bool", n.value) if n.repr == "b" else n.value


def as_float(t: Translator, n: Num) -> Value:
    return n.value if n.repr == "f" else t.emit("float.from_int", as_int(t, n))


def constant_of(t: Translator, v: Value) -> object:
    return t.known.get(v)


@bytecode("BINARY_OP")
def binary_op(t: Translator, ins: Ins) -> None:
    symbol = binary_op_symbol(ins)
    if symbol == "[]":
        from .bytecodes_containers import subscript

        subscript(t, ins)
        return
    left, right = t.peek(2), t.peek(1)
    inplace = symbol.endswith("=")
    symbol = symbol.rstrip("=")
    a, b = t.number(left, t.expected(0)), t.number(right, t.expected(1))
    if a is not None and b is not None:
        result = arithmetic(t, symbol, a, b)
        if result is not None:
            t.drop_check(left, right)
            t.pop()
            t.pop()
            t.drop(right)
            t.drop(left)
            t.push(Num(result))
            return
    generic_binary(t, symbol, inplace, left, right)


def generic_binary(t: Translator, symbol: str, inplace: bool, left: AV, right: AV) -> None:
    """By PyNumber_*: with exact ints and floats (big ints, say) it runs no Python code."""
    kinds = (operand_kind(t, left, 0), operand_kind(t, right, 1))
    name = f"PyNumber_{'InPlace' if inplace and symbol != '**' else ''}{NUMBER_FUNCTION[symbol]}"
    extra: tuple[object, ...] = ()
    operands = [left, right]
    if symbol == "**":
        name = "PyNumber_InPlacePower" if inplace else "PyNumber_Power"
        operands = [left, right, Const(None)]
    if all(k in CLOSED_NUMBERS for k in kinds):
        closed(t, name, operands, extra, npop=2, result_type=None)
        return
    t.opaque(name, operands, extra, npop=2)


def operand_kind(t: Translator, av: AV, position: int) -> type | None:
    kinds = t.expected(position)
    if t.big(kinds):
        plain = {int if t.big([k]) else k for k in kinds}
        return t.specialise(av, plain)
    return t.specialise(av, kinds)


def closed(
    t: Translator,
    function: str,
    operands: list[AV],
    extra: tuple[object, ...],
    *,
    npop: int,
    result_type: type | None,
) -> None:
    """A C API call that runs no Python code and whose failure leaves *before* the bytecode: the interpreter does it again
    and raises itself."""
    for av in operands:
        t.reject_hidden(av)
        if isinstance(av, Tup | Range | Iterator):
            raise Leave("unsupported_operand_types", "display")
    t.drop_check(*operands)
    values = []
    boxes: list[Value] = []
    for av in operands:
        value = t.boxed(av)
        if isinstance(av, Num) and av.repr != "b":
            boxes.append(value)
        values.append(value)
    result = t.emit("call.closed", *values, imm=(function, extra))
    for box in boxes:
        t.emit("obj.drop", box)
    # Dropping a box is no effect anybody sees, so the state before the bytecode still holds.
    t.effect = False
    t.emit("guard", t.emit("obj.is_null", result), imm=(False,), state=t.state())
    del t.frame.stack[len(t.frame.stack) - npop :]
    for av in operands:
        t.drop(av)
    t.push(Obj(result, result_type, OWNED))


def arithmetic(t: Translator, symbol: str, a: Num, b: Num) -> Value | None:
    """The unboxed result, or None where the combination has to go through boxes."""
    if "f" in (a.repr, b.repr):
        return float_arithmetic(t, symbol, a, b)
    if symbol in BITWISE and a.repr == b.repr == "b":
        return t.emit(f"bool.{BITWISE[symbol]}", a.value, b.value)
    x, y = as_int(t, a), as_int(t, b)
    if symbol in PLAIN:
        return t.emit(f"int.{PLAIN[symbol]}_ovf", x, y)
    if symbol in BITWISE:
        return t.emit(f"int.{BITWISE[symbol]}", x, y)
    if symbol == "<<":
        return t.emit("int.shl_ovf", x, y)
    if symbol == ">>":
        t.guard(t.emit("int.ge", y, t.const_i(0)))
        return t.emit("int.shr", x, y)
    if symbol in ("//", "%"):
        divisor = constant_of(t, y)
        if divisor is None:
            t.guard(t.emit("int.eq", y, t.const_i(0)), False)
            t.guard(t.emit("int.eq", y, t.const_i(-1)), False)
        elif divisor in (0, -1):
            raise Leave("always_fails")
        return t.emit("int.floordiv" if symbol == "//" else "int.mod", x, y)
    if symbol == "/":
        t.guard(t.emit("int.eq", y, t.const_i(0)), False)
        t.guard(t.emit("int.exact_double", x))
        t.guard(t.emit("int.exact_double", y))
        return t.emit("float.div", t.emit("float.from_int", x), t.emit("float.from_int", y))
    if symbol == "**":
        exponent = constant_of(t, y)
        if exponent == 2:
            return t.emit("int.mul_ovf", x, x)
        if isinstance(exponent, int) and exponent < 0:
            return None
        return t.emit("int.pow_ovf", x, y)
    return None


def float_arithmetic(t: Translator, symbol: str, a: Num, b: Num) -> Value | None:
    if symbol not in ("+", "-", "*", "/", "//", "%", "**"):
        return None
    x, y = as_float(t, a), as_float(t, b)
    if symbol in PLAIN:
        return t.emit(f"float.{PLAIN[symbol]}", x, y)
    if symbol == "**":
        return power(t, x, y)
    t.guard(t.emit("float.eq", y, t.const_f(0.0)), False)
    return t.emit({"/": "float.div", "//": "float.floordiv", "%": "float.mod"}[symbol], x, y)


def power(t: Translator, x: Value, y: Value) -> Value:
    """float_pow for operands without special cases (CPython's Objects/floatobject.c handles those before it calls pow)."""
    exponent = constant_of(t, y)
    integral = isinstance(exponent, float) and abs(exponent) < 1e9 and exponent == int(exponent)
    base = t.emit("float.abs", x) if integral else x
    t.guard(t.emit("float.gt", base, t.const_f(0.0)))
    t.guard(t.emit("float.is_finite", base))
    t.guard(t.emit("float.is_finite", y))
    result = t.emit("float.libm2", base, y, imm=("pow",))
    t.guard(t.emit("float.is_finite", result))
    t.guard(t.emit("float.ge", result, t.const_f(DBL_MIN)))
    if integral and int(exponent) % 2:  # type: ignore[arg-type]
        result = t.emit("float.copysign", result, x)
    return result


@bytecode("COMPARE_OP")
def compare_op(t: Translator, ins: Ins) -> None:
    symbol = compare_symbol(ins)
    left, right = t.peek(2), t.peek(1)
    a, b = t.number(left, t.expected(0)), t.number(right, t.expected(1))
    if a is not None and b is not None:
        result = compare(t, symbol, a, b)
        t.drop_check(left, right)
        t.pop()
        t.pop()
        t.drop(right)
        t.drop(left)
        t.push(Num(result))
        return
    kinds = (operand_kind(t, left, 0), operand_kind(t, right, 1))
    if all(k in CLOSED_TYPES for k in kinds):
        closed(t, "PyObject_RichCompare", [left, right], (COMPARE_CODE[symbol],), npop=2, result_type=bool)
        made = t.pop()
        assert isinstance(made, Obj)
        t.push(Num(t.emit("obj.is", made.value, t.const_o(True))))
    elif compare_coerces(ins):
        t.begin_opaque()
        values, temps = t.operand_values([left, right])
        result = t.emit("call.object", *values, imm=("PyObject_RichCompare", (COMPARE_CODE[symbol],)))
        del t.frame.stack[-2:]
        for temp in temps:
            t.release(temp)
        t.raised(t.emit("obj.is_null", result), True, 2)
        status = t.emit("call.status", result, imm=("PyObject_IsTrue", ()))
        t.release(Obj(result, None, OWNED))
        t.raised(t.emit("int.lt", status, t.const_i(0)), True, 2)
        t.push(Num(t.emit("int.ne", status, t.const_i(0))))
        t.end_opaque()
    else:
        t.opaque("PyObject_RichCompare", [left, right], (COMPARE_CODE[symbol],), npop=2)


def compare(t: Translator, symbol: str, a: Num, b: Num) -> Value:
    if "f" in (a.repr, b.repr):
        for n in (a, b):
            if n.repr == "i":
                t.guard(t.emit("int.exact_double", n.value))
        return t.emit(f"float.{COMPARE[symbol]}", as_float(t, a), as_float(t, b))
    return t.emit(f"int.{COMPARE[symbol]}", as_int(t, a), as_int(t, b))


@bytecode("IS_OP")
def is_op(t: Translator, ins: Ins) -> None:
    left, right = t.peek(2), t.peek(1)
    result = identical(t, left, right)
    if ins.arg:
        result = t.emit("bool.not", result)
    t.drop_check(left, right)
    t.pop()
    t.pop()
    t.drop(right)
    t.drop(left)
    t.push(Num(result))


def identical(t: Translator, left: AV, right: AV) -> Value:
    """Identity where it does not depend on boxes: singletons and objects."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Const) and (one.obj is None or isinstance(one.obj, bool | type) or one.obj is ...):
            if isinstance(other, Const):
                return t.const_b(one.obj is other.obj)
            if isinstance(other, Num):
                if other.repr == "b" and isinstance(one.obj, bool):
                    return other.value if one.obj else t.emit("bool.not", other.value)
                return t.const_b(False)
            if isinstance(other, Obj):
                return t.emit("obj.is", other.value, t.const_o(one.obj))
            return t.const_b(False)
    if isinstance(left, Obj) and isinstance(right, Obj):
        return t.emit("obj.is", left.value, right.value)
    raise Leave("unsupported_operand_types", "identity of unboxed values")


@bytecode("UNARY_NEGATIVE")
def unary_negative(t: Translator, ins: Ins) -> None:
    unary(t, "neg")


@bytecode("UNARY_INVERT")
def unary_invert(t: Translator, ins: Ins) -> None:
    unary(t, "invert")


def unary(t: Translator, what: str) -> None:
    av = t.peek()
    n = t.number(av, t.expected(0))
    if n is None or (what == "invert" and n.repr != "i"):
        t.opaque("PyNumber_Negative" if what == "neg" else "PyNumber_Invert", [av], npop=1)
        return
    if what == "invert":
        result = t.emit("int.invert", n.value)
    elif n.repr == "f":
        result = t.emit("float.neg", n.value)
    else:
        result = t.emit("int.sub_ovf", t.const_i(0), as_int(t, n))
    t.drop_check(av)
    t.pop()
    t.drop(av)
    t.push(Num(result))


@bytecode("UNARY_NOT")
def unary_not(t: Translator, ins: Ins) -> None:
    pop_truth(t, lambda value: t.push(Num(t.emit("bool.not", value))))


@bytecode("TO_BOOL")
def to_bool(t: Translator, ins: Ins) -> None:
    pop_truth(t, lambda value: t.push(Num(value)))


def truth(t: Translator, av: AV) -> Value | None:
    """The truth of av where no Python code is needed for it; None otherwise."""
    if isinstance(av, Const) and type(av.obj) in (*CLOSED_TYPES, tuple, type(len), type(truth)):
        return t.const_b(bool(av.obj))
    if isinstance(av, Tup):
        return t.const_b(bool(av.items))
    if isinstance(av, Range):
        return t.emit("int.ne", t.emit("int.range_len", av.start, av.stop, av.step), t.const_i(0))
    n = t.number(av, t.expected(0))
    if n is not None:
        if n.repr == "b":
            return n.value
        if n.repr == "i":
            return t.emit("int.ne", n.value, t.const_i(0))
        return t.emit("float.ne", n.value, t.const_f(0.0))
    if isinstance(av, Obj):
        kind = t.specialise(av, t.expected(0))
        if kind is type(None):
            return t.const_b(False)
        length = length_of(t, av, kind)
        if length is not None:
            return t.emit("int.ne", length, t.const_i(0))
    return None


def length_of(t: Translator, av: AV, kind: type | None) -> Value | None:
    if isinstance(av, Obj) and kind in (list, tuple, str):
        return t.emit({list: "list.len", tuple: "tuple.len", str: "str.len"}[kind], av.value)
    if isinstance(av, Tup):
        return t.const_i(len(av.items))
    if isinstance(av, Range):
        return t.emit("int.range_len", av.start, av.stop, av.step)
    if isinstance(av, Const) and type(av.obj) in (str, tuple, bytes, range):
        return t.const_i(len(av.obj))  # type: ignore[arg-type]
    return None


def pop_truth(t: Translator, use: object) -> None:
    """Replace the top of stack by what `use` makes of its truth."""
    av = t.peek()
    if isinstance(av, Null):
        raise TranslationError("truth of NULL")
    value = truth(t, av)
    if value is None:
        status = t.opaque_status("PyObject_IsTrue", [av], npop=1)
        use(t.emit("int.ne", status, t.const_i(0)))  # type: ignore[operator]
        t.end_opaque()
        return
    t.drop_check(av)
    t.pop()
    t.drop(av)
    use(value)  # type: ignore[operator]
