"""Drawn payments: the same whoever asks, each bank's own, changed by events, and distributed as they should be."""

import numpy as np
import pytest
from scenarios import make_scenario, once, pay

from labledger.errors import ConfigError
from payment_simulator import draw_arrivals
from payment_simulator.scenario import arrivals as arrivals_module
from payment_simulator.scenario import bank_arrivals

COLUMNS = tuple(arrivals_module.COLUMNS)
UNIFORM = {"type": "Uniform", "min": 100, "max": 200}


def sends(rate=2.0, amounts=None, deadlines=(1, 5), **further):
    config = {"rate_per_tick": rate, "amount_distribution": amounts or UNIFORM, "deadline_range": list(deadlines)}
    return {"arrival_config": {**config, **further}}


def columns(arrivals, *names, of=slice(None)):
    """Columns as lists, of the payments that `of` selects."""
    return [getattr(arrivals, name)[of].tolist() for name in names or COLUMNS]


def of_bank(scenario, name, **wanted):
    """Columns of the payments that a bank sends, the receivers by their ids."""
    found = draw_arrivals(scenario, **wanted)
    mine = found.sender == scenario.agent_ids.index(name)
    receivers = [scenario.agent_ids[number] for number in found.receiver[mine]]
    return columns(found, "tick", "amount", "deadline", "priority", of=mine), receivers


# Streams


def test_the_same_seed_gives_the_same_payments_and_another_seed_others():
    scenario = make_scenario({"A": sends(), "B": sends()}, ticks=20, simulation={"ticks_per_day": 20, "rng_seed": 5})
    assert columns(draw_arrivals(scenario)) == columns(draw_arrivals(scenario, 5))
    assert columns(draw_arrivals(scenario)) != columns(draw_arrivals(scenario, 6))


@pytest.mark.parametrize("wanted", [{"purpose": 1}, {"iteration": 1}, {"first_sample": 1}])
def test_each_purpose_iteration_and_sample_has_payments_of_its_own(wanted):
    scenario = make_scenario({"A": sends(), "B": sends()}, ticks=20)
    assert columns(draw_arrivals(scenario)) != columns(draw_arrivals(scenario, **wanted))


def test_banks_that_are_alike_send_different_payments():
    scenario = make_scenario({"A": sends(), "B": sends()}, ticks=20)
    assert of_bank(scenario, "A")[0] != of_bank(scenario, "B")[0]


def test_another_bank_leaves_times_amounts_and_deadlines_as_they_were():
    few = {"C": sends(priority_distribution={"type": "Uniform", "min": 0, "max": 10}), "A": sends()}
    many = {"B": sends(9.0), **few, "D": {}}
    for name in few:
        before, after = (of_bank(make_scenario(banks, ticks=30), name, samples=5) for banks in (few, many))
        assert before[0] == after[0]
        assert len(before[0][0]) > 100


def test_another_bank_leaves_counterparties_as_they_were_where_weights_are_given():
    few = {"C": sends(counterparty_weights={"A": 1, "E": 2}), "A": {}, "E": {}}
    many = {"B": sends(), "D": sends(), **few}
    before, after = (of_bank(make_scenario(banks, ticks=30), "C", samples=5) for banks in (few, many))
    assert before == after
    assert set(before[1]) == {"A", "E"}


@pytest.mark.parametrize("block", [1, 3, 64])
def test_a_sample_is_the_same_whatever_range_asks_for_it(block, monkeypatch):
    monkeypatch.setattr(bank_arrivals, "MAX_BLOCK", block)
    scenario = make_scenario({"A": sends(), "B": sends(), "C": sends()}, pay("A", "B", 7, tick=3), ticks=10)
    together = draw_arrivals(scenario, samples=70)
    assert together.samples == 70
    for first, samples in ((0, 1), (1, 2), (2, 62), (63, 2), (69, 1)):
        some = draw_arrivals(scenario, first_sample=first, samples=samples)
        for sample in range(samples):
            assert columns(some.sample(sample)) == columns(together.sample(first + sample))


