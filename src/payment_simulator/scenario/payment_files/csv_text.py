"""CSV as others write it: its encoding, its separator, and the lines on which its rows stand."""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

from labledger.errors import ConfigError
from labledger.regular_files import opened_to_read
from labledger.untrusted_text import SHOWN, clean, reason_of
from payment_simulator.scenario.payment_files.room import MAX_FILE_BYTES, room_for_text
from payment_simulator.scenario.payment_files.sections import TextFile

SEPARATORS = (",", ";", "\t", "|")
CHUNK_BYTES = 1 << 24
SAMPLE_BYTES = 1 << 16
SAY = "say payments.encoding"
SAMPLE_RECORDS = 50
SAID = re.compile(r"""("?)sep=(\S| |\t)\1(?=[\r\n])""", re.IGNORECASE)
"""The first line of a text that says its separator."""
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before that of UTF-16, which it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
OTHER_KINDS = {
    b"PAR1": "is Parquet; name it .parquet",
    b"ARROW1": "is Arrow IPC; name it .arrow",
    b"PK\x03\x04": "is a ZIP archive or an Excel workbook; save it as CSV",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook; save it as CSV",
    b"\x1f\x8b": "is compressed with gzip; name it .csv.gz",
}


@dataclass(frozen=True)
class CsvText:
    """A text of comma-separated values: `names` is its header; `is_guess` where it was not UTF-8, nor was one said."""

    path: Path
    encoding: str
    is_guess: bool
    separator: str
    names: list[str]

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row below the header with the line of the file on which it begins; blank lines are none.

        Raises:
            ConfigError: a cell is too long, as one in double quotes that has no end.
        """
        with opened_text(self.path, self.encoding) as text:
            begin = 1
            reader = csv.reader(text, delimiter=self.separator)
            rows = 0
            try:
                for record in reader:
                    if record:
                        rows += 1
                        if rows > 1:
                            yield begin, record
                    begin = reader.line_num + 1
            except csv.Error as error:
                problem = f"{reason_of(error)}; has a double quote no end?"
                raise ConfigError(f"{_shown(self.path)}:{begin}: {problem}") from error

    def lines(self, rows: Sequence[int]) -> list[int | None]:
        """Return the lines on which rows begin, counted from 0 below the header; None of one that is not found."""
        found: dict[int, int] = {}
        wanted, last = set(rows), max(rows, default=-1)
        for number, (line, _) in enumerate(itertools.islice(self._readable(), last + 1)):
            if number in wanted:
                found[number] = line
        return [found.get(row) for row in rows]

    def refuse_lines_above(self, check: Callable[[list[str]], object]) -> None:
        """Refuse a text with lines above its header: the first below that `check` takes; others it refuses.

        Raises:
            ConfigError: there are such lines; the message has their number.
        """
        for separator in dict.fromkeys((self.separator, *SEPARATORS)):
            rows = list(itertools.islice(replace(self, separator=separator)._readable(), SAMPLE_RECORDS))
            if line := next((line for line, names in rows if _takes(check, names)), None):
                above = "line" if line == 2 else f"{line - 1:,} lines"
                raise ConfigError(f"{_shown(self.path)}:{line}: the header stands here; take out the {above} above it")

    def _readable(self) -> Iterator[tuple[int, list[str]]]:
        """Yield rows as `records` does, up to the first that cannot be read."""
        with contextlib.suppress(ConfigError, UnicodeError):
            yield from self.records()

    def refuse_swallowed(self, rows: int) -> None:
        """Refuse a text in which a cell in double quotes holds whole rows: its end is missing, or it is a stray one.

        `rows` is the number of rows below the header that were read.

        Raises:
            ConfigError: there is such a cell; the message has the line on which its row begins.
        """
        lines = quotes = 0
        with opened_bytes(self.path) as file:
            while chunk := file.read(CHUNK_BYTES):
                lines, quotes = lines + chunk.count(b"\n"), quotes + chunk.count(b'"')
        if not quotes or lines <= rows + 1:
            return
        with contextlib.suppress(UnicodeError):
            for begin, record in self.records():
                inner = [line for cell in record if "\n" in cell for line in cell.splitlines()[1:]]
                if any(line.count(self.separator) >= len(self.names) - 1 for line in inner):
                    problem = f"a cell in double quotes goes over {len(inner):,} lines that are rows by themselves"
                    raise ConfigError(
                        f"{_shown(self.path)}:{begin}: {problem}; has a double quote no end, or no place?"
                    )

    def ragged(self, most: int) -> tuple[list[tuple[int, int]], int]:
        """Return line and number of cells of the first rows that have not as many as the header, and how many do.

        Raises:
            ConfigError: as `records`.
        """
        shown: list[tuple[int, int]] = []
        number = 0
        with contextlib.suppress(UnicodeError):
            for line, record in self.records():
                if len(record) != len(self.names):
                    number += 1
                    shown += [(line, len(record))] if number <= most else []
        return shown, number


def csv_text(path: Path, section: TextFile) -> CsvText:
    """Return how a text is to be read: as the section says, else as its bytes show.

    Raises:
        ConfigError: it is empty, is no text, has no place in memory, or is in another encoding than was said.
    """
    encoding = _encoding(path, section.encoding)
    sample = _sample(path, encoding)
    if (said := SAID.match(sample)) is not None:
        problem = f"a line for spreadsheets, {said[0]!r}, stands before the header"
        raise ConfigError(f"{_shown(path)}:1: {problem}; take it out, and say payments.separator: {said[2]!r}")
    separator = section.separator or _separator(sample)
    first = next(filter(None, _sampled(sample, separator)), None)
    if first is None:
        raise ConfigError(f"{_shown(path)}: is empty")
    is_guess = section.encoding is None and encoding == "latin-1"
    return CsvText(path, encoding, is_guess, separator, first)


@contextlib.contextmanager
def opened_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Yield the bytes of a text, out of gzip where the name says so.

    Raises:
        ConfigError: it cannot be read, or is no regular file.
    """
    try:
        with opened_to_read(path, MAX_FILE_BYTES, follow=True) as file:
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if path.suffix.lower() == ".gz" else file
    except (OSError, EOFError) as error:
        raise ConfigError(f"{_shown(path)}: cannot be read: {reason_of(error)}") from error


