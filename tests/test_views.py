"""Instances of classes derived from list: done natively by what the class has from list, and only by that."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with, entries_when_warm, nobody_sees

from jitcore import Engine


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


class Row(list):  # type: ignore[type-arg]
    pass


class Stack(list):  # type: ignore[type-arg]
    __slots__ = ()

    def top(self) -> Any:
        return self[-1]


class Named(list):  # type: ignore[type-arg]
    def __init__(self, name: str, items: Any = ()) -> None:
        super().__init__(items)
        self.name = name


class Loud(list):  # type: ignore[type-arg]
    """Has its own of all that is asked for."""

    def __len__(self) -> int:
        return 77

    def __getitem__(self, key: Any) -> Any:
        return ("item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        list.append(self, (key, value))

    def __iter__(self) -> Any:
        return iter([1, 2, 3])

    def append(self, item: Any) -> None:
        list.append(self, item + 1000)

    def pop(self, *args: Any) -> Any:
        return "popped"


class Untrue(list):  # type: ignore[type-arg]
    def __bool__(self) -> bool:
        return False


class Made(list):  # type: ignore[type-arg]
    made: list[int] = []

    def __new__(cls, *args: Any) -> Any:
        cls.made.append(len(cls.made))
        return super().__new__(cls, *args)


def rows() -> Any:
    total = []
    for k in range(120):
        row = Row()
        for i in range(5):
            row.append(i * k)
        row[2] = 7
        row[-1] = k
        total += [len(row), row[3], row[-2]]
        for item in row:
            total.append(item)
        while len(row) > 2:
            total.append(row.pop())
        if row:
            total.append(row.pop(0))
        row.insert(0, k)
        row.extend([k, 1])
        row.reverse()
        total.append(row.pop(-1))
        if not row:
            total.append("empty")
        total += [type(row).__name__, row]
    return total


def slotted() -> Any:
    stack = Stack()
    found = []
    for k in range(150):
        stack.append(k)
        found.append(stack.top() + len(stack))
        if k % 3 == 2:
            found.append(stack.pop())
            found.append(stack.pop())
    return found, stack


def with_attributes() -> Any:
    found: list[Any] = []
    for k in range(120):
        one = Named(f"n{k % 3}", [k, k + 1])
        one.append(len(one.name))
        found += [one[0], one[2], one.name, len(one), [*one]]
    return found


def own_methods() -> Any:
    found: list[Any] = []
    for k in range(120):
        loud = Loud([k])
        loud.append(k)
        loud[1] = k
        found += [len(loud), loud[0], loud.pop(), bool(loud), [x for x in loud], list.__len__(loud), list.__getitem__(loud, 1)]
        untrue = Untrue([1, 2])
        found += [len(untrue), 1 if untrue else 2, not untrue]
        found.append(len(Made([k])))
    found.append(len(Made.made) > 0)
    Made.made.clear()
    return found


def failures() -> Any:
    found: list[Any] = []
    row = Row([1, 2, 3])
    for k in range(120):
        try:
            if k % 4 == 1:
                row[k % 7] = k
            elif k % 4 == 2:
                found.append(row[k % 9])
            elif k % 4 == 3:
                Row().pop()
            else:
                found.append(row[-1 - k % 5])
        except IndexError as error:
            found.append((str(error), error.__traceback__.tb_lineno if error.__traceback__ else 0))
    return found


def growing() -> Any:
    """The list changes while it is gone through."""
    found = []
    for k in range(100):
        row = Row([k])
        for item in row:
            if len(row) < 6:
                row.append(item + 1)
            found.append(item)
    return found


def mixed() -> Any:
    found = []
    for k in range(160):
        for one in (Row([k]), [k, 1], Stack([k, 2, 3])):
            one.append(4)
            found += [len(one), one[-2], one.pop()]
            for item in one:
                found.append(item)
    return found


@pytest.mark.parametrize("program", [rows, slotted, with_attributes, own_methods, failures, growing, mixed])
def test_alike(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)


def test_no_open_calls() -> None:
    made = Engine(threshold=20, exit_threshold=5, background=False)

    def fill(row: Any, n: int) -> int:
        for k in range(n):
            row.append(k)
            row[0] = len(row)
            if row:
                row.pop()
        return sum(1 for _ in row)

    with made:
        assert entries_when_warm(made, lambda: fill(Row([1, 2]), 50), 8, 4) >= 4
        assert not any(region.calls_out for region in translations(made))
    made.close()


def translations(engine: Engine) -> list[Any]:
    return [region.translation for region in engine.regions if region.state == "live" and region.translation is not None]


def test_a_method_that_comes_later(engine: Engine) -> None:
    """Given to the class in the middle of a loop, it is used from then on; an iterator that is under way goes on."""

    def program() -> Any:
        class Late(list):  # type: ignore[type-arg]
            pass

        late, found = Late([1, 2, 3]), []
        for k in range(200):
            if k == 120:
                Late.__len__ = lambda self: -1 if k == 0 else 55  # type: ignore[method-assign,assignment]
            if k == 150:
                Late.__getitem__ = lambda self, at: ("late", at)  # type: ignore[method-assign,assignment]
            if k == 170:
                Late.append = lambda self, item: found.append(("appended", item))  # type: ignore[method-assign,assignment]
            found += [len(late), late[1]]
            late.append(k)
            if list.__len__(late) > 5:
                list.pop(late)
            for item in late:
                if k == 180 and not hasattr(Late, "mark"):
                    Late.mark = True  # type: ignore[attr-defined]
                    Late.__iter__ = lambda self: iter("xy")  # type: ignore[method-assign,assignment]
                found.append(item)
        return found

    nobody_sees(engine, program)


ended: list[Any] = []


class Mortal:
    def __init__(self, name: Any) -> None:
        self.name = name

    def __del__(self) -> None:
        ended.append(self.name)


class Finalised(list):  # type: ignore[type-arg]
    def __del__(self) -> None:
        ended.append(("list", len(self)))


def ends() -> Any:
    """What is in a list ends with it, in order, and when."""
    ended.clear()
    for k in range(100):
        row = Row()
        row.append(Mortal(k))
        row.append(Mortal(-k))
        ended.append("before")
        if k % 3 == 0:
            row.note = Mortal(("note", k))  # type: ignore[attr-defined]
        del row
        ended.append("after")
        last = Finalised()
        last.append(k)
        del last
        ended.append("end")
        seen = Row([1])
        watch = weakref.ref(seen, lambda _: ended.append("gone"))
        seen.append(2)
        del seen
        ended.append(watch() is None)
    return list(ended)


def test_ends(engine: Engine) -> None:
    nobody_sees(engine, ends)


def test_references(engine: Engine) -> None:
    item = object()

    def program() -> Any:
        kept = Row()
        for k in range(150):
            row = Row()
            row.append(item)
            row.append(kept)
            for one in row:
                if one is item:
                    kept.append(item)
            row[0] = k
            if len(kept) > 3:
                kept.pop()
        return len(kept)

    with engine:
        for _ in range(6):
            program()
        gc.collect()
        before = sys.getrefcount(item), sys.getrefcount(Row)
        for _ in range(5):
            program()
        gc.collect()
        assert (sys.getrefcount(item), sys.getrefcount(Row)) == before


class Pile(list[Any]):
    """Has nothing of its own."""


class Holder:
    def __init__(self) -> None:
        self.items = Pile()


def test_lists_that_are_borrowed(engine: Engine) -> None:
    """A list that an attribute holds is not kept by who has changed it."""

    def program() -> Any:
        holder = Holder()
        for k in range(150):
            holder.items.append(k)
            holder.items.append([k])
            if k % 3 == 0:
                holder.items.pop()
                holder.items.insert(0, k)
                holder.items.reverse()
            if k % 50 == 0:
                holder.items.extend([k, k])
        return sys.getrefcount(holder.items), len(holder.items), holder.items[:4]

    nobody_sees(engine, program)
