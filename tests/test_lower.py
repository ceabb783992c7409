"""Native code against the reference evaluator: the same small graphs, run by both, over many operands.

Operands are read from objects made for the purpose (the three words of a range iterator, the value of a
float), so that nothing is a constant to LLVM; operations with short forms for literal operands are also
tested with these. Operations that change memory run on two copies of the same situation.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import math
import struct
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest
from jitcore.backends.exit_buffer import places
from jitcore.backends.llvm import jit as jit_module
from jitcore.backends.llvm.lower import LOWERINGS, Lowered, LowerOptions, explain, lower
from jitcore.backends.reference import REGION, Program, word
from jitcore.backends.reference.machine import Machine
from jitcore.backends.runtime import runtime
from jitcore.optimizer.ir import Block, Edge, FrameRec, Graph, Op, Slot, State, Value
from jitcore.optimizer.registry import OPS

from jitcore.abi import LAYOUT, check, memory, namespaces

EFFORTS = ("none", "full")
MIN, MAX = -(1 << 63), (1 << 63) - 1


def sample(a: object, b: object) -> object:
    c = (a, b)
    return c


CODE = sample.__code__
NLOCALS = 3
FRAME_WORDS = LAYOUT.FRAME_LOCALSPLUS // 8 + NLOCALS + 4


@cache
def linker() -> jit_module.Jit:
    return jit_module.Jit()


class Maker:
    """Builds a graph, and owns the objects its operands are read from."""

    def __init__(self) -> None:
        self.graph = Graph("test")
        self.block = self.graph.block("entry")
        self.inputs: list[tuple[str, int, object]] = []

    def emit(
        self, name: str, *args: Value, imm: tuple[Any, ...] = (), state: State | None = None
    ) -> Value:
        info = OPS[name]
        made = Op(info, list(args), imm, state or (self.state("failed") if info.guard else None))
        self.block.ops.append(made)
        return made.result if made.result is not None else Value("o", made)

    def state(self, reason: str, *values: Value, kind: str = "resume") -> State:
        slots = {n: Slot("new" if v.repr == "o" else "box", (v,)) for n, v in enumerate(values)}
        return State(kind, (FrameRec(CODE, None, 4, 2, slots, []),), reason)

    def input(self, repr_: str) -> Value:
        if repr_ == "f":
            box = float("1.5")
            self.inputs.append(("f", id(box) + LAYOUT.FLOAT_VALUE, box))
            return self.emit("obj.unbox_float", self.emit("const.o", imm=(box,)))
        holder = iter(range(3, 1000, 7))
        self.inputs.append((repr_, id(holder) + LAYOUT.RANGEITER_START, holder))
        name = "field.o" if repr_ == "o" else "field.i"
        read = self.emit(name, self.emit("const.o", imm=(holder,)), imm=("RANGEITER_START",))
        return self.emit("int.ne", read, self.emit("const.i", imm=(0,))) if repr_ == "b" else read

    def set(self, *values: Any) -> None:
        for (repr_, address, _), value in zip(self.inputs, values, strict=True):
            memory.write64(address, word(value, repr_))

    def exit(self, *values: Value) -> State:
        made = self.state("done", *values)
        self.block.exit(made)
        return made


class Native:
    """A graph compiled; `run` gives what `Program.run` gives."""

    def __init__(self, graph: Graph, effort: str, **options: Any) -> None:
        self.words: dict[State, ctypes.c_int64] = {}
        self.states: dict[int, State] = {}
        self.valid = ctypes.c_int64(1)
        self.lowered: Lowered = lower(
            graph,
            "region",
            self.descriptor,
            valid=ctypes.addressof(self.valid),
            options=LowerOptions(**options),
        )
        self.places = places(graph)
        symbols = {**runtime().symbols, **self.lowered.symbols}
        self.module = linker().compile_ir(self.lowered.ir_text, symbols, ["region"], effort)
        self.function = REGION(self.module.address("region"))
        self.buffer = (ctypes.c_int64 * (self.lowered.nbuf + 1))()

    def descriptor(self, state: State) -> int:
        address = ctypes.addressof(self.words.setdefault(state, ctypes.c_int64()))
        self.states[address] = state
        return address

    def run(self, frame: int = 0, tstate: int = 0) -> tuple[State, list[Any]]:
        state = self.states[self.function(frame, tstate, ctypes.addressof(self.buffer))]
        values = zip(self.places[state], state.values(), strict=True)
        return state, [decode(self.buffer[at], v.repr) for at, v in values]


def decode(bits: int, repr_: str) -> Any:
    if repr_ == "f":
        return struct.unpack("d", struct.pack("q", bits))[0]
    assert repr_ != "b" or bits in (0, 1)
    return bool(bits) if repr_ == "b" else bits


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return (a != a and b != b) or struct.pack("d", a) == struct.pack("d", b)
    return bool(a == b)


def interpret(graph: Graph, frame: int = 0, tstate: int = 0, valid: int = 0) -> tuple[State, list[Any]]:
    return Program(graph).run(Machine(frame, tstate, valid))


def agree(maker: Maker, cases: Iterable[tuple[Any, ...]], efforts: Iterable[str] = EFFORTS) -> None:
    """Native code and evaluator take the same exit with the same values."""
    program = Program(maker.graph)
    natives = [Native(maker.graph, effort) for effort in efforts]
    tried = 0
    for case in cases:
        maker.set(*case)
        state, values = program.run(Machine(0, 0, 0))
        for native in natives:
            got_state, got = native.run()
            assert got_state is state, (case, state.reason, got_state.reason)
            assert all(map(same, values, got)), (case, values, got)
        tried += 1
    assert tried


INTS = [0, 1, -1, 2, -2, 3, -3, 7, -8, 10, 31, 32, 62, 63, 64, 65, -64, 1000, 2**31, -(2**31), 3037000500]
INTS += [-3037000500, 2**53, 2**53 + 1, -(2**53) - 1, 2**62, 2**62 - 1, -(2**62), MAX, MAX - 1, MIN, MIN + 1]
FLOATS = [0.0, 1.0, 0.5, 1.5, 2.5, 3.7, 0.1, 5e-324, 1e-310, 1e16, 1e300, sys.float_info.max, math.inf]
FLOATS += [2.0**52 - 0.5, 2.0**52 + 1, 2.0**53, 2.0**62, 2.0**63, 0.49999999999999994, 1e-17, 7.0]
FLOATS += [-x for x in FLOATS] + [math.nan]
VALUES: dict[str, list[Any]] = {"i": INTS, "f": FLOATS, "b": [False, True]}

SKIP: dict[str, Callable[..., bool]] = {
    "int.shr": lambda a, b: b < 0,
    "int.below": lambda a, b: b < 0,
    "float.div": lambda a, b: b == 0,
    "float.floordiv": lambda a, b: b == 0,
    "float.mod": lambda a, b: b == 0,
    "int.add_fits": lambda a, b: not MIN <= a + b <= MAX,
    "int.sub_fits": lambda a, b: not MIN <= a - b <= MAX,
    "int.mul_fits": lambda a, b: not MIN <= a * b <= MAX,
    "int.div_pos": lambda a, b: a < 0 or b <= 0,
    "int.rem_pos": lambda a, b: a < 0 or b <= 0,
    "int.pow_ovf": lambda a, b: (a, b) == (-2, 63),  # fits; the evaluator leaves, which is allowed
}
NUMERIC = [
    name
    for name, info in OPS.items()
    if info.operands and info.result and set(info.operands) <= set("ifb") and info.result != "o" and not info.writes
]
SOME = {"int.range_len": 14, "int.select": 6, "float.select": 6}


def imms(name: str) -> list[tuple[Any, ...]]:
    if name == "float.libm1":
        return [(f,) for f in ("sin", "exp", "log", "tan", "atan", "cbrt")]
    return [("pow",), ("atan2",), ("fmod",)] if name == "float.libm2" else [()]


def test_every_operation_is_lowered() -> None:
    assert set(LOWERINGS) == set(OPS)


@pytest.mark.parametrize("name", NUMERIC)
def test_numbers(name: str) -> None:
    info = OPS[name]
    for imm in imms(name):
        maker = Maker()
        args = [maker.input(r) for r in info.operands]
        maker.exit(maker.emit(name, *args, imm=imm))
        cases = itertools.product(*[VALUES[r][: SOME.get(name, 99)] for r in info.operands])
        skip = SKIP.get(name, lambda *case: False)
        agree(maker, (case for case in cases if not skip(*case)))


WITH_LITERALS = ["int.floordiv", "int.mod", "int.shr", "int.shl_ovf", "int.mul_ovf", "int.pow_ovf"]


@pytest.mark.parametrize("name", WITH_LITERALS)
@pytest.mark.parametrize("literal", [0, 1, -1, 2, 3, -3, 8, 10, -16, 62, 63, 64, 1 << 62, MAX, MIN])
def test_literal_operands(name: str, literal: int) -> None:
    maker = Maker()
    maker.exit(maker.emit(name, maker.input("i"), maker.emit("const.i", imm=(literal,))))
    skip = SKIP.get(name, lambda *case: False)
    cases = [(n,) for n in INTS if not skip(n, literal)]
    if cases:
        agree(maker, cases, ["full"])


@pytest.mark.parametrize("step", [1, -1, 2, -3, 0, MAX, MIN])
def test_range_len_of_literal_steps(step: int) -> None:
    maker = Maker()
    start, stop = maker.input("i"), maker.input("i")
    maker.exit(maker.emit("int.range_len", start, stop, maker.emit("const.i", imm=(step,))))
    agree(maker, itertools.product(INTS, INTS), ["full"])


def test_range_len_of_all_steps() -> None:
    maker = Maker()
    maker.exit(maker.emit("int.range_len", *[maker.input("i") for _ in range(3)]))
    agree(maker, itertools.product(INTS[-14:], INTS[-14:], INTS), ["full"])


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("expected", [True, False])
def test_guards_and_constants(effort: str, expected: bool) -> None:
    maker = Maker()
    maker.emit("guard", maker.input("b"), imm=(expected,))
    maker.emit("anchor")  # never leaves
    values = [("const.i", MIN), ("const.f", -0.0), ("const.f", 0.1), ("const.b", True), ("const.o", sample)]
    maker.exit(*[maker.emit(name, imm=(v,)) for name, v in values])
    agree(maker, [(True,), (False,)], [effort])


class Number(int):
    """Not an exact int."""


OBJECTS: list[object] = [0, 1, -1, -5, 256, 257, 1024, 2**29, 2**30 - 1, 2**30, -(2**30)]
OBJECTS += [2**59, 2**60, -(2**60)]
OBJECTS += [MAX, MIN, MAX + 1, MIN - 1, 2**64, 2**64 - 1, -(2**64), 2**65, 2**90, -(2**90), 2**300, Number(5)]
OBJECTS += [True, False, None, 1.5, -0.0, math.nan, "text", (), [], int, sample]


@pytest.mark.parametrize(("name", "kind"), [("obj.int_value", int), ("obj.float_value", float)])
def test_values_of_known_type(name: str, kind: type) -> None:
    maker = Maker()
    maker.exit(maker.emit(name, maker.input("o")))
    agree(maker, [(id(o),) for o in OBJECTS if type(o) is kind])


@pytest.mark.parametrize("name", ["obj.unbox_int", "obj.unbox_float", "obj.unbox_bool", "obj.unbox_number"])
def test_unboxing(name: str) -> None:
    maker = Maker()
    maker.exit(maker.emit(name, maker.input("o")))
    agree(maker, [(0,), *[(id(o),) for o in OBJECTS]])


def test_object_tests() -> None:
    maker = Maker()
    a, b, c = maker.input("o"), maker.input("o"), maker.input("b")
    null = maker.emit("obj.null")
    made = [maker.emit("obj.is_null", a), maker.emit("obj.is", a, b), maker.emit("obj.select", c, a, b), maker.emit("obj.id", b)]
    made += [maker.emit("obj.select", c, null, b), maker.emit("obj.drop_is_safe", a)]
    maker.exit(*made, null)
    lonely = [[object()], [2.0**0.5], [{1: 2}], [str(gc)]]
    addresses = [0, *map(id, OBJECTS), *[id(one[0]) for one in lonely]]
    agree(maker, [(a, b, c) for a in addresses for b in (a, id(None), 0) for c in (True, False)])


@pytest.mark.parametrize("expected", [int, float, type(None), list])
def test_types(expected: type) -> None:
    maker = Maker()
    a = maker.input("o")
    maker.exit(maker.emit("obj.type_is", a, imm=(expected,)), maker.emit("obj.shared", a))
    lonely = [[object()], [Number(3)]]
    agree(maker, [(id(o),) for o in [*OBJECTS, lonely[0][0], lonely[1][0]]])
    agree(maker, [(id(one[0]),) for one in lonely])


def test_a_type_is_the_same_in_every_operation() -> None:
    maker = Maker()
    o = maker.input("o")
    for expected in (int, float):
        good, done = maker.graph.block("good"), maker.graph.block("not")
        same_type = maker.emit("obj.type_is", o, imm=(expected,))
        maker.block.branch(same_type, Edge(good, []), Edge(done, []))
        maker.block = good
        maker.exit(maker.emit("obj.unbox_int" if expected is int else "obj.unbox_float", o))
        maker.block = done
    constant = maker.emit("const.o", imm=(int,))
    maker.exit(maker.emit("obj.is", o, constant), maker.emit("obj.is", constant, constant))
    agree(maker, [(id(o),) for o in OBJECTS])


@pytest.mark.parametrize("effort", EFFORTS)
def test_boxing(effort: str) -> None:
    for name, repr_ in (("obj.box_int", "i"), ("obj.box_float", "f"), ("obj.box_bool", "b")):
        maker = Maker()
        maker.exit(maker.emit(name, maker.input(repr_)))
        native = Native(maker.graph, effort)
        for value in VALUES[repr_]:
            maker.set(value)
            address = native.run()[1][0]
            made = memory.object_at(address)
            memory.decref(address)
            assert type(made) is type(value) and same(made, value)
            if repr_ == "i" and LAYOUT.SMALL_INT_MIN <= value <= LAYOUT.SMALL_INT_MAX:
                assert made is int(str(value))


@pytest.mark.parametrize("effort", EFFORTS)
def test_reference_counts(effort: str) -> None:
    maker = Maker()
    o = maker.input("o")
    maker.emit("obj.incref", o)
    maker.emit("obj.incref", o)
    maker.emit("obj.drop", o)
    maker.exit()
    native = Native(maker.graph, effort)
    target = object()
    before = sys.getrefcount(target)
    maker.set(id(target))
    for _ in range(5):
        native.run()
    assert sys.getrefcount(target) == before + 5
    for _ in range(5):
        memory.decref(id(target))
    words = [memory.read64(id(o)) for o in (None, 5, sys)]
    for immortal in (None, 5):
        maker.set(id(immortal))
        native.run()
    assert [memory.read64(id(o)) for o in (None, 5, sys)] == words


class Noted:
    """Says when it dies."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def __del__(self) -> None:
        self.log.append("gone")


