"""Regular files, opened without following a link: names in a folder that somebody else may have filled."""

import errno
import os
import stat
from pathlib import Path

# What O_NOFOLLOW answers at a link: ELOOP on Linux and macOS, EMLINK and EFTYPE elsewhere.
AT_A_LINK = {errno.ELOOP, errno.EMLINK, getattr(errno, "EFTYPE", errno.ELOOP)}
KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path, flags: int, mode: int = 0o666) -> int:
    """Open the regular file at `path` and return a descriptor, as `os.open`, but never through a link.

    Only the last name is looked at: a link among its directories is followed. It does not wait, as a named pipe
    without a reader lets others do, and a child process does not inherit the descriptor. What is no regular file
    is neither opened nor truncated.

    Raises:
        OSError: there is something else at `path`, which the message names, or it cannot be opened.
    """
    refuse_other_kinds(path)
    safe = flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, safe, mode)
    except OSError as error:
        if error.errno in AT_A_LINK:  # placed since we looked
            raise _not_regular(path, stat.S_IFLNK) from error
        raise
    try:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind != stat.S_IFREG:
            raise _not_regular(path, kind)
        if flags & os.O_TRUNC:
            os.truncate(descriptor, 0)
        os.set_blocking(descriptor, not flags & os.O_NONBLOCK)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def refuse_other_kinds(path: Path) -> None:
    """Refuse what is at `path` and is no regular file, without opening it: to open a device can do something already.

    Raises:
        OSError: there is something else, which the message names, or it cannot be looked at.
    """
    try:
        kind = stat.S_IFMT(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    if kind != stat.S_IFREG:
        raise _not_regular(path, kind)


def _not_regular(path: Path, kind: int) -> OSError:
    found = KINDS.get(kind, "something else")
    return OSError(errno.EINVAL, f"is {found}, not a regular file; move it away", os.fspath(path))
