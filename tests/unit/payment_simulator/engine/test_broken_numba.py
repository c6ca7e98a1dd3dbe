"""A numba that is missing, or installed and cannot be imported: the reference engine runs instead."""

import sys
from importlib import import_module

import numpy as np
import pytest
from scenarios import make_scenario, pay

from labledger.errors import ConfigError
from labledger.extras import install_command
from labledger.notices import NOTICES
from payment_simulator import draw_arrivals, simulate, simulate_batch
from payment_simulator.engine.allocation_search import search_allocations

simulate_module = import_module("payment_simulator.engine.simulate")


@pytest.fixture
def told(monkeypatch):
    """The notices of the engine, as they come."""
    found = []
    monkeypatch.setattr(NOTICES, "warning", lambda form, text: found.append(form % text))
    return found


@pytest.fixture(params=["broken", "missing"])
def without_numba(request, monkeypatch):
    """The beginning of the notice."""
    is_broken = request.param == "broken"

    def refuse(name):
        raise ImportError(f"{name}: llvmlite is broken" if is_broken else f"No module named {name!r}")

    monkeypatch.delitem(sys.modules, simulate_module.KERNEL, raising=False)
    monkeypatch.setattr(simulate_module, "import_module", refuse)
    monkeypatch.setattr(simulate_module, "missing", lambda *names: [] if is_broken else list(names))
    monkeypatch.setattr(simulate_module, "_problem_of_numba", "")
    monkeypatch.setattr(simulate_module, "_work_budget", 0.0)
    return "numba is installed and cannot be imported (" if is_broken else "numba is not installed, "


def game():
    agents = {name: {"liquidity_pool": 100} for name in "AB"}
    return make_scenario(agents, *[pay("A", "B", 60, deadline=3) for _ in range(4)], ticks=6)


@pytest.mark.parametrize("budget", [0.0, 17.0])
def test_without_a_numba_that_works_the_reference_engine_runs_and_says_so_once(
    without_numba, told, monkeypatch, budget
):
    monkeypatch.setattr(simulate_module, "_work_budget", budget)  # 17: the reference begins, and would give it up
    scenario = game()
    arrivals = draw_arrivals(scenario)
    found = simulate(scenario, arrivals, record_events=True)
    batch = simulate_batch(scenario, draw_arrivals(scenario, samples=3))
    searched = search_allocations(scenario, None, arrivals, 0, range(101), budget=10**6)
    (line,) = told
    assert line.startswith(without_numba)
    assert line.endswith(f"and without it this takes long; run {install_command('payments')}")
    expected = simulate(scenario, arrivals, record_events=True, engine="reference")
    assert np.array_equal(found.rows, expected.rows)
    assert np.array_equal(found.costs, expected.costs)
    assert (found.engine, batch.engine) == ("reference", "reference")
    again = search_allocations(scenario, None, arrivals, 0, range(101), budget=10**6, engine="reference")
    assert searched == again
    with pytest.raises(ConfigError, match=r"engine: kernel: numba is installed and cannot|engine: kernel needs numba"):
        simulate(scenario, arrivals, engine="kernel")
    assert told == [line]


def test_a_watch_sees_how_far_the_reference_engine_is(monkeypatch):
    monkeypatch.setattr(simulate_module, "WATCHED_WORK", 1.0)
    scenario, seen = game(), []
    simulate(scenario, draw_arrivals(scenario), engine="reference", watch=lambda *each: seen.append(each))
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert seen[-1] == (6, 6)
