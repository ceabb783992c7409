"""All primitive operations, one module per domain; importing this package fills the registry."""

from . import arrays, attributes, call, control, dicts, direct, floats, generators, ints, iterators, lists, objects

__all__ = ["arrays", "attributes", "call", "control", "dicts", "direct", "floats", "generators", "ints", "iterators", "lists", "objects"]
