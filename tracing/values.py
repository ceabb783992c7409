"""Abstract values: what the translator knows of one interpreter slot.

An abstract value sits in exactly one slot (a local or a stack position of one frame); copying a slot makes a new one.
Object references carry their ownership, because frame states and drops follow from it:

    OWNED       the slot holds a reference of its own
    FRAME       the door's real frame holds it (object locals there are written through)
    HEAP        some container was seen to hold it; valid until the next operation that could change a container
    Local(...)  another slot of a suspended or current frame holds it; valid until that slot is assigned
    Lent(...)   an operand on the stack of a frame that waits for its callee; valid until that returns
    FOREVER     kept alive by the region itself (constants) or by a caller that cannot change it
"""

from __future__ import annotations

from types import CodeType
from typing import Any

from ..optimizer.ir import Value
from ..records import dataclass


@dataclass(frozen=True)
class Owner:
    kind: str
    frame: int = -1
    slot: int = -1


OWNED = Owner("owned")
FRAME = Owner("frame")
HEAP = Owner("heap")
FOREVER = Owner("forever")


def local_owner(frame: int, slot: int) -> Owner:
    return Owner("local", frame, slot)


def lent_owner(frame: int) -> Owner:
    return Owner("lent", frame)


class AV:
    """Base of abstract values. `dirty` matters for locals of the real frame: the frame's copy is stale."""

    __slots__ = ("dirty",)
    dirty: bool

    def __init__(self) -> None:
        self.dirty = False

    def copy(self) -> AV:
        raise AssertionError(type(self))


class InFrame(AV):
    """A local of the real frame that the region has not looked at."""

    __slots__ = ()

    def copy(self) -> AV:
        return InFrame()


class Null(AV):
    """An unbound local, or the NULL that calls keep on the stack."""

    __slots__ = ()

    def copy(self) -> AV:
        made = Null()
        made.dirty = self.dirty
        return made


class Num(AV):
    """An int (i), float (f) or bool (b) without its box. `home`: the local of the real frame that it was loaded from, where
    its box is as long as that local has this value and is not dirty; -1 for none."""

    __slots__ = ("value", "home")

    def __init__(self, value: Value, dirty: bool = False, home: int = -1) -> None:
        self.dirty = dirty
        self.value = value
        self.home = home

    @property
    def repr(self) -> str:
        return self.value.repr

    def copy(self) -> AV:
        return Num(self.value, self.dirty, self.home)


class Const(AV):
    """A Python object known at translation time and kept alive by the region."""

    __slots__ = ("obj",)

    def __init__(self, obj: object, dirty: bool = False) -> None:
        self.dirty = dirty
        self.obj = obj

    def copy(self) -> AV:
        return Const(self.obj, self.dirty)


class Obj(AV):
    """A reference, with its exact type where that has been checked."""

    __slots__ = ("value", "type", "owner")

    def __init__(self, value: Value, type_: type | None, owner: Owner) -> None:
        self.dirty = False
        self.value = value
        self.type = type_
        self.owner = owner

    def copy(self) -> AV:
        return Obj(self.value, self.type, self.owner)


class MaybeNum(Num):
    """A number without its box where `bound` (b) is true; else the local is unbound, and the number means nothing."""

    __slots__ = ("bound",)

    def __init__(self, value: Value, bound: Value, dirty: bool = False) -> None:
        super().__init__(value, dirty)
        self.bound = bound

    def copy(self) -> AV:
        return MaybeNum(self.value, self.bound, self.dirty)


class Maybe(Obj):
    """An object (of that type, if one is given), or `UNBOUND`: then the local is unbound."""

    __slots__ = ()

    def copy(self) -> AV:
        return Maybe(self.value, self.type, self.owner)


class Iterator(AV):
    """An iterator that exists only as numbers and parts (`tracing/iteration.py` knows how each kind is stepped).

    It has state, so exactly one slot may hold it: what would give it a second name makes it a real object first. Owned
    references of its parts are the iterator's. `kind` is the real iterator's type; `name` stands for the kind in contexts
    and frame states.
    """

    __slots__ = ()
    name = ""
    kind: type

    @property
    def values(self) -> tuple[Value, ...]:
        """The numbers, in the order of `iterator_of`."""
        raise AssertionError(type(self))

    @property
    def parts(self) -> tuple[AV, ...]:
        """What the iterator holds: a sequence, inner iterators."""
        return ()

    def copy(self) -> Iterator:
        return iterator_of(self.kind, self.values, tuple(part.copy() for part in self.parts))


class RangeIter(Iterator):
    """Over a range: the next value, how many are left, the step."""

    __slots__ = ("start", "length", "step")
    name = "range_iter"
    kind = type(iter(range(0)))

    def __init__(self, start: Value, length: Value, step: Value) -> None:
        self.dirty = False
        self.start, self.length, self.step = start, length, step

    @property
    def values(self) -> tuple[Value, ...]:
        return (self.start, self.length, self.step)


class ListIter(Iterator):
    """Over a list: the list and the index of the next item."""

    __slots__ = ("index", "sequence")
    name = "sequence_iter"
    kind: type = type(iter([]))
    over: type = list

    def __init__(self, index: Value, sequence: AV) -> None:
        self.dirty = False
        self.index, self.sequence = index, sequence

    @property
    def values(self) -> tuple[Value, ...]:
        return (self.index,)

    @property
    def parts(self) -> tuple[AV, ...]:
        return (self.sequence,)


