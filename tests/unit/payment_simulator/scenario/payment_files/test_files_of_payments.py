"""Files of payments: which are read, which are not and why, and where a row that cannot be used stands."""

import gzip
import json
import os
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from payment_days import CLOCK, HEADER, day_table, problem, read, rows, write_scenario
from typer.testing import CliRunner

from payment_simulator import draw_arrivals, load_scenario
from payment_simulator.cli.main import app
from payment_simulator.scenario.payment_files.filtering import SETTINGS
from payment_simulator.scenario.payment_files.run import Run

ROOT = Path(__file__).parents[5]
SCENARIO = "payments: {file: day.csv%s}\nagents: from_payments\nagent_defaults: {unsecured_cap: 1000}\n"


def test_every_kind_of_file_gives_the_same_payments(tmp_path):
    table = day_table()
    pq.write_table(table, tmp_path / "a.parquet")
    pyarrow.feather.write_feather(table, tmp_path / "a.feather", compression="lz4")
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, 50)
    pa.csv.write_csv(table, tmp_path / "a.csv")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    (tmp_path / "a.tsv").write_text((tmp_path / "a.csv").read_text().replace(",", "\t"))
    names = ("a.parquet", "a.feather", "a.arrow", "a.csv", "a.csv.gz", "a.tsv")
    assert len({read(tmp_path, name=name, amounts="cents", clock=CLOCK).digest for name in names}) == 1


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("", "day.csv", "day.csv: is empty"),
        ("\n\n", "day.csv", "day.csv: is empty"),
        (HEADER, "day.csv", "day.csv: has a header and no payments"),
        (
            b"time,sender\0receiver",
            "day.csv",
            "day.csv: byte 12 is NUL: it is no text, or UTF-16; say payments.encoding",
        ),
        (bytes(range(1, 200)) + b"\0", "day.csv", "day.csv: byte 200 is NUL"),
        (b"PAR1 and so on", "day.csv", "day.csv: is Parquet; name it .parquet"),
        (b"PK\x03\x04 and so on", "day.csv", "day.csv: is a ZIP archive or an Excel workbook; save it as CSV"),
        (b"no gzip", "day.csv.gz", "day.csv.gz: cannot be read: Not a gzipped file"),
        (gzip.compress(HEADER.encode(), mtime=0)[:-9], "day.csv.gz", "day.csv.gz: cannot be read: Compressed file"),
        ("no parquet", "day.parquet", "day.parquet: cannot be read as Parquet: "),
        ("no arrow", "day.arrow", "day.arrow: cannot be read as Arrow IPC: "),
        ("no kind", "day.xls", "payments.file: day.xls: read are .csv (also .csv.gz, .tsv, .txt), .parquet, .arrow"),
        (None, "day.csv", "payments.file: day.csv: no such file (looked for "),
        (None, "*.csv", "payments.file: *.csv: no file matches"),
        (
            "a b c\n1 2 3\n",
            "day.csv",
            "payments.columns: day.csv: no column is the time, the sender, the receiver or the amount; it has a b c; "
            "it is one column: is the separator another, or the header on another line?; say columns: {time: ..., ",
        ),
        (HEADER + "1,A,B,5,\n1,A,B\n", "day.csv", "day.csv:2: has 5 cells, the header 4\nday.csv:3: has 3 cells"),
        (
            "time,sender,receiver,amount,amount\n1,A,B,1,2\n",
            "day.csv",
            "day.csv: more than one column is called 'amount'",
        ),
    ],
)
def test_a_file_that_holds_no_payments_is_refused_with_what_it_is(tmp_path, content, name, said):
    assert problem(tmp_path, content, name).startswith(said)


def test_a_named_pipe_and_a_file_beyond_memory_are_refused_before_they_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    assert problem(tmp_path, name="pipe.csv") == (
        "pipe.csv: cannot be read: is a named pipe, not a regular file; name one"
    )
    (tmp_path / "day.csv").touch()
    os.truncate(tmp_path / "day.csv", 10**13)
    said = problem(tmp_path)
    assert said.startswith("day.csv: has 10000.0 GB; to read it takes some 40000.0 GB of memory, and ")
    assert said.endswith("part it by day")


def test_a_text_may_have_a_byte_order_mark_or_an_encoding_of_its_own(tmp_path):
    text = HEADER + "1,Ärzte,B,5\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert read(tmp_path, text.encode(encoding)).banks == ("B", "Ärzte")
    guessed = read(tmp_path, text.encode("latin-1"))
    assert (guessed.banks[1], guessed.remarks[0][:29]) == ("Ärzte", "not UTF-8: read as latin-1 (p")
    assert problem(tmp_path, text.encode("latin-1"), encoding="utf-8") == (
        "day.csv: is not utf-8; say payments.encoding"
    )


