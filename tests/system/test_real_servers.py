"""Our client against servers that others have written, with a small real model behind them."""

import asyncio
import json
import os
import urllib.request
from pathlib import Path

import psutil
import pytest

from audited_results import accusations, findings
from llenergymeasure.api import run_experiment
from llenergymeasure.backends.openai.client.http import Client
from llenergymeasure.backends.openai.client.probe import HealthCheck, get
from llenergymeasure.backends.openai.client.request_body import RequestTemplate
from llenergymeasure.backends.openai.load.arrivals import ClosedLoop, StopRule
from llenergymeasure.backends.openai.load.driver import drive
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.requests import Request
from real_servers import (
    QUIET,
    SHAPE,
    Server,
    free_port,
    llama_cpp_command,
    random_gguf,
    random_llama_folder,
    transformers_serve_command,
)
from standins.scripted_server import ScriptedServer

EXAMPLES = Path(__file__).parents[2] / "examples"
TOKENS = 16
PROMPTS = [f"Tell me the number {number} in words" for number in range(5)]
ENDPOINTS = pytest.mark.parametrize("endpoint", ["chat", "completions"])
ON_AND_ON = {"generation_config": '{"eos_token_id": []}'}  # transformers serve's way of ignoring the end's token
NO_LLAMA_CPP = "llama.cpp's server is not installed: `make test-slow` builds it, as pip install '.[test-slow]' does"


def serve(server, model, *, endpoint="completions", concurrency=1, prompts=PROMPTS, tokens=TOKENS, **further):
    """The records of these prompts, in their order; a prompt is text or token ids."""
    template = RequestTemplate(server.url, model, endpoint, timeout_s=120, extra_body={"temperature": 0, **further})
    requests = [
        Request(index, *((prompt, None) if isinstance(prompt, str) else (None, prompt)), tokens)
        for index, prompt in enumerate(prompts)
    ]
    records = []

    async def run():
        async with Client(template) as client:
            await drive(client, map(template.encode, requests), ClosedLoop(concurrency), StopRule(), records.append)

    asyncio.run(run())
    return sorted(records, key=lambda record: record.index)


def check_whole(record, tokens=TOKENS):
    """The record of an answer with all its tokens, each of which came as a text of its own."""
    assert record.failure is None
    assert record.answer.streamed
    assert record.answer.finish_reason == "length"
    assert len(record.answer.chunk_texts) == tokens
    assert record.ttft_s > 0
    times_s = list(record.answer.chunk_times_s)
    assert times_s == sorted(times_s)
    assert record.due_s <= record.sent_s
    assert times_s[-1] <= record.end_s


def texts(records):
    return ["".join(record.answer.chunk_texts) for record in records]


@pytest.fixture(scope="module")
def llama_folder(tmp_path_factory):
    """A model that says a token which ends its answers within a few others."""
    return random_llama_folder(tmp_path_factory.mktemp("models") / "llama", ends=range(3, SHAPE["vocab_size"], 3))


@pytest.fixture(scope="module")
def transformers_server(llama_folder, tmp_path_factory):
    port = free_port()
    hub = str(tmp_path_factory.mktemp("hub"))
    with Server(transformers_serve_command(llama_folder, port), port, "/health", HF_HOME=hub) as server:
        server.model = str(llama_folder)
        yield server


def test_transformers_serve_is_ready_though_it_fails_to_list_its_models(transformers_server):
    reading, writing = os.pipe()
    with open(reading), open(writing):
        assert HealthCheck(transformers_server.url).problem(10.0, reading) is None
    assert get(f"{transformers_server.url}/models", None).status == 500  # no model was ever downloaded here


@ENDPOINTS
def test_transformers_serve_answers_with_all_tokens_and_counts_them(transformers_server, endpoint):
    server = transformers_server
    alone, at_once = (
        serve(server, server.model, endpoint=endpoint, concurrency=number, **ON_AND_ON) for number in (1, 4)
    )
    assert len(alone) == len(at_once) == len(PROMPTS)
    for record in alone + at_once:
        check_whole(record)
        assert record.answer.counts.output_tokens == TOKENS
        assert record.answer.counts.input_tokens > 5
    assert texts(alone) == texts(at_once)


@ENDPOINTS
def test_transformers_serve_stops_at_the_models_end_unless_it_is_given_none(transformers_server, endpoint):
    server = transformers_server
    for record in serve(server, server.model, endpoint=endpoint, prompts=PROMPTS[:2]):
        assert (record.failure, record.answer.finish_reason) == (None, "stop")
        assert 0 < record.answer.counts.output_tokens == len(record.answer.chunk_texts) < TOKENS
    (record,) = serve(server, server.model, endpoint=endpoint, prompts=PROMPTS[:1], ignore_eos=True)
    assert record.failure.kind == "http_4xx"
    assert "ignore_eos" in record.failure.message