@pytest.mark.parametrize("name", ["obj.drop", "call.dealloc"])
@pytest.mark.parametrize("effort", EFFORTS)
def test_last_drop(name: str, effort: str) -> None:
    maker = Maker()
    maker.emit(name, maker.input("o"))
    maker.exit()
    native = Native(maker.graph, effort)
    log: list[str] = []
    target = Noted(log)
    maker.set(memory.new_reference(target))
    native.run()
    assert not log
    maker.set(memory.new_reference(target))
    del target
    native.run()
    assert log == ["gone"]


def test_fields() -> None:
    maker = Maker()
    o, n = maker.input("o"), maker.input("i")
    first = maker.emit("field.i", o, imm=("RANGEITER_STEP",))
    maker.emit("field.set_i", o, n, imm=("RANGEITER_LEN",))
    second = maker.emit("field.i", o, imm=("RANGEITER_LEN",))
    kind = maker.emit("field.o", o, imm=("OB_TYPE",))
    maker.exit(first, second, kind)
    target = iter(range(1, 100, 3))
    agree(maker, [(id(target), n) for n in INTS])
    assert memory.read64(id(target) + LAYOUT.RANGEITER_LEN) == MIN + 1 + 2**64


def test_sizes() -> None:
    maker = Maker()
    s, t, n, i = maker.input("o"), maker.input("o"), maker.input("o"), maker.input("i")
    made = [maker.emit("str.len", s), maker.emit("tuple.len", t), maker.emit("tuple.get", t, i)]
    maker.exit(*made, maker.emit("list.len", n), maker.emit("list.get", n, i))
    objects: list[Any] = ["héllo", (1, None, "x", sample), [1.5, sample, "yy", 3]]
    agree(maker, [(*map(id, objects), i) for i in range(4)])


