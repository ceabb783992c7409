"""Instances that exist only as what is in them: nobody can tell them from real ones, wherever they become real."""

from __future__ import annotations

import gc
import re
import sys

import programs_alike
import pytest
from programs_alike import LOUD
from test_passes import SYMBOLS, X, after

from jitcore import Engine

PRELUDE = LOUD + """
class Vector:
    def __init__(self, x, y):
        self.x = x
        self.y = y
    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)
    def __sub__(self, other):
        return Vector(self.x - other.x, self.y - other.y)
    def scale(self, by):
        return Vector(self.x * by, self.y * by)
    def dot(self, other):
        return self.x * other.x + self.y * other.y
class Ray:
    def __init__(self, start, way):
        self.start = start
        self.way = way
    def at(self, t):
        return self.start + self.way.scale(t)
class Slotted:
    __slots__ = ("a", "b", "__weakref__")
    def __init__(self, a, b):
        self.a = a
        self.b = b
    def total(self):
        return self.a + self.b
class Mixed(Slotted):
    def __init__(self, a, b, c):
        self.c = c
        self.b = b
        self.a = a
class Tell:
    def __init__(self, n):
        self.n = n
    def __del__(self):
        frame = sys._getframe(1)
        log.append((self.n, frame.f_code.co_name, frame.f_lineno))
class Late:
    def __init__(self, order):
        if order:
            self.first = 1
            self.second = 2
        else:
            self.second = 2
            self.first = 1
"""

