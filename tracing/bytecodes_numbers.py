"""Arithmetic, comparison and truth, with Python's exact semantics on unboxed numbers.

Where an operand combination would raise (division by zero, negative shift) or needs arbitrary precision, a guard leaves
before the bytecode and the interpreter does it. Other operand types become calls of the C API: *closed* where exact
built-in types make sure that no Python code runs, opaque otherwise.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING

from ..abi import LAYOUT
from ..optimizer.answers import COMPARE, COMPARE_NUMBER
from ..optimizer.ir import Op, Value
from ..optimizer.ops.lists import ATOMS
from . import names, special_methods
from .bytecode_table import bytecode
from .decode import Ins
from .exceptions import may_be_caught, require
from .methods import inherits, is_class, is_static, qualname
from .translate import Leave, TranslationError
from .values import AV, FRAME, OWNED, Const, Iterator, Null, Num, Obj, Range, Tup, local_owner
from .versions import binary_op_symbol, compare_coerces, compare_symbol
from .views import viewed

if TYPE_CHECKING:
    from .translate import Translator

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
SEQUENCES = frozenset({list, tuple, str, bytes})
SEQUENCE_OPERATORS = frozenset({"+", "*", "%"})
FLOAT_SYMBOLS = frozenset({"+", "-", "*", "/", "//", "%"})
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
    mixed = mixed_numbers(t, left, right)
    if mixed:
        if not mixed_arithmetic(t, symbol, left, right, mixed):
            generic_binary(t, symbol, inplace, left, right)
        return
    a, b = t.number(left, t.expected(0)), t.number(right, t.expected(1))
    if a is not None and b is not None:
        result = arithmetic(t, symbol, a, b)
        if result is not None:
            replace_operands(t, left, right, result)
            return
    if special_methods.operator(t, ins, symbol, inplace):
        return
    generic_binary(t, symbol, inplace, left, right)


def generic_binary(t: Translator, symbol: str, inplace: bool, left: AV, right: AV) -> None:
    """By PyNumber_*: with exact ints and floats (big ints, say) it runs no Python code."""
    mixed = mixed_numbers(t, left, right)
    for av, there in zip((left, right), mixed, strict=False):
        check_number(t, av, there)
    kinds: tuple[type | None, type | None]
    kinds = (int, int) if mixed else (operand_kind(t, left, 0), operand_kind(t, right, 1))
    name = f"PyNumber_{'InPlace' if inplace and symbol != '**' else ''}{NUMBER_FUNCTION[symbol]}"
    extra: tuple[object, ...] = ()
    operands = [left, right]
    if symbol == "**":
        name = "PyNumber_InPlacePower" if inplace else "PyNumber_Power"
        operands = [left, right, Const(None)]
    if all(k in CLOSED_NUMBERS for k in kinds):
        closed(t, name, operands, extra, npop=2, result_type=None)
        return
    if symbol in SEQUENCE_OPERATORS and sequence_operation(t, symbol, inplace, left, right, kinds):
        return
    t.opaque(name, operands, extra, npop=2)


def mixed_numbers(t: Translator, left: AV, right: AV) -> tuple[set[type], ...]:
    """The types of both operands, where these are numbers and one of them an object that was seen as an int here and as a float
    there; else nothing. A path for each combination would double the code with every operator of an expression."""
    known = t.type_of(left), t.type_of(right)
    if None not in known:
        return ()
    kinds = [set(t.expected(k)) if one is None else {one} for k, one in enumerate(known)]
    plain = [{int if t.big([kind]) else kind for kind in some} for some in kinds]
    if not all(some and some <= CLOSED_NUMBERS for some in plain) or max(map(len, plain)) < 2:
        return ()
    return tuple(plain)


def mixed_arithmetic(t: Translator, symbol: str, left: AV, right: AV, kinds: tuple[set[type], ...]) -> bool:
    """With floats, where at least one operand is always one; False where nobody can say that."""
    floats = any(some == {float} for some in kinds)
    if symbol not in FLOAT_SYMBOLS or not (floats or symbol == "/" or t.expected_results() == {float}):
        return False
    numbers = as_floats(t, left, right, kinds)
    if numbers is None:
        return False
    if not floats and symbol != "/":
        guard_any(t, [t.emit("obj.type_is", av.value, imm=(float,)) for av in (left, right) if isinstance(av, Obj)])
    result = float_arithmetic(t, symbol, *numbers)
    assert result is not None
    replace_operands(t, as_quiet(left), as_quiet(right), result)
    return True


def as_floats(t: Translator, left: AV, right: AV, kinds: tuple[set[type], ...]) -> tuple[Num, Num] | None:
    """Operands that are ints or floats as floats that are equal to them."""
    if not all(some <= {int, float} for some in kinds) or any(t.big(t.expected(k)) for k in (0, 1)):
        return None
    found = []
    for av, some in zip((left, right), kinds, strict=True):
        if isinstance(av, Obj) and t.type_of(av) is None and len(some) > 1:
            found.append(Num(t.emit("obj.unbox_number", av.value)))
            continue
        number = t.number(av, set(some))
        if number is None:
            return None
        if number.repr != "f":
            t.guard(t.emit("int.exact_double", number.value))
        found.append(Num(as_float(t, number)))
    return found[0], found[1]


def as_quiet(av: AV) -> AV:
    """An operand that is an int or a float, for being let go of: either ends quietly."""
    return Obj(av.value, float, av.owner) if isinstance(av, Obj) else av


def replace_operands(t: Translator, left: AV, right: AV, result: Value) -> None:
    """Take both off the stack and put an unboxed result there."""
    t.drop_check(left, right)
    t.pop()
    t.pop()
    t.drop(right)
    t.drop(left)
    t.push(Num(result))


def check_number(t: Translator, av: AV, kinds: set[type]) -> None:
    """Leave unless the operand is of one of the types."""
    if t.type_of(av) is not None:
        return
    assert isinstance(av, Obj)
    if len(kinds) == 1:
        t.ensure_type(av, *kinds)
        return
    guard_any(t, [t.emit("obj.type_is", av.value, imm=(kind,)) for kind in sorted(kinds, key=qualname)])


def guard_any(t: Translator, conditions: list[Value]) -> None:
    """Leave unless one of them holds."""
    found = t.const_b(False)
    for condition in conditions:
        found = t.emit("bool.or", found, condition)
    t.guard(found)


def sequence_operation(
    t: Translator, symbol: str, inplace: bool, left: AV, right: AV, kinds: tuple[type | None, type | None]
) -> bool:
    """Concatenation, repetition and formatting of exact lists, tuples, strs and bytes; False where Python code may run."""
    a, b = kinds
    if symbol == "+" and a is list and b in (list, tuple) and inplace:
        return extend_in_place(t, left, right)
    if symbol == "+" and a is b is str and append_in_place(t, left, right):
        return True
    if symbol == "*" and inplace and a is list:
        return False  # changes the list itself
    plain = symbol == "+" and a is b and a in (list, tuple, str, bytes)
    repeated = symbol == "*" and (a in SEQUENCES and b in (int, bool) or b in SEQUENCES and a in (int, bool))
    formatted = symbol == "%" and a is str and (b in ATOMS or isinstance(right, Tup) and may_be_atoms(t, right))
    if not (plain or repeated or formatted):
        return False
    result = b if repeated and b in SEQUENCES else a
    imm = (f"PyNumber_{NUMBER_FUNCTION[symbol]}", ())
    closed_call(t, "call.closed", [left, right], npop=2, result_type=result, imm=imm, holds=plain)
    return True


def extend_in_place(t: Translator, left: AV, right: AV) -> bool:
    """list += list or tuple. The list stays the same object; its reference goes on to the result."""
    if not isinstance(left, Obj):
        return False
    t.reject_hidden(right)
    t.promote_heap()
    t.pop()
    if isinstance(right, Tup):
        for item in right.items:
            t.emit("list.append", left.value, t.owned_value(item))
        return True
    status = t.emit("list.extend", left.value, t.boxed(right))
    t.drop(right)  # if this is its end, the list holds its items
    t.pop()
    t.raised(t.emit("int.lt", status, t.const_i(0)), True, 2)
    t.push(left)
    return True


def append_in_place(t: Translator, left: AV, right: AV) -> bool:
    """`s = s + x` and `s += x`: where the local's reference is the only one the text grows in place, as in the interpreter;
    with a second one every round would copy it. The local is unbound until the store that follows."""
    frame = t.frame
    assert t.ins is not None
    following = frame.info.at(t.ins.next)
    if not isinstance(left, Obj) or following.op != "STORE_FAST" or isinstance(right, Tup | Range):
        return False
    slot, depth = following.arg, len(t.frames) - 1
    local = frame.locals[slot]
    if not isinstance(local, Obj) or local.value is not left.value or left.owner != local_owner(depth, slot):
        return False
    if local.owner is not (FRAME if t.in_real_frame() else OWNED):
        return False
    t.drop_check(right)
    t.promote_from(depth, slot, keep=left)
    text = t.emit("frame.take_local", imm=(slot,)) if t.in_real_frame() else local.value
    frame.locals[slot] = Null()
    t.pop()
    t.pop()
    result = t.emit("str.append", text, t.boxed(right))
    t.drop(right)
    t.raised(t.emit("obj.is_null", result), True, 2)
    t.push(Obj(result, str, OWNED))
    return True


def known_kind(t: Translator, av: AV, kinds: set[object]) -> type | None:
    """av's exact type: known, or the single one seen (big ints are ints). Checks nothing."""
    known = t.type_of(av)
    if known is not None:
        return known
    plain = {int if t.big([k]) else k for k in kinds}
    kind = next(iter(plain)) if len(plain) == 1 else None
    return kind if isinstance(kind, type) and isinstance(av, Obj) else None