def test_sizes_of_dicts_and_sets() -> None:
    maker = Maker()
    d, s, b = maker.input("o"), maker.input("o"), maker.input("o")
    maker.exit(maker.emit("dict.len", d), maker.emit("set.len", s), maker.emit("field.i", b, imm=("OB_SIZE",)))
    dicts: list[Any] = [{}, {"a": 1}, dict.fromkeys(range(100)), vars(type("Few", (), {"__init__": lambda self: setattr(self, "x", 1)})())]
    sets: list[Any] = [set(), frozenset("ab"), set(range(1000))]
    del dicts[2][7]
    sets[2].discard(3)
    others = [b"", b"abc", bytearray(9), deque(range(5))]
    agree(maker, [(id(dict_), id(set_), id(other)) for dict_ in dicts for set_ in sets for other in others])


# ---- what changes memory -------------------------------------------------------------------------------


@pytest.mark.parametrize("effort", EFFORTS)
def test_list_set(effort: str) -> None:
    maker = Maker()
    n, i, v = maker.input("o"), maker.input("i"), maker.input("o")
    old = maker.emit("list.set", n, i, v)
    maker.exit(old)
    native = Native(maker.graph, effort)
    target: list[Any] = [object(), object()]
    kept, new = target[1], object()
    maker.set(id(target), 1, memory.new_reference(new))
    assert native.run()[1] == [id(kept)]
    assert target[1] is new and memory.refcount(id(kept)) == 2
    memory.decref(id(kept))


FRESH: dict[str, Callable[[int], object]] = {
    "float": lambda k: k + 0.5,
    "int": lambda k: k + 123_456,
    "negative": lambda k: -k - 123_456,
    "big": lambda k: k + (1 << 70),
    "two digits": lambda k: k + (1 << 31),
    "small int": lambda k: k % 2,
    "bool": lambda k: k % 2 == 0,
    "subclass": lambda k: Number(k),
    "text": lambda k: f"text {k}",
    "list": lambda k: [k, 1.5],
}


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("old", FRESH)
@pytest.mark.parametrize("name", ["list.set_float", "list.set_int"])
def test_numbers_stored_into_lists(name: str, old: str, effort: str) -> None:
    """Into the box that is there if nobody else has it; one that somebody has keeps its value."""
    maker, kind = Maker(), name.removeprefix("list.set_")
    n, i, v = maker.input("o"), maker.input("i"), maker.input(kind[0])
    known = {"float": float, "int": int, "negative": int}.get(old) if effort == "full" else None
    maker.emit(name, n, i, v, imm=(known,))
    maker.exit()
    native = Native(maker.graph, effort)
    values: list[Any] = [0.0, -0.0, 1.5, math.inf, -1e300] if kind == "float" else [0, 1, -1, -5, -6, 256, 257, 1024, 1025, -123_457]
    if kind == "int":
        values += [2**30 - 1, -(2**30) + 1, 2**30, -(2**30), 2**60, -(2**60), MAX, MIN]
    for run in (native.run, lambda: interpret(maker.graph)):
        for k, value in enumerate(values):
            for shared in (False, True):
                target = [None, FRESH[old](k)]
                holder = [target[1]] if shared else []
                before, address = repr(target[1]), id(target[1])
                count = memory.refcount(address)
                maker.set(id(target), 1, value)
                run()
                assert type(target[1]) is type(value) and repr(target[1]) == repr(value)
                if kind == "int" and LAYOUT.SMALL_INT_MIN <= value <= LAYOUT.SMALL_INT_MAX:
                    assert target[1] is int(str(value))
                for one in holder:
                    assert repr(one) == before and memory.refcount(address) in (count - 1, count)
                assert not shared or target[1] is not holder[0] or count >= 1 << 62


@pytest.mark.parametrize("effort", EFFORTS)
def test_a_box_of_its_own_is_written_to(effort: str) -> None:
    for kind, old, new in (("float", 2.5, 7.25), ("int", 123_456, -99_999)):
        maker = Maker()
        maker.emit(f"list.set_{kind}", maker.input("o"), maker.input("i"), maker.input(kind[0]), imm=(None,))
        maker.exit()
        target = [old * 3]
        address = id(target[0])
        maker.set(id(target), 0, new)
        for run in (Native(maker.graph, effort).run, lambda: interpret(maker.graph)):  # noqa: B023
            run()
            assert target == [new] and id(target[0]) == address


