"""The `payment-sim experiment` commands on stored runs, and on one that was changed by hand."""

import asyncio
import csv
import json
import re
import shutil
import socket
import sys
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from labledger.json_text import dump_json
from payment_simulator.cli.main import app
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.persistence import ExperimentRepository
from payment_simulator.experiments.policy_constraints import AllowedParameter, PolicyConstraints
from payment_simulator.experiments.proposers import llm as llm_module
from payment_simulator.experiments.proposers.protocol import EndpointError, Interaction
from payment_simulator.experiments.runner import GenericExperimentRunner
from payment_simulator.policy.policies import FRACTION
from small_experiment import experiment

EXAMPLES = Path(__file__).parents[2] / "examples" / "payments"
SAMPLED = """
name: sampled
scenario: {scenario}
evaluation: {{mode: {mode}, num_samples: 4, nash_gap: {gap}}}
convergence: {{max_iterations: {iterations}, stability_window: 1}}
policy_constraints: {{allowed_parameters: [{{name: initial_liquidity_fraction, allowed_values: {values}}}]}}
output: {{directory: results, database: sampled.db}}
master_seed: 3
"""
UNREACHABLE = """
name: game
scenario: {}
convergence: {{max_iterations: 1}}
llm: {{model: "openai:some-model", base_url: "http://127.0.0.1:{}/v1", max_retries: 0}}
output: {{directory: results, database: game.db}}
"""
BANKS = """
simulation: {ticks_per_day: 4, num_days: 1, rng_seed: 7}
cost_rates: {liquidity_cost_per_tick_bps: 83, delay_cost_per_tick_per_cent: 0.2}
agents:
"""
BANK = """
  - id: "{}"
    liquidity_pool: 100000
    liquidity_allocation_fraction: {}
    arrival_config:
      rate_per_tick: 1
      amount_distribution: {{type: Uniform, min: 100, max: 900}}
      deadline_range: [1, 3]
"""


def run(config, run_id, folder, model=None):
    """Run an experiment whose results go to `results` in that folder; its database."""
    output = config.output.model_copy(update={"directory": str(folder / "results")})
    runner = GenericExperimentRunner(config.model_copy(update={"output": output}), None, run_id, config.path.parent)
    runner._llm_client = model
    asyncio.run(runner.run())
    return folder / "results" / config.output.database


class Failing:
    """A model that proposes no policy, then a good one, and then is gone."""

    answers = 0

    async def generate_policy(self, *, agent_id, prompt, current_policy, context):
        self.answers += 1
        if self.answers == 3:
            raise EndpointError("the server is gone")
        return {"type": "Nope" if self.answers == 1 else "Fifo", "parameters": {"initial_liquidity_fraction": 0.3}}

    def get_last_interaction(self):
        return Interaction(100, 20, 0.5)


def run_sampled(
    folder,
    run_id,
    *,
    banks=("A", "B"),
    start=0.5,
    mode="monte_carlo",
    values="[0.0, 0.5, 1.0]",
    iterations=2,
    gap="every",
):
    scenario = folder / f"{run_id}.scenario.yaml"
    scenario.write_text(BANKS + "".join(BANK.format(bank, start) for bank in banks))
    file = folder / f"{run_id}.yaml"
    file.write_text(SAMPLED.format(scenario=scenario.name, mode=mode, values=values, iterations=iterations, gap=gap))
    return run(ExperimentConfig.from_yaml(file), run_id, folder)


@pytest.fixture(scope="module")
def castro(tmp_path_factory):
    """A database of Castro's first game, solved twice; of few fractions, as each is evaluated again in a replay."""
    config = ExperimentConfig.from_yaml(EXAMPLES / "experiment_castro1.yaml")
    few = PolicyConstraints(allowed_parameters=[AllowedParameter(name=FRACTION, allowed_values=[0.0, 0.2, 0.5])])
    config = config.model_copy(update={"policy_constraints": few})
    folder = tmp_path_factory.mktemp("castro")
    run(config, "castro1-one", folder)
    return run(config, "castro1-two", folder)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """A database of three runs on the same draws, from two beginnings, of which one may propose nothing cheap."""
    folder = tmp_path_factory.mktemp("sampled")
    run_sampled(folder, "from-half")
    run_sampled(folder, "from-all", start=1.0)
    return run_sampled(folder, "dear", start=1.0, values="[1.0]")


