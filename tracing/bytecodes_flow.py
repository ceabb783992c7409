"""Jumps, loops and iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..optimizer.ir import Value
from .bytecode_table import bytecode
from .bytecodes_numbers import truth
from .decode import Ins
from .translate import LIST_ITERATOR, SEQUENCE_OF, TUPLE_ITERATOR, Leave
from .values import AV, HEAP, OWNED, Const, Null, Num, Obj, Range, RangeIter, Tagged
from .versions import EXHAUSTED_KEEPS_ITERATOR, FOR_ITER_PAIR, exhausted_target

if TYPE_CHECKING:
    from .translate import Translator

PAIRED = (list, tuple)


@bytecode("JUMP_FORWARD")
def jump_forward(t: Translator, ins: Ins) -> None:
    t.pc = ins.target


@bytecode("JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT")
def jump_backward(t: Translator, ins: Ins) -> None:
    """Closes a loop: signals, other threads and the collector get their turn in the interpreter."""
    t.before = list(t.frame.stack)
    if ins.op == "JUMP_BACKWARD":
        state = t.frame_state(ins.target, reason="eval_breaker", when="after")
        t.emit("guard", t.emit("poll"), imm=(False,), state=state)
    t.pc = ins.target


def conditional(t: Translator, ins: Ins, cond: Value, when: bool) -> None:
    """Jump to the target when cond is `when`."""
    taken = t.emit("bool.not", cond) if not when else cond
    obs = t.observation(ins)
    seen_taken = obs is not None and obs.taken > 0
    seen_not = obs is not None and obs.not_taken > 0
    t.branch(taken, ins.target, ins.next, lambda which: seen_taken if which else seen_not)


@bytecode("POP_JUMP_IF_TRUE", "POP_JUMP_IF_FALSE")
def pop_jump_if(t: Translator, ins: Ins) -> None:
    av = t.peek()
    cond = truth(t, av)
    if cond is None:
        raise Leave("unsupported_operand_types", "truth")
    t.drop_check(av)
    t.pop()
    t.drop(av)
    conditional(t, ins, cond, ins.op.endswith("TRUE"))


@bytecode("POP_JUMP_IF_NONE", "POP_JUMP_IF_NOT_NONE")
def pop_jump_if_none(t: Translator, ins: Ins) -> None:
    av = t.peek()
    if isinstance(av, Const):
        cond = t.const_b(av.obj is None)
    elif isinstance(av, Obj):
        cond = t.emit("obj.is", av.value, t.const_o(None))
    else:
        cond = t.const_b(False)
    t.drop_check(av)
    t.pop()
    t.drop(av)
    conditional(t, ins, cond, ins.op == "POP_JUMP_IF_NONE")


@bytecode("GET_ITER")
def get_iter(t: Translator, ins: Ins) -> None:
    av = t.peek()
    if isinstance(av, Range):
        length = t.emit("int.range_len", av.start, av.stop, av.step)
        t.pop()
        replace_by_iterator(t, RangeIter(av.start, length, av.step))
        return
    if isinstance(av, Const) and type(av.obj) is range:
        r = av.obj
        if max(abs(r.start), abs(r.stop), abs(r.step)) >= 1 << 62:
            raise Leave("unsupported_operand_types", "range beyond 64 bits")
        t.pop()
        replace_by_iterator(t, RangeIter(t.const_i(r.start), t.const_i(len(r)), t.const_i(r.step)))
        return
    kind = t.specialise(av, t.expected(0))
    if FOR_ITER_PAIR and kind in PAIRED:
        if not isinstance(av, Obj):
            t.reject_hidden(av)
            t.pop()
            value = t.owned_value(av)
            t.push(Obj(value, kind, OWNED))
        t.push(Tagged(t.const_i(0)))
        return
    if kind in (list, tuple):
        from .bytecodes_numbers import closed

        if not isinstance(av, Obj | Const):
            raise Leave("unsupported_operand_types", "iteration over a display")
        closed(t, "PyObject_GetIter", [av], (), npop=1, result_type=LIST_ITERATOR if kind is list else TUPLE_ITERATOR)
        return
    t.opaque("PyObject_GetIter", [av], npop=1, arrange=lambda made: replace_by_iterator(t, made))


def replace_by_iterator(t: Translator, iterator: AV) -> None:
    t.push(iterator)
    if FOR_ITER_PAIR:
        t.push(Null())


@bytecode("FOR_ITER")
def for_iter(t: Translator, ins: Ins) -> None:
    stack = t.frame.stack
    width = 2 if FOR_ITER_PAIR else 1
    iterator = stack[-width]
    obs = t.observation(ins)
    seen_next = obs is not None and obs.not_taken > 0
    seen_end = obs is not None and obs.taken > 0
    if isinstance(iterator, RangeIter):
        more = t.emit("int.gt", iterator.length, t.const_i(0))
        for_range(t, ins, iterator, more, width, seen_next, seen_end)
    elif FOR_ITER_PAIR and isinstance(stack[-1], Tagged):
        for_indexed(t, ins, seen_next, seen_end)
    else:
        for_object(t, ins, width, seen_next, seen_end)


def for_range(
    t: Translator, ins: Ins, it: RangeIter, more: Value, width: int, seen_next: bool, seen_end: bool
) -> None:
    """Both sides from one state: the body sees the value and the advanced iterator, the end finds it popped."""
    target = exhausted_target(ins)

    def body() -> None:
        value = it.start
        start = t.emit("int.add", it.start, it.step)
        length = t.emit("int.sub", it.length, t.const_i(1))
        t.frame.stack[-width] = RangeIter(start, length, it.step)
        t.push(Num(value))

    def end() -> None:
        leave_loop_stack(t, ins, width)

    t.split(more, (ins.next, seen_next, body), (target, seen_end, end))


def leave_loop_stack(t: Translator, ins: Ins, width: int) -> None:
    """What is left on the stack where the interpreter goes on after exhaustion (`exhausted_target`)."""
    if not EXHAUSTED_KEEPS_ITERATOR:
        del t.frame.stack[len(t.frame.stack) - width :]


def for_indexed(t: Translator, ins: Ins, seen_next: bool, seen_end: bool) -> None:
    """3.15 keeps the sequence and an unboxed index instead of an iterator."""
    sequence, at = t.peek(2), t.peek(1)
    kind = t.type_of(sequence)
    if not (isinstance(sequence, Obj) and isinstance(at, Tagged) and kind in PAIRED):
        raise Leave("unsupported_operand_types", f"iteration over {kind}")
    name = kind.__name__  # type: ignore[union-attr]
    more = t.emit("int.lt", at.value, t.emit(f"{name}.len", sequence.value))

    def body() -> None:
        item = t.emit(f"{name}.get", sequence.value, at.value)
        t.frame.stack[-1] = Tagged(t.emit("int.add", at.value, t.const_i(1)))
        t.push(Obj(item, None, HEAP))

    t.split(more, (ins.next, seen_next, body), (exhausted_target(ins), seen_end, None))


def for_object(t: Translator, ins: Ins, width: int, seen_next: bool, seen_end: bool) -> None:
    """A real iterator object. Those over lists and tuples are stepped in place; others by their tp_iternext."""
    iterator = t.peek(width)
    kind = t.specialise(iterator, t.expected(0))
    if not isinstance(iterator, Obj):
        raise Leave("unsupported_operand_types", "iterator")
    if kind in SEQUENCE_OF:
        name = SEQUENCE_OF[kind].__name__  # type: ignore[index]
        sequence = t.emit("field.o", iterator.value, imm=("LISTITER_SEQ",))
        t.guard(t.emit("obj.is_null", sequence), False)
        at = t.emit("field.i", iterator.value, imm=("LISTITER_INDEX",))
        more = t.emit("int.lt", at, t.emit(f"{name}.len", sequence))

        def body() -> None:
            item = t.emit(f"{name}.get", sequence, at)
            t.emit("field.set_i", iterator.value, t.emit("int.add", at, t.const_i(1)), imm=("LISTITER_INDEX",))
            t.push(Obj(item, None, HEAP))

        def end() -> None:
            # The iterator dies here and lets go of its sequence; what anybody else could notice is left alone.
            t.guard(t.emit("obj.shared", iterator.value), False)
            leave_loop_stack(t, ins, width)
            if not EXHAUSTED_KEEPS_ITERATOR:
                t.drop_check(iterator)
                t.drop(iterator)

        whole = iterator.owner is OWNED and width == 1
        t.split(
            more, (ins.next, seen_next, body), (exhausted_target(ins), seen_end, end) if whole else (None, seen_end, None)
        )
        return
    raise Leave("unsupported_operand_types", f"iteration over {getattr(kind, '__name__', kind)}")


