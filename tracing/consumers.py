"""Generator expressions that are used up at once: `sum(x * k for x in items)`, and those of `any`, `set`, `sorted`, `", ".join` and others.

The generator is made for a function of C, which runs it from beginning to end, and nobody else ever sees it. Walked into, it is a loop:
there need be no generator, no switch of frames and no object for what it yields. But there is no way to leave such a loop in its middle,
because the interpreter cannot be put into the middle of `sum`. So nothing is done in it that anybody could notice: nothing is
written, allocated or counted, and what it looks at is borrowed from what its caller holds. Then any exit can be one to before the
call: the interpreter does all of it again. Where something more would have to be done the walk starts over, and the call is a
call.

The frame of the walk for the generator is marked (`Frame.consumer`), and frame states end below it. What has been summed up so far is
in one more slot behind the frame's own. Functions that want all items at once have them *collected* (`optimizer/ops/collect.py`): the
slot counts them, and in the end the function itself is called with a list of them. What these are must not let it run Python code.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from types import CellType
from typing import TYPE_CHECKING, NamedTuple

from ..optimizer.ops.lists import ATOMS
from .bytecode_table import bytecode
from .bytecodes_numbers import as_int
from .code_flags import GENERATOR, GENERATORS
from .contexts import Same
from .decode import USES_UP, CodeInfo, Ins, code_info
from .translate import Frame, Leave
from .values import AV, FOREVER, OWNED, Const, Iterator, Null, Num, Obj, Range, iterator_of
from .versions import CALL_NULL_FIRST

if TYPE_CHECKING:
    from .translate import Translator

CONSUMERS = {id(getattr(builtins, name)): name for name in USES_UP}
OPERANDS = 4
"""On the caller's stack: the function of C, the NULL beside it (or, before it, the method's object behind it), the generator's function,
what it goes through."""
RESULTS: dict[str, type] = {"list": list, "sorted": list, "tuple": tuple, "set": set, "frozenset": frozenset, "join": str}
ANY_ITEM = ("list", "tuple")


class Consumer(NamedTuple):
    """The function that uses a generator up, and what is done with an item, a key of WAYS."""

    name: str
    way: str


def consume(t: Translator, ins: Ins, func: Obj, source: AV) -> bool:
    """The call of a function that was made just now for a generator expression, if the next bytecode gives the generator to a function
    that uses it up. False where that is none of ours."""
    stack, info = t.frame.stack, t.frame.info
    if not info.is_used_up(ins) or t.raising is not None or t.consumer is not None or len(stack) < OPERANDS:
        return False
    below = stack[-OPERANDS:-2]
    name = consumer_name(t, below)
    iterator = lent_iterator(source)
    code, cells = t.made[func.value]
    key = (Same(t.frame.code), ins.offset)
    if name is None or iterator is None or key in t.memory.called:
        return False
    generator = code_info(code)
    following = info.at(ins.next)
    refused = code.co_flags & GENERATORS != GENERATOR or len(t.frames) > t.limits.inline_depth or len(generator.instructions) > t.limits.inline_ops
    seen = any(ins.op == "FOR_ITER" and t.profiles.get(code, ins.offset) is not None for ins in generator.instructions)
    if refused or info.is_merge(following.offset) or not seen:
        return False
    t.normalise(ins.offset)
    t.resume = None
    caller = t.frame
    caller.call = ins
    t.codes.add(code)
    t.constants[id(code)] = code
    way = way_of(t, name, generator)
    frame = Frame(generator, None, caller.globals, caller.builtins, generator.nlocalsplus + (2 if way == "compensated" else 1))
    frame.consumer = Consumer(name, way)
    frame.locals[0] = iterator
    for k, cell in zip(generator.free, cells):
        frame.locals[k] = Obj(cell, CellType, FOREVER)
    if way in ("added", "collected"):
        frame.locals[-1] = Num(t.const_i(0))
    t.frames.append(frame)
    t.pc = generator.first_offset
    return True


def consumer_name(t: Translator, below: list[AV]) -> str | None:
    """What is below the generator's function, if it is a function or method that uses generators up."""
    if isinstance(below[0], Const) and below[0].obj is str.join:
        return "join" if t.type_of(below[1]) is str else None
    target, null = reversed(below) if CALL_NULL_FIRST else below
    return CONSUMERS.get(id(target.obj)) if isinstance(target, Const) and isinstance(null, Null) else None


