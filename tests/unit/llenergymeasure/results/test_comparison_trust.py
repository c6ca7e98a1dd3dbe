"""The share of comparisons that are wrong, and that find what there is: on many simulated and a few real runs."""

import math
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from tiny import TINY_SHAPE
from weather import drifting, quiet, recorded, runs_in

from llenergymeasure import compare, run_experiment
from llenergymeasure.results.comparison import HEADLINE
from llenergymeasure.results.comparison.evidence import rounds_for

ROUNDS = "ABBAABBAABBA"
BY_HAND = "ABABABABABAB"
BLOCKS = "AAAAAABBBBBB"
SURE = {50: 8, 2000: 131}
"""The most that 5 % of so many are, but for one time in a thousand."""


def words_of(comparisons, metric):
    return [row.word for comparison in comparisons for row in comparison.rows if row.metric == metric]


def false_ones(comparisons):
    """Return the number of comparisons that call any headline metric different."""
    return sum("different" in {row.word for row in each.rows if row.kind == "headline"} for each in comparisons)


def simulated(count, weather, order, seed=20261130, **options):
    generator = np.random.default_rng(seed)
    return [compare(*runs_in(weather, order, generator, **options)) for _ in range(count)]


@pytest.mark.parametrize("count", [50, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("weather", [drifting, recorded, quiet])
def test_equal_configurations_in_rounds_are_different_in_one_of_twenty_comparisons_at_most(weather, count):
    assert false_ones(simulated(count, weather, ROUNDS)) <= SURE[count]


@pytest.mark.slow
def test_rounds_that_are_found_in_a_fixed_order_are_no_more_often_wrong():
    assert false_ones(simulated(2000, drifting, BY_HAND)) <= SURE[2000]


def test_equal_configurations_in_blocks_are_never_different():
    found = simulated(200, drifting, BLOCKS)
    assert {each.method for each in found} == {None}
    assert false_ones(found) == 0


@pytest.mark.parametrize("count", [50, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("order", ["A." * 10 + "B", "A." * 5 + "B." * 5])
def test_equal_configurations_night_after_night_are_different_in_one_of_twenty_at_most(order, count):
    found = simulated(count, drifting, order)
    assert {each.method for each in found} == {"stretches"}
    assert false_ones(found) <= SURE[count]


def test_configurations_that_differ_by_the_margin_are_the_same_in_one_of_twenty_comparisons_at_most():
    found = simulated(50, quiet, ROUNDS, spread=0.01, factor=1.05)
    assert sum("same" in {row.word for row in each.rows if row.kind == "headline"} for each in found) <= SURE[50]


@pytest.mark.parametrize("metrics", [1, 4])
def test_a_fifth_more_is_found_nine_times_in_ten_at_a_spread_of_5_percent(metrics):
    found = simulated(100, quiet, ROUNDS, spread=0.05, factor=1.2, metrics=metrics)
    for metric in HEADLINE[:metrics]:
        assert words_of(found, metric).count("different") >= 90


@pytest.mark.slow
def test_a_fifth_more_is_found_about_four_times_in_ten_in_drifting_weather():
    found = simulated(2000, drifting, ROUNDS, factor=1.2)
    shares = [words_of(found, metric).count("different") / 2000 for metric in HEADLINE]
    assert shares == pytest.approx([0.38] * 4, abs=0.06)


def test_the_table_of_rounds_in_the_docs_is_that_of_the_computation():
    page = (Path(__file__).parents[4] / "docs" / "results.md").read_text(encoding="utf-8")
    _, _, *lines = page.partition("<!-- rounds: begin -->\n")[2].partition("<!-- rounds: end -->")[0].splitlines()
    level = 1 - 0.05 / len(HEADLINE)
    for line in lines:
        spread, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        of_round = math.sqrt(2) * float(spread.removesuffix(" %")) / 100
        found = [rounds_for(math.log(ratio), of_round, level) for ratio in (1.02, 1.05, 1.1, 1.2, 1.5)]
        found.append(rounds_for(math.log(1.05), of_round, level, power=0.95))
        assert cells == ["over 1,000" if each is None else str(each) for each in found]
    assert len(lines) == 5


def test_the_drift_of_24_runs_is_as_large_as_was_measured():
    generator = np.random.default_rng(1)
    spans = [np.exp(np.ptp(drifting(generator, 24))) for _ in range(1000)]
    assert median(spans) == pytest.approx(125 / 27, rel=0.1)


@pytest.mark.slow
def test_twenty_comparisons_of_real_runs_with_themselves_are_hardly_ever_different():
    def run():
        return run_experiment(
            model="random:llama",
            random_model=TINY_SHAPE,
            device="cpu",
            num_prompts=4,
            max_input_tokens=16,
            max_output_tokens=8,
            warmup={"iterations": 1},
        )

    found = []
    for _ in range(20):
        sides = {"A": [], "B": []}
        for name in ROUNDS:
            sides[name].append(run())
        found.append(compare(sides["A"], sides["B"]))
    assert {each.method for each in found} == {"rounds"}
    assert false_ones(found) <= 4
