"""Regions: from a hot place to installed native code.

A `LoopSite` is one loop head of one code object. It is recorded when its counter runs out, compiled at the next arrival
(with the exact types that the frame's slots have at that moment), and made again when one of its exits gets hot: the
exit's path is recorded first, so that the new region covers it. A site that keeps failing is left alone: every refusal
has a reason, and a bounded number of attempts.

`Compiler` is the pipeline: translate, optimise, describe exits, lower, link. It knows nothing of sites or doors.
"""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass, field
from time import perf_counter
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .abi import LAYOUT, memory
from .backends.descriptors import DescriptorBlock, build_all
from .optimizer import passes
from .optimizer.ir import Graph, State
from .tracing.decode import code_info
from .tracing.profile import ProfileStore
from .tracing.translate import Entry, Limits, Refused, Translation, translate

if TYPE_CHECKING:
    from .backends.runtime import Runtime
    from .options import Options

# Exits that a recording can never turn into native code.
NEVER_HOT = frozenset({"eval_breaker", "loop_exit", "return", "raised", "entry", "exhausted", "invalidated"})

MAX_REMAKES = 12
MAX_ATTEMPTS = 4


POISON = -0x2121212121212122
"""What stress writes into the words of freed descriptors."""


@dataclass(eq=False)
class Native:
    """Linked code and what it refers to."""

    module: Any
    lowered: Any

    def free(self) -> None:
        """Release the code. Nobody may run it any more."""
        self.module.free()
        self.lowered = None


@dataclass(eq=False)
class Region:
    """One compiled region with everything that must live as long as its code. Freed, it is a row of the report."""

    code: CodeType
    offset: int
    address: int
    nbuf: int
    valid: Any
    descriptors: dict[State, DescriptorBlock]
    translation: Translation | None
    native: Any
    compile_seconds: float
    made_for: Entry | None
    entry: Any = None
    site: LoopSite | None = None
    state: str = "live"

    @property
    def flag_address(self) -> int:
        return ctypes.addressof(self.valid)

    def free(self, poison: bool) -> None:
        """Release the code and all it kept alive. No door may lead here any more and nobody may be inside. `poison` makes
        whoever still uses a descriptor of it crash at once."""
        native, self.native = self.native, None
        if native is None:
            return
        native.free()
        if self.entry is not None:
            self.entry.close()
        if poison:
            for block in self.descriptors.values():
                block.words[:] = [POISON] * len(block.words)
        self.descriptors.clear()
        self.translation = self.made_for = None


FUNCTION = -1
"""The offset of a site that is a function's start."""


@dataclass
class LoopSite:
    """One loop head, or one function (offset FUNCTION), and what has become of it."""

    code: CodeType
    offset: int
    state: str = "new"
    regions: list[Region] = field(default_factory=list)
    attempts: int = 0
    remakes: int = 0
    recordings: int = 0
    reason: str = ""
    functions: WeakSet[FunctionType] = field(default_factory=WeakSet)

    @property
    def line(self) -> int:
        return self.code.co_firstlineno if self.offset == FUNCTION else code_info(self.code).at(self.offset).line

    @property
    def name(self) -> str:
        return f"{self.code.co_qualname}:{self.line}"


