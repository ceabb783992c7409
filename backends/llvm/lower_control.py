"""Guards, polls and the door's own frame.

Slots are plain references up to 3.13 and tagged ones after that: bit 0 says that the slot does not count (a
borrowed or immortal object, NULL, an unboxed integer). Volatile loads are those of words that others
change: the eval breaker and the region's validity.
"""

from __future__ import annotations

import re
from types import CodeType

from ...abi import LAYOUT, memory, namespaces
from ...abi.memory import OTHER_TOOLS
from ...optimizer.ir import Op
from .lower_base import NONNULL, UNLIKELY, Emitter, lowering
from .lower_objects import drop_text, incref_text, mortality, shared_text, unshared_text
from .runtime_links import O_BUFFER, O_DESCRIPTOR, O_FRAME, O_LINKED, O_OUTER
from .runtime_state import PATIENCE


@lowering("guard")
def guard(e: Emitter, op: Op, c: str) -> None:
    if op.imm[0]:
        e.guard(c, op.state)
    else:
        e.leave_if(c, op.state)


@lowering("anchor")
def anchor(e: Emitter, op: Op) -> None:
    """Nothing to do."""


def code(e: Emitter) -> CodeType:
    """The door's code object: how many locals there are, where its bytecode is."""
    if e.code is None:
        raise ValueError("operations on the frame need a state that names the door's code object")
    return e.code


def local_offset(op: Op) -> int:
    return LAYOUT.FRAME_LOCALSPLUS + 8 * int(op.imm[0])  # type: ignore[call-overload]


def stack_offset(e: Emitter, op: Op) -> int:
    nlocals = memory.read32(id(code(e)) + LAYOUT.CODE_NLOCALSPLUS)
    return LAYOUT.FRAME_LOCALSPLUS + 8 * (nlocals + int(op.imm[0]))  # type: ignore[call-overload]


def load_slot(e: Emitter, offset: int) -> str:
    """The object in a slot, borrowed; NULL possible."""
    if not LAYOUT.TAGGED:
        return e.load("ptr", "%framep", offset, "frame")
    return untagged(e, e.load("i64", "%framep", offset, "frame"))


def untagged(e: Emitter, bits: str) -> str:
    """The object in a tagged slot: NULL where it is empty or (3.15) holds an unboxed integer."""
    address = e.let(f"and i64 {bits}, -2")
    if LAYOUT.FOR_ITER_PAIR:
        number = e.let(f"icmp eq i64 {e.let(f'and i64 {bits}, 3')}, 3")
        address = e.let(f"select i1 {number}, i64 0, i64 {address}")
    return e.let(f"inttoptr i64 {address} to ptr")


@lowering("frame.local")
def local(e: Emitter, op: Op) -> str:
    return load_slot(e, local_offset(op))


@lowering("frame.stack")
def stack(e: Emitter, op: Op) -> str:
    return load_slot(e, stack_offset(e, op))


@lowering("frame.store_local")
def store_local(e: Emitter, op: Op, o: str) -> None:
    offset = local_offset(op)
    known = getattr(op.args[0].producer, "name", "") in NONNULL
    if not LAYOUT.TAGGED:
        old = e.load("ptr", "%framep", offset, "frame")
        e.store("ptr", o, "%framep", offset, "frame")
        with e.when(e.let(f"icmp ne ptr {old}, null")):
            drop_text(e, old, "heap")
        return
    bits = owned_slot(e, o, known)
    raw = e.load("i64", "%framep", offset, "frame")
    e.store("i64", bits, "%framep", offset, "frame")
    empty = e.let(f"icmp eq i64 {raw}, 0")
    skip = e.let(f"or i1 {empty}, {e.let(f'trunc i64 {raw} to i1')}")
    with e.when(e.let(f"xor i1 {skip}, true")):
        drop_text(e, e.let(f"inttoptr i64 {raw} to ptr"), "heap")


@lowering("frame.namespace")
def namespace(e: Emitter, op: Op) -> str:
    return e.load("ptr", "%framep", LAYOUT.FRAME_LOCALS, "frame")


@lowering("namespace.table_is")
def table_is(e: Emitter, op: Op, o: str) -> str:
    table, watchers = int(op.imm[0]), int(op.imm[1])  # type: ignore[call-overload]
    same = e.let(f"icmp eq ptr {e.load('ptr', o, LAYOUT.DICT_KEYS, 'names')}, {e.word(table)}")
    watched = e.let(f"and i8 {e.load('i8', o, LAYOUT.DICT_WATCHERS, 'names')}, {~watchers}")
    return e.let(f"and i1 {same}, {e.let(f'icmp eq i8 {watched}, 0')}")


