"""LLVM IR text to machine code in this process: a thin wrapper around llvmlite's ORC layer.

IR arrives as text and is parsed once: optimised, emitted as an object file in memory, and linked from that
(`add_ir` would parse it a second time). Every module is a library of its own with a resource tracker, so
dropping the handle frees the code; nothing else refers to it. Symbols are bound at link time, from the
dictionary that the caller gives: the object code itself holds no address of this process and can be kept and
linked again elsewhere. So what was made from a text is kept for a while: programs that define a function anew, change a
class and change it back, or start a second engine come to the same text again.

Four levels of effort. "none" is for code that runs a few times: codegen level 0 on the text as it is.
"quick" is a handful of passes that cost about as much as code generation. "full" is LLVM's own pipeline; it
is the only one that moves invariant code out of loops, because llvmlite offers that pass in no other way.
"light" is for what is too large for these: the passes and the register allocator whose time is in proportion to the text
(a loop with thousands of exits makes the others' grow with its square).

Importing this module imports llvmlite (about 50 ms): do it when there is something to compile. LLVM objects
are made in a context per module, so that a compile in another thread does not share types with this one.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import llvmlite.binding as llvm
import llvmlite.binding.ffi  # noqa: F401  (used as llvm.ffi)

from . import cache

CODEGEN_LEVEL = {"none": 0, "light": 0, "quick": 1, "full": 2}
EFFORTS = tuple(CODEGEN_LEVEL)
MOST_LINES = {"full": 2_500, "quick": 25_000}
"""Lines of text up to which an effort is worth its time. What the full pipeline does better than the quick passes are tight loops,
which are short texts; longer ones came out as fast with either, for half the time. Quick passes take about a second for that many."""
KEPT_BYTES = 2 << 20
"""Object code kept for texts that come again, and as much of what was kept before: some hundred regions."""

_start_lock = threading.Lock()
_started: set[str] = set()


class CompileError(Exception):
    """LLVM rejected the text or could not link it; the message is LLVM's."""


def _start(everything: bool = False) -> None:
    """Register the host's target with LLVM, or all targets."""
    with _start_lock:
        if everything and "all" not in _started:
            llvm.initialize_all_targets()
            llvm.initialize_all_asmprinters()
            _started.update(("all", "host"))
        elif "host" not in _started:
            llvm.initialize_native_target()
            llvm.initialize_native_asmprinter()
            _started.add("host")


def host_features() -> str:
    """The host's CPU features as LLVM spells them: "+avx2,-avx512f,..."."""
    _start()
    return llvm.get_host_cpu_features().flatten()


def host_machine(effort: str) -> Any:
    """A target machine for the host's own CPU. Position independent, so that far symbols go through a
    table."""
    _start()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=host_features(),
        opt=CODEGEN_LEVEL[effort],
        reloc="pic",
        codemodel="small",
    )


def foreign_machine(triple: str, cpu: str = "", features: str = "", effort: str = "full") -> Any:
    """A target machine for any triple that LLVM knows. Raises CompileError for others."""
    _start(everything=True)
    try:
        target = llvm.Target.from_triple(triple)
    except RuntimeError as error:
        raise CompileError(str(error)) from None
    return target.create_target_machine(
        cpu=cpu, features=features, opt=CODEGEN_LEVEL[effort], reloc="pic", codemodel="small"
    )


def affordable(effort: str, ir: str) -> str:
    """The effort, or the best below it that stays in proportion for a text of this size."""
    lines = ir.count("\n")
    if effort == "full" and lines > MOST_LINES["full"]:
        effort = "quick"
    return "light" if effort == "quick" and lines > MOST_LINES["quick"] else effort


def parse(ir: str, machine: Any) -> Any:
    """An LLVM module in a context of its own, verified. Raises CompileError."""
    try:
        module = llvm.parse_assembly(ir, llvm.create_context())
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise CompileError(f"{error}\n{excerpt(ir, str(error))}") from None
    return module


def unlocked(name: str) -> Any:
    """A function of llvmlite's library without the lock that llvmlite holds during each call. Optimising and code
    generation take long and touch nothing but their own module, context and machine; with the lock, a compile in
    the background would stop every short one in the foreground. Where this llvmlite has no such thing, the locked one."""
    locked = getattr(llvm.ffi.lib, name)
    return getattr(locked, "_cfn", locked)


def emit(machine: Any, module: Any, alone: bool) -> bytes:
    """The module's object code."""
    if not alone:
        return bytes(machine.emit_object(module))
    with llvm.ffi.OutputString() as message:
        made = unlocked("LLVMPY_TargetMachineEmitToMemory")(machine, module, 1, message)
        if not made:
            raise CompileError(str(message))
    try:
        start, size = llvm.ffi.lib.LLVMPY_GetBufferStart(made), llvm.ffi.lib.LLVMPY_GetBufferSize(made)
        return ctypes.string_at(start, size)
    finally:
        llvm.ffi.lib.LLVMPY_DisposeMemoryBuffer(made)


def excerpt(ir: str, message: str) -> str:
    """The lines of the text around the line that LLVM's message names."""
    for part in message.split(":"):
        if part.strip().isdigit():
            at = int(part)
            return "\n".join(ir.splitlines()[max(at - 3, 0) : at + 2])
    return ""


