"""The process that runs an experiment: its identity, and a test of whether it still runs."""

import os
import platform
from datetime import UTC, datetime

import psutil

from payment_simulator.experiments.persistence.records import Owner

# The kernel's idea of when it started moves with the clock, and with it that of when each process did.
SAME_START_S = 2.0


def this_process() -> Owner:
    """Return the identity of this process, distinct from a later process that has the same id."""
    started_at = datetime.fromtimestamp(psutil.Process().create_time(), UTC)
    return {"host": platform.node(), "pid": os.getpid(), "pid_started_at": started_at.isoformat()}


def describe(owner: Owner | None) -> str:
    """Return the process in words, for a message."""
    if owner is None:
        return "a process that is not known"
    started = owner["pid_started_at"][:16].replace("T", " ")
    return f"process {owner['pid']} on {owner['host']} (started {started} UTC)"


def is_gone(owner: Owner) -> bool:
    """Return True if the process has ended; False for one on another machine, where that cannot be known."""
    if owner["host"] != platform.node():
        return False
    try:
        process = psutil.Process(owner["pid"])
        began_s = datetime.fromisoformat(owner["pid_started_at"]).timestamp()
        return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - began_s) > SAME_START_S
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