@lowering("name.is_at")
def name_is_at(e: Emitter, op: Op) -> str:
    name, word = op.imm[0], e.word(int(op.imm[1]))  # type: ignore[call-overload]
    same = e.let(f"icmp eq ptr {e.load('ptr', word, namespaces.KEY, 'names')}, {e.object(name)}")
    return e.let(f"and i1 {same}, {e.let(f'icmp ne ptr {e.load("ptr", word, 0, "names")}, null')}")


@lowering("name.get")
def name_get(e: Emitter, op: Op) -> str:
    return e.load("ptr", e.word(int(op.imm[0])), 0, "names")  # type: ignore[call-overload]


@lowering("name.put")
def name_put(e: Emitter, op: Op, o: str) -> None:
    word = e.word(int(op.imm[0]))  # type: ignore[call-overload]
    old = e.load("ptr", word, 0, "names")
    e.store("ptr", o, word, 0, "names")
    drop_text(e, old, "heap")


def owned_slot(e: Emitter, o: str, known: bool) -> str:
    """The tagged slot that takes over a reference to o."""
    if o == "null":
        return str(LAYOUT.NULL_SLOT)
    if known:
        return tagged(e, o)
    with e.when(e.let(f"icmp ne ptr {o}, null")) as arm:
        bits = tagged(e, o)
    return arm.phi("i64", bits, str(LAYOUT.NULL_SLOT))


def tagged(e: Emitter, o: str) -> str:
    mortal = mortality(e, o)[1]
    tag = e.let(f"select i1 {mortal}, i64 0, i64 1")
    return e.let(f"or i64 {e.let(f'ptrtoint ptr {o} to i64')}, {tag}")


@lowering("frame.stack_unique")
def stack_unique(e: Emitter, op: Op) -> str:
    bits = e.load("i64", "%framep", stack_offset(e, op), "frame")
    counts = e.let(f"icmp ne i64 {bits}, 0")
    if LAYOUT.TAGGED:
        counts = e.let(f"and i1 {counts}, {e.let(f'icmp eq i64 {e.let(f"and i64 {bits}, 1")}, 0')}")
    with e.when(counts) as arm:
        o = e.let(f"inttoptr i64 {bits} to ptr")
        unique = unshared_text(e, o)
    return arm.phi("i1", unique, "false")


@lowering("frame.stack_tagged")
def stack_tagged(e: Emitter, op: Op) -> str:
    bits = e.load("i64", "%framep", stack_offset(e, op), "frame")
    e.guard(e.let(f"icmp eq i64 {e.let(f'and i64 {bits}, 3')}, 3"), op.state)
    return e.let(f"lshr i64 {bits}, 2")


@lowering("frame.take_stack")
def take_stack(e: Emitter, op: Op) -> str:
    offset = stack_offset(e, op)
    if not LAYOUT.TAGGED:
        return load_slot(e, offset)
    bits = e.load("i64", "%framep", offset, "frame")
    o = untagged(e, bits)
    borrowed = e.let(f"trunc i64 {bits} to i1")
    with e.when(e.let(f"and i1 {borrowed}, {e.let(f'icmp ne ptr {o}, null')}")):
        incref_text(e, o)
    return o


@lowering("frame.take_local")
def take_local(e: Emitter, op: Op) -> str:
    offset = local_offset(op)
    if not LAYOUT.TAGGED:
        o = load_slot(e, offset)
    else:
        bits = e.load("i64", "%framep", offset, "frame")
        o = untagged(e, bits)
        with e.when(e.let(f"trunc i64 {bits} to i1")):
            incref_text(e, o)
    e.store("i64", str(LAYOUT.NULL_SLOT), "%framep", offset, "frame")
    return o


@lowering("frame.lower_stack")
def lower_stack(e: Emitter, op: Op) -> None:
    offset = stack_offset(e, op)
    if LAYOUT.SP_IS_POINTER:
        e.store("ptr", e.at("%framep", offset), "%framep", LAYOUT.FRAME_SP, "frame")
    else:
        height = (offset - LAYOUT.FRAME_LOCALSPLUS) // 8
        e.store("i32", str(height), "%framep", LAYOUT.FRAME_SP, "frame")


