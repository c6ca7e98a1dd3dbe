"""Times of payments as ticks: of every form, zone and number of days."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from payment_days import CLOCK, HEADER, problem, read, rows

from payment_simulator.scenario.given_payments import NEVER
from payment_simulator.scenario.payment_files.run import Run

BERLIN = {**CLOCK, "timezone": "Europe/Berlin"}


def at(*times, **cell):
    return rows(*range(1, len(times) + 1), times=times)


@pytest.mark.parametrize(
    ("times", "ticks"),
    [
        (["2026-03-02 07:00:30", "2026-03-02T08:00"], [0, 60]),
        (["07:00:00", "17:59:59.999999", "7:05"], [0, 5, 659]),
        (["02.03.2026 07:00:00", "03.03.2026 08:00"], [0, 720]),
        (["02/03/2026 07:00", "13/03/2026 08:00"], [0, 720]),
        (["3/2/2026 9:15:00 AM", "3/13/2026 1:15:00 PM"], [135, 1035]),
        (["02-Mar-2026 07:00", "03-Mar-2026 07:00"], [0, 660]),
        (["20260302 07:00:00", "20260303T08:00:00.123456789"], [0, 720]),
        (["2026-03-02T07:00:00Z", "2026-03-02T08:00:00Z"], [0, 60]),
    ],
)
def test_times_of_many_forms_are_ticks(tmp_path, times, ticks):
    assert read(tmp_path, at(*times), clock=CLOCK).tick.tolist() == ticks


def test_a_day_that_could_be_a_month_is_refused_until_a_format_is_said(tmp_path):
    text = at("02/03/2026 07:00:00", "03/04/2026 08:00:00")
    assert 'day or month first? say time_format: "%d/%m/%Y %H:%M:%S"' in problem(tmp_path, text, clock=CLOCK)
    dates = [read(tmp_path, text, clock=CLOCK, time_format=f"{each}/%Y %T").dates for each in ("%d/%m", "%m/%d")]
    assert [each.astype("datetime64[D]")[0] for each in dates] == [dt.date(2026, 3, 2), dt.date(2026, 2, 3)]


def test_a_format_reads_times_that_have_none_of_the_usual_forms(tmp_path):
    assert read(tmp_path, at("070000", "175959"), clock=CLOCK, time_format="%H%M%S").tick.tolist() == [0, 659]
    said = problem(tmp_path, at("07:00"), clock=CLOCK, time_format="%H%M%S")
    assert said == "day.csv:2: time: \"07:00\": is not as payments.time_format has it, '%H%M%S'"
    assert "'%Q' is not known; known are %Y" in problem(tmp_path, at("07:00"), clock=CLOCK, time_format="%Q")


def test_offsets_in_the_file_are_converted_to_the_clocks_zone(tmp_path):
    text = at("2026-03-02T07:00:00+01:00", "2026-03-02T08:00:00Z", "2026-07-01T07:00:00+02:00")
    assert "times of UTC+00:00, UTC+01:00, UTC+02:00; say which" in problem(tmp_path, text, clock=CLOCK)
    assert read(tmp_path, text, clock=BERLIN).tick.tolist() == [0, 120, 660]


def test_times_without_an_offset_beside_others_are_of_the_clocks_zone_and_told(tmp_path):
    text = at("2026-03-02T06:00:00Z", "2026-03-02T08:00:00")
    assert "times of UTC+00:00 and without one; say which" in problem(tmp_path, text, clock=CLOCK)
    found = read(tmp_path, text, clock=BERLIN)
    assert found.tick.tolist() == [0, 60]
    assert found.remarks[0].endswith("beside others that have one: 1, read as of Europe/Berlin")


@pytest.mark.parametrize(("date", "word"), [("2026-03-29", "skip, going forward"), ("2026-10-25", "show twice")])
def test_times_that_clocks_skip_or_show_twice_are_told(tmp_path, date, word):
    found = read(tmp_path, at(f"{date} 02:30"), clock={**BERLIN, "open": "02:00"})
    assert word in found.remarks[0]
    assert found.tick.tolist() == [30]


def test_a_zone_that_is_none_is_refused(tmp_path):
    said = problem(tmp_path, at("2026-03-02 08:00"), clock={**CLOCK, "timezone": "Mars/Olympus"})
    assert said.startswith("payments.clock.timezone: 'Mars/Olympus': ")


def test_several_dates_are_several_days_and_a_date_without_payments_is_none(tmp_path):
    found = read(tmp_path, at("2026-03-09 07:00", "2026-03-06 07:00", "2026-03-06 17:00"), clock=CLOCK)
    assert (found.tick.tolist(), found.num_days) == ([0, 600, 660], 2)
    assert found.remarks[0].endswith("without payments and no days of the run: 2026-03-07, 2026-03-08")


def test_of_more_dates_than_the_run_has_days_the_first_count_where_the_others_may_be_left_out(tmp_path):
    text, run = at("2026-03-06 07:00", "2026-03-05 08:00", "2026-03-09 07:00"), Run(None, None, 2)
    said = "payments: payments are of 3 dates, and simulation.num_days is 2; say a payments.filter, or payments.skip: "
    assert problem(tmp_path, text, clock=CLOCK, run=run).startswith(said)
    found = read(tmp_path, text, clock=CLOCK, run=run, skip=["outside_day"])
    assert (found.tick.tolist(), found.amount.tolist()) == ([60, 660], [200, 100])
    assert (found.num_days, found.skipped) == (2, {"outside_day": 1})


def test_a_date_and_a_time_may_stand_in_two_columns(tmp_path):
    text = "business_date," + HEADER + "20260302,07:00,A,B,1\n2026-03-03,08:00,A,B,2\n"
    assert read(tmp_path, text.replace("20260302", "2026-03-02"), clock=CLOCK).tick.tolist() == [0, 720]
    named = read(tmp_path, text.replace("business_date", "d"), clock=CLOCK, columns={"date": "d"})
    assert named.dates.astype("datetime64[D]").tolist() == [dt.date(2026, 3, 2), dt.date(2026, 3, 3)]


def test_payments_in_one_tick_are_in_the_order_of_time_file_and_row(tmp_path):
    (tmp_path / "days").mkdir()
    for name, first in (("b", 1), ("a", 3)):
        (tmp_path / "days" / f"{name}.csv").write_text(rows(first, first + 1, times=["07:00:30", "07:00:10"]))
    for files in ("days", "days/*.csv", ["days/b.csv", "days/a.csv"]):
        assert read(tmp_path, file=files, clock=CLOCK).amount.tolist() == [400, 200, 300, 100]


def test_times_before_the_day_may_be_of_its_first_tick_and_those_after_it_are_refused(tmp_path):
    text = at("2026-03-02 06:00", "2026-03-02 18:00")
    said = problem(tmp_path, text, clock=CLOCK)
    assert 'day.csv:2: time: "2026-03-02 06:00": outside the day, 07:00 to 18:00\nday.csv:3: ' in said
    assert said.endswith("  times outside the day: 2; say payments.skip: [outside_day] to leave them out")
    found = read(tmp_path, text, clock={**CLOCK, "before_open": "first_tick"}, skip=["outside_day"])
    assert (found.tick.tolist(), found.skipped) == ([0], {"outside_day": 1})


def test_a_file_of_timestamps_without_a_clock_is_told_which_one_to_write(tmp_path):
    said = problem(tmp_path, at("2026-03-02 07:10:30", "2026-03-02 16:59:00"))
    assert said.startswith("payments: the times are from 2026-03-02 07:10:30 to 2026-03-02 16:59:00, and no clock")
    assert said.endswith('say clock: {open: "07:00", close: "17:00", tick: 60s}')


def test_whole_numbers_are_ticks_of_the_run(tmp_path):
    found = read(tmp_path, at("5", "9", "3.0"), run=Run(None, 5, 2))
    assert (found.tick.tolist(), found.deadline.tolist()) == ([3, 5, 9], [4, 9, 9])
    said = problem(tmp_path, at("5", "10", "-1"), run=Run(None, 5, 2))
    assert 'day.csv:3: time: "10": not among the 10 ticks of the run\nday.csv:4: time: "-1"' in said
    assert problem(tmp_path, at("1", "2", "x")) == 'day.csv:4: time: "x": is no whole number, as others are'
    assert "leave it out if they are ticks" in problem(tmp_path, at("5"), clock=CLOCK)


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        ({"tick": "7m"}, "clock.tick: '7m' does not divide the day: 39,600 s from open to close"),
        ({"tick": "0s"}, "clock.tick: '0s' should be a length, as 60s or 5m"),
        ({"open": "7h"}, "clock.open: '7h' is not a time of day; write HH:MM"),
        ({"close": "07:60"}, "clock.close: '07:60' is not a time of day"),
        ({"close": "06:00"}, "clock.close: 06:00 is not after open 07:00"),
    ],
)
def test_a_clock_that_cannot_be_is_refused_with_its_key(tmp_path, clock, said):
    assert problem(tmp_path, at("07:00"), clock={**CLOCK, **clock}).startswith(f"payments.{said}")


def test_a_clock_may_have_a_number_of_ticks_that_does_not_divide_it(tmp_path):
    clock = {"open": "07:00", "close": "18:00", "ticks": 7}
    found = read(tmp_path, at("07:00", "08:34:17", "08:34:18", "17:59:59"), clock=clock)
    assert found.tick.tolist() == [0, 0, 1, 6]


def test_a_deadline_is_the_last_tick_that_begins_before_it(tmp_path):
    lines = [("07:00", "08:00"), ("07:00", "08:00:01"), ("07:00", ""), ("07:00", "18:00"), ("07:00", "07:00")]
    text = "deadline," + HEADER + "".join(f"2026-03-02 {due},{time},A,B,1\n" for time, due in lines)
    text = text.replace("2026-03-02 ,", ",").replace(",07:00,A", ",2026-03-02 07:00,A")
    assert read(tmp_path, text, clock=CLOCK).deadline.tolist() == [59, 60, 659, 659, 0]


def test_a_deadline_of_another_day_ends_with_the_last_tick_before_it(tmp_path):
    lines = [("2026-03-06", "2026-03-07 10:00"), ("2026-03-06", "2026-03-09 07:01"), ("2026-03-09", "2026-04-01 09:00")]
    text = "due," + HEADER + "".join(f"{due},{date} 07:00,A,B,1\n" for date, due in lines)
    assert read(tmp_path, text, clock=CLOCK).deadline.tolist() == [659, 660, 1319]


@pytest.mark.parametrize("dates", [["2026-03-06", "2026-03-09"], [dt.date(2026, 3, 6), dt.date(2026, 3, 9)]])
def test_a_deadline_that_is_a_date_alone_is_the_last_tick_of_that_day(tmp_path, dates):
    times = [dt.datetime(2026, 3, 6, 7), dt.datetime(2026, 3, 6, 7), dt.datetime(2026, 3, 9, 7)]
    sides = {"sender": ["A"] * 3, "receiver": ["B"] * 3, "amount": [1, 2, 3]}
    table = pa.table({"time": times, **sides, "deadline": [*dates, None]})
    pq.write_table(table, tmp_path / "day.parquet")
    assert read(tmp_path, name="day.parquet", clock=CLOCK).deadline.tolist() == [659, 1319, 1319]


@pytest.mark.parametrize(
    ("zone", "ticks"), [("+01", [60]), ("+01:00[Europe/Berlin]", [60]), ("GMT", [120]), ("Z", [120]), ("-0130", [210])]
)
def test_an_offset_has_minutes_or_none_and_a_name_beside_it_says_nothing(tmp_path, zone, ticks):
    assert read(tmp_path, at(f"2026-03-02 08:00{zone}"), clock=BERLIN).tick.tolist() == ticks


@pytest.mark.parametrize("zone", ["[America/New_York]", "+99:99", "+01:60", " CET"])
def test_a_zone_by_name_alone_and_an_offset_that_no_place_has_are_no_time(tmp_path, zone):
    said = problem(tmp_path, at(f"2026-03-02 08:00{zone}"), clock=BERLIN)
    assert said.startswith(f'day.csv:2: time: "2026-03-02 08:00{zone}": is no time that is known')


def test_a_deadline_before_its_time_is_refused_or_counted(tmp_path):
    text = "deadline," + HEADER + "06:59,07:00,A,B,1\n09:00,07:00,A,B,2\n"
    assert 'day.csv:2: deadline: "06:59": before its time' in problem(tmp_path, text, clock=CLOCK)
    assert read(tmp_path, text, clock=CLOCK, skip=["past_deadline"]).skipped == {"past_deadline": 1}


def test_when_payments_settled_in_reality_is_kept_in_ticks(tmp_path):
    settled = ["2026-03-02 07:05", "", "2026-03-02 18:05", "2026-03-02 06:59", "2026-05-01 08:00"]
    text = "settled_at," + HEADER + "".join(f"{each},2026-03-02 07:01,A,B,{i}\n" for i, each in enumerate(settled, 1))
    found = read(tmp_path, text, clock=CLOCK)
    assert found.settled.tolist() == [5, NEVER, 659, 0, NEVER]
    assert found.remarks == (
        "settled on no day of the run, in reality: 1, taken as not settled",
        "settled before they were submitted, as the file has it: 1",
    )


def test_when_payments_settled_stays_with_them_where_rows_are_not_in_order(tmp_path):
    text = f"settled,{HEADER}9,5,A,B,1\n2,2,A,B,2\n,4,A,B,3\n"
    found = read(tmp_path, text)
    assert (found.tick.tolist(), found.settled.tolist()) == ([2, 4, 5], [2, NEVER, 9])
    assert found.remarks == ()  # at once is not before


def test_a_file_that_has_only_times_of_settlement_is_taken_as_that_and_told(tmp_path):
    found = read(tmp_path, "settlement_time,sender,receiver,amount\n2026-03-02 07:01,A,B,1\n", clock=CLOCK)
    assert (found.tick.tolist(), found.settled) == ([1], None)
    assert found.remarks[0].startswith("only a time of settlement is there (settlement_time): ")


@pytest.mark.parametrize(
    ("times", "line"),
    [
        (["2026-02-30 07:00", "2026-03-02 07:00"], '2: time: "2026-02-30 07:00": is no time that is known'),
        (["2026-03-02 25:00", "2026-03-02 07:00"], '2: time: "2026-03-02 25:00": is no time that is known'),
        (["2026-03-02 07:00", "08:00"], '3: time: "08:00": has no date, as others have'),
        (["2026-03-02 07:00", ""], '3: time: "": no time'),
    ],
)
def test_a_time_that_is_none_is_refused_with_its_line(tmp_path, times, line):
    assert problem(tmp_path, at(*times), clock=CLOCK).startswith(f"day.csv:{line}")


@pytest.mark.parametrize(
    ("times", "clock", "ticks"),
    [
        (pa.array([dt.time(7), dt.time(8)]), CLOCK, [0, 60]),
        (
            pa.array([dt.datetime(2026, 3, 2, 6), dt.datetime(2026, 3, 2, 7)], pa.timestamp("ns", "UTC")),
            BERLIN,
            [0, 60],
        ),
        (pa.array([dt.datetime(2026, 3, 2, 8), dt.datetime(2026, 3, 2, 9)]).cast(pa.string()), CLOCK, [60, 120]),
        (pa.array([1.0, 3.0]), None, [1, 3]),
    ],
)
def test_typed_times_are_read_as_they_are(tmp_path, times, clock, ticks):
    table = {"time": times, "sender": [1, 2], "receiver": [2, 1], "amount": [1, 2], "settled": pa.nulls(2)}
    pq.write_table(pa.table(table), tmp_path / "day.parquet")
    found = read(tmp_path, name="day.parquet", clock=clock)
    assert (found.tick.tolist(), found.banks, found.settled) == (ticks, ("1", "2"), None)
