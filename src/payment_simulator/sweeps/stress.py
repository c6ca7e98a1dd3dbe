"""Stress tests: each bank's outage in turn, against the same day without it.

A bank that is out sends nothing and still receives: it drains the others' liquidity, and what they cannot pay for want
of it, or pay later, is the outage's effect on them.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labledger.errors import ConfigError
from labledger.executor import LOCAL
from labledger.intervals import mean_intervals
from labledger.untrusted_text import SHOWN, clean
from labledger.yaml_files import did_you_mean
from payment_simulator.scenario.loader import rewritten
from payment_simulator.scenario.payment_files.clock import ticks_until
from payment_simulator.scenario.schema import Scenario
from payment_simulator.sweeps.cells import CellInfo
from payment_simulator.sweeps.jobs import Job, carry_out
from payment_simulator.sweeps.measures import MEASURES, Floats
from payment_simulator.sweeps.running import Place
from payment_simulator.sweeps.sweeping import draws_of, scenarios_of
from payment_simulator.sweeps.tables import LEVEL
from payment_simulator.sweeps.tasks import Draws

if TYPE_CHECKING:
    import pyarrow

STRESS = "payments.stress"
TICK = r"[0-9]{1,18}"
PARTS = ("", "_low", "_high", "_n")
EFFECTS = (
    "unsettled",
    "unsettled_added",
    "others_unsettled",
    "others_unsettled_added",
    "others_share",
    "trapped",
    "others_delay_indicator",
    "others_delay_added",
)
"""The effects of an outage, in the order of the table's columns."""
RANKED_BY = ("others_unsettled_added", "others_delay_added", "trapped", "unsettled_added")
"""By what outages are ranked, the largest first: by the next of equal ones."""


def stress(
    scenario: "Path | str | Scenario",
    outage: str | Sequence[str] = "each",
    *,
    begin: int | None = None,
    end: int | None = None,
    stop_sending_after: int | None = None,
    seeds: Sequence[int] | None = None,
    output: Path | str | None = None,
    on: str = LOCAL,
    workers: int | None = None,
) -> "pyarrow.Table":
    """Simulate each bank's outage in turn, and return what it does beside the undisturbed run, the worst first.

    `outage` is "each", or the banks. The outage lasts from tick `begin` (default: the first) to tick `end`, included
    (default: the last of that day). `stop_sending_after` so many ticks the others hold payments to the bank (None: as
    the scenario has it, or never). `seeds`, `output`, `on` and `workers` are those of `sweep`.

    A row per outage, after that of the undisturbed run, whose `bank` and `rank` are null. Each effect `x` has its mean
    over the seeds, `x`, the 95 % interval from `x_low` to `x_high`, and `x_n`, the seeds in which it is known: cents
    `unsettled` at the end, and `unsettled_added` to the undisturbed run; of the other banks' payments alone
    `others_unsettled`, `others_unsettled_added` and `others_share` of all that is unsettled; `trapped`, the most that
    the bank received less what it sent since the outage began; `others_delay_indicator`, and `others_delay_added` to
    that of the same banks in the undisturbed run.

    Raises:
        ConfigError: a bank or a tick is none of the scenario's, or as for `sweep`.
        WorkerError: a worker process was killed twice at the same runs.
        OSError: the output cannot be written.
    """
    source = scenarios_of(scenario)
    base = source.told(())
    named = None if seeds is None else [*map(str, seeds)]
    job = stress_job(
        source.name,
        base,
        banks_of(base, ["each"] if outage == "each" else [outage] if isinstance(outage, str) else outage),
        ticks_of(base, begin, end),
        stop_sending_after,
        draws_of(source, named),
    )
    return carry_out(job, None if output is None else Path(output), Place(on, workers))


def banks_of(scenario: Scenario, named: Sequence[str]) -> list[str]:
    """Return the banks of `each`, or those named, several in one text divided by commas.

    Raises:
        ConfigError: one is not of the scenario.
    """
    known = scenario.agent_ids
    found: list[str] = []
    for text in named:
        if text == "each" and text not in known:
            found += known
        else:
            found += [text] if text in known else [bank.strip() for bank in text.split(",")]
    if strangers := [bank for bank in found if bank not in known]:
        raise ConfigError(
            f"--outage: unknown bank {clean(strangers[0], SHOWN)!r}{did_you_mean(strangers[0], known)}; or say each"
        )
    return list(dict.fromkeys(found))


