"""All primitive operations, one module per domain; importing this package fills the registry."""

from . import call, control, floats, ints, lists, objects

__all__ = ["call", "control", "floats", "ints", "lists", "objects"]