@pytest.mark.parametrize(
    ("header", "ours"),
    [
        ("timestamp,Debtor BIC,creditorBIC,Amt", {}),
        ("entry_time|from_participant|to_participant|value", {}),
        ("AccptncDtTm;InstgAgt;InstdAgt;IntrBkSttlmAmt", {}),
        ("t,s,r,v", {"time": "t", "sender": "s", "receiver": "r", "amount": "v"}),
    ],
)
def test_columns_are_known_by_the_usual_names_or_by_those_that_are_given(tmp_path, header, ours):
    separator = next(each for each in ",;|" if each in header)
    text = header + "\n" + separator.join(["1", "A", "B", "5"]) + "\n"
    assert read(tmp_path, text, columns=ours).amount.tolist() == [500]


def test_two_columns_that_could_be_one_of_ours_are_refused_by_name(tmp_path):
    text = "timestamp,entered_at,sender,receiver,amount\n1,2,A,B,5\n"
    said = "payments.columns: day.csv: 'timestamp' and 'entered_at' could be the time; say columns: {time: ...}"
    assert problem(tmp_path, text) == said
    assert read(tmp_path, text, columns={"time": "entered_at"}).tick.tolist() == [2]


def test_a_column_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    text = "time,sendr,receiver,amount\n1,A,B,5\n"
    said = "day.csv: no column is the sender; it has time, sendr, receiver, amount; say columns: {sender: ...}"
    assert problem(tmp_path, text) == f"payments.columns: {said}"
    said = problem(tmp_path, text, columns={"sender": "sender", "time": "when"}).splitlines()
    assert said == [
        "payments.columns: day.csv: no column 'when'; it has time, sendr, receiver, amount",
        "payments.columns: day.csv: no column 'sender' (did you mean sendr?)",
    ]
    many = ",".join(f"c{number}" for number in range(150)) + "\n"
    assert "it has c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, and 140 more; say columns: {time" in problem(tmp_path, many)


def test_a_line_is_that_of_the_file_whatever_breaks_blanks_and_filters_are_before_it(tmp_path):
    text = 'time,sender,receiver,amount,note\n1,A,B,1,"two\nlines"\n1,A,B,x,out\n\n2,A,B,y,in\n3,,B,1,in\n'
    said = problem(tmp_path, text, filter="note = 'in'")
    assert said == 'day.csv:6: amount: "y": is not an amount\nday.csv:7: sender: "": no bank'


def test_a_quote_without_an_end_is_told_with_the_line_on_which_it_begins(tmp_path):
    said = problem(tmp_path, rows("1", "2") + '1,"A,B,3\n' + "1,A,B,4\n" * 200_000)
    assert said.startswith("day.csv:4: field larger than field limit (131072); has a double quote no end?")


def test_of_many_wrong_rows_some_twenty_are_told_and_the_number_of_the_others(tmp_path):
    lines = problem(tmp_path, rows(*["x"] * 5000)).splitlines()
    assert (len(lines), lines[0][:9], lines[19][:10], lines[20]) == (21, "day.csv:2", "day.csv:21", "  and 4,980 more")


def test_many_rows_of_one_problem_hide_no_other(tmp_path):
    said = problem(tmp_path, rows(*["0"] * 100) + "1,A,A,1\n").splitlines()
    assert 'day.csv:102: receiver: "A": the bank itself' in said
    assert "  payments of nothing: 100; say payments.skip: [zero] to leave them out" in said


def test_text_of_a_file_is_shown_short_and_printable(tmp_path):
    said = problem(tmp_path, HEADER + f"1,A\x1b[31m{'x' * 500},B,1\n")
    assert said.isprintable()
    assert len(said) < 200


def test_names_of_payments_are_kept_and_one_that_stands_twice_is_refused(tmp_path):
    text = "id," + HEADER + "x,2,A,B,1\ny,1,A,B,1\n"
    assert read(tmp_path, text).ids.to_pylist() == ["y", "x"]
    said = problem(tmp_path, text + "x,3,A,B,1\n")
    assert said.startswith('day.csv:4: id: "x": another payment has this name\n  names that stand twice: 1')
    assert read(tmp_path, text + "x,3,A,B,1\n", columns={"id": ""}).ids is None


