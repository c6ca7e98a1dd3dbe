"""The context of a proposer, for tests."""

from scenarios import make_scenario, pay

from payment_simulator.experiments.policy_constraints import PolicyConstraints
from payment_simulator.experiments.proposers.protocol import DecisionContext

FRACTION = "initial_liquidity_fraction"


def constrained(**further):
    """Constraints as an experiment's file says them."""
    return PolicyConstraints.model_validate(further)


def make_context(bank="A", scenario=None, constraints=None, **further):
    """A decision of one of two banks, both of which release everything."""
    scenario = scenario or make_scenario(
        {"A": {"liquidity_pool": 90_000}, "B": {"liquidity_pool": 70_000}},
        pay("A", "B", 15_000, deadline=1),
        ticks=2,
        costs={"liquidity_cost_per_tick_bps": 500, "delay_cost_per_tick_per_cent": 0.2},
    )
    fifo = {"type": "Fifo", "parameters": {FRACTION: 0.5}}
    told = {
        "policies": {agent.id: fifo for agent in scenario.agents},
        "costs": {agent.id: {"liquidity": 4_500, "delay": 321} for agent in scenario.agents},
        "evaluate": lambda policies: [0.0 for _ in policies],
        **further,
    }
    return DecisionContext(
        agent_id=bank, iteration=1, scenario=scenario, constraints=constraints or constrained(), **told
    )
