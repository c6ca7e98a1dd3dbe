"""Whole runs in Python, on a small real model."""

import hashlib
import json

import pytest
import transformers
from replays import SteadyGpu
from tiny import tiny_config

from labledger.console import Silent
from llenergymeasure import ExperimentConfig, ExperimentResult, measure_energy, run_experiment
from llenergymeasure.config.models import UserConfig
from llenergymeasure.domain.experiment import RawProcessResult, compute_measurement_config_hash
from llenergymeasure.errors import BackendError, ConfigError, PreFlightError
from llenergymeasure.run import harness

pytestmark = pytest.mark.usefixtures("small_heap")

USER = UserConfig()


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


def failing_from(monkeypatch, call, error):
    """From its `call`th call on, generation fails with `error`."""
    generate, calls = transformers.LlamaForCausalLM.generate, []

    def counted(self, **arguments):
        calls.append(1)
        if len(calls) >= call:
            raise error
        return generate(self, **arguments)

    monkeypatch.setattr(transformers.LlamaForCausalLM, "generate", counted)


def test_run_experiment_gives_a_result_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run_experiment(tiny_config(decoder={"ignore_eos": True}))
    assert result.output_tokens == 4 * 6
    assert result.energy_source == "estimate"
    assert list(tmp_path.iterdir()) == []


def test_run_experiment_saves_into_its_output_directory(tmp_path):
    result = run_experiment(tiny_config(), output_dir=tmp_path / "out")
    (path,) = (tmp_path / "out").glob("*/result.json")
    assert ExperimentResult.from_json(path) == result


def test_fields_stand_over_the_configuration_that_is_given(tmp_path):
    result = run_experiment(tiny_config(), num_prompts=2, energy={"source": "none"})
    assert result.effective_config["num_prompts"] == 2
    assert result.total_energy_j is None
    assert result.verdict == "not_measured"


def test_a_sections_keys_stand_over_the_configuration_one_by_one():
    config = tiny_config(warmup={"iterations": 1, "thermal_floor_seconds": 0.001})
    result = run_experiment(config, warmup={"iterations": 2})
    assert result.warmup_result.iterations_completed == 2
    assert result.effective_config["warmup"]["thermal_floor_seconds"] == 0.001


def test_the_shape_of_a_random_model_is_in_the_result():
    assert ExperimentConfig(model="random:llama").in_effect()["random_model"]["num_hidden_layers"] == 8


def test_a_wrong_field_beside_a_yaml_is_named_as_pythons_argument(tmp_path):
    (tmp_path / "x.yaml").write_text("model: random:llama")
    with pytest.raises(ConfigError, match=r"^num_prompts: should be"):
        run_experiment(tmp_path / "x.yaml", num_prompts=0)


@pytest.mark.parametrize("config", [None, ExperimentConfig(model="random:llama")])
def test_a_misspelt_field_of_python_is_refused_with_the_nearest_known_one(config):
    with pytest.raises(ConfigError, match=r"^batch_sise: unknown key \(did you mean batch_size\?\)$"):
        run_experiment(config, **({} if config else {"model": "random:llama"}), batch_sise=4)
    with pytest.raises(ConfigError, match=r"^sorce: unknown key \(did you mean source\?\)$"):
        measure_energy(sorce="rapl")


def test_the_result_says_what_ran():
    config = tiny_config(device="auto")
    result = run_experiment(config)
    assert result.effective_config["device"] in ("cpu", "cuda:0")
    assert result.effective_config["energy"] == {"source": "estimate"}
    assert result.measurement_config_hash == compute_measurement_config_hash(config)
    assert result.environment_snapshot.packages["torch"]
    assert result.environment_snapshot.cpu_logical_cores
    assert result.environment_snapshot.hostname is None
    (process,) = result.process_results
    assert process.inference_metrics.output_tokens == result.output_tokens
    assert len(process.requests.ttft_ms) == 4


def test_a_local_models_weights_are_hashed(model_folder):
    digest = hashlib.sha256()
    for file in sorted(model_folder.glob("*.safetensors")):
        digest.update(file.name.encode() + file.read_bytes())
    result = run_experiment(tiny_config(model=str(model_folder), random_model=None))
    assert result.environment_snapshot.model_weights_sha256 == digest.hexdigest()


def test_a_meter_that_measures_gives_baseline_and_adjusted_energy():
    config = tiny_config(baseline={"duration_seconds": 0.05})
    result, *_ = harness.run(config, USER, Silent(), meter=SteadyGpu(power_w=100.0))
    assert result.baseline_power_w == pytest.approx(100.0)
    assert result.energy_adjusted_j == pytest.approx(0.0, abs=1e-6)
    assert result.mean_power_w == pytest.approx(100.0)
    assert result.energy_uncertainty_j == 3.0


def test_a_warmup_that_converged_gives_a_steady_state():
    warmup = {"convergence_detection": True, "cv_threshold": 100.0, "window_size": 2, "max_prompts": 3}
    result = run_experiment(tiny_config(num_prompts=5, warmup=warmup))
    assert result.measurement_methodology == "steady_state"
    assert result.warmup_result.converged
    assert result.warmup_excluded_samples == 2 * 2
    start_s, end_s = result.steady_state_window
    assert end_s - start_s == pytest.approx(result.total_inference_time_sec)
    assert result.latency_stats.e2e_ms.n == 4  # the fifth was alone in its batch


def test_what_was_measured_before_a_failure_is_kept_and_the_error_says_where(tmp_path, monkeypatch):
    failing_from(monkeypatch, 2, RuntimeError("CUDA error: unspecified launch failure"))
    with pytest.raises(BackendError, match=r"batch 2.*unspecified launch failure") as failure:
        run_experiment(tiny_config(), output_dir=tmp_path)
    (kept,) = tmp_path.glob(".state/*/process_0.json")
    assert str(kept) in failure.value.__notes__[0]
    raw = RawProcessResult.model_validate(json.loads(kept.read_text()))
    assert len(raw.requests.e2e_ms) == 2
    assert [each.name for each in tmp_path.iterdir()] == [".state"]


def test_a_failure_before_anything_was_measured_leaves_nothing(tmp_path, monkeypatch):
    failing_from(monkeypatch, 1, RuntimeError("no"))
    with pytest.raises(BackendError):
        run_experiment(tiny_config(), output_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_reason_that_a_run_cannot_start_is_reported_at_once(tmp_path):
    file = tmp_path / "a file"
    file.write_text("")
    config = tiny_config(
        model=str(tmp_path / "nowhere"), random_model=None, dataset=str(tmp_path / "no.jsonl"), lora={"path": "nope"}
    )
    with pytest.raises(PreFlightError) as failure:
        run_experiment(config, output_dir=file)
    starts = [line.partition(" ")[0] for line in str(failure.value).splitlines()]
    assert starts == ["model:", "lora.path:", "output:", "dataset:"]


@pytest.mark.parametrize("target", ["link", "nowhere"])
def test_a_place_of_results_that_is_a_link_to_nothing_is_refused_before_the_run(tmp_path, target):
    (tmp_path / "link").symlink_to(tmp_path / target)
    for place in (tmp_path / "link", tmp_path / "link" / "below"):
        with pytest.raises(PreFlightError, match=r"output: .*link is a symbolic link that leads nowhere; name a dir"):
            run_experiment(tiny_config(), output_dir=place)


def test_equal_configurations_have_equal_hashes_and_others_others():
    first, again, other = (
        compute_measurement_config_hash(ExperimentConfig(model="gpt2", batch_size=size)) for size in (1, 1, 2)
    )
    assert first == again != other
    assert len(first) == 16
