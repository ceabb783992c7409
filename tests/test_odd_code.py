"""Code objects that no compiler makes: built with the `bytecode` package and run with and without jitcore.

Ordinary functions are taken apart, changed and put together again: values (also NULL, iterators, functions, half-done
loops) lie on the stack below a loop, jumps and FOR_ITER need EXTENDED_ARG, loop heads are not where compilers put them,
exception tables end inside loops. What the interpreter makes of such code is the measure.
"""

from __future__ import annotations

import dis
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bytecode import Bytecode, Instr, Label

from jitcore import Engine

MODES: dict[str, dict[str, Any]] = {"llvm": {}, "deopt": {"deopt_every": 1}, "reference": {"backend": "reference"}}


def numbers(n: int) -> object:
    s = 0
    x = 0.5
    for i in range(n):
        if i % 3:
            s += i * 2
        else:
            x = x * 1.25 - s
    return s, x


def lists(n: int) -> object:
    out = []
    items = [1, 2.5, 3] * n
    for item in items:
        out.append(item + 1)
        if len(out) > 90:
            break
    return out


def nested(n: int) -> object:
    total = 0
    for i in range(n):
        for k in (1, 2, i):
            if k == 7:
                continue
            total += k * i
        j = i
        while j > 3:
            j //= 2
            total -= j
    return total


def handlers(n: int) -> object:
    caught = 0
    s = 0
    for i in range(n):
        try:
            s += 100 // (i % 7)
        except ZeroDivisionError:
            caught += 1
        try:
            s += [1, 2, 3][i % 5]
        except IndexError as error:
            caught += len(str(error))
    return s, caught


def calls(n: int) -> object:
    def twice(k: int, by: int = 2) -> int:
        return k * by

    s = 0
    for i in range(n):
        s += twice(i) - twice(i, by=3) + max(i, 5)
    return s


def comprehensions(n: int) -> object:
    return [[k * i for k in range(3)] for i in range(n)], sum([i * 0.5 for i in range(n)])


def while_loops(n: int) -> object:
    i = 0
    s = ""
    while True:
        i += 1
        if i % 5 == 0:
            s += str(i)
            continue
        if i > n:
            break
    return i, s


FUNCTIONS = (numbers, lists, nested, handlers, calls, comprehensions, while_loops)
Change = Callable[[Bytecode], None]


def rebuilt(function: Callable[[int], object], *changes: Change) -> Callable[[int], object]:
    code = Bytecode.from_code(function.__code__)
    for change in changes:
        change(code)
    return types.FunctionType(code.to_code(), function.__globals__, function.__name__)


def places(code: Bytecode, *names: str) -> Iterator[int]:
    """Positions of the instructions of these names, last first (so that inserting keeps the others)."""
    for at in range(len(code) - 1, -1, -1):
        if isinstance(code[at], Instr) and code[at].name in names:
            yield at


def start(code: Bytecode) -> int:
    return next(at + 1 for at, item in enumerate(code) if isinstance(item, Instr) and item.name == "RESUME")


def put(code: Bytecode, at: int, *items: tuple[Any, ...]) -> None:
    line = next((i.location for i in code if isinstance(i, Instr) and i.location), None)
    code[at:at] = [Instr(*item, location=line) for item in items]


def plain_returns(code: Bytecode) -> None:
    """RETURN_CONST as LOAD_CONST and RETURN_VALUE."""
    for at in places(code, "RETURN_CONST"):
        code[at : at + 1] = [Instr("LOAD_CONST", code[at].arg, location=code[at].location), Instr("RETURN_VALUE", location=code[at].location)]


def below(*items: tuple[Any, ...]) -> Change:
    """Put values on the stack first; what is returned is a tuple of these and the result."""

    def change(code: Bytecode) -> None:
        plain_returns(code)
        for at in places(code, "RETURN_VALUE"):
            put(code, at, ("BUILD_TUPLE", len(items) + 1))
        put(code, start(code), *items)

    return change


def null_below(code: Bytecode) -> None:
    """NULL under everything: never popped, the frame's end clears it (the result stays on top)."""
    put(code, start(code), ("PUSH_NULL",))


EXHAUSTED = iter(())


def exhausted_iterator_below(code: Bytecode) -> None:
    below(("LOAD_CONST", EXHAUSTED), ("LOAD_CONST", len), ("LOAD_CONST", Text.join))(code)