@pytest.mark.parametrize("effort", EFFORTS)
def test_list_grows_and_shrinks(effort: str) -> None:
    """Also compares the allocated size with that of a list that went the same way in CPython."""
    grow = Maker()
    grow.emit("list.append", grow.input("o"), grow.input("o"))
    grow.exit()
    shrink = Maker()
    target = shrink.input("o")
    popped = shrink.emit("list.pop_last", target)
    shrink.exit(popped, shrink.emit("list.len", target))
    growing, shrinking = Native(grow.graph, effort), Native(shrink.graph, effort)
    ours: list[Any] = []
    theirs: list[Any] = []
    items = [object() for _ in range(100)]
    addresses = list(map(id, items))
    counts = list(map(memory.refcount, addresses))
    for n in range(len(items)):
        grow.set(id(ours), memory.new_reference(items[n]))
        growing.run()
        theirs.append(items[n])
        assert ours == theirs and sys.getsizeof(ours) == sys.getsizeof(theirs)
    for _ in range(100):
        shrink.set(id(ours))
        address, left = shrinking.run()[1]
        assert address == id(theirs.pop()) and left == len(theirs)
        assert ours == theirs and sys.getsizeof(ours) == sys.getsizeof(theirs)
        memory.decref(address)
    assert counts == list(map(memory.refcount, addresses))


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("kind", ["list", "tuple"])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_new_sequences(effort: str, kind: str, count: int) -> None:
    maker = Maker()
    maker.exit(maker.emit(f"{kind}.new", *[maker.input("o") for _ in range(count)]))
    native = Native(maker.graph, effort)
    items = [object() for _ in range(count)]
    before = list(map(memory.refcount, map(id, items)))
    maker.set(*[memory.new_reference(o) for o in items])
    address = native.run()[1][0]
    made = memory.object_at(address)
    memory.decref(address)
    assert type(made).__name__ == kind and list(made) == items
    assert gc.is_tracked(made) or not made
    assert memory.refcount(id(made)) == 1 or not made
    del made
    assert before == list(map(memory.refcount, map(id, items)))


class Fake:
    """A frame that no interpreter runs: the words that frame operations touch."""

    def __init__(self, slots: list[int]) -> None:
        self.words = (ctypes.c_int64 * FRAME_WORDS)()
        self.address = ctypes.addressof(self.words)
        memory.write64(self.address + LAYOUT.FRAME_CODE, memory.owned_slot(id(CODE)))
        memory.write64(self.address + LAYOUT.FRAME_GLOBALS, id(CODE))
        memory.write64(self.address + LAYOUT.FRAME_BUILTINS, id(sample))
        for n in range(NLOCALS + 4):
            bits = slots[n] if n < len(slots) else LAYOUT.NULL_SLOT
            memory.write64(self.address + LAYOUT.FRAME_LOCALSPLUS + 8 * n, bits)

    def slot(self, n: int) -> int:
        return memory.read64(self.address + LAYOUT.FRAME_LOCALSPLUS + 8 * n)


def slots() -> list[int]:
    borrowed = id(BORROWED) | 1 if LAYOUT.TAGGED else id(BORROWED)
    return [memory.owned_slot(id(None)), LAYOUT.NULL_SLOT, id(OWNED), id(OWNED), borrowed, LAYOUT.NULL_SLOT]


OWNED, BORROWED = object(), object()


REPLACEMENT = ["a value that is counted"]


@pytest.mark.parametrize("effort", EFFORTS)
def test_names_of_a_namespace(effort: str) -> None:
    space = types.ModuleType("space").__dict__
    space.update(one=10**9, two=object(), __builtins__=types)
    watchers = namespaces.tolerated(-1)
    table = namespaces.table_of(space, watchers)
    assert table is not None
    words = namespaces.words_of(table)
    assert all(memory.read64(words[name]) == id(space[name]) for name in space)
    one, two = (next(key for key in space if key == name) for name in ("one", "two"))

    def outcome() -> list[object]:
        maker = Maker()
        of = maker.emit("const.o", imm=(space,))
        made = [maker.emit("namespace.table_is", of, imm=(at, watchers)) for at in (table, table + 8)]
        made += [maker.emit("name.is_at", imm=(key, words[name])) for key, name in ((one, "one"), (one, "two"), (two, "two"))]
        made.append(maker.emit("name.get", imm=(words["one"],)))
        value = maker.emit("const.o", imm=(REPLACEMENT,))
        maker.emit("obj.incref", value)
        maker.emit("name.put", value, imm=(words["two"],))
        made.append(maker.emit("name.get", imm=(words["two"],)))
        maker.exit(*made)
        results = []
        for run in (Native(maker.graph, effort).run, lambda frame: interpret(maker.graph, frame)):
            space["two"] = old = object()
            before = sys.getrefcount(old)
            fake = Fake(slots())
            results.append(run(fake.address))
            assert space["two"] is REPLACEMENT
            assert sys.getrefcount(old) == before - 1
        return results

    native, reference = outcome()
    assert native == reference and native[1][:5] == [True, False, True, False, True]


@pytest.mark.parametrize("effort", EFFORTS)
def test_reading_the_frame(effort: str) -> None:
    maker = Maker()
    made = [maker.emit("frame.local", imm=(n,)) for n in range(NLOCALS)]
    made += [maker.emit("frame.stack", imm=(n,)) for n in range(3)]
    made += [maker.emit("frame.stack_unique", imm=(n,)) for n in range(3)]
    made += [maker.emit(name) for name in ("frame.globals", "frame.builtins", "frame.namespace", "frame.taken")]
    maker.exit(*made)
    native = Native(maker.graph, effort)
    for stack in (slots(), [*slots()[:3], memory.owned_slot(id([object()][0]))]):
        fake = Fake(stack)
        assert native.run(fake.address) == interpret(maker.graph, fake.address)
    alone = object()
    fake = Fake([*slots()[:3], id(alone)])
    assert native.run(fake.address)[1][6] is True
    more = [alone]
    assert native.run(fake.address)[1][6] is False
    assert native.run(fake.address)[1][-1] is False
    frame_object = object()
    memory.write64(fake.address + LAYOUT.FRAME_OBJ, id(frame_object))
    assert native.run(fake.address)[1][-1] is LAYOUT.LOCALS_PROXY
    more.append(frame_object)
    assert native.run(fake.address)[1][-1] is True
    assert native.run(fake.address) == interpret(maker.graph, fake.address)


@pytest.mark.parametrize("effort", EFFORTS)
def test_taking_from_the_stack(effort: str) -> None:
    maker = Maker()
    maker.exit(*[maker.emit("frame.take_stack", imm=(n,)) for n in range(3)])
    native = Native(maker.graph, effort)
    fake = Fake(slots())
    owned, borrowed = sys.getrefcount(OWNED), sys.getrefcount(BORROWED)
    assert native.run(fake.address)[1] == [id(OWNED), id(BORROWED), 0]
    assert sys.getrefcount(OWNED) == owned
    assert sys.getrefcount(BORROWED) == borrowed + LAYOUT.TAGGED
    if LAYOUT.TAGGED:
        memory.decref(id(BORROWED))


@pytest.mark.parametrize("effort", EFFORTS)
def test_stack_integers(effort: str) -> None:
    maker = Maker()
    maker.exit(maker.emit("frame.stack_tagged", imm=(0,)))
    native = Native(maker.graph, effort)
    for bits in (3, (77 << 2) | 3, 0, 1, 8, 2):
        fake = Fake([*slots()[:3], bits])
        assert native.run(fake.address)[1] == interpret(maker.graph, fake.address)[1]
    if LAYOUT.FOR_ITER_PAIR:
        maker = Maker()
        maker.exit(maker.emit("frame.stack", imm=(0,)), maker.emit("frame.take_stack", imm=(0,)))
        assert Native(maker.graph, effort).run(Fake([*slots()[:3], 7]).address)[1] == [0, 0]


