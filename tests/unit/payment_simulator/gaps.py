"""The Nash gap of a profile, as an iteration of an experiment has it."""

from typing import Any

from payment_simulator.experiments.nash_gap import NashGap, best_responses, largest_gap


def find_nash_gap(*profile: Any, **search: Any) -> NashGap | None:
    """The gap of all banks, by the arguments of `best_responses`."""
    return largest_gap(list(best_responses(*profile, **search).values()))
