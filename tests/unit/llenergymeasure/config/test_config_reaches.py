"""Every field of the configuration reaches what it configures: a proof for each, and none without."""

import json
import os
import shutil
import subprocess
import sys
import time
from typing import get_args

import numpy as np
import pytest
import torch
import transformers
from pydantic import BaseModel
from quality_proofs import PROOFS as PROOFS_OF_QUALITY
from replays import RecordedWarmup, SteadyGpu
from server_proofs import PROOFS as PROOFS_OF_SERVERS
from tiny import TINY_SHAPE, save_adapter, tiny_config

import warm
from labledger.console import Silent
from labledger.sections import models_in
from llenergymeasure.backends.protocol import Gpus
from llenergymeasure.backends.pytorch import checks
from llenergymeasure.backends.pytorch.backend import PytorchBackend
from llenergymeasure.backends.pytorch.loading import load
from llenergymeasure.config.models import EnergyConfig, ExperimentConfig, UserConfig
from llenergymeasure.energy.idle import idle_power, watch_idle
from llenergymeasure.energy.sources import choose_meter, find_sources
from llenergymeasure.metrics.energy import ReportedDevices
from llenergymeasure.metrics.steady_state import choose_window
from llenergymeasure.run.boards.settings import set_boards
from llenergymeasure.run.warmup import run_warmup
from llenergymeasure.workload.prompts import build_requests, builtin_text, load_prompts

pytestmark = pytest.mark.usefixtures("small_heap")


def loaded(**changes):
    return load(tiny_config(**changes), builtin_text).model


def generated(monkeypatch, **changes):
    """The arguments of the first `generate` call, and its batches."""
    calls = []
    generate = transformers.LlamaForCausalLM.generate

    def recording(self, **arguments):
        calls.append(arguments)
        return generate(self, **arguments)

    monkeypatch.setattr(transformers.LlamaForCausalLM, "generate", recording)
    config = tiny_config(**changes)
    backend = PytorchBackend(config, builtin_text)
    facts = backend.load()
    backend.prepare(build_requests(config, load_prompts(config).prompts, facts.prompt_tokens))
    return calls, list(backend.run())


def settings(monkeypatch, name, **decoder):
    calls, _ = generated(monkeypatch, decoder=decoder)
    return getattr(calls[0]["generation_config"], name)


def warmed(latencies_s, *, thermal_wait=True, **warmup):
    waits = []
    config = tiny_config(warmup=warmup).warmup
    backend = RecordedWarmup(latencies_s)
    result = run_warmup(backend, config, Silent(), thermal_wait=thermal_wait, sleep=waits.append).result
    return backend.calls, result, waits


def baseline(**fields):
    slept = []
    window = watch_idle(SteadyGpu(), tiny_config(baseline=fields).baseline, sleep=slept.append)
    return idle_power(SteadyGpu(), window, ReportedDevices(on_accelerator=False)), slept


def first_query_layer(model):
    return model.model.layers[0].self_attn.q_proj


def proves_model(monkeypatch, tmp_path, folder):
    assert loaded(model=str(folder), random_model=None).config._name_or_path == str(folder)


def shape_field(name, value):
    def proves(monkeypatch, tmp_path, folder):
        model = loaded(random_model={**TINY_SHAPE, name: value})
        assert getattr(model.config, name) == value

    return proves


def proves_tied_embeddings(monkeypatch, tmp_path, folder):
    model = loaded(random_model={**TINY_SHAPE, "tie_word_embeddings": True})
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def proves_backend(monkeypatch, tmp_path, folder):
    with pytest.raises(ValueError, match="pytorch"):
        tiny_config(backend="vllm")


def proves_precision(monkeypatch, tmp_path, folder):
    kinds = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    assert {name: loaded(precision=name).dtype for name in kinds} == kinds


def proves_device(monkeypatch, tmp_path, folder):
    assert load(tiny_config(device="cpu"), builtin_text).device == "cpu"
    if not torch.cuda.is_available():
        assert any("device: cuda asked for" in each for each in checks.problems(tiny_config(device="cuda"), Gpus()))


