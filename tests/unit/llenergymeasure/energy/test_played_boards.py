"""Real boards, as they were recorded beside an external power meter, played to the sampler as they were read."""

import time
from pathlib import Path

import numpy as np
import pytest

from llenergymeasure import measure_energy

RECORDINGS = Path(__file__).parents[4] / ".." / "shared" / "data" / "power_meter"
WINDOW_S, LATEST_START_S, TRIES = 1.5, 7.0, 5
MOST_LATE_S = 0.05  # the clocks of the boards and of the meter

needs_recordings = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="needs the recordings of real boards")


def columns(name):
    import pyarrow.parquet as pq

    return {key: np.array(values) for key, values in pq.read_table(RECORDINGS / name).to_pydict().items()}


def played(recording, uuid, name, limit_w):
    """A board of the stand-in that has no counter, and each field of power that was recorded."""
    read = columns(f"{recording}_sensor.parquet")
    powers = {
        column.removesuffix("_w"): list(zip(read["time_s"].tolist(), read[column].tolist(), strict=True))
        for column in read
        if column != "time_s"
    }
    rows = [[0.0, 0.0, 0.0, 50.0]]
    return {"uuid": uuid, "name": name, "limit_w": limit_w, "rows": rows, "no_counter": True, "powers": powers}


def metered_j(recording, start_s, end_s):
    """The external meter's joules, the least and the most within the error of its clock."""
    meter = columns(f"{recording}_meter.parquet")
    shifts_s = np.linspace(-MOST_LATE_S, MOST_LATE_S, 21)
    energies_j = [np.interp([start_s + s, end_s + s], meter["time_s"], meter["energy_j"]) for s in shifts_s]
    differences_j = [float(after_j - before_j) for before_j, after_j in energies_j]
    return min(differences_j), max(differences_j)


def measured(gpus, *boards):
    """The energy of a window inside the recordings, and when it was in them."""
    for _ in range(TRIES):  # on a busy machine the meter may open when the recording is over
        gpus(*boards, driver="535.54.03")
        with measure_energy(source="nvml_power") as window:
            start_s = time.monotonic()
            time.sleep(WINDOW_S)
            end_s = time.monotonic()
        if end_s - gpus.began_s < LATEST_START_S + WINDOW_S:
            return window, start_s - gpus.began_s, end_s - gpus.began_s
    pytest.skip("this machine is too busy to play a recording of ten seconds")


@needs_recordings
def test_the_energy_of_played_real_boards_is_within_its_bound_of_the_external_meters(gpus):
    full, part = "transient_response_3090_tr", "5050_a100"
    boards = [
        played(full, "GPU-3090", "NVIDIA GeForce RTX 3090", 350.0),
        played(part, "GPU-A100", "NVIDIA A100-PCIE-40GB", 250.0),
    ]
    window, start_s, end_s = measured(gpus, *boards)
    devices = {device.device: device for device in window.devices}
    for uuid, recording in (("GPU-3090", full), ("GPU-A100", part)):
        device, (least_j, most_j) = devices[uuid], metered_j(recording, start_s, end_s)
        assert least_j - device.bound_j <= device.energy_j <= most_j + device.bound_j
        assert device.gain_j == pytest.approx(0.13 * device.energy_j + 20.0 * window.duration_s)
    assert devices["GPU-3090"].coverage_j == 0.0
    assert devices["GPU-3090"].sensor.model_dump() == {
        "period_ms": 100.0, "window_ms": 100.0, "shape": "boxcar", "source": "table"
    }  # fmt: skip
    assert devices["GPU-A100"].sensor.window_ms == 25.0
    assert devices["GPU-A100"].coverage_j > 0.03 * window.energy_j
    assert window.energy_uncertainty.coverage_j == devices["GPU-A100"].coverage_j
    assert window.energy_uncertainty_j == pytest.approx(sum(device.bound_j for device in window.devices))
    assert window.sensor is None
    assert (
        "The devices of the total differ in their sensor, so the result has none; see device_energy." in window.warnings
    )
    (reason,) = [each for each in window.verdict_reasons if "25 of every 100 ms" in each]
    assert reason.startswith("the sensor sees 25 of every 100 ms: what it missed is sure to ±")
