"""Times of payments in the hour that clocks show twice, when they go back."""

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payment_days import HEADER, problem, read

from payment_simulator.scenario.payment_files.building import payments_of
from payment_simulator.scenario.payment_files.sections import Payments

ZONE = ZoneInfo("Europe/Berlin")
CLOCK = {"open": "00:00", "close": "24:00", "ticks": 48}
BERLIN = {**CLOCK, "timezone": "Europe/Berlin"}
BEGIN = dt.datetime(2026, 10, 24, 22, tzinfo=dt.UTC)
"""Midnight in Berlin; at 01:00 UTC the clocks go back from 03:00 to 02:00."""
NIGHT = (
    f"id,{HEADER}"
    "second,2026-10-25 02:10+01:00,B,A,1\n"
    "first,2026-10-25 02:20+02:00,A,B,2\n"
    "third,2026-10-25 02:25+01:00,A,B,3\n"
    "fourth,2026-10-25 03:01+01:00,A,B,4\n"
)


def of_csv(instants):
    """Instants with the offset of Berlin, as a file of payments."""
    lines = [f"{at.astimezone(ZONE).isoformat(' ')},A,B,1,{place}\n" for place, at in enumerate(instants)]
    return "time,sender,receiver,amount,id\n" + "".join(lines)


def typed(instants, zone="Europe/Berlin"):
    """Instants as a table of payments with a typed column of times."""
    names = [str(place) for place in range(len(instants))]
    time = pa.array(instants, pa.timestamp("us", zone))
    sides = {"sender": ["A"] * len(names), "receiver": ["B"] * len(names), "amount": [1] * len(names)}
    return pa.table({"time": time, **sides, "id": names})


def section(clock):
    return Payments.model_validate({"file": "table", "clock": clock})


def test_what_came_when_clocks_showed_an_hour_first_is_before_what_came_when_they_showed_it_again(tmp_path):
    found = read(tmp_path, NIGHT, clock=BERLIN)
    assert found.ids.to_pylist() == ["first", "second", "third", "fourth"]
    assert found.tick.tolist() == [4, 4, 4, 6]
    assert found.remarks[0].startswith("times that the clocks of Europe/Berlin show for the second time, going back: 2")


def test_payments_of_a_file_without_offsets_stand_among_them_as_if_shown_first(tmp_path):
    (tmp_path / "night").mkdir()
    (tmp_path / "night" / "b.csv").write_text(NIGHT)
    (tmp_path / "night" / "a.csv").write_text(f"id,{HEADER}naive,2026-10-25 02:22,A,B,1\n")
    found = read(tmp_path, file="night", clock=BERLIN)
    assert found.ids.to_pylist() == ["first", "naive", "second", "third", "fourth"]


@given(st.lists(st.integers(0, 6 * 3600), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_payments_of_a_tick_are_in_the_order_of_instants_in_files_of_any_kind(tmp_path_factory, seconds):
    instants = [BEGIN + dt.timedelta(seconds=each) for each in seconds]
    by_text = read(tmp_path_factory.mktemp("night"), of_csv(instants), clock=BERLIN)
    roads = [payments_of(typed(instants, zone), section(BERLIN), "t") for zone in ("UTC", "Europe/Berlin")]
    for found in (by_text, *roads, payments_of(typed(instants), section(CLOCK), "t")):
        at = [instants[int(name)] for name in found.ids.to_pylist()]
        walls = [each.astimezone(ZONE) for each in at]
        assert found.tick.tolist() == [wall.hour * 2 + wall.minute // 30 for wall in walls]
        order = list(zip(found.tick.tolist(), at, strict=True))
        assert all(one <= other for one, other in pairwise(order))


@pytest.mark.parametrize("column", ["deadline", "settled"])
def test_a_deadline_and_a_settlement_after_the_clocks_went_back_are_not_before_the_payment(tmp_path, column):
    text = f"{column},{HEADER}2026-10-25 02:10+01:00,2026-10-25 02:50+02:00,A,B,1\n"
    found = read(tmp_path, text, clock=BERLIN)
    assert (found.tick.tolist(), getattr(found, column).tolist()) == ([5], [5])
    assert not any("before" in remark for remark in found.remarks)


def test_a_deadline_from_before_the_clocks_went_back_is_before_a_payment_from_after_it(tmp_path):
    text = f"deadline,{HEADER}2026-10-25 02:50+02:00,2026-10-25 02:10+01:00,A,B,1\n"
    assert 'deadline: "2026-10-25 02:50+02:00": before its time' in problem(tmp_path, text, clock=BERLIN)


def test_times_of_a_zone_with_years_out_of_reach_are_told_with_their_rows(tmp_path):
    times = pa.array([0, 2**62], pa.timestamp("us", "Europe/Berlin"))
    pq.write_table(
        pa.table({"time": times, "sender": ["A", "B"], "receiver": ["B", "A"], "amount": [1, 2]}),
        tmp_path / "d.parquet",
    )
    assert problem(tmp_path, name="d.parquet", clock=BERLIN).startswith("d.parquet: row 2: time: ")
