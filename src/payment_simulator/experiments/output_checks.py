"""The checks of the places that an experiment's results go to, made before anything is made there."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from labledger.errors import ConfigError
from labledger.files import is_same
from payment_simulator.experiments.config import ExperimentConfig, Output

LONGEST_NAME = 255
"""Bytes that a file system holds for one name of a path."""
TEMPORARY = 32
"""Bytes of a name that are left to the files beside a database: its lock, its log."""


def check_output(config: ExperimentConfig, config_dir: Path | None = None) -> None:
    """Refuse a folder or a database of results that could not be made, or would be written over what is read.

    `config_dir` is where the configuration's own paths begin, as for a runner.

    Raises:
        ConfigError: every problem, a line each: `file:line: key: what was found; what to do`.
    """
    if config.output is None:
        return
    folder = config_dir or (config.path.parent if config.path else Path())
    named = [folder / name for name in (config.scenario, config.evaluation.observed) if name and "\0" not in name]
    found = problems_of_output(config.output, [*([] if config.path is None else [config.path]), *named])
    if found:
        raise ConfigError("\n".join(f"{config.place('output', key)}{problem}" for key, problem in found.items()))


def problems_of_output(output: Output, inputs: Iterable[Path]) -> dict[str, str]:
    """Return the problem of each key of the section `output`, as `check_output`; `inputs` are what is read."""
    given = {"directory": output.directory, "database": output.database}
    names = {key: text for key, text in given.items() if text is not None}
    found = {key: problem for key, text in names.items() if (problem := _unusable(text, key)) is not None}
    return found or dict(_misplaced(output, inputs))


def _unusable(text: str, key: str) -> str | None:
    """Return the problem with a path as it is written."""
    if "\0" in text:
        return f"{text!r} has a NUL in it, which no path can have"
    parts = os.fsencode(text).split(b"/")
    if key == "database" and parts[-1] in (b"", b".", b".."):
        return f"{text!r} names no file; write one, as experiments.db"
    room = LONGEST_NAME - TEMPORARY if key == "database" else LONGEST_NAME
    if (longest := max(map(len, parts))) > room:
        return f"a name of {longest:,} bytes is too long for a file system; write one of at most {room}"
    return None


def _misplaced(output: Output, inputs: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield, by key, the problem with what is at a path now."""
    directory = Path(output.directory or ".")
    if (other := _no_directory(directory)) is not None:
        yield "directory", f"{other} is a file, not a directory; name another"
        return
    if (path := output.database_path) is None:
        return
    if path.exists() and not path.is_file():
        yield "database", f"{path} is not a regular file; name another"
    elif (other := _no_directory(path.parent)) is not None:
        yield "database", f"{other} is a file, not a directory; name another"
    elif (read := next((each for each in inputs if is_same(path, each)), None)) is not None:
        yield "database", f"{path} would be written over {read}, which is read; name another"


def _no_directory(path: Path) -> Path | None:
    """Return what is there in the place of a directory that a path leads through; None if it can be made."""
    return next((each for each in (path, *path.parents) if os.path.lexists(each) and not each.is_dir()), None)
