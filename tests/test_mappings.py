"""Items of dicts by strings and ints, looked up natively: tables of all sizes, hashes that meet, keys of other types among them."""

from __future__ import annotations

import gc
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with, nobody_sees
from test_displays import Item, Key, lines
from test_lower import EFFORTS, Maker, Native, agree, interpret

from jitcore import Engine

MODULUS = (1 << 61) - 1


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


class Same:
    """A key with the hash of another."""

    def __init__(self, one: object) -> None:
        self.one = one

    def __hash__(self) -> int:
        return hash(self.one)


class Word(str):
    __slots__ = ()


class Shared:
    """Of which instances share the keys of their dicts, and have some of them."""

    def __init__(self, *names: str) -> None:
        for name in names:
            setattr(self, name, "x")


Shared("one", "two", "three", *map(str, range(290, 310)))
KEPT_ALIVE: list[Any] = []


def shared_tables() -> list[dict[Any, Any]]:
    """Dicts of instances: with a hole, with one since something was removed, with all of them; of an instance that is gone, with more
    names than are shared, with a key that is no string."""
    names = ["one", "two", "three"]
    ones = [Shared(), Shared("two"), Shared(*names), Shared(*names), Shared(*names, "other"), Shared("two"), Shared("three", "one")]
    tables = [vars(one) for one in ones]
    del ones[3].one, tables[3]["three"]
    tables[5][299] = "y"
    KEPT_ALIVE[:] = ones[:-1]
    return tables


def tables() -> list[dict[Any, Any]]:
    """Dicts whose values are None or text, so that nothing dies with them."""
    removed = dict.fromkeys(range(-5, 3000), "x")
    for k in range(0, 3000, 3):
        del removed[k]
    shared: Any = type("Shared", (), {})()
    shared.one = shared.two = "x"
    return [
        {},
        {"one": None, "two": "x"},
        {1: "x", -1: None, -2: "y", 0: "z"},
        {1: "x", "one": "y", None: "z", 2.5: None},
        {MODULUS + 1: "big", 1 << 100: "bigger", -(1 << 63): "least"},
        {1 + MODULUS: "big", 1: "x"},
        {1 + MODULUS: "big"},
        dict.fromkeys(map(str, range(300)), "x"),
        {k * 1024: str(k) for k in range(100)},
        dict.fromkeys(range(70_000), "x"),
        {Same(1): "same"},
        {1: "x", Same(7): "same"},
        {Word("one"): "word", "two": "x"},
        {True: "bool", 2.0: "float", False: "no"},
        {"o" + "ne": "x", b"one": "y"},
        removed,
        vars(shared),
        *shared_tables(),
    ]


@pytest.mark.parametrize("key", [0, 1, -1, -2, 7, 2, 299, 2999, 3000, 1024 * 99, MODULUS, -MODULUS, MODULUS + 1, -(1 << 63)])
def test_find_int(key: int) -> None:
    maker = Maker()
    maker.exit(maker.emit("dict.find_int", maker.input("o"), maker.input("i")))
    kept = tables()
    agree(maker, [(id(table), key) for table in kept if plain(table, key)], EFFORTS)


def plain(table: dict[Any, Any], key: object) -> bool:
    """Whether the order of keys with the same hash makes no difference to what is found."""
    return not (key in table and any(hash(k) == hash(key) and type(k) is not type(key) for k in table))


@pytest.mark.parametrize("key", ["one", "two", "299", "missing", "", "ünïcödé"])
def test_find_text(key: str) -> None:
    maker = Maker()
    maker.exit(maker.emit("dict.find_text", maker.input("o"), maker.input("o")))
    fresh = "".join(list(key))  # another object, whose hash nobody has asked for
    kept = tables()
    agree(maker, [(id(table), id(one)) for table in kept for one in (key, fresh) if plain(table, key)], EFFORTS)


