"""Rounds and stretches: what the order in which runs were made is worth."""

import math
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from compared_runs import APART_S, BEGAN, made, of, one_run
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure import compare
from llenergymeasure.results.comparison import HEADLINE, Group, Limit, judged
from llenergymeasure.results.comparison import compare as compare_groups
from llenergymeasure.results.comparison.openings import mixed_sessions
from llenergymeasure.results.comparison.rounds import find_rounds
from llenergymeasure.results.comparison.runs import busy_times, in_time
from llenergymeasure.results.comparison.stretches import find_stretches
from properties import examples

orders = st.text("ABC.", min_size=1, max_size=40)


def ones():
    return of(iter(lambda: 1.0, None))


def placed(order):
    return in_time(*made(order, ones())).placed


def rounds_in(order):
    """The rounds of an order, spelt: "AB BA"."""
    return spelt(find_rounds(placed(order)).rounds)


def spelt(rounds):
    return " ".join("AB" if each.first.start_s < each.second.start_s else "BA" for each in rounds)


def stretches_in(order):
    return " ".join("AB"[each.side] * len(each.runs) for each in find_stretches(placed(order)))


def method(order, **options):
    first, second = made(order, ones())
    found = compare(first, second, **options)
    return found.method, found.counts


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("ABBAABBA", "AB BA AB BA"),
        ("ABCCBAABC", "AB BA AB"),
        ("ACBBCA", "AB BA"),
        ("AAABBB", "AB"),
        ("ABABABABABAB", "AB BA AB BA"),
        ("AABBAABB", "AB BA AB"),
        ("ABBAAABBA", "AB BA AB BA"),
        ("AB.AB.AB.AB", ""),
        ("AB.BA.AB", "AB BA"),
        ("ABBA.ABBA.ABBA", ""),
        ("ABBAAB.ABBAAB", "BA AB BA AB"),
        ("ABBAABBA.ABBAABBA", "AB BA AB BA"),
        ("ABBA.BAAB", "AB BA BA AB"),
        ("ABBAAB.BA", "AB BA AB BA"),
        ("ABBA.A.B.A", "AB BA"),
        ("A.BB.A", ""),
    ],
)
def test_a_round_is_two_neighbours_in_an_order_that_alternates(order, found):
    assert rounds_in(order) == found


@pytest.mark.parametrize(
    ("order", "found"),
    [("AAABBB", "AAA BBB"), ("AACAB", "AAA B"), ("AA.AB.B", "AA A B B"), ("ABAB", "A B A B")],
)
def test_a_stretch_ends_with_a_run_of_the_other_configuration_or_a_pause(order, found):
    assert stretches_in(order) == found


@pytest.mark.parametrize(("pause_s", "found"), [(120, "AB BA AB BA"), (300, ""), (1800, ""), (3500, ""), (3700, "")])
def test_no_round_reaches_across_a_pause_of_three_runs_or_more(pause_s, found):
    """Each pair begins after such a pause: the first of it may be on a cold machine."""
    starts = [pair * (2 * APART_S + pause_s) + place * APART_S for pair in range(6) for place in (0, 1)]
    sides = [[one_run("AB"[at], start=BEGAN + timedelta(seconds=s)) for s in starts[at::2]] for at in (0, 1)]
    assert spelt(find_rounds(in_time(*sides).placed).rounds) == found


def test_runs_of_other_configurations_that_are_known_keep_a_device_warm():
    names = "ABCDEEDCBAABCDEEDCBA"
    runs = [one_run(name, start=BEGAN + timedelta(seconds=APART_S * at)) for at, name in enumerate(names)]
    sides = [[run for name, run in zip(names, runs, strict=True) if name == side] for side in "AB"]
    others = [run for name, run in zip(names, runs, strict=True) if name not in "AB"]
    ordered = in_time(*sides).placed
    assert spelt(find_rounds(ordered).rounds) == "AB BA"
    assert spelt(find_rounds(ordered, busy_times(others)).rounds) == "AB BA AB BA"


def test_runs_more_than_an_hour_apart_are_no_round_whatever_ran_between():
    names = "A" + "C" * 50 + "BB" + "C" * 50 + "A"
    runs = [one_run(name, start=BEGAN + timedelta(seconds=APART_S * at)) for at, name in enumerate(names)]
    sides = [[run for name, run in zip(names, runs, strict=True) if name == side] for side in "ABC"]
    assert find_rounds(in_time(*sides[:2]).placed, busy_times(sides[2])).rounds == []


