"""The table of translated bytecodes, filled by the `bytecode` decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .decode import Ins
    from .translate import Translator

Handler = Callable[["Translator", "Ins"], None]
HANDLERS: dict[str, Handler] = {}


_GENERATOR = """ASYNC_GEN_WRAP CLEANUP_THROW END_SEND GET_AITER GET_ANEXT GET_AWAITABLE GET_YIELD_FROM_ITER
SEND END_ASYNC_FOR BEFORE_ASYNC_WITH"""
_HANDLER = "CHECK_EG_MATCH WITH_EXCEPT_START"
_NAMESPACE = """DELETE_NAME LOAD_BUILD_CLASS LOAD_FROM_DICT_OR_DEREF LOAD_FROM_DICT_OR_GLOBALS LOAD_LOCALS
SETUP_ANNOTATIONS"""
_REASONS = {
    "generator": _GENERATOR,
    "exception_handler": _HANDLER,
    "module_level_names": _NAMESPACE,
}
_REFUSED = {name: reason for reason, names in _REASONS.items() for name in names.split()}


def refusal(name: str) -> str:
    """Why a bytecode without a function is not translated: a key of the closed list of reasons."""
    return _REFUSED.get(name, "unsupported_bytecode")


def bytecode(*names: str) -> Callable[[Handler], Handler]:
    """Register the function that translates the bytecodes of these names."""

    def declare(fn: Handler) -> Handler:
        for name in names:
            assert name not in HANDLERS, name
            HANDLERS[name] = fn
        return fn

    return declare
