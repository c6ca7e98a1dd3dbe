"""Means of many columns at once, with the intervals that each has alone."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from labledger.intervals import mean_interval, mean_intervals
from properties import examples

VALUES = st.lists(st.floats(-1e12, 1e12) | st.just(math.nan), min_size=1, max_size=6)


@example([0.0, 7e-220])  # its squares are below the least double
@example([-1e300, 1e300])  # and these beyond the largest
@examples(60)
@given(VALUES)
def test_a_column_has_the_interval_of_its_known_values_and_none_where_they_are_too_few(values):
    mean, low, high, count = (each[1].item() for each in mean_intervals(np.array([[0.0, value] for value in values])))

    known = [value for value in values if not math.isnan(value)]
    assert count == len(known)
    assert math.isnan(mean) == (not known)
    assert math.isnan(low) == math.isnan(high) == (len(known) < 2)
    if len(known) > 1:
        alone = mean_interval(known)
        room = 1e-9 * max(map(abs, known)) + 1e-300
        expected = (float(np.mean(known)), alone.low, alone.high)
        assert (mean, low, high) == pytest.approx(expected, rel=1e-9, abs=room)


def test_values_that_are_alike_are_their_own_mean_without_a_width():
    mean, low, high, _ = mean_intervals(np.full((3, 1), 0.1))
    assert (mean[0], low[0], high[0]) == (0.1, 0.1, 0.1)
