"""Two engines, one answer: the kernel gives what the reference defines, and so does a batch of either."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenarios import SAMPLES, act, ask, make_scenario, on_any_scenario, pay, play

from payment_simulator import Scenario, draw_arrivals, simulate, simulate_batch
from payment_simulator.engine.outcome import Ints, Outcome
from properties import examples

ARRAYS = [name for name, kind in Outcome.__annotations__.items() if kind is Ints]
TIMES = pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])


def differences(one, other, sample=...):
    """The names of the arrays in which two outcomes differ."""
    found = [
        name for name in (*ARRAYS, "rounding") if not np.array_equal(getattr(one, name), getattr(other, name)[sample])
    ]
    rows_differ = one.rows is not None and other.rows is not None and not np.array_equal(one.rows, other.rows)
    return found + ["rows"] * rows_differ


@pytest.mark.parametrize("times", [1, pytest.param(34, marks=pytest.mark.slow)])  # over 5,000 of them
def test_the_kernel_equals_the_reference_in_every_figure_and_every_event(times):
    @on_any_scenario(150 * times)
    def holds(drawn):
        found = drawn.play("kernel")
        assert found.engine == "kernel"
        assert differences(drawn.play("reference"), found) == []

    holds()


@TIMES
def test_a_batch_equals_its_samples_one_by_one_on_any_number_of_threads(times):
    @on_any_scenario(40 * times)
    def holds(drawn):
        batches = {
            threads: simulate_batch(drawn.scenario, drawn.arrivals, engine="kernel", threads=threads)
            for threads in (1, 2, 7)
        }
        batches["reference"] = simulate_batch(drawn.scenario, drawn.arrivals, engine="reference")
        for sample in range(SAMPLES):
            alone = simulate(drawn.scenario, drawn.arrivals.sample(sample), engine="kernel")
            assert {name: differences(alone, batch, sample) for name, batch in batches.items()} == {
                1: [],
                2: [],
                7: [],
                "reference": [],
            }

    holds()


@TIMES
def test_the_place_of_a_bank_in_the_file_changes_nothing(times):
    @on_any_scenario(40 * times)
    def holds(drawn):
        agents = drawn.document["agents"]
        moved = len(drawn.arrivals) % len(agents)
        other = Scenario.model_validate({**drawn.document, "agents": agents[moved::-1] + agents[:moved:-1]})
        for engine in ("reference", "kernel"):
            shuffled = simulate(other, draw_arrivals(other), record_events=True, engine=engine)
            assert differences(drawn.play(engine), shuffled) == []

    holds()


def test_a_run_with_events_costs_what_a_run_without_costs(engine):
    @on_any_scenario(20)
    def holds(drawn):
        silent = simulate(drawn.scenario, drawn.arrivals.sample(0), engine=engine)
        assert silent.rows is None
        assert differences(silent, drawn.play(engine)) == []

    holds()


SPLITTING = {
    "policy_id": "splits",
    "payment_tree": ask("amount", ">", 50, act("Split", num_splits=4), act("Release")),
}
LATE = {"type": "Deadline", "urgency_threshold": 2}
PAYMENTS = st.lists(
    st.tuples(
        st.integers(0, 1), st.integers(1, 99), st.integers(0, 10), st.integers(0, 6), st.integers(0, 9), st.booleans()
    ),
    max_size=40,
)


@examples(200)
@given(PAYMENTS, st.integers(0, 40), st.integers(0, 60), st.sampled_from([None, SPLITTING, LATE]), st.booleans())
def test_two_banks_that_owe_each_other_much_offset_alike_in_both_engines(payments, one, two, policy, is_deferred):
    """Long queues of mixed priorities, left out one after another, and whole pieces of them."""
    banks = {"A": {"opening_balance": one}, "B": {"unsecured_cap": two}}
    if policy is not None:
        banks["A"]["policy"] = policy
    events = [
        pay(*("AB", "BA")[way], amount, tick, deadline, priority=priority, is_divisible=divisible)
        for way, amount, priority, tick, deadline, divisible in payments
    ]
    scenario = make_scenario(banks, *events, ticks=12, lsm={"enable_bilateral": True}, deferred_crediting=is_deferred)
    assert differences(play(scenario), play(scenario, "kernel")) == []
