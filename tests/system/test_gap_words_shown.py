"""Every place that shows a Nash gap says how it is known, and of which day it is."""

import csv
import json
import re
from pathlib import Path

import duckdb
import pytest
from payment_sim_files import EXAMPLES
from typer.testing import CliRunner

from payment_simulator.cli.main import app
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.persistence import ExperimentRepository
from payment_simulator.experiments.setup import ExperimentSetup
from small_experiment import event, experiment, iteration, old_database

MOST = "the most that one bank could still save alone"
KINDS = {
    "exact": ("exact", 7, 0, 1_001, "7 (exact)"),
    "bounded": ("bounded", 12, 0, 40, "<= 12 (bounded)"),
    "estimated": ("estimated", 31, 12, 241, "31 ± 12 (estimated)"),
    "searched": ("searched", 0, 0, 441, "no saving among 441 values (searched)"),
    "old": (None, 0, 0, None, "no saving, searched (21 values)"),
}


@pytest.fixture
def sim(tmp_path, monkeypatch):
    """Runs `payment-sim experiment` in a folder of its own, on the database that is stored there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAYMENT_SIM_DB", str(tmp_path / "runs.db"))

    def ran(*arguments):
        ended = CliRunner().invoke(app, ["experiment", *map(str, arguments)])
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    return ran


def change(path, table, which, kind):
    """Give stored gaps another kind."""
    name, cents, half_width, values, _ = KINDS[kind]
    prefix = "final_" if table == "experiments" else ""
    values_of = {"": cents, "_kind": name, "_half_width": half_width, "_values": values}
    changes = ", ".join(f"{prefix}nash_gap{column} = ?" for column in values_of)
    with duckdb.connect(str(path)) as shell:
        shell.execute(f"UPDATE {table} SET {changes} WHERE {which}", list(values_of.values()))  # noqa: S608


def stored(path, kind, *of_iterations):
    """A database of old runs, its final gaps of this kind and those of its iterations of these, or of the same."""
    old_database(path)
    if kind == "old":
        return
    with ExperimentRepository(path) as repository:
        repository.save_event(event(experiment_id="old-interrupted"))  # the first write
    change(path, "experiments", "status = 'completed'", kind)
    for number, each in enumerate(of_iterations or [kind] * 4, start=1):
        change(path, "iterations", f"iteration_number = {number}", each)


def test_every_command_shows_each_gap_in_the_words_of_its_kind(sim, tmp_path):
    stored(tmp_path / "runs.db", "searched", "exact", "bounded", "estimated", "old")
    final, words = KINDS["searched"][-1], [each[-1] for each in KINDS.values()]
    shown = sim("show", "old-completed")
    assert [each for each in words if each not in shown] == []
    assert f"Final policies: {final}: values that were not tried may save more" in shown
    assert MOST not in shown
    assert final in sim("results")
    assert f"first: {final}" in sim("compare", "old-completed", "old-completed")
    evolution = sim("policy-evolution", "old-completed")
    assert [each for each in words if each not in evolution] == []
    sim("chart", "old-completed", "-o", "page.html")
    page = (tmp_path / "page.html").read_text().replace("&lt;", "<").replace("&gt;", ">")
    assert [each for each in words if each not in page] == []


def test_a_bounded_gap_is_no_evidence_of_convergence_and_names_the_budget_to_raise(sim, tmp_path):
    advice = "raise evaluation.nash_gap_budget (9 was spent for each bank)"
    golden = json.loads((Path(__file__).parents[1] / "golden" / "payments_1.0" / "result.json").read_text())
    golden.pop("integrity", None)
    golden["config"]["evaluation"]["nash_gap_budget"] = 9
    for kind, is_bounded in (("bounded", True), ("exact", False)):
        changed = golden | {"converged": True, "convergence_reason": "stability", "final_nash_gap_kind": kind}
        (tmp_path / "result.json").write_text(json.dumps(changed))
        shown = sim("show", tmp_path / "result.json")
        assert ("yes (stability; the gap is only bounded)" in shown) == is_bounded
        assert shown.rstrip().endswith(advice) == is_bounded
    stored(tmp_path / "runs.db", "bounded")
    shown = sim("show", "old-completed")
    assert "(stability; the gap is only bounded)" in shown
    assert "raise evaluation.nash_gap_budget" in shown.splitlines()[-1]


def test_a_run_of_a_database_of_version_1_shows_that_its_gap_was_searched_among_21_values(sim, tmp_path):
    stored(tmp_path / "runs.db", "old")
    for command in ("results", "show old-completed", "compare old-completed old-interrupted"):
        assert "no saving, searched (21 values)" in sim(*command.split())
    assert MOST not in sim("show", "old-completed")


@pytest.mark.parametrize("kind", ["estimated", "old"])
def test_json_and_csv_have_every_column_of_a_gap(sim, tmp_path, kind):
    stored(tmp_path / "runs.db", kind)
    name, cents, half_width, values, _ = KINDS[kind]
    final = {
        "final_nash_gap": cents,
        "final_nash_gap_kind": name,
        "final_nash_gap_half_width": half_width,
        "final_nash_gap_values": values,
    }
    shown = json.loads(sim("show", "old-completed", "--json"))
    listed = next(each for each in json.loads(sim("results", "--json")) if each["experiment_id"] == "old-completed")
    compared = json.loads(sim("compare", "old-completed", "old-interrupted", "--json"))["first"]
    sim("export", "old-completed", "-o", "out")
    exported = json.loads((tmp_path / "out" / "experiment.json").read_text())
    for document in (shown, listed, compared, exported):
        assert {key: document[key] for key in final} == final
    [step, *_] = json.loads(sim("policy-evolution", "old-completed", "--json"))["BANK_A"]
    [row, *_] = csv.DictReader((tmp_path / "out" / "iterations.csv").open())
    for key, value in final.items():
        place = key.removeprefix("final_")
        assert row[place] == ("" if value is None else str(shown["iterations"][0][place]))
        assert step[place] == shown["iterations"][0][place]


def test_a_comparison_of_gaps_of_different_kinds_says_that_they_are(sim, tmp_path):
    stored(tmp_path / "runs.db", "exact")
    with duckdb.connect(str(tmp_path / "runs.db")) as shell:
        shell.execute("UPDATE experiments SET final_nash_gap = 3 WHERE experiment_id = 'old-interrupted'")
    shown = sim("compare", "old-completed", "old-interrupted")
    assert "first: Nash gap 7 (exact): the most that one bank" in shown
    assert "second: Nash gap >= 3, searched (21 values)" in shown
    told = "The two gaps are known in different ways"
    assert told in shown
    assert told not in sim("compare", "old-completed", "old-completed")


def test_replay_of_an_old_run_compares_all_but_its_gaps_and_says_why(sim, tmp_path):
    stored(tmp_path / "runs.db", "old")
    ended = sim("replay", "old-completed")
    assert "NOT THE SAME" not in ended
    summary = ended.splitlines()[-1]
    assert re.search(r"all \d+ stored values are as the simulator gives them; 5 not computed again", summary)
    assert "searched it among 21 values of each parameter, one at a time" in summary
    checks = json.loads(sim("replay", "old-completed", "--json"))
    assert {each["name"] for each in checks if each["same"] is None} == {
        *("nash_gap", "final_nash_gap"),
        *("converged", "convergence_reason"),
    }
    compared = {each["name"] for each in checks if each["same"]}
    assert compared > {"final_cost", "final_costs_by_agent", "final_policies", "total_cost", "decision of BANK_A"}


def of_castro_2(mode, path):
    """A run of Castro's second game that is stored without being run, and its configuration's file."""
    text = (
        (EXAMPLES / "experiment_castro2.yaml")
        .read_text()
        .replace("castro_exp2.yaml", str(EXAMPLES / "castro_exp2.yaml"))
    )
    samples = 1 if mode == "deterministic" else 4
    lines = [line for line in text.splitlines() if not line.startswith(("evaluation:", "output:"))]
    file = path.with_suffix(".yaml")
    file.write_text("\n".join([*lines, f"evaluation: {{mode: {mode}, num_samples: {samples}, nash_gap: final}}"]))
    config = ExperimentConfig.from_yaml(file)
    gap = {"final_nash_gap": 0, "final_nash_gap_kind": "estimated", "final_nash_gap_half_width": 0}
    policies = {"BANK_A": {"type": "Fifo"}, "BANK_B": {"type": "Fifo"}}
    record = experiment("castro2", config=config.to_dict(), scenario=ExperimentSetup.load(config).to_dict())
    with ExperimentRepository(path) as repository, repository.transaction() as step:
        step.save_experiment(record)
        costs = {"BANK_A": 10, "BANK_B": 20}
        step.save_iteration(
            iteration(1, "castro2", policies=policies, per_agent_costs=costs, nash_gap=0, nash_gap_kind="exact")
        )
        step.update_experiment_completion(
            "castro2",
            completed_at=record.started_at,
            converged=True,
            convergence_reason="stability",
            final_cost=30,
            total_duration_seconds=1.0,
            **gap,
            final_policies=policies,
        )
    return file


DAY = "BANK_A sent 15 payments of 114,754 cents that day; 24 ± 5 of 240,000 are expected"


@pytest.mark.parametrize(
    ("mode", "claim"), [("bootstrap", "one observed day, redrawn"), ("deterministic", "one drawn day")]
)
def test_a_run_of_one_day_says_everywhere_how_lopsided_its_day_is(sim, tmp_path, mode, claim):
    of_castro_2(mode, tmp_path / "runs.db")
    for arguments in (["show", "castro2"], ["policy-evolution", "castro2"], ["compare", "castro2", "castro2"]):
        shown = " ".join(sim(*arguments).split())
        assert f"every cost and gap is of {claim}: {DAY}" in shown
    shown = sim("show", "castro2")
    assert "BANK_B   27         24.0 ± 4.9   305,025       240,000 ± 54,772" in shown
    assert "of one day" in sim("results")
    assert json.loads(sim("results", "--json"))[0]["of_one_day"] is True
    if mode == "bootstrap":
        sim("chart", "castro2", "-o", "page.html")
        assert "Nash gap, one day (cents)" in (tmp_path / "page.html").read_text()
    day = json.loads(sim("show", "castro2", "--json"))["one_day"]
    assert (day["banks"]["BANK_A"]["number"], day["banks"]["BANK_A"]["value"]) == (15, 114_754)
    assert day["banks"]["BANK_A"]["expected"]["number"] == 24


def test_a_run_of_many_draws_or_of_no_drawn_payment_says_nothing_of_a_day(sim, tmp_path):
    of_castro_2("monte_carlo", tmp_path / "runs.db")
    assert "day" not in sim("show", "castro2") + sim("results")
    (tmp_path / "runs.db").unlink()
    stored(tmp_path / "runs.db", "exact")
    assert "of one" not in sim("show", "old-completed") + sim("results")


def test_a_run_prints_its_day_before_its_first_iteration_and_in_its_summary_and_result(sim, tmp_path):
    file = of_castro_2("deterministic", tmp_path / "runs.db")
    file.write_text(
        file.read_text().replace("max_iterations: 25", "max_iterations: 1")
        + "\noutput: {directory: out}\n"
        + "policy_constraints: {allowed_parameters: [{name: initial_liquidity_fraction, allowed_values: [0.1, 0.5]}]}\n"
    )
    ended = CliRunner().invoke(app, ["experiment", "run", str(file)])
    assert ended.exit_code == 0, ended.output
    assert ended.stderr.index(DAY) < ended.stderr.index("iteration 1/1")
    assert DAY in " ".join(ended.stdout.split())
    [result] = (tmp_path / "out").glob("*/result.json")
    assert DAY in " ".join(sim("show", result).split())


def test_an_older_result_of_a_bootstrap_says_that_it_is_of_one_day(sim, tmp_path):
    golden = json.loads((Path(__file__).parents[1] / "golden" / "payments_1.0" / "result.json").read_text())
    golden.pop("integrity", None)
    golden["config"]["evaluation"]["mode"] = "bootstrap"
    (tmp_path / "result.json").write_text(json.dumps(golden))
    shown = " ".join(sim("show", tmp_path / "result.json").split())
    assert "every cost and gap is of one observed day, redrawn" in shown
    assert "no saving on draws, searched (21 values)" in shown
