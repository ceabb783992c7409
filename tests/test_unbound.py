"""Local variables that some ways to a place have bound and others have not.

Loops meet them in their second round, functions with several loops one after another, comprehensions that hide a variable of the
same name. What is unbound must raise when it is read, what was bound must live exactly as long as in the interpreter, and nobody may
ever see what native code keeps in its place.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Any

import programs_alike
import pytest
from jitcore.backends.descriptors import Temp
from jitcore.optimizer.ir import Slot, Value
from jitcore.tracing.contexts import loose_kind, slot_fits, widen_slot
from jitcore.tracing.values import FRAME, OWNED
from test_lower import EFFORTS, Maker, Native
from test_reference import temps

from jitcore import Engine
from jitcore.abi.unbound import UNBOUND

PROGRAMS: dict[str, str] = {
    "loops one after another": """
        def several(n, items):
            total = 0
            for k in range(n):
                for x in items:
                    if x > 2:
                        y = x * 1.5 + k
                        total += y
                        for z in range(3):
                            w = z + x
                            total += w & 3
                    else:
                        name = str(k)
                if k % 3 == 0:
                    for q in (1, 2):
                        u = [q, k]
                        total += u[0]
                if k % 5 == 4:
                    for b in (True, False):
                        last = b
            return total, y, w, name, u, last
        def work(n):
            return [several(n, [1, 2, 3, 4]), several(6, [1, 7, 1.5]), several(5, (1, 3))]
        """,
    "read where it is unbound": """
        def maybe(n, at):
            total = 0
            for k in range(n):
                for i in range(2):
                    if k >= at:
                        v = k * 1000 + i
                        f = v / 3
                        flag = v > 5
                        text = str(v)
                for i in range(2):
                    total += i
                if k % 3 == 2:
                    try:
                        total += v
                        total += f
                        total += flag
                        total += len(text)
                    except UnboundLocalError as error:
                        total += len(str(error))
            return total
        def straight(n, at):
            for k in range(n):
                for i in range(2):
                    if k == at:
                        v = float(k)
                        w = [v]
            return v, w
        def work(n):
            made = []
            for k in range(n):
                made.append(maybe(12, k % 15))
                try:
                    made.append(straight(7, k % 9))
                except UnboundLocalError as error:
                    made.append((str(error), error.__traceback__.tb_next.tb_lineno))
            return made
        """,
    "deleted again": """
        def deletes(n):
            total = 0
            for k in range(n):
                for i in range(3):
                    if k % 4 != 1:
                        v = k + i
                        w = [v]
                for i in range(2):
                    total += 1
                if k % 4 == 2:
                    del v, w
                if k % 4 == 1 and k > 20:
                    try:
                        del v
                        del w
                    except UnboundLocalError:
                        total += 1000
                for i in range(2):
                    total += i
            return total
        def work(n):
            return [deletes(n) for _ in range(10)]
        """,
    "comprehensions that hide": """
        def hides(n, items):
            total = 0
            for k in range(n):
                for i in items:
                    total += i
                    if k > 2:
                        x = total
                        z = (x, k)
                total += sum([x * 2 for x in items]) + len([z for z in items])
                total += sum({i: k for i in items}.values())
                try:
                    total += x + z[1]
                except UnboundLocalError:
                    total += 1
            return total
        def at_top(n, items):
            for k in range(n):
                if k % 5 == 4:
                    y = k / 7
                made = [y * 2 for y in items]
                for j in range(2):
                    pass
                if k > n - 3:
                    made.append(y)
            return made
        def work(n):
            return hides(n, [1, 2, 3]), hides(5, range(3)), at_top(n, [0.5, 1]), at_top(7, [3])
        """,
    "the end of what was bound": """
        def ends(n):
            for k in range(n):
                for i in range(2):
                    if k % 3 == 1:
                        thing = Loud((k, i))
                for i in range(3):
                    log.append(k)
            log.append("last")
        def work(n):
            log.clear()
            ends(n)
            ends(2)
            return log
        """,
    "seen from outside": """
        def look():
            return sorted(sys._getframe(1).f_locals.items(), key=str)
        def seen(n):
            made = []
            for k in range(n):
                for i in range(2):
                    if k > 3:
                        v = k + 1000
                        w = str(v)
                        f = v / 2
                for i in range(2):
                    if k % 4 == 0:
                        made.append(look())
            return made[-3:], made[:3], len(made)
        def work(n):
            return [seen(n), seen(3)]
        """,
    "of several kinds": """
        def kinds(n, values):
            total = 0
            for k in range(n):
                for i in range(2):
                    if k > 2:
                        v = values[(k + i) % len(values)]
                    if k > 4:
                        r = range(k)
                        p = (k, i)
                        s = None
                for i in range(2):
                    total += i
                if k % 7 == 6:
                    total += len(str(v)) + len(r) + p[1] + (s is None)
            return total
        def work(n):
            return [kinds(n, [1, 2.5, "x", None, True]), kinds(n, [1, 2]), kinds(n, [0.5, 2])]
        """,
    "in functions that are walked into": """
        def inner(items, limit):
            total = 0
            for x in items:
                if x > limit:
                    best = x
                for j in range(2):
                    total += j
            for x in items:
                y = x + 1
                total += y
            if total > 20:
                total += best
            return total
        def work(n):
            total = 0
            for k in range(n * 4):
                try:
                    total += inner([k, 2, 3], 2)
                    total += inner([1, 1, 1, 9], k % 9)
                    total += inner([1] * 12, k % 3)
                except UnboundLocalError as error:
                    total += len(str(error))
            return total
        """,
    "generators": """
        def gives(n):
            for k in range(n):
                if k > 3:
                    v = k * 2
                    w = [k]
                yield k
                if k > 5:
                    yield v + w[0]
        def work(n):
            return [sum(x for x in gives(n)), list(gives(3))] + [total(n), total(2)]
        def total(n):
            found = 0
            for x in gives(n):
                for y in (1, 2):
                    if x > 4:
                        z = x
                    found += y
            return found + z if n > 6 else found
        """,
}


@pytest.mark.stress
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("mode", programs_alike.MODES)
def test_alike(mode: str, name: str) -> None:
    programs_alike.check(mode, programs_alike.LOUD, PROGRAMS[name], register=True)


def rounds_of(n: int, items: list[int]) -> int:
    total = 0
    for _ in range(n):
        for x in items:
            y = x + 1
            total += y
        for x in items:
            z = [x]
            total += z[0]
    return total


def test_first_rounds_are_not_told_apart() -> None:
    engine = Engine(threshold=10**6, function_threshold=5, background=False, deopt_every=0)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    engine.register(rounds_of)
    with engine:
        for _ in range(20):
            assert rounds_of(3, [1, 2]) == 24
        graph = engine.explain(rounds_of).regions[-1].before
    engine.close()
    assert graph.count("poll") == 3, "each loop has its rounds once"
    assert "maybe_box" in graph and "maybe_steal" in graph


def test_nothing_is_lost() -> None:
    class Item:
        pass

    item = Item()

    def holds(n: int) -> None:
        for k in range(n):
            for i in range(2):
                if k % 3 == 1:
                    held = item
                    number = k * 1e9
            for i in range(2):
                pass
            if k % 7 == 6:
                [held for held in (1, 2)]
                assert number and held

    holds(9)
    gc.collect()
    before = sys.getrefcount(item), sys.getrefcount(UNBOUND)
    for every in (0, 3):
        with Engine(threshold=5, function_threshold=5, exit_threshold=10**6, background=False, deopt_every=every) as engine:
            growth = programs_alike.least_growth(lambda: [holds(30) for _ in range(50)])
        engine.close()
        assert growth < 20
    gc.collect()
    assert (sys.getrefcount(item), sys.getrefcount(UNBOUND)) == before


def test_counting_it_is_nothing() -> None:
    before = sys.getrefcount(UNBOUND)
    held = [UNBOUND] * 1000
    assert sys.getrefcount(UNBOUND) == before and len(held) == 1000


@pytest.mark.parametrize("effort", EFFORTS)
def test_boxes_where_there_is_something(effort: str) -> None:
    for name, values in (("obj.box_int_if", (7, 1 << 40)), ("obj.box_float_if", (0.5, -0.0)), ("obj.box_bool_if", (True, False))):
        maker = Maker()
        number, there = maker.input("ifb"[("int" not in name) + ("bool" in name)]), maker.input("b")
        maker.exit(maker.emit(name, number, there))
        native = Native(maker.graph, effort)
        for value in values:
            maker.set(value, False)
            assert native.run()[1] == [0]
            maker.set(value, True)
            address = native.run()[1][0]
            assert repr(programs_object(address)) == repr(value)


def programs_object(address: int) -> object:
    from jitcore.abi import memory

    made = memory.object_at(address)
    memory.decref(address)
    return made


@pytest.fixture
def parts() -> Iterator[tuple[Value, Value, Value]]:
    yield Value("i", None), Value("b", None), Value("o", None)


def test_descriptors(parts: tuple[Value, Value, Value]) -> None:
    i, b, o = parts
    assert temps(Slot("maybe_box", (i, b)), Slot("maybe_steal", (o,)), Slot("maybe_new", (o,))) == [
        (Temp.BOX_INT, 0, 2, 0),
        (Temp.STEAL, 2, id(UNBOUND), 0),
        (Temp.NEW, 2, id(UNBOUND), 0),
    ]
    # A number that may be missing is nobody else's box.
    made = temps(Slot("maybe_box", (i, b)), Slot("box", (i,)), Slot("maybe_box", (i, b)))
    assert [entry[0] for entry in made] == [Temp.BOX_INT] * 3


def test_contexts() -> None:
    none: Any = ("n", False)
    assert widen_slot(none, ("i", False), False, True) == ("mi", False)
    assert widen_slot(("f", True), none, True, True) == ("mf", True)
    assert widen_slot(none, ("i", False), False) is None, "on the stack NULL says how something is called"
    assert widen_slot(none, ("o", int, OWNED), False, True) == ("m", int, OWNED)
    assert widen_slot(none, ("o", int, FRAME), True, True) == ("m", int, FRAME)
    assert widen_slot(("m", int, OWNED), ("o", str, OWNED), False, True) == ("m", None, OWNED)
    assert widen_slot(("mi", False), ("f", False), False, True) is None
    assert slot_fits(none, ("mi", False), True) and not slot_fits(none, ("mi", False), False)
    assert not slot_fits(("n", True), ("mi", False), True) and slot_fits(("i", True), ("mi", True), True)
    assert not slot_fits(("mi", False), ("i", False), True) and not slot_fits(("m", None, OWNED), ("o", None, OWNED), True)
    assert loose_kind([none, ("i", False), ("i", True)]) == "mi"
    assert loose_kind([none, ("o", None, OWNED)]) == "m"
    assert loose_kind([none, ("i", False), ("f", False)]) is None and loose_kind([("i", False)]) is None
