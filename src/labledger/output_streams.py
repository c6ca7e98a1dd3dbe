"""Standard output and error whose reader may leave before the end, as `head` does.

A program then goes on, and ends with the exit code that it would have had: a result is saved, a gate judges, whoever
reads. What it writes goes nowhere. Only what would print for ever asks `has_reader`.
"""

import io
import sys
from typing import Any


class _Output(io.FileIO):
    """A stream's file; it takes and drops what nobody reads any more."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(stream.fileno(), "w", closefd=False)
        self.whole = stream  # which would close the descriptor, were it let go
        self.reader_has_left = False

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            self.reader_has_left = True
            return memoryview(data).nbytes


def outlive_readers() -> None:
    """Let this process's standard output and error outlive whoever reads them."""
    sys.stdout, sys.stderr = _outliving(sys.stdout), _outliving(sys.stderr)


def has_reader() -> bool:
    """Return False once something was written to standard output that nobody reads any more."""
    output = _file_of(sys.stdout)
    return not (isinstance(output, _Output) and output.reader_has_left)


def _outliving(stream: Any) -> Any:
    """Return `stream` with an `_Output` under it; as it is where it is closed, or no stream of a descriptor."""
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(_file_of(stream), io.FileIO):
        return stream
    stream.flush()
    output: Any = _Output(stream)
    return io.TextIOWrapper(
        output if isinstance(stream.buffer, io.FileIO) else io.BufferedWriter(output),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _file_of(stream: Any) -> Any:
    """Return the file under a stream, which has a buffer between the two unless Python was started without (`-u`)."""
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)
