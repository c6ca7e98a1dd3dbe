"""The files that `payments.file` names."""

import glob
import itertools
from pathlib import Path

from labledger.errors import ConfigError
from labledger.files import is_same
from labledger.untrusted_text import SHOWN, clean
from labledger.written_paths import existing, find_written
from payment_simulator.scenario.payment_files.problems import PaymentsKeyError

CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")
PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")
XML = (".xml",)
KINDS = (*CSV, *PARQUET, *ARROW, *XML)
SHOWN_KINDS = ".csv (also .csv.gz, .tsv, .txt), .parquet, .arrow, .feather, .xml (ISO 20022)"


def kind_of(path: Path) -> str:
    """Return the ending by which a file is read, empty where none of ours is."""
    name = path.name.lower()
    return next((kind for kind in KINDS if name.endswith(kind)), "")


def files_of(written: str | list[str], folder: Path) -> list[Path]:
    """Return the files that are named in a file of `folder`, sorted by name: files, folders of them, globs.

    Raises:
        PaymentsKeyError: there is none by a name, one is of another kind, or one stands twice.
    """
    found: list[Path] = []
    for name in [written] if isinstance(written, str) else written:
        found += _named(name, folder)
    found.sort(key=lambda path: (path.name, str(path)))
    for path in found:
        if not kind_of(path):
            raise PaymentsKeyError("file", f"{clean(str(path), SHOWN)}: read are {SHOWN_KINDS}")
    for earlier, later in itertools.pairwise(found):
        if is_same(earlier, later):
            raise PaymentsKeyError("file", f"{clean(str(later), SHOWN)} is named twice")
    return found


def _named(name: str, folder: Path) -> list[Path]:
    is_pattern = glob.has_magic(name) and not find_written(name, folder).exists()
    if is_pattern:
        matches = glob.glob(name, root_dir=folder) or glob.glob(name)
        base = folder if glob.glob(name, root_dir=folder) else Path()
        paths = [base / match for match in matches]
        if not paths:
            raise PaymentsKeyError("file", f"{clean(name, SHOWN)}: no file matches")
        return [path for path in paths if not path.is_dir()]
    try:
        path = existing(name, folder)
    except ConfigError as error:
        raise PaymentsKeyError("file", str(error)) from error
    if not path.is_dir():
        return [path]
    inside = [each for each in path.iterdir() if kind_of(each) and not each.name.startswith(".") and not each.is_dir()]
    if not inside:
        raise PaymentsKeyError("file", f"{clean(name, SHOWN)}: no file of payments is in it; read are {SHOWN_KINDS}")
    return inside
