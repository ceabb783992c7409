"""Dicts and sets: the lookups are routines of the runtime that only read, displays a function of the module."""

from __future__ import annotations

from ...abi import LAYOUT
from ...optimizer.ir import Op
from .lower_base import Emitter, constant, lowering
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


@lowering("dict.len")
def dict_len(e: Emitter, op: Op, o: str) -> str:
    return e.load("i64", o, LAYOUT.DICT_USED, "field")


@lowering("set.len")
def set_len(e: Emitter, op: Op, o: str) -> str:
    return e.load("i64", o, LAYOUT.SET_USED, "field")


def looked_up(e: Emitter, routine: str, o: str, key: str, key_type: str = "ptr") -> str:
    """The answer of one of the lookups, a word."""
    name = e.routine(routine, "i64", f"ptr, {key_type}")
    return e.let(f"call i64 {name}(ptr {o}, {key_type} {key}) memory(read)")


def as_object(e: Emitter, word: str) -> str:
    return e.let(f"inttoptr i64 {word} to ptr")


def looked_up_at_hint(e: Emitter, name: str, result: str, tail: str, o: str, key: str) -> str:
    """The answer of a lookup of a constant, which tends to be at the same index in all dicts that come by: there it is looked for
    first, and then in the table. (A function of the module does it, which only reads; the runtime's writes the hint.)"""
    hint = e.hint()
    search = e.routine("jc_place_text_anew", "i64", "ptr, ptr, ptr")
    e.helpers[name] = f"""define internal {result} @{name}(ptr %o, ptr %key, ptr %hint) nounwind noinline memory(read) {{
entry:
  %keysat = getelementptr i8, ptr %o, i64 {LAYOUT.DICT_KEYS}
  %keys = load ptr, ptr %keysat, align 8
  %kindat = getelementptr i8, ptr %keys, i64 {LAYOUT.KEYS_KIND}
  %kind = load i8, ptr %kindat, align 1
  %countat = getelementptr i8, ptr %keys, i64 {LAYOUT.KEYS_COUNT}
  %count = load i64, ptr %countat, align 8
  %index = load i64, ptr %hint, align 8
  %inside = icmp ult i64 %index, %count
  %names = icmp eq i8 %kind, {LAYOUT.KEYS_STR}
  %may = and i1 %inside, %names
  br i1 %may, label %look, label %search
look:
  %bitsat = getelementptr i8, ptr %keys, i64 {LAYOUT.KEYS_INDEX_BITS}
  %bits = load i8, ptr %bitsat, align 1
  %width = zext i8 %bits to i64
  %indices = shl i64 1, %width
  %behind = getelementptr i8, ptr %keys, i64 {LAYOUT.KEYS_INDICES}
  %entries = getelementptr i8, ptr %behind, i64 %indices
  %pair = getelementptr {{ptr, ptr}}, ptr %entries, i64 %index
  %found = load ptr, ptr %pair, align 8
  %same = icmp eq ptr %found, %key
  br i1 %same, label %hit, label %search
hit:
  %place = getelementptr i8, ptr %pair, i64 8
  %where = ptrtoint ptr %place to i64
  br label %done
search:
  %other = call i64 {search}(ptr %o, ptr %key, ptr %hint) memory(read)
  br label %done
done:
  %answer = phi i64 [%where, %hit], [%other, %search]
{tail}
}}"""
    return e.let(f"call {result} @{name}(ptr {o}, ptr {key}, ptr {hint}) memory(read)")


HELD = """  switch i64 %answer, label %there [i64 -1, label %unknown i64 0, label %nowhere]
there:
  %at = inttoptr i64 %answer to ptr
  %value = load ptr, ptr %at, align 8
  ret ptr %value
unknown:
  ret ptr {unknown}
nowhere:
  ret ptr null"""


@lowering("dict.find_text")
def find_text(e: Emitter, op: Op, o: str, key: str) -> str:
    if constant(op.args[1]) is not None:
        return looked_up_at_hint(e, "jc_find_name", "ptr", HELD.format(unknown=e.object(NotImplemented)), o, key)
    return as_object(e, looked_up(e, "jc_find_text", o, key))


@lowering("dict.find_int")
def find_int(e: Emitter, op: Op, o: str, key: str) -> str:
    return as_object(e, looked_up(e, "jc_find_int", o, key, "i64"))


@lowering("dict.find_key")
def find_key(e: Emitter, op: Op, o: str, key: str) -> str:
    return as_object(e, looked_up(e, "jc_find_key", o, key))


@lowering("dict.place_text")
def place_text(e: Emitter, op: Op, o: str, key: str) -> str:
    if constant(op.args[1]) is not None:
        return looked_up_at_hint(e, "jc_place_name", "i64", "  ret i64 %answer", o, key)
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
