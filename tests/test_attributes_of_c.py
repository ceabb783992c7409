"""Attributes and methods of objects whose types C code made, and bound methods of C that are made anew in each call."""

from __future__ import annotations

import io
import struct
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with, nobody_sees

from jitcore import Engine


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


def buffers() -> Any:
    data, text, found = io.BytesIO(), io.StringIO(), []
    for k in range(150):
        found.append(data.write(b"abc"))
        found.append(text.write("xyz"))
        if k % 10 == 9:
            data.seek(k)
            found.append((data.tell(), data.read(4), text.tell()))
    return found, data.getvalue(), text.getvalue()


def closed_buffers() -> Any:
    found: list[Any] = []
    data = io.BytesIO()
    for k in range(150):
        if k % 30 == 29:
            data.close()
        try:
            found.append(data.write(b"abc"))
        except ValueError as error:
            found.append(str(error))
            data = io.BytesIO()
    return found


def with_a_dict() -> Any:
    """Of files, some have attributes of their own, one of which is named like a method."""
    found = []
    for k in range(120):
        data = io.BytesIO(b"text")
        if k % 5 == 4:
            data.read = lambda n: n  # type: ignore[method-assign, assignment, misc]
        found.append(data.read(2))
    return found


class Loud(io.BytesIO):
    def write(self, data: Any) -> int:
        return 2 * super().write(data)


def derived() -> Any:
    files: list[Any] = [io.BytesIO(), Loud()]
    found = []
    for k in range(120):
        found.append(files[k % 2].write(b"abc"))
    return found


def code_objects() -> Any:
    found = []
    for k in range(100):
        for func in (buffers, derived, with_a_dict):
            code = func.__code__
            found.append((code.co_name, code.co_argcount + k, func.__name__, func.__qualname__, type(code).__name__))
    return found


def numbers() -> Any:
    found = []
    for k in range(100):
        x = k * 0.5
        found.append((k.real, k.numerator, x.imag, (1j * k).imag))
    return found


def methods_in_variables() -> Any:
    """Each call has its own."""
    found = []
    for k in range(120):
        items = [k, k + 1, k + 2]
        pop, insert, join = items.pop, items.insert, ",".join
        for n in range(3):
            insert(n, pop(0))
        found.append((items, join(["a", "b"])))
    return found


def queues() -> Any:
    waiting: deque[int] = deque()
    found = []
    for k in range(120):
        waiting.append(k)
        if k % 3 == 2:
            found.append(waiting.popleft())
    return found, list(waiting)


def packed() -> Any:
    found: list[Any] = []
    for k in range(120):
        found.append(struct.pack("<Hd", k, k / 2))
        found.append(struct.unpack("<H", found[-1][:2]))
        try:
            found.append(struct.pack("B", 3 * k))
        except struct.error as error:
            found.append(str(error))
    return found


class Small:
    def __index__(self) -> int:
        return 5


def packed_by_index() -> Any:
    values: list[Any] = [1, 2, Small(), 4]
    return [struct.pack("B", values[k % 4 if k > 60 else 0]) for k in range(120)]


def encoded() -> Any:
    texts = ["plain", "héllo", "\ud800x", "日本"]
    found: list[Any] = []
    for k in range(160):
        text = texts[k % 4 if k > 50 else 0]
        for way in (lambda: text.encode("utf-8", "surrogatepass"), lambda: text.encode("ascii"), lambda: text.encode("latin-1", "replace")):
            try:
                found.append(way())
            except UnicodeError as error:
                found.append(str(error))
    return found


def encoded_in_sight() -> Any:
    texts = ["plain", "héllo", "\ud800x", "日本"]
    found: list[Any] = []
    for k in range(160):
        text = texts[k % 4 if k > 50 else 0]
        data = text.encode("utf-8", "surrogatepass")
        found.append(data)
        try:
            found.append(data.decode("utf-8"))
            found.append(text.encode("ascii"))
        except UnicodeError as error:
            found.append(str(error))
        found.append(data.decode("ascii", "replace"))
        found.append(data.decode("latin-1"))
    return found


def views() -> Any:
    found = []
    for k in range(100):
        d = {"a": k, "b": k + 1}
        keys, items = d.keys(), d.items()
        it = iter(items)
        found.append((next(it), len(keys), list(d.values()), d.copy()))
    return found


PROGRAMS = [buffers, closed_buffers, with_a_dict, derived, code_objects, numbers, methods_in_variables, queues, packed, packed_by_index]
PROGRAMS += [encoded, encoded_in_sight, views]


@pytest.mark.parametrize("program", PROGRAMS)
def test_alike(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)


def same_again(x: Any, y: Any) -> Any:
    """Which objects numbers are."""
    seen: dict[int, int] = {}
    found = []
    for k in range(40):
        z = x if k % 2 else y
        found.append(z is x)
        seen[id(z)] = k
    return found, len(seen), x is y


def identities() -> Any:
    objects: list[Any] = [10**6, 10**6 + 1, 0.5, "text", 7]
    found = []
    for k in range(60):
        found.append(same_again(objects[k % 5], objects[k % 3]))
        found.append(same_again(objects[0], objects[1]))
    return found


def test_numbers_that_are_compared_by_identity(engine: Engine) -> None:
    nobody_sees(engine, identities)


@pytest.mark.parametrize("program", [methods_in_variables, buffers])
def test_nothing_is_called_out_for(program: Callable[[], Any]) -> None:
    engine = Engine(threshold=20, exit_threshold=5, background=False)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    with engine:
        for _ in range(10):
            program()
        found = [r.translation for r in engine.regions if r.state == "live" and r.code is program.__code__ and r.translation is not None]
        out = {(code.co_name, offset) for one in found for code, offset in one.calls_out}
        assert found
        assert not out
    engine.close()
