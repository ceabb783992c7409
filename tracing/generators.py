"""Generators walked into by the loop over them.

`for x in numbers(n)`, or `for x in tree` with a `__iter__` that yields, calls a generator function and is the only one that ever
sees the generator. It needs no object, then, and no switch between frames: calling the function gives an abstract value
(`values.Generator`) with the arguments; FOR_ITER goes on in the generator's code where it waits, with a frame of the walk on top of
the loop's own; YIELD_VALUE takes that frame off again, keeps in the abstract value what it had, and goes on in the body of the loop
with what was yielded; when the generator returns, the loop is over. What it keeps between two rounds are values of the region like
all others: numbers without boxes, iterators as indices. At joins a waiting generator is part of the context, so the first
round, in which it begins, becomes a version of its own.

A generator expression that is looped over at once is the same, but for its function, which is made for it and goes with it. (Nobody sees
that one either, see `optimizer/passes/virtuals.py`.)

An exit makes the generator: waiting ones from their parts, one that runs as the frame that it is
(`backends/llvm/runtime_generators.py`). What its frame then returns to is the FOR_ITER, by the row ITERATES of `answers`.

Code that may look at frames must find a generator that runs, with its frame inside. That could not be taken apart again behind
the call, so a generator whose code does open calls is an object from the beginning, and the loop calls its `__next__`.

A generator that is not used up dies where the loop is left. CPython closes it then, by raising GeneratorExit at the yield;
nothing comes of that if no `try` is there. Generators that yield within a `try` or a `with` are objects, too, as are
those that are not looped over at once.
"""

from __future__ import annotations

from types import CellType, CodeType, FunctionType
from typing import TYPE_CHECKING

from .binding import bind, make_real
from .bytecode_table import bytecode
from .bytecodes_calls import builtins_of, drop_locals, go_inside, has_room_for, lent, own_result
from .bytecodes_stack import new_cell
from .code_flags import GENERATOR, GENERATORS
from .consumers import take
from .decode import CodeInfo, Ins, code_info
from .iteration import finish_loop, iterator_over, push_iterator
from .methods import lookup
from .special_methods import plain
from .translate import NUMBERS, Frame, Leave
from .values import AV, FOREVER, OWNED, Const, Generator, Iterator, Null, Num, Obj, Origin, Twin
from .versions import WIDTH, exhausted_target, intrinsic_1

if TYPE_CHECKING:
    from .translate import Translator

MOST_YIELDS = 3
"""The body of the loop is compiled once for each place where the generator can wait."""


def may_be_virtual(t: Translator, ins: Ins, code: CodeType) -> bool:
    """Whether the call of a function with this code (or GET_ITER, which may be one) makes a generator that only the loop behind it
    sees, and that can be left at any time."""
    if code.co_flags & GENERATORS != GENERATOR or not yields_plainly(code_info(code)):
        return False
    return t.frame.info.is_looped_over(ins)


def yields_plainly(info: CodeInfo) -> bool:
    """Whether there are few yields, and no exception that is raised at one of them comes to a handler of the program's."""
    if sum(ins.op == "YIELD_VALUE" for ins in info.instructions) > MOST_YIELDS:
        return False
    for handler, within in info.protected.items():
        first = info.at(handler)
        implicit = first.op == "CALL_INTRINSIC_1" and intrinsic_1(first) == "INTRINSIC_STOPITERATION_ERROR"
        if not implicit and any(info.at(offset).op == "YIELD_VALUE" for offset in within):
            return False
    return True


def make_generator(t: Translator, ins: Ins, func: FunctionType, args: list[AV], operands: list[AV]) -> None:
    """Call a generator function: what it is given waits in an abstract value."""
    go_inside(t, ins, func, args, operands)
    frame = t.frames.pop()
    t.frame.call = None
    put_into_cells(t, frame.info, frame.locals)
    t.push(Generator(origin(func), Const(func), 0, frame.locals))
    t.pc = ins.next


def put_into_cells(t: Translator, info: CodeInfo, locals_: list[AV]) -> None:
    """What MAKE_CELL does at the beginning of a call."""
    for slot in info.cells:
        locals_[slot] = new_cell(t, locals_[slot])


def origin(func: FunctionType) -> Origin:
    return Origin(func.__code__, func.__globals__, builtins_of(func))


