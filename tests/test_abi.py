"""The table of offsets and its proof.

Two questions: do the helpers read what Python shows, and does `check` notice a wrong number? The second is
asked of every single field: each is shifted in several ways, the wrong table is handed to `check`, and it
must answer with a sentence instead of a crash.
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jitcore import abi, records
from jitcore.abi import debug_offsets, layout, memory, selftest
from jitcore.abi.layout import AbiError, Layout
from jitcore.abi.probing import PROBES, Mismatch, Probe

LAYOUT = abi.LAYOUT
NEW = sys.version_info >= (3, 14)


# The table


def test_check_passes_here() -> None:
    assert abi.check() is None


WHERE_A_COLLECTION_IS_DUE = """
import gc, os
from jitcore.abi import LAYOUT, memory
from jitcore.abi.probing import PROBES, Probe

look, prober = dict(PROBES)["eval breaker"], Probe(LAYOUT, memory.thread_state())
for left in range(80):
    if not os.fork():
        gc.collect()
        kept = [[] for _ in range(gc.get_threshold()[0] - left)]
        look(prober)
        os._exit(0)
    print(left, os.wait()[1])
"""


def test_check_passes_wherever_a_collection_is_due() -> None:
    """Each process is one allocation nearer to a collection than the one before. (Not in one process: it would reuse its objects.)"""
    done = subprocess.run([sys.executable, "-c", WHERE_A_COLLECTION_IS_DUE], capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout.split("\n")[:-1]) == ("", [f"{left} 0" for left in range(80)])


def test_check_passes_in_a_collection() -> None:
    class Looking:
        def __del__(self) -> None:
            reasons.append(abi.check())

    reasons: list[str | None] = []
    looking = Looking()
    looking.itself = looking  # type: ignore[attr-defined]
    del looking
    gc.collect()
    assert reasons == [None]


def test_every_version_has_a_row() -> None:
    for version in layout.VERSIONS:
        assert abi.for_version(version).VERSION == version
    assert abi.for_version(sys.version_info[:2]) is LAYOUT


@pytest.mark.parametrize("version", [(3, 11), (3, 16), (4, 0), (2, 7)])
def test_other_versions_are_unknown(version: tuple[int, int]) -> None:
    with pytest.raises(AbiError, match=f"{version[0]}.{version[1]}"):
        abi.for_version(version)


def changed(field: str, value: int | bool) -> Layout:
    """The table of this interpreter with one entry changed."""
    changes: dict[str, Any] = {field: value}
    return records.replace(LAYOUT, **changes)


def wrong_values(field: str, right: int | bool) -> list[int | bool]:
    if isinstance(right, bool):
        return [not right]
    if field == "EVAL_BREAKER_MASK":
        # On 3.12 the word is 0 or 1 and any mask with bit 0 does; later the upper bits are a version.
        return [0] if LAYOUT.VERSION == (3, 12) else [0, 0xFFFFFFFF, 0xFF00]
    if field == "REFCNT_BITS":
        return [96 - right]
    return [right + delta for delta in (1, 4, 8, -8, 16, 40, 2**40)]


FIELDS = [name for name in records.names(Layout) if name not in ("VERSION", "INTERP_MONITORS")]


@pytest.mark.parametrize("field", FIELDS)
def test_a_wrong_field_is_refused(field: str) -> None:
    for value in wrong_values(field, getattr(LAYOUT, field)):
        reason = abi.check(changed(field, value))
        assert reason is not None, f"{field} = {value} went unnoticed"
        assert "\n" not in reason and "probe '" in reason


def test_where_exceptions_are_watched_need_not_be_known() -> None:
    """Builds may differ in that. Without it they are left to the interpreter."""
    if abi.check() is None and not memory.exceptions_proven:
        pytest.skip("such a build")
    try:
        for value in wrong_values("INTERP_MONITORS", LAYOUT.INTERP_MONITORS):
            assert abi.check(changed("INTERP_MONITORS", value)) is None and not memory.exceptions_proven
    finally:
        assert abi.check() is None and memory.exceptions_proven


@pytest.mark.parametrize(
    ("field", "probe"),
    [
        ("FRAME_GLOBALS", "frame"),
        ("TS_TRACING", "monitoring"),
        ("TUPLEITER_INDEX", "iterators"),
        ("LIST_ALLOCATED", "list"),
        ("TS_EXC_INFO", "generator"),
        ("CHUNK_TOP", "data stack"),
        ("FUNC_VECTORCALL", "function entry"),
    ],
)
def test_the_reason_names_probe_and_field(field: str, probe: str) -> None:
    reason = abi.check(changed(field, getattr(LAYOUT, field) + 8))
    assert reason is not None and f"probe '{probe}' failed at {field}" in reason


@pytest.mark.parametrize("version", [v for v in layout.VERSIONS if v != sys.version_info[:2]])
def test_another_versions_row_is_refused(version: tuple[int, int]) -> None:
    other = abi.for_version(version)
    assert "VERSION" in str(abi.check(other))
    # also when it claims to be ours, and when the interpreter's own table is not there to tell
    disguised = records.replace(other, VERSION=LAYOUT.VERSION)
    assert abi.check(disguised) is not None


def test_probes_notice_without_debug_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What _Py_DebugOffsets has is also proven without it (3.12 has no such table)."""
    monkeypatch.setattr(debug_offsets, "_TABLES", {})
    for field in FIELDS:
        for value in wrong_values(field, getattr(LAYOUT, field)):
            wrong = changed(field, value)
            assert abi.check(wrong) is not None, f"{field} = {value} went unnoticed"


