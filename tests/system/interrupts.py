"""Ctrl-C at a chosen moment."""

import signal
from contextlib import contextmanager


@contextmanager
def ctrl_c_when_the_timer_rings():
    """Raise SIGINT at each SIGALRM; it is not ignored, as it is in a shell's background."""
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    alarm = signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        signal.signal(signal.SIGINT, interrupt)
