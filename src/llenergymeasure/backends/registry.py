"""The backends by name: its checks, its constructor, and the steady state of its runs.

A backend is a package with three modules, imported when its name is used: `checks` (see `protocol.Checks`), `load_key`
with the function of that name, and `backend`, whose `build` makes a `protocol.Backend`. A new one is such a package, a
line here, its name and its fields in `config.backends`, and its section in `config.models`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import cast, get_args

from llenergymeasure.backends.protocol import Backend, Checks, RunContext
from llenergymeasure.config.backends import BackendName
from llenergymeasure.config.models import ExperimentConfig
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

    def load_key(self, config: ExperimentConfig) -> str | None:
        """Return a text that two configurations have in common if the model that was loaded, or the server that was
        started, for the one can serve the other as well; None where it can serve no other run."""
        return cast(str | None, import_module(f"{self.package}.load_key").load_key(config))

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
    raise ImportError(f"backends {', '.join(BACKENDS)} are registered, config.backends names {get_args(BackendName)}")
