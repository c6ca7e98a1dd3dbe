"""Things that somebody may have put where a file or folder of ours belongs, and what they lead to."""

import contextlib
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

OUR_NAMES = ("result.json", "timeseries.parquet", "process_0.json", ".expected", ".0123456789abcdef.tmp")
DEADLINE_S = 60


class Outside:
    """A home that nothing may change: a file, and a folder in which names are as ours."""

    def __init__(self, home: Path) -> None:
        self.file, self.folder = home / "thesis.txt", home / "Documents"
        self.file.parent.mkdir(parents=True)
        self.file.write_text("years of work")
        for folder in (self.folder, self.folder / "run"):
            folder.mkdir()
            for name in OUR_NAMES:
                (folder / name).write_text("years of work")
        self._home, self._before = home, _contents(home)

    def is_unharmed(self) -> bool:
        """Return True if every name, byte and time of change is as it was."""
        return _contents(self._home) == self._before


def _contents(home: Path) -> dict[Path, object]:
    found: dict[Path, object] = {}
    for path in (home, *home.rglob("*")):
        seen = path.lstat()
        found[path] = (seen.st_mode, seen.st_mtime_ns, path.read_bytes() if stat.S_ISREG(seen.st_mode) else None)
    return found


def _directory(path: Path, outside: Outside) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("mine")


def _socket(path: Path, outside: Outside) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


def _holes(path: Path, outside: Outside) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42)


KINDS: dict[str, Callable[[Path, Outside], None]] = {
    "link to a file": lambda path, outside: path.symlink_to(outside.file),
    "link to a folder": lambda path, outside: path.symlink_to(outside.folder),
    "link to nothing": lambda path, outside: path.symlink_to(outside.folder / "new"),
    "link to itself": lambda path, outside: path.symlink_to(path.name),
    "link to a device": lambda path, outside: path.symlink_to("/dev/zero"),
    "named pipe": lambda path, outside: os.mkfifo(path),
    "folder": _directory,
    "socket": _socket,
    "hard link": lambda path, outside: path.hardlink_to(outside.file),
    "file of holes": _holes,
}
"""Each puts something at a path; a home is there to lead to."""

NO_FILES = [kind for kind in KINDS if kind not in ("hard link", "file of holes")]


def place(kind: str, path: Path, outside: Outside) -> Path:
    """`kind` at `path`, in the place of what is there; the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    KINDS[kind](path, outside)
    return path


def names_below(folder: Path) -> set[Path]:
    """Everything in `folder` at any depth, links not followed."""
    return {Path(at) / name for at, folders, files in os.walk(folder) for name in (*folders, *files)}


@contextlib.contextmanager
def deadline() -> Iterator[None]:
    """End what waits for ever, as a read of a pipe does."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"not done after {DEADLINE_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(DEADLINE_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
