"""The energy of prefill and decode where those of different requests overlap: known costs come back."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measurements import NO_IDLE, SHAPE, gpu_energy, measurement
from scipy import stats

from llenergymeasure.domain.model import ModelFacts
from llenergymeasure.domain.requests import Batch, RequestRecord
from llenergymeasure.metrics.measurement import Slice
from llenergymeasure.metrics.phase_regression import phase_costs
from llenergymeasure.metrics.steady_state import Window
from llenergymeasure.metrics.summary import summarise

PREFILL_J, DECODE_J, IDLE_J = 0.02, 0.3, 120.0
DRAWS = 300


def drawn_tokens(seed, slices=60):
    """Tokens that were prefilled and generated in each slice, as a server under a steady load has them."""
    draw = np.random.default_rng(seed)
    return draw.poisson(4, slices) * 500, draw.poisson(900, slices)


def energies(prefilled, generated, noise_j=0.0):
    return IDLE_J + PREFILL_J * prefilled + DECODE_J * generated + noise_j


def independent(draw, slices):
    return draw.normal(0.0, 20.0, slices)


def carried_over(draw, slices):
    """Errors of slices, each of which its neighbour has with the other sign, or goes on with."""
    fresh = draw.normal(0.0, 20.0, slices + 1)
    return fresh[1:] + 0.5 * fresh[:-1]


def uneven(draw, slices):
    return draw.normal(0.0, 1.0, slices) * np.linspace(5.0, 40.0, slices)


positive = st.floats(1e-3, 10.0)


@given(st.integers(0, 2**32 - 1), positive, positive, st.floats(0.0, 1e3), st.integers(30, 200))
def test_costs_without_noise_come_back_as_they_are(seed, prefill_j, decode_j, idle_j, slices):
    prefilled, generated = drawn_tokens(seed, slices)
    found = phase_costs((idle_j + prefill_j * prefilled + decode_j * generated).tolist(), prefilled, generated)
    assert found.prefill.joules == pytest.approx(prefill_j, rel=1e-6)
    assert found.decode.joules == pytest.approx(decode_j, rel=1e-6)
    assert found.prefill.half_width < 1e-6 * prefill_j
    assert found.decode.half_width < 1e-6 * decode_j


@pytest.mark.parametrize("slices", [30, 60, 200])
@pytest.mark.parametrize("noise", [independent, carried_over, uneven])
def test_nineteen_of_twenty_intervals_hold_the_truth(noise, slices):
    held = np.zeros(2)
    for seed in range(DRAWS):
        prefilled, generated = drawn_tokens(seed, slices)
        noise_j = noise(np.random.default_rng(DRAWS + seed), slices)
        found = phase_costs(energies(prefilled, generated, noise_j).tolist(), prefilled, generated)
        truths = zip(found, (PREFILL_J, DECODE_J), strict=True)
        held += [abs(cost.joules - truth_j) <= cost.half_width for cost, truth_j in truths]
    assert all(0.91 <= share <= 0.985 for share in held / DRAWS), held / DRAWS


def newey_west(rows, values, lags):
    """Coefficients and standard errors, written out sum by sum."""
    count, unknowns = len(rows), len(rows[0])
    inverse = np.linalg.inv(sum(np.outer(row, row) for row in rows))
    found = inverse @ sum(row * value for row, value in zip(rows, values, strict=True))
    errors = [value - row @ found for row, value in zip(rows, values, strict=True)]
    middle = np.zeros((unknowns, unknowns))
    for one, other in itertools.product(range(count), repeat=2):
        weight = max(0.0, 1.0 - abs(one - other) / (lags + 1))
        middle += weight * errors[one] * errors[other] * np.outer(rows[one], rows[other])
    covariance = count / (count - unknowns) * inverse @ middle @ inverse
    return found, np.sqrt(np.diag(covariance))


@pytest.mark.parametrize(("slices", "lags"), [(30, 3), (100, 4), (150, 4), (280, 5)])
def test_the_intervals_are_those_of_newey_and_west(slices, lags):
    prefilled, generated = drawn_tokens(slices, slices)
    values = energies(prefilled, generated, carried_over(np.random.default_rng(1), slices))
    rows = np.column_stack([np.ones(slices), prefilled, generated]).astype(float)
    coefficients, errors = newey_west(rows, values, lags)
    reach = (lags + 1) / slices
    widening = np.polyval([-0.5324, 0.4160, 2.9694, 1.9600], reach) / 1.9600  # Kiefer and Vogelsang's, for Bartlett
    width = widening * stats.t.ppf(0.975, slices - 3)
    found = phase_costs(values.tolist(), prefilled, generated)
    assert [cost.joules for cost in found] == pytest.approx(coefficients[1:], rel=1e-9)
    assert [cost.half_width for cost in found] == pytest.approx(width * errors[1:], rel=1e-9)


def test_thirty_slices_are_enough_and_fewer_are_not():
    prefilled, generated = drawn_tokens(1, 30)
    assert not isinstance(phase_costs(energies(prefilled, generated).tolist(), prefilled, generated), str)
    fewer = phase_costs(energies(prefilled, generated).tolist()[1:], prefilled[1:], generated[1:])
    assert fewer == "29 slices of time are too few, 30 are needed: measure for longer"


@pytest.mark.parametrize("constant", ["prefilled", "generated"])
def test_slices_that_all_have_the_same_tokens_tell_nothing(constant):
    prefilled, generated = drawn_tokens(1)
    tokens = {"prefilled": prefilled, "generated": generated, constant: np.full(60, 700)}
    found = phase_costs(energies(prefilled, generated).tolist(), **tokens)
    assert "every slice of time has the same tokens" in found


def correlated(correlation):
    """Tokens of which the generated go with the prefilled so far, and no further."""
    one, other = np.random.default_rng(2).normal(size=(2, 60))
    one -= one.mean()
    other -= other.mean() + one * (one @ other) / (one @ one)
    other *= np.linalg.norm(one) / np.linalg.norm(other)
    mixed = correlation * one + np.sqrt(1 - correlation**2) * other
    return np.round(20_000 + 3_000 * one), np.round(20_000 + 3_000 * mixed)


@pytest.mark.parametrize("correlation", [0.96, -0.96])
def test_tokens_that_go_together_cannot_be_told_apart(correlation):
    prefilled, generated = correlated(correlation)
    found = phase_costs(energies(prefilled, generated).tolist(), prefilled, generated)
    assert "input and output tokens go together" in found
    assert f"(correlation {correlation})" in found
    assert not isinstance(phase_costs(energies(*correlated(0.94)).tolist(), *correlated(0.94)), str)


# In the result


SERVED = ModelFacts("cuda", "http://a", "a server", None, (), SHAPE, None, ("GPU-1",))


def requests(count, seed=3):
    """As they overlap on a server, four at a time: prompts and outputs of very different lengths."""
    draw = np.random.default_rng(seed)
    found, free_s = [], [100.0, 100.1, 100.2, 100.3]
    for index in range(count):
        start_s = min(free_s)
        first_s = start_s + draw.uniform(0.05, 0.3)
        times_s = first_s + np.cumsum([0.0, *draw.uniform(0.01, 0.03, draw.integers(1, 120))])
        free_s[free_s.index(start_s)] = float(times_s[-1])
        record = RequestRecord(index, int(draw.integers(10, 4000)), len(times_s), start_s, tuple(times_s), "stop")
        found.append(Batch(start_s, record.end_s, (record,), record.input_tokens, record.token_times_s, False))
    return found


def tokens_in(batches, start_s, end_s):
    """Those prefilled and generated from `start_s` to before `end_s`; the first token is its prefill's."""
    records = [record for batch in batches for record in batch.requests]
    prefilled = sum(record.input_tokens for record in records if start_s <= record.token_times_s[0] < end_s)
    generated = sum(start_s <= at_s < end_s for record in records for at_s in record.token_times_s[1:])
    return prefilled, generated


