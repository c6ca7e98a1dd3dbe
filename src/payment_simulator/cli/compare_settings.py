"""The settings in which two kept days differ, as `payment-sim compare` prints them."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from payment_simulator.cli.experiment_compare import short, short_both

if TYPE_CHECKING:
    from payment_simulator.scenario.money import MoneyStyle

EVENTS = "scenario_events"
SHOWN_EVENTS = 3
LEAST_BANKS = 4
"""Banks that differ in one key from which on they are told together."""
Settings = Mapping[str, tuple[Any, Any]]


def setting_rows(settings: Settings, style: "MoneyStyle") -> list[tuple[str, str, str]]:
    """Return a row per setting: its path, its values in the first and in the second day.

    A key of money in which many banks differ is one row, with their number and sums; events are told by what they are.
    """
    together = dict(_by_key(settings))
    told: set[str] = set()
    rows: list[tuple[str, str, str]] = []
    for path, (one, other) in settings.items():
        key = _bank_key(path)
        if path.startswith(EVENTS) and any(isinstance(each, dict | list) for each in (one, other)):
            rows.append((path, _events(one, other), _events(other, one)))
        elif key is None or key not in together:
            rows.append((path, *short_both(one, other)))
        elif key not in told:
            told.add(key)
            first, second = style.pair(*(sum(each) for each in zip(*together[key], strict=True)))
            rows.append((f"{key} of {len(together[key]):,} banks, all together", first, second))
    return rows


def _by_key(settings: Settings) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Yield each key of banks in which many differ, all by whole numbers, and their pairs of values."""
    found: dict[str, list[tuple[Any, Any]]] = {}
    for path, pair in settings.items():
        if (key := _bank_key(path)) is not None:
            found.setdefault(key, []).append(pair)
    for key, pairs in found.items():
        if len(pairs) >= LEAST_BANKS and all(type(each) is int for pair in pairs for each in pair):
            yield key, pairs


def _bank_key(path: str) -> str | None:
    """Return the last key of a path of a bank's, None of another path."""
    return path.rpartition(".")[2] if path.startswith("agents.") else None


def _events(these: Any, those: Any) -> str:
    """Return the scenario events that are in one list and not in the other, the first of them in words."""
    listed = these if isinstance(these, list) else [these] if isinstance(these, dict) else []
    others = those if isinstance(those, list) else [those] if isinstance(those, dict) else []
    own = [each for each in listed if each not in others]
    if not own:
        return ""
    more = f"; and {len(own) - SHOWN_EVENTS:,} more" if len(own) > SHOWN_EVENTS else ""
    return "; ".join(map(_event, own[:SHOWN_EVENTS])) + more


def _event(event: Any) -> str:
    if not isinstance(event, dict):
        return short(event)
    bank = event.get("agent") or "->".join(filter(None, (event.get("from_agent"), event.get("to_agent"))))
    schedule = event.get("schedule") or {}
    ticks = [event.get("start_tick"), event.get("end_tick")] if "start_tick" in event else [schedule.get("tick")]
    when = " to ".join(str(each) for each in ticks if each is not None)
    return " ".join(filter(None, (str(event.get("type")), bank, f"tick {when}" if when else "")))
