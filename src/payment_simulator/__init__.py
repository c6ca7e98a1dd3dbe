"""Real-time gross settlement, simulated exactly, to the cent: banks, liquidity, queues, and what each choice costs.

    from payment_simulator import draw_arrivals, load_scenario, simulate

    scenario = load_scenario("examples/payments/castro_exp1.yaml")
    outcome = simulate(scenario, draw_arrivals(scenario, seed=42))
    print(outcome.total_cost)

Every error that is raised on purpose:

    LabledgerError
    ├── ConfigError                a scenario, a policy, an experiment or a flag cannot be used as it stands
    ├── DatabaseError              an experiments' database cannot be read or written
    │   ├── DatabaseBusyError      another process holds it
    │   ├── RecordError            what was asked for is not in it, or not in that state
    │   └── UnusableDatabaseError  the file is no such database, or one of a newer version
    ├── EndpointError              the language model's server cannot be reached, or refuses
    ├── UnusableAnswerError        a language model's answer holds no policy
    ├── TokensSpentError           the language model has spent the tokens that it may
    └── WorkerError                a worker process was killed twice at the same runs

Names are imported on first use, so importing the package costs nothing.
"""

from typing import TYPE_CHECKING

from labledger.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from labledger.errors import ConfigError, LabledgerError
    from labledger.executor import WorkerError
    from payment_simulator.days.loading import Day, load_day
    from payment_simulator.days.saving import save_day
    from payment_simulator.engine.allocation_search import AllocationSearch, search_allocations
    from payment_simulator.engine.indicators import DayIndicators, Indicators, RunIndicators
    from payment_simulator.engine.outcome import Outcome
    from payment_simulator.engine.simulate import prepare, simulate, simulate_batch
    from payment_simulator.experiments.config import ExperimentConfig
    from payment_simulator.experiments.persistence.database import UnusableDatabaseError
    from payment_simulator.experiments.persistence.lock_wait import DatabaseBusyError, DatabaseError
    from payment_simulator.experiments.persistence.tables import RecordError
    from payment_simulator.experiments.proposers.protocol import EndpointError, UnusableAnswerError
    from payment_simulator.experiments.result import ExperimentResult
    from payment_simulator.experiments.runner.experiment_runner import ExperimentRunner
    from payment_simulator.experiments.runner.optimization import TokensSpentError
    from payment_simulator.policy.builtin import Policy
    from payment_simulator.policy.policies import load_policy
    from payment_simulator.scenario.arrivals import Arrivals, draw_arrivals
    from payment_simulator.scenario.loader import load_scenario
    from payment_simulator.scenario.schema import Scenario
    from payment_simulator.sweeps.stress import stress
    from payment_simulator.sweeps.sweeping import sweep

    __version__: str

__all__ = [
    "AllocationSearch",
    "Arrivals",
    "ConfigError",
    "DatabaseBusyError",
    "DatabaseError",
    "Day",
    "DayIndicators",
    "EndpointError",
    "ExperimentConfig",
    "ExperimentResult",
    "ExperimentRunner",
    "Indicators",
    "LabledgerError",
    "Outcome",
    "Policy",
    "RecordError",
    "RunIndicators",
    "Scenario",
    "TokensSpentError",
    "UnusableAnswerError",
    "UnusableDatabaseError",
    "WorkerError",
    "__version__",
    "draw_arrivals",
    "load_day",
    "load_policy",
    "load_scenario",
    "prepare",
    "save_day",
    "search_allocations",
    "simulate",
    "simulate_batch",
    "stress",
    "sweep",
]

_HOMES = {
    "AllocationSearch": "payment_simulator.engine.allocation_search",
    "Arrivals": "payment_simulator.scenario.arrivals",
    "ConfigError": "labledger.errors",
    "DatabaseBusyError": "payment_simulator.experiments.persistence.lock_wait",
    "DatabaseError": "payment_simulator.experiments.persistence.lock_wait",
    "Day": "payment_simulator.days.loading",
    "DayIndicators": "payment_simulator.engine.indicators",
    "EndpointError": "payment_simulator.experiments.proposers.protocol",
    "ExperimentConfig": "payment_simulator.experiments.config",
    "ExperimentResult": "payment_simulator.experiments.result",
    "ExperimentRunner": "payment_simulator.experiments.runner.experiment_runner",
    "Indicators": "payment_simulator.engine.indicators",
    "LabledgerError": "labledger.errors",
    "Outcome": "payment_simulator.engine.outcome",
    "Policy": "payment_simulator.policy.builtin",
    "RecordError": "payment_simulator.experiments.persistence.tables",
    "RunIndicators": "payment_simulator.engine.indicators",
    "Scenario": "payment_simulator.scenario.schema",
    "TokensSpentError": "payment_simulator.experiments.runner.optimization",
    "UnusableAnswerError": "payment_simulator.experiments.proposers.protocol",
    "UnusableDatabaseError": "payment_simulator.experiments.persistence.database",
    "WorkerError": "labledger.executor",
    "draw_arrivals": "payment_simulator.scenario.arrivals",
    "load_day": "payment_simulator.days.loading",
    "load_policy": "payment_simulator.policy.policies",
    "load_scenario": "payment_simulator.scenario.loader",
    "prepare": "payment_simulator.engine.simulate",
    "save_day": "payment_simulator.days.saving",
    "search_allocations": "payment_simulator.engine.allocation_search",
    "simulate": "payment_simulator.engine.simulate",
    "simulate_batch": "payment_simulator.engine.simulate",
    "stress": "payment_simulator.sweeps.stress",
    "sweep": "payment_simulator.sweeps.sweeping",
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
