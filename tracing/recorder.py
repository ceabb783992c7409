"""The recorder: watches a stretch of bytecode run, instruction by instruction, and stores what it saw.

`sys.monitoring` INSTRUCTION events come before each instruction of the codes that are armed. A native observer writes down what
is on the operand stack there (types of operands, callees) and, at the next event of the same frame, what became of the instruction
before (type of the result, branch direction). Python functions are armed when their call is about to happen, so callees
are followed just in time. When the recording has ended its log is read (`replay`) into the `ProfileStore`; a recording may end
at any point and what it saw stays useful.

Gaps are harmless: an event that is no successor of the frame's last instruction (native code ran in between, an exception
was handled, another tool swallowed an event) only drops what was pending. Frames are told apart by address *and* code,
and no frame object is kept.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from types import CodeType, FrameType, FunctionType
from typing import Any, Protocol

from .. import observing
from ..abi import memory
from ..abi.pending import Later, is_the_programs
from ..observing import Instruction
from .code_flags import GENERATOR, GENERATORS
from .decode import CodeInfo, Ins, code_info
from .methods import lookup
from .profile import Kinds, ProfileStore
from .special_methods import methods_of
from .versions import CALL_NULL_FIRST, NAMES_ALWAYS, NO_EVENT, WIDTH

OPERANDS: dict[str, int] = {
    "BINARY_OP": 2,
    "BINARY_SUBSCR": 2,
    "COMPARE_OP": 2,
    "CONTAINS_OP": 2,
    "IS_OP": 2,
    "STORE_SUBSCR": 3,
    "BINARY_SLICE": 3,
    "UNARY_NEGATIVE": 1,
    "UNARY_NOT": 1,
    "UNARY_INVERT": 1,
    "TO_BOOL": 1,
    "GET_ITER": 1,
    "UNPACK_SEQUENCE": 1,
    "LOAD_ATTR": 1,
    "STORE_ATTR": 2,
    "FOR_ITER": WIDTH,
    "POP_JUMP_IF_TRUE": 1,
    "POP_JUMP_IF_FALSE": 1,
    "RETURN_VALUE": 1,
    "YIELD_VALUE": 1,
    "STORE_FAST": 1,
    "STORE_FAST_STORE_FAST": 2,
    "STORE_FAST_LOAD_FAST": 1,
    "LIST_APPEND": 1,
    "LIST_EXTEND": 1,
    "STORE_SLICE": 4,
    "DELETE_SUBSCR": 2,
    "BUILD_SLICE": 2,
    "CALL_INTRINSIC_1": 1,
    "FORMAT_SIMPLE": 1,
    "FORMAT_WITH_SPEC": 2,
    "CONVERT_VALUE": 1,
    "SET_ADD": 1,
    "MAP_ADD": 2,
    "SET_UPDATE": 1,
    "DICT_UPDATE": 1,
    "DICT_MERGE": 1,
    "CALL_FUNCTION_EX": 4,
    "LOAD_SUPER_ATTR": 3,
    "BEFORE_WITH": 1,
    "LOAD_SPECIAL": 1,
    "MATCH_CLASS": 3,
    "MATCH_KEYS": 2,
    "MATCH_SEQUENCE": 1,
    "MATCH_MAPPING": 1,
    "GET_LEN": 1,
    "UNPACK_EX": 1,
}
DISPLAYS = {"BUILD_MAP": 2, "BUILD_SET": 1}
MOST_OPERANDS = 16
"""Of displays: the operands that are looked at."""
CALLS = {"CALL": 2, "CALL_KW": 3}
SUBSCRIPTS = frozenset({"BINARY_SUBSCR", "BINARY_OP", "STORE_SUBSCR"})
BRANCHES = frozenset(
    {"POP_JUMP_IF_TRUE", "POP_JUMP_IF_FALSE", "POP_JUMP_IF_NONE", "POP_JUMP_IF_NOT_NONE", "FOR_ITER"}
)
RESULTS = frozenset(
    {
        "BINARY_OP",
        "BINARY_SUBSCR",
        "BINARY_SLICE",
        "CALL",
        "CALL_KW",
        "LOAD_ATTR",
        "LOAD_DEREF",
        "LOAD_GLOBAL",
        "LOAD_FAST",
        "LOAD_FAST_BORROW",
        "FOR_ITER",
        "COMPARE_OP",
        "UNARY_NEGATIVE",
    }
)
_NAME, _MODULE = (type.__dict__[name].__get__ for name in ("__name__", "__module__"))

INSTRUCTION = sys.monitoring.events.INSTRUCTION
LOCAL_EVENTS = (
    sys.monitoring.events.LINE
    | INSTRUCTION
    | sys.monitoring.events.CALL
    | sys.monitoring.events.JUMP
    | sys.monitoring.events.BRANCH
    | sys.monitoring.events.PY_START
    | sys.monitoring.events.PY_RETURN
)


class Log(Protocol):
    """What an observer has written down."""

    def records(self) -> Sequence[Any]: ...

    def events(self) -> list[tuple[int, CodeType, int]]: ...


STARTING = "starting"
"""The reason of a recording that is not under way yet; as with one that is being ended, no other is begun or ended meanwhile."""


class Recording:
    """One stretch that was watched: where it began, why it ended, which codes were armed, and the observer's log. The log
    keeps the types that it names alive: recordings are not to be kept for long."""

    def __init__(self, code: CodeType, offset: int) -> None:
        self.code, self.offset = code, offset
        self.reason = ""
        self.codes: list[CodeType] = []
        self.log: Log | None = None
        self.counts: Counter[tuple[CodeInfo, int]] = Counter()
        """How often each instruction was seen, by code and offset."""

    @property
    def length(self) -> int:
        """Instructions that were watched."""
        return self.counts.total()

    @property
    def events(self) -> list[tuple[int, CodeType, int]]:
        """(nesting, code, offset) of the instructions in the order they ran; for reports and tests."""
        return self.log.events() if self.log is not None else []

    def dump(self) -> str:
        """The instructions in the order they ran."""
        lines = [f"recording from {self.code.co_qualname}+{self.offset}: {self.reason}"]
        for depth, code, offset in self.events:
            ins = code_info(code).at(offset)
            lines.append(f"  {'  ' * depth}{code.co_name}+{offset} {ins.op} {ins.arg}")
        return "\n".join(lines)


def conflict(tool_id: int) -> str | None:
    """Why recording is not possible now (a key of the closed list of reasons), or None."""
    if sys.gettrace() is not None or sys.getprofile() is not None:
        return "tracing_active"
    if sys.monitoring.get_tool(sys.monitoring.DEBUGGER_ID) is not None:
        return "tracing_active"
    if any(sys.monitoring.get_events(other) & INSTRUCTION for other in other_tools(tool_id)):
        return "tool_conflict"
    return None


def other_tools(tool_id: int) -> list[int]:
    """The numbers of the other tools there are."""
    return [other for other in range(6) if other != tool_id and sys.monitoring.get_tool(other) is not None]


def watcher(tool_id: int, code: CodeType) -> str | None:
    """The name of another tool that watches this code instruction by instruction, line by line or call by call; None
    where nobody does. Such code stays interpreted, so that the tool sees everything."""
    monitoring = sys.monitoring
    for other in other_tools(tool_id):
        events = monitoring.get_events(other) | monitoring.get_local_events(other, code)
        if events & LOCAL_EVENTS:
            return monitoring.get_tool(other)
    return None


class Recorder:
    """Records one stretch at a time. `arm(code, on)` switches a code's INSTRUCTION events, leaving the engine's other
    events on it alone; `observer` is the native one (`backends.observer.Observer`)."""

    def __init__(
        self, tool_id: int, store: ProfileStore, arm: Callable[[CodeType, bool], None], observer: Any
    ) -> None:
        self.tool_id, self.store, self.arm, self.observer = tool_id, store, arm, observer
        self.recording: Recording | None = None
        self.on_done: Callable[[Recording], None] = lambda recording: None

    @property
    def active(self) -> bool:
        return self.recording is not None

    @property
    def progress(self) -> int:
        """A number that changes while the recording sees something."""
        return int(self.observer.progress)

    def start(
        self,
        code: CodeType,
        frame: int,
        until: int,
        limit: int,
        rounds: int,
        on_done: Callable[[Recording], None],
    ) -> str | None:
        """Watch from the frame's next instruction on, until it has come back to `until` for the `rounds`th time (or, with
        more than one, later: as long as there is something new in rounds), it returns, or `limit` instructions were
        seen. Returns a reason where recording is not possible now, else None."""
        if self.busy():
            return "recording_lost"
        reason = conflict(self.tool_id)
        if reason is None and watcher(self.tool_id, code) is not None:
            reason = "tracing_active"
        if reason is not None:
            return reason
        self.root = frame
        self.thread = threading.get_ident()
        self.on_done = on_done
        # Any function that begins may run the garbage collector, and with it code of the program that gets hot. That must neither
        # take this recording for a lost one nor start another with the same observer.
        recording = self.recording = Recording(code, until)
        recording.reason = STARTING
        try:
            sys.monitoring.register_callback(self.tool_id, INSTRUCTION, self.observer.callback)
            self.observer.begin(frame, code_info(code).real(until), rounds, limit, self.on_callee, self.on_end)
            self.follow(code)
        except BaseException:
            self.recording = None
            raise
        recording.reason = ""
        return None

    def busy(self) -> bool:
        """Whether a recording is under way. One whose root frame is gone (an exception took it, which fires no event) is
        ended here."""
        recording = self.recording
        if recording is None:
            return False
        if recording.reason:
            return True
        ended = self.observer.ended
        if ended is not None:
            self.stop(ended)
            return False
        if threading.get_ident() == self.thread:
            frame: FrameType | None = sys._getframe(1)
            while frame is not None:
                if frame.f_code is recording.code and memory.frame_address(frame) == self.root:
                    return True
                frame = frame.f_back
            self.stop("recording_lost")
            return False
        if not any(t.ident == self.thread for t in threading.enumerate()):
            self.stop("recording_lost")
            return False
        return True

    def follow(self, code: CodeType) -> None:
        """Arm one more code, unless another tool watches it: arming could end that tool's own events there."""
        recording = self.recording
        assert recording is not None
        if any(c is code for c in recording.codes) or watcher(self.tool_id, code) is not None:
            return
        if self.observer.add(code, len(code.co_code), watched_instructions(code, self.store)):
            recording.codes.append(code)
            self.arm(code, True)

    def stop(self, reason: str) -> None:
        """End the recording; what was seen goes to the store."""
        recording = self.recording
        if recording is None or recording.reason:
            return  # there is none, or it is being ended just now, below us
        recording.reason = reason
        try:
            # Any function that begins may run the garbage collector, and with it code of the program that gets hot: what is
            # still `recording` keeps it from starting another one, which would use the same observer.
            recording.log = self.observer.end()
            for code in recording.codes:
                self.arm(code, False)
            sys.monitoring.register_callback(self.tool_id, INSTRUCTION, None)
            replay(recording, self.store)
        finally:
            self.recording = None
        self.on_done(recording)

    def on_end(self) -> None:
        """The observer's hook: it has stopped writing."""
        self.guarded(lambda: self.stop(self.observer.ended or "recording_lost"))

    def on_callee(self, target: Any, code: CodeType, offset: int, called: bool = False) -> None:
        """The observer's hook: this is called for the first time at a place, or it is the class of an operand of the instruction there. What
        is Python code of it is armed."""
        self.guarded(lambda: (self.callee if called else self.operand)(target, code, offset))

    def guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            # A defect of ours must not reach the program; what a signal handler raises here must.
            later = Later(error) if is_the_programs(error) else 0
            self.stop("recording_lost" if later else "internal_error")
            -later  # type: ignore[operator]

    def operand(self, kind: type, code: CodeType, offset: int) -> None:
        if self.recording is None or self.recording.reason:
            return
        ins = code_info(code).at(offset)
        for name in methods_of(ins):
            found = lookup(kind, name)
            if type(found) is FunctionType and may_be_followed(found, code, offset):
                self.follow(found.__code__)

    def callee(self, target: Any, code: CodeType, offset: int) -> None:
        if self.recording is None or self.recording.reason:
            return
        if type(target) is FunctionType:
            if may_be_followed(target, code, offset):
                self.follow(target.__code__)
        elif issubclass(type(target), type):
            # Asking the object itself could run its code: `__class__` of a proxy, `__getattribute__` of a metaclass.
            init = lookup(target, "__init__")
            if type(init) is FunctionType:
                self.follow(init.__code__)


