"""The file of payments in what `payment-sim run` prints."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from labledger.counts import counted

if TYPE_CHECKING:
    from payment_simulator.scenario.schema import Scenario


def payments_report(scenario: "Scenario") -> dict[str, Any]:
    """Return the key `payments` of a run's report, nothing of a scenario without a file of payments."""
    given = scenario.given_payments
    if given is None:
        return {}
    return {
        "payments": {
            "file": None if scenario.payments is None else scenario.payments.file,
            "payments": len(given),
            "value": int(given.amount.sum()),
            "digest": given.digest,
            "skipped": dict(given.skipped),
            "remarks": list(given.remarks),
        }
    }


def payments_facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a person reads of that key: the rows that were left out, and how the file was read."""
    found = report.get("payments")
    if found is None:
        return []
    facts = [("from the file", counted(found["payments"], "payment"))]
    if found["skipped"]:
        reasons = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in found["skipped"].items())
        facts.append(("rows left out", reasons))
    return facts + [("remark", remark) for remark in found["remarks"]]
