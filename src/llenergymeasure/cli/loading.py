"""Load results for commands: a bad one is named on standard error, and the others are still loaded."""

import contextlib
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from labledger.commands import printing_warnings

if TYPE_CHECKING:
    from labledger.console import StderrProgress
    from llenergymeasure.domain.experiment import ExperimentResult, RawProcessResult
    from llenergymeasure.results.flat import Row

SHOWN_AFTER_S = 2.0


def load(path: Path) -> "ExperimentResult":
    """Return the result at `path`. Raises as `ExperimentResult.from_json`."""
    from llenergymeasure.results.persistence import load_result

    with printing_warnings(path.parent.name):
        return load_result(path)


def load_any(path: Path) -> "ExperimentResult | RawProcessResult":
    """Return the result at `path`, or the raw result of a process. Raises as `load`."""
    from labledger.documents import OtherKindError
    from llenergymeasure.results.raw_results import load_raw_result

    try:
        return load(path)
    except OtherKindError:
        with printing_warnings(path.parent.name), contextlib.suppress(OtherKindError):
            return load_raw_result(path)
        raise


def directory_of(argument: Path | None, option: Path | None) -> Path:
    """Return the directory of results that a command names, by its argument or by --dir; `results` where it names none.

    Raises:
        ConfigError: it names two.
    """
    from llenergymeasure.errors import ConfigError

    if argument is not None and option is not None and argument != option:
        raise ConfigError(f"--dir {option}: {argument} is named as well; name one directory")
    return argument or option or Path("results")


def files_in(directory: Path, recursive: bool | None) -> list[Path]:
    """Return the files of results in a directory and, with `recursive`, in those below.

    Without, a line on standard error tells of results that lie one level down; None: the command has no such option.
    """
    from labledger.console import print_line
    from llenergymeasure.results.catalog import files_and_others, result_files, results_below

    if recursive:
        with printing_warnings(directory.name):
            return list(result_files(directory, recursive=True))
    found, others = files_and_others(directory)
    if below := results_below(others):
        how = "; -r takes them as well" if recursive is False else ""
        print_line(f"left out: {below}{how}", to_stderr=True)
    return found


def load_all(directory: Path, recursive: bool | None = None) -> Iterator[tuple[Path, "ExperimentResult"]]:
    """Yield every readable result with its path, of the files that `files_in` finds.

    Unreadable ones and warnings (once) go to standard error. One after another: a result of many requests is large,
    and a folder has many results.
    """
    from labledger.untrusted_text import clean
    from llenergymeasure.results.catalog import Unreadable, read_result

    paths = files_in(directory, recursive)
    with _progress() as progress:
        progress.phase(f"reading {directory}")
        for done, path in enumerate(paths):
            progress.update(done, len(paths))
            with printing_warnings(path.parent.name):
                result = read_result(path)
            if isinstance(result, Unreadable):
                progress.message(clean(f"error: {result.path}: {result.reason}"))
            elif result is not None:
                yield path, result


@contextlib.contextmanager
def _progress() -> Iterator["StderrProgress"]:
    """Show progress on a terminal, once reading takes seconds; elsewhere nobody waits for it, and it would be noise."""
    from labledger.console import StderrProgress

    after_s = SHOWN_AFTER_S if sys.stderr is not None and sys.stderr.isatty() else math.inf
    with StderrProgress(shown_after_s=after_s) as progress:
        yield progress


def load_rows(directory: Path, names: Iterable[str] | None = None, *, recursive: bool | None = None) -> "Iterator[Row]":
    """Yield the flat row of each result that `load_all` yields, with every column or with those of these names."""
    from llenergymeasure.results.flat import flat_row

    chosen = None if names is None else list(names)
    for path, result in load_all(directory, recursive):
        yield flat_row(result, path.parent, chosen)
