"""All primitive operations, one module per domain; importing this package fills the registry."""

from . import arrays, call, control, direct, floats, ints, iterators, lists, objects

__all__ = ["arrays", "call", "control", "direct", "floats", "ints", "iterators", "lists", "objects"]
