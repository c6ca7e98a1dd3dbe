"""The folders of this machine's user that belong to the program itself."""

from pathlib import Path

import platformdirs


def state_path() -> Path:
    """Return the folder for what has to outlive a command."""
    return platformdirs.user_state_path("llenergymeasure")