def may_be_atoms(t: Translator, av: AV) -> bool:
    """Whether a sequence holds nothing but atoms as far as is known: of displays for certain, of others by what was seen."""
    if isinstance(av, Tup):
        return all(t.type_of(item) in ATOMS for item in av.items)
    if isinstance(av, Const) and type(av.obj) is tuple:
        return all(type(item) in ATOMS for item in av.obj)
    obs = t.observation()
    return isinstance(av, Obj | Const) and (obs is None or set(obs.items) <= set(ATOMS))


def check_atoms(t: Translator, av: AV) -> None:
    """Leave unless the sequence, of known type, holds nothing but atoms."""
    if isinstance(av, Obj) or isinstance(av, Const) and type(av.obj) is list:
        kind = t.type_of(av)
        assert kind in (list, tuple)
        t.guard(t.emit(f"{kind.__name__}.atoms", t.boxed(av)))  # type: ignore[union-attr]


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
    closed_call(t, "call.closed", operands, npop=npop, result_type=result_type, imm=(function, extra))


def closed_status(t: Translator, function: str, operands: list[AV], *, npop: int) -> Value:
    """Like `closed` for functions that return a C int: pops the operands and returns it."""
    return closed_call(t, "call.closed_status", operands, npop=npop, result_type=None, imm=(function, ()))


