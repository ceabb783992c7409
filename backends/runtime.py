"""The Python face of the native runtime: one `Runtime` per process, made at the first compile.

Making it translates the native routines (`llvm/runtime_*.py`), compiles them and hands out their addresses.
What happens often is native; what happens rarely is done here by writing the words that the routines read:
installing entries, setting counters, watching things. A single store publishes each change, because a garbage
collection between two of these lines may run any code, doors included.

Nothing of it is ever freed: interpreter call sites, monitoring and watchers hold plain addresses into it
until the process ends. Runtime and state block keep themselves alive.
"""

from __future__ import annotations

import ctypes
import dis
import functools
import mmap
import sys
import weakref
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from .. import observing
from ..abi import LAYOUT, AbiError, arrays, instances, memory
from ..abi.pending import blocked_signals
from ..optimizer import answers, ir
from ..optimizer.ops import collect, objects
from .llvm import (
    cache,
    lowlevel,
    runtime_answers,
    runtime_attributes,
    runtime_collect,
    runtime_dicts,
    runtime_doors,
    runtime_exits,
    runtime_generators,
    runtime_links,
    runtime_objects,
    runtime_recorder,
    runtime_state,
    runtime_temps,
    runtime_watch,
)
from .llvm import runtime_state as S
from .llvm.jit import Jit
from .llvm.lowlevel import NativeFunction
from .observer import Observer

if TYPE_CHECKING:
    from .reference import ReferenceBackend

METH_FASTCALL = 0x80
LOG_BYTES = 256 << 20
"""Room for the states of all direct functions that a C stack can hold; their frames there are about as large."""
CO_VARARGS, CO_VARKEYWORDS, CO_GENERATORS = 0x04, 0x08, 0x20 | 0x80 | 0x200

# Routines for compiled code and for this module; the rest is called by them.
HELPERS: dict[str, NativeFunction] = {
    "long_value": runtime_objects.long_value,
    "box_int": runtime_objects.box_int,
    "box_float": runtime_objects.box_float,
    "box_bool": runtime_objects.box_bool,
    "harmless": runtime_objects.harmless,
    "harmless_now": runtime_objects.harmless_now,
    "part_harmless": runtime_objects.part_harmless,
    "set_part": runtime_objects.set_part,
    "has_int": runtime_objects.has_int,
    "has_text": runtime_objects.has_text,
    "find_text": runtime_dicts.find_text,
    "find_int": runtime_dicts.find_int,
    "place_text": runtime_dicts.place_text,
    "place_text_anew": runtime_dicts.place_text_anew,
    "place_int": runtime_dicts.place_int,
    "find_key": runtime_dicts.find_key,
    "place_key": runtime_dicts.place_key,
    "set_has": runtime_dicts.set_has,
    "type_find": runtime_objects.type_find,
    "attribute_find": runtime_attributes.attribute_find,
    "method_find": runtime_attributes.method_find,
    "dict_put": runtime_dicts.put,
    "make_room": runtime_collect.make_room,
    "collected_list": runtime_collect.collected_list,
    "collected_sorted": runtime_collect.collected_sorted,
    "collected_tuple": runtime_collect.collected_tuple,
    "collected_call": runtime_collect.collected_call,
    "collected_text": runtime_collect.collected_text,
    "link": runtime_links.link,
    "unlink": runtime_links.unlink_frames,
    "take": runtime_objects.helper_take,
    "drop": runtime_objects.helper_drop,
    "run_exit": runtime_exits.run_exit,
    "stack_low": runtime_exits.stack_low,
    "make_range": runtime_temps.make_range,
    "make_range_iterator": runtime_temps.make_range_iterator,
    "jump_callback": runtime_doors.jump_callback,
    "start_callback": runtime_doors.start_callback,
    "instruction_callback": runtime_recorder.instruction_callback,
    "function_entry": runtime_doors.function_entry,
    "loop_row": runtime_doors.loop_row,
    "function_row": runtime_doors.function_row,
    "dict_event": runtime_watch.dict_event,
    "type_event": runtime_watch.type_event,
    "function_event": runtime_watch.function_event,
    "watch_row": runtime_watch.watch_row,
    "watch_add": runtime_watch.watch_add,
    "watch_remove": runtime_watch.watch_remove,
    "poison_dealloc": runtime_exits.poison_dealloc,
    "poison_unary": runtime_exits.poison_unary,
    "poison_binary": runtime_exits.poison_binary,
    "poison_status": runtime_exits.poison_status,
    "poison_get": runtime_exits.poison_get,
}