def may_be_followed(func: FunctionType, code: CodeType, offset: int) -> bool:
    """Whether a function that is called at a place is one that native code could walk into: no coroutine, and a generator only where a
    loop is over it, or a function that uses it up. Others run for long, for somebody else."""
    info = code_info(code)
    kind = func.__code__.co_flags & GENERATORS
    ins = info.at(offset)
    return not kind or kind == GENERATOR and (info.is_looped_over(ins) or info.is_used_up(ins))


def watched_instructions(code: CodeType, store: ProfileStore) -> list[Instruction]:
    """How the observer is to look at each instruction of the code."""
    info = code_info(code)
    known = store.of(code).observations
    return [
        Instruction(ins.offset, info.depths.get(ins.offset, 0), *looked_at(ins), ins.offset in known and known[ins.offset].count > 0)
        for ins in info.instructions
    ]


def looked_at(ins: Ins) -> tuple[int, int]:
    """How many operands of an instruction are recorded, and the observer's flags for it."""
    flags = observing.MAKES_RESULT if ins.op in RESULTS else 0
    if ins.op in CALLS:
        flags |= observing.CALLS | observing.LOOKS_AT_ITEMS | (observing.CALLS_SECOND if CALL_NULL_FIRST else 0)
    elif ins.op == "CALL_FUNCTION_EX":
        flags |= observing.CALLS | (observing.CALLS_SECOND if CALL_NULL_FIRST else 0)
    elif ins.op == "CONTAINS_OP":
        flags |= observing.LOOKS_AT_ITEMS
    elif ins.op in ("LOAD_ATTR", "STORE_ATTR"):
        flags |= observing.LOOKS_AT_DICT
    elif ins.op in SUBSCRIPTS:
        flags |= observing.SUBSCRIPTS
    elif ins.op in ("RETURN_VALUE", "RETURN_CONST"):
        flags |= observing.RETURNS
    if methods_of(ins) and ins.op not in CALLS:
        flags |= observing.SPECIAL
    return operand_count(ins), flags


