"""Days to be kept: a file of payments with a scenario beside it, and payments that a table gives."""

import hashlib
import json
from pathlib import Path

import numpy as np
from scenarios import make_scenario
from typer.testing import CliRunner

from payment_simulator import draw_arrivals, simulate
from payment_simulator.cli.main import app
from payment_simulator.scenario.given_payments import GivenPayments
from payment_simulator.scenario.payment_files.sections import Payments

DAY = """\
time,sender,receiver,amount
2026-11-30 07:00:10,A,B,100.00
2026-11-30 07:01:10,B,C,50.50
2026-11-30 07:01:11,C,A,10.25
2026-11-30 07:03:11,A,C,500.00
"""
SCENARIO = """\
payments: {file: day.csv, clock: {open: "07:00", close: "07:10", tick: 60s}}
simulation: {rng_seed: 3}
agents:
  - {id: A, unsecured_cap: 12000, policy: {type: FromJson, json_path: hold.json}}
  - {id: B, unsecured_cap: 12000}
  - {id: C, unsecured_cap: 12000}
cost_rates: {delay_cost_per_tick_per_cent: 0.01, overdraft_bps_per_tick: 10, deadline_penalty: 100}
"""
POLICY = {"version": "1", "policy_id": "p", "payment_tree": {"type": "action", "action": "Release"}}


def write_day(folder: Path) -> Path:
    """Write a scenario, its policy and its file of payments; return the scenario's path."""
    (folder / "day.csv").write_text(DAY)
    (folder / "hold.json").write_text(json.dumps(POLICY))
    path = folder / "day.yaml"
    path.write_text(SCENARIO)
    return path


def sim(*arguments):
    """Call what `payment-sim` calls."""
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "160"})


def given(banks, rows, *, settled=None, ids=None, ticks_per_day=None, days=1):
    """Payments of rows (tick, sender, receiver, amount); their deadline is far away."""
    import pyarrow as pa

    tick, sender, receiver, amount = zip(*rows, strict=True) if rows else ((), (), (), ())
    count = len(rows)
    return GivenPayments(
        banks=tuple(banks),
        tick=np.array(tick, dtype=np.int32),
        sender=np.array([banks.index(name) for name in sender], dtype=np.int32),
        receiver=np.array([banks.index(name) for name in receiver], dtype=np.int32),
        amount=np.array(amount, dtype=np.int64),
        priority=np.full(count, 5, dtype=np.int8),
        deadline=np.full(count, 99, dtype=np.int32),
        divisible=np.zeros(count, dtype=np.bool_),
        ticks_per_day=ticks_per_day,
        num_days=days,
        settled=None if settled is None else np.array(settled, dtype=np.int32),
        ids=None if ids is None else pa.array(ids, pa.string()),
        dates=np.array([20_787]),
        section=Payments(file="payments", currency="JPY"),
    )


def outcome_of(agents, rows, *events, settled=None, ids=None, seed=0, **further):
    """The outcome of a day of given payments, its events recorded; `agents` are fields by id."""
    scenario = make_scenario(agents, *events, **further).with_payments(
        given(sorted(agents), rows, settled=settled, ids=ids)
    )
    return simulate(scenario, draw_arrivals(scenario, seed), record_events=True, engine="reference")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
