"""Who is making the runs of a study: one process at a time, which holds a lock on a file in its folder."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from labledger.locks import SOMEBODY, holder, lock
from labledger.regular_files import open_regular
from llenergymeasure.errors import PreFlightError

LOCK_FILE = ".study.lock"
LOOKS = 5
LOOK_EVERY_S = 0.02


@contextlib.contextmanager
def held_study(folder: Path) -> Iterator[None]:
    """Hold the study in `folder` for this process alone; the end of the process, however it ends, frees it.

    Raises:
        PreFlightError: another process makes its runs, which the message names.
        OSError: there is no such folder, or it cannot be written to.
    """
    descriptor = open_regular(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    try:
        if not _locked(descriptor):
            raise PreFlightError(
                f"{folder}: {holder(descriptor)} is running this study; wait for its end: two at once would measure "
                "each other"
            )
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Lock the file, and return True; False where someone else keeps it: who only looks has it for a moment."""
    for looks_left in reversed(range(LOOKS)):
        if lock(descriptor, exclusive=True, wait=False):
            return True
        if looks_left:
            time.sleep(LOOK_EVERY_S)
    return False


def runner_of(folder: Path) -> str | None:
    """Return who is making the runs of the study in `folder`, as "process 123 (llem)"; None where nobody is."""
    try:
        descriptor = open_regular(folder / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return None
    try:
        if (who := holder(descriptor)) != SOMEBODY:
            return who
        return None if lock(descriptor, exclusive=False, wait=False) else SOMEBODY
    finally:
        os.close(descriptor)
