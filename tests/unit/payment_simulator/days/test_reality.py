"""The simulation beside the settlement times of the file, worked by hand."""

import json

import numpy as np
from kept import outcome_of, sim

from payment_simulator import load_day, save_day
from payment_simulator.days.reality import compared

ROWS = [(0, "A", "B", 100), (0, "A", "B", 40), (1, "B", "A", 70), (2, "A", "B", 500), (3, "B", "A", 7)]
IN_FILE = [0, 3, 0, 4, -1]
"""Ticks of settlement in the file: the last payment never settled there."""


def a_day(folder, settled=IN_FILE):
    """A has 100 of credit, B none: 100 settles at once, 40 with B's 70 in tick 1, 500 never, 7 in tick 3."""
    outcome = outcome_of({"A": {"unsecured_cap": 100}, "B": {}}, ROWS, settled=settled, ticks=6)
    assert outcome.payments()["settled"].to_pylist() == [0, 1, 1, None, 3]
    return save_day(outcome, folder)


def test_a_day_with_settlement_times_is_compared_with_them(tmp_path):
    """Ticks later than in the file: 0, 1 - 3, 1 - 0: on average -1/3. Up to tick 2 210 are settled here, 170 there."""
    assert json.loads(sim("show", a_day(tmp_path / "day"), "--json").stdout)["reality"] == {
        "payments": 5,
        "settled_in_both": 3,
        "settled_only_simulated": 1,
        "settled_only_in_file": 1,
        "settled_in_neither": 0,
        "mean_difference_ticks": -1 / 3,
        "mean_absolute_difference_ticks": 1,
        "same_tick": 1,
        "same_tick_share": 1 / 3,
        "furthest_apart": {"tick": 4, "simulated": 217, "file": 710},
        "value_by_tick": [
            {"tick": 0, "simulated": 100, "file": 170},
            {"tick": 1, "simulated": 110, "file": 0},
            {"tick": 3, "simulated": 7, "file": 40},
            {"tick": 4, "simulated": 0, "file": 500},
        ],
    }


def test_the_comparison_is_printed_by_run_and_show(tmp_path):
    day = a_day(tmp_path / "day")
    for command in (["show", day], ["run", day, "-o", tmp_path / "again"]):
        shown = sim(*command).stdout
        assert "5 payments, of which 3 settled in both" in shown
        assert "1 in the simulation, 1 in the file" in shown
        assert "0.33 ticks earlier than in the file on average; 33.3% in the same tick" in shown
        assert "furthest apart after tick 4: 217 simulated and 710 in the file" in shown


def test_the_example_of_the_docs_is_as_it_is_worked_there():
    amount, simulated, real = (np.array(each) for each in ([100, 40, 70, 7], [0, 1, 1, 3], [0, 3, 0, -1]))
    found = compared(amount, simulated, real)
    assert (found["mean_difference_ticks"], found["same_tick_share"]) == (-1 / 3, 1 / 3)
    assert found["furthest_apart"] == {"tick": 0, "simulated": 100, "file": 170}
    assert np.cumsum([each["file"] for each in found["value_by_tick"]]).tolist() == [170, 170, 210]


def test_of_ticks_that_lie_equally_far_apart_the_first_is_told():
    found = compared(*(np.array(each) for each in ([5, 2], [0, 1], [5, 1])))
    assert found["furthest_apart"] == {"tick": 0, "simulated": 5, "file": 0}


def test_a_file_without_settlement_times_is_compared_with_nothing(tmp_path):
    day = a_day(tmp_path / "day", settled=None)
    assert "reality" not in json.loads(sim("show", day, "--json").stdout)
    assert load_day(day).scenario.given_payments.settled is None
    assert "in the file" not in sim("show", day).stdout


def test_times_of_a_file_in_which_nothing_settled_have_no_mean(tmp_path):
    found = json.loads(sim("show", a_day(tmp_path / "day", settled=[-1] * 5), "--json").stdout)["reality"]
    assert (found["mean_difference_ticks"], found["same_tick_share"], found["settled_only_simulated"]) == (
        None,
        None,
        4,
    )
    assert load_day(tmp_path / "day").scenario.given_payments.settled.tolist() == [-1] * 5
