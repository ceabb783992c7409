"""One function per bytecode: its effect on the abstract state.

Each function gets the translator and the decoded instruction and either emits the bytecode's operations or raises
Leave before any effect. Names that changed between versions are listed together; what differs in meaning is asked of
`versions`. The functions live in modules by topic; importing this one gathers them.
"""

from __future__ import annotations

from . import (  # noqa: F401
    bytecodes_calls,
    bytecodes_containers,
    bytecodes_displays,
    bytecodes_exceptions,
    bytecodes_flow,
    bytecodes_imports,
    bytecodes_match,
    bytecodes_numbers,
    bytecodes_slices,
    bytecodes_stack,
    bytecodes_text,
    generators,
    iteration,
)
from .bytecode_table import HANDLERS

__all__ = ["HANDLERS"]
