"""The model's tokenizer beside a server's counts: after the load, from this machine alone, and never a condition."""

import json
import shutil
import socket
from pathlib import Path

import pytest

from llenergymeasure.api import run_experiment
from llenergymeasure.backends.chat_template import ChatTemplate
from llenergymeasure.backends.openai.client.records import Answer, ServedRequest, ServerCounts
from llenergymeasure.backends.openai.load import collector as collecting
from llenergymeasure.backends.openai.load.collector import ResponseCollector
from llenergymeasure.backends.openai.load.tokenizer import load_tokenizer, recount, tokenizer_place
from llenergymeasure.domain.requests import FailedRequest, Message, Request
from llenergymeasure.errors import BackendError
from llenergymeasure.workload.prompts import builtin_text
from standins.streaming_server import StreamingServer

pytestmark = pytest.mark.usefixtures("small_heap")


@pytest.fixture(scope="module")
def server():
    with StreamingServer() as server:
        yield server


@pytest.fixture(scope="module")
def tokenizer(model_folder):
    return load_tokenizer(str(model_folder))


@pytest.fixture
def tokens(tokenizer):
    """The text of each token of an answer as a model would give it."""
    ids = tokenizer(builtin_text()[:400], add_special_tokens=False)["input_ids"]
    return [tokenizer.decode([each]) for each in ids]


def answered(texts, output, prompt=900, finish="stop", **counts):
    """The events of an answer in these chunks, with this usage."""
    events = [{"choices": [{"index": 0, "delta": {"content": each}, "finish_reason": None}]} for each in texts]
    usage = None if output is None else {"prompt_tokens": prompt, "completion_tokens": output, **counts}
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage})
    return {"events": [f"data: {json.dumps(each)}\n\n" for each in events]}


@pytest.fixture
def measure(server, model_folder):
    def measure(plan, **changes):
        fields = {
            "model": str(model_folder),
            "backend": "openai",
            "openai": {"base_url": server.url, "model": "m"},
            "num_prompts": 3,
            "max_output_tokens": 600,
            "warmup": {"iterations": 0},
            "passthrough_kwargs": {"standin": plan},
        }
        return run_experiment(**{**fields, **changes})

    return measure


@pytest.fixture
def prompts(tmp_path):
    """A file of prompts, one for each of so many plans."""

    def prompts(count):
        path = tmp_path / "plans.jsonl"
        path.write_text("".join(json.dumps({"prompt": f"Say it, plan={number}"}) + "\n" for number in range(count)))
        return {"dataset": str(path), "num_prompts": count}

    return prompts


def bundles(texts, size):
    return ["".join(texts[start : start + size]) for start in range(0, len(texts), size)]


def test_the_tokenizer_agrees_with_a_server_that_counts_right_however_it_cuts_the_text(measure, tokens, prompts):
    plans = [answered(bundles(tokens, size), len(tokens) + 1) for size in (1, 4, 1000)]
    result = measure(plans, **prompts(3))
    audit = result.token_audit
    assert (audit.requests_checked, audit.requests_agreeing, audit.requests_counted_by_tokenizer) == (3, 3, 3)
    assert (audit.tokenizer_unavailable, result.token_count_source) == (None, "server")
    assert result.output_tokens == 3 * (len(tokens) + 1)
    assert result.verdict == "not_measured"


def test_the_tokenizer_takes_the_place_of_a_server_that_counts_wrong(measure, tokens, prompts):
    plans = [answered(bundles(tokens, 8), round(factor * len(tokens))) for factor in (0.5, 2, 0)]
    result = measure(plans, **prompts(3))
    assert result.token_audit.findings == {"tokenizer_differs": 2, "zero_with_text": 1}
    assert result.token_count_source == "tokenizer"  # noqa: S105
    assert result.output_tokens == pytest.approx(3 * (len(tokens) + 1), rel=0.02)
    assert result.verdict == "invalid"
    assert "output tokens are in dispute" in result.verdict_reasons[-1]
    assert result.process_results[0].requests.counted_by == ["tokenizer"] * 3


def test_a_server_that_cuts_the_prompt_is_told(measure, tokens):
    result = measure(answered(tokens, len(tokens), prompt=8))
    assert result.token_audit.findings == {"prompt_truncated": 3}
    assert result.token_audit.input_tokens_in_dispute > 3 * 8
    assert any("raise its context length" in each for each in result.measurement_warnings)


def test_without_a_count_the_tokenizer_counts_the_prompt_too(measure, tokens):
    result = measure(answered(tokens, None))
    assert (result.token_count_source, result.token_audit.findings) == ("tokenizer", {"usage_missing": 3})
    assert result.input_tokens > 3
    assert result.verdict == "not_measured"  # nothing is in dispute


@pytest.mark.parametrize("ends", [{"decoder": {"ignore_eos": True}}, {}], ids=["exact", "free"])
def test_an_answer_that_ends_early_is_told_only_where_it_was_to_go_on(measure, tokens, ends):
    result = measure(answered(tokens[:3], 3), model="m", max_output_tokens=20, **ends)
    assert result.token_audit.findings == ({"shorter_than_asked": 3} if ends else {})
    assert result.verdict == ("invalid" if ends else "not_measured")
    if ends:
        assert "51 output tokens are in dispute" in result.verdict_reasons[-1]


