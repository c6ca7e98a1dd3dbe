"""Banks that a scenario lists and that are in none of its payments: allowed, and worth a word."""

from collections.abc import Iterator, Mapping
from typing import Any

from labledger.untrusted_text import SHOWN, clean
from labledger.yaml_files import Location
from payment_simulator.scenario.bank_names import arrivals_of, meant
from payment_simulator.scenario.payment_files.problems import some_of
from payment_simulator.scenario.resolution import Resolution

SIDES = ("from_agent", "to_agent")


def idle_banks(found: Resolution) -> Iterator[tuple[Location, str]]:
    """Yield a remark on the banks that are written in a scenario with a file of payments and neither pay nor are paid.

    A name is suggested that is in the payments and not in the list. What the balances alone have is told with them.
    """
    agents = found.data.get("agents")
    if found.given is None or not isinstance(agents, list):
        return
    written = {_text(agent, "id"): place for place, agent in enumerate(agents) if len(found.banks[place].place) > 1}
    in_payments = {*found.given.banks}
    busy = in_payments | found.rows.keys() | _named_by_events(found.data.get("scenario_events"))
    idle = [name for name in written if name and name not in busy]
    idle = [name for name in idle if not _draws(agents, name)]
    if not idle:
        return
    others = sorted(in_payments - written.keys())
    names = [(repr(clean(name, SHOWN)), meant(name, others)) for name in idle]
    if len(names) == 1:
        text = f"{names[0][0]} is in no payment{names[0][1]}"
    else:
        text = f"{len(names):,} banks are in no payment: {some_of([name + hint for name, hint in names])}"
    yield ("agents", written[idle[0]]), text


def _draws(agents: list[Any], bank: str) -> bool:
    """Return True of a bank that draws payments, or is drawn as a receiver by another."""
    for agent in agents:
        for _, config in arrivals_of(agent if isinstance(agent, Mapping) else {}):
            weights = config.get("counterparty_weights")
            if _text(agent, "id") == bank or not isinstance(weights, Mapping) or weights.get(bank):
                return True
    return False


def _named_by_events(events: Any) -> set[str]:
    """Return the banks of which an event moves money to or from."""
    return {_text(event, side) for event in (events if isinstance(events, list) else []) for side in SIDES}


def _text(section: Any, key: str) -> str:
    """Return the text of a section as it is written; empty where it is none."""
    found = section.get(key) if isinstance(section, Mapping) else None
    return found if isinstance(found, str) else ""
