"""When a process with JITCORE=1 gets ready to compile: not before it has run for a moment.

Getting ready (proving offsets, loading llvmlite, linking the runtime's routines) costs about a tenth of a second, and counting calls
and rounds until then, in Python, costs a program of many small functions several times its own time. A program that ends within such
a tenth of a second should pay for none of that. So at first there is only a thread that sleeps, and looks at the clock when it wakes.

Then the thread of the program gets ready, at the next backward jump or call: were it done in the background, each of the hundred files
to be read would give the GIL to the program and get it back five milliseconds later.
"""

from __future__ import annotations

import _thread
import sys
from collections.abc import Callable
from time import process_time
from types import CodeType
from typing import TYPE_CHECKING

from .quiet import starts_quietly
from .surroundings import importing

if TYPE_CHECKING:
    from .engine import Engine

SHORT_NAP, LONG_NAP = 0.005, 0.5
"""Seconds between looks at the clock: a program that waits for something is looked at less and less often."""


class Start:
    """Enables an engine when the process has used so many `seconds` more of CPU time, if `ready()` then says so."""

    def __init__(self, engine: Engine, ready: Callable[[], bool], seconds: float) -> None:
        self.engine, self.ready = engine, ready
        self.due = process_time() + seconds
        self.nap = SHORT_NAP
        self.listening = False
        self.background = 0
        if not engine.queue().remind(seconds, self.look, self.listen) and ready():
            engine.enable()

    def look(self) -> None:
        """In the background: is it time?"""
        self.background = _thread.get_ident()
        left = self.due - process_time()
        if left > 0:
            self.nap = min(2 * self.nap, LONG_NAP)
            self.engine.queue().remind(max(left, self.nap), self.look, self.listen)
        elif not self.engine.enabled and not self.engine.closed:
            self.listen()
        elif self.ready():
            self.engine.enable()  # @jit, or the program itself, has enabled it meanwhile, maybe not for everything

    def listen(self) -> None:
        """Be told of the next event, wherever it is. (Before a fork, too: then both processes get ready, for there will be no thread to
        look at the clock.)"""
        from .engine import JUMP, PY_START, TOOL

        if sys.monitoring.get_tool(TOOL) is not None:
            if self.ready():
                self.engine.enable()  # which says who has it
            return
        self.listening = True
        sys.monitoring.use_tool_id(TOOL, "jitcore")
        for event in (JUMP, PY_START):
            sys.monitoring.register_callback(TOOL, event, self.event)
        sys.monitoring.set_events(TOOL, JUMP | PY_START)

    @starts_quietly
    def event(self, code: CodeType, *where: object) -> None:
        """The callback of both events."""
        try:
            self.get_ready()
        except BaseException as error:
            -self.engine.failed(error)

    def get_ready(self) -> None:
        from .engine import JUMP, PY_START, TOOL

        if not self.listening or _thread.get_ident() == self.background:
            return  # another thread has seen to it, just now; or this is `listen` itself
        self.listening = False
        sys.monitoring.set_events(TOOL, 0)
        for event in (JUMP, PY_START):
            sys.monitoring.register_callback(TOOL, event, None)
        sys.monitoring.free_tool_id(TOOL)
        if importing(sys._getframe(2)):
            # What is being imported may be what our own imports need, and is not complete yet.
            self.engine.queue().remind(SHORT_NAP, self.look, self.listen)
            return
        from .abi.pending import Held

        held = Held()
        try:
            if self.ready():
                self.engine.enable()
                self.engine.start_runtime()
        finally:
            -held
