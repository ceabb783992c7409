"""Native code against the reference evaluator, continued: sequences, text, cells and closed calls.

Each operation runs on two equal situations, one for either backend; results, what the objects look like afterwards and the
reference counts have to agree.
"""

from __future__ import annotations

import ctypes
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import BuiltinMethodType, CellType, MethodType
from typing import Any

import pytest
from jitcore.optimizer.ops.ints import MAX, MIN
from jitcore.optimizer.registry import OPS
from test_lower import EFFORTS, NUMERIC, SKIP, SOME, Fake, Maker, Native, Noted, agree, imms, interpret, result_of

from jitcore.abi import LAYOUT, instances, memory

INDICES = [0, 1, 2, 3, 5, -1, -2, -5, MAX, MIN]


def both(maker: Maker, situation: Callable[[], tuple[list[Any], Callable[[], object]]], effort: str) -> None:
    """Run natively and evaluated, each on a situation of its own: (operands, what to compare afterwards)."""
    native = Native(maker.graph, effort)
    seen = []
    for run in (native.run, lambda: interpret(maker.graph)):
        operands, look = situation()
        maker.set(*operands)
        values = run()[1]
        seen.append((values, look()))
    assert seen[0] == seen[1], seen


@pytest.mark.parametrize("effort", EFFORTS)
def test_pop_at(effort: str) -> None:
    maker = Maker()
    o, i = maker.input("o"), maker.input("i")
    popped = maker.emit("list.pop_at", o, i)
    maker.exit(popped, maker.emit("list.len", o))
    native = Native(maker.graph, effort)
    for length in (1, 2, 9, 40):
        for at in {0, length // 2, length - 1}:
            ours = [object() for _ in range(length)]
            theirs = list(ours)
            before = memory.refcount(id(ours[at]))
            maker.set(id(ours), at)
            address, left = native.run()[1]
            assert address == id(theirs[at]) and left == length - 1
            assert memory.refcount(address) == before, "the list's reference is the result's now"
            memory.decref(address)
            del theirs[at]
            assert ours == theirs


@pytest.mark.parametrize("effort", EFFORTS)
def test_insert(effort: str) -> None:
    maker = Maker()
    o, i, v = maker.input("o"), maker.input("i"), maker.input("o")
    maker.exit(maker.emit("list.insert", o, i, v))
    native = Native(maker.graph, effort)
    new = object()
    for at in INDICES:
        ours, theirs = [1, 2, 3], [1, 2, 3]
        before = sys.getrefcount(new)
        maker.set(id(ours), at, id(new))
        assert native.run()[1] == [0]
        theirs.insert(at, new)
        assert ours == theirs and sys.getrefcount(new) == before + 2
        both(maker, lambda at=at: ((made := [4, 5]) and [id(made), at, id(new)], lambda: list(made)), effort)  # type: ignore[misc]


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("other", [[], [1, "x"], (), (None, 2.5, 7)])
def test_extend_and_reverse(effort: str, other: Any) -> None:
    maker = Maker()
    o, more = maker.input("o"), maker.input("o")
    status = maker.emit("list.extend", o, more)
    maker.emit("list.reverse", o)
    maker.exit(status, maker.emit("list.len", o))

    def situation() -> tuple[list[Any], Callable[[], object]]:
        made = [9, "y", 3]
        return [id(made), id(other)], lambda: list(made)

    both(maker, situation, effort)
    ours = [1, 2]
    maker.set(id(ours), id(ours))
    assert Native(maker.graph, effort).run()[1] == [0, 4] and ours == [2, 1, 2, 1]


class Number(float):
    """No exact float."""


def test_atoms() -> None:
    maker = Maker()
    a, b = maker.input("o"), maker.input("o")
    maker.exit(maker.emit("list.atoms", a), maker.emit("tuple.atoms", b))
    rows: list[list[object]] = [[], [1], [1, 2.5, True, None, "x", 1j], [1, object()], [[]], [b"x"], [Number()], [int], [2, ()]]
    rows += [[*row, 2**80] for row in rows]
    tuples = [tuple(row) for row in rows]
    agree(maker, [(id(row), id(t)) for row in rows for t in tuples])


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("target", [[1, 2, 3, 4, 5], (1, 2, 3), "héllo wörld", b"bytes", [], ""])
def test_slices(effort: str, target: Any) -> None:
    maker = Maker()
    o, i, j = maker.input("o"), maker.input("i"), maker.input("i")
    maker.exit(maker.emit("seq.slice", o, i, j))
    native = Native(maker.graph, effort)
    for start in INDICES:
        for stop in INDICES:
            maker.set(id(target), start, stop)
            made = result_of(native.run()[1][0])
            assert made == target[start:stop] == result_of(interpret(maker.graph)[1][0]) and type(made) is type(target)


@pytest.mark.parametrize("effort", EFFORTS)
def test_slice_of_what_has_none(effort: str) -> None:
    maker = Maker()
    made = maker.emit("seq.slice", maker.input("o"), maker.input("i"), maker.input("i"))
    maker.exit(maker.emit("obj.is_null", made), maker.emit("call.raised"))
    maker.set(id(5), 0, 1)
    assert Native(maker.graph, effort).run()[1] == interpret(maker.graph)[1] == [True, False]


@pytest.mark.parametrize("effort", EFFORTS)
def test_ranges(effort: str) -> None:
    maker = Maker()
    maker.exit(maker.emit("range.new", *[maker.input("i") for _ in range(3)]))
    native = Native(maker.graph, effort)
    for case in [(0, 5, 1), (7, -3, -2), (MIN, MAX, 3), (MAX, MIN, -1), (0, 0, 1), (5, 5, MIN)]:
        maker.set(*case)
        for run in (native.run, lambda: interpret(maker.graph)):
            made = result_of(run()[1][0])
            assert type(made) is range and (made.start, made.stop, made.step) == case


@pytest.mark.parametrize("effort", EFFORTS)
def test_growing_text(effort: str) -> None:
    maker = Maker()
    maker.exit(maker.emit("str.append", maker.input("o"), maker.input("o")))
    native = Native(maker.graph, effort)
    for run in (native.run, lambda: interpret(maker.graph)):
        for left in ("", "ab", "wör", "日本" * 9):
            for right in ("", "x", "é", "語", "z" * 50):
                mine = (left + "_")[:-1] if left else left
                kept = mine
                before = memory.refcount(id(mine))
                maker.set(memory.new_reference(mine), id(right))
                made = result_of(run()[1][0])
                assert made == left + right and kept == left
                assert before < 0 or memory.refcount(id(mine)) in (before, before + (made is mine))
        alone = "".join(["q", "r"])
        address = id(alone)
        maker.set(address, id("s"))
        memory.incref(address)
        del alone
        grown = run()[1][0]
        assert result_of(grown) == "qrs"


@pytest.mark.parametrize("effort", EFFORTS)
def test_cells(effort: str) -> None:
    maker = Maker()
    o, v = maker.input("o"), maker.input("o")
    maker.emit("field.put", o, v, imm=("CELL_REF",))
    maker.exit(maker.emit("field.o", o, imm=("CELL_REF",)))
    native = Native(maker.graph, effort)
    for run in (native.run, lambda: interpret(maker.graph)):
        log: list[str] = []
        cell, new = CellType(Noted(log)), object()
        maker.set(id(cell), memory.new_reference(new))
        assert run()[1] == [id(new)] and cell.cell_contents is new
        assert log == ["gone"] and sys.getrefcount(new) == sys.getrefcount(object()) + 1
        maker.set(id(cell), 0)
        assert run()[1] == [0] and cell == CellType() and sys.getrefcount(new) == sys.getrefcount(object())
        maker.set(id(cell), memory.new_reference(new))
        assert run()[1] == [id(new)] and cell.cell_contents is new


@pytest.mark.parametrize("effort", EFFORTS)
def test_taking_a_local(effort: str) -> None:
    maker = Maker()
    maker.exit(maker.emit("frame.take_local", imm=(1,)))
    native = Native(maker.graph, effort)
    target = object()
    borrowed = id(target) | 1 if LAYOUT.TAGGED else id(target)
    for run in (native.run, lambda frame: interpret(maker.graph, frame)):
        for bits in (id(target), borrowed):
            memory.incref(id(target))
            before = sys.getrefcount(target)
            fake = Fake([memory.owned_slot(id(None)), bits])
            assert run(fake.address)[1] == [id(target)]
            assert fake.slot(1) == LAYOUT.NULL_SLOT
            gained = LAYOUT.TAGGED and bits & 1  # a slot that only borrowed gives a new reference
            assert sys.getrefcount(target) == before + gained
            for _ in range(1 + gained):
                memory.decref(id(target))


@pytest.mark.parametrize("effort", EFFORTS)
def test_closed_calls_say_what_they_raised(effort: str) -> None:
    maker = Maker()
    f, a, b = maker.input("o"), maker.input("o"), maker.input("o")
    maker.emit("call.closed_vector", f, a, b)
    first = [maker.emit("error.was", imm=(kind,)) for kind in (ZeroDivisionError, ValueError, TypeError)]
    maker.emit("call.closed", a, b, imm=("PyObject_GetItem", ()))
    maker.exit(*first, maker.emit("error.was", imm=(IndexError,)), maker.emit("error.was", imm=(TypeError,)))
    native = Native(maker.graph, effort)
    for function, x, y, k in ((divmod, 7, 0, 0), (int, "a", 7, 1), (divmod, "a", 1, 2)):
        maker.set(id(function), id(x), id(y))
        wanted = [k == 0, k == 1, k == 2, type(x) is str, type(x) is int]
        assert native.run()[1] == interpret(maker.graph)[1] == wanted


@pytest.mark.parametrize("effort", EFFORTS)
def test_closed_calls_leave_no_exception(effort: str) -> None:
    maker = Maker()
    f, a, b = maker.input("o"), maker.input("o"), maker.input("o")
    vector = maker.emit("call.closed_vector", f, a, b)
    plain = maker.emit("call.closed", a, b, imm=("PyNumber_Add", ()))
    status = maker.emit("call.closed_status", a, b, imm=("PySequence_Contains", ()))
    maker.exit(maker.emit("obj.is_null", vector), maker.emit("obj.is_null", plain), status, maker.emit("call.raised"))
    native = Native(maker.graph, effort)
    for function, x, y in ((divmod, 7, 0), (divmod, "a", 1), (max, 3, None)):
        maker.set(id(function), id(x), id(y))
        assert native.run()[1] == interpret(maker.graph)[1]
        assert native.run()[1][0] is True and native.run()[1][3] is False
    maker.set(id(divmod), id((7, 2)), id(2))
    assert native.run()[1][2] == 1


@pytest.mark.parametrize("effort", EFFORTS)
def test_closed_vectorcalls(effort: str) -> None:
    maker = Maker()
    f, a, b = maker.input("o"), maker.input("o"), maker.input("o")
    maker.exit(maker.emit("call.closed_vector", f, a, b), maker.emit("call.closed_vector", f, b, a, b))
    native = Native(maker.graph, effort)
    for x, y in ((3, 2**70), (2.5, -1), ("a", "b")):
        maker.set(id(max), id(x), id(y))
        for run in (native.run, lambda: interpret(maker.graph)):
            assert [result_of(v) for v in run()[1]] == [max(x, y), max(y, x, y)]


@pytest.mark.parametrize("name", NUMERIC)
def test_random_numbers(name: str) -> None:
    """Besides the edges (test_lower): bit patterns at random, small and large."""
    rng = random.Random(name)
    make: dict[str, Callable[[], object]] = {
        "i": lambda: rng.getrandbits(64) - 2**63 >> rng.choice((0, 1, 11, 32, 50, 60)),
        "f": lambda: ctypes.c_double.from_buffer(ctypes.c_uint64(rng.getrandbits(64))).value
        if rng.random() < 0.5
        else rng.uniform(-1e3, 1e3),
        "b": lambda: rng.random() < 0.5,
    }
    info, skip = OPS[name], SKIP.get(name, lambda *case: False)
    for imm in imms(name):
        maker = Maker()
        maker.exit(maker.emit(name, *[maker.input(r) for r in info.operands], imm=imm))
        cases = [tuple(make[r]() for r in info.operands) for _ in range(300)]
        agree(maker, [case for case in cases if not skip(*case)])
    assert name not in SOME or len(info.operands) == 3


class Open:
    pass


class Closed:
    __slots__ = ("one", "two")


def described(holder: Any) -> object:
    """All attributes with their order, types and how many hold them."""
    names = list(vars(holder)) if hasattr(holder, "__dict__") else [n for n in holder.__slots__ if hasattr(holder, n)]
    return [(n, type(v := getattr(holder, n)), sys.getrefcount(v), v if type(v) in (int, float, str) else None) for n in names]


def open_place(name: str) -> int:
    names = instances.shared_names(Open)
    assert names is not None
    return names.index(name)


for _name in ("one", "two", "three"):
    setattr(Open(), _name, None)  # now they have places

OLD: list[Callable[[], Any]] = [object, lambda: 10**9, lambda: 5, lambda: float("2.5"), lambda: -(10**6), lambda: "t" * 50]


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("kind", [Open, Closed])
@pytest.mark.parametrize("ending", ["", "_float", "_int"])
def test_put(effort: str, missing: bool, kind: Any, ending: str) -> None:
    """An attribute's new value, where there was one of any kind, one that others hold too, or none."""
    values: list[Any] = {"": [object(), "text"], "_float": [1.5, -0.0, math.inf], "_int": [7, 10**6, -(10**7), 2**31, MIN]}[ending]
    where, place = ("values", open_place("two")) if kind is Open else ("slot", instances.member_offset(kind.__dict__["two"], kind))
    for make in OLD:
        for held in (False, True):
            for value in values:
                maker = Maker()
                o, v = maker.input("o"), maker.input("o" if not ending else ending[1])
                if not ending:
                    maker.emit("obj.incref", v)
                # "values.put", "values.put_float", "values.put_int", "slot.put", "slot.put_float", "slot.put_int"
                maker.emit(f"{where}.put{ending}", o, v, imm=(kind, place, None)[: 3 if ending else 2])
                found = maker.emit(f"{where}.get", o, imm=(kind, place))  # "values.get", "slot.get"
                maker.exit(maker.emit("obj.is_null", found))

                def situation(make: Any = make, held: bool = held, value: Any = value) -> Any:
                    holder = kind()
                    holder.one = None
                    if not missing:
                        holder.two = make()
                    kept = holder.two if held and not missing else None

                    def look() -> object:
                        same = ending != "" or holder.two is value
                        return described(holder), type(kept), kept if type(kept) in (int, float) else None, same

                    return [id(holder), value if ending else id(value)], look

                both(maker, situation, effort)


@pytest.mark.parametrize("effort", EFFORTS)
def test_where_attributes_are(effort: str) -> None:
    maker = Maker()
    o = maker.input("o")
    place = open_place("two")
    valid = maker.emit("values.valid", o, imm=(Open,))
    maker.exit(valid, maker.emit("values.alone", o, imm=(Open,)), maker.emit("keys.count", imm=(Open,)))
    reader = Maker()
    got = reader.emit("values.get", reader.input("o"), imm=(Open, place))
    reader.exit(reader.emit("obj.is", got, reader.emit("const.o", imm=("mine",))), reader.emit("obj.is_null", got))

    def plain() -> Any:
        return Open()

    def filled() -> Any:
        made = Open()
        made.two = "mine"
        return made

    def seen() -> Any:
        made = filled()
        assert vars(made)
        return made

    def replaced() -> Any:
        made = filled()
        made.__dict__ = {"two": 3}
        return made

    for make in (plain, filled, seen, replaced):
        holder = make()
        both(maker, lambda holder=holder: ([id(holder)], lambda: None), effort)  # type: ignore[misc]
        maker.set(id(holder))
        if Native(maker.graph, effort).run()[1][0]:
            both(reader, lambda holder=holder: ([id(holder)], lambda: None), effort)  # type: ignore[misc]
            reader.set(id(holder))
            assert Native(reader.graph, effort).run()[1] == [make is not plain, make is plain]
        else:
            assert make in (seen, replaced)


def kinds_of_holders() -> list[Callable[[], Any]]:
    """Instances with inline values, with a dict of their own, with an unusual one, and with one that others see."""

    def inline() -> Any:
        made = Open()
        made.one, made.two = [1], [2]
        return made

    def replaced() -> Any:
        made = inline()
        made.__dict__ = {"two": [2], "one": 1}
        return made

    def unusual() -> Any:
        made = replaced()
        made.__dict__[3] = 4
        return made

    def subclass() -> Any:
        made = inline()
        made.__dict__ = type("Mapping", (dict,), {})(two=[3])
        return made

    def seen() -> Any:
        made = inline()
        assert vars(made)
        return made

    return [Open, inline, replaced, unusual, subclass, seen]


@pytest.mark.parametrize("effort", EFFORTS)
def test_own_dicts(effort: str) -> None:
    maker = Maker()
    maker.exit(maker.emit("instance.dict", maker.input("o")))
    native = Native(maker.graph, effort)
    for make, known in zip(kinds_of_holders(), (False, False, True, False, False, True), strict=True):
        holder = make()
        maker.set(id(holder))
        found = native.run()[1]
        assert found == interpret(maker.graph)[1] and bool(found[0]) is known, make
        assert not known or found[0] == id(vars(holder))


class Listed(list):  # type: ignore[type-arg]
    pass


@pytest.mark.parametrize("effort", EFFORTS)
def test_bare_instances(effort: str) -> None:
    if instances.shared_names(Listed) is not None:
        pytest.skip("such classes have inline values here")
    maker = Maker()
    maker.exit(maker.emit("instance.bare", maker.input("o")))
    native = Native(maker.graph, effort)
    one = Listed([1])
    for expected in (True, False):
        maker.set(id(one))
        assert native.run()[1] == [expected] == interpret(maker.graph)[1]
        one.name = 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("effort", EFFORTS)
def test_new_instances(effort: str) -> None:
    for kind in (Open, Closed):
        maker = Maker()
        maker.exit(maker.emit("instance.new", imm=(kind,)))
        native = Native(maker.graph, effort)
        for run in (native.run, lambda maker=maker: interpret(maker.graph)):  # type: ignore[misc]
            (address,) = run()[1]
            made = memory.object_at(address)
            assert type(made) is kind and memory.refcount(address) == 2
            memory.decref(address)
            made.one = 5
            assert made.one == 5 and not hasattr(made, "two")


class Odd:
    """A key that can do without a hash, and a context manager that can fail."""

    def __init__(self, fails: bool) -> None:
        self.fails = fails

    def __hash__(self) -> int:
        if self.fails:
            raise LookupError("hash")
        return 7

    def enter(self) -> object:
        if self.fails:
            raise LookupError("enter")
        return self, "entered"

    def bind(self) -> object:
        return self.enter


def taken(address: int) -> object:
    """The object whose reference was returned, which is given back."""
    made = memory.object_at(address)
    memory.decref(address)
    return made


class Bound(Open):
    def get(self) -> object:
        return self

    @classmethod
    def named(cls) -> str:
        return cls.__name__


class Heap(list):  # type: ignore[type-arg]
    pass


@pytest.mark.parametrize("effort", EFFORTS)
def test_new_methods(effort: str) -> None:
    """Like those of the interpreter; each a new object, with one reference to what it is of."""
    items, heap = [1], Heap([2])
    cases: list[tuple[Any, Any, Any]] = [
        (Bound.get, Bound(), MethodType),
        (Bound.__dict__["named"].__func__, Bound, MethodType),
        (list.append, items, BuiltinMethodType),
        (list.append, heap, BuiltinMethodType),
        (random.Random.random, random.Random(1), BuiltinMethodType),
        (str.join, "x", BuiltinMethodType),
    ]
    for func, owner, kind in cases:
        maker = Maker()
        made = maker.emit("method.new", maker.input("o"), imm=(func,))
        maker.exit(made, maker.emit("obj.is_null", made))
        maker.set(id(owner))
        native = Native(maker.graph, effort)
        before = memory.refcount(id(owner)), memory.refcount(id(func))
        for run in (native.run, lambda maker=maker: interpret(maker.graph)):  # type: ignore[misc]
            address, failed = run()[1]
            assert not failed and memory.refcount(address) == 1
            method: Any = taken(address)
            assert type(method) is kind and method.__self__ is owner and method == func.__get__(owner, type(owner))
            assert method.__qualname__ == func.__get__(owner, type(owner)).__qualname__
            assert kind is BuiltinMethodType or method.__func__ is func
            del method
            assert (memory.refcount(id(owner)), memory.refcount(id(func))) == before


@pytest.mark.parametrize("effort", EFFORTS)
def test_methods_of_c_are_known(effort: str) -> None:
    items, heap, dice = [1], Heap([2]), random.Random(1)
    functions: list[Any] = [items.append, heap.append, items.pop, items.clear, {}.pop, {1}.pop, {}.clear, dice.random, len, math.sin]
    for method, expected in ((list.append, 2), (list.pop, 1), (dict.pop, 1), (dict.clear, 1), (random.Random.random, 1), (str.join, 0)):
        maker = Maker()
        maker.exit(maker.emit("method.is_of", maker.input("o"), imm=(method,)))
        agree(maker, [(id(one),) for one in functions], (effort,))
        found = []
        for one in functions:
            maker.set(id(one))
            found += interpret(maker.graph)[1]
        assert sum(found) == expected


def fails_with(native: Native, text: str) -> None:
    with pytest.raises(LookupError, match=text):
        native.run()
    assert native.buffer[0] == 0


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("name", ["dict.new", "call.dict"])
def test_new_dicts(name: str, effort: str) -> None:
    good, bad, value = Odd(False), Odd(True), object()
    for operands in ((), (1, value), ("a", value, 2, value, "a", None), (good, value, good, good), (good, value, bad, value)):
        maker = Maker()
        inputs = [maker.input("o") for _ in operands]
        maker.set(*map(id, operands))
        maker.exit(maker.emit(name, *inputs))
        native = Native(maker.graph, effort)
        before = [sys.getrefcount(one) for one in (good, bad, value)]
        if bad in operands:
            if name == "call.dict":
                fails_with(native, "hash")
            else:
                assert native.run()[1] == [0]
            assert [sys.getrefcount(one) for one in (good, bad, value)] == before
            continue
        for run in (native.run, lambda maker=maker: interpret(maker.graph)):  # type: ignore[misc]
            made = taken(run()[1][0])
            assert type(made) is dict and list(made.items()) == list(dict(zip(operands[::2], operands[1::2], strict=True)).items())
            del made
            assert [sys.getrefcount(one) for one in (good, bad, value)] == before


@pytest.mark.parametrize("effort", EFFORTS)
def test_enter(effort: str) -> None:
    maker = Maker()
    maker.exit(maker.emit("call.enter", maker.input("o"), maker.input("o"), maker.input("o")))
    native = Native(maker.graph, effort)
    enter, bind, failing = Odd.enter, Odd.bind, Odd(False)
    for fails in (False, True):
        for first, second in ((enter, bind), (bind, enter)):
            failing.fails = fails
            before = sys.getrefcount(failing)
            maker.set(id(first), id(second), id(failing))
            if fails:
                fails_with(native, "enter")
            for run in () if fails else (native.run, lambda: interpret(maker.graph)):
                assert taken(run()[1][0]) == (second(failing), first(failing))
            assert sys.getrefcount(failing) == before


def test_every_operation_has_a_lowering_test() -> None:
    others = ("arrays", "slices", "mappings", "keys", "generators", "unbound", "membership", "collect", "many_classes")
    files = ["test_lower.py", "test_lower_objects.py", *(f"test_{name}.py" for name in others)]
    texts = [Path(__file__).with_name(name).read_text() for name in files]
    built = {"list.new", "tuple.new"}  # by test_new_sequences, from their kind
    # Both sides of a direct call are compiled code: these are tried as wholes.
    built |= {name for name, info in OPS.items() if info.evaluate.__module__.endswith(".direct")}
    built |= {"frame.link", "frame.unlink", "frame.offer", "frame.withdraw"}  # likewise, with what looks at the frames in between
    assert Path(__file__).with_name("test_direct.py").exists()
    assert Path(__file__).with_name("test_open_calls.py").exists()
    missing = [name for name in OPS if name not in NUMERIC and name not in built and not any(f'"{name}"' in t for t in texts)]
    assert not missing
