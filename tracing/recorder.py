"""The recorder: watches a stretch of bytecode run, instruction by instruction, and stores what it saw.

`sys.monitoring` INSTRUCTION events come before each instruction of the codes that are armed. The recorder reads the live
frame (operand types, callees) and, at the next event of the same frame, what became of the instruction before (result
type, branch direction). Python functions are armed when their call is about to happen, so callees are followed just in
time. Everything goes into the `ProfileStore`; a recording may end at any point and what it saw stays useful.

Gaps are harmless: an event that is no successor of the frame's last instruction (native code ran in between, an exception
was handled, another tool swallowed an event) only drops what was pending. Frames are told apart by address *and* code,
and no frame object is kept.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MethodType
from typing import Any

from ..abi import LAYOUT, memory
from ..abi.arrays import array_type
from ..abi.pending import Later, is_the_programs, starts_quietly
from ..records import dataclass, field
from .code_flags import GENERATORS
from .decode import CodeInfo, Ins, code_info
from .profile import BIG_INT, NULL, TAGGED, Observation, ProfileStore
from .versions import CALL_NULL_FIRST, FOR_ITER_PAIR, NO_EVENT

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
    "FOR_ITER": 2 if FOR_ITER_PAIR else 1,
    "POP_JUMP_IF_TRUE": 1,
    "POP_JUMP_IF_FALSE": 1,
    "RETURN_VALUE": 1,
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
}
ITEMS_LOOKED_AT = 64
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
_DICT, _MRO, _NAME, _MODULE = (type.__dict__[name].__get__ for name in ("__dict__", "__mro__", "__name__", "__module__"))
LOOPS_INSIDE = 50
QUIET_ROUNDS, MORE_ROUNDS = 3, 12
"""A loop is recorded for more rounds as long as one of the last few had a bytecode never seen before: each way that is
found only later costs another compile."""
MAX_CODES = 40

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


@dataclass
class Recording:
    """One stretch that was watched. `events` has (depth, code, offset) for reports and tests."""

    code: CodeType
    offset: int
    reason: str = ""
    events: list[tuple[int, CodeType, int]] = field(default_factory=list)
    codes: list[CodeType] = field(default_factory=list)

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
    for other in range(6):
        if other != tool_id and sys.monitoring.get_tool(other) is not None:
            if sys.monitoring.get_events(other) & INSTRUCTION:
                return "tool_conflict"
    return None


def watcher(tool_id: int, code: CodeType) -> str | None:
    """The name of another tool that watches this code instruction by instruction, line by line or call by call; None
    where nobody does. Such code stays interpreted, so that the tool sees everything."""
    monitoring = sys.monitoring
    for other in range(6):
        name = monitoring.get_tool(other) if other != tool_id else None
        if name is not None:
            events = monitoring.get_events(other) | monitoring.get_local_events(other, code)
            if events & LOCAL_EVENTS:
                return name
    return None


class Recorder:
    """Records one stretch at a time. `arm(code, on)` switches a code's INSTRUCTION events, leaving the engine's other
    events on it alone."""

    def __init__(self, tool_id: int, store: ProfileStore, arm: Callable[[CodeType, bool], None]) -> None:
        self.tool_id, self.store, self.arm = tool_id, store, arm
        self.recording: Recording | None = None
        self.on_done: Callable[[Recording], None] = lambda recording: None

    @property
    def active(self) -> bool:
        return self.recording is not None

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
        self.root, self.until, self.limit, self.rounds = frame, code_info(code).real(until), limit, rounds
        self.quiet = 0
        self.thread = threading.get_ident()
        self.last: dict[int, tuple[CodeInfo, Ins, Observation]] = {}
        self.seen: dict[tuple[int, int], int] = {}
        self.order: list[int] = [frame]
        self.on_done = on_done
        self.recording = Recording(code, until)
        sys.monitoring.register_callback(self.tool_id, INSTRUCTION, self.on_instruction)
        self.follow(code)
        return None

    def busy(self) -> bool:
        """Whether a recording is under way. One whose root frame is gone (an exception took it, which fires no event) is
        ended here."""
        recording = self.recording
        if recording is None:
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
        assert self.recording is not None
        if watcher(self.tool_id, code) is not None:
            return
        if len(self.recording.codes) < MAX_CODES and not any(c is code for c in self.recording.codes):
            self.recording.codes.append(code)
            self.arm(code, True)

    def stop(self, reason: str) -> None:
        """End the recording; what was seen stays in the store."""
        recording = self.recording
        if recording is None:
            return
        self.recording = None
        recording.reason = reason
        for code in recording.codes:
            self.arm(code, False)
        sys.monitoring.register_callback(self.tool_id, INSTRUCTION, None)
        self.last.clear()
        self.on_done(recording)

    @starts_quietly
    def on_instruction(self, code: CodeType, offset: int) -> None:
        try:
            recording = self.recording
            if recording is None or threading.get_ident() != self.thread:
                return
            self.record(recording, code, offset, memory.frame_address(sys._getframe(1)))
        except BaseException as error:
            # A defect of ours must not reach the program; what a signal handler raises here must.
            later = Later(error) if is_the_programs(error) else 0
            self.stop("recording_lost" if later else "internal_error")
            -later  # type: ignore[operator]

    def record(self, recording: Recording, code: CodeType, offset: int, frame: int) -> None:
        info = code_info(code)
        ins = info.by_offset.get(offset)
        if ins is None or ins.offset != offset:
            return
        base = frame + LAYOUT.FRAME_LOCALSPLUS + 8 * info.nlocalsplus
        depth = info.depths.get(offset, 0)
        self.conclude(info, offset, frame, base, depth)
        if frame == self.root and code is recording.code and offset == self.until and recording.events:
            self.rounds -= 1
            self.quiet -= 1
            if self.rounds <= 0 and (self.quiet <= 0 or self.rounds <= -MORE_ROUNDS):
                self.stop("closed")
                return
        if len(recording.events) >= self.limit:
            self.stop("trace_too_long")
            return
        seen = self.store.of(code).at(offset)
        if not seen.count:
            self.quiet = QUIET_ROUNDS
        seen.count += 1
        recording.events.append((self.depth_of(frame), code, offset))
        times = self.seen.get((id(code), offset), 0) + 1
        self.seen[id(code), offset] = times
        if times > LOOPS_INSIDE:
            self.stop("loops_inside")
            return
        extra = CALLS.get(ins.op)
        wanted = operand_count(ins)
        if wanted and depth >= wanted:
            words = [memory.read64(base + 8 * k) for k in range(depth - wanted, depth)]
            if any(is_poison(kind_of(word)) for word in words):
                return  # an exception on its way out of native code, and no operands of the program
            if len(seen.operands) < wanted:
                seen.operands.extend(set() for _ in range(wanted - len(seen.operands)))
            for k, word in enumerate(words):
                seen.operands[k].add(kind_of(word))
            if extra is not None:
                self.callee(seen, words)
            if extra is not None or ins.op == "CONTAINS_OP":
                seen.items.update(kind for word in words for kind in item_kinds(word))
            elif ins.op in SUBSCRIPTS:
                seen.items.update(typecode(words[wanted - 2]))
        if ins.op in ("RETURN_VALUE", "RETURN_CONST"):
            self.last.pop(frame, None)
            if frame == self.root:
                self.stop("returned")
            return
        self.last[frame] = (info, ins, seen)

    def depth_of(self, frame: int) -> int:
        """Nesting for reports: position in the order frames were first seen."""
        if frame not in self.order:
            self.order.append(frame)
        return self.order.index(frame)

    def conclude(self, info: CodeInfo, offset: int, frame: int, base: int, depth: int) -> None:
        """What became of the frame's previous instruction."""
        pending = self.last.pop(frame, None)
        if pending is None or pending[0] is not info:
            return
        _, ins, seen = pending
        went_on = offset == landing(info, ins.next)
        if ins.op in BRANCHES:
            if offset == landing(info, ins.exhausted if ins.op == "FOR_ITER" else ins.target):
                seen.saw_branch(True)
                return
            if went_on:
                seen.saw_branch(False)
        if went_on and depth and ins.op in RESULTS:
            seen.results.add(kind_of(memory.read64(base + 8 * (depth - 1))))

    def callee(self, seen: Observation, words: list[int]) -> None:
        """Note what is called and arm it where it is Python code."""
        first, second = memory.slot_object(words[0]), memory.slot_object(words[1])
        address = (second if not first else first) if CALL_NULL_FIRST else first
        if not address:
            return
        target: Any = memory.object_at(address)
        if type(target) is MethodType:
            target = target.__func__
        if type(target) in (FunctionType, BuiltinFunctionType):
            seen.saw_callee(target)
        if type(target) is FunctionType and not target.__code__.co_flags & GENERATORS:
            self.follow(target.__code__)
        elif issubclass(type(target), type):
            # Asking the object itself could run its code: `__class__` of a proxy, `__getattribute__` of a metaclass.
            spaces = [_DICT(base) for base in _MRO(target)]
            init = next((space["__init__"] for space in spaces if "__init__" in space), None)
            if type(init) is FunctionType:
                self.follow(init.__code__)


def operand_count(ins: Ins) -> int:
    """How many stack entries are looked at before the instruction."""
    if ins.op in CALLS:
        return ins.arg + CALLS[ins.op]
    if ins.op == "FORMAT_VALUE":
        return 2 if ins.arg & 4 else 1
    return OPERANDS.get(ins.op, 0)


def item_kinds(word: int) -> set[Any]:
    """The types of (the first) items, where the slot holds a list or tuple."""
    if kind_of(word) not in (list, tuple):
        return set()
    return {type(item) for item in memory.object_at(memory.slot_object(word))[:ITEMS_LOOKED_AT]}


def typecode(word: int) -> str:
    """The typecode of the array that the slot holds; '' for anything else."""
    kind = array_type()
    return memory.object_at(memory.slot_object(word)).typecode if kind is not None and kind_of(word) is kind else ""


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


def kind_of(word: int) -> Any:
    """The kind of a slot's content (see `profile`)."""
    if LAYOUT.TAGGED and word & 3 == 3:
        return TAGGED
    address = memory.slot_object(word)
    if not address:
        return NULL
    obj = memory.object_at(address)
    if type(obj) is int and not -(1 << 63) <= obj < 1 << 63:
        return BIG_INT
    return type(obj)
