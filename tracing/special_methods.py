"""Operators, comparisons, subscripts and iteration of instances: the special method is found in the class, and walked into.

Which method an operator calls follows from the types of both operands (CPython's `binary_op1` and `slot_nb_add`, `do_richcompare`):
that of the left one; where it has none, or says NotImplemented, the reflected one of the right. Both types are checked and
watched, so at compile time it is known which. What is done here stays clear of where more than that would matter: an operand
whose class is derived from the other's (it may be asked first), and classes with bases written in C (which have slots of
their own).

The operands stay on the stack while the method runs, and what its result means is the caller's matter (`optimizer/answers.py`).
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING

from ..abi import instances
from ..optimizer.answers import BINARY, COMPARE
from .methods import ABSENT, is_static, lookup, mro
from .values import AV, FOREVER, Const, Obj
from .versions import WIDTH, binary_op_symbol, compare_symbol

if TYPE_CHECKING:
    from .decode import Ins
    from .translate import Translator

CALLS = ("CALL", "CALL_KW")
NUMBERS = frozenset({int, float, bool, type(None)})
"""Built-in types that say NotImplemented to operands that they do not know, and have nothing but numbers' slots."""


def methods_of(ins: Ins) -> tuple[str, ...]:
    """The special methods that a bytecode may come to: the recorder arms them."""
    if ins.op in CALLS:
        return ("__call__",)
    if ins.op == "STORE_SUBSCR":
        return ("__setitem__",)
    if ins.op == "GET_ITER":
        return ("__iter__",)
    if ins.op == "FOR_ITER":
        return ("__next__",)
    if ins.op == "COMPARE_OP":
        return tuple(f"__{name}__" for name in COMPARE[compare_symbol(ins)])
    if ins.op not in ("BINARY_OP", "BINARY_SUBSCR"):
        return ()
    symbol = binary_op_symbol(ins)
    if symbol == "[]":
        return ("__getitem__",)
    name = BINARY.get(symbol.rstrip("="))
    if name is None:
        return ()
    return (f"__{name}__", f"__r{name}__", *([f"__i{name}__"] if symbol.endswith("=") else []))


def plain(t: Translator, kind: type) -> bool:
    """Whether the type is a class that is watched, written in Python like all of its bases."""
    return all(base is object or instances.made_by_statement(base) for base in mro(kind)) and kind is not object and t.watch_type(kind)


def checked(t: Translator, av: AV, position: int) -> type | None:
    """The operand's exact type; checked, as that of a constant may change."""
    kind = t.specialise(av, t.expected(position))
    if kind is None or is_static(kind) or not isinstance(av, Const):
        return kind
    t.ensure_type(Obj(t.const_o(av.obj), None, FOREVER), kind)
    return kind


def operator(t: Translator, ins: Ins, symbol: str, inplace: bool) -> bool:
    """left symbol right, on top of the stack. False where the generic operation has to do it."""
    name = BINARY.get(symbol)
    kinds = operand_kinds(t)
    if name is None or kinds is None:
        return False
    left, right = kinds
    end = "_assign" if inplace else ""
    if plain(t, left):
        found = lookup(left, f"__i{name}__") if inplace else ABSENT
        if found is not ABSENT:
            return enter(t, ins, found, f"i{name}")
        found = lookup(left, f"__{name}__")
        if found is not ABSENT:
            return enter(t, ins, found, f"{name}{end}")
    elif left not in NUMBERS:
        return False
    if left is right:
        return False
    return enter(t, ins, lookup(right, f"__r{name}__"), f"r{name}{end}", reflected=True)


def comparison(t: Translator, ins: Ins, symbol: str, truth: bool) -> bool:
    """The same of a comparison."""
    kinds = operand_kinds(t)
    if kinds is None:
        return False
    (name, other), (left, right) = COMPARE[symbol], kinds
    end = "_truth" if truth else ""
    if left in NUMBERS:
        return enter(t, ins, lookup(right, f"__{other}__"), f"r{name}{end}", reflected=True)
    return plain(t, left) and enter(t, ins, lookup(left, f"__{name}__"), f"{name}{end}")


def operand_kinds(t: Translator) -> tuple[type, type] | None:
    """The types of the two operands; None where it is not plain whose methods are asked in which order, or neither has any."""
    kinds = checked(t, t.peek(2), 0), checked(t, t.peek(1), 1)
    left, right = kinds
    if left is None or right is None or left in NUMBERS and right in NUMBERS:
        return None
    if left is not right and left in mro(right):
        return None
    if right not in NUMBERS and right is not left and not plain(t, right):
        return None
    return left, right


def load_item(t: Translator, ins: Ins, kind: type) -> bool:
    """container[key] of an instance of that class."""
    return isinstance(t.peek(2), Obj) and plain(t, kind) and enter(t, ins, lookup(kind, "__getitem__"), "item")


def store_item(t: Translator, ins: Ins, kind: type) -> bool:
    """container[key] = value."""
    if not isinstance(t.peek(2), Obj) or not plain(t, kind):
        return False
    value, container, key = t.frame.stack[-3:]
    return walk(t, ins, lookup(kind, "__setitem__"), [container, key, value], "assigns")


def next_item(t: Translator, ins: Ins, kind: type) -> bool:
    """FOR_ITER of an iterator, below what else the loop has on the stack, that is an instance of that class."""
    if not plain(t, kind):
        return False
    return walk(t, ins, lookup(kind, "__next__"), [t.peek(WIDTH)], "next")


def enter(t: Translator, ins: Ins, found: object, answer: str, reflected: bool = False) -> bool:
    args = t.frame.stack[-2:]
    return walk(t, ins, found, args[::-1] if reflected else args, answer)


def walk(t: Translator, ins: Ins, found: object, args: list[AV], answer: str) -> bool:
    from .bytecodes_calls import walk_into_special

    if type(found) is not FunctionType:
        return False
    return walk_into_special(t, ins, found, args, answer)
