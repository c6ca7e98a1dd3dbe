"""The memory that reading takes, and whether it is there: a file is refused before the system ends the process."""

from dataclasses import dataclass
from pathlib import Path

import psutil

from labledger.errors import ConfigError
from labledger.regular_files import in_words
from labledger.untrusted_text import clean

MAX_FILE_BYTES = 1 << 62
"""No limit of its own: the memory that is free decides."""

MEMORY_PER_BYTE = 4
"""Bytes in memory of each of a text's, as it is read, checked and turned into columns (measured: 3)."""
MEMORY_PER_LINE = 300
"""Bytes in memory of each line beside: its numbers, and what sorting them takes (measured: 260)."""

REMEDY = "keep the columns and rows that are needed in a Parquet file, or part it by day"


@dataclass(frozen=True)
class Room:
    """The bytes of a file that there is memory for."""

    path: Path
    available: int
    per_byte: int

    def check(self, size: int, lines: int = 0) -> None:
        """Do nothing where so many bytes, and so many lines of a text, have room.

        Raises:
            ConfigError: they have not; the message has both sizes.
        """
        if (needed := size * self.per_byte + lines * MEMORY_PER_LINE) > self.available:
            what = f"has {in_words(size)}" + (f" in {lines:,} lines" if lines else "")
            raise ConfigError(
                f"{clean(str(self.path), 300)}: {what}; to read it takes some {in_words(needed)} of "
                f"memory, and {in_words(self.available)} are free; {REMEDY}"
            )


def room_for_text(path: Path, size: int) -> Room:
    """Return the room for a text, whose file has so many bytes. Raises ConfigError: there is none for these."""
    room = Room(path, psutil.virtual_memory().available, MEMORY_PER_BYTE)
    room.check(size)
    return room


def room_for_columns(path: Path) -> Room:
    """Return the room for columns as they stand in memory."""
    return Room(path, psutil.virtual_memory().available, 2)
