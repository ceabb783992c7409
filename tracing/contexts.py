"""What a version of a join assumes: contexts.

Where control flow joins, the translator compares states. A context describes one: for each slot of each frame of the walk everything
that code behind the join relies on (what kind of value it is, its type, who owns it) and nothing that may differ from one entry to
the next (the number itself, the reference): these become parameters of the version's block. So two states with equal contexts
share code, a state may enter a version that relies on less (`fits`), and two contexts have a narrowest one that both fit (`widen`).

A local that some ways to a join have bound and others have not is described as such ("m..."): with its value it has a flag, or the
reference is to `UNBOUND`. Most of these locals are assigned before they are looked at again, as in a loop's first round and all
later ones: such a difference is not worth a second version, so all contexts get that form (`CodeProfile.loose`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..optimizer.ir import Block
from .values import (
    AV,
    FRAME,
    OWNED,
    VALUES_OF,
    Const,
    Generator,
    InFrame,
    Iterator,
    Maybe,
    MaybeNum,
    Null,
    Num,
    Obj,
    Range,
    Tagged,
    Tup,
    Twin,
    iterator_of,
)


class TranslationError(Exception):
    """An internal rule was broken. The region is refused; in tests this is a failure."""


Description = tuple[Any, ...]
"""One slot's description: its kind, then what that kind has. Of an object: its type and owner, and of a bound method what it is of."""
Context = tuple[tuple[Description, ...], ...]
NUMBERS = ("i", "f", "b")
MAYBE_NUMBERS = {"i": "mi", "f": "mf", "b": "mb"}
"""How numbers are described that may be missing,"""
NOTHING: dict[str, Any] = {"mi": 0, "mf": 0.0, "mb": False}
"""and what stands for one that is."""


class Same:
    """Identity as a dictionary key."""

    __slots__ = ("obj",)

    def __init__(self, obj: object) -> None:
        self.obj = obj

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.obj is self.obj

    def __hash__(self) -> int:
        return id(self.obj)

    def __repr__(self) -> str:
        return f"is {self.obj!r}"


def describe(av: AV) -> Description:
    """The slot's part of a context: everything a version assumes, and nothing that may vary between its entries."""
    if isinstance(av, MaybeNum):
        return (MAYBE_NUMBERS[av.repr], av.dirty)
    if isinstance(av, Num):
        return (av.repr, av.dirty)
    if isinstance(av, Const):
        return ("k", Same(av.obj), av.dirty)
    if isinstance(av, Null):
        return ("n", av.dirty)
    if isinstance(av, InFrame):
        return ("fr",)
    if isinstance(av, Obj):
        return ("m" if isinstance(av, Maybe) else "o", av.type, av.owner)
    if isinstance(av, Iterator):
        return (av.kind, tuple(describe(part) for part in av.parts))
    if isinstance(av, Range):
        return ("r",)
    if isinstance(av, Tup):
        return ("t", tuple(describe(i) for i in av.items))
    if isinstance(av, Generator):
        return ("g", av.origin, av.offset, (describe(av.func),), tuple(map(describe, av.locals)), tuple(map(describe, av.stack)))
    if isinstance(av, Tagged):
        return ("tag",)
    if isinstance(av, Twin):
        return ("twin",)
    raise TranslationError(type(av).__name__)


def revive(desc: Description, block: Block) -> AV:
    """The abstract value of a version's slot, with block parameters for what varies."""
    kind = desc[0]
    if kind in NUMBERS:
        return Num(block.param(kind), desc[1])
    if kind in NOTHING:
        return MaybeNum(block.param(kind[1]), block.param("b"), desc[1])
    if kind == "k":
        return Const(desc[1].obj, desc[2])
    if kind == "n":
        made = Null()
        made.dirty = desc[1]
        return made
    if kind == "fr":
        return InFrame()
    if kind in ("o", "m"):
        return (Obj if kind == "o" else Maybe)(block.param("o"), desc[1], desc[2])
    if isinstance(kind, type):
        values = tuple(block.param("i") for _ in range(VALUES_OF.get(kind, 1)))
        return iterator_of(kind, values, tuple(revive(part, block) for part in desc[1]))
    if kind == "r":
        return Range(block.param("i"), block.param("i"), block.param("i"))
    if kind == "t":
        return Tup([revive(d, block) for d in desc[1]])
    if kind == "g":
        (func,), locals_, stack = ([revive(d, block) for d in part] for part in desc[3:])
        return Generator(desc[1], func, desc[2], locals_, stack)
    if kind == "twin":
        return Twin()
    if kind == "tag":
        return Tagged(block.param("i"))
    raise TranslationError(str(desc))


