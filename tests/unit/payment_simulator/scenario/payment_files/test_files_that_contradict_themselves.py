"""Files of payments that can be read in two ways, of which one is wrong: refused, or told."""

import pytest
from payment_days import CLOCK, HEADER, problem, read

DATED = "date,time,sender,receiver,amount\n"


def test_a_stray_double_quote_takes_no_rows_in(tmp_path):
    swallowing = HEADER.replace("\n", ",note\n") + '1,A,B,5,ok\n2,A,B,6,"rent\n3,A,B,7,x\n4,A,B,8,y\n'
    said = "day.csv:3: a cell in double quotes goes over 2 lines that are rows by themselves"
    assert problem(tmp_path, swallowing).startswith(said)
    assert problem(tmp_path, swallowing.replace("y\n", 'y" z\n')).startswith(said)
    fine = HEADER.replace("\n", ",note\n") + '1,A,B,5,"two\nlines"\n2,A,B,6,x\n'
    assert read(tmp_path, fine).amount.tolist() == [500, 600]


def test_a_column_called_cents_has_cents_unless_the_section_says_another(tmp_path):
    for name in ("amount_cents", "Amount (cents)"):
        found = read(tmp_path, f"time,sender,receiver,{name}\n1,A,B,1250\n", columns={"amount": name})
        assert found.amount.tolist() == [1250]
        assert any("is read as cents" in remark for remark in found.remarks)
    told = read(tmp_path, "time,sender,receiver,amount_cents\n1,A,B,1250\n", amounts="currency")
    assert told.amount.tolist() == [125_000]


def test_a_date_that_is_another_day_than_the_times_is_refused_unless_it_is_left_out(tmp_path):
    content = DATED + "2026-03-02,1899-12-30 08:00:00,A,B,5\n"
    said = problem(tmp_path, content, clock=CLOCK)
    assert "day.csv:2: date is another day than the time's, in 1 rows" in said
    assert len(read(tmp_path, content, clock=CLOCK, columns={"date": ""})) == 1
    same = DATED + "2026-03-02,2026-03-02 08:00:00,A,B,5\n"
    assert read(tmp_path, same, clock=CLOCK).tick.tolist() == [60]


@pytest.mark.parametrize("time", ["08:00:00Z", "08:00+02:00"])
def test_a_time_of_day_with_an_offset_is_refused(tmp_path, time):
    clock = {**CLOCK, "timezone": "Europe/Berlin"}
    for content in (DATED + f"2026-03-02,{time},A,B,5\n", HEADER + f"{time},A,B,5\n"):
        assert "a time of day with an offset from UTC" in problem(tmp_path, content, clock=clock)


def test_two_columns_of_dates_are_refused(tmp_path):
    content = "business_date,value_date,time,sender,receiver,amount\n2026-03-02,2026-03-03,08:00,A,B,5\n"
    assert "'business_date' and 'value_date' could be the date" in problem(tmp_path, content, clock=CLOCK)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("list_sum(range(3000000000)) > 0", "range() may take any memory and time"),
        ("length(repeat('x', 2000000000)) > 1", "repeat() may take any memory and time"),
        ("current_setting('TimeZone') = 'UTC'", "current_setting() is another on each machine"),
    ],
)
def test_a_filter_has_an_answer_that_is_the_same_on_each_machine_and_soon(tmp_path, expression, said):
    assert said in problem(tmp_path, HEADER + "1,A,B,5\n", filter=expression)


def test_a_code_of_a_currency_is_shown_short(tmp_path):
    content = "time,sender,receiver,amount,currency\n1,A,B,5," + "X" * 100_000 + "\n"
    assert len(problem(tmp_path, content)) < 300


def test_deadlines_of_another_offset_than_the_times_are_refused_unless_a_zone_says_the_clocks(tmp_path):
    header = HEADER.replace("\n", ",deadline\n")
    content = header + "2026-03-02T08:00:00+01:00,A,B,5,2026-03-02T09:30:00Z\n"
    assert "deadline has other offsets from UTC than the time" in problem(tmp_path, content, clock=CLOCK)
    found = read(tmp_path, content, clock={**CLOCK, "timezone": "Europe/Berlin"})
    assert found.deadline.tolist() == [209]  # up to 10:30 in Berlin
    alike = header + "2026-03-02T08:00:00+01:00,A,B,5,2026-03-02T09:30:00+01:00\n"
    assert read(tmp_path, alike, clock=CLOCK).deadline.tolist() == [149]
    naive = header + "2026-03-02T08:00:00Z,A,B,5,2026-03-02T09:30:00\n"
    assert "other offsets" in problem(tmp_path, naive, clock=CLOCK)
    of_day = header + "2026-03-02T08:00:00,A,B,5,09:30Z\n"
    assert "a time of day with an offset" in problem(tmp_path, of_day, clock=CLOCK)
