"""Runs an experiment: each step is in the database before the next one starts."""

from payment_simulator.experiments.result import ExperimentResult
from payment_simulator.experiments.runner.experiment_runner import GenericExperimentRunner
from payment_simulator.experiments.runner.optimization import OptimizationLoop
from payment_simulator.experiments.runner.state import ExperimentState
from payment_simulator.experiments.runner.verbose import VerboseConfig

__all__ = ["ExperimentResult", "ExperimentState", "GenericExperimentRunner", "OptimizationLoop", "VerboseConfig"]
