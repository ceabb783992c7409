"""Attributes of classes whose class is not `type`: enumerations, abstract classes, metaclasses that change in the middle."""

from __future__ import annotations

from enum import Enum

import programs_alike
import pytest

from jitcore import Engine

PRELUDE = """
import abc, enum
log = []
class Kind(enum.Enum):
    BIG = 1
    SMALL = 2
class Bits(enum.IntFlag):
    A = 1
    B = 2
class Shape(abc.ABC):
    sides = 0
    @abc.abstractmethod
    def area(self): ...
    @classmethod
    def named(cls, k):
        return cls.__name__, cls.sides + k
    @staticmethod
    def twice(k):
        return k * 2
class Square(Shape):
    sides = 4
    def area(self):
        return self.sides
class Meta(type):
    shared = 1
    @property
    def loud(cls):
        log.append("loud")
        return 10
    def both(cls):
        return "meta"
    def only(cls):
        return "only"
class Made(metaclass=Meta):
    shared = 2
    loud = 3
    own = 4
    def both():
        return "class"
class Asks(type):
    def __getattribute__(cls, name):
        log.append(name)
        return type.__getattribute__(cls, name)
class Asked(metaclass=Asks):
    own = 5
class Late(type):
    def __getattr__(cls, name):
        log.append(("late", name))
        return 6
class Lazy(metaclass=Late):
    own = 7
class Told:
    def __get__(self, instance, owner):
        log.append(("told", owner.__name__))
        return 8
"""

PROGRAMS: dict[str, str] = {
    "enumerations": """
        def count(kinds, k):
            total = 0
            for kind in kinds:
                if kind == Kind.BIG:
                    total += 1
                elif kind is Kind.SMALL:
                    total += 10
                if kind != Kind.BIG:
                    total += Kind.SMALL.value * k
                total += Bits.A.value | (Bits.B if k % 2 else Bits.A)
            return total, Kind.BIG.name
        def work(n):
            return [count([Kind.BIG, Kind.SMALL, Kind(1 + k % 2)], k) for k in range(n)]
        """,
    "abstract classes": """
        def shapes(k):
            s = Square()
            return s.area() + Square.sides + Shape.sides, Square.named(k), Shape.twice(k), Square.area(s)
        def work(n):
            made = [shapes(k) for k in range(n)]
            Square.sides = 5
            made += [shapes(k) for k in range(n)]
            Square.sides = 4
            return made
        """,
    "whose attribute it is": """
        def read():
            return Made.shared, Made.loud, Made.own, Made.both(), Made.only(), Asked.own, Lazy.own, Lazy.missing
        def work(n):
            log.clear()
            made = [read() for _ in range(n)]
            return made, log
        """,
    "objects with a class of their own to tell": """
        class Proxy:
            @property
            def __class__(self):
                log.append("asked")
                return int
            def __call__(self, k):
                return k + 1
            def __eq__(self, other):
                return other is None
        proxy = Proxy()
        class Holder:
            pass
        def held(k):
            return k
        held.__qualname__ = "proxy.held"
        def uses(k):
            return proxy(k), proxy == None, proxy is None, proxy == k, held(k), [proxy][0] is proxy
        def work(n):
            log.clear()
            return [uses(k) for k in range(n)], log
        """,
    "changed in between": """
        def read():
            return Made.own, Made.shared, Lazy.own
        def work(n):
            log.clear()
            made = []
            for k in range(n):
                made.append(read())
                if k == n // 4:
                    Meta.own = property(lambda cls: "of the metaclass")
                if k == n // 3:
                    del Meta.own
                    Made.own = Told()
                if k == n // 2:
                    Made.own = 4
                    Late.__getattribute__ = lambda cls, name: (log.append(name), type.__getattribute__(cls, name))[1]
                if k == n // 2 + 5:
                    del Late.__getattribute__
                    Made.shared = k
                if k == n // 2 + 9:
                    Lazy.__class__ = Asks
                if k == n - 3:
                    Lazy.__class__ = Late
            Made.shared = 2
            return made, log
        """,
}


@pytest.mark.stress
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("mode", programs_alike.MODES)
def test_alike(mode: str, name: str) -> None:
    programs_alike.check(mode, PRELUDE, PROGRAMS[name], register=True)


class Size(Enum):
    BIG = 1
    SMALL = 2


def big_ones(sizes: list[Size]) -> int:
    count = 0
    for size in sizes:
        if size == Size.BIG:
            count += 1
    return count


def test_members_are_constants() -> None:
    engine = Engine(function_threshold=5, threshold=5, background=False, deopt_every=0)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    engine.register(big_ones)
    with engine:
        for _ in range(60):
            assert big_ones([Size.BIG, Size.SMALL, Size.BIG]) == 2
        before = engine.explain(big_ones).regions[-1].before
    engine.close()
    assert "obj.is" in before and "PyObject_GetAttr" not in before and "PyObject_RichCompare" not in before
