"""Hostile worlds: whatever runs in the middle of native code invalidates it, changes what it uses, looks at its frames or
writes to them.

Each program keeps a log (see tests/generator.py). It is run plain and in every mode of tests/fuzz.py, with and without
the options that make regions find themselves invalid after each opaque call and free code at the first chance, and the
logs must be equal. That includes what is odd: on 3.13 a callee's write to `f_locals` is seen at once, on 3.12 never.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
from fuzz import check
from generator import generate

MODES = ("llvm", "llvm-deopt", "reference")
WORLDS: dict[str, dict[str, object]] = {
    "calm": {},
    "invalid": {"invalidate_stress": True},
    "freed": {"free_stress": True},
    "both": {"invalidate_stress": True, "free_stress": True},
}

CALLS = """
K = 2
class V:
    def __init__(self, v): self.v = v
    def __add__(self, other): return V(wrap(self.v + (other.v if type(other) is V else other)))
    def __radd__(self, other): return V(wrap(self.v + other))
    def __lt__(self, other): return self.v < (other.v if type(other) is V else other)
    def __bool__(self): return self.v % 3 != 0
    def __getitem__(self, i): return self.v + i
    def __setitem__(self, i, x): self.v = x
    def __contains__(self, x): return x % 2 == 0
    def __len__(self): return 4
    def __neg__(self): return V(-self.v)
    def __iter__(self): return iter([self.v, 1])
    def __call__(self, x, y=1): return x + y
def work(a, x, p):
    v = V(a)
    s = 0
    for i in range(12):
        v = v + i
        v = 3 + v
        s += v(i) + v(i, y=2)
        if v < 40: s += 1
        if v: s += 2
        v[0] = v[1] + i
        if i in v: s += len(v)
        s += max(p, key=abs) + K
        v.w = s
        s += v.w - s
        v = -v
        acc = sorted(p)
        s += acc[0]
    note(s, x, v.v)
    return s
def many(a, x, p):
    t = 0
    for i in range(8):
        for q in V(i):
            t += q
        while t > 50:
            t -= bump() + 7
    return t
def text(a, x, p):
    s = ""
    for i in range(20):
        s += str(i)
        s = s.upper() if i % 5 == 0 else s
    return s, len(s)
def main():
    for k in range(4):
        attempt(work, k, 0.5, [3, 1, 2])
        attempt(many, 1, 0.5, [1])
        attempt(text, 1, 0.5, [1])
    attempt(work, 2.5, 1, [1.5, 2])
"""

DROPS = """
W = 1
items = []
class Bomb:
    def __init__(self, k, victim=None):
        self.k, self.victim = k, victim
    def __del__(self):
        global W, items
        LOG.append(f"bomb {self.k}")
        W = (W + self.k) % 7
        if type(self.victim) is list:
            if self.k % 3 == 0: self.victim.clear()
            elif self.victim: self.victim.pop()
        if self.k % 5 == 0: items = [W]
    def __add__(self, other): return Bomb(self.k + 1, self.victim)
    def __eq__(self, other): return True
def slots(a, x, p):
    d = None
    s = 0
    for i in range(14):
        d = Bomb(i, p)
        s += W + len(p)
        p.append(i)
        for q in p:
            s += q
            d = Bomb(q, p) if q % 2 else None
    return s, W
def stores(a, x, p):
    holder = [Bomb(k, p) for k in range(6)]
    s = 0
    for i in range(12):
        holder[i % 6] = Bomb(i, p) if i % 2 else i
        p.append(i)
        s += W * len(p)
        if p: s += p[-1]
        if len(holder) > 8: holder.pop()
        holder.append(Bomb(20 + i, p))
        holder.pop()
    return s, len(p), len(holder)
def iterated(a, x, p):
    p.extend(range(30))
    s = 0
    for q in p:
        s += q + W
        Bomb(q, p)
        if q in (Bomb(3, p), 5): s += 1
    return s, p
def globals_(a, x, p):
    s = 0
    for i in range(20):
        s += W + len(items)
        for item in items:
            s += item
        items.append(i)
        Bomb(i, items)
    return s
def inner(b, p):
    c = Bomb(b, p)
    d = b + 1
    return d
def inlined(a, x, p):
    s = 0
    for i in range(15):
        p.append(i)
        s += inner(i, p) + len(p)
    return s
def operators(a, x, p):
    b = Bomb(1, p)
    s = 0
    for i in range(10):
        b = b + 1
        p += [i, i]
        s += len(p) * W
        u, v = Bomb(i, p), i
        u = v
        del b
        b = Bomb(i, p)
    return s
def raising(a, x, p):
    s = 0
    for i in range(12):
        try:
            d = Bomb(i, p)
            p.append(i)
            s += p[i]
        except IndexError as error:
            s += 100
            e2 = Bomb(40 + i, p)
    return s
