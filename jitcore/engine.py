"""The engine: decides what is recorded and compiled, and installs it behind the doors.

Life of a hot loop. In everything mode JUMP events are armed globally, for `@jit` on the function's code. Until the first
loop gets hot a small Python callback counts (llvmlite is not imported before there is something to compile); from then on a
native one does, which also enters regions. A loop whose counter runs out is recorded for a few rounds, then compiled at
its next back edge with the types its frame has at that moment. Hot exits are recorded and the region is made again.

An engine that cannot work here (unknown interpreter, free-threaded build, another tool in the optimizer's place) is
*inactive*: every method works and does nothing, `inactive_reason` says why.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from time import perf_counter, sleep, thread_time
from types import CodeType, FrameType, FunctionType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from . import log
from .budget import Budget
from .options import Options
from .quiet import starts_quietly
from .reasons import Reason
from .report import RegionRow, Stats
from .surroundings import environment_problem, from_llvmlite, importing, own_folders, user_frame
from .tracing.code_flags import GENERATORS, VARIADIC

if TYPE_CHECKING:
    from .backends.descriptors import DescriptorBlock
    from .backends.runtime import Runtime
    from .background import Queue
    from .optimizer.ir import Signature, State
    from .regions import Compiler, ExitPlace, LoopSite, Region
    from .tracing.profile import ProfileStore
    from .tracing.recorder import Recorder, Recording
    from .tracing.targets import DirectTarget
    from .tracing.translate import Entry, Translation

EVENTS = ("recorded", "compiled", "refused", "invalidated")
TOOL = sys.monitoring.OPTIMIZER_ID
JUMP = sys.monitoring.events.JUMP
PY_START = sys.monitoring.events.PY_START
INSTRUCTION = sys.monitoring.events.INSTRUCTION
ROUNDS = 3
NEST = 16
LONG_LOOP = 100
"""Rounds for each entry, beside which it does not matter how a loop is entered."""
HEAVY = 1000
"""Rounds in a call, beside which it does not matter that there is a call."""
FUNCTION = -1  # the offset that stands for a function's start, as in `regions`
MAX_DOORS = 64
MAX_TRIES = 2
CHEAP = 0.05
"""Seconds for which a region is made again without much thought."""
EXIT_COSTS = 50e-6
"""Seconds that an exit costs, about: the rest of the round is interpreted."""
EXIT_COSTS_SURELY = 2e-6
"""Seconds that it costs at least."""
EAGER = 500
"""Back edges: who wants less before a loop is recorded does not want to wait for anything else."""
WAITING = 0.05
"""Seconds after which it is asked in the background whether places that wait can be compiled."""
LATER = 1000
"""Events after which it is asked again whether something is affordable."""
MOST_NESTED = 6
"""Compiles within each other: hooks have room for few calls when the program is near its recursion limit."""
MAX_MISSES = 6
NEVER_USED_UP = 1 << 62  # ticks
STALLED = 0.03  # seconds without progress of a recording in another thread; threads take turns every 0.005
WITHOUT_DOOR = ("", "not_profitable", "call_bound")
"""Refusals of functions that say no more than that the interpreter is not to call their native code."""
MAY_CHANGE = ("needs_frame", "not_profitable")
"""Refusals of functions that are not final: a callee may have got native code meanwhile, another branch may be taken."""
PASSING_COST = 15
"""What an event costs that finds no region that fits,"""
MISMATCH_COST = 4
"""and each region that was tried in vain;"""
CALL_MISMATCH_COST = 12
"""a function's, for whose call the interpreter has to be called besides."""
FEW_EXITS = 40
"""Exits of a function that do not say yet whether it pays,"""
MANY_CALLS = 2000
"""and calls that end inside that do: what was recorded may have been where a recursion ends, say."""
SOME_EXITS = 200
"""Exits of a function after which it is asked whether it pays."""
PATIENCE = 50_000
"""Events without a fitting region before it is asked whether those that are there are worth it."""
WORTH_A_DOOR = 30  # bytecodes of a function that nobody marked, without loops or recursion
SAID = frozenset({"out_of_memory", "tracing_active"})  # refusals that the user hears of, once

_active: Engine | None = None
_default: Engine | None = None
_engines: WeakSet[Engine] = WeakSet()


