"""Amounts of a file of payments are cents, exactly or not at all; banks and priorities by whatever words it has."""

import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from payment_days import CLOCK, HEADER, csv_of, day_table, problem, read, rows, write_scenario
from typer.testing import CliRunner

from payment_simulator.cli.main import app
from payment_simulator.scenario.payment_files.currencies import DECIMALS


@pytest.mark.parametrize(
    ("written", "section", "cents"),
    [
        (["1234.50", "5", ".5", "+7."], {}, [123450, 500, 50, 700]),
        (['"1,234.50"', '"1,234"'], {}, [123450, 123400]),
        (['"1.234,50"', '"0,5"'], {"decimal": ","}, [123450, 50]),
        (["1e3", "1.5E+2", "1 234.5", "1'234.5"], {}, [100000, 15000, 123450, 123450]),
        (["1344.0500", "0.29"], {}, [134405, 29]),
        (["1.234"], {"currency": "KWD"}, [1234]),
        (["1234"], {"currency": "JPY"}, [1234]),
        (["1234.0"], {"amounts": "cents"}, [1234]),
        (["23058430092136939.52"], {}, [2**61]),
    ],
)
def test_an_amount_that_can_be_read_in_one_way_is_read_so(tmp_path, written, section, cents):
    assert read(tmp_path, rows(*written), **section).amount.tolist() == cents


@pytest.mark.parametrize(
    ("written", "section", "said"),
    [
        (['"1,5"'], {}, '2: amount: "1,5": a comma; say decimal: ","'),
        (["1.5"], {"decimal": ","}, '2: amount: "1.5": a point; say decimal: "."'),
        (["1.500"], {}, '2: amount: "1.500": does the sign part thousands, or decimals? say decimal: "." or'),
        (['"1,500"'], {}, '2: amount: "1,500": does the sign part thousands, or decimals?'),
        (["1.2", "1.234"], {}, '3: amount: "1.234": 3 decimals, and the currency has 2'),
        (["1.5"], {"currency": "JPY"}, '2: amount: "1.5": 1 decimal, and JPY has 0'),
        (["92233720368547758.07"], {}, '2: amount: "92233720368547758.07": more than 2^61 cents'),
        (["9" * 50], {}, f'2: amount: "{"9" * 50}": more than 2^61 cents'),
        (["1e99"], {}, '2: amount: "1e99": more than 2^61 cents'),
        (["1e-3"], {}, '2: amount: "1e-3": 3 decimals, and the currency has 2'),
        (["\u0665", "0x10"], {}, '2: amount: "\u0665": is not an amount\nday.csv:3: amount: "0x10": is not an amount'),
        (["nan", "", "EUR 5"], {}, '2: amount: "nan": is not an amount\nday.csv:3: amount: "": no amount\nday.csv:4:'),
        (["-1"], {}, '2: amount: "-1": below 0\n  amounts below 0: 1; say payments.reversals: skip, or swap'),
    ],
)
def test_an_amount_that_cannot_is_refused_with_its_line_and_what_to_say(tmp_path, written, section, said):
    assert problem(tmp_path, rows(*written), **section).startswith(f"day.csv:{said}")


def test_a_decimal_comma_is_guessed_where_another_sign_parts_the_columns(tmp_path):
    text = "time;sender;receiver;amount\n1;A;B;1234,56\n1;A;B;1.234,56\n"
    assert read(tmp_path, text).amount.tolist() == [123456, 123456]


def test_a_negative_amount_is_a_reversal_that_is_left_out_or_goes_the_other_way(tmp_path):
    text = rows("-100", "5.00", "7.00-")
    skipped, swapped = (read(tmp_path, text, reversals=each) for each in ("skip", "swap"))
    assert (skipped.amount.tolist(), skipped.skipped) == ([500], {"reversal": 2})
    assert (swapped.amount.tolist(), swapped.sender.tolist()) == ([10000, 500, 700], [1, 0, 1])


