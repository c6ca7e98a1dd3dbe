"""The verdict on an energy: valid, invalid or not measured, with the reasons."""

from collections.abc import Iterator, Sequence

from llenergymeasure.domain.choices import Verdict
from llenergymeasure.domain.power import DeviceWatch
from llenergymeasure.metrics.energy import RunEnergy

MAX_EDGE_SHARE = 0.01
MAX_COVERAGE_SHARE = 0.03
UNEVEN = "weighs some moments more than others, and may misjudge a load that repeats in its own period"
INVALIDATING_THROTTLES = ("hw_thermal", "hw_slowdown")


def verdict(energy: RunEnergy, token_reasons: Sequence[str] = ()) -> tuple[Verdict, list[str]]:
    """`not_measured` of an estimate or of nothing; else `valid`, unless there is a reason against it.

    Tokens that cannot be relied on make it `invalid` whatever is known of the energy: tokens/s is wrong, too.
    """
    found, reasons = _of_energy(energy)
    return ("invalid", [*reasons, *token_reasons]) if token_reasons else (found, reasons)


def _of_energy(energy: RunEnergy) -> tuple[Verdict, list[str]]:
    if not energy.is_measured:
        known = energy.total_j is not None
        why = f"energy is an estimate (source: {energy.source})" if known else f"energy is unknown: {energy.unknown}"
        return "not_measured", [why]
    reasons = list(_reasons(energy))
    return ("invalid", reasons) if reasons else ("valid", [])


def _reasons(energy: RunEnergy) -> Iterator[str]:
    if energy.total_j is None:
        yield f"energy is unknown: {energy.unknown}"
    else:
        yield from _edge_reasons(energy.total_j, energy)
        yield from _coverage_reasons(energy.total_j, energy)
    for watch in energy.watches:
        yield from _watch_reasons(watch)


def _edge_reasons(total_j: float, energy: RunEnergy) -> Iterator[str]:
    edge_j = energy.uncertainty.edge_j if energy.uncertainty else None
    if edge_j is None:
        yield f"{energy.source} gives no bound on the edges of the window"
    elif edge_j > MAX_EDGE_SHARE * total_j:
        share = f"{edge_j / total_j:.1%} of the energy" if total_j > 0 else "and the energy is not above 0"
        yield f"the window's edges are sure to ±{edge_j:.3g} J, {share}, over {MAX_EDGE_SHARE:.0%}: measure for longer"


def _coverage_reasons(total_j: float, energy: RunEnergy) -> Iterator[str]:
    coverage_j = energy.uncertainty.coverage_j if energy.uncertainty else None
    if coverage_j is None or coverage_j <= MAX_COVERAGE_SHARE * max(total_j, 0.0):
        return
    seen = dict.fromkeys(seen for device in energy.devices if device.sensor and (seen := device.sensor.seen))
    share = f"{coverage_j / total_j:.1%} of the energy" if total_j > 0 else "and the energy is not above 0"
    yield (
        f"the sensor {'sees ' + ' or '.join(seen) if seen else UNEVEN}: what it missed is sure to "
        f"±{coverage_j:.3g} J, {share}, over {MAX_COVERAGE_SHARE:.0%}"
    )


def _watch_reasons(watch: DeviceWatch) -> Iterator[str]:
    if watch.was_reset:
        yield f"the counter of {watch.device} was reset during the window"
    elif watch.longest_gap_s is not None and watch.longest_gap_s > (watch.gap_limit_s or 0.0):
        allowed = (
            "it gave no value" if watch.gap_limit_s is None else f"over 3 ticks ({watch.gap_limit_s * 1e3:.0f} ms)"
        )
        yield f"{watch.device} was not seen for {watch.longest_gap_s * 1e3:.0f} ms, {allowed}"
    if watch.foreign_processes:
        yield f"another process was on {watch.device}: {', '.join(watch.foreign_processes)}"
    if hot := [reason for reason in INVALIDATING_THROTTLES if reason in watch.throttled]:
        share = max(watch.throttled[reason] for reason in hot)
        yield f"{watch.device} slowed itself down for heat in {share:.0%} of the window ({', '.join(hot)})"
