"""Runs that are done, kept in a folder beside the output until all are: what a sweep that was ended goes on from."""

import contextlib
import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from labledger.errors import ConfigError
from labledger.files import joined_directory, opened_directory, write_durably
from labledger.json_text import JsonError, load_json
from labledger.locks import holder, lock
from labledger.regular_files import read_regular
from labledger.untrusted_text import reason_of
from payment_simulator.sweeps.measures import Floats

SUFFIX = ".partial"
ABOUT = "about.json"
MAX_ABOUT = 10_000_000
NAME = re.compile(r"runs-(\d{1,18})-(\d{1,18})-([0-9a-f]{16})\.npy")
"""Of a file of runs: the first, the last + 1, and a digest of the content."""
PROGRAM = ("engine", "policy", "scenario", "sweeps")
"""The packages on whose code figures depend."""


def program_digest() -> str:
    """Return a digest of the code that figures depend on."""
    digest = hashlib.sha256(version("labledger").encode())
    for folder in PROGRAM:
        for path in sorted((Path(__file__).parents[1] / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def partial_folder(output: Path) -> Path:
    """Return the folder of what is done of `output`."""
    return output.with_name(output.name + SUFFIX)


class Store:
    """The figures of runs, by their numbers, in a folder that this process holds.

    What `save` has returned of survives the end of the process, and of the machine. A folder is of one list of runs:
    `begin` says of which.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checked: dict[str, bool] = {}

    @classmethod
    @contextlib.contextmanager
    def held(cls, folder: Path) -> Iterator["Store"]:
        """Yield the store in `folder`, which is made if need be.

        Raises:
            ConfigError: another process has it.
            OSError: it cannot be made.
        """
        if not folder.is_dir():  # of one that is held, its maker would wait
            with joined_directory(folder):
                pass
        with opened_directory(folder) as descriptor:
            if not lock(descriptor, exclusive=True, wait=False):
                raise ConfigError(f"{folder}: {holder(descriptor)} is at work on it; name another output")
            yield cls(folder)

    @property
    def is_begun(self) -> bool:
        """True where it was noted whose runs are kept here."""
        return (self.folder / ABOUT).exists()

    def begin(self, about: Mapping[str, Any]) -> None:
        """Note whose runs are kept here: `about` has their `digest`.

        Raises:
            ConfigError: those of another digest are; or the folder holds something else.
            OSError: it cannot be written to.
        """
        path = self.folder / ABOUT
        if not self.is_begun:
            write_durably(path, json.dumps(about, indent=2).encode())
            return
        try:
            found = load_json(read_regular(path, MAX_ABOUT))
        except (OSError, JsonError) as error:
            raise ConfigError(f"{path}: cannot be read: {reason_of(error)}; remove {self.folder}") from error
        if not isinstance(found, dict) or found.get("digest") != about["digest"]:
            raise ConfigError(
                f"{self.folder}: holds runs of other settings, another scenario, or another version of this program; "
                "name another output, or remove it to begin anew"
            )

    def save(self, begin: int, end: int, figures: Floats) -> None:
        """Keep the figures of the runs from `begin` up to `end`, one after the other.

        Raises:
            OSError: they could not be written; nothing of them is there.
        """
        buffer = io.BytesIO()
        np.save(buffer, figures, allow_pickle=False)
        content = buffer.getvalue()
        path = self.folder / f"runs-{begin}-{end}-{_digest(content)}.npy"
        write_durably(path, content)
        self._checked[path.name] = True

    def stretches(self) -> list[tuple[int, int]]:
        """Return the runs that are kept, first and last + 1 of each file, in order."""
        return sorted(self._parts())

    def _parts(self) -> dict[tuple[int, int], Path]:
        """Return the files whose content is what was written, by their runs; others are as if they were not there.

        Of files whose runs overlap the first counts.
        """
        found: dict[tuple[int, int], Path] = {}
        at = 0
        named = [(NAME.fullmatch(path.name), path) for path in self.folder.glob("runs-*.npy")]
        for begin, end, digest, path in sorted((int(n[1]), int(n[2]), n[3], path) for n, path in named if n):
            if begin < at or end <= begin or not self._is_whole(path, digest):
                continue
            found[begin, end], at = path, end
        return found

    def _is_whole(self, path: Path, digest: str) -> bool:
        if path.name not in self._checked:
            with contextlib.suppress(OSError):
                self._checked[path.name] = _digest(read_regular(path)) == digest
        return self._checked.get(path.name, False)

    def missing(self, runs: int) -> list[tuple[int, int]]:
        """Return the runs that are not kept, of so many."""
        found, at = [], 0
        for begin, end in [*self.stretches(), (runs, runs)]:
            if begin > at:
                found.append((at, begin))
            at = end
        return found

    def figures(self, shapes: Sequence[tuple[int, int]], runs_each: int) -> Iterator[Floats]:
        """Yield the figures of each cell: runs x banks x figures. `shapes` has banks and figures of each cell."""
        at = self._each_run(shapes, runs_each)
        for _ in shapes:
            yield np.stack([next(at) for _ in range(runs_each)])

    def _each_run(self, shapes: Sequence[tuple[int, int]], runs_each: int) -> Iterator[Floats]:
        for (begin, end), path in sorted(self._parts().items()):
            kept, place = np.load(path, allow_pickle=False), 0
            for run in range(begin, end):
                shape = shapes[run // runs_each]
                size = shape[0] * shape[1]
                yield kept[place : place + size].reshape(shape)
                place += size

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
