"""Ticks and payments per second of the settlement engine, beside its own definition in plain Python, as ratios.

    pip install -e '.[payments]'
    python benchmarks/engine.py [--repeats 20] [--only mechanics] [--against CHECKOUT] [--quick]

Timed is `simulate` on a prepared scenario with arrivals drawn, the outcome included, the kernel warm; the best of
the repeats, for other work on the machine only ever adds. "Ample" banks can pay everything as it arrives, "tight" ones
begin with two mean payments.

Mechanics (limits, netting, trees, ...) are each turned on alone, on a day that is tight and one of many payments, and
timed in turns with the same day without it; printed is the median of the pairs' ratios. `--against` does so with the
engine of another checkout, all mechanics off: a process of each, the same days. Both are times of the processor.
`--quick` makes small days of these two parts, to see that they work.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from _against import against
from _days import AMPLE, TIGHT, ready, scenario
from _mechanics import DAYS, SMALL, mechanics
from _report import machine, pressure

from payment_simulator.engine.simulate import simulate, simulate_batch
from payment_simulator.scenario.arrivals import draw_arrivals
from payment_simulator.scenario.loader import load_scenario

EXAMPLES = Path(__file__).parents[1] / "examples" / "payments"


def best_s(work: Callable[[], object], repeats: int) -> float:
    """The least time, after a first run that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - began_s)
    return min(times)


def ten_banks(repeats: int) -> None:
    """10 banks, one payment per tick each."""
    head = f"{'10 banks, 1 payment per tick each':<33} {'ticks/s':>9}"
    print(f"{head}   {'payments/s':>11} {'reference':>11}   {'ratio':>7}")
    for ticks in (100, 1_000):
        for name, balance in (("ample", AMPLE), ("tight", TIGHT)):
            for offsets in (False, True):
                prepared, arrivals = ready(scenario(10, 1, ticks, balance, offsets))
                kernel = ticks / best_s(partial(simulate, prepared, arrivals, engine="kernel"), repeats)
                plain = ticks / best_s(partial(simulate, prepared, arrivals, engine="reference"), 1)
                what = f"{ticks:,} ticks, {name}, LSM {'on' if offsets else 'off'}"
                payments = kernel * len(arrivals) / ticks
                print(f"{what:<33} {kernel:>9,.0f}   {payments:>11,.0f} {plain:>11,.0f}   {kernel / plain:>7,.0f}")


def episodes(repeats: int) -> None:
    """The second experiment of Castro et al., many samples at once."""
    made = load_scenario(EXAMPLES / "castro_exp2.yaml")
    prepared, arrivals = ready(made, samples=10_000)
    few = draw_arrivals(made, samples=100)
    plain_us = best_s(partial(simulate_batch, prepared, few, engine="reference"), 1) / few.samples * 1e6
    drawn_us = best_s(partial(draw_arrivals, made, samples=arrivals.samples), repeats) / arrivals.samples * 1e6
    print(f"castro_exp2, its payments drawn: {drawn_us:.2f} us per episode")
    for threads in (1, 2):
        batch = best_s(partial(simulate_batch, prepared, arrivals, engine="kernel", threads=threads), repeats)
        us = batch / arrivals.samples * 1e6
        print(
            f"castro_exp2, a batch, {threads} thread(s): {us:.2f} us per episode ({1 / us:.2f} million/s); "
            f"reference {plain_us:,.0f} us, {plain_us / us:,.0f} times"
        )


def growth(repeats: int) -> None:
    """200 banks, 100 payments per tick: what a payment costs as the run grows longer."""
    for name, balance, lengths in (("ample", AMPLE, (100, 1_000, 10_000)), ("tight", TIGHT, (1_000, 10_000))):
        costs = []
        for ticks in lengths:
            prepared, arrivals = ready(scenario(200, 0.5, ticks, balance, offsets=False))
            taken_s = best_s(partial(simulate, prepared, arrivals, engine="kernel"), max(repeats // 5, 1))
            costs.append(taken_s / len(arrivals) * 1e9)
        figures = ", ".join(f"{ns:.0f} ns at {ticks:,} ticks" for ns, ticks in zip(costs, lengths, strict=True))
        print(
            f"growth, 200 banks, 100 payments per tick, {name}: a payment {figures}: {costs[-1] / costs[0]:.2f} times"
        )


def fedwire_day(repeats: int) -> None:
    """200 banks, a million payments, offsets on."""
    began_s = time.perf_counter()
    made = load_scenario(EXAMPLES / "fedwire_day.yaml")
    read_s = time.perf_counter()
    prepared, arrivals = ready(made)
    drawn_s = time.perf_counter()
    taken_s = best_s(partial(simulate, prepared, arrivals, engine="kernel"), max(repeats // 5, 1))
    outcome = simulate(prepared, arrivals, engine="kernel")
    print(
        f"fedwire_day, {len(arrivals):,} payments, LSM on: simulated in {taken_s:.2f} s "
        f"(read {read_s - began_s:.2f} s, drawn {drawn_s - read_s:.2f} s); "
        f"{outcome.settled.sum() / outcome.arrived.sum():.2%} settled"
    )


PARTS: dict[str, Callable[[int], None]] = {
    "ten_banks": ten_banks,
    "episodes": episodes,
    "growth": growth,
    "fedwire_day": fedwire_day,
    "mechanics": partial(mechanics, days=DAYS),
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--only", choices=PARTS, action="append", help="these parts; default: all of them")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="and this checkout's engine with all off")
    parser.add_argument("--quick", action="store_true", help="mechanics alone, on small days")
    options = parser.parse_args()
    print(machine())
    print(f"before: {pressure()}")
    if options.quick:
        mechanics(2, SMALL)
    else:
        for part in options.only or PARTS:
            PARTS[part](options.repeats)
    if options.against is not None:
        against(options.against, 2 if options.quick else options.repeats, small=options.quick)
    print(f"after:  {pressure()}")


if __name__ == "__main__":
    main()
