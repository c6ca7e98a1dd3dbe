"""Two kept days compared: settings, totals, banks, payments and balances that differ."""

from dataclasses import asdict, dataclass
from typing import Any

from labledger.comparison import diff
from labledger.errors import UnreadableFileError
from labledger.untrusted_text import SHOWN, clean
from payment_simulator.days.balances import BalanceDifference, balance_difference
from payment_simulator.days.folders import DOCUMENT
from payment_simulator.days.loading import Day
from payment_simulator.days.payments import PaymentDifferences, payment_differences

LISTED = 10
"""Payments of a group that are listed, unless all are asked for."""
RUN_KEYS = {"scenario", "seed", "engine", "timing", "ticks", "agents", "indicators", "reality"}
"""Keys of a report that are no totals."""
INDICATORS = "indicators."
COMPARED_TABLES = ("balances", "costs")
OF_READING = ("payments.", "rounding.", "decimals")
"""Totals that say how payments were read and costs rounded, not what came of the day."""


@dataclass(frozen=True)
class Figure:
    """A figure of both days, None where one has none; `difference` is the second less the first."""

    name: str
    first: int | float | None
    second: int | float | None
    difference: int | float | None


@dataclass(frozen=True)
class BankCosts:
    """A bank whose costs differ. Cents; `by_kind` has for each kind that differs the second less the first."""

    bank: str
    first: int
    second: int
    difference: int
    by_kind: dict[str, int]


@dataclass(frozen=True)
class DayComparison:
    """The differences of two days. Money in cents, times in ticks.

    `settings` are the two values by their path in the scenario, of banks that both have. `totals` are all, `banks`
    those whose costs differ, the largest difference first. `equal` is true if each payment, total, and row of balances
    and costs is the same; `columns` names the columns of these tables that are not. `ticks_differ` is the reason why
    times are not compared, None where they are. `not_compared` is the reason by the name of each total and column that
    one day lacks, as one of an earlier version does: what it would be is unknown, and makes no difference.
    """

    equal: bool
    settings: dict[str, tuple[Any, Any]]
    banks_only_in_first: list[str]
    banks_only_in_second: list[str]
    totals: list[Figure]
    banks: list[BankCosts]
    payments: PaymentDifferences
    balances: BalanceDifference | None
    ticks_differ: str | None
    columns: list[str]
    not_compared: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dict of JSON values."""
        settings = {path: {"first": one, "second": other} for path, (one, other) in self.settings.items()}
        return asdict(self) | {"settings": settings}


def compare_days(first: Day, second: Day, *, listed: int | None = LISTED) -> DayComparison:
    """Return where two days differ; of each group of payments `listed` rows are in it, None for all.

    Raises:
        UnreadableFileError: a file of a day is not what a day has.
    """
    banks = [_agents(day) for day in (first, second)]
    both = [name for name in banks[0] if name in banks[1]]
    ticks_differ = _ticks_differ(first, second)
    payments = payment_differences(first, second, listed, with_ticks=ticks_differ is None)
    balances = balance_difference(first, second, both) if ticks_differ is None else None
    costs = _bank_costs(banks[0], banks[1], both)
    only = [[name for name in one if name not in other] for one, other in (banks, banks[::-1])]
    totals, missing = _totals(first, second)
    columns = _columns_that_differ(first, second)
    same_totals = all(each.first == each.second for each in totals if not each.name.startswith(OF_READING))
    return DayComparison(
        equal=not costs and not any(only) and payments.equal and not columns and same_totals,
        settings=_settings(first, second),
        banks_only_in_first=only[0],
        banks_only_in_second=only[1],
        totals=totals,
        banks=costs,
        payments=payments,
        balances=balances,
        ticks_differ=ticks_differ,
        columns=columns,
        not_compared=missing | _missing_columns(first, second),
    )


def _columns_that_differ(first: Day, second: Day) -> list[str]:
    """Return the columns of balances and costs, `table.column`, that both have and are not the same row by row."""
    found = []
    for name in COMPARED_TABLES:
        one, other = (day.stored(name).table for day in (first, second))
        if one.num_rows != other.num_rows:
            found.append(f"{name}.rows")
            continue
        both = [each for each in one.column_names if each in other.column_names]
        found += [f"{name}.{each}" for each in both if not one[each].equals(other[each])]
    return found


def _missing_columns(first: Day, second: Day) -> dict[str, str]:
    """Return why columns of balances and costs are not compared that one day alone has."""
    found: dict[str, str] = {}
    for name in COMPARED_TABLES:
        one, other = (day.stored(name).table.column_names for day in (first, second))
        found |= {f"{name}.{each}": _lacking("second", second) for each in one if each not in other}
        found |= {f"{name}.{each}": _lacking("first", first) for each in other if each not in one}
    return found


def _lacking(which: str, day: Day) -> str:
    again = f"payment-sim run {clean(str(day.folder), SHOWN)} -o NEW_DIR"
    return f"not kept in the {which}, which `{again}` simulates again"


def _ticks_differ(first: Day, second: Day) -> str | None:
    one, other = (day.scenario.simulation.ticks_per_day for day in (first, second))
    if one == other:
        return None
    return f"a day has {one:,} ticks in the first and {other:,} in the second: times and balances are not compared"


def _settings(first: Day, second: Day) -> dict[str, tuple[Any, Any]]:
    """Return where the scenarios differ, a bank by its id; a bank that one alone has is left out."""
    both = {*first.scenario.agent_ids} & {*second.scenario.agent_ids}
    one, other = _by_bank(first, both), _by_bank(second, both)
    events = [day.pop("scenario_events") for day in (one, other)]
    if [each["type"] for each in events[0]] == [each["type"] for each in events[1]]:
        events_differ = diff(events[0], events[1], "scenario_events")
    else:  # not the same ones, with other values
        events_differ = {"scenario_events": (events[0], events[1])}
    found = diff(one, other) | events_differ
    if first.record.seed != second.record.seed:
        found = {"seed": (first.record.seed, second.record.seed), **found}
    inputs = [{each.name: each.sha256 for each in day.record.inputs} for day in (first, second)]
    changed = [name for name in inputs[0].keys() & inputs[1].keys() if inputs[0][name] != inputs[1][name]]
    return found | {f"content of {name}": (inputs[0][name], inputs[1][name]) for name in sorted(map(str, changed))}


def _by_bank(day: Day, banks: set[str]) -> dict[str, Any]:
    """Return a day's scenario with these banks by their ids."""
    found = day.scenario.model_dump(mode="json")
    return found | {"agents": {agent["id"]: agent for agent in found["agents"] if agent["id"] in banks}}


