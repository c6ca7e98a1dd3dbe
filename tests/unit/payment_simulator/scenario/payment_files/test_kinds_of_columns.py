"""Columns of every kind that Arrow has, in every role: payments, or a refusal that names the column."""

from decimal import Decimal

import pyarrow as pa
import pytest

from labledger.errors import ConfigError
from payment_simulator import Scenario

PAYMENTS = {"time": ["07:00:10", "07:01:00"], "sender": ["A", "B"], "receiver": ["B", "A"], "amount": [5, 6]}
CLOCK = {"open": "07:00", "close": "18:00", "tick": "60s"}
ROLES = ("time", "sender", "amount", "priority", "deadline", "divisible", "settled", "date", "currency", "id")


def encoded(values, kind=None):
    return pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(values, kind))


NONE = {
    "booleans": pa.array([True, False]),
    "duration": pa.array([1, 2], pa.duration("s")),
    "list": pa.array([[1], [2]]),
    "large list": pa.array([["A"], ["B"]], pa.large_list(pa.string())),
    "list of fixed size": pa.array([[1], [2]], pa.list_(pa.int64(), 1)),
    "struct": pa.array([{"a": 1}, {"a": 2}]),
    "map": pa.array([[("a", 1)], [("b", 2)]], pa.map_(pa.string(), pa.int64())),
    "dictionary of lists": encoded([["A"], ["B"]]),
    "dictionary of structs": encoded([{"a": 1}, {"a": 2}]),
    "union": pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [pa.array([1, 2])]),
    "months and days": pa.array([(1, 2, 3), (1, 2, 3)], pa.month_day_nano_interval()),
}
ODD = {
    **NONE,
    "null": pa.nulls(2),
    "uint64": pa.array([2**64 - 1, 2**63], pa.uint64()),
    "no numbers": pa.array([float("nan"), float("inf")]),
    "bytes": pa.array([b"\xff\xfe", b"B"]),
    "decimal256": pa.array([Decimal(10) ** 60, Decimal(1)], pa.decimal256(70, 2)),
    "far seconds": pa.array([2**62, 2**61], pa.timestamp("s")),
    "long ago": pa.array([-(2**62), 0], pa.timestamp("us")),
    "far, with a zone": pa.array([2**62, 2**61], pa.timestamp("us", "Europe/Berlin")),
    "a zone that is none": pa.array([1, 2], pa.timestamp("us", "Mars/Base")),
    "far days": pa.array([2**31 - 1, 1], pa.date32()),
    "far milliseconds": pa.array([2**62, 86_400_000], pa.date64()),
    "dictionary of decimals": encoded([Decimal(10) ** 30, Decimal(1)], pa.decimal128(38, 0)),
    "dictionary of doubles": encoded([1e30, 5.0]),
    "dictionary with a gap": encoded(["A", None]),
    "dictionary of booleans": encoded([True, False]),
    "dictionary of far times": encoded([2**62, 1], pa.timestamp("us", "+05:30")),
    "dictionary of times of no zone": encoded([1, 2], pa.timestamp("ms", "Mars/Base")),
    "dictionary of bytes": encoded([b"A", b"\xff"], pa.binary_view()),
    "runs of numbers": pa.RunEndEncodedArray.from_arrays([2], [2**62]),
    "runs of times": pa.RunEndEncodedArray.from_arrays([2], pa.array([1], pa.timestamp("ms", "UTC"))),
    "seconds past a day": pa.array([2**31 - 1, -1], pa.time32("s")),
    "extension": pa.array([b"0123456789abcdef"] * 2, pa.uuid()),
}
READ = {
    "dictionary": encoded(["A", "B"]),
    "dictionary of views": encoded(["A", "B"], pa.string_view()),
    "dictionary of large text": encoded(["A", "B"], pa.large_string()),
    "bytes": pa.array([b"A", b"B"], pa.large_binary()),
    "runs": pa.RunEndEncodedArray.from_arrays([1, 2], ["A", "B"]),
    "parts": pa.chunked_array([encoded(["A", "B"]).slice(0, 1), encoded(["C", "B"]).slice(1)]),
}
"""Columns of text, in ways that Arrow has beside the usual one."""


