"""Keys that are told from others without running code: classes, functions, instances, tuples, numbers of all kinds. Dicts, sets, and
what is asked about classes."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with, nobody_sees
from jitcore.optimizer.ops.dicts import kind_tells, tells
from test_displays import Key, lines
from test_lower import EFFORTS, Maker, Native, agree, interpret
from test_mappings import Same

from jitcore import Engine

Pair = collections.namedtuple("Pair", "a b")


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


class Plain:
    pass


class Below(Plain):
    def __repr__(self) -> str:
        return "below"


class Meta(type):
    def __hash__(cls) -> int:
        return 7

    def __eq__(cls, other: object) -> bool:
        return isinstance(other, Meta)

    def __subclasscheck__(cls, other: type) -> bool:
        return True


class Odd(metaclass=Meta):
    pass


PLAIN, BELOW = Plain(), Below()


class HashOf(tuple[Any, ...]):
    """Equal to other tuples, with a hash of its own."""

    def __hash__(self) -> int:
        return hash(tuple(self))


class Told:
    ends: list[Any] = []

    def __init__(self, n: int) -> None:
        self.n = n

    def __del__(self) -> None:
        Told.ends.append(self.n)


class Last(tuple[Any, ...]):
    """Others hear of its end."""

    __slots__ = ()

    def __del__(self, ends: list[Any] = Told.ends) -> None:
        ends.append(self[0])


class More(tuple[Any, ...]):
    """With a dict."""


KEYS: list[Any] = [
    *(1, -1, True, 2.5, -0.0, 1 << 70, "word", b"word", None, 3j, (), (1, "a"), (1, ("a", int)), Pair(1, 2), (1, 2)),
    *(int, Plain, Below, Odd, Meta, len, lambda: None, PLAIN, BELOW, Key(3), Same(1), ("a", Key(1)), HashOf((1, 2))),
    *((((((1,),),),),), Last((1, 2)), More((1, 2)), frozenset({1}), range(3), ...),
]
TOLD = [key for key in KEYS if tells(key)]


def tables() -> list[dict[Any, Any]]:
    return [
        {},
        {"one": None},
        dict.fromkeys(KEYS, "x"),
        dict.fromkeys(TOLD[::2], "x"),
        {Same(int): "x", int: "y"},
        {Same(int): "x"},
        {Same((1, "a")): "x"},
        dict.fromkeys([(k, str(k)) for k in range(400)], "x"),
    ]


def test_what_tells() -> None:
    assert {"word", None, int, PLAIN} < set(map(lambda key: key if tells(key) else 0, KEYS))
    for key in (Odd, Key(3), Same(1), ("a", Key(1)), HashOf((1, 2)), Last((1, 2)), More((1, 2)), (((((1,),),),),)):
        assert not tells(key), key
    assert kind_tells(type) and kind_tells(tuple) and kind_tells(Pair) and not kind_tells(Meta) and not kind_tells(HashOf)


@pytest.mark.parametrize("operation", ["dict.find_key", "dict.place_key"])
def test_find_key(operation: str) -> None:
    maker = Maker()
    maker.exit(maker.emit(operation, maker.input("o"), maker.input("o")))
    kept = tables()
    agree(maker, [(id(table), id(key)) for table in kept for key in KEYS if plain(table, key)], EFFORTS)


def test_set_has() -> None:
    maker = Maker()
    maker.exit(maker.emit("set.has", maker.input("o"), maker.input("o")))
    removed = set(range(3000)) - set(range(0, 3000, 3))
    kept: list[Any] = [*map(set, tables()), *map(frozenset, tables()), removed]
    removed.discard(1)
    wanted = [*KEYS, 0, 3, 2999, 2998, (7, "7")]
    agree(maker, [(id(one), id(key)) for one in kept for key in wanted if plain(one, key)], EFFORTS)


def plain(table: Any, key: object) -> bool:
    """Whether the order of keys with the same hash makes no difference to what is found."""
    others = [one for one in table if hash(one) == hash(key) and one is not key and (type(one) is not type(key) or not tells(one))]
    return not others or not any(one is key or type(one) is type(key) and one == key for one in table)


@pytest.mark.parametrize("effort", EFFORTS)
def test_changes(effort: str) -> None:
    for operation, expected in (("set.add", {1, int, Plain}), ("set.discard", {1, int})):
        maker = Maker()
        done = maker.emit(operation, maker.input("o"), maker.input("o"))
        maker.exit(done if operation == "set.add" else maker.emit("const.i", imm=(0,)))
        native = Native(maker.graph, effort)
        for run in (native.run, lambda: interpret(maker.graph)):
            changed = {1, int}
            for _ in range(2):
                maker.set(id(changed), id(Plain))
                run()
            assert changed == expected
    maker = Maker()
    maker.emit("dict.remove", maker.input("o"), maker.input("o"))
    maker.exit(maker.emit("const.i", imm=(0,)))
    native = Native(maker.graph, effort)
    for run in (native.run, lambda: interpret(maker.graph)):
        mapping = {1: 2, int: 3}
        maker.set(id(mapping), id(int))
        assert run()[1] == [0] and mapping == {1: 2}


def test_classes() -> None:
    maker = Maker()
    maker.exit(maker.emit("type.is_below", maker.input("o"), maker.input("o")))
    kinds = (int, bool, object, Plain, Below, Pair, tuple)
    agree(maker, [(id(one), id(other)) for one in kinds for other in kinds], EFFORTS)
    maker = Maker()
    maker.exit(maker.emit("type.find", maker.input("o"), maker.input("o")))
    names = ["__repr__", "__init__", "missing", "from_bytes", "real", "a", "_fields", "__new__", "__hash__", "__doc__"]
    agree(maker, [(id(one), id(name)) for one in kinds for name in names], EFFORTS)


def by_class() -> Any:
    table: dict[Any, Any] = {int: "i", Plain: "p", str: "s"}
    out: list[Any] = []
    for i in range(160):
        one = (i, "x", PLAIN, BELOW, 2.5)[i % 5]
        kind = type(one)
        out.append((table.get(kind, "none"), kind in table))
        try:
            out.append(table[kind])
        except KeyError as error:
            out.append((repr(error), lines(error)))
        if i % 20 == 19:
            table[kind] = i
        if i % 50 == 49:
            del table[int]
            table[int] = "again"
    return out, list(table.items())


def by_tuple() -> Any:
    grid: dict[Any, Any] = {}
    out: list[Any] = []
    for y in range(12):
        for x in range(12):
            grid[x, y] = x * y
            if (x - 1, y) in grid:
                grid[x, y] += grid[x - 1, y] + grid.get((x, y - 1), 0)
            if (x + y) % 5 == 4:
                del grid[x, y]
            out.append(grid.get(Pair(x, y)))
            if y == 7:
                grid[1, Key(x)] = y
                out.append(grid[1, Key(x)])
    for i in range(60):
        try:
            del grid[i, i]
        except KeyError as error:
            out.append((repr(error), lines(error)))
    return out, sorted(map(str, grid.items()))


def in_sets() -> Any:
    seen: set[Any] = set()
    kinds = frozenset({int, str, Plain})
    out: list[Any] = []
    for i in range(160):
        item = (i % 9, str(i % 7), (i % 4, "k"), Plain, 0.5 * (i % 6))[i % 5]
        out.append((item in seen, type(item) in kinds, i % 11 in seen))
        seen.add(item)
        if i % 6 == 5:
            seen.discard((i % 4, "k"))
        try:
            seen.remove(i % 9)
        except KeyError as error:
            out.append((repr(error), lines(error)))
        if i % 40 == 39:
            seen.add(Key(i % 9))
            seen.add(Same(i % 9))
    return out, len(seen)


def collisions() -> Any:
    """Others with the same hash come into the table in the middle of it."""
    table: dict[Any, Any] = {}
    seen: set[Any] = set()
    out: list[Any] = []
    for i in range(160):
        kind = (int, str, Plain, Odd)[i % 4 if i > 80 else i % 3]
        table[kind] = i
        seen.add(kind)
        if i % 30 == 29:
            table[Same(kind)] = -i
            seen.add(Same(kind))
        out.append((table.get(kind), kind in seen, Odd in table, table.get(Meta("New", (), {}))))
    return out, [v for k, v in table.items()], len(seen)


def ends() -> Any:
    """Keys and items whose last reference is the table's."""
    Told.ends.clear()
    table: dict[Any, Any] = {}
    items: set[Any] = set()
    keys: list[Any] = []
    out: list[Any] = []
    for i in range(120):
        one = Told(i)
        table[one] = i
        table[i, one] = one
        items.add(one)
        keys.append(one)
        if i % 3 == 2:
            last = keys.pop(0)
            items.discard(last)
            del table[last]
            del table[last.n, last]
            last = None
        items.add(Last((i % 5, "x")))
        table[Last((i % 7,))] = i
        if i % 2:
            items.discard(Last(((i + 2) % 5, "x")))
            del table[Last((i % 7,))]
        out.append(len(Told.ends))
    return out, list(Told.ends)


