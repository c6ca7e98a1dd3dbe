"""The ending of a run: the outcome of each of its starts, and the facts that are stored of it.

A start that ended in `stability` has `converged` if the Nash gap does not contradict it. It contradicts where it shows,
for one bank, a saving of more than `stability_threshold` of its cost: by an exact or searched gap, by the best that a
bounded one has seen, by an estimated one whose whole interval lies above, or that has none and was the same on each of
its draws. An estimated gap of 0 does not contradict, with or without an interval: the draws saw nothing to save. Where
the gap leaves it open (there is none, or a bound that is larger), the banks must have shown that they prefer what they
hold: the search does, and a model that has proposed it again; but not where `improvement_threshold` alone refused a
saving that would have been a move. So a model that only proposes worse policies has converged where the gap shows
nothing to save.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from payment_simulator.experiments.best_response import BestResponse
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.evaluator import Evaluator, Profile, Purpose
from payment_simulator.experiments.nash_gap import ALIKE, NashGap, best_responses, gap_columns, largest_gap
from payment_simulator.experiments.parameters import declared
from payment_simulator.experiments.persistence import Ending
from payment_simulator.experiments.runner.halting import STABILITY, Halt
from payment_simulator.experiments.runner.profiles import Agents, is_same_profile
from payment_simulator.experiments.runner.state import ExperimentState


@dataclass(frozen=True)
class Outcome:
    """The result of the starts that ended alike: its profile, costs in cents on the FINAL draws, and Nash gap."""

    starts: tuple[int, ...]
    reason: str
    is_rest: bool
    converged: bool
    policies: Profile
    costs: dict[str, int]
    gap: NashGap | None

    @property
    def row(self) -> dict[str, object]:
        """The outcome as `Ending.resting_points` has it.

        `starts` are the numbers of the starts that ended so, and `reached` how many; `at_rest` is True if nobody moved
        any more, and `reason` is as `Ending.convergence_reason` has it for a run with one start.
        """
        return {
            "starts": list(self.starts),
            "reached": len(self.starts),
            "at_rest": self.is_rest,
            "converged": self.converged,
            "reason": self.reason,
            "policies": dict(self.policies),
            "costs_by_agent": self.costs,
            "total_cost": sum(self.costs.values()),
            **gap_columns(self.gap),
        }


def gap_of(config: ExperimentConfig, evaluator: Evaluator, state: ExperimentState) -> NashGap | None:
    """Return the Nash gap in cents of the policies that are in force; None where none of them can be varied."""
    return largest_gap(list(_responses(config, evaluator, state, state.policies).values()))


def _responses(
    config: ExperimentConfig, evaluator: Evaluator, state: ExperimentState, profile: Profile
) -> dict[str, BestResponse]:
    return best_responses(
        evaluator,
        profile,
        state.optimized,
        declared(config.policy_constraints),
        level=config.evaluation.acceptance.confidence,
        budget=config.evaluation.nash_gap_budget,
        candidates=state.proposed,
    )


def final_ending(config: ExperimentConfig, evaluator: Evaluator, state: ExperimentState, *, with_gap: bool) -> Ending:
    """Return the ending of a completed run, as `ending_of` its outcomes.

    Raises:
        ConfigError: the final policies cannot be evaluated.
    """
    return ending_of(config, state, list(outcomes_of(config, evaluator, state, with_gap=with_gap)))


def outcomes_of(
    config: ExperimentConfig, evaluator: Evaluator, state: ExperimentState, *, with_gap: bool
) -> Iterator[Outcome]:
    """Yield the outcomes of the starts; those that came to rest at the same profile have one.

    Raises:
        ConfigError: the policies of one cannot be evaluated.
    """
    groups: list[dict[int, Halt]] = []
    for start, halt in enumerate(state.all_halts(), start=1):
        known = next((group for group in groups if _are_one(next(iter(group.values())), halt, state.agents)), None)
        if known is None:
            groups.append({start: halt})
        else:
            known[start] = halt
    score = _Score(config, evaluator, state, with_gap)
    yield from map(score.outcome, groups)


def ending_of(config: ExperimentConfig, state: ExperimentState, outcomes: Sequence[Outcome]) -> Ending:
    """Return the ending of a run that had these outcomes, without its moment and duration.

    With several starts, the result is the resting point of least total cost, and of those at which it has converged if
    there is one. `Ending.resting_points` then has every outcome, each resting point once, the result first.
    """
    ranked = sorted(outcomes, key=_rank)
    result, has_starts = ranked[0], config.convergence.starts > 1
    unheard = next((halt.unheard for halt in state.all_halts() if halt.unheard is not None), None)
    return Ending(
        converged=result.converged,
        convergence_reason=result.reason + (_restless(ranked) if has_starts else ""),
        num_iterations=state.iteration,
        refused_proposals=state.refused,
        first_refusal=state.first_refusal if unheard is None else state.refusals[unheard],
        final_cost=sum(result.costs.values()),
        final_costs_by_agent=result.costs,
        final_policies=dict(result.policies),
        **gap_columns(result.gap, "final_"),
        resting_points=[each.row for each in ranked] if has_starts else None,
    )


def _rank(outcome: Outcome) -> tuple[bool, bool, int, int]:
    return not outcome.converged, not outcome.is_rest, sum(outcome.costs.values()), outcome.starts[0]


def _are_one(one: Halt, other: Halt, agents: Agents) -> bool:
    is_rest = one.reason == other.reason == STABILITY
    return is_rest and is_same_profile(one.profiles[0], other.profiles[0], agents)


def _restless(outcomes: Sequence[Outcome]) -> str:
    """Return the starts that did not come to rest, by their reasons, to be added to the result's own reason."""
    starts: dict[str, list[int]] = {}
    for start, reason in sorted((each.starts[0], each.reason) for each in outcomes if not each.is_rest):
        starts.setdefault(reason, []).append(start)
    count, restless = sum(len(each.starts) for each in outcomes), sum(map(len, starts.values()))
    told = [f"{reason} (start {', '.join(map(str, numbers))})" for reason, numbers in starts.items()]
    return f"; {restless} of {count} starts did not come to rest: {'; '.join(told)}" if told else ""


