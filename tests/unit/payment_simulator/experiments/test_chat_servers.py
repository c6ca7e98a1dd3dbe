"""Answers of servers that speak OpenAI's protocol in their own way."""

import asyncio
import json
import warnings

import pytest
from contexts import FRACTION, make_context

from payment_simulator.experiments.config import Llm
from payment_simulator.experiments.proposers.llm import LlmProposer
from payment_simulator.experiments.proposers.protocol import EndpointError, UnusableAnswerError
from standins.openai_server import ModelServer, Reply

POLICY = {"type": "Fifo", "parameters": {FRACTION: 0.25}}
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": json.dumps(POLICY)}}
USAGE = {"prompt_tokens": 7, "completion_tokens": 8, "total_tokens": 15}
WHOLE = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE], "usage": USAGE}


def asked(**changed):
    """The policy in an answer that differs so from one as it should be, and its counts of tokens."""
    with ModelServer(Reply(body=json.dumps({**WHOLE, **changed}).encode())) as server:
        llm = Llm(model="openai:m", base_url=server.url, timeout_seconds=5.0, max_retries=0)
        one = LlmProposer(llm)
        context = make_context()
        asking = one.generate_policy(agent_id="A", prompt="?", current_policy={}, context=context)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                policy = asyncio.run(asking)
            except UnusableAnswerError as error:
                policy = str(error)
    last = one.get_last_interaction()
    return policy, (last.prompt_tokens, last.completion_tokens)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-8f3a91c2e7")


def test_counts_without_their_sum_are_counts():
    assert asked(usage={"prompt_tokens": 7, "completion_tokens": 8}) == (POLICY, (7, 8))


@pytest.mark.parametrize("key", ["id", "model", "created", "object"])
def test_an_answer_may_lack_its_name_its_date_and_its_model(key):
    assert asked(**{key: None}) == (POLICY, (7, 8))


@pytest.mark.parametrize("choices", [[], None, [{"index": 0}], [{**CHOICE, "message": None}]])
def test_an_answer_without_a_choice_is_refused_and_counted(choices):
    assert asked(choices=choices) == ("the answer has no JSON object in it", (7, 8))


def test_an_error_in_an_answer_that_says_that_all_is_well_is_told_in_the_servers_words():
    with pytest.raises(EndpointError, match="the model is loading"):
        asked(choices=None, error={"message": "the model is loading"})
