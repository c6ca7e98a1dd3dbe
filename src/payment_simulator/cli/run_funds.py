"""The part of `payment-sim run` that tells that no bank has anything to pay with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payment_simulator.scenario.schema import Scenario


def warn_of_no_funds(scenario: "Scenario") -> None:
    """Tell the user where nothing can settle, before the run that shows it."""
    from labledger.notices import notify
    from payment_simulator.scenario.funds import lack_of_funds

    if (warning := lack_of_funds(scenario)) is not None:
        notify(warning)
