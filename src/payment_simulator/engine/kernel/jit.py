"""Compilation of the kernel by numba, and the cache of it.

numba does not see that a function in another file was changed, so its cache has a folder for each state of the sources:
of the engine with all its folders, and of the policies, whose limits are compiled in.
Where there can be none, nothing is kept: the place that numba would take instead knows no such states.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import platformdirs

from labledger.files import uninterrupted

STOPPING = "stopping as soon as the engine is compiled"


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

_INSIDE: Any = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,  # arrays are lent by the entry: counting references at every call takes half of a run's time
}

part: Any = numba.njit(**_INSIDE)
"""A part of the kernel: called by compiled code alone."""

inlined: Any = numba.njit(**_INSIDE, forceinline=True)
"""A part whose code LLVM puts into its caller: a call that is seldom made there would cost it every time."""

entry: Any = numba.njit(nogil=True, error_model="numpy", cache=IS_KEPT)
"""A function of the kernel that Python calls."""

_compiled: set[Any] = set()


def call(function: Any, *arguments: Any) -> Any:
    """Return what an `entry` returns, whose arguments are always of the same types; the first time, compile it."""
    compile_for(function, *arguments)
    return function(*arguments)


def compile_for(function: Any, *arguments: Any) -> None:
    """Compile an `entry` for these arguments, or read it from the cache; nothing where that was done before.

    Signals wait meanwhile, and the user is told: in a callback of the compiler what a handler raises is lost, and
    leaves half a function. The compiler works in a thread, for within its calls nobody would hear a signal.
    """
    if function in _compiled:
        return
    types = tuple(map(function.typeof_pyval, arguments))
    with uninterrupted(STOPPING), ThreadPoolExecutor(1) as pool:
        pool.submit(function.compile, types).result()
        _compiled.add(function)