class Engine:
    """A configuration with its regions. Only one engine is enabled at a time (sys.monitoring has one optimizer slot).

    Engine(threshold=10) takes options by name (OptionError for wrong ones) or an Options object.
    """

    def __init__(self, options: Options | None = None, **values: object) -> None:
        base = options if options is not None else Options.from_environment()
        self.options = base.replace(**values) if values else base
        log.set_level(self.options.log)
        self.enabled = False
        self.everything = False
        self.sites: dict[tuple[int, int], LoopSite] = {}
        self.regions: list[Region] = []
        self.refusals: Counter[str] = Counter()
        self.refused_places: dict[str, str] = {}
        self.callbacks: dict[str, list[Callable[..., object]]] = {name: [] for name in EVENTS}
        self.registered: dict[int, CodeType] = {}
        self.overrides: dict[int, Options] = {}
        self.armed: dict[int, CodeType] = {}
        self.counts: dict[tuple[int, int], int] = {}
        self.kept: dict[int, CodeType] = {}
        self.exits: dict[int, Region] = {}
        self.entries: dict[int, Region] = {}
        self._background: Queue | None = None
        self.invalidations = 0
        self.leaving: list[Region] = []
        """Regions that no door leads to any more and that are not freed yet."""
        self.nested = 0
        """Compiles under way of functions that are called by what is being compiled."""
        self.bridges = 0
        self.before: dict[str, int] = {}
        self.seen, self.seen_at = -1, 0.0
        self.budget = Budget(self._saved)
        self.runtime: Runtime | None = None
        self.compiler: Compiler | None = None
        self._profiles: ProfileStore | None = None
        self._recorder: Recorder | None = None
        self._checked = False
        self._reason: str | None = None
        self.closed = False
        if not _engines:
            atexit.register(close_all)
        _engines.add(self)

    # ---- state ----------------------------------------------------------------------------------------------------

    @property
    def inactive_reason(self) -> str | None:
        """Why jitcore can do nothing in this process, in one sentence; None where it works."""
        if not self._checked:
            self._checked = True
            self._reason = environment_problem()
        return self._reason

    @property
    def profiles(self) -> ProfileStore:
        if self._profiles is None:
            from .tracing.profile import ProfileStore

            self._profiles = ProfileStore()
        return self._profiles

    @property
    def recorder(self) -> Recorder:
        if self._recorder is None:
            from .tracing.recorder import Recorder

            assert self.runtime is not None
            self._recorder = Recorder(TOOL, self.profiles, self._arm_instructions, self.runtime.observer)
        return self._recorder

    def enable(self, everything: bool = True) -> None:
        """Start: compile whatever gets hot, or only registered functions. Does nothing where jitcore is inactive."""
        global _active
        if self.closed:
            raise RuntimeError("this engine was closed")
        if not self.options.enabled or self.inactive_reason is not None:
            return
        if _active is not None and _active is not self:
            _active.disable()
        if not self.enabled:
            owner = sys.monitoring.get_tool(TOOL)
            if owner is not None:
                self._refuse("tool_conflict", owner)
                log.say_once(f"{Reason.TOOL_CONFLICT.sentence} (tool {owner!r})")
                return
            sys.monitoring.use_tool_id(TOOL, "jitcore")
            self.enabled = True
            _active = self
            self._use_callback()
        self.everything = self.everything or everything
        if self.everything:
            sys.monitoring.set_events(TOOL, JUMP | PY_START)
        for code in self.registered.values():
            self._arm(code, JUMP | PY_START)

    def enable_soon(self, ready: Callable[[], bool]) -> None:
        """What JITCORE=1 does: `enable`, if `ready()` says so, once the program has used about as much CPU time as that costs (see
        `starting`)."""
        if not self.options.start_after or self.options.threshold < EAGER:
            if ready():
                self.enable()
            return
        from .starting import Start

        Start(self, ready, self.options.start_after / 1000)

    def disable(self) -> None:
        """Stop: nothing new is compiled and no native code is entered any more. Regions are kept for `enable`."""
        global _active
        if not self.enabled:
            return
        if self._recorder is not None:
            self._recorder.stop("disabled")
        sys.monitoring.set_events(TOOL, 0)
        for code in list(self.armed.values()):
            sys.monitoring.set_local_events(TOOL, code, 0)
        self.armed.clear()
        sys.monitoring.register_callback(TOOL, JUMP, None)
        sys.monitoring.register_callback(TOOL, PY_START, None)
        if self.runtime is not None:
            for site in self.sites.values():
                for func in site.functions:
                    self.runtime.remove_function(func)
                site.functions.clear()
        sys.monitoring.free_tool_id(TOOL)
        self.enabled = self.everything = False
        _active = None

    def close(self) -> None:
        """Disable for good and free all code that nobody runs."""
        self.disable()
        if self._background is not None:
            self._background.drop_reminder()
        for region in self.regions:
            self._uninstall(region, "closed")
        for site in self.sites.values():
            self._again(site, self.options.threshold)
            for target in site.targets:
                # Regions that callers went on calling when they were taken from their doors are watched for until now.
                self.runtime.unwatch(target.valid)  # type: ignore[union-attr]
        if self.runtime is not None and self.runtime.on_idle == self._prune_all:
            self.runtime.set_free_stress(False, None)
        self.regions.clear()
        self.sites.clear()
        self.exits.clear()
        for table in (self.registered, self.overrides, self.kept, self.entries):
            table.clear()
        self.compiler = self._profiles = self._recorder = None
        self.closed = True

    def __enter__(self) -> Engine:
        self.enable()
        return self

    def __exit__(self, *exc: object) -> None:
        self.disable()

    # ---- the face -------------------------------------------------------------------------------------------------

    def register(self, func: Any, **values: object) -> None:
        """Mark a function for compilation (what @jit does); options are those that make sense for one function."""
        code = func.__code__
        self.registered[id(code)] = code
        if values:
            self.overrides[id(code)] = self.options.for_function(**values)
            self._set_counters(code)
        if self.inactive_reason is None and self.options.enabled:
            if not self.enabled:
                self.enable(everything=False)
            if self.enabled:
                self._arm(code, JUMP | PY_START)

    def on(self, event: str, callback: Callable[..., object]) -> None:
        """Call `callback(name, details)` at each event: recorded, compiled, refused or invalidated. Raises ValueError for
        another name."""
        if event not in self.callbacks:
            raise ValueError(f"no event is called {event!r}; events: {', '.join(EVENTS)}")
        self.callbacks[event].append(callback)

    def compile(self, func: Any, *args: Any) -> Any:
        """Warm `func` ahead: it is called with these arguments, with low thresholds, until nothing new gets compiled (at most
        four times). Returns the last call's result."""
        before = self.options
        self.register(func)
        self.options = before.replace(threshold=2, exit_threshold=2)
        try:
            result = None
            for _ in range(4):
                made = len(self.regions)
                result = func(*args)
                if len(self.regions) == made:
                    break
            for region in self.regions:
                if region.state == "live" and region.upgrade is not None:
                    self._upgrade(region, alone=False)
            return result
        finally:
            self.options = before

    def stats(self) -> Stats:
        """What happened so far."""
        runtime = self.runtime
        counters = runtime.counters() if runtime is not None else {}
        counters = {name: count - self.before.get(name, 0) for name, count in counters.items()}
        rows = []
        for region in self.regions:
            entry = region.entry
            entries, exits, mismatches = (entry.entries, entry.exits, entry.mismatches) if entry else (0, 0, 0)
            rows.append(
                RegionRow(
                    region.code.co_qualname,
                    region.code.co_filename,
                    region.site.line if region.site is not None else region.code.co_firstlineno,
                    kind="function" if region.offset < 0 else "loop",
                    entries=entries,
                    exits=exits,
                    mismatches=mismatches,
                    bridges=region.site.remakes if region.site is not None else 0,
                    compile_seconds=region.compile_seconds,
                    state=region.state,
                )
            )
        return Stats(
            regions=len(self.regions),
            bridges=self.bridges,
            compile_seconds=sum(r.compile_seconds for r in self.regions),
            native_entries=counters.get("entries", 0),
            native_exits=counters.get("exits", 0),
            interpreted_back_edges=counters.get("back_edges", 0) + sum(self.counts.values()),
            native_back_edges=counters.get("native_back_edges", 0) if self.counts_native() else None,
            refusals=dict(self.refusals),
            mismatches=counters.get("mismatches", 0),
            invalidations=self.invalidations,
            rows=rows,
        )

    def counts_native(self) -> bool:
        """Whether back edges in native code are counted: native code does it with the option `stats` on, the reference
        backend always, and where nothing was compiled there are none."""
        return self.options.stats or self.options.backend == "reference" or not self.regions

    def explain(self, func: Any, **choices: Any) -> Any:
        """The regions of a function as text (see `jitcore.explanation`)."""
        from .explanation import explain

        return explain(self, func, **choices)

    # ---- events ---------------------------------------------------------------------------------------------------

    def _tell(self, event: str, **details: object) -> None:
        for callback in self.callbacks[event]:
            try:
                callback(event, details)
            except Exception as error:
                log.say(f"a callback for {event!r} failed: {type(error).__name__}: {error}")

    def _refuse(self, key: str, where: str = "", detail: str = "") -> None:
        self.refusals[key] += 1
        if where:
            self.refused_places[where] = key
        if key in SAID:
            log.say_once(Reason.from_key(key).sentence)
        log.info(f"refused {where}: {key} {detail}")
        self._tell("refused", reason=key, where=where, detail=detail)

    # ---- arming ---------------------------------------------------------------------------------------------------

    def _use_callback(self) -> None:
        native = self.runtime
        if native is None:
            starts_quietly(Engine._count_jump)
            starts_quietly(Engine._count_start)
        sys.monitoring.register_callback(TOOL, JUMP, native.jump_callback if native else self._count_jump)
        sys.monitoring.register_callback(TOOL, PY_START, native.start_callback if native else self._count_start)

    def _arm(self, code: CodeType, events: int) -> None:
        sys.monitoring.set_local_events(TOOL, code, events)
        self.armed[id(code)] = code

    def _arm_instructions(self, code: CodeType, on: bool) -> None:
        """The recorder's switch: INSTRUCTION events come and go, JUMP events stay as they were."""
        if not self.enabled:
            return
        kept = JUMP | PY_START if id(code) in self.registered else 0
        sys.monitoring.set_local_events(TOOL, code, (kept | INSTRUCTION) if on else kept)

    def _count_jump(self, code: CodeType, source: int, target: int) -> Any:
        """The JUMP callback before the first loop is hot."""
        try:
            return self._count(code, source, target)
        except BaseException as error:
            later = self.failed(error)
            answer = None if later else sys.monitoring.DISABLE
            -later
            return answer

    def _count(self, code: CodeType, source: int, target: int) -> Any:
        if target > source:
            return sys.monitoring.DISABLE
        key = (id(code), target)
        count = self.counts.get(key, 0) + 1
        self.counts[key] = count
        if count == 1:
            self.kept[id(code)] = code
        if count < self._options_of(code).threshold or self._recorder is not None and self._recorder.busy():
            return None
        if code.co_filename.startswith(own_folders()):
            return sys.monitoring.DISABLE
        return self._first_hot(code, target, sys._getframe(2))

    def _count_start(self, code: CodeType, offset: int) -> Any:
        """The PY_START callback before anything is hot."""
        try:
            return self._count_call(code)
        except BaseException as error:
            later = self.failed(error)
            answer = None if later else sys.monitoring.DISABLE
            -later
            return answer

    def _count_call(self, code: CodeType) -> Any:
        if not has_function_door(code) or not self._wants_function(code):
            return sys.monitoring.DISABLE
        key = (id(code), FUNCTION)
        count = self.counts.get(key, 0) + 1
        self.counts[key] = count
        if count == 1:
            self.kept[id(code)] = code
        busy = self._recorder is not None and self._recorder.busy()
        if count < self._options_of(code).function_threshold or busy:
            return None
        return self._first_hot(code, FUNCTION, sys._getframe(2))

    def _first_hot(self, code: CodeType, offset: int, frame: FrameType) -> Any:
        if self.runtime is None and importing(frame):
            # What is being imported may be what our own imports need, and is not complete yet.
            self.counts[id(code), offset] = 0
            return None
        from .abi import memory
        from .abi.pending import Held

        held = Held()
        try:
            started = self.start_runtime()
            if not started:
                return sys.monitoring.DISABLE if started is False else None
            address = memory.frame_address(frame)
            return self._hot_function(code, address) if offset == FUNCTION else self._hot_loop(code, offset, address)
        finally:
            -held

    def _wants_function(self, code: CodeType) -> bool:
        """Which functions may get a door of their own. Most are walked into from hot loops and need none."""
        return self.everything or id(code) in self.registered

    def start_runtime(self) -> bool | None:
        """Native callbacks from here on. False where llvmlite is missing or broken: said once, the program runs on. None
        while somebody is in the middle of importing these very modules: not yet."""
        if self.runtime is not None:
            return True
        from .abi.pending import is_the_programs

        try:
            from .backends.runtime import runtime
            from .regions import Compiler

            made = runtime()
        except Exception as error:
            if is_the_programs(error):
                raise
            if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "jitcore":
                return None
            self._deactivate(error)
            return False
        # A signal handler may end this anywhere: what is visible of it comes last.
        made.set_hooks(
            hot_loop=self._hot_loop_hook,
            hot_exit=self._hot_exit_hook,
            hot_function=self._hot_function_hook,
            deep_recursion=self._deep_recursion,
            tier_up=self._tier_up_hook,
        )
        made.set_threshold(self.options.threshold, self.options.function_threshold)
        made.set_deopt_every(self.options.deopt_every)
        made.set_free_stress(self.options.free_stress, self._prune_all if self.options.free_stress else None)
        self.before = made.counters()
        self.compiler = Compiler(made, self.options, self.profiles)
        self.compiler.direct = self._direct_target
        self.compiler.make_direct = self._make_direct
        self.compiler.declare = self._declare
        self.compiler.settle = self._settle
        self.compiler.heavy = lambda code: self._rounds(code) >= HEAVY
        self.runtime = made
        for code in self.registered.values():
            if id(code) in self.overrides:
                self._set_counters(code)
        self._use_callback()
        return True

    def _deactivate(self, error: Exception) -> None:
        """There is no native runtime to be had in this process: said once, the program runs on interpreted."""
        reason = Reason.LLVMLITE_MISSING
        if isinstance(error, MemoryError):
            reason = Reason.OUT_OF_MEMORY
        elif not isinstance(error, ImportError) and not from_llvmlite(error):
            reason = Reason.INTERNAL_ERROR
        self.refusals[reason.key] += 1
        self._checked, self._reason = True, f"{reason.sentence} ({type(error).__name__}: {error})"
        log.inactive(self._reason)
        if self.options.log == "debug":
            import traceback

            traceback.print_exception(error)
        self.disable()

    # ---- hot places -----------------------------------------------------------------------------------------------

    def _options_of(self, code: CodeType) -> Options:
        return self.overrides.get(id(code), self.options)

    def _set_counters(self, code: CodeType) -> None:
        """Native counters start with the engine's thresholds; this code has its own."""
        if self.runtime is None:
            return
        from .tracing.decode import code_info

        options = self._options_of(code)
        info = code_info(code)
        for target in {ins.target for ins in info.instructions if info.is_loop_head(ins.target)}:
            self.runtime.set_counter(code, target, options.threshold)
        self.runtime.set_counter(code, FUNCTION, options.function_threshold)

    def _hot_loop_hook(self, code: CodeType, target: int, frame: int) -> Any:
        try:
            return self._hot_loop(code, target, frame)
        except BaseException as error:
            later = self.failed(error)
            answer = None if later else sys.monitoring.DISABLE
            -later
            return answer

    def _hot_exit_hook(self, exit_id: int, *where: object) -> None:
        try:
            self._hot_exit(exit_id)
        except BaseException as error:
            -self.failed(error)

    def _hot_function_hook(self, code: CodeType, frame: int) -> Any:
        try:
            return self._hot_function(code, frame)
        except BaseException as error:
            later = self.failed(error)
            answer = None if later else sys.monitoring.DISABLE
            -later
            return answer

    def _deep_recursion(self, func: FunctionType) -> None:
        """The C stack ran low in this function: it is the interpreter's from now on."""
        site = self.sites.get((id(func.__code__), FUNCTION))
        if site is not None:
            site.state, site.reason = "refused", "deep_recursion"
            if self.runtime is not None:
                self.runtime.remove_function(func)
            site.functions.discard(func)
        self._refuse("deep_recursion", func.__qualname__)

    def _hot_function(self, code: CodeType, frame: int) -> Any:
        """A function was called often: record a call, then compile it at the next one."""
        from .regions import MAX_ATTEMPTS, LoopSite, function_of

        if not self.enabled or self.closed:
            return None
        if not has_function_door(code) or not self._wants_function(code):
            return sys.monitoring.DISABLE
        if code.co_filename.startswith(own_folders()):
            return sys.monitoring.DISABLE
        key = (id(code), FUNCTION)
        site = self.sites.get(key)
        if site is None:
            site = self.sites[key] = LoopSite(code, FUNCTION)
        func = function_of(frame)
        self._prune(site)
        if site.state == "refused" or site.inner or site.attempts >= MAX_ATTEMPTS or func is None:
            return self._never(site) if func is not None else sys.monitoring.DISABLE
        if site.state == "new" and id(code) not in self.registered:
            for reason, why in (("needs_frame", needs_frame(func)), ("not_profitable", too_small(code))):
                if why:
                    self._give_up(site, reason, why)
                    return self._never(site)
        if self._busy():
            self._again(site, 50)
        elif site.state == "live":
            self._another_call(site, func)
        elif site.state == "recorded":
            return self._compile(site, frame)
        elif not site.regions and self._rounds(code) >= LONG_LOOP:
            # Its time goes into loops that have native code; a call more or less is nothing to them.
            self._again(site, LONG_LOOP * self._options_of(code).function_threshold)
        else:
            self._record(site, frame, FUNCTION, 1)
        return None

    def _rounds(self, code: CodeType) -> float:
        """How often loops come round in one call of the code, as far as its loops' regions tell."""
        return max((r.rounds for r in self.regions if r.code is code and r.state == "live"), default=0.0)

    def _direct_target(
        self, func: FunctionType, kinds: tuple[type, ...] | None, boxed: bool = False
    ) -> DirectTarget | None:
        """The function's code for direct calls with arguments of these types (None: any), if there is some, or is going to be.
        `boxed`: only code that gives a reference."""
        site = self.sites.get((id(func.__code__), FUNCTION))
        if site is None:
            return None
        there = [r.target for r in site.regions if r.target is not None and r.state == "live" and r.valid.value]
        there += [target for target in site.targets if target.making]
        fitting = [target for target in there if target.func is func and target.takes(kinds) and target.boxed is boxed]
        return next((target for target in fitting if target.kinds == kinds), fitting[0] if fitting else None)

    def _widened(self, site: LoopSite, func: FunctionType, kinds: tuple[type, ...]) -> tuple[type, ...]:
        """The parameter types for one more version of a function: where there is one already that takes objects of another type,
        this one takes any, so that a method of many classes does not get one for each. Numbers keep versions of their own."""
        from .tracing.targets import ANY
        from .tracing.translate import REPR_OF

        made = [r.target.kinds for r in site.regions if r.target is not None and r.target.func is func and not r.target.boxed]
        columns = zip(kinds, *made, strict=True)
        return tuple(
            ANY if one[0] not in REPR_OF and any(k is not one[0] for k in one) else one[0] for one in columns
        )

    def _another_call(self, site: LoopSite, func: FunctionType) -> None:
        """A call that went past a function's native code: of a function object that has no door yet (each closure gets its
        own), or with arguments of other types. Often enough, and those get code of their own."""
        if func not in site.functions:
            fitting = [r for r in site.regions if r.target is None or r.target.func is func]
            if fitting and self._door(site, fitting[-1], func):
                self._again(site, 1)
                return
        site.misses += 1
        if site.misses > MAX_MISSES or len(site.regions) >= self._options_of(site.code).max_versions:
            if not site.passed or not self._retire_idle(site, site.passed):
                site.passed += PATIENCE
                self._again(site, PATIENCE)
            return
        site.state = "new"
        self._again(site, 20 * site.misses)

    def _door(self, site: LoopSite, region: Region, func: FunctionType) -> bool:
        """Put the region in front of a function object of its code; False where it stands there already, cannot, or there
        are too many."""
        assert self.runtime is not None
        if region.target is not None:
            if region.target.func is not func:
                return False
        elif func in site.functions or len(site.functions) >= MAX_DOORS:
            return False
        from .tracing.decode import code_info

        info = code_info(site.code)
        others = [r.entry for r in site.regions if r is not region and r.target is not None and r.target.func is func]
        resume = id(site.code) + code_offset() + info.resume_offset
        self.runtime.install_function(func, region.entry, resume, others=others)
        site.functions.add(func)
        return True

    def _hot_loop(self, code: CodeType, target: int, frame: int) -> Any:
        """A loop's counter ran out: record it, or compile what was recorded."""
        from .regions import MAX_ATTEMPTS, LoopSite

        if not self.enabled or self.closed:
            return None
        if code.co_filename.startswith(own_folders()):
            return sys.monitoring.DISABLE
        key = (id(code), target)
        site = self.sites.get(key)
        if site is None:
            site = self.sites[key] = LoopSite(code, target)
        self._prune(site)
        if site.state == "refused" or site.attempts >= MAX_ATTEMPTS:
            if not site.regions or site.passed and self._retire_idle(site, site.passed):
                return self._never(site)
            site.passed += PATIENCE
            self._again(site, PATIENCE)
            return None
        if self._busy() or site.state == "compiled":  # the latter by another thread, just now
            self._again(site, 50)
            return None
        if site.state == "recorded":
            return self._compile(site, frame)
        around = self._loop_around(site) if not site.recordings else None
        if around is not None:
            # Its region will have this loop inside. If nothing comes of that, this one gets hot again.
            self.runtime.set_counter(code, around, 1)  # type: ignore[union-attr]
            site.recordings = 1
            return None
        self._record(site, frame, target, ROUNDS)
        return None

    def _loop_around(self, site: LoopSite) -> int | None:
        """The outermost loop around this one, as the target of its backward jump, that turns often itself: at least once in
        NEST rounds of this one. Compiling it alone is enough."""
        from .tracing.decode import code_info

        assert self.runtime is not None
        code, info = site.code, code_info(site.code)
        inner, threshold = info.real(site.offset), self._options_of(site.code).threshold
        best, size = None, 0
        for ins in info.instructions:
            body = info.loop_body(ins.target) if ins.goes_back else ()
            if len(body) <= size or inner not in body or info.real(ins.target) == inner or (id(code), ins.target) in self.sites:
                continue
            turned = self.counts.get((id(code), ins.target), 0) + threshold - self.runtime.events_left(code, ins.target)
            if turned * NEST >= threshold:
                best, size = ins.target, len(body)
        return best

    def _busy(self) -> bool:
        """Whether a recording is under way. One that sits in this thread, in code that it does not follow, while loops get
        hot there, has found what it will find for now: it is ended. So is one whose thread waits for something."""
        recorder = self.recorder
        if not recorder.busy():
            self.seen = -1
            return False
        seen = recorder.progress
        if seen != self.seen:
            self.seen, self.seen_at = seen, perf_counter()
        elif recorder.thread == threading.get_ident():
            recorder.stop("loops_inside")
            return False
        elif perf_counter() - self.seen_at > STALLED:
            recorder.stop("recording_lost")
            return False
        return True

    def _again(self, site: LoopSite, count: int) -> None:
        """Call back after that many more back edges."""
        if self.runtime is not None:
            self.runtime.set_counter(site.code, site.offset, count)

    def _record(
        self, site: LoopSite, frame: int, until: int, rounds: int, target: DirectTarget | None = None
    ) -> None:
        """Record, and compile at the next arrival, or at once where it is known what arrives: callers go on calling `target`."""

        def done(recording: Recording) -> None:
            site.state = "recorded"
            site.learn(recording)
            if target is not None and target.callers:
                self._remake_direct(site, target)
            else:
                self._again(site, 1)
            self._tell("recorded", where=site.name, reason=recording.reason, instructions=recording.length)
            log.debug(f"recorded {site.name}: {recording.reason}, {recording.length} instructions")

        site.recordings += 1
        limit = self._options_of(site.code).trace_limit
        reason = self.recorder.start(site.code, frame, until, limit, rounds, done)
        if reason is not None:
            self._refuse(reason, site.name)
            self._again(site, 10000)

    def _never(self, site: LoopSite) -> Any:
        """There is nothing to be done there, and no events are wanted."""
        assert self.runtime is not None
        self.runtime.set_never(site.code, site.offset)
        return sys.monitoring.DISABLE

    def _compile(self, site: LoopSite, frame: int) -> Any:
        """Compile what was recorded, if that is affordable now. Returns what the callback is to say."""
        if not site.agreed and not self._affordable():
            return self._pause(site)
        site.agreed = False
        start = thread_time()
        try:
            self._compile_now(site, frame)
        finally:
            self.budget.spent += thread_time() - start
        return self._never(site) if site.state == "refused" and not site.regions else None

    def _pause(self, site: LoopSite) -> Any:
        """What the callback is to say at a place whose compile is due and not affordable. An event there costs about as much as a call
        in the interpreter: there are to be none until something is affordable, if events are not needed to get to other code, and
        switching them on again does not do so for other tools."""
        from .tracing.recorder import other_tools

        if site.regions or other_tools(TOOL) or not self._wake_later():
            self._again(site, LATER)
            return None
        self._again(site, 1)
        return sys.monitoring.DISABLE

    def _wake(self) -> None:
        """In the background: let paused places have events again, if something is affordable now."""
        if self.closed or not self.enabled:
            return
        if self.budget.affords():
            sys.monitoring.restart_events()
        else:
            self._wake_later()

    def _wake_later(self) -> bool:
        """Ask in a while; False where nobody can. A fork does not wait for that: then they have events again."""
        return self.queue().remind(WAITING, self._wake, sys.monitoring.restart_events)

    def queue(self) -> Queue:
        """What this engine does in the background."""
        if self._background is None:
            from .background import Queue

            self._background = Queue(lambda error: self._internal(error))
        return self._background

    def _compile_now(self, site: LoopSite, frame: int) -> None:
        from .regions import entry_of, function_entry_of, function_of

        def make() -> Region:
            assert self.compiler is not None and self.runtime is not None
            number = self.runtime.dict_watcher
            if site.offset == FUNCTION:
                found, func, count = function_entry_of(site.code, frame, number), function_of(frame), site.code.co_argcount
                if func is not None and all(isinstance(kind, type) for kind in found.locals[:count]):
                    kinds = self._widened(site, func, tuple(found.locals[:count]))  # type: ignore[arg-type]
                    found.locals[:count] = site.widened_by_itself(self.profiles, func, kinds)
                return self._compile_function(site, found, func)
            found = entry_of(site.code, site.offset, frame, number)
            return self.compiler.compile(found, self._options_of(site.code), site.plans.pop(None, None))

        self._make(site, make, function_of(frame))

    def _declare(
        self, func: FunctionType, kinds: tuple[type, ...], signature: Signature, boxed: bool = False
    ) -> DirectTarget:
        """What calls of the function with parameters of these types go to: the same whenever its code is made again."""
        from .tracing.targets import DirectTarget

        site = self.sites.get((id(func.__code__), FUNCTION))
        for target in site.targets if site is not None else ():
            if target.func is func and target.kinds == kinds and target.signature == signature and target.boxed is boxed:
                break
        else:
            target = DirectTarget(func, kinds, signature, boxed=boxed)
            if site is not None:
                site.targets.append(target)
        target.making = site is not None and site.state == "compiled"
        return target

    def _settle(self, target: DirectTarget, opens: bool) -> None:
        """It is known what the code of a function does that is going to be made. Callers that have no frames for its open calls must not
        come to it: they get other code."""
        if opens and not target.opens:
            assert self.runtime is not None
            for caller in target.callers:
                caller.valid.value = 0
            self.runtime.unwatch(target.valid)
            target.leave_callers()
        target.opens = opens

    def _make_direct(self, func: FunctionType, kinds: tuple[type, ...], boxed: bool = False) -> DirectTarget | None:
        """Compile a function because a caller of it is being compiled, which is going to call it with arguments of these types (and
        for a reference, if `boxed`). None where that is not to be."""
        from .regions import MAX_ATTEMPTS, LoopSite

        code = func.__code__
        if not has_function_door(code) or not self._wants_function(code) or code.co_filename.startswith(own_folders()):
            return None
        key = (id(code), FUNCTION)
        site = self.sites.get(key)
        if site is None:
            site = self.sites[key] = LoopSite(code, FUNCTION)
        fresh = site.state in ("new", "recorded") and not site.attempts
        another = site.state == "live" or site.inner and site.attempts < MAX_ATTEMPTS and site.reason in WITHOUT_DOOR
        another = another and len(site.regions) < self._options_of(code).max_versions
        if not (fresh or another) or self.nested >= MOST_NESTED or needs_frame(func) or not self._affordable():
            return None
        self.nested += 1
        try:
            self._make_for(site, func, kinds if boxed else self._widened(site, func, kinds), boxed)
        finally:
            self.nested -= 1
        return self._direct_target(func, kinds, boxed)

    def _remake_direct(self, site: LoopSite, target: DirectTarget) -> None:
        start = thread_time()
        self._make_for(site, target.func, target.kinds, target.boxed)
        self.budget.spent += thread_time() - start

    def _make_for(self, site: LoopSite, func: FunctionType, kinds: tuple[type, ...], boxed: bool = False) -> None:
        """Make a direct function for arguments of these types."""
        from .regions import direct_entry

        self._make(site, lambda: self._compile_function(site, direct_entry(func, kinds, boxed), func, True), func)

    def _make(self, site: LoopSite, make: Callable[[], Region], func: FunctionType | None) -> None:
        """Make a site's region and put it behind its door; of a function's, `func`."""
        from .backends.llvm.jit import CompileError
        from .backends.runtime import Entry as DoorEntry
        from .regions import MAX_ATTEMPTS
        from .tracing.recorder import watcher
        from .tracing.translate import Refused, TranslationError

        assert self.compiler is not None and self.runtime is not None
        site.attempts += 1
        site.state = "compiled"
        whole = site.offset == FUNCTION
        start = perf_counter()
        options = self._options_of(site.code)
        try:
            region = make()
        except Refused as refused:
            self._give_up(site, refused.reason, refused.detail)
            if whole and refused.reason in MAY_CHANGE and not refused.final and site.attempts < MAX_ATTEMPTS:
                site.state = "new"
                self._again(site, options.function_threshold << 2 * site.attempts)
            return
        except (TranslationError, CompileError) as error:
            self._give_up(site, "internal_error", str(error))
            log.debug(f"internal: {site.name}: {error}")
            if self.options.verify:
                raise
            return
        except MemoryError:
            self._give_up(site, "out_of_memory", "")
            return
        except BaseException:
            # The program's signal handler raised: it has nothing to do with this place, which may be tried again.
            site.attempts -= 1
            site.state = "recorded"
            raise
        finally:
            for target in site.targets:
                target.making = False
        region.site = site
        self._heat(region, site)
        assert region.translation is not None
        tool = next((name for code in region.translation.codes if (name := watcher(TOOL, code))), None)
        if tool is not None:
            region.free(False)
            site.attempts -= 1
            site.state = "recorded"
            self._refuse("tracing_active", site.name, f"tool {tool!r}")
            self._again(site, 10000)
            return
        region.entry = DoorEntry(
            region.address, region.nbuf, region.flag_address, region.native, region.ticks_address, region.direct_address
        )
        if region.target is not None:
            self._put_behind(region.target, region)
        self._watch(region)
        self._assigns(region)
        if not region.valid.value or any(target.opens for target in region.translation.relies):
            # Something changed while this was compiled.
            site.state = "recorded"
            self._uninstall(region, "invalidated")
            self._again(site, 100)
            return
        for target in region.translation.targets:
            target.callers.append(region)
            self._pin(region, target)
        self.entries[region.entry.address] = region
        site.regions.append(region)
        if whole:
            assert func is not None
            if not site.inner:
                self._door(site, region, func)
        else:
            self.runtime.install_loop(site.code, site.offset, region.entry)
        self.regions.append(region)
        for block in region.descriptors.values():
            self.exits[block.exit_id] = region
        for place, why in region.translation.refusals.items():
            self.refused_places[place] = why
        self._again(site, 1 if whole else max(50, self._options_of(site.code).threshold))
        site.state = "live"
        log.info(f"compiled {site.name} in {1000 * (perf_counter() - start):.1f} ms")
        self._tell("compiled", where=site.name, seconds=region.compile_seconds)

    def _put_behind(self, target: DirectTarget, region: Region) -> None:
        """Let calls of a function go to the region from here on; whoever makes them keeps it alive."""
        target.words[0] = region.direct_address
        target.reference, target.entry = region.native, region.entry
        target.flag.value = 1
        for caller in target.callers:
            self._pin(caller, target)

    def _pin(self, caller: Region, target: DirectTarget) -> None:
        if target.entry is not None:
            target.entry.pin(caller)
            caller.pinned.append(target.entry)

    # ---- better code ----------------------------------------------------------------------------------------------

    def _prompt(self) -> bool:
        """Whether everything is made when it is due, whatever it costs: with the checks of tests on, which take most of the time, and
        where nothing is left to a thread in the background, so that runs are alike."""
        return self.options.verify or not self.options.background

    def _saved(self) -> float:
        """Seconds that native code has saved until now, about."""
        return sum(region.saves for region in self.regions if region.state == "live")

    def _affordable(self, seconds: float = 0.0) -> bool:
        return self._prompt() or self.budget.affords(seconds)

    def _tier_up_hook(self, address: int) -> None:
        try:
            self._tier_up(address)
        except BaseException as error:
            -self.failed(error)

    def _tier_up(self, address: int) -> None:
        """A region's quick code was used enough to be worth better code."""
        region = self.entries.get(address)
        if region is None or region.upgrade is None or region.state != "live" or self.closed:
            return
        first, region.asked = not region.asked, region.asked or max(region.entry.entries, 1)
        if first and region.site is not None and self._retire_idle(region.site):
            return
        region.turns_of_ticks += 1
        if not self._prompt() and region.seconds_in_quick_code < region.upgrade.seconds:
            region.ticks.value = self._options_of(region.code).tier_threshold  # not yet
            return
        if not self.budget.affords_better(region.upgrade.seconds, self.options.compile_share / 100):
            region.ticks.value = self._options_of(region.code).tier_threshold  # asks again
            return
        if not self.options.background:
            self._upgrade(region, alone=False)
            return
        self.queue().submit(lambda: self._upgrade(region, alone=True))

    def _retire_idle(self, site: LoopSite, passed: int = 0) -> bool:
        """Take a loop's regions out where getting in and out costs more than what is done in between: a loop that yields, say,
        whose every round has something that is not covered, or that is short. Or one that meets so many types that most of
        its events, `passed` of them, find no region that fits. Under stress nothing pays, and all stays."""
        from .regions import ENTRY_COST

        if not self._weighs():
            return False
        if site.offset == FUNCTION:
            return self._retire_function(site, passed)
        entries = sum(region.entry.entries for region in site.regions)
        mismatches = sum(region.entry.mismatches for region in site.regions)
        gained = sum(region.gained for region in site.regions)
        if gained >= ENTRY_COST * entries + PASSING_COST * passed + MISMATCH_COST * mismatches:
            return False
        for region in list(site.regions):
            self._uninstall(region, "retired")
        each = f"{gained / max(entries, 1):.0f} bytecodes each"
        self._give_up(site, "not_profitable", f"{entries} entries, {each}, {passed} events without")
        self._again(site, 1)
        return True

    def _weighs(self) -> bool:
        """Whether what native code gains is weighed against what it costs. Under stress nothing pays, and all stays."""
        return not self.options.deopt_every and not self.options.invalidate_stress

    def _retire_function(self, site: LoopSite, passed: int) -> bool:
        """Take a function's regions from its door where calls by the interpreter cost more than they gain, or most have arguments
        of other types. Native code that calls them goes on doing so. What the user asked for stays."""
        passing = partial(self._may_get_hot, site)
        mismatches = sum(region.entry.mismatches for region in site.regions)
        saved = sum(region.saved_by_calls(passing) for region in site.regions)
        saved -= PASSING_COST * passed + CALL_MISMATCH_COST * mismatches
        entries = sum(region.entry.entries for region in site.regions)
        exits = sum(region.entry.exits for region in site.regions)
        told = exits + mismatches >= FEW_EXITS or entries >= MANY_CALLS
        if saved >= 0 or not told or id(site.code) in self.registered or site.inner:
            return False
        site.inner = True
        for region in list(site.regions):
            if region.target is None or not region.target.callers:
                self._uninstall(region, "retired")
        detail = f"{entries} calls, {-saved / max(entries, 1):.0f} bytecodes lost in each"
        if site.regions:
            self._close_doors(site)
            self._refuse("not_profitable", site.name, detail)
        else:
            self._give_up(site, "not_profitable", detail)
        self._again(site, 1)
        return True

    def _close_doors(self, site: LoopSite) -> None:
        """The interpreter calls the function itself from here on."""
        assert self.runtime is not None
        for func in list(site.functions):
            self.runtime.remove_function(func)
        site.functions.clear()

    def _upgrade(self, region: Region, alone: bool) -> None:
        """Make and install a region's better code; where that fails the quick code stays."""
        from .backends.llvm.jit import CompileError

        if self.options.compile_delay:
            sleep(self.options.compile_delay / 1000)
        if region.state != "live" or self.compiler is None or self.closed:
            return
        start = thread_time()
        try:
            self.compiler.upgrade(region, alone)
        except (CompileError, MemoryError) as error:
            region.upgrade = None
            self._refuse("llvm_error" if isinstance(error, CompileError) else "out_of_memory", region.name, str(error))
        self.budget.better += thread_time() - start
        log.info(f"better code for {region.name}: {region.tier}")

    def _compile_function(
        self, site: LoopSite, found: Entry, func: FunctionType | None, native: bool = False
    ) -> Region:
        """A function as one without a frame; where it needs one, with a frame if the user asked for the function. `native`: it is
        native code that is going to call it, so it need not be worth a door. Raises what `Compiler.compile` raises."""
        from .regions import DOOR_COST, EXIT_COST
        from .tracing.decode import code_info
        from .tracing.translate import Refused

        assert self.compiler is not None
        options = self._options_of(site.code)
        if site.code.co_freevars and (func is None or needs_frame(func)):
            return self.compiler.compile(found, options)
        found.direct = func
        calls_itself = site.code.co_name in site.code.co_names
        small = "" if id(site.code) in self.registered else too_small(site.code)
        if small and not found.boxed:
            raise Refused("not_profitable", small, final=True)
        site.inner |= bool(small)

        def check(translation: Translation) -> None:
            if not site.calls:
                site.assume(self.profiles, translation.codes)
            saves = site.call_saves(translation)
            if saves < 0 and (not native or saves + DOOR_COST < 0):
                site.inner = not site.regions
                raise Refused("call_bound", f"{-saves:.0f} bytecodes lost in each call")
            site.inner |= saves < 0 and not site.functions
            for offset, work in translation.ends.items():
                seen = self.profiles.get(site.code, offset)
                first = self.profiles.get(site.code, code_info(site.code).first_offset)
                if seen is not None and first is not None and 2 * seen.count >= first.count and work < DOOR_COST + EXIT_COST:
                    raise Refused("not_profitable", f"most calls leave after {work} bytecodes")

        try:
            kinds: Any = tuple(found.locals[: site.code.co_argcount])
            plans = site.plans.pop(kinds, None)
            if id(site.code) in self.registered or calls_itself or not self._weighs():
                return self.compiler.compile(found, options, plans)
            return self.compiler.compile(found, options, plans, check)
        except Refused as refused:
            if refused.reason != "needs_frame" or id(site.code) not in self.registered:
                raise
            found.direct = None
            return self.compiler.compile(found, options)

    def _heat(self, region: Region, site: LoopSite) -> None:
        """Which exits ask for a recording of what is behind them, and after how many times: each new version of a region
        waits twice as long."""
        threshold = self._options_of(site.code).exit_threshold << min(site.remakes, 10)
        for state, block in region.descriptors.items():
            if self._may_get_hot(site, state):
                block.hot = threshold
            elif site.offset == FUNCTION and state.kind in ("resume", "error"):
                block.hot = SOME_EXITS

    def _may_get_hot(self, site: LoopSite, state: State) -> bool:
        """Whether there is something to be recorded behind an exit, and that has not been in vain so far."""
        from .regions import MAX_REMAKES, NEVER_HOT

        if site.remakes >= MAX_REMAKES or state.kind != "resume" or state.reason in NEVER_HOT:
            return False
        return site.tried[exit_place(state)] < MAX_TRIES

    def _give_up(self, site: LoopSite, reason: str, detail: str) -> None:
        site.state, site.reason = "refused", reason
        self._refuse(reason if is_reason(reason) else "unsupported_bytecode", site.name, detail or reason)

    def _watch(self, region: Region) -> None:
        """Have the region invalidated when one of its assumptions ends. What ended since it was seen counts, too."""
        assert self.runtime is not None and region.translation is not None
        for watch in region.translation.watches:
            if watch.kind == "dict":
                self.runtime.watch_dict_key(watch.holder, watch.name, region.flag_address)
            elif watch.kind == "function":
                self.runtime.watch_function(watch.holder, region.flag_address)
            else:
                self.runtime.watch_type(watch.holder, region.flag_address)
        if not all(watch.holds() for watch in region.translation.watches):
            region.valid.value = 0

    def _assigns(self, region: Region) -> None:
        """What the region assigns behind the back of watchers is no constant for any other."""
        assert region.translation is not None and self.compiler is not None
        for namespace, name in region.translation.assigns:
            if not self.compiler.is_unstable(namespace, name):
                self.compiler.assigns(namespace, name)
                for other in self.regions:
                    if other.translation is not None and any(
                        w.kind == "dict" and w.holder is namespace and w.name == name for w in other.translation.watches
                    ):
                        other.valid.value = 0

    def _prune(self, site: LoopSite) -> None:
        """Take the site's invalid regions away. What is compiled next finds the world as it is then."""
        for region in [region for region in site.regions if not region.valid.value]:
            if region.state != "live":
                continue
            if self.compiler is not None:
                self.compiler.died(region)
            self._uninstall(region, "invalidated")
            self.invalidations += 1
            log.info(f"invalidated {site.name}")
            self._tell("invalidated", where=site.name)
            if not site.regions and site.state == "live":
                site.state = "recorded"
                self._again(site, 1)

    def _prune_all(self) -> None:
        """Stress: free what is invalid at once, wherever it is."""
        for site in list(self.sites.values()):
            self._prune(site)

    def _hot_exit(self, exit_id: int) -> None:
        """An exit was taken often: record what happens behind it and make the region again. The frames are rebuilt
        already (those of inlined callees too) and about to go on."""
        from .abi import memory
        from .regions import MAX_REMAKES
        from .tracing.decode import code_info

        region = self.exits.get(exit_id)
        if region is None or region.site is None or not self.enabled:
            return
        site = region.site
        if region.state != "live":
            return
        state = next((s for s, b in region.descriptors.items() if b.exit_id == exit_id), None)
        frame = user_frame()
        if state is None or frame is None:
            return
        block = region.descriptors[state]
        if region.ticks is not None and region.ticks.value < 0:
            # It left to ask for better code, and only native code calls it: no door hears of that.
            region.ticks.value = NEVER_USED_UP
            self._tier_up(region.entry.address)
            if block.count == block.hot:
                self._ask_later(block)
            return
        if site.offset == FUNCTION and self._retire_idle(site):
            return
        if site.remakes >= MAX_REMAKES or not self._may_get_hot(site, state) and state not in region.followed:
            block.hot = 4 * block.count
            return
        remake = self._worth_remaking(region)
        log.debug(f"hot exit of {site.name}: {state.reason}, {block.count} times, {'made again' if remake else 'recorded'}")
        if self.recorder.busy() or not remake and (site.offset == FUNCTION or state in region.followed):
            self._ask_later(block)
            return
        place = exit_place(state)
        if state.reason == "hoisted" and self.compiler is not None:
            last = state.frames[-1]
            self.compiler.no_hoisting.add((last.code, code_info(last.code).real(last.offset)))
        if state not in region.followed:
            region.followed.add(state)
            site.tried[place] += 1
            if site.tried[place] > MAX_TRIES:
                return  # what was recorded behind it did not help; the exit stays an exit
        if state.branch is not None:
            # The recording begins behind the branch, which just went a way that it had never gone before.
            code, offset, jumped = state.branch
            self.profiles.of(code).at(offset).saw_branch(jumped)
        inner = frame.f_code
        for _ in state.frames[1:]:
            frame = frame.f_back if frame is not None else None
        if frame is None or frame.f_code is not site.code:
            return
        address = memory.frame_address(frame)
        if remake:
            site.remakes += 1
            site.agreed = True
            self.bridges += 1
            if region.translation is not None:
                site.plans[region.target.kinds if region.target is not None else None] = region.translation.plans
            self._uninstall(region, "replaced")
            site.attempts -= 1
            self._record(site, address, site.offset, ROUNDS, region.target)
        else:
            self._ask_later(block)
            self._follow_exit(site, region, address)
        if inner is not site.code and self.recorder.active:
            self.recorder.follow(inner)

    def _ask_later(self, block: DescriptorBlock) -> None:
        """Let the exit get hot again when it was taken a quarter more often."""
        block.hot = block.count + max(block.count // 4, self.options.exit_threshold)

    def _worth_remaking(self, region: Region) -> bool:
        """Whether what the exits have cost since the region was made is about what it takes to make it again, and that is
        affordable. What was recorded behind each of them until then is in the new one."""
        if self._prompt():
            return True
        site = region.site
        assert site is not None
        exits = sum(block.count for state, block in region.descriptors.items() if self._may_get_hot(site, state))
        if exits * EXIT_COSTS_SURELY >= region.compile_seconds:
            return True
        enough = region.compile_seconds <= CHEAP or exits * EXIT_COSTS >= region.compile_seconds
        return enough and self._affordable(region.compile_seconds)

    def _follow_exit(self, site: LoopSite, region: Region, frame: int) -> None:
        """Record from an exit to the loop's head, which takes a moment, while the region is not behind its door."""
        assert self.runtime is not None

        def done(recording: Recording) -> None:
            site.learn(recording)
            if region.state == "live" and self.runtime is not None:
                self.runtime.install_loop(site.code, site.offset, region.entry)

        self.runtime.remove_loop(site.code, site.offset, region.entry)
        if self.recorder.start(site.code, frame, site.offset, self._options_of(site.code).trace_limit, 1, done) is not None:
            self.runtime.install_loop(site.code, site.offset, region.entry)

    def _uninstall(self, region: Region, why: str) -> None:
        """Take a region from behind its doors for good. It is freed when nobody runs it any more: at once, or by the door
        at the end of the last run. No error if that has happened already."""
        site, runtime = region.site, self.runtime
        if region.native is None or region.state != "live":
            return
        region.state = why
        target = region.target
        superseded = target is not None and target.entry not in (None, region.entry)
        # Who calls it directly goes on doing so until there is better code.
        stays = superseded or why in ("replaced", "retired") and target is not None and bool(target.callers)
        if not stays:
            region.valid.value = 0
        region.upgrade = None
        if region.ticks is not None:
            region.ticks.value = NEVER_USED_UP
        if region.entry is not None:
            self.entries.pop(region.entry.address, None)
        assert runtime is not None
        if site is not None and region in site.regions:
            site.regions.remove(region)
            if site.offset == FUNCTION:
                self._close_doors(site)
            else:
                runtime.remove_loop(region.code, region.offset, region.entry)
        if not stays:
            runtime.unwatch(region.flag_address)
        for block in region.descriptors.values():
            self.exits.pop(block.exit_id, None)
        if region.entry is None:
            region.free(self.options.free_stress)
        else:
            self.leaving.append(region)
            runtime.retire(region.entry, lambda: self._free(region))
            self._free_circles()

    def _free(self, region: Region) -> None:
        region.free(self.options.free_stress)
        self.leaving.remove(region)

    def _free_circles(self) -> None:
        """Functions that call each other keep each other's code. Let go of those that no door leads to and nobody else calls."""
        garbage = [region for region in self.leaving if region.pinned and not region.entry.runs]
        while True:
            kept = [region for region in garbage if not all(user in garbage for user in region.entry.users)]
            if not kept:
                break
            garbage = [region for region in garbage if region not in kept]
        for region in garbage:
            region.let_go()
        if garbage and self.runtime is not None:
            self.runtime.sweep()

    def failed(self, error: BaseException) -> Any:
        """What becomes of an exception in a callback: negating the result is to be the callback's last act. The program's
        own, from a signal handler that happened to run here, is then raised in the program."""
        from .abi.pending import Later, is_the_programs

        if is_the_programs(error):
            return Later(error)
        self._internal(error)
        return 0

    def _internal(self, error: BaseException) -> None:
        """A defect of jitcore's own: the program runs on, interpreted."""
        self._refuse("internal_error", detail=f"{type(error).__name__}: {error}")
        if self.options.verify or self.options.log == "debug":
            import traceback

            traceback.print_exception(error)


def needs_frame(func: FunctionType) -> str:
    """Why the function cannot be made into one without a frame, as far as that is known without looking at what it does; ''
    where it may be. Such code is of one function object and would keep it alive: closures share code with a frame, and of others
    something has to tell when the program lets go of them."""
    from .tracing.methods import holders

    if holders(func) is None:
        return "a closure" if func.__code__.co_freevars else "a function that no global name holds"
    return ""


def too_small(code: CodeType) -> str:
    """Why a function that nobody marked is not worth a door of its own, whatever it does; '' where it may be."""
    from .tracing.decode import code_info

    info = code_info(code)
    if info.loops or code.co_name in code.co_names or len(info.instructions) >= WORTH_A_DOOR:
        return ""
    return f"{len(info.instructions)} instructions and no loop"


def exit_place(state: State) -> ExitPlace:
    """What is the same of an exit in all versions of a region."""
    frame = state.frames[-1]
    return id(frame.code), frame.offset, state.reason, state.branch[1] if state.branch is not None else -1


def has_function_door(code: CodeType) -> bool:
    """Whether the door's stub can make this code's frames."""
    return not code.co_flags & (VARIADIC | GENERATORS) and not code.co_kwonlyargcount


def code_offset() -> int:
    from .abi import LAYOUT

    return LAYOUT.CODE_BYTES


def is_reason(key: str) -> bool:
    try:
        Reason.from_key(key)
    except KeyError:
        return False
    return True


def close_all() -> None:
    """At the end of the process: regions keep objects of the program alive, which the interpreter is about to end (files are
    written out, destructors run). Registered early, so whatever the program wants to happen at the end comes first."""
    for engine in list(_engines):
        engine.close()
    _end_by_the_interrupt()


def _end_by_the_interrupt() -> None:
    """A program that Ctrl-C ended ends by the signal. Up to CPython 3.13 it does so only if no text was evaluated since (the
    start of run_eval_code_obj in Python/pythonrun.c forgets the interrupt), and importing the compiler in the background,
    which has dataclasses and named tuples, evaluates texts. One that ends in the exception reminds the interpreter."""
    error = getattr(sys, "last_exc", None)
    if type(error) is not KeyboardInterrupt or hasattr(sys, "ps1"):
        return
    if error.__traceback__ is None or error.__traceback__.tb_frame.f_back is not None:
        return  # a console within the program printed it, and the program went on
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        pass


def default_engine() -> Engine:
    """The engine of @jit, JITCORE=1 and the module's functions, made on first use from the environment's options."""
    global _default
    if _default is None:
        _default = Engine()
    return _default


__all__ = ["Engine", "default_engine"]
