"""`payment-sim compare`: two kept days, side by side."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.counts import counted
from labledger.json_text import dump_json
from payment_simulator.cli.run_days import read_day
from payment_simulator.cli.show import DayFolder

if TYPE_CHECKING:
    from payment_simulator.days.comparing import DayComparison, Figure
    from payment_simulator.days.loading import Day
    from payment_simulator.days.payments import PaymentGroup
    from payment_simulator.scenario.money import MoneyStyle

SHOWN_BANKS = 20
SHOWN_SETTINGS = 40
SHOWN_NAMES = 10
SHOWN = ("unsettled", "used", "delay_indicator")
"""Indicators of banks that are compared."""
INDICATORS = "indicators."
DECIMALS = 4
"""Decimals of a ratio, unless two need more to be told apart."""
MONEY = {
    *("total_cost", "settled_value", "liquidity_used", "payments.value"),
    *(f"{INDICATORS}{name}" for name in ("due", "settled", "unsettled", "lower_bound", "upper_bound", "used")),
}
"""Totals that are cents."""
UNTOLD = (f"{INDICATORS}settled", "rounding.")
"""Totals that are not printed: the settled value once more, and what rounding left of each cost."""


@reporting_errors
def compare(
    ctx: typer.Context,
    first: DayFolder,
    second: DayFolder,
    all_rows: Annotated[bool, typer.Option("--all", help="Every payment, bank and setting that differs.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two kept days: which settings, banks, payments, ticks and cents differ."""
    from labledger.console import print_json
    from payment_simulator.days.comparing import LISTED, compare_days

    days = [read_day(path) for path in (first, second)]
    found = compare_days(*days, listed=None if all_rows else LISTED)
    if json:
        print_json(dump_json({"first": _about(days[0]), "second": _about(days[1]), **found.to_dict()}))
    else:
        _print(days, found, all_rows=all_rows)


def _about(day: "Day") -> dict[str, Any]:
    names = {"name", "seed", "simulated_by", "saved_at", "inputs"}
    return {"folder": str(day.folder), **day.record.model_dump(mode="json", include=names)}


def _print(days: "list[Day]", found: "DayComparison", *, all_rows: bool) -> None:
    from labledger.console import print_answer

    for name, day in zip(("first", "second"), days, strict=True):
        print_answer(f"{name + ':':7} {day.folder}, of {day.record.name or 'a scenario without a file'}")
    if days[0].folder.samefile(days[1].folder):
        print_answer("These are one folder; name two to see how they differ")
    print_answer("")
    style = _style(days, found)
    _print_settings(found, None if all_rows else SHOWN_SETTINGS, style)
    if found.equal:
        print_answer("The two days are equal to the cent")
        _print_not_compared(found)
        return
    print_answer(f"Money is in {style.words}\n")
    _print_banks_of_one(found)
    _print_totals(found.totals, style)
    _print_costs(found, None if all_rows else SHOWN_BANKS, style)
    _print_indicators(days, None if all_rows else SHOWN_BANKS, style)
    _print_payments(found, style)
    _print_balances(found, style)
    if found.columns:
        print_answer(f"Columns that differ, row by row: {', '.join(found.columns)}")
    _print_not_compared(found)


def _style(days: "list[Day]", found: "DayComparison") -> "MoneyStyle":
    """Return how money is written: in cents where all totals are small, else each amount in a unit of its own."""
    from payment_simulator.scenario.money import MoneyStyle, decimals_of

    totals = [(each.first, each.second) for each in found.totals if each.name in MONEY]
    amounts = [value for pair in totals for value in pair if isinstance(value, int)]
    return MoneyStyle.of(amounts, decimals_of(days[0].scenario))


def _print_settings(found: "DayComparison", most: int | None, style: "MoneyStyle") -> None:
    from labledger.console import print_answer, print_table
    from payment_simulator.cli.compare_settings import setting_rows

    if not found.settings:
        print_answer("The settings are the same\n")
        return
    rows = setting_rows(found.settings, style)
    print_table(("setting", "first", "second"), rows[:most])
    _print_left(len(rows), most, "settings")


def _print_left(count: int, most: int | None, what: str) -> None:
    from labledger.console import print_answer

    if most is not None and count > most:
        print_answer(f"and {count - most:,} {what} more: --all shows them\n")


