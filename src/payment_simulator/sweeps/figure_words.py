"""The figures of sweeps and stress tests in words, and their values as a person reads them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labledger.percentages import rounded_percent
from payment_simulator.engine.vocabulary import COSTS
from payment_simulator.scenario.money import MoneyStyle
from payment_simulator.sweeps.tables import estimated

CENTS, TICKS, SHARE, NUMBER = "cents", "ticks", "share", ""
UNITS = {
    "total_cost": CENTS,
    **{f"{kind}_cost": CENTS for kind in COSTS},
    "settlement_rate": SHARE,
    "mean_delay_ticks": TICKS,
    "liquidity_used": CENTS,
    "peak_credit": CENTS,
    "settled_share": SHARE,
    "unsettled": CENTS,
    "lower_bound": CENTS,
    "upper_bound": CENTS,
    "used": CENTS,
    "place": NUMBER,
    "delay_indicator": NUMBER,
    "value_weighted_delay_ticks": TICKS,
    "throughput_50_tick": TICKS,
    "throughput_80_tick": TICKS,
    "turnover": NUMBER,
    "unsettled_added": CENTS,
    "others_unsettled": CENTS,
    "others_unsettled_added": CENTS,
    "others_share": SHARE,
    "trapped": CENTS,
    "others_delay_indicator": NUMBER,
    "others_delay_added": NUMBER,
}
"""The figures of sweeps and the effects of outages, and what each is counted in."""
WORDS = {
    "used": "peak use",
    "value_weighted_delay_ticks": "delay by value",
    **{f"throughput_{percent}_tick": f"throughput {percent} %" for percent in (30, 50, 80)},
    "unsettled_added": "added to what is unsettled",
    "others_unsettled": "unsettled of others",
    "others_unsettled_added": "added to others' unsettled",
    "others_share": "share of others",
    "trapped": "liquidity trapped",
    "others_delay_indicator": "delay indicator of others",
    "others_delay_added": "added to others' delay indicator",
}
"""The names that are not the words themselves."""
Row = Mapping[str, Any]


def words_of(name: str) -> str:
    """Return a figure's name in words: "total cost"."""
    return WORDS.get(name) or name.removesuffix("_ticks").removesuffix("_tick").replace("_", " ")


def title_of(name: str) -> str:
    """Return a figure's name in words with its unit, as pictures have it: "total cost (cents)"."""
    unit = UNITS[name]
    return f"{words_of(name)} ({unit})" if unit in (CENTS, TICKS) else words_of(name)


def written_setting(value: Any) -> str:
    """Return a setting as YAML has it; a number that is whole has no point."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def style_of(rows: Iterable[Row], names: Sequence[str], decimals: int) -> MoneyStyle:
    """Return how the money in a table is written: all of it in cents, or in units of a currency of `decimals`."""
    of_money = [name for name in names if UNITS[name] == CENTS]
    return MoneyStyle.of((round(row[name]) for row in rows for name in of_money if row[name] is not None), decimals)


def cells_of(row: Row, names: Sequence[str], style: MoneyStyle, *, difference: bool = False) -> list[str]:
    """Return each figure of a row, or its difference from the first cell, as a person reads it: "1,234 ± 56".

    After the mean is half the width of its interval, where that is known; what is not known is an empty cell.
    """
    found = []
    for name in names:
        of = estimated(row, name, difference=difference)
        texts = [] if of.mean is None else [_value(UNITS[name], of.mean, style)]
        if of.low is not None and of.high is not None:
            texts.append(_value(UNITS[name], (of.high - of.low) / 2, style))
        found.append(" ± ".join(texts))
    return found


def _value(unit: str, value: float, style: MoneyStyle) -> str:
    if unit == CENTS:
        return style.text(round(value))
    if unit == SHARE:
        return rounded_percent(value, 2)
    return f"{value:,.2f} ticks" if unit == TICKS else f"{value:,.4f}"
