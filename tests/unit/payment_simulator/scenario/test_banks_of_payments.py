"""The banks of a scenario out of a file of payments, and what a level and defaults give them."""

from pathlib import Path

import pytest

from labledger.errors import ConfigError
from payment_simulator import draw_arrivals, load_scenario, simulate
from payment_simulator.policy.policies import policies_of
from payment_simulator.scenario.loader import read_scenario

DAY = """time,sender,receiver,amount
07:00:10,DEUT,CHAS.US,100.00
08:00:00,CHAS.US,Bank of X,60.50
09:30:00,Bank of X,DEUT,20.25
09:31:00,001,DEUT,1.00
"""
CLOCK = "payments: {file: day.csv, clock: {open: '07:00', close: '18:00', tick: 30m}}\n"
BANKS = ["001", "Bank of X", "CHAS.US", "DEUT"]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that reads a scenario of the day's payments, with this text."""
    monkeypatch.chdir(tmp_path)
    day = "\n".join(f"2026-03-02 {line}" if line[0].isdigit() else line for line in DAY.splitlines())
    Path("day.csv").write_text(day)

    def write(text, *changes, read=load_scenario):
        Path("s.yaml").write_text(CLOCK + text)
        return read(Path("s.yaml"), changes)

    return write


def fields(scenario, name):
    return {agent.id: getattr(agent, name) for agent in scenario.agents}


def test_each_name_in_the_payments_is_a_bank_whatever_its_letters(write):
    scenario = write("agents: from_payments\nagent_defaults: {unsecured_cap: 20000}")
    assert scenario.agent_ids == BANKS
    assert set(fields(scenario, "unsecured_cap").values()) == {20000}
    assert scenario.simulation.ticks == 22
    assert simulate(scenario, draw_arrivals(scenario), engine="reference").settled.sum() == 4


def test_a_list_may_have_more_to_say_of_some_banks_and_leave_the_others_to_the_payments(write):
    scenario = write(
        "agent_defaults: {unsecured_cap: 5, arrival_config: {rate_per_tick: 1, deadline_range: [1, 1],"
        " amount_distribution: {type: Exponential, mean: 5}}}\n"
        "agents: [{id: DEUT, unsecured_cap: 7, arrival_bands: {}}, from_payments, {id: IDLE}]"
    )
    assert fields(scenario, "unsecured_cap") == {**dict.fromkeys([*BANKS, "IDLE"], 5), "DEUT": 7}
    assert [agent.id for agent in scenario.agents if agent.arrival_config is None] == ["DEUT"]


def test_a_bank_leaves_its_own_weight_in_the_defaults_out(write):
    arrivals = "rate_per_tick: 1, deadline_range: [1, 1], amount_distribution: {type: Exponential, mean: 5}"
    weights = "{DEUT: 1, CHAS.US: 2}"
    scenario = write(
        f"agents: from_payments\nagent_defaults: {{arrival_config: {{{arrivals}, counterparty_weights: {weights}}}}}"
    )
    found = {agent.id: agent.arrival_config.counterparty_weights for agent in scenario.agents}
    both = {bank: {"DEUT": 1, "CHAS.US": 2} for bank in BANKS}
    assert found == {**both, "DEUT": {"CHAS.US": 2}, "CHAS.US": {"DEUT": 1}}


def test_a_bank_of_the_payments_is_set_by_its_id_and_so_are_the_defaults(write):
    text = "agents: from_payments\nagent_defaults: {unsecured_cap: 5}"
    changes = ("agents.CHAS.US.unsecured_cap=1", "agents.Bank of X.policy.type=Fifo", "agent_defaults.unsecured_cap=2")
    scenario = write(text, *changes, "agents.001.unsecured_cap=3")
    assert fields(scenario, "unsecured_cap") == {"001": 3, "Bank of X": 2, "CHAS.US": 1, "DEUT": 2}
    assert fields(scenario, "policy")["Bank of X"] == {"type": "Fifo"}


