"""`payment-sim calibrate`: recorded days to a scenario, a table and a picture."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from labledger import executor
from payment_simulator import load_scenario
from payment_simulator.calibration import curves
from payment_simulator.calibration.curves import simulated_days
from payment_simulator.cli.main import app
from payment_simulator.scenario.schema import Scenario

CLOCK = ["--clock", "07:00-09:00/10m"]
ROWS = [
    f"2026-01-{day:02} 0{7 + i % 2}:{i % 60:02}:00,{'AB'[i % 2]},{'BA'[i % 2]},{1_000_000 + 37_000 * i}"
    for day in (5, 9)
    for i in range(40)
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["time,sender,receiver,amount,currency", *(f"{row},JPY" for row in ROWS)]
    (tmp_path / "days.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def calibrate(*options):
    return CliRunner().invoke(app, ["calibrate", *options, "--samples", "4"])


def test_days_become_a_scenario_that_runs_a_table_in_their_currency_and_a_picture(folder):
    done = calibrate("days.csv", *CLOCK, "-o", "fit.yaml", "--plot", "fit.svg")
    assert done.exit_code == 0, done.output
    assert "2 real days, 4 drawn (seed 0); money in units of the currency" in done.stdout
    assert "value a day (M)" in done.stdout
    values = sum(1_000_000 + 37_000 * i for i in range(0, 40, 2)) / 1e6
    assert f"{values:,.2f}" in done.stdout
    assert load_scenario(folder / "fit.yaml").simulation.ticks_per_day == 12
    assert "<svg" in (folder / "fit.svg").read_text()


def test_a_calibration_writes_the_same_bytes_again(folder):
    written = []
    for _ in range(2):
        assert calibrate("days.csv", *CLOCK, "-o", "fit.yaml", "--plot", "fit.png").exit_code == 0
        written.append([(folder / f"fit{end}").read_bytes() for end in (".yaml", "_amounts.parquet", ".png")])
    assert written[0] == written[1]


def test_a_scenario_says_the_clock_or_how_many_ticks_a_day_has(folder):
    clock = '{open: "07:00", close: "09:00", tick: 10m}'
    (folder / "s.yaml").write_text(f"payments: {{file: days.csv, clock: {clock}}}\nagents: from_payments\n")
    done = [calibrate(*of, "-o", "fit.yaml", "--json").stdout for of in (["s.yaml"], ["days.csv", *CLOCK])]
    assert json.loads(done[0]) == json.loads(done[1])
    (folder / "t.csv").write_text("time,sender,receiver,amount\n0,A,B,1\n3,B,A,2\n12,A,B,3\n")
    (folder / "t.yaml").write_text(
        "payments: {file: t.csv}\nsimulation: {ticks_per_day: 10, num_days: 2}\nagents: from_payments\n"
    )
    done = calibrate("t.yaml", "-o", "fit.yaml", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["ticks_per_day"] == 10
    assert "how many a day has is not said" in calibrate("t.csv", "-o", "fit.yaml").output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["days.csv"], "no clock makes them ticks; say --clock 07:00-09:00/60s"),
        (["days.csv", "--clock", "07:00-09:00/7m"], "--clock: payments.clock.tick: '7m' does not divide the day"),
        (["days.csv", "--clock", "09:00-07:00/5m"], "--clock: payments.clock.close"),
        (["days.csv", "--clock", "7 to 9"], "--clock: '7 to 9' is not HH:MM-HH:MM/TICK"),
        (["days.csv", *CLOCK, "--set", "clock.tick=1x"], "--set clock.tick: payments.clock.tick"),
        (["days.csv", *CLOCK, "--set", "columns.tim=x"], "--set columns.tim: unknown key"),
        (["days.csv", *CLOCK, "--set", "currency=EUR"], "--set currency: payments.currency: EUR"),
        (["days.csv", *CLOCK, "--plot", "fit.yaml"], "--plot: fit.yaml is neither .png nor .svg"),
        (["days.csv", *CLOCK, "--on", "mars"], "no such place"),
        (["fit.yaml"], "--output: fit.yaml would be written over fit.yaml"),
        (["fit_amounts.parquet", *CLOCK], "fit_amounts.parquet would be written over fit_amounts.parquet"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_where_it_stands_and_writes_nothing(folder, options, told):
    for name in ("fit.yaml", "fit_amounts.parquet"):
        (folder / name).write_text("mine")
    done = calibrate(*options, "-o", "fit.yaml")
    assert done.exit_code == 2
    assert told in done.output
    assert "Traceback" not in done.output
    assert (folder / "fit.yaml").read_text() == (folder / "fit_amounts.parquet").read_text() == "mine"


def scenario():
    bank = {"rate_per_tick": 0.5, "amount_distribution": {"type": "Uniform", "min": 1, "max": 99}}
    bank |= {"deadline_range": [1, 3]}
    agents = [{"id": name, "opening_balance": 100, "arrival_config": bank} for name in "AB"]
    return Scenario.model_validate({"simulation": {"ticks_per_day": 20}, "agents": agents})


class Shown:
    def phase(self, name):
        pass

    def update(self, done, total, detail=""):
        pass

    finish = phase


def equal(one, other):
    return np.array_equal(one.curves, other.curves) and np.array_equal(one.totals, other.totals)


def test_days_are_the_same_in_whatever_parts_they_are_drawn(monkeypatch):
    whole = simulated_days(scenario(), 3, 9, "local", 1, Shown())
    monkeypatch.setattr(curves, "CHUNK_PAYMENTS", 0)
    assert equal(whole, simulated_days(scenario(), 3, 9, "local", 1, Shown()))


@pytest.mark.slow
def test_days_are_the_same_on_several_workers(monkeypatch):
    monkeypatch.setattr(executor, "START_S", 0.0)
    one, two = (simulated_days(scenario(), 3, 9, "local", workers, Shown()) for workers in (1, 2))
    assert equal(one, two)


def test_a_fitted_scenario_keeps_what_was_around_the_payments_and_says_the_times_of_its_ticks(folder):
    clock = '{open: "07:00", close: "09:00", tick: 10m}'
    (folder / "s.yaml").write_text(
        f"payments: {{file: days.csv, clock: {clock}}}\n"
        "agents:\n- {id: A, opening_balance: 77, policy: {type: Deadline, urgency_threshold: 3}}\n"
        "- from_payments\n- {id: C}\n"
        "agent_defaults: {unsecured_cap: 5000, liquidity_pool: 9}\n"
        "cost_rates: {delay_cost_per_tick_per_cent: 0.25}\nlsm_config: {enable_bilateral: true}\n"
        "deferred_crediting: true\ndaily_balances: reset\ncost_rounding: carry\n"
        "outage_response: {stop_sending_after: 2}\n"
        "scenario_events: [{type: Outage, agent: A, start_tick: 13, end_tick: 14}]\n"
    )
    done = calibrate("s.yaml", "-o", "fit.yaml")
    assert done.exit_code == 0, done.output
    before, fitted = load_scenario(folder / "s.yaml"), load_scenario(folder / "fit.yaml")
    kept = {"cost_rates", "lsm_config", "deferred_crediting", "daily_balances", "cost_rounding", "outage_response"}
    assert fitted.model_dump(include=kept) == before.model_dump(include=kept)
    own = {"id", "unsecured_cap", "liquidity_pool", "policy"}
    assert [each.model_dump(include=own) for each in fitted.agents_by_id()] == [
        each.model_dump(include=own) for each in before.agents_by_id()
    ]
    first, second, third = fitted.agents_by_id()
    assert (first.opening_balance, third.opening_balance) == (77, 0)
    assert second.opening_balance > 0
    assert first.arrival_config is not None
    head = (folder / "fit.yaml").read_text().splitlines()[:2]
    assert head[0] == "# Fitted to 2 days of payments: s.yaml"
    assert head[1] == "# A day is from 07:00:00 to 09:00:00: tick 0 begins at 07:00:00, each of 12 takes 600 s"
    words = " ".join(done.stdout.split())  # without the breaks of a narrow terminal
    assert "% of the ticks (a good fit: about 90 %)" in words
    assert "the scenario's own of some (1), at level 0.5 of the others (2)" in words
    assert "KS: the largest difference" in done.stdout
    assert "scenario events left out" in done.stdout
    levels = calibrate("s.yaml", "-o", "fit.yaml", "--level", "1", "--json")
    assert json.loads(levels.stdout)["own_balances"] == 0
    assert load_scenario(folder / "fit.yaml").agents_by_id()[0].opening_balance != 77


def test_one_real_day_is_one_and_the_names_of_files_stay_in_their_comment(folder):
    text = "time,sender,receiver,amount\n2026-01-05 07:00:00,A,B,5\n2026-01-05 08:00:00,B,A,7\n"
    (folder / "a\nagents: x.csv").write_text(text)
    done = calibrate("a\nagents: x.csv", *CLOCK, "-o", "fit.yaml")
    assert done.exit_code == 0, done.output
    assert "1 real day, 4 drawn" in done.stdout
    assert "1 day of payments" in (folder / "fit.yaml").read_text().splitlines()[0]
    assert load_scenario(folder / "fit.yaml").agent_ids == ["A", "B"]
