"""Handlers of exceptions that have not been made (`tracing/exceptions.py`). Of others they are left to the interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bytecode_table import bytecode
from .decode import Ins
from .exceptions import handled, handler_of, is_plain, let_go, matches, throw, throw_again
from .translate import Leave
from .values import Const, Raised, Tup

if TYPE_CHECKING:
    from .translate import Translator


def raised(t: Translator, position: int = 1) -> type:
    """The type of the exception in that place of the stack. Leaves where it is one that exists."""
    av = t.peek(position)
    if not isinstance(av, Raised) or av.outer:
        raise Leave("exception_handler")
    return av.kind


@bytecode("PUSH_EXC_INFO")
def push_exc_info(t: Translator, ins: Ins) -> None:
    """From here on it is the one that is being handled."""
    kind, exception = raised(t), t.pop()
    t.push(Raised(kind, outer=True))
    t.push(exception)


@bytecode("CHECK_EXC_MATCH")
def check_exc_match(t: Translator, ins: Ins) -> None:
    kind, wanted = raised(t, 2), t.peek()
    if isinstance(wanted, Tup) and all(isinstance(item, Const) for item in wanted.items):
        found = any([matches(kind, item.obj) for item in wanted.items if isinstance(item, Const)])
    elif isinstance(wanted, Const):
        found = matches(kind, wanted.obj)
    else:
        raise Leave("exception_handler", "unknown classes")
    t.pop()
    t.push(Const(found))


@bytecode("POP_EXCEPT")
def pop_except(t: Translator, ins: Ins) -> None:
    av = t.peek()
    if not isinstance(av, Raised) or not av.outer:
        raise Leave("exception_handler")
    let_go(t, t.frame.stack, len(t.frame.stack) - 1)
    t.pop()


@bytecode("RERAISE")
def reraise(t: Translator, ins: Ins) -> None:
    throw_again(t, raised(t))


@bytecode("RAISE_VARARGS")
def raise_varargs(t: Translator, ins: Ins) -> None:
    if ins.arg == 0:
        throw_again(t, handled(t))
        return
    av = t.peek() if ins.arg == 1 else None
    if not isinstance(av, Const) or not is_plain(t, av.obj):
        raise Leave("exception_handler")
    kind: type = av.obj  # type: ignore[assignment]
    if handler_of(t, kind, ins.offset) is None:
        raise Leave("exception_handler")
    t.constants[id(kind)] = kind
    throw(t, kind)