class Compiler:
    """Graph to code. `symbols` of the runtime's cells are bound here."""

    def __init__(self, runtime: Runtime, options: Options, profiles: ProfileStore) -> None:
        self.runtime, self.options, self.profiles = runtime, options, profiles
        self.exit_ids = itertools.count(1)
        self.serial = itertools.count(1)
        self.timings: dict[str, float] = {}
        self.unstable: dict[tuple[int, str], int] = {}

    def is_unstable(self, namespace: dict[str, Any], name: str) -> bool:
        return self.unstable.get((id(namespace), name), 0) >= 3

    def translate(self, entry: Entry, options: Options | None = None) -> Translation:
        o = options or self.options
        limits = Limits(
            versions=o.max_versions,
            ops=o.max_region_ops,
            inline_depth=o.max_inline_depth,
            inline_ops=o.max_inline_size,
        )
        return translate(entry, self.profiles, limits, self.is_unstable)

    def compile(self, entry: Entry, options: Options | None = None) -> Region:
        """A region for the entry. Raises Refused, TranslationError, CompileError, MemoryError."""
        start = perf_counter()
        translation = self.translate(entry, options)
        if entry.function_door and translation.opaque and not code_info(entry.code).loops:
            # A real frame, made and true at each call it does: the interpreter is better at that.
            raise Refused("call_bound", f"{translation.opaque} calls out of native code and no loop")
        self.note("translate", start)
        self.optimise(translation.graph)
        start_descriptors = perf_counter()
        descriptors = build_all(translation.graph, self.exit_ids, 0)
        for state, block in descriptors.items():
            if state.reason not in NEVER_HOT and state.kind == "resume":
                block.hot = self.options.exit_threshold
        self.note("descriptors", start_descriptors)
        valid = ctypes.c_int64(1)
        # Under stress the region reads a word that is never 1, while its own stays 1 for the doors.
        found = self.runtime.cell("never") if self.options.invalidate_stress else ctypes.addressof(valid)
        name = f"jitcore_{next(self.serial)}"
        native, address = self.link(translation.graph, name, descriptors, found)
        nbuf = max((len(s.values()) for s in descriptors), default=0) + 1
        seconds = perf_counter() - start
        return Region(
            entry.code,
            FUNCTION if entry.function_door else entry.offset,
            address,
            nbuf,
            valid,
            descriptors,
            translation,
            native,
            seconds,
            entry,
        )

    def optimise(self, graph: Graph) -> None:
        start = perf_counter()
        chosen = self.options.passes
        passes.run(graph, "all" if chosen == ("all",) else chosen, self.timings, self.options.verify)
        self.note("passes", start)

    def link(
        self, graph: Graph, name: str, descriptors: dict[State, DescriptorBlock], valid: int
    ) -> tuple[Any, int]:
        """Native code with its address; `valid` is where the region looks whether it is valid."""
        if self.options.backend == "reference":
            region = self.runtime.reference_backend().compile(graph, descriptors, valid)
            return region, region.address
        from .backends.llvm.lower import LowerOptions, lower

        start = perf_counter()
        lowered = lower(
            graph,
            name,
            lambda state: descriptors[state].address,
            valid=valid,
            options=LowerOptions(deopt=bool(self.options.deopt_every), count=self.options.stats),
        )
        self.note("lower", start)
        start = perf_counter()
        effort = ("none", "quick", "full", "full")[self.options.opt_level]
        module = self.runtime.jit.compile_ir(lowered.ir_text, {**lowered.symbols, **self.runtime.cells}, [name], effort)
        self.note("llvm", start)
        return Native(module, lowered), module.address(name)

    def note(self, stage: str, start: float) -> None:
        self.timings[stage] = self.timings.get(stage, 0.0) + perf_counter() - start


def entry_of(code: CodeType, offset: int, frame: int) -> Entry:
    """What the door finds now: exact types of the live frame's slots (spec of `Entry`)."""
    info = code_info(code)
    base = frame + LAYOUT.FRAME_LOCALSPLUS
    depth = info.depth_at(offset)
    words = [memory.read64(base + 8 * k) for k in range(info.nlocalsplus + depth)]
    kinds = [kind_of(w) for w in words]
    return Entry(
        code,
        offset,
        memory.object_at(memory.read64(frame + LAYOUT.FRAME_GLOBALS)),
        memory.object_at(memory.read64(frame + LAYOUT.FRAME_BUILTINS)),
        kinds[: info.nlocalsplus],
        kinds[info.nlocalsplus :],
    )


def function_entry_of(code: CodeType, frame: int) -> Entry:
    """What a function's door will find: the parameters of this call."""
    info = code_info(code)
    found = entry_of(code, info.first_offset, frame)
    found.function_door = True
    return found


def function_of(frame: int) -> FunctionType | None:
    """The function object that a frame runs."""
    address = memory.slot_object(memory.read64(frame + LAYOUT.FRAME_FUNC))
    func = memory.object_at(address) if address else None
    return func if isinstance(func, FunctionType) else None


def kind_of(bits: int) -> object:
    """The exact type of what a slot holds; None for NULL, 'tagged' for an unboxed integer."""
    if LAYOUT.TAGGED and bits & 3 == 3:
        return "tagged"
    address = memory.slot_object(bits)
    return type(memory.object_at(address)) if address else None
