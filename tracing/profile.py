"""What the recorder saw, per bytecode of each code object.

Recordings are stored as *observations* of single bytecodes, shared by every region that covers them: operand kinds,
result kinds, branch directions, callees. A bridge is then nothing but new observations for the same places, and a
region that is made again sees all of them. Observations do not tell calling contexts apart; the translator knows the
types of most values itself and asks only where values come out of memory.

A kind is an exact type, or one of the names that `observing` has. Classes are held weakly: having been seen does not keep one alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from types import CodeType
from typing import Any
from weakref import ref

from ..records import dataclass, field
from .methods import is_static, lookup

MAX_CALLEES = 4
"""A call of more functions is megamorphic."""
MOST_CALLEES = 24
"""As many of these are remembered; `callees` is then not all."""
MAX_KINDS = 8
"""More different ones are not told apart by anybody."""
UNUSUAL = "UNUSUAL"
"""Stands for classes that cannot be put into sets and compared without running code of theirs."""
_HASH, _EQ = (lookup(type, name) for name in ("__hash__", "__eq__"))


class Kinds(Set[Any]):
    """A set of kinds."""

    __slots__ = ("_held",)

    def __init__(self, kinds: Iterable[Any] = ()) -> None:
        self._held: dict[Any, Any] = {}
        self.update(kinds)

    def add(self, kind: Any) -> None:
        """Put one more in, if there are not many already."""
        held = self._held
        if type(kind) is not str and not is_static(kind):
            meta = type(kind)
            if lookup(meta, "__hash__") is not _HASH or lookup(meta, "__eq__") is not _EQ:
                kind = UNUSUAL
        if type(kind) is str or is_static(kind):
            held[kind] = None
            return
        if len(held) >= MAX_KINDS:
            for key in [key for key, one in held.items() if one is not None and one() is None]:
                del held[key]
        found = held.get(id(kind))
        if (found is None or found() is not kind) and len(held) < MAX_KINDS:
            held[id(kind)] = ref(kind)

    def update(self, kinds: Iterable[Any]) -> None:
        for kind in kinds:
            self.add(kind)

    def __iter__(self) -> Iterator[Any]:
        for key, one in self._held.items():
            kind = key if one is None else one()
            if kind is not None:
                yield kind

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, kind: object) -> bool:
        return any(one is kind or type(kind) is str and one == kind for one in self)

    def __repr__(self) -> str:
        return "{" + ", ".join(map(kind_name, self)) + "}"


@dataclass
class Observation:
    """One bytecode. `operands` has a set of kinds for each recorded operand, deepest first; `taken` counts jumps to the
    target (for FOR_ITER: exhaustion), `not_taken` the times execution went on behind the bytecode. `items` has the types of
    the items of list and tuple operands of calls and membership tests, the typecodes of subscripted arrays, and 'DICT' where an
    instance had a dict instead of inline values."""

    operands: list[Kinds] = field(default_factory=list)
    results: Kinds = field(default_factory=Kinds)
    items: Kinds = field(default_factory=Kinds)
    taken: int = 0
    not_taken: int = 0
    raised: int = 0
    """The times that a handler of the same code went on behind it."""
    called: list[Callable[[], Any]] = field(default_factory=list)
    megamorphic: bool = False
    overflown: bool = False
    """Whether there were more callees than are remembered."""
    count: int = 0

    @property
    def callees(self) -> list[Any]:
        """The different functions called here; None for each that is gone. Held weakly: a closure's cells may hold anything,
        and it must die when the program lets go of it."""
        return [one() for one in self.called]

    def saw_branch(self, jumped: bool) -> None:
        if jumped:
            self.taken += 1
        else:
            self.not_taken += 1

    def saw_callee(self, target: Callable[[], Any]) -> None:
        if any(one is target for one in self.called):
            return
        if len(self.called) >= MOST_CALLEES:
            self.overflown = True
            return
        self.called.append(target)
        self.megamorphic = len(self.called) > MAX_CALLEES


class CodeProfile:
    """The observations of one code object, by bytecode offset."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.observations: dict[int, Observation] = {}
        self.loose: dict[int, str] = {}
        """Variables that are bound or not where nobody looks at them, and how joins describe them (see `contexts`)."""

    def at(self, offset: int) -> Observation:
        """The observation there, made on first use."""
        found = self.observations.get(offset)
        if found is None:
            found = self.observations[offset] = Observation()
        return found

    def dump(self) -> str:
        """One line per observed bytecode."""
        lines = [f"recorded in {self.code.co_qualname}:"]
        for offset, seen in sorted(self.observations.items()):
            operands = ", ".join("|".join(sorted(kind_name(k) for k in kinds)) for kinds in seen.operands)
            results = "|".join(sorted(kind_name(k) for k in seen.results))
            branch = f" raised {seen.raised}" if seen.raised else ""
            branch += f" jumped {seen.taken}, went on {seen.not_taken}" if seen.taken or seen.not_taken else ""
            lines.append(f"  {offset:5d}  x{seen.count}  ({operands}) -> {results or '-'}{branch}")
        return "\n".join(lines)


def kind_name(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) else str(kind)


class ProfileStore:
    """All observations of the process. Code objects are keyed by identity and kept alive."""

    def __init__(self) -> None:
        self._profiles: dict[int, CodeProfile] = {}
        self._excluded: dict[int, CodeType] = {}

    def of(self, code: CodeType) -> CodeProfile:
        """The profile of a code object, made on first use."""
        found = self._profiles.get(id(code))
        if found is None:
            found = self._profiles[id(code)] = CodeProfile(code)
        return found

    def get(self, code: CodeType, offset: int) -> Observation | None:
        """What was seen at that bytecode; None where it was never recorded."""
        profile = self._profiles.get(id(code))
        return profile.observations.get(offset) if profile is not None else None

    def exclude(self, code: CodeType) -> None:
        """Never walk into this code."""
        self._excluded[id(code)] = code

    def is_excluded(self, code: CodeType) -> bool:
        return id(code) in self._excluded

    def clear(self) -> None:
        self._profiles.clear()
