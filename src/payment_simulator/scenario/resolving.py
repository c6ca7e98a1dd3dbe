"""A scenario with files of payments and balances, made whole: its banks, what they have, and the length of its days."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from labledger.errors import ConfigError
from labledger.untrusted_text import SHOWN, clean
from labledger.written_paths import existing
from labledger.yaml_files import Location, describe_errors
from payment_simulator.scenario.balance_section import Balances
from payment_simulator.scenario.balance_times import RunDays
from payment_simulator.scenario.balances import CREDIT, OPENING, BankRow, read_source, rows_of, source_of
from payment_simulator.scenario.bank_names import meant
from payment_simulator.scenario.banks import take_defaults
from payment_simulator.scenario.changes import location_of
from payment_simulator.scenario.given_payments import GivenPayments
from payment_simulator.scenario.liquidity_bounds import opening_balances
from payment_simulator.scenario.payment_files.amounts import Money
from payment_simulator.scenario.payment_files.building import payments_of, read_payments
from payment_simulator.scenario.payment_files.clock import day_of
from payment_simulator.scenario.payment_files.currencies import DEFAULT_DECIMALS, decimals_of
from payment_simulator.scenario.payment_files.files import files_of
from payment_simulator.scenario.payment_files.problems import OWN_LINE, SectionError
from payment_simulator.scenario.payment_files.run import Run
from payment_simulator.scenario.payment_files.sections import Payments
from payment_simulator.scenario.payment_files.source import Source
from payment_simulator.scenario.payment_files.tables import arrow_table
from payment_simulator.scenario.resolution import BankSource, Resolution
from payment_simulator.scenario.schema import Scenario, Simulation

if TYPE_CHECKING:
    import pyarrow

TABLE = "payments"
"""The name of a table of payments in messages."""
FROM_PAYMENTS = "from_payments"
MOST_NAMED = 10
Place = Callable[[Location], str]
ReadPayments = Callable[[Payments, Path, Run], GivenPayments]


def read_files(
    data: dict[str, Any],
    folder: Path,
    place: Place,
    tables: Mapping[str, "pyarrow.Table"] | None = None,
    read: ReadPayments = read_payments,
    refused: list[ConfigError] | None = None,
) -> Resolution:
    """Return the data of a scenario with a bank for each name in its files, and days as long as they have.

    Its files begin in `folder`; `tables` stand for those of `payments` and `balances`. `read` reads those of payments.
    An error of `balances` is added to `refused`, if it is given.

    `agents: from_payments` is a bank for each name in the payments and the balances. So it is within a list of banks:
    one for each that the list does not name. A section that is wrong is left as it is: the check of the whole scenario
    tells.

    Raises:
        ConfigError: a file cannot be read or used, there is none to take banks from, or its days do not fit.
    """
    tables = tables or {}
    section = section_of(Payments, data.get("payments"))
    given = None if section is None else _given(section, folder, tables.get("payments"), _run(data), read)
    found = Resolution(dict(data), given, section_of(Balances, data.get("balances")))
    if given is not None:
        found.data["simulation"] = _simulation(given, data.get("simulation", {}), place)
    found.days = days_of(found.data.get("simulation"), section, given)
    try:
        add_rows(found, section if given is None else given.section, folder, tables.get("balances"))
    except ConfigError as error:
        if refused is None:
            raise
        refused.append(error)
    agents = data.get("agents")
    found.banks = [BankSource(("agents", index)) for index in range(len(agents) if isinstance(agents, list) else 0)]
    if mentions_payments(agents):
        if data.get("payments") is None:
            text = "from_payments: there are none; say payments: {file: day.csv, ...}"
            raise _problem(place, ("agents",), text)
        if given is not None:
            _add_banks(found, agents, given)
    return found


def complete(found: Resolution, place: Place) -> None:
    """Give each bank of the data what it does not say itself: its row of the balances, a level, then the defaults.

    Raises:
        ConfigError: the balances have a bank that is none, say twice what a bank has, or need payments that are not
            there.
    """
    agents = found.data.get("agents")
    if not isinstance(agents, list):
        return
    _check_rows(found, agents)
    opening = _levels(found, place)
    events = found.data.get("scenario_events", [])
    found.own_events = len(events) if isinstance(events, list) else 0
    whole, by_level = [], place(("balances", "level"))
    for agent, source in zip(agents, found.banks, strict=True):
        bank = _id(agent)
        row = found.rows.get(bank, BankRow(""))
        if isinstance(agent, Mapping) and isinstance(events, list):
            events = [*events, *_events(bank, agent, row, found.events)]
        level = {OPENING: opening[bank]} if bank in opening else {}
        source.fields |= {**dict.fromkeys(level, by_level), **row.places}
        whole.append({**level, **row.fields, **agent} if isinstance(agent, Mapping) else agent)
        for key in agent if isinstance(agent, Mapping) else ():
            source.fields.pop(key, None)
    found.data["agents"] = whole
    if found.events:
        found.data["scenario_events"] = events
    if found.days is not None and found.balances is not None:
        del found.data["balances"]
    _take_defaults(found)
    _remark(found)


def add_rows(found: Resolution, payments: Payments | None, folder: Path, table: "pyarrow.Table | None" = None) -> None:
    """Read the file of balances, if there is one and the days of the run are known, into the `rows`.

    Raises:
        ConfigError: it cannot be read or used.
    """
    if found.balances is not None and found.balances.file is not None and found.days is not None:
        source = read_balances(found.balances, folder, table)
        bic = None if payments is None else payments.bic
        found.rows = rows_of(source, found.days, partial(_money, found.balances, payments), bic, _run(found.data).named)


def named_files(found: Resolution, folder: Path) -> list[Path]:
    """Return the files of payments and of balances that were read."""
    section = section_of(Payments, found.data.get("payments"))
    files = [] if section is None else files_of(section.file, folder)
    if found.balances is not None and found.balances.file is not None:
        files.append(existing(found.balances.file, folder))
    return files


def mentions_payments(agents: Any) -> bool:
    """Return True of `from_payments`, or a list that has it."""
    return agents == FROM_PAYMENTS or (isinstance(agents, list) and FROM_PAYMENTS in agents)


def check_payments(given: GivenPayments, scenario: Scenario) -> None:
    """Refuse payments of banks, or at ticks, that the scenario does not have.

    Raises:
        ConfigError: there are some; the message names the banks.
    """
    banks, ticks = scenario.agent_ids, scenario.simulation.ticks
    if strangers := sorted(set(given.banks) - set(banks)):
        shown = ", ".join(f"{clean(bank, SHOWN)!r}{meant(bank, banks)}" for bank in strangers[:MOST_NAMED])
        more = f", and {len(strangers) - MOST_NAMED:,} more" if len(strangers) > MOST_NAMED else ""
        number = "1 bank of the payments is" if len(strangers) == 1 else f"{len(strangers):,} banks of the payments are"
        raise ConfigError(
            f"agents: {number} not in the list: {shown}{more}; name them, or put {FROM_PAYMENTS} into "
            "the list, which is all others"
        )
    if len(given) and (last := int(given.tick[-1])) >= ticks:
        count = int(np.count_nonzero(given.tick >= ticks))
        raise ConfigError(
            f"simulation: {count:,} payments come after its {ticks:,} ticks, counted from 0, the last in tick {last:,}"
        )


def payments_for(scenario: Scenario, table: Any, keywords: Mapping[str, Any]) -> GivenPayments:
    """Return the payments of a table, read as `keywords` say, whose banks and days are the scenario's.

    Raises:
        ConfigError: a row or a keyword cannot be used, or a bank or a tick is not the scenario's.
    """
    try:
        section = Payments.model_validate({**keywords, "file": TABLE})
    except ValidationError as error:
        problems = describe_errors(error, Payments, dict(keywords), lambda _: "")
        raise ConfigError("\n".join(problems)) from error
    length = scenario.simulation
    run = Run(scenario.agent_ids, length.ticks_per_day, length.num_days, scenario.agent_ids)
    given = payments_of(arrow_table(table, TABLE), section, TABLE, run)
    check_payments(given, scenario)
    return given.of_banks(scenario.agent_ids)


def _problem(place: Place, location: Location, text: str) -> ConfigError:
    where, dotted = place(location), ".".join(map(str, location))
    return ConfigError(": ".join(filter(None, (where, "" if where == f"--set {dotted}" else dotted, text))))


def _given(
    section: Payments, folder: Path, table: "pyarrow.Table | None", run: Run, read: ReadPayments
) -> GivenPayments:
    return read(section, folder, run) if table is None else payments_of(table, section, TABLE, run)


def read_balances(section: Balances, folder: Path, table: "pyarrow.Table | None" = None) -> Source:
    """Return the rows of the file of balances as they stand. Raises ConfigError: it cannot be read."""
    file = section.file or ""
    try:
        return read_source(existing(file, folder), section) if table is None else source_of(table, section, file)
    except ConfigError as error:
        if OWN_LINE.match(str(error)):
            raise
        key, _, problem = str(error).partition(": ")
        if key.startswith("balances."):
            raise SectionError(location_of(key), problem) from error
        raise SectionError(("balances",), *str(error).splitlines()) from error


def section_of(model: type[Any], written: Any) -> Any:
    """Return a section of the scenario; None where it is missing, or wrong."""
    if written is None:
        return None
    try:
        return model.model_validate(written)
    except ValidationError:
        return None


def _simulation(given: GivenPayments, written: Any, place: Place) -> Any:
    """Return the length of the run: the payments', where the scenario does not say more."""
    if given.ticks_per_day is None or not isinstance(written, Mapping):
        return written
    days = written.get("num_days")
    if isinstance(days, int) and days < given.num_days:
        text = f"{days}, and the payments have {given.num_days} days; leave it out, or keep fewer with payments.filter"
        raise _problem(place, ("simulation", "num_days"), text)
    return {"ticks_per_day": given.ticks_per_day, "num_days": given.num_days, **written}


