"""Signals that arrive while our own code runs belong to the program.

What takes long (making the runtime, compiling) runs with signals blocked: they wait for the program to go on. That does
not help where another thread takes the signal, nor in short callbacks, where blocking would cost more than the callback.
There a signal handler of the program may run under our code, and what it raises is meant for the program. It cannot
leave a monitoring callback: CPython would look for the exception handler in the wrong place. So it is raised again by a
pending call, which the interpreter runs where it would have run the signal handler: at its next look at the eval breaker.

That look must not come before the callback has returned, and every call of Python code looks. An operator of a C type
does not. Hence the shape of `Held` and `Later`: made first, then negated as the callback's last act.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import ctypes
from _codecs import lookup_error
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType

from ..quiet import FAULTS
from . import memory

MAX_PENDING = 32  # what CPython has room for

_add_pending_call = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(("Py_AddPendingCall", ctypes.pythonapi))
_kept: deque[object] = deque(maxlen=MAX_PENDING)


_libc = ctypes.PyDLL(None)


def blocked_signals() -> ctypes.Array[ctypes.c_uint64]:
    """The set of all signals (a sigset_t) but those that the thread sends to itself by a fault."""
    made = (ctypes.c_uint64 * 16)()
    _libc.sigfillset(made)
    for name in FAULTS:
        _libc.sigdelset(made, getattr(_signal, name))
    return made


class Held:
    """From its making on, signals for this thread wait; `-held` lets them come. Python's own function for this would run
    the handlers at once, in the caller's frame."""

    def __new__(cls) -> Held:
        before = (ctypes.c_uint64 * 16)()
        made: Held = object.__new__(
            type("Held", (cls,), {"__neg__": staticmethod(partial(_libc.pthread_sigmask, _signal.SIG_SETMASK, before, None))})
        )
        _libc.pthread_sigmask(_signal.SIG_BLOCK, blocked_signals(), before)
        return made

    def __neg__(self) -> object:
        raise NotImplementedError  # each object's own class has one made of C functions


class Later:
    """`-Later(error)` raises the exception at the interpreter's next look at its eval breaker in the main thread, with the
    traceback that it brought from the signal handler."""

    def __new__(cls, error: BaseException) -> Later:
        handlers = set(handler_codes())
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code not in handlers:
            trace = trace.tb_next
        # PyObject_Hash is a C function that answers -1 when the object's method raises, which is what a pending call has
        # to answer. The method is made of C functions alone; it takes the exception out of the list that keeps it.
        raising = map(lookup_error("strict"), iter([error.with_traceback(trace)].pop, None)).__next__  # type: ignore[arg-type]
        messenger = type("Messenger", (), {"__hash__": staticmethod(raising)})()
        _kept.append(messenger)
        call = partial(_add_pending_call, memory.symbol("PyObject_Hash"), id(messenger))
        return object.__new__(type("Later", (cls,), {"__neg__": staticmethod(call)}))


def soon(function: Callable[[], None]) -> None:
    """Call the function at the interpreter's next look at its eval breaker in the main thread. Where there is no room for pending
    calls it is not called."""

    def called(self: object) -> int:
        function()
        return 0

    messenger = type("Messenger", (), {"__hash__": called})()
    _kept.append(messenger)
    _add_pending_call(memory.symbol("PyObject_Hash"), id(messenger))


def is_the_programs(error: BaseException) -> bool:
    """Whether an exception that came up in our code is not ours: an interrupt, a wish to exit, or anything that passed
    through a signal handler."""
    if not isinstance(error, Exception):
        return True
    handlers = set(handler_codes())
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def handler_codes() -> Iterator[CodeType]:
    """The code of all signal handlers that are Python functions, methods or callable objects."""
    for number in range(1, _signal.NSIG):
        handler = _signal.getsignal(number)
        if callable(handler):
            while isinstance(handler, partial):
                handler = handler.func
            for function in (handler, getattr(type(handler), "__call__", None)):
                code = getattr(getattr(function, "__func__", function), "__code__", None)
                if isinstance(code, CodeType):
                    yield code
