"""Attributes of instances: the same values, order, exceptions and ends as in the interpreter, whatever happens to classes meanwhile."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with, nobody_sees

from jitcore import Engine


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


class Vector:
    scale = 2

    def __init__(self, x: Any, y: Any) -> None:
        self.x = x
        self.y = y

    def dot(self, other: Any) -> Any:
        return self.x * other.x + self.y * other.y

    def shift(self, by: Any) -> Any:
        self.x += by
        return self


class Slots:
    __slots__ = ("count", "value", "unset")

    def __init__(self) -> None:
        self.count = 0
        self.value = 1.5

    def step(self) -> Any:
        self.count += 1
        self.value = self.value * 0.5 + self.count
        return self.value


def shown(*instances: Any) -> Any:
    return [(type(one).__name__, list(vars(one).items())) for one in instances]


def numbers() -> Any:
    v, w, s = Vector(1.5, 2), Vector(3, 4.25), Slots()
    out = 0.0
    for i in range(150):
        out += v.dot(w) + s.step() * v.scale
        v.shift(1.5).shift(i)
        w.y = w.x + i
    return out, shown(v, w), s.count, s.value


def boxes_are_shared() -> Any:
    """A box that somebody else holds is not written to."""
    v, w = Vector(1000.5, 5000), Vector(0, 0)
    kept = []
    for i in range(120):
        if i % 7 == 0:
            kept.append(v.x)
        if i % 11 == 0:
            kept.append(v.y)
            w.x = v.x
        v.x += 0.5
        v.y += 700
        w.y = v.y
        v.y -= 1
    return kept, shown(v, w)


def small_and_large() -> Any:
    v = Vector(0, -3)
    out = []
    for i in range(150):
        v.x = v.x * 3 + 1 if i % 40 else 0
        v.y = -v.y + i
        out.append((v.x, v.y))
    return out


def class_values_and_own_ones() -> Any:
    v, w = Vector(1, 2), Vector(3, 4)
    out = []
    for i in range(160):
        if i == 90:
            w.scale = 7
        if i == 120:
            del w.scale
        out.append(v.scale + (w if i % 2 else v).scale)
    return out


def methods_get_shadowed() -> Any:
    v = Vector(1, 2)
    out = []
    for i in range(160):
        if i == 100:
            v.dot = lambda other: -1
        if i == 130:
            del v.dot
        out.append(v.dot(v))
    return out


def classes_change() -> Any:
    class Changing(Vector):
        factor = 1

        def get(self) -> Any:
            return self.x * self.factor

    class Other(Vector):
        factor = 100

        def get(self) -> Any:
            return -self.y

    one = Changing(3, 4)
    out = []
    for i in range(300):
        if i == 60:
            Changing.factor = 5
        if i == 90:
            Changing.get = lambda self: self.factor
        if i == 120:
            Vector.extra = 9
        if i == 150:
            one.__class__ = Other
        if i == 180:
            Other.x = property(lambda self: 77, lambda self, value: None)
        if i == 210:
            del Other.x
        if i == 240:
            one.__class__ = Changing
        if i == 270:
            Changing.__bases__ = (Other,)
        one.x = i
        out.append((one.get(), one.x, one.factor))
    del Vector.extra
    return out


def classes_count_their_instances() -> Any:
    class Counted:
        made = 0

        def touch(self) -> Any:
            Counted.made += 1
            return self.made

    one = Counted()
    return [one.touch() for _ in range(120)], Counted.made


def dicts_appear() -> Any:
    v, w = Vector(1, 2), Vector(3, 4)
    out = []
    for i in range(260):
        if i == 70:
            kept = v.__dict__
        if i == 110:
            kept["x"] = -5
        if i == 140:
            v.__dict__ = {"y": 8, "x": 9}
        if i == 170:
            del v.__dict__["x"]
        if i == 180:
            v.x = 4
        if i == 210:
            v.__dict__[5] = 6
        try:
            v.x += 1
            w.y = v.x + v.y
        except AttributeError as error:
            out.append(str(error))
        out.append((w.y, i == 200 and kept is v.__dict__))
    return out, shown(v, w), kept


def order_of_attributes() -> Any:
    """What native code adds comes last, in the order in which it came."""

    class Empty:
        pass

    every: list[Any] = [Empty() for _ in range(120)]
    every[0].a = every[0].b = every[0].c = 0
    for i, one in enumerate(every):
        if i % 2:
            one.b = i
            one.a = i + 0.5
        else:
            one.c = str(i)
            one.a = i
        one.b = -i
        if i % 3 == 0:
            del one.a
            one.a = "again"
    return shown(*every)


def nothing_there() -> Any:
    s, v = Slots(), Vector(1, 2)
    out = []
    for i in range(130):
        try:
            if i % 40 == 39:
                del v.x
            if i % 50 == 49:
                del s.count
            out.append(v.x + s.count + (s.unset if i % 60 == 59 else 0))
        except AttributeError as error:
            out.append((str(error), [entry.lineno for entry in traceback.extract_tb(error.__traceback__)]))
            v.x = s.count = i
    return out


def many_shapes() -> Any:
    class Sub(Vector):
        __slots__ = ("z",)

        def dot(self, other: Any) -> Any:
            return self.z

    class Items(list):
        scale = 4

    class Failure(Exception):
        scale = 5

    class Own:
        scale = property(lambda self: self.hidden + 1)

        def __init__(self) -> None:
            self.hidden = 5

    class Asks:
        def __getattr__(self, name: str) -> Any:
            return len(name)

    class Decides:
        def __getattribute__(self, name: str) -> Any:
            return 7

        def __setattr__(self, name: str, value: Any) -> None:
            out.append((name, value))

    out: list[Any] = []
    sub, failure, items = Sub(1, 2), Failure("x"), Items()
    sub.z, failure.x, items.x = 3, 4, 5
    for every in ([Vector(1, 2), sub], [items, failure, Own()], [Asks(), Decides(), Vector(0, 0), sub, Own()]):
        for i in range(90):
            one = every[i % len(every)]
            out.append(one.scale)
            if i % 5 == 0 and type(one) is not Own:
                one.x = i
                out.append(one.x)
    for i in range(60):
        out.append(sub.dot(sub))
        sub.z += i
    return out


def ends_in_time() -> Any:
    """What an attribute held goes when it is replaced, and its end may look at everything."""
    out: list[Any] = []

    class Ends:
        def __init__(self, number: int) -> None:
            self.number = number

        def __del__(self) -> None:
            out.append((self.number, type(holder.x).__name__))

    holder = Vector(None, 0)
    for i in range(90):
        holder.x = Ends(i) if i % 3 == 0 else i
        holder.y = holder.x
        holder.y = 0
        out.append(i)
    return out


def linked() -> Any:
    head: Any = None
    for i in range(60):
        node = Vector(i, head)
        head = node
    out = 0
    for _ in range(20):
        at = head
        while at is not None:
            out += at.x
            at = at.y
    return out


def late_attributes() -> Any:
    """So many instances before the last names come that those have no places any more, but dicts of their own."""

    class Late:
        shared = 3

        def __init__(self, number: Any) -> None:
            self.number = number

        def start(self) -> None:
            self.color = self.number & 3
            self.ledges = 0.5
            self.used = None

        def add(self, k: Any) -> Any:
            self.ledges += k
            self.color = self.color + 1 if self.color < 1000 else str(k)
            return self.ledges + self.shared

    every = [Late(k) for k in range(70)]
    out: list[Any] = []
    for one in every:
        one.start()
    for k in range(5):
        for one in every:
            out.append(one.add(k))
            if one.number == 33 + k:
                one.shared = 10
                one.used = [one.number]
            if one.number == 50:
                one.used = every[k].number
                del one.used
            try:
                out.append((one.used is None, one.number))
            except AttributeError as error:
                out.append(str(error))
    every[3].__dict__[4] = 5
    every[5].__dict__[4] = 5
    every[5].shared = -100
    every[5].add = lambda k: "own"  # type: ignore[method-assign]
    every[4].add = lambda k: -k  # type: ignore[method-assign]
    for one in every:
        out.append(one.add(2.5))
    return out, shown(*every[::9])


class Plain:
    pass


class Other:
    pass


def attribute_kinds_change() -> Any:
    """What the class has under the name of an instance's attribute becomes a descriptor with a say."""

    class Holder:
        x = Plain()

    def value(self: Any, instance: Any, owner: Any) -> Any:
        return 1000

    def setter(self: Any, instance: Any, given: Any) -> None:
        out.append(given)

    out: list[Any] = []
    Other.__get__, Other.__set__ = value, setter  # type: ignore[attr-defined]
    one: Any = Holder()
    one.x = 1
    for i in range(220):
        one.x = i
        out.append(one.x)
        if i == 90:
            Holder.__dict__["x"].__class__ = Other
        if i == 130:
            Holder.__dict__["x"].__class__ = Plain
        if i == 160:
            Plain.__get__, Plain.__set__ = value, setter  # type: ignore[attr-defined]
    del Plain.__get__, Plain.__set__  # type: ignore[attr-defined]
    return out


