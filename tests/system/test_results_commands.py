"""`llem results`, as a user types it."""

import csv
import json
from datetime import datetime, timedelta

import pytest

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.figures import DeviceEnergy, EnergyUncertainty

ROUNDS = (("one", "two"), ("two", "one"), ("one", "two"))
GATE = ("--fail-if-worse", "energy_per_output_token_j=5%")


def save(folder, name, energy_j=100.0, tokens_s=50.0, batch=1, config_hash="a" * 16, verdict="valid", minute=0):
    result = ExperimentResult(
        experiment_id=name,
        measurement_config_hash=config_hash,
        measurement_methodology="total",
        total_tokens=200,
        output_tokens=100,
        total_energy_j=energy_j,
        energy_per_output_token_j=energy_j / 100,
        total_inference_time_sec=2.0,
        avg_tokens_per_second=100.0,
        output_tokens_per_second=tokens_s,
        avg_energy_per_token_j=energy_j / 200,
        total_flops=None,
        start_time=datetime(2026, 11, 21, 12) + timedelta(minutes=minute),
        end_time=datetime(2026, 11, 21, 12) + timedelta(minutes=minute, seconds=2),
        effective_config={"model": "gpt2", "batch_size": batch},
        energy_source="nvml_counter",
        energy_scope="gpu",
        energy_uncertainty=EnergyUncertainty(edge_j=0.1, gain_j=13.0),
        device_energy=[DeviceEnergy(device="GPU-1", kind="gpu", source="nvml_counter", energy_j=energy_j)],
        verdict=verdict,
    )
    return result.save(folder)


@pytest.fixture
def repeats(user):
    """Three rounds of two configurations, the second 20 % heavier."""
    folder = user.folder / "results"
    for minute, (name, number) in enumerate([(name, number) for number, pair in enumerate(ROUNDS) for name in pair]):
        energy_j, batch = {"one": (100.0, 1), "two": (120.0, 2)}[name]
        save(folder, f"{name}-{number}", energy_j + number / 10, batch=batch, config_hash=name * 5, minute=minute)
    return folder


@pytest.fixture
def nights(user):
    """Six nights of one configuration, and a seventh of 30 % more joules."""
    folder = user.folder / "results"
    for night in range(7):
        save(folder, f"night-{night}", 130.0 if night == 6 else 100.0 + night / 10, minute=24 * 60 * night)
    return folder


def test_list_has_one_line_per_result_with_its_headline(user, repeats):
    ended = user.llem("results", "list")
    assert (ended.code, ended.stderr) == (0, "")
    assert [line.split()[0] for line in ended.stdout.splitlines() if "gpt2" in line] == [
        f"{name}-{number}" for number, pair in enumerate(ROUNDS) for name in pair
    ]
    assert "1.20" in ended.stdout


def test_list_sorts_and_filters_by_any_column(user, repeats):
    ended = user.llem("results", "list", "--sort", "-total_energy_j", "--where", "batch_size=2", "--json")
    assert [row["experiment_id"] for row in json.loads(ended.stdout)] == ["two-2", "two-1", "two-0"]


def test_a_column_that_there_is_not_is_refused_with_the_nearest(user, repeats):
    ended = user.llem("results", "list", "--sort", "total_energy")
    assert (ended.code, ended.stdout) == (2, "")
    assert "did you mean total_energy_j" in ended.stderr


def test_a_folder_with_broken_and_foreign_files_lists_the_good_ones_and_names_the_bad(user, repeats):
    (repeats / "mine").mkdir()
    (repeats / "notes.txt").write_text("x")
    broken = sorted(repeats.glob("*/result.json"))[0]
    broken.write_bytes(broken.read_bytes()[:50])
    ended = user.llem("results", "list", "--json")
    assert ended.code == 0
    assert len(json.loads(ended.stdout)) == 5
    assert str(broken.relative_to(user.folder)) in ended.stderr
    assert "mine" not in ended.stderr


