"""Experiments of scripted proposers, run as a program runs them: through the runner, with a database."""

import asyncio
from pathlib import Path

import yaml
from scenarios import make_scenario, pay

from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.persistence import ExperimentRepository
from payment_simulator.experiments.proposers.protocol import Interaction
from payment_simulator.experiments.runner import GenericExperimentRunner

EXAMPLES = Path(__file__).parents[4] / "examples" / "payments"
FRACTION = "initial_liquidity_fraction"
FIVE = [{"name": FRACTION, "allowed_values": [0, 0.25, 0.5, 0.75, 1]}]
_ROUND = make_scenario(
    {name: {"liquidity_pool": 4_000, "liquidity_allocation_fraction": 0.5} for name in "AB"},
    pay("A", "B", 1_500, 0, 0),
    pay("A", "B", 500, 1, 1),
    pay("A", "B", 3_500, 2, 0),
    pay("A", "B", 1_500, 2, 2),
    pay("B", "A", 1_000, 0, 3),
    pay("B", "A", 3_000, 0, 4),
    pay("B", "A", 2_000, 2, 1),
    ticks=5,
    costs={
        "liquidity_cost_per_tick_bps": 300,
        "delay_cost_per_tick_per_cent": 0.01,
        "deadline_penalty": 500,
        "eod_borrowing_bps": 0,
    },
    deferred_crediting=True,
)
ROUND = yaml.safe_dump(_ROUND.model_dump(mode="json"))
"""A scenario's file. From half the pool each, best responses go round: A borrows all while B borrows nothing, and half
while B borrows a quarter.
"""


def borrow(fraction):
    """Fifo, with a share of the pool."""
    return {"type": "Fifo", "parameters": {FRACTION: fraction}}


class Scripted:
    """Proposes what it is told to, by bank, the last again and again; remembers what it was told."""

    def __init__(self, **answers):
        self.answers = {name: list(each) for name, each in answers.items()}
        self.contexts = []

    async def generate_policy(self, *, agent_id, prompt, current_policy, context):
        self.contexts.append(context)
        left = self.answers[agent_id]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def get_last_interaction(self):
        return Interaction(prompt_tokens=7, completion_tokens=3, latency_seconds=0.0)


def config_of(folder, scenario="castro_exp1.yaml", iterations=25, window=5, **further):
    """A configuration whose results lie in `folder`, None to keep none; no Nash gap unless it is asked for."""
    rules = {"max_iterations": iterations, "stability_window": window, **further.pop("convergence", {})}
    return ExperimentConfig.model_validate(
        {
            "name": "loop",
            "scenario": str(scenario),
            "convergence": rules,
            "evaluation": {"nash_gap": "off"},
            "output": None if folder is None else {"directory": str(folder), "database": "runs.db"},
            "master_seed": 42,
            **further,
        }
    )


def run_config(config, proposer=None):
    """Run it; its result, and the iterations and events that it has stored."""
    runner = GenericExperimentRunner(config, config_dir=EXAMPLES, proposer=proposer)
    result = asyncio.run(runner.run())
    if runner.database is None:
        return result, [], []
    with ExperimentRepository(runner.database) as repository:
        return result, repository.get_iterations(runner.run_id), repository.get_events(runner.run_id)