@pytest.fixture
def sim(tmp_path, monkeypatch):
    """Runs `payment-sim experiment` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PAYMENT_SIM_DB", raising=False)
    return lambda *arguments: CliRunner().invoke(app, ["experiment", *map(str, arguments)])


@pytest.fixture
def copy(castro, tmp_path):
    return Path(shutil.copy(castro, tmp_path / "copy.db"))


def change(database, statement):
    """By hand, as in a `duckdb` shell."""
    with duckdb.connect(str(database)) as connection:
        assert connection.execute(statement).fetchall() == [(1,)]


def answer(ended):
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def refused(ended):
    assert ended.exit_code == 2
    assert "Traceback" not in ended.output
    assert ended.stdout == ""
    return ended.stderr


# Which database, which run


def test_results_lists_every_run_the_last_one_first(sim, castro):
    for command in (["results", castro], ["results", "--db", castro]):
        rows = answer(sim(*command, "--json"))
        assert [row["experiment_id"] for row in rows] == ["castro1-two", "castro1-one"]
        assert {(row["status"], row["final_cost"], row["converged"]) for row in rows} == {("completed", 2_000, True)}
    shown = sim("results", castro, "--limit", 1).stdout
    assert "castro1-two   castro1   completed   5            2,000        0 (exact)   yes" in shown
    assert "castro1-one" not in shown


def test_results_shows_the_last_twenty_runs_and_how_to_see_every_one(sim, tmp_path):
    path = tmp_path / "many.db"
    with ExperimentRepository(path) as repository, repository.transaction() as step:
        for number in range(21):
            step.save_experiment(experiment(f"run-{number:02}", started_at=f"2026-11-01T00:00:{number:02}+00:00"))
    told = "These are the last 20 runs: --all shows every one, --json too"
    shown = {words: sim("results", path, *words).stdout for words in ((), ("--all",), ("--limit", 3))}
    assert [text.count("run-") for text in shown.values()] == [20, 21, 3]
    assert [told in text for text in shown.values()] == [True, False, False]
    assert "run-00" not in shown[()]
    listed = sim("results", path, "--json").stdout
    assert [row["experiment_id"] for row in json.loads(listed)] == [f"run-{number:02}" for number in range(20, -1, -1)]
    assert listed == dump_json(json.loads(listed)) + "\n"
    assert sim("results", path, "--json", "--name", "none").stdout == "[]\n"


def test_without_a_name_the_database_is_that_of_the_environment_else_the_only_one_in_results(
    sim, castro, monkeypatch, tmp_path
):
    assert "there is no database in results" in refused(sim("results"))
    (tmp_path / "results").mkdir()
    shutil.copy(castro, "results/here.db")
    assert len(answer(sim("results", "--json"))) == 2
    shutil.copy(castro, "results/another.db")
    assert "results/another.db, results/here.db" in refused(sim("results"))
    monkeypatch.setenv("PAYMENT_SIM_DB", str(castro))
    assert len(answer(sim("results", "--json"))) == 2


def test_what_is_no_database_is_named_and_left_alone(sim, tmp_path):
    assert "there is no such file" in refused(sim("results", "gone.db"))
    text = tmp_path / "text.db"
    text.write_text("no database")
    assert "not a DuckDB file" in refused(sim("show", "latest", "--db", text))
    assert text.read_text() == "no database"
    assert not (tmp_path / "gone.db").exists()


def test_a_run_is_named_by_its_id_the_start_of_it_alone_or_as_the_latest(sim, castro):
    def shown(target):
        return answer(sim("show", target, "--db", castro, "--json"))["experiment_id"]

    assert [shown(each) for each in ("castro1-one", "castro1-o", "latest")] == ["castro1-one"] * 2 + ["castro1-two"]
    several = refused(sim("show", "cas", "--db", castro))
    assert "2 runs have an id that begins with cas (castro1-two, castro1-one)" in several
    assert "there is no run castro1-tow; near it are castro1-two" in refused(sim("show", "castro1-tow", "--db", castro))


def test_id_name_and_status_are_whole_on_the_narrowest_terminal(tmp_path, monkeypatch, capsys):
    name = "a name of many words, " * 3 + "none of them cut"
    record = experiment("an-id-of-more-than-forty-letters-as-they-are", experiment_name=name)
    with ExperimentRepository(tmp_path / "long.db") as repository:
        repository.save_experiment(record)
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    app(["experiment", "results", str(tmp_path / "long.db")], standalone_mode=False)
    shown = capsys.readouterr().out
    assert shown.count(record.experiment_id) > 1  # beside the columns that did not fit, too
    assert all(text in shown for text in (record.experiment_name, "running"))


# One run


def test_show_shows_iterations_decisions_and_what_was_found(sim, castro):
    shown = sim("show", "latest", "--db", castro).stdout
    for text in (
        "castro1-two: completed",
        "yes (stability)",
        "1           10,000       5,000    5,000    5,000",
        "1           BANK_B   accepted   5,000      2,000      saves 3,000 cents",
        "BANK_B   2,000        Fifo, initial_liquidity_fraction 0.2",
        "Final policies: Nash gap 0 (exact): the most that one bank could still save alone",
    ):
        assert text in shown
    found = answer(sim("show", "latest", "--db", castro, "--json"))
    assert (len(found["iterations"]), len(found["decisions"]), found["tokens"]) == (5, 8, 0)


def test_a_failed_run_is_shown_replayed_and_drawn_as_far_as_it_came(sim, tmp_path):
    config = ExperimentConfig.from_yaml(EXAMPLES / "experiment_castro1.yaml")
    with pytest.raises(EndpointError):
        run(config, "failed", tmp_path, Failing())
    shown = sim("show", "failed").stdout
    for text in (
        "failed: the server is gone",
        "It has no final policies",
        "tokens            240",
        "unknown policy 'Nope'",
    ):
        assert text in shown
    for command in (["replay"], ["policy-evolution"], ["chart", "-o", "failed.svg"], ["export", "-o", "out"]):
        assert sim(*command, "failed").exit_code == 0


def test_a_run_whose_model_cannot_be_reached_fails_and_says_how_to_go_on(sim, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    monkeypatch.setattr(llm_module, "FIRST_WAIT_S", 0.05)
    with socket.socket() as closed:  # bound and never listened on: whoever connects is refused
        closed.bind(("127.0.0.1", 0))
        Path("game.yaml").write_text(UNREACHABLE.format(EXAMPLES / "castro_exp1.yaml", closed.getsockname()[1]))
        ended = sim("run", "game.yaml")
    assert (ended.exit_code, ended.stdout) == (1, "")
    (record,) = answer(sim("results", "--json"))
    assert record["status"] == "failed"
    hint = f"go on: payment-sim experiment run game.yaml --resume {record['experiment_id']}"
    assert hint in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_show_knows_a_run_that_was_stored_without_its_scenario(sim, tmp_path):
    with ExperimentRepository(tmp_path / "bare.db") as repository:
        repository.save_experiment(experiment("bare"))
    assert "It has no final policies yet" in sim("show", "bare", "--db", tmp_path / "bare.db").stdout
    ended = sim("replay", "bare", "--db", tmp_path / "bare.db")
    assert (ended.exit_code, "bare: its " in ended.stderr) == (1, True)


def test_policy_evolution_shows_what_each_bank_held_and_what_was_proposed(sim, castro):
    found = answer(sim("policy-evolution", "latest", "--db", castro, "--json"))
    held = [step["parameters"]["initial_liquidity_fraction"] for step in found["BANK_B"]]
    assert held == [0.5, 0.2, 0.2, 0.2, 0.2, 0.2]
    [first], [second] = (step["proposals"] for step in found["BANK_B"][:2])
    assert (first["parameters"], first["accepted"]) == ({"initial_liquidity_fraction": 0.2}, True)
    assert (second["accepted"], second["reason"]) == (False, "it is the policy that holds")
    shown = sim("policy-evolution", "latest", "--db", castro, "--agent", "BANK_A").stdout
    assert "BANK_A" in shown
    assert "BANK_B" not in shown
    assert "unknown bank 'BANK_C'" in refused(sim("policy-evolution", "latest", "--db", castro, "--agent", "BANK_C"))


# Replay


def test_a_run_replays_as_it_was_stored(sim, castro):
    ended = sim("replay", "latest", "--db", castro)
    assert ended.exit_code == 0
    assert re.search(r"castro1-two: all \d+ stored values are as the simulator gives them\n", ended.stdout)


@pytest.mark.parametrize("mode", ["monte_carlo", "bootstrap"])
def test_a_sampled_run_replays_as_it_was_stored(sim, tmp_path, mode):
    database = run_sampled(tmp_path, "sampled", mode=mode)
    assert all(check["same"] for check in answer(sim("replay", "latest", "--db", database, "--json")))


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("iterations", "iteration_number", "9"),
        ("iterations", "total_cost", "total_cost + 1"),
        ("iterations", "per_agent_costs", """'{"BANK_A": 1, "BANK_B": 1999}'"""),
        ("iterations", "policies", """replace(policies::VARCHAR, '0.2', '0.20001')"""),
        ("iterations", "nash_gap", "1"),
        ("iterations", "nash_gap", "NULL"),
        ("iterations", "nash_gap_half_width", "1"),
        ("iterations", "nash_gap_kind", "NULL"),
        ("iterations", "nash_gap_values", "nash_gap_values + 1"),
        ("iterations", "start", "2"),
        ("experiments", "final_cost", "final_cost - 1"),
        ("experiments", "final_costs_by_agent", """'{"BANK_A": 1, "BANK_B": 1999}'"""),
        ("experiments", "final_policies", """replace(final_policies::VARCHAR, '0.2', '0.20001')"""),
        ("experiments", "final_nash_gap", "7"),
        ("experiments", "final_nash_gap_half_width", "7"),
        ("experiments", "final_nash_gap_kind", "'searched'"),
        ("experiments", "final_nash_gap_values", "7"),
        ("experiments", "refused_proposals", "1"),
        ("experiments", "experiment_name", "'castro2'"),
        ("experiments", "status", "'failed'"),
        ("experiments", "converged", "false"),
        ("experiments", "convergence_reason", "'max_iterations'"),
        ("experiments", "num_iterations", "4"),
        ("experiments", "scenario", """replace(scenario::VARCHAR, '15000', '15001')"""),
        (
            "experiments",
            "config",
            """regexp_replace(config::VARCHAR, '"stability_window": *3', '"stability_window":5')""",
        ),
    ],
)
def test_replay_finds_a_row_that_was_changed_by_hand(sim, copy, table, column, value):
    which = "AND iteration_number = 3" if table == "iterations" else ""
    change(copy, f"UPDATE {table} SET {column} = {value} WHERE experiment_id = 'castro1-two' {which}")  # noqa: S608
    ended = sim("replay", "castro1-two", "--db", copy)
    assert ended.exit_code == 1, ended.output
    assert "stored values are not as the simulator gives them" in ended.stdout
    if column not in ("scenario", "config", "iteration_number"):
        assert f"{column}: " in ended.stdout


def test_replay_finds_a_decision_that_was_changed_and_one_that_cannot_be_run(sim, copy):
    which = "experiment_id = 'castro1-two' AND event_type = 'policy_accepted' AND event_data::VARCHAR LIKE '%BANK_B%'"
    other_cost = """regexp_replace(event_data::VARCHAR, '"new_cost": *2000', '"new_cost":1999')"""
    change(copy, f"UPDATE events SET event_data = {other_cost} WHERE {which}")  # noqa: S608
    found = sim("replay", "castro1-two", "--db", copy).stdout
    assert "iteration 1: decision of BANK_B: stored [5000, 1999], found [5000, 2000]" in found
    change(copy, f"UPDATE events SET event_data = '{{}}' WHERE {which}")  # noqa: S608
    ended = sim("replay", "castro1-two", "--db", copy)
    assert (ended.exit_code, "iteration 1 cannot be run" in ended.stderr) == (1, True)


# Pictures


@pytest.mark.parametrize("suffix", ["png", "svg", "html"])
def test_a_chart_is_a_picture_and_the_same_run_gives_the_same_bytes(sim, castro, tmp_path, suffix):
    pictures = [tmp_path / f"{name}.{suffix}" for name in ("one", "other")]
    for picture in pictures:
        assert sim("chart", "latest", "--db", castro, "-o", picture).exit_code == 0
    content = pictures[0].read_bytes()
    assert content == pictures[1].read_bytes()
    if suffix == "png":
        assert content.startswith(b"\x89PNG")
    if suffix == "svg":
        assert content.rstrip().endswith(b"</svg>")


def test_a_chart_as_a_page_needs_nothing_from_elsewhere_and_shows_every_mark(sim, castro, tmp_path):
    assert sim("chart", "latest", "--db", castro, "-o", tmp_path / "page.html").exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert not [text for text in ("<script", "src=", "<link", "@import", "url(http") if text in page]
    told = page.split("<title>")
    assert any(each.startswith("BANK_B, iteration 1: 5,000 cents") for each in told)
    assert any(
        "BANK_B, iteration 1: initial_liquidity_fraction 0.2 accepted: saves 3,000 cents" in each for each in told
    )
    assert any(each.startswith("Nash gap 0 (exact), final policies: the most that one bank") for each in told)


@pytest.mark.parametrize("count", [20, 30])
def test_many_banks_are_drawn_whatever_their_names(sim, tmp_path, count):
    banks = [f"$x_{number} <{number}> & é" for number in range(count)]
    database = run_sampled(tmp_path, "many", banks=banks, start=1.0, values="[0.0, 1.0]", iterations=1, gap="off")
    assert sim("chart", "latest", "--db", database, "-o", "many.html").exit_code == 0


def test_a_chart_is_not_drawn_over_a_database_or_a_folder_nor_in_an_unknown_kind(sim, copy, tmp_path):
    linked = tmp_path / "linked.svg"
    linked.symlink_to(copy)
    (tmp_path / "folder.png").mkdir()
    for output, problem in (
        (linked, "which is read"),
        ("folder.png", "is not a regular file"),
        ("chart.pdf", "none of .png, .svg, .html"),
        ("gone/chart.png", "there is no directory"),
    ):
        assert problem in refused(sim("chart", "latest", "--db", copy, "-o", output))
    assert len(answer(sim("results", copy, "--json"))) == 2


# Two runs


def test_compare_shows_what_differs_between_two_runs_also_of_two_databases(sim, castro, sampled):
    assert "Configuration and scenario are the same" in sim("compare", "castro1-one", "latest", "--db", castro).stdout
    found = answer(sim("compare", "latest", "from-half", "--db", castro, "--db-2", sampled, "--json"))
    assert found["configuration"]["evaluation.mode"] == {"first": "deterministic", "second": "monte_carlo"}
    assert found["final_cost_difference"] is None
    assert [found[which]["experiment_id"] for which in ("first", "second")] == ["castro1-two", "from-half"]


def test_runs_on_the_same_draws_are_the_same_different_or_one_cannot_tell(sim, sampled):
    def word(*arguments):
        return answer(sim("compare", *arguments, "--db", sampled, "--json"))["final_cost_difference"]["all"]["word"]

    assert word("from-half", "from-half") == "same"
    assert word("from-half", "dear") == "different"
    assert word("from-half", "dear", "--margin", "1e6") == "same"
    shown = sim("compare", "from-half", "from-all", "--db", sampled).stdout
    assert "scenario.agents[0].liquidity_allocation_fraction   0.5" in shown
    assert "final costs are" in shown


# Files


def test_export_writes_a_run_as_files_into_a_folder_of_its_own(sim, castro, tmp_path):
    for _ in range(2):
        assert sim("export", "latest", "--db", castro, "-o", "out").exit_code == 0
    names = {"experiment.json", "iterations.csv", "events.jsonl", "policies/BANK_A.json", "policies/BANK_B.json"}
    for folder in (tmp_path / "out", tmp_path / "out_1"):
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == names
        assert json.loads((folder / "experiment.json").read_text())["final_cost"] == 2_000
        assert json.loads((folder / "policies/BANK_B.json").read_text())["parameters"] == {
            "initial_liquidity_fraction": 0.2
        }
        rows = list(csv.DictReader((folder / "iterations.csv").open()))
        assert (rows[0]["cost BANK_A"], rows[0]["nash_gap"], rows[4]["cost BANK_A"]) == ("5000", "5000", "0")
        assert [rows[0][name] for name in ("start", "nash_gap_kind", "nash_gap_half_width")] == ["1", "exact", "0"]
        events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
        assert (events[0]["event_type"], events[-1]["event_type"]) == ("experiment_started", "experiment_completed")


@pytest.mark.parametrize(
    "arguments", [["policy-evolution"], ["chart", "-o", "x.png"], ["export", "-o", "out"]], ids=lambda words: words[0]
)
def test_a_stored_policy_that_was_made_invalid_is_reported(sim, copy, tmp_path, arguments):
    which = "experiment_id = 'castro1-two' AND iteration_number = 2"
    change(copy, f"""UPDATE iterations SET policies = '{{"BANK_A": 5, "BANK_B": 5}}' WHERE {which}""")  # noqa: S608
    command, *rest = arguments
    ended = sim(command, "castro1-two", "--db", copy, *rest)
    assert ended.exit_code == 1
    assert "castro1-two: iteration 2: policies: BANK_A: Input should be a valid dictionary; it was not" in ended.stderr
    assert not (tmp_path / "out").exists()
