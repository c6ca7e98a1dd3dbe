"""Real boards' own sensors beside an external meter: the recordings, windows of them, and each tool's arithmetic.

The recordings are those that `tests/real_boards.py` reads, of *Accurate and Convenient Energy Measurements for GPUs*
(SC24, arXiv 2312.02741; repository JimZeyuYang/GPU_Power_Benchmark, MIT licence).

Every arithmetic works on the same polls of the same field. Of the peers it is what their public pages say, and what
their answers on the stand-in of `energy_accuracy.py` show:

- Zeus, `PowerMonitor.get_energy` (ml.energy/zeus/reference/monitor/power: values are deduplicated; .../monitor/energy:
  polled power is integrated over time): a sample is the first poll of each new value; the trapezoid over the samples in
  the window. What lies before the first sample and after the last is left out: so much is missing from its answer at
  constant power. It reads the instantaneous field.
- CodeCarbon (mlco2.github.io/codecarbon/methodology.html: energy is power x time, measured every `measure_power_secs`,
  15 s unless stated, and at the end): on a board without a counter it reads power each second, and its answer to a
  power that is high for one of these reads alone shows that all from the first second on have the same weight: their
  mean x the time; the power at the end where no second has passed. No window here is longer than 15 s. It reads the
  plain field (`draw`).

Where a board has an energy counter, Zeus's ZeusMonitor and CodeCarbon read that; these recordings have none.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llenergymeasure.energy.sampled_power import SampledPower

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from real_boards import (
    DEVICE,
    DRIVER,
    RECORDINGS,
    SHORTEST_S,
    Fit,
    Polls,
    Recording,
    fitted,
    measured,
    random_windows,
    read,
    sampled,
    span_s,
)

__all__ = [
    "DEVICE",
    "DRIVER",
    "RECORDINGS",
    "Compared",
    "compared",
    "new_values",
    "of_windows",
    "print_tables",
    "read",
]

WINDOWS, SEED = 300, 0
CODECARBON_READS_S = 1.0

Arithmetic = Callable[[Polls, np.ndarray, np.ndarray], np.ndarray]


def new_values(polls: Polls) -> tuple[np.ndarray, np.ndarray]:
    """Return the moment and the watts of the first poll of each new value."""
    first = np.flatnonzero(np.diff(polls.watts, prepend=np.nan) != 0)
    return polls.time_s[first], polls.watts[first]


def zeus_j(polls: Polls, start_s: np.ndarray, end_s: np.ndarray) -> np.ndarray:
    """Return the energies of windows by Zeus's arithmetic; 0 where fewer than two new values fall in one."""
    moment_s, watts = new_values(polls)
    edges = zip(np.searchsorted(moment_s, start_s), np.searchsorted(moment_s, end_s), strict=True)
    return np.array([np.trapezoid(watts[first:last], moment_s[first:last]) for first, last in edges])


def codecarbon_j(polls: Polls, start_s: np.ndarray, end_s: np.ndarray) -> np.ndarray:
    """Return the energies of windows of up to 15 s by CodeCarbon's arithmetic."""
    means_w = []
    for first_s, last_s in zip(start_s, end_s, strict=True):
        reads_s = np.arange(first_s + CODECARBON_READS_S, last_s, CODECARBON_READS_S)
        rows = np.searchsorted(polls.time_s, reads_s if len(reads_s) else [last_s], side="right") - 1
        means_w.append(polls.watts[rows].mean())
    return np.array(means_w) * (end_s - start_s)


PEERS: dict[str, Arithmetic] = {"Zeus": zeus_j, "CodeCarbon": codecarbon_j}


