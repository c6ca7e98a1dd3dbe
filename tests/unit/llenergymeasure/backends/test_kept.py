"""A loaded model, or a started server, that serves the next run: for which runs it may, and that each is as if new."""

import json
import socket
import sys
from pathlib import Path

import psutil
import pytest
import transformers
from pydantic import BaseModel
from tiny import TINY_SHAPE, tiny_config

from labledger.console import Silent
from labledger.sections import models_in
from llenergymeasure.backends.kept import Kept
from llenergymeasure.backends.openai import load_key as of_servers
from llenergymeasure.backends.openai.server.server import KeptServer, Server
from llenergymeasure.backends.pytorch import load_key as of_models
from llenergymeasure.backends.pytorch.backend import KeptModel, PytorchBackend
from llenergymeasure.backends.pytorch.loading import load
from llenergymeasure.backends.registry import BACKENDS
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.domain.experiment import compute_measurement_config_hash
from llenergymeasure.errors import BackendError
from llenergymeasure.run import harness
from llenergymeasure.workload.prompts import build_requests, builtin_text, load_prompts

pytestmark = pytest.mark.usefixtures("small_heap")

LORA = {"path": "adapter", "merge": False}
IN_PROCESS = tiny_config(
    lora=LORA, dataset_repeat=True, decoder={"do_sample": True}, pytorch={"revision": None}, passthrough_kwargs={"a": 1}
)
PRESET = {"model": "org/m", "backend": "openai", "launch": {"preset": "vllm", "flags": {"x": 1}}}
SERVED = ExperimentConfig.model_validate(PRESET | {"load": {"request_rate": 2.0, "duration_s": 5.0}})


def leaves(kind, above=""):
    """The dotted paths of the fields of a configuration."""
    for name, field in kind.model_fields.items():
        sections = [each for each in models_in(field.annotation) if issubclass(each, BaseModel)]
        is_section = sections and name not in ("dataset", "lora", "random_model", "launch")
        yield from (leaves(sections[0], f"{above}{name}.") if is_section else [f"{above}{name}"])


def paths(fields, above=""):
    """The dotted paths of a dictionary in dictionaries, those of sections too."""
    for name, value in fields.items():
        yield f"{above}{name}"
        yield from paths(value, f"{above}{name}.") if isinstance(value, dict) else ()


@pytest.mark.parametrize(("config", "rule"), [(IN_PROCESS, of_models), (SERVED, of_servers)])
def test_every_field_that_has_an_effect_is_in_the_load_key_or_named_as_one_that_loading_does_not_see(config, rule):
    in_effect, key = set(paths(config.in_effect())), set(paths(json.loads(rule.load_key(config))))
    unseen = {path for path in in_effect if any(f"{path}.".startswith(f"{name}.") for name in rule.NOT_SEEN)}
    assert in_effect - key == unseen
    known = {*leaves(ExperimentConfig), *paths(config.in_effect())}
    assert [name for name in rule.NOT_SEEN if not any(f"{each}.".startswith(f"{name}.") for each in known)] == []


class Watched:
    """A configuration that remembers which of its fields are read, by their dotted paths."""

    def __init__(self, section, read, above=""):
        self._section, self._read, self._above = section, read, above

    def __getattr__(self, name):
        value, path = getattr(self._section, name), f"{self._above}{name}"
        if name in type(self._section).model_fields:
            self._read.append(path)
        return Watched(value, self._read, f"{path}.") if isinstance(value, BaseModel) else value


def test_loading_reads_no_field_that_is_named_as_one_that_it_does_not_see():
    read = []
    load(Watched(tiny_config(), read), builtin_text)
    assert {"model", "precision", "device", "random_model", "random_seed", "pytorch.torch_compile"} <= set(read)
    assert not set(read) & set(of_models.NOT_SEEN)


def test_the_start_of_a_server_reads_no_field_that_is_named_as_one_that_it_does_not_see(tmp_path):
    read = []
    for launch in (["no-such-program"], {"preset": "vllm", "flags": {"x": 1}}):
        config = ExperimentConfig.model_validate(PRESET | {"launch": launch})
        with pytest.raises(BackendError):
            Server(Watched(config, read), tmp_path / "log", builtin_text).start()
    assert {"model", "launch.command", "launch.flags", "openai.base_url", "random_seed"} <= set(read)
    assert set(read) & set(of_servers.NOT_SEEN) == set()


CHANGES = {
    "dataset": {"dataset": {"synthetic": {"input_len": 9, "output_len": 3}}, "max_output_tokens": None},
    "dataset_repeat": {"dataset": "mine.jsonl", "dataset_repeat": True},
    "chat_template": {"chat_template": "always"},
    "num_prompts": {"num_prompts": 3},
    "max_input_tokens": {"max_input_tokens": 5},
    "max_output_tokens": {"max_output_tokens": 2},
    "batch_size": {"batch_size": 3},
    "decoder": {"decoder": {"do_sample": True, "temperature": 2.0, "top_k": 5, "repetition_penalty": 1.5}},
}
OF_THE_RUN = {
    "warmup": {"warmup": {"iterations": 2}},
    "baseline": {"baseline": {"enabled": False}},
    "measurement": {"measurement": {"window": [0.0, 1000.0]}},
}