@pytest.mark.parametrize(
    ("column", "cents"),
    [
        (pa.array([1.1, 2.5, 1e11 + 0.01]), [110, 250, 10_000_000_000_001]),
        (pa.array([1.1, 2.5, 3.0], pa.float32()), [110, 250, 300]),
        (pa.array([Decimal("1.100"), Decimal("2.000"), Decimal("0.010")]), [110, 200, 1]),
        (pa.array([1, 2, 3], pa.int16()), [100, 200, 300]),
        (pa.array(["1,10", "2.000,00", "3"], pa.large_string()), [110, 200000, 300]),
    ],
)
def test_a_typed_column_of_amounts_is_read_to_the_cent(tmp_path, column, cents):
    write(tmp_path, column)
    assert read(tmp_path, name="day.parquet").amount.tolist() == cents


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([1.0, 1.105, 2.0]), "row 2: amount: 1.105: is not whole cents"),
        (pa.array([1.0, 1e17, float("nan")]), "row 2: amount: 1e+17: is a floating-point number beyond"),
        (pa.array([1.0, None, 2.0]), "row 2: amount: empty: no amount"),
        (pa.array([1, 2**62, 3]), "row 2: amount: 4611686018427387904: more than 2^61 cents"),
        (pa.array([1, 2**64 - 1, 3], pa.uint64()), "row 2: amount: 18446744073709551615: more than 2^61 cents"),
        (pa.array([Decimal("1.000"), Decimal("1.105"), None]), "row 2: amount: 1.105: more decimals than the currency"),
    ],
)
def test_a_typed_amount_that_is_not_whole_cents_is_refused_with_its_row(tmp_path, column, said):
    write(tmp_path, column)
    assert problem(tmp_path, name="day.parquet").startswith(f"day.parquet: {said}")


def write(folder, column):
    sides = {"sender": ["A"] * 3, "receiver": ["B"] * 3}
    pq.write_table(pa.table({"time": [1, 2, 3], **sides, "amount": column}), folder / "day.parquet")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    separator=st.sampled_from(",;\t|"),
    signs=st.sampled_from([(".", ""), (".", ","), (",", ""), (",", "."), (".", " "), (",", "'")]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"]),
)
def test_a_csv_of_any_signs_and_encoding_is_the_same_payments_as_parquet(tmp_path, seed, separator, signs, encoding):
    table = day_table(seed, payments=8, banks=3)
    table = table.set_column(1, "sender", pa.array([f"Bank Ä{each}" for each in table["sender"].to_pylist()]))
    pq.write_table(table, tmp_path / "day.parquet")
    decimal, groups = signs
    text = csv_of(table, separator, decimal, groups).encode(encoding)
    said = {"encoding": encoding} if encoding == "cp1252" else {}
    if separator == "," and decimal == ",":
        said["decimal"] = ","  # a comma in a text that commas part is no evidence
    by_csv = read(tmp_path, text, clock=CLOCK, **said)
    by_parquet = read(tmp_path, name="day.parquet", amounts="cents", clock=CLOCK)
    assert by_csv.digest == by_parquet.digest
    assert by_csv.amount.tolist() == table["amount"].to_pylist()


def test_currencies_have_the_decimals_of_iso_4217():
    assert [DECIMALS[code] for code in ("EUR", "JPY", "KWD", "CLF")] == [2, 0, 3, 4]


def test_a_file_of_several_currencies_is_refused_and_one_of_one_has_its_decimals(tmp_path):
    text = "time,sender,receiver,amount,ccy\n1,A,B,5,JPY\n1,A,B,7,EUR\n"
    assert "payments in EUR, JPY; say payments.filter, as: ccy = 'EUR'" in problem(tmp_path, text)
    found = read(tmp_path, text, filter="ccy = 'JPY'")
    assert (found.amount.tolist(), found.remarks) == ([5], ("amounts are in JPY, which has 0 decimals",))
    assert "EUR, and" in problem(tmp_path, text, filter="ccy = 'JPY'", currency="EUR")


def test_branches_of_a_bank_are_one_with_bic_8(tmp_path):
    text = HEADER + "1,DEUTDEFFXXX,DEUTDEFF500,1\n1,DEUTDEFFXXX,COBADEFF,2\n2,Bank ABCDXXX,COBADEFF,3\n"
    assert read(tmp_path, text).banks == ("Bank ABCDXXX", "COBADEFF", "DEUTDEFF500", "DEUTDEFFXXX")
    found = read(tmp_path, text, bic=8, skip=["self"])
    assert (found.banks, found.skipped) == (("Bank ABCDXXX", "COBADEFF", "DEUTDEFF"), {"self": 1})


