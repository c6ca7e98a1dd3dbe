"""Axes of money and of time, in units that a person reads."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labledger import plotting
from payment_simulator.scenario.money import LEAST_ROUNDED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from payment_simulator.scenario.payment_files.clock import Day
    from payment_simulator.scenario.schema import Scenario

MOST_LABELS, MOST_DAYS = 12, 6
AT_ZERO = (-0.04, 0.9)
"""The ends of an axis on which all is 0, which is then its one tick of whole numbers, such as cents."""
APART = 0.8
"""The share of a step that times are apart from the starts of days, whose labels are wider."""
STEPS_S = (60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600)


def from_zero(axis: Any) -> None:
    """Let an axis of which all values are 0 begin just below: it would have 0 in its middle. Before lines are named."""
    if not any(axis.get_data_interval()):
        (axis.axes.set_xlim if axis.axis_name == "x" else axis.axes.set_ylim)(*AT_ZERO)


def money_axes(named: "Mapping[Axes, str]", decimals: int = 2) -> None:
    """Label y as money, in cents where all of it is little, else in units of the currency; when all is drawn."""
    ends = [end for axes in named for end in axes.get_ylim()]
    for axes, name in named.items():
        axes.set_ylabel(money_axis(axes.yaxis, name, ends, decimals))


def money_axis(axis: Any, name: str, ends: Sequence[float], decimals: int = 2) -> str:
    """Return the label of an axis of money whose values lie between `ends`, and let it have ticks in that unit."""
    plotting.whole_numbers(axis, per=money_unit(ends, decimals))
    return f"{name} (cents)" if _is_little(ends, decimals) else f"{name} (currency units)"


def money_unit(ends: Sequence[float], decimals: int = 2) -> int:
    """Return the cents of the unit in which a picture shows money that lies between `ends`: 1, or the currency's."""
    return 1 if _is_little(ends, decimals) else int(10**decimals)


def _is_little(ends: Sequence[float], decimals: int) -> bool:
    return bool(max(map(abs, ends)) < LEAST_ROUNDED * 10**decimals)


def time_axis(axes: "Axes", scenario: "Scenario") -> None:
    """Label x, which counts ticks, with times of day where the scenario has a clock."""
    from matplotlib.ticker import FixedLocator

    axes.set_xlabel("tick")
    plotting.whole_numbers(axes.xaxis)
    if (day := _day(scenario)) is None:
        return
    days = scenario.simulation.num_days
    numbers = [f"day {number}" for number in range(days)]
    given = scenario.given_payments
    dates = None if given is None else given.day_names
    names = dates if dates is not None and len(dates) == days else numbers
    places = _times(day, names)
    axes.set_xlabel("time of day")
    axes.xaxis.set_major_locator(FixedLocator([*places]))
    axes.xaxis.set_major_formatter(lambda value, _: places.get(value, ""))


def _day(scenario: "Scenario") -> "Day | None":
    from payment_simulator.scenario.payment_files.clock import day_of

    section = scenario.payments_section
    if section is None or section.clock is None:
        return None
    day = day_of(section.clock)
    return day if day.ticks == scenario.simulation.ticks_per_day else None


def _times(day: "Day", names: Sequence[str]) -> dict[Any, str]:
    """Round times by their places on the axis, where tick k is from k - 1/2 to k + 1/2; of several days each start."""
    days = len(names)
    length_s = day.close_s - day.open_s
    in_a_day = max(MOST_LABELS // days, 1)
    step_s = next((step for step in STEPS_S if length_s / step <= in_a_day), length_s)
    shown = range(0, days, -(-days // MOST_DAYS))
    found = {}
    for number in shown:
        begin = number * day.ticks
        if days > 1:
            found[begin - 0.5] = f"{_clock_time(day.open_s)}\n{names[number]}"
        for time_s in range(-(-day.open_s // step_s) * step_s, day.close_s + (days == 1), step_s):
            place = begin + (time_s - day.open_s) * day.ticks / length_s - 0.5
            if days == 1 or min(time_s - day.open_s, day.close_s - time_s) >= APART * step_s:
                found[place] = _clock_time(time_s)
    return found


def _clock_time(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
