"""`payment-sim export`: payments as files that `payments` reads."""

import json

import pytest
from typer.testing import CliRunner

from payment_simulator import draw_arrivals, load_scenario
from payment_simulator.cli.main import app
from payment_simulator.scenario.given_payments import COLUMNS

HEADER = "time,sender,receiver,amount,currency\n"
DAYS = "2026-01-09 07:00:30,A,B,1549299,JPY\n2026-01-12 08:59:00,B,A,7,JPY\n"
CLOCK = 'clock: {open: "07:00", close: "09:00", tick: 10m}'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "days.csv").write_text(HEADER + DAYS)
    (tmp_path / "s.yaml").write_text(f"payments: {{file: days.csv, {CLOCK}}}\nagents: from_payments\n")
    return tmp_path


def export(*options):
    done = CliRunner().invoke(app, ["export", *options])
    assert done.exit_code == 0, done.output


def same(one, other):
    return all((getattr(one, name) == getattr(other, name)).all() for name in COLUMNS)


@pytest.mark.parametrize("kind", ["csv", "parquet", "xml"])
def test_an_export_has_the_dates_the_currency_and_the_payments_of_the_days_that_were_given(folder, kind):
    export("s.yaml", "-o", f"out.{kind}", "--set", "deadline_cap_at_eod=true")
    (folder / "back.yaml").write_text(f"payments: {{file: out.{kind}, {CLOCK}}}\nagents: from_payments\n")
    first, back = (load_scenario(folder / name) for name in ("s.yaml", "back.yaml"))
    assert back.given_payments.day_names == ["2026-01-09", "2026-01-12"]
    assert back.payments_section.currency == "JPY"
    assert same(draw_arrivals(back), draw_arrivals(first))
    if kind == "csv":
        assert '"1549299"' in (folder / "out.csv").read_text()


def test_a_first_date_and_a_currency_of_the_user_come_before_those_of_the_payments(folder):
    export("s.yaml", "-o", "out.csv", "--date", "2027-03-01", "--currency", "kwd")
    rows = (folder / "out.csv").read_text().splitlines()
    assert rows[1].startswith('2027-03-01 07:00:00.000000,"A","B","1549.299",')
    assert rows[2].startswith("2027-03-02 ")
    assert rows[1].endswith('"KWD"')


def test_a_kept_day_is_exported_as_its_scenario_is(folder):
    assert CliRunner().invoke(app, ["run", "s.yaml", "-o", "kept"]).exit_code == 0
    export("s.yaml", "-o", "one.csv")
    export("kept", "-o", "other.csv")
    assert (folder / "one.csv").read_bytes() == (folder / "other.csv").read_bytes()


def test_amounts_in_cents_are_written_in_units_and_read_again_as_the_same_cents(folder):
    (folder / "t.csv").write_text("time,sender,receiver,amount\n0,A,B,5\n3,B,A,12345\n")
    (folder / "t.yaml").write_text(
        "payments: {file: t.csv, amounts: cents}\nsimulation: {ticks_per_day: 10}\nagents: from_payments\n"
    )
    export("t.yaml", "-o", "out.csv")
    (folder / "back.yaml").write_text((folder / "t.yaml").read_text().replace("t.csv, amounts: cents", "out.csv"))
    assert same(draw_arrivals(load_scenario(folder / "back.yaml")), draw_arrivals(load_scenario(folder / "t.yaml")))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-o", "days.csv"], "--output: days.csv would be written over"),
        (["-o", "out.csv", "--currency", "XXZ"], "--currency: 'XXZ' is no code of ISO 4217"),
        (["-o", "out.csv", "--hours", "07:00-09:00"], "--hours: the scenario has a payments.clock"),
    ],
)
def test_an_export_that_cannot_be_written_as_asked_is_refused(folder, options, told):
    done = CliRunner().invoke(app, ["export", "s.yaml", *options])
    assert done.exit_code == 2
    assert told in done.output
    assert (folder / "days.csv").read_text() == HEADER + DAYS


def test_money_of_a_run_has_the_decimals_of_the_currency_that_its_file_names(folder):
    done = CliRunner().invoke(app, ["run", "s.yaml"])
    assert "1.55 M" in done.output


@pytest.mark.parametrize("kind", ["csv", "parquet", "xml"])
def test_a_day_and_its_export_are_compared_payment_by_payment_and_are_equal(folder, kind):
    rows = ["2026-01-09 07:00:30,A,B,15,n-2", "2026-01-09 07:40:00,B,A,9,A-1", "2026-01-09 08:00:00,B,A,7,"]
    (folder / "day.csv").write_text("\n".join(["time,sender,receiver,amount,id", *rows]) + "\n")
    drawn = "{rate_per_tick: 1, amount_distribution: {type: Uniform, min: 1, max: 99}, deadline_range: [1, 3]}"
    banks = f"agents: [{{id: A, opening_balance: 5000, arrival_config: {drawn}}}, {{id: B}}]\n"
    (folder / "s.yaml").write_text(f"payments: {{file: day.csv, {CLOCK}}}\ndeadline_cap_at_eod: true\n{banks}")
    (folder / "back.yaml").write_text(
        f"payments: {{file: out.{kind}, {CLOCK}}}\nagents: [{{id: A, opening_balance: 5000}}, {{id: B}}]\n"
    )
    export("s.yaml", "-o", f"out.{kind}")
    runner = CliRunner()
    for name, kept in (("s.yaml", "one"), ("back.yaml", "other")):
        assert runner.invoke(app, ["run", name, "-o", kept]).exit_code == 0
    found = json.loads(runner.invoke(app, ["compare", "one", "other", "--json"]).stdout)
    assert found["equal"]
    assert found["payments"]["matched"] > 10
    ids = load_scenario(folder / "back.yaml").given_payments.ids.to_pylist()
    assert len(set(ids)) == len(ids)
    assert {"n-2", "A-1", "A-1'"} <= set(ids)
