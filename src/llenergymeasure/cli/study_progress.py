"""The progress of a study: a line for each run that has ended, and on a terminal what runs now."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from labledger.console import StderrProgress, print_json, print_line
from labledger.json_text import dump_json

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.domain.study import StudyManifest, StudyRun

DOT = " · "


def extent(manifest: "StudyManifest") -> str:
    """Return `3 cells, 4 rounds`."""
    cells, rounds = len(manifest.cells), len({run.round_number for run in manifest.runs})
    return f"{cells:,} cell{'s' * (cells > 1)}, {rounds:,} round{'s' * (rounds > 1)}"


class RunLines:
    """Tells on standard error what is begun, how each run has ended and what time is left.

    With `as_json` a run is a line of JSON on stdout as well.
    `earlier` are seconds of runs by the hash of their configuration. `begun` is the number of runs that have begun.
    """

    def __init__(
        self,
        folder: Path,
        earlier: Mapping[str, float],
        *,
        quiet: bool = False,
        as_json: bool = False,
        export_csv: Path | None = None,
    ) -> None:
        self._folder, self._earlier, self._quiet, self._as_json = folder, earlier, quiet, as_json
        self._export_csv = export_csv
        is_live = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._live = StderrProgress() if is_live else None
        self.begun, self._waited = 0, ""

    def waits(self, manifest: "StudyManifest", number: int, words: str) -> None:
        """Tell what a run waits for before it begins; in a log, where the words are new."""
        line, is_new, self._waited = (
            DOT.join([f"{number + 1} of {len(manifest.runs)}", words]),
            words != self._waited,
            words,
        )
        if self._live is not None:
            self._live.conclude()
            self._live.phase(line)
        elif is_new and not self._quiet:
            print_line(line, to_stderr=True)

    def begins(self, manifest: "StudyManifest", number: int) -> None:
        """Show on a terminal that a run goes on; elsewhere its line comes at its end."""
        if not self.begun and not self._quiet:
            self._print(_opening(manifest, self._folder, self._earlier))
        self.begun += 1
        if self._live is not None:
            self._live.conclude()
            self._live.phase(_where(manifest, number))

    def ended(self, manifest: "StudyManifest", number: int, result: "ExperimentResult | None") -> None:
        """Tell how a run has ended."""
        from llenergymeasure.cli.run import add_to_csv
        from llenergymeasure.results.persistence import RESULT_FILE
        from llenergymeasure.study.durations import time_of

        run, left = manifest.runs[number], time_of(manifest, self._earlier)
        if result is not None and run.folder is not None:
            add_to_csv(result, self._folder / run.folder / RESULT_FILE, self._export_csv)
        if result is None or not self._quiet:
            self._print(_line(manifest, number, result, left.seconds, left.is_least))
        if self._as_json:
            event = _event(manifest, number, result, self._folder)
            print_json(dump_json({**event, "left_s": left.seconds, "left_is_least": left.is_least}, indent=None))

    def close(self) -> None:
        """Clear what a terminal shows of a run that was ended."""
        if self._live is not None:
            self._live.finish()

    def _print(self, line: str) -> None:
        if self._live is None:
            print_line(line, to_stderr=True)
        else:
            self._live.conclude(line)


def _opening(manifest: "StudyManifest", folder: Path, earlier: Mapping[str, float]) -> str:
    """Return what a study is as it begins, where it is kept, how long it takes if that is known, and how to look."""
    from llenergymeasure.cli.presentation import estimated
    from llenergymeasure.study.durations import may_grow, time_of

    runs, left = len(manifest.runs), sum(run.state != "done" for run in manifest.runs)
    count = f"{runs:,} run{'s' * (runs > 1)}" if left == runs else f"{left:,} of {runs:,} runs left"
    count += " at the least" * may_grow(manifest)
    time = time_of(manifest, earlier)
    takes = [] if time.seconds is None else [f"{'' if time.is_least else 'about '}{estimated(*astuple(time))}"]
    look = f"look with: {shlex.join(['llem', 'study', 'show', str(folder)])}"
    what = f"study {manifest.study_name}: {extent(manifest)}, {count}, in {folder}"
    return "; ".join([what, *takes, look])


def _round(manifest: "StudyManifest", number: int) -> str:
    """Return `round 2`, of one without a cell that the study began with `round 5, of added cells`."""
    first = {run.cell for run in manifest.runs if run.round_number == 1}
    is_added = all(run.cell not in first for run in manifest.runs if run.round_number == number)
    return f"round {number}{', of added cells' * is_added}"


def _where(manifest: "StudyManifest", number: int) -> str:
    """Return `7 of 18 · round 2 · batch_size 8, precision bf16`, and of a search its step."""
    from llenergymeasure.results.study.words import load_words

    run = manifest.runs[number]
    parts = [f"{number + 1} of {len(manifest.runs)}", _round(manifest, run.round_number), manifest.cells[run.cell].name]
    if run.step is not None and run.searched is not None:
        parts.append(f"step {run.step} at {load_words(run.searched)}")
    return DOT.join(parts)


def _line(
    manifest: "StudyManifest", number: int, result: "ExperimentResult | None", left_s: float | None, is_least: bool
) -> str:
    from labledger.durations import rough_duration
    from llenergymeasure.cli.presentation import estimated
    from llenergymeasure.cli.presentation import number as shown

    run = manifest.runs[number]
    took = [] if run.elapsed_s is None else [rough_duration(run.elapsed_s)]
    waiting = any(each.state == "waiting" for each in manifest.runs)
    left = [f"{estimated(left_s, is_least)} left"] if waiting and left_s is not None else []
    if result is None:
        return "error: " + DOT.join([_where(manifest, number), str(run.error), *took, *left])
    speed = f"{shown(result.output_tokens_per_second)} tokens/s"
    return DOT.join([_where(manifest, number), _energy(result), speed, str(result.verdict), *took, *left])


def _energy(result: "ExperimentResult") -> str:
    """Return `0.412 J/token ± 0.009`, or that it is unknown."""
    from llenergymeasure.cli.presentation import number as shown

    value, bound = result.energy_per_output_token_j, _bound(result)
    if value is None:
        return "J/token unknown"
    return f"{shown(value)} J/token ± {shown(bound)}" if bound is not None else f"{shown(value)} J/token, bound unknown"


def _bound(result: "ExperimentResult") -> float | None:
    """Return the bound of the energy of an output token, in joules."""
    if result.energy_uncertainty_j is None or not result.output_tokens:
        return None
    return result.energy_uncertainty_j / result.output_tokens


def _event(
    manifest: "StudyManifest", number: int, result: "ExperimentResult | None", folder: Path
) -> dict[str, JsonValue]:
    """Return what a line of JSON tells of a run that has ended."""
    run: StudyRun = manifest.runs[number]
    return {
        "event": "run",
        "state": run.state,
        "run": number + 1,
        "runs": len(manifest.runs),
        "round": run.round_number,
        "cell": run.cell,
        "name": manifest.cells[run.cell].name,
        "step": run.step,
        "searched": run.searched,
        "folder": None if run.folder is None else str(folder / run.folder),
        "error": run.error,
        "verdict": None if result is None else str(result.verdict),
        "energy_per_output_token_j": None if result is None else result.energy_per_output_token_j,
        "energy_per_output_token_bound_j": None if result is None else _bound(result),
        "output_tokens_per_second": None if result is None else result.output_tokens_per_second,
        "elapsed_s": run.elapsed_s,
    }
