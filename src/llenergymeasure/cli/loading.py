"""Load results for commands: a bad one is named on standard error, and the others are still loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labledger.commands import printing_warnings

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult


def load(path: Path) -> "ExperimentResult":
    """Return the result at `path`. Raises as `ExperimentResult.from_json`."""
    from llenergymeasure.results.persistence import load_result

    with printing_warnings(path.parent.name):
        return load_result(path)


def load_all(directory: Path) -> Iterator[tuple[Path, "ExperimentResult"]]:
    """Yield every readable result with its path; unreadable ones and warnings (once) go to standard error.

    One after another: a result of many requests is large, and a folder has many results.
    """
    from labledger.console import print_error
    from labledger.untrusted_text import clean
    from llenergymeasure.results.catalog import Unreadable, read_result, result_files

    for path in result_files(directory):
        with printing_warnings(path.parent.name):
            result = read_result(path)
        if isinstance(result, Unreadable):
            print_error(clean(f"{result.path}: {result.reason}"))
        elif result is not None:
            yield path, result


def load_rows(directory: Path) -> list[dict[str, Any]]:
    """Return the flat row of each readable result."""
    from llenergymeasure.results.flat import flat_row

    return [flat_row(result, path.parent) for path, result in load_all(directory)]
