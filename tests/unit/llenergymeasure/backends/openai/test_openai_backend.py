"""Servers measured end to end: what a result says of requests that came, failed, or came late."""

import hashlib
import json
import socket
import subprocess
import sys
import time
import traceback

import pytest
from pydantic import ValidationError

from labledger.errors import ConfigError
from llenergymeasure.api import run_experiment
from llenergymeasure.config.loading import build_config
from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.errors import BackendError, PreFlightError
from llenergymeasure.run.preflight import remarks
from standins.streaming_server import StreamingServer

pytestmark = pytest.mark.usefixtures("small_heap")

KEY = "sk-a-key-that-nobody-may-see"
KINDS = {
    "http_429": {"status": 429, "events": ["slow down"]},
    "http_4xx": {"status": 400, "events": ["no such parameter"]},
    "http_5xx": {"status": 503, "events": ["overloaded"]},
    "cut": {"stop_after": 2, "ending": "close"},
    "malformed": {"events": ["data: {broken\n\n"]},
    "server_error": {"events": ['data: {"error": {"message": "out of blocks"}}\n\n']},
    "stalled": {"stop_after": 2, "ending": "hang"},
}


@pytest.fixture(scope="module")
def server():
    with StreamingServer() as server:
        yield server


@pytest.fixture
def measure(server):
    """The result of a run whose requests are answered to a plan, or to the one of several that the prompt names."""

    def measure(*, plans=None, base_url=None, openai=None, output_dir=None, **changes):
        fields = {
            "model": "stand-in",
            "backend": "openai",
            "openai": {"base_url": base_url or server.url, **(openai or {})},
            "num_prompts": 8,
            "max_output_tokens": 8,
            "warmup": {"iterations": 0},
            "passthrough_kwargs": {"standin": plans if plans is not None else {}},
        }
        return run_experiment(output_dir=output_dir, **{**fields, **changes})

    return measure


@pytest.fixture
def prompts(tmp_path):
    """A file of prompts, one for each number of a plan."""

    def prompts(numbers):
        path = tmp_path / "plans.jsonl"
        path.write_text("".join(json.dumps({"prompt": f"Say it, plan={number}"}) + "\n" for number in numbers))
        return {"dataset": str(path), "num_prompts": len(numbers)}

    return prompts


def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_the_figures_of_a_known_server_come_back(measure):
    plan = {"ttft_s": 0.05, "itl_s": 0.01, "tokens": 12}
    result = measure(plans=plan, num_prompts=20, load={"concurrency": 4})
    assert result.backend == "openai"
    assert result.token_count_source == "server"  # noqa: S105
    assert result.output_tokens == 20 * 12
    assert result.input_tokens == sum(result.process_results[0].requests.input_tokens) > 20
    latencies = result.latency_stats
    assert latencies.ttft_ms.n == latencies.e2e_ms.n == 20
    assert 0 < latencies.itl_ms.n <= 20 * 11  # none to a token that came in one packet with another
    assert latencies.ttft_ms.median >= 49.9  # a busy server may be late, and never early
    assert latencies.tpot_ms.median >= 9.5
    assert latencies.e2e_ms.median >= 159.9
    assert result.client_lateness_ms.n == 20
    assert result.request_failures == {}
    assert result.total_flops is None
    assert result.effective_config["load"] == {
        "concurrency": 4,
        "request_rate": None,
        "duration_s": None,
        "search": None,
    }
    assert not {"precision", "batch_size", "pytorch", "lora"} & set(result.effective_config)


def test_an_answer_without_a_token_is_one_and_leaves_the_energy_as_it_is(measure, gpus, server):
    gpus(gpus.board(400.0, processes=[[0.0, 1e9, server.pid]]))
    result = measure(plans={"ttft_s": 0.1, "tokens": 0}, num_prompts=3, baseline={"enabled": False})
    assert result.request_failures == {}
    assert (result.output_tokens, result.latency_stats.e2e_ms.n) == (0, 3)
    assert result.total_energy_j == pytest.approx(400.0 * result.total_inference_time_sec, rel=0.5)
    assert result.energy_per_output_token_j is None