class TupleIter(ListIter):
    """Over a tuple, likewise."""

    __slots__ = ()
    kind = type(iter(()))
    over = tuple


class ReversedIter(ListIter):
    """Backwards over a list: the list and the index of the next item, -1 behind the last one."""

    __slots__ = ()
    name = "reversed_iter"
    kind: type = type(reversed([]))


class EnumerateIter(Iterator):
    """enumerate: the next number and the iterator inside."""

    __slots__ = ("count", "inner")
    name = "enumerate"
    kind = enumerate

    def __init__(self, count: Value, inner: Iterator) -> None:
        self.dirty = False
        self.count, self.inner = count, inner

    @property
    def values(self) -> tuple[Value, ...]:
        return (self.count,)

    @property
    def parts(self) -> tuple[AV, ...]:
        return (self.inner,)


class ZipIter(Iterator):
    """zip without `strict`: the iterators inside."""

    __slots__ = ("inner",)
    name = "zip"
    kind = zip

    def __init__(self, inner: tuple[Iterator, ...]) -> None:
        self.dirty = False
        self.inner = inner

    @property
    def values(self) -> tuple[Value, ...]:
        return ()

    @property
    def parts(self) -> tuple[AV, ...]:
        return self.inner


class Range(AV):
    """A range object that exists only as its three numbers."""

    __slots__ = ("start", "stop", "step")

    def __init__(self, start: Value, stop: Value, step: Value) -> None:
        self.dirty = False
        self.start, self.stop, self.step = start, stop, step

    def copy(self) -> AV:
        return Range(self.start, self.stop, self.step)


class Tup(AV):
    """A tuple that exists only as its items (each in the slot role: owned references are the tuple's)."""

    __slots__ = ("items",)

    def __init__(self, items: list[AV]) -> None:
        self.dirty = False
        self.items = items

    def copy(self) -> AV:
        return Tup([i.copy() for i in self.items])


class Origin:
    """What is always the same of the frames of a function: equal if all of it is."""

    __slots__ = ("code", "globals", "builtins")

    def __init__(self, code: CodeType, globals_: dict[str, Any], builtins: dict[str, Any]) -> None:
        self.code, self.globals, self.builtins = code, globals_, builtins

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Origin):
            return NotImplemented
        return self.code is other.code and self.globals is other.globals and self.builtins is other.builtins

    def __hash__(self) -> int:
        return id(self.code)


class Generator(AV):
    """A generator that exists only as what its frame has (see `tracing/generators.py`): it waits at `offset`, or is new (0). While
    it runs there is a frame of the walk for it, and nothing in here. Exactly one slot holds it. Its function is a constant, or was
    made for it."""

    __slots__ = ("origin", "func", "offset", "locals", "stack")

    def __init__(
        self, origin: Origin, func: AV, offset: int = 0, locals_: list[AV] | None = None, stack: list[AV] | None = None
    ) -> None:
        self.dirty = False
        self.origin, self.func, self.offset = origin, func, offset
        self.locals = locals_ if locals_ is not None else []
        self.stack = stack if stack is not None else []

    @property
    def code(self) -> CodeType:
        return self.origin.code

    def copy(self) -> AV:
        return Generator(self.origin, self.func.copy(), self.offset, [a.copy() for a in self.locals], [a.copy() for a in self.stack])


class Tagged(AV):
    """An integer that the interpreter keeps unboxed on its stack (3.15's list iteration index)."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.dirty = False
        self.value = value

    def copy(self) -> AV:
        return Tagged(self.value)


class Twin(AV):
    """What a generator expression goes over, as the local variable that it was given as: another reference to what is at the bottom
    of its frame's stack, as long as the loop over it goes on. Afterwards nobody asks for it."""

    __slots__ = ()

    def copy(self) -> AV:
        return Twin()


class Raised(AV):
    """An exception that has not been made (`tracing/exceptions.py`): its exact type. With `outer` it is what was being handled before,
    which waits on the stack of the handler of such an exception."""

    __slots__ = ("kind", "outer")

    def __init__(self, kind: type, outer: bool = False) -> None:
        self.dirty = False
        self.kind = kind
        self.outer = outer

    def copy(self) -> AV:
        made = Raised(self.kind, self.outer)
        made.dirty = self.dirty
        return made


ITERATORS: dict[type, type[Iterator]] = {
    cls.kind: cls for cls in (RangeIter, ListIter, TupleIter, ReversedIter, EnumerateIter, ZipIter)
}
VALUES_OF: dict[type, int] = {RangeIter.kind: 3, ZipIter.kind: 0}
"""How many numbers an iterator consists of, where it is not one."""


def iterator_of(kind: type, values: tuple[Value, ...], parts: tuple[AV, ...]) -> Iterator:
    """The iterator of a kind from its numbers and parts."""
    if kind is zip:
        return ZipIter(parts)  # type: ignore[arg-type]
    return ITERATORS[kind](*values, *parts)  # type: ignore[call-arg]


def children(av: AV) -> tuple[AV, ...]:
    """The abstract values that av is made of."""
    if isinstance(av, Tup):
        return tuple(av.items)
    if isinstance(av, Generator):
        return (av.func, *av.locals, *av.stack)
    return av.parts if isinstance(av, Iterator) else ()


def owned_parts(av: AV) -> list[Obj]:
    """The references av owns."""
    if isinstance(av, Obj):
        return [av] if av.owner is OWNED else []
    return [o for part in children(av) for o in owned_parts(part)]
