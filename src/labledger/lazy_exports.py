"""Names of a package that are imported on first use, so that importing the package costs nothing."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of `package`: `homes` has the module of each name.

    `__version__` is there too: that of the distribution.
    """

    def get(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("labledger")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return get, lambda: sorted([*homes, "__version__"])
