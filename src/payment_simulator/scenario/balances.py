"""A file of what banks have: fields of theirs by bank, and credit lines and balances that change."""

import csv
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labledger.counts import counted
from labledger.errors import ConfigError
from labledger.parquet_files import read_parquet
from labledger.untrusted_text import SHOWN, clean, reason_of
from labledger.yaml_files import did_you_mean, yaml_value
from payment_simulator.scenario.balance_section import Balances
from payment_simulator.scenario.balance_times import RunDays
from payment_simulator.scenario.banks import BankFields
from payment_simulator.scenario.payment_files.amounts import Money, cents_of
from payment_simulator.scenario.payment_files.banks import banks_of
from payment_simulator.scenario.payment_files.csv_text import CsvText, csv_text
from payment_simulator.scenario.payment_files.files import CSV, PARQUET, kind_of
from payment_simulator.scenario.payment_files.kinds import AMOUNT, NAME, TIME, plain
from payment_simulator.scenario.payment_files.problems import Problems
from payment_simulator.scenario.payment_files.source import Source

if TYPE_CHECKING:
    import pyarrow

Mask = NDArray[np.bool_]
CREDIT, OPENING = "unsecured_cap", "opening_balance"
NO_FIELDS = ("id", "date", "time")
USUAL_NAMES = {
    "id": "id bank bankid bic agent agentid participant participantid institution member code",
    "date": "date day businessdate businessday valuedate",
    "time": "time timestamp tick validfrom since",
    OPENING: "openingbalance balance opening initialbalance startbalance startingbalance beginningbalance",
    CREDIT: "unsecuredcap creditlimit creditline intradaycredit overdraftlimit credit cap",
    "posted_collateral": "postedcollateral collateral",
    "max_collateral_capacity": "maxcollateralcapacity collateralcapacity maxcollateral",
    "collateral_haircut": "collateralhaircut haircut",
    "liquidity_pool": "liquiditypool pool",
}
"""The names of each column in files; case, blanks, dashes and underscores do not count."""
KINDS = {
    "id": NAME,
    "date": TIME,
    "time": TIME,
    **{name: AMOUNT for name, each in BankFields.model_fields.items() if each.annotation in (int, float)},
}
"""The kinds of columns of tables; those of sections, as a bank's policy, may be of any."""
MAX_ROWS = 1_000_000


@dataclass(frozen=True)
class Later:
    """A value of a bank from a tick on, and where that is written."""

    value: int
    place: str


@dataclass(frozen=True)
class BankRow:
    """The fields of a bank in a file, with the place of each, and by tick what it has from then on."""

    place: str
    fields: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    credit: dict[int, Later] = field(default_factory=dict)
    openings: dict[int, Later] = field(default_factory=dict)


@dataclass(frozen=True)
class _Line:
    place: str
    bank: str
    at: int
    tick: int
    fields: dict[str, Any]