class Text(str):
    """A class of the program."""


def far_jumps(code: Bytecode) -> None:
    """So many NOPs in front of each backward jump that it and the FOR_ITERs need EXTENDED_ARG."""
    for at in places(code, "JUMP_BACKWARD"):
        put(code, at, *[("NOP",)] * 300)


def long_head(code: Bytecode) -> None:
    """NOPs where loops begin: the head is no FOR_ITER."""
    targets = [i.arg for i in code if isinstance(i, Instr) and i.name == "JUMP_BACKWARD"]
    for at in range(len(code) - 1, -1, -1):
        if isinstance(code[at], Label) and any(code[at] is t for t in targets):
            put(code, at + 1, *[("NOP",)] * 3)


def many_locals(code: Bytecode) -> None:
    """Locals beyond 256, so that names need EXTENDED_ARG."""
    extra = [item for k in range(300) for item in (("LOAD_CONST", k), ("STORE_FAST", f"filler{k}"))]
    put(code, start(code), *extra)
    code.argcount = 1


def jumps_to_jumps(code: Bytecode) -> None:
    """Each backward jump takes a detour over two forward ones, with code between them that is never reached."""
    for at in places(code, "JUMP_BACKWARD"):
        line = code[at].location
        first, second = Label(), Label()
        code[at:at] = [
            Instr("JUMP_FORWARD", first, location=line),
            Instr("NOP", location=line),
            first,
            Instr("JUMP_FORWARD", second, location=line),
            Instr("NOP", location=line),
            second,
        ]


def no_line_numbers(code: Bytecode) -> None:
    for item in code:
        if isinstance(item, Instr):
            item.location = None


CHANGES: dict[str, tuple[Change, ...]] = {
    "as it was": (),
    "constants below": (below(("LOAD_CONST", "deep"), ("LOAD_CONST", 2.5), ("LOAD_CONST", 7)),),
    "a list and an argument below": (below(("BUILD_LIST", 0), ("LOAD_FAST", "n"), ("LOAD_CONST", None)),),
    "NULL below": (null_below,),
    "an iterator and callables below": (exhausted_iterator_below,),
    "far jumps": (far_jumps,),
    "long heads": (long_head,),
    "many locals": (many_locals,),
    "jumps to jumps": (jumps_to_jumps,),
    "no lines": (no_line_numbers,),
    "all at once": (below(("LOAD_CONST", "deep"), ("BUILD_LIST", 0)), null_below, long_head, many_locals, far_jumps),
}


def outcome(function: Callable[[int], object], n: int) -> str:
    try:
        return repr(function(n))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_alike(function: Callable[[int], object], change: str, mode: str) -> None:
    plain, odd = rebuilt(function, *CHANGES[change]), rebuilt(function, *CHANGES[change])
    expected = [outcome(plain, n) for n in (5, 40, 100)]
    if change not in ("as it was", "no lines"):
        assert odd.__code__.co_code != function.__code__.co_code
    refused: list[str] = []
    engine = Engine(threshold=4, exit_threshold=3, verify=True, **MODES[mode])
    engine.on("refused", lambda event, details: refused.append(f"{details.get('reason')}: {details.get('detail')}"))
    with engine:
        got = [outcome(odd, n) for n in (5, 40, 100)]
        entries = engine.stats().native_entries
    engine.close()
    assert got == expected
    assert not any(r.startswith("internal_error") for r in refused), refused
    assert entries or refused


@pytest.mark.parametrize("change, prefixed", [(far_jumps, {"FOR_ITER", "JUMP_BACKWARD"}), (many_locals, {"STORE_FAST"})])
def test_extended_arguments_are_there(change: Change, prefixed: set[str]) -> None:
    names = [i.opname for i in dis.get_instructions(rebuilt(nested, change).__code__)]
    assert prefixed <= {names[k + 1] for k, name in enumerate(names) if name == "EXTENDED_ARG"}


def test_what_lies_below_is_in_the_exception_table() -> None:
    def depths(function: Callable[[int], object]) -> list[int]:
        return [e.depth for e in dis._parse_exception_table(function.__code__)]  # type: ignore[attr-defined]

    deeper = depths(rebuilt(handlers, *CHANGES["constants below"]))
    assert deeper == [d + 3 for d in depths(handlers)] and max(deeper) > 3