def expression(t: Translator, ins: Ins, func: Obj, source: AV) -> bool:
    """The call of a function that was made just now for a generator expression, which goes over `source`. False where the generator
    is seen by others than the loop behind it."""
    code, cells = t.made[func.value]
    if func.owner is not OWNED or isinstance(source, Generator) or not may_be_virtual(t, ins, code) or not has_room_for(t, ins, code, []):
        return False
    info = code_info(code)
    t.codes.add(code)
    t.constants[id(code)] = code
    locals_: list[AV] = [Null() for _ in range(info.nlocalsplus)]
    locals_[0] = source
    stack: list[AV] | None = []
    asks = next((one for one in info.instructions if one.op == "GET_ITER" and one.offset < beginning(info)), None)
    if asks is not None:  # from 3.15 on that is done by the call
        seen = t.profiles.get(code, asks.offset)
        kind = t.specialise(source, set(seen.operands[0]) if seen is not None and seen.operands else set())
        stack = iterator_over(t, lent(source, FOREVER), kind)
        if stack is None:
            return False
        if isinstance(source, Iterator):
            locals_[0] = Twin()
        elif isinstance(source, Obj) and source.owner is OWNED:
            t.own(stack[0])
    for k, cell in zip(info.free, cells):
        locals_[k] = Obj(cell, CellType, FOREVER)  # the function, which the generator has, holds it
    put_into_cells(t, info, locals_)
    del t.frame.stack[-2:]
    t.push(Generator(Origin(code, t.frame.globals, t.frame.builtins), func, 0, locals_, stack))
    t.pc = ins.next
    return True


def iterate(t: Translator, ins: Ins, kind: type) -> bool:
    """GET_ITER of an instance whose `__iter__` is a generator function. False where it is not, or is to be called."""
    func = lookup(kind, "__iter__")
    if type(func) is not FunctionType or not may_be_virtual(t, ins, func.__code__) or not plain(t, kind):
        return False
    bound = bind(t, func, [t.peek()])
    if not isinstance(t.peek(), Obj) or bound is None or not has_room_for(t, ins, func.__code__, []):
        return False
    make_generator(t, ins, func, make_real(t, bound), [t.peek()])
    push_iterator(t, t.pop())
    return True


def go_on(t: Translator, ins: Ins, generator: Generator) -> None:
    """FOR_ITER: the generator runs until it yields or returns."""
    caller, func = t.frame, generator.func.obj if isinstance(generator.func, Const) else None
    info = code_info(generator.code)
    frame = Frame(info, func, generator.origin.globals, generator.origin.builtins, 0)
    frame.locals = generator.locals
    frame.stack = [*generator.stack, Const(None)]  # what `next` sends
    caller.stack[-WIDTH] = Generator(generator.origin, generator.func)
    caller.call, caller.answer = ins, "iterates"
    t.frames.append(frame)
    t.pc = generator.offset or beginning(info)


def beginning(info: CodeInfo) -> int:
    """Where a new generator goes on."""
    return next(ins.next for ins in info.instructions if ins.op == "RETURN_GENERATOR")


@bytecode("YIELD_VALUE")
def yield_value(t: Translator, ins: Ins) -> None:
    if t.frame.consumer is not None:
        take(t, ins)
        return
    if len(t.frames) == 1 or t.frames[-2].answer != "iterates":
        raise Leave("generator", ins.op)
    result = t.peek()
    t.reject_hidden(result)
    own_result(t, result, len(t.frames) - 1, False)
    t.pop()
    frame, call = t.frames.pop(), back(t)
    generator = t.frame.stack[-WIDTH]
    assert isinstance(generator, Generator)
    t.frame.stack[-WIDTH] = Generator(generator.origin, generator.func, ins.next, frame.locals, frame.stack)
    t.push(result)
    t.pc = call.next


def end_generator(t: Translator, result: AV, on_stack: bool) -> None:
    """The generator returns: its locals go, then its function and the result, and the loop is over."""
    generator = t.frames[-2].stack[-WIDTH]
    assert isinstance(generator, Generator) and t.ins is not None
    t.drop_check(result)
    t.promote_owned_by(len(t.frames) - 1)
    drop_locals(t)
    if isinstance(generator.func, Obj):
        t.promote_heap()  # what its cells hold may go with it
        t.end_check(generator.func, t.frame_state(t.ins.start, reason="guard"))
    if on_stack:
        t.pop()
    t.frames.pop()
    t.drop(generator.func)
    t.drop(result)
    call = back(t)
    finish_loop(t)
    t.pc = exhausted_target(call)


def back(t: Translator) -> Ins:
    """The innermost frame does not wait for a generator any more. Returns its FOR_ITER."""
    call = t.frame.call
    assert call is not None
    t.frame.call, t.frame.answer = None, "value"
    return call


def settle(t: Translator, generator: Generator) -> None:
    """Bring a waiting generator into the form in which states are compared at a join: numbers without boxes, and nothing known of
    what it will not look at again."""
    for slots in (generator.locals, generator.stack):
        for k, av in enumerate(slots):
            if isinstance(av, Generator):
                settle(t, av)
            elif isinstance(av, Const) and type(av.obj) in NUMBERS:
                number = t.number(av)
                slots[k] = Num(number.value) if number is not None else av
    if generator.offset:
        t.forget_dead(code_info(generator.code), generator.locals, generator.offset)
