"""Generator expressions that are used up at once: `sum(x * k for x in items)`, and those of `any`, `all`, `min` and `max`.

The generator is made for a function of C, which runs it from beginning to end, and nobody else ever sees it. Walked into, it is a loop:
there need be no generator, no switch of frames and no object for what it yields. But there is no way to leave such a loop in its middle,
because the interpreter cannot be put into the middle of `sum`. So nothing is done in it that anybody could notice: nothing is
written, allocated or counted, and what it looks at is borrowed from what its caller holds. Then any exit can be one to before the
call: the interpreter does all of it again. Where something more would have to be done the walk starts over, and the call is a
call.

The frame of the walk for the generator is marked (`Frame.consumer`), and frame states end below it. What has been summed up so far is
in one more slot behind the frame's own.
"""

from __future__ import annotations

import builtins
from types import CellType
from typing import TYPE_CHECKING

from .bytecode_table import bytecode
from .bytecodes_numbers import as_int
from .code_flags import GENERATOR, GENERATORS
from .contexts import Same
from .decode import USES_UP, Ins, code_info
from .translate import Frame, Leave
from .values import AV, FOREVER, Const, Iterator, Null, Num, Obj, Range, iterator_of
from .versions import CALL_NULL_FIRST

if TYPE_CHECKING:
    from .translate import Translator

CONSUMERS = {id(getattr(builtins, name)): name for name in USES_UP}
OPERANDS = 4
"""On the caller's stack: the function of C, the NULL beside it, the generator's function, what it goes through."""


def consume(t: Translator, ins: Ins, func: AV, source: AV) -> bool:
    """The call of a function that was made just now for a generator expression, if the next bytecode gives the generator to a function
    that uses it up. False where that is none of ours."""
    made = t.made.get(func.value) if isinstance(func, Obj) else None
    stack, info = t.frame.stack, t.frame.info
    if made is None or not info.is_used_up(ins) or t.raising is not None or t.consumer is not None or len(stack) < OPERANDS:
        return False
    below = stack[-OPERANDS:-2]
    target, null = reversed(below) if CALL_NULL_FIRST else below
    name = CONSUMERS.get(id(target.obj)) if isinstance(target, Const) else None
    iterator = lent_iterator(source)
    code, cells = made
    key = (Same(t.frame.code), ins.offset)
    if name is None or not isinstance(null, Null) or iterator is None or key in t.memory.called:
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
    frame = Frame(generator, None, caller.globals, caller.builtins, generator.nlocalsplus + 1)
    frame.consumer = name
    frame.locals[0] = iterator
    for k, cell in enumerate(cells):
        frame.locals[generator.nlocalsplus - len(cells) + k] = Obj(cell, CellType, FOREVER)
    if name == "sum":
        frame.locals[-1] = Num(t.const_i(0))
    t.frames.append(frame)
    t.pc = generator.first_offset
    return True


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
    frame, item = t.frame, t.peek()
    if t.observation() is None:
        raise Leave("cold")
    number = t.number(item, t.expected(0))
    if number is None and not isinstance(item, Const):
        t.call_it()
    if frame.consumer == "sum":
        if number is None or number.repr == "f":  # sums of floats are compensated
            t.call_it()
        assert number is not None
        total = frame.locals[-1]
        assert isinstance(total, Num)
        frame.locals[-1] = Num(t.emit("int.add_ovf", total.value, as_int(t, number)))
        frame.stack[-1] = Const(None)
        return
    if frame.consumer in ("min", "max"):
        best = frame.locals[-1]
        if number is None or number.repr == "b" or isinstance(best, Num) and best.repr != number.repr:
            t.call_it()
        assert number is not None
        if isinstance(best, Num):
            kind = "float" if number.repr == "f" else "int"
            better = t.emit(f"{kind}.{'lt' if frame.consumer == 'min' else 'gt'}", number.value, best.value)
            number = Num(t.emit(f"{kind}.select", better, number.value, best.value))
        frame.locals[-1] = Num(number.value)
        frame.stack[-1] = Const(None)
        return
    if number is None:
        assert isinstance(item, Const)
        if type(item.obj) not in (str, type(None)):
            t.call_it()
        truth = t.const_b(bool(item.obj))
    elif number.repr == "b":
        truth = number.value
    else:
        zero = t.const_f(0.0) if number.repr == "f" else t.const_i(0)
        truth = t.emit("float.ne" if number.repr == "f" else "int.ne", number.value, zero)
    frame.stack[-1] = Const(None)
    wanted = frame.consumer == "any"
    over, on = (behind(t), True, lambda: end(t, Const(wanted))), (ins.next, True, None)
    t.split(truth, *((over, on) if wanted else (on, over)))


def used_up(t: Translator) -> None:
    """The generator returns."""
    frame = t.frame
    result = Const(frame.consumer == "all") if frame.consumer in ("any", "all") else frame.locals[-1]
    if isinstance(result, Null):
        raise Leave("cold")  # the least of nothing is an error
    t.pc = behind(t)
    end(t, result)


def behind(t: Translator) -> int:
    """Where the caller goes on with the result: the call of the function of C is the bytecode behind that of the generator's."""
    caller = t.frames[-2]
    assert caller.call is not None
    return caller.info.at(caller.call.next).next


def end(t: Translator, result: AV) -> None:
    """The caller has the result, and what the call was made with goes: for the last time an exit would do all of it again."""
    operands = t.frames[-2].stack[-OPERANDS:]
    func = operands[2]
    assert isinstance(func, Obj)
    t.drop_check(*operands[:2], operands[3])
    t.end_check(func)
    t.frames.pop()
    t.frame.call = None
    del t.frame.stack[-OPERANDS:]
    t.resume = None
    for av in reversed(operands):
        t.drop(av)
    t.push(result)
