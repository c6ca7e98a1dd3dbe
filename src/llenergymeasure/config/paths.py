"""Model names that are folders of this machine."""

import os
import re
from pathlib import Path

from llenergymeasure.config.models import RANDOM_LLAMA

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def local_folder(model: str) -> Path | None:
    """Return the folder that `model` means, there or not; None where it is a hub id or a random model."""
    if model == RANDOM_LLAMA:
        return None
    if "\0" in model:  # a name that no file system takes
        return Path(model)
    path = os.path.expanduser(model)
    return Path(path) if not HUB_ID.fullmatch(model) or os.path.isdir(path) else None