@dataclass(frozen=True)
class _Score:
    config: ExperimentConfig
    evaluator: Evaluator
    state: ExperimentState
    with_gap: bool

    def outcome(self, halts: Mapping[int, Halt]) -> Outcome:
        """Return the outcome of starts, by number, that ended alike."""
        halt = next(iter(halts.values()))
        profile, responses = self._of_least_gap(halt)
        costs = self.evaluator.totals(self.evaluator.costs(profile, Purpose.FINAL))
        is_rest = halt.reason == STABILITY
        doubt = self._doubt(profile, responses, list(halts.values())) if is_rest else None
        return Outcome(
            starts=tuple(halts),
            reason=doubt or halt.reason,
            is_rest=is_rest,
            converged=is_rest and doubt is None,
            policies=profile,
            costs=costs,
            gap=largest_gap(list(responses.values())),
        )

    def _of_least_gap(self, halt: Halt) -> tuple[Profile, dict[str, BestResponse]]:
        """Return a halt's profile and the best responses to it: of a cycle that of least gap, without gaps the last."""
        if not self.with_gap:
            return halt.profiles[-1], {}
        found = [(each, _responses(self.config, self.evaluator, self.state, each)) for each in halt.profiles]
        gaps = [largest_gap(list(responses.values())) for _, responses in found]
        cents = [0 if gap is None else gap.cents for gap in gaps]
        return found[cents.index(min(cents))]

    def _doubt(self, profile: Profile, responses: Mapping[str, BestResponse], halts: Sequence[Halt]) -> str | None:
        """Return the reason why starts that came to rest at a profile have not converged; None if they have."""
        still = f"nobody moved for {self.config.convergence.stability_window} iterations"
        costs = self.evaluator.totals(self.evaluator.costs(profile, Purpose.EVALUATION))
        threshold = self.config.convergence.stability_threshold
        beyond = [each for name, each in responses.items() if each.most_saving > threshold * costs[name]]
        shown = [each for name, each in responses.items() if _shown(each) > threshold * costs[name]]
        if shown:
            return f"{still}, and a bank could still save {_told(max(shown, key=_shown))}"
        is_bounded = any(each.kind == "bounded" for each in beyond)
        is_open = is_bounded or len(responses) < len(self.state.optimized)
        if is_open and not any(each.is_deliberate for each in halts):
            withheld = next((each.withheld for each in halts if each.withheld is not None), None)
            if withheld is not None:
                return f"{still}, for improvement_threshold refused what {withheld} would have saved"
            return f"{still}, and it is not known what a bank could still save"
        return None


def _shown(response: BestResponse) -> int:
    """Return the cents that a bank could surely save: the lower end of an interval, the best that was seen.

    A saving without an interval was the same on every draw: so much it has saved on each.
    """
    return response.saving - (response.half_width or 0)


def _told(response: BestResponse) -> str:
    cents = f"{response.saving:,}"
    if response.kind == "exact":
        return f"{cents} cents (exact)"
    if response.kind == "estimated" and response.half_width is None:
        return f"{cents} cents (estimated, {ALIKE})"
    if response.kind == "estimated":
        return f"{cents} ± {response.half_width:,} cents (estimated)"
    return f"at least {cents} cents ({response.kind})"
