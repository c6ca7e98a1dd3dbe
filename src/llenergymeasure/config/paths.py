"""The paths of a configuration: which fields are paths, and model names that are folders of this machine."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from llenergymeasure.config.datasets import BUILTIN_DATASET
from llenergymeasure.config.models import RANDOM_LLAMA

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

WORK_FILES = ("dataset", "quality.task", "quality.lm_eval")
"""The fields whose files are read before a run as its work, or beside it."""


class WrittenPath(NamedTuple):
    """A path in a configuration: its field, what is written there, and what it should lead to.

    One that need not exist may mean something else: a model on the hub, or a server's own name of it.
    """

    location: tuple[str, ...]
    written: str
    kind: str
    must_exist: bool = True

    def changed_to(self, path: str) -> dict[str, Any]:
        """Return the part of a configuration that has this path in its field."""
        changed: Any = path
        for name in reversed(self.location):
            changed = {name: changed}
        return dict(changed)


def written_paths(data: Mapping[str, Any]) -> Iterator[WrittenPath]:
    """Yield the paths to read from in a configuration as it was written, valid or not."""
    dataset, lora, quality = data.get("dataset"), data.get("lora"), data.get("quality")
    if isinstance(dataset, str) and dataset != BUILTIN_DATASET:
        yield WrittenPath(("dataset",), dataset, "file", dataset.endswith(".jsonl"))
    if isinstance(lora, dict) and isinstance(path := lora.get("path"), str):
        yield WrittenPath(("lora", "path"), path, "folder")
    if isinstance(quality, dict):
        files = [(name, path) for name in ("task", "lm_eval") if isinstance(path := quality.get(name), str)]
        yield from (WrittenPath(("quality", name), path, "file") for name, path in files)
    model = data.get("model")
    if not isinstance(model, str) or model == RANDOM_LLAMA or _is_a_servers_name(data):
        return
    launch = data.get("launch")
    preset = launch.get("preset") if isinstance(launch, dict) else launch
    if preset == "llamacpp":
        yield WrittenPath(("model",), model, "file; llama-server takes a GGUF file")
    else:
        attached = data.get("backend") == "openai" and launch is None
        yield WrittenPath(("model",), model, "folder", local_folder(model) is not None and not attached)


def from_here(path: Path, written: str) -> str:
    """Return a path from the working directory on, if it lies in there; `written` where that means the same from here.

    Links in it stay as they are: `a/../b` is `b` only where `a` is no link.
    """
    if os.path.isabs(os.path.expanduser(written)):
        return written
    here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return written if here == Path(written) else str(here)


def local_folder(model: str) -> Path | None:
    """Return the folder that `model` means, there or not; None where it is a hub id or a random model."""
    if model == RANDOM_LLAMA:
        return None
    if "\0" in model:  # a name that no file system takes
        return Path(model)
    path = os.path.expanduser(model)
    return Path(path) if not HUB_ID.fullmatch(model) or os.path.isdir(path) else None


def _is_a_servers_name(data: Mapping[str, Any]) -> bool:
    """Return True where `model` is the name that a server which runs already gives its model."""
    section = data.get("openai")
    named = isinstance(section, dict) and section.get("model") is not None
    return data.get("backend") == "openai" and data.get("launch") is None and not named