def test_every_field_that_loading_does_not_see_has_a_proof_that_a_kept_model_heeds_it():
    boards = {"gpu"}  # set by the run before it takes what is kept: run/test_boards.py
    assert {*CHANGES, *OF_THE_RUN, *boards} == set(of_models.NOT_SEEN)


@pytest.fixture(scope="module")
def kept():
    """A model that has served a run, and serves all further ones; and what it generated."""
    with Kept() as found:
        yield found, served(tiny_config(), found)[:2]


def served(config, kept=None):
    """What a model generates for a configuration, and the records of its requests without their times."""
    is_kept = kept is not None and kept.begin(config)
    backend, sequences = PytorchBackend(config, builtin_text, kept=kept), []
    generate = transformers.LlamaForCausalLM.generate
    try:
        transformers.LlamaForCausalLM.generate = lambda model, **given: (
            sequences.append(generate(model, **given)) or sequences[-1]
        )
        facts = backend.load()
        backend.prepare(build_requests(config, load_prompts(config).prompts, facts.prompt_tokens))
        batches = list(backend.run())
        backend.keep()
    finally:
        transformers.LlamaForCausalLM.generate = generate
        backend.close()
    rows = [(each.input_tokens, each.output_tokens, each.finish_reason) for batch in batches for each in batch.requests]
    return [each.tolist() for each in sequences], rows, facts, is_kept


@pytest.mark.parametrize("field", CHANGES)
def test_a_kept_model_generates_what_a_new_one_does_for_any_change_of_what_loading_does_not_see(
    field, kept, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.jsonl").write_text('{"prompt": "This is mine."}\n')
    config = tiny_config(**CHANGES[field])
    model, before = kept
    *again, is_kept = served(config, model)
    *new, _ = served(config)
    assert is_kept
    assert again == new
    assert (again[0], again[1]) != before


def test_a_model_that_loading_would_make_otherwise_is_not_kept():
    with Kept() as kept:
        before, *_ = served(tiny_config(), kept)
        again, *_, is_kept = served(tiny_config(random_seed=7), kept)
    assert not is_kept
    assert again != before
    others = [{"precision": "bf16"}, {"random_model": {**TINY_SHAPE, "num_hidden_layers": 1}}, {"device": "auto"}]
    keys = [BACKENDS["pytorch"].load_key(tiny_config(**each)) for each in ({}, *others)]
    assert len(set(keys)) == 4


@pytest.mark.parametrize("name", ["torch_compile", "cache", "data_parallel", "trust_remote_code"])
def test_a_model_that_may_remember_its_runs_or_is_loaded_elsewhere_is_never_kept(name):
    own = {name: {"cache": "static", "data_parallel": 2}.get(name, True)}
    assert BACKENDS["pytorch"].load_key(tiny_config(pytorch=own)) is None


def test_a_run_with_a_kept_model_finds_what_one_with_a_new_one_does_and_says_that_it_was_kept(model_folder):
    changes = {name: value for each in OF_THE_RUN.values() for name, value in each.items()}
    of_folder = {"model": str(model_folder), "random_model": None}
    configs = [tiny_config(**of_folder), tiny_config(**of_folder, **changes)]
    with Kept() as kept:
        new, again = (harness.run(each, UserConfig(), Silent(), kept=kept).result for each in configs)
    assert (new.model_kept, again.model_kept) == (False, True)
    assert new.environment_snapshot.model_weights_sha256 is not None
    assert again.environment_snapshot.model_weights_sha256 == new.environment_snapshot.model_weights_sha256
    assert again.measurement_config_hash == compute_measurement_config_hash(configs[1])
    assert (again.output_tokens, again.total_flops) == (new.output_tokens, new.total_flops)
    assert again.effective_config == new.effective_config | {name: configs[1].in_effect()[name] for name in OF_THE_RUN}
    assert again.warmup_result.iterations_completed == 2
    assert again.measurement_methodology == "windowed"


def test_a_kept_server_that_has_died_is_not_taken(tmp_path):
    standin = Path(__file__).parents[3] / "standins" / "caching_server.py"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = ExperimentConfig.model_validate(
        {
            **{"model": "org/m", "backend": "openai", "launch": [sys.executable, str(standin), "{port}"]},
            "openai": {"base_url": f"http://127.0.0.1:{port}/v1"},
        }
    )
    with Kept() as kept:
        kept.begin(config)
        server = Server(config, tmp_path / "server.log", builtin_text)
        server.start()
        pids = server.pids()
        server.keep(kept)
        server.close()
        assert kept.begin(config)
        for pid in pids:
            psutil.Process(pid).kill()
        psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=30)
        assert not kept.begin(config)
        assert kept.take(KeptServer) is None


def test_after_a_run_without_a_result_nothing_is_kept(monkeypatch):
    with Kept() as kept:
        served(tiny_config(), kept)
        with pytest.raises(BackendError):
            harness.run(
                tiny_config(passthrough_kwargs={"prompt_lookup_num_tokens": 3}), UserConfig(), Silent(), kept=kept
            )
        assert kept.take(KeptModel) is None
        assert not kept.begin(tiny_config())
