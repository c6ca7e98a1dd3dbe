"""Experiments whose proposer is a language model, against a server that speaks OpenAI's protocol."""

import asyncio
import base64
import contextlib
import dataclasses
import json
import urllib.parse
from pathlib import Path

import pytest

from labledger.errors import ConfigError, LabledgerError
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.persistence import ExperimentRepository
from payment_simulator.experiments.proposers import llm as llm_module
from payment_simulator.experiments.proposers.protocol import EndpointError
from payment_simulator.experiments.runner import GenericExperimentRunner
from standins.openai_server import ModelServer, fail, propose, say, stall

EXAMPLES = Path(__file__).parents[2] / "examples" / "payments"
KEY = "sk-this-is-to-be-seen-nowhere-0123456789"


def borrow(fraction):
    return {"type": "Fifo", "parameters": {"initial_liquidity_fraction": fraction}}


def out_of_bounds():
    return propose(borrow(0.95))


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Runs Castro's first game with these answers; the run's record, its events, and what ended it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(llm_module, "FIRST_WAIT_S", 0.05)

    def played(*replies, run_id="game", resume=False, at=None, **llm):
        with contextlib.nullcontext(at) if at else ModelServer(*replies) as server:
            config = ExperimentConfig.model_validate(
                {
                    "name": "game",
                    "scenario": "castro_exp1.yaml",
                    "convergence": {"max_iterations": 1},
                    "llm": {"model": "openai:some-model", "base_url": server.url, "timeout_seconds": 1.0} | llm,
                    "policy_constraints": {
                        "allowed_parameters": [{"name": "initial_liquidity_fraction", "min_value": 0, "max_value": 0.9}]
                    },
                    "output": {"directory": str(tmp_path), "database": "runs.db"},
                }
            )
            runner = GenericExperimentRunner(config, run_id=run_id, config_dir=EXAMPLES)
            ended = None
            try:
                asyncio.run(runner.resume() if resume else runner.run())
            except LabledgerError as error:
                ended = error
        with ExperimentRepository(tmp_path / "runs.db") as repository:
            return repository.load_experiment(run_id), repository.get_events(run_id), ended, server

    return played


def kinds(events):
    return [event.event_type for event in events if event.event_type.startswith(("llm", "policy"))]


def tokens(events):
    found = [event.event_data for event in events if event.event_type == "llm_interaction"]
    return [(data["prompt_tokens"], data["completion_tokens"]) for data in found]


def decisions(events):
    found = [event.event_data for event in events if event.event_type in ("policy_accepted", "policy_rejected")]
    return [(data["agent_id"], data["final"], data["reason"]) for data in found]


def test_a_good_proposer_is_followed_and_its_tokens_are_counted(play):
    record, events, ended, server = play(propose(borrow(0.0), tokens=(321, 45)), propose(borrow(0.2), tokens=(322, 46)))
    assert ended is None
    assert (record.status, record.final_costs_by_agent) == ("completed", {"BANK_A": 0, "BANK_B": 2_000})
    assert record.final_nash_gap == 0
    assert kinds(events) == ["llm_interaction", "policy_proposed", "policy_accepted"] * 2
    assert tokens(events) == [(321, 45), (322, 46)]
    (first, *_) = [event.event_data for event in events if event.event_type == "llm_interaction"]
    assert first["agent_id"] == "BANK_A"
    assert first["model"] == "stand-in-2026-01-01"
    assert "BANK_A" in first["prompt"]
    assert json.loads(first["response"])["policy"] == borrow(0.0)
    assert first["latency_seconds"] > 0
    assert len(server.requests) == 2


def test_an_answer_that_is_no_json_goes_back_with_what_is_wrong_and_costs_its_tokens(play):
    _, events, ended, server = play(say("I would borrow less."), propose(borrow(0.0)), propose(borrow(0.5)))
    assert ended is None
    assert kinds(events) == [
        *("llm_interaction", "llm_interaction", "policy_rejected", "policy_proposed", "policy_accepted"),
        *("llm_interaction", "policy_proposed", "policy_rejected"),
    ]
    assert tokens(events) == [(100, 20)] * 3
    assert "I would borrow less." in json.dumps(server.requests[1].body)
    assert decisions(events)[-1] == ("BANK_B", True, "saves 0 cents")


