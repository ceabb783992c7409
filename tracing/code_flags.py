"""Bits of `co_flags`, as far as they decide what is done with a function. Without imports: the engine asks before it needs
anything else of this package, and `inspect`, which has their names, is dear to import."""

OPTIMIZED = 0x01
"""The code of a function: its variables are in slots of the frame, not in a namespace."""
VARARGS = 0x04
"""*args."""
VARKEYWORDS = 0x08
"""**kwargs."""
VARIADIC = VARARGS | VARKEYWORDS
GENERATOR = 0x20
"""Plain generators."""
GENERATORS = 0x20 | 0x80 | 0x100 | 0x200
"""Generators and coroutines of all kinds."""
