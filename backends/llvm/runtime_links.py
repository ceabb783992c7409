"""Frames for the time of an open call.

Functions that are inlined, or called directly, have no interpreter frames. Before one of them calls what may look at its
callers (`frame.link`), frames are pushed for all that are under way there, with the values of their locals and the instruction
pointer at the call, and the innermost becomes the thread's current one; behind the call they are popped (`frame.unlink`). What
native code holds stays where it is. What it owns it lends to the frames, which have references of their own to the rest, so that
their end frees nothing but boxes of numbers; their function and code are borrowed from the descriptor. Operands, which nobody can look
at, are not in them.

Somebody may have taken a frame object meanwhile, or begun to watch the code: then the frames stay, native code leaves, and the
exit goes on with these frames instead of new ones (`runtime_exits.linked_frames`). Whatever was written to their locals through
a frame object is in them already.

Whoever calls a direct function that does open calls *offers* its own frames: descriptor and values lie on the C stack, and the callee
knows where. An open call links what is offered around it first, if that has not been done, and what is linked stays so until the call that
it was offered for returns. So a chain of native calls costs no frames until somebody may look, and the linked ones are always the outer ones
of those that an exit has to have.
"""

# ruff: noqa: ANN001, ANN201  (native functions: every parameter and result is a word)
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from ...abi import LAYOUT
from .lowlevel import alloca, ld32, ld64, native, st32, st64
from .runtime_exits import (
    D_FRAMES,
    D_NFRAMES,
    D_NTEMPS,
    D_TEMPS,
    X_CALL_IP,
    X_CODE,
    X_FUNC,
    X_LISTS,
    X_NWRITES,
    entry_end,
    pop_frame,
    push_plain_frame,
    stack_low,
    watched,
)
from .runtime_state import current_frame, set_current_frame, slot_close, slot_copy, slot_new, slot_object
from .runtime_temps import STEAL, make_temp, reference_slot

# An offer (see `frame.offer`): words in the C stack's frame of the caller
O_OUTER = 0  # what its own callers offer
O_DESCRIPTOR = 8
O_BUFFER = 16  # the values that the frames show
O_FRAME = 24  # the door's frame, which exists
O_LINKED = 32  # whether the frames have been made
OFFER_WORDS = 5

SAME = 7  # rows of `descriptors.Temp`
NEW = 5
CONST = 6
FEW_CALLS = 8  # so near to the recursion limit the interpreter does the call


@native
def boxed_slot(desc, buf, made, frame, at):
    """A slot of its own for a value that native code has no object for. `made`: those of other locals."""
    entry = desc + D_TEMPS + 32 * at
    while ld64(entry) == SAME:
        at = ld64(entry + 8)
        entry = desc + D_TEMPS + 32 * at
    if ld64(made + 8 * at):
        return slot_copy(ld64(made + 8 * at))
    bits = make_temp(entry, buf, made, frame, 0)
    st64(made + 8 * at, bits)
    return bits


@native
def link_frames(ts, frame, desc, buf):
    """Push and link the frames of a descriptor, but for the first if that is the door's `frame`. Returns the innermost, or 0, with
    nothing done, where there is no room."""
    n = ld64(desc + D_NFRAMES)
    i = 0
    entry = desc + 8 * ld64(desc + D_FRAMES)
    if frame:
        entry = entry_end(entry)
        i = 1
    remaining = ts + LAYOUT.TS_PY_RECURSION_REMAINING
    if ld32(remaining) < n + FEW_CALLS or stack_low():
        return 0
    st32(remaining, ld32(remaining) - (n - i))
    ntemps = ld64(desc + D_NTEMPS)
    made = alloca(8 * ntemps + 8)
    at = 0
    while at < ntemps:
        st64(made + 8 * at, 0)
        at += 1
    innermost = current_frame(ts)
    while i < n:
        innermost = push_plain_frame(ts, ld64(entry + X_FUNC), ld64(entry + X_CODE), innermost, ld64(entry + X_CALL_IP))
        slots = innermost + LAYOUT.FRAME_LOCALSPLUS
        pair = entry + X_LISTS
        end = pair + 16 * ld64(entry + X_NWRITES)
        while pair < end:
            at = ld64(pair + 8)
            temp = desc + D_TEMPS + 32 * at
            op = ld64(temp)
            bits = 0
            if op == STEAL or op == NEW:
                bits = reference_slot(temp, ld64(buf + 8 * ld64(temp + 8)))
            elif op == CONST:
                bits = slot_new(ld64(temp + 8))
            else:
                bits = boxed_slot(desc, buf, made, frame, at)
            st64(slots + 8 * ld64(pair), bits)
            pair += 16
        entry = entry_end(entry)
        i += 1
    set_current_frame(ts, innermost)
    return innermost


@native
def link_offered(ts, offer):
    """Push and link the frames of an offer, after those of the offers around it, unless that has been done. 0 where there is no room."""
    if ld64(offer + O_LINKED):
        return 1
    outer = ld64(offer + O_OUTER)
    if outer:
        if link_offered(ts, outer) == 0:
            return 0
    if link_frames(ts, ld64(offer + O_FRAME), ld64(offer + O_DESCRIPTOR), ld64(offer + O_BUFFER)) == 0:
        return 0
    st64(offer + O_LINKED, 1)
    return 1


@native
def link(ts, frame, desc, buf, offer):
    """The same as `link_frames` in a direct function whose callers have made that offer (0: none)."""
    if offer:
        if link_offered(ts, offer) == 0:
            return 0
    return link_frames(ts, frame, desc, buf)


@native
def unlink_frames(ts, frame, desc):
    """Pop the frames that were linked for a descriptor. Returns 1, with nothing done, if they are not ours alone."""
    n = ld64(desc + D_NFRAMES)
    entry = desc + 8 * ld64(desc + D_FRAMES)
    if frame:
        entry = entry_end(entry)
        n -= 1
    frames = alloca(8 * n)
    one = current_frame(ts)
    i = n
    while i > 0:
        i -= 1
        if ld64(one + LAYOUT.FRAME_OBJ) or ld64(one + LAYOUT.FRAME_LOCALS):
            return 1
        if watched(slot_object(ld64(one + LAYOUT.FRAME_CODE))):
            return 1
        st64(frames + 8 * i, one)
        one = ld64(one + LAYOUT.FRAME_PREVIOUS)
    set_current_frame(ts, one)
    i = 0
    while i < n:
        slots = ld64(frames + 8 * i) + LAYOUT.FRAME_LOCALSPLUS
        pair = entry + X_LISTS
        end = pair + 16 * ld64(entry + X_NWRITES)
        while pair < end:
            if ld64(desc + D_TEMPS + 32 * ld64(pair + 8)) != STEAL:
                slot_close(ld64(slots + 8 * ld64(pair)))
            pair += 16
        entry = entry_end(entry)
        i += 1
    while i > 0:
        i -= 1
        pop_frame(ts, ld64(frames + 8 * i))
    remaining = ts + LAYOUT.TS_PY_RECURSION_REMAINING
    st32(remaining, ld32(remaining) + n)
    return 0
