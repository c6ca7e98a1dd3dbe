"""A sweep: its figures are those of single runs, its draws common, its work kept."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from disks import files_up_to
from payment_sim_files import SMALL

from labledger import executor
from labledger.errors import ConfigError
from labledger.intervals import mean_interval
from payment_simulator import draw_arrivals, load_scenario, simulate
from payment_simulator.sweeps import running
from payment_simulator.sweeps.store import Store, partial_folder
from payment_simulator.sweeps.sweeping import sweep

CAP, BPS = "agents.BANK_A.unsecured_cap", "cost_rates.overdraft_bps_per_tick"
SETTINGS = {CAP: [0, 500], BPS: [1.5, 100]}
DAY = "time,sender,receiver,amount\n{}"


@pytest.fixture
def scenario(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def _outcome(path, cap, bps, seed):
    scenario = load_scenario(path, [f"{CAP}={cap}", f"{BPS}={bps}"])
    return simulate(scenario, draw_arrivals(scenario, seed), record_events=True)


def test_a_cell_is_the_mean_of_the_single_runs_of_its_seeds_and_differences_are_paired(scenario):
    rows = sweep(scenario, SETTINGS, seeds=[3, 4, 5]).to_pylist()

    assert len(rows) == 4 * (3 + 1)
    runs = {
        (cap, bps): [_outcome(scenario, cap, bps, seed) for seed in (3, 4, 5)]
        for cap in SETTINGS[CAP]
        for bps in SETTINGS[BPS]
    }
    first = runs[0, 1.5]
    for row in rows:
        own = runs[row[CAP], row[BPS]]
        costs, of_first = ([_total_cost(outcome, row["bank"]) for outcome in each] for each in (own, first))
        assert row["total_cost"] == pytest.approx(np.mean(costs), rel=1e-15)
        interval = mean_interval(costs)
        assert (row["total_cost_low"], row["total_cost_high"]) == pytest.approx((interval.low, interval.high))
        if own is first:
            assert row["total_cost_difference"] is None
        else:
            pairs = [mine - other for mine, other in zip(costs, of_first, strict=True)]
            assert row["total_cost_difference"] == pytest.approx(np.mean(pairs))
            assert row["total_cost_difference_low"] == pytest.approx(mean_interval(pairs).low)
        indicators = [_indicators(outcome, row["bank"]) for outcome in own]
        assert row["settled_share"] == pytest.approx(np.mean([each.settled / each.due for each in indicators]))
        assert row["delay_indicator"] == pytest.approx(np.mean([each.delay_indicator for each in indicators]))


def _total_cost(outcome, bank):
    return int(outcome.total_cost.sum() if bank is None else outcome.total_cost[outcome.agent_ids.index(bank)])


def _indicators(outcome, bank):
    return outcome.indicators.system if bank is None else outcome.indicators.banks[bank]


def test_one_seed_gives_the_cents_of_its_run_and_no_interval(scenario):
    (*_, row) = sweep(scenario, {CAP: [500]}, seeds=[9]).to_pylist()

    outcome = _outcome(scenario, 500, 100, 9)
    assert row["bank"] == "BANK_C"
    assert row["total_cost"] == outcome.agents()["BANK_C"]["total_cost"]
    assert row["total_cost_low"] is None
    assert row["total_cost_n"] == 1


def test_workers_find_what_one_process_finds_and_what_a_scenario_in_memory_gives(scenario, monkeypatch):
    alone = sweep(scenario, SETTINGS, seeds=range(4), workers=1)
    monkeypatch.setattr(executor, "START_S", 0.0)

    assert sweep(scenario, SETTINGS, seeds=range(4), workers=2).equals(alone)
    assert sweep(load_scenario(scenario), SETTINGS, seeds=range(4), workers=1).equals(alone)


RATE_CHANGE = "  - {type: GlobalArrivalRateChange, multiplier: 1, schedule: {type: OneTime, tick: 0}}\n"


def test_cells_that_differ_in_what_is_drawn_or_given_have_payments_of_their_own(scenario):
    for name, cents in (("a.csv", 500), ("b.csv", 900)):
        scenario.with_name(name).write_text(DAY.format(f"0,BANK_A,BANK_B,{cents}\n"))
    scenario.write_text(SMALL + RATE_CHANGE + "payments: {file: a.csv, amounts: cents}\n")
    for path, values in {
        "agents.BANK_A.arrival_config.rate_per_tick": [2, 4],
        "scenario_events.1.multiplier": [1, 3],
        "deadline_cap_at_eod": [False, True],
        "payments.file": ["a.csv", "b.csv"],
    }.items():
        rows = sweep(scenario, {path: values}, seeds=[8, 7]).to_pylist()
        cells = [load_scenario(scenario, [f"{path}={json.dumps(value)}"]) for value in values]
        runs = [[simulate(each, draw_arrivals(each, seed), engine="reference") for seed in (8, 7)] for each in cells]
        costs = [[_total_cost(outcome, None) for outcome in each] for each in runs]
        assert [row["total_cost"] for row in rows if row["bank"] is None] == [np.mean(each) for each in costs]
        assert costs[0][1] != costs[1][1]


def test_days_of_different_banks_are_swept_as_files_of_payments(tmp_path):
    (tmp_path / "a.csv").write_text(DAY.format("0,X,Y,5\n1,Y,X,5\n"))
    (tmp_path / "b.csv").write_text(DAY.format("0,X,Z,7\n"))
    path = tmp_path / "day.yaml"
    path.write_text(
        "payments: {file: a.csv}\nagents: from_payments\nsimulation: {ticks_per_day: 3}\n"
        "agent_defaults: {opening_balance: 600}\n"
    )
    rows = sweep(path, {"payments.file": ["a.csv", "b.csv"]}).to_pylist()

    assert [(row["payments.file"], row["bank"]) for row in rows] == [
        ("a.csv", None),
        ("a.csv", "X"),
        ("a.csv", "Y"),
        ("b.csv", None),
        ("b.csv", "X"),
        ("b.csv", "Z"),
    ]
    assert [row["settled_share"] for row in rows[:4]] == [1.0, 1.0, 1.0, 0.0]
    assert rows[5]["unsettled_difference"] is None
    with pytest.raises(ConfigError, match="nothing is drawn in this scenario"):
        sweep(path, {"payments.file": ["a.csv"]}, seeds=[1, 2])


def test_a_disk_that_is_full_is_told_and_the_sweep_goes_on_from_what_was_kept(scenario, tmp_path, monkeypatch):
    output = tmp_path / "s.parquet"
    with files_up_to(8_000), pytest.raises(OSError, match="too large") as ended:
        sweep(scenario, SETTINGS, seeds=range(3), output=output)
    assert "goes on from there" in ended.value.__notes__[0]
    assert not output.exists()
    monkeypatch.setattr(running, "suited_engine", None)  # nothing is left to be run
    table = sweep(scenario, SETTINGS, seeds=range(3), output=output)

    assert not partial_folder(output).exists()
    monkeypatch.undo()
    assert sweep(scenario, SETTINGS, seeds=range(3)).to_pylist() == table.to_pylist()
    assert sweep(scenario, SETTINGS, seeds=range(3), output=output).to_pylist() == table.to_pylist()
    with pytest.raises(ConfigError, match="is there already, of other settings"):
        sweep(scenario, SETTINGS, seeds=range(4), output=output)


KILLED = """
import os, signal
from payment_simulator.sweeps import store, running, sweeping
save, saved = store.Store.save, []
def kill_at_the_third(self, begin, end, figures):
    save(self, begin, end, figures)
    saved.append(begin)
    if len(saved) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