def proves_dataset(monkeypatch, tmp_path, folder):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"prompt": "This is the prompt that the model must receive."}) + "\n")
    calls, _ = generated(monkeypatch, dataset=str(path), num_prompts=1, max_input_tokens=None)
    tokenizer = load(tiny_config(), builtin_text).tokenizer
    received = tokenizer.decode(calls[0]["input_ids"][0], skip_special_tokens=True)
    assert received == "This is the prompt that the model must receive."


def proves_chat_template(monkeypatch, tmp_path, folder):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"prompt": "Asked."}) + "\n")
    calls, _ = generated(monkeypatch, dataset=str(path), num_prompts=1, max_input_tokens=None, chat_template="always")
    received = load(tiny_config(), builtin_text).tokenizer.decode(calls[0]["input_ids"][0], skip_special_tokens=True)
    assert received == "user: Asked.\nassistant:"


def proves_synthetic_lengths(monkeypatch, tmp_path, folder):
    lengths = {"synthetic": {"input_len": 9, "output_len": 3}}
    _, batches = generated(monkeypatch, dataset=lengths, max_input_tokens=None, max_output_tokens=None)
    assert {(each.input_tokens, each.output_tokens) for batch in batches for each in batch.requests} == {(9, 3)}


DRAWN = {
    "uniform": {"min": 5, "max": 30},
    "normal": {"mean": 12.0, "stdev": 6.0, "min": 5, "max": 30},
    "lognormal": {"mean": 12.0, "stdev": 6.0, "min": 5, "max": 60},
}
CHANGED = {"min": 9, "max": 15, "mean": 20.0, "stdev": 1.0}


def drawn(which, kind, **changes):
    lengths = {"input_len": 4, "output_len": 4, which: {"distribution": kind, **DRAWN[kind], **changes}}
    config = tiny_config(dataset={"synthetic": lengths}, max_input_tokens=None, max_output_tokens=None, num_prompts=60)
    requests = build_requests(config, [], range(3, 400))
    return [len(each.token_ids) if which == "input_len" else each.max_output_tokens for each in requests]


def length_field(which, kind, field):
    def proves(monkeypatch, tmp_path, folder):
        if field == "distribution":
            assert all(drawn(which, kind) != drawn(which, other) for other in DRAWN if other != kind)
            return
        before, after = drawn(which, kind), drawn(which, kind, **{field: CHANGED[field]})
        summary = {"min": min, "max": max, "mean": np.mean, "stdev": np.std}[field]
        assert summary(before) != pytest.approx(summary(after), abs=2)
        assert summary(after) == pytest.approx(CHANGED[field], abs=1.5)

    return proves


def proves_shared_prefix(monkeypatch, tmp_path, folder):
    lengths = {"synthetic": {"input_len": 9, "output_len": 3, "shared_prefix": 0.7}}
    calls, _ = generated(monkeypatch, dataset=lengths, max_input_tokens=None, max_output_tokens=None, batch_size=4)
    assert [len(set(column)) > 1 for column in calls[0]["input_ids"].T.tolist()] == [False] * 6 + [True] * 3


def proves_num_prompts(monkeypatch, tmp_path, folder):
    _, batches = generated(monkeypatch, num_prompts=3)
    assert sum(len(batch.requests) for batch in batches) == 3


def proves_dataset_repeat(monkeypatch, tmp_path, folder):
    path = tmp_path / "prompts.jsonl"
    path.write_text('"one"\n"two"\n')
    _, batches = generated(monkeypatch, dataset=str(path), num_prompts=5, dataset_repeat=True)
    assert sum(len(batch.requests) for batch in batches) == 5


def proves_max_input_tokens(monkeypatch, tmp_path, folder):
    calls, _ = generated(monkeypatch, max_input_tokens=5)
    assert calls[0]["input_ids"].shape[1] == 5


def proves_max_output_tokens(monkeypatch, tmp_path, folder):
    calls, _ = generated(monkeypatch, max_output_tokens=3)
    assert calls[0]["generation_config"].max_new_tokens == 3


def proves_batch_size(monkeypatch, tmp_path, folder):
    calls, _ = generated(monkeypatch, batch_size=3)
    assert [call["input_ids"].shape[0] for call in calls] == [3, 1]


