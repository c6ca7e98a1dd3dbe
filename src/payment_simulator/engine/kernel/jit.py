"""Compilation of the kernel by numba, and the cache of it.

numba does not see that a function in another file was changed, so its cache has a folder for each state of the sources:
of the engine with all its folders, and of the policies, whose limits are compiled in.
Where there can be none, nothing is kept: the place that numba would take instead knows no such states.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import numba
import platformdirs


def _cache_folder() -> Path:
    digest = hashlib.sha256(numba.__version__.encode())
    for folder in ("engine", "policy"):
        for path in sorted((Path(__file__).parents[2] / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return platformdirs.user_cache_path("payment_simulator") / digest.hexdigest()[:16]


def _can_keep(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


CACHE_FOLDER = _cache_folder()
IS_KEPT = _can_keep(CACHE_FOLDER)
numba.config.CACHE_DIR = str(CACHE_FOLDER)  # type: ignore[attr-defined]

part: Any = numba.njit(  # type: ignore[call-overload]
    nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
)
"""A part of the kernel: called by compiled code alone."""

entry: Any = numba.njit(nogil=True, error_model="numpy", cache=IS_KEPT)
"""A function of the kernel that Python calls."""
