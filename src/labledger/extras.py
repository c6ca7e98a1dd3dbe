"""Optional packages: which extra of this distribution installs each, and what to say where one is not there."""

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
    "pydantic_ai": "llm",
    "matplotlib": "plot",
    "zeus": "zeus",
}
"""The extra that installs a package, by the name that it is imported by; of several extras the smallest."""


def missing(*packages: str) -> list[str]:
    """Those of `packages` that are not installed; none is imported."""
    return [name for name in packages if find_spec(name) is None]


def install_command(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install -e '.[{extra}]'"


def explained(error: BaseException) -> BaseException:
    """An import that failed for a package of others as a ConfigError that says what to install, else `error` itself."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return error
    package = error.name.partition(".")[0]
    if package in OWN_PACKAGES:
        return error
    extra = EXTRAS.get(package)
    command = install_command(extra) if extra else f"pip install {package}"
    return ConfigError(f"{package} is not installed; run {command}")