def test_a_column_of_names_that_are_none_is_one_problem_with_the_first_rows_and_their_number(tmp_path):
    text = "id," + HEADER + "".join(f"{number % 2},1,A,B,1\n" for number in range(1_000))
    problems = problem(tmp_path, f"{text}9,1,A,B,0\n").splitlines()
    assert len(problems) == 4
    assert problems[0] == (
        'day.csv:4: id: "0": another payment has this name; so it is in 997 more rows: '
        '"1" (day.csv:5), "0" (day.csv:6), "1" (day.csv:7), ...'
    )
    assert problems[1] == 'day.csv:1002: amount: "0": nothing is paid'
    assert problems[2].startswith("  names that stand twice: 998; if they are no names of payments, say columns:")


def test_rows_that_are_alike_are_payments_of_their_own_and_told(tmp_path):
    found = read(tmp_path, rows("1", "1", "2", "1"))
    assert len(found) == 4
    assert found.remarks == ("rows like an earlier one in every column that is read: 2, kept as payments of their own",)


def test_what_is_left_out_is_counted_and_nothing_left_is_refused(tmp_path):
    text = rows("0", "1", "2") + "1,A,A,5\n1,A,C,5\n9,A,B,3\n9,A,A,0\n"
    every = ["zero", "self", "unknown_bank", "outside_day"]
    found = read(tmp_path, text, skip=every, run=Run(["A", "B"], 5, 1))
    assert (found.amount.tolist(), found.banks) == ([100, 200], ("A", "B"))
    assert found.skipped == {"zero": 2, "self": 1, "unknown_bank": 1, "outside_day": 1}  # each row by its first reason
    assert problem(tmp_path, rows("0"), skip=every) == "payments.skip: no payment is left; left out were 1 zero"


CURRENCIES = HEADER.strip() + ",currency,status\n1,A,B,1.5,EUR,OK\n2,A,B,2,USD,OK\n3,A,B,3,EUR,REVOKED\n"


def test_a_filter_compares_amounts_exactly_whatever_their_signs(tmp_path):
    text = "time;sender;receiver;amount;currency\n1;A;B;1.000,10;EUR\n2;A;B;0,29;EUR\n"
    assert read(tmp_path, text, filter="amount = 1000.10").tick.tolist() == [1]
    assert read(tmp_path, text, filter="amount = 0.29").tick.tolist() == [2]


@pytest.mark.parametrize(
    ("expression", "ticks"),
    [
        ("currency = 'EUR' and status <> 'REVOKED'", [1]),
        ("amount > 1.5 and CURRENCY = 'EUR'", [3]),
        ("\"time\" >= 2 and currency in ('USD') -- as SQL has it", [2]),
    ],
)
def test_a_filter_is_sql_over_the_files_own_columns(tmp_path, expression, ticks):
    found = read(tmp_path, CURRENCIES, filter=expression)
    assert (found.tick.tolist(), found.skipped) == (ticks, {"filter": 2})


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("currency = 'GBP'", "it keeps none of 3 rows: currency = 'GBP'"),
        ("curency = 'EUR'", "no column 'curency'; the file has time, sender, receiver, amount, currency, status"),
        ("currency =", "Parser Error: syntax error at end of input; it should be one expression"),
        ("1=1) union (select 1", 'Parser Error: syntax error at or near ")"'),
        ("currency = 'EUR'; drop table t", "Parser Error: Expected a single SELECT statement"),
        ("(select count(*) from duckdb_settings()) > 0", "it should be one expression over the file's own columns"),
        ("exists (from read_text('/etc/passwd'))", "it should be one expression over the file's own columns"),
        ("read_text('/etc/passwd') is null", "Binder Error: Function"),
        ("random() < 0.5", "random() gives another answer each time"),
        ("write_log('x') is null", "write_log() gives another answer each time"),
        ("current_date > date '2020-01-01'", "no column 'current_date'"),
        ("sum(amount) > 1", "Binder Error: WHERE clause cannot contain aggregates"),
        ("currency", "Conversion Error: Could not convert string 'EUR' to BOOL"),
        ("", "Parser Error: SELECT clause without selection list"),
    ],
)
def test_a_filter_that_is_none_or_reaches_for_more_is_refused(tmp_path, expression, said):
    assert problem(tmp_path, CURRENCIES, filter=expression).startswith(f"payments.filter: {said}")


def test_the_database_of_a_filter_reaches_no_file_no_variable_and_no_other_settings(tmp_path):
    (tmp_path / "a.csv").write_text("a\n1\n")
    secret = pa.table({"a": [1]})
    assert len(secret) == 1
    with duckdb.connect(config=SETTINGS) as database:
        for statement, said in (
            (f"FROM '{tmp_path}/a.csv'", "disabled"),
            (f"COPY (SELECT 1) TO '{tmp_path}/b.csv'", "disabled"),
            ("FROM secret", "secret does not exist"),
            ("SET threads = 1", "locked"),
            ("INSTALL httpfs", "disabled"),
        ):
            with pytest.raises(duckdb.Error, match=said):
                database.execute(statement)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_filter_without_duckdb_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.setattr("labledger.extras.find_spec", lambda name: None)
    assert "payments.filter: duckdb not installed; run " in problem(tmp_path, CURRENCIES, filter="amount > 1")


