"""Policies from a language model, asked over real HTTP."""

import asyncio
import email.utils
import json
import logging
import re
import socket
import subprocess
import sys
import time
import traceback

import pytest
from contexts import FRACTION, constrained, make_context

from labledger.errors import ConfigError
from payment_simulator.experiments.config import Llm
from payment_simulator.experiments.proposers import llm as llm_module
from payment_simulator.experiments.proposers.constraints import stored_policy
from payment_simulator.experiments.proposers.llm import MAX_ANSWER, LlmProposer, policy_in
from payment_simulator.experiments.proposers.protocol import EndpointError, UnusableAnswerError
from standins.openai_server import REPORTED_MODEL, ModelServer, Reply, fail, propose, say, stall

KEY = "sk-test-8f3a91c2e7"
WAIT_S = 0.1
POLICY = {"type": "Fifo", "parameters": {FRACTION: 0.25}}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(llm_module, "FIRST_WAIT_S", WAIT_S)


def proposer(server, **options):
    settings = {"model": "openai:stand-in", "base_url": server.url, "timeout_seconds": 5.0, "max_retries": 0, **options}
    return LlmProposer(Llm(**settings))


async def asked(one, prompt="What now?"):
    return await one.generate_policy(agent_id="A", prompt=prompt, current_policy={}, context=make_context())


def ask(one, prompt="What now?"):
    return asyncio.run(asked(one, prompt))


# Answers


def test_a_models_policy_comes_out_with_what_it_cost():
    with ModelServer(propose(POLICY, tokens=(1234, 56), delay_s=0.1)) as server:
        one = proposer(server)
        assert one.get_last_interaction() is None
        assert ask(one) == POLICY
    last = one.get_last_interaction()
    assert (last.prompt_tokens, last.completion_tokens, last.model) == (1234, 56, REPORTED_MODEL)
    assert 0.1 <= last.latency_seconds < 5
    assert json.loads(last.response)["policy"] == POLICY
    assert last.prompt.endswith("What now?")


def test_a_count_of_tokens_that_no_request_can_have_is_unknown():
    with ModelServer(propose(POLICY, tokens=(10**30, 56))) as server:
        one = proposer(server)
        assert ask(one) == POLICY
    assert (one.get_last_interaction().prompt_tokens, one.get_last_interaction().completion_tokens) == (None, 56)


def test_a_model_is_sent_the_system_prompt_the_prompt_the_temperature_and_the_key():
    with ModelServer(propose(POLICY)) as server:
        ask(proposer(server, system_prompt="You are bank A.", temperature=0.5))
    (request,) = server.requests
    assert [(each["role"], each["content"]) for each in request.body["messages"]] == [
        ("system", "You are bank A."),
        ("user", "What now?"),
    ]
    assert (request.body["model"], request.body["temperature"]) == ("stand-in", 0.5)
    assert request.headers["authorization"] == f"Bearer {KEY}"


def test_a_model_is_sent_the_reasoning_effort_that_the_experiment_names_and_no_summary_is_asked_for():
    with ModelServer(propose(POLICY)) as server:
        ask(proposer(server, reasoning_effort="high", reasoning_summary="detailed"))
        ask(proposer(server))
    first, second = (request.body for request in server.requests)
    assert first["reasoning_effort"] == "high"
    assert "reasoning_effort" not in second
    assert not [key for key in first if "summary" in key]


def test_a_reasoning_effort_of_a_model_that_is_not_openais_is_refused():
    with pytest.raises(ValueError, match="reasoning_effort: is of OpenAI's protocol"):
        Llm(model="anthropic:some", reasoning_effort="high")


def test_without_a_system_prompt_of_its_own_a_model_gets_ours():
    with ModelServer(propose(POLICY)) as server:
        one = proposer(server)
        ask(one)
    assert "real-time gross settlement" in server.requests[0].body["messages"][0]["content"]
    assert "temperature" not in server.requests[0].body
    assert "real-time gross settlement" in one.get_last_interaction().prompt


