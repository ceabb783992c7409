"""Exit descriptors, evaluators over real objects and frames, and the reference backend behind its C
function pointer."""

from __future__ import annotations

import ctypes
import gc
import math
import struct
import sys
import traceback
from typing import Any

import pytest
from jitcore.backends.descriptors import HEADER_WORDS, Temp, build, build_all
from jitcore.backends.reference import REGION, Program, ReferenceBackend
from jitcore.backends.reference.machine import Machine
from jitcore.optimizer.ir import FrameRec, Slot, State, Value
from jitcore.optimizer.registry import OPS, GuardFailed
from jitcore.optimizer.text import Symbols, parse
from jitcore.optimizer.verify import verify

from jitcore.abi import LAYOUT, memory


def sample(a: object, b: object) -> object:
    c = (a, b)
    return c


CODE = sample.__code__
NLOCALS = 3


def value(repr_: str) -> Value:
    return Value(repr_, None)  # type: ignore[arg-type]


# ---- descriptors ------------------------------------------------------------


def state_of(*slots: Slot, kind: str = "resume", **more: Any) -> State:
    return State(kind, (FrameRec(CODE, None, 4, 2, dict(enumerate(slots)), []),), "x", **more)


def temps(*slots: Slot) -> list[tuple[int, ...]]:
    return build(state_of(*slots), 0).temps()


def test_header_and_frames() -> None:
    i, o = value("i"), value("o")
    inner = FrameRec(
        CODE, sample, 10, 8, {2: Slot("new", (o,))}, [Slot("null")], ("null", "poison", "none", "empty"), "none"
    )
    outer = FrameRec(CODE, None, 6, 4, {}, [Slot("box", (i,)), Slot("tagged", (i,))])
    state = State("error", (outer, inner), "x")
    made = build(state, 17, hot=50)
    words = list(made.words)
    assert words[:9] == [0, 50, 17, 3, 4, 2, HEADER_WORDS + 16, 2, 0]
    start = id(CODE) + LAYOUT.CODE_BYTES
    frames = [
        *(id(CODE), 0, start + 6, start + 4, NLOCALS, 0, 2, 0, 0, 0, 1),
        *(id(CODE), id(sample), start + 10, start + 8, NLOCALS, 1, 1, 4, 1, 2, 2, 3, 0, 1, 2, 3),
    ]
    end = words[6] + len(frames)
    assert words[words[6] : end] == frames and not any(words[end:])
    assert made.temps() == [
        (Temp.BOX_INT, 0, 0, 0),
        (Temp.TAGGED, 0, 0, 0),
        (Temp.NEW, 1, 0, 0),
        (Temp.NULL, 0, 0, 0),
    ]
    assert sample in made.keep and CODE in made.keep
    assert ctypes.c_int64.from_address(made.address + 16).value == 17
    memory.write64(made.address, 3)
    assert made.count == 3
    made.hot = 9
    assert made.words[1] == 9 and made.hot == 9


def test_leaf_temps() -> None:
    i, f, b, o = map(value, "ifbo")
    big = object()
    assert temps(
        Slot("const", obj=big),
        Slot("box", (f,)),
        Slot("box", (b,)),
        Slot("steal", (o,)),
        Slot("poison"),
        Slot("local", index=2),
    ) == [
        (Temp.CONST, id(big), 0, 0),
        (Temp.BOX_FLOAT, 0, 0, 0),
        (Temp.BOX_BOOL, 1, 0, 0),
        (Temp.STEAL, 2, 0, 0),
        (Temp.POISON, 0, 0, 0),
        (Temp.COPY_LOCAL, 2, 0, 0),
    ]
    assert temps(Slot("range_iter", (i, i, i)), Slot("range", (i, i, i))) == [
        (Temp.RANGE_ITER, 0, 0, 0),
        (Temp.RANGE, 0, 0, 0),
    ]


def test_one_box_for_one_value() -> None:
    i = value("i")
    assert temps(Slot("box", (i,)), Slot("box", (i,)), Slot("box", (i,))) == [
        (Temp.BOX_INT, 0, 0, 0),
        (Temp.SAME, 0, 0, 0),
        (Temp.SAME, 0, 0, 0),
    ]


def test_each_steal_has_its_reference() -> None:
    o = value("o")
    assert temps(Slot("steal", (o,)), Slot("new", (o,)), Slot("steal", (o,))) == [
        (Temp.STEAL, 0, 0, 0),
        (Temp.NEW, 0, 0, 0),
        (Temp.STEAL, 0, 0, 0),
    ]