@pytest.mark.parametrize("effort", EFFORTS)
def test_writing_the_frame(effort: str) -> None:
    maker = Maker()
    value = maker.input("o")
    maker.emit("frame.store_local", value, imm=(1,))
    maker.emit("frame.lower_stack", imm=(2,))
    maker.emit("frame.set_ip", imm=(6,))
    maker.exit()
    native = Native(maker.graph, effort)
    new = object()
    contents = [LAYOUT.NULL_SLOT, 0, memory.owned_slot(id(None))]
    contents += [id(new) | 1] if LAYOUT.TAGGED else []
    for content, stored in itertools.product(contents, (id(new), id(None), id(True), 0)):
        fakes = [Fake([LAYOUT.NULL_SLOT, content]) for _ in range(2)]
        maker.set(stored)
        before = sys.getrefcount(new)
        native.run(fakes[0].address)
        interpret(maker.graph, fakes[1].address)
        if LAYOUT.SP_IS_POINTER:
            fakes[1].words[LAYOUT.FRAME_SP // 8] += fakes[0].address - fakes[1].address
        assert list(fakes[0].words) == list(fakes[1].words)
        assert sys.getrefcount(new) == before
    log: list[str] = []
    fake = Fake([LAYOUT.NULL_SLOT, memory.new_reference(Noted(log))])
    maker.set(id(new))
    native.run(fake.address)
    assert log == ["gone"] and fake.slot(1) == id(new)
    maker = Maker()
    maker.emit("frame.store_local", maker.emit("obj.null"), imm=(0,))
    maker.emit("frame.store_local", maker.emit("const.o", imm=(None,)), imm=(1,))
    maker.exit()
    fake = Fake([memory.owned_slot(id(None))])
    Native(maker.graph, effort).run(fake.address)
    assert [fake.slot(0), fake.slot(1)] == [LAYOUT.NULL_SLOT, memory.owned_slot(id(None))]


@pytest.mark.parametrize("effort", EFFORTS)
def test_polls(effort: str) -> None:
    maker = Maker()
    maker.exit(maker.emit("poll"), maker.emit("region.valid"))
    native = Native(maker.graph, effort)
    tstate, interp = (ctypes.c_int64 * 64)(), (ctypes.c_int64 * 128)()
    at = ctypes.addressof(tstate)
    memory.write64(at + LAYOUT.TS_INTERP, ctypes.addressof(interp))
    breaker = (ctypes.addressof(interp) if LAYOUT.EVAL_BREAKER_IN_INTERP else at) + LAYOUT.EVAL_BREAKER_OFFSET
    for bits in (0, 1, 0x80, 0x100, 0x4000):
        memory.write32(breaker, bits)
        native.valid.value = bits & 1
        wanted = interpret(maker.graph, 0, at, ctypes.addressof(native.valid))
        assert native.run(0, at) == wanted


@pytest.mark.parametrize("effort", EFFORTS)
def test_whether_a_tool_watches_exceptions(effort: str) -> None:
    if check() is not None or not memory.exceptions_proven:
        pytest.skip("it is not known where this build says so")
    maker = Maker()
    maker.exit(maker.emit("error.unseen"))
    native, monitoring, at = Native(maker.graph, effort), sys.monitoring, memory.thread_state()
    monitoring.use_tool_id(4, "test")
    try:
        for name in ("", *memory.EXCEPTION_EVENTS, ""):
            monitoring.set_events(4, getattr(monitoring.events, name) if name else 0)
            assert native.run(0, at)[1] == interpret(maker.graph, 0, at, 0)[1] == [not name]
    finally:
        monitoring.set_events(4, 0)
        monitoring.free_tool_id(4)


# ---- calls ---------------------------------------------------------------------------------------------


def result_of(address: int) -> Any:
    made = memory.object_at(address)
    memory.decref(address)
    return made


@pytest.mark.parametrize("effort", EFFORTS)
def test_c_functions(effort: str) -> None:
    maker = Maker()
    a, b = maker.input("o"), maker.input("o")
    made = [maker.emit("call.object", a, b, imm=("PyNumber_Add", ()))]
    made += [maker.emit("call.closed", a, b, imm=("PyNumber_Multiply", ()))]
    made += [maker.emit("call.object", a, b, imm=("PyObject_RichCompare", (k,))) for k in (0, 2)]
    made.append(maker.emit("call.status", a, b, imm=("PyObject_RichCompareBool", (4,))))
    maker.exit(*made, maker.emit("call.raised"))
    native = Native(maker.graph, effort)
    x, y = 2**80, 3.5
    maker.set(id(x), id(y))
    values = native.run()[1]
    assert [result_of(v) for v in values[:4]] == [x + y, x * y, x < y, x == y]
    assert values[4:] == [int(x > y), False]


@pytest.mark.parametrize("effort", EFFORTS)
def test_c_functions_that_raise(effort: str) -> None:
    maker = Maker()
    a = maker.input("o")
    failed = maker.emit("obj.is_null", maker.emit("call.object", a, a, imm=("PyNumber_Add", ())))
    status = maker.emit("call.status", a, a, imm=("PyObject_IsTrue", ()))
    maker.exit(failed, maker.emit("call.raised"), status)
    native = Native(maker.graph, effort)
    target = object()
    maker.set(id(target))
    with pytest.raises(TypeError):
        native.run()
    assert list(native.buffer[:3]) == [1, 1, 1]
    maker = Maker()
    maker.exit(maker.emit("call.status", maker.input("o"), imm=("PyObject_Length", ())))
    maker.set(id(target))
    native = Native(maker.graph, effort)
    with pytest.raises(TypeError):
        native.run()
    assert native.buffer[0] == -1


def callee(*args: object, **keywords: object) -> tuple[object, ...]:
    return (*args, keywords)


@pytest.mark.parametrize("effort", EFFORTS)
def test_vectorcalls(effort: str) -> None:
    maker = Maker()
    f, a, b = maker.input("o"), maker.input("o"), maker.input("o")
    made = [maker.emit("call.vector", f, imm=(None,)), maker.emit("call.vector", f, a, b, imm=(None,))]
    made += [maker.emit("call.vector", f, a, b, a, imm=(("k", "m"),))]
    maker.exit(*made)
    native = Native(maker.graph, effort)
    x, y = object(), object()
    maker.set(id(callee), id(x), id(y))
    assert [result_of(v) for v in native.run()[1]] == [({},), (x, y, {}), (x, {"k": y, "m": x})]


# ---- control flow --------------------------------------------------------------------------------------


Body = Callable[[Value, list[Value]], list[Value]]


def loop(maker: Maker, body: Body, starts: list[Value], stop: Value) -> None:
    """`for k in range(stop): values = body(k, values)`, then leaves with the values."""
    head, inside, done = (maker.graph.block(label) for label in ("head", "body", "done"))
    maker.block.jump(head, [maker.emit("const.i", imm=(0,)), *starts])
    k, *values = (head.param(r) for r in ["i", *[s.repr for s in starts]])
    maker.block = head
    head.branch(maker.emit("int.lt", k, stop), Edge(inside, []), Edge(done, []))
    maker.block = inside
    made = body(k, values)
    following = maker.emit("int.add", k, maker.emit("const.i", imm=(1,)))
    maker.block.jump(head, [following, *made])
    maker.block = done
    maker.exit(*values)


def test_loop_carried_values_change_places() -> None:
    maker = Maker()
    starts = [maker.input("i"), maker.input("i"), maker.input("f"), maker.input("o"), maker.input("b")]

    def body(k: Value, v: list[Value]) -> list[Value]:
        done = maker.emit("int.add_ovf", v[0], v[1], state=maker.state("overflow", k, *v))
        half = maker.emit("float.mul", v[2], maker.emit("const.f", imm=(0.5,)))
        return [v[1], done, half, v[3], maker.emit("bool.not", v[4])]

    loop(maker, body, starts, maker.input("i"))
    agree(maker, [(0, 1, 1e300, id(maker), True, n) for n in (0, 1, 2, 50, 90, 91, 92, 93, 200)])


@pytest.mark.parametrize("effort", EFFORTS)
def test_both_edges_of_a_branch_to_one_block(effort: str) -> None:
    maker = Maker()
    c, a, b = maker.input("b"), maker.input("i"), maker.input("i")
    done = maker.graph.block("done")
    value = done.param("i")
    maker.block.branch(c, Edge(done, [a]), Edge(done, [b]))
    maker.block = done
    maker.exit(value)
    agree(maker, [(True, 3, 4), (False, 3, 4)], [effort])


def test_guards_may_share_a_state() -> None:
    maker = Maker()
    a = maker.input("i")
    shared = maker.state("shared", a)
    b = maker.emit("int.add_ovf", a, a, state=shared)
    maker.exit(maker.emit("int.add_ovf", b, b, state=shared))
    text = explain(maker.graph)
    assert text.count("[ @d0, %x0 ]") == text.count("[ @d1, %x1 ]") == text.count("ret i64") == 1
    agree(maker, [(n,) for n in INTS])


@pytest.mark.parametrize("effort", EFFORTS)
def test_every_guard_can_be_forced(effort: str) -> None:
    maker = Maker()
    start = maker.input("i")
    box = maker.emit("const.o", imm=(3,))

    def body(k: Value, v: list[Value]) -> list[Value]:
        one = maker.emit("obj.unbox_int", box, state=maker.state("unbox", k, *v))
        error = maker.state("e", kind="error")
        maker.emit("guard", maker.emit("const.b", imm=(True,)), imm=(True,), state=error)
        return [maker.emit("int.add_ovf", v[0], one, state=maker.state("add", k, *v, one))]

    loop(maker, body, [start], maker.emit("const.i", imm=(10,)))
    maker.set(5)
    counter, forced = ctypes.c_int64(0), ctypes.c_int64(0)
    cells = {"force_counter": ctypes.addressof(counter), "forced": ctypes.addressof(forced)}
    native = Native(maker.graph, effort, deopt=True, **cells)
    for n in range(1, 25):
        counter.value, forced.value = n, 0
        state, values = native.run()
        k, which = divmod(n - 1, 2)
        if k == 10:
            assert (state.reason, values, forced.value) == ("done", [35], 0) and counter.value == n - 20
            break
        assert (state.reason, forced.value, counter.value) == (("unbox", "add")[which], 1, 0)
        assert values == [k, 5 + 3 * k, *[3][: which]]


def test_frames_are_needed_for_frame_operations() -> None:
    graph = Graph("bare")
    block: Block = graph.block("entry")
    block.ops.append(Op(OPS["frame.set_ip"], [], (0,), None))
    block.exit(State("resume", (), "x"))
    with pytest.raises(ValueError):
        explain(graph)


# ---- the text ------------------------------------------------------------------------------------------


def summing(kind: str) -> Maker:
    maker = Maker()
    total = maker.input("i" if kind == "int" else "f")
    stop = maker.input("i")

    def body(k: Value, v: list[Value]) -> list[Value]:
        maker.emit("guard", maker.emit("poll"), imm=(False,), state=maker.state("poll", k, *v))
        if kind == "int":
            return [maker.emit("int.add_ovf", v[0], k, state=maker.state("overflow", k, *v))]
        return [maker.emit("float.add", v[0], maker.emit("float.from_int", k))]

    loop(maker, body, [total], stop)
    return maker


@pytest.mark.parametrize("triple", ["", "aarch64-unknown-linux-gnu", "riscv64-unknown-linux-gnu"])
def test_the_text_names_no_address(triple: str) -> None:
    maker = summing("int")
    text = explain(maker.graph, options=LowerOptions(triple=triple))
    assert str(maker.inputs[0][1]) not in text and "inttoptr (" not in text
    if triple:
        assert jit_module.assembly(text, triple)
    again = explain(summing("int").graph, options=LowerOptions(triple=triple))
    assert text == again


def test_loops_are_tight() -> None:
    """No memory traffic in the loop besides the poll, and nothing of the exits."""
    for kind in ("int", "float"):
        text = jit_module.optimized_ir(explain(summing(kind).graph))
        loads = [line for line in text.splitlines() if " load " in line and "volatile" not in line]
        assert len(loads) <= (4 if kind == "int" else 5)
        assert text.count("load volatile") <= 2


# ---- iterators -----------------------------------------------------------------------------------------

BIG = 1 << 70


def both_make(name: str, args: list[Any], objects: int) -> list[Any]:
    """What the evaluator and native code make of the operands; the first `objects` of them are given away."""
    maker = Maker()
    made = maker.emit(name, *[maker.input("o" if n < objects else "i") for n in range(len(args))])
    maker.exit(made)
    runs: list[Callable[[], tuple[State, list[Any]]]] = [lambda: interpret(maker.graph)]
    runs += [Native(maker.graph, effort).run for effort in EFFORTS]
    found = []
    for run in runs:
        maker.set(*[memory.new_reference(a) if n < objects else a for n, a in enumerate(args)])
        address = run()[1][0]
        found.append(memory.object_at(address))
        memory.decref(address)
    return found


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("iter.new_range", [5, 3, -2], [5, 3, 1]),
        ("iter.new_range", [5, 0, 2], []),
        ("iter.new_sequence", [[1, 2, 3, 4], 2], [3, 4]),
        ("iter.new_sequence", [(1, 2, 3, BIG), 1], [2, 3, BIG]),
        ("iter.new_sequence", [[1, 2], 9], []),
        ("iter.new_reversed", [[1, 2, 3, 4], 1], [2, 1]),
        ("iter.new_reversed", [[1, 2], -1], []),
    ],
)
def test_new_iterators(name: str, args: list[Any], expected: list[Any]) -> None:
    objects = int(name != "iter.new_range")
    counts = [sys.getrefcount(a) for a in args]
    for made in both_make(name, args, objects):
        assert list(made) == expected
        model: Any = (args[0] if objects else range(0))[:0]
        assert type(made) is type(reversed(model) if "reversed" in name else iter(model))
    del made
    gc.collect()
    assert [sys.getrefcount(a) for a in args] == counts