@pytest.mark.parametrize("around", ["```json\n{}\n```", "Here it is:\n{}\nI hope that it helps."])
def test_what_a_model_says_around_its_answer_does_not_matter(around):
    assert policy_in(around.format(json.dumps({"policy": POLICY, "reasoning": "r"}))) == POLICY


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I would rather not.", "no JSON object"),
        ("", "no JSON object"),
        ("}{", "not JSON"),
        ('{"policy": {"type": "Fifo"}', "not JSON"),
        ('{"policy": {"type": "Fifo",}}', "the answer:1:28: not JSON"),
        ('{"reasoning": "none"}', "policy: required, and missing"),
        ('{"policy": "Fifo", "reasoning": "r"}', "policy: should be"),
        ('{"policy": {}, "reasoning": 7}', "reasoning: should be"),
        ('{"policy": {"x": NaN}}', "NaN is not a JSON number"),
        ('{"policy": {"x": ' + "9" * 10_000 + "}}", "the answer: "),
        ('{"policy": {"a": 1, "a": 2}}', "'a' stands twice"),
        ('{"a":' * 20_000 + "}", "nested over 400 deep"),
        ("{" + ", ".join(f'"{number}": 1' for number in (*range(15_000), 7)) + "}", "'7' stands twice"),
        ('{"policy": {"a": "' + "x" * 1_000_000 + '"}}', f"more than {MAX_ANSWER:,} characters"),
    ],
    ids=range(14),
)
def test_an_answer_that_is_no_policy_is_refused_with_the_reason_after_it_was_counted(text, reason):
    with ModelServer(say(text, tokens=(7, 8)), propose(POLICY)) as server:
        one = proposer(server)
        with pytest.raises(UnusableAnswerError) as raised:
            ask(one)
        assert reason in str(raised.value)
        assert len(str(raised.value)) < 2_000
        last = one.get_last_interaction()
        assert (last.prompt_tokens, last.completion_tokens) == (7, 8)
        assert last.response == text[: MAX_ANSWER + 1]
        with pytest.raises(UnusableAnswerError, match=re.escape(reason)):
            policy_in(last.response)
        assert len(server.requests) == 1
        assert ask(one) == POLICY


def test_a_policy_out_of_bounds_comes_out_as_it_is_and_the_next_one_is_asked_for():
    limits = constrained(allowed_parameters=[{"name": FRACTION, "min_value": 0, "max_value": 0.3}])
    with ModelServer(propose({"type": "Fifo", "parameters": {FRACTION: 0.9}}), propose(POLICY)) as server:
        one = proposer(server)
        with pytest.raises(UnusableAnswerError, match=r"should be from 0 to 0\.3, found 0\.9"):
            stored_policy(ask(one), limits, make_context().bank)
        assert stored_policy(ask(one), limits, make_context().bank) == POLICY


def test_an_answer_that_was_cut_off_or_withheld_says_so():
    with ModelServer(say('{"policy": {"ty', finish_reason="length"), say("", finish_reason="content_filter")) as server:
        with pytest.raises(UnusableAnswerError, match="cut off at the model's limit"):
            ask(proposer(server))
        with pytest.raises(UnusableAnswerError, match="withheld"):
            ask(proposer(server))


def test_an_answer_that_is_no_unicode_can_still_be_kept():
    with ModelServer(say("half a pair \ud800")) as server:
        one = proposer(server)
        with pytest.raises(UnusableAnswerError, match="no JSON object"):
            ask(one)
    assert one.get_last_interaction().response.encode() == b"half a pair ?"


def test_tokens_that_a_server_does_not_count_are_none():
    with ModelServer(propose(POLICY, tokens=None)) as server:
        one = proposer(server)
        ask(one)
    last = one.get_last_interaction()
    assert (last.prompt_tokens, last.completion_tokens) == (None, None)


def test_a_proposer_serves_several_event_loops_one_after_the_other():
    with ModelServer(propose(POLICY)) as server:
        one = proposer(server)
        assert [ask(one) for _ in range(3)] == [POLICY] * 3