@lowering("frame.set_ip")
def set_ip(e: Emitter, op: Op) -> None:
    target = e.at(e.object(code(e)), LAYOUT.CODE_BYTES + int(op.imm[0]))  # type: ignore[call-overload]
    e.store("ptr", target, "%framep", LAYOUT.FRAME_IP, "frame")


@lowering("frame.globals")
def frame_globals(e: Emitter, op: Op) -> str:
    return e.load("ptr", "%framep", LAYOUT.FRAME_GLOBALS, "frame")


@lowering("frame.builtins")
def frame_builtins(e: Emitter, op: Op) -> str:
    return e.load("ptr", "%framep", LAYOUT.FRAME_BUILTINS, "frame")


@lowering("frame.taken")
def taken(e: Emitter, op: Op) -> str:
    o = e.load("ptr", "%framep", LAYOUT.FRAME_OBJ, "frame")
    if LAYOUT.LOCALS_PROXY:
        return e.let(f"icmp ne ptr {o}, null")
    with e.when(e.let(f"icmp ne ptr {o}, null"), UNLIKELY) as arm:
        held = shared_text(e, o)
    return arm.phi("i1", held, "false")


@lowering("frame.link")
def link(e: Emitter, op: Op) -> str:
    state = op.state
    assert state is not None
    base, first = e.buffer()
    buffer = e.at(base, first)
    show(e, op, buffer)
    routine = e.routine("jc_link", "i64", "ptr, ptr, ptr, ptr, ptr")
    descriptor = e.descriptor(state)
    made = e.let(f"call i64 {routine}(ptr %tstatep, ptr {own_frame(e)}, ptr {descriptor}, ptr {buffer}, ptr {offered(e)})")
    e.leave_if(e.let(f"icmp eq i64 {made}, 0"), state)
    return e.let(f"ptrtoint ptr {descriptor} to i64")


def show(e: Emitter, op: Op, buffer: str) -> int:
    """Store what the frames show where the descriptor says; returns the number of words."""
    state = op.state
    assert state is not None
    shown = {v for frame in state.frames[-int(op.imm[0]) :] for slot in frame.locals.values() for v in slot.values}  # type: ignore[call-overload]
    words = 0
    for value, at in zip(state.values(), e.places[state], strict=True):
        if value in shown:
            e.store_word(value, buffer, 8 * at)
            words = max(words, at + 1)
    return words


def offered(e: Emitter) -> str:
    """What the callers of a direct function offer."""
    return "%offered" if e.signature is not None else "null"


@lowering("frame.offer")
def offer(e: Emitter, op: Op) -> str:
    assert op.state is not None
    e.shown_words = max(e.shown_words, show(e, op, "%shown"), 1)
    for place, text in (
        (O_OUTER, offered(e)),
        (O_DESCRIPTOR, e.descriptor(op.state)),
        (O_BUFFER, "%shown"),
        (O_FRAME, own_frame(e)),
        (O_LINKED, "null"),
    ):
        e.store("ptr", text, "%offer", place, "buf")
    e.offering = True
    return e.let(f"ptrtoint ptr {e.descriptor(op.state)} to i64")


@lowering("frame.withdraw")
def withdraw(e: Emitter, op: Op, descriptor: str) -> str:
    with e.when(e.let(f"icmp ne i64 {e.load('i64', '%offer', O_LINKED, 'buf')}, 0"), UNLIKELY) as arm:
        linked = unlink_text(e, descriptor)
    return arm.phi("i1", linked, "false")


def own_frame(e: Emitter) -> str:
    """The door's frame; a direct function has none."""
    return "%framep" if e.signature is None else "null"


@lowering("frame.unlink")
def unlink(e: Emitter, op: Op, linked: str) -> str:
    return unlink_text(e, linked)


def unlink_text(e: Emitter, linked: str) -> str:
    routine = e.routine("jc_unlink", "i64", "ptr, ptr, ptr")
    descriptor = e.let(f"inttoptr i64 {linked} to ptr")
    return e.let(f"icmp ne i64 {e.let(f'call i64 {routine}(ptr %tstatep, ptr {own_frame(e)}, ptr {descriptor})')}, 0")


