"""The outputs of commands that make many runs: a table in a Parquet file, and a picture."""

from pathlib import Path
from typing import TYPE_CHECKING

from labledger.console import print_answer, print_json
from labledger.errors import ConfigError
from labledger.files import is_same, write_durably
from labledger.json_text import dump_json
from payment_simulator.cli.outputs import check_apart, check_picture, check_place

if TYPE_CHECKING:
    import pyarrow


def check_outputs(scenario: Path, output: Path | None, option: str, picture: Path | None) -> None:
    """Refuse outputs before anything is computed; `option` names the picture.

    Raises:
        ConfigError: one of the files cannot be written, or is another one of them.
    """
    if output is not None:
        if output.suffix.lower() != ".parquet":
            raise ConfigError(f"--output: {output} does not end in .parquet")
        check_place("--output", output)
        check_apart("--output", output, [scenario])
    if picture is None:
        return
    check_picture(option, picture, (".png", ".svg"))
    check_place(option, picture)
    check_apart(option, picture, [scenario])
    if output is not None and is_same(output, picture):
        raise ConfigError(f"{option}: {picture} is the file of --output; name another")


def place_of_picture(output: Path | None, picture: Path | None, *, is_drawn: bool) -> Path | None:
    """Return the file of a picture: the one that is named, else one beside the output; None where none is drawn.

    Raises:
        ConfigError: it has no place, or a place is named and nothing to draw.
    """
    if not is_drawn:
        if picture is not None:
            raise ConfigError(f"--picture: what is {picture} to show? say --plot PATH, one of the settings")
        return None
    if picture is None and output is None:
        raise ConfigError("--plot: where is it to be drawn? say --picture FILE.png, or --output")
    return picture or (output or Path()).with_suffix(".png")


def check_csv(scenario: Path, csv: Path | None, *others: Path | None) -> None:
    """Refuse a CSV file that cannot be written, or is the scenario or another output.

    Raises:
        ConfigError: it is.
    """
    if csv is None:
        return
    check_place("--csv", csv)
    check_apart("--csv", csv, [scenario])
    if same := next((each for each in others if each is not None and is_same(csv, each)), None):
        raise ConfigError(f"--csv: {csv} is the file of another output, {same}; name another")


def write_csv(table: "pyarrow.Table", path: Path) -> None:
    """Write a table as CSV, a row each; what is not known is an empty cell.

    Raises:
        OSError: it could not be written; what stood there is unharmed.
    """
    from labledger.csv_files import to_csv

    write_durably(path, to_csv(table.column_names, table.to_pylist()).encode())


def print_rows(table: "pyarrow.Table") -> None:
    """Print a table as JSON: what it says of itself, and its rows."""
    from labledger.json_text import load_json
    from payment_simulator.sweeps.tables import ABOUT

    about = load_json(table.schema.metadata[ABOUT])
    print_json(dump_json({**about, "rows": table.to_pylist()}))


def print_done(*paths: Path | None, to_stderr: bool) -> None:
    """Print which files were written."""
    for path in paths:
        if path is not None:
            print_answer(f"written: {path}", to_stderr=to_stderr)
