"""Real-time gross settlement, simulated exactly, to the cent: banks, liquidity, queues, and what each choice costs.

    from payment_simulator import draw_arrivals, load_scenario, simulate

    scenario = load_scenario("examples/payments/castro_exp1.yaml")
    outcome = simulate(scenario, draw_arrivals(scenario, seed=42))
    print(outcome.total_cost)

Names are resolved on first use, so importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from payment_simulator.engine.simulate import simulate, simulate_batch
    from payment_simulator.scenario.arrivals import draw_arrivals
    from payment_simulator.scenario.loader import load_scenario
    from payment_simulator.scenario.schema import Scenario

__all__ = ["Scenario", "draw_arrivals", "load_scenario", "simulate", "simulate_batch"]

_HOMES = {
    "Scenario": "payment_simulator.scenario.schema",
    "draw_arrivals": "payment_simulator.scenario.arrivals",
    "load_scenario": "payment_simulator.scenario.loader",
    "simulate": "payment_simulator.engine.simulate",
    "simulate_batch": "payment_simulator.engine.simulate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