@pytest.mark.skipif(sys.version_info < (3, 13), reason="3.12 has no _Py_DebugOffsets")
def test_debug_offsets_agree_and_notice() -> None:
    runtime = abi.symbol("_PyRuntime")
    prober = Probe(LAYOUT, abi.thread_state())
    try:
        debug_offsets.compare(prober, LAYOUT, runtime, sys.hexversion)
        with pytest.raises(Mismatch, match="VERSION"):
            debug_offsets.compare(prober, LAYOUT, runtime, sys.hexversion + 1)
        with pytest.raises(Mismatch, match="cookie"):
            debug_offsets.compare(prober, LAYOUT, runtime + 8, sys.hexversion)
    finally:
        prober.close()
    names = set(debug_offsets._OURS.values())
    table = debug_offsets._TABLES[LAYOUT.VERSION]
    found = {
        debug_offsets._OURS[f"{structure}.{name}"]
        for structure, fields in table
        if isinstance(fields, str)
        for name in fields.split()
        if f"{structure}.{name}" in debug_offsets._OURS
    }
    assert len(found) > 15
    for field in found & names - {"OB_SIZE"}:
        prober = Probe(changed(field, 4096), abi.thread_state())
        try:
            with pytest.raises(Mismatch, match=field):
                debug_offsets.compare(prober, prober.layout, runtime, sys.hexversion)
        finally:
            prober.close()


# Refusals before any probe


def test_free_threaded_builds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "abiflags", "t", raising=False)
    assert "free-threaded" in str(abi.check())


def test_other_implementations_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.implementation, "name", "pypy")
    assert "pypy" in str(abi.check())


def test_unknown_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "LAYOUT", None)
    assert "3.12, 3.13, 3.14, 3.15" in str(abi.check())


def test_reference_tracing_builds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "getobjects", lambda *_: [], raising=False)
    assert "reference tracing" in str(abi.check())


def test_a_missing_symbol_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "SYMBOLS", ("PyLong_Type", "Py_NoSuchThing"))
    assert "Py_NoSuchThing" in str(abi.check())


def test_a_probe_that_raises_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(p: Probe) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(selftest, "PROBES", [*PROBES, ("broken", broken)])
    reason = str(abi.check())
    assert "'broken'" in reason and "ZeroDivisionError" in reason


