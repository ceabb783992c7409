"""Bound methods as values: had from an object, kept, joined, passed on and called later. Nobody can tell whether there is an object."""

from __future__ import annotations

import gc
import random
import sys
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from types import BuiltinMethodType, MethodType
from typing import Any

import pytest
from engine_modes import MODES, engine_with, entries_when_warm, nobody_sees
from programs_alike import least_growth

from jitcore import Engine


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with({"function_threshold": 15, **MODES[request.param]})


ended: list[Any] = []


def where() -> Any:
    """The function and the line of whoever lets something end, and the variables that it has."""
    frame = sys._getframe(2)
    return frame.f_code.co_name, frame.f_lineno - frame.f_code.co_firstlineno, sorted(frame.f_locals)


def lines(error: BaseException) -> Any:
    return repr(error), [(line.name, line.lineno, line.colno) for line in traceback.extract_tb(error.__traceback__)]


class Point:
    made = 0

    def __init__(self, x: Any) -> None:
        self.x = x

    def get(self) -> Any:
        return self.x

    def add(self, k: Any) -> Any:
        return self.x + k

    def sub(self, k: Any) -> Any:
        return self.x - k

    def three(self, a: Any, b: Any = 2, *, c: Any = 3) -> Any:
        return self.x, a, b, c

    def many(self, *args: Any, **names: Any) -> Any:
        return self.x, args, sorted(names.items())

    def divide(self, k: Any) -> Any:
        made = self.x
        return made // k

    def numbers(self, k: int) -> Iterator[Any]:
        for i in range(k):
            yield self.x + i

    @classmethod
    def named(cls, k: Any) -> Any:
        return cls.__name__, k

    @staticmethod
    def plain(k: Any) -> Any:
        return -k


class Pixel(Point):
    def sub(self, k: Any) -> Any:
        return super().sub(k) * 2


class Loud(Point):
    def __del__(self) -> None:
        ended.append((self.x, *where()))


class Items(list):  # type: ignore[type-arg]
    pass


class Dice(random.Random):
    pass


class Queue(SimpleQueue):  # type: ignore[type-arg]
    pass


# ---- made and called in sight --------------------------------------------------------------------------------------------


def kept_in_variables() -> Any:
    out: list[Any] = []
    total: Any = 0
    one = Point(3)
    get, add = one.get, one.add
    append = out.append
    for k in range(150):
        total += add(k) + get()
        sub = one.sub
        total -= sub(2)
        append(total)
        one.x = k if k < 100 else k * 0.5
    return out, total


def made_before_a_loop_inside() -> Any:
    def step(n: int) -> Any:
        found: list[Any] = []
        append, add = found.append, Point(n).add
        for k in range(4):
            append(add(k))
        return found

    return [step(n) for n in range(60)]


def joined() -> Any:
    """The same method on both ways, another function, another object, another kind of callable."""
    out = []
    one, other, pixel = Point(1), Point(2), Pixel(3)
    method: Any = one.add
    for k in range(200):
        out.append(method(k))
        if k % 2:
            method = one.add
        elif k % 3:
            method = other.add
        elif k % 5:
            method = one.sub
        elif k % 7:
            method = pixel.sub
        elif k > 150:
            method = float
    return out


def bound_on_one_way_only() -> Any:
    out: list[Any] = []
    one = Point(1)
    for k in range(120):
        if k % 4 == 0:
            method = one.add
        try:
            out.append(method(k))
        except UnboundLocalError as error:
            out.append(str(error))
        if k % 4 == 2:
            del method
    return out


def arguments() -> Any:
    out: list[Any] = []
    one = Point(5)
    for k in range(80):
        three, many = one.three, one.many
        out.append((three(k), three(k, 1), three(k, c=4), three(b=k, a=1), three(*(k,)), three(*(k, 1)), three(*(k,), c=2)))
        out.append((many(), many(k), many(*(k, 2)), many(k, *(2, 3)), many(k, z=1), many(**{"y": k}), many(*[k])))
        out.append([item for item in one.numbers(2)])
        numbers = one.numbers
        out.append([sum(numbers(3)), list(numbers(k % 3))])
        out.extend(item for item in numbers(2))
    return out


def class_and_static_methods() -> Any:
    out: list[Any] = []
    one, pixel = Point(1), Pixel(2)
    for k in range(100):
        named, other, plain = one.named, pixel.named, pixel.plain
        out.append((named(k), other(k), plain(k), named.__self__ is Point, other.__self__ is Pixel))
        of_class, of_base = Pixel.named, Pixel.sub
        out.append((of_class(k), of_base(pixel, k), of_class == other, of_class == named))
    return out


