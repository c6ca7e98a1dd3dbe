"""Comparison of two stored runs by their final costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from labledger.comparison import Equivalence, equivalence
from labledger.errors import UnreadableFileError
from payment_simulator.experiments.evaluator import Cents, Evaluator, Purpose
from payment_simulator.experiments.stored_run import StoredRun
from payment_simulator.policy.policies import SHARE

WHERE_A_RUN_BEGINS = ("policy", SHARE)
"""Keys of a bank that decide no payment, and may differ between runs that are evaluated on the same draws."""


@dataclass(frozen=True)
class CostDifference:
    """The second run's final cost less the first's: cents, the mean over the draws that both were evaluated on.

    `low` and `high` are None where there is no interval: the difference is the same on all draws.
    """

    mean: float
    low: float | None
    high: float | None
    word: Equivalence


def final_differences(first: StoredRun, second: StoredRun, margin: float) -> dict[str | None, CostDifference] | None:
    """By bank, and of all together (None), how the final costs of two sampled runs differ.

    Both final profiles are evaluated again on the draws of their final scores, the same for both: what is left is the
    policies' difference, draw by draw. `same` is an interval within `margin`, a share of the first's mean cost;
    `different` is one without 0 in it; neither is `cannot tell`, and so are other policies whose difference is the same
    on all draws, which have no interval. None where the draws are not the same, or there are
    no final policies.

    Raises:
        UnreadableFileError: a run was stored without its scenario.
        ConfigError: a profile cannot be evaluated.
    """
    if not _share_draws(first, second):
        return None
    one, other = _final_costs(first), _final_costs(second)
    config, setup = first.setting
    evaluator, level = setup.evaluator(config), config.evaluation.acceptance.confidence
    columns: list[tuple[str | None, Cents, Cents]] = [
        (name, one[:, bank], other[:, bank]) for bank, name in enumerate(setup.scenario.agent_ids)
    ]
    columns.append((None, one.sum(axis=1), other.sum(axis=1)))
    if _hold(first) == _hold(second):  # for sure, and not only on these draws
        return {name: CostDifference(0.0, 0.0, 0.0, "same") for name, _, _ in columns}
    return {name: _difference(evaluator, a, b, level, margin) for name, a, b in columns}


def is_same_game(first: StoredRun, second: StoredRun) -> bool | None:
    """Return True if two runs' scenarios differ at most in where a run begins; None if one has none that can be read.

    The costs of different games are no two figures of one thing.
    """
    try:
        one, other = first.setting[1].to_dict(), second.setting[1].to_dict()
    except UnreadableFileError:
        return None
    return _game(one) == _game(other)


def _share_draws(first: StoredRun, second: StoredRun) -> bool:
    if first.record.final_policies is None or second.record.final_policies is None:
        return False
    (one, _), (other, _) = first.setting, second.setting
    return (
        one.evaluation.mode == other.evaluation.mode != "deterministic"
        and one.evaluation.num_samples == other.evaluation.num_samples
        and one.master_seed == other.master_seed
        and _payments(first.record.scenario or {}) == _payments(second.record.scenario or {})
    )


def _hold(run: StoredRun) -> tuple[object, object]:
    """Return what decides a run's costs on given draws: its scenario, whose shares hold by default, and policies."""
    return run.record.scenario, run.record.final_policies


def _payments(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return what payments are drawn from: the game, and the observed day."""
    return {**stored, "scenario": _game(stored)}


def _game(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored scenario without where a run in it begins."""
    agents = [
        {key: value for key, value in agent.items() if key not in WHERE_A_RUN_BEGINS}
        for agent in stored["scenario"]["agents"]
    ]
    return {**stored["scenario"], "agents": agents}


def _final_costs(run: StoredRun) -> Cents:
    """Cents by draw and bank."""
    config, setup = run.setting
    costs = setup.evaluator(config).costs(run.record.final_policies or {}, Purpose.FINAL)
    return np.asarray(costs.sum(axis=-1))


def _difference(evaluator: Evaluator, one: Cents, other: Cents, level: float, margin: float) -> CostDifference:
    savings = other - one
    if (interval := evaluator.interval(savings, level)) is None:
        return CostDifference(float(savings.mean()), None, None, "cannot tell")
    room = margin * float(one.mean())
    word = equivalence(interval.low, interval.high, none=0.0, margin=(-room, room))
    return CostDifference(float(savings.mean()), interval.low, interval.high, word)