store.Store.save, running.TASK_S = kill_at_the_third, 0.0
sweeping.sweep({scenario!r}, {settings!r}, seeds=range(3), output={output!r}, workers=1)
"""


def test_a_sweep_that_is_killed_goes_on_with_the_runs_that_are_missing_and_two_at_once_are_refused(scenario, tmp_path):
    output = tmp_path / "s.parquet"
    script = KILLED.format(scenario=str(scenario), settings=SETTINGS, output=str(output))
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    with Store.held(partial_folder(output)) as store:
        assert store.missing(12) == [(3, 12)]
        with pytest.raises(ConfigError, match=f"process {os.getpid()} .* is at work on it"):
            sweep(scenario, SETTINGS, seeds=range(3), output=output)
    with pytest.raises(ConfigError, match="holds runs of other settings"):
        sweep(scenario, SETTINGS, seeds=range(4), output=output)

    damaged = sorted(partial_folder(output).glob("runs-*.npy"))[1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    with Store.held(partial_folder(output)) as store:
        assert store.missing(12) == [(1, 2), (3, 12)]

    resumed = sweep(scenario, SETTINGS, seeds=range(3), output=output)

    assert resumed.to_pylist() == sweep(scenario, SETTINGS, seeds=range(3)).to_pylist()


def test_an_output_that_is_something_else_is_refused_before_anything_is_run(scenario, tmp_path):
    output = tmp_path / "s.parquet"
    output.write_text("mine")
    with pytest.raises(ConfigError, match="is there already, and cannot be read"):
        sweep(scenario, SETTINGS, output=output)
    assert output.read_text() == "mine"
    assert not partial_folder(output).exists()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"agents.BANK_A.unsecured_cp": [0]}, "unknown key .did you mean unsecured_cap"),
        ({CAP: [0, -5]}, "(?s)greater than or equal to 0.*in the cell agents.BANK_A.unsecured_cap=-5"),
        ({CAP: []}, "has no value"),
        ({CAP: "123"}, "should be a list of values"),
    ],
)
def test_a_setting_that_cannot_be_is_told_with_its_cell_before_anything_is_run(scenario, tmp_path, settings, problem):
    with pytest.raises(ConfigError, match=problem):
        sweep(scenario, settings, output=tmp_path / "s.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.yaml"]
