"""What the parameters of a function get in a call that is walked into.

This is what CPython's `initialize_locals` does (Python/ceval.c), for calls that come out: anything that would raise is left to the
interpreter. Surplus arguments become a tuple that exists only as its items; names that no parameter has go into a new
dict. Defaults are constants: the function's parts are watched, and so is each value that is taken from the dict of
keyword-only defaults.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING

from .bytecodes_numbers import done_or_again, lent
from .code_flags import VARARGS, VARKEYWORDS
from .values import AV, OWNED, Const, Obj, Tup

if TYPE_CHECKING:
    from .translate import Translator


class Named:
    """Arguments by names that no parameter has."""

    def __init__(self) -> None:
        self.items: dict[str, AV] = {}


Bound = list["AV | Named"]
"""For each parameter, in the order of the locals."""


def bind(t: Translator, func: FunctionType, args: list[AV], names: tuple[str, ...] = ()) -> Bound | None:
    """What a call gives to the function's parameters; the last arguments are those for `names`. None where it fails."""
    code = func.__code__
    positional, count = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    plain = args[: len(args) - len(names)]
    given: dict[int, AV] = dict(enumerate(plain[:positional]))
    surplus, others = plain[positional:], Named()
    if surplus and not code.co_flags & VARARGS:
        return None
    params = code.co_varnames[code.co_posonlyargcount : count]
    for name, av in zip(names, args[len(plain) :], strict=True):
        at = params.index(name) + code.co_posonlyargcount if name in params else -1
        if at in given or at < 0 and not code.co_flags & VARKEYWORDS:
            return None
        if at < 0:
            others.items[name] = av
        else:
            given[at] = av
    if not fill_in(t, func, given):
        return None
    bound: Bound = [given[at] for at in range(count)]
    if code.co_flags & VARARGS:
        bound.append(Tup(surplus) if surplus else Const(()))
    if code.co_flags & VARKEYWORDS:
        bound.append(others)
    return bound


def fill_in(t: Translator, func: FunctionType, given: dict[int, AV]) -> bool:
    """Add the defaults of parameters that were given nothing. False where one has none."""
    code = func.__code__
    defaults, by_name = func.__defaults__ or (), func.__kwdefaults__ or {}
    first = code.co_argcount - len(defaults)
    for at in range(code.co_argcount + code.co_kwonlyargcount):
        name = code.co_varnames[at]
        if at in given:
            continue
        if first <= at < code.co_argcount:
            given[at] = Const(defaults[at - first])
        elif at >= code.co_argcount and name in by_name:
            t.watch("dict", by_name, name, by_name[name])
            given[at] = Const(by_name[name])
        else:
            return False
    return True


def make_real(t: Translator, bound: Bound) -> list[AV]:
    """The parameters' values, with a dict made for arguments by other names. Leaves before the bytecode if that fails."""
    made: list[AV] = []
    for av in bound:
        if isinstance(av, Named):
            parts = [part for name, value in av.items.items() for part in (Const(name), value)]
            av = new_dict(t, parts)
        made.append(av)
    return made


def new_dict(t: Translator, parts: list[AV]) -> AV:
    """A dict of key, value, key, value ..., which it takes over."""
    for part in parts:
        t.reject_hidden(part)
    values, temps = lent(t, parts)
    made = t.emit("dict.new", *values)
    done_or_again(t, made, temps)
    for part in parts:
        t.drop(part)  # the dict holds it
    return Obj(made, dict, OWNED)
