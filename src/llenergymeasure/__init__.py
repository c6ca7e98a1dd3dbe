"""Measure what a deployment of an LLM costs: joules, seconds and FLOPs, each with its error bound or None.

    from llenergymeasure import measure_energy, run_experiment

    result = run_experiment(model="random:llama", num_prompts=32)
    print(result.energy_per_output_token_j, result.energy_source)

    with measure_energy() as window:
        work()
    print(window.energy_j, window.energy_uncertainty_j, window.verdict)

    study = run_study("study.yaml", output_dir="results", sweep={"batch_size": [1, 8, 32]}, repeats=6)
    print(study.table().to_pandas())

Every error that is raised on purpose:

    LabledgerError
    ├── ConfigError             a file, a field or a flag cannot be used as it stands, or a package is missing
    ├── PreFlightError          the experiment cannot start; every reason is in the message
    ├── BackendError            the model could not be loaded, or generation failed
    ├── MeterError              an energy source cannot be opened or read
    └── ExperimentError         it ran and came to no result
        └── UnsavedResultError  it came to a result that could not be saved; `result` has it

A wrong field is a ConfigError; only of an ExperimentConfig that is built by itself it is pydantic's ValidationError.
A file that cannot be opened is Python's own OSError, as a FileNotFoundError.

Names are imported on first use, so importing the package costs nothing.
"""

from typing import TYPE_CHECKING

from labledger.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from llenergymeasure.api import compare, measure_energy, run_experiment, run_study
    from llenergymeasure.config.models import ExperimentConfig
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.domain.study_result import StudyResult
    from llenergymeasure.energy.window import MeteredEnergy
    from llenergymeasure.errors import (
        BackendError,
        ConfigError,
        ExperimentError,
        LabledgerError,
        MeterError,
        PreFlightError,
    )
    from llenergymeasure.results.catalog import load_results, results_table
    from llenergymeasure.results.comparison import Comparison
    from llenergymeasure.results.persistence import UnsavedResultError

    __version__: str

__all__ = [
    "BackendError",
    "Comparison",
    "ConfigError",
    "ExperimentConfig",
    "ExperimentError",
    "ExperimentResult",
    "LabledgerError",
    "MeterError",
    "MeteredEnergy",
    "PreFlightError",
    "StudyResult",
    "UnsavedResultError",
    "__version__",
    "compare",
    "load_results",
    "measure_energy",
    "results_table",
    "run_experiment",
    "run_study",
]

_HOMES = {
    "BackendError": "llenergymeasure.errors",
    "Comparison": "llenergymeasure.results.comparison",
    "ConfigError": "llenergymeasure.errors",
    "ExperimentConfig": "llenergymeasure.config.models",
    "ExperimentError": "llenergymeasure.errors",
    "ExperimentResult": "llenergymeasure.domain.experiment",
    "LabledgerError": "llenergymeasure.errors",
    "MeterError": "llenergymeasure.errors",
    "MeteredEnergy": "llenergymeasure.energy.window",
    "PreFlightError": "llenergymeasure.errors",
    "StudyResult": "llenergymeasure.domain.study_result",
    "UnsavedResultError": "llenergymeasure.results.persistence",
    "compare": "llenergymeasure.api",
    "load_results": "llenergymeasure.results.catalog",
    "measure_energy": "llenergymeasure.api",
    "results_table": "llenergymeasure.results.catalog",
    "run_experiment": "llenergymeasure.api",
    "run_study": "llenergymeasure.api",
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