def refused(table, **keywords):
    """The refusal of a table; empty where it is read."""
    try:
        Scenario.from_payments(table, clock=CLOCK, **keywords)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", ODD)
def test_a_column_of_any_kind_is_read_or_refused(kind):
    for role in ROLES:
        table = pa.table({**PAYMENTS, role: ODD[kind]})
        for chosen in ({}, {"filter": "amount > 0"}) if role in ("sender", "time") else ({},):
            if refusal := refused(table, **chosen):
                assert role in refusal or "timezone" in refusal or "filter: " in refusal


@pytest.mark.parametrize("kind", READ)
def test_text_is_read_in_whatever_way_arrow_has_it(kind):
    found = Scenario.from_payments(pa.table({**PAYMENTS, "sender": READ[kind], "receiver": ["X", "Y"]}), clock=CLOCK)
    given = found.given_payments
    assert [given.banks[place] for place in given.sender] == ["A", "B"]


@pytest.mark.parametrize("kind", ODD)
def test_a_column_of_any_kind_in_balances_is_read_or_refused(kind):
    for column in ("id", "opening_balance", "haircut", "time"):
        table = pa.table({"id": ["A", "B"], "opening_balance": [1, 2], column: ODD[kind]})
        if refusal := refused(pa.table(PAYMENTS), balances=table):
            assert column in refusal or "collateral_haircut" in refusal or "stands twice" in refusal


@pytest.mark.parametrize("kind", NONE)
@pytest.mark.parametrize("role", ["time", "sender", "amount"])
def test_a_column_that_none_can_be_is_refused_with_its_type_and_what_it_should_be(kind, role):
    said = refused(pa.table({**PAYMENTS, role: NONE[kind]}))
    assert said.startswith(f"payments.columns.{role}: payments: {role} is of {NONE[kind].type}"[:60])
    assert f", and cannot be read as the {role}: it should be text" in said


def csv(tmp_path, text):
    path = tmp_path / "day.csv"
    path.write_text(text)
    return Scenario.from_payments(path, clock=CLOCK)


@pytest.mark.parametrize("word", ["NaN", "NULL", "None", "#N/A", "<NA>", "nan", "-", "", " "])
def test_a_word_for_a_name_that_is_not_there_is_no_bank(tmp_path, word):
    with pytest.raises(ConfigError, match=r"day\.csv:3: sender: .*no bank"):
        csv(tmp_path, f"time,sender,receiver,amount\n07:00,A,B,5\n07:01,{word},B,6\n")


def test_a_payment_that_says_no_currency_beside_others_that_do_is_refused_with_its_line(tmp_path):
    with pytest.raises(ConfigError, match=r"day\.csv:3: ccy says none in this row, and EUR in others; say .*: EUR"):
        csv(tmp_path, "time,sender,receiver,amount,ccy\n07:00,A,B,5,EUR\n07:01,B,A,6,\n")


def test_a_first_line_that_says_the_separator_to_spreadsheets_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"day\.csv:1: a line for spreadsheets, 'sep=;'.*payments\.separator: ';'"):
        csv(tmp_path, "sep=;\ntime;sender;receiver;amount\n07:00;A;B;5\n")


def test_a_payment_that_stands_in_two_files_is_refused_with_both(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text(f"time,sender,receiver,amount,id\n07:00,A,B,5,x\n07:01,B,A,6,{name}\n")
    with pytest.raises(ConfigError, match=r"1 names stand twice, as 'x' in .*one\.csv and in .*two\.csv"):
        Scenario.from_payments(tmp_path / "*.csv", clock=CLOCK)