@pytest.mark.parametrize(
    ("words", "cells", "priorities"),
    [
        (None, ["0", "10", "", "3.0"], [0, 10, 5, 3]),
        ({"HIGH": 9, "NORM": 5}, ["HIGH", "NORM", "3"], [9, 5, 3]),
        ({1: 9, 2: 4}, ["1", "2", ""], [9, 4, 5]),
        ("t2", ["0", "1", "2", "3", "URGT", "HIGH", "NORM"], [10, 9, 5, 2, 10, 9, 5]),
    ],
)
def test_priorities_are_numbers_or_words_that_have_one(tmp_path, words, cells, priorities):
    text = "prio," + HEADER + "".join(f"{cell},1,A,B,1\n" for cell in cells)
    assert read(tmp_path, text, priorities=words).priority.tolist() == priorities


@pytest.mark.parametrize(
    ("words", "cell"), [(None, "HIGH"), (None, "11"), (None, "5.5"), ({"HIGH": 9}, "LOW"), ({1: 9}, "2"), ("t2", "4")]
)
def test_a_priority_that_is_not_known_is_refused_with_its_word_and_what_to_say(tmp_path, words, cell):
    said = problem(tmp_path, f"prio,{HEADER}{cell},1,A,B,1\n", priorities=words)
    assert said.startswith(f"day.csv:2: prio: has {cell} (100 %), not ")
    assert f"{cell}: " in said.replace('"', "").partition("say payments.priorities, as {")[2]


def test_words_for_priorities_are_told_once_with_their_shares_beside_every_other_problem(tmp_path):
    day = "".join(f"{word},1,A,B,1\n" for word in ["NORM"] * 7 + ["HOCH"] * 3)
    text = f"prio,{HEADER}{day}NORM,1,A,B,-1\nNORM,1,A,A,1\nNORM,-3,A,B,1\n"
    assert problem(tmp_path, text).splitlines() == [
        "day.csv:2: prio: has NORM (77 %) and HOCH (23 %), not 0 to 10; say payments.priorities, as {NORM: 5, HOCH: 9}",
        'day.csv:12: amount: "-1": below 0',
        'day.csv:13: receiver: "A": the bank itself',
        'day.csv:14: time: "-3": not a tick of the run',
        "  amounts below 0: 1; say payments.reversals: skip, or swap to let the receiver pay",
        "  payments to oneself: 1; say payments.skip: [self] to leave them out",
        "  times outside the day: 1; say payments.skip: [outside_day] to leave them out",
    ]
    said = problem(tmp_path, text, priorities={"HOCH": 10}).splitlines()[0]
    assert said.endswith(
        "has NORM (77 %), not among payments.priorities; say payments.priorities, as {NORM: 5, HOCH: 10}"
    )
    assert len(problem(tmp_path, f"prio,{HEADER}" + "".join(f"w{n},1,A,B,1\n" for n in range(5000)))) < 500


def test_the_head_of_an_error_has_the_number_of_all_rows_and_what_to_do_is_below_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.csv").write_text(rows(*["-1"] * 5000))
    write_scenario(tmp_path, "payments: {file: day.csv}\nagents: from_payments\nsimulation: {ticks_per_day: 2}\n")
    lines = CliRunner().invoke(app, ["validate", "s.yaml"]).output.splitlines()
    assert (lines[0], lines[1][:9], lines[-2]) == ("error: 5,000 problems", "day.csv:2", "  and 4,980 more")
    assert lines[-1].startswith("  amounts below 0: 5,000; say ")


def test_the_digest_is_of_the_payments_whatever_other_banks_there_are(tmp_path):
    found = read(tmp_path, rows("1", "2"))
    assert found.of_banks(["0", "A", "AA", "B"]).digest == found.digest
    assert read(tmp_path, rows("1", "3")).digest != found.digest
    assert read(tmp_path, rows("1", "2").replace("B", "C")).digest != found.digest
    assert len(json.dumps(found.to_dict())) < 500
    assert np.array_equal(found.of_banks(["0", "A", "AA", "B"]).sender, [1, 1])