def days_of(simulation: Any, section: Payments | None, given: GivenPayments | None) -> RunDays | None:
    """Return the days of the run; None where its length is missing, or wrong."""
    length: Simulation | None = section_of(Simulation, simulation)
    if length is None:
        return None
    clock = None if section is None else section.clock
    day, timezone = (None, None) if clock is None else (day_of(clock), clock.timezone)
    return RunDays(length.ticks_per_day, length.num_days, day, None if given is None else given.dates, timezone)


def _money(section: Balances, payments: Payments | None, separator: str | None) -> Money:
    """Return how amounts of balances are written: as the payments'; without payments in the scenario's unit, cents."""
    decimal = section.decimal or (None if payments is None else payments.decimal)
    if payments is None or payments.amounts == "cents":
        return Money(0, "amounts: cents", decimal, separator)
    decimals = DEFAULT_DECIMALS if payments.currency is None else decimals_of(payments.currency)
    unit = payments.currency or "the currency"
    return Money(DEFAULT_DECIMALS if decimals is None else decimals, unit, decimal, separator)


def _run(data: Mapping[str, Any]) -> Run:
    """Return what the rest of a scenario says of banks and days, where it is right."""
    agents, simulation = data.get("agents"), data.get("simulation")
    ids = [_id(agent) for agent in agents] if isinstance(agents, list) else []
    length = simulation if isinstance(simulation, Mapping) else {}
    ticks, days = (_positive(length.get(key)) for key in ("ticks_per_day", "num_days"))
    return Run(ids if ids and all(ids) else None, ticks, days, {*ids})


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _add_banks(found: Resolution, agents: Any, given: GivenPayments) -> None:
    """Put the banks of the files behind those that the scenario names."""
    written = [] if agents == FROM_PAYMENTS else agents
    own = [(BankSource(("agents", index)), each) for index, each in enumerate(written) if each != FROM_PAYMENTS]
    others = sorted({*given.banks, *found.rows} - {_id(each) for _, each in own})
    found.banks = [source for source, _ in own] + [BankSource(("agents",)) for _ in others]
    found.data["agents"] = [each for _, each in own] + [{"id": bank} for bank in others]


