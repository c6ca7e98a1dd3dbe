"""The public face in Python."""

from pathlib import Path
from typing import Any

from labledger.console import Progress, Silent
from llenergymeasure import harness
from llenergymeasure.config.loading import build_config, load_config, load_user_config, merge
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.persistence import save_or_keep


def run_experiment(
    config: ExperimentConfig | Path | str | None = None, *, output_dir: Path | str | None = None, **fields: Any
) -> ExperimentResult:
    """Measure what a deployment of a model costs.

    `config` is a configuration or the path of a YAML file; `fields` are fields of ExperimentConfig
    (`model="random:llama", num_prompts=32, ...`) that stand over it, a section's keys one by one. Nothing is
    written unless `output_dir` is given; then the result is in a new folder in there.

    Raises:
        pydantic.ValidationError: a field is wrong, and no YAML was named.
        ConfigError: a field is wrong beside a YAML, or a file is; the message has its line.
        PreFlightError: the run cannot start; every reason is in the message.
        BackendError: the model could not be loaded, or generation failed.
        ExperimentError: every warm-up call failed; or, as UnsavedResultError with the `result`, saving did.
    """
    user = load_user_config()
    if isinstance(config, str | Path):
        experiment = load_config(Path(config), fields, field_prefix="").experiment
    elif config is not None:
        experiment = ExperimentConfig.model_validate(merge(config.model_dump(exclude_unset=True), fields))
    else:
        experiment = build_config(fields)
    folder = Path(output_dir) if output_dir is not None else None
    return measure_and_save(experiment, user, folder, Silent())[0]


def measure_and_save(
    experiment: ExperimentConfig, user: UserConfig, output_dir: Path | None, progress: Progress
) -> tuple[ExperimentResult, Path | None]:
    """The result, and the path of its result.json where it was saved. Raises what `run_experiment` raises."""
    try:
        result = harness.run(experiment, user, progress, output_dir=output_dir)
        return result, _save(result, output_dir) if output_dir is not None else None
    finally:
        progress.finish()


def _save(result: ExperimentResult, output_dir: Path) -> Path:
    """Save; an interrupt in the middle is heeded once the finished result is safe."""
    try:
        return save_or_keep(result, output_dir)
    except KeyboardInterrupt as error:
        path = save_or_keep(result, output_dir)
        error.add_note(f"the result was complete and is saved in {path.parent}")
        raise
