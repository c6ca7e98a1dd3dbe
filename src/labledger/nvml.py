"""NVIDIA's management library, NVML, by its Python module of nvidia-ml-py."""

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType, SimpleNamespace
from typing import Any

NEWEST = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlSystemGetCudaDriverVersion_v2", "NVML_FI_DEV_POWER_INSTANT")
"""The newest names that this project needs: a module that has them has the older ones, too."""
INSTALL = "run pip uninstall -y pynvml; pip install --force-reinstall nvidia-ml-py"


def load_nvml() -> Any:
    """Return the module of nvidia-ml-py, also where an older package, `pynvml`, stands before it under its name.

    Where neither can be used it returns a library whose `nvmlInit` fails, as where there is no driver: its error says
    what is installed, and what to do.
    """
    try:
        import pynvml
    except Exception as error:  # a package of any age may fail in any way
        return _own_file() or _unusable(f"it cannot be imported ({type(error).__name__}: {error})")
    if _is_whole(pynvml):
        return pynvml
    return _own_file() or _unusable(f"{_named(pynvml)} is too old")


def _is_whole(module: ModuleType) -> bool:
    return all(hasattr(module, name) for name in NEWEST)


@cache
def _own_file() -> ModuleType | None:
    """Return the module in the file that nvidia-ml-py has installed; None where there is none, or an old one."""
    try:
        path = distribution("nvidia-ml-py").locate_file("pynvml.py")
        spec = spec_from_file_location("labledger_pynvml", str(path))
        if spec is None or spec.loader is None:
            return None
        module = sys.modules[spec.name] = module_from_spec(spec)
        spec.loader.exec_module(module)
    except (PackageNotFoundError, ImportError, OSError, SyntaxError):
        return None
    return module if _is_whole(module) else None


def _named(module: ModuleType) -> str:
    """Return the package that has a module and its version, as far as that is known."""
    for name in ("pynvml", "nvidia-ml-py"):
        try:
            return f"the package {name} {version(name)}, in {module.__file__},"
        except PackageNotFoundError:
            continue
    return f"the module pynvml in {module.__file__}"


class _NVMLError(Exception):
    """The error of a library that cannot be used."""


def _unusable(reason: str) -> Any:
    def fail() -> None:
        raise _NVMLError(f"{reason}; {INSTALL}")

    return SimpleNamespace(NVMLError=_NVMLError, nvmlInit=fail)