def test_texts_beyond_the_memory_for_them_are_not_looked_at_and_that_is_said(measure, tokens, monkeypatch):
    monkeypatch.setattr(collecting, "MOST_TEXT", 2 * sum(map(len, tokens)))
    audit = measure(answered(tokens, len(tokens))).token_audit
    assert (audit.requests_checked, audit.requests_agreeing, audit.requests_counted_by_tokenizer) == (3, 3, 2)
    assert "the texts of 1 answers" in audit.tokenizer_unavailable


def test_texts_that_are_too_long_to_be_counted_whole_are_said(measure, tokens, monkeypatch):
    monkeypatch.setattr("llenergymeasure.backends.openai.load.tokenizer.MOST_CHARACTERS", 100)
    audit = measure(answered(tokens, len(tokens))).token_audit
    assert (audit.requests_agreeing, audit.requests_counted_by_tokenizer) == (3, None)
    assert "of 3 answers" in audit.tokenizer_unavailable


def test_a_tokenizer_that_cannot_be_loaded_costs_nothing_and_the_reason_is_said(
    measure, tokens, model_folder, tmp_path
):
    folder = shutil.copytree(model_folder, tmp_path / "broken", symlinks=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{broken")
    result = measure(answered(tokens, len(tokens)), model=str(folder))
    assert (result.output_tokens, result.token_count_source) == (3 * len(tokens), "server")
    assert result.token_audit.requests_counted_by_tokenizer is None
    assert result.token_audit.tokenizer_unavailable


def test_the_tokenizer_of_a_hub_model_is_read_from_the_cache_and_never_from_the_network(
    model_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("the network was asked"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("the network was asked"))
    with pytest.raises(BackendError, match="neither a folder here nor in the hub's cache"):
        tokenizer_place("someone/a-model")
    cached = tmp_path / "models--someone--a-model"
    shutil.copytree(model_folder, cached / "snapshots" / "0123abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0123abc")
    assert Path(tokenizer_place("someone/a-model")).name == "0123abc"
    assert load_tokenizer(tokenizer_place("someone/a-model"))("a text")["input_ids"]


def test_a_conversation_is_at_least_the_text_of_its_user(tokenizer):
    turns = [Message("user", "  a question  "), Message("assistant", "x" * 500), Message("user", "another one")]
    request = Request(0, None, None, 9, messages=tuple(turns))
    with ChatTemplate(tokenizer) as template:
        in_chat = recount(tokenizer, request, "an answer", in_chat=True, template=template)
    alone = [len(tokenizer(each, add_special_tokens=False)["input_ids"]) for each in ("a question", "another one")]
    assert in_chat.least_input_tokens == sum(alone)
    assert in_chat.input_tokens > in_chat.least_input_tokens
    assert in_chat.output_tokens == len(tokenizer("an answer", add_special_tokens=False)["input_ids"])


def test_of_a_huge_text_the_beginning_is_counted_and_speaks_against_a_count_below_it(tokenizer, monkeypatch):
    monkeypatch.setattr("llenergymeasure.backends.openai.load.tokenizer.MOST_CHARACTERS", 100)
    request = Request(0, "Hello", None, 9)
    text = builtin_text()[:300]
    part = recount(tokenizer, request, text, in_chat=True)
    whole = recount(tokenizer, request, text[:100], in_chat=True)
    assert (part.is_whole, whole.is_whole) == (False, True)
    assert part.output_tokens == whole.output_tokens > 0


def test_a_character_for_bytes_that_are_no_text_is_taken_for_a_token(tokenizer):
    request = Request(0, "Hello", None, 9)
    plain, strays = (
        recount(tokenizer, request, text, in_chat=True).output_tokens
        for text in ("a question", "a question" + "\ufffd" * 5)
    )
    assert strays == plain + 5


def test_each_request_has_its_record_as_soon_as_it_has_ended():
    """So that the journal of a run that is killed has it, whether the server counts or not."""
    requests = [Request(number, "Hello", None, 20) for number in range(2)]
    collector = ResponseCollector(requests, in_chat=True, keeps_texts=True)
    for number, counts in enumerate([ServerCounts(), ServerCounts(5, 3)]):
        answer = Answer((1.0, 1.1, 1.2), ("a ", "b ", "c "), (None,) * 3, "stop", 1.3, True, None, counts)
        collector.ended(ServedRequest(number, 0.5, 0.5, 1.3, answer))
    records = [each.requests[0] for each in collector.records() if not isinstance(each, FailedRequest)]
    assert [(each.counted_by, each.output_tokens) for each in records] == [("chunks", 3), ("server", 3)]
    assert list(collector.records()) == []


def test_a_prompt_that_a_template_refuses_is_unknown_and_the_answer_is_counted(tokenizer):
    request = Request(0, "Hello", None, 9)
    tokenizer.chat_template = "{{ raise_exception('no such turn') }}"
    try:
        with ChatTemplate(tokenizer) as template:
            counted = recount(tokenizer, request, "an answer", in_chat=True, template=template)
    finally:
        tokenizer.chat_template = None
    assert counted.input_tokens is None
    assert counted.output_tokens > 0


def test_thoughts_that_the_request_asked_to_be_left_out_are_held_against_no_count(measure, tokens):
    plan = answered(tokens[:9], 210)
    assert measure(plan).token_audit.findings == {"tokenizer_differs": 3}
    result = measure(plan, passthrough_kwargs={"standin": plan, "include_reasoning": False})
    assert (result.token_audit.findings, result.output_tokens) == ({}, 630)
