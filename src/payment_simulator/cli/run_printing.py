"""The figures of a run as `payment-sim run` prints them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from labledger.counts import counted
from labledger.percentages import rounded_percent
from payment_simulator.cli.run_payments import payments_facts
from payment_simulator.scenario.money import MoneyStyle

SHOWN_BANKS = 20
"""Banks of a large system that are shown, and days of a long run."""
MOST_DECIMALS = range(5)
"""Decimals that a currency of ISO 4217 has."""
SHORT = 1_000
"""A ratio below it has two decimals."""
ROUTES = {"at_once": "at once", "from_queue": "from the queue", "on_entry": "on entry", "batch": "in batches"}
COST_WORDS = {kind: f"{kind} cost" for kind in ("liquidity", "overdraft", "collateral", "delay")}
"""Kinds of cost whose names are those of other figures, too."""
BOUNDS = ("lower_bound", "upper_bound", "used")


def print_report(report: Mapping[str, Any], *, show_all: bool = False) -> None:
    """Print the figures of a run: a table of costs and one of indicators, a row per bank, and those of the system.

    Of more than `SHOWN_BANKS` banks those with the largest value due are shown, unless `show_all`.
    """
    from labledger.console import print_answer, print_facts, print_table
    from payment_simulator.cli.run_days import print_reality

    style = _style(report)
    found = report.get("indicators")
    banks = _shown_banks(report, show_all)
    print_answer(f"{_source(report)}: {style.words}")
    print_table(*_costs(report, banks, style))
    if found and found["system"]["due"]:
        moment = partial(_brief_moment, report)
        print_table(*_table("bank", {bank: found["banks"][bank] for bank in banks}, style, moment))
        if len(found["days"]) > 1:
            days = found["days"] if show_all else found["days"][:SHOWN_BANKS]
            names = report.get("dates") or [str(number) for number in range(len(found["days"]))]
            systems = {name: day["system"] for name, day in zip(names, days, strict=False)}
            print_table(*_table("day", systems, style, moment))
    _print_left_out(report, len(banks), show_all=show_all)
    print_facts("", [*_facts(report, style), *_system_facts(report, style), *_run_facts(report)])
    print_reality(report, style.text)


def _source(report: Mapping[str, Any]) -> str:
    """The scenario and the seed; a run that was made in Python may have no file, and payments of no seed."""
    seed = "payments as handed in" if report["seed"] is None else f"seed {report['seed']}"
    return ", ".join(filter(None, (report["scenario"], seed)))


def _style(report: Mapping[str, Any]) -> MoneyStyle:
    amounts = [report["total_cost"], report["settled_value"], report["liquidity_used"]]
    if found := report.get("indicators"):
        amounts += [found["system"][name] for name in ("due", *BOUNDS)]
    decimals = report.get("decimals", 2)
    if decimals not in MOST_DECIMALS:  # of a report in a file: its power of ten could take all memory
        raise ValueError(f"decimals: {decimals!r} should be in {MOST_DECIMALS}")
    return MoneyStyle.of(amounts, decimals)


def _shown_banks(report: Mapping[str, Any], show_all: bool) -> list[str]:
    """The banks by id, or the largest of many, the largest first."""
    agents, found = report["agents"], report.get("indicators")
    if show_all or len(agents) <= SHOWN_BANKS:
        return [*agents]
    size = {bank: found["banks"][bank]["due"] if found else agent["arrived"] for bank, agent in agents.items()}
    return sorted(agents, key=lambda bank: -size[bank])[:SHOWN_BANKS]


def _print_left_out(report: Mapping[str, Any], shown: int, *, show_all: bool) -> None:
    from labledger.console import print_answer

    banks, days = len(report["agents"]), len((report.get("indicators") or {"days": ()})["days"])
    parts = [f"the {shown:,} banks with the largest value due, of {banks:,}"] if shown < banks else []
    parts += [f"the first {SHOWN_BANKS} of {days:,} days"] if days > SHOWN_BANKS and not show_all else []
    if parts:
        print_answer(f"These are {' and '.join(parts)}: --all shows every one, --json too\n")


def _costs(report: Mapping[str, Any], banks: Sequence[str], style: MoneyStyle) -> tuple[list[str], list[list[str]]]:
    from payment_simulator.engine.vocabulary import COSTS

    agents = {bank: report["agents"][bank] for bank in banks}
    charged = [kind for kind in COSTS if any(agent["costs"][kind] for agent in report["agents"].values())]
    columns = [
        ("bank", [*agents]),
        style.column("total cost", [agent["total_cost"] for agent in agents.values()]),
        *(
            style.column(
                COST_WORDS.get(kind, kind.replace("_", " ")), [each["costs"][kind] for each in agents.values()]
            )
            for kind in charged
        ),
        ("settled", [f"{agent['settled']:,} of {agent['arrived']:,}" for agent in agents.values()]),
        ("mean delay", [_ticks(agent["mean_delay_ticks"]) for agent in agents.values()]),
        style.column("liquidity used", [agent["liquidity_used"] for agent in agents.values()]),
    ]
    return _transposed(columns)


def _table(
    what: str, found: Mapping[str, Mapping[str, Any]], style: MoneyStyle, moment: Callable[[int | None], str]
) -> tuple[list[str], list[list[str]]]:
    """The indicators of banks or days; `moment` writes a tick of the day."""
    from payment_simulator.sweeps.figure_words import words_of

    of = [*found.values()]
    columns = [
        (what, [*found]),
        *(style.column(words_of(name), [each[name] for each in of]) for name in ("due", "unsettled", *BOUNDS)),
        ("place", [_ratio(each["place"]) for each in of]),
        ("delay", [_ratio(each["delay_indicator"], 3) for each in of]),
        ("50 %", [moment(each["throughput_50_tick"]) for each in of]),
        ("80 %", [moment(each["throughput_80_tick"]) for each in of]),
        ("turnover", [_ratio(each["turnover"]) for each in of]),
    ]
    return _transposed(columns)


def _transposed(columns: Iterable[tuple[str, list[str]]]) -> tuple[list[str], list[list[str]]]:
    heads, cells = zip(*columns, strict=True)
    return [*heads], [[*row] for row in zip(*cells, strict=True)]


# Facts


def _facts(report: Mapping[str, Any], style: MoneyStyle) -> list[tuple[str, str]]:
    rate, share = report["settlement_rate"], report["lsm_share"]
    return [
        ("total cost", style.text(report["total_cost"]) + (" (no cost_rates)" if report.get("no_cost_rates") else "")),
        (
            "settled",
            "no payment arrived"
            if rate is None
            else f"{rounded_percent(rate)} of {counted(report['arrived'], 'payment')}",
        ),
        (
            "settled value",
            style.text(report["settled_value"]) + ("" if not share else f", {rounded_percent(share)} by offsets (LSM)"),
        ),
        ("liquidity used", style.text(report["liquidity_used"])),
    ]


def _system_facts(report: Mapping[str, Any], style: MoneyStyle) -> list[tuple[str, str]]:
    """The indicators of the system, over the run."""
    found = report.get("indicators")
    if not found:
        reason = report.get("indicators_unknown")
        return [("indicators", f"unknown: {reason}")] if reason else []
    system = found["system"]
    if not system["due"]:
        return []
    days = len(found["days"])
    lower, upper, used = (style.text(system[name]) for name in BOUNDS)
    worst = ", each its largest on a day" if days > 1 else ""
    place = "" if system["place"] is None else f", place {_ratio(system['place'])}"
    lines = [
        ("unsettled", f"{style.text(system['unsettled'])} of {style.text(system['due'])} due"),
        ("peak use", f"{used}; lower bound {lower}, upper bound {upper}{place}{worst}"),
        ("delay indicator", _ratio(system["delay_indicator"], 3)),
    ]
    if system["settled"]:
        ticks = [(percent, system[f"throughput_{percent}_tick"]) for percent in (30, 50, 80)]
        shares = [(ROUTES.get(name, name), share) for name, share in system["share_by_route"].items() if share]
        lines[-1] = (
            lines[-1][0],
            f"{lines[-1][1]}; what settled waited {system['value_weighted_delay_ticks']:.2f} ticks, by value",
        )
        lines += [
            ("throughput", ", ".join(f"{percent} % by {_moment(report, tick)}" for percent, tick in ticks)),
            ("routes", ", ".join(f"{name} {rounded_percent(share)}" for name, share in shares)),
        ]
    if system["turnover"] is not None:
        lines.append(("turnover", f"{_ratio(system['turnover'])} times the peak use"))
    lines.append(("concentration", f"{_ratio(system['herfindahl'], 3)} (Herfindahl index of the senders)"))
    return lines


def _run_facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    seconds = sum(report["timing"].values())
    facts = [("ran", f"{counted(report['ticks'], 'tick')} in {seconds:.2f} s ({report['engine']})")]
    if report["policy_faults"]:
        faults = f"{report['policy_faults']:,} operations in trees without an answer (x / 0, inf - inf), taken as 0"
        facts.append(("policy faults", faults))
    if "dialect" in report:
        facts.append(("read as", f"dialect {report['dialect']}"))
    if cuts := report.get("cycle_search_cuts"):
        cut = f"cut short in {cuts:,} of {report['ticks']:,} ticks: raise lsm_config.max_cycle_edges"
        facts.append(("cycle search", cut))
    return facts + payments_facts(report)


def _settled(rate: float | None, arrived: int) -> str:
    return "no payment arrived" if rate is None else f"{rounded_percent(rate)} of {counted(arrived, 'payment')}"


# Numbers


def _ratio(value: float | None, decimals: int = 2) -> str:
    if value is None:
        return ""
    return f"{value:z,.{decimals}f}" if abs(value) < SHORT else f"{value:,.0f}"


def _ticks(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} ticks"


def _moment(report: Mapping[str, Any], tick: int) -> str:
    """A tick of the day, and the time at which it ends."""
    time = _end_of(report, tick)
    return f"tick {tick:,}" if time is None else f"tick {tick:,} ({time})"


def _brief_moment(report: Mapping[str, Any], tick: int | None) -> str:
    """The time at which a tick of the day ends, or the tick where there is no clock."""
    return "" if tick is None else _end_of(report, tick) or f"tick {tick:,}"


def _end_of(report: Mapping[str, Any], tick: int) -> str | None:
    if (clock := report.get("clock")) is None:
        return None
    end_s = clock["open_s"] + (tick + 1) * (clock["close_s"] - clock["open_s"]) // clock["ticks"]
    return f"{end_s // 3600:02d}:{end_s // 60 % 60:02d}"
