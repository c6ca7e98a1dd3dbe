"""The engine of this checkout against that of another, all mechanics off: in turns, a process of each, the same days.

Each process is told the name of a day by a line and answers by a line of JSON; the other checkout has its own sources,
and needs nothing of this module.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from _days import AMPLE, TIGHT, cpu_s, ready, scenario

ROOT = Path(__file__).parents[1]
LEAST_S = 0.02
"""What is timed at once: a short day several times."""
DAYS: dict[str, tuple[int, float, int, int, bool]] = {
    "10 banks, ample, LSM off": (10, 1, 1_000, AMPLE, False),
    "10 banks, ample, LSM on": (10, 1, 1_000, AMPLE, True),
    "10 banks, tight, LSM off": (10, 1, 1_000, TIGHT, False),
    "10 banks, tight, LSM on": (10, 1, 1_000, TIGHT, True),
    "200 banks, ample, LSM off": (200, 2, 1_000, AMPLE, False),
    "200 banks, tight, LSM off": (200, 0.5, 1_000, TIGHT, False),
    "200 banks, tight, LSM on": (200, 0.5, 200, TIGHT, True),
}
"""Banks, payments of a bank in a tick, ticks, cents that a bank begins with, and whether there are offsets."""
EPISODES = "castro_exp2, 1,000 episodes"


def runs(*, small: bool) -> dict[str, Callable[[], Any]]:
    """Return what makes each day's outcome, ready to be timed."""
    from payment_simulator.engine.simulate import simulate, simulate_batch
    from payment_simulator.scenario.loader import load_scenario

    days = {}
    for name, (banks, rate, ticks, balance, offsets) in DAYS.items():
        of_day = scenario(banks // 5 if small else banks, rate, ticks // 10 if small else ticks, balance, offsets)
        days[name] = partial(simulate, *ready(of_day), engine="kernel")
    episodes = load_scenario(ROOT / "examples" / "payments" / "castro_exp2.yaml")
    days[EPISODES] = partial(simulate_batch, *ready(episodes, samples=1_000), engine="kernel", threads=1)
    return days


def serve(*, small: bool) -> None:
    """Answer each line that names a day with the seconds of it, and what it cost, until there is none."""
    made = runs(small=small)
    costs = {name: int(run().costs.sum()) for name, run in made.items()}
    times = {name: 1 if small else max(round(LEAST_S / max(cpu_s(run), 1e-9)), 1) for name, run in made.items()}
    import payment_simulator

    print(json.dumps({"from": payment_simulator.__file__, "costs": costs}), flush=True)
    for line in sys.stdin:
        name = line.strip()
        print(json.dumps(cpu_s(made[name], times[name])), flush=True)


@contextlib.contextmanager
def served(checkout: Path, *, small: bool) -> Iterator[Callable[[str], Any]]:
    """Start a process with the sources of a checkout; give what asks it, and first what it says of itself."""
    command = [sys.executable, "-c", f"import _against; _against.serve(small={small})"]
    sources = [str(checkout / "src"), str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sources), "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - for the types
        pipe_in, pipe_out = process.stdin, process.stdout

        def ask(day: str) -> Any:
            if day:
                pipe_in.write(f"{day}\n")
                pipe_in.flush()
            if not (answer := pipe_out.readline()):
                raise SystemExit(f"{checkout}: its engine ended; its message is above")
            return json.loads(answer)

        yield ask
        pipe_in.close()


def against(checkout: Path, repeats: int, *, small: bool) -> None:
    """Print each day's time of this checkout over that of another: the median of pairs, and their middle half."""
    with served(checkout, small=small) as ask_other, served(ROOT, small=small) as ask_ours:
        other, ours = ask_other(""), ask_ours("")
        for place, found in ((checkout, other), (ROOT, ours)):
            if not Path(found["from"]).is_relative_to(place.resolve()):
                raise SystemExit(f"{place}: its sources were not taken, but {found['from']}")
        same = "the same costs to the cent" if other["costs"] == ours["costs"] else "OTHER COSTS"
        print(f"\n{'all off, against another checkout':<33} {'time':>8}   {'middle half':>14} {'other, ms':>11}")
        for name in ours["costs"]:
            pairs = [_pair(ask_ours, ask_other, name, number) for number in range(repeats)]
            low, median, high = statistics.quantiles([mine / theirs for mine, theirs in pairs], n=4)
            half, theirs_ms = f"{low:.2f} to {high:.2f}", statistics.median(theirs for _, theirs in pairs) * 1e3
            print(f"{name:<33} {median:>6.2f} x   {half:>14} {theirs_ms:>11.3f}", flush=True)
        print(f"both have {same}")


def _pair(ours: Callable[[str], float], other: Callable[[str], float], day: str, number: int) -> tuple[float, float]:
    """Return the seconds of both, the first of them in turns."""
    if number % 2:
        first = ours(day)
        return first, other(day)
    first = other(day)
    return ours(day), first
