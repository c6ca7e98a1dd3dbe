"""Comparisons: what an interval says of two figures, and where two documents differ."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.comparison import diff, equivalence

values = st.floats(-10, 10)
intervals = st.tuples(values, values).map(sorted)
margins = st.floats(0, 10)


def answer(interval, margin, none=0.0):
    return equivalence(*interval, none=none, margin=(none - margin, none + margin))


@given(intervals, margins)
def test_an_interval_says_exactly_one_of_three(interval, margin):
    low, high = interval
    is_within, is_apart = -margin <= low and high <= margin, not low <= 0 <= high
    expected = "same" if is_within else "different" if is_apart else "cannot tell"
    assert answer(interval, margin) == expected


@given(intervals, margins, margins)
def test_a_wider_margin_only_makes_more_figures_the_same(interval, one, other):
    narrow, wide = sorted((one, other))
    before, after = answer(interval, narrow), answer(interval, wide)
    assert after in (before, "same")


@given(intervals, st.floats(0, 1), margins)
def test_a_narrower_interval_never_turns_same_and_different_around(interval, share, margin):
    low, high = interval
    middle = (low + high) / 2
    inner = (low + share * (middle - low), high - share * (high - middle))
    if inner[0] <= inner[1] and answer(interval, margin) == "same":
        assert answer(inner, margin) == "same"


def test_a_ratio_is_compared_with_1():
    margin = (1 / 1.05, 1.05)
    assert equivalence(0.98, 1.04, none=1.0, margin=margin) == "same"
    assert equivalence(1.01, 1.2, none=1.0, margin=margin) == "different"
    assert equivalence(0.9, float("inf"), none=1.0, margin=margin) == "cannot tell"


@pytest.mark.parametrize("interval", [(2.0, 1.0), (float("nan"), 1.0), (0.0, float("nan"))])
def test_what_is_no_interval_is_refused(interval):
    with pytest.raises(ValueError, match="is no interval"):
        equivalence(*interval, none=0.0, margin=(-1.0, 1.0))


def test_a_margin_without_the_value_that_means_no_difference_is_refused():
    with pytest.raises(ValueError, match="does not hold"):
        equivalence(1.0, 2.0, none=0.0, margin=(1.0, 2.0))


keys = st.text(st.sampled_from('ab.[]"'), max_size=3)
leaves = st.none() | st.booleans() | st.integers(2, 5) | st.text("xy", max_size=2) | st.lists(st.integers(2, 5))
documents = st.recursive(
    leaves,
    lambda inside: st.dictionaries(keys, inside, max_size=3) | st.lists(st.dictionaries(keys, inside, max_size=2)),
    max_leaves=12,
)
objects = st.dictionaries(keys, documents, max_size=3)


def plain(value):
    """A document without what counts as absent: a None, and an object without keys."""
    if isinstance(value, dict):
        inside = {key: plain(each) for key, each in value.items()}
        return {key: each for key, each in inside.items() if each is not None} or None
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return [plain(each) or {} for each in value]
    return value


def steps(path):
    """The keys and indexes of a path."""
    for found in re.finditer(r'\[("(?:[^"\\]|\\.)*")\]|\[(\d+)\]|\.?([^.\[\]]+)', path):
        yield json.loads(found[1]) if found[1] else int(found[2]) if found[2] else found[3]


def applied(document, changes):
    """A document in which the second value of each change stands in its place."""
    document = json.loads(json.dumps(document))
    for path, (_, value) in changes.items():
        *above, last = steps(path)
        place = document
        for step in above:
            if isinstance(place, dict) and place.get(step) is None:
                place[step] = {}
            place = place[step]
        place[last] = value
    return document


@given(objects)
def test_a_document_does_not_differ_from_itself(document):
    assert diff(document, json.loads(json.dumps(document))) == {}


@given(objects, objects)
def test_the_differences_applied_to_the_first_give_the_second(first, second):
    assert plain(applied(first, diff(first, second))) == plain(second)


@given(objects, objects)
def test_the_differences_are_the_same_from_both_sides(first, second):
    assert diff(second, first) == {path: (b, a) for path, (a, b) in diff(first, second).items()}


def test_a_difference_is_named_by_its_path_in_the_documents_order():
    first = {"name": "x", "limits": {"cap": 5, "floor": 1}, "agents": [{"id": "A"}, {"id": "B"}], "amounts": [1, 2]}
    second = {"name": "y", "limits": {"cap": 7, "floor": 1}, "agents": [{"id": "A"}, {"id": "C"}], "amounts": [1]}
    assert list(diff(first, second).items()) == [
        ("name", ("x", "y")),
        ("limits.cap", (5, 7)),
        ("agents[1].id", ("B", "C")),
        ("amounts", ([1, 2], [1])),
    ]


def test_a_section_that_only_one_document_has_is_named_value_by_value():
    assert diff({"server": {"url": "x", "port": 1}}, {}) == {"server.url": ("x", None), "server.port": (1, None)}


def test_a_key_with_a_dot_in_it_is_quoted():
    assert diff({"costs": {"a.b": 1}}, {"costs": {"a.b": 2}}) == {'costs["a.b"]': (1, 2)}