def about_classes() -> Any:
    out: list[Any] = []
    for i in range(160):
        kind = (int, bool, Plain, Below, Odd if i > 100 else str)[i % 5]
        shown = getattr(kind, "__repr__", None)
        out.append((shown is int.__repr__, shown is object.__repr__, issubclass(kind, int), issubclass(kind, (str, Plain))))
        out.append((getattr(kind, "missing", i), issubclass(kind, Odd) if i % 7 == 6 else None))
        try:
            out.append(getattr(kind, "from_bytes" if i % 2 else "missing").__name__)
        except AttributeError as error:
            out.append((str(error), lines(error)))
        if i == 120:
            Plain.missing = "there"  # type: ignore[attr-defined]
        if i == 140:
            Plain.missing = property(lambda self: self)  # type: ignore[attr-defined]
            out.append(Plain.missing is getattr(Below, "missing"))  # type: ignore[attr-defined]
    del Plain.missing  # type: ignore[attr-defined]
    return [str(one).split(" at ")[0] for one in out]


def negated(x: Any, *, by: int = 1) -> Any:
    return -x * by


def doubled(x: Any) -> Any:
    if x == 41:
        raise ValueError(x)
    return x + x


def kept(x: Any, seen: Any = None) -> Any:
    return x if seen is None else seen


