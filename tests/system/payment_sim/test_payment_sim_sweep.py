"""`payment-sim sweep`, `stress` and `run --samples`, as a user calls them."""

import json

import pytest
from typer.testing import CliRunner

from payment_simulator import draw_arrivals, load_scenario, simulate, simulate_batch
from payment_simulator.cli.main import app

CAP = "agents.BANK_A.unsecured_cap"


def test_a_sweep_prints_writes_and_draws_its_table_and_shows_it_again(sim, user):
    pytest.importorskip("matplotlib")
    asked = ("sweep", "small.yaml", "--set", f"{CAP}=0,500", "--seeds", "1..3", "-o", "s.parquet", "--plot", CAP)
    ended = sim(*asked)

    assert ended.returncode == 0, ended.stderr
    assert "means over 3 seeds ± half their 95 % interval; money in cents" in ended.stdout
    assert "difference of total cost from the first" in ended.stdout
    assert (user.folder / "s.png").read_bytes().startswith(b"\x89PNG")
    assert sim(*asked).stdout == ended.stdout
    found = json.loads(sim(*asked[:-2], "--json").stdout)
    assert found["settings"] == {CAP: ["0", "500"]}
    assert [row["bank"] for row in found["rows"][:4]] == [None, "BANK_A", "BANK_B", "BANK_C"]


def test_a_stress_test_prints_its_ranking_and_draws_it(sim, user):
    pytest.importorskip("matplotlib")
    ended = sim("stress", "small.yaml", "--top", "2", "--respond", "1", "--plot", "s.svg")

    assert ended.returncode == 0, ended.stderr
    assert "an outage from tick 0 to 3, others stop sending to it after 1 tick; one draw" in ended.stdout
    assert "1 more outage: --top 3" in ended.stdout
    assert b"<svg" in (user.folder / "s.svg").read_bytes()


def test_the_table_is_written_as_csv_too(sim, user):
    ended = sim("stress", "small.yaml", "--csv", "s.csv")

    assert ended.returncode == 0, ended.stderr
    lines = (user.folder / "s.csv").read_text().splitlines()
    assert lines[0].startswith("rank,bank,unsettled,")
    assert [line.split(",")[1] for line in lines[1:]] == ["", *(line.split(",")[1] for line in lines[2:])]
    assert {line.split(",")[1] for line in lines[2:]} == {"BANK_A", "BANK_B", "BANK_C"}


def test_an_outage_has_times_of_the_scenarios_clock_and_none_outside(sim, user):
    (user.folder / "day.csv").write_text("time,from,to,amount\n08:00:00,A,B,5\n")
    clock = 'clock: {open: "07:00", close: "11:00", tick: 1h}'
    (user.folder / "day.yaml").write_text(f"payments: {{file: day.csv, {clock}}}\nagents: from_payments\n")

    shown = sim("stress", "day.yaml", "--from", "08:00", "--to", "10:00").stdout
    assert "an outage from 08:00 to 10:00 (tick 1 to 2), others go on sending" in shown
    assert "from 09:00 to 11:00 (tick 2 to 3)" in sim("stress", "day.yaml", "--from", "2").stdout
    early = sim("stress", "day.yaml", "--from", "06:30")
    assert early.returncode == 2
    assert "--from: 06:30 is outside the day, 07:00 to 11:00" in early.stderr


def test_samples_are_the_draws_of_one_seed_with_their_mean(sim, user):
    found = json.loads(sim("run", "small.yaml", "--samples", "5", "--seed", "3", "--json").stdout)

    scenario = load_scenario(user.folder / "small.yaml")
    batch = simulate_batch(scenario, draw_arrivals(scenario, 3, samples=5))
    assert found["system"]["total_cost"]["mean"] == pytest.approx(batch.total_cost.sum(axis=1).mean())
    assert found["agents"]["BANK_B"]["liquidity_used"]["mean"] == pytest.approx(batch.liquidity_used[:, 1].mean())


def test_samples_have_the_means_of_each_draws_indicators(sim, user):
    asked = ("run", "small.yaml", "--samples", "4", "--seed", "3", "--indicators")
    found = json.loads(sim(*asked, "i.json", "--json").stdout)
    ended = sim(*asked, "i.csv")

    scenario = load_scenario(user.folder / "small.yaml")
    drawn = draw_arrivals(scenario, 3, samples=4)
    runs = [simulate(scenario, drawn.sample(number), record_events="settlements").indicators for number in range(4)]
    for name in ("used", "unsettled", "delay_indicator", "turnover"):
        known = [value for run in runs if (value := getattr(run.system, name)) is not None]
        assert found["system"][name]["mean"] == pytest.approx(sum(known) / len(known))
        assert found["system"][name]["n"] == len(known)
    assert json.loads((user.folder / "i.json").read_text()) == found
    header = (user.folder / "i.csv").read_text().splitlines()[0].split(",")
    assert {"bank", "used", "used_low", "used_n"} <= {*header}
    assert "lower bound" in ended.stdout


def test_indicators_of_many_samples_are_computed_when_they_are_asked_for(sim, user, monkeypatch):
    monkeypatch.chdir(user.folder)
    monkeypatch.setattr("payment_simulator.cli.run_samples.MOST_UNASKED", 2)
    asked = ["run", "small.yaml", "--samples", "3", "-j", "1"]
    unasked = CliRunner().invoke(app, asked).output
    assert "indicators of more than 2 samples take long: --indicators FILE asks for them" in unasked
    assert "lower bound" not in unasked
    assert "lower bound" in CliRunner().invoke(app, [*asked, "--indicators", "i.parquet"]).output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("sweep", "small.yaml", "--set", f"{CAP}=0,1", "--on", "ray"), "on: no such place: 'ray'"),
        (("sweep", "small.yaml", "--set", f"{CAP}=0,1", "-o", "s.csv"), "s.csv does not end in .parquet"),
        (("sweep", "small.yaml", "--set", f"{CAP}=0,1", "--plot", CAP), "where is it to be drawn?"),
        (("sweep", "small.yaml", "--set", f"{CAP}=0,1", "--figure", "cost"), "unknown figure 'cost'"),
        (("sweep", "small.yaml", "--set", f"{CAP}=0,1", "--bank", "BANK_X"), "unknown bank 'BANK_X'"),
        (("sweep", "small.yaml", "--set", f"{CAP}=0,1", "--seeds", "1,1"), "--seeds: 1 stands twice"),
        (("sweep", "small.yaml", "--set", f"{CAP}=0,1", "--picture", "s.png"), "what is s.png to show?"),
        (("sweep", "small.yaml", "--set", f"{CAP}=0,1", "--csv", "small.yaml"), "would be written over"),
        (("stress", "small.yaml", "--outage", "BANK_X"), "unknown bank 'BANK_X'"),
        (("run", "small.yaml", "--samples", "5", "--events", "e.parquet"), "--events: is of one run"),
        (("run", "small.yaml", "--samples", "5", "--indicators", "small.yaml"), "is none of .json, .csv, .parquet"),
    ],
)
def test_what_cannot_be_swept_is_refused_with_what_to_do(sim, user, arguments, problem):
    ended = sim(*arguments)

    assert ended.returncode == 2
    assert problem in ended.stderr
    assert [path.name for path in user.folder.iterdir()] == ["small.yaml"]
