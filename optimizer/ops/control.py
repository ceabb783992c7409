"""Guards, polls and the door's own frame.

A slot of the frame owns what it holds. The translator keeps unboxed numbers out of the frame and lets their slots hold
stale boxes (harmless to close); object locals are written through, so the frame is always their owner.
"""

from __future__ import annotations

from typing import Any

from ...abi import LAYOUT, memory, namespaces
from ..registry import GuardFailed, op


@op("guard", "b", "", guard=True, imm="expected")
def guard(m: Any, c: bool, expected: bool) -> None:
    """Leaves unless c is `expected`."""
    if c != expected:
        raise GuardFailed


@op("anchor", guard=True)
def anchor(m: Any) -> None:
    """Stands before a loop, with the state of its head: what passes move out of the loop comes here. Does nothing."""


@op("frame.local", "", "o", reads="frame", imm="slot")
def local(m: Any, slot: int) -> int:
    """What local slot holds, borrowed from the frame; NULL when unbound."""
    return int(memory.slot_object(memory.read64(m.frame + LAYOUT.FRAME_LOCALSPLUS + 8 * slot)))


@op("frame.store_local", "o", "", writes="frame", imm="slot", consumes=(0,))
def store_local(m: Any, o: int, slot: int) -> None:
    """Put o (reference taken over) into the local slot, then close what it held: known to be harmless."""
    address = m.frame + LAYOUT.FRAME_LOCALSPLUS + 8 * slot
    old = memory.read64(address)
    memory.write64(address, memory.owned_slot(o))
    memory.close_slot(old)


@op("frame.namespace", "", "o", reads="frame")
def namespace(m: Any) -> int:
    """The namespace of a frame that is not a function's (borrowed; NULL otherwise)."""
    return int(memory.read64(m.frame + LAYOUT.FRAME_LOCALS))


@op("namespace.table_is", "o", "b", reads="names", imm="table watchers")
def table_is(m: Any, o: int, table: int, watchers: int) -> bool:
    """Whether the dict has the table of names at an address, and nobody but these watchers (a bit for each) watches it."""
    return namespaces.is_table(o, table, watchers)


@op("name.is_at", "", "b", reads="names", imm="name word")
def name_is_at(m: Any, name: str, word: int) -> bool:
    """Whether the word at an address, in a table that is in use, is the value of that name, and not NULL."""
    return namespaces.is_entry(word, name)


@op("name.get", "", "o", reads="names", imm="word")
def name_get(m: Any, word: int) -> int:
    """The value of a name, borrowed; its word is where `name.is_at` says."""
    return int(memory.read64(word))


@op("name.put", "o", "", writes="names ref", imm="word", consumes=(0,))
def name_put(m: Any, o: int, word: int) -> None:
    """Put o (not NULL; reference taken over) into the word of a name, then drop what it held: known to be harmless."""
    old = memory.read64(word)
    memory.write64(word, o)
    memory.decref(old)


@op("frame.take_local", "", "o", writes="frame ref", imm="slot")
def take_local(m: Any, slot: int) -> int:
    """What local slot holds (not NULL), with its reference moved out: the slot is unbound afterwards."""
    address = m.frame + LAYOUT.FRAME_LOCALSPLUS + 8 * slot
    bits = memory.read64(address)
    o = memory.slot_object(bits)
    if LAYOUT.TAGGED and bits & 1:
        memory.incref(o)
    memory.write64(address, LAYOUT.NULL_SLOT)
    return int(o)


@op("frame.stack_unique", "", "b", reads="frame", imm="depth")
def stack_unique(m: Any, depth: int) -> bool:
    """Whether the stack slot holds the only reference to its object (nobody else can see it change)."""
    bits = memory.read64(stack_address(m, depth))
    return not bits & 1 and bits != 0 and memory.refcount(memory.slot_object(bits)) == 1


@op("frame.stack", "", "o", reads="frame", imm="depth")
def stack(m: Any, depth: int) -> int:
    """What the stack slot holds, borrowed; NULL possible."""
    return int(memory.slot_object(memory.read64(stack_address(m, depth))))


@op("frame.stack_tagged", "", "i", guard=True, reads="frame", imm="depth")
def stack_tagged(m: Any, depth: int) -> int:
    """The unboxed integer in the stack slot (3.15); leaves when it holds something else."""
    bits = memory.read64(stack_address(m, depth))
    if bits & 3 != 3:
        raise GuardFailed
    return int((bits - (1 << 64) if bits >> 63 else bits) >> 2)