def test_virtual_objects_are_shared_by_identity() -> None:
    i = value("i")
    one = Slot("range_iter", (i, i, i))
    other = Slot("range_iter", (i, i, i))
    assert [t[0] for t in temps(one, other, one)] == [Temp.RANGE_ITER, Temp.RANGE_ITER, Temp.SAME]


def test_tuples() -> None:
    i, f = value("i"), value("f")
    inner = Slot("tuple", parts=(Slot("box", (f,)), Slot("box", (i,))))
    outer = Slot("tuple", parts=(Slot("box", (i,)), inner, Slot("tuple")))
    made = build(state_of(outer, Slot("box", (i,)), outer), 0)
    i_at, f_at = (made.state.values().index(v) for v in (i, f))
    assert made.temps() == [
        (Temp.BOX_INT, i_at, 0, 0),  # the plain slot comes first
        (Temp.BOX_FLOAT, f_at, 0, 0),  # the inner tuple's parts
        (Temp.SAME, 0, 0, 0),
        (Temp.SAME, 0, 0, 0),  # the outer tuple's parts
        (Temp.TUPLE, 1, 2, 0),
        (Temp.TUPLE, 3, 0, 0),
        (Temp.TUPLE, 3, 3, 0),
        (Temp.SAME, 6, 0, 0),
    ]


def test_iterators() -> None:
    """Their parts are consecutive temps before them, plain slots come first, one virtual object is made once."""
    i, j, a, b = value("i"), value("i"), value("o"), value("o")
    backwards = Slot("reversed_iter", (j,), parts=(Slot("new", (a,)),))
    zipped = Slot("zip", parts=(Slot("sequence_iter", (i,), parts=(Slot("steal", (b,)),)), backwards))
    made = build(state_of(Slot("enumerate", (j,), parts=(zipped,)), Slot("box", (i,)), backwards), 0)
    at = {v: n for n, v in enumerate(made.state.values())}
    assert made.temps() == [
        (Temp.BOX_INT, at[i], 0, 0),
        (Temp.STEAL, at[b], 0, 0),
        (Temp.NEW, at[a], 0, 0),
        (Temp.SEQUENCE_ITER, 1, 1, at[i]),
        (Temp.REVERSED_ITER, 2, 1, at[j]),
        (Temp.ZIP, 3, 2, 0),
        (Temp.ENUMERATE, 5, 1, at[j]),
        (Temp.SAME, 4, 0, 0),
    ]
    with pytest.raises(ValueError, match="parts"):
        build(state_of(kind="return", result=backwards), 0)


def test_return_value_is_the_first_temp() -> None:
    i, o = value("i"), value("o")
    made = build(state_of(Slot("new", (o,)), kind="return", result=Slot("box", (i,))), 0)
    assert made.temps()[0] == (Temp.BOX_INT, 0, 0, 0) and made.words[3] == 1
    with pytest.raises(ValueError, match="tuple.new"):
        build(state_of(kind="return", result=Slot("tuple")), 0)


# ---- evaluators over objects ------------------------------------------------------------

M = Machine(0, memory.thread_state(), 0)


def evaluate(name: str, *args: Any) -> Any:
    return OPS[name].evaluate(M, *args)


def taken(address: int) -> Any:
    """The object of an owned reference, which is given back."""
    made = memory.object_at(address)
    memory.decref(address)
    return made


def test_boxes() -> None:
    for number in (0, 5, -5, 10**6, -(1 << 63), (1 << 63) - 1):
        assert taken(evaluate("obj.box_int", number)) == number
        assert evaluate("obj.unbox_int", id(number)) == number
    for x in (0.0, -0.0, 1.5, math.inf, math.nan, -math.nan):
        made = taken(evaluate("obj.box_float", x))
        assert made is not x and struct.pack("d", made) == struct.pack("d", x)
    for name, wrong in [("int", True), ("int", 1 << 63), ("float", 1), ("bool", 1), ("bool", None)]:
        with pytest.raises(GuardFailed):
            evaluate(f"obj.unbox_{name}", id(wrong))
        with pytest.raises(GuardFailed):
            evaluate(f"obj.unbox_{name}", 0)
    assert evaluate("obj.unbox_bool", id(True)) is True


def test_floats_are_total() -> None:
    assert evaluate("float.div", 1.0, -0.0) == -math.inf and math.isnan(evaluate("float.div", 0.0, 0.0))
    assert (
        math.copysign(1.0, evaluate("float.roundeven", -0.4)) == -1.0
        and evaluate("float.roundeven", 2.5) == 2.0
    )
    assert evaluate("float.to_int", math.inf) == 0 and evaluate("int.floordiv", 1, 0) == 0


