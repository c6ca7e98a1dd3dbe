"""Seconds and memory from a file of a million payments to the first tick, and that every road gives the same cents.

    pip install -e '.[payments]' pandas
    python benchmarks/payments_in.py [--payments 1000000] [--banks 200] [--runs 5]

A day is made: seeded, banks of unequal size, log-normal amounts, times in no order. It is written as CSV, CSV as
spreadsheets of other countries write it, CSV under gzip, Parquet and Arrow IPC; 10,000 of its payments as pacs.009 too.
Each is read by a process of its own, which is measured as a whole: Python's start, the scenario, the file, the payments
laid out for the engine, the kernel loaded. Then it simulates, and all costs of all banks are compared. The peer is how
such files are read by hand: pandas and a loop over rows that makes a dict of each, amounts by Decimal.
"""

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _report import machine, pressure

CLOCK = "clock: {open: '07:00', close: '18:00', tick: 60s}"
SCENARIO = """
payments: {{file: {file}, {clock}}}
agents: from_payments
agent_defaults: {{opening_balance: {balance}}}
cost_rates: {{delay_cost_per_tick_per_cent: 0.0001, overdraft_bps_per_tick: 1}}
lsm_config: {{enable_bilateral: true}}
"""
ROADS = ("day.csv", "day_decimal_comma.csv", "day.csv.gz", "day.parquet", "day.arrow")
FEW = 10_000
BALANCE_A_PAYMENT = 2_000
"""Cents that each bank begins with, for each payment of all: with that a quarter of the payments is never settled."""
FEW_ROADS = ("few.csv", "few.xml")


