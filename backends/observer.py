"""What the native observer writes (see llvm/runtime_recorder.py), for the recorder: starting it, and reading its log.

One observer watches one thread at a time. Its log is read once, when it has ended; most instructions of a recording repeat,
so records that say the same are read together and counted.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import CodeType
from typing import Any
from weakref import ref

from ..abi import memory
from ..abi.arrays import WIDTHS, array_type, description
from ..observing import IS_INSTRUCTION, Instruction, Record, lasting
from .llvm import runtime_recorder as N

LOG_BYTES = 1 << 20
REASONS = {N.CLOSED: "closed", N.TOO_LONG: "trace_too_long", N.INSIDE: "loops_inside", N.RETURNED: "returned"}
NOT_TYPES = {N.K_NULL: "NULL", N.K_TAGGED: "TAGGED", N.K_BIG_INT: "BIG_INT", N.K_DICT: "DICT"}
"""The kinds that are no types, by name."""
GONE = "GONE"
"""What is said of a type that has died since."""


class Observer:
    """The native observer of this process. `callback` is what sys.monitoring is to call."""

    def __init__(self, callback: Any, cell: int) -> None:
        self.callback = callback
        self._block = (ctypes.c_int64 * (N.BLOCK_BYTES // 8))()
        self._log: Any = None
        self._hooks: tuple[object, ...] = ()
        self._codes: list[tuple[CodeType, Any]] = []
        memory.write64(cell, ctypes.addressof(self._block))

    def _set(self, offset: int, value: int) -> None:
        self._block[offset // 8] = value

    def _get(self, offset: int) -> int:
        return int(self._block[offset // 8])

    def begin(
        self, root: int, until: int, rounds: int, limit: int, on_callee: Callable[..., None], on_end: Callable[[], None]
    ) -> None:
        """Watch this thread from now on: the codes that `add` is given, first of all that of the frame `root`, until it has
        come back to `until` for the `rounds`th time or later (see runtime_recorder), or `limit` instructions were seen."""
        if self._log is None:
            self._log = (ctypes.c_int64 * (LOG_BYTES // 8))()
            self._pairs = (ctypes.c_int64 * (2 * (N.MAX_CODES + N.MAX_FRAMES)))()
            self._kept = (ctypes.c_int64 * (2 * N.MAX_KEPT))()
            self._set(N.CODES, ctypes.addressof(self._pairs))
            self._set(N.FRAMES, ctypes.addressof(self._pairs) + 16 * N.MAX_CODES)
            self._set(N.KEPT, ctypes.addressof(self._kept))
            self._set(N.EMPTY, ctypes.addressof(self._log))
            self._set(N.END, ctypes.addressof(self._log) + LOG_BYTES - N.RECORD_BYTES)
        self._hooks = on_callee, on_end
        self._pairs[0] = 0  # nothing is known of the code that was the first one last time
        for offset, value in {
            N.TOP: self._get(N.EMPTY),
            N.N_CODES: 0,
            N.RECENT: 0,
            N.N_FRAMES: 0,
            N.N_KEPT: 0,
            N.ROOT: root,
            N.UNTIL: until,
            N.ROUNDS: rounds,
            N.QUIET: 0,
            N.LEFT: limit,
            N.REASON: 0,
            N.ON_CALLEE: id(on_callee),
            N.ON_END: id(on_end),
            N.ARRAY: id(array_type()) if array_type() is not None else 0,
            N.THREAD: memory.thread_state(),
        }.items():
            self._set(offset, value)

    def add(self, code: CodeType, length: int, instructions: list[Instruction]) -> bool:
        """Watch one more code object, of that many bytes; False if there are too many. It is kept until the log is read."""
        n = len(self._codes)
        if n >= N.MAX_CODES:
            return False
        table = bytearray(4 * length)
        for one in instructions:
            at = 4 * one.offset
            table[at : at + 2] = min(one.depth, 0xFFFF).to_bytes(2, "little")
            table[at + N.T_WANTED] = one.wanted if one.wanted < 256 else 0
            table[at + N.T_FLAGS] = (one.flags | IS_INSTRUCTION) & 255
            table[at + N.T_MORE] = one.flags >> 8
            table[at + N.T_SEEN] = one.known
        words = memory.words((len(table) + 7) // 8)
        ctypes.memmove(words, bytes(table), len(table))
        self._codes.append((code, words))
        self._pairs[2 * n : 2 * n + 2] = [id(code), ctypes.addressof(words)]
        self._set(N.N_CODES, n + 1)
        return True

    @property
    def ended(self) -> str | None:
        """Why the observer has stopped writing, if it has."""
        return REASONS.get(self._get(N.REASON))

    @property
    def progress(self) -> int:
        """A number that changes while there is something to see."""
        return self._get(N.LEFT)

    def end(self) -> Log:
        """Stop, and give the log."""
        self._set(N.THREAD, 0)
        size = self._get(N.TOP) - self._get(N.EMPTY)
        raw = ctypes.string_at(self._get(N.EMPTY), size)
        kept: dict[int, ref[Any] | None] = {}
        for k in range(self._get(N.N_KEPT)):
            address, weak = self._kept[2 * k : 2 * k + 2]
            kept[address] = memory.object_at(weak) if weak else None  # type: ignore[assignment]
            if weak:
                memory.decref(weak)  # it is the dict's from here on
        self._set(N.N_KEPT, 0)
        self._set(N.ON_CALLEE, 0)
        self._set(N.ON_END, 0)
        self._set(N.REASON, 0)  # the next recording has not ended before it has begun
        self._hooks = ()  # whoever calls one of them has a reference of his own
        codes = [code for code, _ in self._codes]
        self._codes.clear()
        return Log(raw, codes, kept)


class Log:
    """The records of one recording. `kept`: weak references to the types that it names, by their addresses, and those that it names
    functions by."""

    def __init__(self, raw: bytes, codes: list[CodeType], kept: dict[int, ref[Any] | None]) -> None:
        self._raw, self._codes, self._kept = raw, codes, kept
        self._typecodes = {description(code) | 1: code for code in WIDTHS} if array_type() is not None else {}

    def _each(self) -> list[tuple[int, bool, bytes]]:
        """Place, whether it is the instruction that ended the recording, and content of the records, in their order."""
        heads = memoryview(self._raw).cast("q")
        at, found = 0, []
        while at < len(heads):
            head = heads[at]
            words = head & N.LOW or N.HEADER
            found.append((head >> 32, head == 0, self._raw[8 * at + 8 : 8 * (at + words)]))
            at += words
        return found

    def records(self) -> list[Record]:
        """What was seen, by the first time that it was."""
        counts: dict[tuple[bool, bytes], int] = {}
        for _, ended, content in self._each():
            counts[ended, content] = counts.get((ended, content), 0) + 1
        return [self._record(content, times, ended) for (ended, content), times in counts.items()]

    def _record(self, content: bytes, times: int, ended: bool) -> Record:
        index, offset, previous, result, callee, wanted, *rest = memoryview(content).cast("q")
        kinds = [self._kind(word) for word in rest]
        return Record(
            times,
            self._codes[index],
            offset,
            previous,
            self._kind(result) if result else None,
            (self._kept.get(callee) or lasting(memory.object_at(callee))) if callee else None,
            tuple(kinds[:wanted]),
            tuple(kind for kind in kinds[wanted:] if kind not in ("", GONE)),
            ended,
        )

    def _kind(self, word: int) -> Any:
        if word & 1:
            return self._typecodes.get(word, "")
        if word not in self._kept:
            return NOT_TYPES.get(word) or memory.object_at(word)  # which never dies
        weak = self._kept[word]
        return (weak() if weak is not None else None) or GONE

    def events(self) -> list[tuple[int, CodeType, int]]:
        """(place of the frame among those that were live, code, offset) of each instruction, in their order."""
        found = []
        for place, ended, content in self._each():
            if not ended:
                index, offset = memoryview(content).cast("q")[:2]
                found.append((place, self._codes[index], offset))
        return found
