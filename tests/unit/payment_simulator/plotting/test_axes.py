"""Axes of money and of time."""

import pytest
from matplotlib.figure import Figure
from scenarios import make_scenario

from payment_simulator.plotting.axes import from_zero, money_axes, time_axis


@pytest.mark.parametrize(
    ("most", "decimals", "label", "shown"),
    [
        (9_000_000, 2, "cost (cents)", "5,000,000"),
        (9_000_000_000, 2, "cost (currency units)", "50 M"),
        (9_000_000_000, 0, "cost (currency units)", "5,000 M"),
    ],
)
def test_an_axis_of_money_is_in_cents_where_it_is_little_and_else_in_units(most, decimals, label, shown):
    axes = Figure().subplots()
    axes.set_ylim(0, most)
    money_axes({axes: "cost"}, decimals)
    assert axes.get_ylabel() == label
    assert axes.yaxis.get_major_formatter()(most // 9 * 5) == shown


def test_an_axis_on_which_all_is_zero_has_it_as_its_one_tick_at_its_beginning():
    axes = Figure().subplots()
    axes.plot([1, 2], [0, 0])
    from_zero(axes.yaxis)
    money_axes({axes: "cost"})
    low, high = axes.get_ylim()
    assert [tick for tick in axes.get_yticks() if low <= tick <= high] == [0]
    assert -low < 0.1 * high


@pytest.mark.parametrize("values", [[-4, 4], [0, 5]])
def test_an_axis_on_which_not_all_is_zero_stays_as_it_is(values):
    axes = Figure().subplots()
    axes.plot([1, 2], values)
    before = axes.get_ylim()
    from_zero(axes.yaxis)
    assert axes.get_ylim() == before


def labels(days, clock, ticks):
    scenario = make_scenario({"A": {}, "B": {}}, ticks=ticks, days=days)
    payments = {"file": "day.csv", "clock": clock} if clock else None
    scenario = type(scenario).model_validate(scenario.model_dump() | {"payments": payments})
    axes = Figure().subplots()
    axes.set_xlim(-0.5, days * ticks - 0.5)
    time_axis(axes, scenario)
    at = [float(tick) for tick in axes.get_xticks()]
    return axes.get_xlabel(), dict(zip(at, map(axes.xaxis.get_major_formatter(), at), strict=True))


HOURS = {"open": "07:00", "close": "11:00", "tick": "30m"}


def test_an_axis_of_time_has_times_of_day_where_the_scenario_has_a_clock():
    label, found = labels(1, HOURS, 8)
    assert label == "time of day"
    assert [found[place] for place in (-0.5, 1.5, 7.5)] == ["07:00", "08:00", "11:00"]
    label, found = labels(3, HOURS, 8)
    places = (-0.5, 3.5, 7.5, 15.5)
    assert [found[place] for place in places] == ["07:00\nday 0", "09:00", "07:00\nday 1", "07:00\nday 2"]
    assert labels(1, None, 8)[0] == labels(1, HOURS, 9)[0] == "tick"
