"""Which bytecodes are translated, and how: found out from the functions that do it.

    native          operations on what is known of the operands; where they are of other types the region is left
    native, call    the same, and an open call of the C API for the other types
    call            an open call always: true frames before it, checks after it, no faster than interpreted
    refused         the region ends in front of it; the reason is one of the closed list

A bytecode's function is looked through for what it calls, so the page cannot fall behind the code; which versions have a
bytecode is data (`opcodes`). `python -m jitcore --coverage > docs/coverage.md` writes the page.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType

from .bytecode_table import HANDLERS, Handler, refusal
from .opcodes import NAMES, VERSIONS

OPEN_CALLS = frozenset({"opaque", "opaque_status", "begin_opaque"})
ASKS_FOR_TYPES = frozenset({"number", "specialise", "ensure_type", "type_of"})
INTERNAL = {
    "CACHE": "data of the bytecode before it",
    "RESERVED": "never executed",
    "INTERPRETER_EXIT": "ends frames entered from C",
    "ENTER_EXECUTOR": "CPython's own JIT; seen as the bytecode it replaced",
    "TRACE_RECORD": "CPython's own JIT",
    "ANNOTATIONS_PLACEHOLDER": "never executed",
}


def status(name: str) -> str:
    """'native', 'native, call', 'call', 'refused', or 'internal' where nothing is left to do."""
    handler = HANDLERS.get(name)
    if handler is None:
        return "internal" if name in INTERNAL else "refused"
    used = set(called(handler))
    if not used & OPEN_CALLS:
        return "native"
    return "native, call" if used & ASKS_FOR_TYPES else "call"


def called(handler: Handler) -> Iterator[str]:
    """The names of the translator's methods that the function uses, by itself or through functions of its package."""
    package = __name__.rpartition(".")[0]
    work: list[FunctionType] = [handler]  # type: ignore[list-item]
    seen: set[int] = set()
    while work:
        function = work.pop()
        if id(function) in seen:
            continue
        seen.add(id(function))
        home: object = None
        for is_global, name in names_in(function.__code__):
            found = function.__globals__.get(name) if is_global else getattr(home, name, None)
            home = found if isinstance(found, ModuleType) and found.__name__.startswith(package) else None
            if isinstance(found, FunctionType) and found.__module__.startswith(package):
                work.append(found)
            elif not is_global:
                yield name


def names_in(code: CodeType) -> Iterator[tuple[bool, str]]:
    """(whether it is a global, name) of the globals and attributes that the code, nested functions included, uses."""
    for ins in dis.get_instructions(code):
        if ins.opname in ("LOAD_GLOBAL", "LOAD_ATTR", "LOAD_METHOD"):
            yield ins.opname == "LOAD_GLOBAL", str(ins.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def remark(name: str, how: str) -> str:
    if how == "refused":
        return f"`{refusal(name)}`"
    return INTERNAL.get(name, "") if how == "internal" else ""


def markdown() -> str:
    """The page docs/coverage.md."""
    lines = ["# Bytecode coverage", "", HEAD, ""]
    lines.append("| bytecode | " + " | ".join(VERSIONS) + " | how | remark |")
    lines.append("|---|" + "---|" * (len(VERSIONS) + 2))
    found = {name: status(name) for name in NAMES}
    for name, versions in NAMES.items():
        cells = " | ".join("x" if version in versions else "" for version in VERSIONS)
        lines.append(f"| `{name}` | {cells} | {found[name]} | {remark(name, found[name])} |")
    lines += ["", "Bytecodes by version:", "", "| | " + " | ".join(VERSIONS) + " |", "|---|" + "---|" * len(VERSIONS)]
    for how in ("native", "native, call", "call", "refused", "internal"):
        counts = [sum(found[n] == how for n, vs in NAMES.items() if version in vs) for version in VERSIONS]
        lines.append(f"| {how} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(lines) + "\n"


HEAD = """This page is generated: `python -m jitcore --coverage > docs/coverage.md`. It says what the translator does with each
bytecode that it meets on a hot path.

- **native**: operations on what is known of the operands. Where they are of other types (or something would raise), the
  region is left in front of the bytecode and the interpreter does it.
- **native, call**: the same, and an open call of the C API for operands of other types.
- **call**: an open call always. Frames are true before it, the region's assumptions are checked after it; it is no faster
  than in the interpreter, but the loop around it stays native.
- **refused**: the region ends in front of it and the code there stays interpreted. The reason is one of the closed list
  (`jitcore.Reason`), which also says what can be done.
- **internal**: nothing that a program's loop executes by itself.

Specialised, instrumented and pseudo instructions are forms of these. What a `CALL` becomes depends on the callee: Python
functions are walked into or called, functions of the frame-need table (`tracing/frame_need.py`) are closed calls, some
built-ins are open-coded (`tracing/intrinsics.py`), everything else is an open call."""