def read_source(path: Path, section: Balances) -> Source:
    """Return the rows of a CSV or Parquet file of balances.

    Raises:
        ConfigError: it cannot be read, or has a column that is none of a bank's.
    """
    kind = kind_of(path)
    if kind in CSV:
        return _of_csv(path, section)
    if kind not in PARQUET:
        raise ConfigError(f"{clean(str(path), SHOWN)}: balances are read from .csv and .parquet")
    try:
        table = read_parquet(path, max_rows=MAX_ROWS, follow=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{clean(str(path), SHOWN)}: cannot be read as Parquet: {reason_of(error)}") from error
    return source_of(table, section, str(path))


def source_of(table: "pyarrow.Table", section: Balances, name: str) -> Source:
    """Return the rows of a table of balances, called `name` in messages. Raises as `read_source`."""
    columns = _columns(table.column_names, section.columns, clean(name, SHOWN))

    def refused(_: str, problem: str) -> ConfigError:
        return ConfigError(f"{clean(name, SHOWN)}: {problem}")

    return Source(name, plain(table, columns, KINDS, refused), columns)


def _of_csv(path: Path, section: Balances) -> Source:
    import pyarrow as pa

    name = clean(str(path), SHOWN)
    try:
        text = csv_text(path, section)
    except ConfigError as error:
        raise ConfigError(re.sub("say payments[.](?=encoding|separator)", "say balances.", str(error))) from error
    columns = _columns_of_text(text, section, name)
    try:
        records = list(itertools.islice(text.records(), MAX_ROWS + 1))
    except csv.Error as error:
        raise ConfigError(f"{name}: cannot be read as CSV: {reason_of(error)}") from error
    if len(records) > MAX_ROWS:
        raise ConfigError(f"{name}: has over {MAX_ROWS:,} rows, more than balances are read from")
    if ragged := [(line, len(cells)) for line, cells in records if len(cells) != len(text.names)]:
        line, number = ragged[0]
        more = f" (and {len(ragged) - 1:,} other rows)" if len(ragged) > 1 else ""
        raise ConfigError(f"{name}:{line}: has {counted(number, 'cell')}, the header {len(text.names)}{more}")
    cells = [list(column) for column in zip(*(row for _, row in records), strict=True)] or [[] for _ in text.names]
    table = pa.table(dict(zip(text.names, (pa.array(each, pa.string()) for each in cells), strict=True)))
    lines: list[int | None] = [line for line, _ in records]
    return Source(str(path), table, columns, text.separator, lines=lambda rows: [lines[row] for row in rows])


def _columns_of_text(text: CsvText, section: Balances, name: str) -> dict[str, str]:
    """Return the columns that the first line names; lines above a header are told."""

    def chosen(names: Sequence[str]) -> dict[str, str]:
        return _columns(names, section.columns, name)

    try:
        return chosen(text.names)
    except ConfigError:
        text.refuse_lines_above(chosen)
        raise


def rows_of(
    source: Source, days: RunDays, money: Callable[[str | None], Money], bic: int | None, named: Collection[str] = ()
) -> dict[str, BankRow]:
    """Return what a file says of each bank, by id; `money` is how amounts are written, with the separator of columns.

    `named` are the ids of the banks that the scenario names.

    Raises:
        ConfigError: a row cannot be used: `file:line: column: problem`, a line each.
    """
    problems = Problems()
    ids, names = banks_of(_column(source, "id"), bic, _reporter(source, "id", problems), named)
    ticks, times = days.moments(source, problems)
    fields: list[dict[str, Any]] = [{} for _ in range(len(source))]
    for name in source.columns:
        if name not in NO_FIELDS:
            for row, value in _values(source, name, money(source.separator), problems):
                fields[row][name] = value
    problems.refuse()
    places = source.places(range(len(source)))
    of_bank: dict[str, list[_Line]] = {}
    for row in np.lexsort((np.arange(len(source)), times)).tolist():
        if ticks[row] < days.days * days.ticks_per_day:
            line = _Line(places[row], names[ids[row]], int(times[row]), int(ticks[row]), fields[row])
            of_bank.setdefault(line.bank, []).append(line)
    return {bank: _row(lines, days.ticks_per_day) for bank, lines in of_bank.items()}


def _columns(names: Sequence[str], given: Mapping[str, str], file: str) -> dict[str, str]:
    """Return the file's name of each of its columns, by ours."""
    ours = [*NO_FIELDS, *BankFields.model_fields]
    for name, theirs in given.items():
        if name not in ours:
            known = did_you_mean(name, ours)
            raise ConfigError(f"balances.columns.{clean(name, SHOWN)}: is no key of a bank{known}")
        if theirs not in names:
            raise ConfigError(
                f"{file}: no column {theirs!r}{did_you_mean(theirs, [clean(each, SHOWN) for each in names])}"
            )
    named = {theirs: name for name, theirs in given.items()}
    usual = {_plain(name): name for name in ours}
    usual |= {variant: name for name, variants in USUAL_NAMES.items() for variant in variants.split()}
    found: dict[str, str] = {}
    for name in names:
        our = named.get(name) or usual.get(_plain(name))
        if our is None:
            hint = did_you_mean(name.strip().lower(), [*ours, "bank", "balance", "credit_limit"])
            raise ConfigError(
                f"{file}: unknown column {clean(name, SHOWN)!r}{hint}; say balances.columns, or leave it out"
            )
        if our in found:
            both = f"{clean(found[our], SHOWN)!r} and {clean(name, SHOWN)!r}"
            raise ConfigError(f"{file}: {both} could be the {our}; say balances.columns.{our}, and leave the other out")
        found[our] = name
    if "id" not in found:
        raise ConfigError(f"{file}: no column is the id of a bank; it has {clean(', '.join(names), SHOWN)}")
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _column(source: Source, ours: str) -> "pyarrow.ChunkedArray":
    column = source.column(ours)
    assert column is not None  # noqa: S101 - it is among the columns
    return column


def _reporter(source: Source, ours: str, problems: Problems) -> Callable[[Mask, Callable[[str], str] | str], None]:
    def report(bad: Mask, text: Callable[[str], str] | str) -> None:
        problems.add(source, bad, ours, text)

    return report


def _values(source: Source, name: str, money: Money, problems: Problems) -> Iterable[tuple[int, Any]]:
    """Yield the row and the value of each cell of a column that is not empty."""
    import pyarrow as pa

    column = _column(source, name)
    filled = np.array([each is not None and str(each).strip() != "" for each in column.to_pylist()], dtype=np.bool_)
    (rows,) = np.nonzero(filled)
    cells = column.filter(pa.array(filled))

    def report(bad: Mask, text: Callable[[str], str] | str) -> None:
        wrong = np.zeros(len(filled), dtype=np.bool_)
        wrong[rows[bad]] = True
        problems.add(source, wrong, name, _of_balances(text))

    kind = BankFields.model_fields[name].annotation
    if kind is int:
        return zip(rows.tolist(), cents_of(cells, money, report).tolist(), strict=True)
    read = _number if kind is float else _section
    found = [read(each) for each in cells.to_pylist()]
    report(np.array([each is None for each in found], dtype=np.bool_), "cannot be read")
    return zip(rows.tolist(), found, strict=True)


def _of_balances(text: Callable[[str], str] | str) -> Callable[[str], str] | str:
    """Return a problem whose remedy is a key of this section."""
    return (lambda cell: text(cell).replace("say decimal:", "say balances.decimal:")) if callable(text) else text


def _number(cell: Any) -> float | None:
    if isinstance(cell, str):
        text = cell.strip().replace(",", ".")
        return float(text) if re.fullmatch(r"[+-]?\d{1,20}(\.\d{1,20})?", text) else None
    return float(cell) if np.isreal(cell) and not isinstance(cell, bool) else None


def _section(cell: Any) -> Any:
    """Return a section of a bank, as its policy, which a cell has in YAML."""
    if not isinstance(cell, str):
        return cell
    try:
        return yaml_value(cell)
    except ConfigError:
        return None


def _row(lines: Sequence[_Line], ticks_per_day: int) -> BankRow:
    """Return the lines of a bank, in the order of their times, as one row.

    Raises:
        ConfigError: two of them hold at once, or something changes that cannot.
    """
    found = BankRow(lines[0].place)
    for before, line in zip([None, *lines[:-1]], lines, strict=True):
        if before is not None and before.at == line.at:
            raise ConfigError(f"{line.place}: {clean(line.bank, SHOWN)} stands twice, first on {before.place}")
        for name, value in line.fields.items():
            _take(found, line, name, value, ticks_per_day)
    held = found.fields.get(CREDIT)
    for tick, later in list(found.credit.items()):
        if later.value == held:
            del found.credit[tick]
        held = later.value
    return found


def _take(row: BankRow, line: _Line, name: str, value: Any, ticks_per_day: int) -> None:
    if line.tick == 0:
        row.fields[name], row.places[name] = value, line.place
    elif name == CREDIT:
        row.credit[line.tick] = Later(value, line.place)
    elif name == OPENING and line.tick % ticks_per_day == 0:
        row.openings[line.tick] = Later(value, line.place)
    else:
        row.places.setdefault(name, line.place)
        last = next(reversed(row.openings.values()), None) if name == OPENING else None
        held = row.fields.setdefault(name, value) if last is None else last.value
        if held != value:
            rule = "begins with a day" if name == OPENING else "is one all the run"
            raise ConfigError(f"{line.place}: {name}: {value} in place of {held} from here on: it {rule}")
