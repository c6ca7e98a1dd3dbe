"""Answers of our own finding with one oddity each: what a measurement makes of their tokens, times and ends."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from audited_results import accusations, findings, told
from llenergymeasure.api import run_experiment
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.errors import BackendError
from standins.odd_answers import ANSWERS, LONG_THOUGHTS, PROMPT, TEXT, THOUGHT, TOKENS, WINDOW, WORD, zero_in
from standins.scripted_server import Asked, ScriptedServer

Runs = dict[str, "Future[ExperimentResult]"]

pytestmark = pytest.mark.usefixtures("small_heap")

REQUESTS = 4
MANY = 101
EXPERIMENT: dict[str, Any] = {
    "model": "m",
    "backend": "openai",
    "num_prompts": REQUESTS,
    "load": {"concurrency": REQUESTS},
    "warmup": {"iterations": 0},
    "energy": {"source": "none"},
}
IDS = {"openai": {"endpoint": "completions"}, "dataset": {"synthetic": {"input_len": 64, "output_len": TOKENS}}}
WITH_TOKENIZER: dict[str, dict[str, Any]] = {
    **{script: {} for script in ("thoughts_in_the_count", "thoughts_twice", "no_usage")},
    **{script: {} for script in ("whole_text_so_far", "whole_text_so_far_of_itself")},
    "prompt_cut": IDS,
}
AS_IT_IS = (
    *("running_usage", "usage_of_each_chunk", "usage_of_each_chunk_and_the_sum", "usage_of_uneven_chunks"),
    *("usage_from_one", "usage_empty_until_the_end", "usage_null_until_the_end", "usage_beside_the_reason"),
    *("usage_in_the_choice", "usage_under_x_groq", "usage_after_done", "total_zero", "thoughts_in_details"),
    *("refusal", "whole_text_so_far", "comments_and_line_ends", "azure", "no_reason"),
)
"""Odd in their form alone: each has its 20 tokens, and the server says so. One run has one of each, in turn."""


def in_turn(asked: Asked) -> Any:
    """The answer that the prompt names."""
    return ANSWERS[AS_IT_IS[int(found[1]) % len(AS_IT_IS) if (found := re.search(r"answer (\d+)", asked.text)) else 0]](
        asked
    )


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    few = {"one_of_many": zero_in([5]), "three_of_many": zero_in([5, 6, 7])}
    with ScriptedServer({**ANSWERS, "in_turn": in_turn, **few}) as server:
        yield server


@pytest.fixture(scope="module")
def runs(small_heap: None, server: ScriptedServer, model_folder: Path, tmp_path_factory: Any) -> Iterator[Runs]:
    """A run for each answer that is more than odd in form, `NAME counted` one with a tokenizer; several at a time."""
    dataset = tmp_path_factory.mktemp("prompts") / "in_turn.jsonl"
    lines = [json.dumps({"prompt": f"answer {number}"}) for number in range(MANY)]
    dataset.write_text("\n".join(lines))
    by_turns = {"num_prompts": len(AS_IT_IS), "load": {"concurrency": 1}}

    def measured(script: str, changes: dict[str, Any]) -> ExperimentResult:
        openai = {"base_url": server.url(script), "model": "m", **changes.get("openai", {})}
        lengths = {"max_output_tokens": TOKENS, "dataset": str(dataset)} if "dataset" not in changes else {}
        return run_experiment(**EXPERIMENT | lengths | changes | {"openai": openai})

    with ThreadPoolExecutor(6) as pool:
        only_so = (*AS_IT_IS, "prompt_cut", "whole_text_so_far_of_itself")
        alone = {name: {} for name in ANSWERS if name not in only_so} | {"in_turn": by_turns}
        alone |= {f"{few}_of_many": {"num_prompts": MANY} for few in ("one", "three")}
        counted = {f"{name} counted": {"model": str(model_folder), **more} for name, more in WITH_TOKENIZER.items()}
        yield {
            name: pool.submit(measured, name.removesuffix(" counted"), changes)
            for name, changes in (alone | counted).items()
        }


@pytest.fixture
def measured(runs: Runs) -> Callable[[str], ExperimentResult]:
    return lambda name: runs[name].result()


@pytest.fixture
def in_turns(measured: Callable[[str], ExperimentResult]) -> dict[str, dict[str, Any]]:
    """The columns of each answer of the run that has one of each; those that failed are not among them."""
    (process,) = measured("in_turn").process_results
    failed_s = process.failed_requests.start_s if process.failed_requests else []
    began = sorted([*process.requests.start_s, *failed_s])
    columns = process.requests.model_dump()
    return {
        AS_IT_IS[began.index(start_s)]: {name: column[row] for name, column in columns.items() if len(column) > row}
        for row, start_s in enumerate(process.requests.start_s)
    }


@pytest.fixture(scope="module")
def tokens_of(model_folder: Path) -> Callable[[str], int]:
    """Return how many tokens the tokenizer cuts a text into."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(model_folder))
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("case", AS_IT_IS)
def test_counts_are_found_wherever_a_server_puts_them_and_text_has_its_time(in_turns, case):
    assert case in in_turns, "the request has failed"
    request = in_turns[case]
    assert (request["input_tokens"], request["output_tokens"]) == (PROMPT, TOKENS)
    assert request["ttft_ms"] is not None


