"""What a callable written in C needs of the frame that calls it.

Whoever is called may look at its caller: by `sys._getframe`, `locals()`, a traceback, a destructor, a warning filter. How
true the caller's frame has to be depends on the callee, and this module is where that is known:

    none      never looks at a frame and, given operands of the listed types, runs no Python code at all. The call is
              *closed*: nothing is written back for it, it may stand in an inlined callee, and if it fails it has changed
              nothing, so the interpreter does the bytecode again and raises by itself.
    linked    anything unknown. The frame is real, linked, with its exact instruction pointer, before it runs.
    locals    reads or writes the caller's variables: besides being linked, the frame holds the values of all locals.

`none` is a claim about operand types, so an entry lists *signatures*: one letter an operand, the last repeated where a
star follows it. What an object of another type would do (`__index__`, `__float__`, `__eq__`, `__format__` ...) is Python
code, and the call is then `linked`. Sequences whose items are looked at are of letter q: the items are checked at run
time, immediately before the call. Left out on purpose: dictionary and set lookups (the keys inside may have any `__eq__`),
what changes an operand (lists have operations of their own), what returns the identity of a number, what imports.

The translator makes frames true for `linked` and `locals` alike: before every open call the locals of the door's own frame are
written, and those that exist only in the translator are made, with theirs (`frame.link`).
"""

from __future__ import annotations

import builtins
import math
import sys
import warnings
from collections.abc import Iterable
from types import BuiltinFunctionType, MethodDescriptorType, ModuleType
from typing import Any, Literal

from ..optimizer.ops.lists import ATOMS
from ..records import dataclass

Need = Literal["none", "linked", "locals"]

LETTERS: dict[str, frozenset[type]] = {
    "n": frozenset({int, float, bool}),
    "i": frozenset({int, bool}),
    "f": frozenset({float}),
    "s": frozenset({str}),
    "b": frozenset({bytes}),
    "a": frozenset(ATOMS),
    "y": frozenset({int, bool, bytes, type(None)}),
    "l": frozenset({list}),
    "t": frozenset({tuple}),
    "d": frozenset({dict}),
    "e": frozenset({set, frozenset}),
    "r": frozenset({range}),
    "q": frozenset({list, tuple}),
    "c": frozenset({list, tuple, str, bytes, dict, set, frozenset, range}),
    "v": frozenset({type({}.keys()), type({}.values()), type({}.items())}),
}
"""Exact types an operand of that letter may have. q: a list or tuple of nothing but atoms; x: anything at all."""


@dataclass(frozen=True)
class Closed:
    """A callable that needs nothing of its caller where its operands fit one of the signatures. `result`: the exact type
    of what it returns where that does not depend on the operands."""

    target: Any
    signatures: tuple[str, ...]
    result: type | None

    def match(self, kinds: list[type | None]) -> str | None:
        """A letter for each operand of these types (None: unknown), or None where no signature fits."""
        for signature in self.signatures:
            letters = signature
            if signature.endswith("*"):
                fixed = signature[:-1]
                if len(kinds) < len(fixed) - 1:
                    continue
                letters = fixed[:-1] + fixed[-1] * (len(kinds) - len(fixed) + 1)
            if len(letters) == len(kinds) and all(
                letter == "x" or kind in LETTERS[letter] for letter, kind in zip(letters, kinds, strict=True)
            ):
                return letters
        return None


CLOSED: dict[int, Closed] = {}
"""By identity: callables need not be hashable by what they are."""
READS_LOCALS: dict[int, Any] = {
    id(f): f
    for f in (
        locals,
        vars,
        dir,
        eval,
        exec,
        globals,
        builtins.__import__,
        super,
        sys._getframe,
        sys._current_frames,
        warnings.warn,
        warnings.warn_explicit,
        breakpoint,
    )
}


def closed(target: object, *signatures: str, result: type | None = None) -> None:
    CLOSED[id(target)] = Closed(target, signatures, result)


def closed_methods(kind: type, names: str, *signatures: str, result: type | None = None) -> None:
    """Methods of a built-in type, by the descriptors that calls find; names that this version does not have are skipped."""
    for name in names.split():
        if hasattr(kind, name):
            closed(getattr(kind, name), *signatures, result=result)


