"""In which order the interpreter lets go of the operands of a bytecode that may have called something, and of a frame's locals.

A destructor can tell. It is what the bytecodes' definitions come to (Python/generated_cases.c.h), for subscripts those of the
specialised forms, which hot code has.
"""

from __future__ import annotations

import sys

_SINCE = {"operator": (3, 15), "comparison": (3, 14), "item": (3, 14), "assignment": (3, 14), "call": (3, 14), "locals": (3, 14)}


def top_first(what: str) -> bool:
    """Whether the topmost operand goes first, and not the deepest: of an operator, of one that was a special method, walked into
    (comparison, item, assignment to an item), or of any other bytecode (call); of locals, which are below the operands, the last."""
    return sys.version_info[:2] >= _SINCE[what]
