"""Bits of `co_flags`, as far as they decide what is done with a function. Without imports: the engine asks before it needs
anything else of this package, and `inspect`, which has their names, is dear to import."""

VARIADIC = 0x04 | 0x08
"""*args, **kwargs."""
GENERATORS = 0x20 | 0x80 | 0x100 | 0x200
"""Generators and coroutines of all kinds."""
