"""The costs of profiles: the draws of each purpose, and their sums."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenarios import make_scenario, pay, play

from labledger.errors import ConfigError
from payment_simulator import draw_arrivals
from payment_simulator.engine.events import read_arrivals, write_events
from payment_simulator.experiments.config import Evaluation, ExperimentConfig
from payment_simulator.experiments.evaluator import Evaluator, Purpose, mean_cents
from payment_simulator.experiments.setup import first_ticks
from payment_simulator.scenario.arrivals import COLUMNS, arrivals_from, resample_arrivals
from properties import examples

FIFO = {"type": "Fifo"}
PROFILE = {"A": FIFO, "B": FIFO}
SAMPLED = {"mode": "monte_carlo", "num_samples": 6}


def sends(rate, **further):
    amounts = {"type": "LogNormal", "mean": 100, "std_dev": 80}
    return {
        "arrival_config": {"rate_per_tick": rate, "amount_distribution": amounts, "deadline_range": [1, 4]} | further
    }


def seeded(scenario, seed):
    return scenario.model_copy(update={"simulation": scenario.simulation.model_copy(update={"rng_seed": seed})})


@pytest.fixture
def scenario():
    """Two banks without money, so that every payment waits and costs a cent a tick."""
    banks = {"A": sends(1.5), "B": sends(1.0)}
    return make_scenario(banks, pay("A", "B", 50, tick=3), ticks=8, costs={"delay_cost_per_tick_per_cent": 0.01})


def costs(evaluator, purpose, iteration=0):
    return evaluator.costs(PROFILE, purpose, iteration).tolist()


def test_a_deterministic_cost_is_that_of_the_run_with_the_same_seed(scenario):
    evaluator = Evaluator(scenario, Evaluation(), 11)
    of_the_run = play(
        scenario.model_copy(update={"simulation": scenario.simulation.model_copy(update={"rng_seed": 11})})
    )
    assert evaluator.costs(PROFILE, Purpose.EVALUATION).tolist() == [of_the_run.costs.tolist()]
    alike = [costs(evaluator, purpose, iteration) for purpose in Purpose for iteration in (0, 1, 9)]
    assert all(each == alike[0] for each in alike)


@pytest.mark.parametrize("mode", ["monte_carlo", "bootstrap"])
def test_each_purpose_has_draws_of_its_own_and_only_two_have_new_ones_in_each_iteration(scenario, mode):
    evaluator = Evaluator(scenario, Evaluation(mode=mode, num_samples=6), 11)
    first = {purpose: costs(evaluator, purpose, 1) for purpose in Purpose}
    assert len({str(each) for each in first.values()}) == len(Purpose)
    renewed = {purpose for purpose in Purpose if costs(evaluator, purpose, 2) != first[purpose]}
    assert renewed == {Purpose.PROPOSER, Purpose.ACCEPTANCE}
    again = Evaluator(scenario, Evaluation(mode=mode, num_samples=6), 11)
    assert {purpose: costs(again, purpose, 1) for purpose in Purpose} == first


def test_policies_are_compared_on_the_same_draws(scenario):
    evaluator = Evaluator(scenario, Evaluation.model_validate(SAMPLED), 11)
    one, other = evaluator.own_costs(PROFILE, "A", [FIFO, dict(FIFO)], Purpose.ACCEPTANCE, 3)
    assert one.tolist() == other.tolist()
    assert len(set(one.tolist())) > 1


@given(st.lists(st.integers(0, 2**60), min_size=1, max_size=9))
def test_a_mean_is_rounded_half_up_and_exact_however_large(values):
    mean = mean_cents(np.array(values, dtype=np.int64))
    assert type(mean) is int
    assert 0 <= 2 * len(values) * mean - 2 * sum(values) + len(values) <= 2 * len(values)
    assert mean_cents(np.array([1, 2])) == 2


def test_means_by_kind_and_totals_are_of_all_draws(scenario):
    evaluator = Evaluator(scenario, Evaluation.model_validate(SAMPLED), 11)
    found = evaluator.costs(PROFILE, Purpose.EVALUATION)
    assert found.shape == (6, 2, 8)
    assert evaluator.totals(found) == {name: mean_cents(found[:, bank].sum(axis=1)) for bank, name in enumerate("AB")}
    assert evaluator.means(found)["B"]["delay"] == mean_cents(found[:, 1, 3])


def payments(arrivals, sample=0):
    one = arrivals.sample(sample)
    return list(zip(*(getattr(one, name).tolist() for name in COLUMNS), strict=True))


@examples(30)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_a_bootstrap_sample_has_as_many_payments_of_each_sender_all_of_the_observed_day(seed, samples):
    banks = {"A": sends(1.5), "B": sends(1.0), "C": {}}
    scenario = make_scenario(banks, pay("C", "B", 50, tick=3), pay("A", "B", 7, tick=3), ticks=8)
    day = draw_arrivals(scenario, 5)
    drawn = resample_arrivals(scenario, day, seed, purpose=2, iteration=1, samples=samples)
    assert drawn.samples == samples
    for sample in range(samples):
        found, observed = payments(drawn, sample), payments(day)
        assert set(found) <= set(observed)
        for sender in range(3):
            assert sum(row[1] == sender for row in found) == sum(row[1] == sender for row in observed)
        assert [row for row in found if row[0] == 3][:2] == [row for row in observed if row[0] == 3][:2]
        assert [row[0] for row in found] == sorted(row[0] for row in found)


def test_a_bootstrap_takes_a_written_payment_once_out_of_those_that_are_alike():
    scenario = make_scenario({"A": {}, "B": {}}, pay("A", "B", 7, tick=3), ticks=8)
    written = draw_arrivals(scenario)
    day = arrivals_from(scenario, {name: getattr(written, name).tolist() * 3 for name in COLUMNS})
    drawn = resample_arrivals(scenario, day, 5, purpose=2, iteration=1, samples=2)
    assert [payments(drawn, sample) for sample in range(2)] == [payments(day)] * 2


def test_an_observed_day_is_read_from_the_events_of_a_run(scenario, tmp_path):
    day = draw_arrivals(scenario, 3)
    path = tmp_path / "day.parquet"
    outcome = play(seeded(scenario, 3))
    write_events(outcome.events(), path)
    assert payments(read_arrivals(path, scenario)) == payments(day)
    shorter = make_scenario({"A": {}, "B": {}}, ticks=4)
    assert payments(read_arrivals(path, shorter)) == [row for row in payments(day) if row[0] < 4]


def test_a_file_that_is_no_observed_day_is_refused(scenario, tmp_path):
    path = tmp_path / "day.parquet"
    path.write_text("no parquet")
    with pytest.raises(ConfigError, match=r"day\.parquet: not an event table"):
        read_arrivals(path, scenario)
    with pytest.raises(ConfigError, match="not an event table"):
        read_arrivals(tmp_path / "nosuch.parquet", scenario)
    write_events(play(scenario).events(), path)
    with pytest.raises(ConfigError, match="unknown bank 'B'"):
        read_arrivals(path, make_scenario({"A": {}, "C": {}}, ticks=8))
    whole = pq.read_table(path)
    pq.write_table(whole.set_column(whole.column_names.index("agent"), "agent", pa.array([1] * len(whole))), path)
    with pytest.raises(ConfigError, match="unknown bank '1'"):
        read_arrivals(path, scenario)
    pq.write_table(whole.drop(["deadline"]), path)
    with pytest.raises(ConfigError, match="not an event table"):
        read_arrivals(path, scenario)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="is a named pipe, not a regular file; name one"):
        read_arrivals(path, scenario)


def test_a_small_file_of_thirty_million_events_is_refused_with_the_limit(scenario, tmp_path):
    path = tmp_path / "day.parquet"
    pq.write_table(pa.table({"tick": pa.nulls(30_000_000, pa.int32())}), path)
    assert path.stat().st_size < 100_000
    with pytest.raises(ConfigError, match="has 30,000,000 rows, and at most 20,000,000 are read"):
        read_arrivals(path, scenario)


def shortened(scenario, ticks):
    data = {"name": "short", "scenario": "s.yaml", "evaluation": {"ticks": ticks}}
    return first_ticks(scenario, ExperimentConfig.model_validate(data))


def test_the_first_days_are_those_of_the_whole_without_what_comes_after():
    events = [pay("A", "B", 10, tick=1), pay("A", "B", 20, tick=7)]
    scenario = make_scenario({"A": {"opening_balance": 30}, "B": {}}, *events, ticks=4, days=3)
    assert shortened(scenario, 4).simulation.num_days == 1
    assert [event.amount for event in shortened(scenario, 4).scenario_events] == [10]
    assert shortened(scenario, 12) == scenario
    assert len(shortened(scenario, 8).scenario_events) == 2
    for ticks, words in ((6, "not a multiple of 4, the ticks per day"), (16, "more than the 12 of the scenario")):
        with pytest.raises(ConfigError, match=f"evaluation.ticks: {ticks} is {words}"):
            shortened(scenario, ticks)


@pytest.mark.parametrize(
    ("evaluation", "words"),
    [
        ({"mode": "monte_carlo", "num_samples": 3}, "num_samples: monte_carlo needs at least 4"),
        ({"mode": "bootstrap"}, "num_samples: bootstrap needs at least 4"),
        ({"num_samples": 10}, "num_samples: a deterministic evaluation has one draw"),
        ({"mode": "monte_carlo", "num_samples": 9, "observed": "day.parquet"}, "observed: only a bootstrap"),
    ],
)
def test_samples_that_do_not_fit_the_mode_are_refused(evaluation, words):
    with pytest.raises(ValueError, match=words):
        Evaluation.model_validate(evaluation)
