"""The ending of a run: the score of its last profile, and the facts that are stored of it."""

from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.evaluator import Evaluator, Purpose
from payment_simulator.experiments.nash_gap import NashGap, find_nash_gap
from payment_simulator.experiments.parameters import declared
from payment_simulator.experiments.persistence import Ending
from payment_simulator.experiments.runner.state import ExperimentState


def gap_of(config: ExperimentConfig, evaluator: Evaluator, state: ExperimentState) -> NashGap | None:
    """Return the Nash gap in cents of the policies that are in force; None where none of them can be varied."""
    parameters = declared(config.policy_constraints)
    level = config.evaluation.acceptance.confidence
    return find_nash_gap(evaluator, state.policies, state.optimized, parameters, level)


def final_ending(config: ExperimentConfig, evaluator: Evaluator, state: ExperimentState, *, with_gap: bool) -> Ending:
    """Return the ending of a completed run, without its moment and duration; costs are those of the FINAL draws.

    Raises:
        ConfigError: the final policies cannot be evaluated.
    """
    converged = state.is_stable(config.convergence.stability_window)
    gap = gap_of(config, evaluator, state) if with_gap else None
    costs = evaluator.totals(evaluator.costs(state.policies, Purpose.FINAL))
    return Ending(
        converged=converged,
        convergence_reason="stability" if converged else "max_iterations",
        num_iterations=state.iteration,
        final_cost=sum(costs.values()),
        final_costs_by_agent=costs,
        final_policies=dict(state.policies),
        final_nash_gap=gap.cents if gap else None,
        final_nash_gap_half_width=gap.half_width if gap else None,
    )