def ticks_of(scenario: Scenario, begin: int | str | None, end: int | str | None) -> range:
    """Return the ticks of an outage: from `begin` (None: 0) to `end` (None: the last of that day).

    Each is a tick, `end` included, or, where the payments have a clock, a time of the first day, `end` not included. A
    tick of which a part is in the outage is in it.

    Raises:
        ConfigError: one is neither, is past the end of the run, or they are the wrong way round.
    """
    simulation = scenario.simulation
    first = Fraction(0) if begin is None else _ticks_until("--from", begin, scenario)
    if begin is not None and not _is_tick(begin) and first == simulation.ticks_per_day:
        raise ConfigError(f"--from: {begin} is the end of the day")
    last = Fraction((first // simulation.ticks_per_day + 1) * simulation.ticks_per_day)
    if end is not None:
        last = _ticks_until("--to", end, scenario) + (1 if _is_tick(end) else 0)
    if not 0 <= first < simulation.ticks or last > simulation.ticks:
        raise ConfigError(f"--from, --to: the run has {simulation.ticks:,} ticks, counted from 0")
    if first >= last:
        raise ConfigError("--to: is not after --from")
    return range(math.floor(first), math.ceil(last))


def _is_tick(written: int | str) -> bool:
    return isinstance(written, int) or re.fullmatch(TICK, written) is not None


def _ticks_until(option: str, written: int | str, scenario: Scenario) -> Fraction:
    """Return the ticks before a tick, or before a time of the first day."""
    if _is_tick(written):
        return Fraction(written)
    clock = None if scenario.payments is None else scenario.payments.clock
    if clock is None:
        raise ConfigError(f"{option}: {clean(str(written), SHOWN)!r} is no tick, and the scenario has no clock")
    try:
        return ticks_until(str(written), clock)
    except ConfigError as error:
        reason = str(error).partition(": ")[2] if "outside the day" in str(error) else ""
        shown = clean(str(written), SHOWN)
        raise ConfigError(f"{option}: {reason or f'{shown!r} is neither a tick nor HH:MM or HH:MM:SS'}") from error


@dataclass(frozen=True)
class _Disturbed:
    """Scenarios with a bank that is out, or None, made of one that is checked."""

    scenario: Scenario
    ticks: range
    stop_sending_after: int | None
    name: str

    def changed(self, changes: str | None) -> Scenario:
        """Return the scenario in which the bank is out.

        Raises:
            ConfigError: it is out already.
        """
        data = self.scenario.model_dump(mode="json")
        if self.stop_sending_after is not None:
            data["outage_response"] = {"stop_sending_after": self.stop_sending_after}
        if changes is not None:
            out = {"type": "Outage", "agent": changes, "start_tick": self.ticks.start, "end_tick": self.ticks.stop - 1}
            data["scenario_events"] = [*data["scenario_events"], out]
        return rewritten(data, self.name, (), self.scenario.given_payments).checked().scenario


def stress_job(
    name: str,
    scenario: Scenario,
    banks: Sequence[str],
    ticks: range,
    stop_sending_after: int | None,
    draws: Sequence[Draws],
) -> Job:
    """Return the runs of a stress test, the undisturbed one first, and the making of its table."""

    def rows(cells: Sequence[CellInfo], figures: Iterable[Floats]) -> Iterator[dict[str, Any]]:
        return _rows(scenario.agent_ids, banks, figures)

    return Job(
        STRESS,
        _Disturbed(scenario, ticks, stop_sending_after, name),
        [None, *banks],
        draws,
        "stress",
        about={
            "banks": list(banks),
            "from_tick": ticks.start,
            "to_tick": ticks.stop - 1,
            "stop_sending_after": stop_sending_after,
            "level": LEVEL,
        },
        columns={
            "rank": "int64",
            "bank": "string",
            **{name + part: "int64" if part == "_n" else "float64" for name in EFFECTS for part in PARTS},
        },
        rows=rows,
    )


def _rows(known: Sequence[str], banks: Sequence[str], figures: Iterable[Floats]) -> Iterator[dict[str, Any]]:
    """Yield the row of the undisturbed run, and those of the outages, ranked."""
    every = iter(figures)
    base = next(every)
    found = []
    for bank, disturbed in zip(banks, every, strict=True):
        found.append({"bank": bank, **_means(_effects(disturbed, base, known.index(bank)))})
    found.sort(key=lambda row: [-_sortable(row[name]) for name in RANKED_BY])
    yield {"rank": None, "bank": None, **_means(_undisturbed(base))}
    for rank, row in enumerate(found, start=1):
        yield {"rank": rank, **row}


def _sortable(value: float | None) -> float:
    return -np.inf if value is None else value


def _effects(disturbed: Floats, base: Floats, bank: int) -> dict[str, Floats]:
    """Return each effect of a bank's outage in each draw."""
    unsettled, others, delay = _of_others(disturbed, bank)
    unsettled_before, others_before, delay_before = _of_others(base, bank)
    return {
        "unsettled": unsettled,
        "unsettled_added": unsettled - unsettled_before,
        "others_unsettled": others,
        "others_unsettled_added": others - others_before,
        "others_share": _ratio(others, unsettled),
        "trapped": disturbed[:, bank, MEASURES["stress"].names.index("trapped")],
        "others_delay_indicator": delay,
        "others_delay_added": delay - delay_before,
    }


def _of_others(values: Floats, bank: int | None) -> tuple[Floats, Floats, Floats]:
    """Return in each draw what is unsettled, of all and of the others than a bank, and the others' delay indicator."""
    unsettled, delay, longest_delay, _ = values[:, -1].T
    own = values[:, bank].T if bank is not None else np.zeros_like(values[:, -1].T)
    return unsettled, unsettled - own[0], _ratio(delay - own[1], longest_delay - own[2])


def _undisturbed(base: Floats) -> dict[str, Floats]:
    unsettled, _, delay = _of_others(base, None)
    return {"unsettled": unsettled, "others_delay_indicator": delay}


def _ratio(part: Floats, whole: Floats) -> Floats:
    found: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
    return found


def _means(effects: Mapping[str, Floats]) -> dict[str, Any]:
    """Return the mean of each effect over the draws, with its interval; None is what is not known."""
    row: dict[str, Any] = {}
    for name in EFFECTS:
        columns = [None, None, None, 0]
        if name in effects:
            columns = [None if np.isnan(each) else each.item() for each in mean_intervals(effects[name], level=LEVEL)]
        row |= {name + part: value for part, value in zip(PARTS, columns, strict=True)}
    return row
