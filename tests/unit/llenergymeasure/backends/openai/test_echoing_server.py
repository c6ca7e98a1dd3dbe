"""A server that repeats the key in every answer and in every way: nothing of it is kept, raised, logged or printed."""

import base64
import json
import sys

import pytest

from labledger.commands import run_program
from llenergymeasure import run_experiment
from llenergymeasure.cli.main import app
from llenergymeasure.errors import BackendError
from llenergymeasure.results import journal
from standins.echoing_server import FAILURES, WRITINGS, EchoingServer

KEY = "sk-Zq8/4b1D+0c77aA93f4E2-tY6_mN"


@pytest.fixture(scope="module")
def server():
    with EchoingServer() as server:
        yield server


@pytest.fixture(scope="module")
def fields(server, tmp_path_factory):
    """A run that has each way to fail and each way to write the key, several times."""
    prompts = [f"say it, fail={number}" for number in range(len(FAILURES))] + ["say it"] * 2
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": each}) + "\n" for each in prompts * len(WRITINGS)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THE_KEY", KEY)
        yield {
            "model": "m",
            "backend": "openai",
            "openai": {"base_url": server.url, "api_key_env": "THE_KEY"},
            "dataset": str(path),
            "num_prompts": len(prompts) * len(WRITINGS),
            "max_output_tokens": 2,
            "warmup": {"iterations": 0},
            "energy": {"source": "none"},
            "load": {"concurrency": 4},
        }


@pytest.fixture(scope="module")
def measured(fields, tmp_path_factory):
    """The result, the directory that it is saved in, and the lines of its journal."""
    directory, lines, put = tmp_path_factory.mktemp("results"), [], journal.Journal._put
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal.Journal, "_put", lambda self, entry: lines.append(repr(entry)) or put(self, entry))
        return run_experiment(**fields, output_dir=directory), directory, lines


def shown(text):
    """The parts of the key, as it is, or in base64 whatever stands before it, that are in a text."""
    forms = [KEY, KEY[::-1], KEY.encode().hex()]
    forms += [base64.b64encode(b"user:"[:n] + KEY.encode()).decode()[8:-4] for n in range(6)]
    parts = {form[place : place + 12] for form in forms for place in range(len(form) - 11)}
    return [part for part in parts if part in text]


def test_a_server_that_repeats_the_key_everywhere_puts_nothing_of_it_into_results(measured):
    result, directory, lines = measured
    (process,) = result.process_results
    reasons, messages = process.requests.finish_reason, process.failed_requests.message
    assert len(reasons) == 2 * len(WRITINGS)
    assert len(messages) == len(FAILURES) * len(WRITINGS)
    for text in [*reasons, *messages, result.backend_version]:
        assert text.isprintable()
        assert shown(text) == []
    assert max(map(len, reasons)) == 64
    assert max(map(len, messages)) < 300
    kept = "".join(path.read_text() for path in directory.rglob("*") if path.is_file())
    assert len(lines) > len(messages)
    assert shown(kept + "".join(lines) + repr(result.model_dump())) == []
    assert len(kept) < 400_000


def test_errors_about_a_server_that_repeats_the_key_have_nothing_of_it(fields, tmp_path):
    path = tmp_path / "failing.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"fail={number}"}) + "\n" for number in range(len(FAILURES))))
    with pytest.raises(BackendError, match="all 9 requests failed") as caught:
        run_experiment(**{**fields, "dataset": str(path), "num_prompts": len(FAILURES)})
    assert shown(str(caught.value)) == []
    assert str(caught.value).isprintable()


def test_a_hostile_servers_result_is_printed_without_commands_for_the_terminal(measured, monkeypatch, capfd):
    result, directory, _ = measured
    query = "SELECT backend_version, model, chr(27) || ']0;x' || chr(7) AS t FROM results"
    commands = {
        "list": [directory],
        "list as JSON": [directory, "--json"],
        "show": [result.experiment_id, "--dir", directory],
        "show as JSON": [result.experiment_id, "--dir", directory, "--json"],
        "verify": [directory],
        "sql": [query, "--dir", directory],
        "sql as JSON": [query, "--dir", directory, "--json"],
    }
    for name, arguments in commands.items():
        monkeypatch.setattr(sys, "argv", ["llem", "results", name.split()[0], *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run_program(app)
        out, err = capfd.readouterr()
        assert (ended.value.code, err) == (0, "")
        assert out.replace("\n", "").isprintable()
        assert shown(out) == []
        if name.endswith("JSON"):
            json.loads(out)
