"""A numba that is installed and cannot be imported: the reference engine runs instead."""

import sys
import warnings
from importlib import import_module

import numpy as np
import pytest
from scenarios import make_scenario, pay

from labledger.errors import ConfigError
from payment_simulator import draw_arrivals, simulate, simulate_batch
from payment_simulator.engine.allocation_search import search_allocations

simulate_module = import_module("payment_simulator.engine.simulate")


@pytest.fixture
def broken(monkeypatch):
    def refuse(name):
        raise ImportError(f"{name}: llvmlite is broken")

    monkeypatch.delitem(sys.modules, simulate_module.KERNEL, raising=False)
    monkeypatch.setattr(simulate_module, "import_module", refuse)
    monkeypatch.setattr(simulate_module, "missing", lambda *names: [])
    monkeypatch.setattr(simulate_module, "_problem_of_numba", "")
    monkeypatch.setattr(simulate_module, "_work_budget", 0.0)


def game():
    agents = {name: {"liquidity_pool": 100} for name in "AB"}
    return make_scenario(agents, *[pay("A", "B", 60, deadline=3) for _ in range(4)], ticks=6)


@pytest.mark.parametrize("budget", [0.0, 17.0])
def test_a_numba_that_cannot_be_imported_leaves_the_reference_engine_and_one_warning(broken, monkeypatch, budget):
    monkeypatch.setattr(simulate_module, "_work_budget", budget)  # 17: the reference begins, and would give it up
    scenario = game()
    arrivals = draw_arrivals(scenario)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = simulate(scenario, arrivals, record_events=True)
        batch = simulate_batch(scenario, draw_arrivals(scenario, samples=3))
        searched = search_allocations(scenario, None, arrivals, 0, range(101), budget=10**6)
    assert ["llvmlite is broken" in str(each.message) for each in told] == [True]
    expected = simulate(scenario, arrivals, record_events=True, engine="reference")
    assert np.array_equal(found.rows, expected.rows)
    assert np.array_equal(found.costs, expected.costs)
    assert (found.engine, batch.engine) == ("reference", "reference")
    again = search_allocations(scenario, None, arrivals, 0, range(101), budget=10**6, engine="reference")
    assert searched == again
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigError, match="engine: kernel: numba is installed and cannot be imported"):
            simulate(scenario, arrivals, engine="kernel")