def dispatch() -> Any:
    """Functions that a table gives away: called, replaced, gone from the table while they run."""
    table: dict[Any, Any] = {int: negated, float: doubled, str: kept}
    table["last"] = lambda x: (table.pop("last", None), x)[1]
    names: dict[str, Any] = {"a": negated, "b": doubled}
    out: list[Any] = []
    for i in range(200):
        x = (i, 0.5 * i, str(i))[i % 3]
        action = table.get(type(x))
        out.append(action(x if x != 41 else 0))
        try:
            out.append(names["ab"[i % 2]](i))
            out.append(table[type(x)](x, seen=i) if i % 3 == 2 else table[int](i, by=i % 4))
        except ValueError as error:
            out.append((error.args, lines(error)))
        if i in (90, 150):
            names["a"] = kept if i == 90 else lambda x: x + i
        if i == 120:
            table[float] = repr
        if i == 160:
            out.append(table["last"](i))
    return out


class Bag:
    def __init__(self, n: int) -> None:
        self.n = n


class Asked:
    def __getattr__(self, name: str) -> Any:
        if name == "missing":
            return 7
        raise AttributeError(name)


class Slotted:
    __slots__ = ("late",)


def about_instances() -> Any:
    """Attributes that are not there, until they are: of one instance, of the class, by another way."""
    out: list[Any] = []
    bags: list[Any] = [Bag(0), [1], "text", Slotted(), Asked(), 5, 0.5, PLAIN]
    for i in range(240):
        one = bags[i % len(bags)] if i > 60 else bags[i % 2]
        out.append((getattr(one, "late", None), hasattr(one, "late"), getattr(one, "missing", i), hasattr(one, "missing"), hasattr(one, "n")))
        bag = Bag(i)
        out.append((getattr(bag, "late", "no"), hasattr(bag, "late"), getattr(bag, "n", None), hasattr(type(bag), "late")))
        if i == 100:
            bags[0].late = "late"
            bags[3].late = "slot"
        if i == 140:
            Bag.late = "of the class"  # type: ignore[attr-defined]
        if i == 180:
            Bag.__getattr__ = lambda self, name: name  # type: ignore[attr-defined]
        try:
            out.append(getattr(one, "nowhere"))
        except AttributeError as error:
            out.append((str(error), lines(error)))
    del Bag.late, Bag.__getattr__  # type: ignore[attr-defined]
    return out


PROGRAMS = [dispatch, about_instances, by_class, by_tuple, in_sets, collisions, ends, about_classes]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_nobody_sees(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)
