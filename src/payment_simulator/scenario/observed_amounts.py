"""Files of observed amounts, read into the `Empirical` distributions that name them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labledger.errors import ConfigError
from labledger.untrusted_text import SHOWN, clean, reason_of
from labledger.written_paths import existing
from labledger.yaml_files import Location
from payment_simulator.scenario.arrival_sections import PRIORITY_BANDS
from payment_simulator.scenario.distributions import MAX_OBSERVED

if TYPE_CHECKING:
    import pyarrow

AMOUNT, SENDER = "amount", "sender"


def inline_amounts(data: Mapping[str, Any], folder: Path, place: Callable[[Location], str]) -> list[str]:
    """Put the amounts of the files that `Empirical` distributions name in the place of their paths.

    A file has a column `amount`, whole cents. Where it has a column `sender`, a bank's are the rows of its own id.
    Return the problems, each with the place of the file's name: it cannot be read, or has no amounts of the bank.
    """
    tables: dict[Path, pyarrow.Table] = {}
    problems = []
    for location, bank, amounts in _named(data):
        try:
            if not isinstance(amounts["file"], str) or "values" in amounts:
                continue  # the check of the whole scenario tells
            path = existing(amounts["file"], folder)
            table = tables[path] if path in tables else tables.setdefault(path, _table(path))
            values = _amounts_of(table, path, bank)
        except ConfigError as error:
            problems.append(f"{place((*location, 'file'))}: {error}")
            continue
        del amounts["file"]
        amounts["values"] = values
    return problems


def _named(data: Mapping[str, Any]) -> Iterator[tuple[Location, Any, dict[str, Any]]]:
    """Yield the location, the bank and the section of each distribution that names a file."""
    agents = data.get("agents")
    for number, agent in enumerate(agents if isinstance(agents, list) else []):
        found = agent if isinstance(agent, Mapping) else {}
        bands = found.get("arrival_bands")
        configs: list[tuple[Location, Any]] = [(("arrival_config",), found.get("arrival_config"))]
        if isinstance(bands, Mapping):
            configs += [(("arrival_bands", band), bands.get(band)) for band in PRIORITY_BANDS]
        for place, config in configs:
            amounts = config.get("amount_distribution") if isinstance(config, Mapping) else None
            if isinstance(amounts, dict) and amounts.get("type") == "Empirical" and "file" in amounts:
                yield ("agents", number, *place, "amount_distribution"), found.get("id"), amounts


def _table(path: Path) -> "pyarrow.Table":
    import pyarrow as pa
    import pyarrow.csv

    from labledger.arrow_files import arrow_file
    from labledger.parquet_files import read_parquet
    from labledger.regular_files import opened_to_read

    try:
        if path.suffix.lower() == ".parquet":
            table = read_parquet(path, [AMOUNT, SENDER], max_rows=10 * MAX_OBSERVED, follow=True)
        else:
            with opened_to_read(path, follow=True) as file:
                table = pyarrow.csv.read_csv(arrow_file(file))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as amounts: {reason_of(error)}") from error
    if AMOUNT not in table.column_names or not pa.types.is_integer(table[AMOUNT].type):
        has = clean(", ".join(table.column_names), SHOWN)
        raise ConfigError(f"{path}: it needs a column `{AMOUNT}` of whole cents, and has {has}")
    return table


def _amounts_of(table: "pyarrow.Table", path: Path, bank: Any) -> list[int]:
    import pyarrow.compute as pc

    if SENDER in table.column_names:
        table = table.filter(pc.equal(table[SENDER].cast("string"), str(bank)))
    if not 0 < (count := table.num_rows) <= MAX_OBSERVED:
        whose = f" of {bank}" if SENDER in table.column_names else ""
        most = f"; at most {MAX_OBSERVED:,} are held: write their quantiles" if count else ""
        raise ConfigError(f"{path}: it has {count:,} amounts{whose}{most}")
    values: list[int] = table[AMOUNT].to_pylist()
    return values
