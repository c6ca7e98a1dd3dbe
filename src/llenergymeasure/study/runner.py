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
from llenergymeasure.results.study.held import held_study, refuse_held
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
        ExperimentError: the folder, or the lock in there, was moved or removed meanwhile; what was done stays.
        OSError: the manifest cannot be written; what was done stays.
        KeyboardInterrupt: the present run has kept what it had, and no other is begun.
    """
    with held_study(folder) as require_held:
        is_shared = study.settings.process == "shared"
        session = _Session(study, folder, watcher, clock, require_held)
        makes = workers or Workers(study.user, folder, options, is_shared=is_shared)
        try:
            session.make(makes, fail_fast=fail_fast)
        except BaseException:
            with contextlib.suppress(LabledgerError, OSError):  # the reason why it ends is another
                require_held()
                save_study(summarise_study(read_study(folder)), folder)
            raise
        finally:
            makes.close()
            restore_left_boards()  # of a run that was killed
        return session.manifest


def what_is_left(study: LoadedStudy, folder: Path) -> StudyManifest:
    """Return the manifest of a study that was begun as the next call finds it: its runs are done, or waiting.

    Nothing is written, and none of the runs that are still to be made is begun.

    Raises:
        PreFlightError: another process makes the runs of this study.
        ConfigError: the study that was begun in the folder has another plan; a line for each difference.
        UnreadableFileError: its manifest is none, or was damaged.
        OSError: its manifest cannot be read.
    """
    refuse_held(folder)
    planned = plan(study)
    return _settled(read_manifest(folder), planned, folder, _by_hash(study, planned))


class _Session:
    """One call of `llem` on a study, from the manifest as it lies in the folder on."""

    def __init__(
        self,
        study: LoadedStudy,
        folder: Path,
        watcher: Watcher,
        clock: Callable[[], float],
        require_held: Callable[[], None],
    ) -> None:
        self._require_held = require_held
        self._study, self._folder, self._watcher, self._clock = study, folder, watcher, clock
        self._writer, self._failures, self._cooling = ManifestWriter(folder), Failures(), Cooling(study.gaps)
        self._number: int | None = None
        planned = plan(study)
        by_hash = _by_hash(study, planned)
        try:
            self._written = read_manifest(folder)
        except FileNotFoundError:
            self._written = self.manifest = planned
        else:
            found.wait_for_left_behind(folder)
            self.manifest = _settled(self._written, planned, folder, by_hash)
        self._configs = [by_hash[cell.config_hash] for cell in self.manifest.cells]

    def make(self, makes: Makes, *, fail_fast: bool) -> None:
        """Make the runs that wait, in order, and those that the stop rule adds."""
        self._tell_of_adopted()
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
        if self._number is not None:
            self._look_again()
        if self.manifest != self._written:
            self._write()

    def _tell_of_adopted(self) -> None:
        """Tell of the runs whose results were found in the folder, as of those that are made."""
        known = {run.folder for run in self._written.runs if run.state == "done"}
        adopted = [n for n, run in enumerate(self.manifest.runs) if run.state == "done" and run.folder not in known]
        if adopted:
            self._write()
        for number in adopted:
            self._watcher.ended(self.manifest, number, self._result_of(self.manifest.runs[number]))

    def _look_again(self, folder: str | None = None) -> None:
        """Record the runs as failed that were done, in `folder` or any, and whose result was taken away meanwhile."""
        for number, run in enumerate(self.manifest.runs):
            if run.state != "done" or folder not in (None, run.folder):
                continue
            if (problem := found.problem_of(self._folder, run)) is None:
                continue
            name = self.manifest.cells[run.cell].name
            notify(f"{self._folder / str(run.folder)}: round {run.round_number}, {name}: {problem}")
            lost = _after(_again(run), None, "failed", f"its result was lost: {problem}", run.elapsed_s)
            self.manifest = with_run(self.manifest, number, lost)

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
            with uninterrupted(), contextlib.suppress(LabledgerError, OSError):  # the next call finds the same
                saved = self._saved(begun, config, None)
                self._record(number, _after(begun, saved, "interrupted", "was interrupted", self._clock() - began_s))
                if saved is not None:
                    self._watcher.ended(self.manifest, number, saved[1])
            raise
        try:
            self._require_held()
            saved = self._saved(begun, config, ended.path)
            if saved is not None:  # its folder's name was free, though an earlier run may have it
                self._look_again(saved[0].parent.name)
            problem = ended.problem or "its result could not be read back"
            self._record(number, _after(begun, saved, "failed", problem, self._clock() - began_s))
        except (LabledgerError, OSError) as error:
            where = ended.problem if ended.path is None else f"its result was saved as {ended.path}"
            error.add_note(f"{self.manifest.cells[run.cell].name}: {where}")
            raise
        result = saved[1] if saved else None
        failed = result is None and load_search.counts_as_failure(self._configs[cell], self.manifest.runs[number])
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
        """Insert the run that a load search makes after this one; steps that follow from another end than it has had
        now are taken back."""
        run, runs = self.manifest.runs[number], self.manifest.runs
        if run.state not in ("done", "failed"):
            return
        places = [n for n, each in enumerate(runs) if (each.cell, each.round_number) == (run.cell, run.round_number)]
        if number != places[-1] and all(runs[n].session != self._number for n in places):
            return
        done, later = [n for n in places if n <= number], [n for n in places if n > number]
        steps = [(runs[n], result if n == number and result else self._result_of(runs[n])) for n in done]
        following = load_search.next_step(self._configs[run.cell], steps)
        tail = load_search.with_next(following, [runs[n] for n in later])
        if tail != [runs[n] for n in later]:
            others = [each for n, each in enumerate(runs[number + 1 :], number + 1) if n not in later]
            self._write(runs=[*runs[: number + 1], *tail, *others])

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
        self._require_held()  # a folder that has gone is not made again
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


def _by_hash(study: LoadedStudy, planned: StudyManifest) -> dict[str, ExperimentConfig]:
    """Return the configurations of a study by their hashes."""
    return {cell.config_hash: each.config for cell, each in zip(planned.cells, study.cells, strict=True)}


def _settled(
    begun: StudyManifest, planned: StudyManifest, folder: Path, configs: Mapping[str, ExperimentConfig]
) -> StudyManifest:
    """Return the manifest that was begun with what the plan adds, in which every run is done or waiting.

    What has no whole result is made again. Raises as `extended`.
    """
    manifest = extended(begun, planned)
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
    return manifest.model_copy(update={"runs": load_search.with_one_open_step(runs)})


def _again(run: StudyRun) -> StudyRun:
    return StudyRun(cell=run.cell, round_number=run.round_number, step=run.step, searched=run.searched)