def slot_fits(have: Description, want: Description, coercing: bool) -> bool:
    """Whether a slot described by `have` may enter a version that assumes `want`."""
    if have == want:
        return True
    a, b = have[0], want[0]
    if a == b:
        if a in NUMBERS or a in NOTHING:
            return bool(want[1])
        if a in ("o", "m"):
            if want[1] is not None and have[1] is not want[1] or len(want) > 3 and have[3:] != want[3:]:
                return False
            return have[2] == want[2] or (want[2] == OWNED and have[2] != FRAME)
        if a == "t" or isinstance(a, type):
            return len(have[1]) == len(want[1]) and all(
                slot_fits(x, y, coercing) for x, y in zip(have[1], want[1], strict=True)
            )
        if a == "g":
            return same_place(have, want) and all(
                slot_fits(x, y, coercing) for k in (3, 4, 5) for x, y in zip(have[k], want[k], strict=True)
            )
        if a == "n":
            return bool(want[1])
        return False
    if not coercing:
        return False
    if b in NOTHING:
        return a in ("n", b[1]) and (want[1] or not have[1])
    if b == "m":
        return a == "n" or slot_fits(have, ("o", *want[1:]), True)
    if b == "fr":
        return a in ("i", "f", "b", "k") or a == "o" and have[2] == FRAME
    if isinstance(a, type):
        return b == "o" and want[1] in (None, a) and want[2] in (OWNED, FRAME)
    return b == "o" and want[1] is None and a in ("i", "f", "b", "k", "t", "r") and want[2] in (OWNED, FRAME)


def fits(have: Context, want: Context, coercing: bool) -> bool:
    return len(have) == len(want) and all(
        len(h) == len(w) and all(slot_fits(x, y, coercing) for x, y in zip(h, w, strict=True))
        for h, w in zip(have, want, strict=True)
    )


def same_place(a: Description, b: Description) -> bool:
    """Whether two descriptions of generators are of the same function, waiting at the same place."""
    return a[1:3] == b[1:3] and len(a[4]) == len(b[4]) and len(a[5]) == len(b[5])


def bound(slot: Description) -> Description | None:
    """What a slot that may be unbound is if it is not; None for what is unbound."""
    if slot[0] in NOTHING:
        return (slot[0][1], slot[1])
    return ("o", *slot[1:]) if slot[0] == "m" else None if slot[0] == "n" else slot


def meet_unbound(a: Description, b: Description, root_local: bool) -> Description | None:
    """The narrowest description that both fit, of a local variable that at least one of them has unbound, or may have."""
    x, y = bound(a), bound(b)
    both = y if x is None else x if y is None else widen_slot(x, y, root_local)
    if both is None:
        return None
    if both[0] in NUMBERS:
        return (MAYBE_NUMBERS[both[0]], a[1] or b[1])
    if a[0] in NOTHING or b[0] in NOTHING:
        return None  # a number that may be none is not made an object
    if both[0] in ("k", "o", "t", "r"):
        return ("m", both[1] if both[0] == "o" else None, FRAME if root_local else OWNED)
    return None


def widen_slot(a: Description, b: Description, root_local: bool, variable: bool = False) -> Description | None:
    """The narrowest description that both fit. `variable`: of a local variable, which may be unbound. (What is NULL on the stack
    says how something is called.)"""
    if slot_fits(a, b, False):
        return b
    if slot_fits(b, a, False):
        return a
    if variable and (bound(a) != a or bound(b) != b):
        return meet_unbound(a, b, root_local)
    if isinstance(a[0], type) and a[0] is b[0] and len(a[1]) == len(b[1]):
        parts = [widen_slot(x, y, False) for x, y in zip(a[1], b[1], strict=True)]
        if None not in parts:
            return (a[0], tuple(parts))
    if a[0] == b[0] == "g" and same_place(a, b):
        widened = [tuple(widen_slot(x, y, False) for x, y in zip(a[k], b[k], strict=True)) for k in (3, 4, 5)]
        if not any(None in slots for slots in widened):
            return (*a[:3], *widened)
    if root_local and "fr" in (a[0], b[0]):
        other = b if a[0] == "fr" else a
        return ("fr",) if slot_fits(other, ("fr",), True) else None
    a, b = (("o", x[0], OWNED) if isinstance(x[0], type) else x for x in (a, b))
    objects = ("i", "f", "b", "k", "o", "t", "r")
    if a[0] in objects and b[0] in objects:
        return ("o", a[1] if a[0] == b[0] == "o" and a[1] is b[1] else None, FRAME if root_local else OWNED)
    return None


def widen(a: Context, b: Context, real: int, variables: list[int]) -> Context | None:
    """The narrowest context that both fit; `real`: the frame that is the interpreter's; `variables`: how many slots of each frame are
    local variables (and not names of a namespace, or operands)."""
    if [len(x) for x in a] != [len(x) for x in b]:
        return None
    frames = []
    for depth, (x, y) in enumerate(zip(a, b, strict=True)):
        nlocals = x.index(("/",))
        slots = []
        for k, (s, t) in enumerate(zip(x, y, strict=True)):
            merged = widen_slot(s, t, depth == real and k < nlocals, k < variables[depth]) if s != t else s
            if merged is None:
                return None
            slots.append(merged)
        frames.append(tuple(slots))
    return tuple(frames)


def loose_kind(slots: Iterable[Description]) -> str | None:
    """How to describe a variable that is unbound in some of these and bound in the others, if that is the only difference."""
    kinds = {slot[0] for slot in slots}
    if "n" in kinds and len(kinds) == 2:
        kind = (kinds - {"n"}).pop()
        return MAYBE_NUMBERS[kind] if kind in NUMBERS else "m" if kind == "o" else None
    return None
