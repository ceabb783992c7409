"""The way in: from the real frame to the first abstract state.

The door has found a frame whose slots had certain exact types when the region was compiled. The entry block checks them
again (failing guards touch nothing: the door tries its next region or stays interpreted), loads what the loop uses and
moves the operand stack out of the frame. Locals that the loop does not name stay where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..optimizer.ir import State, Value
from .decode import Ins
from .values import AV, FRAME, OWNED, Const, InFrame, Null, Num, Obj, RangeIter, Tagged
from .versions import fast_slots

if TYPE_CHECKING:
    from .translate import Translator

RANGE_ITERATOR = type(iter(range(0)))


def mismatch() -> State:
    return State("mismatch", (), "entry")


def enter(t: Translator) -> None:
    """Emit the entry block and jump to the door's first version."""
    from .translate import Frame, Refused

    entry = t.entry
    info = t.root
    t.block = t.graph.block("entry")
    frame = Frame(info, None, entry.globals, entry.builtins, len(entry.locals))
    t.frames = [frame]
    is_same = t.emit("obj.is", t.emit("frame.globals"), t.const_o(entry.globals))
    t.emit("guard", is_same, imm=(True,), state=mismatch())
    is_same = t.emit("obj.is", t.emit("frame.builtins"), t.const_o(entry.builtins))
    t.emit("guard", is_same, imm=(True,), state=mismatch())
    used = used_slots(t)
    for k, kind in enumerate(entry.locals):
        if entry.function_door and kind is None:
            frame.locals[k] = Null()  # the door made the frame: what is no parameter is unbound
        else:
            frame.locals[k] = load_local(t, k, kind) if k in used else InFrame()
    stack: list[AV] = []
    taken: list[tuple[int, Obj]] = []
    for depth, kind in enumerate(entry.stack):
        stack.append(load_stack(t, depth, kind, taken))
    for depth, obj in taken:
        # Only now, when no entry guard can fail any more, references are moved out.
        value = t.emit("frame.take_stack", imm=(depth,))
        obj.value = value
        if isinstance(stack[depth], RangeIter):
            # The three numbers stand for it from here on, and an exit makes another one.
            t.emit("obj.drop", value)
    if entry.stack:
        t.emit("frame.lower_stack", imm=(0,))
    frame.stack = stack
    t.effect = False
    if t.body is not None or info.is_merge(entry.offset):
        t.arrive(entry.offset)
    else:
        t.walk(entry.offset)
    if not t.versions and t.body is not None:
        raise Refused("not_a_loop")


def used_slots(t: Translator) -> set[int]:
    offsets = t.body if t.body is not None else t.root.reachable
    used: set[int] = set()
    for offset in offsets:
        ins: Ins = t.root.at(offset)
        used.update(fast_slots(ins.op, ins.arg))
    return used


def load_local(t: Translator, slot: int, kind: object) -> AV:
    """A local with its recorded type checked. Its box stays in the frame, which goes on owning it."""
    value = t.emit("frame.local", imm=(slot,))
    if kind is None:
        t.emit("guard", t.emit("obj.is_null", value), imm=(True,), state=mismatch())
        return Null()
    assert isinstance(kind, type)
    if kind is int:
        return Num(t.emit("obj.unbox_int", value, state=mismatch()))
    if kind is float:
        return Num(t.emit("obj.unbox_float", value, state=mismatch()))
    if kind is bool:
        return Num(t.emit("obj.unbox_bool", value, state=mismatch()))
    if kind is type(None):
        t.emit("guard", t.emit("obj.is", value, t.const_o(None)), imm=(True,), state=mismatch())
        return Const(None)
    check(t, value, kind)
    return Obj(value, kind, FRAME)


def check(t: Translator, value: Value, kind: Any) -> None:
    t.emit("guard", t.emit("obj.is_null", value), imm=(False,), state=mismatch())
    t.constants[id(kind)] = kind
    t.emit("guard", t.emit("obj.type_is", value, imm=(kind,)), imm=(True,), state=mismatch())


def load_stack(t: Translator, depth: int, kind: object, taken: list[tuple[int, Obj]]) -> AV:
    """An operand-stack entry. A range iterator nobody else can see becomes its three numbers."""
    if kind == "tagged":
        return Tagged(t.emit("frame.stack_tagged", imm=(depth,), state=mismatch()))
    value = t.emit("frame.stack", imm=(depth,))
    if kind is None:
        t.emit("guard", t.emit("obj.is_null", value), imm=(True,), state=mismatch())
        return Null()
    check(t, value, kind)
    made = Obj(value, kind, OWNED)  # type: ignore[arg-type]
    taken.append((depth, made))
    if kind is RANGE_ITERATOR:
        t.emit("guard", t.emit("frame.stack_unique", imm=(depth,)), imm=(True,), state=mismatch())
        start = t.emit("field.i", value, imm=("RANGEITER_START",))
        step = t.emit("field.i", value, imm=("RANGEITER_STEP",))
        length = t.emit("field.i", value, imm=("RANGEITER_LEN",))
        return RangeIter(start, length, step)
    return made