class Compared(NamedTuple):
    """Windows of a recording: the meter's energies, all tools' by name, and labledger's bounds, `part_j` for edges and
    coverage alone. Arrays of one length."""

    recording: Recording
    polls: Polls
    power: SampledPower
    start_s: np.ndarray
    end_s: np.ndarray
    true_j: np.ndarray
    part_j: np.ndarray
    bound_j: np.ndarray
    energies_j: dict[str, np.ndarray]

    def errors_j(self) -> list[np.ndarray]:
        """Return the errors of each tool, labledger first."""
        return [energy_j - self.true_j for energy_j in self.energies_j.values()]

    def fits(self) -> list[Fit]:
        """Return the fit of each tool's own energies to the meter's, labledger first."""
        windows = self.start_s, self.end_s
        return [fitted(self.polls, self.recording, energy_j, *windows) for energy_j in self.energies_j.values()]


def compared(folder: Path, recording: Recording) -> Compared:
    """Return what each tool's arithmetic makes of a recording and of random windows of it."""
    polls = read(folder, recording)
    first_s, last_s = span_s(polls)
    start_s, end_s = random_windows(first_s, last_s, WINDOWS, SEED)
    return of_windows(polls, recording, np.append(first_s, start_s), np.append(last_s, end_s))


def of_windows(polls: Polls, recording: Recording, start_s: np.ndarray, end_s: np.ndarray) -> Compared:
    """Return what each tool's arithmetic makes of windows."""
    power = sampled(polls, recording)
    energy_j, edge_j, coverage_j, gain_j = measured(power, recording, start_s, end_s)
    energies_j = {"labledger": energy_j} | {name: peer(polls, start_s, end_s) for name, peer in PEERS.items()}
    part_j = edge_j + coverage_j
    true_j = polls.true_j(start_s, end_s)
    return Compared(recording, polls, power, start_s, end_s, true_j, part_j, part_j + gain_j, energies_j)


def print_tables(folder: Path) -> None:
    """Print the errors of each arithmetic: as read, of whole recordings, and after a fit of gain, offset and clock."""
    found = [compared(folder, recording) for recording in RECORDINGS]
    print(f"\n{WINDOWS} windows of {SHORTEST_S:g} s and more of each recording; |error|, median and largest; joules\n")
    _heading("true", "bound")
    for each in found:
        true_j = float(np.median(each.true_j[1:]))
        _row(each.recording, f"{true_j:.0f}", [np.abs(error_j)[1:] for error_j in each.errors_j()], each.bound_j[1:])
    print("\nthe whole of each recording; error; joules\n")
    _heading("true", "bound")
    for each in found:
        _row(each.recording, f"{each.true_j[0]:.0f}", [error_j[:1] for error_j in each.errors_j()], each.bound_j[:1])
    print("\nthe windows again, each tool after the best fit of its own gain, offset and clock to the meter; joules\n")
    _heading("gain", "edge")
    for each in found:
        if each.recording.aliased:
            print(f"{each.recording.file[-10:]:10} {each.recording.field:8} not fitted: the load beats with the sensor")
            continue
        fits = each.fits()
        errors_j, part_j = [np.abs(fit.errors_j)[1:] for fit in fits], each.part_j[1:]
        _row(each.recording, f"{fits[0].gain:.3f}", errors_j, part_j)


def _heading(first: str, bound: str) -> None:
    peers = "  ".join(f"{name:>15}" for name in PEERS)
    print(f"{'recording':10} {'field':8} {first:>5}  {'labledger':>15} {'±' + bound:>6} {'held':>5}  {peers}")


def _row(recording: Recording, first: str, errors_j: list[np.ndarray], bound_j: np.ndarray) -> None:
    """Print a line: of one window its error, of several the median and the largest."""
    is_one, held = len(bound_j) == 1, np.mean(np.abs(errors_j[0]) <= bound_j)
    if is_one:
        cells = [f"{error_j[0]:+15.0f}" for error_j in errors_j]
    else:
        cells = [f"{np.median(error_j):7.1f} {error_j.max():7.1f}" for error_j in errors_j]
    bound = f"{np.median(bound_j):6.0f} {(f'{held:.0%}' if not is_one else 'yes' if held else 'NO'):>5}"
    name = f"{recording.file.removeprefix('transient_response_'):10} {recording.field:8}"
    print(f"{name} {first:>5}  {cells[0]} {bound}  {'  '.join(cells[1:])}")
