"""`payment-sim validate`, `template` and `schema`: files to start from, and what is wrong with one's own."""

import json

import pytest

from payment_simulator.cli.template_texts import TEMPLATES
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.scenario.schema import Scenario

FILES = {"scenario": "scenario.yaml", "experiment": "e.yaml", "policy": "policy.json", "payments": "day.csv"}
TREES = {"version": "1", "payment_tree": {"type": "action", "action": "Hold"}}
WRONG = """\
simulation: {ticks_per_day: 10}
payments: {file: missing.csv}
agents:
  - id: 001
    opening_balance: 1e6
    policy: {type: FromJson, json_path: nope.json}
  - {id: B, policy: {type: FromJson, json_path: no.json}}
  - {id: C, policy: {type: Fifo, initial_liquidity_fraction: 0.3}}
cost_rates: {foo: 1}
"""


@pytest.fixture
def templates(sim):
    """The templates of all kinds, each written to a file of its own."""
    for kind, name in FILES.items():
        assert sim("template", kind, "-o", name).returncode == 0


def test_each_template_is_fine_as_it_is_and_runs(sim, user, templates):
    told = {kind: sim("validate", name).stdout for kind, name in FILES.items() if kind != "payments"}
    assert told["scenario"].startswith(
        "scenario.yaml: a scenario: 3 banks, 100 ticks, 181 payments expected; policies:"
    )
    assert told["experiment"].startswith("e.yaml: an experiment: search for BANK_A, BANK_B, BANK_C; monte_carlo of 100")
    assert told["policy"] == "policy.json: a policy, FromJson\n"
    assert sim("run", "scenario.yaml").returncode == 0
    user.write("own.yaml", 'payments: {file: day.csv, clock: {open: "07:00", close: "18:00", tick: 60s}}\n'
               "agents: from_payments\nagent_defaults: {unsecured_cap: 5000000}\n")  # fmt: skip
    assert sim("validate", "own.yaml").stdout.startswith("own.yaml: a scenario: 3 banks, 660 ticks, 10 payments read;")
    assert json.loads(sim("run", "own.yaml", "--json").stdout)["settled"] == 10


def test_a_template_is_never_written_over_a_file(sim, user):
    before = (user.folder / "small.yaml").read_text()
    refused = sim("template", "-o", "small.yaml")
    assert (refused.returncode, "is there already" in refused.stderr) == (2, True)
    assert (user.folder / "small.yaml").read_text() == before
    assert sim("template", "policy").stdout == TEMPLATES["policy"]


def test_a_schema_is_printed_of_every_kind_as_a_table_and_for_editors(sim):
    assert "opening_balance" in sim("schema").stdout
    assert "stability_window" in sim("schema", "experiment").stdout
    assert "SetReleaseBudget" in sim("schema", "policy").stdout
    assert "timestamp, datetime" in sim("schema", "payments").stdout
    scenario, experiment = (json.loads(sim("schema", kind, "--json").stdout) for kind in ("scenario", "experiment"))
    assert scenario["properties"].keys() == Scenario.model_fields.keys()
    assert experiment["properties"].keys() == ExperimentConfig.model_fields.keys()
    assert "Reprioritize" in sim("schema", "policy", "--json").stdout
    assert sim("schema", "payments", "--json").returncode == 2


def test_every_problem_of_a_scenario_is_told_at_once_with_the_files_that_are_missing(sim, user):
    user.write("wrong.yaml", WRONG)
    refused = sim("validate", "wrong.yaml")
    lines = refused.stderr.replace(f"{user.folder}/", "").splitlines()
    assert (refused.returncode, lines[0]) == (2, "error: 7 problems")
    assert [line.partition(" ")[0] for line in lines[1:]] == [f"wrong.yaml:{line}:" for line in (2, 4, 5, 6, 7, 8, 9)]
    assert lines[1] == "wrong.yaml:2: payments.file: missing.csv: no such file (looked for missing.csv)"
    assert lines[5].startswith("wrong.yaml:7: B: no.json: no such file")
    assert sim("run", "wrong.yaml").stderr == refused.stderr


