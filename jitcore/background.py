"""Compiling in the background: one job at a time, in a thread that lives no longer than its jobs.

The first code for a region is made at once and is quick to make; better code takes LLVM long enough for the program to
notice. LLVM needs no GIL, so on another core this costs the program nothing but the Python around it. The thread
is not one of `threading`'s (programs count those) and ends when there is nothing to do: a process that forks must not
have it (the child would inherit locks that nobody releases), so a fork waits for the job at hand, and so does the end
of the process, because code generation must not run while LLVM's library is being torn down.

One job may be for later (`remind`): the thread sleeps until then, or until it gets something to do. A fork does not wait for that
either; what is done instead is done before it, in both processes' stead.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _thread
import atexit
import os
from collections import deque
from collections.abc import Callable
from time import monotonic, sleep

from .quiet import FAULTS

Job = Callable[[], None]

ENDING = 100
"""Tenths of milliseconds that a thread may take to end."""


class Queue:
    """Jobs for the background, first come first served. What a job raises goes to `failed`."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self.failed = failed
        self.jobs: deque[Job] = deque()
        self.reminder: tuple[float, Job, Job] | None = None
        self.forget()
        os.register_at_fork(before=self.hold_for_fork, after_in_parent=self.go_on, after_in_child=self.forget)
        atexit.register(self.hold)

    def submit(self, job: Job) -> None:
        """Do the job soon. Without a thread to be had, now."""
        self.jobs.append(job)
        self._start()

    def remind(self, seconds: float, job: Job, at_fork: Job) -> bool:
        """Do the job in so many seconds, unless there is a reminder already; `at_fork` instead if the process forks before that.
        False where there is no thread to be had."""
        if self.reminder is None:
            self.reminder = monotonic() + seconds, job, at_fork
            self._start()
        return self.reminder is not None

    def drop_reminder(self) -> None:
        """There is nothing to be done later any more."""
        self.reminder = None
        self._ring()

    def _start(self) -> None:
        """See to it that there is a thread, and that it is awake."""
        with self.lock:
            if self.held or not self.idle.acquire(False):
                self._ring()  # whoever works, or sleeps, or goes on after a fork, does it
                return
        try:
            _thread.start_new_thread(self.work, ())
        except RuntimeError:
            self.reminder = None
            self.work()

    def _ring(self) -> None:
        """Wake the thread, if it sleeps."""
        if self.bell.locked():
            try:
                self.bell.release()
            except RuntimeError:  # somebody else was quicker
                pass

    def work(self) -> None:
        # Signals are for the program's threads, which may have blocked them and wait for them.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals() - {getattr(_signal, name) for name in FAULTS})
        self.thread = _thread.get_native_id()
        while True:
            with self.lock:
                job, pause = None, 0.0
                if not self.held and self.jobs:
                    job = self.jobs.popleft()
                elif not self.held and self.reminder is not None:
                    pause = self.reminder[0] - monotonic()
                    if pause <= 0:
                        job, self.reminder = self.reminder[1], None
                else:
                    self.idle.release()
                    return
            if job is None:
                self.bell.acquire(False)
                if not self.jobs and not self.held:
                    self.bell.acquire(True, pause)
                continue
            try:
                job()
            except BaseException as error:  # must not end up in the program's thread excepthook
                self.failed(error)

    def hold(self) -> None:
        """Wait for the job at hand; start no other."""
        with self.lock:
            self.held = True
            self._ring()
        while not self.idle.acquire(True, 0.01):
            self._ring()
        self.idle.release()
        # Having no more to do it is still a thread for a moment, which os.fork would warn of.
        for _ in range(ENDING):
            if not os.path.exists(f"/proc/self/task/{self.thread}"):
                return
            sleep(0.0001)

    def hold_for_fork(self) -> None:
        """The same, and nothing is left for later."""
        self.hold()
        reminder, self.reminder = self.reminder, None
        if reminder is not None:
            reminder[2]()

    def go_on(self) -> None:
        with self.lock:
            self.held = False
        if self.jobs:
            from .abi.pending import soon  # programs that end soon need not load it

            soon(self._start)  # not now: os.fork is about to count threads

    def forget(self) -> None:
        """In the child of a fork: its parent does the jobs; the child makes its own when it needs them."""
        self.jobs.clear()
        self.reminder = None
        self.lock = _thread.allocate_lock()
        self.idle = _thread.allocate_lock()  # held while there is a thread
        self.bell = _thread.allocate_lock()
        self.thread = 0
        self.held = False
