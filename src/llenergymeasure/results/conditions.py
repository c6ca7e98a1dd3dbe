"""Conditions on rows of the flat table: `batch_size >= 8 and config.decoder.top_k = 50`."""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from labledger.untrusted_text import clean
from labledger.yaml_files import did_you_mean
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.config_columns import PREFIX, config_fields, is_config_column
from llenergymeasure.results.flat import Value, columns, time_columns

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "is unknown", "is known"]
COUNT, ASKED_FOR, NEAR, LISTED = "_n", ("_median", "_p99", "_mean"), 3, 10
FIRST_NAMED = (
    "model",
    "batch_size",
    "config.batch_size",
    "output_tokens",
    "output_tokens_per_second",
    "total_energy_j",
    "energy_per_output_token_j",
    "ttft_ms_median",
    "tpot_ms_median",
    "peak_memory_mb",
)
"""The columns that are named where nothing is near."""
EVERY = 'llem results sql "describe results" lists them'
ADVICE = "write COLUMN OP VALUE, as batch_size >= 8, with OP one of = != < <= > >=, or COLUMN is unknown"
SHOWN = 80

COLUMN = re.compile(r"""\s*(?:"((?:[^"]|"")+)"|((?:[^\s=!<>"\[]|\[(?!")|\["(?:[^"\\]|\\.)*"\])+))\s*""")
OPERATOR = re.compile(r"(==|!=|<=|>=|=|<|>)|is\s+(unknown|known)(?!\S)", re.IGNORECASE)
AND = re.compile(r"\s+and\s+", re.IGNORECASE)
OPEN_END = re.compile(r"\A['\"]|\s+and\Z", re.IGNORECASE)
VALUE = re.compile(r"""\s*(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)"|(.*?))(?=\s*\Z|\s+and\s+)""", re.IGNORECASE | re.DOTALL)
NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(%?)", re.IGNORECASE)
PART_OF_TIME = re.compile(r"\d{4}(?:-\d\d(?:-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d(?:\.\d{1,6})?)?)?)?)?)?")
FIRST = "0001-01-01T00:00:00.000000"
TRUTH = {"true": True, "false": False}
COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Condition:
    """A condition on one column. `value` is a number for a column of numbers, a bool for one of those, else a text."""

    column: str
    op: Operator
    value: Value = None

    def holds(self, row: Mapping[str, Value]) -> bool:
        """Return True if a flat row meets it; what is unknown meets none but `is unknown`.

        A text that is no number is neither above nor below any.
        """
        found = row[self.column]
        if found is None or self.op in ("is unknown", "is known"):
            return self.op == ("is unknown" if found is None else "is known")
        one, other = self._sides(found)
        try:
            return COMPARED[self.op](one, other)
        except TypeError:
            return False

    def _sides(self, found: str | int | float) -> tuple[Any, Any]:
        """Return both sides as values of one type, where the written one can be read as such."""
        if self.column in time_columns():
            return _times(str(found), str(self.value))
        if isinstance(found, bool):
            return found, TRUTH.get(str(self.value).casefold())
        if isinstance(found, int | float):
            return found, _number(self.value) if isinstance(self.value, str) else self.value
        return found if self.op in ("=", "!=") else None, str(self.value)


def parse_conditions(text: str, option: str = "--where") -> list[Condition]:
    """Return the conditions that a text holds: `COLUMN OP VALUE and COLUMN OP VALUE ...`.

    A column is one of the flat table, or a field of the configuration as `config.decoder.top_k`; in double quotes it
    may have any signs in its name. A value with ` and ` in it stands in quotes; a quote in quotes is doubled. 5% is
    0.05. A time is compared as far as it is written, in UTC: `start_time = 2026-11-30` is that day.

    Raises:
        ConfigError: it holds something else, a column is not known, or a value is not of its column's type.
    """
    found, place = list[Condition](), 0
    while True:
        condition, place = _next_condition(text, place, option)
        found.append(condition)
        if not text[place:].strip():
            return found
        following = AND.match(text, place)
        if following is None:
            raise ConfigError(
                f"{option}: {clean(text[place:].strip(), SHOWN)!r} after a condition; put `and` before it"
            )
        place = following.end()


def _next_condition(text: str, place: int, option: str) -> tuple[Condition, int]:
    """Return the condition that begins at a place of the text, and where it ends."""
    column = COLUMN.match(text, place)
    op = OPERATOR.match(text, column.end()) if column else None
    if column is None or op is None:
        after = '; a value with " and " in it stands in quotes' if place else ""
        raise ConfigError(f"{option}: {clean(text[place:].strip(), SHOWN)!r} is no condition; {ADVICE}{after}")
    written = VALUE.match(text, op.end()) if op[1] else None
    if written is not None and OPEN_END.search(written[3] or ""):
        raise ConfigError(f"{option}: {clean(written[3], SHOWN)!r} breaks off: a quote or a condition is missing")
    name = column[1].replace('""', '"') if column[1] else column[2]
    return _condition(name, op, written and _unquoted(written), option), (written or op).end()