def _id(agent: Any) -> str:
    """Return the id of a bank as it is written, empty where it is none."""
    found = agent.get("id") if isinstance(agent, Mapping) else None
    return found if isinstance(found, str) else ""


def _check_rows(found: Resolution, agents: Sequence[Any]) -> None:
    """Refuse balances of a bank that the scenario does not have."""
    named = {_id(agent) for agent in agents}
    strangers = [(row.place, bank) for bank, row in found.rows.items() if bank not in named]
    if strangers:
        more = f"; and {len(strangers) - 1:,} more of its banks" if len(strangers) > 1 else ""
        place, bank = strangers[0]
        about = meant(bank, sorted(named - {""}))
        raise ConfigError(f"{place}: {clean(bank, SHOWN)!r} is not among the agents{about}{more}")


def _levels(found: Resolution, place: Place) -> dict[str, int]:
    """Return the opening balance of each bank that pays or is paid, at the level that the balances name."""
    level = None if found.balances is None else found.balances.level
    if level is None or found.days is None:
        return {}
    problem = partial(_problem, place, ("balances", "level"))
    if found.data.get("payments") is None:
        raise problem("is a share of what payments need, and none are given; say payments: {file: day.csv, ...}")
    if any(OPENING in row.fields or row.openings for row in found.rows.values()):
        raise problem("the file of balances has opening balances too; leave one of them out")
    defaults = found.data.get("agent_defaults")
    if isinstance(defaults, Mapping) and OPENING in defaults:
        raise problem(f"agent_defaults has an {OPENING} too; leave one of them out")
    return {} if found.given is None else opening_balances(found.given, level, found.days.ticks_per_day)


