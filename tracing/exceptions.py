"""Exceptions that are raised and caught inside a region, and never made.

Where a bytecode is about to fail in a known way (no such key, an index out of range, `raise KeyError(k)`) and its handler, in the same
frame or in one that it was inlined into, was seen to run, the block ends in a branch instead of a guard: on the failing side
the walk goes on in the handler. It unwinds as the interpreter does, and what stands for the exception on the stack says only of
which exact type it would be (`values.Raised`). That decides which `except` takes it.

The interpreter has an exception there, with a traceback that holds the frames. Nobody can tell the difference before somebody
looks: code that asks for `sys.exc_info()`, another exception whose `__context__` it becomes, a tool that watches exceptions. So as
long as the exception is there, all exits, whatever they are for, leave with the state *before the bytecode that raises it*, and the
interpreter does all of that by itself. Whoever could look is a call of unknown code, and these leave. That works as long as the
handler has done nothing that must not be done twice. Where it has and then would have to leave, the walk starts over and
this exception is left to the interpreter altogether (`Translator.cannot_go_back`). What handlers mostly do needs no exit:
assign a local, count, store an item, go on.

What the ended frames and their stacks owned is held by the traceback until the handler ends. It goes then, or just before the handler
first does something that counts, if its end runs no code.

StopIteration from a `__next__` that was walked into has a handler, too: the FOR_ITER, which clears it and ends the loop.

A handler may raise, and have handlers inside: all of these exceptions are one stretch, from before the first until none is left.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING

from ..abi import memory
from ..optimizer.ir import Edge, Value
from .contexts import Same
from .decode import Handler, Ins
from .methods import is_static, mro
from .translate import Leave, Pending, Raising, Throw
from .values import AV, HEAP, Const, Null, Obj, Raised, owned_parts
from .versions import WIDTH, exhausted_target

if TYPE_CHECKING:
    from .translate import Translator

PLAIN: frozenset[type] = frozenset(
    {
        Exception, ArithmeticError, AssertionError, BufferError, EOFError, FloatingPointError, IndexError, KeyError, LookupError,
        NotImplementedError, OverflowError, RecursionError, ReferenceError, RuntimeError, StopIteration, TypeError, ValueError,
        ZeroDivisionError,
    }
)
"""Built-in classes of exceptions that only keep their arguments when they are made."""
SAYS_HOW = ("__new__", "__init__", "__del__", "__getattribute__", "__setattr__")
"""What a class of the program must not have to be as plain as its bases."""


def handler_of(t: Translator, kind: type, offset: int) -> tuple[int, Handler] | None:
    """Which frame handles an exception of that type, raised by the innermost one at that offset, and where; None where that is not in the
    region, or was never seen."""
    if not memory.exceptions_proven:
        return None
    for depth in reversed(range(len(t.frames))):
        frame = t.frames[depth]
        innermost = depth == len(t.frames) - 1
        if not innermost:
            assert frame.call is not None
            offset = frame.call.offset
            if frame.call.op == "FOR_ITER":
                return loop_end(t, depth, kind)
        handler = frame.info.handlers.get(offset)
        if handler is None:
            continue
        seen = t.profiles.get(frame.code, offset if innermost else handler.target)
        if seen is None or not (seen.raised if innermost else seen.count):
            return None
        if depth == 0 and t.body is not None and handler.target not in t.body:
            return None
        return None if key(frame.code, handler, kind) in t.memory.unhandled else (depth, handler)
    return None


def loop_end(t: Translator, depth: int, kind: type) -> tuple[int, Handler] | None:
    """The end of the loop over an iterator written in Python, whose `__next__` raises StopIteration: as if FOR_ITER had a handler, with
    all of the stack that the loop found."""
    frame = t.frames[depth]
    call = frame.call
    assert call is not None
    seen = t.profiles.get(frame.code, call.offset)
    if frame.answer != "next" or StopIteration not in mro(kind) or seen is None or not seen.taken:
        return None
    handler = Handler(exhausted_target(call), len(frame.stack) - WIDTH, False)
    return None if key(frame.code, handler, kind) in t.memory.unhandled else (depth, handler)


def key(code: CodeType, handler: Handler, kind: type) -> tuple[object, ...]:
    return Same(code), handler.target, kind


def may_be_caught(t: Translator, kind: type) -> bool:
    """Whether the current bytecode may raise an exception of that type, for a handler in the region."""
    return caught_at(t, kind) is not None


def caught_at(t: Translator, kind: type) -> int | None:
    """Where that handler begins."""
    assert t.ins is not None
    found = handler_of(t, kind, t.ins.offset) if not t.effect else None
    return found[1].target if found is not None else None


def require(t: Translator, cond: Value, expected: bool, kind: type, check: Callable[[], None] = lambda: None) -> None:
    """Go on where cond is `expected`. Elsewhere the bytecode raises an exception of exactly that type (if it passes the `check`): go on
    in its handler, if that was seen, or leave. The bytecode must not have had any effect."""
    target = caught_at(t, kind)
    if target is None:
        t.guard(cond, expected)
        return
    known = t.known.get(cond, t.checked.get((cond, "b")))
    if known is not None:
        if known != expected:
            raise Throw(kind)
        return
    assert t.ins is not None
    facts = (dict(t.cse), dict(t.checked), dict(t.known))
    facts[1][cond, "b"] = not expected
    frames = [frame.clone() for frame in t.frames]
    frames[-1].stack = [av.copy() for av in t.before]
    goes_on, fails = (t.graph.block(f"{t.frame.code.co_name}_{t.ins.offset}{side}") for side in ("", "raised"))
    edges = [Edge(goes_on, []), Edge(fails, [])]
    side = Pending(fails, frames, target, True, lambda: throw(t, kind, check=check), facts, t.ins, [*frames[-1].stack], again=True)
    side.splits, side.length, side.raising = t.splits, t.length, t.same_raising()
    t.work.append(side)
    t.current.branch(cond, *(edges if expected else edges[::-1]))
    t.block = goes_on
    t.checked[cond, "b"] = expected


def throw(t: Translator, kind: type, at: Ins | None = None, check: Callable[[], None] = lambda: None) -> None:
    """The current bytecode raises an exception of exactly that type (or the one at `at`, right behind it, does): go on in the handler."""
    assert t.ins is not None
    found = handler_of(t, kind, (at or t.ins).offset)
    assert found is not None
    if t.raising is None:
        state = t.frame_state(t.ins.start, reason="guard")
        t.raising = Raising(state, key(t.frames[found[0]].code, found[1], kind))
        t.wrote = False
        check()
        t.guard(t.emit("error.unseen"))
    else:
        check()
    unwind(t, kind, *found)


def unwind(t: Translator, kind: type, depth: int, handler: Handler) -> None:
    """Go on in a handler of the frame at `depth`."""
    raising = t.raising
    assert raising is not None and t.ins is not None
    gone: list[AV] = []
    while len(t.frames) - 1 > depth:
        ended = t.frames.pop()
        gone += [*reversed(ended.stack), *ended.locals]
    frame = t.frame
    at = frame.call.offset if frame.call is not None else t.ins.offset
    ends = frame.call is not None and frame.call.op == "FOR_ITER"
    frame.call, frame.answer = None, "value"
    t.pc = handler.target
    if not ends:
        gone += reversed(frame.stack[handler.depth :])
        del frame.stack[handler.depth :]
    raising.waiting = [*raising.waiting, *(av for av in gone if owned_parts(av))]
    if ends:
        end_loop(t, raising)
        return
    raising.lent = any(isinstance(av, Obj) and av.owner is HEAP for av in t.all_slots())
    if handler.lasti:
        t.push(Const(at // 2))
    t.push(Raised(kind))


def end_loop(t: Translator, raising: Raising) -> None:
    """FOR_ITER clears the exception that ends the loop: nobody has seen it."""
    from .iteration import finish_loop

    iterator = t.frame.stack[-WIDTH]
    t.drop_check(*raising.waiting)
    for obj in owned_parts(iterator):
        t.end_check(obj)
    t.raising = t.resume = None
    for av in raising.waiting:
        t.drop(av)
    t.promote_heap()
    finish_loop(t)
    t.drop(iterator)


def throw_again(t: Translator, kind: type) -> None:
    """An exception that has been raised goes on to the next handler."""
    assert t.ins is not None
    found = handler_of(t, kind, t.ins.offset)
    if found is None:
        raise Leave("exception_handler")
    unwind(t, kind, *found)


def handled(t: Translator) -> type:
    """The type of the exception that is being handled. Leaves where that is one that exists."""
    for frame in reversed(t.frames):
        for av in reversed(frame.stack):
            if isinstance(av, Raised) and av.outer:
                return av.kind
    raise Leave("exception_handler")


def is_plain(t: Translator, kind: object) -> bool:
    """Whether making an exception of that class, with any arguments, does nothing but that."""
    if type(kind) is not type:
        return False
    for base in mro(kind):
        if is_static(base):
            if base not in PLAIN and base not in (BaseException, object):
                return False
        elif not set(SAYS_HOW).isdisjoint(type.__dict__["__dict__"].__get__(base)):
            return False
    return issubclass(kind, BaseException) and t.watch_type(kind)


def raise_by_call(t: Translator, ins: Ins, kind: type) -> bool:
    """`raise kind(...)`, at the call: no exception has to be made. False for other calls, or where nobody catches it."""
    following = t.frame.info.by_offset.get(ins.next)
    if following is None or following.op != "RAISE_VARARGS" or following.arg != 1:
        return False
    if not is_plain(t, kind) or handler_of(t, kind, following.offset) is None:
        return False
    t.constants[id(kind)] = kind
    throw(t, kind, following)
    return True


def matches(kind: type, wanted: object) -> bool:
    """Whether `except wanted` takes an exception of that type. Leaves where it would raise instead."""
    if type(wanted) is tuple:
        return any([matches(kind, one) for one in wanted])
    if not isinstance(wanted, type) or BaseException not in mro(wanted):
        raise Leave("exception_handler", "no class of exceptions")
    return wanted in mro(kind)


def bind(t: Translator, slot: int) -> None:
    """`except ... as name`: allowed as long as nobody looks at the name."""
    old = t.frame.locals[slot]
    if not isinstance(old, Null):
        raise Leave("exception_handler")
    av = t.pop()
    av.dirty = old.dirty
    t.frame.locals[slot] = av


def unbind(t: Translator, slot: int) -> None:
    """The name is given the constant on top of the stack instead, of which the frame need not know yet."""
    let_go(t, t.frame.locals, slot)
    made = t.frame.locals[slot] = t.pop().copy()
    made.dirty = t.in_real_frame()


def let_go(t: Translator, slots: list[AV], k: int) -> None:
    """A slot gives up what it knows of the exception. With the last one it is gone, and with it what it held."""
    av, raising = slots[k], t.raising
    assert isinstance(av, Raised) and raising is not None
    last = sum(isinstance(one, Raised) for one in t.all_slots()) == 1
    if last:
        t.drop_check(*raising.waiting)
    made = slots[k] = Null()
    made.dirty = av.dirty
    if last:
        t.raising = t.resume = None
        for one in raising.waiting:
            t.drop(one)