# Slot numbers of the stable ABI (typeslots.h), by the routine that fills them.
POISON_SLOTS: dict[str, tuple[int, ...]] = {
    "poison_dealloc": (52,),
    "poison_get": (54,),
    # mp_subscript, nb_absolute, nb_float, nb_index, nb_int, nb_invert, nb_negative, nb_positive
    "poison_unary": (5, 6, 11, 13, 26, 27, 30, 32)
    # sq_concat, sq_inplace_concat, sq_inplace_repeat, sq_item, sq_repeat
    + (40, 42, 43, 44, 46)
    # tp_call, tp_getattro, tp_iter, tp_iternext, tp_repr, tp_richcompare, tp_str, am_await, am_aiter,
    # am_anext
    + (50, 58, 62, 63, 66, 67, 70, 77, 78, 79),
    # nb_add, and, divmod, floor_divide, lshift, multiply, or, power, remainder, rshift, subtract,
    # true_divide, xor, matrix_multiply
    "poison_binary": (7, 8, 10, 12, 28, 29, 31, 33, 34, 35, 36, 37, 38, 75)
    # their in-place forms
    + (14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 76),
    # mp_ass_subscript, mp_length, nb_bool, sq_ass_item, sq_contains, sq_length, tp_hash, tp_setattro
    "poison_status": (3, 4, 9, 39, 41, 45, 59, 69),
}
SPECIAL_METHODS = ("__enter__", "__exit__", "__aenter__", "__aexit__")

COUNTERS = {
    "back_edges": S.N_EDGES,
    "starts": S.N_STARTS,
    "entries": S.N_ENTRIES,
    "exits": S.N_EXITS,
    "mismatches": S.N_MISMATCHES,
    "calls": S.N_CALLS,
    "deep_calls": S.N_DEEP,
    "native_back_edges": S.N_NATIVE_EDGES,
}
CELLS = {
    "force_enabled": S.FORCE_ENABLED,
    "force_counter": S.FORCE_COUNTER,
    "force_target": S.FORCE_TARGET,
    "forced": S.FORCED,
    "pending_error": S.PENDING_ERROR,
    "log_top": S.LOG_TOP,
    "native_edges": S.N_NATIVE_EDGES,
    "put_off": S.PUT_OFF,
    "collected": S.COLLECTED,
    "collected_room": S.COLLECTED_ROOM,
    "never": S.NEVER,
}
ROUTINES = (
    *("harmless", "harmless_now", "part_harmless", "find_text", "find_int", "find_key", "place_text", "place_int", "place_key"),
    "place_text_anew",
    *("set_part", "has_int", "has_text", "set_has", "type_find", "attribute_find", "method_find", "dict_put", "link", "unlink"),
    *("make_room", "collected_list", "collected_sorted", "collected_tuple", "collected_call", "collected_text"),
)
"""Of HELPERS, those that compiled code calls."""
HOOKS = {
    "hot_loop": S.HOOK_LOOP,
    "hot_exit": S.HOOK_EXIT,
    "hot_function": S.HOOK_FUNCTION,
    "deep_recursion": S.HOOK_DEEP,
    "tier_up": S.HOOK_TIER,
}


