"""What native code knows of the functions that it calls directly."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any

from ..optimizer.ir import Signature
from ..records import dataclass, field

ANY = object
"""What a direct function's parameter is said to be of if it may be of any type."""


def two_words() -> Any:
    return (ctypes.c_int64 * 2)()


@dataclass(eq=False)
class DirectTarget:
    """A function without a frame, as others call it: what they need to know, and two words that stay where they are when its code
    is made anew. `kinds`: exact types of its parameters, ANY for those that take objects of any type."""

    func: FunctionType
    kinds: tuple[type, ...]
    signature: Signature
    size: int = 0
    """Bytecodes that were translated for it,"""
    covered: Mapping[tuple[CodeType, int], float] = field(default_factory=dict)
    """these,"""
    calls_out: Mapping[tuple[CodeType, int], int] = field(default_factory=dict)
    """what it calls out for,"""
    targets: Sequence[DirectTarget] = ()
    """and the functions that it calls directly."""
    making: bool = False
    """Whether its code is being made just now."""
    words: Any = field(default_factory=two_words)
    """The address of its code, and whether that is valid."""
    reference: Any = None
    """The code itself, of the reference backend."""
    entry: Any = None
    """What the code belongs to."""
    callers: list[Any] = field(default_factory=list)
    """Regions that keep the code alive, because they call it."""
    opens: bool = False
    """Whether its code does open calls, or may do: its callers have frames, then."""
    former: list[Any] = field(default_factory=list)
    """Words that callers have who took it for one that does none."""
    boxed: bool = False
    """Whether its result is a reference whatever it returns, because callers do not know which function they call."""

    def takes(self, kinds: tuple[type, ...] | None) -> bool:
        """Whether it can be called with objects of these types (None: it is not known which)."""
        if kinds is None:
            return True
        return len(kinds) == len(self.kinds) and all(k is mine or mine is ANY for k, mine in zip(kinds, self.kinds, strict=True))

    def leave_callers(self) -> None:
        """Get new words: what those have that call it now leads nowhere any more."""
        self.flag.value = 0
        self.former.append(self.words)
        self.words, self.callers = two_words(), []

    @property
    def cell(self) -> int:
        """Address of the word with its code's address."""
        return ctypes.addressof(self.words)

    @property
    def valid(self) -> int:
        """Address of its validity word."""
        return ctypes.addressof(self.words) + 8

    @property
    def flag(self) -> Any:
        """The validity word."""
        return ctypes.c_int64.from_buffer(self.words, 8)


@dataclass(eq=False)
class Choice:
    """The functions that a call may be of, where it was seen to be of many: each takes the same parameters, all references, and gives a
    reference."""

    targets: tuple[DirectTarget, ...]
    signature: Signature
