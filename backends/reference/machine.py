"""What evaluators see of the world: a frame, a thread state, and the C API called so that exceptions are
kept.

The C API must look to its callees as if native code had called it from the region's own frame. Three things
make that so although Python is in between:

- ctypes re-raises an exception that a function of the Python API left behind. It is caught in the very
  frame that made the call, that frame's traceback entry is taken off again, and the exception is kept in
  `pending`: Python code cannot run with an exception set in the thread state.
- During the call the thread's current frame is the region's frame, so `sys._getframe`, warnings and
  tracebacks of callees do not see the evaluator. The two stores around the call are plain attribute
  assignments, which push no frame.
- Calls that inspect or clear the exception are answered from `pending`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from ...abi import LAYOUT, memory, symbol

DEEPEST = 30
"""Direct calls in each other. Deeper ones are made by the interpreter."""
ROOM = 500
"""Python calls that the evaluator may nest beyond the program's recursion limit."""
UNITS = 30
"""C recursion that a region costs here and not in native code: the callback, the evaluator, the call out of it."""


def calls_left(tstate: int) -> ctypes.c_int32:
    """The thread's count of Python calls until the recursion limit, in place."""
    return ctypes.c_int32.from_address(tstate + LAYOUT.TS_PY_RECURSION_REMAINING)


def units_left(tstate: int) -> ctypes.c_int32:
    """The thread's units of C recursion (3.12, 3.13), in place; elsewhere a number that nobody reads."""
    return ctypes.c_int32.from_address(tstate + LAYOUT.TS_C_RECURSION) if LAYOUT.TS_C_RECURSION else ctypes.c_int32(0)


@cache
def prototype(result: Any, count: int, extra: int, behind: int = 0) -> Any:
    """A C function type that keeps the GIL: `count` pointers, then `extra` integers, then `behind` pointers."""
    pointer = ctypes.c_void_p
    return ctypes.PYFUNCTYPE(result, *[pointer] * count, *[ctypes.c_ssize_t] * extra, *[pointer] * behind)


@cache
def function(name: str, result: Any, count: int, extra: int, behind: int = 0) -> Callable[..., Any]:
    return prototype(result, count, extra, behind)(symbol(name))  # type: ignore[no-any-return]


class Machine:
    """The state of one run of a region. `frame` may be 0 for graphs that touch none."""

    __slots__ = (
        *("frame", "tstate", "nlocals", "code_address", "valid_flag", "pending", "cleared"),
        *("edges", "region", "arguments", "depth", "allowed", "collected"),
    )

    def __init__(self, frame: int, tstate: int, valid_flag: int, region: Any = None) -> None:
        self.frame = frame
        self.tstate = tstate
        self.valid_flag = valid_flag
        self.pending: BaseException | None = None
        self.cleared: type | None = None
        """The type of the exception that was forgotten last."""
        self.region = region
        self.arguments: Sequence[Any] = ()
        self.depth = 0
        self.allowed: int | None = None
        """What `calls_left` was when the region was entered."""
        self.edges = 0
        self.collected: list[Any] = []
        """See `optimizer/ops/collect.py`."""
        self.code_address = self.nlocals = 0
        if frame and (region is None or region.direct is None):
            self.code_address = int(memory.slot_object(memory.read64(frame + LAYOUT.FRAME_CODE)))
            self.nlocals = int(memory.read32(self.code_address + LAYOUT.CODE_NLOCALSPLUS))

    def call(self, fn: Callable[..., Any], args: Sequence[int], failed: int) -> int:
        """fn(*args) from the region's frame; `failed`, with the exception in `pending`, if it raised."""
        if not self.frame:
            cell = ctypes.c_int64(0)
        elif LAYOUT.TS_CFRAME_INDIRECT:
            cell = ctypes.c_int64.from_address(memory.read64(self.tstate + LAYOUT.TS_CURRENT_FRAME))
        else:
            cell = ctypes.c_int64.from_address(self.tstate + LAYOUT.TS_CURRENT_FRAME)
        mine, theirs = cell.value, self.frame
        result, raised = failed, None
        left = calls_left(self.tstate) if self.allowed is not None else ctypes.c_int32(0)
        before, left.value = left.value, self.allowed or 0  # the callee sees none of the evaluator's own calls
        cell.value = theirs
        try:
            result = fn(*args)
            cell.value = mine
        except BaseException as error:  # whatever it is belongs to the program
            cell.value = mine
            raised = error
        left.value = before
        if raised is not None:
            trace = raised.__traceback__
            self.pending = raised.with_traceback(trace.tb_next if trace is not None else None)
            raised = trace = None  # they lead back to this frame, which would keep the exception alive
            return failed
        return int(result or 0)

    def capi(self, name: str, operands: Sequence[int], extra: Sequence[int]) -> int:
        """A function returning a new reference or NULL."""
        fn = function(name, ctypes.c_void_p, len(operands), len(extra))
        return self.call(fn, (*operands, *extra), 0)

    def capi_void(self, name: str, operands: Sequence[int]) -> None:
        """A function returning nothing."""
        self.call(function(name, None, len(operands), 0), operands, 0)

    def capi_status(
        self, name: str, operands: Sequence[int], extra: Sequence[int], behind: Sequence[int] = ()
    ) -> int:
        """A function returning a C int, -1 for an exception. `behind`: pointers that follow the integers."""
        if name == "PyErr_ExceptionMatches":
            return int(isinstance(self.pending, memory.object_at(operands[0])))
        if name == "PyErr_Clear":
            self.clear_error()
            return 0
        fn = function(name, ctypes.c_int, len(operands), len(extra), len(behind))
        return self.call(fn, (*operands, *extra, *behind), -1)

    def vectorcall(self, callable_: int, operands: Sequence[int], kwnames: tuple[str, ...] | None) -> int:
        """PyObject_Vectorcall; the names' arguments are the last operands."""
        array = (ctypes.c_void_p * max(1, len(operands)))(*operands)
        count = len(operands) - len(kwnames or ())
        fn = vectorcall_function()
        names = id(kwnames) if kwnames else 0
        return self.call(fn, (callable_, ctypes.addressof(array), count, names), 0)

    def drop(self, address: int) -> None:
        """Give up a reference; the object's destructor runs here."""
        self.call(function("Py_DecRef", None, 1, 0), (address,), 0)

    def clear_error(self) -> None:
        """Forget the pending exception, but for its type."""
        self.cleared = type(self.pending)
        self.pending = None

    def direct_ready(self, target: Any) -> bool:
        """Whether a direct call may be made (None: as far as the target does not matter): this one nests Python calls, so not too deep."""
        valid = target in (None, "self") or memory.read64(target.valid) != 0
        return valid and self.depth < DEEPEST and not memory.eval_breaker(self.tstate)

    def direct_call(self, target: Any, args: Sequence[Any]) -> Any:
        """Call a direct function ("self": of this region). Raises GuardFailed when it has left."""
        region = self.region if target == "self" else target.reference
        return region.call(self, args)

    def raised(self) -> bool:
        return self.pending is not None


@cache
def vectorcall_function() -> Callable[..., Any]:
    kind = ctypes.PYFUNCTYPE(
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p
    )
    return kind(symbol("PyObject_Vectorcall"))  # type: ignore[no-any-return]