def optimize(module: Any, machine: Any, effort: str, alone: bool = False) -> None:
    """Run the passes of an effort over the module, in place. `alone`: see `Jit.compile_object`."""
    if effort == "none":
        return
    if effort == "full":
        tuning = llvm.create_pipeline_tuning_options(speed_level=2)
        builder = llvm.create_pass_builder(machine, tuning)
        manager = builder.getModulePassManager()
        if alone:
            unlocked("LLVMPY_RunNewModulePassManager")(manager, module, builder)
        else:
            manager.run(module, builder)
        return
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=1))
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    if effort == "light":
        passes.run(module, builder)
        return
    passes.add_loop_rotate_pass()
    passes.add_new_gvn_pass()
    passes.add_simplify_cfg_pass()
    passes.add_dead_code_elimination_pass()
    passes.run(module, builder)


class Module:
    """Linked code. It stays in memory as long as this object lives and is not freed."""

    def __init__(self, tracker: Any, name: str) -> None:
        self._tracker = tracker
        self.name = name

    def address(self, symbol: str) -> int:
        """The address of an exported symbol. Raises KeyError for others, CompileError after `free`."""
        if self._tracker is None:
            raise CompileError(f"{self.name} was freed")
        return int(self._tracker[symbol])

    def free(self) -> None:
        """Release the code. Nothing may run in it or return into it any more."""
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            tracker.close()


class Jit:
    """Compiles and links for this process. One per process is enough; every module is independent of the
    others."""

    _serial = itertools.count()

    def __init__(self) -> None:
        _start()
        self._linker = llvm.create_lljit_compiler(host_machine("full"))
        self._machines: dict[str, Any] = {}
        self._kept: dict[str, bytes] = {}
        self._kept_before: dict[str, bytes] = {}
        self._room = KEPT_BYTES

    def machine(self, effort: str) -> Any:
        """The host's target machine at an effort. Not shared between threads: each gets its own."""
        key = f"{effort}/{threading.get_ident()}"
        if key not in self._machines:
            self._machines[key] = host_machine(effort)
        return self._machines[key]

    def identity(self, effort: str) -> list[bytes]:
        """What object code depends on besides the text it is made from."""
        parts = (llvm.llvm_version_info, llvm.get_process_triple(), llvm.get_host_cpu_name(), host_features(), effort)
        return [repr(part).encode() for part in parts]

    def compile_object(self, ir: str, opt: str = "none", alone: bool = False) -> bytes:
        """Object code of the module for the host. `alone`: other threads may use LLVM meanwhile (for threads in the
        background). Raises CompileError."""
        name = cache.key((ir.encode(), opt.encode()))
        code = self._kept.get(name) or self._kept_before.get(name)
        if code is None:
            machine = host_machine(opt) if alone else self.machine(opt)
            module = parse(ir, machine)
            optimize(module, machine, opt, alone)
            code = emit(machine, module, alone)
            self._keep(name, code)
        return code

    def _keep(self, name: str, code: bytes) -> None:
        """Keep object code. No lock: a thread in the background, or code that runs in a garbage collection, may be here as well,
        and then a little more or less is kept."""
        self._kept[name] = code
        self._room -= len(code)
        if self._room < 0:
            self._kept_before, self._kept, self._room = self._kept, {}, KEPT_BYTES

    def link(self, code: bytes, symbols: Mapping[str, int], exports: Iterable[str], name: str = "") -> Module:
        """Load object code, binding its undefined symbols to addresses. Raises CompileError."""
        unique = f"{name or 'jitcore'}.{next(self._serial)}"
        builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        return self._finish(builder, symbols, exports, unique)

    def _finish(
        self, builder: Any, symbols: Mapping[str, int], exports: Iterable[str], unique: str
    ) -> Module:
        for symbol, address in symbols.items():
            builder.import_symbol(symbol, address)
        for symbol in exports:
            builder.export_symbol(symbol)
        try:
            return Module(builder.link(self._linker, unique), unique)
        except RuntimeError as error:
            raise CompileError(str(error)) from None

    def compile_ir(
        self, ir: str, symbols: Mapping[str, int], exports: Iterable[str], opt: str = "none", name: str = ""
    ) -> Module:
        """Compile and link IR text. `opt` is one of EFFORTS; `symbols` gives the addresses of what
        the text declares; `exports` are the definitions whose addresses are wanted. Raises CompileError."""
        return self.link(self.compile_object(ir, opt), symbols, exports, name)


def optimized_ir(ir: str, opt: str = "full", triple: str = "", cpu: str = "") -> str:
    """The text after the passes, for the host or another triple."""
    machine = foreign_machine(triple, cpu) if triple else host_machine(opt)
    module = parse(ir, machine)
    optimize(module, machine, opt)
    return str(module)


def assembly(ir: str, triple: str = "", cpu: str = "", features: str = "", opt: str = "full") -> str:
    """Assembly text of the module for the host or any triple LLVM knows. Raises CompileError."""
    machine = foreign_machine(triple, cpu, features, opt) if triple else host_machine(opt)
    module = parse(ir, machine)
    optimize(module, machine, opt)
    return str(machine.emit_assembly(module))


def object_code(ir: str, triple: str = "", cpu: str = "", features: str = "", opt: str = "full") -> bytes:
    """An object file of the module for the host or any triple LLVM knows. Raises CompileError."""
    machine = foreign_machine(triple, cpu, features, opt) if triple else host_machine(opt)
    module = parse(ir, machine)
    optimize(module, machine, opt)
    return bytes(machine.emit_object(module))
