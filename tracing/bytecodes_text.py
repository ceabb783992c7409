"""Formatted strings: atoms are formatted by closed calls, anything else by open ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..optimizer.ops.lists import ATOMS
from .bytecode_table import bytecode
from .bytecodes_numbers import closed, known_kind
from .decode import Ins
from .translate import Leave
from .values import AV, Const, Null, Tup

if TYPE_CHECKING:
    from .translate import Translator

CONVERSIONS = {1: "PyObject_Str", 2: "PyObject_Repr", 3: "PyObject_ASCII"}


def is_atom(t: Translator, av: AV, position: int) -> bool:
    """Whether av is an atom, checked where that was only seen so far."""
    kind = known_kind(t, av, t.expected(position))
    if kind not in ATOMS:
        return False
    t.ensure_type(av, kind)
    return True


def convert(t: Translator, av: AV, function: str) -> None:
    """Replace the top of stack by its text."""
    if t.type_of(av) is str and function == "PyObject_Str":
        return
    if is_atom(t, av, 0):
        closed(t, function, [av], (), npop=1, result_type=str)
    else:
        t.opaque(function, [av], npop=1)


def format_plainly(t: Translator, av: AV) -> None:
    """format(av, '') in place of the top of stack; an exact str stays as it is."""
    if not is_atom(t, av, 0):
        t.opaque("PyObject_Format", [av, Null()], npop=1)
    elif t.type_of(av) is not str:
        closed(t, "PyObject_Str", [av], (), npop=1, result_type=str)


def format_with_spec(t: Translator, av: AV, spec: AV) -> None:
    if is_atom(t, av, 0) and is_atom(t, spec, 1) and t.type_of(spec) is str:
        closed(t, "PyObject_Format", [av, spec], (), npop=2, result_type=str)
    else:
        t.opaque("PyObject_Format", [av, spec], npop=2)


@bytecode("CONVERT_VALUE")
def convert_value(t: Translator, ins: Ins) -> None:
    convert(t, t.peek(), CONVERSIONS[ins.arg])


@bytecode("FORMAT_SIMPLE")
def format_simple(t: Translator, ins: Ins) -> None:
    format_plainly(t, t.peek())


@bytecode("FORMAT_WITH_SPEC")
def format_spec(t: Translator, ins: Ins) -> None:
    format_with_spec(t, t.peek(2), t.peek(1))


@bytecode("FORMAT_VALUE")
def format_value(t: Translator, ins: Ins) -> None:
    """3.12: conversion and formatting in one."""
    conversion, has_spec = CONVERSIONS.get(ins.arg & 3), bool(ins.arg & 4)
    if conversion is None:
        if has_spec:
            format_with_spec(t, t.peek(2), t.peek(1))
        else:
            format_plainly(t, t.peek())
    elif not has_spec and is_atom(t, t.peek(), 0):
        convert(t, t.peek(), conversion)  # the text of an atom is an exact str, which formats to itself
    else:
        raise Leave("unsupported_operand_types", "conversion in front of a format")


@bytecode("BUILD_STRING")
def build_string(t: Translator, ins: Ins) -> None:
    parts = t.frame.stack[len(t.frame.stack) - ins.arg :]
    if any(t.type_of(part) is not str for part in parts):
        raise Leave("unsupported_operand_types", "parts of a string")
    closed(t, "PyUnicode_Join", [Const(""), Tup(parts)], (), npop=ins.arg, result_type=str)
