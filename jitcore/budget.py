"""What compiling may cost: a share of the process's CPU time, and something to begin with.

A program that ends soon should not pay for code that it hardly uses, one that runs for hours can afford all of it. So compiles in the
program's own threads have an account, and better code, which is made in the background, has another. What is not affordable yet is
asked for again later.
"""

from __future__ import annotations

from time import process_time

FIRST_SPENDING = 0.25
"""Seconds for compiles that every process has,"""
SPENDING = 0.2
"""and the share of its CPU time beyond that."""
FIRST_BETTER = 0.1
"""Seconds for better code that every process has; the share beyond that is the option `compile_share`."""


class Budget:
    """`spent` and `better`: seconds of compiles in the program's own threads, and of making better code, so far."""

    def __init__(self) -> None:
        self.spent = 0.0
        self.better = 0.0

    def affords(self, seconds: float = 0.0) -> bool:
        """Whether compiles, with one more that takes so long, have had no more than their share of the time by now."""
        return self.spent + seconds <= FIRST_SPENDING + SPENDING * process_time()

    def affords_better(self, seconds: float, share: float) -> bool:
        """The same of better code, whose share is given."""
        return self.better + seconds <= FIRST_BETTER + share * process_time()
