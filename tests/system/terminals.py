"""Reading a terminal that a command writes to."""

import os
import select


def read_terminal(terminal: int, timeout_s: float, shown: str) -> str:
    """Return what a terminal shows next, an empty text once its other side has closed; `shown` is for the error."""
    if not select.select([terminal], [], [], max(timeout_s, 0))[0]:
        raise TimeoutError(f"nothing new for too long after:\n{shown}")
    try:
        return os.read(terminal, 1 << 16).decode(errors="replace")
    except OSError:  # how Linux says that the other side has closed
        return ""
