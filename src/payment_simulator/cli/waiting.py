"""The progress that the commands of payment-sim show, on stderr."""

from labledger.console import StderrProgress

SHOWN_AFTER_S = 1.0
MODEL_ALIVE_S = 4.0
"""Between two signs of life while a model is asked, which may take minutes."""


def shown_progress(*, alive_s: float | None = None) -> StderrProgress:
    """Return the progress of a command: a part that takes over a second is shown, and that the engine is compiled.

    `alive_s` is the time between two signs of life in a file or a pipe.
    """
    return StderrProgress(shown_after_s=SHOWN_AFTER_S, note=_compiling, alive_s=alive_s)


def _compiling() -> str:
    from payment_simulator.engine.simulate import is_compiling

    return f"compiling the engine first, {_how_often()}" if is_compiling() else ""


def _how_often() -> str:
    from payment_simulator.engine.kernel.jit import CACHE_FOLDER, IS_KEPT

    return "once on this machine (10 to 40 s)" if IS_KEPT else f"in every run, for {CACHE_FOLDER} cannot be written"
