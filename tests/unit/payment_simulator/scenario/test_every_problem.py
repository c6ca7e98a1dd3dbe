"""Every problem of a file is told at once, and none that only follows from another."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.errors import ConfigError, problems_in
from payment_simulator import load_scenario
from payment_simulator.experiments.config import ExperimentConfig
from properties import examples

ARRIVALS = {
    "rate_per_tick": 1,
    "amount_distribution": {"type": "Uniform", "min": 1, "max": 3},
    "deadline_range": [2, 4],
    "counterparty_weights": {"B": 1},
}
ONCE = {"type": "OneTime", "tick": 2}
OUT = {"type": "Outage", "agent": "C", "start_tick": 1, "end_tick": 3}
PAY = {"type": "CustomTransactionArrival", "from_agent": "A", "to_agent": "B", "amount": 5, "deadline": 3}
RIGHT = {
    "simulation": {"ticks_per_day": 10, "num_days": 2},
    "agents": [
        {"id": "A", "arrival_config": ARRIVALS},
        {"id": "B", "opening_balance": 5},
        {"id": "C", "arrival_config": {**ARRIVALS, "profile": [1, 2]}},
        {"id": "D", "arrival_config": {**ARRIVALS, "profile": [1, 2]}},
    ],
    "scenario_events": [
        {**OUT, "agent": "A"},
        OUT,
        {**OUT, "start_tick": 5, "end_tick": 6},
        {**PAY, "schedule": ONCE},
        {**PAY, "schedule": ONCE},
        {"type": "CreditLimitChange", "agent": "B", "unsecured_cap": 4, "schedule": ONCE},
    ],
    "cost_rates": {"overdraft_bps_per_tick": 1, "deadline_penalty": {"mode": "rate", "bps_per_event": 2}},
    "lsm_config": {"max_cycle_length": 4},
}
FAULTS = {
    ("agents", 0, "opening_balance"): -5,
    ("agents", 0, "arrival_config", "amount_distribution", "max"): 0.5,
    ("agents", 0, "arrival_config", "deadline_range"): [4, 2],
    ("agents", 0, "arrival_config", "counterparty_weights", "X"): 1,
    ("agents", 0, "arrival_bands"): {"urgent": ARRIVALS},
    ("agents", 1, "unsecured_cap"): 1.5,
    ("agents", 1, "colateral_haircut"): 0.5,
    ("agents", 2, "arrival_config", "rate_per_tick"): -1,
    ("agents", 3, "arrival_config", "profile"): [1] * 11,
    ("scenario_events", 0, "end_tick"): 0,
    ("scenario_events", 2, "start_tick"): 3,
    ("scenario_events", 3, "amount"): 0,
    ("scenario_events", 3, "to_agent"): "Z",
    ("scenario_events", 4, "schedule"): {"type": "OneTime", "tick": 200},
    ("scenario_events", 5, "unsecured_cap"): "x",
    ("cost_rates", "overdraft_bps_per_tick"): -1,
    ("cost_rates", "deadline_penalty"): {"mode": "rate"},
    ("lsm_config", "max_cycle_length"): 9,
    ("outage_response",): {"stop_sending_after": -1},
    ("colour",): "red",
}


def wrong(*places):
    """The scenario with these faults."""
    data = json.loads(json.dumps(RIGHT))  # nothing is shared
    for place in places:
        owner = data
        for part in place[:-1]:
            owner = owner[part]
        owner[place[-1]] = FAULTS[place]
    return data


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    """The problems of a scenario, from its file."""
    path = tmp_path_factory.mktemp("wrong") / "s.yaml"

    def told(data):
        path.write_text(json.dumps(data))
        with pytest.raises(ConfigError) as raised:
            load_scenario(path)
        return {line.removeprefix(f"{path}:1: ") for line in problems_in(raised.value)}

    return told


def test_faults_of_every_kind_are_told_together_and_nothing_else(problems):
    alone = [problems(wrong(place)) for place in FAULTS]
    assert [len(each) for each in alone] == [1] * len(FAULTS)
    assert problems(wrong(*FAULTS)) == set().union(*alone)


@examples(60)
@given(places=st.sets(st.sampled_from(sorted(FAULTS, key=str)), min_size=1))
def test_any_faults_together_are_told_as_each_is_alone(problems, places):
    assert problems(wrong(*places)) == set().union(*(problems(wrong(place)) for place in places))


@pytest.mark.parametrize("place", [("simulation", "num_days"), ("simulation", "ticks_per_day")])
def test_where_the_length_is_wrong_no_event_is_said_to_be_past_it(problems, place):
    data = wrong(
        ("scenario_events", 4, "schedule"),
        ("agents", 3, "arrival_config", "profile"),
        ("lsm_config", "max_cycle_length"),
    )
    data["simulation"][place[1]] = "3"
    assert sorted(line.partition(":")[0] for line in problems(data)) == ["lsm_config.max_cycle_length", ".".join(place)]


def test_where_a_bank_has_no_id_no_name_is_said_to_be_unknown(problems):
    data = wrong(("agents", 0, "opening_balance"), ("scenario_events", 3, "to_agent"))
    data["agents"][1]["id"] = 1
    assert {line.partition(":")[0] for line in problems(data)} == {"agents.A.opening_balance", "agents.1.id"}


def test_the_problems_of_an_experiment_do_not_hide_each_other(tmp_path):
    path = tmp_path / "e.yaml"
    bounds = [{"name": "initial_liquidity_fraction", "min_value": 3, "max_value": 1}]
    wrong_ones = {"convergence": {"max_iterations": 0}, "policy_constraints": {"allowed_parameters": bounds}}
    path.write_text(json.dumps({"name": "e", "scenario": "s.yaml", "llm": {"model": "m", "base_url": 5}, **wrong_ones}))
    with pytest.raises(ConfigError) as raised:
        ExperimentConfig.from_yaml(path)
    told = str(raised.value)
    for part in ("max_iterations", "llm.base_url", "allowed_parameters"):
        assert part in told
