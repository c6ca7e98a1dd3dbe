"""What a study's stored runs tell of each cell, and what is to be read with it: drift, lost runs, changed machines."""

import math

import numpy as np
import pytest
from built_studies import built, saved, slower
from typer.testing import CliRunner

from labledger.intervals import mean_interval
from llenergymeasure.cli.main import app
from llenergymeasure.domain.figures import EnergyUncertainty
from llenergymeasure.domain.study_result import StudyResult
from llenergymeasure.results.study.drift import find_drift
from llenergymeasure.results.study.failures import failures
from llenergymeasure.results.study.figures import SUMMED_UP
from llenergymeasure.results.study.narrow import stop_words, wide_cells
from llenergymeasure.results.study.observations import observe
from llenergymeasure.results.study.runs import StudyRuns
from llenergymeasure.results.study.summary import summarise_study

JOULES = "energy_per_output_token_j"


def noisy(cells, rounds=6, *, spread=0.01, drift=0.0, **options):
    """Return a study of equal cells; `drift` is the share that each further run takes longer."""
    off = np.random.default_rng(11).normal(0.0, spread, cells * rounds)
    return built(cells, rounds, lambda cell, number, place: slower(math.exp(off[place] + drift * place)), **options)


def test_a_figure_has_students_interval_over_rounds_and_what_the_sensors_leave_open_apart():
    values = [1.0, 1.1, 0.9]

    def fields(cell, number, place):
        parts = EnergyUncertainty(edge_j=2.0, disagreement_j=1.0, coverage_j=1.0, gain_j=13.0)
        return slower(values[number - 1]) | {"energy_uncertainty": parts}

    found = {each.metric: each for each in summarise_study(built(1, 3, fields)).summary[0].figures}
    joules, interval = found[JOULES], mean_interval(values)
    assert joules.mean == pytest.approx(1.0)
    assert joules.half_width == pytest.approx((interval.high - interval.low) / 2)
    assert (joules.n, joules.edge, joules.gain) == (3, pytest.approx(0.04), pytest.approx(0.13))
    assert found["ttft_ms_p99"].edge is None
    assert found.keys() == set(SUMMED_UP)


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        (["valid", "valid"], "valid"),
        (["valid", "not_measured"], "not_measured"),
        (["invalid", "not_measured"], "invalid"),
    ],
)
def test_a_cell_has_the_worst_verdict_of_its_runs(verdicts, worst):
    study = built(1, 2, lambda cell, number, place: slower(1.0) | {"verdict": verdicts[number - 1]})
    assert summarise_study(study).summary[0].verdict == worst


def test_a_cell_without_a_result_has_no_verdict_and_its_failures_are_counted():
    found = summarise_study(built(2, 3, lambda cell, number, place: slower(1.0) if cell else None))
    assert (found.summary[0].verdict, found.summary[0].done, found.summary[0].failed) == (None, 0, 3)


def test_drift_is_told_with_its_figure_and_what_the_order_does_to_it():
    found = summarise_study(noisy(3, drift=-0.01))
    (told,) = [text for text in found.warnings if text.startswith(f"drift: {JOULES}")]
    assert told.startswith(f"drift: {JOULES} fell by 15.8 % over the study's 26 minutes (")
    assert told.endswith("the rounds alternate, which takes it out of the comparisons")
    assert {each.equivalence for each in found.comparisons} <= {"same", "cannot tell"}


def test_drift_in_blocks_is_said_to_be_in_the_differences():
    warnings = summarise_study(noisy(3, drift=0.01, order="blocks")).warnings
    assert any(text.endswith("order: blocks leaves it in every difference between cells") for text in warnings)


def test_the_slope_is_an_hours_where_the_study_is_longer():
    study = noisy(2, drift=0.01, start_of=lambda place: place * 1000.0)
    (told,) = [text for text in summarise_study(study).warnings if text.startswith("drift: ttft_ms_median")]
    assert "rose by 3.5 % an hour (2.8 to 4.2 %)" in told


@pytest.mark.parametrize("drift", [0.0, 0.0005])
def test_drift_that_is_not_told_or_too_small_to_matter_is_no_warning(drift):
    assert not [text for text in summarise_study(noisy(3, spread=0.0005, drift=drift)).warnings if "drift" in text]