def served(batches, seconds=40, *, noise_j=0.0, unreadable=None, costs=(PREFILL_J, DECODE_J), gain_share=0.0):
    """The result of so many seconds, a slice a second, and its tokens."""
    draw = np.random.default_rng(5)
    edges_s = [100.0 + second for second in range(seconds + 1)]
    tokens = [tokens_in(batches, *edge) for edge in itertools.pairwise(edges_s)]
    joules = [
        IDLE_J + costs[0] * prefilled + costs[1] * generated + draw.normal(0.0, noise_j)
        for prefilled, generated in tokens
    ]
    slices = [
        Slice(*edge, [gpu_energy(1, None if number == unreadable else energy_j)])
        for number, (edge, energy_j) in enumerate(zip(itertools.pairwise(edges_s), joules, strict=True))
    ]
    whole = gpu_energy(1, sum(joules), edge_j=1.0, gain_j=gain_share * sum(joules))
    energy = {"slices": slices, "loaded_idle": NO_IDLE}
    window = Window("windowed", edges_s[0], edges_s[-1])
    result = summarise(measurement(batches, window=window, devices=[whole], model=SERVED, energy=energy))
    return result, np.sum(tokens, axis=0)


def phase_notes(result):
    return [each for each in result.measurement_warnings if each.startswith("The energy of ")]


