"""Every problem of a file is told at once, and none that only follows from another."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.errors import ConfigError, problems_in
from payment_simulator import load_scenario
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
        {**PAY, "schedule": ONCE},
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
    ("scenario_events", 5, "schedule"): {"type": "OneTime", "tick": 77},
    ("scenario_events", 6, "deadline"): -1,
    ("scenario_events", 6, "to_agent"): "A",
    ("scenario_events", 6, "schedule"): {"type": "Repeating", "start_tick": 99, "interval": 1},
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


@pytest.fixture(scope="module")
def alone(problems):
    """The one problem of each fault by itself."""
    found = {place: problems(wrong(place)) for place in FAULTS}
    assert [len(each) for each in found.values()] == [1] * len(FAULTS)
    return found


def test_faults_of_every_kind_are_told_together_and_nothing_else(problems, alone):
    assert problems(wrong(*FAULTS)) == set().union(*alone.values())


@examples(40)
@given(places=st.sets(st.sampled_from(sorted(FAULTS, key=str)), min_size=1))
def test_any_faults_together_are_told_as_each_is_alone(problems, alone, places):
    assert problems(wrong(*places)) == set().union(*(alone[place] for place in places))


@pytest.mark.parametrize("place", [("simulation", "num_days"), ("simulation", "ticks_per_day")])
def test_where_the_length_is_wrong_no_event_is_said_to_be_past_it(problems, place):
    data = wrong(
        ("scenario_events", 4, "schedule"),
        ("agents", 3, "arrival_config", "profile"),
        ("lsm_config", "max_cycle_length"),
    )
    data["simulation"][place[1]] = "3"
    assert sorted(line.partition(":")[0] for line in problems(data)) == ["lsm_config.max_cycle_length", ".".join(place)]


@pytest.mark.parametrize("agents", [[], "A", {"id": "A"}, None, [1, {"id": "B"}], [{}, {"id": "B"}]])
def test_where_banks_or_an_id_are_wrong_no_name_is_said_to_be_unknown_and_the_rest_is_told(problems, agents):
    late = {**PAY, "schedule": {"type": "OneTime", "tick": 99}}
    events = [PAY | {"schedule": ONCE}, late, OUT, {**OUT, "agent": 5}, OUT]
    told = problems({"simulation": {"ticks_per_day": 10}, "agents": agents, "scenario_events": events})
    places = sorted(line.partition(":")[0] for line in told)
    assert places[0].startswith("agents")
    assert places[1:] == ["scenario_events.1.schedule", "scenario_events.3.agent", "scenario_events.4.start_tick"]


def test_defaults_that_are_wrong_are_told_once_with_what_they_do_to_banks(problems):
    late = {**PAY, "schedule": {"type": "OneTime", "tick": 99}}
    arrivals = {**ARRIVALS, "deadline_range": [3, 1], "profile": [1, -1], "counterparty_weights": {"Q": 1}}
    defaults = {"unsecured_cap": -1, "colour": 1, "arrival_config": arrivals}
    agents = [{"id": "A"}, {"id": "B", "unsecured_cap": 4}]
    told = problems(
        {"simulation": {"ticks_per_day": 10}, "agents": agents, "agent_defaults": defaults, "scenario_events": [late]}
    )
    assert sorted(line.partition(":")[0] for line in told) == [
        "agent_defaults.arrival_config.counterparty_weights.Q",
        "agent_defaults.arrival_config.deadline_range",
        "agent_defaults.arrival_config.profile.1",
        "agent_defaults.colour",
        "agent_defaults.unsecured_cap",
        "scenario_events.0.schedule",
    ]


def test_what_an_alias_repeats_is_told_where_it_stands(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "simulation: {ticks_per_day: 10}\n"
        "agents:\n"
        "- {id: A, arrival_config: &a {rate_per_tick: -1, amount_distribution: {type: Uniform, min: 1, max: 3}, "
        "deadline_range: [3, 1], profile: &p [1, -1]}}\n"
        "- {id: B, arrival_config: *a}\n"
    )
    with pytest.raises(ConfigError) as raised:
        load_scenario(path)
    told = sorted(line.rpartition("arrival_config.")[2].partition(":")[0] for line in problems_in(raised.value))
    assert told == ["deadline_range"] * 2 + ["profile.1"] * 2 + ["rate_per_tick"] * 2


@pytest.mark.parametrize("wrong_key", ["", "payments", "balances", "simulation", "agents"])
def test_files_that_are_missing_are_told_beside_all_else(tmp_path, wrong_key):
    data = {
        "simulation": {"ticks_per_day": 10},
        "agents": [
            {"id": "A", "opening_balance": -1},
            {"id": "B", "policy": {"type": "FromJson", "json_path": "p.json"}},
        ],
        "payments": {"file": "day.csv"},
        "balances": {"file": "funds.csv"},
    }
    if wrong_key == "agents":
        data["agents"].append({})
    elif wrong_key:
        data[wrong_key]["colour"] = "red"
    (path := tmp_path / "s.yaml").write_text(json.dumps(data))
    with pytest.raises(ConfigError) as raised:
        load_scenario(path)
    told = problems_in(raised.value)
    assert all(line.startswith(f"{path}:1: ") for line in told)
    for name in ("day.csv", "funds.csv", "p.json"):
        assert sum(f" {name}: no such file" in line for line in told) == 1
    assert sum("opening_balance" in line for line in told) == 1
    assert len(told) == 4 + bool(wrong_key)


def test_changes_that_have_no_place_are_told_beside_all_else(tmp_path):
    (path := tmp_path / "s.yaml").write_text(json.dumps(wrong(("agents", 0, "opening_balance"), ("colour",))))
    with pytest.raises(ConfigError) as raised:
        load_scenario(path, ["agents.Q.unsecured_cap=5", "simulation.num_days.x=1", "lsm_config.max_cycle_length=9"])
    told = [line.removeprefix(f"{path}:1: ").partition(": ")[0] for line in problems_in(raised.value)]
    assert sorted(told) == [
        "--set agents.Q.unsecured_cap",
        "--set lsm_config.max_cycle_length",
        "--set simulation.num_days.x",
        "agents.A.opening_balance",
        "colour",
    ]


@pytest.mark.parametrize("agents", [[{"id": "A", "opening_balance": -1}, {"id": "B"}], ["from_payments"]])
@pytest.mark.parametrize("rows", ["0,A,B,5", "0,A,B,x"])
@pytest.mark.parametrize("funds", ["A,5", "A,x"])
def test_rows_of_files_that_are_wrong_hide_nothing_else(tmp_path, agents, rows, funds):
    (tmp_path / "day.csv").write_text(f"tick,sender,receiver,amount\n{rows}\n3,B,A,4\n")
    (tmp_path / "funds.csv").write_text(f"id,unsecured_cap\n{funds}\n")
    late = {**PAY, "schedule": {"type": "OneTime", "tick": 99}}
    data = {"simulation": {"ticks_per_day": 10}, "agents": agents, "scenario_events": [late, {**PAY, "schedule": ONCE}]}
    rest = {"payments": {"file": "day.csv"}, "balances": "funds.csv", "lsm_config": {"max_cycle_length": 9}}
    (path := tmp_path / "s.yaml").write_text(json.dumps(data | rest))
    with pytest.raises(ConfigError) as raised:
        load_scenario(path)
    told = {line.removeprefix(f"{path}:1: ").removeprefix(f"{tmp_path}/") for line in problems_in(raised.value)}
    expected = {"lsm_config.max_cycle_length", "scenario_events.0.schedule"}
    expected |= {"agents.A.opening_balance"} if len(agents) > 1 else set()
    expected |= {"day.csv:2"} if "x" in rows else set()
    # Without their payments there is no bank that funds could be of.
    expected |= {"funds.csv:2"} if "x" in funds and (len(agents) > 1 or "x" not in rows) else set()
    assert {line.partition(": ")[0] for line in told} == expected