def closed_functions(names: str, *signatures: str, result: type | None = None) -> None:
    """Functions of the math module that this version has."""
    for name in names.split():
        if hasattr(math, name):
            closed(getattr(math, name), *signatures, result=result)


LATE: dict[tuple[str, str, str], tuple[tuple[str, ...], type | None]] = {}
"""What C modules have that are not imported for this: by names of module, class (or "") and function; signatures and result."""


def late(module: str, kind: str, names: str, *signatures: str, result: type | None = None) -> None:
    """Methods of a class, or functions, of a C module."""
    for name in names.split():
        LATE[module, kind, name] = signatures, result


def closed_entry(target: object) -> Closed | None:
    """What is known of a callable that may be closed."""
    entry = CLOSED.get(id(target))
    if entry is None and type(target) in (MethodDescriptorType, BuiltinFunctionType):
        found = late_entry(target)
        if found is not None:
            closed(target, *found[0], result=found[1])
            entry = CLOSED[id(target)]
    return entry if entry is not None and entry.target is target else None


def late_entry(target: Any) -> tuple[tuple[str, ...], type | None] | None:
    """The row for a method or function, if it is what its module has under that name."""
    if type(target) is BuiltinFunctionType:
        module = target.__self__
        if type(module) is not ModuleType or sys.modules.get(target.__module__) is not module:
            return None
        found = LATE.get((target.__module__, "", target.__name__))
        return found if found is not None and module.__dict__.get(target.__name__) is target else None
    kind = target.__objclass__
    found = LATE.get((kind.__module__, kind.__name__, target.__name__)) if kind.__module__ in sys.modules else None
    return found if found is not None and sys.modules[kind.__module__].__dict__.get(kind.__name__) is kind else None


def need(target: object, kinds: Iterable[type | None] = ()) -> Need:
    """The frame need of calling `target` with operands of these exact types."""
    entry = closed_entry(target)
    if entry is not None and entry.match(list(kinds)) is not None:
        return "none"
    return "locals" if READS_LOCALS.get(id(target)) is target and target is not None else "linked"


closed(abs, "n")
closed(all, "q", "r", result=bool)
closed(any, "q", "r", result=bool)
closed(ascii, "a", "q", result=str)
closed(bin, "i", result=str)
closed(bool, "", "a", "c", result=bool)
closed(bytes, "", "b", result=bytes)
closed(callable, "x", result=bool)
closed(chr, "i", result=str)
closed(dict, "", result=dict)
closed(divmod, "nn", result=tuple)
closed(float, "", "n", "s", result=float)
closed(format, "a", "as", result=str)
closed(hash, "i", "s", result=int)
closed(hex, "i", result=str)
closed(int, "", "n", "s", "si", result=int)
closed(len, "c", "v", result=int)
closed(list, "", "l", "t", "r", "s", "b", "d", "e", result=list)
closed(max, "aa*", "q", "r")
closed(min, "aa*", "q", "r")
closed(oct, "i", result=str)
closed(ord, "s", "b", result=int)
closed(pow, "nn", "iii")
closed(repr, "a", "q", "r", result=str)
closed(round, "n", "ni")
closed(set, "", "s", "r", result=set)
closed(sorted, "q", "r", result=list)
closed(str, "", "a", "q", "r", result=str)
closed(sum, "q", "qn", "r", "rn")
closed(tuple, "", "l", "t", "r", "s", "b", "d", "e", result=tuple)