@pytest.mark.parametrize(
    ("model", "key", "address"),
    [
        ("anthropic:stand-in", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
        ("openai:stand-in", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
        ("google:stand-in", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
        ("google:stand-in", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
    ],
)
def test_each_provider_is_asked_in_its_own_protocol(model, key, address, monkeypatch, capfd):
    with ModelServer(propose(POLICY, tokens=(11, 12)), fail(401, f"no such key: {KEY}")) as server:
        monkeypatch.setenv(key, KEY)
        monkeypatch.setenv(address, server.url if model.startswith("openai") else server.root)
        one = LlmProposer(Llm(model=model, max_retries=0))
        assert ask(one) == POLICY
        last = one.get_last_interaction()
        with pytest.raises(EndpointError, match=r"HTTP 401: .*no such key: \(the key\)"):
            ask(one)
    assert (last.prompt_tokens, last.completion_tokens, last.model) == (11, 12, REPORTED_MODEL)
    assert KEY in " ".join(server.requests[0].headers.values())
    assert one.get_last_interaction() is None
    assert capfd.readouterr() == ("", "")


# A server that fails


def test_too_many_requests_are_sent_again_when_the_server_says():
    date = email.utils.formatdate(time.time() + 2, usegmt=True)
    with ModelServer(fail(429, retry_after="1"), fail(429, retry_after=date), propose(POLICY)) as server:
        assert ask(proposer(server, max_retries=2)) == POLICY
    first, second, third = (request.at_s for request in server.requests)
    assert 1 <= second - first < 10
    assert third - second < 10


def test_a_server_that_asks_for_a_very_long_wait_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(llm_module, "LONGEST_WAIT_S", 0.1)
    with ModelServer(fail(429, retry_after="86400"), propose(POLICY)) as server:
        assert ask(proposer(server, max_retries=1)) == POLICY


def test_a_servers_error_is_waited_out_ever_longer():
    with ModelServer(fail(500), fail(503), propose(POLICY)) as server:
        assert ask(proposer(server, max_retries=2)) == POLICY
    first, second, third = (request.at_s for request in server.requests)
    assert second - first >= WAIT_S
    assert third - second >= 2 * WAIT_S


def test_a_server_that_fails_again_and_again_ends_in_its_own_words():
    with ModelServer(fail(500, "the disk is full")) as server:
        one = proposer(server, max_retries=1)
        with pytest.raises(EndpointError, match=r"openai:stand-in at .*: HTTP 500: the disk is full \(2 tries\)"):
            ask(one)
    assert len(server.requests) == 2
    assert one.get_last_interaction() is None


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (fail(400, "no such setting"), "HTTP 400: no such setting"),
        (fail(401, "wrong key"), "HTTP 401: wrong key; check OPENAI_API_KEY"),
        (fail(403, "not for you"), "HTTP 403: not for you; check OPENAI_API_KEY"),
        (fail(404, "no such model"), "HTTP 404: no such model; check the model's name and base_url"),
        (fail(429, "nothing left to pay with", code="insufficient_quota"), "nothing left to pay with"),
        (fail(400, "two\nlines\x1b[2J"), "HTTP 400: two lines\ufffd[2J"),
        (Reply(status=404, body=b""), "HTTP 404: without a word; check"),
        (Reply(status=400, body=b"plain text", headers={"Content-Type": "text/plain"}), "plain text"),
    ],
)
def test_what_would_fail_again_ends_at_once_in_the_servers_words(reply, said):
    with ModelServer(reply) as server:
        with pytest.raises(EndpointError) as raised:
            ask(proposer(server, max_retries=5))
        assert said in str(raised.value)
        assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"<html>a login page</html>", b"{}", b"null"])
def test_a_server_that_speaks_another_protocol_is_reported(body):
    with ModelServer(Reply(body=body)) as server, pytest.raises(EndpointError, match="openai:stand-in at http"):
        ask(proposer(server))


@pytest.mark.parametrize("after", ["headers", "body"])
def test_a_server_that_stalls_is_given_up_when_its_time_is_over(after):
    with ModelServer(stall(after)) as server:
        began_s = time.monotonic()
        with pytest.raises(EndpointError, match=r"timed out after 0\.3 seconds"):
            ask(proposer(server, timeout_seconds=0.3))
        assert time.monotonic() - began_s < 5


def test_after_a_stall_a_good_answer_counts():
    with ModelServer(stall(), propose(POLICY)) as server:
        assert ask(proposer(server, timeout_seconds=0.5, max_retries=1)) == POLICY