def test_new_enumerate_and_zip() -> None:
    items = [object() for _ in range(3)]
    counts = [sys.getrefcount(o) for o in items]
    for count in (0, -5, (1 << 61) - 1):
        inner = iter(items * 3)
        held = sys.getrefcount(inner)
        made = both_make("iter.new_enumerate", [inner, count], 1)
        assert sys.getrefcount(inner) == held + len(made)
        for n, each in enumerate(made):
            assert type(each) is enumerate and next(each) == (count, items[n % 3]), n
            assert each.__reduce__() == (enumerate, (inner, count + 1))
    for parts in ([iter(items)], [iter(items * 9), iter(range(100)), reversed(items * 9)]):
        made = both_make("iter.new_zip", parts, len(parts))
        assert [type(each) for each in made] == [zip] * 3
        assert next(made[0])[0] is items[0] and next(made[1])[0] is items[1]
    del parts, made, inner, each
    gc.collect()
    assert [sys.getrefcount(o) for o in items] == counts


class Counted:
    def __del__(self) -> None:
        pass


class Calm:
    """Of which instances end quietly, unless what they hold does not, or something is to hear of it."""

    def __init__(self, *values: object) -> None:
        self.first = values[0] if values else None
        if len(values) > 1:
            self.second = values[1]


class Slotted(Calm):
    __slots__ = ("third",)


