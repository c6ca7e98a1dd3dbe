"""The plan of a study, and what a later call may add to it."""

import platform
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_studies import small_study

from llenergymeasure.config.models import UserConfig
from llenergymeasure.domain.study import StudyManifest
from llenergymeasure.errors import ConfigError, PreFlightError
from llenergymeasure.results.study.held import held_study
from llenergymeasure.results.study.manifest import write_manifest
from llenergymeasure.run.repeats import rounds
from llenergymeasure.study.checking import check_columns
from llenergymeasure.study.claim import claim_study, latest_study
from llenergymeasure.study.plan import extended, made_here, plan, study_of
from properties import examples


def order_of(manifest):
    return [(run.round_number, manifest.cells[run.cell].changes["batch_size"]) for run in manifest.runs]


def text_of(sizes, repeats, more=""):
    return f"sweep: {{batch_size: {sizes}}}\nstudy: {{repeats: {repeats}{more}}}\n"


def done_up_to(manifest, count):
    runs = [run.model_copy(update={"state": "done"}) if n < count else run for n, run in enumerate(manifest.runs)]
    return manifest.model_copy(update={"runs": runs})


def test_a_shuffled_order_is_drawn_by_its_seed_alone_and_every_second_round_goes_backwards():
    runs = [run.configuration for run in rounds(4, 3, "shuffled", 1)]
    assert runs == [3, 2, 1, 0, 0, 1, 2, 3, 2, 1, 3, 0]
    assert runs != [run.configuration for run in rounds(4, 3, "shuffled", 2)]


@pytest.mark.parametrize("seed", range(20))
def test_in_two_shuffled_rounds_no_cell_is_ahead_of_another_more_often(seed):
    runs = [run.configuration for run in rounds(5, 6, "shuffled", seed)]
    for start in (0, 10, 20):
        first, second = runs[start : start + 5], runs[start + 5 : start + 10]
        assert second == first[::-1]


def test_in_blocks_all_runs_of_one_configuration_come_before_those_of_the_next():
    assert [run[1:] for run in rounds(2, 3, "blocks")] == [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (3, 1)]


@pytest.mark.parametrize("order", ["alternating", "shuffled", "blocks"])
def test_every_order_has_every_cell_in_every_round_once(order):
    runs = [run[1:] for run in rounds(5, 4, order, 3)]
    assert sorted(runs) == [(number, cell) for number in (1, 2, 3, 4) for cell in range(5)]


def test_more_repeats_are_further_rounds_and_the_runs_before_them_stay(tmp_path):
    begun = done_up_to(plan(small_study(tmp_path, text_of([1, 2], 1))), 2)
    both = extended(begun, plan(small_study(tmp_path, text_of([1, 2], 3))))
    assert both.runs[:2] == begun.runs
    assert order_of(both)[2:] == [(2, 2), (2, 1), (3, 1), (3, 2)]


def test_a_further_cell_joins_the_rounds_of_which_nothing_has_run_and_then_has_its_own(tmp_path):
    begun = done_up_to(plan(small_study(tmp_path, text_of([1, 2], 3))), 3)
    both = extended(begun, plan(small_study(tmp_path, text_of([4, 1, 2], 3))))
    assert [cell.changes["batch_size"] for cell in both.cells] == [1, 2, 4]
    assert order_of(both) == [(1, 1), (1, 2), (2, 2), (2, 1), (3, 1), (3, 2), (3, 4), (4, 4), (5, 4)]


@examples(25)
@given(
    first=st.lists(st.sampled_from([1, 2, 4]), min_size=1, unique=True),
    further=st.lists(st.sampled_from([3, 5]), unique=True),
    repeats=st.tuples(st.integers(1, 3), st.integers(0, 2)),
    order=st.sampled_from(["alternating", "shuffled", "blocks"]),
    done=st.integers(0, 9),
)
def test_an_extended_study_has_each_cell_in_as_many_rounds_and_keeps_what_ran(
    tmp_path_factory, first, further, repeats, order, done
):
    folder, more = tmp_path_factory.mktemp("study"), f", order: {order}"
    begun = done_up_to(plan(small_study(folder, text_of(first, repeats[0], more))), done)
    both = extended(begun, plan(small_study(folder, text_of([*further, *first], sum(repeats), more))))
    assert both.runs[: min(done, len(begun.runs))] == begun.runs[:done]
    assert both.cells[: len(begun.cells)] == begun.cells
    places = [(run.cell, run.round_number) for run in both.runs]
    assert len(set(places)) == len(places)
    assert Counter(cell for cell, _ in places) == dict.fromkeys(range(len(first) + len(further)), sum(repeats))
    assert extended(both, plan(study_of(both, UserConfig()))) == both


