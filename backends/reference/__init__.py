"""The reference backend: regions evaluated in Python, operation by operation, by the registry's own
evaluators.

It is the oracle for the optimizer and for native code: slow, obvious, and installed behind the same doors
(a ctypes callback has the regions' ABI), so every exit and every frame state is exercised by the very
runtime that native regions use. `force` makes guards leave although they hold, to test each exit on its
own.

An exception that the program raised cannot be set in the thread state when a callback returns (ctypes would
report and drop it), so it waits in a cell: `pending_error` is the address of an i64 holding an owned
reference to the exception object, or 0. The runtime takes it from there when it handles an error exit and
the thread state has none.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from ...abi import memory
from ...optimizer.analysis import forcible
from ...optimizer.ir import Block, Graph, State, Value
from ...optimizer.registry import GuardFailed
from ..descriptors import DescriptorBlock
from ..exit_buffer import words
from .machine import ROOM, UNITS, Machine, calls_left, units_left

REGION = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)

Force = Callable[[], bool]
Step = tuple[Callable[..., Any], tuple[int, ...], tuple[object, ...], int, State | None, bool]


class Program:
    """A graph made ready for evaluation: values are numbered registers."""

    def __init__(self, graph: Graph) -> None:
        self.registers: dict[Value, int] = {}
        self.blocks: list[tuple[list[Step], Block, list[tuple[int, list[int], list[int]]]]] = []
        order = graph.reverse_postorder()
        index = {block: n for n, block in enumerate(order)}
        reg = self.register
        for block in order:
            steps: list[Step] = []
            for op in block.ops:
                target = reg(op.result) if op.result is not None else -1
                steps.append((op.info.evaluate, tuple(map(reg, op.args)), op.imm, target, op.state, forcible(op)))
            edges = [
                (index[e.block], [reg(a) for a in e.args], [reg(p) for p in e.block.params])
                for e in block.edges
            ]
            self.blocks.append((steps, block, edges))

    def register(self, value: Value) -> int:
        return self.registers.setdefault(value, len(self.registers))

    def run(self, machine: Any, force: Force | None = None, fuel: int = -1) -> tuple[State, list[Any]]:
        """Evaluate until an exit: its state and the values that state names. Raises TimeoutError after
        `fuel` jumps."""
        regs: list[Any] = [None] * len(self.registers)
        at = 0
        while True:
            steps, block, edges = self.blocks[at]
            for evaluate, args, imm, target, state, leaves in steps:
                if leaves and force is not None and force():
                    assert state is not None
                    return state, self.live(state, regs)
                try:
                    value = evaluate(machine, *[regs[a] for a in args], *imm)
                except GuardFailed:
                    if state is None:
                        raise AssertionError("an operation without a state failed") from None
                    return state, self.live(state, regs)
                if target >= 0:
                    regs[target] = value
            if block.state is not None:
                return block.state, self.live(block.state, regs)
            taken = 0 if block.cond is None or regs[self.registers[block.cond]] else 1
            at, sources, targets = edges[taken]
            moved = [regs[s] for s in sources]
            for register, value in zip(targets, moved, strict=True):
                regs[register] = value
            fuel -= 1
            if fuel == 0:
                raise TimeoutError("the graph does not end")

    def live(self, state: State, regs: list[Any]) -> list[Any]:
        return [regs[self.registers[v]] for v in state.values()]


def word(value: Any, repr_: str) -> int:
    """The exit-buffer word of a value, as a signed 64-bit integer."""
    if repr_ == "f":
        return int(struct.unpack("q", struct.pack("d", value))[0])
    n = int(value) & (2**64 - 1)
    return n - (1 << 64) if n >> 63 else n


class ReferenceRegion:
    """A region behind a C function pointer. Alive as long as this object."""

    def __init__(
        self,
        graph: Graph,
        descriptors: Mapping[State, DescriptorBlock],
        valid_flag: int,
        pending: ctypes.c_int64,
        log_top: ctypes.c_int64,
        edges: ctypes.c_int64,
        force: Force | None,
        direct: Graph | None = None,
    ) -> None:
        self.program: Program | None = Program(graph)
        self.direct = Program(direct) if direct is not None else None
        self.signature = direct.signature if direct is not None else None
        self.log_top = log_top
        self.descriptors = dict(descriptors)
        self.pending = pending
        self.edges = edges
        self.force = force
        self.own_flag = ctypes.c_int64(1)
        self.valid_flag = valid_flag or ctypes.addressof(self.own_flag)
        self.nbuf = words(block.places for block in descriptors.values())
        self.callback = REGION(self.enter)
        self.address = int(ctypes.cast(self.callback, ctypes.c_void_p).value or 0)

    def enter(self, frame: int, tstate: int, buf: int) -> int:
        """The region function. An exception that gets here is a defect of the evaluator, in the middle of
        effects that cannot be undone: the process ends."""
        try:
            left, units = calls_left(tstate), units_left(tstate)
            allowed = left.value + 1  # this call has been counted
            left.value += ROOM
            units.value += UNITS
        except RecursionError:
            return 0  # no room even for that: the region does not fit, says this to the door
        try:
            assert self.program is not None
            machine = Machine(frame, tstate, self.valid_flag, self)
            machine.allowed = allowed
            state, values = self.program.run(machine, self.force)
            self.edges.value += machine.edges
            block = self.descriptors[state]
            for at, name, value in zip(block.places, state.values(), values, strict=True):
                memory.write64(buf + 8 * at, word(value, name.repr))
            if machine.pending is not None:
                self.pending.value = memory.new_reference(machine.pending)
            left.value -= ROOM
            units.value -= UNITS
            return block.address
        except BaseException:  # any exception at all: see above
            traceback.print_exc()
            sys.stderr.flush()
            os.abort()

    def free(self) -> None:
        """Let go of the graph and of what it refers to. Nobody may run the region any more."""
        self.program = None
        self.descriptors.clear()
        del self.callback  # it refers back to this object


    def call(self, caller: Machine, args: list[Any]) -> Any:
        """A direct call. Raises GuardFailed after the callee has recorded that it left."""
        assert self.direct is not None and self.signature is not None
        machine = Machine(0, caller.tstate, self.valid_flag, self)
        machine.arguments, machine.depth, machine.allowed = args, caller.depth + 1, caller.allowed
        state, values = self.direct.run(machine, self.force)
        caller.pending = machine.pending
        slot = state.result
        if slot is not None and slot.values and slot.kind in ("box", "steal"):
            if slot.values[0].repr == self.signature.result:
                return values[0]
        self.record(state, values)
        raise GuardFailed

    def record(self, state: State, values: list[Any]) -> None:
        """What native code writes to the log when a direct function leaves."""
        top = self.log_top.value
        block = self.descriptors[state]
        memory.write64(top, block.address)
        for at, name, value in zip(block.places, state.values(), values, strict=True):
            memory.write64(top + 8 + 8 * at, word(value, name.repr))
        self.log_top.value = top + 8 + 8 * words([block.places])


class ReferenceBackend:
    """Compiles graphs to ReferenceRegions.

    `pending_cell` is the address of the cell for exceptions (the runtime's), `edges_cell` that of the counter of back
    edges, `log_cell` that of the top of the log of direct functions; without them the backend has its own. `force`, if
    given, is asked before each guard with a resume state whether to leave there."""

    name = "reference"

    def __init__(
        self, pending_cell: int = 0, force: Force | None = None, edges_cell: int = 0, log_cell: int = 0
    ) -> None:
        self.edges = ctypes.c_int64.from_address(edges_cell) if edges_cell else ctypes.c_int64(0)
        self.log_top = ctypes.c_int64.from_address(log_cell) if log_cell else ctypes.c_int64(0)
        self.cell = ctypes.c_int64.from_address(pending_cell) if pending_cell else ctypes.c_int64(0)
        self.pending_error = ctypes.addressof(self.cell)
        self.force = force

    def compile(
        self,
        graph: Graph,
        descriptors: Mapping[State, DescriptorBlock],
        valid_flag: int = 0,
        direct: Graph | None = None,
    ) -> ReferenceRegion:
        """A region for the graph; every state of it must have a descriptor. `valid_flag`: address of the
        i64 that `region.valid` reads (0: always valid). `direct`: the direct function that "self" means."""
        graphs = [graph] if direct is None else [graph, direct]
        missing = [s for g in graphs for s in g.states() if s not in descriptors]
        if missing:
            raise KeyError(f"{len(missing)} states have no descriptor")
        return ReferenceRegion(
            graph, descriptors, valid_flag, self.cell, self.log_top, self.edges, self.force, direct
        )
