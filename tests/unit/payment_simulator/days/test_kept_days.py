"""A run that is kept in a folder: what is in it, and that it can be shown and simulated again."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from kept import POLICY, outcome_of, sha256, sim, write_day
from scenarios import pay, play

from payment_simulator import draw_arrivals, load_day, save_day, simulate
from payment_simulator.days import saving
from payment_simulator.days.folders import DOCUMENT, TABLES
from payment_simulator.scenario.given_payments import COLUMNS

STREAM = {
    "rate_per_tick": 2,
    "amount_distribution": {"type": "Uniform", "min": 1, "max": 900},
    "deadline_range": [0, 3],
}
DOCS = Path(__file__).parents[4] / "docs" / "payment_days.md"
FILES = {DOCUMENT, *(f"{name}.parquet" for name in TABLES)}


@pytest.fixture
def scenario(tmp_path):
    return write_day(tmp_path)


@pytest.fixture
def day(tmp_path, scenario):
    """A day that `run -o` kept."""
    assert sim("run", scenario, "-o", tmp_path / "kept").exit_code == 0
    return tmp_path / "kept"


def tables_of(folder):
    return {name: (folder / f"{name}.parquet").read_bytes() for name in TABLES}


def a_mixed_day():
    """A day with payments that were given, of an event, and drawn."""
    agents = {"A": {"arrival_config": STREAM, "unsecured_cap": 500}, "B": {"opening_balance": 700}}
    rows = [(0, "A", "B", 300), (1, "B", "A", 200), (1, "A", "B", 150)]
    return outcome_of(
        agents, rows, pay("B", "A", 77, tick=1), settled=[1, -1, 2], ids=["x", None, "z"], seed=9, ticks=4
    )


def test_a_kept_day_holds_the_scenario_as_it_ran_and_the_digests_of_what_was_read(day, scenario):
    content = json.loads((day / DOCUMENT).read_text())
    assert [*content][:2] == ["kind", "schema_version"]
    assert [*content][-1] == "integrity"
    assert (content["kind"], content["seed"], content["name"]) == ("payments.outcome", 3, str(scenario))
    assert content["scenario"]["agents"][0]["policy"]["document"] == POLICY
    assert content["scenario"]["simulation"] == {"ticks_per_day": 10, "num_days": 1, "rng_seed": 3}
    read = {each["name"]: (each["bytes"], each["sha256"]) for each in content["inputs"]}
    files = [scenario, scenario.with_name("day.csv"), scenario.with_name("hold.json")]
    assert read == {path.name: (path.stat().st_size, sha256(path)) for path in files}
    assert {path.name for path in day.iterdir()} == FILES
    for name in TABLES:
        assert content["integrity"][f"{name}_sha256"] == sha256(day / f"{name}.parquet")
    assert content["report"]["indicators"]["system"]["due"] == 66_075


def test_the_docs_have_every_column_of_the_tables_and_every_key_of_the_document(day):
    section = DOCS.read_text().split("\n## The outcome as tables\n")[1].split("\n## In Python\n")[0]
    names = [*json.loads((day / DOCUMENT).read_text())]
    names += [name for table in TABLES for name in getattr(load_day(day), table).column_names]
    assert [name for name in names if f"`{name}`" not in section] == []


def test_every_file_of_a_glob_and_of_balances_is_among_the_inputs(tmp_path, scenario):
    parts = tmp_path / "parts"
    parts.mkdir()
    (tmp_path / "day.csv").rename(parts / "one.csv")
    (parts / "two.csv").write_text("time,sender,receiver,amount\n2026-11-30 07:05:00,B,A,7.00\n")
    (tmp_path / "banks.csv").write_text("id,opening_balance\nA,5.00\n")
    text = scenario.read_text().replace("day.csv", "parts/*.csv")
    scenario.write_text(f"{text}balances: banks.csv\n")
    assert sim("run", scenario, "-o", tmp_path / "kept").exit_code == 0
    names = [each.name for each in load_day(tmp_path / "kept").record.inputs]
    assert names == ["day.yaml", "hold.json", "parts/one.csv", "parts/two.csv", "banks.csv"]


def test_show_prints_what_run_printed(tmp_path, scenario):
    ran = sim("run", scenario, "-o", tmp_path / "kept")
    shown = sim("show", tmp_path / "kept")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout.startswith(ran.stdout.replace(f"written: {tmp_path / 'kept'}\n", "").rstrip())
    assert f"day.csv ({scenario.with_name('day.csv').stat().st_size} bytes" in shown.stdout
    ran = json.loads(sim("run", scenario, "-o", tmp_path / "second", "--json").stdout)
    shown = json.loads(sim("show", tmp_path / "second" / DOCUMENT, "--json").stdout)
    assert {key: shown[key] for key in ran} == ran
    assert set(shown) - set(ran) == {"kept"}


def test_a_kept_day_is_simulated_again_to_the_byte_when_its_files_are_gone(tmp_path, day, scenario):
    for path in (scenario, scenario.with_name("day.csv"), scenario.with_name("hold.json")):
        path.unlink()
    assert sim("run", day, "-o", tmp_path / "again").exit_code == 0
    assert tables_of(tmp_path / "again") == tables_of(day)
    names = [each.name for each in load_day(tmp_path / "again").record.inputs]
    assert names == ["day.yaml", "hold.json", "day.csv", DOCUMENT]
    assert "equal to the cent" in sim("compare", day, tmp_path / "again").stdout


def test_payments_of_a_table_of_events_and_of_draws_come_again(tmp_path):
    outcome = a_mixed_day()
    day = load_day(save_day(outcome, tmp_path / "day", seed=9))
    given, before = day.scenario.given_payments, outcome.scenario.given_payments
    assert day.scenario.model_dump() == outcome.scenario.model_dump()
    assert (given.settled.tolist(), given.dates.tolist()) == (before.settled.tolist(), before.dates.tolist())
    assert (given.section, given.digest) == (before.section, before.digest)
    for arrivals in (day.arrivals, draw_arrivals(day.scenario, 9)):
        for name in (*COLUMNS, "given"):
            assert getattr(arrivals, name).tolist() == getattr(outcome.arrivals, name).tolist()
            assert getattr(arrivals, name).dtype == getattr(outcome.arrivals, name).dtype
    again = save_day(simulate(day.scenario, day.arrivals, record_events=True), tmp_path / "again", seed=9)
    assert tables_of(again) == tables_of(day.folder)


def test_settings_over_a_kept_day_leave_its_payments_as_they_came(tmp_path, day):
    assert sim("run", day, "--set", "agents.A.unsecured_cap=70000", "-o", tmp_path / "more").exit_code == 0
    one, other = load_day(day), load_day(tmp_path / "more")
    assert all((getattr(one.arrivals, name) == getattr(other.arrivals, name)).all() for name in COLUMNS)
    assert other.record.report["settled"] == one.record.report["settled"] + 1
    refused = sim("run", day, "--set", "payments.file=other.csv")
    assert (refused.exit_code, "no file is read again" in refused.stderr) == (2, True)
    assert "unknown bank 'X'" in sim("run", day, "--set", "agents.X.unsecured_cap=1").stderr


def test_what_draws_payments_needs_a_seed_to_be_changed(tmp_path):
    save_day(a_mixed_day(), tmp_path / "day")
    change = ["--set", "agents.A.arrival_config.rate_per_tick=4"]
    refused = sim("run", tmp_path / "day", *change)
    assert (refused.exit_code, "no seed of them is known; say --seed" in refused.stderr) == (2, True)
    drawn = json.loads(sim("run", tmp_path / "day", *change, "--seed", "5", "--json").stdout)
    assert (drawn["seed"], drawn["arrived"] > 4) == (5, True)


def test_a_folder_that_is_taken_is_refused_before_anything_is_computed(tmp_path, scenario, day, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    refused = {
        day: "a day is there already",
        tmp_path / "full": "is not empty",
        tmp_path / "file": "is a file",
        tmp_path / "file" / "below": "is a file",
        "x" * 300: "too long",
    }
    (tmp_path / "new").mkdir()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("payment_simulator.engine.simulate.simulate", None)
    for folder, reason in refused.items():
        ended = sim("run", scenario, "-o", folder)
        assert (ended.exit_code, reason in ended.stderr) == (2, True), ended.stderr
    inside = sim("run", scenario, "-o", tmp_path / "new", "--events", tmp_path / "new" / "events.parquet")
    assert (inside.exit_code, "a folder of its own" in inside.stderr) == (2, True)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_is_filled(tmp_path, scenario):
    (tmp_path / "empty").mkdir()
    assert sim("run", scenario, "-o", tmp_path / "empty").exit_code == 0
    assert load_day(tmp_path / "empty").record.seed == 3


@pytest.mark.parametrize("is_there", [False, True])
def test_days_saved_at_once_to_one_name_each_get_a_folder(tmp_path, is_there, monkeypatch):
    outcomes = [a_mixed_day(), play_of(3)]
    all_checked, check = threading.Barrier(2), saving.check_new_folder
    monkeypatch.setattr(saving, "check_new_folder", lambda path: (check(path), all_checked.wait()))
    if is_there:
        (tmp_path / "day").mkdir()
    threads = [threading.Thread(target=save_day, args=(each, tmp_path / "day")) for each in outcomes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {path.name: load_day(path).record.report["arrived"] for path in tmp_path.iterdir()}
    assert found.keys() == {"day", "day_1"}
    assert sorted(found.values()) == sorted(int(each.arrived.sum()) for each in outcomes)


def test_a_run_whose_folder_was_filled_meanwhile_is_kept_beside_it(tmp_path, scenario, monkeypatch):
    def and_someone_saves(*arguments, **options):
        if not (tmp_path / "day").exists():
            save_day(play_of(1), tmp_path / "day")
        return simulate(*arguments, **options)

    monkeypatch.setattr("payment_simulator.engine.simulate.simulate", and_someone_saves)
    ended = sim("run", scenario, "-o", tmp_path / "day")
    assert (ended.exit_code, f"written: {tmp_path / 'day_1'}" in ended.stdout.replace("\n", "")) == (0, True)
    assert [load_day(tmp_path / name).record.report["arrived"] for name in ("day", "day_1")] == [1, 4]


def play_of(payments):
    """A day with so many payments that were given."""
    return outcome_of({"A": {"unsecured_cap": 9}, "B": {}}, [(0, "A", "B", 1)] * payments, ticks=2)


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_at_any_file_leaves_nothing(tmp_path, monkeypatch, error, is_there):
    outcome, write = play_of(1), saving.write_durably
    if is_there:
        (tmp_path / "day").mkdir()
    for last in range(len(FILES)):
        left = iter(range(last))

        def failing(*arguments, left=left, **options):
            if next(left, None) is None:
                raise error
            write(*arguments, **options)

        monkeypatch.setattr(saving, "write_durably", failing)
        with pytest.raises(type(error)):
            save_day(outcome, tmp_path / "day")
        assert [*tmp_path.rglob("*")] == [tmp_path / "day"] * is_there


def test_a_run_without_its_events_or_of_many_samples_is_not_kept(tmp_path):
    scenario = a_mixed_day().scenario
    with pytest.raises(ValueError, match="record_events=True"):
        save_day(simulate(scenario, draw_arrivals(scenario, 1)), tmp_path / "day")
    assert not (tmp_path / "day").exists()


def test_a_day_of_a_scenario_with_draws_alone_is_kept(tmp_path):
    outcome = play(a_mixed_day().scenario.model_copy())
    day = load_day(save_day(outcome, tmp_path / "day"))
    assert np.array_equal(day.by_tick("balances", "balance", ["B"])[-1], outcome.final_balance[1:])


def test_the_picture_of_a_kept_day_is_that_of_its_run(tmp_path, scenario):
    pytest.importorskip("matplotlib")
    ran = sim("run", scenario, "-o", tmp_path / "day", "--plot", tmp_path / "run.svg")
    shown = sim("show", tmp_path / "day", "--plot", tmp_path / "day.svg")
    assert (ran.exit_code, shown.exit_code) == (0, 0)
    assert (tmp_path / "day.svg").read_text() == (tmp_path / "run.svg").read_text()