def lent(t: Translator, operands: list[AV]) -> tuple[list[Value], list[Value]]:
    """References for a closed operation, which the slots go on holding, and those that were made for it alone."""
    values = []
    temps: list[Value] = []
    for av in operands:
        value = t.owned_value(t.dup(av)) if isinstance(av, Tup | Range) else t.boxed(av)
        if isinstance(av, Tup | Range) or isinstance(av, Num) and av.repr != "b":
            temps.append(value)
        values.append(value)
    return values, temps


def give_back(t: Translator, temps: list[Value]) -> None:
    """What was made for a closed operation alone goes, which is no effect that anybody sees."""
    effect = t.effect
    for temp in temps:
        # A box dies here; of what a display holds, the operand itself is another owner.
        t.emit("obj.drop", temp)
    t.effect = effect


def done_or_again(t: Translator, result: Value, temps: list[Value], error: type | None = None) -> None:
    """Behind a closed operation: leave before the bytecode if it failed, which means that nothing has been done, or go on where an
    `error` is caught, if it was one."""
    give_back(t, temps)
    t.effect = False  # the state before the bytecode still holds
    failed = t.emit("int.lt", result, t.const_i(0)) if result.repr == "i" else t.emit("obj.is_null", result)
    if error is not None and may_be_caught(t, error):
        t.constants[id(error)] = error
        require(t, failed, False, error, lambda: t.guard(t.emit("error.was", imm=(error,))))
    else:
        t.emit("guard", failed, imm=(False,), state=t.retry_state())