@pytest.mark.parametrize("effort", EFFORTS)
def test_what_was_found_is_looked_for_there_first(effort: str) -> None:
    """The index in the last dict is only a hint: other dicts have the name elsewhere, under another object that is equal, among
    other keys, not any more, or not at all."""
    maker = Maker()
    o = maker.input("o")
    key = maker.emit("const.o", imm=("name",))
    where = maker.emit("dict.place_text", o, key)
    maker.exit(maker.emit("dict.find_text", o, key), where)
    native = Native(maker.graph, effort)
    other = "".join(["na", "me"])
    first, second, third = {"name": 1.5}, {"x": 0, "name": 2.5}, {f"x{k}": k for k in range(300)} | {"name": 3.5}
    removed = {"y": 0, "name": 0, "z": 1}
    del removed["name"]
    gone_and_back = {"name": 0, "y": 1} | {"z": 2}
    del gone_and_back["name"]
    gone_and_back["name"] = 4.5
    general, equal, number = {1: 0, "name": 5.5}, {"a": 0, other: 6.5}, {"name": 0.5, 3: 1}
    shared: Any = type("Shared", (), {})()
    shared.name = 7.5
    kept: list[dict[Any, Any]] = [first, first, second, second, third, third, second, {}, second, removed, gone_and_back, general, general, first]
    kept += [equal, second, number, number, vars(shared), second, {"name": None}, third, {k: k for k in "abcdefgh"}, third]
    for table in kept * 2:
        maker.set(id(table))
        assert native.run()[1] == interpret(maker.graph)[1], table


NOTED: dict[int, int] = {}
SEEN: list[int] = []
KINDS = {"a", "b"}


def sizes() -> Any:
    """How long what changes in a loop is, and whether it is empty."""
    table: dict[Any, Any] = {}
    some, queue, raw = set(), deque(), bytearray()  # type: ignore[var-annotated]
    out: list[Any] = []
    NOTED.clear()
    SEEN.clear()
    for i in range(120):
        before = len(table), len(some), len(queue), len(raw)
        table[i % 7] = i
        if len(table) > 5:
            del table[i % 7]
        some.add(i % 11)
        queue.append(i)
        if queue and i % 3 == 0:
            queue.popleft()
        raw += bytes(i % 3)
        if len(some) == 11:
            some.clear()
            raw.clear()
        out.append((before, len(table), len(some), len(queue), len(raw), bool(table), not some, not raw, len(bytes(i % 4))))
        out.append([len(one) for one in (table, some, frozenset(some), queue, raw, b"xyz")])
        if not frozenset(range(i % 2)):
            out.append(i)
        if i % 4:
            NOTED[i % 6] = i
            SEEN.append(i)
        elif SEEN:
            SEEN.pop()
        out.append((len(NOTED), len(SEEN), not NOTED, bool(SEEN), not KINDS))
        if bytes(i % 2) or i % 5 and {}:
            out.append("b")
    return out


def words() -> Any:
    counts: dict[str, Any] = {}
    out: list[Any] = []
    text = "the cat and the dog and the bird " * 6
    for k, word in enumerate(text.split()):
        if word in counts:
            counts[word] += 1
        else:
            counts[word] = 1
        out.append(counts.get(word, 0) + counts.get(word + "s", 0.5))
        out.append(counts.get("x" * (k % 3)))
        try:
            out.append(counts[word[1:]])
        except KeyError as error:
            out.append((repr(error), lines(error)))
    return out, list(counts.items())


def numbers() -> Any:
    memo: dict[int, Any] = {}
    out: list[Any] = []
    for i in range(200):
        memo[i * i % 50] = i
        memo[-i] = Item(i) if i % 40 == 39 else i * 0.5
        if i + 1 not in memo:
            memo[i + 1] = [i]
        out.append((memo.get(i % 7), memo.get(-1 - i, memo), memo[-i], 3 * i in memo))
        if i % 60 == 59:
            memo.clear()
            memo[-i] = None
    return len(out), out[::20], memo


def odd_keys() -> Any:
    table: dict[Any, Any] = {Key(0): "key", 4: "four", "s": 1, 2.0: "two", True: "yes"}
    out: list[Any] = []
    for i in range(150):
        table[i % 9] = i
        table[Key(i % 9)] = -i
        table[str(i % 5)] = i
        out.append((table.get(i % 12), table.get(2), table[1], Word("s") in table, i % 3 in table))
        if i % 50 == 49:
            table.pop(4, None)
    return out, [(repr(k), v) for k, v in table.items()]


def instances() -> Any:
    out: list[Any] = []
    one = Item(0)
    space = vars(one)
    for i in range(150):
        one.n = i
        space["n"] += 1
        space["m"] = one.n
        out.append((space["n"], space.get("m"), "k" in space, globals()["Item"] is Item))
        if i % 30 == 29:
            one.k = i  # type: ignore[attr-defined]
            del one.k  # type: ignore[attr-defined]
    return out


