"""What the probes of the self-test are made of: safe reading, comparing, and the list of probes.

A probe must survive the very mistake it looks for: with a wrong offset the word it reads may be anything, and
following it as a pointer would end the process with a segmentation fault. So probes read through the kernel:
`write(pipe, address, n)` answers EFAULT for memory that is not there, and what it wrote is then read back. It
costs some microseconds a read, works on every POSIX system and needs no signal handler. (`/proc/self/mem` and
`process_vm_readv` are often forbidden in containers.)

The C functions are called with the GIL held, so no other thread changes anything between two reads. (And each time
it is let go, a thread that computes has it for five milliseconds.)
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

from .layout import Layout

_transfer = ctypes.PYFUNCTYPE(ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
_read, _write = _transfer(("read", ctypes.PyDLL(None))), _transfer(("write", ctypes.PyDLL(None)))


class Mismatch(Exception):
    """A probe found something else than the layout claims; the text names the field."""


class Probe:
    """What a probe works with: the layout under test, safe reads, and comparisons that name their field."""

    def __init__(self, layout: Layout, thread_state: int) -> None:
        self.layout = layout
        self.thread_state = thread_state
        self._out, self._in = os.pipe()

    def close(self) -> None:
        os.close(self._out)
        os.close(self._in)

    def bytes(self, address: int, count: int) -> bytes:
        """That many bytes (at most 4096). Raises Mismatch if no such memory can be read."""
        if not 0 < address < 2**63:
            raise Mismatch("a pointer")
        written = _write(self._in, address, count)
        buffer = ctypes.create_string_buffer(count)
        if written <= 0 or _read(self._out, buffer, written) != count:
            raise Mismatch("a pointer")
        return buffer.raw

    def word(self, address: int) -> int:
        return int.from_bytes(self.bytes(address, 8), "little")

    def half(self, address: int) -> int:
        """A signed 32-bit number."""
        return int.from_bytes(self.bytes(address, 4), "little", signed=True)

    def view(self, address: int, kind: type[ctypes.c_uint64] | type[ctypes.c_int32] | type[ctypes.c_uint8]) -> ctypes.c_uint64:
        """A live view of a number that was proven readable.

        Its `value` can be read without a Python call in between, for what such calls change.
        """
        self.bytes(address, ctypes.sizeof(kind))
        return kind.from_address(address)  # type: ignore[return-value]

    def offset(self, field: str) -> int:
        return int(getattr(self.layout, field))

    def pointed(self, base: int, field: str) -> int:
        """The word at a field of the structure at base; Mismatch names the field if it is unreadable."""
        try:
            return self.word(base + self.offset(field))
        except Mismatch:
            raise Mismatch(field) from None

    def same(self, field: str, found: object, expected: object) -> None:
        """Raise Mismatch unless what the field's offset led to is what Python says."""
        if found != expected:
            raise Mismatch(field)

    def word_is(self, base: int, field: str, expected: int) -> None:
        self.same(field, self.pointed(base, field), expected)

    def half_is(self, base: int, field: str, expected: int) -> None:
        self.same(field, self.half(base + self.offset(field)), expected)

    def slot(self, bits: int) -> int:
        """The address in a tagged slot or field."""
        return bits & ~3 if self.layout.TAGGED else bits


PROBES: list[tuple[str, Callable[[Probe], None]]] = []


def probe(name: str) -> Callable[[Callable[[Probe], None]], Callable[[Probe], None]]:
    """Decorator: add a probe to the list, in the order of definition."""

    def add(function: Callable[[Probe], None]) -> Callable[[Probe], None]:
        PROBES.append((name, function))
        return function

    return add
