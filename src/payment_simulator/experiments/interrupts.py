"""Ctrl-C within long work of a task that awaits nothing."""

import asyncio
from contextlib import suppress


def hear_interrupt() -> None:
    """Raise CancelledError where the running task is to be cancelled, as asyncio cancels it on Ctrl-C.

    A task that awaits nothing would not hear of it by itself. Without a loop, Ctrl-C is a KeyboardInterrupt.
    """
    with suppress(RuntimeError):  # no loop runs
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
