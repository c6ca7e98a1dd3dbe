"""Values in SQL come back as they are, and none is read as SQL."""

from datetime import UTC, datetime

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_simulator.experiments.persistence.statements import fetch

UNICODE = st.text(st.characters(exclude_categories=["Cs"]))
TEXTS = UNICODE | st.text(st.sampled_from("'\\\"?;:-$%{}\0\n a1")) | st.just("'; DROP TABLE t; --")
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS | MOMENTS


@pytest.fixture(scope="module")
def memory():
    with duckdb.connect() as connection:
        yield connection


@given(values=st.lists(VALUES, min_size=1, max_size=5))
def test_every_value_comes_back_as_it_is_and_of_its_type(memory, values):
    [row] = fetch(memory, f"SELECT {', '.join('?' * len(values))}", values)
    assert list(row) == values
    assert [type(each) for each in row] == [type(each) for each in values]


def test_a_value_that_no_column_has_is_refused(memory):
    with pytest.raises(TypeError, match=r"\[1\] \(list\) is not a value"):
        fetch(memory, "SELECT ?", [[1]])


@pytest.mark.parametrize("values", [[], [1, 2]])
def test_each_place_gets_one_value(memory, values):
    with pytest.raises(ValueError, match="zip"):
        fetch(memory, "SELECT ?", values)