def proves_random_seed(monkeypatch, tmp_path, folder):
    first, again, other = (loaded(random_seed=seed).lm_head.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def decoder_field(name, value, sampled=True):
    def proves(monkeypatch, tmp_path, folder):
        assert settings(monkeypatch, name, do_sample=sampled, **({} if name == "do_sample" else {name: value})) == value

    return proves


def proves_ignore_eos(monkeypatch, tmp_path, folder):
    assert settings(monkeypatch, "eos_token_id", ignore_eos=False) is not None
    assert settings(monkeypatch, "eos_token_id", ignore_eos=True) is None


def proves_warmup_iterations(monkeypatch, tmp_path, folder):
    calls, result, _ = warmed([1.0], iterations=3)
    assert calls == result.iterations_completed == 3


def proves_convergence_detection(monkeypatch, tmp_path, folder):
    calls, result, _ = warmed([5.0, 1.0], convergence_detection=True)
    assert (calls, result.converged) == (6, True)


def proves_cv_threshold(monkeypatch, tmp_path, folder):
    _, result, _ = warmed([5.0, 1.0], convergence_detection=True, cv_threshold=10.0)
    assert (result.iterations_completed, result.target_cv) == (5, 10.0)


def proves_window_size(monkeypatch, tmp_path, folder):
    calls, _, _ = warmed([1.0], convergence_detection=True, window_size=3)
    assert calls == 3


def proves_max_prompts(monkeypatch, tmp_path, folder):
    calls, result, _ = warmed([1.0, 2.0] * 20, convergence_detection=True, max_prompts=7)
    assert (calls, result.converged) == (7, False)


def proves_thermal_floor(monkeypatch, tmp_path, folder):
    _, result, waits = warmed([1.0], iterations=1, thermal_floor_seconds=12.5)
    assert waits == [12.5]
    assert result.thermal_floor_wait_s == 12.5


def proves_baseline_enabled(monkeypatch, tmp_path, folder):
    assert baseline(enabled=True, duration_seconds=0.5)[0].power_w == pytest.approx(100.0)
    assert baseline(enabled=False)[0].power_w is None


def proves_baseline_duration(monkeypatch, tmp_path, folder):
    assert baseline(duration_seconds=7.5)[1] == [7.5]


def chosen(gpus, **energy):
    gpus(gpus.board())
    return choose_meter(EnergyConfig(**energy), UserConfig(), find_sources())


def metered(gpus, **energy):
    """The meter after a third of a second."""
    with chosen(gpus, **energy).meter as meter:
        start_s = time.monotonic()
        time.sleep(0.35)
    return meter, start_s


def proves_energy_source(gpus):
    for source in ("nvml_counter", "nvml_power", "zeus", "estimate", "none"):
        assert chosen(gpus, source=source).meter.source == source
    assert chosen(gpus).meter.source == "nvml_counter"


def proves_sampling_hz(gpus):
    slow, fast = (
        metered(gpus, source="nvml_power", sampling_hz=hz)[0].recording.series("GPU-1", "temperature_c")[0]
        for hz in (5.0, 50.0)
    )
    assert len(fast) > 3 * len(slow)


def proves_sensor_gain(gpus):
    meter, start_s = metered(gpus, source="nvml_counter", sensor_gain=0.02)
    (device,) = meter.energy(start_s, start_s + 0.2)
    assert device.gain_j == pytest.approx(0.02 * device.energy_j)


def proves_cross_check(gpus):
    assert "zeus" in chosen(gpus).not_used
    assert "zeus" not in chosen(gpus, cross_check="zeus").not_used


def board_setting(name, value, what, kept):
    def proves(gpus):
        module = gpus(gpus.board(power_limits_w=[100, 700], clocks_mhz=[210, 1410], seconds=1.0))
        with set_boards(tiny_config(device="auto", gpu={name: value}), find_sources()):
            assert module._set_values({"uuid": "GPU-1"})[what] == kept

    return proves


def proves_measurement_window(monkeypatch, tmp_path, folder):
    asked = tiny_config(measurement={"window": [1, 2]}).measurement.window
    window = choose_window(asked, None, "no batch was full", 10.0, 15.0)
    assert (window.methodology, window.start_s, window.end_s) == ("windowed", 11.0, 12.0)


def proves_lora_path(monkeypatch, tmp_path, folder):
    path = save_adapter(folder, tmp_path / "adapter")
    model = loaded(model=str(folder), random_model=None, lora={"path": path}, precision="bf16")
    assert hasattr(first_query_layer(model), "lora_A")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def proves_lora_merge(monkeypatch, tmp_path, folder):
    path = save_adapter(folder, tmp_path / "adapter")
    plain = first_query_layer(loaded(model=str(folder), random_model=None))
    merged = first_query_layer(loaded(model=str(folder), random_model=None, lora={"path": path, "merge": True}))
    assert type(merged) is torch.nn.Linear
    assert not torch.equal(merged.weight, plain.weight)


def proves_attention(monkeypatch, tmp_path, folder):
    names = {
        name: loaded(pytorch={"attn_implementation": name}).config._attn_implementation for name in ("sdpa", "eager")
    }
    assert names == {"sdpa": "sdpa", "eager": "eager"}


def proves_cache(monkeypatch, tmp_path, folder):
    calls, batches = generated(monkeypatch, pytorch={"cache": "static"})
    assert calls[0]["generation_config"].cache_implementation == "static"
    assert batches[0].attended_tokens == 16 + 6 - 1


def proves_torch_compile(monkeypatch, tmp_path, folder):
    assert hasattr(loaded(pytorch={"torch_compile": True}).forward, "_torchdynamo_orig_callable")
    assert not hasattr(loaded().forward, "_torchdynamo_orig_callable")


def proves_trust_remote_code(monkeypatch, tmp_path, folder):
    path = folder_with_code(folder, tmp_path / "own-code")
    config = {"model": str(path), "random_model": None}
    assert any("trust_remote_code" in each for each in checks.problems(tiny_config(**config), Gpus()))
    trusting = tiny_config(**config, pytorch={"trust_remote_code": True})
    assert not list(checks.problems(trusting, Gpus()))
    assert type(load(trusting, builtin_text).model).__name__ == "OwnLlama"


def folder_with_code(folder, copy):
    shutil.copytree(folder, copy)
    (copy / "own.py").write_text("from transformers import LlamaForCausalLM\nclass OwnLlama(LlamaForCausalLM): pass\n")
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "own.OwnLlama"}
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def proves_revision(monkeypatch, tmp_path, folder):
    asked = []
    from_pretrained = transformers.AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(
        transformers.AutoModelForCausalLM,
        "from_pretrained",
        lambda **arguments: asked.append(arguments["revision"]) or from_pretrained(**arguments),
    )
    load(tiny_config(model=str(folder), random_model=None, pytorch={"revision": "v1.0"}), builtin_text)
    assert asked == ["v1.0"]