def test_first_rounds_of_sessions_that_one_side_opens_are_left_out_and_said():
    """The first run of each session is a fifth slower, and nothing else differs."""
    for order in ("ABBA." * 6, "ABBAAB." * 6, "ABBAABBAABBA." * 6):
        firsts = {0} | {at for at in range(len(order.replace(".", ""))) if at % (len(order) // 6 - 1) == 0}
        noise = (1.0, 1.01, 0.99, 1.0, 1.02)
        first, second = made(order, of([1.2 if at in firsts else noise[at % 5] for at in range(72)]))
        found = compare(first, second)
        assert "different" not in {row.word for row in found.rows}
    assert found.remarks[0] == (
        "first round left out of 6 sessions: the first opens more sessions than the other, and a machine is cold when "
        "one opens"
    )


def test_each_device_is_a_session_of_its_own():
    runs = [
        [one_run(name, start=BEGAN + timedelta(seconds=s), gpu=f"GPU-{at}") for at in range(6)]
        for name, s in (("A", 0), ("B", APART_S))
    ]
    found = compare(*runs)
    assert (found.method, found.why[:36]) == (None, "the first was run before the other e")


@given(orders)
@examples(60)
def test_each_side_is_as_often_first_as_the_other_cold_and_warm(order):
    runs = placed(order.replace("C", ""))
    begins = [min(each, key=lambda run: run.start_s) for each in find_rounds(runs).rounds]
    assert abs(sum(1 - 2 * run.side for run in begins)) <= 1
    sessions = mixed_sessions(runs)
    if len(sessions) > 1:
        firsts = {
            id(run) for session in sessions for run in session[: [r.side for r in session].index(1 - session[0].side)]
        }
        assert sum(1 - 2 * run.side for run in begins) == 0
        assert sum(1 - 2 * run.side for run in begins if id(run) in firsts) == 0


@given(orders.map(lambda order: order.replace(".", "")))
@examples(40)
def test_rounds_alternate_share_no_run_and_are_of_neighbours(order):
    runs = placed(order)
    found = find_rounds(runs).rounds
    used = [run for each in found for run in each]
    assert len({id(run) for run in used}) == len(used)
    begins = [each.first.start_s < each.second.start_s for each in found]
    if len(mixed_sessions(runs)) == 1:
        assert all(one != other for one, other in pairwise(begins))
    for each in found:
        assert abs(runs.index(each.first) - runs.index(each.second)) == 1


@given(orders)
@examples(40)
def test_every_run_is_in_one_stretch_and_the_order_stays(order):
    runs = placed(order)
    assert [run for each in find_stretches(runs) for run in each.runs] == runs


@given(orders)
@examples(20)
def test_which_side_is_named_first_changes_nothing_but_the_side(order):
    first, second = made(order, ones())
    if first and second:
        one, other = compare(first, second), compare(second, first)
        assert (one.method, one.counts) == (other.method, other.counts[::-1])


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("ABBAAB", ("rounds", (3, 3))),
        ("ABABABABABAB", ("rounds", (4, 4))),
        ("ABBA", (None, (2, 1))),
        ("AAAAAABBBBBB", (None, (1, 1))),
        ("A.A.A.A.B", (None, (4, 1))),
        ("A.A.A.A.A.B", ("stretches", (5, 1))),
        ("A.A.A.A.A.B.B", ("stretches", (5, 2))),
        ("AAA.AAA.AAA.AAA.AAA.BBB", ("stretches", (5, 1))),
    ],
)
def test_what_an_order_is_worth(order, found):
    assert method(order) == found


def test_a_known_spread_tells_of_single_runs_and_a_stretch_counts_once():
    assert method("AB", spread=0.03) == ("stretches", (1, 1))
    assert method("AAABBB", spread=0.03) == ("stretches", (1, 1))
    first, second = made("AB", of((1.0, 1.2)))
    words = {row.metric: row.word for row in compare(first, second, spread=0.03).rows}
    assert words["ttft_ms_median"] == "different"
    assert {row.word for row in compare(first, second, spread=0.2).rows if row.kind == "headline"} == {"cannot tell"}


def test_a_spread_that_the_runs_themselves_exceed_is_not_believed():
    first, second = made("AAABBB", of((0.5, 1.0, 1.5, 0.6, 1.2, 1.8)))
    assert {row.word for row in compare(first, second, spread=0.01).rows if row.kind == "headline"} == {"cannot tell"}


def test_one_that_runs_before_the_other_each_time_cannot_be_told_from_the_order():
    first, second = made("AB." * 8, ones())
    found = compare(first, second)
    assert found.method is None
    assert found.why == "the first was run before the other each time: a difference may be the order's"
    assert method("AB.BA.AB.BA.AB.BA") == ("rounds", (6, 6))


def test_blocks_say_what_the_ratio_is_and_that_it_cannot_be_told():
    first, second = made("AAABBB", of((1.0, 1.0, 1.0, 1.2, 1.2, 1.2)))
    found = compare(first, second)
    assert found.why == "all runs of one were made before those of the other, and the weather changes"
    for row in found.rows:
        if row.kind == "headline":
            assert (row.word, row.low) == ("cannot tell", None)
            assert max(row.ratio, 1 / row.ratio) == pytest.approx(1.2)


def test_runs_left_over_are_dropped_and_counted():
    first, second = made("ABABABABABAB", ones())
    assert "4 of 12 runs left out: not in a round" in compare(first, second).remarks


