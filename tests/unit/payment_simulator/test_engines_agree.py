"""Two engines, one answer: the kernel gives what the reference defines, and so does a batch of either."""

import numpy as np
import pytest
from scenarios import SAMPLES, on_any_game

from payment_simulator import Scenario, draw_arrivals, simulate, simulate_batch
from payment_simulator.engine.outcome import Ints, Outcome

ARRAYS = [name for name, kind in Outcome.__annotations__.items() if kind is Ints]
TIMES = pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])


def differences(one, other, sample=...):
    """The names of the arrays in which two outcomes differ."""
    found = [name for name in ARRAYS if not np.array_equal(getattr(one, name), getattr(other, name)[sample])]
    rows_differ = one.rows is not None and other.rows is not None and not np.array_equal(one.rows, other.rows)
    return found + ["rows"] * rows_differ


@TIMES
def test_the_kernel_equals_the_reference_in_every_figure_and_every_event(times):
    @on_any_game(150 * times)
    def holds(game):
        found = game.play("kernel")
        assert found.engine == "kernel"
        assert differences(game.play("reference"), found) == []

    holds()


@TIMES
def test_a_batch_equals_its_samples_one_by_one_on_any_number_of_threads(times):
    @on_any_game(40 * times)
    def holds(game):
        batches = {
            threads: simulate_batch(game.scenario, game.arrivals, engine="kernel", threads=threads)
            for threads in (1, 2, 7)
        }
        batches["reference"] = simulate_batch(game.scenario, game.arrivals, engine="reference")
        for sample in range(SAMPLES):
            alone = simulate(game.scenario, game.arrivals.sample(sample), engine="kernel")
            assert {name: differences(alone, batch, sample) for name, batch in batches.items()} == {
                1: [],
                2: [],
                7: [],
                "reference": [],
            }

    holds()


@TIMES
def test_the_place_of_a_bank_in_the_file_changes_nothing(times):
    @on_any_game(40 * times)
    def holds(game):
        agents = game.document["agents"]
        moved = len(game.arrivals) % len(agents)
        other = Scenario.model_validate({**game.document, "agents": agents[moved::-1] + agents[:moved:-1]})
        for engine in ("reference", "kernel"):
            shuffled = simulate(other, draw_arrivals(other), record_events=True, engine=engine)
            assert differences(game.play(engine), shuffled) == []

    holds()


def test_a_run_with_events_costs_what_a_run_without_costs(engine):
    @on_any_game(20)
    def holds(game):
        silent = simulate(game.scenario, game.arrivals.sample(0), engine=engine)
        assert silent.rows is None
        assert differences(silent, game.play(engine)) == []

    holds()
