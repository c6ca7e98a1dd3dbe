"""What a launched server has printed: a file that is added to, quoted in errors and never removed."""

import os
import re
from pathlib import Path
from typing import BinaryIO

from labledger.files import joined_directory
from labledger.regular_files import open_regular
from llenergymeasure.errors import BackendError

QUOTED_LINES = 5
QUOTED_LETTERS = 300  # of a line
READ_BYTES = 16_384
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)")


class ServerLog:
    """One server's log. `secret` is never quoted: a server may print a key that it was given."""

    def __init__(self, path: Path, secret: str | None = None) -> None:
        self.path = path
        self._secret = secret
        self._began = 0

    def open(self) -> BinaryIO:
        """The file, to add to; what it has from here on is what is quoted.

        Raises:
            BackendError: it cannot be written.
        """
        try:
            folder = self.path.parent
            with joined_directory(folder, within=folder.parent):  # made, if need be, and no link
                file = os.fdopen(open_regular(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab")
        except OSError as error:
            raise BackendError(f"the server's log {self.path} cannot be written: {error.strerror}") from error
        self._began = file.tell()
        return file

    def quoted(self) -> str:
        """Where the log is, with its last lines as far as they can be printed."""
        try:
            lines = self._last_lines()
        except OSError as error:
            return f"its log {self.path} cannot be read: {error.strerror}"
        if not lines:
            return f"its log {self.path} is empty"
        return "\n  ".join([f"last lines of {self.path}:", *lines])

    def _last_lines(self) -> list[str]:
        with os.fdopen(open_regular(self.path, os.O_RDONLY), "rb") as file:
            end = file.seek(0, 2)
            file.seek(max(self._began, end - READ_BYTES))
            text = file.read(READ_BYTES).decode(errors="replace")
        if self._secret:
            text = text.replace(self._secret, "(the key)")
        lines = (_printable(line) for line in re.split(r"[\r\n]+", ESCAPES.sub("", text)))
        return [line for line in lines if line][-QUOTED_LINES:]


def _printable(line: str) -> str:
    line = "".join(letter for letter in line.expandtabs() if letter.isprintable()).strip()
    return line if len(line) <= QUOTED_LETTERS else line[:QUOTED_LETTERS] + " …"
