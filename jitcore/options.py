"""The options: one table for the API, the command line and the environment.

The body of `Options` is the table. Each line gives name, type, default, allowed values and help; everything
else is derived from it: keyword arguments (`Engine(threshold=10)`, `@jit(threshold=10)`), `-O threshold=10`,
`JITCORE_THRESHOLD=10`, `--list-options` and docs/options.md. Adding an option is adding a line here.

An `Options` object is immutable and keeps its values as plain instance attributes, so that reading one costs
what any attribute costs. Texts (from the environment and the command line) and Python values (from the API)
go through the same check. This module is imported with the engine, so it stays light: no dataclasses, no
typing at run time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PREFIX = "JITCORE_"
# Variables of that prefix which are no options: JITCORE itself has no underscore, this one is internal.
_RESERVED = frozenset({"JITCORE_COMMAND"})

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class OptionError(ValueError):
    """An option has a wrong name or a wrong value; the message lists the right ones."""


class Option:
    """One line of the table.

    kind: 'int', 'bool', 'choice' (one of `choices`) or 'names' (a tuple of 'all', `choices` and '-choice'; text form 'a,b').
    per_function: may be given to @jit for one function; the others belong to an engine or to the process.
    """

    def __init__(
        self,
        kind: str,
        default: object,
        help: str,
        *,
        minimum: int = 0,
        maximum: int = 0,
        choices: tuple[str, ...] = (),
        per_function: bool = False,
    ) -> None:
        self.name = ""
        self.kind = kind
        self.default = default
        self.help = help
        self.minimum = minimum
        self.maximum = maximum
        self.choices = choices
        self.per_function = per_function

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @property
    def variable(self) -> str:
        """The environment variable, such as 'JITCORE_THRESHOLD'."""
        return PREFIX + self.name.upper()

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        if self.kind == "int":
            return f"a whole number from {self.minimum} to {self.maximum}"
        if self.kind == "bool":
            return "0 or 1 (also off/on, no/yes, false/true)"
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        last = self.choices[-1]
        return f"'all' or names separated by commas ({', '.join(self.choices)}); '-name' leaves one out ('all,-{last}')"

    def text(self, value: object) -> str:
        """A value in the form the command line and the environment take."""
        if isinstance(value, bool):
            return "1" if value else "0"
        if isinstance(value, tuple):
            return ",".join(value)
        return str(value)

    def check(self, value: object, source: str) -> Any:
        """The value in its type.

        Texts are parsed. Raises OptionError; `source` names the place in the message.
        """
        if isinstance(value, str):
            result = self._parse(value.strip())
        else:
            result = self._accept(value)
        if result is None:
            raise OptionError(f"{source}: wrong value {value!r} for option {self.name}: give {self.allowed}")
        return result

    def _parse(self, text: str) -> Any:
        if self.kind == "int":
            try:
                return self._accept(int(text))
            except ValueError:
                return None
        if self.kind == "bool":
            word = text.lower()
            return True if word in _TRUE else False if word in _FALSE else None
        if self.kind == "choice":
            return text.lower() if text.lower() in self.choices else None
        return self._accept([part.strip() for part in text.split(",") if part.strip()])

    def _accept(self, value: object) -> Any:
        if self.kind == "int":
            plain = isinstance(value, int) and not isinstance(value, bool)
            return value if plain and self.minimum <= value <= self.maximum else None  # type: ignore[operator]
        if self.kind == "bool":
            if isinstance(value, int) and value in (0, 1):
                return bool(value)
            return None
        if self.kind == "names" and isinstance(value, Iterable):
            names = tuple(value)
            known = {"all", *self.choices, *(f"-{name}" for name in self.choices)}
            return names if names and known.issuperset(names) else None
        return None


def _int(default: int, minimum: int, maximum: int, help: str, per_function: bool = False) -> Any:
    return Option("int", default, help, minimum=minimum, maximum=maximum, per_function=per_function)


def _bool(default: bool, help: str) -> Any:
    return Option("bool", default, help)


def _choice(choices: str, default: str, help: str) -> Any:
    return Option("choice", default, help, choices=tuple(choices.split()))


BIG = 1_000_000_000


class Options:
    """The settings of an engine: immutable; all attributes below, with their defaults unless given.

    Options(threshold=10) checks names and values and raises OptionError.
    """

    # When
    enabled: bool = _bool(
        True, "0 switches jitcore off altogether: @jit, enable() and JITCORE=1 then do nothing"
    )
    threshold: int = _int(500, 1, BIG, "backward jumps of a loop before it is recorded", True)
    function_threshold: int = _int(5000, 1, BIG, "calls of a function before it is recorded", True)
    exit_threshold: int = _int(
        50, 1, BIG, "times a way out of native code is taken before it gets native code", True
    )
    start_after: int = _int(
        160,
        0,
        60_000,
        "with JITCORE=1: milliseconds of CPU time after which jitcore gets ready, and programs that end sooner do not pay for it"
        " (at once where `threshold` is below 500)",
    )
    # How much
    trace_limit: int = _int(4000, 10, 1_000_000, "most bytecode instructions in one recording", True)
    max_inline_depth: int = _int(8, 0, 100, "most calls inlined into each other", True)
    max_inline_size: int = _int(
        1000, 0, 100_000, "most bytecode instructions of a function that is inlined", True
    )
    max_region_ops: int = _int(20_000, 100, 1_000_000, "most operations in one compiled region", True)
    max_versions: int = _int(
        4, 1, 100, "most native versions of one loop or function for different types", True
    )
    # How
    opt_level: int = _int(
        2,
        0,
        3,
        "0: quick code only; 1 and 2: better and best code for what turned out to be used much; 3: best code at once",
        True,
    )
    tier_threshold: int = _int(
        100_000, 1, BIG, "loop iterations in quick code before better code is made (an entry counts as 16)", True
    )
    background: bool = _bool(True, "make better code in another thread while the quick code runs")
    compile_share: int = _int(
        20, 1, 100, "most CPU time for better code, in percent of what the process has used (and half of what was saved)"
    )
    backend: str = _choice(
        "llvm reference", "llvm", "what runs regions: native code, or a slow evaluator for checks"
    )
    passes: tuple[str, ...] = Option(  # type: ignore[assignment]
        "names", ("all",), "optimizer passes to run", choices=("fold", "virtuals", "gvn", "ranges", "hoist", "jumps", "refcount", "dce")
    )
    # What it tells
    stats: bool = _bool(
        False, "print a summary to stderr when the process ends; count loop iterations in native code for it"
    )
    log: str = _choice(
        "off info debug", "off", "one line on stderr for each thing compiled or refused (info), or more"
    )
    # Checks of jitcore itself
    verify: bool = _bool(False, "check the intermediate form after every pass that changed it")
    pass_limit: int = _int(
        BIG, 0, BIG, "how often passes are applied, all regions together; further times are left out (see --bisect)"
    )
    deopt_every: int = _int(0, 0, BIG, "stress: force guards out in turn, one in every so many; 0 is off")
    invalidate_stress: bool = _bool(False, "stress: let regions find themselves invalid after every opaque call")
    free_stress: bool = _bool(
        False, "stress: look after every run of native code for code to free, and overwrite what describes it"
    )
    compile_delay: int = _int(0, 0, 60_000, "stress: milliseconds that making better code is held up")

    def __init__(self, **values: object) -> None:
        self.__dict__.update({name: option.default for name, option in TABLE.items()})
        self.__dict__.update(_checked(values, "jitcore"))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Options:
        """The options given by JITCORE_<NAME> variables; empty variables count as not given.

        For the environment of the process (None or os.environ), what `python -m jitcore -O ...` was given
        goes first. Raises OptionError for an unknown JITCORE_ variable and for wrong values.
        """
        own = environ is None or environ is os.environ
        values: dict[str, object] = {}
        for variable, text in (os.environ if environ is None else environ).items():
            if variable.startswith(PREFIX) and variable not in _RESERVED and text.strip():
                option = find(variable[len(PREFIX) :].lower(), variable)
                values[option.name] = option.check(text, variable)
        if own:
            values.update(_command_line)
        return cls(**values)

    def replace(self, **values: object) -> Options:
        """A copy with other values. Raises OptionError."""
        changed = Options.__new__(Options)
        changed.__dict__.update(self.__dict__)
        changed.__dict__.update(_checked(values, "jitcore"))
        return changed

    def for_function(self, **values: object) -> Options:
        """A copy with the values given to @jit:

        only options that make sense for one function. Raises OptionError.
        """
        for name in values:
            if not find(name, "@jit").per_function:
                right = ", ".join(n for n, o in TABLE.items() if o.per_function)
                raise OptionError(f"@jit: option {name} is not for single functions; those are: {right}")
        return self.replace(**values)

    def as_dict(self) -> dict[str, object]:
        return dict(self.__dict__)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"options are immutable: use options.replace({name}=...)")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Options) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.items()))

    def __repr__(self) -> str:
        given = ", ".join(f"{n}={v!r}" for n, v in self.__dict__.items() if v != TABLE[n].default)
        return f"Options({given})"


TABLE: dict[str, Option] = {name: value for name, value in vars(Options).items() if isinstance(value, Option)}

# What `python -m jitcore -O name=value` gave this process (see _startup.py).
_command_line: dict[str, object] = {}


def set_command_line(values: Mapping[str, object]) -> None:
    """Keep values that go before the environment's in `Options.from_environment()`. Raises OptionError."""
    _command_line.update(_checked(values, "-O"))