def test_transformers_serve_refuses_token_ids_and_other_models_in_its_own_words(transformers_server):
    (record,) = serve(transformers_server, transformers_server.model, prompts=[(5, 6, 7)])
    assert record.failure.kind == "http_4xx"
    assert record.failure.message == "status 400: prompt must be a string."
    (record,) = serve(transformers_server, "nobody/nothing", prompts=PROMPTS[:1])
    assert record.failure.kind == "http_4xx"
    assert "requested 'nobody/nothing'" in record.failure.message


@pytest.mark.parametrize("temperature", ["high", 'so "high"'], ids=["json", "no-json"])
def test_transformers_serve_fails_in_midst_of_a_stream_in_its_own_words(transformers_server, temperature):
    config = json.dumps({"do_sample": True, "temperature": temperature})
    further = {"temperature": None, "generation_config": config}
    (record,) = serve(transformers_server, transformers_server.model, prompts=PROMPTS[:1], **further)
    assert record.failure.kind == "server_error"
    assert f"`temperature` (={temperature})" in record.failure.message
    assert record.answer.chunk_texts == ()


def audited(url, model, **changes):
    """The result of a run against this server, whose tokenizer is the model's own."""
    openai = {"base_url": url, **changes.pop("openai", {})}
    fields = {"num_prompts": 6, "max_output_tokens": 40, "load": {"concurrency": 2}, "energy": {"source": "none"}}
    warmup = {"warmup": {"iterations": 0}}
    return run_experiment(model=str(model), backend="openai", openai=openai, **warmup | fields | changes)


def check_not_accused(result, requests=6):
    assert result.request_failures == {}
    assert accusations(result) == {}
    audit = result.token_audit
    assert (audit.requests_checked, audit.requests_agreeing) == (requests, requests)
    assert audit.requests_counted_by_tokenizer == requests
    assert audit.output_tokens_in_dispute == audit.input_tokens_in_dispute == 0
    assert result.token_count_source == "server"  # noqa: S105
    assert result.verdict != "invalid"


def lies_of(url, change):
    """A script that passes requests on to this server, and its answers back with another usage."""

    def passed_on(asked):
        body, where = json.dumps(asked.body).encode(), url.removesuffix("/v1") + "/" + asked.path
        request = urllib.request.Request(where, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            for line in answer:
                yield _with_usage(line, change)

    return passed_on


def _with_usage(line, change):
    if not line.startswith(b"data: {"):
        return line
    event = json.loads(line.removeprefix(b"data: "))
    if not event.get("usage"):
        return line
    usage = change(event["usage"])
    usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    return b"data: " + json.dumps({**event, "usage": usage}).encode() + b"\n"


@ENDPOINTS
@pytest.mark.parametrize("further", [{}, ON_AND_ON], ids=["ends", "goes on"])
def test_transformers_serve_is_not_accused_of_its_counts(transformers_server, endpoint, further):
    server = transformers_server
    result = audited(server.url, server.model, openai={"endpoint": endpoint}, passthrough_kwargs=further)
    check_not_accused(result)
    assert (result.output_tokens == 6 * 40) == bool(further)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda usage: usage | {"completion_tokens": usage["completion_tokens"] // 2}, "tokenizer_differs"),
        (lambda usage: usage | {"completion_tokens": usage["completion_tokens"] * 2}, "tokenizer_differs"),
        (lambda usage: usage | {"completion_tokens": 0}, "zero_with_text"),
    ],
    ids=["half", "double", "none"],
)
def test_a_gateway_that_counts_transformers_serves_tokens_falsely_is_found(transformers_server, change, finding):
    with ScriptedServer({"it": lies_of(transformers_server.url, change)}) as gateway:
        model = transformers_server.model
        result = audited(gateway.url("it"), model, num_prompts=2, passthrough_kwargs=ON_AND_ON)
    assert result.request_failures == {}
    assert result.token_audit.requests_agreeing == 0
    assert max(findings(result).get(name, 0) for name in (finding, "fewer_than_chunks")) == 2
    assert result.verdict == "invalid"


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    pytest.importorskip("llama_cpp", reason=NO_LLAMA_CPP)
    pytest.importorskip("gguf", reason=NO_LLAMA_CPP)
    return random_gguf(tmp_path_factory.mktemp("models") / "llama.gguf")


@pytest.fixture(scope="module")
def llama_cpp_server(gguf):
    port = free_port()
    with Server(llama_cpp_command(gguf, port, "--interrupt_requests", "False"), port, "/v1/models") as server:
        yield server


GREEDY = {"repeat_penalty": 1.0}  # it punishes repetition unless told otherwise


@pytest.mark.slow
@ENDPOINTS
def test_llama_cpp_answers_with_all_tokens_and_sends_no_usage(llama_cpp_server, endpoint):
    alone, at_once = (
        serve(llama_cpp_server, "any", endpoint=endpoint, concurrency=number, **GREEDY) for number in (1, 4)
    )
    assert len(alone) == len(at_once) == len(PROMPTS)
    for record in alone + at_once:
        check_whole(record)
        assert record.answer.counts.output_tokens is None


