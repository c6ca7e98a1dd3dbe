"""Files that Arrow reads by itself."""

from io import BufferedReader
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    import pyarrow


def arrow_file(file: BufferedReader) -> Union["pyarrow.NativeFile", BufferedReader]:
    """Return an open file as one of Arrow's, from its start; where descriptors have no names, as on Windows, as it is.

    Threads of Arrow's read ahead. Of a file of Python's they hold bytes that they let go of with the interpreter's
    lock, some time after the reader has returned: one that asks for the lock while the program ends is ended in the
    midst of C++, and with it the whole process, by SIGABRT.
    """
    import pyarrow as pa

    file.seek(0)
    try:
        return pa.OSFile(f"/dev/fd/{file.fileno()}")
    except OSError:
        return file
