import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure.domain.requests import RequestRecord
from llenergymeasure.metrics.latency import distribution, latency_stats


def request(start_s, *token_times_s):
    return RequestRecord(0, 5, len(token_times_s), start_s, token_times_s, "length")


def test_each_latency_is_what_the_field_calls_by_its_name():
    stats = latency_stats([request(10.0, 10.5, 10.6, 10.9)])
    assert stats.ttft_ms.mean == pytest.approx(500)
    assert stats.e2e_ms.mean == pytest.approx(900)
    assert stats.tpot_ms.mean == pytest.approx(200)
    assert (stats.itl_ms.n, stats.itl_ms.mean, stats.itl_ms.median) == (2, pytest.approx(200), pytest.approx(200))


def test_a_request_with_one_token_has_no_time_per_further_token():
    stats = latency_stats([request(0.0, 0.5)])
    assert stats.ttft_ms.n == 1
    assert stats.tpot_ms is None
    assert stats.itl_ms is None


def test_tokens_that_came_at_one_time_have_no_gap_between_them_nor_before_them():
    gaps = latency_stats([request(0.0, 1.0, 1.25, 1.75, 1.75, 2.5), request(0.0, 1.0, 2.0)]).itl_ms
    assert (gaps.n, gaps.mean) == (3, pytest.approx((250 + 750 + 1000) / 3))
    assert latency_stats([request(0.0, 1.0, 2.0, 2.0)]).itl_ms is None


def test_no_request_has_no_latency():
    assert latency_stats([]).ttft_ms is None


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_rise_and_lie_within_the_values(values):
    found = distribution(values)
    rising = [min(values), found.median, found.p90, found.p95, found.p99, max(values)]
    assert np.all(np.diff(rising) >= -1e-6)
    assert found.n == len(values)
