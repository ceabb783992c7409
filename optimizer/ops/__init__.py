"""All primitive operations, one module per domain; importing this package fills the registry."""

from . import arrays, attributes, call, collect, control, dicts, direct, floats, generators, ints, iterators, lists, objects

__all__ = [
    "arrays",
    "attributes",
    "call",
    "collect",
    "control",
    "dicts",
    "direct",
    "floats",
    "generators",
    "ints",
    "iterators",
    "lists",
    "objects",
]
