"""Load results for commands: a bad one is named on standard error, and the others are still loaded."""

import contextlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labledger.commands import printing_warnings

if TYPE_CHECKING:
    from labledger.console import StderrProgress
    from llenergymeasure.domain.experiment import ExperimentResult

SHOWN_AFTER_S = 2.0


def load(path: Path) -> "ExperimentResult":
    """Return the result at `path`. Raises as `ExperimentResult.from_json`."""
    from llenergymeasure.results.persistence import load_result

    with printing_warnings(path.parent.name):
        return load_result(path)


def load_all(directory: Path) -> Iterator[tuple[Path, "ExperimentResult"]]:
    """Yield every readable result with its path; unreadable ones and warnings (once) go to standard error.

    One after another: a result of many requests is large, and a folder has many results.
    """
    from labledger.untrusted_text import clean
    from llenergymeasure.results.catalog import Unreadable, read_result, result_files

    paths = list(result_files(directory))
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


def load_rows(directory: Path) -> list[dict[str, Any]]:
    """Return the flat row of each readable result."""
    from llenergymeasure.results.flat import flat_row

    return [flat_row(result, path.parent) for path, result in load_all(directory)]
