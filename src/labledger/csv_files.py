"""CSV that a spreadsheet may open: no text in it is run as a formula."""

import csv
import io
import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# What OWASP's "CSV Injection" lists, and such a text that has our mark already: so that the mark can be taken off.
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")

# A quote begins a cell only where the cell begins; inside, two of them are one sign of the text.
QUOTED_CELL = re.compile(rb'(?:^|(?<=[,\r\n]))"[^"]*+(?:""[^"]*+)*+("?)')


def to_csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]], line_end: str = "\r\n") -> str:
    """Return a header and a line per row (RFC 4180); None is an empty cell.

    A text that a spreadsheet would run as a formula (it begins with `=`, `+`, `-`, `@`, a tab or the end of a line)
    gets an apostrophe before it. A number stays a number, below 0 too.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=line_end)
    writer.writerow(map(_cell, names))
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


def csv_line(values: Iterable[Any], line_end: str = "\r\n") -> str:
    """Return one line of `to_csv`, for rows that are not there at once, or have not all of their columns yet."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end).writerow(map(_cell, values))
    return text.getvalue()


def ends_in_a_cell(content: bytes) -> bool:
    """Return True if the quotes of the last cell are not closed: what is added would be a part of that cell.

    So ends a file that was cut short. The columns are apart by commas, and there is no byte order mark.
    """
    last = deque(QUOTED_CELL.finditer(content), maxlen=1)
    return bool(last) and not last[0][1]


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value
