"""Files that are no model's are refused before anything is loaded, each by its name and by what is wrong in it."""

import json
import os
import shutil
import struct

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny import tiny_config

from llenergymeasure.api import run_experiment
from llenergymeasure.backends.openai.load.tokenizer import load_tokenizer
from llenergymeasure.backends.protocol import Gpus
from llenergymeasure.backends.pytorch import model_files
from llenergymeasure.backends.pytorch.checks import problems, weight_problems
from llenergymeasure.backends.pytorch.decoder_shape import shape_of_config
from llenergymeasure.backends.pytorch.loading import load
from llenergymeasure.errors import BackendError
from llenergymeasure.workload.prompts import builtin_text

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ZERO = "/dev/zero"
NORM = "model.norm.weight"
SMALL = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 64,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 16,
}


@pytest.fixture
def folder(model_folder, tmp_path):
    return shutil.copytree(model_folder, tmp_path / "Model")


@pytest.fixture
def shards(folder):
    """The folder of the model in several files."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="100KB")
    return folder


def config_of(folder, **changes):
    return tiny_config(**{"model": str(folder), "random_model": None, **changes})


def found_before_loading(folder, **changes):
    """Return the problems found before anything is loaded, a line each."""
    config = config_of(folder, **changes)
    return list(problems(config, Gpus())) or list(weight_problems(config))


def refused_by_loading(folder, **changes):
    with pytest.raises(BackendError) as caught:
        load(config_of(folder, **changes), builtin_text)
    return str(caught.value)


def configure(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def reindex(folder, change):
    index = json.loads((folder / INDEX).read_text())
    change(index)
    (folder / INDEX).write_text(json.dumps(index))


def save_new(folder, model_type, **changes):
    """The weights of a model of this type, now in the folder with its config.json."""
    known = vars(transformers.AutoConfig.for_model(model_type))
    sizes = {name: size for name, size in {**SMALL, **changes}.items() if name in known or name in changes}
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(model_type, **sizes))
    model.save_pretrained(folder)
    return load_file(folder / WEIGHTS)


def write(folder, tensors, file=WEIGHTS):
    save_file(tensors, folder / file, metadata={"format": "pt"})


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_buffer_that_is_saved_with_the_weights_is_checked_like_them(folder, number):
    tensors = save_new(
        folder, "glm4_moe", n_routed_experts=4, num_experts_per_tok=2, first_k_dense_replace=1, n_group=1, topk_group=1
    )
    (name,) = [name for name in tensors if name.endswith("e_score_correction_bias")]
    assert found_before_loading(folder) == []
    assert load(config_of(folder), builtin_text).remarks == ()
    tensors[name][1] = number
    write(folder, tensors)
    assert f" in 1 tensor{' in fp32' if number > 0 else ''} ({name})" in refused_by_loading(folder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_fused_experts_and_biases_of_quantised_numbers_are_refused(folder, dtype):
    tensors = save_new(folder, "gpt_oss", num_local_experts=4)
    assert found_before_loading(folder) == []
    low = [name for name in tensors if name.endswith(("gate_up_proj", "q_proj.bias"))]
    write(folder, {name: each.to(dtype) if name in low else each for name, each in tensors.items()})
    (line,) = found_before_loading(folder)
    assert line.startswith(f"model: {folder}: its files store 4 tensors as ")
    assert line in refused_by_loading(folder)


def place_elsewhere(folder):
    reindex(folder, lambda index: index["weight_map"].update({NORM: min(index["weight_map"].values())}))


def rename_in_the_index(folder):
    reindex(folder, lambda index: index["weight_map"].update({"model.nrm.weight": index["weight_map"].pop(NORM)}))


def name_one_more(folder):
    reindex(folder, lambda index: index["weight_map"].update({"other.weight": min(index["weight_map"].values())}))


def store_twice(folder):
    first, second, *_ = sorted(folder.glob("*.safetensors"))
    tensors = load_file(first)
    name = min(tensors)
    write(folder, {**load_file(second), name: tensors[name] * 2}, second.name)


def lose_the_index(folder):
    (folder / INDEX).unlink()


def lose_the_metadata(folder):
    reindex(folder, lambda index: index.pop("metadata"))


def nest_the_index(folder):
    (folder / INDEX).write_text("[" * 20_000)


def leave_the_folder(folder):
    def change(index):
        index["weight_map"] = {name: f"../Model/{file}" for name, file in index["weight_map"].items()}

    reindex(folder, change)


def index_of(text):
    return lambda folder: (folder / INDEX).write_text(text)


EMPTY = '{"metadata": {}, "weight_map": {}}'
NO_INDEX = (EMPTY, "[]", '{"weight_map": 5}', '{"weight_map": {"a": 5}}', '{"weight_map": {"a": ["x"]}}', "[" * 200_000)
TOO_LONG = json.dumps({"metadata": {}, "weight_map": {"a": "x" * 300}})
SHARDS = {
    "a tensor in another shard": (place_elsewhere, f"places 1 tensor in files that do not hold them ({NORM}; "),
    "a tensor renamed": (rename_in_the_index, f"leaves out 1 tensor that its files hold ({NORM})"),
    "a tensor too many": (name_one_more, "places 1 tensor in files that do not hold them (other.weight; "),
    "a tensor twice": (store_twice, "two of its files hold 1 tensor of the same name ("),
    "no index": (lose_the_index, "has neither model.safetensors nor model.safetensors.index.json"),
    "no metadata": (lose_the_metadata, "it has no metadata, which transformers asks for"),
    "nested 20,000 deep": (nest_the_index, "cannot be read: nested over 100 deep"),
    **{f"an index that is {text[:30]}": (index_of(text), f"{INDEX}: cannot be read: ") for text in NO_INDEX},
    "a name that no file has": (index_of(TOO_LONG), "its index names files that are not there: xxx"),
    "outside the folder": (leave_the_folder, "its weight_map names a file outside the folder: "),
}


@pytest.mark.parametrize(("spoil", "words"), SHARDS.values(), ids=SHARDS)
def test_shards_that_are_not_as_their_index_says_are_refused_by_their_headers(shards, spoil, words):
    spoil(shards)
    assert words in "\n".join(found_before_loading(shards))


def test_shards_that_are_not_all_here_yet_are_left_to_loading(shards):
    max(shards.glob("*.safetensors")).unlink()
    assert list(weight_problems(config_of(shards))) == []


@pytest.mark.parametrize("place", ["sub/", "./"])
def test_shards_may_lie_where_their_index_says(shards, place):
    (shards / place).mkdir(exist_ok=True)
    for file in shards.glob("*.safetensors"):
        file.rename(shards / place / file.name)

    def change(index):
        index["weight_map"] = {name: place + file for name, file in index["weight_map"].items()}

    reindex(shards, change)
    assert found_before_loading(shards) == []
    assert load(config_of(shards), builtin_text).remarks == ()


def header(**changes):
    """A header of two tensors of two numbers each, the second changed."""
    first = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return json.dumps({"a": first, "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16], **changes}})


SHAPE, PLACE = "tensor b has no possible shape in the header", "tensor b has no possible data_offsets in the header"
HEADERS = {
    **{f"shape {each}": (header(shape=each), SHAPE) for each in ([-1], [2**63, 2**63], None, {}, [True, 2], [2.0])},
    "shape of infinity": (header().replace("[2]", "[1e999]"), "tensor a has no possible shape"),
    **{f"place {each}": (header(data_offsets=each), PLACE) for each in ([-8, 0], ["8", "16"], [16, 8], None, [8])},
    "place of infinity": (header().replace("16", "1e999"), PLACE),
    "overlap": (header(data_offsets=[4, 12]), "tensor b begins at byte 4, and the one before ends at 8"),
    "too few bytes": (header(shape=[3]), "tensor b, F32 [3], does not fill its 8 bytes"),
    "no dtype": (header(dtype=5), "tensor b has no dtype in the header"),
    "a name twice": (header().replace('"b"', '"a"'), "its header is not readable: the key 'a' stands twice"),
    "metadata of a list": ('{"__metadata__": []}', "__metadata__ is no object of texts"),
    "nested 20,000 deep": ("[" * 20_000, "its header is not readable: nested over 400 deep"),
    "infinity": (header(x=float("inf")), "its header is not readable: Infinity is not a JSON number"),
    "5,000 digits": (header(x=1).replace('"x": 1', '"x": ' + "1" * 5_000), "an integer of 5,000 digits"),
    "a list": ("[]", "its header is not readable: it is no object"),
    "no tensors": ("{}", "holds no tensors"),
}


@pytest.mark.parametrize(("text", "words"), HEADERS.values(), ids=HEADERS)
def test_a_header_that_describes_no_tensors_is_refused_with_the_tensor_and_the_file(folder, text, words):
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text.encode() + bytes(16))
    (line,) = problems(config_of(folder), Gpus())
    assert line.startswith(f"model: {folder}/{WEIGHTS}: ")
    assert words in line


CONFIGS = {
    "other files": ({"transformers_weights": "other.safetensors"}, "names other files than those that are checked"),
    "NaN": ({"rms_norm_eps": float("nan")}, "config.json has rms_norm_eps: nan, "),
    "infinity": ({"rope_parameters": {"rope_theta": float("inf")}}, "config.json has rope_theta: inf, "),
    "infinity in transformers' way": ({"x": {"__float__": "Infinity"}}, "config.json has x: inf, "),
    "no rotation": ({"rope_theta": 0}, "config.json has rope_theta: 0, "),
    "a negative epsilon": ({"rms_norm_eps": -1e-6}, "config.json has rms_norm_eps: -1e-06, "),
    "a billion layers": ({"num_hidden_layers": 10**9}, "num_hidden_layers: 1000000000, and at most 1000 are built"),
    "layers inside": ({"text_config": {"n_layer": 2000}}, "config.json has n_layer: 2000, and at most 1000 are built"),
    "experts": ({"num_local_experts": 10**6}, "num_local_experts: 1000000, and at most 10000 are built"),
    "tokens": ({"vocab_size": 3_000_000}, "vocab_size: 3000000, and at most 1000000 are built"),
}


@pytest.mark.parametrize(("changes", "words"), CONFIGS.values(), ids=CONFIGS)
def test_a_config_with_which_nothing_can_be_computed_is_refused_with_the_field(folder, changes, words):
    configure(folder, **changes)
    (line,) = problems(config_of(folder, pytorch={"allow_missing_weights": True}), Gpus())
    assert line.startswith(f"model: {folder}: ")
    assert words in line


def test_a_limit_may_be_infinite(folder):
    configure(folder, time_step_limit=[0.0, float("inf")])
    assert found_before_loading(folder) == []


def test_a_config_that_is_nested_too_deep_is_refused(folder):
    (folder / "config.json").write_text('{"a":' * 20_000)
    (line,) = problems(config_of(folder), Gpus())
    assert line == f"model: {folder}/config.json: cannot be read as JSON: nested over 100 deep"


@pytest.mark.parametrize(("kind", "make"), [("a named pipe", os.mkfifo), ("a device", lambda p: p.symlink_to(ZERO))])
@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "tokenizer.json", "generation_config.json"])
def test_a_pipe_or_a_device_among_a_models_files_is_refused_and_not_waited_for(folder, name, kind, make):
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    assert list(problems(config_of(folder), Gpus())) == [
        f"model: {folder}/{name}: is {kind}, not a regular file; fetch it again"
    ]
    if name == "tokenizer.json":
        with pytest.raises(BackendError, match=f"is {kind}, not a regular file"):
            load_tokenizer(str(folder))


def many_tokens(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {f"t{number}": number for number in range(3_000)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def many_merges(folder):
    (folder / "merges.txt").write_bytes(b"a b\n" * 2_001)


def large(name):
    return lambda folder: os.truncate(folder / name, 5_000_000_000)


LARGE = {
    "tokens": (many_tokens, "tokenizer.json: lists 3,000 tokens, and at most 2,000 are loaded"),
    "merges": (many_merges, "merges.txt: lists 2,001 tokens, and at most 2,000 are loaded"),
    "a tokenizer of holes": (large("tokenizer.json"), "tokenizer.json: has 5.0 GB, and at most 100.0 MB are read"),
    "a config of holes": (large("config.json"), "config.json: has 5.0 GB, and at most 10.0 MB are read"),
}


@pytest.mark.parametrize(("make", "words"), LARGE.values(), ids=LARGE)
def test_a_file_that_would_load_for_ever_is_refused_with_its_size_and_the_limit(folder, monkeypatch, make, words):
    monkeypatch.setattr(model_files, "MOST_TOKENS", 2_000)  # of a million this takes seconds
    make(folder)
    (line,) = problems(config_of(folder), Gpus())
    assert line == f"model: {folder}/{words}; fetch it again"
    with pytest.raises(BackendError, match=words):
        load_tokenizer(str(folder))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: (file.unlink(), os.mkfifo(file)), "is a named pipe, not a regular file"),
        (lambda file: file.write_text("[" * 200_000), "JsonError: nested over 100 deep"),
        (lambda file: file.write_text('{"model_type": "llama", "num_hidden_layers": 1000000000}'), "at most 1000"),
    ],
    ids=["a pipe", "nested", "layers"],
)
def test_a_served_models_config_that_would_be_read_or_built_for_ever_has_no_shape_and_a_reason(folder, make, words):
    make(folder / "config.json")
    shape, reason = shape_of_config(str(folder))
    assert shape is None
    assert words in reason


def test_a_large_file_that_no_model_is_loaded_from_is_left_alone(folder):
    (folder / "trainer_state.json").touch()
    os.truncate(folder / "trainer_state.json", 5_000_000_000)
    assert list(problems(config_of(folder), Gpus())) == []


def test_a_link_that_leads_to_itself_is_refused(folder):
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to(WEIGHTS)
    (line,) = found_before_loading(folder)
    assert line == f"model: {folder}/{WEIGHTS}: is a symbolic link, not a regular file; fetch it again"


def test_a_file_of_another_variant_alone_is_refused_by_its_name(folder):
    (folder / WEIGHTS).rename(folder / "model.fp16.safetensors")
    (line,) = found_before_loading(folder)
    assert "and only those are loaded (found: model.fp16.safetensors)" in line


def test_a_class_without_sdpa_is_measured_with_eager_attention_unless_sdpa_was_named(folder):
    save_new(folder, "gemma2", query_pre_attn_scalar=16)
    assert found_before_loading(folder) == []
    assert run_experiment(config_of(folder)).effective_config["pytorch"]["attn_implementation"] == "eager"
    (line,) = found_before_loading(folder, pytorch={"attn_implementation": "sdpa"})
    assert "pytorch.attn_implementation: sdpa is not there for Gemma2ForCausalLM; set it to eager" in line