def make_day(folder: Path, payments: int, banks: int) -> None:
    """Write one day in every form."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv
    import pyarrow.feather
    import pyarrow.parquet

    rng = np.random.default_rng(20)
    size = rng.lognormal(0, 1, banks)
    sender = rng.choice(banks, payments, p=size / size.sum())
    receiver = (sender + rng.integers(1, banks, payments)) % banks
    names = np.array([f"BANK{number:04d}XXX" for number in range(banks)])
    cents = np.maximum(np.rint(rng.lognormal(13, 1.8, payments)), 1).astype(np.int64)
    seconds = rng.integers(7 * 3600, 18 * 3600, payments)
    whole = pa.array(cents).cast(pa.decimal128(20, 0))
    amount = pa.Decimal128Array.from_buffers(pa.decimal128(20, 2), payments, whole.buffers())
    table = pa.table(
        {
            "entered_at": pa.array(np.datetime64("2026-03-02", "s") + seconds),
            "debtor_bic": names[sender],
            "creditor_bic": names[receiver],
            "amount": amount,
            "priority": rng.integers(0, 11, payments),
        }
    )
    pyarrow.parquet.write_table(table, folder / "day.parquet")
    pyarrow.feather.write_feather(table, folder / "day.arrow")
    pyarrow.csv.write_csv(table, folder / "day.csv")
    with_comma = pc.replace_substring(pc.cast(amount, pa.string()), ".", ",")
    comma = table.set_column(3, "amount", with_comma)
    options = pyarrow.csv.WriteOptions(delimiter=";")
    pyarrow.csv.write_csv(comma, folder / "day_decimal_comma.csv", options)
    with pa.CompressedOutputStream(str(folder / "day.csv.gz"), "gzip") as stream:
        stream.write((folder / "day.csv").read_bytes())
    pyarrow.csv.write_csv(table.slice(0, FEW), folder / "few.csv")
    for road in (*ROADS, *FEW_ROADS):
        balance = BALANCE_A_PAYMENT * (FEW if road in FEW_ROADS else payments)
        (folder / f"{road}.yaml").write_text(SCENARIO.format(file=road, clock=CLOCK, balance=balance))
    names_of = ["--output", str(folder / "few.xml"), "--date", "2026-03-02"]
    program = "from payment_simulator.cli.program import main; main()"
    subprocess.run([sys.executable, "-c", program, "export", str(folder / "few.csv.yaml"), *names_of], check=True)


def come_in(scenario: Path, *, until_end: bool) -> None:
    """Print, as JSON, when this process was ready for the first tick, and what came of the day."""
    import psutil

    from payment_simulator.engine.simulate import prepare, simulate
    from payment_simulator.policy.policies import read_with_policies
    from payment_simulator.scenario.arrivals import draw_arrivals
    from payment_simulator.scenario.schema import Scenario

    began_s = psutil.Process().create_time()
    loaded, policies = read_with_policies(scenario)
    prepared = prepare(loaded.scenario, policies)
    arrivals = draw_arrivals(loaded.scenario)
    _ = arrivals.table
    ready_s = time.time() - began_s
    small = Scenario.model_validate({"simulation": {"ticks_per_day": 1}, "agents": [{"id": "A"}]})
    simulate(prepare(small), draw_arrivals(small), engine="kernel")
    found = {
        "ready_s": ready_s,
        "first_tick_s": time.time() - began_s,
        "cpu_s": time.process_time(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3),
        "payments": len(arrivals),
    }
    if until_end:
        outcome = simulate(prepared, arrivals, engine="kernel")
        digest = hashlib.sha256(outcome.costs.tobytes() + outcome.final_balance.tobytes()).hexdigest()
        found |= {"cost": int(outcome.total_cost.sum()), "settled": int(outcome.settled.sum()), "digest": digest}
    print(json.dumps(found))


def by_hand(path: Path) -> None:
    """Print, as JSON, the seconds of pandas and a loop over rows."""
    from decimal import Decimal

    import pandas as pd

    began_s = time.perf_counter()
    frame = pd.read_csv(path, dtype={"amount": str}, parse_dates=["entered_at"])
    payments = []
    for row in frame.itertuples():
        at = row.entered_at
        payments.append(
            {
                "sender": row.debtor_bic,
                "receiver": row.creditor_bic,
                "amount": int(Decimal(row.amount) * 100),
                "priority": row.priority,
                "tick": at.hour * 60 + at.minute - 7 * 60,
            }
        )
    payments.sort(key=lambda each: each["tick"])
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"seconds": time.perf_counter() - began_s, "peak_mb": peak_mb, "pandas": pd.__version__}))


def child(*arguments: str) -> dict[str, float]:
    """Return what a process of this file prints."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": ""})
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Make the day, measure each road, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--payments", type=int, default=1_000_000)
    parser.add_argument("--banks", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--come-in", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--until-end", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--by-hand", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.come_in is not None:
        return come_in(options.come_in, until_end=options.until_end)
    if options.by_hand is not None:
        return by_hand(options.by_hand)
    print(f"{machine()}\npressure: {pressure()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_day(folder, options.payments, options.banks)
        print(f"\n{options.payments:,} payments of {options.banks} banks; medians of {options.runs} processes\n")
        print(f"{'file':<24} {'MB':>6} {'ready':>8} {'first tick':>11} {'CPU':>7} {'peak MB':>8}   cost of the day")
        digests: dict[str, set[str]] = {}
        for road in (*ROADS, *FEW_ROADS):
            scenario = str(folder / f"{road}.yaml")
            whole = child("--come-in", scenario, "--until-end")  # the kernel is compiled, and every file in memory
            digests.setdefault(road.partition(".")[0].partition("_")[0], set()).add(whole["digest"])
            runs = [child("--come-in", scenario) for _ in range(options.runs)]
            keys = ("ready_s", "first_tick_s", "cpu_s", "peak_mb")
            ready, first, cpu, peak = (statistics.median(run[key] for run in runs) for key in keys)
            size = (folder / road).stat().st_size / 1e6
            print(f"{road:<24} {size:6.1f} {ready:6.2f} s {first:9.2f} s {cpu:5.2f} s {peak:8.0f}   {whole['cost']:,}")
        is_same = all(len(each) == 1 for each in digests.values())
        same = "the same costs and balances, to the cent" if is_same else "DIFFERENT OUTCOMES"
        print(f"\nby every road: {same}")
        try:
            peer = child("--by-hand", str(folder / "day.csv"))
        except subprocess.CalledProcessError:
            print("no pandas here: no peer")
        else:
            csv = [child("--come-in", str(folder / "day.csv.yaml"))["ready_s"] for _ in range(options.runs)]
            ratio = peer["seconds"] / statistics.median(csv)
            words = f"{peer['seconds']:.2f} s and {peer['peak_mb']:,.0f} MB"
            print(f"by hand (pandas {peer['pandas']}, a dict a row): {words}; by hand / ours = {ratio:.1f}")
    return None


if __name__ == "__main__":
    main()
