"""What compiling may cost: something to begin with, a share of the process's CPU time, and a part of what native code has saved.

A program that ends soon should not pay for code that it hardly uses, one that runs for hours can afford all of it, and one whose
loops are ten times faster after a few milliseconds can afford the rest of them at once. What code has saved is an estimate, made of
how often it was entered and left and how far it went (`Region.saves`); code that leaves soon or calls out all the time has saved
nothing, and then little more is made. Compiles in the program's own threads have an account, and better code, which is made in the
background, has another. What is not affordable yet is asked for again later.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter, process_time

FIRST_SPENDING = 0.08
"""Seconds for compiles that every process has,"""
SPENDING = 0.08
"""the share of its CPU time beyond that,"""
OF_SAVED = 0.5
"""and of the time that was saved. (For better code, too.)"""
FIRST_BETTER = 0.05
"""Seconds for better code that every process has; the share beyond that is the option `compile_share`."""
REFRESH = 0.02
"""Seconds for which it is taken for true how much was saved,"""
LONGER = 50
"""or so many times as long as it takes to find that out, where there are many regions."""


class Budget:
    """`spent` and `better`: seconds of compiles in the program's own threads, and of making better code, so far. `saved` says how
    many seconds native code has saved until now."""

    def __init__(self, saved: Callable[[], float]) -> None:
        self.spent = 0.0
        self.better = 0.0
        self.saved = saved
        self._saved, self._until = 0.0, 0.0

    def affords(self, seconds: float = 0.0) -> bool:
        """Whether compiles, with one more that takes so long, have had no more than their share of the time by now."""
        return self._within(FIRST_SPENDING + SPENDING * process_time() - self.spent - seconds)

    def affords_better(self, seconds: float, share: float) -> bool:
        """The same of better code, whose share is given."""
        return self._within(FIRST_BETTER + share * process_time() - self.better - seconds)

    def _within(self, left: float) -> bool:
        """Whether there is something left, or has been saved. Finding that out takes a moment; so not all the time."""
        if left >= 0:
            return True
        now = perf_counter()
        if now > self._until:
            self._saved, then = self.saved(), perf_counter()
            self._until = then + max(REFRESH, LONGER * (then - now))
        return left + OF_SAVED * self._saved >= 0
