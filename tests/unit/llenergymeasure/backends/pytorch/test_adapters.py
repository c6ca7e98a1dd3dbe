"""An adapter is measured where the configuration names it, whole, and nowhere else."""

import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny import save_adapter, tiny_config

from llenergymeasure.backends.protocol import Gpus
from llenergymeasure.backends.pytorch.backend import PytorchBackend
from llenergymeasure.backends.pytorch.checks import problems, remarks, weight_problems
from llenergymeasure.backends.pytorch.loading import load
from llenergymeasure.domain.requests import BatchSize, Work
from llenergymeasure.errors import BackendError
from llenergymeasure.workload.prompts import builtin_text
from small_models import save_small_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ALLOWED = {"allow_missing_weights": True}


def config_of(model, **changes):
    return tiny_config(**{"model": str(model), "random_model": None, **changes})


def refused_by_loading(config):
    with pytest.raises(BackendError) as caught:
        load(config, builtin_text)
    return str(caught.value).splitlines()


def change_weights(folder, change):
    """Save an adapter's tensors as `change` makes them of its own."""
    path = folder / "adapter_model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


@pytest.fixture
def adapter(model_folder, tmp_path):
    save_adapter(model_folder, tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.fixture
def both(model_folder, adapter, tmp_path):
    """A folder with a model and an adapter."""
    folder = shutil.copytree(model_folder, tmp_path / "both")
    return shutil.copytree(adapter, folder, dirs_exist_ok=True)


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Put a folder into the hub's local cache, as the repository someone/tiny."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def cache(folder):
        repository = tmp_path / "hub" / "models--someone--tiny"
        shutil.copytree(folder, repository / "snapshots" / COMMIT)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(COMMIT)
        return "someone/tiny"

    return cache


def test_an_adapter_beside_the_model_is_refused_and_the_way_to_measure_it_is_named(both):
    config = config_of(both)
    for (line,) in (list(problems(config, Gpus())), refused_by_loading(config)):
        assert line.startswith(f"model: {both}: holds an adapter beside the model (adapter_config.json)")
        assert "set lora: {path: THAT FOLDER}" in line


def test_an_adapter_in_place_of_a_model_is_refused_and_its_base_is_named(adapter, model_folder):
    (line,) = problems(config_of(adapter), Gpus())
    assert line == (
        f"model: {adapter}: is an adapter (adapter_config.json), not a model; set model to its base, {model_folder}, "
        f"and lora.path to {adapter}"
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"base_model_name_or_path": null}'])
def test_an_adapter_in_place_of_a_model_may_not_know_its_base(adapter, text):
    (adapter / "adapter_config.json").write_text(text)
    (line,) = problems(config_of(adapter), Gpus())
    assert "set model to its base and lora.path to" in line


def test_a_hub_model_with_an_adapter_of_its_own_is_refused_likewise(both, cached):
    config = config_of(cached(both))
    for (line,) in (list(problems(config, Gpus())), refused_by_loading(config)):
        assert line.startswith("model: someone/tiny: holds an adapter beside the model (adapter_config.json)")
        assert "download it (hf download someone/tiny --local-dir FOLDER)" in line


def test_a_hub_repository_that_is_only_an_adapter_is_refused_likewise(adapter, cached):
    (line,) = problems(config_of(cached(adapter)), Gpus())
    assert line.startswith(
        "model: someone/tiny: is an adapter (adapter_config.json), not a model; set model to its base,"
    )
    assert line.endswith("lora.path to where it is downloaded to (hf download someone/tiny --local-dir FOLDER)")


def test_a_hub_model_in_the_cache_whose_weights_do_not_fit_is_refused_by_their_headers(model_folder, tmp_path, cached):
    folder = shutil.copytree(model_folder, tmp_path / "deeper")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    (line,) = weight_problems(config_of(cached(folder)))
    assert line.startswith("model: someone/tiny: its files lack 9 tensors of the model (model.layers.2.")


@pytest.mark.parametrize(
    "lora",
    [
        {},
        {"target_modules": ["q_proj", "up_proj", "embed_tokens"]},
        {"modules_to_save": ["lm_head", "embed_tokens"]},
        {"use_dora": True},
        {"init_lora_weights": "pissa"},
    ],
)
@pytest.mark.parametrize("merge", [False, True])
def test_an_adapter_that_was_saved_whole_is_not_accused(model_folder, tmp_path, lora, merge):
    path = save_adapter(model_folder, tmp_path / "whole", **lora)
    config = config_of(model_folder, lora={"path": path, "merge": merge})
    assert list(weight_problems(config)) == []
    assert PytorchBackend(config, builtin_text).load().remarks == ()


def lose_a_layer(tensors):
    return {name: each for name, each in tensors.items() if ".layers.1." not in name}


def add_a_layer(tensors):
    return {**tensors, **{name.replace(".layers.1.", ".layers.2."): each.clone() for name, each in tensors.items()}}


MISFITS = {
    "lacks a layer": (
        lose_a_layer,
        "its files lack 2 tensors of the model (base_model.model.model.layers.1.self_attn.",
    ),
    "has one more": (
        add_a_layer,
        "its files hold 2 tensors that the model has no place for (base_model.model.model.layers.2.",
    ),
}


@pytest.mark.parametrize(("change", "words"), MISFITS.values(), ids=MISFITS)
def test_an_adapter_that_does_not_fit_is_refused_with_its_tensors_unless_that_is_allowed(
    model_folder, adapter, change, words
):
    change_weights(adapter, change)
    config = config_of(model_folder, lora={"path": str(adapter)})
    (line,) = refused_by_loading(config)
    assert list(weight_problems(config)) == [line]
    assert line.startswith(f"lora.path: {adapter}: {words}")
    assert "pytorch: {allow_missing_weights: true}" in line
    (remark,) = load(
        config.model_copy(update={"pytorch": config.pytorch.model_copy(update=ALLOWED)}), builtin_text
    ).remarks
    assert f"The files of lora.path: {adapter} " in remark


def test_an_adapter_of_another_shape_is_refused_with_the_tensor(model_folder, adapter):
    change_weights(adapter, lambda tensors: {name: torch.zeros(3, 64) for name in tensors})
    config = config_of(model_folder, lora={"path": str(adapter)})
    for (line,) in (list(weight_problems(config)), refused_by_loading(config)):
        assert line.startswith(
            f"lora.path: {adapter}: its files hold 4 tensors in another shape than adapter_config.json"
        )
        assert "(base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight [3, 64], not [" in line


@pytest.mark.parametrize("merge", [False, True])
def test_an_adapter_with_a_nan_is_refused(model_folder, adapter, merge):
    change_weights(adapter, lambda tensors: {name: each * float("nan") for name, each in tensors.items()})
    (line,) = refused_by_loading(config_of(model_folder, lora={"path": str(adapter), "merge": merge}))
    assert line.startswith(f"lora.path: {adapter}: NaN or infinity in 4 tensors (")
    assert "layers.0.self_attn.q_proj" in line


def test_an_adapter_that_is_no_part_of_the_models_layers_is_refused(model_folder, tmp_path):
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    get_peft_model(AutoModelForCausalLM.from_pretrained(model_folder), settings).save_pretrained(tmp_path / "prompt")
    (line,) = refused_by_loading(config_of(model_folder, lora={"path": str(tmp_path / "prompt")}))
    assert "holds a PROMPT_TUNING adapter, and only adapters that work inside the model's own layers are" in line


def test_other_adapters_inside_the_models_layers_are_measured(model_folder, tmp_path):
    from peft import IA3Config, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"])
    get_peft_model(AutoModelForCausalLM.from_pretrained(model_folder), settings).save_pretrained(tmp_path / "ia3")
    config = config_of(model_folder, lora={"path": str(tmp_path / "ia3")})
    assert list(weight_problems(config)) == []
    assert load(config, builtin_text).remarks == ()


def test_an_adapter_that_cannot_be_folded_in_is_refused_only_where_that_is_asked_for(model_folder, tmp_path):
    path = save_adapter(model_folder, tmp_path / "adapter", lora_bias=True)
    assert list(weight_problems(config_of(model_folder, lora={"path": path}))) == []
    config = config_of(model_folder, lora={"path": path, "merge": True})
    for (line,) in (list(weight_problems(config)), refused_by_loading(config)):
        assert line.startswith(
            f"lora.path: {path}: could not be folded into the weights of {model_folder}, set lora.merge: false ("
        )
        assert "Impossible to merge LoRA with `lora_bias=True`" in line


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_an_adapter_of_quantised_numbers_is_refused(model_folder, adapter, dtype):
    change_weights(adapter, lambda tensors: {name: each.to(dtype) for name, each in tensors.items()})
    (line,) = problems(config_of(model_folder, lora={"path": str(adapter)}), Gpus())
    assert line.startswith(
        f"lora.path: {adapter}/adapter_model.safetensors: stores 4 tensors as other numbers than floating-point ones ("
    )


def test_biases_that_an_adapter_was_trained_with_and_lost_are_refused_as_missing(model_folder, tmp_path):
    base = shutil.copytree(model_folder, tmp_path / "biased")
    described = transformers.AutoConfig.from_pretrained(base, attention_bias=True)
    transformers.AutoModelForCausalLM.from_config(described).save_pretrained(base)
    adapter = tmp_path / "adapter"
    save_adapter(base, adapter, bias="all")
    config = config_of(base, lora={"path": str(adapter)})
    assert list(weight_problems(config)) == []
    assert load(config, builtin_text).remarks == ()
    lost = "base_model.model.model.layers.0.self_attn.k_proj.bias"
    change_weights(adapter, lambda tensors: {name: each for name, each in tensors.items() if name != lost})
    for (line,) in (list(weight_problems(config)), refused_by_loading(config)):
        assert line.startswith(f"lora.path: {adapter}: its files lack 1 tensor of the model ({lost})")
        assert "correct adapter_config.json" in line


SETTINGS = {
    "no JSON": ("{", "cannot be read as JSON: "),
    "nested 20,000 deep": ("[" * 20_000, "cannot be read as JSON: nested over 100 deep"),
    "a list": ("[]", "holds no object"),
    "without a kind": ("{}", "names no peft_type"),
    "NaN": ('{"peft_type": "LORA", "lora_alpha": NaN}', "has lora_alpha: nan, with which nothing is computed"),
    "infinity": ('{"peft_type": "LORA", "lora_alpha": 1e999}', "has lora_alpha: inf, with which nothing is computed"),
}


@pytest.mark.parametrize(("text", "words"), SETTINGS.values(), ids=SETTINGS)
def test_an_adapter_config_that_is_none_is_refused_by_its_path(model_folder, adapter, text, words):
    (adapter / "adapter_config.json").write_text(text)
    (line,) = problems(config_of(model_folder, lora={"path": str(adapter)}), Gpus())
    assert line.startswith(f"lora.path: {adapter}/adapter_config.json: {words}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"r": 0}, "`r` should be a positive integer"),
        ({"target_modules": ["x"]}, "{'x'} not found"),
        ({"bias": "banana"}, "banana"),
    ],
)
def test_what_peft_refuses_of_an_adapter_is_reported_as_the_adapters_problem(model_folder, adapter, change, words):
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**settings, **change}))
    config = config_of(model_folder, lora={"path": str(adapter)})
    for (line,) in (list(weight_problems(config)), refused_by_loading(config)):
        assert line.startswith(f"lora.path: {adapter}: could not be put onto {model_folder}: ")
        assert words in line


