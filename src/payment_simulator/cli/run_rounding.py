"""The part of `payment-sim run` that tells how rounding has changed costs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from payment_simulator.engine.outcome import Outcome


def with_rounding(report: dict[str, Any], outcome: "Outcome") -> dict[str, Any]:
    """Return the report with exact costs minus charged ones, cents by bank and kind; warn where they are large."""
    from labledger.notices import notify
    from payment_simulator.engine.rounding import rounding_by_bank, rounding_warnings

    for warning in rounding_warnings(outcome):
        notify(warning)
    return {**report, "rounding": rounding_by_bank(outcome)}