class Told:
    ends: list[Any] = []

    def __init__(self, n: int) -> None:
        self.n = n

    def __del__(self) -> None:
        Told.ends.append((self.n, sum(table)))


table: dict[int, Any] = {}


def destructors() -> Any:
    Told.ends.clear()
    table.clear()
    for i in range(150):
        table[i % 7] = Told(i) if i % 3 == 0 else i
        if i % 10 == 9:
            del table[i % 7]
    table.clear()
    return list(Told.ends)


def nested() -> Any:
    grid: dict[str, dict[int, Any]] = {"a": {}, "b": {}}
    total = 0.0
    for i in range(200):
        row = grid["a" if i % 2 else "b"]
        row[i % 11] = row.get(i % 11, 0) + 1
        grid["a"][i] = total
        total += row[i % 11] * 0.5
        changed = grid["b"]
        grid["b"] = {**changed}
        total += len(changed)
    return total, grid


class Roller(random.Random):
    def __init__(self) -> None:
        super().__init__(7)
        self.rolls = 0
        self.last: Any = None

    def roll(self, sides: int) -> Any:
        self.rolls += 1
        self.last = int(self.random() * sides)
        return self.last


def shared_keys() -> Any:
    """What an instance has, looked up and changed by its dict and by itself."""
    out: list[Any] = []
    one, roller = Item(0), Roller()
    space, names = vars(one), vars(roller)
    for k in range(200):
        space["n"] = k
        out.append((one.n, space["n"], space.get("m"), "m" in space, space.get("n" + ""), k in space, (k,) in space))
        one.n += 1
        space["n"] += 1
        out.append((one.n, roller.roll(6), names["rolls"], names["last"] is roller.last))
        names["rolls"] += 1
        if k % 10 == 3:
            del one.n
            out.append((space.get("n"), "n" in space, len(space), list(space)))
            try:
                out.append(space["n"])
            except KeyError as error:
                out.append(repr(error))
            space["n"] = -k
        if k % 10 == 5:
            del space["n"]
            out.append((hasattr(one, "n"), list(space)))
            one.n = k
        if k % 10 == 7:
            out.append((space.pop("n"), space.setdefault("n", k), one.n))
        if k == 120:
            space["more"] = k
            roller.more = k  # type: ignore[attr-defined]
            out.append((one.more, names["more"]))  # type: ignore[attr-defined]
        if k == 140:
            space[5] = k  # type: ignore[index]
            out.append(list(space.items()))
        if k == 160:
            one.__dict__ = {"n": k}
            space["n"] = "old"
            out.append((one.n, one.__dict__["n"]))
            one.__dict__["n"] = "new"
            out.append((one.n, space["n"]))
            space = vars(one)
    return out, sorted(names)[-3:]


def dicts_of_many() -> Any:
    """Instances that come and go; some of their dicts stay."""
    out: list[Any] = []
    kept: list[Any] = []
    for k in range(150):
        one = Item(k)
        space = one.__dict__
        space["n"] *= 2
        one.n += 1
        space["a" if k % 3 else "b"] = [k]
        out.append((space["n"], space.get("a"), space.get("b"), one.n))
        one = None  # type: ignore[assignment]
        space["n"] += 1
        space["c"] = space["n"]
        kept.append(space)
    return out, kept


class Ended:
    def __init__(self, n: int, told: list[Any]) -> None:
        self.n, self.told = n, told

    def __del__(self) -> None:
        frame = sys._getframe(1)
        self.told.append((self.n, frame.f_lineno - frame.f_code.co_firstlineno))


def values_that_end() -> Any:
    told: list[Any] = []
    holder: Any = Item(0)
    space = vars(holder)
    for k in range(100):
        space["n"] = Ended(k, told)
        told.append("stored")
        space["n"] = k
        told.append("replaced")
        holder.n = Ended(-k, told)
        del space["n"]
        told.append("removed")
        space["n"] = Ended(1000 + k, told)
    space.clear()
    return told, holder.__dict__ is space


STATEMENTS = """
total = 0
for step in range(60):
    total += step
    n = total
    if step == 30:
        change()
    other = n + 1
"""
CODE = compile(STATEMENTS, "<names>", "exec")


