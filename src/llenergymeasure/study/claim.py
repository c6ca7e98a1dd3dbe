"""The folder of a study: a new one of its name, or the one that it goes on in."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from labledger.errors import UnreadableFileError
from labledger.files import claim_directory, uninterrupted
from labledger.notices import notify
from labledger.untrusted_text import reason_of
from llenergymeasure.errors import ConfigError, PreFlightError
from llenergymeasure.results.study.held import LOCK_FILE, runner_of
from llenergymeasure.results.study.manifest import MANIFEST_FILE, read_manifest


@contextlib.contextmanager
def begun_study(output: Path, name: str) -> Iterator[Path]:
    """Yield a new folder for a study, as `claim_study`. Where the block ends in an error before the study has its
    manifest, the folder is gone again."""
    folder = None
    try:
        with uninterrupted():
            folder = claim_study(output, name)
        yield folder
    except BaseException:
        if folder is not None and not os.path.lexists(folder / MANIFEST_FILE):
            with contextlib.suppress(OSError):
                (folder / LOCK_FILE).unlink(missing_ok=True)
                folder.rmdir()
        raise


def claim_study(output: Path, name: str) -> Path:
    """Return a new folder in `output` for a study: `name`, or the first free of `name_1`, `name_2`, ...

    An earlier study of that name that is unfinished is a notice.

    Raises:
        PreFlightError: an earlier study of that name is being run.
        OSError: `output` cannot be written to.
    """
    earlier = studies_of(output, name)
    for folder in earlier:
        if (who := runner_of(folder)) is not None:
            raise PreFlightError(f"{folder}: {who} is running this study; wait for its end, or give yours another name")
    if earlier:
        _tell_of_unfinished(earlier[-1])
    return claim_directory(output / name)


def latest_study(output: Path, name: str, *, field_prefix: str = "--") -> Path:
    """Return the folder in `output` of the study of that name that was begun last: of `name_2` and `name_1`, `name_2`.

    Raises:
        ConfigError: there is none.
    """
    if earlier := studies_of(output, name):
        return earlier[-1]
    flags = ("--resume", "-o") if field_prefix else ("resume", "output_dir")
    raise ConfigError(
        f"{output}: there is no study with the name {name} to go on with; begin it without {flags[0]}, or name its "
        f"directory with {flags[1]}"
    )


def studies_of(output: Path, name: str) -> list[Path]:
    """Return the folders of studies of that name in `output`, the first first."""
    numbered = re.compile(re.escape(name) + r"(?:_([1-9][0-9]{0,8}))?")
    try:
        found = [(int(match[1] or 0), entry) for entry in os.listdir(output) if (match := numbered.fullmatch(entry))]
    except OSError:
        return []
    return [output / entry for _, entry in sorted(found) if os.path.lexists(output / entry / MANIFEST_FILE)]


def _tell_of_unfinished(folder: Path) -> None:
    try:
        runs = read_manifest(folder).runs
    except (UnreadableFileError, OSError) as error:
        notify(f"{folder}: holds a study that cannot be read: {reason_of(error)}; a new one is begun beside it")
        return
    done = sum(run.state == "done" for run in runs)
    if done < len(runs):
        notify(
            f"{folder}: holds an earlier study of which {done} of {len(runs)} runs are done; a new one is begun beside "
            f"it; to go on with that: llem study resume {folder}"
        )
