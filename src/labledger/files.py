"""Durable files: what a function here has returned survives `kill -9` and a power cut.

How: a file is written under a temporary name beside its place, synced, renamed onto its place, and then the
directory that holds the name is synced, as is the parent of every directory that had to be made. A reader
sees the old content or the new, never a part. What this costs is two or three syncs a file, some milliseconds
on an ordinary disk. What it cannot help: a disk that says "synced" before it is, and a file system that lies
in the same way (some network mounts).

Names that begin with a dot are ours: a killed process may leave one behind, and nothing reads them.
An OSError that leaves this module names the path that the caller gave.
"""

import contextlib
import hashlib
import itertools
import os
import secrets
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

COPY_CHUNK_BYTES = 1 << 20
JOIN_TRIES = 100


def write_durably(path: Path, content: bytes) -> None:
    """Write `content` to `path`, replacing what was there; missing parent directories are made.

    Raises:
        OSError: it could not be written; what stood at `path` is unharmed, and no temporary file is left.
    """
    _replace(path, [content])


def copy_durably(source: Path, path: Path) -> str:
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

    _replace(path, chunks())
    return digest.hexdigest()


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
    """A claimed directory (see `claim_directory`) to be filled; whatever interrupts the filling removes it.

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
    with _opened(directory) as descriptor:
        lock(descriptor, exclusive=True)
        yield


@contextlib.contextmanager
def joined_directory(directory: Path) -> Iterator[None]:
    """Hold `directory` together with other processes that join it; it is made if it is not there.

    Raises:
        OSError: it could not be made.
    """
    with contextlib.ExitStack() as stack:
        for tries_left in range(JOIN_TRIES, -1, -1):
            try:
                with _naming(directory), _made_directories(directory.parent), _shared(directory.parent):
                    with contextlib.suppress(FileExistsError):
                        directory.mkdir()
                        _sync_directory(directory.parent)
                    stack.enter_context(_shared(directory))
                    break
            except FileNotFoundError:  # another process removed the parent, which was empty, between two of these lines
                if not tries_left:
                    raise
        yield


@contextlib.contextmanager
def unheld(directory: Path) -> Iterator[bool]:
    """Whether nobody holds `directory`; inside, nobody begins to, nor claims another one beside it.

    Raises:
        OSError: there is no such directory.
    """
    with _opened(directory.parent) as beside:
        lock(beside, exclusive=True)  # before the directory is opened: another may be made in its place
        with _opened(directory) as descriptor:
            yield lock(descriptor, exclusive=True, wait=False)


@contextlib.contextmanager
def _shared(directory: Path) -> Iterator[None]:
    """Among others that claim in `directory`."""
    with _opened(directory) as descriptor:
        lock(descriptor, exclusive=False)
        yield


def lock(descriptor: int, *, exclusive: bool, wait: bool = True) -> bool:
    """Whether the file or directory is ours now, until `descriptor` is closed; False where someone else has it.

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
def uninterrupted() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the end; a second one does not wait. Outside of the main thread nothing waits.

    What has to be whole or not there would else be cut between any two lines.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def wait(number: int, frame: FrameType | None) -> None:
        came.append((number, frame))
        if len(came) > 1:
            deliver()

    def deliver() -> None:
        number, frame = came.pop()
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, wait)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        deliver()


def _replace(path: Path, chunks: Iterable[bytes]) -> None:
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    with _naming(path, temporary), _made_directories(path.parent), _opened(path.parent) as directory:
        try:
            # 0o666 leaves the mode to the umask, as for any file that a user makes.
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(chunks)
                file.flush()
                _sync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync(directory)


@contextlib.contextmanager
def _made_directories(directory: Path) -> Iterator[None]:
    """`directory` and its missing parents, each durable; a failure in here or inside removes those made."""
    missing = list(itertools.takewhile(lambda each: not each.exists(), [directory, *directory.parents]))
    made: list[Path] = []
    try:
        for each in reversed(missing):
            with contextlib.suppress(FileExistsError):  # another process was quicker
                each.mkdir()
                made.append(each)
            _sync_directory(each.parent)
        yield
    except BaseException:
        for each in reversed(made):
            with contextlib.suppress(OSError):  # no longer empty: another process uses it
                each.rmdir()
        raise


def _sync_directory(directory: Path) -> None:
    with _opened(directory) as descriptor:
        _sync(descriptor)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """A descriptor of `directory`, had before anything in it changes: one that cannot be synced is left alone."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        # macOS: fsync leaves the bytes in the drive's cache; this empties it. Not every file system has it.
        if hasattr(fcntl, "F_FULLFSYNC"):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)


@contextlib.contextmanager
def _naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Let an OSError about `path`, what encloses it, the temporary file, or nothing at all, name `path`."""
    try:
        yield
    except OSError as error:
        ours = {None, os.fspath(path), *map(os.fspath, path.parents), temporary and os.fspath(temporary)}
        if error.filename is not None and os.fspath(error.filename) not in ours:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
