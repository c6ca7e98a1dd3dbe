"""The cost of an experiment: steps committed, events stored, candidates evaluated, Nash gaps found.

    pip install -e '.[payments]'
    python benchmarks/experiments.py [--pairs 8]

A step is what the loop stores of an iteration of two banks: the iteration with its evaluation, and two decisions, a
transaction each. The peer is the same on a DuckDB connection that is held open, which shuts every other process out;
the two take turns.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

from _report import machine, pressure, ratio_interval

from payment_simulator import load_scenario
from payment_simulator.engine import simulate
from payment_simulator.experiments.config import Evaluation, ExperimentConfig
from payment_simulator.experiments.evaluator import Evaluator, Purpose
from payment_simulator.experiments.nash_gap import best_responses, largest_gap
from payment_simulator.experiments.parameters import ANY_FRACTION
from payment_simulator.experiments.persistence import (
    EventRecord,
    ExperimentRecord,
    ExperimentRepository,
    IterationRecord,
    Step,
)
from payment_simulator.experiments.runner import GenericExperimentRunner

EXAMPLES = Path(__file__).parents[1] / "examples" / "payments"
POLICY = {"type": "Fifo", "parameters": {"initial_liquidity_fraction": 0.25}}
BANKS = ("BANK_A", "BANK_B")
ITERATIONS = 60
EVENTS = 2_000


def event(number: int, kind: str) -> EventRecord:
    """A decision's event."""
    data = {"agent_id": "BANK_A", "policy": POLICY, "reason": "saves 12 cents", "old_cost": 500, "new_cost": 488}
    return EventRecord("run", number, kind, data, datetime.now(UTC))


def begin(path: Path) -> ExperimentRepository:
    """A database with one run."""
    repository = ExperimentRepository(path)
    repository.save_experiment(ExperimentRecord("run", "run", "generic", {}, datetime.now(UTC)))
    return repository


def steps(write: Callable[[], AbstractContextManager[Step]]) -> float:
    """Iterations a second; `write` gives a transaction."""
    began_s = time.perf_counter()
    for number in range(1, ITERATIONS + 1):
        costs = dict.fromkeys(BANKS, 500)
        with write() as step:
            policies = dict.fromkeys(BANKS, POLICY)
            step.save_iteration(IterationRecord("run", number, 1_000, costs, policies, datetime.now(UTC)))
            step.save_event(event(number, "evaluation"))
        for _ in BANKS:
            with write() as step:
                step.save_events([event(number, "policy_proposed"), event(number, "policy_accepted")])
    return ITERATIONS / (time.perf_counter() - began_s)


class HeldOpen:
    """The same transactions on one connection."""

    def __init__(self, path: Path) -> None:
        import duckdb

        begin(path).close()
        self._path = path
        self._connection = duckdb.connect(str(path))

    def transaction(self) -> "HeldOpen":
        """As the repository's."""
        return self

    def __enter__(self) -> Step:
        self._connection.execute("BEGIN")
        return Step(self._connection, self._path)

    def __exit__(self, *_: object) -> None:
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()


def committed(pairs: int) -> None:
    """Iterations a second, leased and held open, in turns."""
    ratios, leased = [], []
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            with begin(Path(folder) / "leased.db") as repository:
                ours = steps(repository.transaction)
            peer = HeldOpen(Path(folder) / "held.db")
            held = steps(peer.transaction)
            peer.close()
        leased.append(ours)
        ratios.append(ours / held)
    median, low, high = ratio_interval(ratios)
    print(
        f"committed iterations/s, 3 transactions each: {max(leased):.0f} at best; to a connection held open "
        f"{median:.2f} (95 % interval {low:.2f} to {high:.2f}, {pairs} pairs)"
    )


