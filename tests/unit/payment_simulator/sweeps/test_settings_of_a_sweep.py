"""The grammar of `--set PATH=VALUE,VALUE` and `--seeds`."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.errors import ConfigError
from payment_simulator.sweeps.figure_words import style_of
from payment_simulator.sweeps.settings import axes_of, changes_of, parse_axes, parse_seeds
from properties import examples

SCALARS = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(-1e9, 1e9) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=4), inside, max_size=3),
    max_leaves=6,
)


def _is_new(value, others):
    return all(json.dumps(value) != json.dumps(other) and value != other for other in others)


@examples(50)
@given(st.lists(VALUES, min_size=1, max_size=5))
def test_json_values_come_back_from_the_list_in_which_they_are_written(values):
    different = [value for place, value in enumerate(values) if _is_new(value, values[:place])]
    (axis,) = parse_axes(["a.b=" + ",".join(json.dumps(value) for value in different)])

    assert axis.values == different
    assert axes_of({"a.b": different}) == [axis]


def test_ranges_and_plain_text_are_values_and_the_last_axis_changes_first():
    axes = parse_axes(["a=1..3", "b=0..0.5:0.25", 'c="1..3",../x.csv'])

    assert axes[0].texts == ("1", "2", "3")
    assert axes[1].values == [0, 0.25, 0.5]
    assert axes[2].values == ["1..3", "../x.csv"]
    cells = list(changes_of(axes))
    assert len(cells) == 18
    assert cells[1] == ("a=1", "b=0.00", "c=../x.csv")


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("a", "write PATH=VALUE,VALUE"),
        ("a=", "a value is missing in ''"),
        ("a=1,,2", "a value is missing in '1,,2'"),
        ("a={1", "'{1' has no closing }"),
        ('a=1,"x', "'\"x' has no closing \""),
        ("a=1,1.0", "the value 1 stands twice"),
        ("a=0.1..0.5", "a range of decimals needs a step, as in 0.1..0.5:0.1"),
        ("a=5..1", "a range rises"),
        ("a=1..5:0", "the step should be above 0"),
        ("a=0..999999999", "over 100,000 values"),
        ("a=0..1:0.3", "0..1:0.3: 1 is not reached, the last value is 0.9; write 0..0.9:0.3, or the step 0.25"),
        ("a=0..100:30", "100 is not reached, the last value is 90; write 0..90:30, or the step 25"),
        ("a=3..4:5", "4 is not reached, the last value is 3; write 3, or the step 1"),
        ("a=1..98:10", "98 is not reached, the last value is 91; write 1..91:10"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused_with_what_is_wrong(option, problem):
    with pytest.raises(ConfigError) as refused:
        parse_axes([option])
    assert problem in str(refused.value)


def test_one_path_twice_and_products_that_nobody_could_run_are_refused():
    with pytest.raises(ConfigError, match="stands twice; write its values into one"):
        parse_axes(["a=1", "a=2"])
    with pytest.raises(ConfigError, match="1,002,001 cells are over 1,000,000"):
        parse_axes(["a=0..1000", "b=0..1000"])


def test_seeds_are_whole_numbers_that_stand_once():
    assert parse_seeds("1..100:33") == [1, 34, 67, 100]
    assert parse_seeds("7,3") == [7, 3]
    for text in ("", "0,0", "x", "1.5", "-1", "18446744073709551616", "1..3,2"):
        with pytest.raises(ConfigError, match="--seeds"):
            parse_seeds(text)


def test_the_money_of_a_sweep_is_in_units_of_its_currency():
    rows = [{"total_cost": 250_000}]
    yen, euros = (style_of(rows, ["total_cost"], decimals) for decimals in (0, 2))
    assert (yen.text(250_000), yen.words) == ("250 k", "units of the currency")
    assert (euros.text(250_000), euros.words) == ("250,000", "cents")
