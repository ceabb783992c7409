"""Random programs full of loops, as source text.

A program is a prelude (fixed: the log, recorders, helpers that look at frames, objects that log their end) and a few
random functions that `main` calls with several sets of arguments, so that regions meet other types than they were made
for. Everything a program does ends in its log, as texts: values with their types, exceptions with message and the lines
of all frames, the order of destructors, the arguments' reference counts afterwards. Two runs agree when their logs do.

Types are mostly stable and sometimes not: variables have a kind (`a` int, `x` float, `u` anything, `p` list, `t` tuple)
that most assignments keep. Programs that fail at once test little, so dangerous operands are drawn with care, but
they are drawn. Identity of numbers is not asked for: whether two equal results are one object is nobody's promise.
Programs always end: loops count themselves, numbers and lists are kept short.

The source depends on the `random.Random` alone. Given hypothesis' own random object, its shrinker works; tests/fuzz.py
has a shrinker over statements instead.
"""

from __future__ import annotations

import ast
import gc
import linecache
import random
import sys
from collections.abc import Callable

from hypothesis import strategies as st

PRELUDE = '''
import math, sys
LOG = []
INPUTS = []
G = 3
H = 0.5
def show(value):
    kind = type(value)
    if kind is int:
        return "int " + (str(value) if -10**30 < value < 10**30 else hex(value))
    if kind is list or kind is tuple:
        return kind.__name__ + "(" + ", ".join([show(item) for item in value[:70]]) + f") {len(value)}"
    if kind is dict:
        return "dict " + show(list(value.items()))
    if kind.__name__ in ("function", "generator", "Account", "Nasty") or hasattr(value, "__next__"):
        return kind.__name__
    if kind.__name__ in ("Vec", "Sub", "Cell"):
        names = ["extra", "held", "count", *getattr(value, "__dict__", ())]
        parts = [name + "=" + plain(getattr(value, name)) for name in names if hasattr(value, name)]
        return kind.__name__ + " " + " ".join(parts)
    return kind.__name__ + " " + repr(value)
def plain(value):
    return show(value) if type(value) in (int, float, bool, str) else type(value).__name__
def note(*values):
    LOG.append(" | ".join([show(value) for value in values]))
class D:
    def __init__(self, k):
        self.k = k
    def __del__(self):
        LOG.append(f"end of D {self.k!r}")
    def __repr__(self):
        return f"D({self.k!r})"
class Nasty(D):
    def __del__(self):
        LOG.append("end of Nasty")
        try:
            victim = sys._getframe(1).f_locals.get("p")
            if type(victim) is list and len(victim) > 2:
                victim.pop()
        finally:
            bump()
class Account:
    rate = 2
    def __init__(self, v):
        self.v = v
    def add(self, k, times=1):
        self.v = wrap(self.v + k * times)
        return self.v
    @staticmethod
    def twice(k):
        return k + k
    @classmethod
    def rated(cls, k):
        return k * cls.rate
    @property
    def half(self):
        return self.v / 2
class Vec:
    kind = 1
    __match_args__ = ("p", "q")
    def __init__(self, p, q=0.5):
        self.p = p
        self.q = q
    def plus(self, other):
        return Vec(wrap(self.p + other.p), self.q - other.q)
    def size(self):
        return self.p * 2 + self.q
    def grow(self, k):
        self.p = wrap(self.p + k)
        return self
    def fill(self, n):
        for k in range(n):
            self.q = self.q * 0.5 + k
        return self.size()
    @property
    def twin(self):
        return self.q * 2
    @classmethod
    def made(cls, p):
        return cls(p, 1)
    def weigh(self, other, n):
        total = 0
        for k in range(n):
            total = wrap(total + self.p * other.p - k)
            if total % 3 == 0:
                total += 1
            elif total % 5 == 1:
                total -= self.kind
            else:
                self.q = self.q - other.q * 0.5
        if n == 5:
            return total, self.size()
        return total + other.size()
    def __add__(self, other):
        if isinstance(other, Vec):
            return Vec(wrap(self.p + other.p), self.q)
        return NotImplemented
    def __sub__(self, other):
        if self.q == 0.25:
            return NotImplemented
        return Vec(wrap(self.p - other.p), self.q - other.q)
    def __rsub__(self, other):
        return other, self.size()
    def __mul__(self, k):
        return Vec(wrap(self.p * k), self.q)
    def __rmul__(self, k):
        return k * self.q
    def __iadd__(self, other):
        self.p = wrap(self.p + other.p)
        return self
    def __eq__(self, other):
        return isinstance(other, Vec) and self.p == other.p
    __hash__ = object.__hash__
    def __lt__(self, other):
        if self.kind != other.kind:
            return NotImplemented
        return self.q < other.q
    def __getitem__(self, k):
        if k > 2:
            raise IndexError(k)
        return self.q if k else self.p
    def __setitem__(self, k, value):
        if k:
            self.q = value
        else:
            self.p = value
    def __xor__(self, other):
        return look(2) - look()
SIZE = Vec.size
class Sub(Vec):
    __slots__ = ("extra",)
    kind = 2
    def size(self):
        return self.q - self.kind
    def __add__(self, other):
        return Sub(wrap(self.p + 1), other.q)
    def __gt__(self, other):
        return [self.p]
ADD, SUB_ADD = Vec.__add__, Sub.__add__
class Cell:
    __slots__ = ("held", "count")
    def __init__(self, held):
        self.held = held
        self.count = 0
        if held == 13:
            raise ValueError("unlucky")
    def swap(self, value):
        old = self.held
        self.held = value
        self.count += 1
        return old
def wrap(v):
    if type(v) is int and not -2**80 < v < 2**80:
        return v % (2**64 + 13) - 2**63
    return v
def bump(k=1):
    global G, H
    G = (G + k) % 11
    if G == 7:
        H = -H
    return G
def add(a, b=2, *, c=0):
    return a + b - c
def scale(x, by=1.5):
    return x * by
def pick(items, i):
    return items[i]
def risky(a, b):
    d = a - b
    return 100 // d
def checked(k, least=0):
    if k < least:
        raise ValueError(f"too small: {show(k)}")
    return k
TABLE = {k: k * 3 for k in range(0, 40, 3)}
def needed(k):
    if k not in TABLE:
        raise KeyError(k)
    return TABLE[k]
def found(k):
    try:
        return TABLE[k]
    except IndexError:
        return -1
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def down(n, acc):
    if n <= 0:
        return acc
    return down(n - 1, acc + n)
def total(items):
    s = 0
    for item in items:
        s += item
    return s
def look(depth=1):
    frame = sys._getframe(depth)
    values = dict(frame.f_locals)
    names = sorted(values)
    back = frame.f_back
    LOG.append(f"look {frame.f_code.co_name} {frame.f_lineno} {back.f_code.co_name} {back.f_lineno} " + " ".join(
        [name + "=" + show(values[name]) for name in names if name != "self"]))
    return len(names)
def kept(p, q):
    both = [p, q]
    def swap(new=None):
        nonlocal q
        old, q = q, p if new is None else new
        both.append(old)
        return show(old)
    q = p
    swap(both)
    if len(both) == p:
        del q
    return swap
def squares(n):
    k = 0
    while k < n:
        yield k * k
        k += 1
def picked(items, n):
    for item in items:
        n += 1
        if n % 3:
            yield item
        if n > 40:
            return n
    yield n
class Chain:
    def __init__(self, first, rest):
        self.first, self.rest = first, rest
    def __iter__(self):
        yield self.first
        for item in self.rest:
            yield item
def lines_of(error):
    found = []
    tb = error.__traceback__
    while tb is not None:
        found.append(f"{tb.tb_frame.f_code.co_name}:{tb.tb_lineno}")
        tb = tb.tb_next
    return " ".join(found)
def attempt(function, *args):
    LOG.append("-- " + function.__name__)
    try:
        value = function(*args)
        if hasattr(value, "__next__"):
            value = list(value)
        note(value)
        value = None
    except Exception as error:
        LOG.append(f"raised {type(error).__name__}: {error} at {lines_of(error)}")
    INPUTS.extend(args)
'''.strip()

