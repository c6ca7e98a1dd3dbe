"""Runs that are done, kept in a folder beside the output until all are: what a sweep that was ended goes on from."""

import contextlib
import hashlib
import io
import json
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
PROGRAM = ("engine", "policy", "scenario", "sweeps")
"""The packages on whose code figures depend."""


def program_digest() -> str:
    """Return a digest of the code that figures depend on."""
    digest = hashlib.sha256(version("labledger").encode())
    for folder in PROGRAM:
        for path in sorted((Path(__file__).parents[1] / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


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
        write_durably(self.folder / f"runs-{begin}-{end}.npy", buffer.getvalue())

    def stretches(self) -> list[tuple[int, int]]:
        """Return the runs that are kept, first and last + 1 of each file, in order."""
        names = [path.stem.split("-") for path in self.folder.glob("runs-*-*.npy")]
        return sorted((int(begin), int(end)) for _, begin, end in names)

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
        for begin, end in self.stretches():
            kept, place = np.load(self.folder / f"runs-{begin}-{end}.npy", allow_pickle=False), 0
            for run in range(begin, end):
                shape = shapes[run // runs_each]
                size = shape[0] * shape[1]
                yield kept[place : place + size].reshape(shape)
                place += size

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
