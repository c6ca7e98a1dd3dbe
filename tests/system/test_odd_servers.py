"""Servers with one oddity each, seen in the wild: what a measurement makes of their tokens, times and ends."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from audited_results import findings, told
from llenergymeasure.api import run_experiment
from llenergymeasure.domain.experiment import ExperimentResult
from real_servers import free_port

pytestmark = pytest.mark.usefixtures("small_heap")

SERVERS = Path(__file__).parents[3] / "shared" / "cases" / "servers.py"
LEAST_MS, MOST = 9.0, 1.8
"""A time of 10 ms is never early, and late as another is that was taken in the same moments on a busy machine."""

EXPERIMENT: dict[str, Any] = {
    "model": "m",
    "backend": "openai",
    "num_prompts": 20,
    "load": {"concurrency": 4},
    "warmup": {"iterations": 1},
    "energy": {"source": "none"},
}
TO_THE_END = {"decoder": {"ignore_eos": True}}
PER_CHUNK = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}

TIMED: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("plain", {}),
    "status201": ("status201", {}),
    "content_parts": ("content_parts", {}),
    "tool_calls": ("tool_calls", {}),
    "bundled_first": ("bundled_first", {}),
    "bundled_first_counted": ("bundled_first", {"passthrough_kwargs": PER_CHUNK}),
}
"""Cases by the name of their measurement: the server's case, and changes to the experiment. They show a time."""

UNTIMED: dict[str, tuple[str, dict[str, Any]]] = {
    **{
        case: (case, {})
        for case in (
            *("empty_reason_cut", "zero_completion", "usage_first_only", "usage_no_prompt", "usage_float"),
            *("reasoning_apart", "empty_text", "all_cached", "short", "no_stream_options"),
        )
    },
    "short_of_exact": ("short", TO_THE_END),
    "text_short": ("text_short", {"openai": {"endpoint": "completions"}}),
}
WITH_TOKENIZER: dict[str, tuple[str, dict[str, Any]]] = {
    "zero_completion_counted": ("zero_completion", {}),
    "usage_first_only_counted": ("usage_first_only", {}),
    "text_short_of_exact": (
        "text_short",
        {"openai": {"endpoint": "completions"}, "dataset": {"synthetic": {"input_len": 16, "output_len": 20}}},
    ),
}


def _measured(case: str, changes: dict[str, Any], model: str | None) -> ExperimentResult:
    port = free_port()
    named = {"model": model} if model else {}
    openai = {"base_url": f"http://127.0.0.1:{port}/v1", "model": "m", **changes.get("openai", {})}
    server = subprocess.Popen([sys.executable, "-S", SERVERS, case, str(port)])
    try:
        _wait(port, server)
        lengths = {"max_output_tokens": 20} if "dataset" not in changes else {}
        return run_experiment(**EXPERIMENT | lengths | named | changes | {"openai": openai})
    finally:
        server.kill()
        server.wait()


def _wait(port: int, server: "subprocess.Popen[bytes]") -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert server.poll() is None
            time.sleep(0.01)


@pytest.fixture(scope="module")
def runs(small_heap: None, model_folder: Path) -> Iterator[dict[str, "Future[ExperimentResult]"]]:
    """Every run, under its name; all of a kind at once, since they wait most of the time."""
    if not SERVERS.exists():
        pytest.skip(f"the servers with an oddity are not beside this repository: no {SERVERS}")
    found: dict[str, Future[ExperimentResult]] = {}
    with ThreadPoolExecutor(len(UNTIMED) + len(WITH_TOKENIZER)) as pool:
        for kind in (TIMED, UNTIMED | WITH_TOKENIZER):
            begun = {
                name: pool.submit(_measured, case, changes, str(model_folder) if name in WITH_TOKENIZER else None)
                for name, (case, changes) in kind.items()
            }
            for each in begun.values():
                each.exception()
            found |= begun
        yield found


@pytest.fixture
def measured(runs: dict[str, "Future[ExperimentResult]"]) -> Callable[[str], ExperimentResult]:
    return lambda name: runs[name].result()


def is_ten_ms(median_ms: float, beside_ms: float) -> bool:
    """Return True if it is the time that was meant, as `beside_ms` is."""
    return LEAST_MS < median_ms <= MOST * beside_ms


def check_agrees(result: ExperimentResult) -> None:
    assert (result.request_failures, result.output_tokens, result.token_count_source) == ({}, 400, "server")
    audit = result.token_audit
    assert audit is not None
    assert (audit.requests_checked, audit.requests_agreeing, audit.output_tokens_in_dispute) == (20, 20, 0)
    assert result.verdict != "invalid"


def check_times(result: ExperimentResult, beside: ExperimentResult) -> None:
    for name in ("ttft_ms", "itl_ms"):
        one, other = (getattr(each.latency_stats, name) for each in (result, beside))
        assert one is not None, name
        assert is_ten_ms(one.median, other.median), name


def test_a_plain_server_is_measured_and_nothing_is_found(measured):
    result = measured("plain")
    check_agrees(result)
    assert findings(result) == {}
    assert result.input_tokens == 200
    latencies = result.latency_stats
    assert latencies.ttft_ms.n == 20
    assert 0 < latencies.itl_ms.n <= 20 * 19  # none to a token that came in one packet with another
    assert min(latencies.ttft_ms.median, latencies.itl_ms.median) > LEAST_MS