def slots_of_others() -> Any:
    class First:
        __slots__ = ("a", "b")

    class Second:
        __slots__ = ("c", "d")
        a = First.a  # type: ignore[misc]

    one: Any = Second()
    one.c, one.d = 5, 6
    out: list[Any] = []
    for i in range(90):
        try:
            out.append(one.a)
        except TypeError:
            out.append("get")
        try:
            one.a = i
        except TypeError:
            out.append("set")
    return out, one.c, one.d


def deeper(one: Any, n: int) -> int:
    if n > 0:
        return deeper(one, n - 1) + 1
    one.x += 1
    one.y = one.x * 0.5
    return 0


def stores_in_direct_functions() -> Any:
    """What a function that is called directly stores is seen behind the call."""
    one, out = Vector(1, 0.5), 0.0
    for i in range(150):
        out += one.x + one.y
        out += deeper(one, i & 3)
        out += one.x * one.y
    return out, shown(one)


WATCHED = 1


def instances_that_share_the_globals() -> Any:
    global WATCHED
    WATCHED = 1
    one: Any = Plain()
    one.__dict__ = globals()
    out = 0
    for i in range(120):
        out += WATCHED
        one.WATCHED = i
        out += WATCHED
    WATCHED = 1
    return out


PROGRAMS = [
    stores_in_direct_functions,
    attribute_kinds_change,
    slots_of_others,
    instances_that_share_the_globals,
    late_attributes,
    numbers,
    boxes_are_shared,
    small_and_large,
    class_values_and_own_ones,
    methods_get_shadowed,
    classes_change,
    classes_count_their_instances,
    dicts_appear,
    order_of_attributes,
    nothing_there,
    many_shapes,
    ends_in_time,
    linked,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_nobody_sees_it(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)


@pytest.mark.parametrize("program", [numbers, boxes_are_shared, linked], ids=lambda program: program.__name__)
def test_it_is_native(engine: Engine, program: Callable[[], Any]) -> None:
    """All of the loop: nothing of it calls out."""
    with engine:
        for _ in range(6):
            program()
        regions = [region for site in list(engine.sites.values()) for region in site.regions if site.code is program.__code__]
        assert regions
        assert any(region.translation is not None and not region.translation.calls_out for region in regions)


def test_references(engine: Engine) -> None:
    x, y, kept = object(), object(), [object() for _ in range(4)]
    v, s = Vector(x, y), Slots()
    s.value = x

    def swap() -> None:
        for i in range(120):
            v.x, v.y = v.y, v.x
            s.unset = kept[i % 4]
            s.count = v.x if i % 2 else s.unset

    swap()
    gc.collect()
    before = [sys.getrefcount(one) for one in (x, y, v, s, Vector, *kept)]
    with engine:
        for _ in range(8):
            swap()
    engine.close()
    gc.collect()
    assert [sys.getrefcount(one) for one in (x, y, v, s, Vector, *kept)] == before


def test_a_class_that_changes_all_the_time_stays_right_and_native() -> None:
    """After a few invalidations its attributes are looked up anew each time."""

    class Restless:
        number = 0

        def get(self) -> int:
            return self.number

    with Engine(threshold=20, exit_threshold=5, background=False, verify=True, deopt_every=0) as engine:
        one, out = Restless(), 0
        for k in range(40):
            Restless.number = k
            for _ in range(60):
                out += one.get()
        assert out == 60 * sum(range(40))
        assert engine.invalidations <= 8
    engine.close()


def test_classes_die_with_their_regions() -> None:
    import weakref

    def use() -> Any:
        class Short:
            def __init__(self) -> None:
                self.x = 0

        one = Short()
        for i in range(100):
            one.x += i
        assert one.x == 4950
        return weakref.ref(Short)

    with Engine(threshold=20, exit_threshold=5, background=False, verify=True, deopt_every=0) as engine:
        found = [use() for _ in range(5)]
    engine.close()
    gc.collect()
    assert [one() for one in found[:-1]] == [None] * 4


class Many:
    shared = 3

    def __init__(self, number: int) -> None:
        self.number = number

    def get(self) -> int:
        return 1


def many(every: list[Any]) -> int:
    out = 0
    for _ in range(3):
        for one in every:
            out += one.shared + one.get() + one.late
    return out


def test_unusual_dicts_may_hide_what_the_class_has(engine: Engine) -> None:
    """Recorded with instances that have dicts of their own, then met with such whose keys are not all text."""
    every: list[Any] = [Many(k) for k in range(80)]
    for one in every:
        one.early = one.late = 1
    for one in every[40:]:
        one.__dict__[5] = 6
        one.shared, one.get = 7, lambda: 2
    usual, all_of_them = many(every[:40]), many(every)
    with engine:
        for _ in range(6):
            assert many(every[:40]) == usual
        for _ in range(6):
            assert many(every) == all_of_them


class Row(list):  # type: ignore[type-arg]
    limit = 3

    def total(self) -> Any:
        return sum(self) + self.limit


class Table(dict):  # type: ignore[type-arg]
    def __missing__(self, key: Any) -> Any:
        return -1


class Trouble(Exception):
    code = 7


def of_built_in_classes() -> Any:
    """Classes with a built-in base: no inline values, a dict when there is something to put into it."""
    out: list[Any] = []
    row, table, trouble = Row(), Table(a=1), Trouble("x")
    for k in range(200):
        row.append(k & 3)
        if k == 90:
            row.limit = 5
        if k == 120:
            del row.limit
        if k == 150:
            row.append = lambda item: None  # type: ignore[method-assign]
        out.append((row.total(), row.limit, len(row), table.get("a"), table["b"], trouble.code, trouble.args))
        if k > 100:
            table.note = k
            out.append(table.note)
            trouble.code = table.note + trouble.code
    return out


class Late:
    weight = 1

    def __init__(self, k: int) -> None:
        self.k = k

    def get(self) -> Any:
        return self.late, self.weight

    def move(self, k: Any) -> Any:
        self.late = k
        self.used = [k]
        return self.get()


def late_attributes() -> Any:
    """Names that come when there is no place for them any more: the instances have dicts."""
    ones = [Late(k) for k in range(60)]
    for one in ones:
        one.late = 0.5
    out: list[Any] = []
    for k in range(8):
        for one in ones:
            out.append(one.move(k if one.k % 7 else str(k)) if k < 6 or one.k % 7 else one.weight)
        if k == 4:
            ones[3].weight = 5
            ones[4].get = lambda: "own"  # type: ignore[method-assign]
            ones.append(Late(99))
        if k == 5:
            ones[5].__dict__ = {"k": 5}
            ones[6].__dict__[7] = 8  # type: ignore[index]
    out.append([[(name, value) for name, value in vars(one).items() if name != "get"] for one in ones[:9]])
    return out


def bound_methods() -> Any:
    """Kept in names of the module, and called from there."""
    swapped.clear()
    sums = [counted_up(k) + word_length() + counter.up(k) for k in range(150)], counter.count
    for k in range(60):
        add_plainly([k])
        add_all([k])
    return sums, list(swapped)


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def up(self, by: int) -> int:
        self.count += by
        return self.count


counter = Counter()
counted_up = counter.up
word_length = "four".__len__


class Swapped(list):  # type: ignore[type-arg]
    append = list.extend  # type: ignore[assignment]


swapped = Swapped()
add_plainly = super(Swapped, swapped).append
add_all = swapped.append


def test_of_built_in_classes(engine: Engine) -> None:
    nobody_sees(engine, of_built_in_classes)


def test_late_attributes(engine: Engine) -> None:
    nobody_sees(engine, late_attributes)


def test_bound_methods(engine: Engine) -> None:
    def program() -> Any:
        counter.count = 0
        return bound_methods()

    nobody_sees(engine, program)
