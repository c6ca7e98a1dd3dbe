"""Small studies, and runs that are made in no time: each saves a result with little in it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.study.cells import LoadedStudy
from llenergymeasure.config.study.loading import load_study
from llenergymeasure.domain.experiment import ExperimentResult, compute_measurement_config_hash
from llenergymeasure.domain.study import StudyManifest
from llenergymeasure.parallel.run_process import Separate
from llenergymeasure.results.persistence import save_result
from llenergymeasure.study.runner import make_runs
from llenergymeasure.study.workers import RunOptions
from small_result import make_result

BASE = "model: random:llama\ndevice: cpu\nnum_prompts: 4\n"


def small_study(folder: Path, text: str = "sweep: {batch_size: [1, 2]}\nstudy: {repeats: 2}\n") -> LoadedStudy:
    """A study of the sections in `text`, and of the name `s`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "s.yaml"
    path.write_text(BASE + text)
    return load_study(path)


class Saves:
    """Makes runs in this process. `made` has the batch size and round of each; `before` and `after` are called with
    both on either side of the save, and a text that `before` returns is the reason why the run fails."""

    def __init__(self, folder: Path) -> None:
        self.made: list[tuple[int, int]] = []
        self.before: Callable[[int, int], str | None] = lambda batch_size, round_number: None
        self.after: Callable[[int, int], object] = lambda batch_size, round_number: None
        self._folder = folder

    def run(self, config: ExperimentConfig, round_number: int) -> Separate:
        which = (config.batch_size, round_number)
        self.made.append(which)
        if problem := self.before(*which):
            return Separate(None, problem)
        path = save_result(result_of(config, len(self.made)), self._folder)
        self.after(*which)
        return Separate(path)

    def close(self) -> None:
        pass


def result_of(config: ExperimentConfig, number: int) -> ExperimentResult:
    now = datetime.now(UTC)
    return make_result(
        experiment_id=f"{now:%H%M%S%f}-{number}",
        measurement_config_hash=compute_measurement_config_hash(config),
        start_time=now,
        end_time=now,
        effective_config=config.in_effect(),
        output_tokens_per_second=100.0 + number % 5,
    )


class Quiet:
    """Hears how a study goes on, and keeps the results by their run's number."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, bool]] = []

    def waits(self, manifest: StudyManifest, number: int, words: str) -> None:
        pass

    def begins(self, manifest: StudyManifest, number: int) -> None:
        pass

    def ended(self, manifest: StudyManifest, number: int, result: ExperimentResult | None) -> None:
        self.heard.append((number, result is not None))


def make(study: LoadedStudy, folder: Path, saves: Saves | None = None, **options: object) -> StudyManifest:
    """Make the runs of a study in its folder, which is there afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    return make_runs(study, folder, Quiet(), RunOptions(), workers=saves or Saves(folder), **options)  # type: ignore[arg-type]