def test_lists_keep_count() -> None:
    item, other = object(), object()
    items = [item, item]
    counts = sys.getrefcount(item), sys.getrefcount(other)
    memory.incref(id(other))
    old = evaluate("list.set", id(items), 0, id(other))
    assert items[0] is other and taken(old) is item
    memory.incref(id(item))
    evaluate("list.append", id(items), id(item))
    assert (
        len(items) == 3
        and evaluate("list.len", id(items)) == 3
        and evaluate("list.get", id(items), 2) == id(item)
    )
    assert taken(evaluate("list.pop_last", id(items))) is item
    memory.incref(id(item))
    assert taken(evaluate("list.new", id(item))) == [item]
    memory.incref(id(item))
    pair = evaluate("tuple.new", id(item))
    assert evaluate("tuple.len", pair) == 1 and evaluate("tuple.get", pair, 0) == id(item)
    assert taken(pair) == (item,)
    del pair, items
    assert (sys.getrefcount(item), sys.getrefcount(other)) == (counts[0] - 2, counts[1])


def test_c_api_calls() -> None:
    a, b = 10**20, 7
    assert taken(M.capi("PyNumber_Add", [id(a), id(b)], ())) == a + b
    assert M.capi_status("PyObject_RichCompareBool", [id(a), id(b)], (4,)) == 1
    names = ("base",)
    text = "z1"
    assert taken(M.vectorcall(id(int), [id(text), id(36)], names)) == 35 * 36 + 1
    assert taken(M.vectorcall(id(int), [id("12")], None)) == 12


class Complains:
    def __add__(self, other: object) -> object:
        raise KeyError("mine")

    def __eq__(self, other: object) -> bool:
        raise KeyError("equal")


def test_closed_calls_clear_their_exception() -> None:
    assert evaluate("call.closed", id(1), id(0), "PyNumber_FloorDivide", ()) == 0 and not M.raised()
    assert taken(evaluate("call.closed", id(7), id(2), "PyNumber_FloorDivide", ())) == 3


def test_exceptions_are_kept_without_our_frames() -> None:
    machine = Machine(0, memory.thread_state(), 0)
    thing = Complains()
    assert machine.capi("PyNumber_Add", [id(thing), id(1)], ()) == 0
    assert machine.raised() and isinstance(machine.pending, KeyError)
    frames = [f.name for f in traceback.extract_tb(machine.pending.__traceback__)]
    assert frames == ["__add__"] and machine.pending.__context__ is None
    assert machine.capi_status("PyErr_ExceptionMatches", [id(LookupError)], ()) == 1
    machine.capi_status("PyErr_Clear", [], ())
    assert not machine.raised()
    assert (
        machine.capi_status("PyObject_RichCompareBool", [id(thing), id(1)], (2,)) == -1 and machine.raised()
    )


# ---- behind the function pointer ------------------------------------------------------------


def compiled(text: str, symbols: Symbols, **options: Any) -> tuple[Any, Any, list[int]]:
    graph = parse(text, symbols)
    verify(graph)
    backend = ReferenceBackend(**options)
    region = backend.compile(graph, build_all(graph, hot=7))
    return backend, region, [d.address for d in region.descriptors.values()]


def enter(region: Any, frame: int = 0, words: int = 16) -> tuple[int, list[int]]:
    buf = (ctypes.c_int64 * words)(*[-99] * words)
    at = REGION(region.address)(frame, memory.thread_state(), ctypes.addressof(buf))
    return at, list(buf)


LOOP = """graph "sum"
block a():
  %0:o = frame.local [slot=0]
  %1:i = obj.unbox_int %0 else mismatch before "type"
  %2:i = const.i [value=0]
  %3:f = const.f [value=0.5]
  jump loop(%2, %2)
block loop(%4:i, %5:i):
  %6:i = int.add_ovf %5, %4 else resume before "overflow" frame @f+4 call 4 {1: box %5} [box %4, box %4]
  %7:i = const.i [value=1]
  %8:i = int.add %4, %7
  %9:b = int.lt %8, %1
  branch %9 ? loop(%8, %6) : out()
block out():
  exit resume before "done" frame @f+6 call 6 {1: box %6} [box %9, new %0, box %3]
"""


def own_frame() -> int:
    return memory.frame_address(sys._getframe(1))


def run_loop(n: object, region: Any) -> tuple[int, list[int]]:
    return enter(region, own_frame())