def proves_allow_missing_weights(monkeypatch, tmp_path, folder):
    base = transformers.AutoModelForCausalLM.from_pretrained(folder).model
    headless = shutil.copytree(folder, tmp_path / "headless")
    base.save_pretrained(headless)
    config = {"model": str(headless), "random_model": None}
    assert any("allow_missing_weights" in each for each in checks.weight_problems(tiny_config(**config)))
    allowing = tiny_config(**config, pytorch={"allow_missing_weights": True})
    assert not list(checks.weight_problems(allowing))
    assert "(lm_head.weight)" in load(allowing, builtin_text).remarks[0]


RUN_AND_WHO_RAN = """
import sys
from llenergymeasure import ExperimentConfig, run_experiment
result = run_experiment(ExperimentConfig.model_validate_json(sys.argv[1]), output_dir=sys.argv[2])
print([process.process_index for process in result.process_results])
"""


def proves_data_parallel(monkeypatch, tmp_path, folder):
    config = tiny_config(pytorch={"data_parallel": 2}).model_dump_json(exclude_unset=True)
    command = [sys.executable, "-c", RUN_AND_WHO_RAN, config, tmp_path]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **warm.SETTINGS}
    with warm.Popen(command, env=environment, workers=True, stdout=subprocess.PIPE, text=True) as process:
        assert process.communicate()[0] == "[0, 1]\n"


def proves_passthrough(monkeypatch, tmp_path, folder):
    calls, _ = generated(monkeypatch, passthrough_kwargs={"no_repeat_ngram_size": 2})
    assert calls[0]["no_repeat_ngram_size"] == 2


