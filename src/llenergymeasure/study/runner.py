"""Make the runs of a study, in order, and write down each before it begins and after it has ended.

Whatever ends this process at whatever moment, the next call goes on: a run that the manifest says is running, and whose
result is in the folder, is done; another one is made again. So no run is measured twice, and no result is lost.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from labledger.errors import LabledgerError, UnreadableFileError
from labledger.files import uninterrupted
from labledger.notices import notify
from labledger.untrusted_text import clean, reason_of
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.study.cells import LoadedStudy
from llenergymeasure.domain.experiment import ExperimentResult, compute_measurement_config_hash
from llenergymeasure.domain.study import StudyManifest, StudyRun
from llenergymeasure.parallel.run_process import Separate
from llenergymeasure.results.persistence import RESULT_FILE, load_result
from llenergymeasure.results.study.held import held_study
from llenergymeasure.results.study.manifest import ManifestWriter, read_manifest
from llenergymeasure.results.study.narrow import wide_cells
from llenergymeasure.results.study.runs import read_study
from llenergymeasure.results.study.saved import save_study
from llenergymeasure.results.study.summary import summarise_study
from llenergymeasure.run.boards.left import restore_left_boards
from llenergymeasure.run.repeats import FAILURES_IN_A_ROW, Failures
from llenergymeasure.study import found, load_search
from llenergymeasure.study.cooling import Cooling
from llenergymeasure.study.plan import extended, further_round, made_here, plan, with_run
from llenergymeasure.study.workers import RunOptions, Workers

SHOWN_ERROR = 1_000
"""Characters of the reason why a run has no result."""

GIVEN_UP = f"{FAILURES_IN_A_ROW} runs of this cell failed one after another"


class Watcher(Protocol):
    """Whoever is told how a study goes on."""

    def waits(self, manifest: StudyManifest, number: int, words: str) -> None:
        """Hear what run `number`, from 0, waits for before it begins: more than once of a long wait."""

    def begins(self, manifest: StudyManifest, number: int) -> None:
        """Hear that run `number`, from 0, begins."""

    def ended(self, manifest: StudyManifest, number: int, result: ExperimentResult | None) -> None:
        """Hear that run `number` has ended; `result` is None where it failed, and the manifest has the reason."""


class Makes(Protocol):
    """Whoever makes single runs, as `Workers` does."""

    def run(self, config: ExperimentConfig, round_number: int) -> Separate:
        """Make one run, of which the result is saved in the study's folder."""

    def close(self) -> None:
        """End what is still there."""


def make_runs(
    study: LoadedStudy,
    folder: Path,
    watcher: Watcher,
    options: RunOptions,
    *,
    fail_fast: bool = False,
    clock: Callable[[], float] = time.monotonic,
    workers: Makes | None = None,
) -> StudyManifest:
    """Begin the study in its folder or go on with it: make the runs without a result, and return the manifest then.

    A run that fails is recorded with the reason, and the others go on, unless `fail_fast`; a configuration that fails
    twice in a row is given up. After the planned rounds come further ones for as long as the study's stop rule says so.
    What an interrupted study has found so far is saved; of one that ends, the caller saves what it has found.

    Raises:
        PreFlightError: another process makes the runs of this study.
        ConfigError: the study that was begun in the folder has another plan; a line for each difference.
        UnreadableFileError: its manifest is none, or was damaged.
        OSError: the manifest cannot be written; what was done stays.
        KeyboardInterrupt: the present run has kept what it had, and no other is begun.
    """
    with held_study(folder):
        is_shared = study.settings.process == "shared"
        session = _Session(study, folder, watcher, clock)
        makes = workers or Workers(study.user, folder, options, is_shared=is_shared)
        try:
            session.make(makes, fail_fast=fail_fast)
        except BaseException:
            with contextlib.suppress(LabledgerError, OSError):  # the reason why it ends is another
                save_study(summarise_study(read_study(folder)), folder)
            raise
        finally:
            makes.close()
            restore_left_boards()  # of a run that was killed
        return session.manifest


