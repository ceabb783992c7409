"""What all tests share.

A shell that starts the tests in the background makes them, and the processes they start, ignore SIGINT;
CPython then installs no handler for it. Tests of interrupts need the ordinary state, so it is restored here.

Many tests collect garbage to see what has gone. What pytest and all the tests' modules consist of stays in any case, and
looking through it would take more time than most tests, so it is left out once the tests are known.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator

import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_engine_stays_on() -> Iterator[None]:
    """`@jit` in a test switches the default engine on, which holds the optimizer's place in sys.monitoring: the next test
    finds it free again."""
    yield
    module = sys.modules.get("jitcore.engine")
    engine = module._default if module is not None else None
    if engine is not None:
        engine.disable()