def namespaces() -> Any:
    """Code whose names are an instance's attributes, while the instance gets more of them, gets another dict, and ends."""
    out: list[Any] = []
    for k in range(8):
        one: Any = Item(k)
        two = [Item(k)]
        three: Any = Item(k)
        four: Any = Item(k)
        spaces = [vars(one), vars(two[0]), vars(three), vars(four)]

        def more(space: Any = spaces[2]) -> None:
            space.update((f"more{n}", n) for n in range(40))

        def replace(one: Any = four) -> None:
            one.__dict__ = {}

        for space, change in zip(spaces, (int, two.clear, more, replace), strict=True):
            space["change"] = change
            exec(CODE, space)
            out.append((space["total"], space["n"], space["other"], len(space)))
        out.append((one.total, three.other, vars(four)))
    return out


PROGRAMS = [sizes, words, numbers, odd_keys, instances, destructors, nested, shared_keys, dicts_of_many, values_that_end, namespaces]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_nobody_sees(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)


@pytest.mark.parametrize("effort", EFFORTS)
def test_put(effort: str) -> None:
    """Into the place that the key has, or as a new one; a dict that the garbage collector does not know gets known where it has to."""
    maker = Maker()
    o, key, value = maker.input("o"), maker.input("o"), maker.input("o")
    where = maker.emit("dict.place_text", o, key)
    old = maker.emit("obj.is_null", maker.emit("dict.at", where))
    maker.exit(old, maker.emit("dict.put", o, where, key, value), maker.emit("dict.unwatched", o))
    native = Native(maker.graph, effort)
    for new in ([1], 2.5):
        for run in (native.run, lambda: interpret(maker.graph)):
            mapping: dict[Any, Any] = {"a": 1, 5: 2, "b": 3}
            before = sys.getrefcount(new)
            for name, missing in (("a", 0), ("b", 0), ("c", 1), ("c", 0)):
                maker.set(id(mapping), id(name), id(new))
                assert run()[1] == [missing, 0, 1]
            assert sys.getrefcount(new) == before + 3
            assert list(mapping.items()) == [("a", new), (5, 2), ("b", new), ("c", new)]
            assert gc.is_tracked(mapping) or type(new) is float


@pytest.mark.parametrize("effort", EFFORTS)
def test_put_into_what_instances_have(effort: str) -> None:
    """The instance sees what is put into its dict, and nothing gets into the dicts of others."""
    maker = Maker()
    o, key, value = maker.input("o"), maker.input("o"), maker.input("o")
    where = maker.emit("dict.place_text", o, key)
    old = maker.emit("obj.is_null", maker.emit("dict.at", where))
    maker.exit(old, maker.emit("dict.put", o, where, key, value), maker.emit("dict.find_text", o, key))
    native = Native(maker.graph, effort)
    new = [1]
    for run in (native.run, lambda: interpret(maker.graph)):
        one: Any = Shared("two", "three")
        other: Any = Shared("two", "three")
        before = sys.getrefcount(new)
        for name, missing in (("two", 0), ("one", 1), ("one", 0), ("three", 0), ("unshared" + effort, 1), ("two", 0)):
            maker.set(id(vars(one)), id(name), id(new))
            assert run()[1] == [missing, 0, id(new)]
            assert getattr(one, name) is new
        assert sys.getrefcount(new) == before + 4
        del one.two
        maker.set(id(vars(one)), id("two"), id(new))
        assert run()[1] == [1, 0, id(new)] and one.two is new and vars(other) == {"two": "x", "three": "x"}
        space = vars(one)
        del one
        maker.set(id(space), id("three"), id("gone"))
        assert run()[1] == [0, 0, id("gone")] and sorted(space.items())[1] == ("three", "gone")
        del space
        assert sys.getrefcount(new) == before


@pytest.mark.parametrize("effort", EFFORTS)
def test_places_of_ints(effort: str) -> None:
    maker = Maker()
    o, key = maker.input("o"), maker.input("i")
    where = maker.emit("dict.place_int", o, key)
    unknown = maker.emit("int.eq", where, maker.emit("const.i", imm=(-1,)))
    maker.exit(unknown, maker.emit("int.eq", where, maker.emit("const.i", imm=(0,))))
    native = Native(maker.graph, effort)
    mapping = {3: "x", 2.0: "y", "z": 1}
    for number, expected in ((3, [0, 0]), (2, [1, 0]), (4, [0, 1]), (1 << 62, [1, 0])):
        maker.set(id(mapping), number)
        assert native.run()[1] == expected == interpret(maker.graph)[1], number