class _Session:
    """One call of `llem` on a study, from the manifest as it lies in the folder on."""

    def __init__(self, study: LoadedStudy, folder: Path, watcher: Watcher, clock: Callable[[], float]) -> None:
        self._study, self._folder, self._watcher, self._clock = study, folder, watcher, clock
        self._writer, self._failures, self._cooling = ManifestWriter(folder), Failures(), Cooling(study.gaps)
        self._number: int | None = None
        planned = plan(study)
        by_hash = {cell.config_hash: each.config for cell, each in zip(planned.cells, study.cells, strict=True)}
        try:
            self._written = read_manifest(folder)
        except FileNotFoundError:
            self._written = self.manifest = planned
        else:
            found.wait_for_left_behind(folder)
            self.manifest = _settled(extended(self._written, planned), folder, by_hash)
        self._configs = [by_hash[cell.config_hash] for cell in self.manifest.cells]

    def make(self, makes: Makes, *, fail_fast: bool) -> None:
        """Make the runs that wait, in order, and those that the stop rule adds."""
        number, goes_on = 0, True
        while goes_on and self._is_there(number):
            run, result = self.manifest.runs[number], None
            if run.state == "waiting" and self._failures.is_given_up(run.cell):
                given_up = {"state": "given up", "error": GIVEN_UP}
                self.manifest = with_run(self.manifest, number, run.model_copy(update=given_up))
            elif run.state == "waiting":
                result = self._make(makes, number)
                goes_on = result is not None or not fail_fast
            if goes_on and (run.state == "waiting" or run.step is not None):
                self._search_on(number, result)
            number += 1
        if self.manifest != self._written:
            self._write()

    def _is_there(self, number: int) -> bool:
        """Return True if there is a run of that number, if need be in a further round."""
        if number == len(self.manifest.runs) and (further := self._next_round()):
            self._write(runs=[*self.manifest.runs, *further])
        return number < len(self.manifest.runs)

    def _make(self, makes: Makes, number: int) -> ExperimentResult | None:
        cell = self.manifest.runs[number].cell
        run = load_search.first_step(self._configs[cell], self.manifest.runs[number])
        config = load_search.config_of(self._configs[cell], run)
        gap = None
        if self._number is None:
            self._number = self._begin()
        else:
            gap = self._cooling.wait(config, lambda words: self._watcher.waits(self.manifest, number, words))
        began_s, at = self._clock(), datetime.now(UTC)
        begun = run.model_copy(update={"state": "running", "started_at": at, "session": self._number, "gap": gap})
        self._record(number, begun)
        try:
            self._watcher.begins(self.manifest, number)
            ended = _made(makes, config, run.round_number)
        except BaseException:
            with uninterrupted(), contextlib.suppress(OSError):  # the next call finds the same
                saved = self._saved(begun, config, None)
                self._record(number, _after(begun, saved, "interrupted", "was interrupted", self._clock() - began_s))
            raise
        saved = self._saved(begun, config, ended.path)
        try:
            problem = ended.problem or "its result could not be read back"
            self._record(number, _after(begun, saved, "failed", problem, self._clock() - began_s))
        except OSError as error:
            if saved is None:  # it may tell where the result is kept
                error.add_note(f"{self.manifest.cells[run.cell].name}: {ended.problem}")
            raise
        result = saved[1] if saved else None
        failed = result is None and load_search.counts_as_failure(self._configs[cell], run)
        self._failures.add(cell, failed=failed)
        self._watcher.ended(self.manifest, number, result)
        return result

    def _begin(self) -> int:
        """Enter this session into the manifest, and return its number."""
        before, here = self.manifest, made_here(self._study.user)
        number = before.sessions + 1
        if before.machine not in (None, here["machine"]):
            notify(
                f"{self._folder}: was begun on another machine ({before.machine}), and goes on on this one "
                f"({here['machine']}): joules and times of the two do not compare"
            )
        self.manifest = before.model_copy(update={"sessions": number, **here})
        return number

    def _saved(self, run: StudyRun, config: ExperimentConfig, path: Path | None) -> found.Found | None:
        """Return the result of a run that has ended, also where it was ended once its result was saved."""
        if path is None:
            return found.own_result(
                run, compute_measurement_config_hash(config), found.unlisted(self._folder, self.manifest)
            )
        try:
            return path, load_result(path)
        except (OSError, UnreadableFileError) as error:
            notify(f"{path}: the result cannot be read back: {reason_of(error)}")
            return None

    def _search_on(self, number: int, result: ExperimentResult | None) -> None:
        """Insert the run that a load search makes after this one."""
        run, runs = self.manifest.runs[number], self.manifest.runs
        if run.state not in ("done", "failed"):
            return
        places = [n for n, each in enumerate(runs) if (each.cell, each.round_number) == (run.cell, run.round_number)]
        if number != places[-1]:
            return
        steps = [(runs[n], result if n == number and result else self._result_of(runs[n])) for n in places]
        if (following := load_search.next_step(self._configs[run.cell], steps)) is not None:
            self._write(runs=[*runs[: number + 1], following, *runs[number + 1 :]])

    def _result_of(self, run: StudyRun) -> ExperimentResult | None:
        return None if run.folder is None else found.quiet_result(self._folder / run.folder / RESULT_FILE)

    def _next_round(self) -> list[StudyRun]:
        """Return the runs of a further round, while the interval of some cell is too wide; empty where none is."""
        stop, runs = self._study.stop, self.manifest.runs
        of_cell = [len({run.round_number for run in runs if run.cell == cell}) for cell in range(len(self._configs))]
        if stop is None or max(of_cell) >= stop.max_repeats:
            return []
        given_up = {cell for cell in range(len(self._configs)) if self._failures.is_given_up(cell)}
        given_up |= {run.cell for run in runs if run.state == "given up"}
        wide = wide_cells(read_study(self._folder), stop.metric, stop.half_width)
        return further_round(self.manifest, given_up) if set(wide) - given_up else []

    def _record(self, number: int, run: StudyRun) -> None:
        self._write(runs=with_run(self.manifest, number, run).runs)

    def _write(self, **update: Any) -> None:
        self.manifest = self.manifest.model_copy(update=update)
        self._writer.write(self.manifest)
        self._written = self.manifest


