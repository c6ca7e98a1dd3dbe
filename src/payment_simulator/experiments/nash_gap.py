"""The Nash gap of a profile of policies: what one bank could still save by itself, and how that is known."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any

from payment_simulator.experiments.best_response import BestResponse, GapKind, distinct, find_best_response
from payment_simulator.experiments.evaluator import Evaluator, Profile, Purpose
from payment_simulator.experiments.policy_constraints import AllowedParameter
from payment_simulator.policy.documents import PolicyDocument

ALIKE = "alike on all draws"
VALUES_OF_OLD = 21
"""The values of each parameter that a gap without a kind was searched among: those of databases of version 1."""
GAP_COLUMNS = ("nash_gap", "nash_gap_kind", "nash_gap_half_width", "nash_gap_values")
"""The columns of a stored gap, in the order of `NashGap`'s fields; of an ending each begins with `final_`."""


@dataclass(frozen=True)
class NashGap:
    """Cents, and how they are known.

    `exact`: no bank can save more by any value; `bounded`: none can save more, and maybe not so much; `estimated`: from
    draws, with the half-width of its interval; `searched`: the most that was saved among `values`, and other values may
    save more; None: as databases of version 1 have it, searched among 21 values of each parameter, one at a time.
    `half_width` is 0 where nothing is sampled, and None where there is no interval, as all draws are alike: what is
    rare may be in none of them. `values` are those of all banks together: tried, or proved to save no more.
    `is_sampled` is True of a mean over draws; a gap that has a kind says it by that.
    """

    cents: int
    kind: GapKind | None
    half_width: int | None = 0
    values: int | None = None
    is_sampled: bool = field(default=False, compare=False)

    @property
    def words(self) -> str:
        """The gap as a table shows it: `0 (exact)`, `<= 12 (bounded)`, `no saving among 441 values (searched)`."""
        match self.kind:
            case "exact":
                return f"{self.cents:,} (exact)"
            case "bounded":
                return f"<= {self.cents:,} (bounded)"
            case "estimated":
                return (
                    f"{self.cents:,} (estimated, {ALIKE})"
                    if self.half_width is None
                    else f"{self._estimate} (estimated)"
                )
            case "searched":
                found = f">= {self.cents:,}" if self.cents > 0 else "no saving"
                return f"{found} among {self.values or 0:,} values (searched)"
        if self.kind is not None:  # of a newer version's file
            return f"{self.cents:,} ({self.kind})"
        return f"{self._found_of_old}, searched ({VALUES_OF_OLD} values)"

    @property
    def _estimate(self) -> str:
        return f"{self.cents:,} ± {self.half_width:,}"

    @property
    def _found_of_old(self) -> str:
        if self.half_width:
            return self._estimate
        if self.is_sampled:
            return f"{self.cents:,} on draws" if self.cents > 0 else "no saving on draws"
        return f">= {self.cents:,}" if self.cents > 0 else "no saving"

    @property
    def phrase(self) -> str:
        """The gap within a line of text: `Nash gap 0 (exact)`, but `no saving among 441 values (searched)`."""
        return self.words if self.words.startswith("no saving") else f"Nash gap {self.words}"

    @property
    def meaning(self) -> str:
        """The claim that the gap makes, as a clause."""
        match self.kind:
            case "exact":
                return "the most that one bank could still save alone"
            case "bounded":
                return "no bank can save more alone, and perhaps none so much"
            case "estimated":
                of = "one bank's saving by the best value that was tried, on draws that did not choose it"
                return f"{of}; what is rare may be in none of them" if self.half_width is None else of
            case "searched":
                return "values that were not tried may save more"
            case None:
                return "of each parameter, one at a time; values that were not tried may save more"
        return "how it is known, this version does not say"


def gap_columns(gap: NashGap | None, prefix: str = "") -> dict[str, Any]:
    """Return the value of each of `GAP_COLUMNS`, by name after `prefix`; None of a gap that is not known."""
    values = (None,) * len(GAP_COLUMNS) if gap is None else (gap.cents, gap.kind, gap.half_width, gap.values)
    return {f"{prefix}{name}": value for name, value in zip(GAP_COLUMNS, values, strict=True)}


def stored_gap(
    columns: Mapping[str, Any] | object, prefix: str = "", config: Mapping[str, Any] | None = None
) -> NashGap | None:
    """Return the gap that `gap_columns` gave, from a mapping or a record that has them; None if it is not known.

    `config` is the stored configuration of the run: it tells of a gap without a kind if it is a mean over draws.
    """
    of = columns.get if isinstance(columns, Mapping) else partial(getattr, columns)
    cents, kind, half_width, values = (of(f"{prefix}{name}") for name in GAP_COLUMNS)
    if cents is None:
        return None
    evaluation = (config or {}).get("evaluation")
    mode = evaluation.get("mode") if isinstance(evaluation, Mapping) else None
    is_sampled = mode in ("monte_carlo", "bootstrap")
    return NashGap(cents, kind, half_width if kind == "estimated" else half_width or 0, values, is_sampled)


def best_responses(
    evaluator: Evaluator,
    profile: Profile,
    agents: Sequence[str],
    parameters: Sequence[AllowedParameter],
    *,
    level: float,
    budget: int,
    candidates: Mapping[str, Sequence[PolicyDocument]] | None = None,
) -> dict[str, BestResponse]:
    """Return the best response of each of `agents` that has one of the parameters, on the draws of the gap.

    `budget` is each bank's, in simulated payments x ticks; `candidates` are policies that were proposed, by bank. All
    intervals together hold at `level`: each is at a higher one by Bonferroni's inequality. A response is searched once
    for a profile that stays.
    """
    level = 1 - (1 - level) / max(len(agents), 1)
    found = {}
    for agent_id in agents:
        others = distinct((candidates or {}).get(agent_id, ()), profile[agent_id])
        search = partial(
            find_best_response,
            evaluator,
            profile,
            agent_id,
            parameters,
            purpose=Purpose.NASH_GAP,
            level=level,
            budget=budget,
            candidates=others,
        )
        inputs = json.dumps([dict(profile), others]), list(parameters), level, budget
        found[agent_id] = evaluator.found(f"gap of {agent_id}", inputs, search)
    return {agent_id: each for agent_id, each in found.items() if each is not None}


def largest_gap(found: Sequence[BestResponse]) -> NashGap | None:
    """Return the gap of all banks: it lies between the largest saving and the most that any bank could save.

    Where the two are one, it is exact; a bank of which only some values were tried leaves the second unknown. An
    estimated one is the largest saving, and its interval reaches as high as that of any bank. It has none where the
    bank of the largest saving has none, and no other's reaches higher.
    """
    if not found:
        return None
    values, kinds = sum(each.values for each in found), {each.kind for each in found}
    largest = max(found, key=lambda each: (each.saving, inf if each.half_width is None else each.half_width))
    if kinds & {"estimated", "searched"}:
        kind: GapKind = "estimated" if "estimated" in kinds else "searched"
        ends = [each.saving + each.half_width for each in found if each.half_width is not None]
        above = max(ends, default=largest.saving) - largest.saving
        half_width = None if largest.half_width is None and above <= 0 else above
        return NashGap(largest.saving, kind, half_width, values)
    most = max(each.most_saving for each in found)
    return NashGap(most, "exact" if most == largest.saving else "bounded", 0, values)
