"""Calls of the C API. To LLVM they may read and write everything; none of them unwinds.

Vectorcall arguments live in one array of the function's frame, as large as the largest call needs; the word
before them is the callee's to use (PY_VECTORCALL_ARGUMENTS_OFFSET).
"""

from __future__ import annotations

from typing import Any

from ...optimizer.ir import Op
from .lower_base import UNLIKELY, Emitter, lowering
from .lower_objects import drop_text

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
        e.do(f"call void {e.function('PyErr_Clear', 'void', '')}()")


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


@lowering("dict.new")
def dict_new(e: Emitter, op: Op, *operands: str) -> str:
    made = dict_of(e, operands)
    forget_error(e, e.let(f"icmp eq ptr {made}, null"))
    return made


@lowering("call.dict")
def call_dict(e: Emitter, op: Op, *operands: str) -> str:
    return dict_of(e, operands)


def dict_of(e: Emitter, operands: tuple[str, ...]) -> str:
    """The operands are laid out as arguments are."""
    e.argument_slots = max(e.argument_slots, len(operands) + 1)
    for n, operand in enumerate(operands):
        e.store("ptr", operand, "%args", 8 * n, "buf")
    new, put = e.function("PyDict_New", "ptr", ""), e.function("PyDict_SetItem", "i32", "ptr, ptr, ptr")
    e.helpers["jc_dict"] = f"""define internal ptr @jc_dict(ptr %pairs, i64 %words) nounwind noinline {{
entry:
  %made = call ptr {new}()
  %none = icmp eq ptr %made, null
  br i1 %none, label %failed, label %head
head:
  %at = phi i64 [0, %entry], [%next, %body]
  %more = icmp slt i64 %at, %words
  br i1 %more, label %body, label %done
body:
  %at.key = getelementptr ptr, ptr %pairs, i64 %at
  %at.value = getelementptr ptr, ptr %at.key, i64 1
  %key = load ptr, ptr %at.key
  %value = load ptr, ptr %at.value
  %status = call i32 {put}(ptr %made, ptr %key, ptr %value)
  %next = add i64 %at, 2
  %bad = icmp slt i32 %status, 0
  br i1 %bad, label %drop, label %head
drop:
  call void {e.function("Py_DecRef", "void", "ptr")}(ptr %made)
  br label %failed
failed:
  ret ptr null
done:
  ret ptr %made
}}"""
    return e.let(f"call ptr @jc_dict(ptr %args, i64 {len(operands)})")


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
