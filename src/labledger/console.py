"""What a person sees: progress on stderr, tables and answers on stdout.

Every text that is shown passes here: none is read as markup, and none tells a terminal what to do.
"""

import shutil
import sys
import time
from collections.abc import Container, Iterable, Sequence
from itertools import zip_longest
from typing import Protocol, TextIO

from labledger.untrusted_text import clean, clean_lines, escaped_json

TTY_EVERY_S = 0.2
LOG_EVERY_S = 10.0
MAX_NAME_WIDTH = 30
COLUMN_GAP = "   "
MAX_UNFOLDED_WIDTH = 20
PLAINER = str.maketrans({"─": "-", "…": "..."})


class Progress(Protocol):
    """Where a long job says what it does."""

    def phase(self, name: str) -> None:
        """A new part of the job begins."""

    def update(self, done: int, total: int, detail: str = "") -> None:
        """So much of the part is done."""

    def finish(self) -> None:
        """The job is over, however it ended."""


class Silent:
    """Progress that says nothing."""

    def phase(self, name: str) -> None:
        """Say nothing."""

    def update(self, done: int, total: int, detail: str = "") -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""


class StderrProgress:
    """On a terminal one line that is written over; elsewhere a line a phase, and one every ten seconds.

    It has no thread of its own: a display that redraws itself would take time from what is measured.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._name = ""
        self._began_s = self._shown_s = time.monotonic()

    def phase(self, name: str) -> None:
        """Close the last phase with its duration, and begin the next."""
        self._close()
        self._name = clean(name)
        self._began_s = self._shown_s = time.monotonic()
        if self._live:
            self._write(f"\r\x1b[2K{self._name} …")

    def update(self, done: int, total: int, detail: str = "") -> None:
        """Show how far it is, not more often than a person reads."""
        now_s = time.monotonic()
        if now_s - self._shown_s < (TTY_EVERY_S if self._live else LOG_EVERY_S):
            return
        self._shown_s = now_s
        text = f"{self._name}: {done}/{total}" + (f" ({clean(detail)})" if detail else "")
        self._write(f"\r\x1b[2K{text}" if self._live else f"{text}\n")

    def finish(self) -> None:
        """Close the last phase."""
        self._close()

    def _close(self) -> None:
        if self._name:
            start = "\r\x1b[2K" if self._live else ""
            self._write(f"{start}{self._name}: {time.monotonic() - self._began_s:.1f} s\n")
        self._name = ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def print_facts(title: str, facts: Iterable[tuple[str, str]], *, to_stderr: bool = False) -> None:
    """A table of two columns on stdout (or stderr); long values are folded, none is cut."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Text(clean(title))
    table = Table(title=shown, title_justify="left", show_header=False, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(overflow="fold", max_width=MAX_NAME_WIDTH)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(Text(clean(name), style="bold"), Text(clean(value)))
    Console(soft_wrap=False, highlight=False, stderr=to_stderr).print(table)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, whole: Container[str] = ()) -> None:
    """A table on stdout, nothing of it cut.

    On a terminal that is too narrow for it, long texts are folded between words, and columns that do not fit even then
    follow in a table of their own, beside the first column again: no number or name is broken that has a line's room.
    What stands in the columns that are `whole` is not folded at all.
    """
    cells = [[clean(cell) for cell in row] for row in (header, *rows)]
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    room = shutil.get_terminal_size().columns if on_terminal else sys.maxsize
    for part in _parts_that_fit(cells, room, whole):
        print_answer(_laid_out(part, room, whole))


def _parts_that_fit(cells: list[list[str]], room: int, whole: Container[str]) -> Iterable[list[list[str]]]:
    """The columns in groups that fit side by side, each group with the first column before it."""
    least = _least_widths(cells, whole)
    groups = [[0]]
    for column in range(1, len(least)):
        if len(groups[-1]) > 1 and _table_width([least[each] for each in (*groups[-1], column)]) > room:
            groups.append([0])
        groups[-1].append(column)
    return ([[row[column] for column in group] for row in cells] for group in groups)


def _laid_out(cells: list[list[str]], room: int, whole: Container[str]) -> str:
    widths, least = [max(map(_width, column)) for column in zip(*cells, strict=True)], _least_widths(cells, whole)
    folded = [column for column, name in enumerate(cells[0]) if name not in whole]
    while folded and _table_width(widths) > room:
        column = max(folded, key=lambda each: (widths[each] > least[each], widths[each]))
        if widths[column] == 1:
            break
        widths[column] -= 1
    lines = [line for row in cells[:1] for line in _row_lines(row, widths)]
    lines.append("─" * (_table_width(widths) - 1))
    lines += [line for row in cells[1:] for line in _row_lines(row, widths)]
    return "\n".join(f" {line.rstrip()}" for line in lines) + "\n"


def _table_width(widths: Sequence[int]) -> int:
    """With the gaps between columns, and a space before the first."""
    return 1 + sum(widths) + len(COLUMN_GAP) * (len(widths) - 1)


def _least_widths(cells: list[list[str]], whole: Container[str]) -> list[int]:
    """How narrow each column may be: the names of columns and long texts are folded between words, other cells not."""

    def least(cell: str, column: str) -> int:
        is_long = _width(cell) > MAX_UNFOLDED_WIDTH and column not in whole
        return max(map(_width, cell.split()), default=0) if is_long else _width(cell)

    return [
        max([1, *map(_width, name.split()), *(least(cell, name) for cell in column)])
        for name, *column in zip(*cells, strict=True)
    ]


def _row_lines(row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    folded = [_folded(cell, width) for cell, width in zip(row, widths, strict=True)]
    for parts in zip_longest(*folded, fillvalue=""):
        yield COLUMN_GAP.join(part + " " * (width - _width(part)) for part, width in zip(parts, widths, strict=True))


def _folded(text: str, width: int) -> list[str]:
    """Lines of at most `width`, broken between words; only a word that is wider is broken inside."""
    if _width(text) <= width:
        return [text]
    from rich.cells import chop_cells

    lines: list[str] = []
    for word in text.split():
        if lines and _width(lines[-1]) + 1 + _width(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines += chop_cells(word, width)
    return lines


def _width(text: str) -> int:
    """On a terminal, where some letters take two places and some none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def print_error(message: str) -> None:
    """`error: …` on stderr."""
    print_answer(f"error: {message}", to_stderr=True)


def print_line(text: str, *, to_stderr: bool = False) -> None:
    """One line on stdout (or stderr), whatever line breaks a name or a warning in it has."""
    print_answer(clean(text), to_stderr=to_stderr)


def print_json(document: str) -> None:
    """Print a JSON document on stdout; what a terminal would obey, or not show, is escaped in it."""
    print_answer(escaped_json(document, getattr(sys.stdout, "encoding", None) or "utf-8"))


def print_answer(text: str, *, to_stderr: bool = False) -> None:
    """Lines of text on stdout (or stderr), at once, as `clean_lines` leaves them; a line or dots that the stream has no
    sign for are plainer.
    """
    stream: TextIO | None = sys.stderr if to_stderr else sys.stdout
    if stream is None:  # closed from outside; `print` would take the other one
        return
    text = clean_lines(text)
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        text = text.translate(PLAINER)
    print(text, file=stream, flush=True)