def _print_banks_of_one(found: "DayComparison") -> None:
    from labledger.console import print_answer

    for names, where in ((found.banks_only_in_first, "first"), (found.banks_only_in_second, "second")):
        if names:
            shown = ", ".join(names[:SHOWN_NAMES]) + (", …" if len(names) > SHOWN_NAMES else "")
            print_answer(f"{counted(len(names), 'bank')} only in the {where}: {shown}")
    if found.banks_only_in_first or found.banks_only_in_second:
        print_answer("The others are compared\n")


def _print_totals(totals: "list[Figure]", style: "MoneyStyle") -> None:
    from labledger.console import print_table

    rows = []
    for each in totals:
        if each.first != each.second and not each.name.startswith(UNTOLD):
            of = style if each.name in MONEY else None
            rows.append((_words(each.name), *_both(each.first, each.second, of), _signed(_difference(each, of))))
    print_table(("total", "first", "second", "difference"), rows)


def _words(name: str) -> str:
    """Return the name of a total in words, with the unit of one in ticks."""
    from payment_simulator.sweeps.figure_words import words_of

    name = name.removeprefix(INDICATORS)
    unit = next((f" ({end[1:]})" for end in ("_ticks", "_tick") if name.endswith(end)), "")
    return words_of(name.replace("share_by_route.", "share_")) + unit


def _print_not_compared(found: "DayComparison") -> None:
    """Print what one day lacks, by the reason."""
    from labledger.console import print_answer

    for reason in dict.fromkeys(found.not_compared.values()):
        names = ", ".join(_words(name) for name, why in found.not_compared.items() if why == reason)
        print_answer(f"Not compared: {names}: {reason}")


def _both(first: float | None, second: float | None, style: "MoneyStyle | None") -> tuple[str, str]:
    """Return a figure of both days; two that differ never look equal."""
    from payment_simulator.scenario.money import told_apart

    if first is None or second is None:
        return _number(first, style), _number(second, style)
    if style is not None and isinstance(first, int) and isinstance(second, int):
        return style.pair(first, second)
    return told_apart(first, second, _plain, DECIMALS)


def _difference(figure: "Figure", style: "MoneyStyle | None") -> str:
    """Return the difference of a figure, which looks like none only where it is none."""
    return "" if figure.difference is None else _both(figure.difference, 0 * figure.difference, style)[0]


def _number(value: float | None, style: "MoneyStyle | None") -> str:
    if value is None:
        return ""
    return _plain(value) if style is None or not isinstance(value, int) else style.text(value)


def _plain(value: float, decimals: int = DECIMALS) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:z,.{decimals if abs(value) < 1_000 else decimals - DECIMALS}f}"


def _signed(number: str) -> str:
    return number if number.startswith("-") or not number else f"+{number}"


def _print_costs(found: "DayComparison", most: int | None, style: "MoneyStyle") -> None:
    from labledger.console import print_answer, print_table

    if not found.banks:
        print_answer("Each bank that both have has the same costs\n")
        return
    rows = [
        (
            each.bank,
            *style.pair(each.first, each.second),
            _signed(style.text(each.difference)),
            _kinds(each.by_kind, style),
        )
        for each in found.banks
    ]
    print_table(("bank", "cost in the first", "in the second", "difference", "of it"), rows[:most])
    _print_left(len(rows), most, "banks")


def _print_indicators(days: "list[Day]", most: int | None, style: "MoneyStyle") -> None:
    """Print the liquidity and the delay of the banks of both days that differ, the largest difference first."""
    from labledger.console import print_table
    from payment_simulator.sweeps.figure_words import words_of

    first, second = (_bank_indicators(day) for day in days)
    differ = [bank for bank in first if bank in second and any(first[bank][key] != second[bank][key] for key in SHOWN)]
    if not differ:
        return

    def size(bank: str) -> float:
        return max(abs((first[bank][key] or 0) - (second[bank][key] or 0)) for key in SHOWN[:2])

    keys = [key for key in SHOWN if any(each[bank][key] for bank in differ for each in (first, second))]
    rows = []
    for bank in sorted(differ, key=lambda bank: (-size(bank), bank)):
        pairs = (_both(first[bank][key], second[bank][key], style if key != SHOWN[2] else None) for key in keys)
        rows.append((bank, *(text for pair in pairs for text in pair)))
    heads = [head for key in keys for head in (words_of(key), "in the second")]
    print_table(("bank", *heads), rows[:most])
    _print_left(len(rows), most, "banks")


