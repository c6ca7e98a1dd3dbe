"""What nobody said of a file of payments, and what was changed by reading it, is told in remarks."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from payment_days import CLOCK, HEADER, problem, read, rows, write_scenario
from typer.testing import CliRunner

from payment_simulator.cli.main import app
from payment_simulator.scenario.payment_files.remarks import about_reading

OWN = "Nr;time;sender;receiver;amount;Text\n"
FUNDED = "payments: {file: day.csv}\nsimulation: {ticks_per_day: 3}\nagents: from_payments\n"


def test_remarks_have_what_was_swapped_merged_guessed_and_not_read(tmp_path):
    text = f"{OWN}1;1;DEUTDEFFXXX;COBADEFFXXX;1,50;a\n2;1;DEUTDEFF500;COBADEFFXXX;-2,50;b\n"
    found = read(tmp_path, text, bic=8, reversals="swap")
    assert found.remarks == (
        "semicolons between columns, commas before decimals, as found in the file",
        "amounts below 0, which the receiver pays: 1",
        "by the first 8 characters of BICs 3 names are 2 banks",
        "columns that are not read: Nr, Text",
    )
    said = read(tmp_path, text, bic=8, reversals="swap", separator=";", decimal=",", filter="Nr > 0 and Text <> ''")
    assert said.remarks == found.remarks[1:3]
    assert about_reading([], found.section) == []


def test_run_prints_remarks_and_json_has_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.csv").write_text(HEADER.strip() + ",note\n1,A,B,1,x\n")
    write_scenario(tmp_path, FUNDED)
    shown = CliRunner().invoke(app, ["run", "s.yaml"]).output
    assert "columns that are not read: note" in shown
    found = json.loads(CliRunner().invoke(app, ["run", "s.yaml", "--json"]).stdout)
    assert found["payments"]["remarks"] == ["columns that are not read: note"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_with_nothing_but_codes_of_currencies_is_the_currency_whatever_its_name(tmp_path, kind):
    cells = {"time": ["1", "1"], "sender": ["A"] * 2, "receiver": ["B"] * 2, "amount": ["5", "7"]}
    table = pa.table({**cells, "Waehrung": ["JPY", "EUR"]})
    name = f"day.{kind}"
    if kind == "parquet":
        pq.write_table(table, tmp_path / name)
    else:
        lines = [",".join(row.values()) for row in table.to_pylist()]
        (tmp_path / name).write_text("\n".join([",".join(table.column_names), *lines]) + "\n")
    said = problem(tmp_path, name=name)
    assert said.endswith("has payments in EUR, JPY; say payments.filter, as: Waehrung = 'EUR'")
    found = read(tmp_path, name=name, filter="Waehrung = 'JPY'")
    assert found.amount.tolist() == [5]
    assert "the column Waehrung is taken as the currency" in found.remarks
    assert read(tmp_path, name=name, columns={"currency": ""}).amount.tolist() == [500, 700]


def test_two_columns_of_currencies_are_refused_by_name(tmp_path):
    said = problem(tmp_path, HEADER.strip() + ",von,nach\n1,A,B,1,EUR,USD\n")
    assert said == (
        "payments.columns: day.csv: 'von' and 'nach' could be the currency; "
        'say columns: {currency: ...}, "" if none is'
    )


def test_a_run_in_which_no_bank_has_anything_to_pay_with_is_warned_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.csv").write_text(rows("1", "2"))
    write_scenario(tmp_path, FUNDED)
    said = "warning: no bank has an opening balance, a pool, credit or collateral: nothing can settle; say balances: {l"
    assert said in " ".join(CliRunner().invoke(app, ["run", "s.yaml"]).output.split())
    offsets = CliRunner().invoke(app, ["run", "s.yaml", "--set", "lsm_config.enable_bilateral=true"]).output
    assert "nothing can settle but what offsets in full" in " ".join(offsets.split())
    assert "nothing can" not in CliRunner().invoke(app, ["run", "s.yaml", "--set", "agents.A.unsecured_cap=1"]).output
    event = (
        '[{"type": "CreditLimitChange", "agent": "A", "unsecured_cap": 9, "schedule": {"type": "OneTime", "tick": 1}}]'
    )
    changed = CliRunner().invoke(app, ["run", "s.yaml", "--set", f"scenario_events={event}"]).output
    assert "nothing can" not in changed


def test_calibrate_of_a_file_says_its_keys_as_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.csv").write_text("time,von,receiver,Betrag\n07:00,A,B,1\n")
    fit = ["calibrate", "day.csv", "--clock", f"{CLOCK['open']}-{CLOCK['close']}/60s", "-o", "fit.yaml"]
    said = CliRunner().invoke(app, fit).output
    assert "no column is the sender or the amount; it has time, von, receiver, Betrag; say " in said
    assert said.strip().endswith("--set columns.sender=... --set columns.amount=...")
    (tmp_path / "day.csv").write_text(rows("-1", times=["07:00"]))
    assert "--set reversals=swap" in CliRunner().invoke(app, fit).output


@pytest.mark.parametrize(
    ("cells", "remark"),
    [
        (["1", "2", "3"], "priorities are 1 to 3, read as numbers of 0 to 10, where 10 is the most urgent"),
        (["0", "3", ""], "priorities are all 3, read as"),
        (["1.0", "2.0", "nan"], "priorities are 1 to 2, read as"),
        (["1", "2", "4"], None),
        (["0", "0", ""], None),
        (["1", "10", "3"], None),
    ],
)
def test_priorities_that_may_be_numbers_of_t2_are_told_and_the_key_that_reads_them_so(tmp_path, cells, remark):
    text = HEADER.strip() + ",priority\n" + "".join(f"{tick},A,B,5,{cell}\n" for tick, cell in enumerate(cells))
    found = read(tmp_path, text).remarks
    assert [each for each in found if remark and each.startswith(remark)] == list(found)
    assert not found or found[0].endswith("; if 1 is, as in T2, say payments.priorities: t2")
    assert bool(found) == bool(remark)
    if remark:
        assert read(tmp_path, text, priorities="t2").remarks == ()
        words = {str(number): number for number in range(4)}
        assert read(tmp_path, text, priorities=words).remarks == ()


def test_validate_tells_how_payments_were_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.csv").write_text(HEADER.strip() + ",priority,note\n1,A,B,1,2,x\n")
    write_scenario(tmp_path, FUNDED)
    for name in ("s.yaml", "day.csv"):
        shown = CliRunner().invoke(app, ["validate", name]).output
        assert "  remark: columns that are not read: note" in shown
        assert "  remark: priorities are all 2, read as numbers of 0 to 10" in shown
