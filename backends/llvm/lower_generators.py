"""What is read from generator objects: the state byte, and the frame that lies inside."""

from __future__ import annotations

from ...abi import LAYOUT
from ...optimizer.ir import Op
from ...optimizer.ops.generators import SLOTS
from .lower_base import Emitter, lowering
from .lower_control import untagged


@lowering("generator.waits")
def waits(e: Emitter, op: Op, o: str) -> str:
    func, code, offset = op.imm
    state = e.load("i8", o, LAYOUT.GEN_STATE, "field")
    at = LAYOUT.OWN_FRAME_IP_ADJUST + LAYOUT.CODE_BYTES + int(offset)  # type: ignore[call-overload]
    checks = [
        e.let(f"icmp eq i8 {state}, {LAYOUT.GEN_SUSPENDED if LAYOUT.GEN_SUSPENDED < 128 else LAYOUT.GEN_SUSPENDED - 256}"),
        e.let(f"icmp eq ptr {field(e, o, LAYOUT.FRAME_FUNC)}, {e.object(func)}"),
        e.let(f"icmp eq ptr {field(e, o, LAYOUT.FRAME_CODE)}, {e.object(code)}"),
        e.let(f"icmp eq ptr {e.load('ptr', o, LAYOUT.GEN_FRAME + LAYOUT.FRAME_IP, 'field')}, {e.at(e.object(code), at)}"),
    ]
    result = checks[0]
    for check in checks[1:]:
        result = e.let(f"and i1 {result}, {check}")
    return result


def field(e: Emitter, o: str, offset: int) -> str:
    """A reference that the generator's frame has at that offset."""
    if not LAYOUT.TAGGED:
        return e.load("ptr", o, LAYOUT.GEN_FRAME + offset, "field")
    return untagged(e, e.load("i64", o, LAYOUT.GEN_FRAME + offset, "field"))


@lowering("generator.slot")
def slot(e: Emitter, op: Op, o: str) -> str:
    return field(e, o, LAYOUT.FRAME_LOCALSPLUS + 8 * int(op.imm[0]))  # type: ignore[call-overload]


@lowering("generator.tagged")
def tagged(e: Emitter, op: Op, o: str) -> str:
    bits = e.load("i64", o, SLOTS + 8 * int(op.imm[0]), "field")  # type: ignore[call-overload]
    e.guard(e.let(f"icmp eq i64 {e.let(f'and i64 {bits}, 3')}, 3"), op.state)
    return e.let(f"lshr i64 {bits}, 2")
