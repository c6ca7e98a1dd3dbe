"""What `payment-sim run` tells of liquidity and delay, and the files that it writes of them."""

import json

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from payment_sim_files import BANK, EXAMPLES, TIGHT

from payment_simulator.cli import run_figures
from payment_simulator.cli.run_printing import print_report

WORKED = EXAMPLES / "indicators.yaml"


def test_a_run_prints_indicators_of_banks_days_and_the_system(sim):
    shown = sim("run", WORKED).stdout
    for words in (
        "unsettled         0 of 370 due",
        "peak use          70; lower bound 40, upper bound 180, place 0.35, each its largest on a day",
        "delay indicator   0.182; what settled waited 0.49 ticks, by value",
        "throughput        30 % by tick 1, 50 % by tick 1, 80 % by tick 2",
        "routes            at once 32.4%, from the queue 27.0%, bilateral 40.5%",
        "turnover          3.36 times the peak use",
        " C      130   0           10            20            10         0.00    0.182   tick 1   tick 3   13.00",
        " 0     340   40          40            180           70         0.21    0.188   tick 1   tick 3   4.29",
    ):
        assert words in shown


def test_files_of_indicators_hold_every_day_bank_and_the_system(user, sim):
    report = json.loads(sim("run", WORKED, "--json", "--indicators", "i.json").stdout)
    written = json.loads((user.folder / "i.json").read_text())
    assert written == report["indicators"]
    assert [day["system"]["used"] for day in written["days"]] == [70, 40]
    assert sim("run", WORKED, "--indicators", "i.parquet").stdout.endswith("written: i.parquet\n")
    assert sim("run", WORKED, "--indicators", "i.csv").returncode == 0
    table = pq.read_table(user.folder / "i.parquet")
    assert table.num_rows == 12
    assert table.select(["due", "used"]).to_pylist()[0] == {"due": 370, "used": 70}
    of_csv = pyarrow.csv.read_csv(user.folder / "i.csv")
    assert of_csv.column_names == table.column_names
    assert of_csv["turnover"].to_pylist() == table["turnover"].to_pylist()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--indicators", "i.txt"], "--indicators: i.txt is none of .json, .csv, .parquet"),
        (["--indicators", "no/i.csv"], "--indicators: there is no directory"),
        (["--events", "a.parquet", "--indicators", "a.parquet"], "a.parquet is the file of --events; name another"),
    ],
)
def test_a_file_of_indicators_that_cannot_be_is_refused_before_the_run(sim, arguments, problem):
    ended = sim("run", WORKED, *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert problem in ended.stderr


def test_of_many_banks_the_largest_twenty_are_shown_unless_all_are_asked_for(user, sim):
    user.write("many.yaml", TIGHT.replace("300", "5") + "".join(BANK.format(number) for number in range(23)))
    shown = sim("run", "many.yaml").stdout
    assert "These are the 20 banks with the largest value due, of 23: --all shows every one, --json too" in shown
    banks = json.loads(sim("run", "many.yaml", "--json").stdout)["indicators"]["banks"]
    due = {name: bank["due"] for name, bank in banks.items()}
    largest = sorted(due, key=lambda bank: -due[bank])[:20]
    assert [line.split()[0] for line in shown.splitlines() if line.startswith(" B")] == largest * 2
    every = sim("run", "many.yaml", "--all").stdout
    assert "These are" not in every
    assert sum(line.startswith(" B") for line in every.splitlines()) == 46


def test_a_run_of_too_many_events_says_how_to_get_its_indicators(sim, monkeypatch):
    monkeypatch.setattr(run_figures, "MAX_RECORDED", 0)
    shown = sim("run", WORKED).stdout
    assert "unknown: too many payments to record unasked; ask with --indicators" in shown
    report = json.loads(sim("run", WORKED, "--json").stdout)
    assert report["indicators"] is None
    assert "--indicators" in report["indicators_unknown"]
    assert "peak use" in sim("run", WORKED, "--indicators", "i.csv").stdout


def test_a_moment_of_the_day_has_its_time_where_there_is_a_clock(sim, capsys):
    report = json.loads(sim("run", WORKED, "--json").stdout)
    print_report(report | {"clock": {"open_s": 7 * 3600, "close_s": 9 * 3600, "ticks": 4}})
    assert "80 % by tick 2 (08:30)" in capsys.readouterr().out
