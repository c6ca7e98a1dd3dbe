"""Which process runs an experiment, and whether it still does."""

import os
import platform
from datetime import UTC, datetime
from typing import Any

import psutil

# The kernel's idea of when it started moves with the clock, and with it that of when each process did.
SAME_START_S = 2.0


def this_process() -> dict[str, Any]:
    """This process, told from every other one, also from one that gets its number later."""
    started_at = datetime.fromtimestamp(psutil.Process().create_time(), UTC)
    return {"host": platform.node(), "pid": os.getpid(), "pid_started_at": started_at.isoformat()}


def describe(owner: dict[str, Any] | None) -> str:
    """For a message."""
    if owner is None:
        return "a process that is not known"
    return f"process {owner['pid']} on {owner['host']} (started {owner['pid_started_at']})"


def is_gone(owner: dict[str, Any]) -> bool:
    """Whether that process has ended. Of one on another machine that cannot be told: it is not."""
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