def test_a_server_that_is_not_there_is_reported():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    settings = Llm(model="openai:stand-in", base_url=url, max_retries=1, timeout_seconds=5.0)
    with pytest.raises(EndpointError, match=r"onnection.* \(2 tries\)"):
        ask(LlmProposer(settings))


def test_cancelling_ends_a_wait_at_once():
    async def cancelled(one):
        task = asyncio.create_task(asked(one))
        await asyncio.sleep(0.3)
        task.cancel()
        began_s = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began_s

    for reply in (stall("headers"), stall("body"), fail(429, retry_after="30")):
        with ModelServer(reply) as server:
            assert asyncio.run(cancelled(proposer(server, timeout_seconds=60.0, max_retries=3))) < 5


# Keys


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("anthropic:a", "ANTHROPIC_API_KEY"),
        ("openai:o", "OPENAI_API_KEY"),
        ("google:g", "GOOGLE_API_KEY or GEMINI_API_KEY"),
    ],
)
def test_a_key_that_is_missing_is_named_before_anything_is_sent(model, variable, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", " ")
    with pytest.raises(EndpointError, match=f"no key in the environment; set {variable}"):
        LlmProposer(Llm(model=model))


def test_a_server_of_ones_own_needs_no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with ModelServer(propose(POLICY)) as server:
        assert ask(proposer(server)) == POLICY
    assert KEY not in server.requests[0].headers["authorization"]


def test_a_key_that_cannot_be_sent_is_refused_without_being_said(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\u2026")
    with pytest.raises(EndpointError) as raised:
        LlmProposer(Llm(model="openai:o"))
    assert "OPENAI_API_KEY: the API key holds" in str(raised.value)
    assert KEY not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    "reply",
    [
        fail(401, f"Incorrect API key provided: {KEY}"),
        fail(500, f"Authorization: Bearer {KEY}"),
        say(f"Your key is {KEY}"),
        propose(POLICY, reasoning=KEY),
        Reply(body=f"<html>{KEY}</html>".encode(), headers={"Content-Type": "text/html"}),
        stall(),
    ],
    ids=range(6),
)
def test_a_key_is_in_no_error_no_record_no_log_and_no_output(reply, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    found = []
    with ModelServer(reply) as server:
        one = proposer(server, timeout_seconds=0.5)
        try:
            ask(one, prompt=f"The experimenter wrote {KEY}")
        except (EndpointError, UnusableAnswerError) as error:
            raised = error
            while raised is not None:
                found += [str(raised), repr(raised), repr(vars(raised)), *traceback.format_exception(raised)]
                raised = raised.__cause__ or raised.__context__
    assert KEY in server.requests[0].headers["authorization"]
    found += [repr(one), repr(one.get_last_interaction()), caplog.text, *capfd.readouterr()]
    assert KEY not in "\n".join(found)


def test_nothing_is_printed_while_a_model_is_asked(capfd):
    with ModelServer(fail(500), propose(POLICY)) as server:
        ask(proposer(server, max_retries=1))
    assert capfd.readouterr() == ("", "")


# The library


@pytest.mark.parametrize("choices", [["x"], {"a": 1}, [7], [{"message": [1]}]])
def test_an_answer_whose_choices_have_an_odd_shape_is_an_error_of_the_server(choices):
    body = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": KEY, "choices": choices})
    with ModelServer(Reply(body=body.encode())) as server, pytest.raises(EndpointError) as caught:
        ask(proposer(server))
    assert server.url in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert len(server.requests) == 1


def test_without_its_library_a_proposer_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic_ai.models.openai", None)
    monkeypatch.delitem(sys.modules, "payment_simulator.experiments.proposers.chat_servers", raising=False)
    with pytest.raises(ConfigError, match=r"run pip install -e '.\[llm\]'"):
        LlmProposer(Llm(model="openai:o"))


def test_the_library_is_not_imported_before_a_proposer_is_made():
    modules = "payment_simulator.cli.main, payment_simulator.experiments.proposers.llm"
    check = (
        f"import sys, {modules}; print([name for name in sys.modules if name.startswith(('pydantic_ai', 'openai'))])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