def test_energy_of_an_attached_server_is_unknown_with_the_reason(measure):
    result = measure()
    assert result.total_energy_j is None
    assert result.verdict == "not_measured"
    assert "was not started here" in result.verdict_reasons[0]
    assert "was not started here" in result.sources_not_used["estimate"]


def test_failures_are_counted_by_kind_and_are_in_no_other_figure(measure, prompts):
    numbers = [0] * 30 + list(range(1, len(KINDS) + 1))
    good = {"ttft_s": 0.01, "tokens": 4}
    result = measure(
        plans=[good, *KINDS.values()], **prompts(numbers), load={"concurrency": 5}, openai={"stall_s": 0.5}
    )
    assert result.request_failures == dict.fromkeys(KINDS, 1)
    assert result.output_tokens == 30 * 4
    assert result.latency_stats.ttft_ms.n == result.latency_stats.e2e_ms.n == 30
    (warning,) = [each for each in result.measurement_warnings if "requests failed" in each]
    assert "7 of 37 requests failed (18.9%" in warning
    failed = result.process_results[0].failed_requests
    assert sorted(failed.kind) == sorted(KINDS)
    assert any("out of blocks" in message for message in failed.message)
    assert all(end_s >= start_s >= 0 for start_s, end_s in zip(failed.start_s, failed.end_s, strict=True))


def test_failures_of_one_in_a_hundred_are_counted_without_a_warning(measure, prompts):
    result = measure(plans=[{"tokens": 1}, KINDS["http_429"]], **prompts([0] * 99 + [1]), load={"concurrency": 20})
    assert result.request_failures == {"http_429": 1}
    assert not [each for each in result.measurement_warnings if "requests failed" in each]


@pytest.mark.parametrize(
    ("plan", "shown"),
    [
        ({"status": 302, "headers": {"Location": "/\xffv2"}, "events": []}, "it points to /\ufffdv2: name"),
        ({"status": 500, "events": ['{"message": "a\\u0000b\\u001b[1m\\r\\nc\\u202e"}']}, "a\ufffdb\ufffd[1m  c\ufffd"),
        ({"events": ["event: error\ndata: \x00\x07\n\n"]}, "\ufffd\ufffd"),
    ],
    ids=["bytes_of_no_text", "controls_in_json", "controls"],
)
def test_words_that_no_result_could_hold_are_shown_as_far_as_they_can_be(measure, prompts, tmp_path, plan, shown):
    result = measure(plans=[{"tokens": 1}, plan], **prompts([0, 0, 1]), output_dir=tmp_path / "results")
    (message,) = result.process_results[0].failed_requests.message
    assert shown in message
    assert message.isprintable()


def test_a_warm_up_of_which_a_part_fails_ends_no_run(measure, prompts):
    plans = [{}, {"stop_after": 2, "ending": "close"}]
    changes = {"load": {"concurrency": 2}, "warmup": {"iterations": 1}, "num_prompts": 4, **prompts([0, 1, 0, 1])}
    assert measure(plans=plans, **changes).request_failures == {"cut": 2}


def test_a_run_whose_requests_all_fail_is_a_failure(measure, prompts):
    with pytest.raises(BackendError, match=r"all 3 requests failed \(3 http_429\); the last: status 429: slow down"):
        measure(plans=[{}, KINDS["http_429"]], **prompts([1, 1, 1]))


def test_a_server_that_goes_away_ends_the_run_and_what_was_measured_is_kept(measure, prompts, tmp_path):
    with (
        StreamingServer() as gone,
        pytest.raises(BackendError, match=r"has gone: 2[0-9] requests in a row found no server") as caught,
    ):
        measure(
            base_url=gone.url,
            plans=[{"ttft_s": 0.02, "tokens": 2}, {"ending": "exit"}],
            **prompts([0] * 10 + [1] + [0] * 189),
            load={"concurrency": 2},
            output_dir=tmp_path,
        )
    (note,) = caught.value.__notes__
    assert "finished requests are kept in" in note
    (raw,) = tmp_path.glob(".state/*/process_0.json")
    kept = RawProcessResult.model_validate_json(raw.read_text())
    assert kept.is_partial
    assert len(kept.requests.e2e_ms) in (9, 10)
    assert kept.failed_requests.kind.count("refused") >= 20


