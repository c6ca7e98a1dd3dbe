"""Results as commands load them: what is wrong with one is told on standard error, and the rest goes on."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult


def load(path: Path) -> "ExperimentResult":
    """The result at `path`. Raises as `ExperimentResult.from_json`."""
    from llenergymeasure.results.persistence import load_result

    with _telling_warnings(path):
        return load_result(path)


_told: set[str] = set()


@contextlib.contextmanager
def _telling_warnings(path: Path) -> Iterator[None]:
    """Warnings go to standard error, with the result's name; one of another schema version once for all results."""
    import warnings

    from labledger.console import print_error
    from labledger.schema_versions import SchemaVersionWarning
    from labledger.untrusted_text import clean

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        of_all = issubclass(warning.category, SchemaVersionWarning)
        text = str(warning.message) if of_all else f"{path.parent.name}: {warning.message}"
        if text not in _told:
            print_error(clean(text))
            _told.add(text)


def load_all(directory: Path) -> list[tuple[Path, "ExperimentResult"]]:
    """Every readable result; the others, and warnings of other schema versions (once), on standard error."""
    from labledger.console import print_error
    from labledger.untrusted_text import clean
    from llenergymeasure.results.catalog import Unreadable, read_result, result_files

    found = []
    for path in result_files(directory):
        with _telling_warnings(path):
            result = read_result(path)
        if isinstance(result, Unreadable):
            print_error(clean(f"{result.path}: {result.reason}"))
        else:
            found.append((path, result))
    return found


def load_rows(directory: Path) -> list[dict[str, Any]]:
    """The flat row of each readable result."""
    from llenergymeasure.results.flat import flat_row

    return [flat_row(result, path.parent) for path, result in load_all(directory)]
