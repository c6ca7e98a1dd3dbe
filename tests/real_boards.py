"""Recordings of boards' own power sensors beside an external meter, and what is made of them.

`*_sensor.parquet` has `time_s` of each poll and the watts of each field, `*_meter.parquet` the joules since its start;
from the data of arXiv 2312.02741.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from llenergymeasure.energy.sampled_power import SampledPower, sampled_gain_j
from llenergymeasure.energy.sensor_model import SensorModel
from llenergymeasure.energy.sensors.nvml_models import PowerQuantity, sensor_model

DRIVER = "535.54.03"
LIMIT_MARGIN = 1.1
SHORTEST_S = 0.4
CLOCK_S, CLOCK_OF_AVERAGES_S, CLOCK_STEP_S = 0.060, 0.150, 0.005
DEVICE = "board"


class Recording(NamedTuple):
    """One field of one recording, and the board that it is of. `aliased`: a load that the sensor meets at one phase."""

    file: str
    board: str
    field: PowerQuantity
    limit_w: float
    aliased: bool = False

    @property
    def name(self) -> str:
        """The file and the field."""
        return f"{self.file} {self.field}"

    @property
    def sensor(self) -> SensorModel:
        """The model in the table of boards."""
        return sensor_model(self.board, self.field, DRIVER)

    @property
    def clock_s(self) -> float:
        """The most by which the clocks of sensor and meter may differ."""
        averages = self.sensor.window_s > self.sensor.period_s and self.sensor.shape == "boxcar"
        return CLOCK_OF_AVERAGES_S if averages else CLOCK_S


RECORDINGS = [
    *(Recording("5050_3090", "NVIDIA GeForce RTX 3090", field, 350) for field in ("draw", "average", "instant")),
    *(
        Recording("transient_response_3090_tr", "NVIDIA GeForce RTX 3090", field, 350)
        for field in ("draw", "average", "instant")
    ),
    Recording("transient_response_k40m_tr", "Tesla K40m", "draw", 235),
    *(Recording("5050_a100", "NVIDIA A100-PCIE-40GB", field, 250, aliased=True) for field in ("draw", "instant")),
]


class Polls(NamedTuple):
    """The content of a recording: the moments and watts of the polls, and the moments and joules of the meter."""

    time_s: np.ndarray
    watts: np.ndarray
    meter_s: np.ndarray
    meter_j: np.ndarray

    def true_j(self, start_s: np.ndarray, end_s: np.ndarray, clock_s: float = 0.0) -> np.ndarray:
        """Return the meter's energy of windows on the sensor's clock, which is `clock_s` behind the meter's."""
        ends_j = [np.interp(moment_s + clock_s, self.meter_s, self.meter_j) for moment_s in (start_s, end_s)]
        return ends_j[1] - ends_j[0]


class Fit(NamedTuple):
    """The meter's energy of a window is `gain` times the sensor's and `offset_w` times its length, `clock_s` later;
    `errors_j` are what is left of each window's error."""

    gain: float
    offset_w: float
    clock_s: float
    errors_j: np.ndarray


class Outcome(NamedTuple):
    """The errors of many windows of one recording, in joules: as they are, and after a fit of gain, offset and clock;
    and the bounds. Arrays of one length."""

    raw_j: np.ndarray
    fitted_j: np.ndarray
    edge_j: np.ndarray
    coverage_j: np.ndarray
    gain_j: np.ndarray
    gain: float
    offset_w: float
    clock_s: float


def outcome(folder: Path, recording: Recording, windows: int = 300, seed: int = 0) -> Outcome:
    """Measure random windows of a recording by its sensor and by the meter."""
    polls = read(folder, recording)
    start_s, end_s = random_windows(*span_s(polls), windows, seed)
    energy_j, edge_j, coverage_j, gain_j = measured(sampled(polls, recording), recording, start_s, end_s)
    fit = fitted(polls, recording, energy_j, start_s, end_s)
    raw_j = np.abs(energy_j - polls.true_j(start_s, end_s))
    return Outcome(raw_j, np.abs(fit.errors_j), edge_j, coverage_j, gain_j, fit.gain, fit.offset_w, fit.clock_s)


def measured(power: SampledPower, recording: Recording, start_s: np.ndarray, end_s: np.ndarray) -> np.ndarray:
    """Return rows of energies, edges, coverages and gains, in joules, of windows by the sensor."""
    windows = list(zip(start_s.tolist(), end_s.tolist(), strict=True))
    found = np.array([power.window_of(DEVICE, *window, recording.aliased) for window in windows], dtype=float).T
    gain_j = [sampled_gain_j(*each) for each in zip(found[0], end_s - start_s, strict=True)]
    return np.vstack([found, gain_j])


def fitted(polls: Polls, recording: Recording, energy_j: np.ndarray, start_s: np.ndarray, end_s: np.ndarray) -> Fit:
    """Return the gain, offset and clock whose errors have the least sum of squares."""
    both = np.stack([energy_j, end_s - start_s], axis=1)

    def fit(clock_s: float) -> Fit:
        true_j = polls.true_j(start_s, end_s, clock_s)
        gain, offset_w = np.linalg.lstsq(both, true_j)[0]
        return Fit(float(gain), float(offset_w), clock_s, both @ [gain, offset_w] - true_j)

    clocks_s = np.arange(-recording.clock_s, recording.clock_s + CLOCK_STEP_S / 2, CLOCK_STEP_S)
    return min((fit(float(clock_s)) for clock_s in clocks_s), key=lambda fit: float(np.sum(fit.errors_j**2)))


def load(folder: Path, recording: Recording) -> tuple[SampledPower, np.ndarray, np.ndarray]:
    """Return the energy by the sensor, and the moments and joules of the meter."""
    polls = read(folder, recording)
    return sampled(polls, recording), polls.meter_s, polls.meter_j


def read(folder: Path, recording: Recording) -> Polls:
    """Return what a recording has."""
    import pyarrow.parquet as pq

    sensor = pq.read_table(folder / f"{recording.file}_sensor.parquet")
    meter = pq.read_table(folder / f"{recording.file}_meter.parquet")
    columns = sensor["time_s"], sensor[f"{recording.field}_w"], meter["time_s"], meter["energy_j"]
    return Polls(*(column.to_numpy() for column in columns))


def sampled(polls: Polls, recording: Recording) -> SampledPower:
    """Return the energy by the sensor."""
    readings = [(DEVICE, time_s, time_s, watts) for time_s, watts in zip(polls.time_s, polls.watts, strict=True)]
    return SampledPower(readings, recording.sensor, LIMIT_MARGIN * recording.limit_w)


def span_s(polls: Polls) -> tuple[float, float]:
    """Return the times between which the meter knows every window, whichever clock is the right one."""
    return float(polls.meter_s[0]) + CLOCK_OF_AVERAGES_S, float(polls.meter_s[-1]) - CLOCK_OF_AVERAGES_S


def random_windows(first_s: float, last_s: float, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends of windows of `SHORTEST_S` and more."""
    random = np.random.default_rng(seed)
    length_s = random.uniform(SHORTEST_S, last_s - first_s, count)
    start_s = random.uniform(first_s, last_s - length_s)
    return start_s, start_s + length_s