@pytest.mark.parametrize("case", ["status201", "content_parts", "tool_calls"])
def test_every_kind_of_text_under_any_status_of_success_is_output_with_its_time(measured, case):
    check_agrees(measured(case))
    check_times(measured(case), measured("plain"))


def test_an_empty_finish_reason_is_none_and_a_stream_that_ends_without_one_is_cut(measured):
    result = measured("empty_reason_cut")
    (cut,) = result.request_failures.values()
    assert result.request_failures == {"cut": cut}
    assert 0 < cut < 20  # some half: threads of that server count at once
    assert result.output_tokens == 20 * (20 - cut)


@pytest.mark.parametrize("case", ["zero_completion", "usage_first_only"])
def test_no_output_tokens_beside_text_is_no_count_and_chunks_are_the_lower_bound(measured, case):
    result = measured(case)
    assert (result.output_tokens, result.token_count_source) == (400, "chunks")
    assert findings(result)["zero_with_text"] == 20
    assert result.token_audit.requests_agreeing == 0
    assert result.token_audit.output_tokens_in_dispute >= 400
    assert result.verdict == "invalid"
    assert "token" in told(result)


@pytest.mark.parametrize("case", ["zero_completion_counted", "usage_first_only_counted"])
def test_no_output_tokens_beside_text_are_counted_by_the_tokenizer_where_there_is_one(measured, case):
    result = measured(case)
    assert result.token_count_source == "tokenizer"  # noqa: S105
    assert result.output_tokens >= 400  # " tok" is a token or more
    assert findings(result)["zero_with_text"] == 20
    assert result.token_audit.requests_counted_by_tokenizer == 20
    assert result.verdict == "invalid"
    assert "token" in told(result)


def test_output_tokens_alone_are_a_count_and_the_input_is_unknown(measured):
    result = measured("usage_no_prompt")
    assert (result.request_failures, result.output_tokens, result.token_count_source) == ({}, 400, "server")
    assert result.input_tokens is None


def test_counts_that_are_written_with_a_decimal_point_are_counts(measured):
    check_agrees(measured("usage_float"))
    assert measured("usage_float").input_tokens == 200


def test_reasoning_that_stands_beside_the_count_is_output(measured):
    result = measured("reasoning_apart")
    assert result.output_tokens == 20 * 220
    assert findings(result) == {"reasoning_apart": 20}
    assert result.verdict != "invalid"


def test_tokens_without_text_are_counted_and_their_times_unknown_because_no_text_came(measured):
    result = measured("empty_text")
    check_agrees(result)
    assert (result.latency_stats.ttft_ms, result.latency_stats.itl_ms, result.latency_stats.tpot_ms) == (None,) * 3
    assert "no text" in told(result)
    assert "several tokens at once" not in told(result)


def test_a_prompt_from_the_prefix_cache_is_told(measured):
    result = measured("all_cached")
    assert (result.input_tokens, result.cached_input_tokens) == (20 * 1000, 20 * 992)
    assert findings(result) == {"cached": 20}
    assert result.token_audit.output_tokens_in_dispute == 0
    (warning,) = [each for each in result.measurement_warnings if "cache" in each]
    assert "TTFT" in warning


@pytest.mark.parametrize("case", ["short", "text_short"])
def test_an_answer_that_ends_early_of_itself_is_no_fault(measured, case):
    result = measured(case)
    assert (result.request_failures, result.output_tokens, findings(result)) == ({}, 60, {})
    assert set(result.process_results[0].requests.finish_reason) == {"stop"}
    assert result.verdict != "invalid"
    (remark,) = [each for each in result.measurement_warnings if "ignore_eos" in each]
    assert "20 of 20 answers ended of themselves, after 3.0 output tokens on average, of the 20" in remark


@pytest.mark.parametrize("case", ["short_of_exact", "text_short_of_exact"])
def test_an_answer_shorter_than_its_exact_length_spoils_the_measurement(measured, case):
    result = measured(case)
    assert result.output_tokens == 60
    assert findings(result)["shorter_than_asked"] == 20
    assert result.verdict == "invalid"
    assert "20" in told(result)


def test_the_time_per_token_is_true_or_unknown_where_the_first_chunk_brings_many(measured):
    result = measured("bundled_first")
    assert (result.output_tokens, result.token_count_source) == (400, "server")
    assert result.latency_stats.itl_ms is None
    tpot = result.latency_stats.tpot_ms
    assert tpot is None or is_ten_ms(tpot.median, measured("plain").latency_stats.tpot_ms.median)
    assert result.verdict != "invalid"


def test_the_time_per_token_is_known_where_the_server_counts_each_chunk(measured):
    result = measured("bundled_first_counted")
    assert findings(result) == {"bundled": 20}
    assert min(result.process_results[0].requests.first_tokens) == 10
    assert is_ten_ms(result.latency_stats.tpot_ms.median, measured("plain").latency_stats.tpot_ms.median)
    assert result.latency_stats.ttft_ms.median > 5 * LEAST_MS


def test_a_server_that_refuses_stream_options_is_measured_without_and_it_is_told(measured):
    check_agrees(measured("no_stream_options"))
    assert "stream_options" in told(measured("no_stream_options"))