def main():
    global W, items
    W, items = 1, [1, 2]
    for k in range(3):
        for f in (slots, stores, iterated, globals_, inlined, operators, raising):
            attempt(f, 1, 0.5, [1, 2, 3, 4, 5])
"""

LOOKS = """
import gc
def seen():
    rows = []
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "attempt":
        values = frame.f_locals
        names = [n for n in sorted(values) if n not in ("self", "frame", "rows")]
        rows.append(f"{frame.f_code.co_name}:{frame.f_lineno}:" + ",".join([n + "=" + show(values[n]) for n in names]))
        frame = frame.f_back
    LOG.append(" < ".join(rows))
    return len(rows)
class Op:
    def __init__(self, v): self.v = v
    def __add__(self, o): return seen() + o
    def __radd__(self, o): return seen() + o
    def __iadd__(self, o):
        seen()
        return self
    def __lt__(self, o): return seen() > 100
    def __getitem__(self, k): return seen() + k
    def __setitem__(self, k, v): seen()
    def __getattr__(self, name): return seen()
    def __bool__(self): return seen() > 0
    def __contains__(self, k): return seen() > 1
    def __len__(self): return seen()
    def __index__(self): return seen()
    def __hash__(self): return seen()
    def __eq__(self, o): return seen() == 0
    def __repr__(self): return "Op"
class End:
    def __repr__(self): return "End"
    def __del__(self): seen()
def plain(a, x, p):
    s = 0
    for i in range(9):
        f = i * x
        s += seen()
        g = (s, i)
        s += seen() if i % 2 else 1
    return s
def leaf(b, c=2):
    d = b * c
    seen()
    return d + 1
def quiet(b):
    return b * 2
def inlined(a, x, p):
    s = 0
    for i in range(9):
        j = quiet(i) + 1
        s += leaf(j)
        s += leaf(s, c=3) % 5
    return s
def ends(a, x, p):
    s = 0
    for i in range(9):
        y = i + 0.5
        e = End()
        s += i
        e = None
        e = [End()]
        e.pop()
    return s
def operators(a, x, p):
    o = Op(1)
    s = 0
    for i in range(6):
        y = i * 0.5
        s += (o + i) + (i + o)
        o += 1
        if o < 3: s += 1
        s += o[i]
        o[i] = s
        s += o.attribute
        if o: s += 1
        if i in o: s += 1
        s += len(o)
        s += [7, 8, 9, 10, 11, 12, 13, 14, 15][o]
        s += len({o: 1})
        if o == i: s += 1
    return s
def nested(a, x, p):
    s = 0
    for i in range(4):
        for j in range(5):
            s += i * j
            if j == 3: s += seen()
    return s
def closed(a, x, p):
    k = a
    def add(q):
        return q + k + seen()
    s = 0
    for i in range(8):
        s += add(i)
        k += 1
    return s
def made(a, x, p):
    s = 0
    for i in range(5):
        q = [seen() + i for r in range(3)]
        s += sum([seen() for r in q])
    return s
def gen(n):
    for i in range(n):
        y = i * 2
        seen()
        yield y
def generators(a, x, p):
    s = 0
    for v in gen(8):
        s += v
    return s
def raising(a, x, p):
    s = 0
    for i in range(8):
        try:
            s += [1, 2, 3][i] + seen()
        except IndexError as error:
            s += seen()
    return s
def kept(a, x, p):
    frames = []
    s = 0
    for i in range(9):
        y = i / 2
        frames.append(sys._getframe())
        s += i
        s += frames[-1].f_locals["s"] + frames[-1].f_lineno
        if i % 3 == 2: frames.clear()
    return s
def main():
    for k in range(3):
        for f in (plain, inlined, ends, operators, nested, closed, made, generators, raising, kept):
            attempt(f, 1, 0.5, [1, 2, 3, 4])
    gc.collect()  # on 3.12 looking at f_locals makes cycles
"""

WRITES = """
def poke(depth, **values):
    frame = sys._getframe(depth)
    try:
        frame.f_locals.update(values)
    except (TypeError, ValueError) as error:
        LOG.append(str(error))
class Poker:
    def __init__(self, **values): self.values = values
    def __del__(self): poke(2, **self.values)
    def __add__(self, o):
        poke(2, **self.values)
        return o
def plain(a, x, p):
    s = i = 0
    y = 0.5
    q = [1]
    while i < 14:
        i += 1
        s += i
        y += 0.25
        if i == 8: poke(1, s=1000, y=7.5)
        if i == 9: poke(1, q=[5, 6], s="text")
        if i == 10: note(s, y, q)
        if type(s) is str: s = 3
        q.append(i)
    return s, i, y, q
def each(a, x, p):
    s = 0
    for i in range(12):
        poke(1, s=s + 10, new=i)
        s += 1
        poke(1, i=i * 2)
        s += i
    return s
