"""Each bank's outage in turn: what it does, by hand and by single runs, and what is refused."""

import pytest
from payment_sim_files import SMALL

from labledger.errors import ConfigError
from labledger.intervals import mean_interval
from payment_simulator import Scenario, draw_arrivals, load_scenario, simulate
from payment_simulator.sweeps.store import partial_folder
from payment_simulator.sweeps.stress import RANKED_BY, stress, ticks_of

BY_HAND = """\
simulation: {ticks_per_day: 4}
agents:
  - {id: A, opening_balance: 100}
  - {id: B}
  - {id: C}
scenario_events:
"""
PAYMENT = """\
  - {{type: CustomTransactionArrival, from_agent: {}, to_agent: {}, amount: {}, deadline: 3,
      schedule: {{type: OneTime, tick: {}}}}}
"""
PAYMENTS = (("A", "B", 100, 0), ("B", "C", 60, 1), ("C", "A", 60, 1))


@pytest.fixture
def by_hand(tmp_path):
    path = tmp_path / "day.yaml"
    path.write_text(BY_HAND + "".join(PAYMENT.format(*each) for each in PAYMENTS))
    return path


def test_an_outage_is_what_the_day_that_is_worked_in_the_docs_says(by_hand):
    rows = stress(by_hand).to_pylist()

    undisturbed, *outages = rows
    assert (undisturbed["bank"], undisturbed["unsettled"], undisturbed["others_delay_indicator"]) == (None, 0, 0)
    # A's payment is not made: B and C have nothing to pay with. C's outage leaves its own payment, and traps B's.
    of = {row["bank"]: row for row in outages}
    assert [row["bank"] for row in outages] == ["A", "B", "C"]
    assert (of["A"]["unsettled"], of["A"]["others_unsettled"], of["A"]["trapped"]) == (220, 120, 0)
    assert of["A"]["others_share"] == 120 / 220
    assert of["A"]["others_delay_indicator"] == 1.0
    assert (of["B"]["unsettled"], of["B"]["others_unsettled"], of["B"]["trapped"]) == (120, 60, 100)
    assert of["B"]["others_delay_indicator"] == pytest.approx(60 * 3 / (100 * 4 + 60 * 3))
    assert (of["C"]["unsettled"], of["C"]["others_unsettled"], of["C"]["trapped"]) == (60, 0, 60)
    assert of["C"]["others_delay_added"] == 0


def test_an_outage_that_ends_delays_and_others_that_stop_sending_trap_nothing(by_hand):
    (_, row) = stress(by_hand, "B", begin=0, end=2).to_pylist()
    assert (row["unsettled"], row["trapped"]) == (0, 100)
    assert row["others_delay_indicator"] == pytest.approx(60 * 2 / (100 * 4 + 60 * 3))
    (_, row) = stress(by_hand, "B", stop_sending_after=0).to_pylist()
    assert (row["unsettled"], row["others_unsettled"], row["trapped"]) == (220, 160, 0)


def test_what_is_trapped_is_the_most_that_a_bank_kept_from_others_at_a_time(by_hand):
    """B's 60 to C waits for money: B has 50 after tick 1, and nothing once the 60 are settled by 10 more in tick 2."""
    payments = (("B", "C", 60, 0), ("A", "B", 50, 1), ("A", "B", 10, 2))
    by_hand.write_text(BY_HAND + "".join(PAYMENT.format(*each) for each in payments))
    (_, row) = stress(by_hand, "B", begin=1).to_pylist()
    assert (row["unsettled"], row["trapped"]) == (0, 50)