def test_a_policy_out_of_bounds_is_named_and_a_good_one_taken_after_it(play):
    _, events, _, server = play(out_of_bounds(), propose(borrow(0.0)), propose(borrow(0.2)))
    agent, final, reason = decisions(events)[0]
    assert (agent, final) == ("BANK_A", False)
    assert "parameters.initial_liquidity_fraction" in reason
    assert "0.9" in reason
    assert "0.9" in json.dumps(server.requests[1].body["messages"])
    assert [each[1] for each in decisions(events)] == [False, True, True]


def test_a_bank_whose_every_answer_is_refused_keeps_its_policy(play):
    record, events, ended, server = play(*[out_of_bounds()] * 3, propose(borrow(0.2)), max_retries=2)
    assert ended is None
    assert [each[:2] for each in decisions(events)] == [
        ("BANK_A", False),
        ("BANK_A", False),
        ("BANK_A", True),
        ("BANK_B", True),
    ]
    assert record.final_policies["BANK_A"] == {"type": "Fifo"}
    assert len(server.requests) == 4


def test_a_server_that_is_busy_is_asked_again_after_the_time_that_it_names(play):
    _, events, ended, server = play(fail(429, retry_after="1"), propose(borrow(0.0)), propose(borrow(0.2)))
    assert ended is None
    assert server.requests[1].at_s - server.requests[0].at_s >= 1
    assert tokens(events) == [(100, 20)] * 2


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ([fail(500, "out of order")], "out of order"),
        ([stall()], "1"),
        ([fail(401, "no such key")], "no such key"),
    ],
)
def test_a_server_that_fails_again_and_again_fails_the_run_and_nothing_is_lost(play, replies, words):
    record, events, ended, _ = play(propose(borrow(0.0)), *replies, max_retries=1)
    assert isinstance(ended, EndpointError)
    assert words in str(ended)
    assert (record.status, record.convergence_reason, record.final_cost) == ("failed", "failed", None)
    assert kinds(events) == ["llm_interaction", "policy_proposed", "policy_accepted"]
    (failed,) = [event for event in events if event.event_type == "experiment_failed"]
    assert failed.event_data["message"] == str(ended)


def test_a_failed_run_goes_on_where_it_was_left_and_asks_nobody_twice(play):
    with ModelServer(propose(borrow(0.0)), fail(401)) as server:
        _, _, ended, _ = play(at=server)
        assert isinstance(ended, EndpointError)
        server.replies[:] = [propose(borrow(0.2))]
        record, events, ended, _ = play(at=server, resume=True)
    assert ended is None
    assert (record.status, record.final_costs_by_agent) == ("completed", {"BANK_A": 0, "BANK_B": 2_000})
    assert kinds(events) == ["llm_interaction", "policy_proposed", "policy_accepted"] * 2
    assert [event.event_type for event in events if "experiment" in event.event_type] == [
        "experiment_started",
        "experiment_failed",
        "experiment_resumed",
        "experiment_completed",
    ]


def test_an_answer_that_was_stored_and_not_acted_on_is_used_and_not_paid_for_again(play, tmp_path):
    with ModelServer(propose(borrow(0.0)), propose(borrow(0.2))) as server:
        _, whole, _, _ = play(at=server)
        begun = [event for event in whole if event.event_type in ("experiment_started", "evaluation")]
        answered = next(event for event in whole if event.event_type == "llm_interaction")
        with ExperimentRepository(tmp_path / "runs.db") as repository:
            record = repository.load_experiment("game")
            (iteration,) = repository.get_iterations("game")
            left = dataclasses.replace(record, experiment_id="left", status="interrupted", completed_at=None)
            with repository.transaction() as step:
                step.save_experiment(left)
                step.save_iteration(dataclasses.replace(iteration, experiment_id="left"))
                step.save_events(dataclasses.replace(each, experiment_id="left") for each in [*begun, answered])
        _, events, ended, _ = play(at=server, run_id="left", resume=True)
    assert ended is None
    assert kinds(events) == kinds(whole)
    assert len(server.requests) == 3
    assert decisions(events) == decisions(whole)


