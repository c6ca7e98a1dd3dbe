"""The power of real boards under load, by an external meter: the curves that drawn boards play.

From the recordings of the SC24 study that ../shared/data/power_meter/ holds. A curve is a share of the step from deep
idle (0) to a steady load (1), every millisecond.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

RECORDINGS = Path(__file__).parents[4] / "shared" / "data" / "power_meter"
SETTLED_S = 5.5
"""The time for which the transient recordings stay at load."""


@dataclass(frozen=True)
class Curves:
    """The answer of one real board to work.

    `rise` begins with the work, `wake` does too where the board slept before (empty: it makes no difference), `after`
    begins with the end of the work, its fall included. The last blocks of work end one after the other: `tail` is what
    is left of the load during the last `tail_share` of the work. `idle_noise` and `busy_noise` are what the meter
    shows around the curve.
    """

    name: str
    rise: np.ndarray
    wake: np.ndarray
    after: np.ndarray
    tail: np.ndarray
    tail_share: float
    idle_noise: np.ndarray
    busy_noise: np.ndarray

    @property
    def asleep_after_s(self) -> float:
        """The time after its work until the board is back in deep idle."""
        return float(np.flatnonzero(self.after > 0.05)[-1] + 1) / 1e3

    def without_tail(self) -> "Curves":
        """Return the same board, doing work whose blocks end together."""
        return replace(self, tail_share=0.0)


def missing() -> str | None:
    """Return why there are no curves; None where there are."""
    return None if RECORDINGS.is_dir() else f"needs the recordings of real boards: no folder {RECORDINGS.name} beside"


@cache
def curves() -> tuple[Curves, ...]:
    """Return the curves of the RTX 3090, the K40m and the A100."""
    return _rtx_3090(), _k40m(), _a100()


def meter_power(recording: str) -> tuple[np.ndarray, np.ndarray]:
    """Return moments (s, every millisecond) and power (W) of a recording's meter."""
    import pyarrow.parquet as pq

    table = pq.read_table(RECORDINGS / f"{recording}_meter.parquet")
    time_s, energy_j = table["time_s"].to_numpy(), table["energy_j"].to_numpy()
    return time_s[:-1], np.diff(energy_j) / np.diff(time_s)


def _rtx_3090() -> Curves:
    time_s, power_w = meter_power("transient_response_3090_tr")
    deep_w, load_w = _median(time_s, power_w, 11, 14), _median(time_s, power_w, 3, 7)
    share = (power_w - deep_w) / (load_w - deep_w)
    first, full, end = _first_above(share, 0.05), _first_above(share, 0.8), _last_above(share, 0.3)
    slow = _smooth(share[full + 5 : full + int(SETTLED_S * 1e3)], 41)
    _, square_w = meter_power("5050_3090")
    pulse, fall = _pulse((square_w - deep_w) / (load_w - deep_w))
    last_s = time_s[end + 5]
    return Curves(
        "RTX 3090",
        rise=np.concatenate([pulse, slow[len(pulse) :]]),
        wake=share[first - 1 : full],
        after=np.concatenate([fall, _smooth(share[end + 5 + len(fall) : end + 3500], 41)]),
        tail=_tail(share, end),
        tail_share=0.15 / SETTLED_S,
        idle_noise=_noise(share[(time_s > last_s + 3.5) & (time_s < 14)]),
        busy_noise=_noise(share[(time_s > 4.5) & (time_s < 6.9)]),
    )


def _k40m() -> Curves:
    time_s, power_w = meter_power("transient_response_k40m_tr")
    deep_w, load_w = _median(time_s, power_w, 9, 14), _median(time_s, power_w, 3, 7)
    share = (power_w - deep_w) / (load_w - deep_w)
    first, end = _first_above(share, 0.2), _last_above(share, 0.2)
    edge = share[first - 1 : first + 6]
    rise = np.concatenate([edge, _smooth(share[first + 6 : first + int(SETTLED_S * 1e3)], 41)])
    return Curves(
        "K40m",
        rise=rise,
        wake=np.array([]),
        after=np.concatenate([1 - edge, _smooth(share[end + 40 : end + 1500], 41)]),
        tail=_tail(share, end),
        tail_share=0.18 / SETTLED_S,
        idle_noise=_noise(share[time_s > 8]),
        busy_noise=_noise(share[(time_s > 2) & (time_s < 6.9)]),
    )


def _a100() -> Curves:
    time_s, power_w = meter_power("5050_a100")
    deep_w, load_w = _median(time_s, power_w, 0.45, 1.3), float(np.percentile(power_w, 90))
    share = (power_w - deep_w) / (load_w - deep_w)
    rise, fall = _pulse(share)
    end = _last_above(share, 0.5)
    return Curves(
        "A100",
        rise=rise,
        wake=np.array([]),
        after=np.concatenate([fall, _smooth(share[end + len(fall) :], 41)]),
        tail=np.array([1.0, 1.0]),
        tail_share=0.0,
        idle_noise=_noise(share[time_s < 1.3]),
        busy_noise=_noise(share[share > 0.95]),
    )


def _pulse(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean rise (first 45 ms) and fall (first 40 ms) of a square load, from the lowest point before each."""
    high = share > 0.5
    ups = np.flatnonzero(~high[:-1] & high[1:])[3:-3] + 1
    downs = np.flatnonzero(high[:-1] & ~high[1:])[3:-3] + 1
    rises = np.median([share[up - 1 : up + 44] for up in ups], axis=0)
    falls = np.median([share[down - 1 : down + 39] for down in downs], axis=0)
    return rises, falls


def _tail(share: np.ndarray, end: int) -> np.ndarray:
    """Return what was left of the load in the 150 ms before it had ended."""
    return np.minimum.accumulate(np.clip(share[end - 130 : end + 20], 0, 1))


def _median(time_s: np.ndarray, power_w: np.ndarray, start_s: float, end_s: float) -> float:
    return float(np.median(power_w[(time_s > start_s) & (time_s < end_s)]))


def _first_above(share: np.ndarray, level: float) -> int:
    return int(np.flatnonzero(share > level)[0])


def _last_above(share: np.ndarray, level: float) -> int:
    return int(np.flatnonzero(share > level)[-1])


def _smooth(share: np.ndarray, width: int) -> np.ndarray:
    padded = np.pad(share, width // 2, mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="valid")


def _noise(share: np.ndarray) -> np.ndarray:
    return share - _smooth(share, 101)
