"""The backends by name: its checks, its constructor, and the steady state of its runs.

A backend is a package with two modules, imported when its name is used: `checks` (see `protocol.Checks`) and `backend`,
whose `build` makes a `protocol.Backend`. A new one is such a package, a line here, and its name, its fields and its
section in `config.models`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import cast, get_args

from llenergymeasure.backends.protocol import Backend, Checks, RunContext
from llenergymeasure.config.models import BackendName, ExperimentConfig
from llenergymeasure.domain.requests import Batch, FailedRequest
from llenergymeasure.metrics.flops import FLOPS_METHOD, FLOPS_METHOD_SERVED
from llenergymeasure.metrics.steady_state import Steady, batches_window, load_window


@dataclass(frozen=True)
class Registered:
    """One backend: its package, how its steady state is found, and how its operations are counted."""

    package: str
    steady_state: Callable[[ExperimentConfig, Sequence[Batch], Sequence[FailedRequest], float, float], Steady]
    flops_method: str

    def checks(self) -> Checks:
        """Return the checks that a run makes before anything is loaded."""
        return cast(Checks, import_module(f"{self.package}.checks"))

    def build(self, config: ExperimentConfig, context: RunContext) -> Backend:
        """Return the backend of one run, with nothing loaded.

        Raises:
            ImportError: its libraries are not installed; `checks` finds that first.
        """
        return cast(Backend, import_module(f"{self.package}.backend").build(config, context))


BACKENDS: dict[BackendName, Registered] = {
    "pytorch": Registered("llenergymeasure.backends.pytorch", batches_window, FLOPS_METHOD),
    "openai": Registered("llenergymeasure.backends.openai", load_window, FLOPS_METHOD_SERVED),
}

if tuple(BACKENDS) != get_args(BackendName):
    raise ImportError(f"backends {', '.join(BACKENDS)} are registered, and config.models names {get_args(BackendName)}")
