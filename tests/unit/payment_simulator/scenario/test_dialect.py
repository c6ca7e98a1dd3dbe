"""The dialect of another simulator's files: what it sets, what it leaves, and who is told of it."""

import json
import math

import pytest
from typer.testing import CliRunner

from labledger.errors import ConfigError
from payment_simulator import Scenario, draw_arrivals, load_scenario
from payment_simulator.cli.main import app

BANKS = "agents:\n  - {id: A, opening_balance: 1000}\n  - {id: B}\n"
HEAD = "simulation: {ticks_per_day: 4}\n"
AMOUNTS = "{rate_per_tick: 5, deadline_range: [1, 2], amount_distribution: {type: LogNormal, mean: 10.5, std_dev: 0.9}}"
SENDER = f"{HEAD}agents:\n  - id: A\n    arrival_config: {AMOUNTS}\n  - {{id: B}}\n"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Return a function that writes a scenario, and runs a command on it."""
    monkeypatch.chdir(tmp_path)

    def run(text, *options, command="run"):
        (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
        return CliRunner().invoke(app, [command, "s.yaml", *options])

    return run


def read(text, tmp_path, *changes):
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return load_scenario(path, changes)


def test_the_dialect_sets_what_a_file_is_silent_about(tmp_path):
    found = read(f"dialect: simcash\n{HEAD}{BANKS}", tmp_path)
    rates = found.cost_rates
    assert (rates.overdraft_bps_per_tick, rates.delay_cost_per_tick_per_cent) == (0.001, 0.0001)
    assert (rates.collateral_cost_per_tick_bps, rates.overdue_delay_multiplier) == (0.0002, 5)
    assert (rates.deadline_penalty, rates.eod_penalty_per_transaction) == (50_000, 10_000)
    assert (rates.split_friction_cost, rates.eod_penalty_scope) == (1_000, "overdue")
    assert (found.lsm_config.enable_bilateral, found.lsm_config.enable_cycles) == (True, True)
    assert found.queue2_passes == "once"


def test_what_a_file_says_holds_whatever_its_dialect(tmp_path):
    costs = "cost_rates: {deadline_penalty: 7, eod_penalty: 9, eod_penalty_scope: unsettled}\n"
    text = f"{HEAD}{BANKS}{costs}lsm_config: {{enable_cycles: false}}\nqueue2_passes: until_nothing_fits\n"
    found = read(text, tmp_path, "dialect=simcash")
    assert (found.cost_rates.deadline_penalty, found.cost_rates.eod_penalty_per_transaction) == (7, 9)
    assert (found.cost_rates.eod_penalty_scope, found.queue2_passes) == ("unsettled", "until_nothing_fits")
    assert (found.lsm_config.enable_bilateral, found.lsm_config.enable_cycles) == (True, False)
    assert found.cost_rates.split_friction_cost == 1_000


def test_without_a_dialect_nothing_is_set(tmp_path):
    plain = read(f"{HEAD}{BANKS}", tmp_path)
    assert plain.cost_rates.deadline_penalty == plain.cost_rates.split_friction_cost == 0
    assert (plain.cost_rates.eod_penalty_scope, plain.queue2_passes) == ("unsettled", "until_nothing_fits")
    assert not plain.lsm_config.enable_bilateral


def test_a_scenario_with_a_dialect_is_the_same_once_it_was_kept(tmp_path):
    found = read(f"dialect: simcash\n{SENDER}", tmp_path)
    assert Scenario.model_validate(found.model_dump(mode="json")) == found


def test_in_the_dialect_mean_and_deviation_of_log_normal_amounts_are_of_their_logarithm(tmp_path):
    by_dialect = draw_arrivals(read(f"dialect: simcash\n{SENDER}", tmp_path))
    by_name = draw_arrivals(read(SENDER.replace("mean", "mu").replace("std_dev", "sigma"), tmp_path))
    assert by_dialect.amount.tolist() == by_name.amount.tolist()
    assert math.exp(10.5 - 3 * 0.9) < by_name.amount.min() < by_name.amount.max() < math.exp(10.5 + 3 * 0.9)


def test_agent_defaults_and_bands_are_read_in_the_dialect_too(tmp_path):
    defaults = f"{HEAD}agent_defaults: {{arrival_bands: {{urgent: {AMOUNTS}}}}}\nagents: [{{id: A}}, {{id: B}}]\n"
    found = read(defaults, tmp_path, "dialect=simcash")
    for agent in found.agents:
        assert (agent.arrival_bands.urgent.amount_distribution.mu) == 10.5


@pytest.mark.parametrize(
    ("amounts", "problem"),
    [
        ("mean: 10", "std_dev: give mean and std_dev"),
        ("sigma: 1", "mu: give mean and std_dev"),
        ("mean: 10, std_dev: 1, mu: 3", "give mean and std_dev, of the amounts, or mu and sigma"),
        ("mu: 3, sigma: 11", "sigma: should be less than or equal to 10"),
    ],
)
def test_log_normal_amounts_have_one_scale_and_all_of_it(tmp_path, amounts, problem):
    with pytest.raises(ConfigError, match=problem):
        read(SENDER.replace("mean: 10.5, std_dev: 0.9", amounts), tmp_path)


def test_log_normal_amounts_in_cents_are_refused_in_the_dialect_with_what_they_mean_there(tmp_path):
    with pytest.raises(ConfigError, match=r"s.yaml:4: agents.A.*\.mean: 10000 is over 40: with dialect: simcash it is"):
        read(SENDER.replace("mean: 10.5", "mean: 10000"), tmp_path, "dialect=simcash")


def test_escalation_begins_by_either_name_of_its_first_tick(tmp_path):
    found = read(f"{HEAD}{BANKS}priority_escalation: {{threshold_ticks: 7}}\n", tmp_path)
    assert found.priority_escalation.start_escalating_at_ticks == 7


def test_a_rate_by_its_two_names_at_once_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="eod_penalty: is another name of eod_penalty_per_transaction"):
        read(f"{HEAD}{BANKS}cost_rates: {{eod_penalty: 1, eod_penalty_per_transaction: 2}}\n", tmp_path)


def test_a_mean_that_only_a_logarithm_has_is_told_with_its_line_and_what_to_write(written):
    told = " ".join(written(SENDER).output.split())
    where = "warning: s.yaml:4: agents.A.arrival_config.amount_distribution.mean: 10.5 is the mean of the amounts"
    assert where in told
    assert "write mu and sigma, or write dialect: simcash (or --dialect simcash)" in told


def test_a_key_that_only_the_other_simulator_has_is_told_once_and_not_where_a_dialect_is_named(written):
    text = f"{HEAD}{BANKS}priority_mode: true\ncost_rates: {{eod_penalty: 5}}\n"
    told = " ".join(written(text).output.split())
    assert "warning: s.yaml:5: priority_mode: a key of SimCash's files" in told
    assert told.count("warning: s.yaml") == 1
    for other in (written(f"dialect: null\n{text}"), written(text, "--dialect", "simcash")):
        assert "SimCash" not in other.output


def test_the_result_says_which_dialect_was_read(written):
    assert "dialect simcash" in written(f"{HEAD}{BANKS}", "--dialect", "simcash").output
    assert json.loads(written(f"{HEAD}{BANKS}", "--dialect", "simcash", "--json").stdout)["dialect"] == "simcash"
    assert "dialect" not in json.loads(written(f"{HEAD}{BANKS}", "--json").stdout)


def test_a_kept_day_has_the_dialect_in_its_scenario_and_its_report(written, tmp_path):
    assert written(f"{HEAD}{BANKS}", "--dialect", "simcash", "-o", "day").exit_code == 0
    kept = json.loads((tmp_path / "day" / "outcome.json").read_text())
    assert kept["scenario"]["dialect"] == kept["report"]["dialect"] == "simcash"
    assert "dialect simcash" in CliRunner().invoke(app, ["show", "day"]).output


def test_a_dialect_that_is_none_is_refused_with_the_nearest(written):
    found = written(f"{HEAD}{BANKS}", "--dialect", "simcsh")
    assert found.exit_code == 2
    assert "dialect: should be 'simcash', found 'simcsh' (did you mean simcash?)" in found.output


def test_validate_reads_a_file_in_a_dialect(written):
    assert "a scenario: 2 banks" in written(SENDER, "--dialect", "simcash", command="validate").output


def test_a_sweep_in_a_dialect_has_it_in_every_row(written):
    options = ("--set", "cost_rates.deadline_penalty=1,2", "--dialect", "simcash", "--seeds", "1", "-j", "1", "--json")
    found = json.loads(written(f"{HEAD}{BANKS}", *options, command="sweep").stdout)
    assert found["settings"]["dialect"] == ["simcash"]
    assert {row["dialect"] for row in found["rows"]} == {"simcash"}