def test_a_server_that_counts_no_tokens_is_counted_by_the_tokenizer(measure, model_folder):
    result = measure(
        model=str(model_folder), openai={"model": "stand-in"}, plans={"usage": False, "tokens": 6}, num_prompts=3
    )
    assert result.token_count_source == "tokenizer"  # noqa: S105
    assert result.output_tokens > 6
    assert result.input_tokens > 3
    requests = result.process_results[0].requests  # to count took time, and is no part of the window
    ends_s = [start_s + e2e_ms / 1e3 for start_s, e2e_ms in zip(requests.start_s, requests.e2e_ms, strict=True)]
    assert result.total_inference_time_sec == pytest.approx(max(ends_s))


def test_a_server_that_counts_no_tokens_is_counted_by_its_chunks_where_there_is_no_tokenizer(measure):
    result = measure(model="./stand-in", plans={"usage": False}, num_prompts=3)
    assert (result.token_count_source, result.output_tokens) == ("chunks", 3 * 8)
    assert result.input_tokens is result.total_tokens is None
    assert result.verdict == "invalid"
    assert "24 output tokens are in dispute, 100.0% of the 24" in result.verdict_reasons[-1]
    assert "neither a folder here nor in the hub's cache" in result.token_audit.tokenizer_unavailable
    assert any("a guess: one for each chunk of text" in each for each in result.measurement_warnings)
    assert any("input tokens are unknown" in each for each in result.measurement_warnings)


def test_answers_of_several_tokens_at_once_have_no_inter_token_latency(measure):
    result = measure(plans={"tokens": 8, "tokens_a_chunk": 4, "itl_s": 0.005, "counts": "usage"})
    assert result.latency_stats.itl_ms is None
    assert result.latency_stats.tpot_ms is not None
    assert any("8 of 8 answers came with several tokens at once:" in each for each in result.measurement_warnings)


def test_a_time_per_token_is_unknown_where_nobody_counts_those_of_the_first_text(measure):
    result = measure(plans={"tokens": 8, "tokens_a_chunk": 4, "itl_s": 0.005})
    assert (result.latency_stats.itl_ms, result.latency_stats.tpot_ms) == (None, None)
    assert result.latency_stats.ttft_ms.n == 8
    (warning,) = [each for each in result.measurement_warnings if "8 of 8 answers" in each]
    assert "nobody has counted those of each chunk" in warning


def test_synthetic_prompts_are_of_the_models_tokens(server, model_folder):
    result = run_experiment(
        model=str(model_folder),
        backend="openai",
        openai={"base_url": server.url, "endpoint": "completions"},
        dataset={"synthetic": {"input_len": 17, "output_len": 5}},
        num_prompts=4,
        warmup={"iterations": 2},
        passthrough_kwargs={"standin": {"tokens": 5}},
    )
    assert result.process_results[0].requests.input_tokens == [17] * 4
    assert result.warmup_excluded_samples == 2


def test_a_duration_ends_the_window_and_what_was_in_flight_is_drained(measure):
    plan = {"ttft_s": 0.1, "itl_s": 0.02, "tokens": 10}
    result = measure(plans=plan, num_prompts=100, load={"concurrency": 4, "duration_s": 1.0})
    assert result.total_inference_time_sec == pytest.approx(1.0)
    requests = result.process_results[0].requests
    began_s, ended_s = requests.start_s, [s + e / 1e3 for s, e in zip(requests.start_s, requests.e2e_ms, strict=True)]
    assert max(began_s) < 1.0 < max(ended_s)
    assert result.latency_stats.e2e_ms.n == len(began_s)
    assert result.output_tokens < 10 * len(began_s)
    assert result.requests_per_second == pytest.approx(sum(end_s <= 1.0 for end_s in ended_s))


def test_prompts_that_run_out_before_the_duration_are_reported(measure):
    result = measure(plans={"tokens": 1}, num_prompts=3, load={"concurrency": 1, "duration_s": 30.0})
    assert any("All 3 prompts were sent before duration_s = 30 was over" in w for w in result.measurement_warnings)


