"""Each extra alone is enough for what it is for, and what is missing is named with the extra that installs it."""

import json
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

from labledger.extras import EXTRAS
from standins.streaming_server import StreamingServer

ROOT = Path(__file__).parents[2]
OPTIONAL = (*EXTRAS, "pandas", "llvmlite", "sentencepiece", "openai", "anthropic", "google", "httpx", "requests")
WITH_TRANSFORMERS = {"tokenizers", "safetensors", "huggingface_hub"}
DISTRIBUTIONS = {"pydantic_ai": "pydantic-ai-slim"}
SHORT = """
name: short
scenario: {}
proposer: search
convergence: {{max_iterations: 1, stability_window: 1}}
output: {{directory: results, database: short.db}}
"""
PROGRAM = """
import json, sys
from typer.testing import CliRunner
from llenergymeasure.cli.main import app as llem
from payment_simulator.cli.main import app as payment_sim

apps = {"llem": llem, "payment-sim": payment_sim}
for line in sys.stdin:
    program, *arguments = json.loads(line)
    ended = CliRunner().invoke(apps[program], arguments)
    print(json.dumps([ended.exit_code, ended.stdout, ended.stderr]), flush=True)
"""


class Program:
    """Both commands in one process that does not find some packages."""

    def __init__(self, user, environment):
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=user.folder,
            env=user.environment(**environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments):
        """The exit code, standard output and standard error of a command."""
        self._process.stdin.write(json.dumps([str(each) for each in arguments]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@pytest.fixture
def command_without(user, hiding):
    made = []

    def command_without(*packages, **environment):
        made.append(Program(user, {**environment, "PYTHONPATH": hiding(*packages)}))
        return made[-1]

    yield command_without
    for each in made:
        each.close()


def served(user, url, **changes):
    fields = dict.fromkeys(("random_model", "device", "precision", "max_input_tokens", "decoder", "random_seed"))
    openai = {"base_url": url, "model": "stand-in", "endpoint": "completions"}
    return user.experiment(**{**fields, "model": "nobody/cached", "backend": "openai", "openai": openai, **changes})


def test_with_the_server_extra_alone_a_server_is_measured_and_its_results_are_read(user, command_without):
    command = command_without(*(name for name in OPTIONAL if name != "aiohttp"))
    with StreamingServer() as server:
        experiment = served(user, server.url)
        assert command("llem", "run", experiment, "--dry-run")[::2] == [0, "checked: it can run; nothing was run\n"]
        for _ in range(2):
            code, path, stderr = command("llem", "run", experiment, "-q", "--export-csv", "rows.csv")
            assert (code, stderr) == (0, "")
    result = json.loads((user.folder / path.strip()).read_text())
    assert result["output_tokens"] == 32
    (process,) = result["process_results"]
    assert "torch and transformers, which are not installed" in process["compute_metrics"]["flops_method"]
    for arguments in (
        ["results", "list"],
        ["results", "show", path.strip()],
        ["results", "verify"],
        ["results", "compare", *sorted(str(each) for each in (user.folder / "results").glob("nobody*"))],
        ["results", "export", "--output", "all.csv"],
        ["results", "recover"],
        ["meter", "--", "true"],
        ["doctor"],
        ["config", "schema"],
        ["config", "show", experiment],
        ["--version"],
    ):
        code, _, stderr = command("llem", *arguments)
        assert (arguments, code) == (arguments, 0)
        assert "error" not in stderr


def test_a_served_run_names_the_extra_of_a_tokenizer_that_it_needs_or_lacks(user, command_without):
    command = command_without(*(name for name in OPTIONAL if name != "aiohttp"))
    with StreamingServer() as server:
        synthetic = {"dataset": {"synthetic": {"input_len": 4, "output_len": 4}}, "max_output_tokens": None}
        code, _, stderr = command("llem", "run", served(user, server.url, **synthetic))
        assert (code, "transformers" in stderr) == (2, True)
        assert "run pip install -e '.[pytorch]' in the clone, or send prompts of text" in stderr
        silent = {"passthrough_kwargs": {"standin": {"usage": False}}}
        code, stdout, _ = command("llem", "run", served(user, server.url, **silent))
    assert (code, "invalid" in stdout) == (0, True)
    assert "transformers is not installed; run pip install -e '.[pytorch]'" in " ".join(stdout.split())


def test_without_any_extra_each_command_works_or_names_the_extra_it_needs(user, command_without):
    command = command_without(*OPTIONAL)
    scenario, experiment = ROOT / "examples/payments/gridlock.yaml", ROOT / "examples/payments/experiment_castro1.yaml"
    (user.folder / "results").mkdir()
    (user.folder / "an.db").touch()
    assert command("payment-sim", "run", scenario)[::2] == [0, ""]
    assert command("payment-sim", "experiment", "validate", experiment)[::2] == [0, ""]
    for extra, arguments in (
        ("pytorch", ["llem", "run", "-m", "random:llama"]),
        ("zeus", ["llem", "meter", "--source", "zeus", "--", "true"]),
        ("server", ["llem", "run", served(user, "http://127.0.0.1:9/v1")]),
        ("sql", ["llem", "results", "sql", "select 1"]),
        ("payments", ["payment-sim", "experiment", "run", experiment]),
        ("payments", ["payment-sim", "experiment", "results", "--db", "an.db"]),
        ("plot", ["payment-sim", "run", scenario, "--plot", "x.png"]),
    ):
        check_names_the_extra(command, extra, arguments)


def check_names_the_extra(command, extra, arguments):
    code, _, stderr = command(*arguments)
    assert code == 2, arguments
    assert f"run pip install -e '.[{extra}]'" in stderr, arguments
    assert "defect" not in stderr, arguments


def test_with_the_payments_extra_alone_an_experiment_is_run_and_read(user, command_without, compiled):
    command = command_without(
        *set(OPTIONAL) - {"duckdb", "pytz", "numba", "llvmlite"}, ANTHROPIC_API_KEY="k", **compiled
    )
    scenario = ROOT / "examples/payments/castro_exp1.yaml"
    experiment = user.write("short.yaml", SHORT.format(scenario))
    for arguments in (
        ["run", experiment],
        ["results"],
        ["show", "latest"],
        ["policy-evolution", "latest"],
        ["replay", "latest"],
        ["export", "latest", "--output", "exported"],
    ):
        assert (arguments, command("payment-sim", "experiment", *arguments)[0]) == (arguments, 0)
    chart = ["payment-sim", "experiment", "chart", "latest", "--output", "x.png"]
    check_names_the_extra(command, "plot", chart)
    kept = command("payment-sim", "experiment", "results")
    for name in ("run", "validate"):
        asks_a_model = ["payment-sim", "experiment", name, ROOT / "examples/payments/experiment_llm.yaml"]
        check_names_the_extra(command, "llm", asks_a_model)
    assert command("payment-sim", "experiment", "results") == kept


def test_every_package_that_is_named_with_an_extra_is_in_it():
    declared = {}
    for each in requires("labledger"):
        if found := re.match(r"([\w-]+).*extra == '(\w+)'", each.replace('"', "'")):
            declared.setdefault(found[2], set()).add(found[1])
    for package, extra in EXTRAS.items():
        name = "transformers" if package in WITH_TRANSFORMERS else DISTRIBUTIONS.get(package, package)
        assert name in declared[extra], package