def events() -> None:
    """Events a second, in one transaction and one by one."""
    with tempfile.TemporaryDirectory() as folder, begin(Path(folder) / "events.db") as repository:
        began_s = time.perf_counter()
        repository.save_events(event(1, "policy_proposed") for _ in range(EVENTS))
        together = EVENTS / (time.perf_counter() - began_s)
        began_s = time.perf_counter()
        for _ in range(EVENTS // 20):
            repository.save_event(event(1, "policy_proposed"))
        alone = EVENTS / 20 / (time.perf_counter() - began_s)
    print(f"events/s: {together:,.0f} stored together, {alone:,.0f} each in a transaction of its own")


def evaluations() -> None:
    """Candidates evaluated on 1,000 samples of castro_exp2's observed day, and how much of that is the simulator."""
    evaluator = Evaluator(
        load_scenario(EXAMPLES / "castro_exp2.yaml"), Evaluation(mode="bootstrap", num_samples=1_000), 42
    )
    profile = dict.fromkeys(BANKS, POLICY)
    candidates = [{"type": "Fifo", "parameters": {"initial_liquidity_fraction": step / 40}} for step in range(41)]
    evaluator.own_costs(profile, "BANK_A", candidates, Purpose.PROPOSER)
    inside_s = 0.0
    kernel = simulate._batch_by_kernel

    def timed(*arguments: object) -> object:
        nonlocal inside_s
        began_s = time.perf_counter()
        found = kernel(*arguments)  # type: ignore[arg-type]
        inside_s += time.perf_counter() - began_s
        return found

    with mock.patch.object(simulate, "_batch_by_kernel", timed):
        began_s = time.perf_counter()
        for _ in range(5):
            evaluator.own_costs(profile, "BANK_A", candidates, Purpose.PROPOSER)
        taken_s = time.perf_counter() - began_s
    rate = 5 * len(candidates) * 1_000 / taken_s
    share = f"{inside_s / taken_s:.0%} of the time in the simulator"
    print(f"castro_exp2, bootstrap: {rate:,.0f} evaluations/s (samples x candidates), {share}")


def gaps() -> None:
    """Seconds of the Nash gap of both banks, from half the pool each, the engine compiled and loaded."""
    half = {"type": "Fifo", "parameters": {"initial_liquidity_fraction": 0.5}}
    profile = dict.fromkeys(BANKS, half)
    for name, evaluation in (
        ("castro_exp1", Evaluation()),
        ("castro_exp3", Evaluation()),
        ("castro_exp2", Evaluation(mode="monte_carlo", num_samples=1_000)),
    ):
        scenario = load_scenario(EXAMPLES / f"{name}.yaml")
        level, budget = evaluation.acceptance.confidence, evaluation.nash_gap_budget
        for _ in range(2):  # the first compiles; an evaluator keeps the gap that it has found
            evaluator = Evaluator(scenario, evaluation, 42)
            _ = evaluator.arrivals(Purpose.NASH_GAP)
            began_s = time.perf_counter()
            found = best_responses(evaluator, profile, BANKS, [ANY_FRACTION], level=level, budget=budget)
            gap = largest_gap(list(found.values()))
            taken_s = time.perf_counter() - began_s
        print(f"{name}, {evaluation.mode}: {gap.phrase if gap else 'no gap'} of both banks in {taken_s:.3f} s")


def search() -> None:
    """50 iterations of a search over castro_exp2, 1,000 samples an evaluation, the Nash gap in each."""
    with tempfile.TemporaryDirectory() as folder:
        config = ExperimentConfig.model_validate(
            {
                "name": "benchmark",
                "scenario": "castro_exp2.yaml",
                "evaluation": {"mode": "bootstrap", "num_samples": 1_000},
                "convergence": {"max_iterations": 50, "stability_window": 51},
                "output": {"directory": folder, "database": "runs.db"},
            }
        )
        began_s = time.perf_counter()
        result = asyncio.run(GenericExperimentRunner(config, config_dir=EXAMPLES).run())
        taken_s = time.perf_counter() - began_s
    gap = f"Nash gap {result.final_nash_gap} ± {result.final_nash_gap_half_width} ({result.final_nash_gap_kind})"
    print(f"castro_exp2, a search of {result.num_iterations} iterations, 1,000 samples: {taken_s:.1f} s; {gap}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=8)
    pairs = parser.parse_args().pairs
    print(machine())
    print(f"before: {pressure()}")
    committed(pairs)
    events()
    evaluations()
    gaps()
    search()
    print(f"after:  {pressure()}")


if __name__ == "__main__":
    main()