class MethodDef(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


class TypeSlot(ctypes.Structure):
    """PyType_Slot."""

    _fields_ = [("number", ctypes.c_int), ("function", ctypes.c_void_p)]


class TypeSpec(ctypes.Structure):
    """PyType_Spec."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("basicsize", ctypes.c_int),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(TypeSlot)),
    ]


_the_runtime: Runtime | None = None


def runtime() -> Runtime:
    """The runtime of this process, made at the first call. Raises AbiError or CompileError."""
    global _the_runtime
    if _the_runtime is None:
        _the_runtime = Runtime()
    return _the_runtime


class Entry:
    """A region's place in a door's chain: the words the door reads. `keep` holds whatever the code needs. `ticks` is
    the address of an i64 counted down while the entry is used (0: not counted); below 0 the hook tier_up is called."""

    def __init__(
        self, fn: int, nbuf: int, valid_address: int, keep: object = None, ticks: int = 0, direct: int = 0
    ) -> None:
        self.words = (ctypes.c_int64 * (S.ENTRY_BYTES // 8))(fn, 0, nbuf, valid_address, 0, 0, 0, 0, ticks, direct)
        self.address = ctypes.addressof(self.words)
        self.keep = keep
        self.users: list[object] = []
        """Who has pinned it."""

    def replace(self, fn: int, direct: int = 0) -> None:
        """Other code for the same frame states, from the next run on; it is not counted."""
        self.words[S.E_TICKS // 8] = 0
        if direct:
            self.words[S.E_DIRECT // 8] = direct
        self.words[S.E_FN // 8] = fn

    def word(self, offset: int) -> int:
        return int(self.words[offset // 8])

    def close(self) -> None:
        """Let go of what the code needed; it is gone. Only the counters stay."""
        self.words[S.E_FN // 8] = 0
        self.keep = None

    def pin(self, user: object) -> None:
        """Keep the code: that of `user` calls it directly."""
        self.words[S.E_ACTIVATIONS // 8] += 1
        self.users.append(user)

    def unpin(self, user: object) -> None:
        """Undo a `pin`."""
        self.words[S.E_ACTIVATIONS // 8] -= 1
        self.users.remove(user)

    @property
    def runs(self) -> int:
        """Runs that began at a door and have not ended yet."""
        return self.activations - len(self.users)

    def retire(self, on: bool) -> None:
        """Say whether the door has to tell when the last run ends."""
        self.words[S.E_RETIRED // 8] = int(on)

    @property
    def activations(self) -> int:
        """Runs that have not ended yet; the code may not be freed before this is 0."""
        return self.word(S.E_ACTIVATIONS)

    @property
    def entries(self) -> int:
        return self.word(S.E_ENTRIES)

    @property
    def mismatches(self) -> int:
        return self.word(S.E_MISMATCHES)

    @property
    def exits(self) -> int:
        return self.word(S.E_EXITS)


@functools.cache
def c_function(name: str, result: Any, *arguments: Any) -> Any:
    """A function of the C API with a prototype of our own, called with the GIL held."""
    return ctypes.PYFUNCTYPE(result, *arguments)(memory.symbol(name))


def system_symbol(name: str) -> int:
    """The address of a function of the C library. Raises AbiError if there is none."""
    try:
        return int(ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0)
    except AttributeError:
        raise AbiError(f"this system has no {name}") from None


def return_address(code: CodeType) -> int:
    """The address of a returning instruction of the code. Raises ValueError if it has none."""
    offsets = [i.offset for i in dis.get_instructions(code) if i.opname in ("RETURN_VALUE", "RETURN_CONST")]
    if not offsets:
        raise ValueError("functions that never return have no door")
    return id(code) + LAYOUT.CODE_BYTES + offsets[-1]


def routine_sources() -> list[bytes]:
    """What the routines' code depends on besides the interpreter's layout."""
    modules: tuple[Any, ...] = (
        lowlevel,
        runtime_state,
        runtime_answers,
        runtime_attributes,
        runtime_collect,
        runtime_dicts,
        runtime_exits,
        runtime_generators,
        runtime_links,
        runtime_objects,
        runtime_doors,
        runtime_recorder,
        runtime_temps,
        runtime_watch,
        answers,
        arrays,
        collect,
        instances,
        ir,
        objects,
        observing,
    )
    specs = [module.__spec__ for module in modules] + [find_spec(f"{lowlevel.__name__}_translate")]
    return [spec.loader.get_source(spec.name).encode() for spec in specs]


class Runtime:
    """The native runtime of this process. Raises AbiError or CompileError when it cannot be made."""

    def __init__(self) -> None:
        self.jit = Jit()
        self.state = (ctypes.c_int64 * (S.STATE_BYTES // 8))()
        self.base = ctypes.addressof(self.state)
        self._objects: dict[int, object] = {}
        self._keep: list[object] = []
        self._module = self._compile()
        self._loop_row = self._native("loop_row")
        self._function_row = self._native("function_row")
        self._watch_row = self._native("watch_row")
        self._watch_add = self._native("watch_add")
        self._watch_remove = self._native("watch_remove")
        self._fill_state()
        self.jump_callback = self._builtin("jump_callback")
        self.start_callback = self._builtin("start_callback")
        self.observer = Observer(self._builtin("instruction_callback"), self.base + S.RECORDER)
        self._chains: dict[tuple[int, int], list[Entry]] = {}
        self._codes: dict[int, CodeType] = {}
        self._functions: dict[int, tuple[weakref.ref[FunctionType], int, list[Entry]]] = {}
        self._retired: list[tuple[Entry, Callable[[], None] | None]] = []
        self.on_idle: Callable[[], None] | None = None
        self._watch_ids: dict[str, int] = {}
        self._flags: dict[int, list[tuple[int, str, Any]]] = {}
        self._reference: ReferenceBackend | None = None
        self._set_vectorcall = c_function("PyFunction_SetVectorcall", None, ctypes.py_object, ctypes.c_void_p)
        memory.incref(id(self))

    # -- making it

    def _compile(self) -> Any:
        """The routines' code, from the disk if it is there: the names of its symbols, a zero byte, object code."""
        names = [function.name for function in HELPERS.values()]
        build = repr((LAYOUT, sys.version, runtime_state.COUNTS_ALL_REFERENCES)).encode()
        name = cache.key([*self.jit.identity("quick"), *routine_sources(), build])
        kept = cache.load(name)
        if kept is None:
            from .llvm.lowlevel_translate import translate

            text = translate(HELPERS.values())
            declared = [
                line.split("@")[1].split("(")[0].split(" ")[0]
                for line in text.splitlines()
                if line.startswith("declare ") or " = external " in line
            ]
            kept = " ".join(declared).encode() + b"\0" + self.jit.compile_object(text, "quick")
            cache.store(name, kept)
        listed, _, code = kept.partition(b"\0")
        self._message = ctypes.create_string_buffer(b"jitcore: out of memory while leaving compiled code")
        symbols = {"jc_state": self.base, "jc_out_of_memory": ctypes.addressof(self._message)}
        for symbol in listed.decode().split():
            if symbol not in symbols:
                symbols[symbol] = system_symbol(symbol) if symbol.startswith("pthread_") else memory.symbol(symbol)
        return self.jit.link(code, symbols, names, "runtime")

    def helper(self, name: str) -> int:
        """The address of a native routine (a function of 64-bit words); see HELPERS. Raises KeyError."""
        return int(self._module.address(HELPERS[name].name))

    def _native(self, name: str) -> Callable[..., int]:
        count = HELPERS[name].function.__code__.co_argcount
        prototype = ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * count)
        return prototype(self.helper(name))  # type: ignore[return-value]

    def _put(self, offset: int, value: object) -> None:
        """Store an object's address in the state block and keep the object; None stores 0."""
        old = self._objects.get(offset)
        self._objects[offset] = value
        self.state[offset // 8] = 0 if value is None else id(value)
        self._keep.append(old)  # native code may be calling it

    def _fill_state(self) -> None:
        self._put(S.DISABLE, sys.monitoring.DISABLE)
        self._put(S.EMPTY_RANGE, range(0))
        self._put(S.EMPTY_TUPLE, ())
        arena = (ctypes.c_void_p * 3)()
        c_function("PyObject_GetArenaAllocator", None, ctypes.c_void_p)(ctypes.addressof(arena))
        for offset, word in zip((S.ARENA_CONTEXT, S.ARENA_ALLOC, S.ARENA_FREE), arena, strict=True):
            self.state[offset // 8] = word or 0

        text = b"__init__() should return None, not '%.200s'"
        ctypes.memmove(ctypes.addressof(self.state) + S.INIT_TEXT, text, len(text))
        self._fill_answers()
        self.state[S.INSTANCE_DEALLOC // 8] = memory.read64(id(instances.Plain) + LAYOUT.TYPE_DEALLOC)

        def plain() -> None: ...

        self.state[S.FUNCTION_VECTORCALL // 8] = memory.read64(id(plain) + LAYOUT.FUNC_VECTORCALL)
        self.state[S.OBJECT_NEW // 8] = memory.read64(id(object) + LAYOUT.TYPE_NEW)
        self.state[S.PUT_OFF // 8] = S.PATIENCE
        self.state[S.LOOP_THRESHOLD // 8] = 1000
        self.state[S.FUNCTION_THRESHOLD // 8] = 1000
        self.state[S.MAX_ROWS // 8] = 1 << 18
        self._log = mmap.mmap(-1, LOG_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # memory that is not touched costs nothing
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._log))
        self.state[S.LOG_BASE // 8] = self.state[S.LOG_TOP // 8] = address
        self.state[S.FORCE_TARGET // 8] = 1
        if LAYOUT.TS_C_RECURSION:
            self.state[S.C_UNITS // 8] = memory.read32s(memory.thread_state() + LAYOUT.TS_C_RECURSION)
        self._put(S.HOOK_IDLE, self._idle)
        signals = blocked_signals()
        ctypes.memmove(self.base + S.SIGNALS, signals, ctypes.sizeof(signals))
        self.poison_type = self._make_poison()
        self._put(S.POISON_TYPE, self.poison_type)

    def _fill_answers(self) -> None:
        """The table of what is done with callees' results, and the texts that it takes."""

        def text(what: str) -> int:
            kept = ctypes.create_string_buffer(what.encode())
            self._keep.append(kept)
            return ctypes.addressof(kept)

        def name(what: str) -> int:
            kept = sys.intern(what)
            self._keep.append(kept)
            return id(kept) if what else 0

        words: list[int] = []
        for row in answers.ANSWERS.values():
            words += [row.what, row.operands, name(row.method), name(row.reflected), text(row.text), row.truth, row.op, row.top_first]
        table = (ctypes.c_int64 * len(words))(*words)
        self._keep.append(table)
        self.state[S.ANSWERS // 8] = ctypes.addressof(table)
        self.state[S.OPERATOR_TEXT // 8] = text("unsupported operand type(s) for %s: '%.100s' and '%.100s'")
        self.state[S.COMPARE_TEXT // 8] = text("'%s' not supported between instances of '%.100s' and '%.100s'")

    def _make_poison(self) -> type:
        slots = [TypeSlot(n, self.helper(name)) for name, numbers in POISON_SLOTS.items() for n in numbers]
        array = (TypeSlot * (len(slots) + 1))(*slots, TypeSlot(0, None))
        spec = TypeSpec(b"jitcore.Poison", runtime_exits.POISON_BYTES, 0, 0, array)
        self._keep += [array, spec]
        make = c_function("PyType_FromSpec", ctypes.py_object, ctypes.c_void_p)
        poison: type = make(ctypes.addressof(spec))
        for name in SPECIAL_METHODS:
            setattr(poison, name, object.__new__(poison))
        return poison

    def _builtin(self, name: str) -> Any:
        definition = MethodDef(f"jitcore_{name}".encode(), self.helper(name), METH_FASTCALL, None)
        self._keep.append(definition)
        make = c_function("PyCMethod_New", ctypes.py_object, *[ctypes.c_void_p] * 4)
        return make(ctypes.addressof(definition), None, None, None)

    # -- settings and counters

    def set_hooks(self, **hooks: Callable[..., Any] | None) -> None:
        """hot_loop(code, offset, frame address), may return sys.monitoring.DISABLE; hot_function(code, frame
        address), the same; hot_exit(exit id, code, frame address) after the exit's frames were restored,
        before they go on (of the innermost); deep_recursion(function) after the function was given back to
        the interpreter; tier_up(entry address) after a run of an entry whose ticks ran out. What they raise goes to
        sys.unraisablehook. They run with `tracing` raised: their
        code fires no events."""
        for name, hook in hooks.items():
            self._put(HOOKS[name], hook)

    def set_threshold(self, loops: int, functions: int | None = None) -> None:
        """Events until a new row's hook is called; at least 1."""
        self.state[S.LOOP_THRESHOLD // 8] = max(loops, 1)
        self.state[S.FUNCTION_THRESHOLD // 8] = max(functions if functions is not None else loops, 1)

    def set_deopt_every(self, step: int) -> None:
        """Stress: make guards fail in turn, every `step`-th; 0 switches it off."""
        self.state[S.FORCE_TARGET // 8] = 1
        self.state[S.FORCE_ENABLED // 8] = max(step, 0)

    def set_free_stress(self, on: bool, on_idle: Callable[[], None] | None) -> None:
        """Stress: call `on_idle()` after every run, when retired code has been let go. It runs as hooks do."""
        self.on_idle = on_idle
        self.state[S.EAGER // 8] = int(on)

    def _forced(self) -> bool:
        """What native guards do under stress, for those of the reference backend."""
        if not self.state[S.FORCE_ENABLED // 8]:
            return False
        self.state[S.FORCE_COUNTER // 8] -= 1
        if self.state[S.FORCE_COUNTER // 8]:
            return False
        self.state[S.FORCED // 8] = 1
        return True

    def cell(self, name: str) -> int:
        """The address of an i64 that compiled code shares with the runtime; see CELLS. Raises KeyError."""
        return self.base + CELLS[name]

    @property
    def symbols(self) -> dict[str, int]:
        """What compiled code finds here when it is linked: all cells, and routines as jc_<name>."""
        cells = {name: self.cell(name) for name in CELLS}
        return cells | {f"jc_{name}": self.helper(name) for name in ROUTINES}

    def counters(self) -> dict[str, int]:
        """What the doors have counted since the process started."""
        return {name: int(self.state[offset // 8]) for name, offset in COUNTERS.items()}

    def reference_backend(self) -> ReferenceBackend:
        """The reference backend, sharing the cells for exceptions and for counting back edges."""
        if self._reference is None:
            from .reference import ReferenceBackend

            self._reference = ReferenceBackend(
                self.cell("pending_error"), self._forced, self.cell("native_edges"), self.cell("log_top")
            )
        return self._reference

    # -- loop doors

    def loop_row(self, code: CodeType, dst: int) -> int:
        """The address of the row of a loop head (dst: byte offset) or of a function's start (-1). Raises
        MemoryError."""
        row = self._loop_row(id(code), dst)
        if not row:
            raise MemoryError("too many loops")
        return row

    def set_counter(self, code: CodeType, dst: int, count: int) -> None:
        """Call the hook again after that many more events."""
        row = self.loop_row(code, dst)
        memory.write64(row + S.R_COUNT, max(count, 1))
        memory.write64(row + S.R_FLAGS, 0)

    def events_left(self, code: CodeType, dst: int) -> int:
        """How many more events there will be before the hook is called."""
        return memory.read64(self.loop_row(code, dst) + S.R_COUNT)

    def set_never(self, code: CodeType, dst: int) -> None:
        """Let the callback answer DISABLE there, until a counter is set; whoever says so keeps the code object alive till then."""
        memory.write64(self.loop_row(code, dst) + S.R_FLAGS, S.FLAG_NEVER)

    def install_loop(
        self,
        code: CodeType,
        dst: int,
        entry: Entry | int,
        nbuf: int = 0,
        valid_address: int = 0,
        keep: object = None,
    ) -> Entry:
        """Put a region in front of a loop head's chain: an Entry, or the address of the region function with
        its number of buffer words and the address of its validity word. Keeps the code object alive."""
        if isinstance(entry, int):
            entry = Entry(entry, nbuf, valid_address, keep)
        chain = self._chains.setdefault((id(code), dst), [])
        row = self.loop_row(code, dst)
        self._codes[id(code)] = code
        entry.words[S.E_NEXT // 8] = chain[0].address if chain else 0
        entry.retire(False)
        chain.insert(0, entry)
        memory.write64(row + S.R_HEAD, entry.address)
        self.sweep()
        return entry

    def remove_loop(self, code: CodeType, dst: int, entry: Entry) -> None:
        """Take an entry out of its chain. It stays in memory while it runs. No error if it is not there."""
        key = id(code), dst
        chain = self._chains.get(key, [])
        if entry not in chain:
            return
        at = chain.index(entry)
        following = entry.word(S.E_NEXT)
        if at:
            chain[at - 1].words[S.E_NEXT // 8] = following
        else:
            memory.write64(self.loop_row(code, dst) + S.R_HEAD, following)
        chain.remove(entry)
        self.retire(entry)
        if not chain:
            del self._chains[key]
            if not any(number == id(code) for number, _ in self._chains):
                self._codes.pop(id(code), None)
        self.sweep()

    def retire(self, entry: Entry, then: Callable[[], None] | None = None) -> None:
        """For an entry that is behind no door any more: call `then()` as soon as nobody runs it, which may be now.
        Until then it stays in memory."""
        entry.retire(True)
        self._retired.append((entry, then))
        self.sweep()

    def sweep(self) -> int:
        """Let go of removed entries that run no more; returns how many are still running."""
        # Letting go may run any code, which may come here again, as other threads may: each takes what it removes.
        # What is let go of may have been the last to keep another one.
        while (pair := next((pair for pair in self._retired if not pair[0].activations), None)) is not None:
            try:
                self._retired.remove(pair)
            except ValueError:
                continue  # by another thread, just now
            if pair[1] is not None:
                pair[1]()
        return len(self._retired)

    def _idle(self) -> None:
        self.sweep()
        if self.on_idle is not None:
            self.on_idle()

    # -- function doors

    def install_function(
        self, func: FunctionType, entry: Entry, resume_ip: int, return_ip: int = 0, others: Sequence[Entry] = ()
    ) -> None:
        """Put a region in front of a function. `resume_ip`: address of its RESUME instruction; `return_ip`:
        of any RETURN_VALUE or RETURN_CONST (0: found here); `others`: regions of this function alone, to be tried after
        the first. The function keeps its identity; the regions stand for its present code. The door does not keep the
        function alive. Raises ValueError for functions that cannot have a door."""
        code = func.__code__
        if code.co_flags & (CO_VARARGS | CO_VARKEYWORDS | CO_GENERATORS) or code.co_kwonlyargcount:
            raise ValueError(
                "functions with *args, **kwargs or keyword-only parameters and generators have no door"
            )
        known = self._functions.get(id(func))
        version = known[1] if known else memory.read32(id(func) + LAYOUT.FUNC_VERSION)
        entries = [entry, *others]
        for first, second in zip(entries, [*others, None], strict=True):
            first.words[S.E_NEXT // 8] = second.address if second is not None else 0
        if not known and memory.read64(id(func) + LAYOUT.FUNC_VECTORCALL) != self.state[S.FUNCTION_VECTORCALL // 8]:
            raise ValueError("somebody else's vectorcall is in the function")
        row = self._function_row(id(func))
        if not row:
            raise MemoryError("too many functions")
        words = {
            S.F_CODE: id(code),
            S.F_ARGCOUNT: code.co_argcount,
            S.F_RESUME: resume_ip,
            S.F_RETURN: return_ip or return_address(code),
            S.F_VERSION: version,
            S.F_ENTRY: entry.address,
        }
        memory.write64(row + S.F_ENTRY, 0)
        for offset, word in words.items():  # the entry comes last
            memory.write64(row + offset, word)
        key = id(func)

        def gone(_: object) -> None:
            memory.write64(row + S.F_ENTRY, 0)
            self._leave_function(key)

        for one in entries:
            one.retire(False)
        if known:
            self._leave_function(key, entries)
        self._functions[key] = weakref.ref(func, gone), version, entries
        self._codes[id(code)] = code
        if not known:
            self._set_vectorcall(func, self.helper("function_entry"))

    def remove_function(self, func: FunctionType) -> None:
        """Make the function a plain one again, version included. No error if it has no door."""
        known = self._functions.get(id(func))
        if known is None:
            return
        row = self._function_row(id(func))
        memory.write64(row + S.F_ENTRY, 0)
        plain = int(self.state[S.FUNCTION_VECTORCALL // 8])
        changed = id(func.__code__) != memory.read64(row + S.F_CODE)
        memory.write64(id(func) + LAYOUT.FUNC_VECTORCALL, plain)
        if not changed:
            memory.write32(id(func) + LAYOUT.FUNC_VERSION, known[1])
        self._leave_function(id(func))

    def _leave_function(self, key: int, kept: Sequence[Entry] = ()) -> None:
        """A function has its door no more. Its entries may stand in front of others (closures of one code)."""
        _, _, entries = self._functions.pop(key)
        for entry in entries:
            if entry not in kept and not any(entry in others for _, _, others in self._functions.values()):
                self.retire(entry)

    # -- watchers

    def _watch_id(self, kind: str) -> int:
        """The id of the process's watcher of a kind ("Dict", "Type", "Function"), registered at first use."""
        if kind not in self._watch_ids:
            add = c_function(f"Py{kind}_AddWatcher", ctypes.c_int, ctypes.c_void_p)
            self._watch_ids[kind] = add(self.helper(f"{kind.lower()}_event"))
        return self._watch_ids[kind]

    @property
    def dict_watcher(self) -> int:
        """The number of our watcher of dicts."""
        return self._watch_id("Dict")

    def _watch(self, kind: str, holder: Any, second: int, flag_address: int, keep: Any) -> int:
        row = self._watch_row(id(holder), second, int(kind == "Dict"))
        if not row or not self._watch_add(row, flag_address):
            raise MemoryError("too many watched things")
        self._flags.setdefault(flag_address, []).append((row, kind, keep))
        return row

    def watch_dict_key(self, mapping: dict[Any, Any], key: str, flag_address: int) -> None:
        """Store 0 to the i64 at flag_address when that key of the dict changes, or the dict is cleared or
        dies. Raises MemoryError."""
        number = self._watch_id("Dict")
        head = self._watch_row(id(mapping), S.WATCH_DICT, 0)
        if not head:
            raise MemoryError("too many watched things")
        memory.write64(head + S.W_DEAD, 0)
        self._watch("Dict", mapping, hash(key), flag_address, head)
        c_function("PyDict_Watch", ctypes.c_int, ctypes.c_int, ctypes.py_object)(number, mapping)

    def watch_type(self, kind: type, flag_address: int) -> bool:
        """Store 0 to the i64 at flag_address when the type or a base of it is modified, or the type dies.
        False (and the word 0) if this type cannot be watched any more: CPython gives each class a limited
        number of versions."""
        number = self._watch_id("Type")

        def gone(_: object) -> None:
            memory.write64(flag_address, 0)

        # Types die without telling their watchers; `unwatch` drops the reference and with it the callback.
        self._watch("Type", kind, S.WATCH_TYPE, flag_address, weakref.ref(kind, gone))
        # By address: ctypes asks an object for its `__class__`, which a metaclass may have code for.
        c_function("PyType_Watch", ctypes.c_int, ctypes.c_int, ctypes.c_void_p)(number, id(kind))
        if memory.read32(id(kind) + LAYOUT.TYPE_VERSION_TAG):
            return True
        memory.write64(flag_address, 0)
        return False

    def watch_function(self, func: FunctionType, flag_address: int) -> None:
        """Store 0 to the i64 at flag_address when the function's code or defaults change, or it dies."""
        self._watch_id("Function")
        self._watch("Function", func, S.WATCH_FUNCTION, flag_address, None)

    def unwatch(self, flag_address: int) -> None:
        """Forget a flag everywhere; needed before its memory is freed. No error if it is not known."""
        for row, kind, head in self._flags.pop(flag_address, ()):
            left = self._watch_remove(row, flag_address)
            if kind == "Dict" and not left and not memory.read64(head + S.W_DEAD):
                self._unwatch_dict(head)

    def _unwatch_dict(self, head: int) -> None:
        """Tell CPython to stop, if no key of the dict is watched any more."""
        row = memory.read64(head + S.W_NEXT)
        while row:
            if memory.read64(row + S.W_NODES):
                return
            row = memory.read64(row + S.W_NEXT)
        mapping = memory.object_at(memory.read64(head))
        c_function("PyDict_Unwatch", ctypes.c_int, ctypes.c_int, ctypes.py_object)(
            self._watch_id("Dict"), mapping
        )