PROGRAMS: dict[str, str] = {
    "arithmetic": """
        def work(n):
            total, one = 0.0, Vector(1.5, 2.5)
            for k in range(n):
                total += (one + Vector(k, 1.0)).scale(0.5).dot(one - Vector(1, k))
            return total
        """,
    "in others": """
        def hit(ray, t):
            where = ray.at(t)
            return where.dot(ray.way)
        def work(n):
            total = 0
            for k in range(n):
                total += hit(Ray(Vector(k, 1), Vector(2, k)), k % 5)
                total += Ray(Vector(k, 1), Vector(2, k)).way.x
            return total
        """,
    "the same twice": """
        def twice(a, b, k):
            if k % 7 == 3:
                raise ValueError(a is b, a.x, vars(a), vars(b), a == b)
            return a.dot(b)
        def work(n):
            out = []
            for k in range(n):
                one = None
                try:
                    out.append((lambda v: twice(v, v, k))(Vector(k, 2)))
                    out.append(twice(Vector(k, 2), Vector(k, 2), k))
                except ValueError as error:
                    out.append(error.args)
            return out
        """,
    "changed after they were read": """
        def step(n):
            v = Vector(n, n + 1)
            x = v.x
            v.x = v.y
            v.y = x
            v.x += 10
            if n % 9 == 4:
                return vars(v)
            return v.x * 1000 + v.y, x
        def work(n):
            return [step(k) for k in range(n)]
        """,
    "what they hold": """
        def step(n):
            ray = Ray(Loud(n), [n, Loud(-n)])
            ray.start = Loud(n + 100)
            log.append(ray.way[0])
            return len(log)
        def step_quietly(n, kept):
            ray = Ray(kept, [n, kept])
            ray.start = ray.way
            return ray.start[1] is kept
        def work(n):
            log.clear()
            kept = Loud("kept")
            return [(step(k), step_quietly(k, kept)) for k in range(n)], list(log), sys.getrefcount(kept)
        """,
    "which end while others are used": """
        def make(n, held):
            return Ray(Vector(n, held), held)
        def step(n, held):
            start = make(n, held).start
            y = start.y
            start = make(n + 1, y).start
            return start.x, start.y is held, y is held
        def work(n):
            held = [1]
            return [step(k, held) for k in range(n)], sys.getrefcount(held)
        """,
    "slots": """
        def step(n):
            one = Slotted(n, 2)
            two = Mixed(one, n, 3.5)
            one.a += 1
            if n % 11 == 7:
                return two, one, two.a is one
            return one.total() + two.b + two.c, two.a.a
        def show(one):
            return [show(getattr(one, name, None)) for name in ("a", "b", "c")] if isinstance(one, Slotted) else one
        def work(n):
            return [[type(one) is Slotted or repr(show(one)) for one in step(k)] for k in range(n)]
        """,
    "the order of attributes": """
        def step(n):
            one = Late(n % 2)
            if n % 5 == 3:
                return vars(one)
            return one.first + one.second
        def work(n):
            return [step(k) for k in range(n)]
        """,
    "attributes that are missing": """
        class Sparse:
            def __init__(self, n):
                if n % 4:
                    self.a = n
                self.b = n
        def step(n):
            one = Sparse(n)
            try:
                return one.a + one.b
            except AttributeError:
                one.a = 1
                return one.a, one.b, vars(one)
        def work(n):
            return [step(k) for k in range(n)]
        """,
    "in loops inside": """
        def step(n):
            v, total = Vector(n, 1), 0
            for k in range(5):
                total += v.x + k
                if total % 13 == 5:
                    v.y = total
            return total, v.y
        def work(n):
            return [step(k) for k in range(n)]
        """,
    "made on two ways": """
        def step(n):
            v = Vector(n, 1) if n % 3 else Vector(1.5, n)
            w = v + v
            return w.x, w.y
        def work(n):
            return [step(k) for k in range(n)]
        """,
    "numbers that are looked at": """
        def step(n):
            v = Vector(n * 1000.5, n << 70)
            x, y = v.x, v.y
            return v.x is x, v.y is y, x is v.x, (x, y), [v.x, v.x][0] is v.x
        def work(n):
            return [step(k) for k in range(n)]
        """,
    "ends that are noticed": """
        def both(x):
            return Ray(Vector(x, x), Vector(x, x))
        def two(x):
            return Vector(x, x), Vector(x, x)
        def lose(n):
            both(Tell(n))
            two(Tell(n))
            one = both(Tell(n))
            one = None
        def step(n):
            lose(n)
            return n
        def work(n):
            log.clear()
            for k in range(n):
                step(k)
            return list(log)
        """,
    "given to what ends at once": """
        def lose(n):
            Vector(1, 2).x = Tell(n)
            [1, 2][0] = Tell(n)
            {1: 2}[1] = Tell(n)
            [].append(Tell(n))
            [1].insert(0, Tell(n))
            [].extend([Tell(n)])
        def work(n):
            log.clear()
            for k in range(n):
                lose(k)
            return list(log)
        """,
    "shown to calls": """
        def look(v):
            log.append((v.x, sorted(vars(v))))
            return v
        def step(n, call):
            v = Vector(n, 2)
            w = Ray(v, v)
            return call(v) is v, w.start is v, w.way.x
        def work(n):
            log.clear()
            return [step(k, look) for k in range(n)], len(log), log[-1]
        """,
    "the class changes": """
        def end(self):
            log.append(("ended", self.x))
        def step(n, change):
            v = Vector(n, 2)
            change(n)
            return v.x + v.dot(v)
        def change(n):
            if n == 20:
                Vector.__del__ = end
            elif n == 25:
                del Vector.__del__
                Vector.dot = lambda self, other: "dot"
            elif n == 28:
                Vector.x = property(lambda self: "x")
        def step_with_text(n):
            try:
                return step(n, change)
            except (TypeError, AttributeError) as error:
                return str(error)
        def work(n):
            log.clear()
            return [step_with_text(k) for k in range(n)], list(log)
        """,
    "weak references": """
        import weakref
        def step(n):
            v = Vector(n, 2)
            r = weakref.ref(v, lambda _: log.append(n))
            return v.x, r() is v
        def work(n):
            log.clear()
            return [step(k) for k in range(n)], list(log)
        """,
    "cycles": """
        def step(n):
            a, b = Ray(1, n), Ray(2, n)
            a.start, b.start = b, a
            return a.start.start.way + b.start.way
        def work(n):
            return [step(k) for k in range(n)]
        """,
    "exceptions on the way": """
        class Checked:
            def __init__(self, n):
                self.n = n
                if n % 6 == 5:
                    raise ValueError(n)
                self.m = 100 // (n % 4)
        def step(n):
            try:
                one = Checked(n)
                return one.n, one.m
            except ValueError as error:
                return error.args
            except ZeroDivisionError as error:
                return str(error), error.__traceback__.tb_next.tb_lineno
        def work(n):
            return [step(k) for k in range(n)]
        """,
    "bound methods": """
        def apply(method, n):
            return method(n) + method(1)
        def step(n, kept, items):
            scale, dot = Vector(n, 1).scale, Vector(2, n).dot
            append = [n].append
            if n % 9 == 4:
                raise KeyError(dot, append, scale)
            append(n)
            if n % 7 == 3:
                kept.append(scale)
            many = kept.append if n % 5 else items.append
            many(dot)
            return scale(2).x + dot(scale(3)), apply(Slotted(n, 2).shifted, n), kept is many.__self__
        def shifted(self, by):
            return self.total() + by
        Slotted.shifted = shifted
        def work(n):
            out, kept, items = [], [1], []
            for k in range(n):
                try:
                    out.append(step(k, kept, items))
                except KeyError as error:
                    dot, append, scale = error.args
                    append(k)
                    out.append((dot(dot.__self__), append.__self__, scale(2).y, type(append), sys.getrefcount(dot), sys.getrefcount(dot.__self__)))
            kept += items
            return out, [(type(one), one.__self__.x if hasattr(one, "__self__") else one) for one in kept]
        """,
    "one method under two names": """
        def step(n):
            dot = Vector(n, 2).dot
            other = dot
            if n % 6 == 5:
                return dot is other, dot, other
            held = [other, dot] if n % 6 == 4 else None
            return dot is other, dot(other.__self__), held is None or held[0] is held[1]
        def work(n):
            out = []
            for k in range(n):
                same, one, other = step(k)
                out.append((same, one is other, one(one.__self__)) if k % 6 == 5 else (same, one, other))
            return out
        """,
    "methods that hold others": """
        def step(n):
            ray = Ray(Vector(n, 1).dot, Vector(1, n).scale)
            again = Ray(ray.start, ray.way).at if n % 8 == 7 else ray.start
            if n % 8 == 6:
                return again(Vector(1, 2)), vars(ray).keys()
            return ray.way(2).x, again.__self__ is ray
        def work(n):
            return [step(k) for k in range(n)]
        """,
    "methods whose end is noticed": """
        class Told(Tell):
            def get(self, by=0):
                return self.n + by
        def step(n):
            get = Told(n).get
            made = get() + get(1)
            get = Told(-n).get if n % 4 == 3 else None
            log.append("behind")
            return made
        def lose(n):
            append = [Told(n)].append
            append(n)
            append = None
            log.append("behind")
        def work(n):
            log.clear()
            return [(step(k), lose(k)) for k in range(n)], list(log)
        """,
    "in direct functions": """
        def closest(a, b, depth):
            middle = (a + b).scale(0.5)
            if depth == 0:
                return middle.dot(a - b)
            return closest(a, middle, depth - 1) + closest(middle, b, depth - 1)
        def work(n):
            return [closest(Vector(k, 1), Vector(2, k), 3) for k in range(n // 3)]
        """,
}