def test_rounds_are_found_on_each_device_apart():
    def run(name, number, start):
        return one_run(name, start=start, gpu=f"GPU-{number % 2}")

    first, second = made("ABBABAABABBA", run)  # ABBAAB on GPU-0 and BAABBA on GPU-1
    found = compare(first, second)
    assert (found.method, found.counts) == ("rounds", (6, 6))
    apart = made("ABBAABBA", lambda name, _, start: one_run(name, start=start, gpu=name))
    assert compare(*apart).method is None


def test_runs_at_the_same_time_on_one_device_are_left_out():
    first, second = made("ABBAABBA", ones())
    beside = one_run("A", start=BEGAN + timedelta(seconds=APART_S + 30))
    found = compare([*first, beside], second)
    assert "2 of 9 runs left out: on a device at the same time as another" in found.remarks
    elsewhere = one_run("A", start=BEGAN + timedelta(seconds=APART_S + 30), gpu="GPU-2")
    assert not any("same time" in remark for remark in compare([*first, elsewhere], second).remarks)


def test_runs_without_a_time_are_left_out_and_where_there_are_no_others_only_shown():
    first, second = made("ABBAABBA", ones())
    nowhen = one_run("A", experiment_id="old").model_copy(update={"start_time": None, "end_time": None})
    found = compare([*first, nowhen], second)
    assert (found.method, found.remarks[0]) == ("rounds", "1 of 9 runs left out: no start time")
    alone = compare([nowhen], second, spread=0.03)
    assert (alone.method, alone.why) == (None, "no run of the first counts: all are left out")
    assert next(row.ratio for row in alone.rows) == 1.0


def test_times_without_a_zone_are_in_order_with_each_other_and_not_with_others():
    local = datetime(2026, 11, 30, 9, 0)
    assert method_of(made("ABBAABBA", ones(), start=local)) == "rounds"
    first, second = made("ABBAABBA", ones())
    stray = one_run("A", start=local, experiment_id="stray")
    found = compare([*first, stray], second)
    assert "1 of 9 runs left out: a time without a zone beside others that have one" in found.remarks
    assert method_of((made("AAAA", ones(), start=local)[0], second)) is None


def method_of(sides):
    return compare_groups(*(Group(name, side) for name, side in zip("ab", sides, strict=True))).method


def test_a_window_that_ends_before_it_begins_is_no_error():
    first, second = made("ABBAABBA", lambda name, _, start: one_run(name, start=start, end_time=start - timedelta(1)))
    assert method_of((first, second)) == "rounds"


def test_five_stretches_of_one_side_tell_of_one_run_that_strays_and_pass_one_that_does_not():
    calm = (1.0, 1.01, 0.99, 1.0, 1.01, 0.99)
    order = "A." * 6 + "B"
    strayed, calm_too = (compare(*made(order, of((*calm, last)))) for last in (1.2, 1.0))
    assert {row.word for row in strayed.rows if row.kind == "headline"} == {"different"}
    assert "different" not in {row.word for row in calm_too.rows if row.kind == "headline"}
    assert {row.counts for row in strayed.rows if row.kind == "headline"} == {(6, 1)}


figures = st.none() | st.floats(-1e300, 1e300)
moments = st.none() | st.integers(0, 40).map(lambda quarter: BEGAN + timedelta(minutes=15 * quarter))
odd_runs = st.builds(
    lambda name, moment, is_local, energy_j, **changes: one_run(name, **changes).model_copy(
        update={
            "experiment_id": None,
            "start_time": moment.replace(tzinfo=None) if moment and is_local else moment,
            "end_time": None,
            "total_energy_j": energy_j,
            "energy_per_output_token_j": energy_j,
        }
    ),
    st.sampled_from("AB"),
    moments,
    st.booleans(),
    figures,
    tokens_s=figures,
    verdict=st.sampled_from(["valid", "valid", "invalid"]),
    gpu=st.sampled_from(["GPU-1", "GPU-2"]),
    output_tokens=st.none() | st.integers(0),
    latency_stats=st.none(),
)
sides = st.lists(odd_runs, min_size=1, max_size=12)


@given(sides, sides, st.none() | st.floats(1e-6, 10), st.floats(0, 10))
@examples(60)
def test_any_results_can_be_compared_and_every_figure_is_finite_or_unknown(first, second, spread, margin):
    found = compare(first, second, spread=spread, margin=margin)
    for row in found.rows:
        known = (row.first, row.second, row.ratio, row.low, row.high, row.joint_low, row.joint_high)
        assert all(math.isfinite(value) for value in known if value is not None)
        assert (row.word is None) == (row.kind == "exploratory") or row.kind == "count"
    for metric in HEADLINE:
        judged(found, Limit(metric, 0.05))


@pytest.mark.parametrize(
    "options", [{"margin": -0.1}, {"margin": float("nan")}, {"spread": 0.0}, {"spread": float("inf")}]
)
def test_a_margin_or_spread_that_is_none_is_refused(options):
    first, second = made("AB", ones())
    with pytest.raises(ValueError, match=next(iter(options))):
        compare(first, second, **options)
