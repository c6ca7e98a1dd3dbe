"""Times of payments, as files have them: timestamps of every kind, times of day, or whole numbers."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from labledger.untrusted_text import clean
from payment_simulator.scenario.payment_files.problems import PaymentsKeyError
from payment_simulator.scenario.payment_files.time_messages import no_time, with_percents
from payment_simulator.scenario.payment_files.zones import about_changes, about_second, instants_of, shown_at

if TYPE_CHECKING:
    import pyarrow

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Kind = Literal["dated", "of_day", "number"]
Report = Callable[[Mask, Callable[[str], str] | str], None]

DAY_US = 86_400_000_000
UNITS_US = {"day": DAY_US, "s": 1_000_000, "ms": 1000, "us": 1}
FIRST_YEAR, LAST_YEAR = 1800, 2261
FIRST_YEAR_US = int(np.datetime64("1800", "us").astype(np.int64))
LAST_YEAR_US = int(np.datetime64("2262", "us").astype(np.int64))
NO_TIME = r"(?i)^(?:|null|nan|nat|none|n/a|-)$"
DATE = r"(?:(?P<a>\d{1,4})[-/.](?P<b>\d{1,2}|[A-Za-z]{3})[-/.](?P<c>\d{1,4})|(?P<e>\d{8}))"
TIME = r"(?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?(?: *(?P<p>[AaPp][Mm]))?"
ZONE = r"(?P<z>Z|UTC|GMT|[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)"
USUAL = rf"^(?:{DATE})?(?:[ T]+|$)?(?:{TIME})?(?: *{ZONE}(?:\[[\w/+-]+\])?)?$"
DIRECTIVES = {
    "Y": r"(?P<y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<o>\d{1,2})",
    "b": r"(?P<o>[A-Za-z]{3})",
    "d": r"(?P<d>\d{1,2})",
    "H": r"(?P<h>\d{1,2})",
    "I": r"(?P<h>\d{1,2})",
    "M": r"(?P<m>\d{2})",
    "S": r"(?P<s>\d{2})",
    "f": r"(?P<f>\d{1,9})",
    "p": r"(?P<p>[AaPp][Mm])",
    "z": ZONE,
    "%": "%",
}
SHORT = {"T": "%H:%M:%S", "F": "%Y-%m-%d", "R": "%H:%M"}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, eq=False)
class Times:
    """Times in microseconds: since 1970 by the clock on the wall, or since midnight; or whole numbers.

    `usable` is true where there is one. `offsets` are those from UTC that cells have, in microseconds; `named` is the
    time zone of a typed column; `naive` counts the cells with neither. `instants`, in microseconds since 1970
    in UTC, are there where the clock shows some of the times again, after it went back.
    """

    kind: Kind
    values: Ints
    usable: Mask
    offsets: tuple[int, ...] = ()
    named: str | None = None
    naive: int = 0
    remarks: list[str] = field(default_factory=list)
    instants: Ints | None = None


def times_of(column: "pyarrow.ChunkedArray", zone: str | None, pattern: str | None, report: Report) -> Times:
    """Return the times in a column of the kind `TIME`; those with an offset or a zone are as in `zone`, if given.

    `pattern` is a format as of `strptime` (see `DIRECTIVES`). Cells that are no time are reported; empty ones are not.

    Raises:
        PaymentsKeyError: the zone or the pattern is not known, or days and months could be either.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_integer(kind) and pattern is None:
        return Times("number", column.fill_null(0).to_numpy().astype(np.int64), column.is_valid().to_numpy())
    if pa.types.is_temporal(kind):
        return _in_range(_typed(column, zone), report)
    if pa.types.is_floating(kind):
        return _whole(column, report)
    return _of_text(column.cast(pa.string()), zone, pattern, report)


def _typed(column: "pyarrow.ChunkedArray", zone: str | None) -> Times:
    import pyarrow as pa

    usable = column.is_valid().to_numpy()
    kind = column.type
    unit = getattr(kind, "unit", "day" if kind == pa.date32() else "ms")  # that of dates is in their types' names
    values = _microseconds(column, unit)
    if pa.types.is_time(kind):
        return Times("of_day", values, usable)
    if pa.types.is_date(kind):
        return Times("dated", values, usable)
    if kind.tz is None:
        found = Times("dated", values, usable, naive=int(usable.sum()))
        near = values[usable & _is_near(values)]
        return replace(found, remarks=about_changes(near, zone))
    return _shown(Times("dated", values, usable, named=kind.tz), values, usable, zone or kind.tz)


