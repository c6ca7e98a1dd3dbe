"""A run of many iterations: its last are shown, all where they are asked for, and the work grows as the run does."""

import json
import sys
from pathlib import Path

import pytest
from stored_game import store_game
from typer.testing import CliRunner

from payment_simulator.cli.main import app
from payment_simulator.experiments.persistence.database import Database

SOURCES = str(Path(__file__).parents[4] / "src")
LONG = (10, 20, 30)
COPIES = """
INSERT INTO experiments SELECT * REPLACE ('{run_id}' AS experiment_id, {count} AS num_iterations)
    FROM experiments WHERE experiment_id = 'one';
INSERT INTO iterations SELECT iterations.* REPLACE ('{run_id}' AS experiment_id, number AS iteration_number)
    FROM iterations, range(1, {count} + 1) AS numbers(number) WHERE experiment_id = 'one';
INSERT INTO events SELECT events.* REPLACE (
        '{run_id}' AS experiment_id, number AS iteration, 100 * number + event_id AS event_id)
    FROM events, range(1, {count} + 1) AS numbers(number) WHERE experiment_id = 'one' AND iteration = 1;
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A database of runs of as many iterations as `LONG` has, copies of one real iteration and its events."""
    path = store_game(tmp_path_factory.mktemp("long"))
    with Database(path).write() as connection:
        for count in LONG:
            connection.execute(COPIES.format(run_id=f"run-{count}", count=count))
    return path


@pytest.fixture
def shown(database):
    def show(*words):
        ended = CliRunner().invoke(app, ["experiment", *words, "--db", str(database)])
        assert ended.exit_code == 0, ended.output
        return ended.output

    return show


def numbers(text):
    """Return the numbers that rows begin with, in order, each once."""
    words = [line.split()[0] for line in text.splitlines() if line.strip()]
    return list(dict.fromkeys(int(word) for word in words if word.isdecimal()))


def test_show_has_the_last_20_iterations_and_decisions_and_says_how_to_see_all(shown):
    text = shown("show", "run-30")
    assert numbers(text) == [*range(11, 31)]
    assert "These are the last 20 of 30 iterations: --all shows every one" in text
    assert "These are the last 20 of 60 decisions: --all shows every one" in text
    decisions = text[text.index("proposal") : text.index("of 60 decisions")]
    assert numbers(decisions) == [*range(21, 31)]


def test_policy_evolution_has_the_last_20_iterations_of_each_bank(shown):
    text = shown("policy-evolution", "run-30")
    assert numbers(text) == [*range(11, 31)]
    assert text.count("These are the last 20 of 30 iterations: --all shows every one") == 2
    assert numbers(shown("policy-evolution", "run-30", "--agent", "BANK_B")) == [*range(11, 31)]


@pytest.mark.parametrize("command", ["show", "policy-evolution"])
def test_all_iterations_are_shown_where_they_are_asked_for(command, shown):
    text = shown(command, "run-30", "--all")
    assert numbers(text) == [*range(1, 31)]
    assert "These are the last" not in text


def test_json_has_all_iterations(shown):
    assert len(json.loads(shown("show", "run-30", "--json"))["iterations"]) == 30
    assert [len(steps) for steps in json.loads(shown("policy-evolution", "run-30", "--json")).values()] == [31, 31]


def test_a_short_run_is_shown_whole_and_says_nothing_of_it(shown):
    assert "These are the last" not in shown("show", "one")


def test_replay_has_the_last_20_iterations_and_checks_all(shown, database):
    ended = CliRunner().invoke(app, ["experiment", "replay", "run-30", "--db", str(database)])
    assert numbers(ended.output)[:20] == [*range(11, 31)]
    assert "These are the last 20 of 30 iterations" in ended.output


def steps_of(work):
    """Return how many instructions of our own sources `work` executes: the same on any machine."""
    count = 0

    def counted(frame, event, _):
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return counted

    before = sys.gettrace()
    sys.settrace(lambda frame, *_: counted(frame, "", None) if frame.f_code.co_filename.startswith(SOURCES) else None)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("command", ["policy-evolution", pytest.param("show", marks=pytest.mark.slow)])
def test_the_work_of_showing_a_run_grows_as_the_run_does(command, shown):
    words = (command, "--all")
    shown(*words, "run-10")  # what is worked out once, and kept
    short, middle, long = (steps_of(lambda count=count: shown(*words, f"run-{count}")) for count in LONG)
    assert (long - middle) < 1.05 * (middle - short)