def test_payments_are_in_sequence():
    config = sends(1.0)
    events = [pay("B", "A", 11, tick=2), pay("A", "B", 12, tick=2), pay("A", "B", 13, tick=1)]
    scenario = make_scenario({"B": config, "A": config}, *events, ticks=6)
    found = draw_arrivals(scenario, samples=20)
    for sample in range(20):
        one = found.sample(sample)
        assert one.tick.tolist() == sorted(one.tick.tolist())
        assert one.amount[one.tick == 1][0] == 13
        in_two = one.tick == 2
        assert one.amount[in_two][:2].tolist() == [11, 12]
        assert one.sender[in_two][2:].tolist() == sorted(one.sender[in_two][2:].tolist())


# Distributions


@pytest.mark.parametrize(
    ("amounts", "mean", "std_dev"),
    [
        ({"type": "Uniform", "min": 100, "max": 300}, 200, 201 / 12**0.5),
        ({"type": "Normal", "mean": 1_000, "std_dev": 100}, 1_000, 100),
        ({"type": "LogNormal", "mean": 10_000, "std_dev": 5_000}, 10_000, 5_000),
        ({"type": "Exponential", "mean": 700}, 700, 700),
    ],
    ids=lambda each: each["type"] if isinstance(each, dict) else "",
)
def test_amounts_have_the_mean_and_deviation_that_are_asked_for(amounts, mean, std_dev):
    found = draw_arrivals(make_scenario({"A": sends(100.0, amounts), "B": {}}, ticks=1_000), seed=1).amount
    assert found.mean() == pytest.approx(mean, rel=0.01)
    assert found.std() == pytest.approx(std_dev, rel=0.02)


def test_amounts_are_at_least_1():
    amounts = {"type": "Normal", "mean": 1, "std_dev": 50}
    found = draw_arrivals(make_scenario({"A": sends(100.0, amounts), "B": {}}, ticks=100)).amount
    assert found.min() == 1


def test_a_uniform_amount_reaches_both_ends():
    found = draw_arrivals(make_scenario({"A": sends(100.0, {**UNIFORM, "max": 102}), "B": {}}, ticks=100)).amount
    assert set(found.tolist()) == {100, 101, 102}


def test_the_number_of_payments_is_poisson():
    found = draw_arrivals(make_scenario({"A": sends(3.0), "B": {}}, ticks=20_000), seed=1)
    counts = np.bincount(found.tick, minlength=20_000)
    assert counts.mean() == pytest.approx(3, rel=0.02)
    assert counts.var() == pytest.approx(3, rel=0.04)


def test_deadlines_are_even_over_their_range_both_ends_included():
    found = draw_arrivals(make_scenario({"A": sends(100.0, deadlines=(3, 8)), "B": {}}, ticks=300), seed=1)
    after = np.bincount(found.deadline - found.tick)
    assert after[:3].sum() == 0
    assert len(after) == 9
    assert after[3:] / after.sum() == pytest.approx(np.full(6, 1 / 6), rel=0.05)


def test_counterparties_are_drawn_by_weight_and_alike_where_none_is_given():
    others = {name: {} for name in "BCD"}
    weighted = make_scenario({"A": sends(100.0, counterparty_weights={"B": 1, "D": 3}), **others}, ticks=300)
    found = np.bincount(draw_arrivals(weighted, seed=1).receiver, minlength=4)
    assert found / found.sum() == pytest.approx([0, 0.25, 0, 0.75], rel=0.05)
    alike = np.bincount(draw_arrivals(make_scenario({"A": sends(100.0), **others}, ticks=300), seed=1).receiver)
    assert alike / alike.sum() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], rel=0.05)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, {5}),
        ({"priority": 9}, {9}),
        ({"priority_distribution": {"type": "Uniform", "min": 2, "max": 4}}, {2, 3, 4}),
        ({"priority_distribution": {"type": "Categorical", "values": [1, 7, 8], "weights": [1, 0, 1]}}, {1, 8}),
    ],
)
def test_priorities_are_those_that_are_asked_for(fields, found):
    drawn = draw_arrivals(make_scenario({"A": sends(50.0, **fields), "B": {}}, ticks=20))
    assert set(drawn.priority.tolist()) == found


