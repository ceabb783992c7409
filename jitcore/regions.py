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
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import inf
from time import thread_time
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from . import log
from .abi import LAYOUT, memory
from .backends.descriptors import DescriptorBlock, build_all
from .backends.exit_buffer import words
from .optimizer import passes
from .optimizer.ir import Graph, State
from .records import dataclass, field
from .tracing.code_flags import OPTIMIZED
from .tracing.decode import code_info
from .tracing.entry import door_graph, kind_of
from .tracing.names import find as find_names
from .tracing.profile import ProfileStore
from .tracing.targets import ANY, DirectTarget
from .tracing.translate import REPR_OF, Entry, Limits, Refused, Translation, translate
from .tracing.versions import CALL_NULL_FIRST, WIDTH

if TYPE_CHECKING:
    from .backends.runtime import Runtime
    from .options import Options
    from .tracing.recorder import Recording

# Exits that a recording can never turn into native code.
NEVER_HOT = frozenset({"eval_breaker", "loop_exit", "return", "raised", "entry", "exhausted", "invalidated", "dropped"})

ExitPlace = tuple[int, int, str, int]
"""Code object (its id), bytecode offset and reason of an exit, and the offset of the branch that it is a side of, or -1."""

MAX_REMAKES = 12
UNSTABLE = 3
"""Regions that have died of a name's changes before it is loaded anew each time."""
MAX_ATTEMPTS = 4
NAME = "region"
"""Of every region's function: each is a module by itself, and equal regions have equal texts."""


POISON = -0x2121212121212122
"""What stress writes into the words of freed descriptors."""