def _microseconds(column: "pyarrow.ChunkedArray", unit: str) -> Ints:
    """Return times of a typed column; one that is further away than they reach is as far as they do."""
    import pyarrow as pa

    whole = pa.int32() if column.type.bit_width == 32 else pa.int64()
    chunks = [chunk.view(whole) for chunk in column.chunks]
    numbers = pa.chunked_array(chunks, whole).cast(pa.int64()).fill_null(0).to_numpy()
    most = np.iinfo(np.int64).max // UNITS_US.get(unit, 1)
    found: Ints = numbers // 1000 if unit == "ns" else np.clip(numbers, -most, most) * UNITS_US[unit]
    return found


def _shown(found: Times, instants: Ints, aware: Mask, zone: str) -> Times:
    """Return times of which those that are `aware` are what the clocks of a zone show at these instants."""
    aware = aware & _is_near(instants)
    values = np.where(aware, shown_at(np.where(aware, instants, 0), zone), found.values)
    first = instants_of(np.where(aware, values, 0), zone)
    second = aware & (first != instants)
    if not second.any():
        return replace(found, values=values)
    instants = np.where(aware, instants, instants_of(np.where(_is_near(values), values, 0), zone))
    return replace(found, values=values, instants=instants, remarks=[*found.remarks, *about_second(second, zone)])


def beside(found: Times, times: Times, zone: str | None) -> Ints:
    """Return times that stand beside others: where clocks went back between the two, the later is not the earlier."""
    if (found.instants is None and times.instants is None) or found.naive or times.naive:
        return found.values
    zone = zone or times.named or ""
    at, since = (instants_of(each.values, zone) if each.instants is None else each.instants for each in (found, times))
    values = np.where(at < since, np.minimum(found.values, times.values - 1), np.maximum(found.values, times.values))
    return np.where(found.usable & times.usable, values, found.values)


def _is_near(dated: Ints) -> Mask:
    """Return which times are of years of which files of payments are."""
    return (dated >= FIRST_YEAR_US) & (dated < LAST_YEAR_US)


def _in_range(found: Times, report: Report) -> Times:
    """Return times but for those of years of which no file of payments is, and those past the end of a day."""
    if found.kind == "dated":
        near, problem = _is_near(found.values), f"is a time before {FIRST_YEAR} or after {LAST_YEAR}"
    else:
        near, problem = (found.values >= 0) & (found.values < DAY_US), "is no time of a day"
    report(found.usable & ~near, problem)
    return replace(found, usable=found.usable & near, values=np.where(near, found.values, 0))


def _whole(column: "pyarrow.ChunkedArray", report: Report) -> Times:
    """Whole numbers in doubles, as a column with gaps has them."""
    values = column.to_numpy().astype(np.float64)
    usable = ~np.isnan(values)
    whole = usable & (values == np.rint(values)) & (np.abs(values) < 2**53)
    report(usable & ~whole, "is no time, nor a whole number")
    return Times("number", np.where(whole, values, 0).astype(np.int64), whole)


def _of_text(column: "pyarrow.ChunkedArray", zone: str | None, pattern: str | None, report: Report) -> Times:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pattern is None:
        for kind in (pa.timestamp("us"), *([pa.timestamp("us", "UTC")] if zone else ())):
            try:
                return _in_range(_typed(pc.cast(column, kind), zone), report)
            except pa.ArrowInvalid:
                continue
    trimmed = pc.utf8_trim_whitespace(column).fill_null("")
    text = trimmed.combine_chunks() if isinstance(trimmed, pa.ChunkedArray) else trimmed
    empty = _matches(text, NO_TIME)
    number = _matches(text, r"^[+-]?\d{1,18}(?:\.0+)?$") if pattern is None else empty
    is_date = _matches(text, r"^(?:19|20)\d{6}$") if pattern is None else empty
    odd = ~number & ~empty
    if number.any() and not is_date.all() and number.sum() > odd.sum():
        report(odd, "is no whole number, as others are")
        whole = pc.replace_substring_regex(pc.if_else(pa.array(number), text, "0"), r"\..*", "")
        values = whole.cast(pa.int64()).to_numpy()
        return Times("number", values, number)
    parts = pc.extract_regex(text, USUAL if pattern is None else _regex(pattern))
    fits = parts.is_valid().to_numpy(zero_copy_only=False).astype(np.bool_)
    return _Parts(text, parts, fits & ~empty, pattern).times(zone, empty, report)