def test_bands_have_their_priorities_and_draw_apart():
    band = sends(20.0)["arrival_config"]
    both = {"arrival_bands": {"urgent": band, "low": {**band, "divisible": True}}}
    found = draw_arrivals(make_scenario({"A": both, "B": {}}, ticks=50), seed=1)
    urgent = found.priority >= 8
    assert set(found.priority[urgent].tolist()) == {8, 9, 10}
    assert set(found.priority[~urgent].tolist()) == {0, 1, 2, 3}
    assert (found.divisible == ~urgent).all()
    assert urgent.mean() == pytest.approx(0.5, abs=0.05)


# Deadlines


def test_a_deadline_is_capped_at_the_arrival_days_last_tick_where_that_is_asked_for():
    events = [pay("A", "B", 1, tick=1, deadline=5), pay("A", "B", 1, tick=4, deadline=0)]
    for capped, deadlines in ((False, [6, 4]), (True, [3, 4])):
        scenario = make_scenario({"A": {}, "B": {}}, *events, ticks=4, days=2, deadline_cap_at_eod=capped)
        assert draw_arrivals(scenario).deadline.tolist() == deadlines


def test_the_longest_deadline_of_a_written_payment_is_never_reached():
    scenario = make_scenario({"A": {}, "B": {}}, pay("A", "B", 1, deadline=2**31 - 1))
    assert draw_arrivals(scenario).deadline.tolist() == [2**31 - 1]


def test_the_longest_deadline_of_a_drawn_payment_is_never_reached():
    scenario = make_scenario({"A": sends(9.0, deadlines=(2**31 - 1, 2**31 - 1)), "B": {}})
    assert set(draw_arrivals(scenario).deadline.tolist()) == {2**31 - 1}


# Events


def numbers_by_tick(*events, rate=40.0, ticks=100, name="A"):
    scenario = make_scenario({"A": sends(rate), "B": sends(rate)}, *events, ticks=ticks)
    found = draw_arrivals(scenario, seed=1)
    return np.bincount(found.tick[found.sender == "AB".index(name)], minlength=ticks)


def test_a_change_of_rate_holds_from_its_tick_on_and_replaces_the_one_before():
    changes = [
        once("GlobalArrivalRateChange", 25, multiplier=0),
        once("AgentArrivalRateChange", 50, agent="A", multiplier=2),
        once("GlobalArrivalRateChange", 75, multiplier=0.5),
    ]
    of_a, of_b = (numbers_by_tick(*changes, name=name).reshape(4, 25).mean(axis=1) for name in "AB")
    assert of_a == pytest.approx([40, 0, 80, 20], rel=0.1)  # of the base rate, not of what was in force
    assert of_b == pytest.approx([40, 0, 0, 20], rel=0.1)


def test_a_change_of_rate_leaves_what_was_before_it():
    quiet = numbers_by_tick()
    assert (numbers_by_tick(once("GlobalArrivalRateChange", 60, multiplier=3))[:60] == quiet[:60]).all()


def test_a_change_of_weight_holds_from_its_tick_on():
    banks = {"A": sends(20.0, counterparty_weights={"B": 1}), "B": {}, "C": {}}
    changes = [
        once("CounterpartyWeightChange", 10, agent="A", counterparty="C", weight=1),
        once("CounterpartyWeightChange", 20, agent="A", counterparty="B", weight=0),
    ]
    found = draw_arrivals(make_scenario(banks, *changes, ticks=30), seed=1)
    receivers = [set(found.receiver[(found.tick >= tick) & (found.tick < tick + 10)].tolist()) for tick in (0, 10, 20)]
    assert receivers == [{1}, {1, 2}, {2}]


def test_a_bank_cannot_be_left_with_nobody_to_pay():
    change = once("CounterpartyWeightChange", 1, agent="A", counterparty="B", weight=0)
    scenario = make_scenario({"A": sends(), "B": {}}, change, ticks=2)
    with pytest.raises(ConfigError, match=r"scenario_events.0: from tick 1 on it leaves A nobody to pay"):
        draw_arrivals(scenario)