def ends(a, x, p):
    s = t = 0
    for i in range(12):
        e = Poker(s=s + 100, t=[i])
        s += 1
        e = None
        s += 1
        if type(t) is list: t = 0
    return s
def operators(a, x, p):
    s = 0
    k = Poker(s=5)
    for i in range(12):
        s += i
        j = k + i
        s += j
    return s
def step(b, keep):
    c = b + 1
    poke(1, c=c * 2, b=None)
    poke(2, i=keep)
    return c, b
def callee(a, x, p):
    out = []
    b = 0
    for i in range(10):
        out.append(step(i, b + i if i else 3))
        b = i
    return out
def types(a, x, p):
    s = 1
    for i in range(12):
        if i == 6: poke(1, s=2.5)
        if i == 9: poke(1, s=None)
        if s is None: s = 4
        s = s * 2 % 1000
    return s
def dropped(a, x, p):
    d = D(1)
    s = 0
    for i in range(10):
        if i == 6: poke(1, d=D(2))
        s += i
        if i == 8: LOG.append("eight")
    return s, d.k
def main():
    for k in range(3):
        for f in (plain, each, ends, operators, callee, types, dropped):
            attempt(f, 1, 0.5, [1, 2, 3, 4])
"""

REBINDS = """
R = 1
def one(v): return v + 1
def two(v): return v + 2
current = one
def switch(i):
    global R, current
    if i % 4 == 3:
        R += 1
        current = two if current is one else one
    if i % 9 == 8:
        one.__code__, two.__code__ = two.__code__, one.__code__
    if i % 11 == 10:
        one.__defaults__ = (1,)
    return 0
def loop(a, x, p):
    s = 0
    for i in range(40):
        s += R + current(i) + len(p)
        switch(i)
    return s
def shadow(a, x, p):
    s = 0
    for i in range(12):
        s += len(p) + abs(-i)
        if i == 5: globals()["len"] = lambda q: 50
        if i == 9: del globals()["len"]
    return s
def again(a, x, p):
    s = 0
    for i in range(6):
        s += loop(a, x, p) + shadow(a, x, p)
    return s
first, second = one.__code__, two.__code__
def main():
    global R, current
    R, current = 1, one
    one.__code__, two.__code__, one.__defaults__ = first, second, None
    for k in range(4):
        for f in (loop, shadow, again):
            attempt(f, 1, 0.5, [1, 2, 3, 4])
"""

# Not all of their product: each mode and each world meets each program, and the odd pairs are the nastiest.
PAIRS = [
    ("llvm", "calm"),
    ("llvm-deopt", "calm"),
    ("reference", "calm"),
    ("llvm", "invalid"),
    ("reference", "invalid"),
    ("llvm", "freed"),
    ("llvm-deopt", "both"),
]

PROGRAMS = {"calls": CALLS, "drops": DROPS, "looks": LOOKS, "writes": WRITES, "rebinds": REBINDS}


class Seen:
    """Counts exits by reason while the regions still exist."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.freed = self.invalidated = 0

    def __call__(self, engine: Any) -> None:
        for region in engine.regions:
            for state, block in region.descriptors.items():
                self.reasons[state.reason] += block.count
            self.freed += region.native is None
            assert region.native is None or region.state == "live" or region.entry.activations, region.state
        self.invalidated += engine.invalidations


@pytest.mark.stress
@pytest.mark.parametrize("mode, world", PAIRS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_hostile_program(name: str, mode: str, world: str) -> None:
    seen = Seen()
    counts = check(PROGRAMS[name], mode, inspect=seen, opt_level=0, **WORLDS[world])
    assert counts["regions"] and counts["entries"], "nothing was compiled, so nothing was tested"
    forced_out = mode == "llvm-deopt" or os.environ.get("JITCORE_DEOPT_EVERY", "0") != "0"
    # Where all functions are compiled at once the reference backend leaves in front of their open calls, and may never come to ask.
    never_asks = mode == "reference" and "JITCORE_FUNCTION_THRESHOLD" in os.environ
    if "invalidate_stress" in WORLDS[world] and not forced_out and not never_asks:
        assert seen.reasons["invalidated"], "no region found itself invalid"
    if "free_stress" in WORLDS[world]:  # elsewhere it is freed when it has been remade, if anything has reason to be
        assert seen.freed, "no native code was freed"


@pytest.mark.stress
@pytest.mark.parametrize("mode", MODES)
def test_random_programs_in_all_worlds(mode: str) -> None:
    counts: Counter[str] = Counter()
    for seed, world in zip((300, 302, 303), ("invalid", "freed", "both"), strict=True):
        counts.update(check(generate(seed), mode, opt_level=0, **WORLDS[world]))
    assert counts["regions"] and counts["entries"]
