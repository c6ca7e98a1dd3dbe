"""The best response of one bank: the values of its policy's parameters that cost it least, the other banks' fixed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from payment_simulator.experiments.cost_search import CostSearch
from payment_simulator.experiments.deviations import Deviations
from payment_simulator.experiments.evaluator import Evaluator, Profile, Purpose
from payment_simulator.experiments.interrupts import hear_interrupt
from payment_simulator.experiments.policy_constraints import AllowedParameter
from payment_simulator.experiments.sampled_search import SampledSearch
from payment_simulator.experiments.value_ranges import value_ranges
from payment_simulator.policy.documents import PolicyDocument

GapKind = Literal["exact", "bounded", "estimated", "searched"]


@dataclass(frozen=True)
class BestResponse:
    """A bank's best policy that was found, its saving in cents, and how that is known.

    `policy` is the one that holds where none is better. `saving` is the own cost of what holds less that of `policy`,
    never below 0; `most_saving` is what no value can save more than where `kind` is exact or bounded, else `saving`.
    `half_width` is half the interval of `saving`, 0 where nothing is sampled, None where it has none: it is alike on
    all draws. `values` are the values that were tried or proved to save no more.
    """

    policy: PolicyDocument
    saving: int
    kind: GapKind
    most_saving: int
    half_width: int | None
    values: int


def find_best_response(
    evaluator: Evaluator,
    profile: Profile,
    agent_id: str,
    parameters: Sequence[AllowedParameter],
    *,
    purpose: Purpose,
    iteration: int = 0,
    level: float,
    budget: int,
    candidates: Sequence[PolicyDocument] = (),
) -> BestResponse | None:
    """Return a bank's best response; None where its policy has none of the parameters.

    `budget` is in simulated payments x ticks. `candidates` are other policies that are evaluated as well.

    Raises:
        ConfigError: a policy could cost more than is counted exactly.
        asyncio.CancelledError: the task is cancelled, as on Ctrl-C; heard between the rounds.
    """
    found = None
    for found in search_rounds(  # noqa: B007 - the last is the result
        evaluator,
        profile,
        agent_id,
        parameters,
        purpose=purpose,
        iteration=iteration,
        level=level,
        budget=budget,
        candidates=candidates,
    ):
        hear_interrupt()
    return found


def search_rounds(
    evaluator: Evaluator,
    profile: Profile,
    agent_id: str,
    parameters: Sequence[AllowedParameter],
    *,
    purpose: Purpose,
    iteration: int = 0,
    level: float,
    budget: int,
    candidates: Sequence[PolicyDocument] = (),
) -> Iterator[BestResponse | None]:
    """Yield None after each round of the search, of a second or so, and at last what `find_best_response` returns."""
    ranges = value_ranges(
        profile[agent_id], parameters, evaluator.scenario, agent_id, evaluator.arrivals(purpose, iteration)
    )
    if not ranges:
        return
    asked = Deviations(evaluator, profile, agent_id, purpose, iteration, ranges)
    others = distinct(candidates, asked.held)
    if evaluator.is_sampled:
        sampled = SampledSearch(asked, budget, others, level=level)
        yield from sampled.run()
        saving, half_width = sampled.saving, sampled.half_width
        yield BestResponse(sampled.policy, saving, "estimated", saving, half_width, sampled.values)
    else:
        search = CostSearch(asked, budget)
        yield from search.run()
        yield _best_of(asked, search, others)


def distinct(candidates: Sequence[PolicyDocument], held: PolicyDocument) -> list[PolicyDocument]:
    """Return the candidates, each once, without the policy that holds."""
    return [each for place, each in enumerate(candidates) if each != held and each not in candidates[:place]]


def _best_of(asked: Deviations, search: CostSearch, others: Sequence[PolicyDocument]) -> BestResponse:
    """Return the least cost of what holds, of the search, and of other policies, which may be of another kind."""
    own, *costs = asked.costs([asked.held, *others])[:, 0].tolist()
    policies = [asked.held, *others]
    found = [own, *costs]
    if search.point is not None and search.cost is not None:
        policies.insert(1, asked.policy(search.point))
        found.insert(1, search.cost)
    best = min(range(len(found)), key=found.__getitem__)
    saving, values = own - found[best], search.values + len(others)
    bound = search.lower_bound
    if bound is None or min(costs, default=bound) < bound:  # another kind of policy saves more than any value
        return BestResponse(policies[best], saving, "searched", saving, 0, values)
    most = max(own - bound, 0)
    return BestResponse(policies[best], saving, "exact" if most == saving else "bounded", most, 0, values)
