"""Servers that count truly are never accused, and those that do not always are."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audited_results import accusations, findings, told
from honest_answers import OF_OUTPUT, Speaker, prompts, three_tokens_that_are_cut_into_more
from llenergymeasure.api import run_experiment
from llenergymeasure.domain.experiment import ExperimentResult
from standins.scripted_server import DONE, ScriptedServer, counts, event, usage_event
from tokenizers_of_all_kinds import KINDS, build

pytestmark = pytest.mark.usefixtures("small_heap")

KIND = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "byte_level" else pytest.mark.slow) for kind in KINDS]
)
LIMIT = 96
SYNTHETIC = {"synthetic": {"input_len": 64, "output_len": LIMIT}}
COMPLETIONS = {"endpoint": "completions"}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Returns the tokenizer of each kind, which knows the folder that it is saved in."""

    @functools.cache
    def tokenizer(kind: str) -> Any:
        found = build(kind)
        found.name_or_path = str(tmp_path_factory.mktemp(kind))
        found.save_pretrained(found.name_or_path)
        return found

    return tokenizer


@pytest.fixture
def measure(tmp_path: Path) -> Callable[..., ExperimentResult]:
    """The result of a run against a server that gives a speaker's answers; `lies`: none of them with a true count."""

    def measure(speaker: Speaker, answers: int, *, lies=(), model=None, openai=None, **changes) -> ExperimentResult:
        dataset = tmp_path / "prompts.jsonl"
        dataset.write_text("".join(json.dumps({"prompt": each}) + "\n" for each in prompts(range(answers))))
        lengths = {"max_output_tokens": LIMIT, "dataset": str(dataset)} if "dataset" not in changes else {}
        with ScriptedServer({"it": speaker.script(lies)}) as server:
            return run_experiment(
                model=model or speaker.tokenizer.name_or_path,
                backend="openai",
                openai={"base_url": server.url("it"), "model": "m", **(openai or {})},
                num_prompts=answers,
                load={"concurrency": 16},
                warmup={"iterations": 0},
                energy={"source": "none"},
                **lengths | changes,
            )

    return measure


def check_honest(result: ExperimentResult, answers: int) -> None:
    assert result.request_failures == {}
    assert accusations(result) == {}
    audit = result.token_audit
    assert (audit.requests_checked, audit.requests_agreeing) == (answers, answers), audit
    assert (audit.output_tokens_in_dispute, audit.input_tokens_in_dispute) == (0, 0)
    assert result.token_count_source == "server"  # noqa: S105
    assert result.verdict != "invalid"


def check_found(result: ExperimentResult, answers: int) -> None:
    assert result.request_failures == {}
    assert result.token_audit.requests_checked == answers
    assert result.token_audit.requests_agreeing == 0
    assert sum(accusations(result).values()) >= answers
    assert told(result)


@KIND
def test_an_honest_server_is_not_accused_whatever_its_answers_look_like(measure, tokenizers, kind):
    result = measure(Speaker(tokenizers(kind)), 80)
    check_honest(result, 80)
    assert result.token_audit.requests_counted_by_tokenizer > 0
    assert 80 < result.output_tokens < 80 * LIMIT


@KIND
def test_a_count_that_is_wrong_by_half_or_more_is_found_in_every_answer(measure, tokenizers, kind):
    result = measure(Speaker(tokenizers(kind), 1), 30, lies=OF_OUTPUT)
    check_found(result, 30)
    assert {"zero_with_text", "tokenizer_differs"} <= accusations(result).keys()
    assert result.verdict == "invalid"
    assert result.token_count_source == "tokenizer"  # noqa: S105


def test_an_honest_server_is_not_accused_where_stop_strings_are_cut_off(measure, tokenizers):
    stops = {"passthrough_kwargs": {"stop": ["\nUser:"]}}
    check_honest(measure(Speaker(tokenizers("byte_level"), 2, stops=True), 50, **stops), 50)


def test_an_honest_server_is_not_accused_for_the_begin_and_end_it_adds_to_token_ids(measure, tokenizers):
    speaker = Speaker(tokenizers("byte_level"), 3)
    check_honest(measure(speaker, 30, openai=COMPLETIONS, dataset=SYNTHETIC), 30)


def test_a_prompt_that_was_cut_is_found_in_every_answer(measure, tokenizers):
    speaker = Speaker(tokenizers("byte_level"), 3)
    result = measure(speaker, 16, lies=["prompt_cut"], openai=COMPLETIONS, dataset=SYNTHETIC)
    check_found(result, 16)
    assert findings(result)["prompt_truncated"] == 16
    assert result.token_audit.output_tokens_in_dispute == 0


def test_an_honest_server_is_not_accused_where_no_tokenizer_can_vouch_for_it(measure, tokenizers):
    result = measure(Speaker(tokenizers("byte_level"), 4), 60, model="m")
    check_honest(result, 60)
    assert result.token_audit.tokenizer_unavailable


def test_an_honest_server_is_not_accused_of_bytes_that_are_no_text(measure, tokenizers):
    check_honest(measure(Speaker(tokenizers("byte_level"), 5, like_dummy_weights=True), 30), 30)


def test_three_tokens_that_came_letter_by_letter_are_three_tokens(tokenizers):
    tokenizer = tokenizers("byte_level")
    text = three_tokens_that_are_cut_into_more(tokenizer)
    letters = [event(letter) for letter in text]
    answer = [*letters, event(reason="stop"), usage_event(counts(40, 3)), DONE]
    with ScriptedServer({"it": lambda asked: answer}) as server:
        result = run_experiment(
            model=tokenizer.name_or_path,
            backend="openai",
            openai={"base_url": server.url("it"), "model": "m"},
            num_prompts=2,
            warmup={"iterations": 0},
            energy={"source": "none"},
        )
    assert accusations(result) == {}
    assert result.output_tokens == 2 * 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("how", "changes"),
    [
        ({}, {}),
        ({"stops": True}, {"passthrough_kwargs": {"stop": ["\nUser:"]}}),
        ({}, {"openai": COMPLETIONS}),
        ({}, {"model": "m"}),
        ({"like_dummy_weights": True}, {}),
    ],
    ids=["chat", "stop strings", "completions", "no tokenizer", "dummy weights"],
)
def test_no_honest_server_of_thousands_of_answers_is_accused(measure, tokenizers, kind, how, changes):
    check_honest(measure(Speaker(tokenizers(kind), 10, **how), 2000, **changes), 2000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lie", OF_OUTPUT)
def test_no_lie_of_a_thousand_answers_is_missed(measure, tokenizers, kind, lie):
    result = measure(Speaker(tokenizers(kind), 20), 1000, lies=[lie])
    check_found(result, 1000)
    assert result.verdict == "invalid"
