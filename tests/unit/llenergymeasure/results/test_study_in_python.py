"""StudyResult in Python: its table, its best cell, its figure."""

import json

import pytest
from built_studies import built, saved, slower

from labledger.errors import ConfigError
from llenergymeasure import ExperimentConfig, StudyResult, run_study

TINY = {
    "model": "random:llama",
    "random_model": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
    "device": "cpu", "precision": "fp32", "num_prompts": 4, "max_input_tokens": 16, "decoder": {"ignore_eos": True},
    "warmup": {"iterations": 0}, "energy": {"source": "none"},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three batch sizes by three rounds: the second costs 1.5 times the first, and the third failed in round 2."""

    def fields(cell, number, place):
        if (cell, number) == (2, 2):
            return None
        return slower([1.0, 1.5, 1.01][cell] * [1.0, 1.01, 0.99][number - 1])

    return saved(built(3, 3, fields), tmp_path_factory.mktemp("studies") / "built")


@pytest.fixture(scope="module")
def study(folder):
    return StudyResult.from_folder(folder)


def test_the_table_has_a_row_for_each_run_also_for_one_that_failed(study):
    table = study.table()
    rows = table.to_pylist()
    assert [(row["cell"], row["round_number"]) for row in rows] == [(run.cell, run.round_number) for run in study.runs]
    (failed,) = [row for row in rows if row["state"] == "failed"]
    assert (failed["cell_name"], failed["experiment_id"], failed["config.model"]) == ("batch_size 4", None, "gpt2")
    done = [row for row in rows if row["state"] == "done"]
    assert {
        (json.loads(row["changes"])["batch_size"], row["batch_size"], row["config.batch_size"]) for row in done
    } == {
        (1, 1, 1),
        (2, 2, 2),
        (4, 4, 4),
    }
    assert all(row["energy_per_output_token_j"] > 0 for row in done)


def test_best_takes_conditions_and_answers_in_a_sentence(study):
    best = study.best(minimize="ttft_ms_median", where="config.batch_size <= 2")
    assert (best.winner, best.cells[1].standing, best.cells[2].standing) == (0, "worse", "misses")
    assert "batch_size 1" in best.sentence
    with pytest.raises(ConfigError, match="did you mean ttft_ms_median"):
        study.best(minimize="ttft_ms_medain")


@pytest.mark.parametrize(
    ("x", "y", "by"),
    [
        ("config.batch_size", "energy_per_output_token_j", None),
        ("output_tokens_per_second", "energy_per_output_token_j", "cell_name"),
        ("cell_name", "ttft_ms_median", "config.batch_size"),
        ("round_number", "tpot_ms_median", "cell"),
    ],
)
def test_a_figure_has_a_point_for_each_cell_and_a_dot_for_each_run(study, x, y, by):
    pytest.importorskip("matplotlib")
    (panel,) = study.plot(x, y, by).axes
    dots = [line for line in panel.lines if line.get_marker() == "."]
    assert len(dots) == 8
    assert sum(len(bars.lines[0].get_xdata()) for bars in panel.containers) == 3
    assert (panel.get_legend() is not None) == (by is not None)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ("config.batch_sise", "total_energy_j", "did you mean config.batch_size"),
        ("batch_size", "model", "y is a number"),
        ("batch_size", "peak_power_w", "no run has both"),
    ],
)
def test_a_figure_of_what_is_not_there_is_refused(study, x, y, said):
    pytest.importorskip("matplotlib")
    with pytest.raises(ConfigError, match=said):
        study.plot(x, y)


def test_a_study_that_is_of_no_folder_says_what_to_do(study, tmp_path):
    copy = StudyResult.model_validate_json(json.dumps({"kind": "llem.study"} | study.model_dump(mode="json")))
    for ask in (copy.table, copy.best, lambda: copy.plot("batch_size", "ttft_ms_median")):
        with pytest.raises(ConfigError, match=r"StudyResult\.from_folder"):
            ask()
    with pytest.raises(ConfigError, match=r"no study_manifest\.json"):
        StudyResult.from_folder(tmp_path)


def test_run_study_refuses_a_wrong_axis_and_a_study_that_is_not_there_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match="batch_sise"):
        run_study(model="random:llama", sweep={"batch_sise": [1, 2]}, output_dir=tmp_path / "out")
    with pytest.raises(ConfigError, match="there is no study"):
        run_study(model="random:llama", sweep={"batch_size": [1, 2]}, output_dir=tmp_path / "out", resume=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_run_study_runs_every_cell_and_goes_on_where_it_was_begun(tmp_path, capfd):
    base = ExperimentConfig.model_validate(TINY | {"batch_size": 7})
    asked = {"sweep": {"batch_size": [1, 2]}, "output_dir": tmp_path, "max_output_tokens": 3}
    first = run_study(base, repeats=1, **asked)
    assert [run.state for run in first.runs] == ["done", "done"]
    study = run_study(
        base, sweep={"batch_size": [1, 2]}, repeats=2, output_dir=tmp_path, max_output_tokens=3, resume=True
    )
    table = study.table().to_pylist()
    assert [row["config.batch_size"] for row in table] == [1, 2, 2, 1]
    assert {row["output_tokens"] for row in table} == {12}
    assert [row["experiment_id"] for row in table[:2]] == [run.experiment_id for run in first.runs]
    assert study.best().metric == "output_tokens_per_second"
    assert (len(list(tmp_path.iterdir())), capfd.readouterr().out) == (1, "")