@dataclass(eq=False)
class Native:
    """Linked code and what it refers to."""

    modules: list[Any]
    """The code at hand last."""
    lowered: Any

    def free(self) -> None:
        """Release the code. Nobody may run it any more."""
        while self.modules:
            self.modules.pop().free()
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
    """CPU time that its code has taken, better code included, and without other functions that were made on the way."""
    made_for: Entry | None
    target: DirectTarget | None = None
    """Of a function without a frame: how it is called directly."""
    direct_address: int = 0
    ticks: Any = None
    budget: int = 0
    """What the ticks began with."""
    turns_of_ticks: int = 0
    """How often the ticks were used up."""
    asked: int = 0
    """Entries after which the ticks were used up, and better code asked for, the first time."""
    pinned: list[Any] = field(default_factory=list)
    """Entries of other regions whose code this one calls."""
    followed: set[State] = field(default_factory=set)
    """Exits behind which was recorded what happens."""
    upgrade: Upgrade | None = None
    entry: Any = None
    site: LoopSite | None = None
    state: str = "live"
    tier: str = ""
    _measured: dict[str, tuple[int, float]] = field(default_factory=dict)
    """What `measured` has answered, and how much was known then."""

    @property
    def name(self) -> str:
        """The place, for reports."""
        return self.site.name if self.site is not None else self.code.co_qualname

    @property
    def rounds(self) -> float:
        """How often the loop came round for each entry, as far as the quick code counted; 0 where it did not."""
        from .backends.llvm.runtime_state import ENTRY_TICKS

        entries = self.entry.entries if self.entry is not None else 0
        if self.asked:
            entries, used = self.asked, self.budget
        else:
            used = self.budget - self.ticks.value if self.ticks is not None else 0
        return max(used / entries - ENTRY_TICKS, 0.0) if entries else 0.0

    @property
    def seconds_in_quick_code(self) -> float:
        """How long the quick code has run, about. It may be worth as much to have something better from now on."""
        from .backends.llvm.runtime_state import ENTRY_TICKS

        if self.site is None:
            return inf
        each = self.work / ENTRY_TICKS if self.offset == FUNCTION else self.work
        return self.turns_of_ticks * self.budget * max(each, 1.0) * QUICK_BYTECODE

    @property
    def work(self) -> float:
        """What a round or a call spares, calls out of it taken off; see `LoopSite`."""
        if self.site is None or self.translation is None:
            return 0.0
        return self.measured(self.site.call_length if self.offset == FUNCTION else self.site.round_length, self.translation)

    @property
    def each_call(self) -> float:
        """Of a function: what a call spares; see `LoopSite.call_saves`."""
        if self.site is None or self.translation is None:
            return inf
        return self.measured(self.site.call_saves, self.translation)

    def measured(self, measure: Callable[[Translation], float], translation: Translation) -> float:
        """What one of the site's measures says of the translation; worked out again when more has been recorded."""
        assert self.site is not None
        known = self._measured.get(measure.__name__)
        if known is None or known[0] != self.site.learned:
            known = self._measured[measure.__name__] = self.site.learned, measure(translation)
        return known[1]

    @property
    def saves(self) -> float:
        """How many seconds the code has saved so far, about; less than nothing where it leaves too soon. Calls by native code are
        seen as far as quick code counts them."""
        from .backends.llvm.runtime_state import ENTRY_TICKS

        if self.entry is None or self.ticks is None or self.site is None:
            return 0.0
        if self.offset != FUNCTION:
            return SAVED * (self.gained - ENTRY_COST * self.entry.entries)
        each = self.each_call
        if each == inf:
            return 0.0
        used = (self.turns_of_ticks + 1) * self.budget - min(max(self.ticks.value, 0), self.budget)
        calls = max(used / ENTRY_TICKS, self.entry.entries)
        return SAVED * (calls * each - EXIT_COST * self.entry.exits)

    @property
    def gained(self) -> float:
        """What the interpreter was spared, about, in the unit of tracing/weights.py: a round is taken to be as those that were recorded, the last one
        goes as far as its exit. Calls out of native code are dearer than what the interpreter's specialised bytecodes do.
        An exit that has to make frames costs by these. Infinite where rounds are not counted."""
        if self.ticks is None or self.translation is None or self.entry is None or self.site is None:
            return inf
        begun = sum(block.count * (state.work - EXIT_COST * frames_made(state)) for state, block in self.descriptors.items())
        return self.entry.entries * self.rounds * self.work + begun

    def saved_by_calls(self, passing: Callable[[State], bool]) -> float:
        """The same for a function, what its door and its exits cost taken off. Infinity while a good part of the calls ends at
        `passing` exits: there is going to be code for what is behind them, and what they do then may be all the work (a
        recursive function is recorded where the recursion ends)."""
        if self.translation is None or self.entry is None or self.site is None:
            return inf
        ends = [(state, block.count) for state, block in self.descriptors.items() if state.kind != "mismatch"]
        taken = [(state, count) for state, count in ends if state.kind != "return"]
        all_exits = sum(count for _, count in taken)
        counted = [(state, count) for state, count in taken if not passing(state)]
        # Calls that wait for a callee that leaves are no ends of their own.
        calls = sum(count for state, count in ends if state.kind != "suspended")
        if all_exits - sum(count for _, count in counted) > UNFINISHED * calls:
            return inf
        # Those of calls by native code are among them.
        share = self.entry.exits / all_exits if all_exits else 0.0
        exits = share * sum(count for _, count in counted)
        begun = share * sum(count * state.work for state, count in counted)
        done = self.entry.entries - self.entry.exits
        return (done * self.each_call if done else 0.0) + begun - exits * (DOOR_COST + EXIT_COST)

    @property
    def ticks_address(self) -> int:
        return ctypes.addressof(self.ticks) if self.ticks is not None else 0

    @property
    def flag_address(self) -> int:
        return ctypes.addressof(self.valid)

    def let_go(self) -> None:
        """Do not keep the code that this one calls any more."""
        while self.pinned:
            self.pinned.pop().unpin(self)

    def free(self, poison: bool) -> None:
        """Release the code and all it kept alive. No door may lead here any more and nobody may be inside. `poison` makes
        whoever still uses a descriptor of it crash at once."""
        native, self.native = self.native, None
        if native is None:
            return
        if self.target is not None and self.target.entry is self.entry:
            self.target.flag.value = 0
        native.free()
        if self.entry is not None:
            self.entry.close()
        if poison:
            for block in self.descriptors.values():
                block.words[:] = [POISON] * len(block.words)
        self.descriptors.clear()
        self.let_go()
        if self.translation is not None:
            for target in self.translation.targets:
                if self in target.callers:
                    target.callers.remove(self)
            self.translation.graph.clear()
        self.translation = self.made_for = self.target = self.upgrade = None


def goes_back(code: CodeType, offset: int) -> bool:
    """Whether the bytecode goes back to the head of a loop."""
    return code_info(code).at(offset).goes_back


