"""The part of `payment-sim run` that tells what can be seen beforehand not to settle."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payment_simulator.policy.builtin import Policy
    from payment_simulator.scenario.schema import Scenario

MOST_SHOWN = 5


def warn_of_what_waits(scenario: "Scenario", policies: "Sequence[Policy]") -> None:
    """Tell the user, before the run that shows it, where nothing can settle, or a limit or reservation lets some not,
    or a bank's trees post collateral in vain."""
    from labledger.notices import notify
    from payment_simulator.policy.advice import advice_on_trees
    from payment_simulator.scenario.funds import lack_of_funds
    from payment_simulator.scenario.limit_advice import advice_on_limits

    if (warning := lack_of_funds(scenario)) is not None:
        notify(warning)
    found = [*advice_on_limits(scenario), *advice_on_trees(scenario, policies)]
    for each in found[:MOST_SHOWN]:
        notify(each)
    if len(found) > MOST_SHOWN:
        notify(f"and {len(found) - MOST_SHOWN:,} more limits, reservations and trees of this kind")
