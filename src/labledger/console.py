"""Output for people: progress on stderr, tables and answers on stdout.

Every text that is shown passes here: none is read as markup, and none tells a terminal what to do.
"""

import contextlib
import os
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import zip_longest
from types import TracebackType
from typing import Protocol, Self, TextIO

from labledger.untrusted_text import clean, clean_lines, escaped_json

TTY_EVERY_S, LOG_EVERY_S = 0.2, 10.0
"""The least time between two updates, on a terminal and elsewhere."""
TTY_ALIVE_S, FIRST_ALIVE_S, LOG_ALIVE_S = 1.0, 5.0, 30.0
"""The time after which a phase shows that it lives: on a terminal; elsewhere the first time, and the others."""
LOOK_EVERY_S = 0.5
CLEAR_LINE = "\r\x1b[2K"
MAX_NAME_WIDTH = 30
COLUMN_GAP = "   "
MAX_UNFOLDED_WIDTH = 20
MAX_WARNINGS, MAX_WARNING = 20, 600
MAX_FACT = 4_000
"""Letters of a fact: ours have some hundred, those in somebody else's file any number."""
PLAINER = str.maketrans({"─": "-", "…": "..."})


class Progress(Protocol):
    """Shows how far a long job is."""

    def phase(self, name: str) -> None:
        """Begin a new part of the job."""

    def update(self, done: int, total: int, detail: str = "") -> None:
        """Show that `done` of `total` of the part are done."""

    def finish(self) -> None:
        """End the job, however it went."""


class Silent:
    """Progress that is not shown."""

    def phase(self, name: str) -> None:
        """Show nothing."""

    def update(self, done: int, total: int, detail: str = "") -> None:
        """Show nothing."""

    def finish(self) -> None:
        """Show nothing."""


class StderrProgress:
    """Progress on stderr: on a terminal a line that is written over, elsewhere a line per phase, and few others.

    A phase that goes on for long shows that it lives: on a terminal its seconds are counted; elsewhere there is a line
    after five seconds, and one after each half minute in which nothing else was written. For this a thread looks twice
    a second, which takes some microseconds: too few to show in what is measured meanwhile.

    A phase that ends within `shown_after_s` is not shown. `note` returns what the job does at this moment, if that is
    more than the phase's name says, else ""; the thread calls it. Where a job may seem to hang, `alive_s` is the time
    between two signs of life elsewhere than on a terminal. As a context manager it finishes at the end.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        shown_after_s: float = 0.0,
        note: Callable[[], str] = str,
        alive_s: float | None = None,
    ) -> None:
        self._stream: TextIO | None = stream or sys.stderr  # None where it is closed
        self._live = self._stream is not None and self._stream.isatty()
        self._shown_after_s, self._note, self._alive_s = shown_after_s, note, alive_s
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._name = self._state = self._noted = self._line = ""
        self._began_s = self._shown_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def phase(self, name: str) -> None:
        """Close the last phase with its duration, and begin the next."""
        with self._lock:
            self._close()
            self._name = clean(name)
            self._began_s = self._shown_s = time.monotonic()
            if self._live and not self._shown_after_s:
                self._show(f"{self._name} …")
        _shown[:] = [self]
        if self._thread is None:
            self._over.clear()
            self._thread = threading.Thread(target=self._keep_looking, daemon=True)
            self._thread.start()

    def update(self, done: int, total: int, detail: str = "") -> None:
        """Show how far the phase is, not more often than a person reads."""
        with self._lock:
            self._state = f": {done}/{total}" + (f" ({clean(detail)})" if detail else "")
            now_s = time.monotonic()
            is_soon = now_s - self._shown_s < (TTY_EVERY_S if self._live else LOG_EVERY_S)
            if self._name and not is_soon and now_s - self._began_s >= self._shown_after_s:
                self._show(self._name + self._state)

    def message(self, text: str) -> None:
        """Print lines of their own, above the line of the phase."""
        with self._lock:
            self._shown_s = time.monotonic()
            is_over_line = self._live and bool(self._line)
            self._write((CLEAR_LINE if is_over_line else "") + clean_lines(text) + "\n")
            if is_over_line:
                self._show(self._line)

    def conclude(self, text: str = "") -> None:
        """Close the phase with a line of its own in place of its name and its duration, or without one."""
        with self._lock:
            cleared = CLEAR_LINE if self._live and self._line else ""
            self._write(cleared + (f"{clean(text)}\n" if text else ""))
            self._name = self._state = self._noted = self._line = ""

    def look(self) -> None:
        """Show that the phase goes on, if it is time for a sign of life or there is something new to say."""
        note = self._note()
        with self._lock:
            now_s = time.monotonic()
            took_s = now_s - self._began_s
            elsewhere_s = self._alive_s or (LOG_ALIVE_S if self._line else FIRST_ALIVE_S)
            alive_s = TTY_ALIVE_S if self._live else elsewhere_s
            is_time = now_s - self._shown_s >= alive_s and took_s >= self._shown_after_s
            if self._name and (is_time or (note and note != self._noted)):
                self._noted = note
                seconds = f" … {took_s:.0f} s" if self._live else f": {took_s:.0f} s so far"
                self._show((clean(note) or self._name + self._state) + seconds)

    def finish(self) -> None:
        """Close the last phase."""
        if self in _shown:
            _shown.clear()
        with self._lock:
            self._close()
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _keep_looking(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the stream was closed: who writes to it next is told
            while not self._over.wait(LOOK_EVERY_S):
                self.look()

    def _close(self) -> None:
        took_s = time.monotonic() - self._began_s
        if self._name and (self._line or took_s >= self._shown_after_s):
            self._write((CLEAR_LINE if self._live and self._line else "") + f"{self._name}: {took_s:.1f} s\n")
        self._name = self._state = self._noted = self._line = ""

    def _show(self, text: str) -> None:
        """Write the phase's line: over the one before on a terminal, where it takes one row only."""
        self._line, self._shown_s = text, time.monotonic()
        width = max(shutil.get_terminal_size().columns - 1, 1)
        self._write(CLEAR_LINE + clean(text, width) if self._live else f"{text}\n")

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        with contextlib.suppress(OSError):  # a terminal that has gone does not end the job
            self._stream.write(_plainer(text, self._stream))
            self._stream.flush()


