"""Abstract values: what the translator knows of one interpreter slot.

An abstract value sits in exactly one slot (a local or a stack position of one frame); copying a slot makes a new one.
Object references carry their ownership, because frame states and drops follow from it:

    OWNED       the slot holds a reference of its own
    FRAME       the door's real frame holds it (object locals there are written through)
    HEAP        some container was seen to hold it; valid until the next operation that could change a container
    Local(...)  another slot of a suspended or current frame holds it; valid until that slot is assigned
    FOREVER     kept alive by the region itself (constants) or by a caller that cannot change it
"""

from __future__ import annotations

from dataclasses import dataclass

from ..optimizer.ir import Value


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
        return Null()


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


class RangeIter(AV):
    """An iterator over a range that exists only as its three numbers."""

    __slots__ = ("start", "length", "step")

    def __init__(self, start: Value, length: Value, step: Value) -> None:
        self.dirty = False
        self.start, self.length, self.step = start, length, step

    def copy(self) -> AV:
        return RangeIter(self.start, self.length, self.step)


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


class Tagged(AV):
    """An integer that the interpreter keeps unboxed on its stack (3.15's list iteration index)."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.dirty = False
        self.value = value

    def copy(self) -> AV:
        return Tagged(self.value)