def test_a_directory_that_there_is_not_is_one_message(user):
    ended = user.llem("results", "list", "nowhere")
    assert (ended.code, len(ended.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize("by", ["id", "folder", "path"])
def test_show_takes_a_path_or_an_id(user, repeats, by):
    folder = sorted(repeats.iterdir())[0]
    ended = user.llem("results", "show", {"id": "two-1", "folder": folder.name, "path": folder / "result.json"}[by])
    assert (ended.code, ended.stderr) == (0, "")
    assert "energy/output token" in ended.stdout


def test_show_of_an_id_that_begins_several_names_them(user, repeats):
    ended = user.llem("results", "show", "two")
    assert ended.code == 2
    assert "3 results" in ended.stderr


@pytest.mark.parametrize("by", ["config", "config_hash"])
def test_compare_tells_configurations_that_were_run_in_rounds_apart(user, repeats, by):
    ended = user.llem("results", "compare", "--by", by, "--json")
    (comparison,) = json.loads(ended.stdout)
    assert comparison["config_differences"] == {"batch_size": [1, 2]}
    assert (comparison["method"], comparison["counts"]) == ("rounds", [3, 3])
    words = {row["metric"]: row["word"] for row in comparison["metrics"]}
    assert words["energy_per_output_token_j"] == "different"  # noqa: S105 - no password
    assert words["output_tokens_per_second"] == "same"
    assert words["total_energy_j"] is None


def test_compare_shows_words_level_and_rounds_on_80_columns(user, repeats):
    ended = user.llem("results", "compare", "--by", "config")
    assert (ended.code, ended.stderr) == (0, "")
    assert "3 rounds of both, in an order that alternates (6 are advised)" in ended.stdout
    (energy,) = [line for line in ended.stdout.splitlines() if line.startswith(" J/output token")]
    assert energy.split()[-1] == "different"
    assert len(energy) <= 80
    assert "97.5 %" in ended.stdout[ended.stdout.index("intervals at ") :]


def test_compare_of_two_runs_says_that_it_cannot_tell_and_what_would(user, repeats):
    ended = user.llem("results", "compare", "one-0", "two-0")
    assert ended.code == 0
    assert "1.2000" in ended.stdout
    assert "cannot tell" in ended.stdout
    assert "--repeat 6" in ended.stdout
    assert "different" not in ended.stdout


def test_a_gate_of_two_runs_is_refused_for_want_of_a_history_or_a_spread(user, repeats):
    ended = user.llem("results", "compare", "one-0", "two-0", *GATE)
    assert ended.code == 2
    assert "--against DIR" in ended.stderr
    assert "--spread" in ended.stderr


@pytest.mark.parametrize(("spread", "code"), [("3%", 1), ("30", 0)])
def test_a_gate_of_two_runs_goes_by_the_spread_that_is_given(user, repeats, spread, code):
    ended = user.llem("results", "compare", "one-0", "two-0", *GATE, "--spread", spread)
    assert ended.code == code
    assert "20.0% worse" in ended.stderr
    assert ("cannot tell" in ended.stderr) == (code == 0)


@pytest.mark.parametrize(("new", "code"), [("night-6", 1), ("night-5", 0)])
def test_a_gate_with_a_history_shuts_for_what_is_worse_alone(user, nights, new, code):
    ended = user.llem("results", "compare", new, "--against", "results", "--last", "5", *GATE)
    assert (ended.code, bool(ended.stderr)) == (code, code == 1)
    assert "history in results" in ended.stdout


@pytest.mark.parametrize(("further", "code"), [((), 0), (("--fail-if-unsure",), 1)])
def test_a_gate_that_cannot_tell_opens_with_a_line_on_stderr(user, nights, further, code):
    ended = user.llem("results", "compare", "night-3", "--against", "results", *GATE, *further)
    assert ended.code == code
    (line,) = ended.stderr.splitlines()
    assert "cannot tell" in line
    assert "3 stretches against 1" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("night-0", "--against", "results"), "no history"),
        (("night-0", "night-1", "--against", "results"), "takes one target"),
        (("night-6", "--last", "3"), "--against"),
        (("night-6", "--against", "nowhere"), "nowhere"),
        (("night-6", "--against", "results", "--fail-if-worse", "total_energy_j=5%"), "no headline metric"),
        (("night-6", "--against", "results", "--fail-if-worse", "ttft_ms_median"), "METRIC=PERCENT"),
        (("night-6", "--against", "results", "--fail-if-worse", "ttft_ms_median=nan"), "no percentage"),
        (("night-5", "night-6", "--spread", "0%"), "without any spread"),
        (("night-5", "night-6", "--spread", "much"), "no percentage"),
        (("night-5", "night-6", "--margin", "-5"), "no percentage"),
        (("results",), "--by config --dir"),
        (("--by", "model"), "config is the one grouping"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_one_message(user, nights, arguments, message):
    ended = user.llem("results", "compare", *arguments)
    assert (ended.code, len(ended.stderr.splitlines())) == (2, 1)
    assert message in ended.stderr


def test_the_gate_shuts_where_nothing_is_known(user, nights):
    ended = user.llem("results", "compare", "night-6", "--against", "results", "--fail-if-worse", "ttft_ms_median=5%")
    assert ended.code == 1
    assert "may be worse" in ended.stderr


@pytest.mark.parametrize(("text", "reason"), [('{"kind":', "not JSON"), ('{"kind": "payments.experiment"}', "kind")])
@pytest.mark.parametrize("target", ["new", "new/result.json"])
def test_a_gate_of_a_new_result_that_cannot_be_read_is_no_verdict(user, nights, target, text, reason):
    (user.folder / "new").mkdir()
    (user.folder / "new" / "result.json").write_text(text)
    ended = user.llem("results", "compare", target, "--against", "results", *GATE)
    assert (ended.code, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    assert reason in ended.stderr


def test_a_gate_of_new_results_of_which_one_is_broken_is_no_verdict(user, nights):
    broken = save(user.folder / "new", "good", minute=24 * 60 * 9).parent.parent / "broken" / "result.json"
    broken.parent.mkdir()
    broken.write_text("{")
    ended = user.llem("results", "compare", "new", "--against", "results", *GATE)
    assert (ended.code, len(ended.stderr.splitlines())) == (2, 1)
    assert "new/broken/result.json" in ended.stderr


def test_a_gate_names_the_nights_that_it_should_not_have_been_given(user, nights):
    save(user.folder / "results", "night-7", 131.0, minute=24 * 60 * 7)
    ended = user.llem("results", "compare", "night-7", "--against", "results", "--last", "7", *GATE, "--json")
    (found,) = json.loads(ended.stdout)
    assert (ended.code, found["last"], found["used"][1]) == (0, 7, ["night-7"])
    unsure, named = ended.stderr.splitlines()
    assert "cannot tell" in unsure
    assert "2026-11-27 12:00 is 29." in named
    assert "keep runs that a gate has rejected out of it" in named


def test_export_writes_a_row_a_result(user, repeats):
    ended = user.llem("results", "export", "--format", "csv", "-o", "all.csv")
    assert ended.code == 0
    with (user.folder / "all.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 6


def test_sql_asks_over_all_results(user, repeats):
    query = "select batch_size, count(*) as runs from results group by all order by 1"
    ended = user.llem("results", "sql", query, "--json")
    assert json.loads(ended.stdout) == [{"batch_size": 1, "runs": 3}, {"batch_size": 2, "runs": 3}]


def test_sql_prints_json_whatever_a_query_gives(user, repeats):
    query = "select 'nan'::double as a, [1.5, 'inf'::double] as b, date '2026-01-02' as c, {'x': 1} as d, null as e"
    ended = user.llem("results", "sql", query, "--json")
    assert json.loads(ended.stdout) == [{"a": None, "b": [1.5, None], "c": "2026-01-02", "d": {"x": 1}, "e": None}]


def test_sql_that_is_wrong_is_one_message(user, repeats):
    ended = user.llem("results", "sql", "selec 1")
    assert (ended.code, len(ended.stderr.splitlines())) == (2, 1)


def test_verify_finds_what_was_changed(user, repeats):
    assert user.llem("results", "verify").code == 0
    path = sorted(repeats.glob("*/result.json"))[0]
    path.write_bytes(path.read_bytes().replace(b'"one-0"', b'"one-9"'))
    ended = user.llem("results", "verify")
    assert ended.code == 1
    assert "changed after it was saved" in ended.stdout
    assert "5 of 6" in ended.stdout


def test_verify_can_want_every_verdict_valid(user, repeats):
    assert user.llem("results", "verify", "--require-valid").code == 0
    save(repeats, "bad", verdict="invalid")
    assert user.llem("results", "verify").code == 0
    ended = user.llem("results", "verify", "--require-valid")
    assert ended.code == 1
    assert "its verdict is invalid" in ended.stdout


def test_recover_lists_what_a_killed_save_left_and_removes_it_when_asked(user, repeats):
    left = repeats / "gpt2_pytorch_2026-11-21T12-00"
    left.mkdir()
    (left / ".0123456789abcdef.tmp").write_bytes(b"{")
    assert str(left.name) in user.llem("results", "recover").stdout
    assert left.exists()
    assert user.llem("results", "recover", "--remove").code == 0
    assert not left.exists()
    assert "nothing to recover" in user.llem("results", "recover").stdout


def test_a_file_of_another_version_is_warned_of_once(user, repeats):
    for path in list(repeats.glob("*/result.json"))[:2]:
        document = json.loads(path.read_text())
        del document["integrity"]
        path.write_text(json.dumps(document | {"schema_version": "1.0"}))
    ended = user.llem("results", "list")
    assert ended.stderr.count('schema_version="1.0"') == 1
