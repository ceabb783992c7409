"""Compiling in the background: one job at a time, in a thread that lives no longer than its jobs.

The first code for a region is made at once and is quick to make; better code takes LLVM long enough for the program to
notice. LLVM needs no GIL, so on another core this costs the program nothing but the Python around it. The thread
is not one of `threading`'s (programs count those) and ends when there is nothing to do: a process that forks must not
have it (the child would inherit locks that nobody releases), so a fork waits for the job at hand, and so does the end
of the process, because code generation must not run while LLVM's library is being torn down.
"""

from __future__ import annotations

import _thread
import atexit
import os
from collections import deque
from collections.abc import Callable

Job = Callable[[], None]


class Queue:
    """Jobs for the background, first come first served. What a job raises goes to `failed`."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self.failed = failed
        self.jobs: deque[Job] = deque()
        self.lock = _thread.allocate_lock()
        self.idle = _thread.allocate_lock()  # held while a thread works
        self.held = False
        os.register_at_fork(before=self.hold, after_in_parent=self.go_on, after_in_child=self.forget)
        atexit.register(self.hold)

    def submit(self, job: Job) -> None:
        """Do the job soon. Without a thread to be had, now."""
        with self.lock:
            self.jobs.append(job)
            if self.held or not self.idle.acquire(False):
                return  # whoever works, or goes on after a fork, does it too
        try:
            _thread.start_new_thread(self.work, ())
        except RuntimeError:
            self.work()

    def work(self) -> None:
        while True:
            with self.lock:
                if self.held or not self.jobs:
                    self.idle.release()
                    return
                job = self.jobs.popleft()
            try:
                job()
            except BaseException as error:  # must not end up in the program's thread excepthook
                self.failed(error)

    def hold(self) -> None:
        """Wait for the job at hand; start no other."""
        with self.lock:
            self.held = True
        with self.idle:
            return

    def go_on(self) -> None:
        with self.lock:
            self.held = False
            if not self.jobs or not self.idle.acquire(False):
                return
        _thread.start_new_thread(self.work, ())

    def forget(self) -> None:
        """In the child of a fork: its parent does the jobs; the child makes its own when it needs them."""
        self.jobs.clear()
        self.lock = _thread.allocate_lock()
        self.idle = _thread.allocate_lock()
        self.held = False

    def wait(self) -> None:
        """Until all jobs are done (for tests and `Engine.compile`)."""
        while True:
            with self.idle:
                pass
            with self.lock:
                if not self.jobs or self.held:
                    return
