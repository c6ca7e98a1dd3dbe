"""What a scenario may mean otherwise is told as a warning, once in each command that reads it; nothing is refused."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from labledger.notices import NOTICES
from payment_simulator import Scenario
from payment_simulator.cli.main import app

DAY = "time,sender,receiver,amount\n1,BANK_A,BANK_B,100.00\n2,BANK_B,BANK_C,60.50\n"
DRAWING = "rate_per_tick: 1, deadline_range: [1, 1], amount_distribution: {type: Exponential, mean: 5}"
WEIGHTS = "{OWN: 1, BANK_A: 1}"
SCENARIO = f"""payments: {{file: day.csv}}
simulation: {{ticks_per_day: 5}}
agents:
- {{id: BANKA}}
- {{id: BANK_B, arrival_config: {{{DRAWING}, counterparty_weights: {{BANK_C: 1}}}}}}
- from_payments
agent_defaults: {{opening_balance: 20000}}
priority_mode: true
"""
EXPERIMENT = "name: e\nscenario: s.yaml\nconvergence: {max_iterations: 1}\nproposer: search\n"
COMMANDS = (
    *("validate s.yaml", "run s.yaml", "run s.yaml --samples 2", "stress s.yaml --outage BANK_A"),
    "sweep s.yaml --set agents.BANK_A.opening_balance=100,200 --bank BANK_A",
    *("validate e.yaml", "experiment validate e.yaml", "experiment run e.yaml", "export s.yaml -o all.csv"),
)


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Return a function that gives the warnings of a command on this scenario."""
    monkeypatch.chdir(tmp_path)
    Path("day.csv").write_text(DAY)
    Path("e.yaml").write_text(EXPERIMENT)

    def told(scenario=SCENARIO, command="validate s.yaml"):
        Path("s.yaml").write_text(scenario)
        result = CliRunner().invoke(app, command.split())
        assert result.exit_code == 0, result.output
        return result.stderr.replace("\n", " ").split("warning: ")[1:]

    return told


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_that_reads_a_scenario_remarks_on_idle_banks_and_foreign_keys_once(told, command):
    found = [each for each in told(command=command) if each.startswith("s.yaml")]
    assert len(found) == 2
    assert found[0].startswith("s.yaml:8: priority_mode: a key of SimCash's files")
    assert found[1].startswith("s.yaml:4: agents.0: 'BANKA' is in no payment (did you mean BANK_A?)")


def test_several_banks_in_no_payment_are_told_in_a_line(told):
    (found,) = told(
        "payments: {file: day.csv}\nsimulation: {ticks_per_day: 5}\n"
        "agents: [{id: BANK_A, opening_balance: 9}, {id: bank_b}, from_payments, {id: Elsewhere}]\n"
    )
    assert "s.yaml:3: agents.1: 2 banks are in no payment: 'bank_b' (did you mean BANK_B?), 'Elsewhere'" in found


@pytest.mark.parametrize(
    ("bank", "further"),
    [
        (f"{{id: OWN, arrival_config: {{{DRAWING}}}}}", ""),
        ("{id: OWN}", f"agent_defaults: {{arrival_config: {{{DRAWING}, counterparty_weights: {WEIGHTS}}}}}"),
        ("{id: OWN}", "scenario_events: [{type: DirectTransfer, from_agent: BANK_A, to_agent: OWN, amount: 1, "
         "schedule: {type: OneTime, tick: 1}}]"),
    ],
)  # fmt: skip
def test_nothing_is_said_of_a_bank_that_draws_is_drawn_or_takes_part_in_an_event(told, bank, further):
    head = "payments: {file: day.csv}\nsimulation: {ticks_per_day: 5}\n"
    assert "no payment" not in str(told(f"{head}agents: [{bank}, from_payments]\n{further}\n"))
    alone = f"{head}agents: [{{id: OWN, opening_balance: 9}}, from_payments]\n"
    assert "'OWN' is in no payment" in str(told(alone))


def test_a_bank_that_the_balances_name_is_told_with_them_alone(told):
    Path("balances.csv").write_text("bank,opening_balance\nBANK_A,10\nZZ,5\n")
    text = "payments: {file: day.csv}\nsimulation: {ticks_per_day: 5}\nbalances: balances.csv\n"
    assert not told(f"{text}agents: [{{id: ZZ, unsecured_cap: 1}}, from_payments]\n")


def test_validate_warns_as_run_does_of_what_can_be_seen_not_to_settle(told):
    text = "payments: {file: day.csv}\nsimulation: {ticks_per_day: 5}\nagents: from_payments\n"
    assert told(text) == told(text, "run s.yaml")
    assert told(text)[0].startswith("no bank has an opening balance, a pool, credit or collateral: nothing can settle")


def test_many_samples_of_nothing_that_is_drawn_are_refused_by_the_option_that_asks_for_them(told):
    Path("n.yaml").write_text("payments: {file: day.csv}\nsimulation: {ticks_per_day: 5}\nagents: from_payments\n")
    for command, option in (("run n.yaml --samples 2", "samples"), ("stress n.yaml --seeds 1,2", "seeds")):
        result = CliRunner().invoke(app, command.split())
        said = (
            f"error: --{option}: nothing is drawn in this scenario, so that all {option} give the same; leave them out"
        )
        assert said in result.stderr.replace("\n", " ")


def test_a_scenario_of_a_table_remarks_on_its_idle_banks_too(monkeypatch):
    told = []
    monkeypatch.setattr(NOTICES, "handle", lambda record: told.append(record.getMessage()))
    table = {"time": [1], "sender": ["BANK_A"], "receiver": ["BANK_B"], "amount": [5]}
    agents = [{"id": "BANKA"}, "from_payments"]
    Scenario.from_payments(table, agents=agents, simulation={"ticks_per_day": 5})
    assert told == ["agents.0: 'BANKA' is in no payment (did you mean BANK_A?)"]