ERRORS: dict[object, type] = {
    "PyObject_GetItem": IndexError,
    **{f"PyNumber_{how}{what}": ZeroDivisionError for how in ("", "InPlace") for what in ("TrueDivide", "FloorDivide", "Remainder")},
}
"""What closed calls of the C API mostly raise, if anything. Other calls are of functions that do not like a value."""


def closed_call(
    t: Translator,
    operation: str,
    operands: list[AV],
    *,
    npop: int,
    result_type: type | None,
    imm: tuple[object, ...],
    holds: bool = False,
) -> Value:
    """One of the closed operations. A new reference is pushed; bools are unboxed. `holds`: the result holds all that the
    operands held, so that dropping these frees nothing but themselves."""
    for av in operands:
        t.reject_hidden(av)
        if isinstance(av, Iterator):
            raise Leave("unsupported_operand_types", "an iterator that exists only as its parts")
    if any(t.type_of(av) in (None, dict) for av in operands if not isinstance(av, Null)):
        names.sync(t)  # it may look at the namespace
    dropped = [av for av in t.frame.stack[len(t.frame.stack) - npop :] if not isinstance(av, Null)]
    if not holds:
        t.drop_check(*dropped)
    values, temps = lent(t, operands)
    result = t.emit(operation, *values, imm=imm)
    done_or_again(t, result, temps, ERRORS.get(imm[0]) if imm else ValueError)
    del t.frame.stack[len(t.frame.stack) - npop :]
    for av in dropped:
        t.drop(av)
    if result.repr == "o" and result_type is bool:
        t.push(Num(t.emit("obj.is", result, t.const_o(True))))
        t.emit("obj.drop", result)
    elif result.repr == "o":
        t.push(Obj(result, result_type, OWNED))
    return result


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
            require(t, t.emit("int.eq", y, t.const_i(0)), False, ZeroDivisionError)
            t.guard(t.emit("int.eq", y, t.const_i(-1)), False)
        elif divisor in (0, -1):
            raise Leave("always_fails")
        return t.emit("int.floordiv" if symbol == "//" else "int.mod", x, y)
    if symbol == "/":
        require(t, t.emit("int.eq", y, t.const_i(0)), False, ZeroDivisionError)
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
    if symbol not in FLOAT_SYMBOLS and symbol != "**":
        return None
    x, y = as_float(t, a), as_float(t, b)
    if symbol in PLAIN:
        return t.emit(f"float.{PLAIN[symbol]}", x, y)
    if symbol == "**":
        return power(t, x, y)
    require(t, t.emit("float.eq", y, t.const_f(0.0)), False, ZeroDivisionError)
    return t.emit({"/": "float.div", "//": "float.floordiv", "%": "float.mod"}[symbol], x, y)


def power(t: Translator, x: Value, y: Value) -> Value:
    """float_pow for operands without special cases (CPython's Objects/floatobject.c handles those before it calls pow)."""
    exponent, zero = constant_of(t, y), t.const_f(0.0)
    integral = isinstance(exponent, float) and abs(exponent) < 1e9 and exponent == int(exponent)
    base = t.emit("float.abs", x) if integral else x
    if isinstance(exponent, float) and 0.0 < exponent < inf:
        # Then zero gives zero, and what is not finite gives what is not.
        if not integral:
            t.guard(t.emit("float.ge", base, zero))
        result = t.emit("float.libm2", base, y, imm=("pow",))
        large = t.emit("bool.or", t.emit("float.ge", result, t.const_f(DBL_MIN)), t.emit("float.eq", base, zero))
    else:
        t.guard(t.emit("float.gt", base, zero))
        t.guard(t.emit("float.is_finite", base))
        t.guard(t.emit("float.is_finite", y))
        result = t.emit("float.libm2", base, y, imm=("pow",))
        large = t.emit("float.ge", result, t.const_f(DBL_MIN))
    t.guard(t.emit("float.is_finite", result))
    t.guard(large)
    if integral and int(exponent) % 2:  # type: ignore[arg-type, call-overload]
        result = t.emit("float.copysign", result, x)
    return result