def calm_ones() -> list[object]:
    seen, watched, replaced = Calm(), Calm(), Calm(1)
    assert vars(seen) is not None
    replaced.__dict__ = {}
    deep: object = 1
    for _ in range(6):
        deep = Calm(deep)
    held = [Calm(), Calm(1.5, "x"), Calm([2, 3], Calm(1)), Calm(Counted()), deep, Calm(Calm(Calm(1)))]
    del deep
    return [*held, seen, weakref.ref(watched), watched, replaced, Slotted(), ValueError()]


@pytest.mark.parametrize("effort", EFFORTS)
def test_instances_that_end_quietly(effort: str) -> None:
    maker = Maker()
    maker.exit(maker.emit("obj.drop_is_safe", maker.input("o")))
    native = Native(maker.graph, effort)
    ones = calm_ones()
    found = []
    while ones:
        one = ones.pop()  # the only reference
        maker.set(id(one))
        found.append(native.run()[1][0])
        assert interpret(maker.graph)[1] == [found[-1]], type(one)
    # From the last one backwards.
    assert found == [False, False, False, False, False, False, True, False, False, True, True, True]


@pytest.mark.parametrize("effort", EFFORTS)
def test_dicts_and_sets_that_end_quietly(effort: str) -> None:
    maker = Maker()
    maker.exit(maker.emit("obj.drop_is_safe", maker.input("o")))
    native = Native(maker.graph, effort)
    shared = Calm(1, 2)
    named = vars(Calm(1, "x"))
    quiet = [{}, {1: "x", "y": (2.5,)}, set(), {1, "x", (2,)}, {1: {2: {"z"}}}, dict.fromkeys(range(1000)), {None: Calm()}, named]
    loud = [{1: Counted()}, {Counted(): 1}, {Counted()}, {1: {2: {3: {4: {5: {6: 7}}}}}}, {1: [shared, Counted()]}, {2: len}]
    seen = {1, 2}
    reference = weakref.ref(seen)
    loud.append(seen)  # type: ignore[arg-type]
    del named, seen
    for ones, expected in ((quiet, True), (loud, False)):
        while ones:
            one = ones.pop()  # the only reference
            maker.set(id(one))
            assert native.run()[1] == [expected] == interpret(maker.graph)[1], one
    assert reference() is None


def questions_of_ends(effort: str) -> Callable[[int], list[list[bool]]]:
    """What native code and the evaluator say about the object at an address: whether it ends quietly alone, and with others."""
    maker = Maker()
    one = maker.input("o")
    maker.exit(maker.emit("obj.ends_safely", one), maker.emit("obj.drop_is_safe", one))
    native = Native(maker.graph, effort)

    def ask(address: int) -> list[list[bool]]:
        maker.set(address)
        return [run()[1] for run in (native.run, lambda: interpret(maker.graph))]

    return ask


@pytest.mark.parametrize("effort", EFFORTS)
def test_bound_methods_that_end_quietly(effort: str) -> None:
    ask = questions_of_ends(effort)
    seen: list[Any] = [[].append, types.MethodType(keep, [1])]
    references = [weakref.ref(method) for method in seen]
    methods = [[].append, {1: [2]}.get, "x".join, types.MethodType(keep, [1]), [Counted()].append, types.MethodType(keep, Counted()), *seen]
    del seen
    expected = [[True, True]] * 3 + [[True, False]] + [[False, False]] * 4
    while methods:
        method = methods.pop()  # the only reference
        assert ask(id(method)) == [expected[len(methods)]] * 2, method
    assert all(reference() is None for reference in references)


def keep(self: object) -> object:
    return self


def captured(*values: object) -> Callable[[], object]:
    return lambda: values


def alone(source: str) -> Callable[[], object]:
    """A function whose namespace only it, and what it has, refers to."""
    scope: dict[str, Any] = {"__builtins__": {}}
    exec(source, scope)
    made: Callable[[], object] = scope.pop("f")
    return made


def with_parts(**parts: object) -> Callable[[], object]:
    made = captured(1)
    for name, part in parts.items():
        setattr(made, name, part)
    return made


def enclosing() -> tuple[Any, ...]:
    """Functions and cells, and whether they end safely now."""
    lasting = Counted()
    KEPT[:] = [lasting]
    watched = captured(1)
    KEPT.append(weakref.ref(watched))
    pair = captured(2), captured("x")
    return (
        *((captured(1, [2], "x"), True), (captured(Counted()), False), (captured(lasting), True), (watched, False)),
        *((types.CellType(), True), (types.CellType([1]), True), (types.CellType(Counted()), False), (types.CellType(captured(1)), True)),
        *((pair, True), (with_parts(__doc__=Counted()), False), (with_parts(__defaults__=(1, lasting)), True)),
        *((with_parts(__kwdefaults__={"a": 1}), True), (with_parts(other=Counted()), False), (captured(captured(captured(1))), False)),
        *((alone("f = lambda: 1"), False), (captured(alone("f = lambda: 1")), False), (captured(globals()), True)),
    )


@pytest.mark.parametrize("effort", EFFORTS)
def test_functions_and_cells_that_end_quietly(effort: str) -> None:
    ask = questions_of_ends(effort)
    ones = list(enclosing())
    while ones:
        found, now = ones.pop()
        together = now and type(found) is types.CellType and len(ones) != 7
        assert ask(id(found)) == [[now, together]] * 2, (len(ones), found)


def shared_ones() -> list[tuple[Any, bool, bool]]:
    """Containers with things in them whose end runs code: (one, whether it ends safely now, and with others)."""
    lasting, twice, alone = Counted(), Counted(), Counted()
    KEPT[:] = [lasting, [lasting], twice]
    pairs = [[lasting, lasting], [[lasting], (lasting, 1)], [twice, twice], [alone], [Calm(lasting)], [{1: lasting}], [1, "x"], [KEPT[1]]]
    made = list(zip(pairs, (True, True, False, False, True, True, True, True), (False,) * 6 + (True, False), strict=True))
    KEPT.pop()
    return made


KEPT: list[Any] = []


@pytest.mark.parametrize("effort", EFFORTS)
def test_what_survives_its_container(effort: str) -> None:
    maker = Maker()
    one = maker.input("o")
    maker.exit(maker.emit("obj.ends_safely", one), maker.emit("obj.drop_is_safe", one))
    native = Native(maker.graph, effort)
    ones = shared_ones()
    while ones:
        container, now, together = ones.pop()
        maker.set(id(container))
        shown = repr(container)
        answers = []
        for run in (native.run, lambda: interpret(maker.graph)):
            answers.append(run()[1])
        assert answers == [[now, together]] * 2, shown


