"""Dicts and sets: items by keys that are told from others without running code, so that no frame is needed (`optimizer/ops/dicts.py`).

Strings and ints have lookups of their own. Keys that were seen to be of other types, and dicts and sets where the lookup cannot tell,
are left to the generic operation or to the interpreter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..optimizer.ir import Value
from ..optimizer.ops.dicts import kind_tells
from . import names
from .bytecodes_numbers import as_int, done_or_again, give_back, known_kind, lent
from .exceptions import require
from .intrinsics import method, or_default
from .values import AV, HEAP, OWNED, Const, Iterator, Num, Obj, Tup

if TYPE_CHECKING:
    from .translate import Translator


def find(t: Translator, mapping: AV, key: AV, position: int) -> Value | None:
    """What the exact dict has under the key (operand `position` of the bytecode): borrowed, NULL where there is nothing. None for keys
    that are not looked up here."""
    found = look_up(t, "find", mapping, key, position)
    return told(t, found) if found is not None else None


def look_up(t: Translator, what: str, mapping: AV, key: AV, position: int) -> Value | None:
    """Find an item, or its place."""
    kind = known_kind(t, key, t.expected(position))
    number = t.number(key, {int}) if kind is int else None
    if kind is not str and number is None:
        if not may_tell(t, key, position):
            return None
        t.ensure_type(mapping, dict)
        return with_key(t, f"dict.{what}_key", mapping, key)
    t.ensure_type(mapping, dict)
    if number is None:
        t.ensure_type(key, str)
    names.sync(t)  # it may be the namespace
    base = t.boxed(mapping)
    if number is not None:
        return t.emit(f"dict.{what}_int", base, as_int(t, number))
    return t.emit(f"dict.{what}_text", base, t.boxed(key))


def with_key(t: Translator, operation: str, container: AV, key: AV) -> Value:
    """The lookup of a key that has to be an object."""
    names.sync(t)
    base = t.boxed(container)
    values, temps = lent(t, [key])
    found = t.emit(operation, base, *values)
    give_back(t, temps)
    return found


def may_tell(t: Translator, key: AV, position: int) -> bool:
    """Whether the key is told from others without running code, as far as it is known, or was seen."""
    if isinstance(key, Tup):
        return all(may_tell(t, item, -1) for item in key.items)
    kind = t.type_of(key)
    kinds = {kind} if kind is not None else t.expected(position)
    if not isinstance(key, Obj | Const | Num) or not kinds and position >= 0:
        return False
    return all(isinstance(one, type) and kind_tells(one) for one in kinds)


def member(t: Translator, container: AV, kind: type, item: AV, position: int) -> Value | None:
    """Whether a set of that type has the item (operand `position`); None where that is not looked up here."""
    if not may_tell(t, item, position):
        return None
    t.ensure_type(container, kind)
    found = told(t, with_key(t, "set.has", container, item))
    return t.emit("int.ne", found, t.const_i(0))


def told(t: Translator, found: Value) -> Value:
    """Leave where the lookup of an item, or of its place, cannot tell."""
    unknown = t.emit("obj.is", found, t.const_o(NotImplemented)) if found.repr == "o" else t.emit("int.eq", found, t.const_i(-1))
    t.guard(unknown, False)
    return found


def load(t: Translator, mapping: AV, key: AV) -> bool:
    """mapping[key], both on top of the stack."""
    found = find(t, mapping, key, 1)
    if found is None:
        return False
    require(t, t.emit("obj.is_null", found), False, KeyError)
    item = Obj(found, None, HEAP)
    t.drop_check(mapping, key)
    expected = t.expected_results()
    if len(expected) == 1 and next(iter(expected)) in (bool, list, tuple, str, dict):
        t.specialise(item, expected)
    push_item(t, item, mapping, key)
    return True


def push_item(t: Translator, item: Obj, container: AV, key: AV) -> None:
    """Container and key, on top of the stack, give way to what the container holds."""
    t.pop()
    t.pop()
    if isinstance(container, Obj) and container.owner is OWNED:
        t.own(item)
    t.drop(key)
    t.drop(container)
    t.push(item)


@method(dict.get)
def get(t: Translator, args: list[AV], operands: list[AV]) -> bool:
    """mapping.get(key, default), with a default that is an object already."""
    if not 2 <= len(args) <= 3 or t.type_of(args[0]) is not dict or not isinstance(args[0], Obj | Const):
        return False
    default = args[2] if len(args) == 3 else Const(None)
    if not isinstance(default, Obj | Const):
        return False
    found = find(t, args[0], args[1], t.expected_operands() - len(args) + 1)
    if found is None:
        return False
    t.drop_check(*args)
    result = or_default(t, found, default)
    del t.frame.stack[len(t.frame.stack) - len(operands) :]
    for av in reversed(args):
        t.drop(av)
    t.push(result)
    return True


def store(t: Translator, mapping: AV, key: AV, value: AV) -> bool:
    """mapping[key] = value: below the two on the stack."""
    where = None if isinstance(value, Iterator) else look_up(t, "place", mapping, key, 2)
    if where is None:
        return False
    put(t, t.boxed(mapping), told(t, where), key, value, [mapping, key])
    for _ in range(3):
        t.pop()
    for av in (key, mapping, value):
        t.drop(av)
    return True


def put(t: Translator, base: Value, where: Value, key: AV, value: AV, others: list[AV]) -> None:
    """Store to a dict, at a place that was looked up. Leaves where somebody would notice, or the end of what is there would run code.
    `others`: what goes with the value afterwards."""
    t.reject_hidden(value)
    t.guard(t.emit("dict.unwatched", base))
    t.guard(t.emit("obj.drop_is_safe", t.emit("dict.at", where)))
    t.receive_check(value, *others)
    t.promote_heap()
    values, temps = lent(t, [key, value])
    done_or_again(t, t.emit("dict.put", base, where, *values), temps)
    t.effect = True  # the value itself goes to nobody else


def remove(t: Translator, mapping: AV, key: AV) -> bool:
    """del mapping[key], the two on top of the stack. Leaves where there is nothing, or its end would run code."""
    where = look_up(t, "place", mapping, key, 1)
    if where is None:
        return False
    base = t.boxed(mapping)
    require(t, t.emit("int.eq", told(t, where), t.const_i(0)), False, KeyError)
    t.guard(t.emit("dict.unwatched", base))
    held = t.emit("dict.at", where)
    t.guard(t.emit("obj.drop_is_safe", held))
    t.drop_check(mapping, key)
    t.promote_heap()
    values, temps = lent(t, [key])
    t.emit("dict.remove", base, *values)
    t.pop()
    t.pop()
    give_back(t, temps)
    t.drop(key)
    t.drop(mapping)
    return True


@method(set.add)
def add(t: Translator, args: list[AV], operands: list[AV]) -> bool:
    return change(t, args, operands, "set.add")


@method(set.discard)
def discard(t: Translator, args: list[AV], operands: list[AV]) -> bool:
    return change(t, args, operands, "set.discard")


@method(set.remove)
def remove_item(t: Translator, args: list[AV], operands: list[AV]) -> bool:
    """Of what is there."""
    return change(t, args, operands, "set.discard", needed=True)


def change(t: Translator, args: list[AV], operands: list[AV], operation: str, needed: bool = False) -> bool:
    """A method of sets with one argument, which puts it in or takes it out: what goes is held by the argument as well, or holds nothing
    that could notice. `needed`: it is left to the interpreter where the set does not have it."""
    if len(args) != 2 or t.type_of(args[0]) is not set or not isinstance(args[0], Obj | Const):
        return False
    target, item = args
    if not alter(t, target, item, t.expected_operands() - 1, operation, needed, args):
        return False
    del t.frame.stack[len(t.frame.stack) - len(operands) :]
    for av in reversed(args):
        t.drop(av)
    t.push(Const(None))
    return True


def alter(t: Translator, target: AV, item: AV, position: int, operation: str, needed: bool, spent: list[AV]) -> bool:
    """Put an item (operand `position`) into a set, or take it out. `spent`: what is let go of afterwards. False, with nothing done, where
    that is not done here."""
    found = member(t, target, set, item, position)
    if found is None:
        return False
    if needed:
        require(t, found, True, KeyError)
    t.drop_check(*spent)
    t.promote_heap()
    values, temps = lent(t, [item])
    done = t.emit(operation, t.boxed(target), *values)
    if operation == "set.add":
        done_or_again(t, done, temps)
    else:
        give_back(t, temps)
    t.effect = True
    return True


def find_name(t: Translator, base: Value, name: str) -> Value:
    """What a dict that is known to be an exact one has under a name: borrowed, NULL where there is nothing."""
    return told(t, t.emit("dict.find_text", base, t.const_o(name)))


def place_of_name(t: Translator, base: Value, name: str) -> Value:
    """The same for a store: where the value is, 0 for a new name."""
    return told(t, t.emit("dict.place_text", base, t.const_o(name)))