def test_defaults_hold_without_a_file_of_payments_too(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text(
        "simulation: {ticks_per_day: 2}\nagent_defaults: {opening_balance: 4}\n"
        "agents: [{id: A}, {id: B, opening_balance: 0}]"
    )
    assert fields(load_scenario(file), "opening_balance") == {"A": 4, "B": 0}


@pytest.mark.parametrize(
    ("text", "changes", "said"),
    [
        (
            "agents: from_payments\nagent_defaults:\n  unsecured_cap: -1",
            [],
            "s.yaml:4: agent_defaults.unsecured_cap: should be greater than or equal to 0, found -1",
        ),
        (
            "agents: from_payments\nagent_defaults: {unsecured_capp: 1}",
            [],
            "s.yaml:3: agent_defaults.unsecured_capp: unknown key (did you mean unsecured_cap?)",
        ),
        (
            "agents: from_payments\nagent_defaults:\n  policy: {type: Fiffo}",
            [],
            "s.yaml:4: agent_defaults: policy.type: unknown policy 'Fiffo' (did you mean Fifo?)",
        ),
        (
            "agents: from_payments",
            ["agents.CHASUS.unsecured_cap=1"],
            "--set agents.CHASUS.unsecured_cap: unknown bank 'CHASUS' (did you mean CHAS.US?)",
        ),
        (
            "agents: from_payments",
            ["agents.DEUT.unsecured_cap=-1"],
            "--set agents.DEUT.unsecured_cap: should be greater than or equal to 0, found -1",
        ),
        (
            "agents: from_payments\nsimulation:\n  ticks_per_day: 12",
            [],
            "s.yaml:1: payments.clock: it has 22 ticks, simulation.ticks_per_day is 12",
        ),
        (
            "agents: from_payments",
            ["agents.DEUT.unsecured_cap=1", "payments.clock.tik=5m"],
            "--set payments.clock.tik: unknown key (did you mean tick?)",
        ),
        (
            "agents: from_payments\nbalances: {level: 0.5}\nagent_defaults: {opening_balance: 5}",
            [],
            "s.yaml:3: balances.level: agent_defaults has an opening_balance too; leave one of them out",
        ),
        ("agents: from_payments", ["balances.level=-1"], "--set balances.level: should be greater than or equal to 0"),
    ],
)
def test_what_is_wrong_with_banks_of_payments_is_told_once_and_where_it_stands(write, text, changes, said):
    with pytest.raises(ConfigError) as refused:
        policies_of(write(text, *changes, read=read_scenario))
    found = str(refused.value)
    assert found.startswith(said), found
    assert len(found.splitlines()) == 1


def test_the_banks_that_a_list_lacks_are_named_with_their_rows_and_what_may_be_meant(write):
    with pytest.raises(ConfigError) as refused:
        write("agents: [{id: DEUT}, {id: CHASUS}, {id: '001'}]")
    lines = str(refused.value).splitlines()
    assert lines[0] == 'day.csv:2: receiver: "CHAS.US" is not among the agents (did you mean CHASUS?)'
    assert "banks that are not among the agents: Bank of X, CHAS.US (4 times); name them there, put" in lines[-1]


def test_banks_cannot_be_those_of_payments_where_there_are_none(tmp_path):
    file = tmp_path / "s.yaml"
    for agents in ("from_payments", "[{id: A}, from_payments]"):
        file.write_text(f"simulation: {{ticks_per_day: 2}}\nagents: {agents}")
        with pytest.raises(ConfigError, match=r"s\.yaml:2: agents: from_payments: there are none; say payments: "):
            load_scenario(file)
    file.write_text("simulation: {ticks_per_day: 2}\nagents: [{id: A}]\nbalances: {level: 1}")
    with pytest.raises(
        ConfigError, match=r"s\.yaml:3: balances\.level: is a share of what payments need, and none are"
    ):
        load_scenario(file)


def test_a_level_is_a_share_of_the_way_from_the_lower_bound_to_the_upper(write):
    # DEUT sends 100, then receives 20.25 and 1: bounds 78.75 and 100. CHAS.US receives first: bounds 0 and 0.
    # Bank of X receives first: 0 and 0. 001 sends 1: 1 and 1.
    for level, deut in (("0", 7875), ("0.5", 8938), ("1", 10000), ("0.3", 8513), ("2", 12125)):
        opening = fields(write("agents: from_payments", f"balances.level={level}"), "opening_balance")
        assert opening == {"DEUT": deut, "CHAS.US": 0, "Bank of X": 0, "001": 100}
    own = write("agents: [from_payments, {id: DEUT, opening_balance: 3}]\nbalances: {level: 1}")
    assert fields(own, "opening_balance")["DEUT"] == 3


def test_of_several_days_a_level_is_between_the_largest_bounds(write):
    # The bounds of DEUT are 60 and 100 on the first day, 70 and 70 on the second.
    days = ("02 07:00,DEUT,CHAS.US,100", "02 08:00,CHAS.US,DEUT,40", "03 07:00,DEUT,CHAS.US,70")
    Path("day.csv").write_text("time,sender,receiver,amount\n" + "".join(f"2026-03-{line}\n" for line in days))
    for level, cents in (("0", 7000), ("0.5", 8500), ("1", 10000)):
        scenario = write("agents: from_payments", f"balances.level={level}")
        assert fields(scenario, "opening_balance") == {"CHAS.US": 0, "DEUT": cents}


def test_at_the_upper_bound_no_payment_waits_and_below_the_lower_one_not_all_settle(write):
    at_most = write("agents: from_payments\nbalances: {level: 1}")
    assert simulate(at_most, draw_arrivals(at_most), engine="reference").delay_ticks.sum() == 0
    at_least = write("agents: from_payments\nbalances: {level: 0}", "agents.DEUT.opening_balance=7874")
    assert simulate(at_least, draw_arrivals(at_least), engine="reference").settled.sum() < 4