def test_a_slow_cell_is_no_drift():
    study = built(2, 6, lambda cell, number, place: slower((1.0, 5.0)[cell] * (1 + 0.001 * (place % 3))))
    assert not find_drift(observe(study), JOULES).matters


def test_disturbed_runs_and_changed_machines_are_said():
    def fields(cell, number, place):
        warnings = ["Tasks waited for a core for 9 % of the window"] if number == 2 else []
        return slower(1.0 + place % 3) | {
            "measurement_warnings": warnings,
            "backend_version": "2.0" if number < 4 else "2.1",
        }

    warnings = summarise_study(built(2, 6, fields)).warnings
    assert (
        "contention in 2 of 12 runs: other work shared the machine, and times and energy are of both; close it and "
        "run again"
    ) in warnings
    assert "backend_version: not the same in all runs of 2 cells: 2.0, 2.1" in warnings


def test_energies_that_do_not_count_are_said_with_their_verdicts():
    study = built(1, 4, lambda cell, number, place: slower(1.0) | {"verdict": "invalid" if number == 2 else "valid"})
    assert "energies of 1 runs left out, which are no valid measurements (invalid 1)" in observe(study).left_out


def failing(cells, rounds, states_of, error="broken"):
    """Return a study with states of runs; those that are not done have no result."""
    study = built(cells, rounds, lambda *run: None if states_of(*run[:2]) != "done" else slower(1.0 + run[1] % 2))
    runs = [
        run.model_copy(update={"state": states_of(run.cell, run.round_number), "error": error})
        for run in study.manifest.runs
    ]
    return StudyRuns(study.manifest.model_copy(update={"runs": runs}), study.results)


def test_a_study_tells_why_runs_failed_by_cell_and_once_where_the_reason_is_the_same():
    one = failing(2, 4, lambda cell, number: ("done", "given up" if number > 2 else "failed")[cell])
    told = "batch_size 2: 2 of 4 runs failed, and 2 were given up: broken"
    assert summarise_study(one).warnings[0] == told
    several = failing(30, 1, lambda cell, number: "failed", "took over 12 s")
    (told,) = failures(several)
    assert told == ("30 of 30 runs failed: took over 12 s (cell 1: batch_size 1; cell 2: batch_size 2; and 28 more)")
    assert failures(noisy(2)) == []


def stopping(study, max_repeats, half_width="3%", metric=JOULES):
    """Return a study with a rule to stop, as its observations."""
    stop = {"stop": {"metric": metric, "half_width": half_width, "max_repeats": max_repeats}}
    manifest = study.manifest.model_copy(update={"settings": study.manifest.settings | stop})
    return observe(StudyRuns(manifest, study.results))


@pytest.mark.parametrize(
    ("study", "most", "half_width", "words"),
    [
        (noisy(2), 20, "3%", f"stop: interval narrow enough after 6 rounds: {JOULES} is known to 3 % in each cell"),
        (
            noisy(2), 6, "0.1%",
            f"stop: max_repeats reached: after 6 rounds {JOULES} is ± 1.4 % in the widest cell, batch_size 2, "
            "not 0.1 %",
        ),
        (
            failing(2, 3, lambda cell, number: "failed" if cell and number > 1 else "done"), 20, "90%",
            f"stop: ended after 3 rounds: {JOULES} is not known to 90 % where runs failed",
        ),
    ],
)  # fmt: skip
def test_a_study_with_a_rule_to_stop_tells_how_it_ended(study, most, half_width, words):
    assert stop_words(stopping(study, most, half_width)) == [words]


def test_a_figure_that_no_run_has_ends_the_rule_and_a_study_that_goes_on_tells_of_no_end():
    quality = stopping(noisy(2, 3), 20, metric="quality_share")
    assert stop_words(quality) == [
        "stop: ended after 3 rounds: no figure of quality_share in any result: it does not go on"
    ]
    assert stop_words(stopping(noisy(2), 20, "0.1%")) == []
    waits = failing(1, 2, lambda cell, number: ("done", "waiting")[number - 1])
    assert stop_words(stopping(waits, 2)) == []
    assert stop_words(observe(noisy(2))) == []


