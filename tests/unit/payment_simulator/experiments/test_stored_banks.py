"""A database from somebody else, in which a part of a run is of a bank that its scenario does not have."""

import pytest
from stored_game import store_game
from typer.testing import CliRunner

from payment_simulator.cli.main import app
from payment_simulator.experiments.persistence.database import Database

NUL = r"BANK\u0000A"  # as only JSON can write it
UNREADABLE = [
    ("iterations", "per_agent_costs", NUL, "iteration 1: costs or policies are of other banks than in the first"),
    ("iterations", "policies", NUL, "iteration 1: costs or policies are of other banks than in the first"),
    ("experiments", "final_policies", NUL, "final_policies are of other banks than those of the iterations"),
]
OF_OTHER_BANKS = [
    ("experiments", "scenario", NUL, "a name has no control characters"),
    ("experiments", "scenario", "BANK_C", "its costs and its scenario differ in the bank 'BANK_A'"),
    ("events", "event_data", NUL, "a proposal is for the bank"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a database of one run."""
    folder = tmp_path_factory.mktemp("stored")
    store_game(folder)
    return folder


@pytest.fixture
def damaged(folder, request):
    """The message about a part of the run in which BANK_A has another name."""
    table, column, name, message = request.param

    def put(before, after):
        text = f"replace({column}::VARCHAR, '{before}', '{after}')"
        with Database(folder / "runs.db").write() as connection:
            connection.execute(f"UPDATE {table} SET {column} = {text}")  # noqa: S608 - of this file

    put("BANK_A", name)
    yield message
    put(name, "BANK_A")


@pytest.mark.parametrize("damaged", UNREADABLE + OF_OTHER_BANKS, indirect=True, ids=lambda part: part[1])
def test_a_run_that_is_not_of_its_own_banks_is_refused_by_what_needs_them(folder, damaged):
    for command in (["policy-evolution"], ["export", "-o", folder / "out"], ["chart", "-o", folder / "out.svg"]):
        words = ["experiment", command[0], "one", "--db", folder / "runs.db", *command[1:]]
        ended = CliRunner().invoke(app, list(map(str, words)))
        assert ended.exit_code == 1
        assert damaged in " ".join(ended.stderr.split())
        assert "defect" not in ended.stderr
    assert not [*folder.glob("out*")]


@pytest.mark.parametrize("damaged", OF_OTHER_BANKS, indirect=True, ids=lambda part: part[1])
def test_a_run_whose_scenario_has_other_banks_is_shown_all_the_same(folder, damaged):
    ended = CliRunner().invoke(app, ["experiment", "show", "one", "--db", str(folder / "runs.db")])
    assert ended.exit_code == 0
    assert "\0" not in ended.stdout
