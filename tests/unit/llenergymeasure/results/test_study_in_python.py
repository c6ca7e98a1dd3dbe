"""StudyResult in Python: its table, its best cell, its figure."""

import json
import math
from itertools import pairwise

import pytest
from built_studies import built, saved, slower

from labledger.errors import ConfigError
from llenergymeasure import ExperimentConfig, StudyResult, run_experiment, run_study

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
    for asked in ({"maximize": "batch_size", "minimize": "x"}, {"minimize": "x"}, {"where": "x"}, {"where": "x = 1"}):
        with pytest.raises(ConfigError, match=r"^(minimize|where)") as error:
            study.best(**asked)
        assert "--m" not in str(error.value)
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


def drawn_at(panel, marker):
    """Return the places of the marks in pixels."""
    lines = [line for line in panel.lines if line.get_marker() == marker]
    return [tuple(line.get_transform().transform(line.get_xydata()[0])) for line in lines]


def test_cells_at_one_place_stand_beside_each_other_and_their_runs_beside_their_bars(tmp_path):
    pytest.importorskip("matplotlib")

    def fields(cell, number, place):
        return slower(1 + number / 100) | {"effective_config": {"model": "m", "precision": ["fp32", "bf16"][cell]}}

    study = StudyResult.from_folder(saved(built(2, 2, fields), tmp_path))
    for by in ("precision", None):
        (panel,) = study.plot("model", "ttft_ms_median", by).axes
        means, dots = ([x for x, _ in drawn_at(panel, marker)] for marker in ("o", "."))
        assert abs(means[0] - means[1]) > 10
        assert min(abs(mean - dot) for mean in means for dot in dots) > 5


@pytest.mark.parametrize(("cells", "letters"), [(2, 8), (3, 70), (40, 30)])
def test_names_below_the_axis_never_lie_on_each_other(cells, letters, tmp_path):
    pytest.importorskip("matplotlib")
    names = [f"{'x' * letters}{cell}" for cell in range(cells)]
    study = StudyResult.from_folder(saved(built(cells, 1, lambda *_: slower(1.0), names=names), tmp_path))
    figure = study.plot("cell_name", "ttft_ms_median")
    (panel,) = figure.axes
    figure.draw_without_rendering()
    labels = panel.get_xticklabels()
    boxes = [label.get_window_extent() for label in labels]
    slant = math.radians(labels[0].get_rotation())
    room = [(b.x1 - a.x1) * math.sin(slant) if slant else b.x0 - a.x1 for a, b in pairwise(boxes)]
    assert min(room) > (labels[0].get_fontsize() * figure.dpi / 72 if slant else 0)
    assert len({label.get_text() for label in labels}) == len(labels)


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
    with pytest.raises(ConfigError, match=r"there is no study with the name .* begin it without resume"):
        run_study(model="random:llama", sweep={"batch_size": [1, 2]}, output_dir=tmp_path / "out", resume=True)
    for wrong, said in (
        ({"repeats": 0}, "repeats: 0 is no number of rounds"),
        ({"repeats": "3"}, "repeats: '3' is no number of rounds"),
        ({"sweep": "batch_size=1,4"}, "sweep: should be a dictionary, as .* found a str"),
        ({"config": ["m"]}, "config: should be a configuration, a dictionary of its fields or a path, found a list"),
        ({"config": {"sweep": {}}}, "config: sweep: stands in a study's file alone"),
        ({"sweep": {"batch_size": range(2)}}, "batch_size: should be greater than or equal to 1, found 0"),
    ):
        with pytest.raises(ConfigError, match=said):
            run_study(**{"config": {"model": "random:llama"}, "output_dir": tmp_path / "out"} | wrong)
    with pytest.raises(ConfigError, match=r"found \[1, 2\]; for one run of each: run_study"):
        run_experiment({"model": "random:llama", "batch_size": [1, 2]})
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_run_study_runs_every_cell_and_goes_on_where_it_was_begun(tmp_path, capfd):
    base = TINY | {"batch_size": 7}
    asked = {"sweep": {"batch_size": [1, 2]}, "output_dir": tmp_path, "max_output_tokens": 3}
    first = run_study(base, repeats=1, **asked)
    assert [run.state for run in first.runs] == ["done", "done"]
    study = run_study(
        ExperimentConfig.model_validate(base),
        sweep={"batch_size": [1, 2]},
        repeats=2,
        output_dir=tmp_path,
        max_output_tokens=3,
        resume=True,
    )
    table = study.table().to_pylist()
    assert [row["config.batch_size"] for row in table] == [1, 2, 2, 1]
    assert {row["output_tokens"] for row in table} == {12}
    assert [row["experiment_id"] for row in table[:2]] == [run.experiment_id for run in first.runs]
    assert study.best().metric == "output_tokens_per_second"
    assert (len(list(tmp_path.iterdir())), capfd.readouterr().out) == (1, "")