_shown: list[StderrProgress] = []
"""The progress that is shown now, if any."""


def print_notice(text: str) -> None:
    """Print a line on stderr now, above that of the progress that is shown."""
    for progress in _shown[:1]:
        progress.message(text)
        return
    print_answer(text, to_stderr=True)


def print_facts(title: str, facts: Iterable[tuple[str, str]], *, to_stderr: bool = False) -> None:
    """Print a table of two columns on stdout (or stderr); a value is cut after `MAX_FACT` letters.

    Where there is a width, a terminal's or that of COLUMNS, long values are folded as in `print_table`.
    """
    from rich.console import Console
    from rich.text import Text

    cells = [(clean(name), clean(value, MAX_FACT)) for name, value in facts]
    room = _room(sys.stderr if to_stderr else sys.stdout)
    names = [_folded(name, max(min(MAX_NAME_WIDTH, room // 2), 1)) for name, _ in cells]
    width = max((_width(part) for parts in names for part in parts), default=0)
    room -= 1 + width + len(COLUMN_GAP)
    console = Console(highlight=False, stderr=to_stderr, soft_wrap=True)
    if title:
        console.print(Text(f"{clean(title)}\n", style="table.title"))
    for name, (_, value) in zip(names, cells, strict=True):
        for first, second in zip_longest(name, _folded(value, max(room, 1)), fillvalue=""):
            gap = " " * (width - _width(first)) + COLUMN_GAP if second else ""
            console.print(Text.assemble(" ", (first, "bold"), gap, second))
    console.print()


def _room(stream: TextIO | None) -> int:
    """Return the places of a line: a terminal's or, where they are set, those of COLUMNS; else there is no end."""
    has_width = "COLUMNS" in os.environ or (stream is not None and stream.isatty())
    return shutil.get_terminal_size().columns if has_width else sys.maxsize


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, whole: Container[str] = ()) -> None:
    """Print a table on stdout, nothing of it cut.

    On a terminal that is too narrow for it, long texts are folded between words, and columns that do not fit even then
    follow in a table of their own, beside the first column again: no number or name is broken that has a line's room.
    What stands in the columns that are `whole` is not folded at all.
    """
    cells = [[clean(cell) for cell in row] for row in (header, *rows)]
    room = _table_room()
    for part in _parts_that_fit(cells, room, whole):
        print_answer(_laid_out(part, room, whole))


def fits_whole(header: Sequence[str], rows: Iterable[Sequence[str]], *, whole: Container[str] = ()) -> bool:
    """Return True if `print_table` has room for these columns side by side."""
    cells = [[clean(cell) for cell in row] for row in (header, *rows)]
    return len([*_parts_that_fit(cells, _table_room(), whole)]) == 1


def _table_room() -> int:
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if on_terminal else sys.maxsize


def _parts_that_fit(cells: list[list[str]], room: int, whole: Container[str]) -> Iterable[list[list[str]]]:
    """Return the columns in groups that fit side by side, each group with the first column before it."""
    if _table_width(_widths(cells)) <= room:
        return [cells]
    least = _least_widths(cells, whole)
    groups = [[0]]
    for column in range(1, len(least)):
        if len(groups[-1]) > 1 and _table_width([least[each] for each in (*groups[-1], column)]) > room:
            groups.append([0])
        groups[-1].append(column)
    return ([[row[column] for column in group] for row in cells] for group in groups)


def _laid_out(cells: list[list[str]], room: int, whole: Container[str]) -> str:
    widths = _widths(cells)
    least = _least_widths(cells, whole) if _table_width(widths) > room else widths
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


def _widths(cells: list[list[str]]) -> list[int]:
    return [max(map(_width, column)) for column in zip(*cells, strict=True)]


def _table_width(widths: Sequence[int]) -> int:
    """Return the width of a table, with the gaps between columns and a space before the first."""
    return 1 + sum(widths) + len(COLUMN_GAP) * (len(widths) - 1)


def _least_widths(cells: list[list[str]], whole: Container[str]) -> list[int]:
    """Return the least width of each column: its name and long texts are folded between words, other cells not."""

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
    """Return lines of at most `width`, broken between words; a word that is wider is broken inside, but no path.

    A path that is broken can be neither opened nor copied: the terminal itself folds it.
    """
    if _width(text) <= width:
        return [text]
    from rich.cells import chop_cells

    lines: list[str] = []
    for word in text.split():
        if lines and _width(lines[-1]) + 1 + _width(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines += [word] if "/" in word or os.sep in word else chop_cells(word, width)
    return lines


def _width(text: str) -> int:
    """Return the places that a text takes on a terminal, where some letters take two and some none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def print_error(message: str) -> None:
    """Print `error: …` on stderr."""
    print_answer(f"error: {message}", to_stderr=True)


def print_line(text: str, *, to_stderr: bool = False) -> None:
    """Print one line on stdout (or stderr), whatever line breaks a name or a warning in it has."""
    print_answer(clean(text), to_stderr=to_stderr)


def print_warnings(warnings: Iterable[str], *, to_stderr: bool = False) -> None:
    """Print each warning on a line of its own on stdout (or stderr), equal ones once with their number.

    Of a file from somebody else there can be any number, of any length: see `shown_warnings`.
    """
    counted = Counter(clean(text, MAX_WARNING) for text in warnings)
    for text in shown_warnings(counted):
        times = counted[text]
        print_line(f"  ! {text}{f' ({times} times)' if times > 1 else ''}", to_stderr=to_stderr)


def shown_warnings(texts: Iterable[str]) -> list[str]:
    """Return the first `MAX_WARNINGS` texts, each cut after `MAX_WARNING` letters, and how many there are more."""
    every = list(texts)
    shown = [clean(text, MAX_WARNING) for text in every[:MAX_WARNINGS]]
    more = [f"and {len(every) - len(shown):,} more warnings: --json has every one"] if len(every) > len(shown) else []
    return shown + more


def print_json(document: str, *, end: str = "\n") -> None:
    """Print a JSON document, or a piece of one, on stdout; what a terminal would obey or not show is escaped in it."""
    print_answer(escaped_json(document, getattr(sys.stdout, "encoding", None) or "utf-8"), end=end)


def print_answer(text: str, *, to_stderr: bool = False, end: str = "\n") -> None:
    """Print lines of text on stdout (or stderr), at once, as `clean_lines` leaves them.

    A line or dots that the stream has no sign for are plainer.
    """
    stream: TextIO | None = sys.stderr if to_stderr else sys.stdout
    if stream is None:  # closed from outside; `print` would take the other one
        return
    print(_plainer(clean_lines(text), stream), file=stream, end=end, flush=True)


def _plainer(text: str, stream: TextIO) -> str:
    """Return `text` with plainer lines and dots where the stream has no sign for them."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return text.translate(PLAINER)
    return text
