"""Experiments that cannot work are refused by `validate` and `run` alike, before anything is made."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from payment_simulator.cli.main import app

STREAM = {
    "rate_per_tick": 1,
    "amount_distribution": {"type": "Uniform", "min": 10, "max": 50},
    "deadline_range": [0, 2],
}
SHUT = {
    "type": "CounterpartyWeightChange",
    "agent": "A",
    "counterparty": "B",
    "weight": 0,
    "schedule": {"type": "OneTime", "tick": 1},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def experiment(*command):
    found = CliRunner().invoke(app, ["experiment", *command])
    return found.exit_code, " ".join(found.output.split())


def write(arrivals=STREAM, events=(), **keys):
    agents = [{"id": "A", "liquidity_pool": 100, "arrival_config": arrivals}, {"id": "B", "liquidity_pool": 100}]
    scenario = {"simulation": {"ticks_per_day": 3}, "agents": agents, "scenario_events": list(events)}
    Path("scenario.yaml").write_text(yaml.safe_dump(scenario))
    config = {"name": "x", "scenario": "scenario.yaml", "output": {"directory": "made", "database": "x.db"}, **keys}
    Path("x.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def refusal():
    """The message of `validate` and of `run`, which is one; nothing was made."""
    before = sorted(Path().rglob("*"))
    found = {experiment("validate", "x.yaml"), experiment("run", "x.yaml")}
    assert sorted(Path().rglob("*")) == before
    ((code, message),) = found
    assert code == 2
    assert "--resume" not in message
    return message


def test_payments_that_leave_a_bank_nobody_to_pay_are_refused_at_their_event():
    write(events=[SHUT])
    assert "scenario.yaml:" in refusal()
    assert "scenario_events.0: from tick 1 on it leaves A nobody to pay" in refusal()


@pytest.mark.parametrize("mode", ["deterministic", "monte_carlo", "bootstrap"])
def test_amounts_that_are_not_sure_to_the_cent_are_refused_at_their_distribution(mode):
    samples = {} if mode == "deterministic" else {"num_samples": 4}
    write(
        {**STREAM, "amount_distribution": {"type": "Exponential", "mean": 1e17}}, evaluation={"mode": mode, **samples}
    )
    assert "A: arrival_config.amount_distribution: draws amounts of over 2^53 cents" in refusal()
    assert "scenario.yaml:" in refusal()


def test_a_resume_that_would_end_in_the_same_error_is_not_proposed():
    amounts = {"type": "Exponential", "mean": 4e15}  # one in ten is over 2^53 cents
    stream = {**STREAM, "rate_per_tick": 0.3, "amount_distribution": amounts}
    few = {"allowed_parameters": [{"name": "initial_liquidity_fraction", "allowed_values": [0, 0.5, 1]}]}
    evaluation = {"mode": "monte_carlo", "num_samples": 4, "nash_gap": "off"}
    write(stream, evaluation=evaluation, policy_constraints=few, optimized_agents=["A"])
    assert experiment("validate", "x.yaml")[0] == 0
    code, message = experiment("run", "x.yaml")
    assert (code, "2^53 cents" in message, "kept in" in message) == (2, True, True)
    assert "--resume" not in message


@pytest.mark.parametrize(
    ("output", "key"),
    [
        ({"database": "."}, "database"),
        ({"database": ""}, "database"),
        ({"directory": "made", "database": ".."}, "database"),
        ({"database": "d" * 300}, "database"),
        ({"database": "a\0b.db"}, "database"),
        ({"database": "scenario.yaml"}, "database"),
        ({"database": "x.yaml"}, "database"),
        ({"database": "scenario.yaml/x.db"}, "database"),
        ({"directory": "scenario.yaml"}, "directory"),
        ({"directory": "scenario.yaml/below", "database": "x.db"}, "directory"),
        ({"directory": "a\0b"}, "directory"),
        ({"directory": "d" * 300}, "directory"),
    ],
)
def test_a_place_where_no_results_can_be_is_refused_at_its_key(output, key):
    write(output=output)
    assert f"output.{key}: " in refusal()
    assert refusal().startswith("error: x.yaml:")


def test_a_database_that_is_the_observed_day_is_refused():
    write(
        output={"database": "day.parquet"},
        evaluation={"mode": "bootstrap", "num_samples": 4, "observed": "day.parquet"},
    )
    Path("day.parquet").write_text("")
    assert "day.parquet would be written over day.parquet, which is read" in refusal()


@pytest.mark.parametrize("name", ["no.parquet", "a\0b", "."])
def test_an_observed_day_that_is_not_there_is_told_at_its_key(name):
    write(evaluation={"mode": "bootstrap", "num_samples": 4, "observed": name})
    assert "evaluation.observed: " in refusal()
    assert ("is a directory" if name == "." else "no such file") in refusal()


@pytest.mark.parametrize("name", [".", "a\0b"])
def test_a_scenario_that_is_no_file_is_told_at_its_key(name):
    write(scenario=name)
    assert "x.yaml:2: scenario: " in refusal()


def test_validate_notes_that_a_run_ends_before_it_could_converge():
    write(convergence={"max_iterations": 2, "stability_window": 5})
    code, message = experiment("validate", "x.yaml")
    assert code == 0
    assert "convergence.max_iterations: 2 iterations are fewer than the stability_window of 5" in message


def test_resume_takes_latest_and_the_start_of_an_id_as_other_commands_do():
    write(convergence={"max_iterations": 1, "stability_window": 1}, evaluation={"nash_gap": "off"})
    assert experiment("run", "x.yaml")[0] == 0
    for name in ("latest", "x-"):
        code, message = experiment("run", "x.yaml", "--resume", name)
        assert code == 1
        assert "completed" in message
        assert "run latest" not in message
    code, message = experiment("run", "x.yaml", "--resume", "nobody")
    assert code == 2
    assert "kept in" not in message