def find(name: str, source: str = "jitcore") -> Option:
    """The option of that name ('-' counts as '_'). Raises OptionError with a suggestion and all names."""
    option = TABLE.get(name.replace("-", "_"))
    if option is None:
        raise OptionError(
            f"{source}: no option is called {name!r}{suggestion(name, TABLE)}; options: {', '.join(TABLE)}"
        )
    return option


def suggestion(name: str, right: Iterable[str]) -> str:
    """', did you mean x?' or an empty text."""
    from difflib import get_close_matches

    close = get_close_matches(name.lower(), list(right), 1)
    return f", did you mean {close[0]!r}?" if close else ""


def parse_assignment(text: str) -> tuple[str, Any]:
    """(name, checked value) of 'name=value' as given to -O;

    'name' alone switches a bool on. Raises OptionError.
    """
    name, equals, value = text.partition("=")
    option = find(name.strip(), "-O")
    if not equals:
        if option.kind != "bool":
            raise OptionError(f"-O: {name} needs a value: -O {name}=VALUE, {option.allowed}")
        value = "1"
    return option.name, option.check(value, "-O")


def _checked(values: Mapping[str, object], source: str) -> dict[str, object]:
    result = {}
    for name, value in values.items():
        option = find(name, source)
        result[option.name] = option.check(value, source)
    return result


def listing() -> str:
    """The table as plain text, for `--list-options`."""
    lines = ["option             default    meaning (allowed values)"]
    for option in TABLE.values():
        lines.append(f"{option.name:18} {option.text(option.default):10} {option.help} ({option.allowed})")
    return "\n".join(lines)


def markdown() -> str:
    """The table as docs/options.md has it."""
    lines = [
        "# Options",
        "",
        "One table serves the API (`Engine(threshold=10)`, `@jit(threshold=10)`), the command line",
        "(`python -m jitcore -O threshold=10 prog.py`) and the environment (`JITCORE_THRESHOLD=10`).",
        "The command line goes before the environment. A wrong name or value is an error that lists the",
        "right ones. This page is generated:",
        "`python -m jitcore --list-options --markdown > docs/options.md`.",
        "",
        "| option | environment | default | values | for one function | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for option in TABLE.values():
        lines.append(
            f"| `{option.name}` | `{option.variable}` | `{option.text(option.default)}` | {option.allowed} |"
            f" {'yes' if option.per_function else 'no'} | {option.help} |"
        )
    return "\n".join(lines) + "\n"
