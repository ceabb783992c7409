"""Calls of the C API: generic operations for what has no primitive of its own.

The *opaque* forms may run any Python code: before them the translator has written the frame's locals and instruction
pointer, after them come the NULL check with an error state, and the validity guard with a state after the operation.
The *closed* forms are given operands with which they run no Python code (exact ints, floats, strings ...): they only
allocate, and may raise.
"""

from __future__ import annotations

from typing import Any

from ...abi import memory
from ..registry import op


@op("call.object", "o*", "o", writes="any", imm="function extra")
def call_object(m: Any, *args: Any) -> int:
    """function(objects..., extra ints...) of the C API, returning a new reference or NULL with an exception set."""
    *operands, function, extra = args
    return int(m.capi(function, operands, extra))


@op("call.closed", "o*", "o", writes="alloc", imm="function extra")
def call_closed(m: Any, *args: Any) -> int:
    """Like call.object, with operands that let it run no Python code. A failure gives NULL with the exception cleared: the
    interpreter is going to do the operation again and raise it itself."""
    *operands, function, extra = args
    result = int(m.capi(function, operands, extra))
    if result == 0:
        m.clear_error()
    return result


@op("call.closed_status", "o*", "i", writes="alloc", imm="function extra")
def call_closed_status(m: Any, *args: Any) -> int:
    """Like call.closed for functions returning a C int; -1 after a failure, with the exception cleared."""
    *operands, function, extra = args
    result = int(m.capi_status(function, operands, extra))
    if result < 0:
        m.clear_error()
    return result


@op("call.closed_vector", "oo*", "o", writes="alloc")
def call_closed_vector(m: Any, callable_: int, *operands: int) -> int:
    """callable(*operands) by vectorcall, for a C function that with these operands runs no Python code and changes none of
    them. A failure gives NULL with the exception cleared."""
    result = int(m.vectorcall(callable_, operands, None))
    if result == 0:
        m.clear_error()
    return result


@op("error.was", "", "b", reads="any", imm="kind")
def error_was(m: Any, kind: type) -> bool:
    """Whether the closed call that failed last in this region raised an exception of exactly that type."""
    return m.cleared is kind


@op("call.status", "o*", "i", writes="any", imm="function extra")
def call_status(m: Any, *args: Any) -> int:
    """function(objects...) of the C API, returning a C int (-1: an exception is set)."""
    *operands, function, extra = args
    return int(m.capi_status(function, operands, extra))


@op("call.vector", "oo*", "o", writes="any", imm="kwnames")
def call_vector(m: Any, callable_: int, *args: Any) -> int:
    """callable(*args) by vectorcall, arguments borrowed; `kwnames` is None or the tuple naming the last arguments. A new
    reference, or NULL with an exception set."""
    *operands, kwnames = args
    return int(m.vectorcall(callable_, operands, kwnames))


@op("call.enter", "ooo", "o", writes="any")
def call_enter(m: Any, enter: int, bind: int, manager: int) -> int:
    """(bind(manager), enter(manager)), called in the other order: a new tuple, or NULL with an exception set."""
    entered = int(m.vectorcall(enter, [manager], None))
    leave = int(m.vectorcall(bind, [manager], None)) if entered else 0
    pair = memory.new_reference((memory.object_at(leave), memory.object_at(entered))) if leave else 0
    for part in (leave, entered):
        if part:
            m.drop(part)
    return int(pair)


@op("call.dealloc", "o", "", writes="any", consumes=(0,))
def call_dealloc(m: Any, o: int) -> None:
    """Drop a reference whose object may die here and run code (`__del__`, weakref callbacks)."""
    m.drop(o)


@op("call.raised", "", "b", reads="any")
def call_raised(m: Any) -> bool:
    """Whether a Python exception is set in this thread."""
    return bool(m.raised())