def test_events_come_before_the_files_payments_of_a_tick_and_draws_after_them(tmp_path):
    (tmp_path / "day.csv").write_text(rows("1", "2"))
    event = "{type: CustomTransactionArrival, from_agent: A, to_agent: B, amount: 7, deadline: 1, schedule: %s}"
    drawn = "{rate_per_tick: 9, amount_distribution: {type: Uniform, min: 3, max: 3}, deadline_range: [1, 1]}"
    text = (
        "payments: {file: day.csv, amounts: cents}\nsimulation: {ticks_per_day: 2}\n"
        f"agents: [{{id: A, arrival_config: {drawn}}}, {{id: B}}]\n"
        f"scenario_events: [{event % '{type: OneTime, tick: 1}'}]\n"
    )
    arrivals = draw_arrivals(load_scenario(write_scenario(tmp_path, text)))
    in_tick = arrivals.amount[arrivals.tick == 1].tolist()
    assert (in_tick[:3], set(in_tick[3:])) == ([7, 1, 2], {3})


def test_a_key_that_is_wrong_is_told_with_the_scenarios_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.csv").write_text(rows("1", times=["07:00"]))
    clock = "  clock:\n    open: '7'\n    close: '18:00'\n    tick: 60s\n"
    write_scenario(tmp_path, f"agents: from_payments\npayments:\n  file: day.csv\n{clock}")
    result = CliRunner().invoke(app, ["run", "s.yaml"])
    assert result.exit_code == 2
    assert "s.yaml:5: payments.clock.open: '7' is not a time of day; write HH:MM" in result.output


def test_run_prints_what_was_left_out_and_how_the_file_was_read_and_json_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.csv").write_text(rows("1", "0", "2", "2"))
    write_scenario(tmp_path, SCENARIO % ", skip: [zero]" + "simulation: {ticks_per_day: 3}\n")
    shown = CliRunner().invoke(app, ["run", "s.yaml"]).output
    assert "rows left out" in shown
    assert "1 zero" in shown
    found = json.loads(CliRunner().invoke(app, ["run", "s.yaml", "--json"]).output)["payments"]
    assert (found["payments"], found["value"], found["skipped"]) == (3, 500, {"zero": 1})
    assert found["remarks"][0].startswith("rows like an earlier one")


def test_the_two_days_that_are_worked_by_hand_in_the_docs_are_these():
    scenario = load_scenario(ROOT / "examples/payments/rtgs_days.yaml")
    found = scenario.given_payments
    assert (ROOT / "examples/payments/rtgs_days.csv").read_text() in (ROOT / "docs/payment_days.md").read_text()
    assert found.banks == ("AAAADEFF", "BBBBDEFF", "CCCCFRPP")
    columns = ("tick", "sender", "receiver", "amount", "priority", "deadline")
    assert list(zip(*(getattr(found, name).tolist() for name in columns), strict=True)) == [
        (0, 0, 1, 150_000, 9, 21),
        (4, 1, 0, 25_050, 5, 9),
        (21, 2, 0, 40_000, 5, 21),
        (28, 1, 2, 12_000, 9, 29),
    ]
    assert (found.ids.to_pylist(), found.skipped) == (["T1", "T2", "T4", "T6"], {"filter": 1, "zero": 1})
    assert (scenario.simulation.ticks_per_day, scenario.simulation.num_days) == (22, 2)


def test_memory_is_counted_for_the_lines_of_a_text_too(tmp_path, monkeypatch):
    from payment_simulator.scenario.payment_files import room

    class Memory:
        available = 1_000_000

    monkeypatch.setattr(room.psutil, "virtual_memory", lambda: Memory)
    said = problem(tmp_path, HEADER + "1,A,B,5\n" * 3_100)
    assert "in 3,101 lines; to read it takes some 1.0 MB of memory" in said
    assert len(read(tmp_path, HEADER + "1,A,B,5\n" * 2_000)) == 2_000


def test_banks_of_a_dictionary_of_any_type_of_text_are_read(tmp_path):
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        banks = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.uint32()), pa.array(["A", "B"]).cast(kind))
        table = pa.table({"time": [1, 2], "sender": banks, "receiver": pa.array(["B", "A"]), "amount": [5, 6]})
        with pa.OSFile(str(tmp_path / "day.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        found = read(tmp_path, name="day.arrow")
        assert [found.banks[each] for each in found.sender] == ["A", "B"]
