"""Paths that a user has written in a file: beside that file first, then in the working directory."""

import os
from pathlib import Path

from labledger.errors import ConfigError
from labledger.untrusted_text import SHOWN, clean

MAX_PATH = 1_000


def find_written(written: str, folder: Path) -> Path:
    """Return what a path means that stands in a file of `folder`: what is there by that name, else what is in the
    working directory; where neither is, the first. A path from the root or from `~` on is one place only."""
    own = Path(os.path.expanduser(written))
    beside = folder / own
    return own if not os.path.lexists(beside) and os.path.lexists(own) else beside


def places(written: str, folder: Path) -> str:
    """Return the places in which `find_written` looks, for a message that nothing is there."""
    own = Path(os.path.expanduser(written))
    looked = dict.fromkeys(os.path.abspath(path) for path in (folder / own, own))
    return "looked for " + ", then ".join(clean(each, MAX_PATH) for each in looked)


def existing(written: str, folder: Path) -> Path:
    """Return what `find_written` finds.

    Raises:
        ConfigError: nothing is there; the message has the places.
    """
    found = find_written(written, folder)
    if not os.path.lexists(found):  # nor is there anything by a name that none can have, with a NUL
        raise ConfigError(f"{clean(written, SHOWN)}: no such file ({places(written, folder)})")
    return found