def frames_made(state: State) -> int:
    """How many frames a loop's exit has to make: those of what is inlined, or of functions called directly that have left."""
    if state.kind == "suspended":
        return 1
    return max(len(state.frames) - 1, 0)


LINE_COSTS = {"none": 5e-6, "quick": 28e-6, "light": 6e-6, "full": 55e-6}
"""Seconds for a line of IR in each of the efforts of `backends.llvm.jit`."""


@dataclass
class Upgrade:
    """What it takes to make better code for a region that runs quick code: the same text and symbols, so that every
    exit keeps its descriptor and the new code can take the old one's place at any entry."""

    ir_text: str
    symbols: dict[str, int]
    exports: list[str]
    effort: str

    @property
    def seconds(self) -> float:
        """How long it is going to take, about."""
        return LINE_COSTS[self.effort] * self.ir_text.count("\n")


ENTRY_COST = 60
"""What it costs to get into a loop's native code and out of it again, in the unit of tracing/weights.py, and what the rounds cost there."""
SAVED = 10e-9
"""Seconds that the unit stands for on machines that are not fast."""
QUICK_BYTECODE = 5e-9
"""Seconds that quick code takes for a bytecode, about."""
DOOR_COST = 8
"""What it costs more to call native code than the interpreter's own."""
EXIT_COST = 40
"""What it costs to make frames and let the interpreter go on with them."""
UNFINISHED = 0.25
"""The share of a function's calls that may end where code is going to be when it is asked whether it pays."""
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
    agreed: bool = False
    """Its region was taken out to be made again: that it is worth it has been found out."""
    misses: int = 0
    passed: int = 0
    """Events that found no fitting region, once all versions were made."""
    reason: str = ""
    inner: bool = False
    """Of a function: only native code gains by calling it, and the interpreter has no door to it any more."""
    functions: WeakSet[FunctionType] = field(default_factory=WeakSet)
    tried: Counter[ExitPlace] = field(default_factory=Counter)
    targets: list[DirectTarget] = field(default_factory=list)
    """Of a function: what calls of it go to."""
    plans: dict[tuple[type, ...] | None, dict[Any, Any]] = field(default_factory=dict)
    """Those of the regions that are being made again: of a function, by the types of its parameters."""
    seen: Counter[tuple[CodeType, int]] = field(default_factory=Counter)
    """Bytecodes recorded, by code and offset."""
    learned: int = 0
    """Recordings that have gone into this,"""
    recorded: int = 0
    """those of calls among them."""

    def learn(self, recording: Recording) -> None:
        """Take note of what a round consists of."""
        if self.offset == FUNCTION or any(goes_back(info.code, offset) for info, offset in recording.counts):
            for (info, offset), times in recording.counts.items():
                self.seen[info.code, offset] += times
            self.learned += 1
        if self.offset == FUNCTION:
            self.recorded += 1

    def assume(self, profiles: ProfileStore, codes: Iterable[CodeType]) -> None:
        """A function of which no call was recorded by itself: take what its callers' recordings saw of it, and of the functions that
        are walked into, each once a call."""
        counts = {}
        for code in codes:
            info = code_info(code)
            seen = ((ins.offset, profiles.get(code, ins.offset)) for ins in info.instructions)
            counts[code] = {offset: observed.count for offset, observed in seen if observed is not None}
        first = {code: counts[code].get(code_info(code).first_offset, 0) for code in counts}
        calls = first.get(self.code, 0)
        if calls:
            self.recorded = calls
            self.learned += 1
            for code in counts:
                for offset, times in counts[code].items() if first[code] else ():
                    self.seen[code, offset] += times * calls // first[code]

    def widened_by_itself(self, profiles: ProfileStore, func: FunctionType, kinds: tuple[type, ...]) -> tuple[type, ...]:
        """The parameter types for a function that was seen to be called, in the recorded calls of itself, with objects of other types than
        these: ANY for such, but numbers keep versions of their own. It could not go on natively otherwise."""
        wide = list(kinds)
        for code in {code for code, _ in self.seen}:
            for seen in profiles.of(code).observations.values():
                if len(seen.operands) < 2 or not any(one is func for one in seen.callees):
                    continue
                bare = "NULL" in seen.operands[0 if CALL_NULL_FIRST else 1]
                for k, given in enumerate(seen.operands[2 if bare else 1 :][: len(wide)]):
                    others = [kind for kind in given if kind is not kinds[k]]
                    if others and not all(any(kind is number for number in REPR_OF) for kind in (kinds[k], *others)):
                        wide[k] = ANY
        return tuple(wide)

    def round_length(self, translation: Translation) -> float:
        """What native code spares from one backward jump to the next, as recorded; calls out of it, which are dearer than what
        the interpreter's specialised bytecodes do, count against it. Where the code has loops inside, only those in them do:
        recordings tell what rounds consist of, not how many of them an inner loop does."""
        turns = sum(self.seen[key] for key in translation.covered if key in self.seen and goes_back(*key))
        if not turns:
            return len(code_info(self.code).loop_body(self.offset))
        info = code_info(self.code)
        body = info.loop_body(self.offset)
        inner = {offset for other in info.loops.values() if other < body for offset in other}
        costs = translation.calls_out
        counted = [key for key in costs if not inner or key[0] is not self.code or key[1] in inner]
        return (self.spared(translation.done_natively()) - sum(self.seen[key] * costs[key] for key in counted)) / turns

    def spared(self, weights: Mapping[tuple[CodeType, int], float]) -> float:
        """What these bytecodes come to, each as often as it was recorded."""
        return sum(self.seen[key] * weight for key, weight in weights.items() if key in self.seen)

    @property
    def calls(self) -> int:
        """Calls of the function that are in the recordings, those inside each other counted. 0 where there is no recording."""
        return max(self.recorded, self.seen[self.code, code_info(self.code).first_offset])

    def call_length(self, translation: Translation) -> float:
        """The same for a call."""
        return self.spared(translation.done_natively()) / max(self.calls, 1)

    def call_saves(self, translation: Translation) -> float:
        """What is spared, about, where a call of the function is done natively, as those that were recorded: what is inside is
        faster, getting in and calling out are dearer. Infinite where none was recorded."""
        if not self.calls:
            return inf
        opened = sum(self.seen[key] * cost for key, cost in translation.all_calls_out().items())
        return (self.spared(translation.done_natively()) - opened) / self.calls - DOOR_COST

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
        self.timings: dict[str, float] = {}
        """Seconds of CPU time by stage."""
        self.inside = 0.0
        """Seconds that compiles have taken within the one that is going on: of functions that it calls."""
        self.applied = 0
        """How often passes were applied, or would have been."""
        self.changes: Counter[tuple[int, str]] = Counter()
        """How often a region died of a change of that name in that namespace, or of a type (without a name)."""
        self.direct: Callable[..., DirectTarget | None] = lambda func, kinds, boxed=False: None
        self.make_direct: Callable[..., DirectTarget | None] = lambda func, kinds, boxed=False: None
        self.declare: Callable[..., DirectTarget] = DirectTarget
        self.settle: Callable[[DirectTarget, bool], None] = lambda target, opens: None
        self.heavy: Callable[[CodeType], bool] = lambda code: False
        self.no_hoisting: set[tuple[CodeType, int]] = set()
        """Loops for which it was tried and failed."""
        self.call_out: set[CodeType] = set()
        """Functions found to be better called than inlined."""

    def is_unstable(self, holder: Any, name: str) -> bool:
        """Whether it changes so often that it is not to be taken for constant any more."""
        return self.changes[id(holder), name] >= UNSTABLE

    def died(self, region: Region) -> None:
        """Take note of why a region is not valid any more."""
        for watch in region.translation.watches if region.translation is not None else ():
            if watch.kind != "function" and not watch.holds():
                self.changes[id(watch.holder), watch.name] += 1

    def assigns(self, namespace: dict[str, Any], name: str) -> None:
        """Native code assigns that name, and nobody is told: it is not to be taken for constant any more."""
        self.changes[id(namespace), name] = UNSTABLE

    def translate(
        self, entry: Entry, options: Options | None = None, plans: dict[Any, Any] | None = None
    ) -> Translation:
        o = options or self.options
        limits = Limits(
            versions=o.max_versions,
            ops=o.max_region_ops,
            inline_depth=o.max_inline_depth,
            inline_ops=o.max_inline_size,
        )
        return translate(
            entry,
            self.profiles,
            limits,
            self.is_unstable,
            self.direct,
            self.make_direct,
            self.declare,
            self.heavy,
            self.no_hoisting,
            self.call_out,
            plans,
            self.runtime.dict_watcher,
        )

    def compile(
        self,
        entry: Entry,
        options: Options | None = None,
        plans: dict[Any, Any] | None = None,
        check: Callable[[Translation], None] = lambda translation: None,
    ) -> Region:
        """A region for the entry; `plans` are those of an earlier translation, `check` may refuse the new one. Raises Refused,
        TranslationError, CompileError, MemoryError."""
        start, others, self.inside = thread_time(), self.inside, 0.0
        try:
            region = self._compile(entry, options, plans, check)
            region.compile_seconds = thread_time() - start - self.inside
            return region
        finally:
            self.inside = others + thread_time() - start

    def _compile(
        self, entry: Entry, options: Options | None, plans: dict[Any, Any] | None, check: Callable[[Translation], None]
    ) -> Region:
        start, others = thread_time(), self.inside
        translation = self.translate(entry, options, plans)
        check(translation)
        if entry.function_door and entry.direct is None and translation.calls_out and not code_info(entry.code).loops:
            # A real frame, made and true at each call it does: the interpreter is better at that.
            raise Refused("call_bound", f"{len(translation.calls_out)} calls out of native code and no loop")
        self.note("translate", start + self.inside - others)
        graph, direct, target = translation.graph, None, translation.target
        self.optimise(graph)
        if target is not None:
            self.settle(target, translation.opens)
            graph, direct = door_graph(target), graph
        start_descriptors = thread_time()
        descriptors = build_all(graph, self.exit_ids, 0)
        if direct is not None:
            descriptors |= build_all(direct, self.exit_ids, 0)
        self.note("descriptors", start_descriptors)
        valid = ctypes.c_int64(1) if target is None else target.flag
        # Under stress the region reads a word that is never 1, while its own stays 1 for the doors.
        found = self.runtime.cell("never") if self.options.invalidate_stress else ctypes.addressof(valid)
        nbuf = words(block.places for block in descriptors.values()) + 1
        region = Region(
            entry.code,
            FUNCTION if entry.function_door else entry.offset,
            0,
            nbuf,
            valid,
            descriptors,
            translation,
            None,
            0.0,
            entry,
        )
        region.target = target
        self.link(region, graph, direct, found, options or self.options)
        if self.options.backend == "llvm":
            # Each of the program's garbage collections would walk over all that.
            for one in (graph, translation.graph):
                one.clear()
            for state in descriptors:
                state.forget_slots()
        return region

    def optimise(self, graph: Graph) -> None:
        start = thread_time()

        def allow(name: str) -> bool:
            self.applied += 1
            if self.applied == self.options.pass_limit:
                log.say(f"pass {self.applied}: {name} of {graph.name}")
            return self.applied <= self.options.pass_limit

        passes.run(graph, self.options.passes, self.timings, self.options.verify, allow)
        self.note("passes", start)

    def link(
        self, region: Region, graph: Graph, direct: Graph | None, valid: int, options: Options
    ) -> None:
        """Make the region's code: by the reference backend, or quick code that counts its use, or the best at once. `valid`
        is where the region looks whether it is valid."""
        descriptors = region.descriptors
        if self.options.backend == "reference":
            region.native = self.runtime.reference_backend().compile(graph, descriptors, valid, direct)
            region.address, region.tier = region.native.address, "reference"
            region.direct_address = region.address if direct is not None else 0  # so that the door knows what it is
            return
        from .backends.llvm.jit import affordable
        from .backends.llvm.lower import LowerOptions, direct_name, lower

        start = thread_time()
        quick = options.opt_level < 3
        lowered = lower(
            graph,
            NAME,
            lambda state: descriptors[state].address,
            valid=valid,
            options=LowerOptions(
                deopt=bool(self.options.deopt_every), ticks=0 < options.opt_level < 3, count=self.options.stats
            ),
            direct=direct,
        )
        exports = [NAME] if direct is None else [NAME, direct_name(NAME)]
        symbols = {**lowered.symbols, **self.runtime.symbols}
        if 0 < options.opt_level < 3:
            region.ticks, region.budget = ctypes.c_int64(options.tier_threshold), options.tier_threshold
            symbols["ticks"] = region.ticks_address
            for block in descriptors.values() if direct is not None else ():
                block.count_in(region.ticks_address)
            effort = affordable("quick" if options.opt_level == 1 else "full", lowered.ir_text)
            region.upgrade = Upgrade(lowered.ir_text, symbols, exports, effort)
        self.note("lower", start)
        start = thread_time()
        region.tier = "none" if quick else affordable("full", lowered.ir_text)
        module = self.runtime.jit.compile_ir(lowered.ir_text, symbols, exports, region.tier)
        self.note("llvm", start)
        region.native, region.address = Native([module], lowered), module.address(NAME)
        if direct is not None:
            region.direct_address = module.address(exports[1])

    def upgrade(self, region: Region, alone: bool = False) -> None:
        """Better code for a region, in place of its quick code. `alone`: in a thread in the background. Raises
        CompileError, MemoryError."""
        from .backends.llvm.lower_control import without_ticks

        work = region.upgrade
        if work is None:
            return
        region.upgrade = None
        start = thread_time()
        code = self.runtime.jit.compile_object(without_ticks(work.ir_text), work.effort, alone)
        module = self.runtime.jit.link(code, work.symbols, work.exports, work.exports[0])
        native = region.native
        if native is None:
            module.free()  # the region died meanwhile
            return
        native.modules.append(module)
        addresses = [module.address(name) for name in work.exports]
        region.entry.replace(*addresses)
        if region.target is not None and region.target.entry is region.entry:
            region.target.words[0] = addresses[1]
        region.tier = work.effort
        region.compile_seconds += thread_time() - start
        self.note("upgrade", start)

    def note(self, stage: str, start: float) -> None:
        self.timings[stage] = self.timings.get(stage, 0.0) + thread_time() - start