@pytest.mark.parametrize("mode", programs_alike.MODES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, mode: str) -> None:
    programs_alike.check(mode, "import sys\n" + PRELUDE, PROGRAMS[name], may_stay_out=True)


def test_a_class_becomes_abstract() -> None:
    """While an instance of it waits on the stack: leaving makes it all the same."""
    scope = programs_alike.prepare(
        "from functools import partial\nimport sys\n" + PRELUDE,
        """
        def first(v, w):
            return v.x
        def change(n):
            if n == 25:
                Vector.__abstractmethods__ = frozenset({"q"})
            return n
        change = partial(change)
        def work(n):
            return [first(Vector(k, 2), change(k)) for k in range(n)]
        """,
    )
    with Engine(threshold=5, function_threshold=5, exit_threshold=4, verify=True) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        assert scope["work"](20) == [*range(20)]
        with pytest.raises(TypeError):
            scope["work"](30)


@pytest.mark.parametrize("deopt_every", [0, 1])
def test_references(deopt_every: int) -> None:
    """Nothing is leaked, and nothing let go of twice, by what becomes real and what does not."""
    scope = programs_alike.prepare(
        "import sys\n" + PRELUDE,
        """
        def step(n, held, other):
            ray = Ray(Ray(held, other), held)
            if n % 10 == 9:
                other.append(ray)
            ray.start.start = other
            return ray.start.way is other, ray.way is held
        def work(n, held, other):
            for k in range(n):
                step(k, held, other)
        """,
    )
    with Engine(threshold=5, function_threshold=5, exit_threshold=4, verify=True, deopt_every=deopt_every) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        held, other = [1], []  # type: ignore[var-annotated]
        before = sys.getrefcount(held), sys.getrefcount(other)
        for _ in range(5):
            scope["work"](40, held, other)
            assert len(other) == 4 and type(other[0]).__name__ == "Ray"
            other.clear()
        gc.collect()
        assert (sys.getrefcount(held), sys.getrefcount(other)) == before


