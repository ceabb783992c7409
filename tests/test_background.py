"""The thread for jobs in the background: it works, sleeps until a reminder is due, and is gone when a fork is."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from jitcore import Engine
from jitcore.background import Queue
from jitcore.budget import Budget

pytestmark = pytest.mark.flaky(reruns=2)  # signals and threads come when a busy machine lets them


def until(condition: object, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.002)
    return False


@pytest.fixture
def queue() -> Queue:
    def failed(error: BaseException) -> None:
        raise AssertionError from error

    return Queue(failed)


def test_jobs_come_in_order_and_the_thread_ends(queue: Queue) -> None:
    done: list[int] = []
    for k in range(5):
        queue.submit(lambda k=k: done.append(k))  # type: ignore[misc]
    assert until(lambda: done == [0, 1, 2, 3, 4])
    assert until(lambda: queue.idle.acquire(False))
    queue.idle.release()


def test_a_reminder_waits_and_jobs_do_not_wait_for_it(queue: Queue) -> None:
    done: list[str] = []
    start = time.monotonic()
    assert queue.remind(0.2, lambda: done.append(f"late {time.monotonic() - start >= 0.2}"), lambda: None)
    assert queue.remind(0.0, lambda: done.append("not taken"), lambda: None)
    queue.submit(lambda: done.append("job"))
    assert until(lambda: done == ["job"], 0.15)
    assert until(lambda: done == ["job", "late True"])
    assert queue.remind(0.0, lambda: done.append("next"), lambda: None) and until(lambda: done[-1] == "next")


def test_reminders_set_by_reminders(queue: Queue) -> None:
    count = []

    def again() -> None:
        count.append(1)
        if len(count) < 5:
            queue.remind(0.001, again, lambda: None)

    queue.remind(0.001, again, lambda: None)
    assert until(lambda: len(count) == 5)


def test_a_fork_finds_no_thread(queue: Queue) -> None:
    done: list[int] = []
    queue.remind(0.3, lambda: done.append(1), lambda: None)
    assert until(lambda: queue.idle.locked())
    start = time.monotonic()
    queue.hold()
    assert time.monotonic() - start < 0.25 and not queue.idle.locked() and not done
    queue.submit(lambda: done.append(2))
    time.sleep(0.01)
    assert not done
    queue.go_on()
    assert until(lambda: done == [2, 1])
    queue.remind(10, lambda: done.append(3), lambda: done.append(5))
    child = os.fork()
    assert done == [2, 1, 5] and queue.reminder is None, "what is to be done instead was done before the fork"
    if child == 0:
        # The child has no thread of its parent's, and can have its own.
        fresh = not queue.idle.locked()
        queue.submit(lambda: done.append(4))
        os._exit(0 if fresh and until(lambda: done[-1] == 4) else 1)
    assert os.waitpid(child, 0)[1] == 0
    queue.hold()
    queue.forget()


def test_many_threads_ask_at_once(queue: Queue) -> None:
    done: list[int] = []

    def asks(k: int) -> None:
        for n in range(50):
            queue.submit(lambda: done.append(k))
            queue.remind(0.0, lambda: None, lambda: None)

    threads = [threading.Thread(target=asks, args=[k]) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert until(lambda: len(done) == 200)


def test_what_was_saved_may_be_spent() -> None:
    asked = []

    def saved() -> float:
        asked.append(1)
        return 1000.0

    budget = Budget(saved)
    assert budget.affords() and not asked
    budget.spent = 400.0
    assert budget.affords(50.0) and budget.affords(60.0) and len(asked) == 1, "it is not asked for all the time"
    assert not budget.affords(500.0)
    budget.better = 450.0
    assert budget.affords_better(20.0, 0.1) and not budget.affords_better(600.0, 0.1)


def often(n: int) -> int:
    total = 0
    for k in range(n):
        total += k & 3
    return total


def test_what_is_not_affordable_gets_no_events() -> None:
    """Until something is affordable; then it is compiled."""
    engine = Engine(threshold=20, function_threshold=10**6, deopt_every=0)
    if engine.inactive_reason is not None:
        pytest.skip(engine.inactive_reason)
    engine.budget.spent = 1e6
    with engine:
        for _ in range(10):
            assert often(100) == 150
        assert engine.runtime is not None and engine.stats().regions == 0
        before = engine.runtime.counters()["back_edges"]
        for _ in range(10):
            assert often(100) == 150
        assert engine.runtime.counters()["back_edges"] - before < 100
        engine.budget.spent = 0.0
        assert until(lambda: often(100) == 150 and engine.stats().native_entries > 0)
    engine.close()


def test_signals_are_for_the_program(queue: Queue) -> None:
    """Blocked by all the program's threads, a signal waits for whoever asks for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    done: list[int] = []
    queue.remind(0.3, lambda: done.append(1), lambda: None)
    assert until(lambda: queue.thread)
    time.sleep(0.01)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert signal.sigtimedwait([signal.SIGUSR1], 5) is not None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    queue.hold()
    queue.forget()