FLOAT_FUNCTIONS = (
    "acos acosh asin asinh atan atanh cbrt cos cosh degrees erf erfc exp exp2 expm1 fabs gamma lgamma log log10 log1p log2"
    " radians sin sinh sqrt tan tanh ulp"
)
closed_functions(FLOAT_FUNCTIONS, "n", result=float)
closed_functions("isfinite isinf isnan", "n", result=bool)
closed_functions("ceil floor trunc", "n", result=int)
closed_functions("frexp modf", "n", result=tuple)
closed_functions("atan2 copysign fmod log nextafter pow remainder", "nn", result=float)
closed_functions("ldexp", "ni", result=float)
closed_functions("log", "n", "nn", result=float)
closed_functions("isclose", "nn", result=bool)
closed_functions("fma", "nnn", result=float)
closed_functions("factorial isqrt", "i", result=int)
closed_functions("comb", "ii", result=int)
closed_functions("perm", "i", "ii", result=int)
closed_functions("gcd lcm", "i*", "", result=int)
closed_functions("hypot", "n*", "", result=float)
closed_functions("fsum", "q", result=float)
closed_functions("prod", "q")
closed_functions("dist", "qq", result=float)
closed_functions("sumprod", "qq")

closed_methods(int, "bit_length bit_count conjugate", "i", result=int)
closed_methods(int, "is_integer", "i", result=bool)
closed_methods(int, "as_integer_ratio", "i", result=tuple)
closed_methods(int, "to_bytes", "i", "ii", "iis", result=bytes)
closed_methods(float, "is_integer", "f", result=bool)
closed_methods(float, "as_integer_ratio", "f", result=tuple)
closed_methods(float, "conjugate", "f", result=float)
closed_methods(float, "hex", "f", result=str)

for _kind, _letter, _self in ((str, "s", "sa*"), (bytes, "b", "by*")):
    closed_methods(_kind, "capitalize casefold lower swapcase title upper", _letter, result=_kind)
    closed_methods(_kind, "isalnum isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable", _letter, result=bool)
    closed_methods(_kind, "isspace istitle isupper", _letter, result=bool)
    closed_methods(_kind, "center expandtabs ljust lstrip removeprefix removesuffix replace rjust rstrip strip zfill", _self, result=_kind)
    closed_methods(_kind, "count find index rfind rindex", _self, result=int)
    closed_methods(_kind, "endswith startswith", _self, _letter + "t" + _self[1:], result=bool)
    closed_methods(_kind, "partition rpartition", _self, result=tuple)
    closed_methods(_kind, "rsplit split splitlines", _self, result=list)
closed(str.join, "sq", result=str)
closed(str.encode, "s", result=bytes)
closed(str.format, "sa*", result=str)
closed(bytes.decode, "b", result=str)
closed(bytes.hex, "b", result=str)

closed(list.copy, "l", result=list)
for _row in (list, tuple):
    closed_methods(_row, "index", "qa", "qai", "qaii", result=int)
    closed_methods(_row, "count", "qa", result=int)
closed_methods(range, "index count", "ri", result=int)

closed_methods(dict, "copy", "d", result=dict)
for _name in ("keys", "items", "values"):
    closed(getattr(dict, _name), "d", result=type(getattr({}, _name)()))
closed(iter, "c", "v")

late("_random", "Random", "random", "x", result=float)
late("_random", "Random", "getrandbits", "xi")
late("_io", "BytesIO", "write", "xb", result=int)
late("_io", "BytesIO", "read read1 readline", "x", "xi", result=bytes)
late("_io", "BytesIO", "getvalue", "x", result=bytes)
late("_io", "StringIO", "write", "xs", result=int)
late("_io", "StringIO", "read readline", "x", "xi", result=str)
late("_io", "StringIO", "getvalue", "x", result=str)
for _name in ("BytesIO", "StringIO"):
    late("_io", _name, "tell", "x", result=int)
    late("_io", _name, "seek", "xi", "xii", result=int)
    late("_io", _name, "readable writable seekable isatty", "x", result=bool)
    late("_io", _name, "flush", "x", result=type(None))
late("_struct", "", "pack", "sa*", result=bytes)
late("_struct", "", "unpack", "sb", result=tuple)
late("_struct", "", "calcsize", "s", result=int)
late("_struct", "Struct", "pack", "xa*", result=bytes)
late("_struct", "Struct", "unpack", "xb", result=tuple)
late("time", "", "time perf_counter monotonic process_time", "", result=float)
late("time", "", "time_ns perf_counter_ns monotonic_ns process_time_ns", "", result=int)
late("posix", "", "fspath", "s", "b")
late("posix", "", "getpid", "", result=int)
late("_thread", "", "get_ident", "", result=int)