def _unquoted(written: re.Match[str]) -> str:
    single, double, bare = written.groups()
    if single is not None:
        return single.replace("''", "'")
    return double.replace('""', '"') if double is not None else bare


def _condition(column: str, op: re.Match[str], written: str | None, option: str) -> Condition:
    """Return one condition, its value of the column's type."""
    kind = _kind(column, option)
    if written is None:
        return Condition(column, "is unknown" if op[2].casefold() == "unknown" else "is known")
    sign: Operator = next(each for each in get_args(Operator) if each == ("=" if op[1] == "==" else op[1]))
    value: Value = written
    where = f"{option}: {clean(column, SHOWN)} {sign} {clean(written, SHOWN)}"
    if kind in (int, float):
        value = _number(written)
        if value is None:
            unknown = f"; write {column} is unknown" if written.casefold() in ("unknown", "none", "null", "nan") else ""
            raise ConfigError(f"{where}: the column holds numbers, and {clean(written, SHOWN)!r} is none{unknown}")
    elif kind is bool:
        value = TRUTH.get(written.casefold())
        if value is None or sign not in ("=", "!="):
            raise ConfigError(f"{where}: the column is true or false; write {column} = true")
    elif column in time_columns():
        if _begin(written) is None and _moment(written) is None:
            raise ConfigError(f"{where}: the column holds times; write one as 2026-11-30 or 2026-11-30T14:05")
    elif kind is str and sign not in ("=", "!="):
        raise ConfigError(f"{where}: the column holds text, which only = and != compare")
    return Condition(column, sign, value)


def _kind(column: str, option: str) -> type | None:
    """Return the type of a column's values, None where it may be any.

    Raises:
        ConfigError: there is no such column.
    """
    check_column(column, option)
    known = columns().get(column)
    if known is not None:
        return known
    field = config_fields().get(column)
    return field.kind if field is not None else None


def check_column(name: str, option: str) -> None:
    """Refuse what is no column of the flat table.

    Raises:
        ConfigError: there is no such column.
    """
    if name in columns() or is_config_column(name):
        return
    known = [*config_fields()] if name.startswith(PREFIX) else [*columns(), *config_fields()]
    raise ConfigError(f"{option}: unknown column {clean(name, SHOWN)!r}{near_columns(name, known)}")


def near_columns(name: str, names: Sequence[str]) -> str:
    """Return ` (did you mean …?)` with those of `names` that a wrong name may stand for; else a few, and where all are.

    A name that others begin with, as `ttft`, stands for the statistics of it that are asked for most.
    """
    begun = [each for each in names if each.startswith(f"{name}_")]
    ordered = [each for end in ASKED_FOR for each in begun if each.endswith(end)]
    if found := [*ordered, *(each for each in begun if each not in ordered and not each.endswith(COUNT))][:NEAR]:
        return f" (did you mean {' or '.join(found)}?)"
    near = did_you_mean(name, [each for each in names if not each.endswith(COUNT) or name.endswith(COUNT)])
    if "did you mean" in near:
        return near
    first = [each for each in FIRST_NAMED if each in names] or names[:LISTED]
    return f" (there are {', '.join(first)} and {len(names) - len(first)} more: {EVERY})"


def _number(written: str) -> int | float | None:
    """Return the number that a text is, 0.05 of 5%; None where it is none."""
    number = NUMBER.fullmatch(written.strip())
    if number is None:
        return None
    digits, percent = number.groups()
    value = int(digits) if digits.lstrip("+-").isdecimal() and len(digits) < 400 else float(digits)
    value = value / 100 if percent else value
    return value if math.isfinite(value) else None


def _moment(written: str) -> datetime | None:
    """Return a time in UTC; one without a zone is taken for UTC. None where it is none."""
    try:
        moment = datetime.fromisoformat(written)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _begin(written: str) -> datetime | None:
    """Return the first moment of a year, month, day, hour, minute or second, as far as it is written."""
    return _moment(written + FIRST[len(written) :]) if PART_OF_TIME.fullmatch(written) else None


def _times(found: str, written: str) -> tuple[Any, Any]:
    """Return two times as they are compared: as moments, or as far as the second is written."""
    moment = _moment(found)
    if moment is None or _begin(written) is None:
        return moment, _moment(written)
    text = written.replace(" ", "T")
    return moment.isoformat(timespec="microseconds")[: len(text)], text