def test_cells_are_wide_whose_half_width_is_over_the_share_or_unknown():
    spreads = (0.001, 0.05)
    off = np.random.default_rng(3).normal(0.0, 1.0, (6, 2))
    study = built(
        3, 6, lambda cell, number, place: slower(1 + spreads[cell] * off[number - 1, cell]) if cell < 2 else None
    )
    assert wide_cells(study, JOULES, 0.03) == [1, 2]
    assert wide_cells(study, JOULES, 0.5) == [2]
    assert wide_cells(noisy(2, 1), JOULES, 0.5) == [0, 1]


@pytest.fixture
def folder(tmp_path):
    """A study of three cells as it lies on the disk, of which the last failed throughout."""
    off = np.random.default_rng(5).normal(0.0, 0.01, (6, 3))
    study = built(
        3,
        6,
        lambda cell, number, place: slower((1.0, 1.4)[cell] * math.exp(off[number - 1, cell])) if cell < 2 else None,
        names=["batch_size 8, precision bf16", "batch_size 1, precision bf16", "batch_size 64, precision bf16"],
    )
    return saved(study, tmp_path / "study")


def shown(*arguments):
    answer = CliRunner().invoke(app, ["study", *map(str, arguments)])
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_show_prints_a_row_a_cell_its_standing_and_the_answer(folder):
    text = shown("show", folder)
    assert "batch_size 1, precision bf16    1.402 ± 0.016" in text
    assert ": worse" in text
    assert "0 of 6" in text
    assert "least joules: batch_size 8, precision bf16: 0.997 ± 0.012 J/token; " in " ".join(text.split())


def test_show_has_everything_as_json(folder):
    found = StudyResult.model_validate_json(shown("show", folder, "--json"))
    assert len(found.comparisons) == 8
    assert found.sentence.startswith("least joules: ")


def test_a_study_that_still_runs_is_shown_as_far_as_it_is(folder):
    from llenergymeasure.results.study.manifest import read_manifest, write_manifest

    manifest = read_manifest(folder)
    states = ["done"] * 7 + ["running"] + ["waiting"] * 10
    runs = [
        run.model_copy(update={"state": state} | ({} if state == "done" else {"folder": None, "started_at": None}))
        for run, state in zip(manifest.runs, states, strict=True)
    ]
    write_manifest(manifest.model_copy(update={"runs": runs}), folder)
    assert "7 of 18 runs are made, 11 are still to come: this is what there is so far" in shown("show", folder)


def test_best_takes_limits_a_metric_or_two_and_prints_json(folder):
    assert "1 of 3 cells misses the limits" in shown("best", folder, "--where", "ttft_ms_p99 <= 90")
    assert "most tokens/s: batch_size 8" in shown("best", folder, "--maximize", "output_tokens_per_second")
    assert '"winner": 0' in shown("best", folder, "--json")
    front = shown("best", folder, "--pareto", f"{JOULES},output_tokens_per_second")
    assert " ".join(front.split()).endswith("counts as none); 1 of 3 cells without the figures")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--minimize", "jules"], "unknown column 'jules'"),
        (["--pareto", "ttft_ms_p99"], "--pareto takes two metrics"),
        (["--pareto", "ttft_ms_p99,tpot_ms_p95", "--minimize", "ttft_ms_p99"], "leave out --minimize"),
        (["--where", "ttft_ms_p99"], "--where"),
    ],
)
def test_what_best_cannot_do_is_refused_in_a_line(folder, options, problem):
    answer = CliRunner().invoke(app, ["study", "best", str(folder), *options])
    assert answer.exit_code == 2
    assert problem in answer.output
    assert "Traceback" not in answer.output


def test_many_cells_are_as_many_rows_and_no_endless_sentence(capsys):
    from llenergymeasure.cli.study_output import print_study

    print_study(summarise_study(noisy(30, 3, names=[f"batch_size {n}" for n in range(30)])))
    text = capsys.readouterr().out
    assert sum(row.startswith(" batch_size") for row in text.splitlines()) == 30
    sentence = " ".join(text.partition("none of")[2].split())
    assert sentence.endswith("J/token")
    assert len(sentence) < 200
