"""Advisory locks (`flock`) on files and directories, which the kernel frees when a process ends, however it ends.

Another program may hold one of the same place for as long as it likes. So a wait is bounded, and told at once with who
holds it, as far as the kernel says.
"""

import contextlib
import errno
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from labledger.notices import notify

LOCK_TIMEOUT_S = 10.0
LOOK_EVERY_S = 0.02
TOLD_AFTER_S = 0.5
LOCKS = Path("/proc/locks")
FLOCK = re.compile(r"\d+: FLOCK +\S+ +\S+ +(\d+) +([0-9a-f]+):([0-9a-f]+):(\d+) ")
SOMEBODY = "another process"


def lock(descriptor: int, *, exclusive: bool, wait: bool = True) -> bool:
    """Lock the file or directory until `descriptor` is closed, and return True; False where someone else has it.

    A file system without locks gives it to all.
    """
    try:
        import fcntl

        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def lock_soon(descriptor: int, path: Path, *, exclusive: bool, otherwise: str) -> bool:
    """Lock what `path` names, as `lock` does; return False if one and the same has it for `LOCK_TIMEOUT_S`.

    While it passes from one process to the next, our turn comes. A wait of more than a moment for one is a notice, with
    who has the lock; so is its end, with what is done `otherwise`.
    """
    began_s, who, is_told = time.monotonic(), None, False
    while not lock(descriptor, exclusive=exclusive, wait=False):
        waited_s, before, who = time.monotonic() - began_s, who, holder(descriptor)
        if before not in (None, who):
            began_s, is_told = time.monotonic(), False
        elif waited_s > LOCK_TIMEOUT_S:
            notify(f"{path}: locked for {LOCK_TIMEOUT_S:g} s by {who}; {otherwise}")
            return False
        elif waited_s > TOLD_AFTER_S and not is_told:
            notify(f"{path}: locked by {who}; waiting for it up to {LOCK_TIMEOUT_S:g} s")
            is_told = True
        time.sleep(LOOK_EVERY_S)
    return True


def require_lock(descriptor: int, path: Path) -> None:
    """Lock what `path` names for this process alone.

    Raises:
        TimeoutError: someone else has had it for `LOCK_TIMEOUT_S`.
    """
    if not lock_soon(descriptor, path, exclusive=True, otherwise="nothing was changed"):
        who = holder(descriptor)
        reason = f"in use for {LOCK_TIMEOUT_S:g} s by {who}, which begins or ends in it; is one stopped? try again"
        raise TimeoutError(errno.ETIMEDOUT, reason, os.fspath(path))


def holder(descriptor: int) -> str:
    """Return who has the lock of an open file, in words: "process 123 (name)", or "another process"."""
    found = os.fstat(descriptor)
    place = (os.major(found.st_dev), os.minor(found.st_dev), found.st_ino)
    others = dict.fromkeys(pid for pid, *where in _flocks() if tuple(where) == place and pid > 0)
    return " and ".join(map(_named, others)) or SOMEBODY


def _flocks() -> Iterator[tuple[int, int, int, int]]:
    """Yield the process, and the device (major, minor) and inode of each lock that is held; one that waits has "->"."""
    with contextlib.suppress(OSError):
        for line in LOCKS.read_text(errors="replace").splitlines():
            if found := FLOCK.match(line):
                pid, major, minor, inode = found.groups()
                yield int(pid), int(major, 16), int(minor, 16), int(inode)


def _named(pid: int) -> str:
    with contextlib.suppress(OSError):
        return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text(errors='replace').strip()})"
    return f"process {pid}"
