"""Items of `array.array`, by typecode."""

from __future__ import annotations

from ...abi.arrays import ARRAY_DESCRIPTION, ARRAY_ITEMS, ARRAY_SIZE, WIDTHS, description
from ...optimizer.ir import Op
from .lower_base import Emitter, lowering


@lowering("array.kind_is")
def kind_is(e: Emitter, op: Op, o: str) -> str:
    code = str(op.imm[0])
    known = e.data(f"array_{ord(code)}", description(code))
    return e.let(f"icmp eq ptr {e.load('ptr', o, ARRAY_DESCRIPTION, 'field')}, {known}")


@lowering("array.len")
def array_len(e: Emitter, op: Op, o: str) -> str:
    return e.load("i64", o, ARRAY_SIZE, "size")


def place(e: Emitter, op: Op, o: str, i: str) -> tuple[str, str]:
    """The address of item i and its type."""
    code = str(op.imm[0])
    type_ = {"f": "float", "d": "double"}.get(code, f"i{8 * WIDTHS[code]}")
    items = e.load("ptr", o, ARRAY_ITEMS, "items")
    return e.let(f"getelementptr {type_}, ptr {items}, i64 {i}"), type_


@lowering("array.get_i")
def get_i(e: Emitter, op: Op, o: str, i: str) -> str:
    address, type_ = place(e, op, o, i)
    value = e.load(type_, address, 0, "raw")
    if type_ == "i64":
        return value
    return e.let(f"{'zext' if str(op.imm[0]).isupper() else 'sext'} {type_} {value} to i64")


@lowering("array.get_f")
def get_f(e: Emitter, op: Op, o: str, i: str) -> str:
    address, type_ = place(e, op, o, i)
    value = e.load(type_, address, 0, "raw")
    return value if type_ == "double" else e.let(f"fpext float {value} to double")


@lowering("array.set_i")
def set_i(e: Emitter, op: Op, o: str, i: str, v: str) -> None:
    address, type_ = place(e, op, o, i)
    e.store(type_, v if type_ == "i64" else e.let(f"trunc i64 {v} to {type_}"), address, 0, "raw")


@lowering("array.set_f")
def set_f(e: Emitter, op: Op, o: str, i: str, v: str) -> None:
    address, type_ = place(e, op, o, i)
    e.store(type_, v if type_ == "double" else e.let(f"fptrunc double {v} to float"), address, 0, "raw")
