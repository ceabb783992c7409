"""Record classes: `dataclass` as far as jitcore uses it, without what it costs at start-up.

The module of that name imports `inspect` and writes and compiles several functions for every class, together a fifth of
the time until the first native code runs. Here a class costs next to nothing until its first instance is made, whose
constructor is then written. Type checkers see the original, whose rules hold: fields are the annotated names in their
order, those of base classes first, `field(default_factory=...)` makes a default for each instance, records compare
by their fields unless `eq=False`, frozen ones have a hash. That nobody assigns to those is for the type checker to see.
`__post_init__` and the rest of it are not there.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass, field
    from typing import Any
else:

    class _Factory:
        def __init__(self, make):
            self.make = make

    def field(*, default=None, default_factory=None):
        """A default: a value, or one made anew for each instance."""
        return _Factory(default_factory) if default_factory is not None else default

    def dataclass(cls=None, /, *, frozen=False, eq=True):
        """Make the class a record."""
        if cls is None:
            return lambda cls: _make(cls, frozen, eq)
        return _make(cls, frozen, eq)


def names(cls: type) -> list[str]:
    """The fields of a record class."""
    found: dict[str, None] = {}
    for base in reversed(cls.__mro__[:-1]):
        found.update(dict.fromkeys(base.__annotations__))
    return list(found)


def replace(record: Any, **changes: object) -> Any:
    """A copy with other values in some fields."""
    values = {name: getattr(record, name) for name in names(type(record))}
    return type(record)(**{**values, **changes})


def _make(cls: Any, frozen: bool, eq: bool) -> Any:
    def first(self: Any, *args: object, **values: object) -> None:
        """Write the constructor and use it; from now on it stands in this one's place."""
        for name, function in _functions(cls, frozen, eq).items():
            setattr(cls, name, function)
        cls.__init__(self, *args, **values)

    cls.__init__ = first
    if "__repr__" not in vars(cls):
        cls.__repr__ = _repr
    if eq:
        cls.__hash__ = None
    return cls


def _functions(cls: type, frozen: bool, eq: bool) -> dict[str, Any]:
    space: dict[str, Any] = {}
    head, body = ["self"], ["pass"]
    fields = names(cls)
    for name in fields:
        default: Any = getattr(cls, name, _MISSING)
        value = name
        if default is not _MISSING:
            head.append(f"{name}=default_{name}")
            space[f"default_{name}"] = default
            if type(default).__name__ == "_Factory":
                space[f"make_{name}"] = default.make
                value = f"make_{name}() if {name} is default_{name} else {name}"
        else:
            head.append(name)
        body.append(f"self.{name} = {value}")
    made = ["__init__"]
    text = [f"def __init__({', '.join(head)}):", *body]
    if eq:
        made.append("__eq__")
        ours, theirs = ("".join(f"{one}.{name}, " for name in fields) for one in ("self", "other"))
        text += ["def __eq__(self, other):"]
        text += [f"return ({ours}) == ({theirs}) if type(other) is type(self) else NotImplemented"]
        if frozen:
            made.append("__hash__")
            text += ["def __hash__(self):", f"return hash(({ours}))"]
    exec("\n".join(line if line.startswith("def ") else "    " + line for line in text), space)
    return {name: space[name] for name in made}


_MISSING = object()


def _repr(self: Any) -> str:
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names(type(self)))})"


__all__ = ["dataclass", "field", "names", "replace"]
