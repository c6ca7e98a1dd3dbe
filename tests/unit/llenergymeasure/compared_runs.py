"""Runs of two configurations, A and B, made one after another in an order that is spelt: "ABBA"."""

from datetime import UTC, datetime, timedelta

from llenergymeasure.domain.figures import DeviceEnergy, Distribution, EnergyUncertainty, LatencyStats
from small_result import make_result

BEGAN = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
WINDOW_S = 60.0
APART_S = 90.0
PAUSE = "."
BATCH_SIZES = {"A": 1, "B": 8}


def spread_over(value):
    return Distribution(n=32, mean=1.1 * value, median=value, p90=value, p95=value, p99=value)


def one_run(
    name="A", energy_j=100.0, tokens_s=50.0, ttft_ms=80.0, tpot_ms=20.0, *, start=BEGAN, gpu="GPU-1", **changes
):
    """One run of a minute; its 100 output tokens cost `energy_j`."""
    fields = {
        "experiment_id": f"{name}-{start:%d-%H:%M:%S}-{gpu}",
        "start_time": start,
        "end_time": start + timedelta(seconds=WINDOW_S),
        "total_energy_j": energy_j,
        "energy_per_output_token_j": None if energy_j is None else energy_j / 100,
        "output_tokens_per_second": tokens_s,
        "output_tokens": 100,
        "latency_stats": LatencyStats(ttft_ms=spread_over(ttft_ms), tpot_ms=spread_over(tpot_ms)),
        "energy_uncertainty": EnergyUncertainty(edge_j=0.0, gain_j=0.13 * (energy_j or 0.0)),
        "device_energy": [DeviceEnergy(device=gpu, kind="gpu", source="nvml_counter", energy_j=energy_j)],
        "energy_scope": "gpu",
        "energy_source": "nvml_counter",
        "verdict": "valid",
        "effective_config": {"model": "gpt2", "backend": "pytorch", "batch_size": BATCH_SIZES.get(name[0], 4)},
    }
    return make_result(**(fields | changes))


def made(order, run=one_run, *, start=BEGAN):
    """Return the runs of A and those of B; `run(name, number, start=...)` makes each, a "." is a pause of two hours.

    Other letters are of other configurations, which take their time and are left out.
    """
    found, number = {}, 0
    for name in order:
        if name == PAUSE:
            start += timedelta(hours=2)
            continue
        found.setdefault(name, []).append(run(name, number, start=start))
        number += 1
        start += timedelta(seconds=APART_S)
    return found.get("A", []), found.get("B", [])


def of(values):
    """Return a maker of runs of which all four headline figures are worse by a factor, one of `values` each."""
    given = iter(values)

    def run(name, number, start, **changes):
        factor = next(given)
        return one_run(name, 100 * factor, 50 / factor, 80 * factor, 20 * factor, start=start, **changes)

    return run
