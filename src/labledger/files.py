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
import hashlib
import itertools
import os
import secrets
import shutil
import signal
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from labledger.ending import ENDING, HANGUP, is_ignored
from labledger.locks import lock, lock_soon, require_lock
from labledger.notices import notify
from labledger.regular_files import open_regular, refuse_special

COPY_CHUNK_BYTES = 1 << 20
JOIN_TRIES = 100


def write_durably(path: Path, content: bytes, *, within: Path | None = None) -> None:
    """Write `content` to `path`, replacing what was there; missing parent directories are made.

    A link at `path` is replaced, not followed.

    Raises:
        OSError: it could not be written; what stood at `path` is unharmed, and no temporary file is left. Without
            `within` a user named it, and a device, a named pipe or a socket there, or behind a link, stays as well.
    """
    _replace(path, [content], within)


def copy_durably(source: Path, path: Path, *, within: Path | None = None) -> str:
    """Copy `source` to `path` byte for byte and return the SHA-256 (hex) of the bytes; `source` stays.

    Raises:
        OSError: `source` could not be read, or as for `write_durably`.
    """
    digest = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        with _naming(source), os.fdopen(open_regular(source, os.O_RDONLY, follow=True), "rb") as file:
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
            directory = _claimed_and_held(base, stack)
        try:
            yield directory
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise


def _claimed_and_held(base: Path, stack: contextlib.ExitStack) -> Path:
    """Claim a directory and hold it until the `stack` ends. One that was taken away before it was held is claimed anew:
    that can be only where the parent's lock is another program's (see `_shared`)."""
    for tries_left in range(JOIN_TRIES, -1, -1):
        directory = claim_directory(base)
        try:
            with contextlib.ExitStack() as held:
                descriptor = held.enter_context(opened_directory(directory, within=directory.parent))
                lock_soon(descriptor, directory, exclusive=True, otherwise="it is filled without the lock")
                if _is_at(descriptor, directory) or not tries_left:
                    stack.push(held.pop_all())
                    return directory
        except FileNotFoundError:
            if not tries_left:
                raise
        except BaseException:
            directory.rmdir()
            raise
    raise AssertionError("unreachable: the last try returns or raises")


def _is_at(descriptor: int, directory: Path) -> bool:
    """Return True if the directory that is open is the one at that path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(directory))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def held_directory(directory: Path) -> Iterator[None]:
    """Hold `directory`, where its file system knows locks; the end of this process, however it ends, frees it.

    Raises:
        TimeoutError: someone else has held it for 10 s.
    """
    with opened_directory(directory, within=directory.parent) as descriptor:
        require_lock(descriptor, directory)
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
                    with contextlib.ExitStack() as joined:
                        descriptor = joined.enter_context(_shared(directory, within))
                        if _is_at(descriptor, directory) or not tries_left:
                            stack.push(joined.pop_all())
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
        require_lock(beside, directory.parent)  # before the directory is opened: another may be made in its place
        with opened_directory(directory, within=within) as descriptor:
            yield lock(descriptor, exclusive=True, wait=False)


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
    """Yield a descriptor of `directory`, held among others that claim in it.

    A program that keeps it locked keeps nobody from saving: after 10 s we go on without the lock. Two that claim get
    two directories all the same, for `mkdir` decides; one that is taken away before it is held is claimed anew.
    """
    with opened_directory(directory, within=within) as descriptor:
        lock_soon(descriptor, directory, exclusive=False, otherwise="going on without the lock")
        yield descriptor


@contextlib.contextmanager
def uninterrupted(notice: str = "") -> Iterator[Callable[[], None]]:
    """Let Ctrl-C, SIGTERM and SIGHUP wait until the end; a second one does not wait, but for a further SIGHUP.
    Outside of the main thread nothing waits. The user is told `notice` as soon as one comes.

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
        if notice and len(came) == 1 and not is_repeated:
            notify(notice)
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
    if within is None:
        refuse_special(path)
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
