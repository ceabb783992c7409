"""Encoding and decoding by name: closed calls for the encodings and ways to handle errors that C code has itself. Others are looked up, and may
be written in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bytecodes_numbers import closed_call, known_kind
from .intrinsics import method
from .values import AV, Const

if TYPE_CHECKING:
    from .translate import Translator

UTF8 = frozenset({"utf-8", "utf8", "utf_8", "UTF-8"})
SIMPLE = frozenset({"ascii", "latin-1", "latin1", "iso-8859-1"})
HANDLED = frozenset({"strict", "ignore", "replace", "surrogateescape"})
"""What is done about errors without looking anything up;"""
BY_UTF8 = HANDLED | {"surrogatepass"}
"""and by the encoder of UTF-8."""


def by_name(t: Translator, target: object, kind: type, result: type, args: list[AV], operands: list[AV], encodes: bool) -> bool:
    """Call the method with constants that are on the lists. False for others."""
    names = [av.obj for av in args[1:] if isinstance(av, Const)]
    if not 1 <= len(names) <= 2 or len(names) != len(args) - 1 or not all(type(name) is str for name in names):
        return False
    handled = BY_UTF8 if encodes and names[0] in UTF8 else HANDLED
    if names[0] not in UTF8 | SIMPLE or names[1:] and names[1] not in handled:
        return False
    if known_kind(t, args[0], t.expected(t.expected_operands() - len(args))) is not kind:
        return False
    t.ensure_type(args[0], kind)
    closed_call(t, "call.closed_vector", [Const(target), *args], npop=len(operands), result_type=result, imm=())
    return True


@method(str.encode)
def encode(t: Translator, args: list[AV], operands: list[AV]) -> bool:
    return by_name(t, str.encode, str, bytes, args, operands, True)


@method(bytes.decode)
def decode(t: Translator, args: list[AV], operands: list[AV]) -> bool:
    return by_name(t, bytes.decode, bytes, str, args, operands, False)