def test_the_effects_are_those_of_single_runs_with_the_outage_in_their_events(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    output = tmp_path / "s.parquet"
    table = stress(path, begin=2, end=3, seeds=[5, 6, 7], output=output)
    outages = table.to_pylist()[1:]

    plain = load_scenario(path)
    base = [_indicators(plain, plain, seed) for seed in (5, 6, 7)]
    assert table.to_pylist()[0]["unsettled"] == pytest.approx(sum(each.system.unsettled for each in base) / 3)
    for row in outages:
        out = {"type": "Outage", "agent": row["bank"], "start_tick": 2, "end_tick": 3}
        data = plain.model_dump(mode="json")
        disturbed = Scenario.model_validate({**data, "scenario_events": [*data["scenario_events"], out]})
        found = [_indicators(disturbed, plain, seed) for seed in (5, 6, 7)]
        others = [each.system.unsettled - each.banks[row["bank"]].unsettled for each in found]
        before = [each.system.unsettled - each.banks[row["bank"]].unsettled for each in base]
        added = [after - earlier for after, earlier in zip(others, before, strict=True)]
        assert row["others_unsettled_added"] == pytest.approx(sum(added) / 3)
        assert row["others_unsettled_added_high"] == pytest.approx(mean_interval(added).high)
    ranked = [tuple(row[name] for name in RANKED_BY) for row in outages]
    assert ranked == sorted(ranked, reverse=True)
    assert [row["rank"] for row in outages] == [1, 2, 3]
    assert not partial_folder(output).exists()
    assert stress(path, begin=2, end=3, seeds=[5, 6, 7], output=output).to_pylist() == table.to_pylist()


def _indicators(scenario, drawn_from, seed):
    return simulate(scenario, draw_arrivals(drawn_from, seed), record_events=True, engine="reference").indicators


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"outage": "D"}, "unknown bank 'D'"),
        ({"outage": ["A"], "begin": 4}, "the run has 4 ticks"),
        ({"outage": "A,B", "begin": 2, "end": 1}, "--to: is not after --from"),
        ({"begin": "10:00"}, "'10:00' is no tick, and the scenario has no clock"),
        ({"begin": -1}, "the run has 4 ticks, counted from 0"),
        ({"begin": "9" * 5_000}, "'9999.* is no tick"),
        ({"seeds": [1, 2]}, "nothing is drawn in this scenario"),
    ],
)
def test_an_outage_that_cannot_be_is_refused(by_hand, arguments, problem):
    with pytest.raises(ConfigError, match=problem):
        stress(by_hand, **arguments)


@pytest.fixture
def with_a_clock(tmp_path):
    """Two days of six ticks of ten minutes."""
    (tmp_path / "a.csv").write_text(
        "time,sender,receiver,amount\n2026-03-02 10:15:00,X,Y,5\n2026-03-02 10:45:00,Y,X,5\n2026-03-03 10:15:00,Y,X,1\n"
    )
    path = tmp_path / "day.yaml"
    path.write_text(
        "payments: {file: a.csv, clock: {open: '10:00', close: '11:00', tick: 10m}}\nagents: from_payments\n"
        "agent_defaults: {opening_balance: 600}\n"
    )
    return path


@pytest.mark.parametrize(
    ("begin", "end", "ticks"),
    [
        ("10:10", "10:30", (1, 2)),
        ("10:10", "10:30:01", (1, 3)),
        ("10:19:59", "10:20", (1, 1)),
        ("10:12", "10:13", (1, 1)),
        ("10:10", None, (1, 5)),
        (None, "11:00", (0, 5)),
        ("7", "8", (7, 8)),
        ("10:50", "7", (5, 7)),
    ],
)
def test_ticks_of_which_a_part_is_between_two_times_are_those_of_the_outage(with_a_clock, begin, end, ticks):
    found = ticks_of(load_scenario(with_a_clock), begin, end)
    assert (found.start, found.stop - 1) == ticks


@pytest.mark.parametrize(
    ("begin", "end", "problem"),
    [
        ("10:10", "10:10", "--to: is not after --from"),
        ("10:13", "10:12", "--to: is not after --from"),
        ("11:00", None, "--from: 11:00 is the end of the day"),
        ("10:00", "11:00:01", "--to: 11:00:01 is outside the day, 10:00 to 11:00"),
        ("10:00:30.5", None, "--from: '10:00:30.5' is neither a tick nor HH:MM or HH:MM:SS"),
        ("-1", None, "--from: '-1' is neither a tick nor HH:MM or HH:MM:SS"),
        ("1.5", None, "--from: '1.5' is neither a tick nor HH:MM or HH:MM:SS"),
        ("12", None, "--from, --to: the run has 12 ticks, counted from 0"),
    ],
)
def test_times_between_which_no_outage_can_be_are_refused_by_their_option(with_a_clock, begin, end, problem):
    with pytest.raises(ConfigError, match=problem):
        ticks_of(load_scenario(with_a_clock), begin, end)


def test_times_of_a_clock_are_ticks_of_the_outage_the_end_not_included(with_a_clock):
    rows = stress(with_a_clock, "X", begin="10:10", end="10:30").to_pylist()

    assert rows[1]["unsettled"] == 0
    assert rows[1]["others_delay_added"] == 0
    assert rows[1]["trapped"] == 0
    assert stress(with_a_clock, "X", begin="10:10").to_pylist()[1]["trapped"] == 500