def test_the_energy_of_each_phase_is_that_of_its_tokens_inside_the_window():
    result, (prefilled, generated) = served(requests(180))
    assert result.energy_prefill_j == pytest.approx(PREFILL_J * prefilled)
    assert result.energy_decode_j == pytest.approx(DECODE_J * generated)
    assert result.energy_prefill_uncertainty_j == pytest.approx(0.0, abs=1e-3)
    assert result.phase_energy_method == "regression over 40 slices of time"
    assert phase_notes(result) == []


def test_the_bound_of_a_phase_has_the_sensors_gain_in_it():
    exact, _ = served(requests(180), noise_j=10.0)
    scaled, _ = served(requests(180), noise_j=10.0, gain_share=0.13)
    for phase in ("prefill", "decode"):
        energy_j, before_j = (getattr(exact, f"energy_{phase}_{each}j") for each in ("", "uncertainty_"))
        after_j = getattr(scaled, f"energy_{phase}_uncertainty_j")
        assert after_j == pytest.approx(before_j + 0.13 * energy_j)
        assert before_j > 0


def test_a_phase_whose_bound_passes_half_of_it_is_unknown_and_the_other_is_not():
    result, _ = served(requests(180), noise_j=20.0, costs=(1e-4, 1.0))
    assert result.energy_prefill_j is result.energy_prefill_uncertainty_j is None
    assert result.energy_decode_j > 0
    (note,) = phase_notes(result)
    assert note.startswith("The energy of prefill is unknown: ")
    assert "a bound of more than half; a longer run, and prompts and outputs of more different lengths" in note


def test_a_cost_below_nothing_is_unknown():
    result, _ = served(requests(180), noise_j=0.1, costs=(-0.01, 1.0))
    assert result.energy_prefill_j is None
    assert result.energy_decode_j > 0


def test_phases_of_a_device_that_could_not_be_read_throughout_are_unknown():
    result, _ = served(requests(180), unreadable=7)
    assert result.energy_prefill_j is result.energy_decode_j is result.phase_energy_method is None
    assert phase_notes(result) == [
        "The energy of prefill and decode is unknown: the device could not be read throughout."
    ]


def test_a_run_of_few_slices_says_how_many_are_needed():
    result, _ = served(requests(100), seconds=12)
    assert result.energy_prefill_j is result.energy_decode_j is None
    assert phase_notes(result) == [
        "The energy of prefill and decode is unknown: phases of different requests overlap, and 12 slices of time are "
        "too few, 30 are needed: measure for longer."
    ]
