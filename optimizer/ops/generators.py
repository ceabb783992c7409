"""What a region that begins at a loop over a generator reads from the generator object: where it waits, and what its frame has."""

from __future__ import annotations

from types import CodeType, FunctionType
from typing import Any

from ...abi import LAYOUT, memory
from ..registry import GuardFailed, op

SLOTS = LAYOUT.GEN_FRAME + LAYOUT.FRAME_LOCALSPLUS
"""Where the first slot of the frame lies in the generator."""


def waits_at(address: int, func: int, code: int, offset: int) -> bool:
    """Whether the generator at the address has yielded and goes on at that offset of the code, for that function."""
    frame = address + LAYOUT.GEN_FRAME
    place = code + LAYOUT.CODE_BYTES + offset + LAYOUT.OWN_FRAME_IP_ADJUST
    return (
        memory.read8(address + LAYOUT.GEN_STATE) == LAYOUT.GEN_SUSPENDED
        and memory.slot_object(memory.read64(frame + LAYOUT.FRAME_FUNC)) == func
        and memory.slot_object(memory.read64(frame + LAYOUT.FRAME_CODE)) == code
        and memory.read64(frame + LAYOUT.FRAME_IP) == place
    )


@op("generator.waits", "o", "b", reads="field", imm="func code offset")
def waits(m: Any, o: int, func: FunctionType, code: CodeType, offset: int) -> bool:
    """`waits_at`, of an object that is a generator."""
    return waits_at(o, id(func), id(code), offset)


@op("generator.slot", "o", "o", reads="field", imm="slot")
def slot(m: Any, o: int, slot: int) -> int:
    """What a slot of the generator's frame holds, borrowed; NULL possible."""
    return int(memory.slot_object(memory.read64(o + SLOTS + 8 * slot)))


@op("generator.tagged", "o", "i", guard=True, reads="field", imm="slot")
def tagged(m: Any, o: int, slot: int) -> int:
    """The unboxed integer in a slot of the generator's frame (3.15); leaves when that holds something else."""
    bits = memory.read64(o + SLOTS + 8 * slot)
    if bits & 3 != 3:
        raise GuardFailed
    return int((bits - (1 << 64) if bits >> 63 else bits) >> 2)