@contextlib.contextmanager
def opened_text(path: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    """Yield a text with its line ends as they are. Raises as `opened_bytes`."""
    with opened_bytes(path) as file:
        yield io.TextIOWrapper(cast(Any, file), encoding=_of_python(encoding), newline="")


def _encoding(path: Path, said: str | None) -> str:
    """Return the encoding after a look at every byte, at once a check that there is room for them."""
    with opened_bytes(path) as file:
        room = room_for_text(path, os.fstat(file.fileno()).st_size)
        chunk = file.read(CHUNK_BYTES)
        _refuse_other_kinds(path, chunk)
        mark = next((name for mark, name in BYTE_ORDER_MARKS.items() if chunk.startswith(mark)), None)
        encoding = said or mark or "utf-8"
        decoder = codecs.getincrementaldecoder(_of_python(encoding))()
        is_of_ascii, is_text, before, lines = not _is_wide(encoding), True, 0, 0
        while chunk:
            if (at := chunk.find(b"\0")) >= 0 and not _is_wide(encoding):
                raise ConfigError(f"{_shown(path)}: byte {before + at + 1:,} is NUL: it is no text, or UTF-16; {SAY}")
            if is_text and not (is_of_ascii and chunk.isascii()):
                is_text = _decodes(decoder, chunk)
            before, lines = before + len(chunk), lines + chunk.count(b"\n")
            room.check(before, lines)
            chunk = file.read(CHUNK_BYTES)
        is_text = is_text and _decodes(decoder, b"", is_last=True)
    if not is_text and (said or mark):
        raise ConfigError(f"{_shown(path)}: is not {clean(encoding, SHOWN)}; {SAY}")
    return encoding if is_text else "latin-1"


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes, *, is_last: bool = False) -> bool:
    try:
        decoder.decode(chunk, is_last)
    except UnicodeError:
        return False
    return True


def _refuse_other_kinds(path: Path, start: bytes) -> None:
    if not start.strip():
        raise ConfigError(f"{_shown(path)}: is empty")
    for mark, problem in OTHER_KINDS.items():
        if start.startswith(mark):
            raise ConfigError(f"{_shown(path)}: {problem}")


def _of_python(encoding: str) -> str:
    """Return the codec, which leaves a byte order mark out."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _is_wide(encoding: str) -> bool:
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def _takes(check: Callable[[list[str]], object], names: list[str]) -> bool:
    try:
        check(names)
    except ConfigError:
        return False
    return True


def _sample(path: Path, encoding: str) -> str:
    """Return the first lines."""
    with opened_text(path, encoding) as text:
        try:
            sample = text.read(SAMPLE_BYTES)
        except UnicodeError as error:
            raise ConfigError(f"{_shown(path)}: is not {clean(encoding, SHOWN)}; {SAY}") from error
    return sample if len(sample) < SAMPLE_BYTES else sample[: sample.rfind("\n") + 1] or sample


def _separator(sample: str) -> str:
    """Return the separator that parts the header and all rows alike, into the most columns."""

    def fit(separator: str) -> tuple[bool, int]:
        counts = [len(record) for record in _sampled(sample, separator) if record]
        return len(set(counts)) == 1 and counts[0] > 1, counts[0] if counts else 0

    return max(SEPARATORS, key=fit)


def _sampled(sample: str, separator: str) -> list[list[str]]:
    found: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        found += itertools.islice(csv.reader(io.StringIO(sample, newline=""), delimiter=separator), SAMPLE_RECORDS)
    return found


def _shown(path: Path) -> str:
    return clean(str(path), 300)