def test_a_study_is_planned_again_from_its_manifest_alone(tmp_path):
    text = (
        "sweep: {batch_size: [1, 2], decoder.ignore_eos: [true, false]}\ngaps: {experiment_s: 2.0}\n"
        "study: {order: shuffled, seed: 3}\nstop: {half_width: 3%}\n"
    )
    study = small_study(tmp_path, text)
    again = study_of(StudyManifest.model_validate_json(plan(study).model_dump_json()), UserConfig())
    assert [cell.config for cell in again.cells] == [cell.config for cell in study.cells]
    assert (again.settings.order, again.gaps, again.stop) == ("shuffled", study.gaps, study.stop)
    assert plan(again) == plan(study)


def test_cells_of_a_version_that_hashed_otherwise_are_known_by_their_configuration(tmp_path):
    planned = plan(small_study(tmp_path))
    old = [cell.model_copy(update={"config_hash": f"{n:016}"}) for n, cell in enumerate(planned.cells)]
    begun = done_up_to(planned.model_copy(update={"cells": old}), 4)
    assert extended(begun, planned) == done_up_to(planned, 4)


def test_a_configuration_that_this_version_refuses_is_named_with_its_cell(tmp_path):
    planned = plan(small_study(tmp_path))
    cells = [cell.model_copy(update={"config": cell.config | {"of_the_future": 1}}) for cell in planned.cells]
    with pytest.raises(ConfigError, match=r"cell batch_size 1: this version refuses it: .*of_the_future"):
        study_of(planned.model_copy(update={"cells": cells}), UserConfig())


def test_a_name_that_is_taken_gets_a_number_and_the_latest_is_gone_on_with(tmp_path):
    with pytest.raises(ConfigError, match="there is no study with the name s to go on with"):
        latest_study(tmp_path, "s")
    assert claim_study(tmp_path, "s") == tmp_path / "s"
    assert claim_study(tmp_path, "s") == tmp_path / "s_1"
    for name in ("s", "s_2", "s_10", "s_x", "other"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "study_manifest.json").write_text("{}")
    assert latest_study(tmp_path, "s") == tmp_path / "s_10"


def test_a_new_study_beside_an_unfinished_one_is_told_how_to_go_on_with_that(tmp_path, caplog):
    write_manifest(done_up_to(plan(small_study(tmp_path)), 3), claim_study(tmp_path, "s"))
    assert claim_study(tmp_path, "s") == tmp_path / "s_1"
    assert f"{tmp_path / 's'}: holds an earlier study of which 3 of 4 runs are done; a new one is begun" in caplog.text
    assert f"llem study resume {tmp_path / 's'}" in caplog.text
    with held_study(tmp_path / "s"), pytest.raises(PreFlightError, match=r"process \d+ .* is running this study"):
        claim_study(tmp_path, "s")
    (tmp_path / "s_1" / "study_manifest.json").write_text("{")
    assert claim_study(tmp_path, "s") == tmp_path / "s_2"
    assert "s_1: holds a study that cannot be read" in caplog.text


def test_the_manifest_has_the_machines_name_only_where_the_user_records_it():
    name = platform.node()
    assert made_here(UserConfig(record_hostname=True))["machine"].endswith(f", {name}")
    assert name not in made_here(UserConfig())["machine"]
    assert made_here(UserConfig())["versions"]["python"] == platform.python_version()


def test_a_rule_to_stop_on_no_metric_is_refused_at_its_line(tmp_path):
    study = small_study(tmp_path, "sweep: {batch_size: [1, 2]}\nstop: {metric: ttft, half_width: 3%}\n")
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/s\.yaml:5: stop\.metric: unknown metric 'ttft'"):
        check_columns(study)
