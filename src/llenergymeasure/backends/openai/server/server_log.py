"""The log of a launched server: a file that is added to, quoted in errors and never removed; the keys in it are
overwritten at the end.
"""

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from labledger.files import joined_directory
from labledger.redaction import TAIL, redactor
from labledger.regular_files import open_regular
from labledger.untrusted_text import clean
from llenergymeasure.errors import BackendError

QUOTED_LINES = 5
QUOTED_LETTERS = 300  # of a line
READ_BYTES = 16_384
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)")


class ServerLog:
    """One server's log, which is quoted without the keys: a server may print one that it was given."""

    def __init__(self, path: Path, keys: Sequence[str], began: int = 0) -> None:
        self.path = path
        self._keys = redactor(*keys)
        self._written = keys
        self._began = began

    @property
    def arguments(self) -> dict[str, Any]:
        """The same log, as JSON: what another process makes it of."""
        return {"path": os.fspath(self.path.absolute()), "keys": list(self._written), "began": self._began}

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
        """Return where the log is, with its last lines, printable and without the keys."""
        try:
            lines = self._last_lines()
        except OSError as error:
            return f"its log {self.path} cannot be read: {error.strerror}"
        if not lines:
            return f"its log {self.path} is empty"
        return "\n  ".join([f"last lines of {self.path}:", *lines])

    def _last_lines(self) -> list[str]:
        with os.fdopen(open_regular(self.path, os.O_RDONLY), "rb") as file:
            begin = max(self._began, file.seek(0, 2) - READ_BYTES)
            file.seek(begin)
            text = file.read(READ_BYTES).decode(errors="replace")
        text = self._keys.hide(ESCAPES.sub("", text))
        if begin > self._began:
            text = text[TAIL:]  # it may begin with the end of a key
        lines = (clean(line.expandtabs().strip(), QUOTED_LETTERS) for line in re.split(r"[\r\n]+", text))
        return [line for line in lines if line][-QUOTED_LINES:]

    def overwrite_keys(self) -> None:
        """Overwrite the keys that the server has printed, once it has ended; where the file can be written."""
        with contextlib.suppress(OSError):
            self._keys.mask_file(self.path, self._began)
