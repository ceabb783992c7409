"""All primitive operations, one module per domain; importing this package fills the registry."""

from . import call, control, direct, floats, ints, iterators, lists, objects

__all__ = ["call", "control", "direct", "floats", "ints", "iterators", "lists", "objects"]