def passes_of(source: str) -> tuple[str, str]:
    """The graphs of what is compiled of a program, before the passes and behind them."""
    scope = programs_alike.prepare("import sys\n" + PRELUDE, source)
    with Engine(threshold=5, function_threshold=5, exit_threshold=4, background=False, verify=True) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        scope["work"](300)
        shown = str(engine.explain(scope["work"]))
        assert "internal_error" not in engine.refusals
    parts = re.split(r"-- (SSA [a-z]+ the passes|LLVM IR)", shown)
    before, behind = ("".join(parts[k + 1] for k in range(len(parts)) if parts[k] == f"SSA {when} the passes") for when in ("before", "after"))
    return before, behind


@pytest.mark.parametrize("name", ["arithmetic", "in others", "the same twice", "exceptions on the way"])
def test_nothing_is_made(name: str) -> None:
    before, behind = passes_of(PROGRAMS[name])
    assert "instance.new" in before and behind.count("instance.new") < before.count("instance.new")


METHODS = {
    "in variables": """
        def step(vector, k):
            dot, scale = vector.dot, vector.scale
            return dot(scale(k))
        def work(n):
            vector = Vector(1.5, 2.5)
            return sum([step(vector, k) for k in range(n)])
        """,
    "of what is made": """
        def step(k):
            at = Ray(Vector(k, 1), Vector(2, k)).at
            other = at
            return other(3).x + at(k).y
        def work(n):
            return [step(k) for k in range(n)]
        """,
    "across joins": """
        def step(vector, k):
            method = vector.dot
            total = k
            if k % 2:
                total += 1
            return total + method(vector)
        def work(n):
            vector = Vector(1, 2)
            return [step(vector, k) for k in range(n)]
        """,
    "given to functions": """
        def apply(method, *args):
            return method(*args)
        def again(method, by):
            return apply(method, by).x + method(by).y
        def work(n):
            vector = Vector(1, 2)
            return [apply(vector.dot, vector) + again(vector.scale, k) for k in range(n)]
        """,
    "of lists": """
        def step(n):
            items = []
            append, pop = items.append, items.pop
            append(n)
            append(pop() + 1)
            return items
        def work(n):
            return [step(k) for k in range(n)]
        """,
}
"""In variables of functions that are walked into: those of the interpreter's frame have real objects."""


@pytest.mark.parametrize("name", METHODS)
def test_no_method_is_made(name: str) -> None:
    before, behind = passes_of(METHODS[name])
    assert "method.new" in before and "method.new" not in behind


# ---- the pass ---------------------------------------------------------------

BEGIN = "block a(): %0:f = const.f [value=1.5] %1:o = frame.local [slot=0]"
NEW = "%9:o = instance.new [type=@Heap]"
PUT = "values.put_float %9, %0 [type=@Heap, place=0, old=None]"
HELD = 'else resume after "x" frame @f+4 call 4 {0: steal %9} []'
ASK = f"%2:b = obj.ends_safely %9 guard %2 [expected=True] {HELD} obj.drop %9"


SYMBOLS |= {"append": list.append, "pop": list.pop}


def virtual(body: str) -> str:
    return after("virtuals", f"{BEGIN} {body}")


def test_nothing_is_left_of_what_is_made_and_read() -> None:
    text = virtual(
        f"""{NEW} %2:b = obj.is_null %9 guard %2 [expected=False] {HELD} %3:b = values.valid %9 [type=@Heap] {PUT}
        %4:o = values.get %9 [type=@Heap, place=0] %5:f = obj.unbox_float %4 {HELD} %6:f = float.add %5, %5
        %7:b = obj.ends_safely %9 guard %7 [expected=True] {HELD} obj.drop %9 EXIT {{0: box %6}} []"""
    )
    assert "%9" not in text and "instance.new" not in text and "unbox" not in text and "box_float" not in text
    assert "float.add %0, %0" in text


def test_states_show_it() -> None:
    text = virtual(f"{NEW} {PUT} obj.incref %9 EXIT {{0: steal %9, 1: steal %9}} []")
    assert text.endswith("EXIT {0: instance 1 @Heap(0: box %0), 1: instance 1 @Heap(0: box %0)} []")
    text = virtual(f"{NEW} obj.incref %1 values.put %9, %1 [type=@Heap, place=3] {PUT} EXIT {{0: steal %9}} []")
    assert text.endswith("EXIT {0: instance 1 @Heap(3: steal %1, 0: box %0)} []")


