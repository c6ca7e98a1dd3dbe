"""The model that is measured is the one on disk: its weights all there, none besides, in shape, and numbers."""

import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny import tiny_config

from llenergymeasure.api import run_experiment
from llenergymeasure.backends.pytorch.loading import load
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.errors import BackendError, PreFlightError
from llenergymeasure.run import preflight
from llenergymeasure.workload.prompts import builtin_text

ALLOWED = {"allow_missing_weights": True}
MIXTRAL = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_local_experts": 4,
}
QUERY = "model.layers.1.self_attn.q_proj.weight"


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def write(folder, tensors):
    kept = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def configure(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def config_of(folder, **changes):
    return tiny_config(**{"model": str(folder), "random_model": None, **changes})


def checked(config):
    """Return the problems found before anything is loaded, a line each."""
    try:
        preflight.check(config, find_sources(), None)
    except PreFlightError as error:
        return str(error).splitlines()
    return []


def refused_by_loading(config):
    with pytest.raises(BackendError) as caught:
        load(config, builtin_text)
    return str(caught.value).splitlines()


@pytest.fixture
def folder(model_folder, tmp_path):
    return shutil.copytree(model_folder, tmp_path / "Model")


def lose_a_layer(folder):
    write(folder, {name: each for name, each in weights_of(folder).items() if ".layers.1." not in name})


def rename_a_layer(folder):
    write(folder, {name.replace(".layers.1.", ".blocks.1."): each for name, each in weights_of(folder).items()})


def lose_the_head(folder):
    write(folder, {name: each for name, each in weights_of(folder).items() if name != "lm_head.weight"})


def configure_more_layers(folder):
    configure(folder, num_hidden_layers=3)


def configure_fewer_layers(folder):
    configure(folder, num_hidden_layers=1)


def add_another_head(folder):
    write(folder, {**weights_of(folder), "score.weight": torch.zeros(2, 64)})


def save_the_base_model_alone(folder):
    base = transformers.AutoModelForCausalLM.from_pretrained(folder).model
    base.save_pretrained(folder)


def name_a_shard_without_its_tensors(folder):
    """An index that names one of two shards."""
    tensors = weights_of(folder)
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    save_file({QUERY: tensors.pop(QUERY)}, folder / "model-2.safetensors", metadata={"format": "pt"})
    save_file(tensors, folder / "model-1.safetensors", metadata={"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(tensors, "model-1.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


LAST_LAYER = "(model.layers.1.input_layernorm.weight, model.layers.1.mlp.down_proj.weight, "
NO_HEAD = "its files lack 1 tensor of the model (lm_head.weight)"
MISFITS = {
    "a layer's tensors gone": (lose_a_layer, ["its files lack 9 tensors of the model", LAST_LAYER, " and 6 more)"]),
    "a layer's tensors renamed": (rename_a_layer, ["lack 9 tensors", LAST_LAYER, "hold 9 tensors", "(model.blocks.1."]),
    "no head, and none tied": (lose_the_head, [NO_HEAD]),
    "more layers in config.json": (configure_more_layers, ["its files lack 9 tensors", "(model.layers.2.input_lay"]),
    "fewer layers in config.json": (configure_fewer_layers, ["its files hold 9 tensors that the model", LAST_LAYER]),
    "another head": (add_another_head, ["its files hold 1 tensor that the model has no place for (score.weight)"]),
    "the base model alone": (save_the_base_model_alone, [NO_HEAD]),
    "a shard that the index omits": (name_a_shard_without_its_tensors, [f"lack 1 tensor of the model ({QUERY})"]),
}


@pytest.mark.parametrize(("spoil", "words"), MISFITS.values(), ids=MISFITS)
def test_weights_that_are_not_the_models_are_refused_by_their_headers_and_by_loading(folder, spoil, words):
    spoil(folder)
    config = config_of(folder)
    for lines in (checked(config), refused_by_loading(config)):
        assert all(line.startswith(f"model: {folder}: ") for line in lines)
        assert [
            word for word in [*words, "pytorch: {allow_missing_weights: true}"] if word not in "\n".join(lines)
        ] == []


@pytest.mark.parametrize(("spoil", "words"), MISFITS.values(), ids=MISFITS)
def test_missing_weights_that_are_allowed_are_named_in_a_remark(folder, spoil, words):
    spoil(folder)
    config = config_of(folder, pytorch=ALLOWED)
    assert checked(config) == []
    assert all("as allow_missing_weights asks" in remark for remark in load(config, builtin_text).remarks)


def test_a_measurement_in_python_shows_no_bar_of_a_library(folder, capfd):
    config = config_of(folder)
    capfd.readouterr()
    run_experiment(config)
    assert "%|" not in capfd.readouterr().err


def test_what_a_measured_model_lacks_stands_in_its_result(folder):
    lose_the_head(folder)
    result = run_experiment(config_of(folder, pytorch=ALLOWED))
    assert result.effective_config["pytorch"]["allow_missing_weights"] is True
    assert any("lack 1 tensor of the model (lm_head.weight)" in warning for warning in result.measurement_warnings)


def test_what_a_measured_model_lacks_is_drawn_with_the_random_seed(folder):
    lose_the_head(folder)
    first, again, other = (
        load(config_of(folder, pytorch=ALLOWED, random_seed=seed), builtin_text).model.lm_head.weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def put(folder, name, value, dtype=None):
    tensors = weights_of(folder)
    tensors[name].view(-1)[5] = value
    write(folder, {**tensors, name: tensors[name].to(dtype or tensors[name].dtype)})


@pytest.mark.parametrize("pytorch", [{}, ALLOWED])
def test_weights_with_a_nan_are_refused_whatever_is_allowed(folder, pytorch):
    put(folder, QUERY, float("nan"))
    (line,) = refused_by_loading(config_of(folder, pytorch=pytorch))
    assert line == f"model: {folder}: NaN in 1 tensor ({QUERY}): the weights are damaged; fetch them again"


def test_weights_with_an_infinity_are_refused(folder):
    put(folder, QUERY, -float("inf"))
    (line,) = refused_by_loading(config_of(folder))
    assert line == f"model: {folder}: infinity in 1 tensor in fp32 ({QUERY}); fetch them again"


def test_weights_beyond_the_range_of_fp16_are_refused_with_the_precision_that_holds_them(folder):
    put(folder, QUERY, 1e6)
    assert load(config_of(folder), builtin_text).remarks == ()
    (line,) = refused_by_loading(config_of(folder, precision="fp16"))
    assert f"infinity in 1 tensor in fp16 ({QUERY}); set precision: bf16" in line


@pytest.mark.parametrize(("dtype", "name"), [(torch.int8, "I8"), (torch.float8_e4m3fn, "F8_E4M3")])
def test_quantised_weights_whose_config_does_not_say_so_are_refused(folder, dtype, name):
    put(folder, QUERY, 0.0, dtype)
    config = config_of(folder, pytorch=ALLOWED)
    wanted = f"model: {folder}: its files store 1 tensor as {name} ({QUERY}): quantised weights; "
    for (line,) in (checked(config), refused_by_loading(config)):
        assert line.startswith(wanted)


def test_weights_in_another_shape_are_refused_with_both_shapes(folder):
    configure(folder, intermediate_size=96)
    config = config_of(folder, pytorch=ALLOWED)
    for (line,) in (checked(config), refused_by_loading(config)):
        assert "its files hold 6 tensors in another shape than config.json describes" in line
        assert "model.layers.0.mlp.down_proj.weight [64, 128], not [64, 96]" in line


def test_an_expert_of_which_a_tensor_is_missing_is_refused(folder):
    transformers.MixtralForCausalLM(transformers.MixtralConfig(**MIXTRAL)).save_pretrained(folder)
    gone = "model.layers.1.block_sparse_moe.experts.2.w1.weight"
    write(folder, {name: each for name, each in weights_of(folder).items() if name != gone})
    for (line,) in (checked(config_of(folder)), refused_by_loading(config_of(folder))):
        assert "of a mixture of experts, one of an expert is missing" in line


def save_in_shards(folder):
    """The model in several files, without the single one."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="100KB")
    return sorted(folder.glob("*.safetensors"))


def test_a_shard_that_the_index_names_and_is_gone_is_refused_by_its_name(folder):
    shard = save_in_shards(folder)[1]
    shard.unlink()
    (line,) = checked(config_of(folder))
    assert f"its index names files that are not there: {shard.name}; fetch it again" in line


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 1}', '{"weight_map": {"x": 1, "y": ["z"]}}'])
def test_an_index_that_is_none_is_refused(folder, text):
    save_in_shards(folder)
    (folder / "model.safetensors.index.json").write_text(text)
    (line,) = checked(config_of(folder))
    assert line.startswith(f"model: {folder}/model.safetensors.index.json: cannot be read: ")


def test_an_index_beside_a_single_file_is_ignored(folder):
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"x": "gone.safetensors"}}')
    assert checked(config_of(folder)) == []
    assert load(config_of(folder), builtin_text).remarks == ()


def test_a_tensors_name_is_quoted_short_and_printable(folder):
    write(folder, {**weights_of(folder), "\x1b[2J" + "x" * 5000: torch.zeros(1)})
    (line,) = checked(config_of(folder))
    assert line.isprintable()
    assert len(line) < 600


def test_older_files_that_hold_what_the_model_computes_itself_are_loaded(folder):
    computed = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8),
        "model.layers.0.attention.masked_bias": torch.tensor(-1e9),
        "model.layers.0.attn.bias": torch.ones(1, 1, 4, 4),
        "model.embeddings.position_ids": torch.arange(4),
    }
    write(folder, {**weights_of(folder), **computed})
    assert checked(config_of(folder)) == []
    assert load(config_of(folder), builtin_text).remarks == ()


def test_an_architecture_that_transformers_does_not_know_is_refused_as_loading_refuses_it(folder):
    configure(folder, model_type="no-such-model")
    for (line,) in (checked(config_of(folder)), refused_by_loading(config_of(folder))):
        assert "no-such-model" in line


def test_no_files_are_no_missing_weights():
    with pytest.raises(ValueError, match="allow_missing_weights: has no effect on random:llama"):
        tiny_config(pytorch=ALLOWED)


@pytest.mark.parametrize("saved_head", [False, True])
def test_a_head_that_is_tied_is_not_missing_whether_it_was_saved_or_not(folder, saved_head):
    configure(folder, tie_word_embeddings=True)
    tensors = weights_of(folder)
    del tensors["lm_head.weight"]
    if saved_head:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    write(folder, tensors)
    assert checked(config_of(folder)) == []
    assert load(config_of(folder), builtin_text).remarks == ()


SIZES = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 512,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
EXPERTS = {"num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4, "moe_intermediate_size": 32}
OWN_SIZES = {
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4},
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
    "gptj": {"n_embd": 64, "n_layer": 2, "n_head": 4, "rotary_dim": 8},
    "falcon": {"num_kv_heads": 4},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 64},
    "mamba": {"state_size": 8},
}
ARCHITECTURES = (
    *(
        "bloom",
        "cohere",
        "deepseek_v3",
        "falcon",
        "gemma",
        "gemma2",
        "gemma3_text",
        "glm",
        "gpt2",
        "gpt_neo",
        "gpt_neox",
    ),
    *("gpt_oss", "gptj", "granite", "llama", "mamba", "mistral", "mixtral", "olmo2", "olmoe", "opt", "phi"),
    *("phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3", "stablelm", "starcoder2"),
)


@pytest.mark.slow
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_model_that_was_saved_whole_is_accused(folder, architecture, tied):
    sizes = {**SIZES, **EXPERTS, **OWN_SIZES.get(architecture, {})}
    known = vars(transformers.AutoConfig.for_model(architecture)).keys() | {"max_position_embeddings"}
    given = {name: value for name, value in sizes.items() if name in known or name in OWN_SIZES.get(architecture, {})}
    described = transformers.AutoConfig.for_model(architecture, **given, tie_word_embeddings=tied)
    model = transformers.AutoModelForCausalLM.from_config(described, dtype=torch.bfloat16)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="60KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    config = config_of(folder, precision="bf16")
    assert checked(config) == []
    assert load(config, builtin_text).remarks == ()


@pytest.mark.slow
def test_a_model_of_text_and_images_is_measured_as_its_text_part_alone(folder):
    vision = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 128}
    vision |= {"image_size": 28, "patch_size": 14, "vision_output_dim": 32}
    vision |= {"projector_input_dim": 32, "projector_output_dim": 32}
    text = {**SIZES, "intermediate_size_mlp": 64, "num_local_experts": 2, "num_experts_per_tok": 1}
    described = transformers.Llama4Config(text_config=text, vision_config=vision)
    transformers.Llama4ForConditionalGeneration(described).save_pretrained(folder)
    assert checked(config_of(folder)) == []
    assert type(load(config_of(folder), builtin_text).model).__name__ == "Llama4ForCausalLM"
    lost = "language_model.model.layers.1.self_attn.q_proj.weight"
    write(folder, {name: each for name, each in weights_of(folder).items() if name != lost})
    (line,) = checked(config_of(folder))
    assert "lack 1 tensor of the model (model.layers.1.self_attn.q_proj.weight)" in line
    write(folder, {**weights_of(folder), lost.replace(".1.", ".7."): torch.zeros(64, 64)})
    assert "hold 1 tensor" in "\n".join(checked(config_of(folder)))
