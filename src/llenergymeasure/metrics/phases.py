"""The energy of prefill and of decode, with its bound; left out, with the reason, where the bound passes half of it."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.requests import RequestRecord
from llenergymeasure.metrics.energy import RunEnergy
from llenergymeasure.metrics.measurement import Measurement, energy_of
from llenergymeasure.metrics.phase_regression import PerToken, PhaseCosts, phase_costs

MAX_BOUND_SHARE = 0.5
MAX_MIXED_SHARE = 0.01
BY_WINDOWS = "windows of the counter"
BY_REGRESSION = "regression over {slices} slices of time"
PHASES = ("prefill", "decode")


def _mixes_phases(request: RequestRecord) -> bool:
    """Return True if the time of its first text is not that of its prefill's end."""
    return (request.output_tokens or 0) > 1 and (request.first_tokens > 1 or not request.first_seen)


class _Phase(NamedTuple):
    """Joules of a phase with their bound, or the reason why they are unknown."""

    energy_j: float | None = None
    bound_j: float | None = None
    unknown: str | None = None


def phase_fields(measurement: Measurement, energy: RunEnergy) -> tuple[dict[str, object], list[str]]:
    """Fields of the result, and notes on what is missing; `energy` is that of the whole window."""
    reading = measurement.energy
    if reading.span is not None:
        return {}, ["The energy of prefill and decode is unknown: several processes share the device."]
    if not energy.is_measured:
        return {}, []
    requests = [request for batch in measurement.batches for request in batch.requests]
    if sum(_mixes_phases(request) for request in requests) > MAX_MIXED_SHARE * len(requests):
        return {}, ["The energy of prefill and decode is unknown: tokens of the decode came with the first text."]
    if any(request.input_tokens is None or request.output_tokens is None for request in requests):
        return {}, ["The energy of prefill and decode is unknown: so are the tokens of some requests."]
    if reading.slices:
        method = BY_REGRESSION.format(slices=len(reading.slices))
        found = _by_regression(measurement, energy)
    else:
        method = BY_WINDOWS
        found = {phase: _by_windows(measurement, getattr(reading, phase)) for phase in PHASES}
    known = {phase: part for phase, part in found.items() if part.energy_j is not None}
    fields: dict[str, object] = {"phase_energy_method": method} if known else {}
    for phase, part in known.items():
        fields |= {f"energy_{phase}_j": part.energy_j, f"energy_{phase}_uncertainty_j": part.bound_j}
    return fields, list(_notes(found))


def _notes(found: dict[str, _Phase]) -> Iterator[str]:
    reasons = {phase: part.unknown for phase, part in found.items() if part.unknown is not None}
    if len(set(reasons.values())) < len(reasons):
        yield f"The energy of prefill and decode is unknown: {reasons['prefill']}."
    else:
        for phase, reason in reasons.items():
            yield f"The energy of {phase} is unknown: {reason}."


def _judged(energy_j: float, bound_j: float, advice: str) -> _Phase:
    """A phase whose bound is no more than half of its energy; else why it is unknown."""
    if bound_j <= MAX_BOUND_SHARE * energy_j:
        return _Phase(energy_j, bound_j)
    return _Phase(unknown=f"{energy_j:.3g} ± {bound_j:.3g} J, a bound of more than half; {advice}")


def _by_windows(measurement: Measurement, devices: Sequence[DeviceEnergy]) -> _Phase:
    energy = energy_of(measurement, devices)
    parts = energy.uncertainty
    if energy.total_j is None or parts is None or not energy.is_measured:
        return _Phase()
    if parts.edge_j is None:
        return _Phase(unknown=f"{energy.source} gives no bound on the edges of a phase")
    advice = "longer prompts, longer outputs or larger batches make it known"
    return _judged(energy.total_j, parts.edge_j + (parts.coverage_j or 0.0) + (parts.gain_j or 0.0), advice)


def _by_regression(measurement: Measurement, energy: RunEnergy) -> dict[str, _Phase]:
    slices = measurement.energy.slices
    totals = [energy_of(measurement, each.devices).total_j for each in slices]
    energies_j = [total_j for total_j in totals if total_j is not None]
    if len(energies_j) < len(totals):
        return dict.fromkeys(PHASES, _Phase(unknown="the device could not be read throughout"))
    edges_s = [slices[0].start_s, *(each.end_s for each in slices)]
    prefilled, generated = _tokens_between(measurement, edges_s)
    costs = phase_costs(energies_j, prefilled, generated)
    if isinstance(costs, str):
        return dict.fromkeys(PHASES, _Phase(unknown=f"phases of different requests overlap, and {costs}"))
    parts = energy.uncertainty
    sensor_j = (parts.coverage_j or 0.0) + (parts.gain_j or 0.0) if parts else 0.0
    sensor_share = sensor_j / energy.total_j if energy.total_j else 0.0
    return {
        phase: _of_tokens(cost, sum(tokens), sensor_share)
        for phase, cost, tokens in zip(PhaseCosts._fields, costs, (prefilled, generated), strict=True)
    }


def _of_tokens(cost: PerToken, tokens: int, sensor_share: float) -> _Phase:
    """`sensor_share` is what the sensor leaves open of all energy: what it does not see, and its scale."""
    energy_j = cost.joules * tokens
    bound_j = cost.half_width * tokens + sensor_share * abs(energy_j)
    return _judged(energy_j, bound_j, "a longer run, and prompts and outputs of more different lengths, make it known")


def _tokens_between(measurement: Measurement, edges_s: Sequence[float]) -> tuple[list[int], list[int]]:
    """Tokens that were prefilled and generated between each edge and the next. The first output token of a request is
    its prefill's."""
    requests = [request for batch in measurement.batches for request in batch.requests]
    ends_s = [request.prefilled_s for request in requests]
    weights = [request.input_tokens or 0 for request in requests]
    prefilled, _ = np.histogram(ends_s, edges_s, weights=weights)
    later_s = chain.from_iterable(request.token_times_s[1:] for request in requests)
    generated, _ = np.histogram(np.fromiter(later_s, float), edges_s)
    return prefilled.astype(int).tolist(), generated.tolist()
