"""Optional packages: which extra of this distribution installs each, and the error where one is not there."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

from labledger.errors import ConfigError

OWN_PACKAGES = frozenset({"labledger", "llenergymeasure", "payment_simulator"})
EXTRAS = {
    **dict.fromkeys(("torch", "transformers", "accelerate", "peft", "tokenizers", "safetensors"), "pytorch"),
    "huggingface_hub": "pytorch",
    "aiohttp": "server",
    "duckdb": "sql",
    "pytz": "sql",
    "numba": "payments",
    "defusedxml": "payments",
    "pydantic_ai": "llm",
    "matplotlib": "plot",
    "zeus": "zeus",
}
"""The extra that installs a package, by the name that it is imported by; of several extras the smallest."""


def missing(*packages: str) -> list[str]:
    """Return those of `packages` that are not installed; none is imported."""
    return [name for name in packages if find_spec(name) is None]


def install_command(extra: str) -> str:
    """Return the command that installs an extra, as this distribution was installed itself, and where to run it.

    From a folder of its sources: in there, editable only if it is. Else pip completes what is installed: it asks no
    index for labledger.
    """
    folder = _source_folder()
    if folder is None:
        return f"pip install 'labledger[{extra}]'"
    return f"pip install {'-e ' if folder.get('editable', False) else ''}'.[{extra}]' in the clone"


def require(what: str, *packages: str) -> None:
    """Do nothing where `packages`, all of one extra, are installed.

    Raises:
        ConfigError: some are not; `what` names what needs them.
    """
    if absent := missing(*packages):
        raise ConfigError(f"{what}: {' and '.join(absent)} not installed; run {install_command(EXTRAS[absent[0]])}")


def _source_folder() -> dict[str, object] | None:
    """Return what pip notes in direct_url.json (PEP 610) of a folder of sources; None of what is from elsewhere."""
    try:
        origin = json.loads(distribution("labledger").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:  # run as it lies there
        return {"editable": True}
    except ValueError:
        return None
    found = origin.get("dir_info") if isinstance(origin, dict) else None
    return found if isinstance(found, dict) else None


def explained(error: BaseException) -> BaseException:
    """Return a failed import of others' package as a ConfigError that says what to install, else `error` itself."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return error
    package = error.name.partition(".")[0]
    if package in OWN_PACKAGES:
        return error
    extra = EXTRAS.get(package)
    command = install_command(extra) if extra else f"pip install {package}"
    return ConfigError(f"{package} is not installed; run {command}")