def test_nothing_is_held_against_a_server_whose_answers_are_odd_in_form_alone(measured):
    result = measured("in_turn")
    assert result.request_failures == {}
    assert accusations(result) == {}
    assert result.token_audit.requests_agreeing == len(AS_IT_IS)
    assert result.token_count_source == "server"  # noqa: S105
    assert result.verdict != "invalid"


@pytest.mark.parametrize("case", ["whole_text_so_far", "whole_text_so_far_of_itself"])
def test_chunks_that_repeat_all_text_so_far_are_not_held_against_the_count(measured, tokens_of, case):
    assert tokens_of(WORD * TOKENS) == TOKENS
    result = measured(f"{case} counted")
    assert (result.output_tokens, accusations(result)) == (REQUESTS * TOKENS, {})


def test_what_comes_before_the_first_text_is_no_first_token(in_turns):
    assert in_turns["azure"]["ttft_ms"] > 19


def test_an_end_without_a_reason_is_an_end(in_turns):
    assert in_turns["no_reason"]["finish_reason"] not in ("stop", "length", "")


def test_an_answer_that_is_compressed_though_nobody_asked_for_it_is_read_or_the_reason_told(runs, measured):
    if (error := runs["compressed"].exception()) is not None:
        assert "gzip" in str(error)
        return
    result = measured("compressed")
    assert (result.request_failures, result.output_tokens) == ({}, REQUESTS * TOKENS)


def test_a_total_that_does_not_add_up_is_a_remark_alone(measured):
    result = measured("parts_do_not_add")
    assert result.output_tokens == REQUESTS * TOKENS
    assert findings(result) == {"parts_do_not_add": REQUESTS}
    assert result.token_audit.output_tokens_in_dispute == 0
    assert result.verdict != "invalid"


@pytest.mark.parametrize("case", ["thoughts_in_the_count", "thoughts_in_the_count counted"])
def test_thoughts_that_are_counted_and_not_shown_are_output(measured, case):
    result = measured(case)
    assert (result.output_tokens, result.token_count_source) == (REQUESTS * (200 + TOKENS), "server")
    assert accusations(result) == {}
    assert result.verdict != "invalid"


def test_thoughts_alone_are_output_though_the_count_leaves_them_out_and_no_text_came(measured):
    result = measured("thoughts_alone")
    assert result.output_tokens == REQUESTS * 60
    assert findings(result) == {"reasoning_apart": REQUESTS}
    assert result.latency_stats.ttft_ms is None
    assert "no text" in told(result)
    assert result.verdict != "invalid"


def test_a_count_that_leaves_out_the_thoughts_that_were_streamed_is_not_believed(measured):
    result = measured("thoughts_uncounted")
    assert findings(result)["fewer_than_chunks"] == REQUESTS
    assert (result.output_tokens, result.token_count_source) == (REQUESTS * (LONG_THOUGHTS + TOKENS), "chunks")
    assert result.verdict == "invalid"


def test_a_text_that_is_sent_under_two_names_is_counted_once(measured, tokens_of):
    result = measured("thoughts_twice counted")
    once = tokens_of(THOUGHT * 10 + TEXT * 10)
    assert REQUESTS * once <= result.output_tokens <= REQUESTS * (once + 1)  # with or without the end's own token
    assert measured("thoughts_twice").output_tokens == REQUESTS * TOKENS


def test_what_came_from_a_cache_is_a_part_of_the_input_however_it_is_counted(measured):
    result = measured("cached_apart")
    assert (result.output_tokens, result.cached_input_tokens) == (REQUESTS * TOKENS, REQUESTS * 992)
    assert result.input_tokens == REQUESTS * 1000
    assert findings(result) == {"cached": REQUESTS}
    assert result.verdict != "invalid"