@bytecode("COMPARE_OP")
def compare_op(t: Translator, ins: Ins) -> None:
    symbol = compare_symbol(ins)
    left, right = t.peek(2), t.peek(1)
    mixed = mixed_numbers(t, left, right)
    if mixed:
        numbers = as_floats(t, left, right, mixed)
        if numbers is not None:
            replace_operands(t, as_quiet(left), as_quiet(right), compare(t, symbol, *numbers))
            return
        for av, there in zip((left, right), mixed, strict=True):
            check_number(t, av, there)
        closed(t, "PyObject_RichCompare", [left, right], (COMPARE_NUMBER[symbol],), npop=2, result_type=bool)
        return
    a, b = t.number(left, t.expected(0)), t.number(right, t.expected(1))
    if a is not None and b is not None:
        replace_operands(t, left, right, compare(t, symbol, a, b))
        return
    if special_methods.comparison(t, ins, symbol, compare_coerces(ins)):
        return
    kinds = (operand_kind(t, left, 0), operand_kind(t, right, 1))
    # Comparing bytes with other things may warn (python -b), and a warning runs Python code.
    if all(k in CLOSED_TYPES for k in kinds) and (bytes not in kinds or kinds[0] is kinds[1]):
        closed(t, "PyObject_RichCompare", [left, right], (COMPARE_NUMBER[symbol],), npop=2, result_type=bool)
    elif symbol in ("==", "!=") and all(k is not None and compares_by_identity(t, k) for k in kinds):
        # Neither has a say of its own: they are equal if they are the same.
        same = identical(t, left, right)
        replace_operands(t, left, right, same if symbol == "==" else t.emit("bool.not", same))
    elif compare_coerces(ins):
        t.begin_opaque()
        values, temps = t.operand_values([left, right])
        result = t.emit("call.object", *values, imm=("PyObject_RichCompare", (COMPARE_NUMBER[symbol],)))
        t.release_operands(temps, 2)
        t.raised(t.emit("obj.is_null", result), True, 2)
        status = t.emit("call.status", result, imm=("PyObject_IsTrue", ()))
        t.release(Obj(result, None, OWNED))
        t.raised(t.emit("int.lt", status, t.const_i(0)), True, 2)
        t.push(Num(t.emit("int.ne", status, t.const_i(0))))
        t.end_opaque()
    else:
        t.opaque("PyObject_RichCompare", [left, right], (COMPARE_NUMBER[symbol],), npop=2)


def compares_by_identity(t: Translator, kind: type) -> bool:
    return kind is type(None) or inherits(t, kind, "__eq__", "__ne__")


def compare(t: Translator, symbol: str, a: Num, b: Num) -> Value:
    if "f" in (a.repr, b.repr):
        for n in (a, b):
            if n.repr == "i":
                t.guard(t.emit("int.exact_double", n.value))
        return t.emit(f"float.{COMPARE[symbol][0]}", as_float(t, a), as_float(t, b))
    return t.emit(f"int.{COMPARE[symbol][0]}", as_int(t, a), as_int(t, b))


@bytecode("IS_OP")
def is_op(t: Translator, ins: Ins) -> None:
    left, right = t.peek(2), t.peek(1)
    result = identical(t, left, right)
    if ins.arg:
        result = t.emit("bool.not", result)
    replace_operands(t, left, right, result)


