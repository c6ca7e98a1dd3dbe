"""Counts of things in texts."""

import pytest

from labledger.counts import counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 days"), (1, "1 day"), (2, "2 days"), (1_200, "1,200 days")])
def test_a_count_has_its_noun_in_the_singular_for_one_alone(number, text):
    assert counted(number, "day") == text


def test_a_plural_without_s_is_the_one_given():
    assert (counted(1, "policy", "policies"), counted(2, "policy", "policies")) == ("1 policy", "2 policies")
