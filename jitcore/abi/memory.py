"""Raw access to the interpreter's memory, through ctypes.

Everything here takes and returns addresses as Python ints. Nothing is checked: a wrong address kills the
process, so callers derive addresses only from live objects (`id`, `frame_address`) and from a layout that
`selftest.check` has proven. The readers are views made by ctypes' `from_address`, which is several times
cheaper than `string_at` and allocates nothing that the program could see.

Slots are the words of a frame's locals and operand stack. Up to 3.13 they hold plain addresses; from 3.14 on
the low bits carry a tag (see `slot_object`).
"""

from __future__ import annotations

import ctypes
import sys
from types import FrameType
from typing import Any

from . import layout as _layout
from .layout import AbiError

_WORD = 2**64 - 1
_HALF = 2**32 - 1

_u64 = ctypes.c_uint64.from_address
_u32 = ctypes.c_uint32.from_address
_u16 = ctypes.c_uint16.from_address
_u8 = ctypes.c_uint8.from_address
_i32 = ctypes.c_int32.from_address
_object = ctypes.py_object.from_address

# Own prototypes: the attributes of ctypes.pythonapi are shared with the whole process, and setting argtypes
# there could change what other code's calls do.
_FUNCTION = ctypes.PYFUNCTYPE
_get_thread_state = _FUNCTION(ctypes.c_void_p)(("PyThreadState_Get", ctypes.pythonapi))
_incref = _FUNCTION(None, ctypes.c_void_p)(("Py_IncRef", ctypes.pythonapi))
_decref = _FUNCTION(None, ctypes.c_void_p)(("Py_DecRef", ctypes.pythonapi))

LAYOUT: _layout.Layout | None
try:
    LAYOUT = _layout.for_version(sys.version_info[:2])
except AbiError:
    LAYOUT = None  # selftest.check says so; the functions below that need it raise AbiError


EXCEPTION_EVENTS = ("RAISE", "RERAISE", "EXCEPTION_HANDLED", "PY_UNWIND")
"""Events that tools can only watch everywhere, not in single code objects."""
exceptions_proven = False
"""Whether the self-test has found where the interpreter says who watches them."""


def known() -> _layout.Layout:
    if LAYOUT is None:
        raise AbiError("this version of CPython is not known to jitcore")
    return LAYOUT


def read64(address: int) -> int:
    """The unsigned 8-byte word at an address."""
    return _u64(address).value


def write64(address: int, value: int) -> None:
    """Store the low 64 bits of value (negative numbers in two's complement)."""
    _u64(address).value = value & _WORD


def read32(address: int) -> int:
    """The unsigned 32-bit number at an address."""
    return _u32(address).value


def read32s(address: int) -> int:
    """The signed 32-bit number at an address."""
    return _i32(address).value


def write32(address: int, value: int) -> None:
    """Store the low 32 bits of value."""
    _u32(address).value = value & _HALF


def write8(address: int, value: int) -> None:
    """Write a byte."""
    ctypes.c_uint8.from_address(address).value = value


def read16(address: int) -> int:
    """The unsigned 16-bit number at an address."""
    return _u16(address).value


def read8(address: int) -> int:
    """The byte at an address."""
    return _u8(address).value


def signed(word: int) -> int:
    """A word as read64 gives it, understood as a signed number."""
    return word - 2**64 if word >> 63 else word


_arrays: dict[int, Any] = {}


def words(count: int) -> Any:
    """Room for at least that many words, zeros, as an array of signed 64-bit numbers of ctypes. Its type is one of a few: each
    type that ctypes makes is garbage for the program's collector when it is not needed any more."""
    size = 8 << max((count - 1) // 8, 0).bit_length()
    kind = _arrays.get(size)
    if kind is None:
        kind = _arrays[size] = ctypes.c_int64 * size
    return kind()


def object_at(address: int) -> Any:
    """The object that lives at an address (a new reference, as any Python value)."""
    holder = ctypes.c_uint64(address)  # py_object's storage is a pointer to the object
    return _object(ctypes.addressof(holder)).value


def thread_state() -> int:
    """Address of the calling thread's PyThreadState."""
    return _get_thread_state() or 0


def current_frame(ts: int) -> int:
    """Address of the frame that a thread is running: for the calling thread, the caller's frame.

    For other threads it may also be the frame that stands between C code and the Python code it called.
    """
    layout = known()
    word = _u64(ts + layout.TS_CURRENT_FRAME).value  # no Python call in between: it would be the current one
    address = _u64(word).value if layout.TS_CFRAME_INDIRECT else word
    if address == frame_address(sys._getframe()):  # this function's own
        address = read64(address + layout.FRAME_PREVIOUS)
    return address


def frame_address(frame: FrameType) -> int:
    """Address of the interpreter's frame behind a frame object.

    Valid while that function is running; a frame object that outlives it keeps a copy elsewhere.
    """
    return read64(id(frame) + known().FRAMEOBJ_FRAME)


def symbol(name: str) -> int:
    """Address of a function or variable that CPython exports. Raises AbiError if there is none."""
    try:
        # A c_char at the symbol's address: unlike attribute access on the library this also finds data, and
        # caches nothing there.
        return ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, name))
    except ValueError:
        raise AbiError(f"this interpreter does not export {name}") from None


