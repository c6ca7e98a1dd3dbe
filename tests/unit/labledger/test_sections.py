"""The base of every section of a YAML file: what it refuses, and that it repeats no value."""

import pytest
from pydantic import ValidationError

from labledger.sections import PositiveFloat, Section


class Rates(Section):
    per_tick: PositiveFloat = 1.0


@pytest.mark.parametrize("given", [0, -1.0, float("inf"), float("nan"), True, "1"])
def test_a_positive_number_is_finite_above_0_and_written_as_a_number(given):
    with pytest.raises(ValidationError):
        Rates(per_tick=given)


def test_a_whole_number_is_a_number():
    assert Rates(per_tick=2).per_tick == 2.0


def test_an_unknown_key_is_refused_and_its_value_not_repeated():
    with pytest.raises(ValidationError, match="api_key") as refused:
        Rates(api_key="the-key-itself")
    assert "the-key-itself" not in str(refused.value)


def test_a_section_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Rates().per_tick = 2.0
