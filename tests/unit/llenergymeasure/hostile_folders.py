"""`llem`, run in this process."""

import contextlib
import io
import os
import signal
import sys

from hostile_places import deadline
from llenergymeasure.cli.main import main


def llem(*arguments):
    """The exit code of `llem` with these arguments, and all that it prints."""
    shown, argv, code = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace"), sys.argv, 0
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        sys.argv = ["llem", *map(os.fspath, arguments)]
        with deadline(), contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = argv
        signal.signal(signal.SIGTERM, terminated)
    shown.flush()
    return code, shown.buffer.getvalue().decode()
