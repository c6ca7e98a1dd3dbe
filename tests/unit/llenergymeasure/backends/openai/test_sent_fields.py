"""Fields of a request that leave thoughts out of the answer."""

import pytest

from llenergymeasure.backends.openai.load.sent_fields import hides_reasoning


@pytest.mark.parametrize(
    "fields",
    [
        {"include_reasoning": False},
        {"reasoning": {"exclude": True}},
        {"reasoning_format": "hidden"},
        {"extra_body": {"google": {"thinking_config": {"include_thoughts": False}}}},
    ],
)
def test_fields_that_leave_thoughts_out_are_known_at_any_depth(fields):
    assert hides_reasoning({"top_p": 0.9, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"include_reasoning": True},
        {"include_reasoning": 0},
        {"exclude": True},
        {"reasoning": {"exclude": False, "effort": "high"}},
        {"reasoning_format": "parsed"},
        {"not_include_reasoning": False},
    ],
)
def test_other_fields_and_values_leave_nothing_out(fields):
    assert not hides_reasoning(fields)