class Loose:
    __slots__ = ("first", "second")

    def __init__(self, *values: object) -> None:
        self.first, self.second = values


class Final(Calm):
    def __del__(self) -> None:
        pass


def closing(a: object, b: object) -> Callable[[], object]:
    return lambda: (a, b)


def with_others() -> list[tuple[str, Any, bool]]:
    """What has things in it whose end runs code and which others have as well: (what it is, one, whether it ends safely now)."""
    lasting: list[Any] = [Counted() for _ in range(400)]
    deep: Any = Counted()
    for _ in range(8):
        deep = [deep]
    twice, thrice, once = Counted(), Counted(), Counted()
    loop: list[Any] = [1]
    loop.append(loop)
    watched, told = Calm(lasting[0]), weakref.ref(lasting[1], print)
    method = types.MethodType(keep, lasting[2])
    held: list[Any] = [twice, thrice, *[thrice]]
    ones = [
        ("a list of them", [deep, *lasting[:9]], True),
        ("a tuple of them", (*lasting[:40], 1, "x"), True),
        ("too many of them", lasting[:300], False),
        ("one of them often", [lasting[5]] * 200, True),
        ("an instance", Calm(lasting[0], deep), True),
        ("a weakly referenced one", watched, False),
        ("a part that is weakly referenced, but stays", [lasting[1], told], True),
        ("one with a method that is told", Final(lasting[0]), False),
        ("one with slots", Loose(lasting[0], 2), False),
        ("a cell", types.CellType(lasting[0]), True),
        ("a method", types.MethodType(keep, lasting[0]), True),
        ("a method of C", lasting[:2].append, True),
        ("a weakly referenced method", method, False),
        ("a function", closing(lasting[0], lasting[1]), True),
        ("a function with what only it has", closing(lasting[0], once), False),
        ("a part in it twice, and once elsewhere", [twice, [twice]], True),
        ("a part in it as often as it is at all", [thrice, (thrice, Calm(thrice, thrice))], False),
        ("a part that only it has", [*lasting[:5], Counted()], False),
        ("a part of a part that only it has", [*lasting[:5], [1, (Counted(), 2)]], False),
        ("parts that only it has, of parts that others have", [[lasting[0], Calm(lasting[1])], (deep, [deep])], True),
        ("one that is in itself", loop, True),
        ("one in which another is in itself", [[1, loop]], True),
        ("nothing", [None, ...], True),
    ]
    del held[1:]
    KEPT[:] = [lasting, deep, held, told, weakref.ref(watched), weakref.ref(method), loop]
    return ones


@pytest.mark.parametrize("effort", EFFORTS)
def test_what_has_parts_that_others_have(effort: str) -> None:
    """Their end ends nothing else: said of few parts, of whichever kind they are."""
    ask = questions_of_ends(effort)
    ones = with_others()
    while ones:
        what, one, expected = ones.pop()
        answers = ask(id(one))
        assert [now for now, _ in answers] == [expected] * 2, what
        assert answers[0] == answers[1], what
    KEPT.clear()


@pytest.mark.parametrize("drops", [1, 2, 3])
def test_outlives(drops: int) -> None:
    maker = Maker()
    maker.exit(maker.emit("obj.outlives", maker.input("o"), imm=(drops,)))
    one = Counted()
    several = [one] * (drops - 1)
    more = [Counted()] * (drops + 1)
    twice = [Counted()]
    objects = [one, more[0], [2.5 * drops, "x"], [2.5, [Counted()]], [2.5, (BIG,)], BIG * drops, None, twice[0]]
    agree(maker, [(id(o),) for o in objects])
    assert interpret(maker.graph)[1] == [memory.refcount(id(twice[0])) > drops]
    del several


def quiet_iterators() -> dict[str, Any]:
    table = {1: Counted(), 2: Counted(), 3: "x", 4: 2.5}
    elements = {1, 2, 3}
    used = iter(table.items())
    next(used)
    shared = iter(table.items())
    held = next(shared)
    return {
        "keys": iter(table),
        "values": iter(table.values()),
        "items": iter(table.items()),
        "items whose pair is used again": used,
        "items whose pair is held": shared,
        "held": held,
        "keys backwards": reversed(table),
        "keys of a dict that dies": iter({1: Counted(), 2: 3}),
        "set": iter(elements),
        "set that dies": iter({Counted()}),
        "str": iter("abc"),
        "wide str": iter("\u0100b"),
        "bytes": iter(b"abc"),
        "range": iter(range(3)),
        "long range": iter(range(BIG, BIG + 3)),
        "list": iter([1, 2, 3]),
        "list of objects": iter([Counted()]),
        "backwards": reversed([1, 2, 3]),
        "tables": (table, elements),
    }


@pytest.mark.parametrize("effort", EFFORTS)
def test_quiet_steps(effort: str) -> None:
    """Both say the same of each step, and the items are those that Python gives."""
    noisy: set[str] = set()
    mine, theirs, expected = quiet_iterators(), quiet_iterators(), quiet_iterators()
    for name, iterator in mine.items():
        if name in ("held", "tables"):
            continue
        maker = Maker()
        o = maker.input("o")
        safe = maker.emit("iter.quiet", o, imm=(type(iterator),))
        maker.exit(safe, maker.emit("iter.next", o))
        native = Native(maker.graph, effort)
        for step in range(6):
            maker.set(id(iterator))
            one = native.run()[1]
            maker.set(id(theirs[name]))
            other = interpret(maker.graph)[1]
            item = next(expected[name], None)
            assert one[0] == other[0], (name, step)
            if not one[0]:
                noisy.add(name)
            for _, address in (one, other):
                got = memory.object_at(address) if address else None
                assert type(got) is type(item) and (item is None or repr(got)[:3] == repr(item)[:3]), (name, step)
                del got
                if address:
                    memory.decref(address)
            del item
    dying = {"keys of a dict that dies", "set that dies", "list of objects"}
    assert noisy == {*dying, "items", "items whose pair is used again"}  # the pair may be an item's last owner


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("change", ["size", "keys", "set"])
def test_a_failed_step_can_be_repeated(change: str, effort: str) -> None:
    """The exception is cleared, and the same step raises it again; nothing is lost or gained."""
    table: Any = {1, 2, 3} if change == "set" else {n: Counted() for n in range(6)}
    iterator = iter(table)
    while change == "keys" and iterator.__length_hint__():
        next(iterator)
    if change == "set":
        table.add(99)
    elif change == "size":
        table["new"] = 1
    else:
        del table[0]
        table["new"] = 1  # behind where the iterator stands
    maker = Maker()
    o, holder = maker.input("o"), maker.input("o")
    item = maker.emit("iter.next", o)
    raised = maker.emit("call.raised")
    maker.emit("iter.undo", o, holder)
    maker.exit(item, raised, maker.emit("call.raised"))
    maker.set(id(iterator), 0 if change == "set" else id(table))
    count = sys.getrefcount(table)
    assert Native(maker.graph, effort).run()[1] == [0, True, False]
    assert interpret(maker.graph)[1] == [0, True, False]
    assert sys.getrefcount(table) == count
    with pytest.raises(RuntimeError, match="changed during iteration" if change == "keys" else "changed size"):
        next(iterator)