def test_region_reads_the_frame_and_reports_raw_values() -> None:
    _, region, addresses = compiled(LOOP, Symbols(f=CODE))
    assert region.nbuf == 4
    n = 1000
    at, buf = run_loop(n, region)
    half = struct.unpack("q", struct.pack("d", 0.5))[0]
    assert at == addresses[2] and buf[:5] == [n * (n - 1) // 2, 0, id(n), half, -99]
    at, buf = run_loop("no int", region)
    assert at == addresses[0] and buf[0] == -99


def test_forced_exits() -> None:
    steps = iter([False, False, True])
    _, region, addresses = compiled(LOOP, Symbols(f=CODE), force=lambda: next(steps))
    at, buf = run_loop(1000, region)
    assert at == addresses[1] and buf[:2] == [1, 2]


CALLS = """graph "calls"
block a():
  %0:o = frame.local [slot=0]
  %1:o = call.vector %0 [kwnames=None]
  %2:b = obj.is_null %1
  guard %2 [expected=False] else error after "raised" frame @f+4 call 4 {} []
  exit resume after "done" frame @f+6 call 4 {} [steal %1]
"""


def run_calls(function: object, region: Any) -> tuple[int, list[int]]:
    return enter(region, own_frame())


def test_callees_see_the_regions_frame() -> None:
    _, region, addresses = compiled(CALLS, Symbols(f=CODE))
    at, buf = run_calls(lambda: [f.f_code.co_name for f in (sys._getframe(1), sys._getframe(2))], region)
    assert at == addresses[1] and taken(buf[0]) == ["run_calls", "test_callees_see_the_regions_frame"]


def test_pending_exception_is_handed_over() -> None:
    backend, region, addresses = compiled(CALLS, Symbols(f=CODE))

    def fails() -> None:
        raise KeyError("mine")

    at, _ = run_calls(fails, region)
    assert at == addresses[0]
    error = taken(ctypes.c_int64.from_address(backend.pending_error).value)
    assert isinstance(error, KeyError)
    assert [f.name for f in traceback.extract_tb(error.__traceback__)] == ["fails"]
    assert sys.exc_info() == (None, None, None)


def test_dealloc_runs_in_the_regions_frame() -> None:
    seen = []

    class Dies:
        def __del__(self) -> None:
            seen.append(sys._getframe(1).f_code.co_name)

    text = """graph "drop" block a(): %0:o = frame.local [slot=0] %1:o = call.vector %0 [kwnames=None]
              call.dealloc %1 exit resume after "done" frame @f+6 call 4 {} []"""
    _, region, _ = compiled(text, Symbols(f=CODE))
    run_calls(Dies, region)
    assert seen == ["run_calls"]


def stores(a: object, region: Any) -> tuple[int, object]:
    at, _ = enter(region, own_frame())
    return at, a


def test_frame_stores() -> None:
    text = """graph "store" block a(): %0:i = const.i [value=12345] %1:o = obj.box_int %0
      frame.store_local %1 [slot=0] %2:o = const.o [object=None] %3:o = frame.local [slot=0]
        %4:b = obj.is %2, %3
      exit resume after "done" frame @f+6 call 4 {} [box %4]"""
    _, region, addresses = compiled(text, Symbols(f=CODE))
    old = object()
    count = sys.getrefcount(old)
    assert stores(old, region) == (addresses[0], 12345)
    assert sys.getrefcount(old) == count


def test_validity_flag() -> None:
    text = """graph "valid" block a(): %0:b = region.valid
      exit resume after "done" frame @f+6 call 4 {} [box %0]"""
    graph = parse(text, Symbols(f=CODE))
    descriptors = build_all(graph)
    flag = ctypes.c_int64(1)
    region = ReferenceBackend().compile(graph, descriptors, ctypes.addressof(flag))
    assert enter(region)[1][0] == 1
    flag.value = 0
    assert enter(region)[1][0] == 0
    with pytest.raises(KeyError):
        ReferenceBackend().compile(graph, {})


def test_machine_leaves_no_garbage() -> None:
    _, region, _ = compiled(CALLS, Symbols(f=CODE))
    gc.collect()
    for _ in range(50):
        _, buf = run_calls(dict, region)
        taken(buf[0])
    before = len(gc.get_objects())
    for _ in range(50):
        _, buf = run_calls(dict, region)
        taken(buf[0])
    assert len(gc.get_objects()) - before < 20


def test_endless_graph_runs_out_of_fuel() -> None:
    with pytest.raises(TimeoutError):
        Program(parse('graph "g" block a(): jump b() block b(): jump b()')).run(M, fuel=10)