def test_an_adapter_is_compared_with_a_random_model_beforehand(adapter):
    (line,) = weight_problems(tiny_config(random_model={"hidden_size": 32}, lora={"path": str(adapter)}))
    assert "in another shape than adapter_config.json and random:llama give it" in line


def test_an_adapter_of_another_model_is_refused_with_the_base_that_it_names(model_folder, tmp_path):
    wide = save_small_model(tmp_path / "Wide", "llama", model_folder, hidden_size=128)
    config = config_of(model_folder, lora={"path": save_adapter(wide, tmp_path / "adapter")})
    for (line,) in (list(weight_problems(config)), refused_by_loading(config)):
        assert line.startswith(f"lora.path: {tmp_path / 'adapter'}: its files hold 2 tensors in another shape than ")
        assert line.endswith(
            f"): it is another model's adapter, that of {wide}; name that model, or an adapter of this one"
        )


def test_an_adapter_with_trained_tokens_beyond_the_embedding_is_refused_beforehand(model_folder, tmp_path):
    large = save_small_model(tmp_path / "large", "llama", model_folder, vocab_size=600)
    path = save_adapter(large, tmp_path / "adapter", trainable_token_indices=[3, 590])
    config = config_of(model_folder, lora={"path": path})
    for (line,) in (list(weight_problems(config)), refused_by_loading(config)):
        assert line.startswith(
            f"lora.path: {path}: has trained token 590 (trainable_token_indices in adapter_config.json)"
        )
        assert f"and {model_folder} has embeddings for 0 to 511: it is another model's adapter" in line


def test_an_adapter_that_names_another_base_and_fits_is_measured_with_a_warning(model_folder, adapter):
    settings = json.loads((adapter / "adapter_config.json").read_text())
    config = config_of(model_folder, lora={"path": str(adapter)})
    assert load(config, builtin_text).remarks == ()
    for base, is_other in (("someone/Other", True), (f"someone/{model_folder.name}", False), (None, False)):
        changed = {**settings, "base_model_name_or_path": base}
        (adapter / "adapter_config.json").write_text(json.dumps(changed))
        assert list(weight_problems(config)) == []
        found = [*remarks(config, Work((), (), BatchSize(1, 2)))]
        told = f"lora.path: {adapter}: names someone/Other as its base (adapter_config.json), and is measured on"
        assert found == ([f"{told} {model_folder}."] if is_other else [])
        assert list(load(config, builtin_text).remarks) == found