def test_what_it_holds_goes_with_it() -> None:
    new = f"%4:o = frame.take_stack [depth=0] %5:o = frame.take_stack [depth=1] {NEW}"
    put = "values.put %9, %4 [type=@Heap, place=3]"
    text = virtual(f"{new} {put} {put.replace('4', '5').replace('3', '2')} obj.incref %9 obj.drop %9 {ASK} EXIT {{}} []")
    assert text.count("obj.outlives") == 2 and "[drops=2]" in text and "bool.and" in text and "obj.drop %2 obj.drop %3 EXIT" in text
    assert "{0: instance 1 @Heap(3: steal %2, 2: steal %3)}" in text
    text = virtual(f"{new} obj.drop %5 {put} {ASK} EXIT {{}} []")
    assert "obj.ends_safely %2" in text and text.count("obj.drop %2") == 1
    # What was there goes when something else is put there.
    text = virtual(f"{new} obj.drop %5 {put} {PUT.replace('place=0', 'place=3')} {ASK} EXIT {{}} []")
    assert text.count("obj.drop %2") == 1 and "box_float" not in text and "ends_safely" not in text


def test_one_in_another() -> None:
    outer = NEW.replace("%9", "%8")
    text = virtual(f"{NEW} {PUT} {outer} obj.incref %9 values.put %8, %9 [type=@Heap, place=0] EXIT {{0: steal %8, 1: steal %9}} []")
    assert "instance.new" not in text
    assert text.endswith("EXIT {0: instance 1 @Heap(0: instance 2 @Heap(0: box %0)), 1: instance 2 @Heap(0: box %0)} []")


REF = '[offset_name="CELL_REF"]'
CELL = "%9:o = cell.new"
FUNCTION = "%8:o = function.new [code=@f, namespace=@names]"


def test_functions_and_cells() -> None:
    put, close = f"obj.incref %1 field.put %9, %1 {REF}", "function.close %8, %9"
    held = 'else resume after "x" frame @f+4 call 4 {0: steal %9} [steal %8]'
    text = virtual(
        f"""{CELL} {put} {FUNCTION} {close} %2:o = field.o %9 {REF} %3:b = obj.is %2, %1 guard %3 [expected=True] {held}
        %4:b = obj.ends_safely %8 guard %4 [expected=True] {held} obj.drop %8 obj.drop %9 EXIT {{0: new %2}} []"""
    )
    assert "cell.new" not in text and "function.new" not in text
    assert text.count("{0: &1=cell 2 @cell(0: steal %1)} [function 1 @f(0: const @names, 1: &1)]") == 2
    # Both escape with the function; what a cell has had goes when it gets something else.
    assert "cell.new" in virtual(f"{CELL} {FUNCTION} {close} frame.store_local %8 [slot=1] obj.drop %9 EXIT {{}} []")
    null = "%7:o = obj.null"
    text = virtual(f"{CELL} {put} {null} field.put %9, %7 {REF} EXIT {{0: steal %9}} []")
    assert text.count("obj.drop %1") == 1 and text.endswith("{0: cell 1 @cell()} []")
    # A cell that lies in itself, by the function that it holds.
    cycle = virtual(f"{CELL} {FUNCTION} {close} obj.incref %8 field.put %9, %8 {REF} obj.drop %9 EXIT {{0: steal %8}} []")
    assert "cell.new" in cycle and "function.new" in cycle


METHOD = "%9:o = method.new %1 [method=@func]"
OF_C = "%8:o = method.new %1 [method=@append]"


def test_methods() -> None:
    held = 'else resume after "x" frame @f+4 call 4 {0: steal %9} []'
    text = virtual(
        f"""{METHOD} %2:b = obj.is_null %9 guard %2 [expected=False] {X} %3:o = field.o %9 [offset_name="METHOD_SELF"]
        %4:o = field.o %9 [offset_name="METHOD_FUNC"] %5:o = field.o %9 [offset_name="METHOD_WEAKREFS"] %6:b = obj.is_null %5
        guard %6 [expected=True] {held} obj.incref %3 %7:b = obj.is %4, %3 guard %7 [expected=False] {held} obj.drop %9 EXIT {{0: steal %3}} []"""
    )
    assert "method.new" not in text and "%9" not in text and "field.o" not in text and "{0: method 1 @func(0: const @func, 1: steal %1)}" in text
    assert "const.o [object=@func]" in text and text.count("obj.incref %1") == 2 and text.count("obj.drop %1") == 1
    assert text.endswith("EXIT {0: steal %1} []")


