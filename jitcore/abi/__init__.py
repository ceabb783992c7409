"""The only place that knows how CPython is laid out in memory.

`LAYOUT` is the table of this interpreter's version, `check()` proves it. Importing this package imports
ctypes, so nothing that must start fast may import it (`jitcore` itself does not). On an unknown version the
package still imports and `check()` says why nothing can work; asking for `LAYOUT` then raises AbiError.
"""

from __future__ import annotations

from . import memory
from .layout import AbiError, Layout, for_version
from .memory import (
    close_slot,
    current_frame,
    decref,
    eval_breaker,
    frame_address,
    has_symbol,
    in_main_interpreter,
    incref,
    is_immortal,
    new_reference,
    object_at,
    owned_slot,
    read8,
    read16,
    read32,
    read32s,
    read64,
    refcount,
    signed,
    slot_int,
    slot_object,
    symbol,
    thread_state,
    write32,
    write64,
)
from .selftest import check

__all__ = [
    "LAYOUT",
    "AbiError",
    "Layout",
    "check",
    "close_slot",
    "current_frame",
    "decref",
    "eval_breaker",
    "for_version",
    "frame_address",
    "has_symbol",
    "in_main_interpreter",
    "incref",
    "is_immortal",
    "memory",
    "new_reference",
    "object_at",
    "owned_slot",
    "read16",
    "read32",
    "read32s",
    "read64",
    "read8",
    "refcount",
    "signed",
    "slot_int",
    "slot_object",
    "symbol",
    "thread_state",
    "write32",
    "write64",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    LAYOUT: Layout
elif memory.LAYOUT is not None:
    LAYOUT = memory.LAYOUT
else:

    def __getattr__(name: str) -> Layout:
        if name == "LAYOUT":
            raise AbiError("this version of CPython is not known to jitcore")
        raise AttributeError(f"module 'jitcore.abi' has no attribute {name!r}")