class _Parts:
    """The parts of times in a text, by the names of the groups that found them."""

    def __init__(self, text: "pyarrow.Array", parts: "pyarrow.StructArray", usable: Mask, pattern: str | None) -> None:
        self._text = text
        self._names = {each.name for each in parts.type}
        self._parts = parts
        self._usable = usable
        self._pattern = pattern

    def times(self, zone: str | None, empty: Mask, report: Report) -> Times:
        """Return the times, and report cells that are none."""
        has_time = self._has("h")
        has_date = self._has("a") | self._has("e") | self._has("d")
        dates, is_date = self._dates()
        of_day, good = self._of_day()
        kind: Kind = "dated" if has_date.any() else "of_day"
        good &= self._usable & (has_date & is_date if kind == "dated" else has_time)
        no_date = self._usable & ~has_date & (kind == "dated")
        report(no_date, "has no date, as others have")
        report(~good & ~empty & ~no_date, self._problem())
        values = of_day + np.where(kind == "dated", dates, 0) * DAY_US
        return self._in_zone(Times(kind, np.where(good, values, 0), good), zone)

    def _problem(self) -> "Callable[[str], str] | str":
        if self._pattern is not None:
            return f"is not as payments.time_format has it, {clean(self._pattern, 60)!r}"
        return no_time

    def _in_zone(self, found: Times, zone: str | None) -> Times:
        texts = self._part("z")
        if texts is None:
            return replace(found, naive=int(found.usable.sum()))
        encoded = texts.dictionary_encode()
        of_text = np.array([_offset(each) for each in encoded.dictionary.to_pylist()], dtype=np.int64)
        offset = of_text[encoded.indices.fill_null(0).to_numpy()] if len(of_text) else np.zeros_like(found.values)
        aware = found.usable & self._has("z")
        offsets = tuple(int(each) for each in np.unique(offset[aware]))
        naive = found.usable & ~aware
        if zone is not None and aware.any() and found.kind == "dated":
            found = _shown(found, found.values - offset, aware, zone)
        remarks = about_changes(found.values[naive], zone) if found.kind == "dated" else []
        if zone is not None and offsets and naive.any():
            number = f"{int(naive.sum()):,}, read as of {zone}"
            remarks.append(f"times without an offset from UTC, beside others that have one: {number}")
        return replace(found, offsets=offsets, naive=int(naive.sum()), remarks=[*found.remarks, *remarks])

    def _of_day(self) -> tuple[Ints, Mask]:
        hour, minute, second = (self._number(name) for name in "hms")
        half = self._part("p")
        if half is not None:
            import pyarrow.compute as pc

            is_late = pc.equal(pc.utf8_lower(half), "pm").fill_null(False).to_numpy(zero_copy_only=False)
            is_12h = self._has("p")
            hour = np.where(is_12h, np.where((hour >= 1) & (hour <= 12), hour % 12 + 12 * is_late, 99), hour)
        good = (hour < 24) & (minute < 60) & (second < 60)
        return ((hour * 60 + minute) * 60 + second) * 1_000_000 + self._fraction(), good

    def _fraction(self) -> Ints:
        import pyarrow.compute as pc

        text = self._part("f")
        if text is None:
            return np.zeros(len(self._usable), dtype=np.int64)
        return _integers(pc.utf8_rpad(pc.utf8_slice_codeunits(text, 0, 6), 6, "0"))

    def _dates(self) -> tuple[Ints, Mask]:
        """Return days since 1970, and which of the dates there are."""
        if self._pattern is not None:
            if "d" not in self._names:
                return np.zeros(len(self._usable), dtype=np.int64), np.zeros(len(self._usable), dtype=np.bool_)
            year = self._number("y")
            year = np.where(year < 100, year + 2000, year) if "%y" in self._pattern else year
            return _days(year, self._month("o"), self._number("d"))
        compact, is_compact = self._number("e"), self._has("e")
        first, last = self._number("a"), self._number("c")
        month = self._month("b")
        parted = self._has("a")
        year_first = first > 31
        middle_is_month = self._is_day_first(parted & ~year_first, first, month)
        day = np.where(year_first, last, np.where(middle_is_month, first, month))
        number = np.where(year_first | middle_is_month, month, first)
        year = np.where(is_compact, compact // 10_000, np.where(year_first, first, last))
        number = np.where(is_compact, compact // 100 % 100, number)
        day = np.where(is_compact, compact % 100, day)
        return _days(year, number, day)

    def _is_day_first(self, asked: Mask, first: Ints, middle: Ints) -> bool:
        """Return True where the day stands before the month: some number of the file is too large for another."""
        asked = asked & self._usable
        if not asked.any():
            return True
        has_words = _matches(self._text, "[A-Za-z]{3}[-/.]")
        has_points = _matches(self._text, r"^\d+\.\d+\.")
        if (first[asked] > 12).any() or (has_words | has_points)[asked].all() or (first == middle)[asked].all():
            return True
        if (middle[asked] > 12).any():
            return False
        example = clean(self._text[int(np.argmax(asked & (first != middle)))].as_py(), 40)
        both = '"%d/%m/%Y %H:%M:%S", or with %m first'
        raise PaymentsKeyError("time_format", f"{example}: day or month first? say time_format: {both}")

    def _part(self, name: str) -> "pyarrow.StringArray | None":
        return self._parts.field(name) if name in self._names else None

    def _has(self, name: str) -> Mask:
        import pyarrow.compute as pc

        text = self._part(name)
        if text is None:
            return np.zeros(len(self._usable), dtype=np.bool_)
        found: Mask = pc.not_equal(text, "").fill_null(False).to_numpy(zero_copy_only=False).astype(np.bool_)
        return found & self._usable

    def _number(self, name: str) -> Ints:
        text = self._part(name)
        return np.zeros(len(self._usable), dtype=np.int64) if text is None else _integers(text)

    def _month(self, name: str) -> Ints:
        import pyarrow.compute as pc

        text = self._part(name)
        if text is None:
            return np.zeros(len(self._usable), dtype=np.int64)
        encoded = pc.utf8_lower(text).dictionary_encode()
        words = [each or "" for each in encoded.dictionary.to_pylist()]
        of_word = [MONTHS.index(each) + 1 if each in MONTHS else int(each) if each.isdecimal() else 0 for each in words]
        numbers = np.array([*of_word, 0], dtype=np.int64)
        found: Ints = numbers[encoded.indices.fill_null(len(words)).to_numpy()]
        return found


def _days(year: Ints, month: Ints, day: Ints) -> tuple[Ints, Mask]:
    good = (year >= FIRST_YEAR) & (year <= LAST_YEAR) & (month >= 1) & (month <= 12) & (day >= 1)
    months = np.where(good, (year - 1970) * 12 + month - 1, 0)
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    next_first = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return first + day - 1, good & (day <= next_first - first)


def _integers(text: "pyarrow.Array") -> Ints:
    import pyarrow as pa
    import pyarrow.compute as pc

    filled = pc.if_else(pc.equal(text, "").fill_null(True), "0", text)
    found: Ints = filled.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return found


def _offset(text: str | None) -> int:
    found = re.fullmatch(r"([+-])(\d\d):?(\d\d)?", text or "")
    if found is None:
        return 0
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    return (-minutes if found[1] == "-" else minutes) * 60_000_000


def _regex(pattern: str) -> str:
    """Return the expression that finds the parts of a format as of `strptime`."""
    full = re.sub("%([TFR])", lambda found: SHORT[found[1]], pattern)
    pieces, last = ["^"], 0
    for found in re.finditer("%(.?)", full):
        if found[1] not in DIRECTIVES:
            known = " ".join(f"%{each}" for each in (*DIRECTIVES, *SHORT))
            raise PaymentsKeyError("time_format", f"{clean(found[0], 10)!r} is not known; known are {known}")
        pieces += [re.escape(full[last : found.start()]), DIRECTIVES[found[1]]]
        last = found.end()
    expression = "".join([*pieces, re.escape(full[last:]), "$"])
    names = re.findall(r"\(\?P<(\w)>", expression)
    if "%" not in pattern and (meant := with_percents(pattern)) != pattern:
        raise PaymentsKeyError("time_format", f"{clean(pattern, 60)!r} has no %; write {clean(meant, 60)!r}")
    if not ({"h"} <= set(names) or {"d", "o", "y"} <= set(names)) or len(names) > len(set(names)):
        raise PaymentsKeyError("time_format", f"{clean(pattern, 60)!r} should have a time of day or a date, each once")
    return expression


def _matches(text: "pyarrow.Array", pattern: str) -> Mask:
    import pyarrow.compute as pc

    found: Mask = pc.match_substring_regex(text, pattern).to_numpy(zero_copy_only=False).astype(np.bool_)
    return found