INTS = (0, 1, -1, 2, 3, 5, 7, 10, -3, 100, 255, 256, 257, -5, -6)
BIG_INTS = (
    *(2**k + d for k in (30, 31, 53, 62, 63, 64, 70) for d in (-1, 0, 1)),
    *(-(2**k) + d for k in (30, 62, 63) for d in (-1, 0, 1)),
)
FLOATS = ("0.0", "-0.0", "0.5", "1.0", "-1.5", "2.0", "3.25", "1e10", "1e-9", "-7.0", "0.1", "9007199254740993.0")
ODD_FLOATS = ("inf", "-inf", "nan", "1e308", "5e-324", "9.3e18", "-9223372036854775808.0", "1e300")
CAUGHT = (
    "ZeroDivisionError",
    "(ZeroDivisionError, IndexError)",
    "(ValueError, OverflowError)",
    "TypeError",
    "ArithmeticError",
    "Exception",
    "KeyError",
    "(LookupError, AttributeError)",
    "BaseException",
)


class Writer:
    """Writes one program. `rng` decides everything."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.lines: list[str] = []
        self.depth = 0
        self.loops = 0
        self.fuel = 0
        self.budget = 0
        self.generator = False
        self.cells = False
        self.functions: list[tuple[str, int]] = []

    # ---- small things ---------------------------------------------------------------------------------------------

    def chance(self, percent: int) -> bool:
        return self.rng.randrange(100) < percent

    def one(self, *texts: str) -> str:
        return texts[self.rng.randrange(len(texts))]

    def put(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def block(self, head: str, body: Callable[[], None]) -> None:
        self.put(head)
        self.depth += 1
        before = len(self.lines)
        body()
        if len(self.lines) == before:
            self.put("pass")
        self.depth -= 1

    # ---- expressions ----------------------------------------------------------------------------------------------

    def integer(self, level: int = 2) -> str:
        if level <= 0 or self.chance(25):
            roll = self.rng.randrange(100)
            if roll < 55:
                return self.one("a", "b", "c")
            if roll < 60:
                return self.one("G", "k1", "u")
            if roll < 64:
                return f"({self.rng.choice(BIG_INTS)})"
            if roll < 66:
                return self.one("True", "False")
            return f"({self.rng.choice(INTS)})"
        e, f = self.integer(level - 1), self.integer(level - 1)
        roll = self.rng.randrange(46)
        if roll < 12:
            return f"({e} {self.one('+', '-', '+', '-', '*')} {f})"
        if roll < 16:
            return f"({e} {self.one('&', '|', '^')} {f})"
        if roll < 20:
            return f"({e} {self.one('//', '%')} {self.divisor(f)})"
        if roll < 22:
            return f"({e} << {self.one('1', '3', '31', f'({f} & 63)', f'({f} % 5)', f'({f} & 7)')})"
        if roll < 24:
            return f"({e} >> {self.one('1', '4', '70', f'({f} & 63)', f'({f} & 7)', 'b')})"
        if roll == 24:
            return f"({e} ** {self.one('2', '3', '0', f'({f} & 3)')})"
        if roll == 25:
            return self.one(f"(-{e})", f"(~{e})", f"(+{e})", f"abs({e})")
        if roll == 26:
            return f"{self.one('min', 'max')}({e}, {f})"
        if roll == 27:
            return self.one(f"int({self.real(level - 1)})", f"int({e})", f"round({self.real(level - 1)})")
        if roll == 28:
            return self.one("len(p)", "len(t)", "len(range(a & 15))", "sum(p)", "ord(chr(b & 1023))", "ord('q')")
        if roll == 29:
            return f"pow({e}, {f} & 7, {self.one('97', '1000003', '-7', 'c')})"
        if roll == 30:
            return f"divmod({e}, {self.divisor(f)})[{self.one('0', '1')}]"
        if roll < 33:
            return self.item()
        if roll < 35:
            return f"({e} if {self.condition(level - 1)} else {f})"
        if roll == 35:
            return f"({e} {self.one('and', 'or')} {f})"
        if roll == 36:
            return f"int({self.condition(level - 1)})"
        if roll < 41:
            return self.call(e, f)
        if roll == 41:
            return self.one(f"math.floor({self.real(level - 1)})", f"math.ceil({self.real(0)})", f"math.gcd({e}, {f})")
        if roll == 42:
            return self.one("isinstance(u, int)", "isinstance(a, (int, float))", f"bool({e})", "(not b)")
        if roll == 43:
            return self.one("(u is None)", "(u is not None)", "(a in p)", "(b not in t)", "(3 in (1, 2, 3))")
        if roll == 44:
            return self.one("math.isqrt(abs(a))", "a.bit_length()", "int(str(a))", "hash(c // 3)", "sum([a, b, c])")
        return f"({self.condition(level - 1)} + {e})"

    def divisor(self, text: str) -> str:
        roll = self.rng.randrange(10)
        if roll < 4:
            return self.one("3", "7", "(-5)", "10", "1000003", "2", "(2**40 + 1)")
        if roll < 8:
            return f"({text} or {self.one('1', '-4', '9')})"
        return text

    def call(self, e: str, f: str) -> str:
        choices = [
            f"add({e})",
            f"add({e}, {f})",
            f"add({e}, c={f})",
            f"add(a=c, b={e})",
            f"risky({e}, {self.one('10 ** 9', f)})",
            f"pick(p, {self.one('0', '-1', 'a % 3', e)})",
            f"checked({e}, -10)",
            "fib(a & 3)",
            "down(b & 7, c)",
            "bump()",
            f"wrap({e})",
            "total(p)",
            f"acc.add({e} & 15)",
            "acc.add(1, times=b & 3)",
            f"Account.twice({e})",
            f"acc.rated({e})",
            "(lambda q: q + a)(b)",
            "look()",
            "len(sorted(locals()))",
            "sum(squares(a & 3))",
            "eval('a')",
            f"o.grow({e} & 15).p",
            "o.p",
            "w.kind",
            f"o.plus(Vec({e}, x)).p",
            "cell.count",
            f"Vec({e}).p",
            f"cell.swap({e})",
            "Sub.made(a).p",
        ]
        for name, count in self.functions[:-1] if self.chance(30) else ():
            if count <= 3:
                choices.append(f"{name}({', '.join(['a & 3', 'x', 'p'][:count])})")
        return self.rng.choice(choices)

    def item(self) -> str:
        index = self.one("0", "-1", "1", "a % 3", "(a & 3)", "-(b & 3)", "i1 % 4", "(c & 7)", "a")
        return f"{self.one('p', 'p', 't')}[{index}]"

    def real(self, level: int = 2) -> str:
        if level <= 0 or self.chance(25):
            roll = self.rng.randrange(100)
            if roll < 60:
                return self.one("x", "y")
            if roll < 65:
                return self.one("H", "u", "math.pi")
            if roll < 70:
                return f"float('{self.rng.choice(ODD_FLOATS)}')"
            if roll < 85:
                return self.one("a", "b")
            return f"({self.rng.choice(FLOATS)})"
        e, f = self.real(level - 1), self.real(level - 1)
        roll = self.rng.randrange(30)
        if roll < 13:
            return f"({e} {self.one('+', '-', '*')} {f})"
        if roll < 17:
            divisor = f if self.chance(15) else self.one("2.0", "0.1", "-3.0", f"({f} or 0.25)", "7")
            return f"({e} {self.one('/', '/', '//', '%')} {divisor})"
        if roll == 17:
            return f"({e} ** {self.one('2', '2.0', '0.5', '-1', '3')})"
        if roll == 18:
            return self.one(f"(-{e})", f"abs({e})", f"float({self.integer(level - 1)})")
        if roll == 19:
            return f"{self.one('min', 'max')}({e}, {f})"
        if roll < 23:
            function = self.one("sqrt", "sin", "cos", "exp", "log", "atan", "fabs", "tanh", "log2", "cbrt", "expm1")
            return f"math.{function}({self.one(e, f'abs({e})', f'({e} / 1000)')})"
        if roll == 23:
            return self.one(f"math.atan2({e}, {f})", f"math.fmod({e}, {f})", f"math.copysign({e}, {f})", "math.hypot(x, y)")
        if roll == 24:
            return f"({e} if {self.condition(level - 1)} else {f})"
        if roll == 25:
            objects = ("acc.half", "o.q", "w.size()", "o.twin", "w.fill(a & 3)", f"Vec(a, {e}).q")
            return self.one(f"scale({e})", f"scale({e}, {f})", f"scale(by={e}, x={f})", *objects)
        if roll == 26:
            return f"round({e}, {self.one('1', '2', '-1', 'a & 3')})"
        if roll == 27:
            return f"divmod({e}, {self.one('3.5', '-2.0', f)})[{self.one('0', '1')}]"
        if roll == 28:
            return self.item()
        return f"({self.integer(level - 1)} / {self.divisor(self.integer(level - 1))})"

    def condition(self, level: int = 2) -> str:
        roll = self.rng.randrange(26)
        compare = self.one("<", "<=", ">", ">=", "==", "!=")
        if roll < 7 or level <= 0:
            return f"({self.integer(0)} {compare} {self.integer(0)})"
        if roll < 10:
            return f"({self.real(level - 1)} {compare} {self.real(level - 1)})"
        if roll < 13:
            return f"({self.integer(level - 1)} {compare} {self.real(level - 1)})"
        if roll < 16:
            return f"({self.integer(level - 1)} % {self.one('2', '3', '5')} {self.one('==', '>')} 1)"
        if roll == 16:
            return f"(not {self.condition(level - 1)})"
        if roll < 19:
            return f"({self.condition(level - 1)} {self.one('and', 'or')} {self.condition(level - 1)})"
        if roll == 19:
            objects = ("o is w", "o == w", "o", "isinstance(o, Sub)", "o != cell.held", "cell")
            return self.one("u is None", "u is not None", "(a == b) is True", "isinstance(u, float)", "type(u) is int", *objects)
        if roll == 20:
            choices = ["(a in p)", "(x in t)", "(b not in (1, 2, 3))", "(a in range(10))", "(a in {1, 5})", "(x in (0.5, 2.0))"]
            return self.one(*choices, "(b in (a, 3))", "(a in range(i1, 99, 3))", "any(t)", "all(p)", "math.isnan(x)")
        if roll == 21:
            return f"(0 < {self.integer(level - 1)} <= {self.integer(level - 1)})"
        if roll == 22:
            return self.one("p", "t", "u", "x", "a", "len(p) > 3", "True", "i1 > 12")
        if roll == 23:
            return f"bool({self.real(level - 1)})"
        return f"(i1 {self.one('%', '&')} {self.one('2', '3', '8')} {self.one('==', '<')} {self.one('0', '1', '2')})"

    def anything(self) -> str:
        roll = self.rng.randrange(12)
        if roll < 5:
            return self.integer()
        if roll < 9:
            return self.real()
        return self.one("None", "u", "(a, x)", "[a]", "True", "'s'", "p", "t", "math", "-0.0", "range(3)", "1j", "b'x'")

    # ---- statements -----------------------------------------------------------------------------------------------

    def objects(self) -> None:
        """A statement about instances."""
        usual = (
            f"o.p = {self.bounded(self.integer(1))}",
            f"o.q = {self.real(1)}",
            f"w.q {self.one('+=', '-=')} {self.real(0)}",
            "w.p = wrap(w.p + a)",
            f"o = {self.one('Vec(a)', 'Sub(a, x)', 'Vec(b, y)', 'Vec.made(c)', 'Sub.made(a)')}",
            "w = o.plus(w)",
            "w = w.plus(Vec(a, x))",
            "o.grow(a & 7).grow(1)",
            "o, w = w, o",
            "cell.count += 1",
            "u = cell.swap(u)",
            "cell.held = o",
            "note(o, w)",
            "u = o.size()",
            "o = o + w",
            "w = w - o",
            "w = o - Vec(a, x) * 2",
            "w += o",
            "o = o * (a & 15)",
            "x = 2 * o",
            "u = o == w, o < w",
            "a += 1 if o == w else 2",
            "x = y if o < w else x",
            "u = o[a & 1]",
            "o[b & 1] = a",
            "u = o.weigh(w, a & 7)",
            "u = Vec(a, x).weigh(Vec(b, 0.5), b & 7)",
        )
        odd = (
            "cell.held = D(i1)",
            "cell = Cell(a)",
            "o.q = D(b)",
            "o.q = 0.25",
            "o.late = a",
            "w.late = x; del w.late",
            "del o.q; o.q = 1.5",
            "u = o.__dict__",
            "o.__dict__ = {'p': a, 'q': x}",
            "Vec.kind = a & 3",
            "Vec.size = lambda self: self.q",
            "Vec.size = SIZE",
            "o.__class__ = Vec if type(o) is Vec else type(o)",
            "o = Vec(o, x); o.p = 1",
            "o.extra = a",
            "u = [Vec(k) for k in range(3)]",
            "o.size = lambda: 7",
            "o = w",
            "del cell.count; cell.count = a",
            "u = o - a",
            "u = a - o",
            "o = o + a",
            "u = o ^ w",
            "u = o != w, o > w, o <= w",
            "u = o[a & 3]",
            "Vec.__add__ = lambda self, other: Vec(self.p, 7)",
            "Sub.__add__ = Vec.__add__",
            "Vec.kind = 2",
            "o.weigh = lambda other, n: n",
            "u = o * cell",
        )
        self.put(self.one(*usual) if self.chance(75) else self.one(*odd))

    def simple(self, level: int) -> None:
        if self.chance(14):
            self.objects()
            return
        roll = self.rng.randrange(64)
        name = self.one("a", "b", "c")
        if roll < 11:
            self.put(f"{name} = {self.bounded(self.integer())}")
        elif roll < 15:
            operator = self.one("+=", "-=", "^=", "|=", "&=", "//=", "%=")
            value = self.integer(1) if operator not in ("//=", "%=") else self.divisor(self.integer(0))
            self.put(f"{name} {operator} {value}")
        elif roll < 20:
            self.put(f"{self.one('x', 'y')} = {self.real()}")
        elif roll < 23:
            self.put(f"{self.one('x', 'y')} {self.one('+=', '-=', '*=')} {self.real(1)}")
        elif roll < 26:
            self.put(f"u = {self.anything()}")
        elif roll == 26:
            self.put(self.one("a, b = b, a", "a, b, c = c, a, b", "x, y = y, x", "a, b = b, wrap(a + b)", "a = b = c"))
        elif roll == 27:
            self.put(self.one("a, b = divmod(a, 17)", "x, *_ = x, y, a", "a, b = [b, a]", "(a, x), b = (b, y), c"))
        elif roll < 33:
            self.put(f"p[{self.one('0', '-1', 'a % 3', 'i1 % 4', 'b & 3', 'a')}] = {self.one(self.integer(1), self.real(1))}")
        elif roll < 37:
            self.block("if len(p) < 40:", lambda: self.put(f"p.append({self.one(self.integer(1), self.real(1))})"))
        elif roll < 39:
            choices = ["p.pop()", "p and p.pop()", "a = p.pop()", "u = p.pop(0)", "p and p.pop(-1)", "u = p.pop(a % 4)"]
            choices += ["del p[a & 1]", "del p[-1:]", "p.reverse()", "u = p.index(a)", "u = p.count(x)", "del p[b:a]"]
            self.put(self.one(*choices))
        elif roll == 39:
            self.put(f"p[{self.one('0', 'a & 1')}] {self.one('+=', '-=')} {self.integer(1)}")
        elif roll == 40:
            choices = ["p.insert(a & 3, x)", "p += [a]", "p += (b, x)", "p.extend(t[:2])", "p[a & 3 : 5] = [b]", "p = [*p[:4], *t[:3], a]"]
            if self.chance(50):
                self.block("if len(p) < 40:", lambda: self.put(self.one(*choices)))
                return
            slices = ("p = p[1:] + [a]", "p = p[a & 3 : b & 7]", "p = p[-3:a:2]", "q = p[:3]; p = q", "p = p[::-1]")
            self.put(self.one(*slices, "p = list(t)", "p = [a, x]", "p = [0] * 5"))
        elif roll == 41:
            self.put(self.one("t = (a, b, x)", "t = t[:2] + (c,)", "t = tuple(p)", "t = (x,) * 3", "t = (a,)"))
        elif roll == 42:
            value = self.one(self.integer(1).replace("eval('a')", "a"), "wrap(k ** 2)", "(k, a)", "k % 3")
            source = self.one("range(5)", "p[:6]", "t", "range(a & 7)", "p[:9]", "reversed(p[:4])", "{1, 2.5, 30, 'x'}", "dict(enumerate(t))")
            self.put(
                self.one(
                    f"p = [{value} for k in {source}{self.one('', ' if k')}]",
                    "p = [k + b for b, k in enumerate(p[:9])]",
                    "t = tuple([u for u in p[:5]])",
                    "p = [c for a in (1, 2) for c in (a, x)]",
                    "u = [(k, c) for k, c in zip(p, t)]",
                    "p = [c for c in picked(t, a) if c != x]",
                )
            )
        elif roll < 48:
            self.put(f"note({self.one('a, b', 'x', 'u', 'p', 't', '(a == b) is True', self.integer(1), self.real(1), self.condition(1))})")
        elif roll == 48:
            self.put(self.one("look()", "bump()", "look(1)", "u = locals().get('a')", "u = globals()['G']"))
        elif roll == 49:
            self.put(self.one("d = D(i1)", "d = D(a)", "d = None", "d = Nasty(b)", "u = D('u')", "d = [D(1), D(2)]"))
        elif roll == 50:
            self.put(self.text())
        elif roll == 51:
            self.put(self.one("acc.v += 1", "acc.v = a", "Account.rate = (Account.rate + 1) % 4", "a = acc.v"))
        elif roll == 52 and self.cells:
            self.put(self.captured())
        elif roll == 52 and self.chance(50):
            self.matching()
        elif roll == 52:
            self.put(self.one("u = kept(a, x)()", "u = kept(b, d)(p)", "k0 = kept(3, u); k0(); u = k0(); k0 = None"))
        elif roll == 53:
            if self.chance(50):
                self.put(self.consumed())
            else:
                self.put(self.one("u = sum(p)", "u = max(p)", "u = min(t)", "u = sorted(t)", "u = list(zip(p, t))", "u = p == [1, 2]"))
        elif roll == 54:
            self.put(self.one("x = float(a)", "a = int(x)", "a = True", "x = a", "b = x", "b = None", "x = 2 ** 70"))
        elif roll == 55:
            self.put(self.one("del u; u = 0", "a = wrap(a * a)", "a = -a", "a = 2 ** 62 + (a & 1023)", "a = a * 3 & (2 ** 64 - 1)"))
        elif roll == 56 and self.generator:
            self.put(self.one("yield a", "yield x", "u = yield (a, x)", "yield"))
        elif roll == 57:
            self.put(self.one("raise ValueError(a)", "checked(a)", "assert a != 5, x", "raise IndexError"))
        elif roll == 58:
            self.put(self.one("return a", "return (x, p)", "return None") if self.chance(12) else "u = a if x else p")
        else:
            self.put(f"{name} = {self.bounded(self.integer(1))}")

    def matching(self) -> None:
        """A match statement; what patterns bind is u."""
        self.put(f"match {self.one('o', 'w', 'u', 'p', 't', 'a', 'x', 'd', 'acc', 'cell', 'Sub(a)', '{1: x, 2: a}', "{'k': a, 1: x}")}:")
        self.depth += 1
        cases = (
            *("Vec(u, 0.5)", "Vec(_, q=u)", "Sub(p=u)", "Sub(extra=u)", "Vec(int(), u) | Account(v=u)", "Cell(held=u)", "Vec(int(u)) if u > 3"),
            *("int(u) if u > 3", "int() | float() as u", "None | True", "{'k': u, 1: _}", "{1: u}", "[u, *_]", "D(k=u)", "list() | tuple() as u"),
        )
        for _ in range(self.rng.randrange(1, 4)):
            self.block(f"case {self.one(*cases)}:", lambda: self.put("note(u)"))
        self.depth -= 1

    def consumed(self) -> str:
        """A generator expression that goes to a function, or a loop, and other comprehensions."""
        source = self.one("p", "p[:5]", "t", "range(b & 7)", "enumerate(t)", "zip(p, t)", "reversed(p)", "TABLE", "'abc'", "squares(3)")
        item = self.one("k0", "k0", "a", "x", "(k0, b)", "str(k0)", "show(k0)", "o.p", "k0 == b", "wrap(a + c)", "10 // (b or 1)")
        test = self.one("", "", " if k0", " if a != k0", " if k0 is not x", " if look()")
        inside = f"{item} for k0 in {source}{test}"
        return self.one(
            f"u = {self.one('list', 'tuple', 'set', 'sorted', 'sum', 'any', 'all', 'max')}({inside})",
            f"u = ','.join({inside})",
            f"u = len(list({inside}))",
            f"u = [{inside}]",
            f"u = sorted({{{inside}}}, key=repr)",
            f"u = {{str(k0): {inside}}}",
            f"u = [k1 for k1 in ({inside})]",
            f"u = next(({inside}), None)",
        )

    def captured(self) -> str:
        """A statement about locals that are in cells."""
        return self.one(
            *("n1 = wrap(n1 + a)", "a = step(b & 15)", "step(1)", "x = n1 * 0.5"),
            *("n2 = a", "n2 = x", "n2 = D(n1)", "del n2", "u = n2", "note(n2)"),
            *("u = (lambda: (n1, n2))()", "u = sum(n1 + v for v in t if type(v) is int)", "u = [f() for f in [lambda: k + n1 for k in range(3)]]"),
            *("u = lambda: n2", "u = show(u())", "u = sorted(t[:2], key=lambda v: n1)"),
        )

    def text(self) -> str:
        """A statement about text; s1 grows only in bounds."""
        return self.one(
            "u = f'{a}:{x}'",
            "u = f'{x:.3f}|{b!r:>6}|{u}'[:40]",
            "u = repr(a)",
            "u = str(x)",
            "u = 'ab'[a & 1]",
            "u = 'x' + 'y'",
            "u = 'abcdef'[b & 3 : a]",
            "u = ','.join([str(a), 'q'])",
            "u = str(a).find('1') + len('%d' % a)",
            "u = ('ab' * (a & 3)).upper().split('B')",
            "u = 'a' in str(x)",
            "s1 = str(a); s1 += 'y'; s1 += s1[-2:]; u = s1",
            "u = type(u).__name__ + ('' if a else 'z')",
        )

    def bounded(self, text: str) -> str:
        grows = any(operator in text for operator in ("*", "<<", "add(", "scale", "twice", "rated"))
        return f"wrap({text})" if grows or self.chance(10) else text

    def statement(self, level: int) -> None:
        """One statement; `level` loops may still be nested below it."""
        self.budget -= 1
        roll = self.rng.randrange(100)
        if self.budget <= 0 or self.depth > 7 or roll < 62:
            self.simple(level)
        elif roll < 78:
            self.block(f"if {self.condition()}:", lambda: self.body(level, 1, 3))
            if self.chance(30):
                self.block(f"elif {self.condition()}:", lambda: self.body(level, 1, 2))
            if self.chance(50):
                self.block("else:", lambda: self.body(level, 1, 2))
        elif roll < 84 and self.loops:
            self.block(f"if {self.condition(1)}:", lambda: self.put(self.one("break", "continue", "continue")))
        elif roll < 92:
            self.guarded(level)
        elif level > 0:
            self.loop(level)
        else:
            self.simple(level)

    def failing(self) -> None:
        """What raises now and then."""
        name = self.one("a", "b", "c")
        lookups = ("TABLE[a & 31]", "p[a % 9]", "t[b & 7]", "needed(b & 15)", "found(a & 31)", "found(c % 7)", "int('1x'[a & 1])", "7 // (a & 3)")
        self.put(self.one(f"{name} = {self.one(*lookups)}", f"{name} = {self.one(*lookups)}", f"x = acc.late{self.one('', '2')}", "del TABLE[-a]"))

    def quiet(self) -> None:
        """What a handler does that does not look at the exception."""
        choices = ["pass", "a = 0", "b += 1", "c = wrap(a + c)", "u = None", "x = 0.5", "p[0] = a", "acc.v += 1", "G = 5", "u = (a, x)"]
        choices += ["raise", "raise KeyError(a)", "TABLE[a & 31] = 1", "a = needed(0)", "u = p[:2]", "a = TABLE.get(b, 0)"]
        self.put(self.one(*choices, *["continue", "continue", "break"] * bool(self.loops)))

    def guarded(self, level: int) -> None:
        fails = self.chance(60)

        def guarded() -> None:
            if fails:
                self.failing()
            self.body(level, 0 if fails else 1, 1 if fails else 3)

        self.block("try:", guarded)
        handled = self.chance(92)
        if handled:
            named = self.chance(40)

            def handler() -> None:
                if named and self.chance(80):
                    self.put("note(str(error), lines_of(error))")
                if fails and self.chance(70):
                    self.quiet()
                else:
                    self.body(level, 0 if named else 1, 2)

            for _ in range(1 + self.chance(20)):
                self.block(f"except {self.one(*CAUGHT)}{' as error' if named else ''}:", handler)
            if self.chance(15):
                self.block("else:", lambda: self.body(level, 1, 1))
        if not handled or self.chance(12):
            self.block("finally:", lambda: self.put(self.one("c += 1", "note('finally', a)", "bump()")))

    def body(self, level: int, least: int, most: int) -> None:
        for _ in range(self.rng.randint(least, most)):
            self.statement(level)

    def loop(self, level: int) -> None:
        self.loops += 1
        outer = level >= 2
        n = str(self.rng.choice((12, 20, 30, 45) if outer else (3, 5, 8, 12)))
        number = self.loops
        roll = self.rng.randrange(24)
        index = f"i{number}"
        if roll < 5:
            heads = (f"range({n})", f"range(1, {n})", f"range({n}, 0, -1)", f"range(0, 3 * {n}, 3)", f"range(a & {n})")
            head = f"for {index} in {self.one(*heads)}:"
        elif roll < 9:
            self.fuel += 1
            fuel = f"fuel{self.fuel}"
            self.put(f"{fuel} = {index} = 0")
            head = f"while {fuel} < {n}:" if self.chance(60) else f"while {fuel} < {n} and {self.condition(1)}:"

            def counted() -> None:
                self.put(f"{fuel} += 1")
                self.put(f"{index} += {self.one('1', '1', '2', '3')}")
                self.body(level - 1, 2, 5)

            self.block(head, counted)
            self.after(level)
            return
        elif roll < 12:
            source = self.one("p", "p[:]", "t", "[1, 2, 3, 4, 5, 6, 7] * 3", "[0.5, 1.5, 2] * 5", "(1, 2, 3, x, 2.5)", "p[::-1]")
            head = f"for {self.one(index, index, index, 'c')} in {source}:"
            self.put(f"{index} = 0")
        elif roll < 14:
            start = self.one("", "", ", 3", ", a", ", start=b")
            head = f"for {index}, {self.one('c', 'u', 'b')} in enumerate({self.sequence(n)}{start}):"
        elif roll < 16:
            head = f"for {index}, {self.one('c', 'u')} in zip({self.sequence(n)}, {self.sequence(n)}):"
        elif roll < 18:
            head = f"for {index} in reversed({self.one(f'range({n})', 'p', 't', 'p[:7]', f'range(1, {n}, 3)')}):"
        elif roll < 20:
            head = self.one(
                f"for {index}, (c, u) in enumerate(zip({self.sequence(n)}, {self.sequence(n)})):",
                f"for ({index}, c), u in zip(enumerate({self.sequence(n)}), {self.sequence(n)}):",
                f"for {index}, (b, u) in enumerate(enumerate({self.sequence(n)}, 2)):",
                f"for {index}, u, c in zip({self.sequence(n)}, reversed(p), {self.sequence(n)}):",
                f"for u in enumerate(zip({self.sequence(n)}, t)):",
                f"for u in zip({self.sequence(n)}):",
            )
        elif roll < 22:
            source = self.one("e{0}", "d{0}", "d{0}.values()", "{1, 2.5, 30, 'x'}", "'abc\\u1234' * 3", "b'bytes' * 2", "repr(a)")
            head = f"for {index} in {source.replace('{0}', str(number))}:"
            if self.chance(30):
                head = f"for {index}, u in d{number}.items():"
            self.put(f"d{number} = {self.one('{1: 2, 3: 4.5, 5: None, a: x}', 'dict(enumerate(p))', '{k: D(k) for k in range(4)}')}")
            self.put(f"e{number} = {self.one('set(range(9))', 'iter(p)', 'zip(p, t)', 'enumerate(t)', 'reversed(p)', 'iter(t)')}")
        else:
            made = ("picked(p, b)", "picked(squares(9), a)", "Chain(a, t)", "(k + a for k in range(9))", "map(int, p)", "dict(enumerate(p))")
            head = f"for {index} in {self.one(f'squares({n})', *made)}:"
        if not head.startswith(f"for {index}"):
            self.put(f"{index} = {number}")
        self.block(head, lambda: self.body(level - 1, 2, 6))
        self.after(level)

    def sequence(self, n: str) -> str:
        """Something that enumerate and zip are given."""
        return self.one("p", "p", "t", f"range({n})", "p[:9]", "(1, 2, 3, x, 2.5)", "[3, 1, 2] * 6", "reversed(p)", "repr(a)", "e0")

    def after(self, level: int) -> None:
        self.loops -= 1
        if self.chance(12):
            self.block("else:", lambda: self.body(0, 1, 2))

    # ---- the whole ------------------------------------------------------------------------------------------------

    def function(self, number: int) -> None:
        name = f"f{number}"
        self.generator = self.chance(12)
        self.cells = self.chance(20)
        self.functions.append((name, 3))
        self.put("")
        self.put(f"def {name}(a, x, p, t=(1, 2, 3), b=5):")
        self.depth += 1
        self.put("c, y, u, d, i1, k1, acc = 1, 0.5, None, None, 0, 2, Account(1)")
        self.put("o, w, cell = Vec(a, x), Vec(1), Cell(None)")
        self.put("i2 = i3 = 0")
        self.put("e0 = iter(p)" if self.chance(30) else "e0 = t")
        if self.cells:
            self.put("n1 = 1")
            self.put("def step(n):")
            self.put("    nonlocal n1")
            self.put(f"    for k in range(n): n1 = wrap(n1 * {self.one('3', 'k1', '2')} + k)")
            self.put("    return n1")
            self.put("n2 = b")
        self.loops = self.fuel = 0
        self.budget = self.rng.choice((10, 18, 30, 45))
        self.body(0, 0, 2)
        self.loop(self.rng.choice((2, 2, 2, 3)))
        if self.chance(40):
            self.body(1, 0, 3)
        if self.generator:
            self.put("yield (a, b, c, x, y)")
        self.put("return (a, b, c, x, y, u, p, t)" if not self.generator else "return")
        self.depth -= 1

    def program(self) -> str:
        for number in range(self.rng.choice((1, 1, 2, 3))):
            self.function(number)
        self.put("")
        self.put("def main():")
        self.depth += 1
        self.put("global G, H")
        self.put("G, H, Account.rate, Vec.kind, Vec.size, Vec.__add__, Sub.__add__ = 3, 0.5, 2, 1, SIZE, ADD, SUB_ADD")
        lists = ("[1, 2, 3, 4]", "list(range(12))", "[1, 2.5, True, 4]", "[0.5, 1.5, 2.5]", "[7] * 9", "[]", "[2 ** 62, 1, 2]")
        for name, _ in self.functions:
            plain = [("1", "0.5", "[1, 2, 3, 4]"), ("7", "2.0", "list(range(9))")]
            for a, x, p in plain:
                self.put(f"attempt({name}, {a}, {x}, {p})")
            for _ in range(self.rng.randrange(4)):
                a = self.one("0", "-7", "3", "2 ** 62", "2 ** 70", "True", "1.5", "None") if self.chance(50) else "11"
                x = self.one("-0.0", "1e308", "float('nan')", "3", "None") if self.chance(40) else "1.25"
                self.put(f"attempt({name}, {a}, {x}, {self.one(*lists)}{self.one('', '', ', (4, 5.5, None, 6)', ', (D(0), 1), -2')})")
            self.put(f"attempt({name}, 1, 0.5, [1, 2, 3, 4])")
        if self.chance(25):
            name = self.functions[0][0]
            self.put(f"for round_ in range(6): attempt({name}, round_, round_ / 2, [round_, 2, 3])")
        self.depth -= 1
        return "\n".join(self.lines) + "\n"


def generate(rng: random.Random | int) -> str:
    """The source of a random program, without the prelude; an int is a seed."""
    return Writer(random.Random(rng) if isinstance(rng, int) else rng).program()


def programs() -> st.SearchStrategy[str]:
    """Sources as a hypothesis strategy."""
    return st.randoms(use_true_random=False).map(generate)


def is_counted(item: object) -> bool:
    """Objects whose references only the program holds; constants may be kept by whoever compiled their code."""
    return type(item) is list or type(item).__name__ == "D"


class Prepared:
    """A program ready to run: fresh code objects, so that nothing an engine did to earlier ones matters."""

    def __init__(self, source: str, name: str = "<program>") -> None:
        text = PRELUDE + "\n" + source
        ast.parse(source)
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        self.namespace: dict[str, object] = {"__name__": "program"}
        exec(compile(text, name, "exec"), self.namespace)

    def run(self) -> list[str]:
        """Calls `main` and gives the log."""
        log, inputs = self.namespace["LOG"], self.namespace["INPUTS"]
        assert isinstance(log, list) and isinstance(inputs, list)
        inputs.clear()
        log.clear()
        # Cycles (an exception in its own frame's locals) hold arguments until a collection, whose time is nobody's promise:
        # it depends on how many objects live, in the whole process.
        gc.collect()
        gc.disable()
        try:
            self.namespace["main"]()  # type: ignore[operator]
        except Exception as error:
            log.append(f"main raised {type(error).__name__}: {error}")
        finally:
            gc.enable()
        gc.collect()
        # No loop here: what native code holds while it runs is its own business, afterwards it holds nothing.
        counts = map(sys.getrefcount, filter(is_counted, inputs))
        log.append(f"reference counts of the arguments: {list(counts)}")
        return list(log)


if __name__ == "__main__":
    print(PRELUDE)
    print(generate(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