def looked_at() -> Any:
    """What a program can ask a method."""
    out: list[Any] = []
    one = Point(7)
    items: list[Any] = []
    for k in range(100):
        get, append = one.get, items.append
        same = get
        out.append((get is same, get is one.get, get == one.get, get == one.add, hash(get) == hash(one.get), bool(get)))
        out.append((get.__self__ is one, get.__func__ is Point.get, get.__name__, append.__self__ is items, append.__name__))  # type: ignore[attr-defined]
        out.append((type(get) is MethodType, type(append) is BuiltinMethodType, isinstance(get, MethodType), callable(append)))
        out.append((append == items.append, append is items.append, repr(get).startswith("<bound method Point.get of <"), get()))
        if k % 30 == 29:
            out.append([type(one) for one in (get, append)])
            kept = [get, append, get]
            out.append((kept[0] is kept[2], kept[0]()))
    return out


def the_same_twice() -> Any:
    """Two names of one method are one object, whoever gets to see them."""

    def step(k: int) -> Any:
        get = Point(k).get
        other = get
        if k % 6 == 5:
            return get, other
        if k % 6 == 4:
            raise KeyError(get, other)
        return get() + other()

    out: list[Any] = []
    for k in range(120):
        try:
            made = step(k)
            out.append(made if type(made) is int else (made[0] is made[1], made[0]()))
        except KeyError as error:
            one, other = error.args
            out.append((one is other, one(), sys.getrefcount(one)))
    return out


def methods_of_c() -> Any:
    out: list[Any] = []
    dice, items, lines_ = Dice(5), Items(), deque([1, 2, 3])
    words, table, text, queue = {"a"}, {"a": 1}, "some text", Queue()
    join, upper = ", ".join, "x".upper
    for k in range(100):
        draw, bits, append, insert = dice.random, dice.getrandbits, items.append, items.insert
        out.append((draw(), bits(5), append(k), insert(0, -k), len(items)))
        rotate, add, get, find, put, take = lines_.rotate, words.add, table.get, text.find, queue.put, queue.get
        out.append((rotate(1), list(lines_), add("b"), get("a"), get("b", k), find("t"), put(k), take()))
        more = "-".join if k % 2 else b"-".hex
        out.append((join("ab"), upper(), more("cd") if k % 2 else more()))
        pop, sort, index = items.pop, items.sort, (k, 3).index
        out.append((pop(), sort(key=abs), sort(reverse=True), index(3), list(items)))
        if k % 10 == 9:
            items.clear()
    return out


class Walker(Point):
    def steps(self, n: int) -> Iterator[Any]:
        get, add = self.get, self.add
        append = [self.x].append
        for k in range(n):
            append(k)
            yield add(k) - get()
            if k % 5 == 4:
                add = self.sub

    def __iter__(self) -> Iterator[Any]:
        add = self.add
        yield add
        yield add(1)
        yield from map(add, (1, 2))


def in_generators() -> Any:
    """A generator keeps methods while it waits, and is made real in the middle of the loop over it."""
    out: list[Any] = []
    walker = Walker(2)
    for k in range(100):
        total: Any = 0
        for step in walker.steps(k % 9):
            total += step
            if k % 20 == 13 and step == 3:
                walker.x = k
            if total > 20:
                break
        first: Any = None
        for one in walker:
            if first is None:
                first = one
            else:
                total += one + first(1)
        out.append((total, first == walker.add))
    return out


def in_generator_expressions() -> Any:
    out: list[Any] = []
    one = Point(2)
    methods = [one.add, one.sub]
    for k in range(60):
        add = one.add
        out.append((sum(add(i) for i in range(5)), any(method(k) > 50 for method in methods), [one.add(i) for i in range(3)]))
        out.append(sum((one.get)() for _ in range(4)))
        out.append(sum(get() for get in [one.get, one.get]))
        out.append(list(map(one.add, range(3))))
        out.append(sorted([3, 1, 2], key=one.sub))
    return out


# ---- from elsewhere ------------------------------------------------------------------------------------------------------


def apply(method: Any, n: int) -> Any:
    total: Any = 0
    for k in range(n):
        total += method(k)
    return total


def apply_star(method: Any, *args: Any) -> Any:
    return [method(*args) for _ in range(5)]


def fill(append: Any, n: int) -> None:
    for k in range(n):
        append(k)


