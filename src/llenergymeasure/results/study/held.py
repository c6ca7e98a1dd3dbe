"""Who is making the runs of a study: one process at a time, which holds a lock on a file in its folder."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from labledger.locks import SOMEBODY, holder, lock
from labledger.regular_files import open_regular
from llenergymeasure.errors import ExperimentError, PreFlightError

LOCK_FILE = ".study.lock"
LOOKS = 5
LOOK_EVERY_S = 0.02


@contextlib.contextmanager
def held_study(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold the study in `folder` for this process alone; the end of the process, however it ends, frees it.

    The block gets a function that raises an ExperimentError once the study is held no more: its folder, or the lock in
    there, was moved or removed, and another process may have another one by its name.

    Raises:
        PreFlightError: another process makes its runs, which the message names.
        OSError: there is no such folder, or it cannot be written to.
    """
    descriptor = open_regular(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    try:
        if not _locked(descriptor):
            raise _is_running(folder, holder(descriptor))
        yield lambda: _require_held(descriptor, folder)
    finally:
        os.close(descriptor)


def _require_held(descriptor: int, folder: Path) -> None:
    try:
        if os.path.samestat(os.fstat(descriptor), os.lstat(folder / LOCK_FILE)):
            return
    except OSError:
        pass
    raise ExperimentError(
        f"{folder}: was moved or removed while its study ran, or its {LOCK_FILE} was, and another llem may run it by "
        "now: this one ends. Results that were saved stay where they are; llem study resume DIR goes on with the study"
    )


def refuse_held(folder: Path) -> None:
    """Refuse a study that another process makes the runs of. Raises as `held_study`."""
    if (who := runner_of(folder)) is not None:
        raise _is_running(folder, who)


def _is_running(folder: Path, who: str) -> PreFlightError:
    return PreFlightError(
        f"{folder}: {who} is running this study; wait for its end: two at once would measure each other"
    )


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
