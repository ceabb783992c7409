"""Hand-made regions and descriptors for tests of the native runtime."""

from __future__ import annotations

import contextlib
import ctypes
import dis
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any

from jitcore.backends.descriptors import HEADER_WORDS
from jitcore.backends.llvm import runtime_exits as X
from jitcore.backends.runtime import Entry, runtime
from jitcore.optimizer.answers import NUMBERS

from jitcore.abi import LAYOUT

TOOL = sys.monitoring.OPTIMIZER_ID
JUMP = sys.monitoring.events.JUMP
PY_START = sys.monitoring.events.PY_START
RESUME, RETURN, MISMATCH, ERROR = X.RESUME, X.RETURN, X.MISMATCH, X.ERROR
(
    NULL,
    BOX_INT,
    BOX_FLOAT,
    BOX_BOOL,
    STEAL,
    NEW,
    CONST,
    SAME,
    RANGE_ITER,
    RANGE,
    TUPLE,
    TAGGED,
    POISON,
    COPY_LOCAL,
    SEQUENCE_ITER,
    REVERSED_ITER,
    ENUMERATE,
    ZIP,
) = range(18)
# How a loop door's frame repeats `callee(a, ...)` with n positional arguments.
CALL_POISON = (0, 1) if LAYOUT.OWN_FRAME_IP_ADJUST else (1, 0)
rt = runtime()


def instructions(code: CodeType) -> list[dis.Instruction]:
    return list(dis.get_instructions(code))


def back_edge(code: CodeType, nth: int = 0) -> int:
    """Destination of the nth backward jump."""
    return [i.argval for i in instructions(code) if i.opname == "JUMP_BACKWARD"][nth]


def ip(code: CodeType, offset: int) -> int:
    return id(code) + LAYOUT.CODE_BYTES + offset


def find(code: CodeType, name: str, nth: int = 0) -> int:
    """Offset of the nth instruction whose name starts with `name`."""
    return [i.offset for i in instructions(code) if i.opname.startswith(name)][nth]


def after(code: CodeType, offset: int) -> int:
    """Offset of the instruction after that one."""
    return min(i.offset for i in instructions(code) if i.offset > offset)


def line_start(code: CodeType, line: int) -> int:
    """Offset of the first instruction of a line, counted from the `def`."""
    return next(
        i.offset
        for i in instructions(code)
        if i.positions
        and i.positions.lineno == code.co_firstlineno + line
        and i.opname not in ("RESUME", "NOP")
    )


def slot_names(code: CodeType) -> list[str]:
    cells = [n for n in code.co_cellvars if n not in code.co_varnames]
    return [*code.co_varnames, *cells, *code.co_freevars]


@dataclass
class Frame:
    """A frame entry; temps are indices into the descriptor's list."""

    code: CodeType
    at: int
    locals: dict[str, int] = field(default_factory=dict)
    stack: Sequence[int] = ()
    call: int = -1
    func: FunctionType | None = None
    poison: Sequence[int] = ()
    makes: bool = False
    throw: int = 0

    def words(self) -> list[int]:
        names = slot_names(self.code)
        call = ip(self.code, self.call if self.call >= 0 else self.at) + self.throw
        words = [id(self.code), id(self.func) if self.func else 0, ip(self.code, self.at), call]
        words += [len(names), len(self.locals), len(self.stack), len(self.poison), NUMBERS["none" if self.makes else "value"]]
        for name, temp in self.locals.items():
            words += [names.index(name), temp]
        return [*words, *self.stack, *self.poison]


class Descriptor:
    """A descriptor in memory."""

    def __init__(
        self,
        kind: int = MISMATCH,
        temps: Sequence[tuple[int, ...]] = (),
        frames: Sequence[Frame] = (),
        hot: int = 0,
        number: int = 7,
    ) -> None:
        words = [0, hot, number, kind, len(temps), len(frames), HEADER_WORDS + 4 * len(temps), 0, 0]
        for temp in temps:
            words += [*temp, 0, 0, 0][:4]
        for frame in frames:
            words += frame.words()
        self.words = (ctypes.c_int64 * len(words))(*words)
        self.address = ctypes.addressof(self.words)
        self.keep = frames

    @property
    def count(self) -> int:
        return int(self.words[0])


NO_FIT = Descriptor()


class Region:
    """Native code that leaves through `exit` with the values, each time `trigger` has counted down to zero;
    until then it does not fit. With `raises`, that exception is set when leaving."""

    def __init__(
        self, exit: Descriptor, values: Sequence[int | float] = (), raises: BaseException | None = None
    ) -> None:
        self.exit, self.raises = exit, raises
        self.trigger = ctypes.c_int64(0)
        self.valid = ctypes.c_int64(1)
        stores = []
        for n, value in enumerate(values):
            bits = (
                value if isinstance(value, int) else ctypes.c_int64.from_buffer(ctypes.c_double(value)).value
            )
            stores.append(f"  %p{n} = getelementptr i64, ptr %b, i64 {n}\n  store i64 {bits}, ptr %p{n}")
        error = f"inttoptr (i64 {id(raises)} to ptr)"
        raising = (
            f"  call void @Py_IncRef(ptr {error})\n  call void @PyErr_SetRaisedException(ptr {error})"
            if raises
            else ""
        )
        text = f"""
declare void @Py_IncRef(ptr)
declare void @PyErr_SetRaisedException(ptr)
define i64 @region(i64 %frame, i64 %ts, i64 %buf) {{
  %b = inttoptr i64 %buf to ptr
  %c = load i64, ptr @trigger
  %c1 = sub i64 %c, 1
  store i64 %c1, ptr @trigger
  %z = icmp eq i64 %c1, 0
  br i1 %z, label %go, label %no
no:
  ret i64 {NO_FIT.address}
go:
{chr(10).join(stores)}
{raising}
  ret i64 {exit.address}
}}
@trigger = external global i64
"""
        symbols = {"trigger": ctypes.addressof(self.trigger)}
        self.module = rt.jit.compile_ir(text, symbols, ["region"], "none")
        self.entry = Entry(self.module.address("region"), len(values), ctypes.addressof(self.valid), self)


@contextlib.contextmanager
def loop_door(code: CodeType, dst: int, *regions: Region) -> Iterator[None]:
    """JUMP events of the code go to the runtime, with the regions installed; the last is tried first."""
    for region in regions:
        rt.install_loop(code, dst, region.entry)
    sys.monitoring.set_local_events(TOOL, code, JUMP)
    try:
        yield
    finally:
        sys.monitoring.set_local_events(TOOL, code, 0)
        for region in regions:
            rt.remove_loop(code, dst, region.entry)


def run(region: Region, at: int, function: Callable[..., Any], *args: Any) -> Any:
    """Call the function; the region runs at the at-th back edge."""
    region.trigger.value = at
    before = region.exit.count
    try:
        return function(*args)
    finally:
        assert region.exit.count == before + 1