def callbacks() -> Any:
    out = []
    one, pixel, items = Point(3), Pixel(4), [1, 2, 2]
    for k in range(60):
        out.append(apply(one.add, 6))
        out.append(apply((one.sub, one.add, pixel.sub, pixel.add)[k % 4], 5))
        out.append(apply((one.add, items.count, pixel.named.__self__.plain, abs)[k // 15], 5))
        out.append((apply_star(one.three, k), apply_star(pixel.many, k, 1), apply_star(items.count, 2)))
        found: list[Any] = []
        fill(found.append, k % 7)
        fill(deque(found, 5).append if k > 40 else found.append, 3)
        fill(Items().append, 3)
        out.append(found)
    return out


class Button:
    def __init__(self, *called: Any) -> None:
        self.called = called
        self.first = called[0]
        self.table = dict(enumerate(called))

    def press(self, k: Any) -> Any:
        return self.first(k), [one(k) for one in self.called], self.table[k % len(self.called)](k)


def attributes_and_lists() -> Any:
    one, pixel = Point(3), Pixel(4)
    same, few, mixed = Button(one.add), Button(one.add, pixel.sub, one.sub), Button(one.add, abs, [1, 2].count, Point.plain)
    out = []
    for k in range(100):
        out.append((same.press(k), few.press(k), mixed.press(k)))
        if k == 60:
            same.first = pixel.sub
        if k == 80:
            same.first = len
            same.first = Point(2).add
    return out


# ---- changes meanwhile ---------------------------------------------------------------------------------------------------


def changes() -> Any:
    """Between the making of a method and its call the class, the function or the object is another one."""

    class Local(Point):
        def work(self, k: Any) -> Any:
            return "work", self.x, k

        def other(self, k: Any, *, more: Any = 1) -> Any:
            return "other", self.x, k, more

    class Strange(Local):
        def work(self, k: Any) -> Any:
            return "strange", self.x, k

    original = Local.work
    out: list[Any] = []
    one = Local(1)
    for k in range(240):
        work = one.work
        if k == 60:
            Local.work = Local.other  # type: ignore[method-assign, assignment]
        if k == 80:
            Local.work = original  # type: ignore[method-assign]
        if k == 100:
            one.__class__ = Strange
        if k == 120:
            one.__class__ = Local
        if k == 130:
            one.work = lambda k: ("own", k)  # type: ignore[method-assign]
        if k == 140:
            del one.work
        if k == 150:
            original.__code__ = (lambda self, k: ("code", self.x, k)).__code__
        if k == 170:
            original.__defaults__ = (5,)
            out.append(work())  # type: ignore[call-arg]
        if k == 190:
            del Local.work
            try:
                out.append(one.work(k))
            except AttributeError as error:
                out.append(str(error))
            Local.work = original  # type: ignore[method-assign]
        if k == 200:
            work = Strange(9).work
        if k == 210:
            Local.work = property(lambda self: self.other)  # type: ignore[method-assign, assignment]
        out.append(work(k))
    return out


class Target(Point):
    def work(self, k: Any) -> Any:
        return self.helper(), self.x, k

    def other(self, k: Any, *, more: Any = 1) -> Any:
        return "other", self.x, k, more

    def helper(self) -> Any:
        return "target"


class Strange(Target):
    def work(self, k: Any) -> Any:
        return "strange", self.helper(), k

    def helper(self) -> Any:
        return "strange"


class Derived(Target):
    pass


WORK, CODE, OTHER_CODE = Target.work, Target.work.__code__, (lambda self, k: ("code", self.x, k)).__code__


def put(holder: Any, name: str, value: Any) -> Callable[[Any], None]:
    """Gives the class (None: the object) an attribute."""
    return lambda one: setattr(one if holder is None else holder, name, value)


def take_away(holder: Any, name: str) -> Callable[[Any], None]:
    return lambda one: delattr(one if holder is None else holder, name)


CHANGES: dict[str, tuple[Callable[[Any], None], Callable[[Any], None]]] = {
    "another function": (put(Target, "work", Target.other), put(Target, "work", WORK)),
    "none": (take_away(Target, "work"), put(Target, "work", WORK)),
    "another of a derived class": (put(Derived, "work", Target.other), take_away(Derived, "work")),
    "a property": (put(Target, "work", property(lambda self: self.other)), put(Target, "work", WORK)),
    "a static method": (put(Target, "work", staticmethod(abs)), put(Target, "work", WORK)),
    "a class method": (put(Target, "work", classmethod(lambda cls, k: (cls.__name__, k))), put(Target, "work", WORK)),
    "a method of C": (put(Target, "work", [5, 70].count), put(Target, "work", WORK)),
    "another of the object": (put(None, "work", lambda k: ("own", k)), take_away(None, "work")),
    "another of the class that is called": (put(Target, "helper", lambda self: "new"), put(Target, "helper", Target.helper)),
    "another class": (put(None, "__class__", Strange), put(None, "__class__", Derived)),
    "a dict of its own": (put(None, "__dict__", {"x": "own"}), put(None, "__dict__", {"x": 3, "y": 4})),
    "another code": (put(WORK, "__code__", OTHER_CODE), put(WORK, "__code__", CODE)),
    "defaults": (put(WORK, "__defaults__", (5,)), put(WORK, "__defaults__", None)),
}


def call_later(one: Any, k: int, change: Callable[[int], None]) -> Any:
    work, total = one.work, 0
    for i in range(5):
        total += i * k
    change(k)
    return total, work(k)


def call_before_and_later(one: Any, k: int, change: Callable[[int], None]) -> Any:
    work = one.work
    made = work(k)
    for i in range(5):
        made = i, made
    change(k)
    return made, work(k), one.work(k), (lambda method: method(k))(one.work)


def call_at_once(one: Any, k: int, change: Callable[[int], None]) -> Any:
    return one.work(k), change(k), [method(k) for method in (one.work, one.other)]


def rounds(one: Any, call: Callable[..., Any], change: Callable[[int], None], out: list[Any]) -> None:
    for k in range(len(out), 160):
        out.append(call(one, k, change))


@pytest.mark.parametrize("call", [call_later, call_before_and_later, call_at_once], ids=lambda call: call.__name__)
@pytest.mark.parametrize("name", CHANGES)
def test_changes(name: str, call: Callable[..., Any]) -> None:
    """Between the making and the call, and back again."""
    do, undo = CHANGES[name]

    def at(one: Any, k: int) -> None:
        if k == 90:
            do(one)
        elif k == 120:
            undo(one)

    def program() -> Any:
        one = Derived(1)
        out: list[Any] = []
        while len(out) < 160:
            try:
                rounds(one, call, partial(at, one), out)
            except (TypeError, AttributeError) as error:
                if len(out) == 120:
                    undo(one)
                out.append(str(error))
        return out

    expected = repr(program())
    for mode in ("llvm", "deopt"):
        with Engine(threshold=10, exit_threshold=5, background=False, verify=True, **{"deopt_every": 0, **MODES[mode]}) as engine:
            if engine.inactive_reason is not None:
                pytest.skip(engine.inactive_reason)
            for _ in range(6):
                assert repr(program()) == expected
            assert "internal_error" not in engine.refusals
        engine.close()


def changed_by_the_call() -> Any:
    """What the method is of, and the variable that it is in, are others when it returns."""

    class Local(Point):
        def turn(self, k: int) -> Any:
            nonlocal turn
            turn = Pixel(k).add if k % 3 else self.turn
            if k == 50:
                self.__class__ = Pixel  # type: ignore[assignment]
            if k == 60:
                self.__class__ = Local
            return k

    one = Local(1)
    turn: Any = one.turn
    out = []
    for k in range(100):
        out.append(turn(k))
        out.append(turn(k))
        turn = one.turn if type(one) is Local else one.add
    return out


def wrapped_again() -> Any:
    """Methods of methods, of functions that are their own object, of callables that are no functions."""

    def own(self: Any, *args: Any) -> Any:
        return type(self).__name__, len(args)

    out: list[Any] = []
    one = Point(4)
    odd = [MethodType(own, own), MethodType(one.add, 3), MethodType(len, [1, 2]), MethodType(MethodType(own, 1), 2), MethodType(Point, 5)]
    for k in range(150):
        method = odd[0] if k < 60 else odd[k % 2] if k < 90 else odd[k % 5]
        made = method()
        out.append(made if type(made) is not Point else made.x)
        inside = MethodType(own, one)
        out.append((inside(), inside(k), inside(*(k, k))))
    return out


# ---- exceptions ----------------------------------------------------------------------------------------------------------


def raising() -> Any:
    out: list[Any] = []
    one = Point(10)
    for k in range(150):
        divide = one.divide
        try:
            out.append(divide(k % 7 - 3 if k > 40 else 3))
            out.append(apply(divide, 2) if k % 9 == 5 else 1)
            add = one.add
            out.append(add("x") if k % 10 == 9 else add(1))
        except (ZeroDivisionError, TypeError) as error:
            out.append(lines(error))
    return out


def wrong_arguments() -> Any:
    out: list[Any] = []
    one, items = Point(1), [1]
    for k in range(120):
        get, three, append, index = one.get, one.three, items.append, items.index
        for call in (
            lambda: get(k) if k % 4 == 3 else get(),  # type: ignore[call-arg]
            lambda: three() if k % 5 == 3 else three(k),  # type: ignore[call-arg]
            lambda: three(1, d=k) if k % 5 == 2 else three(1, c=k),  # type: ignore[call-arg]
            lambda: three(*(1, 2, 3)) if k % 6 == 5 else three(*(1, 2)),  # type: ignore[call-arg, misc]
            lambda: append() if k % 7 == 5 else append(k),  # type: ignore[call-arg]
            lambda: index(-k - 1) if k % 7 == 3 else index(1),
            lambda: index() if k % 7 == 2 else index(1),  # type: ignore[call-arg]
        ):
            try:
                out.append(call())
            except (TypeError, ValueError) as error:
                out.append(str(error))
    return out


def messages_of_derived_classes() -> Any:
    """They name the class of the object, not the one that has the method."""

    class Table(dict):  # type: ignore[type-arg]
        pass

    items, table, dice = Items([1]), Table(), Dice(1)
    out = [call_without(method) for method in (items.append, items.count, items.reverse, table.pop, table.get, dice.random)]
    out += [call_with_two(method) for method in (items.append, items.count, items.reverse, table.copy, dice.getrandbits)]
    return out, [call_with_name(method) for method in (items.append, items.reverse, items.index, items.sort, table.get, dice.random, str.upper)]


def call_without(method: Any) -> Any:
    out = []
    for _ in range(40):
        try:
            out.append(type(method()).__name__)
        except (TypeError, KeyError) as error:
            out.append(str(error))
    return out


def call_with_two(method: Any) -> Any:
    out = []
    for _ in range(40):
        try:
            out.append(method(1, 2))
        except TypeError as error:
            out.append(str(error))
    return out


def call_with_name(method: Any) -> Any:
    out = []
    for _ in range(40):
        try:
            out.append(method(value=1))
        except TypeError as error:
            out.append(str(error))
        try:
            out.append(method(*(1,), **{"value": 2}))
        except TypeError as error:
            out.append(str(error))
    return out


# ---- ends ----------------------------------------------------------------------------------------------------------------


def let_go(k: int) -> Any:
    one = Loud(k)
    get = one.get
    del one
    before = k + 1
    get = None  # type: ignore[assignment]  # noqa: F841
    after = before + 1
    return after


def let_go_called(k: int) -> Any:
    get = Loud(k).get
    made = get()
    get = None  # type: ignore[assignment]  # noqa: F841
    made += 1
    return made


def let_go_by_returning(k: int) -> Any:
    add = Loud(k).add
    return add(1)


def let_go_as_a_temporary(k: int) -> Any:
    made = (lambda method: method(1))(Loud(k).add)
    made += 1
    return made


def let_go_by_another(k: int) -> Any:
    get = Loud(k).get
    get = Loud(-k).get
    get = Point(k).get
    return get()


def let_go_of_a_list(k: int) -> Any:
    append = [Loud(k)].append
    append(k)
    before = k
    append = None  # type: ignore[assignment]
    return before


def let_go_of_a_list_uncalled(k: int) -> Any:
    items = [Loud(k)]
    append = items.append
    del items
    before = k
    append = None  # type: ignore[assignment]
    return before, append


def let_go_by_star(k: int) -> Any:
    many = Loud(k).many
    args = (k, Loud(k + 1000).get())
    made = many(*args)
    del many
    return made


def let_go_by_unpacking(k: int) -> Any:
    one, other = Loud(k).get, Loud(-k).get
    one, other = other, one
    made = one() + other()
    del one
    made += 1
    return made


def let_go_in_a_handler(k: int) -> Any:
    try:
        divide = Loud(k).divide
        return divide(k % 3)
    except ZeroDivisionError:
        divide = None  # type: ignore[assignment]
        return k


def let_go_by_keeping_itself(k: int) -> Any:
    """A method whose function and whose object are the same, and nobody else has it."""

    def own(self: Any, loud: Any = Loud(k)) -> Any:  # noqa: B008
        return k

    method = MethodType(own, own)
    del own
    made = method()
    made += 1
    method = None  # type: ignore[assignment]
    made += 1
    return made


def let_go_by_deleting(k: int) -> Any:
    one = Loud(k)
    get = one.get
    del one
    before = k + 1
    del get
    after = before + 1
    return after


def let_go_unused(k: int) -> Any:
    Loud(k).get
    after = k
    [Loud(-k)].append
    after += 1
    return after


def let_go_by_comparing(k: int) -> Any:
    same = Loud(k).get is None
    if Loud(-k).get:
        same = True
    if [Loud(k)].append is None:
        same = k
    after = k
    return same, after


def let_go_of_a_list_by_deleting(k: int) -> Any:
    append = [Loud(k)].append
    append(k)
    before = k
    del append
    after = before + 1
    return after


def let_go_of_itself_by_deleting(k: int) -> Any:
    """Called, so that its type is known."""

    def own(self: Any, loud: Any = Loud(k)) -> Any:  # noqa: B008
        return k

    method = MethodType(own, own)
    del own
    made = method()
    del method
    made += 1
    return made


def checked(method: Any) -> Any:
    """Its type is known from here on."""
    return method if isinstance(method, MethodType) or isinstance(method, BuiltinMethodType) else None


def let_go_when_checked(k: int) -> Any:
    checked(Loud(k).get)
    after = k
    checked([Loud(-k)].append)
    after += 1
    return after


def let_go_of_a_function(k: int) -> Any:
    checked(MethodType(lambda self, loud=Loud(k): self, 5))  # noqa: B008
    after = k
    after += 1
    return after


def let_go_of_itself_when_checked(k: int) -> Any:
    def own(self: Any, loud: Any = Loud(k)) -> Any:  # noqa: B008
        return k

    kept = [MethodType(own, own)]
    del own
    checked(kept.pop())
    after = k
    after += 1
    return after


ENDS = [
    let_go,
    let_go_when_checked,
    let_go_of_a_function,
    let_go_of_itself_when_checked,
    let_go_by_deleting,
    let_go_unused,
    let_go_by_comparing,
    let_go_of_a_list_by_deleting,
    let_go_of_itself_by_deleting,
    let_go_called,
    let_go_by_returning,
    let_go_as_a_temporary,
    let_go_by_another,
    let_go_of_a_list,
    let_go_of_a_list_uncalled,
    let_go_by_star,
    let_go_by_unpacking,
    let_go_in_a_handler,
    let_go_by_keeping_itself,
]


def borrowed() -> Any:
    """What was in a list that ended with its method is still there."""

    def step(k: int) -> Any:
        items: Any = [[k, k + 1], [k]]
        append = items.append
        append(k)
        one, other = items[0], items[1]
        items = None
        append = None  # type: ignore[assignment]
        more = [[k, 2], [3, 4], [5, 6], [7]]
        return one, other, more

    def step_of_object(k: int) -> Any:
        holder = Point([k, k + 1])
        get = holder.get
        one = holder.x
        holder = None  # type: ignore[assignment]
        get = None  # type: ignore[assignment]  # noqa: F841
        more = [[k, 2], [3, 4], [5, 6], [7]]
        return one, more

    out = []
    for k in range(150):
        out.append((step(k), step_of_object(k)))
    return out


# ---- weak references -----------------------------------------------------------------------------------------------------


told: list[Any] = []
noted: list[Any] = []


def tell(_: object) -> None:
    told.append(where())


def note(method: Any) -> None:
    noted.append(weakref.ref(method, tell))


watch: Any = partial(note)


def watched(k: int) -> Any:
    one = Point(k)
    method = one.get
    watch(method)
    made = method()
    method = None  # type: ignore[assignment]
    made += 1
    return made


def watched_by_deleting(k: int) -> Any:
    method = Point(k).get
    watch(method)
    made = method() + method()
    del method
    made += 1
    return made


def watched_unused(k: int) -> Any:
    one = Point(k)
    methods = [one.get]
    watch(methods[0])
    methods.pop()
    made = k
    return made


def watched_and_called_once(k: int) -> Any:
    """The call lets go of the method before the function begins."""
    methods = [Point(k).add]
    watch(methods[0])
    made = methods.pop()(1)
    made += 1
    return made


def watched_and_called_with_stars(k: int) -> Any:
    methods = [Point(k).add]
    watch(methods[0])
    args = (k,)
    made = methods.pop()(*args)
    made += 1
    return made


def watched_of_c(k: int) -> Any:
    items = [k]
    append = items.append
    watch(append)
    append(k)
    append = None  # type: ignore[assignment]
    made = k
    return made, items


def watched_of_c_by_deleting(k: int) -> Any:
    append = [k].append
    watch(append)
    append(k)
    del append
    made = k
    return made


def watched_and_called_once_of_c(k: int) -> Any:
    """The call lets go of the method when it is done."""
    items = [k]
    methods = [items.append]
    watch(methods[0])
    methods.pop()(k)
    made = k
    return made, items


def watched_joined(k: int) -> Any:
    method: Any = Point(k).add if k % 2 else [k].count
    watch(method)
    made = method(k)
    method = None
    made += 1
    return made


def watched_now_and_then(k: int) -> Any:
    method = Point(k).get
    if k % 10 == 9:
        watch(method)
    made = method()
    del method
    made += 1
    return made


def watched_and_returned(method: Any) -> Any:
    watch(method)
    return method


def watched_when_returned(k: int) -> Any:
    watched_and_returned(Point(k).get)
    made = k
    made += 1
    return made


def watched_when_returned_of_c(k: int) -> Any:
    watched_and_returned([k].append)
    made = k
    made += 1
    return made


def watched_when_checked(k: int) -> Any:
    checked(watched_and_returned(Point(k).get))
    made = k
    checked(watched_and_returned([k].append))
    made += 1
    return made


WATCHED = [
    watched,
    watched_when_returned,
    watched_when_returned_of_c,
    watched_when_checked,
    watched_by_deleting,
    watched_unused,
    watched_and_called_once,
    watched_and_called_with_stars,
    watched_of_c,
    watched_of_c_by_deleting,
    watched_and_called_once_of_c,
    watched_joined,
    watched_now_and_then,
]


@pytest.mark.parametrize("watches", WATCHED, ids=lambda watches: watches.__name__)
def test_weak_references(engine: Engine, watches: Callable[[int], Any]) -> None:
    """Whoever is told of a method's end is told at the same place."""

    def program() -> Any:
        told.clear()
        noted.clear()
        out = []
        for k in range(100):
            out.append(watches(k))
            told.append("next")
        return out, list(told), [weak() for weak in noted]

    nobody_sees(engine, program)
    assert "internal_error" not in engine.refusals


def weak_methods() -> Any:
    out = []
    one = Point(1)
    for k in range(80):
        weak = weakref.WeakMethod(one.get if k % 2 else Point(k).get)
        method = weak()
        out.append(method() if method is not None else None)
    return out


PROGRAMS = [
    kept_in_variables,
    made_before_a_loop_inside,
    joined,
    bound_on_one_way_only,
    arguments,
    class_and_static_methods,
    looked_at,
    the_same_twice,
    methods_of_c,
    in_generators,
    in_generator_expressions,
    callbacks,
    attributes_and_lists,
    changes,
    changed_by_the_call,
    wrapped_again,
    raising,
    wrong_arguments,
    messages_of_derived_classes,
    borrowed,
    weak_methods,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_programs(engine: Engine, program: Callable[[], Any]) -> None:
    nobody_sees(engine, program)
    assert "internal_error" not in engine.refusals


@pytest.mark.parametrize("lets_go", ENDS, ids=lambda lets_go: lets_go.__name__)
def test_ends(engine: Engine, lets_go: Callable[[int], Any]) -> None:
    """What ends with a method ends at the same place, with the same variables to be seen there."""

    def program() -> Any:
        ended.clear()
        out = []
        for k in range(100):
            out.append(lets_go(k))
            ended.append("next")
        return out, list(ended)

    nobody_sees(engine, program)
    assert "internal_error" not in engine.refusals


# ---- references, and what is native --------------------------------------------------------------------------------------


def steps_without_objects(one: Any, pixel: Any, items: Any, told: Any) -> Any:
    total = 0
    for k in range(60):
        total += step_without_objects(one, pixel, items, k)
    del items[1:]
    return total


def step_without_objects(one: Any, pixel: Any, items: Any, k: int) -> Any:
    get, sub, append, named = one.get, pixel.sub, items.append, pixel.named
    append(k)
    made = get() + sub(k)
    return made + named(k)[1] + apply(sub, 2)


def steps_with_objects(one: Any, pixel: Any, items: Any, told: Any) -> Any:
    total = 0
    for k in range(60):
        try:
            total += step_with_objects(one, pixel, items, told, k)
        except KeyError:
            total += 1
    told.clear()
    del items[1:]
    return total


def step_with_objects(one: Any, pixel: Any, items: Any, told: Any, k: int) -> Any:
    get, sub, append, named = one.get, pixel.sub, items.append, pixel.named
    if k % 10 == 9:
        told.append((get, append, get, named))
    append(k)
    both = (get, sub)
    if k % 7 == 5:
        raise KeyError(both)
    return both[0]() + sub(k) + apply(sub, 2) + apply_star(get)[0]


@pytest.mark.parametrize("deopt_every", [0, 1, 3])
@pytest.mark.parametrize("doors", [8, 10**9])
@pytest.mark.parametrize("steps", [steps_without_objects, steps_with_objects], ids=lambda steps: steps.__name__)
def test_references(steps: Callable[..., Any], doors: int, deopt_every: int) -> None:
    """Nothing is leaked, and nothing let go of twice, by methods that are made and those that are not. (Without doors functions are
    walked into.)"""
    one, pixel, items, told = Point(1), Pixel(2), [1], []  # type: ignore[var-annotated]
    held = (one, pixel, items)
    expected = steps(*held, told)

    def work() -> None:
        assert steps(*held, told) == expected

    options = {"function_threshold": doors, "deopt_every": deopt_every}
    with Engine(threshold=10, exit_threshold=4, background=False, verify=True, **options) as engine:  # type: ignore[arg-type]
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        for _ in range(8):
            work()
        gc.collect()
        before = [sys.getrefcount(thing) for thing in held]
        blocks = least_growth(work)
        for _ in range(5):
            work()
        gc.collect()
        assert [sys.getrefcount(thing) for thing in held] == before and blocks < 5
        assert engine.stats().native_entries
    engine.close()


def test_methods_die_with_their_last_reference() -> None:
    """Not later: neither the region nor what it remembers keeps one, or what it was of."""

    def step(k: int) -> Any:
        point = Point(k)
        get, append = point.get, [k].append
        append(get())
        gone.append(weakref.ref(point))
        return get

    gone: list[Any] = []
    with Engine(threshold=10, function_threshold=8, background=False, verify=True, deopt_every=0) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        for k in range(200):
            get, fresh = step(k), object()
            assert sys.getrefcount(get) == sys.getrefcount(fresh) and gone[-1]() is get.__self__
            del get
            assert gone[-1]() is None
    engine.close()


def several(methods: Any, n: int) -> Any:
    total: Any = 0
    for k in range(n):
        total += methods[k % len(methods)](k)
    return total


def alternating(one: Any, n: int) -> Any:
    total, method = 0, one.add
    for k in range(n):
        total += method(k)
        method = one.sub if k % 2 else one.add
    return total


def alternating_inside(one: Any, n: int) -> Any:
    total = 0
    for k in range(n):
        total += alternating(one, k % 4)
    return total


filled: list[Any] = []
APPEND, LOOK_UP = filled.append, dict.fromkeys(range(200), 1).get


def filling(n: int) -> Any:
    filled.clear()
    fill(APPEND, n)
    return len(filled)


NATIVE = {
    "one function": lambda: several([Point(1).add], 100),
    "two functions": lambda: several([Point(1).add, Pixel(2).sub], 100),
    "three functions of several objects": lambda: several([Point(1).add, Pixel(2).sub, Point(3).sub, Point(4).add], 100),
    "a variable of a function that changes": lambda: alternating_inside(Point(1), 100),
    "a variable that changes": lambda: alternating(Point(1), 100),
    "a method of C": lambda: filling(100),
    "another": lambda: several([LOOK_UP], 100),
    "the same by a name": lambda: apply(Point(1).add, 100) + apply(Pixel(2).add, 100),
}


@pytest.mark.parametrize("name", NATIVE)
def test_calls_stay_native(name: str) -> None:
    """One of a few functions is found at once: nothing is called as an object, and the region does not grow."""
    program = NATIVE[name]
    expected = program()
    functions = (several, alternating, alternating_inside, apply, fill)
    with Engine(threshold=20, background=False, deopt_every=0, verify=True) as engine:
        assert [program() for _ in range(10)] == [expected] * 10
        assert entries_when_warm(engine, program, 0, 10) <= 40 and program() == expected
        assert not {"internal_error", "region_too_large", "too_many_versions"} & {*engine.refusals}
        shown = "".join(str(engine.explain(function)) for function in functions)
    assert "SSA after the passes" in shown and "call.vector" not in shown and "call.object" not in shown
    engine.close()