@pytest.mark.slow
def test_llama_cpp_and_transformers_serve_answer_alike(llama_cpp_server, transformers_server):
    said = texts(serve(llama_cpp_server, "any", **GREEDY))
    assert said == texts(serve(transformers_server, transformers_server.model, **ON_AND_ON))
    assert len(set(said)) > 1


@pytest.mark.slow
def test_llama_cpp_refuses_token_ids_as_an_error_of_its_own(llama_cpp_server):
    (record,) = serve(llama_cpp_server, "any", prompts=[(5, 6, 7)])
    assert record.failure.kind == "http_5xx"
    assert "Input should be a valid string" in record.failure.message


@pytest.mark.slow
def test_requests_that_llama_cpp_drops_for_the_next_one_are_cut(gguf):
    port, tokens = free_port(), 400
    with Server(llama_cpp_command(gguf, port), port, "/v1/models") as server:
        records = serve(server, "any", concurrency=4, tokens=tokens)
    cut = [record for record in records if record.failure is not None]
    assert cut
    assert {record.failure.kind for record in cut} == {"cut"}
    for record in records:
        if record not in cut:
            check_whole(record, tokens)


@pytest.mark.slow
def test_llama_cpp_lists_a_chunks_tokens_where_it_is_asked_for_their_probabilities(llama_cpp_server):
    (record,) = serve(llama_cpp_server, "any", prompts=PROMPTS[:1], logprobs=1)
    check_whole(record)
    assert record.answer.chunk_tokens == (1,) * TOKENS


@pytest.mark.slow
@ENDPOINTS
def test_llama_cpp_is_not_accused_for_it_sends_no_counts_and_the_tokenizer_has_them(llama_cpp_server, gguf, endpoint):
    openai = {"endpoint": endpoint, "model": "any"}
    result = audited(llama_cpp_server.url, gguf, openai=openai, load={"concurrency": 1}, passthrough_kwargs=GREEDY)
    assert result.request_failures == {}
    assert findings(result) == {"usage_missing": 6}
    assert result.token_count_source == "tokenizer"  # noqa: S105
    assert result.token_audit.requests_counted_by_tokenizer == 6
    assert result.output_tokens == 6 * 40
    assert result.verdict != "invalid"


def the_result(user, ended):
    """The one result of a run that ended well, whose server is told of on none of the streams."""
    assert ended.code == 0, ended.stderr
    (path,) = user.folder.glob("results/*/result.json")
    return ExperimentResult.from_json(path)


def check_stopped(user):
    """The launched server has said its last word, and none of its processes is left."""
    (log,) = user.folder.glob("results/.logs/*.log")
    assert log.read_text()
    mark = str(user.folder)
    assert not [each for each in psutil.process_iter() if _environment(each).get("HOME", "") + "/work" == mark]


def _environment(process):
    try:
        return process.environ() if process.status() != psutil.STATUS_ZOMBIE else {}
    except psutil.Error:
        return {}


def test_the_example_that_launches_transformers_serve_is_measured_end_to_end_and_told_to_go_on(user):
    goes_on = [f"--set=decoder.{each}" for each in ("ignore_eos=true", "do_sample=true", "top_k=5")]
    ended = user.llem("run", EXAMPLES / "server_transformers.yaml", "-n", "4", *goes_on, **QUIET)
    result = the_result(user, ended)
    assert result.process_results[0].requests.output_tokens == [32] * 4
    assert result.request_failures == {}
    check_not_accused(result, 4)
    assert result.energy_source == "estimate"
    assert result.total_energy_j > 0
    assert result.total_flops > 0
    assert result.latency_stats.ttft_ms.n == 4
    assert result.process_results[0].compute_metrics.compute_precision == "fp32"
    check_stopped(user)


def test_the_example_of_an_attached_server_measures_transformers_serve(user, transformers_server):
    text = (EXAMPLES / "server_attached.yaml").read_text().replace("http://127.0.0.1:8000/v1", transformers_server.url)
    ended = user.llem("run", user.write("attached.yaml", text), "--model", transformers_server.model, "-n", "8")
    result = the_result(user, ended)
    assert len(result.process_results[0].requests.output_tokens) == 8
    assert result.total_energy_j is None
    assert result.total_flops > 0
    assert not (user.folder / "results" / ".logs").exists()


@pytest.mark.slow
def test_the_example_that_launches_llama_cpp_is_measured_end_to_end(user, gguf):
    ended = user.llem("run", EXAMPLES / "server_llamacpp.yaml", "--model", str(gguf), "-n", "4")
    result = the_result(user, ended)
    assert result.process_results[0].requests.output_tokens == [32] * 4
    assert result.token_count_source == "tokenizer"  # noqa: S105
    assert result.input_tokens > 4
    assert result.total_energy_j > 0
    check_stopped(user)
