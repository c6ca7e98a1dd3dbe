"""What a deployment of an LLM costs: joules, seconds and FLOPs, each with its error bound or None.

    from llenergymeasure import measure_energy, run_experiment

    result = run_experiment(model="random:llama", num_prompts=32)
    print(result.energy_per_output_token_j, result.energy_source)

    with measure_energy() as window:
        work()
    print(window.energy_j, window.energy_uncertainty_j, window.verdict)

Names are resolved on first use, so importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llenergymeasure.api import load_results, measure_energy, results_table, run_experiment
    from llenergymeasure.config.models import ExperimentConfig
    from llenergymeasure.domain.experiment import ExperimentResult

__all__ = ["ExperimentConfig", "ExperimentResult", "load_results", "measure_energy", "results_table", "run_experiment"]

_HOMES = {
    "ExperimentConfig": "llenergymeasure.config.models",
    "ExperimentResult": "llenergymeasure.domain.experiment",
    "load_results": "llenergymeasure.api",
    "measure_energy": "llenergymeasure.api",
    "results_table": "llenergymeasure.api",
    "run_experiment": "llenergymeasure.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
