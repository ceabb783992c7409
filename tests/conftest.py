"""What all tests share.

A shell that starts the tests in the background makes them, and the processes they start, ignore SIGINT;
CPython then installs no handler for it. Tests of interrupts need the ordinary state, so it is restored here.
"""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