def replay(recording: Recording, store: ProfileStore) -> None:
    """Put what a recording's log says into the store. It can be done again with another store: logs are test data."""
    assert recording.log is not None
    recording.counts = Counter()
    for record in recording.log.records():
        info = code_info(record.code)
        if record.previous >= 0:
            conclude(info, record, store)
        if record.ended:
            continue
        recording.counts[info, record.offset] += record.times
        seen = store.of(record.code).at(record.offset)
        seen.count += record.times
        if any(is_poison(kind) for kind in record.operands):
            continue  # an exception on its way out of native code, and no operands of the program
        missing = len(record.operands) - len(seen.operands)
        seen.operands.extend(Kinds() for _ in range(missing))
        for kinds, kind in zip(seen.operands, record.operands, strict=False):
            kinds.add(kind)
        if record.callee is not None:
            seen.saw_callee(record.callee)
        seen.items.update(record.items)


def conclude(info: CodeInfo, record: Any, store: ProfileStore) -> None:
    """What became of the frame's previous instruction."""
    ins = info.by_offset[record.previous]
    seen = store.of(record.code).at(ins.offset)
    handler = info.handlers.get(ins.offset)
    if handler is not None and record.offset == landing(info, handler.target):
        seen.raised += record.times
        return
    went_on = record.offset == landing(info, ins.next)
    if ins.op in BRANCHES:
        if record.offset == landing(info, ins.exhausted if ins.op == "FOR_ITER" else ins.target):
            seen.taken += record.times
            return
        if went_on:
            seen.not_taken += record.times
    if went_on and record.result is not None:
        seen.results.add(record.result)


def operand_count(ins: Ins) -> int:
    """How many stack entries are looked at before the instruction."""
    if ins.op in CALLS:
        return ins.arg + CALLS[ins.op]
    if ins.op == "FORMAT_VALUE":
        return 2 if ins.arg & 4 else 1
    if ins.op == "CALL_FUNCTION_EX" and not NAMES_ALWAYS:
        return 3 + (ins.arg & 1)
    if ins.op in DISPLAYS and DISPLAYS[ins.op] * ins.arg <= MOST_OPERANDS:
        return DISPLAYS[ins.op] * ins.arg
    return OPERANDS.get(ins.op, 0)


def landing(info: CodeInfo, offset: int) -> int:
    """The first instruction at or after offset that fires an event."""
    ins = info.by_offset.get(offset)
    while ins is not None and ins.op in NO_EVENT:
        ins = info.by_offset.get(ins.next)
    return ins.start if ins is not None and ins.start != ins.offset and ins.op == "KW_NAMES" else (
        ins.offset if ins is not None else -1
    )


def is_poison(kind: object) -> bool:
    """Whether this is the type of the operands with which native code raises (see `poison`)."""
    return issubclass(type(kind), type) and _NAME(kind) == "Poison" and _MODULE(kind) == "jitcore"