def identical(t: Translator, left: AV, right: AV) -> Value:
    """Identity where it does not depend on boxes: singletons and objects."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Const) and (one.obj is None or one.obj is ... or type(one.obj) is bool or is_class(one.obj)):
            if isinstance(other, Const):
                return t.const_b(one.obj is other.obj)
            if isinstance(other, Num):
                if other.repr == "b" and type(one.obj) is bool:
                    return other.value if one.obj else t.emit("bool.not", other.value)
                return t.const_b(False)
            if isinstance(other, Obj):
                return t.emit("obj.is", other.value, t.const_o(one.obj))
            return t.const_b(False)
    kinds = [t.type_of(av) for av in (left, right)]
    if None not in kinds and kinds[0] is not kinds[1]:
        return t.const_b(False)
    for one, other in ((left, right), (right, left)):
        small = small_int(t, one)
        if small is not None and kinds == [int, int]:
            if isinstance(other, Obj):
                return t.emit("obj.is", other.value, t.const_o(small))
            number = t.number(other)
            return t.emit("int.eq", number.value, t.const_i(small)) if number is not None else t.const_b(False)
    if isinstance(left, Num) and isinstance(right, Num) and left.value is right.value:
        producer = left.value.producer
        if isinstance(producer, Op) and producer.name in UNBOXED:
            return t.const_b(True)
    a, b = identity_of(t, left), identity_of(t, right)
    if a is not None and b is not None:
        return t.emit("obj.is", a, b)
    raise Leave("unsupported_operand_types", "identity of unboxed values")


def small_int(t: Translator, av: AV) -> int | None:
    """av's value if it is known to be one of the ints of which the interpreter has one object each."""
    value = av.obj if isinstance(av, Const) else t.known.get(av.value) if isinstance(av, Num) else None
    return value if type(value) is int and LAYOUT.SMALL_INT_MIN <= value <= LAYOUT.SMALL_INT_MAX else None


UNBOXED = frozenset({"obj.unbox_int", "obj.unbox_float", "obj.int_value", "obj.float_value", "arg.i", "arg.f"})
"""Operations whose result stands for one object: two names for it are names for that. (A sum may be computed once for two.)"""


def identity_of(t: Translator, av: AV) -> Value | None:
    """The object itself, where there is one: references, constants, and numbers whose box is still in the local they came from."""
    if isinstance(av, Const) and type(av.obj) not in (int, float, complex):
        return t.const_o(av.obj)
    if isinstance(av, Num) and t.is_home(av):
        return names.load(t, av.home)
    return av.value if isinstance(av, Obj) else None


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
    if isinstance(av, Obj | Const):
        kind = t.specialise(av, t.expected(0))
        if kind is type(None):
            return t.const_b(False)
        length = length_of(t, av, kind)
        if length is not None:
            return t.emit("int.ne", length, t.const_i(0))
        if isinstance(av, Obj) and kind is not None and not is_static(kind) and inherits(t, kind, "__bool__", "__len__"):
            return t.const_b(True)
    return None


LENGTHS: dict[type | None, str] = {
    list: "list.len",
    tuple: "tuple.len",
    str: "str.len",
    dict: "dict.len",
    set: "set.len",
    frozenset: "set.len",
}
SIZED: tuple[type | None, ...] = (bytes, bytearray, deque)
"""Other types whose objects say how long they are; those that get longer do so in open calls only."""


def length_of(t: Translator, av: AV, kind: type | None) -> Value | None:
    """How long av, of that exact type, is; None where it takes a call to find out."""
    if isinstance(av, Tup):
        return t.const_i(len(av.items))
    if isinstance(av, Range):
        return t.emit("int.range_len", av.start, av.stop, av.step)
    if isinstance(av, Const) and type(av.obj) in (str, tuple, bytes, range):
        return t.const_i(len(av.obj))  # type: ignore[arg-type]
    if not isinstance(av, Obj | Const):
        return None
    av, kind = viewed(t, av, kind, "__len__", "__bool__")
    if kind in LENGTHS:
        if kind is dict:
            names.sync(t)  # it may be the namespace
        return t.emit(LENGTHS[kind], t.boxed(av))
    return t.emit("field.i", t.boxed(av), imm=("OB_SIZE",)) if kind in SIZED else None


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
