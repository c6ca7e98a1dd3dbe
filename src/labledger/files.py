"""Durable files: what a function here has returned survives `kill -9` and a power cut.

How: a file is written under a temporary name beside its place, synced, renamed onto its place, and then the
directory that holds the name is synced, as is the parent of every directory that had to be made. A reader
sees the old content or the new, never a part. What this costs is two or three syncs per file, some milliseconds
on an ordinary disk. What it cannot help: a disk that says "synced" before it is, and a file system that lies
in the same way (some network mounts).

Names that begin with a dot are ours: a killed process may leave one behind, and nothing reads them.
An OSError that leaves this module names the path that the caller gave.

`within` is the directory that a user named, which may be or lie behind a symbolic link. What is below it may have
been placed there by somebody else: no link is followed from there on, also one that is put there meanwhile.
"""

import contextlib
import errno
import hashlib
import itertools
import os
import secrets
import shutil
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from labledger.ending import ENDING, HANGUP, is_ignored

COPY_CHUNK_BYTES = 1 << 20
JOIN_TRIES = 100
LOCK_TIMEOUT_S = 10.0
LOOK_EVERY_S = 0.02


def write_durably(path: Path, content: bytes, *, within: Path | None = None) -> None:
    """Write `content` to `path`, replacing what was there; missing parent directories are made.

    A link at `path` is replaced, not followed.

    Raises:
        OSError: it could not be written; what stood at `path` is unharmed, and no temporary file is left.
    """
    _replace(path, [content], within)


def copy_durably(source: Path, path: Path, *, within: Path | None = None) -> str:
    """Copy `source` to `path` byte for byte and return the SHA-256 (hex) of the bytes; `source` stays.

    Raises:
        OSError: `source` could not be read, or as for `write_durably`.
    """
    digest = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        with _naming(source), source.open("rb") as file:
            while chunk := file.read(COPY_CHUNK_BYTES):
                digest.update(chunk)
                yield chunk

    _replace(path, chunks(), within)
    return digest.hexdigest()


def is_same(one: Path, other: Path) -> bool:
    """Return True if two paths are, or would be, those of one file."""
    both_there = one.exists() and other.exists()
    return os.path.realpath(one) == os.path.realpath(other) or (both_there and one.samefile(other))


def claim_directory(base: Path) -> Path:
    """Create and return `base`, or the first free of `base_1`, `base_2`, …

    The directory's creation is the claim: `mkdir` either makes it or fails, so any number of processes that
    ask for the same name at the same moment each get a directory of their own. The claim is durable: the
    parent is synced before this returns.

    Raises:
        OSError: the parent cannot be written to; nothing is left behind.
    """
    with _naming(base), _made_directories(base.parent):
        for suffix in itertools.chain([""], (f"_{n}" for n in itertools.count(1))):
            candidate = base.with_name(base.name + suffix)
            try:
                candidate.mkdir()
            except FileExistsError:
                continue
            try:
                _sync_directory(candidate.parent)
            except BaseException:
                candidate.rmdir()
                raise
            return candidate
    raise AssertionError("unreachable: the suffixes never end")


@contextlib.contextmanager
def claimed_directory(base: Path) -> Iterator[Path]:
    """Yield a claimed directory (see `claim_directory`) to be filled; whatever interrupts the filling removes it.

    It is held meanwhile: one that nobody holds (see `unheld`) was left by a process that was killed.
    """
    with contextlib.ExitStack() as stack:
        # Who looks for directories that nobody holds waits until this one is held.
        with _naming(base), _made_directories(base.parent), _shared(base.parent):
            directory = claim_directory(base)
            try:
                stack.enter_context(held_directory(directory))
            except BaseException:
                directory.rmdir()
                raise
        try:
            yield directory
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise


@contextlib.contextmanager
def held_directory(directory: Path) -> Iterator[None]:
    """Hold `directory`, where its file system knows locks; the end of this process, however it ends, frees it."""
    with opened_directory(directory, within=directory.parent) as descriptor:
        lock(descriptor, exclusive=True)
        yield


@contextlib.contextmanager
def joined_directory(directory: Path, *, within: Path | None = None) -> Iterator[int]:
    """Yield a descriptor of `directory`, held together with other processes that join it, and made if need be.

    Raises:
        OSError: it could not be made.
    """
    with contextlib.ExitStack() as stack:
        for tries_left in range(JOIN_TRIES, -1, -1):
            try:
                with (
                    _naming(directory),
                    _made_directories(directory.parent, within),
                    _shared(directory.parent, within) as beside,
                ):
                    with contextlib.suppress(FileExistsError), _naming(directory, directory.name):
                        os.mkdir(directory.name, dir_fd=beside)
                        _sync(beside)
                    descriptor = stack.enter_context(_shared(directory, within))
                    break
            except FileNotFoundError:  # another process removed the parent, which was empty, between two of these lines
                if not tries_left:
                    raise
        yield descriptor


@contextlib.contextmanager
def unheld(directory: Path, *, within: Path | None = None) -> Iterator[bool]:
    """Yield True if nobody holds `directory`; inside, nobody begins to, nor claims another one beside it.

    Raises:
        TimeoutError: others begin or end something beside it, and one of them has done so for 10 s: it is stopped.
        OSError: there is no such directory.
    """
    with opened_directory(directory.parent, within=within) as beside:
        _lock_soon(beside, directory.parent)  # before the directory is opened: another may be made in its place
        with opened_directory(directory, within=within) as descriptor:
            yield lock(descriptor, exclusive=True, wait=False)


