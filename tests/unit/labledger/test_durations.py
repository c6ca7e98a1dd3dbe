"""Lengths of time as they are written and told."""

import pytest

from labledger.durations import rough_duration, seconds_in


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90", 90), ("30s", 30), ("1.5m", 90), ("2 h", 7200), (" 1h ", 3600)]
)
def test_a_length_is_a_number_with_its_unit(text, seconds):
    assert seconds_in(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1d", "1h30m", "9" * 400, "nan", "inf"])
def test_what_is_no_length_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a length of time, as 30s, 5m or 1h"):
        seconds_in(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.3, "0.3 s"),
        (42.4, "42 s"),
        (59.99, "60 s"),
        (360, "6 min"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (270_000, "3 d 3 h"),
    ],
)
def test_a_length_is_told_in_the_units_of_its_size(seconds, words):
    assert rough_duration(seconds) == words
