"""Counts of tokens and messages that a server leaves out or gets wrong."""

import asyncio
import json
import warnings

import pytest
from contexts import make_context

from payment_simulator.experiments.config import Llm
from payment_simulator.experiments.proposers.llm import LlmProposer
from payment_simulator.experiments.proposers.protocol import EndpointError, UnusableAnswerError
from standins.openai_server import ModelServer, Reply, fail

POLICY = {"type": "Fifo"}
MESSAGE = {"role": "assistant", "content": json.dumps({"policy": POLICY})}
KEY = "sk-ab3f91c2e7d04b58a6yz"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def asked(reply):
    """Return what comes out of an answer, and the interaction; a library's warning is an error."""
    with ModelServer(reply) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        one = LlmProposer(Llm(model="openai:x", base_url=server.url, timeout_seconds=5.0, max_retries=0))
        try:
            found = asyncio.run(
                one.generate_policy(agent_id="A", prompt="p", current_policy={}, context=make_context())
            )
        except (UnusableAnswerError, EndpointError) as error:
            found = error
    return found, one.get_last_interaction()


def answer(**changes):
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    choices = [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]
    return Reply(body=json.dumps({**body, "choices": choices, **changes}).encode())


@pytest.mark.parametrize(
    ("usage", "counts", "reason"),
    [
        ({"prompt_tokens": 5}, (5, None), "completion_tokens is not given"),
        ({"completion_tokens": 5}, (None, 5), "prompt_tokens is not given"),
        ({"prompt_tokens": 5.5, "completion_tokens": 2}, (None, 2), "prompt_tokens is 5.5"),
        ({"prompt_tokens": "many", "completion_tokens": 2}, (None, 2), "prompt_tokens is 'many'"),
        ({"prompt_tokens": 5, "completion_tokens": True}, (5, None), "completion_tokens is True"),
        ({"prompt_tokens": None, "completion_tokens": 2}, (None, 2), "prompt_tokens is not given"),
        ({"prompt_tokens": -5, "completion_tokens": 2}, (None, 2), "prompt_tokens is -5"),
        ({"prompt_tokens": 10**18, "completion_tokens": 2}, (None, 2), "which counts no tokens"),
        ([1], (None, None), "gives no counts"),
        (None, (None, None), "gives no counts"),
    ],
)
def test_a_count_that_is_none_is_unknown_with_the_reason_and_the_policy_counts(usage, counts, reason):
    found, last = asked(answer(usage=usage))
    assert found == POLICY
    assert (last.prompt_tokens, last.completion_tokens) == counts
    assert reason in last.uncounted


@pytest.mark.parametrize("choices", [[], None, [{"index": 0}], [{"index": 0, "message": None}]])
def test_an_answer_without_a_message_is_refused_after_its_tokens_are_counted(choices):
    found, last = asked(answer(choices=choices, usage={"prompt_tokens": 7, "completion_tokens": 1}))
    assert isinstance(found, UnusableAnswerError)
    assert (last.prompt_tokens, last.completion_tokens, last.uncounted) == (7, 1, None)


def test_a_key_that_a_server_repeats_with_its_middle_masked_is_hidden():
    found, _ = asked(fail(401, "Incorrect API key provided: sk-ab***yz. See the page ***here***."))
    assert "sk-ab" not in str(found)
    assert "yz" not in str(found)
    assert "(the key). See the page ***here***." in str(found)