def test_no_file_descriptors_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> tuple[int, int]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("os.pipe", full)
    assert "Too many open files" in str(abi.check())


# The answer does not depend on where it is asked


def in_generator(action: Callable[[], Any]) -> Any:
    def generator() -> Iterator[Any]:
        try:
            raise KeyError
        except KeyError:
            yield action()

    return next(generator())


def in_thread(action: Callable[[], Any]) -> Any:
    answer: list[Any] = []
    thread = threading.Thread(target=lambda: answer.append(action()))
    thread.start()
    thread.join()
    return answer[0]


def in_deep_recursion(action: Callable[[], Any]) -> Any:
    def down(n: int) -> Any:
        return down(n - 1) if n else action()

    return down(300)


def in_handler(action: Callable[[], Any]) -> Any:
    try:
        raise ValueError
    except ValueError:
        return action()


def in_coroutine(action: Callable[[], Any]) -> Any:
    async def inner() -> Any:
        return action()

    async def outer() -> Any:
        return await inner()

    try:
        outer().send(None)
    except StopIteration as stop:
        return stop.value


def in_class_body(action: Callable[[], Any]) -> Any:
    class Body:
        answer = action()

    return Body.answer


def in_callback_from_c(action: Callable[[], Any]) -> Any:
    return list(map(lambda _: action(), [0]))[0]


def while_traced(action: Callable[[], Any]) -> Any:
    def tracer(frame: Any, event: str, argument: Any) -> Any:
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        return action()
    finally:
        sys.settrace(before)


def while_profiled(action: Callable[[], Any]) -> Any:
    before = sys.getprofile()
    sys.setprofile(lambda *_: None)
    try:
        return action()
    finally:
        sys.setprofile(before)


def in_trace_function(action: Callable[[], Any]) -> Any:
    answer: list[Any] = []

    def tracer(frame: Any, event: str, argument: Any) -> None:
        if not answer:
            answer.append(action())

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        (lambda: 0)()
    finally:
        sys.settrace(before)
    return answer[0]


def without_free_tools(action: Callable[[], Any]) -> Any:
    mine = [n for n in range(6) if sys.monitoring.get_tool(n) is None]
    for n in mine:
        sys.monitoring.use_tool_id(n, "test")
    try:
        return action()
    finally:
        for n in mine:
            sys.monitoring.free_tool_id(n)


def with_busy_threads(action: Callable[[], Any]) -> Any:
    stop = threading.Event()
    threads = [threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        return next((answer for answer in (action() for _ in range(2)) if answer is not None), None)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    "place",
    [
        in_generator,
        in_thread,
        in_deep_recursion,
        in_handler,
        in_coroutine,
        in_class_body,
        in_callback_from_c,
        while_traced,
        while_profiled,
        in_trace_function,
        without_free_tools,
        with_busy_threads,
    ],
)
def test_check_passes_anywhere(place: Callable[[Callable[[], Any]], Any]) -> None:
    assert place(abi.check) is None


def test_check_leaves_no_trace() -> None:
    """Tools, events, file descriptors and objects are as before; warm code gives the same answer."""
    abi.check()
    gc.collect()
    tools = [sys.monitoring.get_tool(n) for n in range(6)]
    objects = len(gc.get_objects())
    for _ in range(50):
        assert abi.check() is None
    gc.collect()
    assert len(gc.get_objects()) - objects < 50
    assert [sys.monitoring.get_tool(n) for n in range(6)] == tools
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    assert max(read, write) < 200


def test_reads_of_missing_memory_are_answers() -> None:
    prober = Probe(LAYOUT, abi.thread_state())
    try:
        for address in (0, 8, 4096, -1, 2**47, 2**62, 2**63, 2**64 - 8):
            with pytest.raises(Mismatch):
                prober.word(address)
        assert prober.word(id(1.5) + LAYOUT.OB_TYPE) == id(float)
    finally:
        prober.close()