def _events(bank: str, agent: Mapping[str, Any], row: BankRow, places: list[str]) -> list[dict[str, Any]]:
    """Return the changes of what a bank does not say itself, and add their places to `places`."""
    found = []
    for name, kind, each in ((OPENING, "BalanceReset", row.openings), (CREDIT, "CreditLimitChange", row.credit)):
        for tick, later in each.items() if name not in agent else ():
            schedule = {"type": "OneTime", "tick": tick}
            found.append({"type": kind, "schedule": schedule, "agent": bank, name: later.value})
            places.append(later.place)
    return found


def _take_defaults(found: Resolution) -> None:
    before = found.data["agents"]
    found.data = dict(take_defaults(found.data, wrong_too=True))  # for the checks of what is made of them
    for agent, whole, source in zip(before, found.data["agents"], found.banks, strict=True):
        if isinstance(agent, Mapping):
            source.fields |= {key: ("agent_defaults", key) for key in whole if key not in agent}


def _remark(found: Resolution) -> None:
    """Tell what a reader of the outcome has to know of the balances."""
    given, balances = found.given, found.balances
    if given is None or balances is None or balances.file is None:
        return
    remarks = []
    if idle := sorted(found.rows.keys() - set(given.banks)):
        remarks.append(f"in the balances, but not in any payment: {_some(idle)}")
    if lacking := sorted({_id(agent) for agent in found.data["agents"]} - found.rows.keys() - {""}):
        remarks.append(f"not in the balances, and so with the defaults: {_some(lacking)}")
    found.given = replace(given, remarks=(*given.remarks, *remarks))


def _some(banks: Sequence[str]) -> str:
    more = f", and {len(banks) - MOST_NAMED:,} more" if len(banks) > MOST_NAMED else ""
    return f"{len(banks):,} bank{'s' if len(banks) > 1 else ''} ({clean(', '.join(banks[:MOST_NAMED]), SHOWN)}{more})"
