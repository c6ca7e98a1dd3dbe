"""Functions that workers call."""

import os
import signal
import time

from labledger.errors import ConfigError
from labledger.notices import notify


def third_is_refused(number):
    notify("told by every worker")
    if number == 3:
        raise ConfigError("no 3")
    if number == 4:
        raise UnreadableError("four", 4)
    return number * number


class UnreadableError(Exception):
    """It can be pickled, and not be read again."""

    def __init__(self, name, number):
        super().__init__(f"{name} {number}")


def killed_once(folder):
    """Kill this process the first time; at the second return the number of processes that were."""
    first = folder / "first"
    if not first.exists():
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2


def killed_each_time(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def goes_on(folder):
    """Go on for a minute, and say when this is ended in order."""
    (folder / f"{os.getpid()}.began").touch()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        (folder / f"{os.getpid()}.ended").touch()
        raise
