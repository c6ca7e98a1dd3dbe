"""A run whose proposer is a model, watched from outside: what is told while it is asked, and its budget."""

import json

import pytest
from typer.testing import CliRunner

from labledger import console
from payment_simulator.cli import waiting
from payment_simulator.cli.main import app
from standins.openai_server import ModelServer, propose, say

GAME = """
name: game
scenario: {scenario}
convergence: {{max_iterations: 1}}
llm:
  model: openai:some-model
  base_url: {url}
  max_total_tokens: 200
  price: {{input_per_million: 1.25, output_per_million: 10, currency: EUR}}
output: {{directory: results, database: game.db}}
"""


def borrow(fraction):
    return {"type": "Fifo", "parameters": {"initial_liquidity_fraction": fraction}}


@pytest.fixture
def command(tmp_path, monkeypatch, request):
    """Runs `payment-sim experiment` in a folder, with a server that gives these answers; its exit code and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    scenario = request.config.rootpath / "examples" / "payments" / "castro_exp1.yaml"
    (tmp_path / "castro.yaml").write_text(scenario.read_text())

    def called(*arguments, server):
        (tmp_path / "game.yaml").write_text(GAME.format(scenario="castro.yaml", url=server.url))
        return CliRunner().invoke(app, ["experiment", *arguments])

    return called


def test_each_question_and_answer_is_told_and_a_spent_budget_is_raised_on_resume(command, monkeypatch):
    monkeypatch.setattr(console, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(waiting, "MODEL_ALIVE_S", 0.05)
    monkeypatch.setattr(waiting, "SHOWN_AFTER_S", 0.0)
    answers = [say("I would borrow less."), say(json.dumps(borrow(0.0) | {"reasoning": "bare"}))]
    with ModelServer(*answers, propose(borrow(0.2), delay_s=0.6)) as server:
        spent = command("run", "game.yaml", server=server)
        raised = command("run", "game.yaml", "--resume", "latest", "--set", "llm.max_total_tokens=900", server=server)
        shown = command("show", "latest", server=server)
        other = command("run", "game.yaml", "--resume", "latest", "--set", "master_seed=1", server=server)
    told = spent.stderr.splitlines()
    assert "  BANK_A: the model is asked" in told
    assert "  BANK_A: refused: the answer has no JSON object in it" in told
    assert "  BANK_A: the model is asked again (1 refused)" in told
    (first, second) = [line for line in told if line.startswith("  BANK_A: answered: ")]
    assert first.endswith("100 tokens in, 20 out, 0.0003 EUR, 1 refused so far, 120 of 200 tokens so far")
    assert second.endswith("100 tokens in, 20 out, 0.0003 EUR, 1 refused so far, 240 of 200 tokens so far")
    assert spent.exit_code == 1
    assert "llm.max_total_tokens: 240 tokens of 200 are spent" in spent.stderr
    assert "--set llm.max_total_tokens=NUMBER" in spent.stderr
    assert raised.exit_code == 0, raised.stderr
    assert "running game: 1/1 (BANK_B): " in raised.stderr  # it was not silent while it waited
    assert "360 of 900 tokens so far" in raised.stderr
    assert "360, 0.0010 EUR" in shown.stdout
    assert "900 (200 until iteration 1)" in shown.stdout
    assert "--set master_seed: 1 here, 0 in the run" in other.stderr
    asked = server.requests[0].body["messages"][1]["content"]
    assert "balance = 50000, effective_liquidity = 50000" in asked
    assert "- 1: 15000; 5000; 0; 0" in asked


def test_where_a_server_counts_no_tokens_each_byte_counts_as_one_and_that_is_told_once(command):
    with ModelServer(say("I would borrow less.", tokens=None), propose(borrow(0.0), tokens=None)) as server:
        spent = command("run", "game.yaml", server=server)
        shown = command("show", "latest", server=server)
    rule = "a token is counted for each byte of question and answer"
    told = f"the server gives no counts of tokens: for llm.max_total_tokens {rule}"
    assert spent.exit_code == 1
    assert spent.stderr.count(told) == 1
    assert f"of 200 are spent, {rule} in 1 of the answers" in spent.stderr
    assert len(server.requests) == 1
    assert "and 1 answer whose tokens are not all known" in " ".join(shown.stdout.split())
