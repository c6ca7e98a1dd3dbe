"""Money as a person reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_simulator.scenario.money import MoneyStyle, money


@pytest.mark.parametrize(
    ("cents", "text"),
    [
        (0, "0.00"),
        (-5, "-0.05"),
        (31_205, "312.05"),
        (9_999_999, "99,999.99"),
        (10_000_000, "100 k"),
        (99_949_999, "999 k"),
        (99_950_000, "1.00 M"),
        (124_000_000_000, "1.24 bn"),
        (-123_456_789_012, "-1.23 bn"),
        (99_950_000_000, "1.00 bn"),
        (9_995_000_000, "100 M"),
        (2**61, "23,058 tn"),
    ],
)
def test_an_amount_has_three_digits_and_is_exact_below_100_000_units(cents, text):
    assert money(cents) == text


def test_a_currency_without_decimals_has_none():
    assert money(99_999, 0) == "99,999"
    assert money(1_240_000, 0) == "1.24 M"
    assert MoneyStyle.of([99_999], 0).words == "units of the currency"


@given(st.integers(10_000_000, 2**61))
def test_a_rounded_amount_is_within_half_of_its_last_digit(cents):
    number, unit = money(cents).split()
    size = {"k": 10**3, "M": 10**6, "bn": 10**9, "tn": 10**12}[unit]
    decimals = len(number.partition(".")[2])
    shown = int(number.replace(",", "").replace(".", "")) * size * 100 // 10**decimals
    assert abs(shown - cents) * 2 <= size * 100 // 10**decimals


def test_a_column_has_one_unit_and_tells_little_amounts_from_nothing():
    style = MoneyStyle.of([10**11])
    assert style.column("used", [10**11, 5, -5, 0, 1_500_000_000]) == (
        "used (bn)",
        ["1.00", "<0.01", ">-0.01", "0.00", "0.02"],
    )
    assert style.column("cost", [3_180_428, 0]) == ("cost", ["31,804.28", "0.00"])
    assert style.words == "units of the currency"


def test_amounts_that_are_all_little_are_shown_in_exact_cents():
    style = MoneyStyle.of([9_999_999, -4_150])
    assert (style.text(4_150), style.words) == ("4,150", "cents")
    assert style.column("cost", [4_150]) == ("cost", ["4,150"])


@given(st.integers(-(2**61), 2**61), st.integers(-1_000, 1_000) | st.integers(-(2**61), 2**61), st.integers(0, 4))
def test_two_amounts_that_differ_never_look_equal_and_equal_ones_are_short(first, more, decimals):
    style = MoneyStyle(in_cents=False, decimals=decimals)
    one, other = style.pair(first, first + more)
    assert (one == other) == (more == 0)
    assert style.pair(first, first) == (style.text(first), style.text(first))


def test_both_of_two_amounts_have_as_many_digits_as_tell_them_apart():
    style = MoneyStyle.of([10**11])
    assert style.pair(1_180_700_000, 1_182_300_000) == ("11.81 M", "11.82 M")
    assert style.pair(1_180_700_000, 1_180_701_000) == ("11.80700 M", "11.80701 M")
    assert style.pair(99_999_999_999, 100_000_000_001) == ("999.99999999 M", "1.0000000000 bn")
    assert style.pair(1_180_700_000, 2_181_500_000) == ("11.8 M", "21.8 M")
    assert MoneyStyle.of([1]).pair(1, 2) == ("1", "2")
