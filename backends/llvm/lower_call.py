"""Calls of the C API. To LLVM they may read and write everything; none of them unwinds.

Vectorcall arguments live in one array of the function's frame, as large as the largest call needs; the word
before them is the callee's to use (PY_VECTORCALL_ARGUMENTS_OFFSET).
"""

from __future__ import annotations

from typing import Any

from ...optimizer.ir import Op
from .lower_base import TAGS, UNLIKELY, Emitter, lowering
from .lower_lists import tuple_text
from .lower_objects import drop_text, incref_text

ARGUMENTS_OFFSET = -(1 << 63)


def c_call(e: Emitter, op: Op, result: str, args: tuple[str, ...]) -> str:
    name, extra = str(op.imm[0]), tuple(int(n) for n in (op.imm[1] or ()))  # type: ignore[attr-defined]
    params = ["ptr"] * len(args) + ["i64"] * len(extra)
    operands = [f"ptr {a}" for a in args] + [f"i64 {n}" for n in extra]
    return e.let(f"call {result} {e.function(name, result, ', '.join(params))}({', '.join(operands)})")


@lowering("call.object")
def call_object(e: Emitter, op: Op, *args: str) -> str:
    return c_call(e, op, "ptr", args)


def forget_error(e: Emitter, failed: str) -> None:
    """The interpreter is going to do the operation again and raise the exception itself."""
    with e.when(failed, UNLIKELY):
        kind = e.let(f"call ptr {e.function('PyErr_Occurred', 'ptr', '')}()")
        e.store("ptr", kind, cleared_kind(e), 0, "cell")
        e.do(f"call void {e.function('PyErr_Clear', 'void', '')}()")


def cleared_kind(e: Emitter) -> str:
    """Where the type of the exception that was forgotten last is."""
    e.globals["jc_cleared"] = "@jc_cleared = internal global ptr null"
    return "@jc_cleared"


@lowering("error.was")
def error_was(e: Emitter, op: Op) -> str:
    return e.let(f"icmp eq ptr {e.load('ptr', cleared_kind(e), 0, 'cell')}, {e.object(op.imm[0])}")


@lowering("call.closed")
def call_closed(e: Emitter, op: Op, *args: str) -> str:
    result = c_call(e, op, "ptr", args)
    forget_error(e, e.let(f"icmp eq ptr {result}, null"))
    return result


@lowering("call.closed_status")
def call_closed_status(e: Emitter, op: Op, *args: str) -> str:
    result = e.let(f"sext i32 {c_call(e, op, 'i32', args)} to i64")
    forget_error(e, e.let(f"icmp slt i64 {result}, 0"))
    return result


@lowering("call.status")
def call_status(e: Emitter, op: Op, *args: str) -> str:
    return e.let(f"sext i32 {c_call(e, op, 'i32', args)} to i64")


@lowering("call.vector")
def call_vector(e: Emitter, op: Op, callable_: str, *args: str) -> str:
    return vectorcall(e, callable_, list(args), op.imm[0])


@lowering("call.closed_vector")
def call_closed_vector(e: Emitter, op: Op, callable_: str, *args: str) -> str:
    result = vectorcall(e, callable_, list(args))
    forget_error(e, e.let(f"icmp eq ptr {result}, null"))
    return result


@lowering("cell.new")
def cell_new(e: Emitter, op: Op) -> str:
    return e.let(f"call ptr {e.function('PyCell_New', 'ptr', 'ptr')}(ptr null){TAGS['alloc']}")


@lowering("function.new")
def function_new(e: Emitter, op: Op) -> str:
    code, namespace = map(e.object, op.imm)
    made = e.let(f"call ptr {e.function('PyFunction_New', 'ptr', 'ptr, ptr')}(ptr {code}, ptr {namespace})")
    forget_error(e, e.let(f"icmp eq ptr {made}, null"))
    return made


@lowering("function.close")
def function_close(e: Emitter, op: Op, o: str, *cells: str) -> None:
    for cell in cells:
        incref_text(e, cell)
    closure = tuple_text(e, cells)
    e.do(f"call i32 {e.function('PyFunction_SetClosure', 'i32', 'ptr, ptr')}(ptr {o}, ptr {closure})")
    drop_text(e, closure, "heap")


def vectorcall(e: Emitter, callable_: str, args: list[str], names: Any = None) -> str:
    """callable_(*args); `names` is None or the tuple naming the last arguments."""
    e.argument_slots = max(e.argument_slots, len(args) + 1)
    for n, a in enumerate(args):
        e.store("ptr", a, "%args", 8 * (n + 1), "buf")
    first = e.at("%args", 8)
    count = len(args) - len(names or ()) + ARGUMENTS_OFFSET
    keywords = e.object(names) if names else "null"
    function = e.function("PyObject_Vectorcall", "ptr", "ptr, ptr, i64, ptr")
    return e.let(f"call ptr {function}(ptr {callable_}, ptr {first}, i64 {count}, ptr {keywords})")


@lowering("call.enter")
def call_enter(e: Emitter, op: Op, enter: str, bind: str, manager: str) -> str:
    call, drop = e.function("PyObject_CallOneArg", "ptr", "ptr, ptr"), e.function("Py_DecRef", "void", "ptr")
    new, put = e.function("PyTuple_New", "ptr", "i64"), e.function("PyTuple_SetItem", "i32", "ptr, i64, ptr")
    e.helpers["jc_enter"] = f"""define internal ptr @jc_enter(ptr %enter, ptr %bind, ptr %manager) nounwind noinline {{
entry:
  %entered = call ptr {call}(ptr %enter, ptr %manager)
  %raised = icmp eq ptr %entered, null
  br i1 %raised, label %failed, label %first
first:
  %leave = call ptr {call}(ptr %bind, ptr %manager)
  %unbound = icmp eq ptr %leave, null
  br i1 %unbound, label %drop.entered, label %second
second:
  %pair = call ptr {new}(i64 2)
  %full = icmp eq ptr %pair, null
  br i1 %full, label %drop.both, label %done
done:
  call i32 {put}(ptr %pair, i64 0, ptr %leave)
  call i32 {put}(ptr %pair, i64 1, ptr %entered)
  ret ptr %pair
drop.both:
  call void {drop}(ptr %leave)
  br label %drop.entered
drop.entered:
  call void {drop}(ptr %entered)
  br label %failed
failed:
  ret ptr null
}}"""
    return e.let(f"call ptr @jc_enter(ptr {enter}, ptr {bind}, ptr {manager})")


@lowering("call.dealloc")
def call_dealloc(e: Emitter, op: Op, o: str) -> None:
    drop_text(e, o, None)


@lowering("call.raised")
def call_raised(e: Emitter, op: Op) -> str:
    return e.let(f"icmp ne ptr {e.let(f'call ptr {e.function("PyErr_Occurred", "ptr", "")}()')}, null")