def entry_of(code: CodeType, offset: int, frame: int, watcher: int) -> Entry:
    """What the door finds now: exact types of the live frame's slots (spec of `Entry`). `watcher`: the number of our watcher of
    dicts."""
    info = code_info(code)
    base = frame + LAYOUT.FRAME_LOCALSPLUS
    depth = info.depth_at(offset)
    words = [memory.read64(base + 8 * k) for k in range(info.nlocalsplus + depth)]
    kinds = [kind_of(w) for w in words]
    if info.at(offset).op == "FOR_ITER":
        # The loop's own iterator; those of loops around it are not touched here.
        at = info.nlocalsplus + depth - WIDTH
        kinds[at] = kind_of(words[at], iterates=True)
    variables = 0 if code.co_flags & OPTIMIZED else memory.read64(frame + LAYOUT.FRAME_LOCALS)
    namespace: Any = memory.object_at(variables) if variables else None
    names = find_names(info, namespace, watcher)
    of_names = [type(namespace[name]) if name in namespace else None for name in info.names] if names is not None else []
    return Entry(
        code,
        offset,
        memory.object_at(memory.read64(frame + LAYOUT.FRAME_GLOBALS)),
        memory.object_at(memory.read64(frame + LAYOUT.FRAME_BUILTINS)),
        kinds[: info.nlocalsplus] + of_names,
        kinds[info.nlocalsplus :],
        namespace=namespace,
        names=names,
    )


