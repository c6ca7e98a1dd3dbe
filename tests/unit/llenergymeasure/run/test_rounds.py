"""The order of repeated runs."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure.run.repeats import rounds
from properties import examples


@examples(30)
@given(configurations=st.integers(1, 5), repeats=st.integers(1, 6))
def test_each_round_has_every_configuration_once_and_runs_the_other_way_round_than_the_last(configurations, repeats):
    runs = list(rounds(configurations, repeats))
    assert [run.number for run in runs] == list(range(1, configurations * repeats + 1))
    orders = [[run.configuration for run in runs if run.round_number == n + 1] for n in range(repeats)]
    assert orders == [list(range(configurations))[:: -1 if n % 2 else 1] for n in range(repeats)]


def test_rounds_without_end_begin_at_once():
    assert [run.configuration for run in islice(rounds(3, 10**30), 7)] == [0, 1, 2, 2, 1, 0, 0]