def has_symbol(name: str) -> bool:
    """Whether CPython exports a function or variable of that name."""
    try:
        symbol(name)
    except AbiError:
        return False
    return True


def slot_object(bits: int) -> int:
    """Address of the object in a slot, or 0 for a slot without one (empty, error mark, tagged int).

    The reference stays the slot's: keep the address beyond it only after `incref`.
    """
    if not known().TAGGED:
        return bits
    if bits <= 3 or bits & 3 == 3:  # 1 is empty, 2 an error mark, ...11 a tagged int
        return 0
    return bits & ~3


def slot_int(bits: int) -> int | None:
    """The value of a tagged int in a slot (3.15 keeps loop indexes so), None for everything else."""
    if known().TAGGED and bits & 3 == 3:
        return signed(bits) >> 2
    return None


def is_immortal(address: int) -> bool:
    """Whether the object's reference count is fixed; its slots then carry tag 1 on 3.14+."""
    return _i32(address).value < 0


def incref(address: int) -> None:
    """Take a reference to the object at an address."""
    _incref(address)


def decref(address: int) -> None:
    """Give a reference back; this may run finalizers, and so any Python code."""
    _decref(address)


def new_reference(obj: object) -> int:
    """The object's address, with a reference that the caller has to give back."""
    _incref(id(obj))
    return id(obj)


def refcount(address: int) -> int:
    """How many references there are; a number beyond any real count for an immortal object."""
    if is_immortal(address):
        return 1 << 62
    return read64(address) if known().REFCNT_BITS == 64 else read32(address)


def owned_slot(address: int) -> int:
    """The bits of a slot that takes over a reference to the object at an address (0: the empty slot)."""
    layout = known()
    if not address:
        return layout.NULL_SLOT
    return address | 1 if layout.TAGGED and is_immortal(address) else address


def close_slot(bits: int) -> None:
    """Give back the reference that a slot holds, if it holds one of its own."""
    address = slot_object(bits)
    if address and not (known().TAGGED and bits & 1):
        _decref(address)


OTHER_TOOLS = 0xDFDFDFDFDFDFDFDF
"""In each byte of a code object's active tools (one byte an event): all but the optimizer's bit."""


def in_main_interpreter() -> bool:
    """Whether the running code belongs to the process's first interpreter, not to a subinterpreter."""
    current = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyInterpreterState_Get", ctypes.pythonapi))
    main = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyInterpreterState_Main", ctypes.pythonapi))
    return bool(current() == main())


def watched(code: int) -> bool:
    """Whether another tool than the optimizer has an event active in the code object at an address."""
    layout = known()
    data = read64(code + layout.CODE_MONITORING)
    if not data:
        return False
    active = data + layout.MONITORS_ACTIVE
    return bool(read64(active) & OTHER_TOOLS or read16(active + 8) & OTHER_TOOLS)


def event_numbers() -> list[int]:
    """Of the events of exceptions: their places in the interpreter's table of who watches what."""
    return [getattr(sys.monitoring.events, name).bit_length() - 1 for name in EXCEPTION_EVENTS]


def exceptions_watched(ts: int) -> bool:
    """Whether a tool wants to see exceptions, wherever they are raised. (Only some builds can be asked: `exceptions_proven`.)"""
    base = read64(ts + known().TS_INTERP) + known().INTERP_MONITORS
    return any(read8(base + number) for number in event_numbers())


def eval_breaker(ts: int) -> bool:
    """Whether the interpreter is asked to stop for a moment in a thread (signals, GC, another thread)."""
    layout = known()
    base = read64(ts + layout.TS_INTERP) if layout.EVAL_BREAKER_IN_INTERP else ts
    return bool(read32(base + layout.EVAL_BREAKER_OFFSET) & layout.EVAL_BREAKER_MASK)