def test_the_steady_state_is_from_full_concurrency_to_full_concurrency(measure, prompts):
    plans = [{"ttft_s": 0.02, "tokens": 2}, {"ttft_s": 0.5, "tokens": 2}]
    result = measure(
        plans=plans,
        **prompts([0, 0, 0, 0, 0, 0, 1]),
        load={"concurrency": 2},
        warmup={"convergence_detection": True, "cv_threshold": 1000.0, "window_size": 2},
    )
    assert result.measurement_methodology == "steady_state"
    assert result.warmup_excluded_samples == 4
    _, end_s = result.steady_state_window
    requests = result.process_results[0].requests
    ends_s = sorted(s + e / 1e3 for s, e in zip(requests.start_s, requests.e2e_ms, strict=True))
    assert ends_s[-3] <= end_s + 1e-6 < ends_s[-1] - 0.3  # the last, slow one was then alone
    assert 5 <= round(result.requests_per_second * result.total_inference_time_sec, 6) <= 6


def test_a_request_that_fails_was_in_flight_until_then(measure, prompts):
    plans = [{"ttft_s": 0.15, "tokens": 2}, {"ttft_s": 60.0}]
    result = measure(
        plans=plans,
        **prompts([0, 0, 1, 0, 0]),
        openai={"stall_s": 0.7},
        load={"concurrency": 2},
        warmup={"convergence_detection": True, "cv_threshold": 1000.0, "window_size": 2},
    )
    assert result.request_failures == {"stalled": 1}
    requests = result.process_results[0].requests
    ends_s = sorted(s + e / 1e3 for s, e in zip(requests.start_s, requests.e2e_ms, strict=True))
    assert result.steady_state_window[1] == pytest.approx(ends_s[-1], abs=1e-6)  # those were beside the one that failed
    assert ends_s[-1] > ends_s[1] + 0.2


def test_the_steady_state_ends_with_the_duration_though_all_are_still_in_flight(measure):
    result = measure(
        plans={"ttft_s": 0.2, "tokens": 2},
        load={"concurrency": 2, "duration_s": 0.3},
        warmup={"convergence_detection": True, "cv_threshold": 1000.0, "window_size": 2},
    )
    assert result.measurement_methodology == "steady_state"
    assert result.steady_state_window[1] == pytest.approx(0.3)


def test_an_open_loop_has_no_steady_state(measure):
    result = measure(
        plans={"tokens": 2},
        load={"request_rate": 100.0},
        warmup={"convergence_detection": True, "cv_threshold": 1000.0, "window_size": 2},
    )
    assert result.measurement_methodology == "total"
    assert any("an open loop has no fixed number of requests" in each for each in result.measurement_warnings)


def test_a_key_is_sent_and_written_nowhere(measure, monkeypatch, tmp_path):
    monkeypatch.setenv("THE_KEY", KEY)
    measure(
        plans={"wants_sha256": hashlib.sha256(KEY.encode()).hexdigest()},
        openai={"api_key_env": "THE_KEY"},
        output_dir=tmp_path,
    )
    (text,) = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert KEY not in text


def test_a_key_that_is_missing_or_wrong_is_reported(measure, monkeypatch):
    with pytest.raises(PreFlightError, match=r"openai\.api_key_env: THE_KEY is not set"):
        measure(openai={"api_key_env": "THE_KEY"})
    with pytest.raises(BackendError, match="the server wants a key"):
        measure(plans={"wants_sha256": hashlib.sha256(KEY.encode()).hexdigest()})
    monkeypatch.setenv("THE_KEY", "another")
    with pytest.raises(BackendError, match="the server refuses the key") as caught:
        measure(plans={"wants_sha256": hashlib.sha256(KEY.encode()).hexdigest()}, openai={"api_key_env": "THE_KEY"})
    assert "another" not in str(caught.value)


@pytest.mark.parametrize("broken", [f"{KEY}\n", f"{KEY[:9]}\r\nX-Other: {KEY[9:]}", f"{KEY}\u20ac", f"\x7f{KEY}"])
def test_a_key_that_http_cannot_carry_is_reported_without_it(measure, monkeypatch, broken):
    monkeypatch.setenv("THE_KEY", broken)
    with pytest.raises(PreFlightError, match=r"^openai\.api_key_env: THE_KEY: .* holds a line break") as caught:
        measure(openai={"api_key_env": "THE_KEY"})
    told = str(caught.value) + "".join(traceback.format_exception(caught.value))
    assert not [part for part in (KEY, KEY[:9], KEY[9:]) if part in told]


