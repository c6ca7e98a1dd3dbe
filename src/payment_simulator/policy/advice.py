"""What decision trees would do in vain in a scenario: allowed, and worth a word."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from payment_simulator.policy.builtin import Policy, trees_of
from payment_simulator.policy.tree import names_in

if TYPE_CHECKING:
    from payment_simulator.scenario.schema import Scenario

POSTING = {"PostCollateral", "PostCollateralFor"}


def advice_on_trees(scenario: "Scenario", policies: Sequence[Policy]) -> Iterator[str]:
    """Yield a warning for each bank whose trees post collateral, and which can post none."""
    for agent, policy in zip(scenario.agents_by_id(), policies, strict=True):
        if agent.max_collateral_capacity == 0 and not names_in(*trees_of(policy)).isdisjoint(POSTING):
            yield (
                f"agents.{agent.id}: its trees post collateral, and it can post none: max_collateral_capacity is 0; "
                "set it to the most that the bank may post"
            )