# The helpers


def test_reading_and_writing() -> None:
    buffer = (ctypes.c_uint64 * 2)(0x1122334455667788, 2**64 - 2)
    at = ctypes.addressof(buffer)
    assert abi.read64(at) == 0x1122334455667788
    assert abi.read32(at) == 0x55667788
    assert memory.read16(at) == 0x7788
    assert memory.read8(at) == 0x88
    assert abi.signed(abi.read64(at + 8)) == -2
    assert memory.read32s(at + 8) == -2
    assert abi.read32(at + 8) == 2**32 - 2
    abi.write64(at, -1)
    assert buffer[0] == 2**64 - 1
    abi.write32(at, 5)
    assert buffer[0] == 0xFFFFFFFF00000005


def test_objects_and_references() -> None:
    value = [object()]
    assert abi.object_at(id(value)) is value
    address = id(value[0])
    assert memory.refcount(address) == 1
    abi.incref(address)
    assert memory.refcount(address) == 2
    abi.decref(address)
    assert memory.refcount(address) == 1
    assert memory.new_reference(value[0]) == address
    assert memory.refcount(address) == 2
    abi.decref(address)
    assert abi.is_immortal(id(None)) and abi.is_immortal(id(0)) and not abi.is_immortal(address)
    assert memory.refcount(id(None)) > 1


def test_slots() -> None:
    holder = [object()]
    plain, none = id(holder[0]), id(None)
    assert memory.owned_slot(plain) == plain
    assert memory.owned_slot(none) == (none | 1 if NEW else none)
    assert memory.owned_slot(0) == LAYOUT.NULL_SLOT
    for address in (plain, none, 0):
        assert abi.slot_object(memory.owned_slot(address)) == address
    abi.incref(plain)
    memory.close_slot(memory.owned_slot(plain))
    memory.close_slot(memory.owned_slot(none))
    memory.close_slot(LAYOUT.NULL_SLOT)
    assert memory.refcount(plain) == 1
    if NEW:
        assert abi.slot_object(plain | 1) == plain
        memory.close_slot(plain | 1)  # borrowed
        assert memory.refcount(plain) == 1
        for number in (0, 1, 1000, -1):
            bits = (number << 2 | 3) & 2**64 - 1
            assert memory.slot_int(bits) == number
            assert abi.slot_object(bits) == 0
        assert abi.slot_object(2) == 0
    assert memory.slot_int(plain) is None


def test_frames_and_threads() -> None:
    ts = abi.thread_state()
    frame = sys._getframe()
    here = abi.frame_address(frame)
    assert abi.current_frame(ts) == here
    assert abi.slot_object(abi.read64(here + LAYOUT.FRAME_CODE)) == id(frame.f_code)
    assert abi.read64(here + LAYOUT.FRAME_OBJ) == id(frame)
    slots = here + LAYOUT.FRAME_LOCALSPLUS
    index = frame.f_code.co_varnames.index("frame")
    assert abi.slot_object(abi.read64(slots + 8 * index)) == id(frame)
    assert in_thread(abi.thread_state) != ts
    assert abi.thread_state() == ts


def test_eval_breaker_is_quiet() -> None:
    assert any(not memory.eval_breaker(abi.thread_state()) for _ in range(100))


def test_symbols() -> None:
    assert abi.symbol("PyFloat_Type") == id(float)
    assert abi.has_symbol("_PyEval_EvalFrameDefault")
    assert not abi.has_symbol("Py_NoSuchThing")
    with pytest.raises(AbiError, match="Py_NoSuchThing"):
        abi.symbol("Py_NoSuchThing")


def test_helpers_refuse_an_unknown_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LAYOUT", None)
    with pytest.raises(AbiError):
        abi.frame_address(sys._getframe())


def test_importing_jitcore_imports_neither_abi_nor_ctypes() -> None:
    code = "import sys, jitcore; print('ctypes' in sys.modules, 'jitcore.abi' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["False", "False"]