@lowering("region.valid")
def valid(e: Emitter, op: Op) -> str:
    holds = e.let(f"icmp ne i64 {e.load_volatile('i64', e.data('valid', e.valid), 0)}, 0")
    if e.code is None:
        return holds
    data = e.let(f"load volatile ptr, ptr {e.at(e.object(e.code), LAYOUT.CODE_MONITORING)}, align 8")
    with e.when(e.let(f"icmp ne ptr {data}, null")) as arm:
        # A byte for each of ten events, at whatever address.
        first = e.let(f"load volatile i64, ptr {e.at(data, LAYOUT.MONITORS_ACTIVE)}, align 1")
        last = e.let(f"load volatile i16, ptr {e.at(data, LAYOUT.MONITORS_ACTIVE + 8)}, align 1")
        rest = e.let(f"zext i16 {last} to i64")
        others = e.let(f"and i64 {e.let(f'or i64 {first}, {rest}')}, {OTHER_TOOLS - (1 << 64)}")
        unseen = e.let(f"icmp eq i64 {others}, 0")
    return e.let(f"and i1 {holds}, {arm.phi('i1', unseen, 'true')}")


@lowering("poll")
def poll(e: Emitter, op: Op) -> str:
    """Polls are where loops close, so they count back edges where that is asked for: nothing but calls reads the cell, and
    LLVM may keep it in a register between them."""
    if e.options.count:
        cell = e.data("native_edges", 0)
        e.store("i64", e.let(f"add i64 {e.load('i64', cell, 0, 'cell')}, 1"), cell, 0, "cell")
    return asks_for_attention(e)


@lowering("error.unseen")
def error_unseen(e: Emitter, op: Op) -> str:
    base = e.load("ptr", "%tstatep", LAYOUT.TS_INTERP, "cell")
    seen = "0"
    for number in memory.event_numbers():
        seen = e.let(f"or i8 {seen}, {e.load_volatile('i8', base, LAYOUT.INTERP_MONITORS + number)}")
    return e.let(f"icmp eq i8 {seen}, 0")


def asks_for_attention(e: Emitter) -> str:
    """Whether the interpreter, or the door (see `LowerOptions.ticks`), wants native code to leave. The eval breaker is an
    int of the interpreter on 3.12, the low byte of a thread's word later."""
    type_ = {0xFF: "i8", 0xFFFFFFFF: "i32"}[LAYOUT.EVAL_BREAKER_MASK]
    base = "%tstatep"
    if LAYOUT.EVAL_BREAKER_IN_INTERP:
        field = e.at_entry(f"getelementptr i8, ptr %tstatep, i64 {LAYOUT.TS_INTERP}")
        base = e.at_entry(f"load ptr, ptr {field}, align 8")
    wishes = e.load_volatile(type_, base, LAYOUT.EVAL_BREAKER_OFFSET)
    asked = e.let(f"icmp ne {type_} {wishes}, 0")
    if LAYOUT.COLLECTION_ASKED:
        with e.when(asked, UNLIKELY) as arm:
            more = e.let(f"icmp ne {type_} {wishes}, {LAYOUT.COLLECTION_ASKED}")
            now = e.let(f"or i1 {more}, {collection_is_due(e)}")
        asked = arm.phi("i1", now, "false")
    if not e.options.ticks:
        return asked
    cell, first = e.data("ticks", 0), len(e.lines)
    left = e.let(f"sub i64 {e.load('i64', cell, 0, 'cell')}, 1")
    e.store("i64", left, cell, 0, "cell")
    late = e.let(f"icmp slt i64 {left}, 0")
    e.lines[first:] = [line + TICK for line in e.lines[first:]]
    return e.let(f"or i1 {asked}, {late}{LAST_TICK}")


def collection_is_due(e: Emitter) -> str:
    """Count a poll at which a garbage collection is asked for; true each time that it has waited for long enough."""
    cell = e.data("put_off", 0)
    left = e.let(f"sub i64 {e.load('i64', cell, 0, 'cell')}, 1")
    due = e.let(f"icmp sle i64 {left}, 0")
    e.store("i64", e.let(f"select i1 {due}, i64 {PATIENCE}, i64 {left}"), cell, 0, "cell")
    return due


TICK, LAST_TICK = " ; tick", " ; last tick"


def without_ticks(ir_text: str) -> str:
    """The same code without the countdown, whose every step waits for the one before: for code that is as good as it gets."""
    if TICK not in ir_text:
        return ir_text
    return re.sub(f", %t[0-9]+{LAST_TICK}$", ", false", re.sub(f"^.*{TICK}\n", "", ir_text, flags=re.M), flags=re.M)