def function_entry_of(code: CodeType, frame: int, watcher: int) -> Entry:
    """What a function's door will find: the parameters of this call."""
    info = code_info(code)
    found = entry_of(code, info.call_offset, frame, watcher)
    found.function_door = True
    for slot in info.cells:
        # The frame has them already, which the door's will not.
        cell = memory.slot_object(memory.read64(frame + LAYOUT.FRAME_LOCALSPLUS + 8 * slot))
        found.locals[slot] = kind_of(memory.read64(cell + LAYOUT.CELL_REF)) if slot < code.co_argcount else None
    return found


def direct_entry(func: FunctionType, kinds: tuple[type, ...], boxed: bool = False) -> Entry:
    """What a direct function that is called with arguments of these types will find. `boxed`: it is to give a reference."""
    info = code_info(func.__code__)
    unbound = [None] * (info.nlocalsplus - len(kinds))
    found = Entry(func.__code__, info.call_offset, func.__globals__, func.__builtins__, [*kinds, *unbound], [])  # type: ignore[attr-defined]
    found.function_door, found.boxed = True, boxed
    return found


def function_of(frame: int) -> FunctionType | None:
    """The function object that a frame runs."""
    address = memory.slot_object(memory.read64(frame + LAYOUT.FRAME_FUNC))
    func = memory.object_at(address) if address else None
    return func if isinstance(func, FunctionType) else None

