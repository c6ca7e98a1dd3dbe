"""The rule by which a start ends, and its reason.

W is `convergence.stability_window`. A bank moves if a saving of more than `stability_threshold` of its cost is
accepted. A proposal is valid if it can be evaluated. Of these, the first that holds:

- `stability`: nobody moved in the last W iterations, and every bank's last proposal was valid.
- `no_valid_proposal`: nobody moved in the last W iterations, and in all of them a bank had no valid proposal. After
  `max_iterations` the others may have moved.
- `cycle of length P since iteration K`: a profile came back. A search in a deterministic game decides by the profile
  alone, so it would go round for ever, and ends at once. Else a cycle is named only after `max_iterations`, and only
  if the last two periods are equal.
- `max_iterations`.

`stability` alone may be `converged`, and only if the Nash gap agrees: see `ending`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from payment_simulator.experiments.config import Convergence
from payment_simulator.experiments.evaluator import Profile

STABILITY = "stability"
NO_VALID_PROPOSAL = "no_valid_proposal"
MAX_ITERATIONS = "max_iterations"


@dataclass(frozen=True)
class FinishedIteration:
    """An iteration in which every bank has decided, and the profile that it began with.

    `moved` is True if a bank moved; `answered` are the banks that had a valid proposal; `kept` are those whose
    proposal was the policy that it holds; `withheld` are those whose proposal would have been a move, and was refused
    by `improvement_threshold` alone.
    """

    number: int
    profile: Profile
    moved: bool
    answered: frozenset[str]
    kept: frozenset[str]
    withheld: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Course:
    """The iterations of one start so far: those that are finished, and the profile in force after them.

    `is_search` is True if every proposal is a search's, `is_sampled` if costs are means over draws.
    """

    finished: Sequence[FinishedIteration]
    profile: Profile
    optimized: Sequence[str]
    is_search: bool
    is_sampled: bool


@dataclass(frozen=True)
class Halt:
    """The end of a start: its reason, and the profiles of which one is its result: those of a cycle, else the last.

    `unheard` is a bank without a valid proposal, where that is the reason. `is_deliberate` is True if nobody moved
    because everybody preferred the policy that holds: the search does, and a proposer that proposes it again.
    `withheld` is a bank that did not: its saving was refused by `improvement_threshold` alone.
    """

    reason: str
    profiles: tuple[Profile, ...]
    unheard: str | None = None
    is_deliberate: bool = False
    withheld: str | None = None


def halt_of(course: Course, rules: Convergence, *, is_last: bool) -> Halt | None:
    """Return the end of a start after these iterations, by the rule above; None if it goes on.

    `is_last` is True after `max_iterations`; then it always ends.
    """
    window = course.finished[-rules.stability_window :]
    is_still = len(window) == rules.stability_window and not any(each.moved for each in window)
    unheard = [name for name in course.optimized if not any(name in each.answered for each in window)]
    if is_still and window[-1].answered >= set(course.optimized):
        kept = frozenset[str]().union(*(each.kept for each in window))
        withheld = min(frozenset[str]().union(*(each.withheld for each in window)), default=None)
        is_deliberate = withheld is None and (course.is_search or kept >= set(course.optimized))
        return Halt(STABILITY, (course.profile,), is_deliberate=is_deliberate, withheld=withheld)
    if unheard and (is_still or is_last):
        return Halt(NO_VALID_PROPOSAL, (course.profile,), unheard[0])
    decides_by_profile = course.is_search and not course.is_sampled
    cycle = _cycle(course, periods=1 if decides_by_profile else 2) if decides_by_profile or is_last else None
    return cycle or (Halt(MAX_ITERATIONS, (course.profile,)) if is_last else None)


def _cycle(course: Course, periods: int) -> Halt | None:
    """Return the end in a cycle that the last profile closes; None without one.

    One period is enough where a profile that came back is followed by what followed it before; else two are compared.
    """
    profiles = [*(each.profile for each in course.finished), course.profile]
    for length in range(2, len(profiles)):
        compared = 1 if periods == 1 else length
        since = len(profiles) - length - compared
        if since < 0:
            return None
        came_back = profiles[since : since + compared] == profiles[-compared:]
        if came_back and any(each.moved for each in course.finished[-length:]):
            while since > 0 and profiles[since - 1] == profiles[since - 1 + length]:
                since -= 1
            number = course.finished[since].number
            return Halt(f"cycle of length {length} since iteration {number}", tuple(profiles[-length:]))
    return None