def _lock_soon(descriptor: int, directory: Path) -> None:
    until_s = time.monotonic() + LOCK_TIMEOUT_S
    while not lock(descriptor, exclusive=True, wait=False):
        if time.monotonic() > until_s:
            seconds = f"{LOCK_TIMEOUT_S:g} s"
            reason = f"in use for {seconds} by a process that begins or ends in it; is one stopped? try again"
            raise TimeoutError(errno.ETIMEDOUT, reason, os.fspath(directory))
        time.sleep(LOOK_EVERY_S)


@contextlib.contextmanager
def opened_directory(directory: Path, *, within: Path | None = None) -> Iterator[int]:
    """Yield a descriptor of `directory`.

    Raises:
        OSError: it is no directory, or a link leads to it below `within`; the message names that.
    """
    place = directory if within is None else within
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in () if within is None else directory.relative_to(within).parts:
            place, above = place / name, descriptor
            descriptor = _opened_below(above, place)
            os.close(above)
        yield descriptor
    finally:
        os.close(descriptor)


def _opened_below(above: int, place: Path) -> int:
    """Return a descriptor of the directory `place`, which lies in `above`, unless it is a link."""
    try:
        return os.open(place.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    except OSError as error:
        reason = error.strerror
        with contextlib.suppress(OSError):
            if stat.S_ISLNK(os.lstat(place.name, dir_fd=above).st_mode):
                reason = f"{place} is a symbolic link, which is not followed; move it away"
        raise OSError(error.errno, reason, os.fspath(place)) from error


@contextlib.contextmanager
def _shared(directory: Path, within: Path | None = None) -> Iterator[int]:
    """Yield a descriptor of `directory`, held among others that claim in it."""
    with opened_directory(directory, within=within) as descriptor:
        lock(descriptor, exclusive=False)
        yield descriptor


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


@contextlib.contextmanager
def uninterrupted() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C, SIGTERM and SIGHUP wait until the end; a second one does not wait, but for a further SIGHUP.
    Outside of the main thread nothing waits.

    The block gets a function that delivers at once what has come so far, to be called where it may end.

    What has to be whole or not there would else be cut between any two lines.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    came: list[tuple[int, FrameType | None]] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDING) if not is_ignored(number)}

    def wait(number: int, frame: FrameType | None) -> None:
        is_repeated = bool(came) and number == HANGUP  # a shell and the kernel may both send it
        came.extend([] if is_repeated else [(number, frame)])
        if len(came) > 1:
            deliver()

    def deliver() -> None:
        number, frame = came.pop()
        _hand_to(before[signal.Signals(number)], number, frame)

    def heed() -> None:
        if came:
            deliver()

    try:
        for number in before:
            signal.signal(number, wait)
        yield heed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    heed()


def _hand_to(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    elif handler == signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _replace(path: Path, chunks: Iterable[bytes], within: Path | None) -> None:
    temporary = f".{secrets.token_hex(8)}.tmp"
    with (
        _naming(path, temporary),
        _made_directories(path.parent, within),
        # Had before anything in it changes: a directory that cannot be synced is left alone.
        opened_directory(path.parent, within=within) as directory,
    ):
        try:
            # 0o666 leaves the mode to the umask, as for any file that a user makes.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o666, dir_fd=directory)
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(chunks)
                file.flush()
                _sync(file.fileno())
            os.replace(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)
            raise
        _sync(directory)


@contextlib.contextmanager
def _made_directories(directory: Path, within: Path | None = None) -> Iterator[None]:
    """Make `directory` and its missing parents, each durable; a failure in here or inside removes those made."""
    missing = list(itertools.takewhile(lambda each: not each.exists(), [directory, *directory.parents]))
    made: list[Path] = []
    try:
        for each in reversed(missing):
            with opened_directory(each.parent, within=_around(each.parent, within)) as parent:
                with contextlib.suppress(FileExistsError), _naming(each, each.name):  # another process was quicker
                    os.mkdir(each.name, dir_fd=parent)
                    made.append(each)
                _sync(parent)
        yield
    except BaseException:
        for each in reversed(made):
            with contextlib.suppress(OSError):  # no longer empty: another process uses it
                each.rmdir()
        raise


def _around(directory: Path, within: Path | None) -> Path | None:
    """Return `within`, or None if `directory` is outside of it."""
    return within if within is not None and directory.is_relative_to(within) else None


def _sync_directory(directory: Path) -> None:
    with opened_directory(directory) as descriptor:
        _sync(descriptor)


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        # macOS: fsync leaves the bytes in the drive's cache; this empties it. Not every file system has it.
        if hasattr(fcntl, "F_FULLFSYNC"):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)


@contextlib.contextmanager
def _naming(path: Path, also: str | None = None) -> Iterator[None]:
    """Let an OSError about `path`, what encloses it, the name `also`, or nothing at all, name `path`."""
    try:
        yield
    except OSError as error:
        ours = {None, os.fspath(path), *map(os.fspath, path.parents), also}
        if error.filename is not None and os.fspath(error.filename) not in ours:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