def _bank_indicators(day: "Day") -> dict[str, dict[str, float | None]]:
    """Return what is shown of each bank of a day's report, None of what is not there or no number."""
    indicators: Any = day.record.report.get("indicators")
    banks = indicators.get("banks") if isinstance(indicators, dict) else None
    found = {}
    for name, bank in banks.items() if isinstance(banks, dict) else ():
        of = bank if isinstance(bank, dict) else {}
        values = {key: of.get(key) for key in SHOWN}
        found[str(name)] = {key: value if type(value) in (int, float) else None for key, value in values.items()}
    return found


def _kinds(by_kind: dict[str, int], style: "MoneyStyle") -> str:
    ranked = sorted(by_kind.items(), key=lambda each: -abs(each[1]))
    return ", ".join(f"{kind.replace('_', ' ')} {_signed(style.text(cents))}" for kind, cents in ranked)


def _print_payments(found: "DayComparison", style: "MoneyStyle") -> None:
    from labledger.console import print_answer, print_table
    from payment_simulator.days.payments import GROUPS

    matched = found.payments.matched
    print_answer(f"{counted(matched, 'payment')} {'is' if matched == 1 else 'are'} in both, by name")
    if not found.payments.matched and found.payments.only_in_first.count and found.payments.only_in_second.count:
        print_answer(
            "Names are those of the files; without any, they are the sender's and the place among its payments"
        )
    groups = [(GROUPS[name], group) for name, group in found.payments.groups().items() if group and group.count]
    if not groups:
        print_answer("Each of them settled in the same way\n")
        return
    rows = [(words, f"{group.count:,}", style.text(group.value)) for words, group in groups]
    print_table(("payments", "number", "value"), rows)
    for words, group in groups:
        _print_listed(words, group, style)


def _print_listed(words: str, group: "PaymentGroup", style: "MoneyStyle") -> None:
    from labledger.console import print_answer, print_table
    from payment_simulator.days.payments import BESIDE

    shown = len(group.listed)
    print_answer(f"{words}" + (f" (the first {shown:,} of {group.count:,})" if shown < group.count else ""))
    header = ["payment", "sender", "receiver", "amount", "came (tick)", "settled (tick)", "how"]
    rows = [
        [*(_pair(name, row[name], style) for name in row if name not in BESIDE), _beside(row)] for row in group.listed
    ]
    has_beside = any(row[-1] for row in rows)
    print_table([*header, "and"] if has_beside else header, rows if has_beside else [row[:-1] for row in rows])


def _beside(row: dict[str, Any]) -> str:
    """Return what else differs: each column with its value on both days."""
    from payment_simulator.days.payments import BESIDE

    found = []
    for name in BESIDE:
        if isinstance(row.get(name), list):
            one, other = ("none" if each is None else str(each).lower() for each in row[name])
            found.append(f"{name.replace('_', ' ')} {one} / {other}")
    return ", ".join(found)


def _pair(name: str, value: Any, style: "MoneyStyle") -> str:
    if isinstance(value, list) and name == "amount":
        return " / ".join(style.pair(*value))
    if isinstance(value, list):
        return " / ".join(_pair(name, each, style) or "never" for each in value)
    if not isinstance(value, int):
        return (value or "").replace("_", " ") if name == "route" else value or ""
    return style.text(value) if name == "amount" else f"{value:,}"


def _print_balances(found: "DayComparison", style: "MoneyStyle") -> None:
    from labledger.console import print_answer

    if found.ticks_differ is not None:
        print_answer(found.ticks_differ[0].upper() + found.ticks_differ[1:])
        return
    each = found.balances
    if each is None or each.tick is None:
        print_answer("Balances are the same after each tick that both days have")
        return
    first, second = style.pair(each.first or 0, each.second or 0)
    print_answer(
        f"Balances differ first after tick {each.tick:,}, most {each.bank}'s: {first} and {second}; in "
        f"{each.ticks_that_differ:,} of {each.ticks:,} ticks in all"
    )