@op("frame.take_stack", "", "o", reads="frame", writes="ref", imm="depth")
def take_stack(m: Any, depth: int) -> int:
    """The object in the stack slot with its reference moved out (a borrowed slot gets one of its own). The slot is dead
    afterwards: `frame.lower_stack` follows."""
    bits = memory.read64(stack_address(m, depth))
    o = memory.slot_object(bits)
    if LAYOUT.TAGGED and bits & 1 and o:
        memory.incref(o)
    return int(o)


@op("frame.lower_stack", "", "", writes="frame", imm="depth")
def lower_stack(m: Any, depth: int) -> None:
    """Set the operand stack's height."""
    total = m.nlocals + depth
    if LAYOUT.SP_IS_POINTER:
        memory.write64(m.frame + LAYOUT.FRAME_SP, m.frame + LAYOUT.FRAME_LOCALSPLUS + 8 * total)
    else:
        memory.write32(m.frame + LAYOUT.FRAME_SP, total)


@op("frame.set_ip", "", "", writes="frame", imm="offset")
def set_ip(m: Any, offset: int) -> None:
    """Record the bytecode offset being executed, for whoever looks at the frame during an opaque operation."""
    memory.write64(m.frame + LAYOUT.FRAME_IP, m.code_address + LAYOUT.CODE_BYTES + offset)


@op("frame.globals", "", "o")
def frame_globals(m: Any) -> int:
    """The namespace of globals the frame runs in, borrowed; it never changes."""
    return int(memory.read64(m.frame + LAYOUT.FRAME_GLOBALS))


@op("frame.builtins", "", "o")
def frame_builtins(m: Any) -> int:
    """The namespace of built-ins the frame runs in, borrowed; it never changes."""
    return int(memory.read64(m.frame + LAYOUT.FRAME_BUILTINS))


@op("frame.taken", "", "b", reads="frame any")
def taken(m: Any) -> bool:
    """Whether somebody holds the frame object (the frame itself holds one reference): locals may be read from elsewhere
    from now on. Where they can be written through it, having one is enough: the writer may have let go of it again."""
    frame_object = memory.read64(m.frame + LAYOUT.FRAME_OBJ)
    if LAYOUT.LOCALS_PROXY:
        return frame_object != 0
    return frame_object != 0 and memory.refcount(frame_object) > 1


@op("frame.link", "", "i", guard=True, reads="frame", writes="frame any", imm="frames")
def link(m: Any, frames: int) -> int:
    """Make interpreter frames of the innermost `frames` of the state, with the values of their locals, and put them where
    whoever is called next looks for the current frame. The result says which these are. Leaves where there is no room for them. The
    evaluator always leaves: its own frames would lie in between."""
    raise GuardFailed


@op("frame.unlink", "i", "b", reads="frame any", writes="frame any")
def unlink(m: Any, linked: int) -> bool:
    """Take these frames away again. Does nothing if somebody holds one of them, or another tool has begun to watch the code of
    one: that is the result. An exit goes on with frames that are linked already."""
    raise AssertionError("nothing has been linked")


@op("frame.offer", "", "i", guard=True, reads="frame", writes="frame any", imm="frames")
def offer(m: Any, frames: int) -> int:
    """The same as `frame.link`, for a call of a direct function, but the frames are only made when something in there needs them. The
    operation itself never leaves, but for the evaluator's."""
    raise GuardFailed


@op("frame.withdraw", "i", "b", reads="frame any", writes="frame any")
def withdraw(m: Any, offered: int) -> bool:
    """The same as `frame.unlink`, of frames that may not have been made."""
    raise AssertionError("nothing has been offered")


@op("region.valid", "", "b", reads="any")
def valid(m: Any) -> bool:
    """Whether every assumption of the region still holds, and no other tool has begun to watch the door's code: it must
    see what comes next."""
    return memory.read64(m.valid_flag) != 0 and not (m.code_address and memory.watched(m.code_address))


@op("poll", "", "b", reads="any", writes="any")
def poll(m: Any) -> bool:
    """Whether the interpreter's eval breaker asks for attention (signals, GC, other threads). Never moved or shared.
    A poll stands where a loop closes, so it counts as a back edge."""
    m.edges += 1
    return bool(memory.eval_breaker(m.tstate))


@op("error.unseen", "", "b", reads="any")
def error_unseen(m: Any) -> bool:
    """Whether no tool wants to hear of exceptions: one that nobody looks at need not be made."""
    return not memory.exceptions_watched(m.tstate)


def stack_address(m: Any, depth: int) -> int:
    return int(m.frame + LAYOUT.FRAME_LOCALSPLUS + 8 * (m.nlocals + depth))