def way_of(t: Translator, name: str, generator: CodeInfo) -> str:
    """What is to be done with the items, by the types that were seen: of those that are not added or compared here the function gets
    a list, as do functions that need all of them."""
    if name in RESULTS or name in ("any", "all"):
        return "collected" if name in RESULTS else "asked"
    seen = [t.profiles.get(generator.code, ins.offset) for ins in generator.instructions if ins.op == "YIELD_VALUE"]
    kinds = {kind for one in seen if one is not None and one.operands for kind in one.operands[0]}
    if name == "sum":
        return "added" if kinds <= {int, bool} else "compensated" if kinds == {float} else "collected"
    return "compared" if kinds in ({int}, {float}) else "collected"


def lent_iterator(av: AV) -> AV | None:
    """What the generator goes through, without references of its own: an iterator that exists only as numbers and what it holds, or
    (from 3.15 on the generator asks for the iterator) what it is over. None where going on changes an object."""
    if isinstance(av, Iterator):
        parts = [lent_iterator(part) for part in av.parts]
        return iterator_of(av.kind, av.values, tuple(parts)) if None not in parts else None  # type: ignore[arg-type]
    if isinstance(av, Const | Range):
        return av.copy()
    if isinstance(av, Obj) and av.type in (list, tuple, dict, str, set, frozenset):
        return Obj(av.value, av.type, FOREVER)
    return None


@bytecode("RETURN_GENERATOR")
def return_generator(t: Translator, ins: Ins) -> None:
    """From here on it is run by who has it."""
    if t.frame.consumer is None:
        raise Leave("generator", ins.op)
    t.push(Const(None))  # what is sent


def take(t: Translator, ins: Ins) -> None:
    """YIELD_VALUE: what is done with an item."""
    frame = t.frame
    assert frame.consumer is not None
    if t.observation() is None:
        raise Leave("cold")
    item = t.peek()
    if frame.consumer.way == "collected":
        collect(t, item, frame.consumer.name)
    elif frame.consumer.way == "asked":
        ask(t, ins, item, frame.consumer.name)
    else:
        number = t.number(item, t.expected(0))
        if number is None:
            t.call_it()
        assert number is not None
        WAYS[frame.consumer.way](t, number, frame.consumer.name)
        frame.stack[-1] = Const(None)


def add(t: Translator, number: Num, name: str) -> None:
    if number.repr == "f":
        t.call_it()
    total = t.frame.locals[-1]
    assert isinstance(total, Num)
    t.frame.locals[-1] = Num(t.emit("int.add_ovf", total.value, as_int(t, number)))


def compensate(t: Translator, number: Num, name: str) -> None:
    """The sum of floats, and (the slot before) what rounding has lost of it: as the interpreter does that, by Neumaier's variant of Kahan's
    algorithm (Python/bltinmodule.c, from 3.12 on). The first one is added to the int 0."""
    if number.repr != "f":
        t.call_it()
    lost, total = t.frame.locals[-2:]
    x = number.value
    if not isinstance(total, Num) or not isinstance(lost, Num):
        t.frame.locals[-2:] = Num(t.const_f(0.0)), Num(t.emit("float.add", x, t.const_f(0.0)))
        return
    new = t.emit("float.add", total.value, x)
    larger = t.emit("float.ge", t.emit("float.abs", total.value), t.emit("float.abs", x))
    of_x = t.emit("float.add", t.emit("float.sub", total.value, new), x)
    of_total = t.emit("float.add", t.emit("float.sub", x, new), total.value)
    t.frame.locals[-2:] = Num(t.emit("float.add", lost.value, t.emit("float.select", larger, of_x, of_total))), Num(new)


def compare(t: Translator, number: Num, name: str) -> None:
    best = t.frame.locals[-1]
    if number.repr == "b" or isinstance(best, Num) and best.repr != number.repr:
        t.call_it()
    if isinstance(best, Num):
        kind = "float" if number.repr == "f" else "int"
        better = t.emit(f"{kind}.{'lt' if name == 'min' else 'gt'}", number.value, best.value)
        number = Num(t.emit(f"{kind}.select", better, number.value, best.value))
    t.frame.locals[-1] = Num(number.value)


WAYS: dict[str, Callable[["Translator", Num, str], None]] = {"added": add, "compensated": compensate, "compared": compare}
"""What is done with numbers. Besides these, items are "collected", or "asked" whether they are true."""