def _made(makes: Makes, config: ExperimentConfig, round_number: int) -> Separate:
    try:
        return makes.run(config, round_number)
    except OSError as error:
        return Separate(None, f"could not be started: {reason_of(error)}")


def _after(run: StudyRun, saved: found.Found | None, state: str, problem: str, elapsed_s: float | None) -> StudyRun:
    """Return the record of a run that has ended: with its result or, without one, in `state` for its `problem`."""
    if saved is None:
        error = clean("; ".join(problem.splitlines()), SHOWN_ERROR)
        return run.model_copy(update={"state": state, "error": error, "elapsed_s": elapsed_s})
    path, result = saved
    update = {"state": "done", "folder": path.parent.name, "experiment_id": result.experiment_id}
    return run.model_copy(update=update | {"elapsed_s": elapsed_s})


def _settled(manifest: StudyManifest, folder: Path, configs: Mapping[str, ExperimentConfig]) -> StudyManifest:
    """Return the manifest in which every run is done or waiting: what has no whole result is made again."""
    runs = list(manifest.runs)
    others = found.unlisted(folder, manifest) if any(run.state not in ("done", "waiting") for run in runs) else []
    for number, run in enumerate(runs):
        cell = manifest.cells[run.cell]
        if run.state == "done" and (problem := found.problem_of(folder, run)) is not None:
            notify(
                f"{folder / str(run.folder)}: round {run.round_number}, {cell.name}: {problem}; the run is made again"
            )
            runs[number] = _again(run)
        elif run.state not in ("done", "waiting"):
            config = load_search.config_of(configs[cell.config_hash], run)
            saved = found.own_result(run, compute_measurement_config_hash(config), others)
            others = [each for each in others if each != saved]
            runs[number] = _after(run, saved, "done", "", run.elapsed_s) if saved else _again(run)
    return manifest.model_copy(update={"runs": runs})


def _again(run: StudyRun) -> StudyRun:
    return StudyRun(cell=run.cell, round_number=run.round_number, step=run.step, searched=run.searched)
