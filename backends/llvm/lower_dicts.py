"""Dicts and sets: the lookups are routines of the runtime that only read, displays a function of the module."""

from __future__ import annotations

from ...abi import LAYOUT
from ...optimizer.ir import Op
from .lower_base import Emitter, lowering
from .lower_call import forget_error


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


def looked_up(e: Emitter, routine: str, o: str, key: str, key_type: str = "ptr") -> str:
    """The answer of one of the lookups, a word."""
    name = e.routine(routine, "i64", f"ptr, {key_type}")
    return e.let(f"call i64 {name}(ptr {o}, {key_type} {key}) memory(read)")


def as_object(e: Emitter, word: str) -> str:
    return e.let(f"inttoptr i64 {word} to ptr")


@lowering("dict.find_text")
def find_text(e: Emitter, op: Op, o: str, key: str) -> str:
    return as_object(e, looked_up(e, "jc_find_text", o, key))


@lowering("dict.find_int")
def find_int(e: Emitter, op: Op, o: str, key: str) -> str:
    return as_object(e, looked_up(e, "jc_find_int", o, key, "i64"))


@lowering("dict.find_key")
def find_key(e: Emitter, op: Op, o: str, key: str) -> str:
    return as_object(e, looked_up(e, "jc_find_key", o, key))


@lowering("dict.place_text")
def place_text(e: Emitter, op: Op, o: str, key: str) -> str:
    return looked_up(e, "jc_place_text", o, key)


@lowering("dict.place_int")
def place_int(e: Emitter, op: Op, o: str, key: str) -> str:
    return looked_up(e, "jc_place_int", o, key, "i64")


@lowering("dict.place_key")
def place_key(e: Emitter, op: Op, o: str, key: str) -> str:
    return looked_up(e, "jc_place_key", o, key)


@lowering("set.has")
def set_has(e: Emitter, op: Op, o: str, key: str) -> str:
    return looked_up(e, "jc_set_has", o, key)


@lowering("dict.remove")
def remove(e: Emitter, op: Op, o: str, key: str) -> None:
    e.do(f"call i32 {e.function('PyDict_DelItem', 'i32', 'ptr, ptr')}(ptr {o}, ptr {key})")


@lowering("set.discard")
def set_discard(e: Emitter, op: Op, o: str, key: str) -> None:
    e.do(f"call i32 {e.function('PySet_Discard', 'i32', 'ptr, ptr')}(ptr {o}, ptr {key})")


@lowering("set.add")
def set_add(e: Emitter, op: Op, o: str, key: str) -> str:
    status = e.let(f"call i32 {e.function('PySet_Add', 'i32', 'ptr, ptr')}(ptr {o}, ptr {key})")
    forget_error(e, e.let(f"icmp slt i32 {status}, 0"))
    return e.let(f"sext i32 {status} to i64")


@lowering("dict.at")
def dict_at(e: Emitter, op: Op, where: str) -> str:
    with e.when(e.let(f"icmp ne i64 {where}, 0")) as arm:
        found = e.let(f"load ptr, ptr {e.let(f'inttoptr i64 {where} to ptr')}, align 8")
    return arm.phi("ptr", found, "null")


@lowering("dict.unwatched")
def unwatched(e: Emitter, op: Op, o: str) -> str:
    watchers = e.let(f"load i8, ptr {e.at(o, LAYOUT.DICT_WATCHERS)}")
    return e.let(f"icmp eq i8 {watchers}, 0")


@lowering("dict.put")
def put(e: Emitter, op: Op, o: str, where: str, key: str, value: str) -> str:
    routine = e.routine("jc_dict_put", "i64", "ptr, i64, ptr, ptr")
    return e.let(f"call i64 {routine}(ptr {o}, i64 {where}, ptr {key}, ptr {value})")
