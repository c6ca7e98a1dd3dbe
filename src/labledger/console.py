"""What a person sees: progress on stderr, tables and answers on stdout. A user's text is never read as markup."""

import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Protocol, TextIO

TTY_EVERY_S = 0.2
LOG_EVERY_S = 10.0
MAX_NAME_WIDTH = 30
COLUMN_GAP = "   "


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
        self._name = name
        self._began_s = self._shown_s = time.monotonic()
        if self._live:
            self._write(f"\r\x1b[2K{name} …")

    def update(self, done: int, total: int, detail: str = "") -> None:
        """Show how far it is, not more often than a person reads."""
        now_s = time.monotonic()
        if now_s - self._shown_s < (TTY_EVERY_S if self._live else LOG_EVERY_S):
            return
        self._shown_s = now_s
        text = f"{self._name}: {done}/{total}" + (f" ({detail})" if detail else "")
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

    table = Table(title=Text(title), title_justify="left", show_header=False, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(overflow="fold", max_width=MAX_NAME_WIDTH)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(Text(name, style="bold"), Text(value))
    Console(soft_wrap=False, highlight=False, stderr=to_stderr).print(table)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout; on a terminal that is too narrow for it, long cells are folded, and none is cut."""
    cells = [[" ".join(cell.splitlines()) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    if sys.stdout.isatty() and sum(widths) + len(COLUMN_GAP) * len(widths) > shutil.get_terminal_size().columns:
        _print_folded(header, cells[1:])
        return
    lines = [COLUMN_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    lines.insert(1, "─" * (sum(widths) + len(COLUMN_GAP) * (len(widths) - 1)))
    print_answer("\n".join(f" {line.rstrip()}" for line in lines) + "\n")


def _print_folded(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(soft_wrap=False, highlight=False).print(table)


def print_error(message: str) -> None:
    """`error: …` on stderr."""
    print(f"error: {message}", file=sys.stderr)  # noqa: T201 - this is the place that prints


def print_answer(text: str, *, to_stderr: bool = False) -> None:
    """Text on stdout (or stderr), as it stands, at once."""
    print(text, file=sys.stderr if to_stderr else None, flush=True)