def _agents(day: Day) -> dict[str, dict[str, Any]]:
    """Return the figures of each bank, checked as far as they are used here."""
    found: Any = day.record.report.get("agents")
    try:
        return {
            str(name): {
                "total_cost": int(bank["total_cost"]),
                "costs": {str(kind): int(cents) for kind, cents in bank["costs"].items()},
            }
            for name, bank in found.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableFileError(f"{day.folder / DOCUMENT}: report.agents: is not as a run has it") from error


def _bank_costs(first: dict[str, Any], second: dict[str, Any], both: list[str]) -> list[BankCosts]:
    found = []
    for name in both:
        one, other = first[name], second[name]
        kinds = {**one["costs"], **other["costs"]}
        by_kind = {kind: other["costs"].get(kind, 0) - one["costs"].get(kind, 0) for kind in kinds}
        by_kind = {kind: cents for kind, cents in by_kind.items() if cents}
        if by_kind:
            difference = other["total_cost"] - one["total_cost"]
            found.append(BankCosts(name, one["total_cost"], other["total_cost"], difference, by_kind))
    return sorted(found, key=lambda each: (-abs(each.difference), each.bank))


def _totals(first: Day, second: Day) -> tuple[list[Figure], dict[str, str]]:
    """Return the totals of two days, and the reasons why some are not compared, by their names."""
    one, other = (_numbers(day) for day in (first, second))
    missing = {}
    for which, day, found, names in (("first", first, one, other), ("second", second, other, one)):
        unknown = day.record.report.get("indicators_unknown")
        for name in names:
            if name in found or name.startswith(OF_READING):
                continue
            is_told = isinstance(unknown, str) and name.startswith(INDICATORS)
            missing[name] = f"unknown in the {which}: {clean(str(unknown), SHOWN)}" if is_told else _lacking(which, day)
    both = [name for name in {**one, **other} if name not in missing]
    return [_figure(name, one.get(name), other.get(name)) for name in both], missing


def _figure(name: str, first: float | None, second: float | None) -> Figure:
    return Figure(name, first, second, None if first is None or second is None else second - first)


def _numbers(day: Day) -> dict[str, float | None]:
    """Return the totals of a day's report, and of its indicators those of the system over the run."""
    report = day.record.report
    indicators = report.get("indicators")
    system = indicators.get("system") if isinstance(indicators, dict) else None
    found = _plain({key: value for key, value in report.items() if key not in RUN_KEYS})
    return found | (_plain(system, INDICATORS) if isinstance(system, dict) else {})


def _plain(section: dict[str, Any], prefix: str = "") -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for key, value in section.items():
        name = prefix + clean(str(key), SHOWN)
        if isinstance(value, dict):
            found |= _plain(value, f"{name}.")
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            found[name] = value
    return found