def test_an_answer_that_ends_early_after_empty_reasons_is_cut_and_not_counted(measured):
    result = measured("cut_after_an_empty_reason")
    assert result.request_failures == {"cut": REQUESTS // 2}
    assert result.output_tokens == REQUESTS // 2 * TOKENS
    assert accusations(result) == {}


def test_an_error_after_some_text_fails_the_request_whatever_follows(measured):
    result = measured("error_after_text")
    assert result.request_failures == {"server_error": REQUESTS // 2}
    assert result.output_tokens == REQUESTS // 2 * TOKENS
    (message,) = set(result.process_results[0].failed_requests.message)
    assert "total request limit reached" in message


def test_an_answer_longer_than_asked_has_the_tokens_that_it_has(measured):
    result = measured("longer_than_asked")
    assert result.output_tokens == REQUESTS * 30
    assert accusations(result) == {}


def test_a_prompt_that_the_server_cut_is_told(measured):
    result = measured("prompt_cut counted")
    assert findings(result)["prompt_truncated"] == REQUESTS
    assert result.token_audit.input_tokens_in_dispute >= REQUESTS * (64 - WINDOW - 2)
    assert result.token_audit.output_tokens_in_dispute == 0
    assert "prompt" in told(result).lower()


def test_tokens_that_a_server_lists_with_their_probabilities_are_counted(measured):
    result = measured("no_usage_but_logprobs")
    assert result.output_tokens == REQUESTS * TOKENS
    assert set(accusations(result)) <= {"usage_missing"}  # its lists are a count, or are not
    assert result.verdict != "invalid"


@pytest.mark.parametrize("case", ["no_usage", "impossible_counts"])
def test_without_a_count_or_a_tokenizer_the_chunks_are_a_guess_that_spoils_the_verdict(measured, case):
    result = measured(case)
    assert result.request_failures == {}
    assert (result.output_tokens, result.token_count_source) == (REQUESTS * TOKENS, "chunks")
    assert findings(result)["usage_missing"] == REQUESTS
    assert result.token_audit.tokenizer_unavailable
    assert result.input_tokens is None
    assert result.verdict == "invalid"


def test_a_server_that_counts_nothing_is_not_accused_where_the_tokenizer_counts(measured, tokens_of):
    result = measured("no_usage counted")
    assert result.token_count_source == "tokenizer"  # noqa: S105
    exact = (TOKENS, tokens_of(TEXT * TOKENS))  # the limit that ended it, or its text
    assert min(exact) * REQUESTS <= result.output_tokens <= max(exact) * REQUESTS
    assert findings(result) == {"usage_missing": REQUESTS}
    assert result.token_audit.requests_counted_by_tokenizer == REQUESTS
    assert result.verdict != "invalid"


@pytest.mark.parametrize(("case", "disputed", "verdict"), [("one", 1, "not_measured"), ("three", 3, "invalid")])
def test_one_token_in_a_hundred_may_be_in_dispute_and_is_told(measured, case, disputed, verdict):
    result = measured(f"{case}_of_many")
    assert (result.output_tokens, result.token_count_source) == (MANY * TOKENS, "chunks")  # the weakest of them
    assert findings(result) == {"zero_with_text": disputed}
    assert result.token_audit.output_tokens_in_dispute == disputed * TOKENS
    assert f"{disputed * TOKENS} output tokens are in dispute" in told(result)
    assert result.verdict == verdict


def test_neutral_values_are_sent_and_those_of_no_known_server_are_not(measured, server):
    measured("in_turn")
    for asked in server.asked["in_turn"]:
        neutral = {name: asked.body.get(name) for name in ("top_p", "frequency_penalty", "presence_penalty")}
        assert neutral == {"top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}
        assert not {"top_k", "min_p", "repetition_penalty"} & set(asked.body)


@pytest.mark.parametrize(
    ("case", "refused"),
    [("refuses_options", "stream_options"), ("refuses_neutral_values", "top_p")],
)
def test_what_a_server_refuses_is_left_out_from_then_on_and_told(measured, server, case, refused):
    result = measured(case)
    assert (result.request_failures, result.output_tokens) == ({}, REQUESTS * TOKENS)
    assert accusations(result) == {}
    assert refused in told(result)
    having = [refused in asked.body for asked in server.asked[case]]
    assert having[0]
    assert not any(having[-REQUESTS:])


def test_a_refusal_that_remains_is_told_in_the_servers_own_words(measured):
    with pytest.raises(BackendError, match="the context has 7 tokens"):
        measured("refuses_always")
