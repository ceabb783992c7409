"""Jumps and conditions. Iteration has a module of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..optimizer.ir import Value
from .bytecode_table import bytecode
from .bytecodes_numbers import truth
from .decode import Ins
from .translate import Leave
from .values import Const, Obj

if TYPE_CHECKING:
    from .translate import Translator


@bytecode("JUMP_FORWARD")
def jump_forward(t: Translator, ins: Ins) -> None:
    t.pc = ins.target


@bytecode("JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT")
def jump_backward(t: Translator, ins: Ins) -> None:
    """Closes a loop: signals, other threads and the collector get their turn in the interpreter."""
    if t.raising is not None:
        raise Leave("exception_handler")
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
