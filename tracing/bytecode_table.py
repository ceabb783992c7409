"""The table of translated bytecodes, filled by the `bytecode` decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .decode import Ins
    from .translate import Translator

Handler = Callable[["Translator", "Ins"], None]
HANDLERS: dict[str, Handler] = {}


def bytecode(*names: str) -> Callable[[Handler], Handler]:
    """Register the function that translates the bytecodes of these names."""

    def declare(fn: Handler) -> Handler:
        for name in names:
            assert name not in HANDLERS, name
            HANDLERS[name] = fn
        return fn

    return declare
