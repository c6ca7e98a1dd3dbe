"""`llem run`, as a user runs it."""

import json
import re
import warnings
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult

FOLDER = re.compile(r"random-llama_pytorch_\d{4}-\d\d-\d\dT\d\d-\d\d")
NUMBER = r"\d[\d,]*(\.\d+)?"


def load(path):
    """The result, with every warning an error: a file that was just saved gives no reason for one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ExperimentResult.from_json(path)


@pytest.fixture(scope="module")
def plain_user(new_user):
    return new_user()


@pytest.fixture(scope="module")
def plain_run(plain_user):
    """A run of a YAML, and nothing else said."""
    return plain_user.llem("run", plain_user.experiment())


@pytest.fixture(scope="module")
def result_path(plain_user, plain_run):
    return next(plain_user.folder.glob("results/*/result.json"))


@pytest.fixture(scope="module")
def result(result_path):
    return load(result_path)


def test_a_run_of_a_yaml_ends_well(plain_run):
    assert plain_run.code == 0


def test_the_answer_is_a_table_of_what_ran_and_what_it_cost(plain_run):
    rows = dict(re.findall(r"^ (\S.*?)\s{2,}(\S.*?)\s*$", plain_run.stdout, re.MULTILINE))
    assert rows["model"] == "random:llama"
    assert rows["backend"].startswith("pytorch (transformers ")
    assert rows["device"].startswith("cpu (")
    assert rows["tokens"] == "80 (64 in, 16 out)"
    assert re.fullmatch(NUMBER, rows["output tokens/s"])
    assert re.fullmatch(rf"{NUMBER} ms mean, {NUMBER} ms p99", rows["TTFT"])
    assert re.fullmatch(rf"{NUMBER} ms mean, {NUMBER} ms p99", rows["TPOT"])
    assert re.fullmatch(rf"{NUMBER} ± {NUMBER} J/token \(estimate\)", rows["energy/output token"])


def test_the_answer_ends_with_the_warnings_and_the_saved_folder(plain_run, result, result_path):
    assert result.measurement_warnings
    assert all(f"! {warning}\n" in plain_run.stdout for warning in result.measurement_warnings)
    assert "estimate" in " ".join(result.measurement_warnings)
    assert plain_run.stdout.rstrip().endswith(f"saved in results/{result_path.parent.name}")


def test_progress_goes_to_stderr_a_line_a_phase(plain_run):
    ended = [line for line in plain_run.stderr.splitlines() if "…" not in line]  # which one that takes long has too
    phases = [line.rpartition(": ")[0] for line in ended]
    assert list(dict.fromkeys(phases)) == ["checking", "loading random:llama", "warming up", "measuring", "summing up"]


def test_the_result_stands_alone_in_its_folder_and_nothing_else_is_made(plain_user, plain_run, result_path):
    assert FOLDER.fullmatch(result_path.parent.name)
    assert plain_user.results() == [result_path.parent.name, f"{result_path.parent.name}/result.json"]
    assert plain_user.made() == ["results"]
    assert not plain_user.unsaved.exists()


def test_the_saved_tokens_are_those_that_were_read_and_generated(result):
    (process,) = result.process_results
    assert process.requests.input_tokens == [16] * 4
    assert process.requests.output_tokens == [4] * 4
    assert process.requests.finish_reason == ["length"] * 4
    assert (result.input_tokens, result.output_tokens, result.total_tokens) == (64, 16, 80)
    assert process.inference_metrics.total_tokens == 80
    assert "4 prompts were cut to max_input_tokens = 16." in result.measurement_warnings


def test_the_saved_rates_and_latencies_agree_with_the_window(result):
    window_s = result.total_inference_time_sec
    assert result.output_tokens_per_second == pytest.approx(16 / window_s)
    assert result.avg_tokens_per_second == pytest.approx(80 / window_s)
    assert result.requests_per_second == pytest.approx(4 / window_s)
    assert result.duration_sec == pytest.approx(window_s, abs=1e-5)
    latency, requests = result.latency_stats, result.process_results[0].requests
    assert (latency.ttft_ms.n, latency.tpot_ms.n, latency.itl_ms.n, latency.e2e_ms.n) == (4, 4, 12, 4)
    assert latency.ttft_ms.mean == pytest.approx(sum(requests.ttft_ms) / 4)
    assert latency.e2e_ms.mean == pytest.approx(latency.ttft_ms.mean + 3 * latency.tpot_ms.mean)
    assert sum(requests.e2e_ms) <= window_s * 1e3


def test_energy_without_a_sensor_is_an_estimate_and_named_one(result):
    assert (result.energy_source, result.energy_scope, result.verdict) == ("estimate", "cpu", "not_measured")
    assert result.verdict_reasons == ["energy is an estimate (source: estimate)"]
    assert result.total_energy_j > 0
    assert result.energy_uncertainty_j == pytest.approx(result.total_energy_j)
    assert result.energy_per_output_token_j == pytest.approx(result.total_energy_j / 16)
    assert result.avg_energy_per_token_j == pytest.approx(result.total_energy_j / 80)
    assert (result.mean_power_w, result.energy_adjusted_j, result.baseline_power_w) == (None, None, None)


def test_the_saved_configuration_is_what_ran(result):
    config = result.effective_config
    assert (config["device"], config["precision"], config["num_prompts"]) == ("cpu", "fp32", 4)
    assert config["energy"]["source"] == "estimate"
    assert config["random_model"]["hidden_size"] == 64
    assert (result.measurement_methodology, result.warmup_result, result.warmup_excluded_samples) == ("total", None, 0)


def test_the_machine_is_recorded_without_its_name(result):
    environment = result.environment_snapshot
    assert environment.tool_version
    assert environment.python_version
    assert "torch" in environment.packages
    assert environment.hostname is None


@pytest.fixture(scope="module")
def json_user(new_user):
    """A user who has stated the power of a core."""
    user = new_user()
    user.config_file.write_text("cpu_watts_per_core: 4\n", encoding="utf-8")
    return user


@pytest.fixture(scope="module")
def json_run(json_user):
    """A run that prints JSON, with flags over its YAML."""
    flags = ["--num-prompts", "3", "--batch-size", "2", "--precision", "bf16", "--output", "elsewhere"]
    return json_user.llem("run", json_user.experiment(), "--json", *flags)


def test_json_on_stdout_is_the_saved_file_but_for_its_seal(json_user, json_run):
    (path,) = json_user.folder.glob("elsewhere/*/result.json")
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert json_run.code == 0
    assert saved.pop("integrity")
    assert json.loads(json_run.stdout) == saved


def test_flags_stand_over_the_yaml_and_the_rest_of_it_holds(json_run):
    printed = json.loads(json_run.stdout)
    config = printed["effective_config"]
    assert (config["num_prompts"], config["batch_size"], config["precision"]) == (3, 2, "bf16")
    assert (config["max_output_tokens"], config["random_model"]["hidden_size"]) == (4, 64)
    assert printed["process_results"][0]["requests"]["output_tokens"] == [4] * 3


def test_watts_that_the_user_states_narrow_the_bound_of_the_estimate(json_run):
    printed = json.loads(json_run.stdout)
    assert printed["energy_source"] == "estimate"
    assert printed["energy_uncertainty_j"] == pytest.approx(0.6 * printed["total_energy_j"])
    assert "cpu_watts_per_core" not in printed["effective_config"]


@pytest.fixture
def two_at_once(user):
    """Two quiet runs of one YAML into one directory at the same time."""
    command = ("run", user.experiment(), "--quiet")
    with user.start(*command) as first, user.start(*command) as second:
        return [(process.wait(), *process.communicate()) for process in (first, second)]


def test_two_runs_at_once_get_a_folder_each_and_quietly_print_just_its_path(user, two_at_once):
    assert [(code, stderr) for code, _, stderr in two_at_once] == [(0, "")] * 2
    paths = [Path(stdout.removesuffix("\n")) for _, stdout, _ in two_at_once]
    assert sorted(paths) == sorted(path.relative_to(user.folder) for path in user.folder.glob("results/*/result.json"))
    first, second = (load(user.folder / path) for path in paths)
    assert first.experiment_id != second.experiment_id
    assert first.measurement_config_hash == second.measurement_config_hash


def test_a_model_folder_is_measured_on_the_prompts_of_a_file(user, model_copy, dataset):
    yaml = user.experiment(model=f"./{model_copy}", random_model=None, dataset=str(dataset), max_input_tokens=None)
    ended = user.llem("run", yaml, "--quiet")
    result = load(user.folder / ended.stdout.strip())
    config, environment = result.effective_config, result.environment_snapshot
    assert (config["model"], config["dataset"], config["num_prompts"]) == ("./tiny.model", "prompts.jsonl", 4)
    assert len(environment.model_weights_sha256) == 64
    assert result.output_tokens == 16
    assert ended.stdout.startswith("results/tiny.model_pytorch_")
    assert not any("cut" in warning for warning in result.measurement_warnings)
