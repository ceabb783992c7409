"""The registry of primitive operations: what each one is, declared once.

An entry states operand and result representations, effects, whether it needs a frame state, and computes itself in
Python. Everything that walks operations (printer, parser, verifier, passes, evaluator, backends) reads this table, so
a new primitive is its declaration here and its lowering in each native backend.

Effects are sets of memory domains an operation reads or writes:

    frame   the door's interpreter frame        item    items of lists, and boxes that are written to in place
    list    list sizes, and where items are     field   other object fields
    attr    attributes of instances             shape   where instances have their attributes
    ref     reference counts                    any     everything: it may run Python code
    alloc   allocates (may not be removed twice into one, may be removed)

An operation that writes nothing and needs no state is *pure* when it also reads nothing: it can be shared or removed.
The evaluator gets a `Machine` (frame address and thread state), operand values (object operands as addresses) and the
immediates; a failing guard raises GuardFailed, and nothing may have happened by then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ..records import dataclass

EvalFn = Callable[..., Any]


class GuardFailed(Exception):
    """Raised by an evaluator when its operation's guard does not hold: the state is taken."""


@dataclass(frozen=True)
class OpInfo:
    """One primitive. `operands` has a letter an operand; a trailing '*' repeats the last letter (variadic), '?' is any."""

    name: str
    operands: str
    result: str
    evaluate: EvalFn
    reads: frozenset[str]
    writes: frozenset[str]
    guard: bool
    imm: tuple[str, ...]
    consumes: tuple[int, ...]
    commutes: bool
    doc: str

    @property
    def pure(self) -> bool:
        return not self.writes and not self.guard

    @property
    def opaque(self) -> bool:
        return "any" in self.writes

    @property
    def removable(self) -> bool:
        """Whether an unused result makes the operation dead. Guards stay: they protect what follows."""
        return self.pure and bool(self.result)


OPS: dict[str, OpInfo] = {}


@cache
def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def op(
    name: str,
    operands: str = "",
    result: str = "",
    *,
    reads: str = "",
    writes: str = "",
    guard: bool = False,
    imm: str = "",
    consumes: tuple[int, ...] = (),
    commutes: bool = False,
) -> Callable[[EvalFn], EvalFn]:
    """Declare a primitive; the decorated function computes it. `reads`, `writes`, `imm`: space separated names."""

    def declare(fn: EvalFn) -> EvalFn:
        if name in OPS:
            raise ValueError(f"operation {name} is declared twice")
        OPS[name] = OpInfo(
            name,
            operands,
            result,
            fn,
            _names(reads),
            _names(writes),
            guard,
            tuple(imm.split()),
            consumes,
            commutes,
            (fn.__doc__ or "").strip(),
        )
        return fn

    return declare
