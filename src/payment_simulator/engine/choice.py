"""The engine that suits many runs which worker processes are to make."""

import time
from collections.abc import Callable

from payment_simulator.engine.simulate import Engine, NoKernelError, has_kernel, is_kernel_loaded

REFERENCE_S = 10.0
"""The time of all runs by the reference from which on the kernel is compiled for them."""


def suited_engine(run: Callable[[Engine], object], more: float) -> tuple[Engine, float]:
    """Return the engine that suits `more` runs like this one, and the seconds that one takes.

    `run` makes it once or more. The kernel is compiled here, so that no worker compiles it.
    """
    if not is_kernel_loaded():
        took_s = _timed(run, "reference")
        if more * took_s < REFERENCE_S or not has_kernel():
            return "reference", took_s
    try:
        if not is_kernel_loaded():
            run("kernel")
        return "kernel", _timed(run, "kernel")
    except NoKernelError:
        return "reference", _timed(run, "reference")


def _timed(run: Callable[[Engine], object], engine: Engine) -> float:
    began_s = time.perf_counter()
    run(engine)
    return time.perf_counter() - began_s