PROOFS = {
    "model": proves_model,
    **{
        f"random_model.{name}": shape_field(name, value)
        for name, value in {
            "hidden_size": 80,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "vocab_size": 600,
            "max_position_embeddings": 64,
        }.items()
    },
    "random_model.tie_word_embeddings": proves_tied_embeddings,
    "backend": proves_backend,
    "precision": proves_precision,
    "device": proves_device,
    "dataset": proves_dataset,
    "dataset.synthetic.input_len": proves_synthetic_lengths,
    "dataset.synthetic.output_len": proves_synthetic_lengths,
    **{
        f"dataset.synthetic.{which}.{kind}.{field}": length_field(which, kind, field)
        for which in ("input_len", "output_len")
        for kind in DRAWN
        for field in ("distribution", *DRAWN[kind])
    },
    "dataset.synthetic.shared_prefix": proves_shared_prefix,
    "chat_template": proves_chat_template,
    "num_prompts": proves_num_prompts,
    "dataset_repeat": proves_dataset_repeat,
    "max_input_tokens": proves_max_input_tokens,
    "max_output_tokens": proves_max_output_tokens,
    "batch_size": proves_batch_size,
    "random_seed": proves_random_seed,
    "decoder.do_sample": decoder_field("do_sample", True),
    "decoder.temperature": decoder_field("temperature", 0.7),
    "decoder.top_k": decoder_field("top_k", 5),
    "decoder.top_p": decoder_field("top_p", 0.9),
    "decoder.min_p": decoder_field("min_p", 0.1),
    "decoder.repetition_penalty": decoder_field("repetition_penalty", 1.3, sampled=False),
    "decoder.ignore_eos": proves_ignore_eos,
    "warmup.iterations": proves_warmup_iterations,
    "warmup.convergence_detection": proves_convergence_detection,
    "warmup.cv_threshold": proves_cv_threshold,
    "warmup.window_size": proves_window_size,
    "warmup.max_prompts": proves_max_prompts,
    "warmup.thermal_floor_seconds": proves_thermal_floor,
    "baseline.enabled": proves_baseline_enabled,
    "baseline.duration_seconds": proves_baseline_duration,
    "energy.source": proves_energy_source,
    "energy.sampling_hz": proves_sampling_hz,
    "energy.sensor_gain": proves_sensor_gain,
    "energy.cross_check": proves_cross_check,
    "gpu.power_limit_w": board_setting("power_limit_w", 300, "limit_mw", 300_000),
    "gpu.clock_mhz": board_setting("clock_mhz", 1410, "clock_mhz", 1410),
    "measurement.window": proves_measurement_window,
    "lora.path": proves_lora_path,
    "lora.merge": proves_lora_merge,
    "pytorch.attn_implementation": proves_attention,
    "pytorch.cache": proves_cache,
    "pytorch.torch_compile": proves_torch_compile,
    "pytorch.trust_remote_code": proves_trust_remote_code,
    "pytorch.allow_missing_weights": proves_allow_missing_weights,
    "pytorch.revision": proves_revision,
    "pytorch.data_parallel": proves_data_parallel,
    "passthrough_kwargs": proves_passthrough,
    **PROOFS_OF_QUALITY,
}


def fields(model: type[BaseModel], prefix=""):
    """The path of every value that a YAML may hold; a section counts as its own fields, one of several by its tag."""
    for name, field in model.model_fields.items():
        sections = models_in(field.annotation)
        if len(sections) != 1 or name == "dataset":
            yield prefix + name
        for section in sections:
            tag = "" if len(sections) == 1 else get_args(section.model_fields["distribution"].annotation)[0] + "."
            yield from fields(section, f"{prefix}{name}.{tag}")


def test_every_field_has_a_proof_and_every_proof_a_field():
    known = set(fields(ExperimentConfig)) - {"dataset.synthetic"}
    assert known == {*PROOFS, *PROOFS_OF_SERVERS}


@pytest.mark.parametrize("field", PROOFS)
def test_the_field_reaches_what_it_configures(field, monkeypatch, tmp_path, model_folder, gpus):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if field.startswith(("energy.", "gpu.")):
        PROOFS[field](gpus)
    else:
        PROOFS[field](monkeypatch, tmp_path, model_folder)