def test_a_bank_without_anybody_to_pay_is_found_after_all_events_of_a_tick():
    leaves = once("CounterpartyWeightChange", 1, agent="A", counterparty="B", weight=0)
    comes = once("CounterpartyWeightChange", 1, agent="A", counterparty="C", weight=1)
    banks = {"A": sends(20.0, counterparty_weights={"B": 1}), "B": {}, "C": {}}
    one, other = (draw_arrivals(make_scenario(banks, *each, ticks=2)) for each in ((leaves, comes), (comes, leaves)))
    assert [set(one.receiver[one.tick == tick].tolist()) for tick in (0, 1)] == [{1}, {2}]
    assert (one.receiver == other.receiver).all()
    goes = {**comes, "weight": 0}
    with pytest.raises(ConfigError, match=r"scenario_events.2: from tick 1 on it leaves A nobody to pay"):
        draw_arrivals(make_scenario(banks, leaves, comes, goes, ticks=2))


def test_events_of_one_tick_hold_in_file_order():
    changes = [
        once("AgentArrivalRateChange", 0, agent="A", multiplier=0),
        once("GlobalArrivalRateChange", 0, multiplier=1),
    ]
    assert (numbers_by_tick(*changes) == numbers_by_tick()).all()
    assert numbers_by_tick(*changes[::-1]).sum() == 0


@pytest.mark.parametrize(("agent", "changed"), [(None, "AB"), ("A", "A")])
def test_a_change_of_deadlines_concerns_one_bank_or_all(agent, changed):
    change = once("DeadlineWindowChange", 10, agent=agent, deadline_range=[7, 9])
    scenario = make_scenario({"A": sends(9.0), "B": sends(9.0)}, change, ticks=20)
    found = draw_arrivals(scenario)
    for number, name in enumerate("AB"):
        for late in (False, True):
            mine = (found.sender == number) & ((found.tick >= 10) == late)
            after = set((found.deadline - found.tick)[mine].tolist())
            assert after == ({7, 8, 9} if late and name in changed else {1, 2, 3, 4, 5})


def test_repeated_changes_are_as_one():
    change = {**once("GlobalArrivalRateChange", 0, multiplier=2)}
    repeated = {**change, "schedule": {"type": "Repeating", "start_tick": 0, "interval": 1}}
    assert (numbers_by_tick(change) == numbers_by_tick(repeated)).all()


def test_a_change_in_every_one_of_many_ticks_is_drawn_at_once():
    change = {"type": "GlobalArrivalRateChange", "multiplier": 2}
    change["schedule"] = {"type": "Repeating", "start_tick": 0, "interval": 1}
    scenario = make_scenario({name: sends(0.1) for name in "ABCDEFGH"}, change, ticks=50_000)
    assert len(draw_arrivals(scenario)) == pytest.approx(80_000, rel=0.05)


# Too much


def test_too_many_payments_are_refused_before_they_are_drawn():
    scenario = make_scenario({"A": sends(1e6), "B": {}}, ticks=1_000_000)
    with pytest.raises(
        ConfigError, match=r"^1e\+12 payments to draw would take 200,000 GB of memory, and \d+ are free; "
    ):
        draw_arrivals(scenario)
    with pytest.raises(ConfigError, match=r"^1e\+12 payments to draw would take "):
        draw_arrivals(make_scenario({"A": sends(1e6), "B": {}}, ticks=100), samples=10_000)


def test_more_ticks_than_ten_million_are_refused():
    with pytest.raises(ValueError, match="ticks_per_day: times num_days is 10,000,001 ticks, over 10,000,000"):
        make_scenario({"A": {}}, ticks=10_000_001)


@pytest.mark.parametrize(
    "amounts", [{"type": "Exponential", "mean": 1e300}, {"type": "Normal", "mean": 1e17, "std_dev": 1}]
)
def test_amounts_beyond_what_is_sure_to_the_cent_are_refused(amounts):
    scenario = make_scenario({"A": sends(9.0, amounts), "B": {}}, ticks=9)
    with pytest.raises(ConfigError, match=r"A: arrival_config.amount_distribution: draws amounts of over 2\^53 cents"):
        draw_arrivals(scenario)
