"""Regular files: what others have placed or named is opened only if it is one, and read only up to a size.

Names in a folder that somebody else may have filled are not followed through links; those that a user gives are.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

# What O_NOFOLLOW answers at a link: ELOOP on Linux and macOS, EMLINK and EFTYPE elsewhere.
AT_A_LINK = {errno.ELOOP, errno.EMLINK, getattr(errno, "EFTYPE", errno.ELOOP)}
A_DIRECTORY, A_REGULAR_FILE = "a directory", "a regular file"
KINDS = {
    stat.S_IFREG: A_REGULAR_FILE,
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: A_DIRECTORY,
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


MAX_BYTES = 1 << 30
"""The size of a file that is read, at most; the result of a run of five million requests has so much."""


def open_regular(path: Path, flags: int, mode: int = 0o666, *, follow: bool = False) -> int:
    """Open the regular file at `path` and return a descriptor, as `os.open`, through a link only with `follow`.

    Only the last name is looked at: a link among its directories is followed. It does not wait, as a named pipe
    without a reader lets others do, and a child process does not inherit the descriptor. What is no regular file
    is neither opened nor truncated.

    Raises:
        OSError: there is something else at `path`, which the message names, or it cannot be opened.
    """
    _refuse_other_kinds(path, follow)
    safe = flags & ~os.O_TRUNC | (0 if follow else os.O_NOFOLLOW) | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, safe, mode)
    except OSError as error:
        if error.errno in AT_A_LINK and not follow:  # placed since we looked
            raise _not_regular(path, stat.S_IFLNK, follow) from error
        raise
    try:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind != stat.S_IFREG:
            raise _not_regular(path, kind, follow)
        if _is_of_the_kernel(descriptor):
            raise OSError(errno.EINVAL, "is in /proc, no regular file; name one", os.fspath(path))
        if flags & os.O_TRUNC:
            os.truncate(descriptor, 0)
        os.set_blocking(descriptor, not flags & os.O_NONBLOCK)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_of_the_kernel(descriptor: int) -> bool:
    """Return True of a file in /proc: it says that it is regular, and to read it may wait for ever, as of kmsg."""
    try:
        return os.fstat(descriptor).st_dev == os.stat("/proc/version").st_dev
    except OSError:  # no such file, as on macOS
        return False


def _refuse_other_kinds(path: Path, follow: bool) -> None:
    """Refuse what is no regular file before it is opened: to open a device can do something already."""
    try:
        kind = stat.S_IFMT(os.stat(path, follow_symlinks=follow).st_mode)
    except FileNotFoundError:
        return
    if kind != stat.S_IFREG:
        raise _not_regular(path, kind, follow)


def _not_regular(path: Path, kind: int, is_named: bool) -> OSError:
    remedy = "name one" if is_named else "move it away"
    return OSError(errno.EINVAL, f"is {_words(kind)}, not a regular file; {remedy}", os.fspath(path))


def refuse_special(path: Path) -> None:
    """Refuse a device, a named pipe or a socket at `path`, or behind a link there: a file in its place would end it.

    Raises:
        OSError: it is one.
    """
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except (OSError, ValueError):  # nothing there, or a name that whoever opens it refuses
        return
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise _not_regular(path, kind, is_named=True)


def kind_of(name: Path | str, folder: int | None = None) -> str:
    """Return in words the kind of file at `name` (in the directory of the descriptor `folder`): "a symbolic link".

    Raises:
        OSError: there is nothing, or its kind is not known.
    """
    return _words(stat.S_IFMT(os.lstat(name, dir_fd=folder).st_mode))


def _words(kind: int) -> str:
    return KINDS.get(kind, "something else")


@contextlib.contextmanager
def opened_to_read(path: Path, max_bytes: int = MAX_BYTES, *, follow: bool = False) -> Iterator[BufferedReader]:
    """Yield the regular file at `path`, as `open_regular` opens it.

    Raises:
        OSError: as `open_regular`, or it is larger than `max_bytes`: a file of holes can be of any size.
    """
    with os.fdopen(open_regular(path, os.O_RDONLY, follow=follow), "rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > max_bytes:
            reason = f"has {in_words(size)}, and at most {in_words(max_bytes)} are read"
            raise OSError(errno.EFBIG, reason, os.fspath(path))
        yield file


def read_regular(path: Path, max_bytes: int = MAX_BYTES, *, follow: bool = False) -> bytes:
    """Return the bytes of the regular file at `path`. Raises as `opened_to_read`."""
    with opened_to_read(path, max_bytes, follow=follow) as file:
        return file.read()


def in_words(size: int) -> str:
    """Return a number of bytes in MB or, from a thousand of them on, GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def behind_link(path: Path) -> Path:
    """Return `path` or, where that is a link, its target: for files that a user names. Found ones are not followed.

    A link that leads round in a circle is returned as a link; to open it is an error.

    Raises:
        OSError: the link leads to a device, a named pipe or a socket; the message names the link.
    """
    if not path.is_symlink():
        return path
    refuse_special(path)
    return Path(os.path.realpath(path))
