"""Checks of output paths, before anything is computed: a path that cannot be written would cost the run."""

from collections.abc import Sequence
from pathlib import Path

from labledger.errors import ConfigError
from labledger.extras import install_command, missing
from labledger.files import is_same


def check_picture(option: str, path: Path, suffixes: Sequence[str]) -> None:
    """Refuse a picture of another kind, or where none can be drawn.

    Raises:
        ConfigError: its name ends in none of `suffixes`, or matplotlib is not installed.
    """
    check_suffix(option, path, suffixes)
    if missing("matplotlib"):
        raise ConfigError(f"{option}: matplotlib is not installed; run {install_command('plot')}")


def check_suffix(option: str, path: Path, suffixes: Sequence[str]) -> None:
    """Refuse a file of another kind.

    Raises:
        ConfigError: its name ends in none of `suffixes`.
    """
    if path.suffix.lower() in suffixes:
        return
    if len(suffixes) == 1:
        raise ConfigError(f"{option}: {path} does not end in {suffixes[0]}")
    kinds = f"neither {' nor '.join(suffixes)}" if len(suffixes) == 2 else f"none of {', '.join(suffixes)}"
    raise ConfigError(f"{option}: {path} is {kinds}")


def check_place(option: str, path: Path) -> None:
    """Refuse a file that cannot be written.

    Raises:
        ConfigError: something else than a file is there, or no directory for it.
    """
    if path.exists() and not path.is_file():
        raise ConfigError(f"{option}: {path} is not a regular file; name another")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{option}: there is no directory {path.absolute().parent}")


def check_apart(option: str, path: Path, inputs: Sequence[Path]) -> None:
    """Refuse a file that would be written over one that is read, by whatever name or link it is called.

    Raises:
        ConfigError: it would.
    """
    if read := next((each for each in inputs if is_same(path, each)), None):
        raise ConfigError(f"{option}: {path} would be written over {read}, which is read; name another")