def test_every_problem_of_an_experiment_is_told_with_those_of_its_scenario(sim, user):
    user.write("wrong.yaml", WRONG)
    user.write("e.yaml", "name: a/b\nscenario: wrong.yaml\nevaluation: {mode: bootstrap, observed: day.parquet}\n")
    lines = sim("validate", "e.yaml").stderr.splitlines()
    assert lines[0] == "error: 10 problems"
    assert [line for line in lines if "e.yaml:1: name" in line or "e.yaml:3: evaluation.observed: day.parquet" in line]
    assert sum(line.startswith("wrong.yaml") for line in lines) == 7


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.csv", "time,amount\n", "read as payments, by the usual names"),
        ("a.yaml", "model: gpt2\n", "a configuration of llem"),
        ("a.yaml", "agnets: []\n", "its keys are 'agnets'; payment-sim template"),
        ("a.json", '{"kind": "llem.result"}', "a result (llem.result), which `llem results show` reads"),
        ("a.json", '{"payment_tree": {"type": "action", "action": "Hodl"}}', "payment_tree.action: unknown action"),
        ("a.yaml", "scenario_events: 3\n", "agents: required, and missing"),
    ],
)
def test_what_is_none_of_the_three_is_named_for_what_it_is(sim, user, name, text, told):
    user.write(name, text)
    refused = sim("validate", name)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert told in refused.stderr


def test_a_file_of_payments_is_checked_by_the_usual_names(sim, user):
    user.write("day.csv", sim("template", "payments").stdout)
    user.write("ticks.csv", "tick,sender,receiver,amount\n0,A,B,5\n3,B,A,7\n")
    user.write("wrong.csv", "tick,sender,receiver,amount\n0,A,B,x\n")
    told = sim("validate", "day.csv", "wrong.csv", "ticks.csv")
    assert told.stdout.splitlines() == [
        "day.csv: payments: 10 of 3 banks, with times of day, of which a scenario's payments.clock makes ticks",
        "ticks.csv: payments: 2 of 2 banks, with ticks",
    ]
    assert (told.returncode, 'wrong.csv:2: amount: "x"' in told.stderr) == (2, True)


def test_a_directory_is_told_with_what_is_kept_in_it(sim, user):
    user.write("result.json", '{"kind": "payments.experiment"}')
    refused = sim("validate", user.folder)
    assert (refused.returncode, "`payment-sim experiment show` reads" in refused.stderr) == (2, True)


def test_of_a_directory_the_files_that_can_be_checked_are_named(sim, user):
    (user.folder / "some").mkdir()
    user.write("some/b.yaml", "")
    user.write("some/a.csv", "")
    assert "some: is a directory; name files in it, one or more: a.csv, b.yaml\n" in sim("validate", "some").stderr


def test_of_a_day_that_is_kept_its_command_is_named(sim, user):
    user.write("s.yaml", sim("template").stdout)
    assert sim("run", "s.yaml", "-o", "day").returncode == 0
    assert "payments.outcome, which `payment-sim show` reads" in sim("validate", "day").stderr
    assert "payments.outcome), which `payment-sim show` reads" in sim("validate", "day/outcome.json").stderr
    assert "`payment-sim show day` reads" in sim("validate", "day/payments.parquet").stderr


def test_a_bank_takes_its_own_policy_of_a_run_and_one_that_is_not_there_is_told(sim, user):
    own = {"small": {"type": "Deadline", "urgency_threshold": 2}, "B": {"type": "FromJson", "document": TREES}}
    user.write("run.json", json.dumps({"kind": "payments.run", "final_policies": {"A": own["small"], "B": own["B"]}}))
    user.write("fifo.json", json.dumps({"type": "Fifo", "parameters": {"initial_liquidity_fraction": 0.2}}))
    scenario = (
        "simulation: {ticks_per_day: 2}\nagents:\n"
        "  - {id: A, policy: {type: FromJson, json_path: run.json}}\n"
        "  - {id: B, policy: {type: FromJson, json_path: run.json, parameters: {initial_liquidity_fraction: 0.5}}}\n"
        "  - {id: C, policy: {type: FromJson, json_path: fifo.json}}\n"
    )
    user.write("own.yaml", scenario)
    assert sim("validate", "own.yaml").stdout.endswith("policies: 1 Deadline, 1 FromJson, 1 Fifo\n")
    assert sim("validate", "run.json").stdout == "run.json: a run, with a policy each for A, B\n"
    assert "name a file in `policies` of its export" in sim("policy", "validate", "run.json").stderr
    user.write("own.yaml", scenario.replace("id: A", "id: X"))
    assert "own.yaml:3: X: a run that has no policy of X (known: A, B)" in sim("run", "own.yaml").stderr


def test_a_scenario_that_overflows_is_told_by_validate_with_its_line(sim, user):
    text = TEMPLATES["scenario"].replace("  overdraft_bps", "  eod_borrowing_bps: 1e300\n  overdraft_bps")
    user.write("big.yaml", text)
    refused = sim("validate", "big.yaml")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: big.yaml:13: payments of ")
    assert "cost_rates.eod_borrowing_bps: it could overflow: reduce it" in refused.stderr
