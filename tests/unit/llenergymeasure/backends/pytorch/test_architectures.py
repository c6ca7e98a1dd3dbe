"""The check before a run finds out that a model cannot be run from its config.json; what it lets pass runs."""

import json
import shutil

import pytest
from models_checked import checked, ended, outcome

from small_models import save_small_model

pytestmark = pytest.mark.usefixtures("small_heap")
NOT_MEASURED = "and only decoder-only language models are measured"
ENCODERS = {"bert": {}, "xlm": {}, "distilbert": {"model_class": "DistilBertForMaskedLM", "n_heads": 4}}
ENCODER_DECODERS = {
    "t5": {"model_class": "T5ForConditionalGeneration"},
    "bart": {"model_class": "BartForConditionalGeneration"},
}


@pytest.fixture
def small(model_folder, tmp_path):
    """Save a small model of a kind."""
    return lambda kind, **changes: save_small_model(tmp_path / kind, kind, model_folder, **changes)


@pytest.mark.parametrize(("kind", "changes"), ENCODERS.items(), ids=ENCODERS)
def test_an_encoder_only_model_is_refused_by_name(small, kind, changes):
    (line,) = checked(small(kind, **changes))
    assert f": is an encoder-only model ({kind}" in line
    assert line.endswith(NOT_MEASURED)


def test_a_bert_that_is_a_decoder_is_not_refused(small):
    assert checked(small("bert", is_decoder=True)) == []


@pytest.mark.parametrize(("kind", "changes"), ENCODER_DECODERS.items(), ids=ENCODER_DECODERS)
def test_an_encoder_decoder_model_is_refused_by_name(small, kind, changes):
    (line,) = checked(small(kind, **changes))
    assert line.endswith(f": is an encoder-decoder model ({kind}), {NOT_MEASURED}")


def test_the_decoder_of_an_encoder_decoder_model_is_not_refused(small):
    assert checked(small("bart")) == []


def test_a_model_without_text_is_refused_by_name(small, model_folder):
    folder = small("vit", model_class="ViTModel")
    (line,) = checked(folder)
    assert ": is of a kind (vit) that transformers " in line
    assert line.endswith(" has no causal language model for")


def test_a_kind_that_transformers_does_not_know_is_refused_in_its_words(model_folder, tmp_path):
    folder = changed(model_folder, tmp_path, model_type="no-such-kind")
    (line,) = checked(folder)
    assert "does not build it from its config.json: ValueError: " in line
    assert "no-such-kind" in line


def test_a_config_that_transformers_refuses_is_refused_before_the_weights_are_loaded(model_folder, tmp_path):
    (line,) = checked(changed(model_folder, tmp_path, num_attention_heads=5))
    assert "does not build it from its config.json: " in line
    assert "5" in line


def test_sizes_that_do_not_go_together_are_refused_before_the_weights_are_loaded(small):
    folder = small("deepseek_v3", head_dim=16)
    lines, ended = outcome(folder)
    assert len(lines) == 1
    assert ": cannot compute as its config.json describes it: RuntimeError: " in lines[0]
    assert "must match the size of tensor" in ended


@pytest.mark.parametrize(("kind", "pytorch"), [("mamba", {"trust_remote_code": True}), ("bloom", {})])
def test_a_model_without_sdpa_runs_with_eager_and_names_it_where_sdpa_was_asked_for(small, kind, pytorch):
    folder = small(kind)
    assert outcome(folder, pytorch=pytorch) == ([], None)  # to be trusted is nothing to a model that brings no code
    (line,) = checked(folder, pytorch={"attn_implementation": "sdpa"})
    assert "pytorch.attn_implementation: sdpa is not there for" in line
    assert line.endswith("set it to eager, or leave it out")


def test_a_model_whose_own_code_lacks_sdpa_is_told_to_take_eager(small, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    folder = changed(small("bloom"), tmp_path, auto_map={"AutoModelForCausalLM": "own.OwnBloom"})
    (folder / "own.py").write_text(
        "from transformers import BloomForCausalLM\n\n\nclass OwnBloom(BloomForCausalLM):\n    pass\n"
    )
    lines, words = outcome(folder, pytorch={"trust_remote_code": True})
    assert lines == []  # what is not known of its code is found when it is loaded
    told = "its class does not have sdpa attention; set pytorch: {attn_implementation: eager}"
    assert words == f"{folder} could not be loaded: {told}"
    assert ended(folder, pytorch={"trust_remote_code": True, "attn_implementation": "eager"}) is None


@pytest.mark.parametrize("attention", [{}, {"attn_implementation": "sdpa"}], ids=["left out", "named"])
def test_the_attention_that_a_config_names_is_not_asked_for(model_folder, tmp_path, attention):
    folder = changed(model_folder, tmp_path, attn_implementation="flash_attention_2")
    assert outcome(folder, pytorch=attention) == ([], None)


DTYPES = ("auto", "float8_e4m3fn", "int8")


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_that_a_config_names_is_not_asked_for(model_folder, tmp_path, dtype):
    assert outcome(changed(model_folder, tmp_path, dtype=dtype)) == ([], None)


def test_attentions_that_are_to_be_returned_are_refused_with_the_way_out(model_folder, tmp_path):
    folder = changed(model_folder, tmp_path, output_attentions=True)
    (line,), words = outcome(folder)
    assert "config.json has output_attentions, which sdpa does not give" in line
    assert "is not supported when using the `attn_implementation` set to sdpa" in words
    assert outcome(folder, pytorch={"attn_implementation": "eager"}) == ([], None)


def test_what_a_step_fails_with_is_told_whatever_its_kind(model_folder, tmp_path):
    (line,), words = outcome(changed(model_folder, tmp_path, return_dict=False))
    told = "AttributeError: 'tuple' object has no attribute 'last_hidden_state'"
    assert line.endswith(f": cannot compute as its config.json describes it: {told}")
    assert words == f"generation failed in batch 1: {told}"


def test_layers_that_a_cache_is_not_made_for_are_refused_before_the_weights_are_loaded(small):
    folder = small("hrm_text", num_hidden_layers=2)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_layers_per_stack": 16}))
    (line,) = checked(folder)
    assert line.endswith(": cannot compute as its config.json describes it: IndexError: list index out of range")


@pytest.mark.parametrize("module", ["modeling_own", "x" * 300])
def test_code_of_a_models_own_that_is_not_there_is_named(model_folder, tmp_path, module):
    folder = changed(model_folder, tmp_path, auto_map={"AutoModelForCausalLM": f"{module}.Own"})
    (line,), words = outcome(folder, pytorch={"trust_remote_code": True})
    assert line.startswith(f"model: {folder}: its code is not all there: config.json names {module[:100]}")
    assert words is not None


def changed(model_folder, tmp_path, **settings):
    """Return a copy of a model's folder with other settings in its config.json."""
    folder = shutil.copytree(model_folder, tmp_path / "changed")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **settings}))
    return folder