def test_where_no_server_is_nothing_is_begun(measure):
    url = f"http://127.0.0.1:{closed_port()}/v1"
    with pytest.raises(PreFlightError, match=rf"openai\.base_url: nothing answers at {url} \(Connection refused\)"):
        measure(base_url=url)


def test_a_model_that_the_server_lacks_is_an_error_that_names_those_it_has(measure):
    plans = {"status": 404, "events": ['{"error": {"message": "no model m"}}'], "content_type": "application/json"}
    with pytest.raises(BackendError, match=r"'m': status 404: no model m; it has stand-in: name one in openai.model"):
        measure(model="m", plans=plans)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"batch_size": 4}, "batch_size: has no effect with backend: openai"),
        ({"precision": "fp16"}, "precision: has no effect on a server that runs already"),
        ({"pytorch": {"cache": "static"}}, "pytorch: has no effect with backend: openai; give it to the server"),
        ({"lora": {"path": "x"}}, "lora: has no effect with backend: openai"),
        ({"max_input_tokens": 5}, "max_input_tokens: has no effect with backend: openai"),
        ({"model": "random:llama"}, "random:llama is built for a server that is launched"),
        ({"dataset": {"synthetic": {"input_len": 2, "output_len": 2}}}, "the chat endpoint takes text"),
        ({"passthrough_kwargs": {"max_tokens": 3}}, "max_tokens cannot be passed through"),
        ({"load": {"concurrency": 2, "request_rate": 3}}, "concurrency: has no effect with request_rate"),
        ({"load": {"arrival": "constant"}}, "arrival: has no effect without request_rate"),
        ({"load": {"drain_s": 3}}, "drain_s: has no effect without duration_s"),
        ({"load": {"concurrency": 101}}, "101 requests in flight, and num_prompts is 100"),
        ({"launch": ["serve", "--api-key", "sk-1"]}, "a key that is written down is no secret"),
        ({"launch": []}, "at least 1 item"),
        ({"launch": {"preset": "vllm", "command": ["x"]}}, "name either a command"),
        ({"launch": {"command": ["x"], "flags": {"a": 1}}}, "flags: has no effect on a command"),
        ({"launch": "llamacpp", "precision": "fp16"}, "precision: has no effect with launch.preset: llamacpp"),
        ({"openai": {"base_url": "localhost:8000"}}, "is not the URL of a server"),
        ({"openai": {"base_url": "http://me:secret@host/v1"}}, "holds a password in a URL"),
        ({"openai": {"base_url": "http://host/v1?key=1"}}, "goes on after the path"),
        ({"openai": {"api_key_env": "sk-1234"}}, "api_key_env"),
        ({"backend": "pytorch", "load": {"concurrency": 2}}, "load: has no effect with backend: pytorch"),
        ({"backend": "pytorch", "launch": "vllm"}, "launch: has no effect with backend: pytorch"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field(fields, problem):
    with pytest.raises((ValidationError, ConfigError), match=problem):
        run_experiment(**{"model": "m", "backend": "openai", **fields})


def test_without_aiohttp_the_rest_works_and_a_server_is_refused_with_what_to_install():
    code = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "aiohttp" else found(name, *rest)
sys.modules["aiohttp"] = None
from llenergymeasure.backends.registry import BACKENDS
from llenergymeasure import run_experiment
print(BACKENDS["openai"].checks().facts()[0])
try:
    run_experiment(model="m", backend="openai")
except Exception as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == [
        "not available: aiohttp not installed; run pip install -e '.[server]' in the clone",
        "backend openai: aiohttp not installed; run pip install -e '.[server]' in the clone",
    ]


def sse(*choices, usage=None, finish="stop"):
    """The events of a stream: a delta each, then the reason for its end with the usage."""
    events = [{"choices": [{"index": 0, "delta": each, "finish_reason": None}]} for each in choices]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage})
    return [f"data: {json.dumps(each)}\n\n" for each in events]


WORDS = [{"content": f"word{number} "} for number in range(6)]