def test_methods_that_failed_to_be_made_hold_nothing() -> None:
    """The state in which the making is tried again owns the object already."""
    own = 'else resume before "guard" frame @f+4 call 4 {0: steal %1} []'
    text = after(
        "virtuals",
        f"""block a(): %1:o = frame.take_stack [depth=0] {METHOD} %2:b = obj.is_null %9 guard %2 [expected=False] {own}
        obj.drop %1 EXIT {{0: steal %9}} []""",
    )
    assert "method.new" not in text and text.endswith("EXIT {0: method 1 @func(0: const @func, 1: steal %0)} []")


def test_methods_of_c() -> None:
    text = virtual(
        f"""{OF_C} %2:b = method.is_of %8 [method=@append] %3:b = method.is_of %8 [method=@pop] %4:o = field.o %8 [offset_name="CFUNCTION_SELF"]
        %5:o = field.o %8 [offset_name="CFUNCTION_MODULE"] %6:b = obj.is_null %5 %7:b = obj.type_is %8 [type=@list]
        obj.incref %8 EXIT {{0: steal %8, 1: steal %8}} [new %4, box %2, box %3, box %6, box %7]"""
    )
    shown = "{0: &1=method 1 @append(0: const @append, 1: steal %1), 1: &1} [new %1, box %2, box %3, box"
    assert "method.new" not in text and f"EXIT {shown}" in text
    assert re.findall(r"const.b \[value=(\w+)\]", text) == ["True", "False", "False"]


def test_the_end_of_a_method() -> None:
    """It is the end of what it is of: whether that is quiet is asked of the object."""
    ask = "%2:b = obj.ends_safely %9 guard %2 [expected=True] !".replace("!", 'else resume after "x" frame @f+4 call 4 {0: steal %9} []')
    text = virtual(f"{METHOD} {ask} obj.drop %9 EXIT {{}} []")
    assert "obj.ends_safely %1" in text and text.count("obj.drop %1") == 1 and "method 1 @func" in text
    # With another name there is no end.
    text = virtual(f"{METHOD} obj.incref %9 {ask.replace('[]', '[steal %9]')} obj.drop %9 obj.drop %9 EXIT {{}} []")
    assert "ends_safely" not in text and text.count("obj.drop %1") == 1
    # A method in an instance in a method.
    outer = "%8:o = method.new %7 [method=@func]"
    put = "values.put %7, %9 [type=@Heap, place=0]"
    text = virtual(f"{METHOD} {NEW.replace('%9', '%7')} {put} {outer} obj.drop %7 EXIT {{0: steal %8}} []")
    assert "new" not in text.partition("EXIT")[0] and text.count("obj.incref %1") == 1
    assert text.endswith("{0: method 1 @func(0: const @func, 1: instance 2 @Heap(0: method 3 @func(0: const @func, 1: steal %1)))} []")


@pytest.mark.parametrize(
    "body",
    [
        f"{METHOD} frame.store_local %9 [slot=1] EXIT {{}} []",
        f"{METHOD} list.append %1, %9 EXIT {{}} []",
        f'{METHOD} %2:o = field.o %9 [offset_name="OB_TYPE"] obj.incref %2 obj.drop %9 EXIT {{0: steal %2}} []',
        f"{METHOD} jump b(%9) block b(%3:o): %4:b = poll branch %4 ? c() : b(%1) block c(): EXIT {{}} []",
    ],
)
def test_methods_that_escape_are_made(body: str) -> None:
    assert "method.new" in virtual(body)


@pytest.mark.parametrize(
    "body",
    [
        f"{NEW} frame.store_local %9 [slot=1] EXIT {{}} []",
        f"{NEW} jump b(%9) block b(%3:o): %4:b = poll branch %4 ? c() : b(%1) block c(): EXIT {{}} []",
        f'{NEW} exit return after "return" = steal %9',
        f"{NEW} list.append %1, %9 EXIT {{}} []",
        f"""%2:b = poll branch %2 ? b() : c() block b(): {NEW} {PUT} %3:b = poll branch %3 ? d() : e()
        block d(): %4:f = float.add %0, %0 {PUT.replace('%0', '%4')} jump e() block e(): EXIT {{0: steal %9}} [] block c(): EXIT {{}} []""",
    ],
)
def test_what_escapes_is_made(body: str) -> None:
    assert "instance.new" in virtual(body)