def ask(t: Translator, ins: Ins, item: AV, name: str) -> None:
    """any and all: the item may be the last one."""
    number = t.number(item, t.expected(0))
    if number is None:
        if not isinstance(item, Const) or type(item.obj) not in (str, type(None)):
            t.call_it()
        assert isinstance(item, Const)
        truth = t.const_b(bool(item.obj))
    elif number.repr == "b":
        truth = number.value
    else:
        zero = t.const_f(0.0) if number.repr == "f" else t.const_i(0)
        truth = t.emit("float.ne" if number.repr == "f" else "int.ne", number.value, zero)
    t.frame.stack[-1] = Const(None)
    wanted = name == "any"
    over, on = (behind(t), True, lambda: end(t, lambda: Const(wanted))), (ins.next, True, None)
    t.split(truth, *((over, on) if wanted else (on, over)))


def collect(t: Translator, item: AV, name: str) -> None:
    """Keep an item until the end."""
    count = t.frame.locals[-1]
    assert isinstance(count, Num)
    if not isinstance(item, Num | Const | Obj) or isinstance(item, Obj) and item.owner is OWNED:
        t.call_it()
    wanted = (str,) if name == "join" else ATOMS
    if name not in ANY_ITEM and t.type_of(item) not in wanted:
        kinds = t.expected(0)
        if not kinds <= {*wanted} or not isinstance(item, Obj) or t.specialise(item, kinds) is None:
            t.call_it()
    if isinstance(item, Num) and item.repr != "b":
        more = t.emit("collect.float" if item.repr == "f" else "collect.int", count.value, item.value)
    else:
        more = t.emit("collect.object", count.value, t.boxed(item))
    t.frame.locals[-1] = Num(more)
    t.frame.stack[-1] = Const(None)


def used_up(t: Translator) -> None:
    """The generator returns."""
    consumer, locals_ = t.frame.consumer, t.frame.locals
    assert consumer is not None
    if consumer.way == "compared" and isinstance(locals_[-1], Null):
        raise Leave("cold")  # the least of nothing is an error
    t.pc = behind(t)
    if consumer.way == "collected":
        end(t, lambda: collected(t, consumer.name, locals_[-1]))
    elif consumer.way == "compensated":
        end(t, lambda: compensated(t, *locals_[-2:]))
    else:
        end(t, lambda: Const(consumer.name == "all") if consumer.way == "asked" else locals_[-1])


def compensated(t: Translator, lost: AV, total: AV) -> AV:
    """The sum, with what was lost unless that is nothing, or no number."""
    if not isinstance(total, Num) or not isinstance(lost, Num):
        return Const(0)  # of nothing at all
    worth_it = t.emit("bool.and", t.emit("float.ne", lost.value, t.const_f(0.0)), t.emit("float.is_finite", lost.value))
    return Num(t.emit("float.select", worth_it, t.emit("float.add", total.value, lost.value), total.value))


def collected(t: Translator, name: str, count: AV) -> AV:
    """What the function makes of the items. Where that fails it is asked again, by the interpreter."""
    assert isinstance(count, Num)
    if name in (*ANY_ITEM, "sorted"):
        made = t.emit(f"collect.{name}", count.value)
    elif name == "join":
        made = t.emit("collect.join", count.value, t.boxed(t.frames[-2].stack[1 - OPERANDS]))
    else:
        made = t.emit("collect.call", count.value, t.const_o(getattr(builtins, name)))
    t.emit("guard", t.emit("obj.is_null", made), imm=(False,), state=t.retry_state())
    return Obj(made, RESULTS.get(name), OWNED)


def behind(t: Translator) -> int:
    """Where the caller goes on with the result: the call of the function of C is the bytecode behind that of the generator's."""
    caller = t.frames[-2]
    assert caller.call is not None
    return caller.info.at(caller.call.next).next


def end(t: Translator, result: Callable[[], AV]) -> None:
    """The caller has the result, and what the call was made with goes: for the last time an exit would do all of it again."""
    operands = t.frames[-2].stack[-OPERANDS:]
    func = operands[2]
    assert isinstance(func, Obj)
    t.drop_check(*operands[:2], operands[3])
    t.end_check(func)
    made = result()
    t.frames.pop()
    t.frame.call = None
    del t.frame.stack[-OPERANDS:]
    t.resume = None
    for av in reversed(operands):
        t.drop(av)
    t.push(made)