def test_a_token_budget_that_is_spent_fails_the_run(play):
    record, events, ended, server = play(propose(borrow(0.0), tokens=(90, 30)), max_total_tokens=120)
    assert "llm.max_total_tokens: 120 tokens of 120 are spent" in str(ended)
    assert (record.status, len(server.requests)) == ("failed", 1)
    assert kinds(events) == ["llm_interaction", "policy_proposed", "policy_accepted"]


def test_the_key_is_in_no_file_and_no_message(play, tmp_path):
    _, _, ended, server = play(say(f"you sent {KEY}"), propose(borrow(0.1)), fail(400, f"bad key {KEY}"))
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(ended)
    play(propose(borrow(0.0)), run_id="other")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "result.json" for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_no_way_of_writing_the_key_brings_it_into_a_database_or_a_message(play):
    encoded = base64.b64encode(f"user:{KEY}".encode()).decode()
    said = f"{urllib.parse.quote(KEY, safe='')} | {encoded} | {KEY[5:25]} | {' '.join(KEY)} \x1b]0;x\x07 \x00"
    _, events, ended, _ = play(
        say(said), say(f'{{"policy": {{}}, "reasoning": "{said}"}}'), fail(400, "x" * 800 + said)
    )
    everything = json.dumps([event.event_data for event in events]) + str(ended)
    parts = [form[place : place + 12] for form in (KEY, encoded[8:-4]) for place in range(len(form) - 11)]
    assert not [part for part in [*parts, " ".join(KEY)] if part in everything]
    answer = next(event for event in events if event.event_type == "llm_interaction").event_data["response"]
    assert answer.count("(the key)") == 4
    assert "\x00" not in answer
    assert str(ended).isprintable()


def test_a_key_that_is_written_into_an_experiment_is_refused_and_not_repeated(tmp_path):
    key = "tPq8Zx7Lm2"
    file = tmp_path / "experiment.yaml"
    for llm, place in (
        (f"{{model: 'openai:m', api_key: {key}}}", "llm.api_key"),
        (f"{{model: 'openai:m', base_url: 'http://u:{key}@host/v1'}}", "llm.base_url"),
        ("{model: 'openai:m', base_url: 'http://host/sk-a1B2c3D4e5F6a1B2c3D4/v1'}", "llm.base_url"),
        ("{model: 'openai:m', system_prompt: 'mine is hf_a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2'}", "llm.system_prompt"),
    ):
        file.write_text(f"name: n\nscenario: s.yaml\nllm: {llm}\n")
        with pytest.raises(ConfigError) as caught:
            ExperimentConfig.from_yaml(file)
        assert f"experiment.yaml:3: {place}: holds " in str(caught.value)
        assert "; set it in the environment" in str(caught.value)
        assert not any(part in str(caught.value) for part in (key, "a1B2"))
    fields = {"name": "n", "scenario": "castro_exp1.yaml", "prompt_customization": {"A": f"https://me:{key}@host"}}
    with pytest.raises(ConfigError, match=r"^prompt_customization\.A: holds a password in a URL") as caught:
        GenericExperimentRunner(ExperimentConfig.model_validate(fields), config_dir=EXAMPLES)
    assert key not in str(caught.value)


def test_without_a_key_nothing_is_asked_and_the_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    config = ExperimentConfig.model_validate(
        {
            "name": "keyless",
            "scenario": "castro_exp1.yaml",
            "llm": {"model": "anthropic:some-model"},
            "output": {"directory": str(tmp_path), "database": "runs.db"},
        }
    )
    runner = GenericExperimentRunner(config, config_dir=EXAMPLES)
    with pytest.raises(EndpointError, match="ANTHROPIC_API_KEY"):
        asyncio.run(runner.run())
    with ExperimentRepository(tmp_path / "runs.db") as repository:
        assert [record.status for record in repository.list_experiments()] == ["failed"]


def test_a_budget_counts_bytes_where_answers_are_not_counted_and_that_is_told_once_and_kept(play, caplog):
    answers = [propose(borrow(0.0), tokens=None), propose(borrow(0.2), tokens=None)]
    _, events, ended, _ = play(*answers, max_total_tokens=1_000_000)
    assert ended is None
    told = [each.getMessage() for each in caplog.records if "for llm.max_total_tokens a token" in each.getMessage()]
    assert len(told) == 1
    stored = [event.event_data["uncounted"] for event in events if event.event_type == "llm_interaction"]
    assert stored == ["the server gives no counts of tokens"] * 2