def test_a_usage_without_counts_is_none(measure, model_folder):
    for usage in ({}, {"prompt_tokens": 5, "completion_tokens": None}):
        result = measure(
            model=str(model_folder), openai={"model": "m"}, plans={"events": sse(*WORDS, usage=usage)}, num_prompts=2
        )
        assert result.token_count_source == "tokenizer"  # noqa: S105
        assert result.output_tokens > 12
        assert result.latency_stats.ttft_ms.n == 2


def test_an_answer_in_one_piece_has_no_time_to_a_first_token(measure):
    answer = {
        "choices": [{"message": {"content": "all of it"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 9},
    }
    result = measure(plans={"events": [json.dumps(answer)], "ttft_s": 0.02, "content_type": "application/json"})
    assert result.output_tokens == 8 * 9
    assert (result.latency_stats.ttft_ms, result.latency_stats.tpot_ms, result.latency_stats.itl_ms) == (None,) * 3
    assert result.latency_stats.e2e_ms.n == 8
    assert result.process_results[0].requests.ttft_ms == [None] * 8


def test_reasoning_that_is_counted_and_not_shown_is_in_no_time_per_token(measure):
    counts = {"prompt_tokens": 4, "completion_tokens": 506, "completion_tokens_details": {"reasoning_tokens": 500}}
    plan = {"events": sse(*WORDS, usage=counts, finish="length"), "ttft_s": 0.02, "itl_s": 0.02}
    result = measure(plans=plan, num_prompts=4)
    assert result.output_tokens == 4 * 506
    assert result.latency_stats.tpot_ms.median > 15
    assert 0 < result.latency_stats.itl_ms.n <= 4 * 5
    assert min(result.process_results[0].requests.first_tokens) == 501


def test_reasoning_that_is_shown_counts_like_other_tokens(measure):
    counts = {"prompt_tokens": 4, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 1}}
    events = sse({"reasoning_content": "hm"}, *WORDS, usage=counts, finish="length")
    until_s = time.monotonic() + 40.0  # where a busy machine lets all tokens of each answer come at once
    while (result := measure(plans={"events": events, "itl_s": 0.01}, num_prompts=3)).latency_stats.itl_ms is None:
        assert time.monotonic() < until_s
    assert min(result.process_results[0].requests.first_tokens) == 1
    assert 0 < result.latency_stats.itl_ms.n <= 3 * 6


@pytest.mark.parametrize(
    ("events", "kind", "message"),
    [
        (sse(*WORDS, usage={"prompt_tokens": 4, "completion_tokens": 6}, finish="abort"), "server_error", "gave up"),
    ],
)
def test_an_answer_that_is_none_is_a_failure(measure, prompts, events, kind, message):
    result = measure(plans=[{"tokens": 2}, {"events": events}], **prompts([0, 1, 0]))
    assert result.request_failures == {kind: 1}
    assert message in result.process_results[0].failed_requests.message[0]
    assert result.output_tokens == 4


def test_an_open_loops_window_is_its_duration(measure):
    load = {"request_rate": 8.0, "arrival": "constant", "duration_s": 0.55}
    result = measure(plans={"tokens": 1}, load=load, num_prompts=50)
    assert result.total_inference_time_sec == pytest.approx(0.55)
    assert len(result.process_results[0].requests.start_s) in (4, 5)  # a busy client may miss the last


def test_a_load_that_sends_nothing_is_an_error(measure):
    with pytest.raises(BackendError, match=r"no request was due within duration_s = 0\.05: measure"):
        measure(load={"request_rate": 0.1, "duration_s": 0.05})


def test_a_server_is_launched_on_this_machine_alone():
    with pytest.raises(PreFlightError, match=r"openai\.base_url: 192\.0\.2\.7 is another machine, and"):
        run_experiment(
            model="m", backend="openai", launch=[sys.executable], openai={"base_url": "http://192.0.2.7:8000/v1"}
        )


def test_a_model_that_a_running_server_does_not_list_is_warned_of_before_and_after(server, measure):
    told = "The server lists stand-in, and not zz, which it is asked for"
    assert [each for each in measure(openai={"model": "zz"}, num_prompts=1).measurement_warnings if told in each]
    assert not any("The server lists" in each for each in measure(num_prompts=1).measurement_warnings)
    named = {"model": "zz", "backend": "openai", "openai": {"base_url": server.url}}
    assert [told in each for each in remarks(build_config(named), [])] == [True]
