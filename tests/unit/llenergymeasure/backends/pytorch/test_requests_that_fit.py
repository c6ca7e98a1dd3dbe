"""Requests are held against a model's positions and its embedding before it is loaded, and run where they fit."""

import json

import pytest
from models_checked import checked, ended, few, outcome
from tiny import tiny_config
from transformers import AutoTokenizer

from llenergymeasure.api import run_experiment
from llenergymeasure.run import preflight
from llenergymeasure.workload.prompts import load_prompts
from llenergymeasure.workload.size import work_of
from small_models import POSITIONS, save_small_model

pytestmark = pytest.mark.usefixtures("small_heap")
SYNTHETIC = {"max_input_tokens": None, "max_output_tokens": None}


def of_lengths(input_len, output_len):
    return {**SYNTHETIC, "dataset": {"synthetic": {"input_len": input_len, "output_len": output_len}}}


@pytest.fixture(scope="module")
def gpt2(model_folder, tmp_path_factory):
    """A model of 128 learned positions and 512 tokens."""
    return save_small_model(tmp_path_factory.mktemp("models") / "gpt2", "gpt2", model_folder)


def test_synthetic_lengths_beyond_learned_positions_are_refused_with_both_figures(gpt2):
    (line,) = checked(gpt2, **of_lengths(126, 4))
    assert line == (
        "prompt 1 has 126 tokens, and takes 129 positions with its output of 4; the model has 128: ask for a shorter "
        "input_len or output_len"
    )
    assert ended(gpt2, **of_lengths(126, 4)) == line


def test_lengths_that_fill_the_last_learned_position_run(gpt2):
    assert outcome(gpt2, **of_lengths(POSITIONS - 3, 4)) == ([], None)


def test_a_row_that_its_batch_takes_past_the_positions_is_refused(model_folder, tmp_path):
    drawn = {"distribution": "uniform", "min": 3, "max": 40}
    asked = {**of_lengths(drawn, drawn), "num_prompts": 8}
    work = work_of(few("x", **asked), [])
    folder = save_small_model(tmp_path / "gpt2", "gpt2", model_folder, n_positions=max(map(sum, work.drawn)) - 1)
    assert checked(folder, **asked, batch_size=1) == []
    (line,) = checked(folder, **asked, batch_size=8)
    assert " with the longest output of its batch of " in line


def test_a_text_that_is_too_long_for_the_positions_is_refused_with_the_length_that_fits(gpt2, tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_text("".join(json.dumps({"prompt": words}) + "\n" for words in ("One.", "two " * 200)))
    asked = {"dataset": str(path), "max_input_tokens": None, "max_output_tokens": 10}
    (line,) = checked(gpt2, **asked)
    assert line.startswith("prompt 2 has ")
    assert line.endswith("the model has 128: set max_input_tokens to 119 or less")
    assert checked(gpt2, **{**asked, "max_input_tokens": 119}) == []


@pytest.mark.parametrize("model", ["a folder", "random:llama"])
def test_rotary_positions_go_on_beyond_what_the_model_was_made_for_with_a_warning(model, model_folder, tmp_path):
    if model == "a folder":
        config = few(save_small_model(tmp_path / "llama", "llama", model_folder), **of_lengths(140, 3))
    else:
        shape = tiny_config().random_model.model_copy(update={"max_position_embeddings": POSITIONS})
        config = tiny_config(random_model=shape, num_prompts=2, **of_lengths(140, 3))
    (warning,) = preflight.remarks(config, load_prompts(config).prompts)
    assert warning.startswith("Sequences have up to 143 tokens, and the model was made for 128: ")
    assert warning in run_experiment(config).measurement_warnings


def test_a_tokenizer_of_another_model_is_refused_where_the_dataset_is_text(gpt2, tmp_path):
    folder = save_small_model(tmp_path / "small", "gpt2", gpt2, vocab_size=400)
    (line,) = checked(folder)
    assert "its tokenizer has ids up to 511, and the model has embeddings for 0 to 399: they are not of one" in line
    assert "the model has embeddings for 0 to 399" in ended(folder)
    assert checked(folder, **of_lengths(5, 3)) == []  # prompts are drawn from the tokens that both know


def test_an_added_token_beyond_the_embedding_is_refused_where_a_prompt_names_it(gpt2, tmp_path, model_folder):
    folder = save_small_model(tmp_path / "added", "gpt2", model_folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "[EXTRA]"})
    tokenizer.save_pretrained(folder)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "One."}\n{"prompt": "Two [EXTRA] words."}\n')
    assert checked(folder) == []
    lines, words = outcome(folder, dataset=str(prompts))
    assert lines == [words]
    assert words.startswith("prompt 2 has the token 512, and the model has embeddings for 0 to 511; ")


def test_a_tokenizer_that_cannot_be_loaded_is_refused_before_the_weights(gpt2, tmp_path, model_folder):
    folder = save_small_model(tmp_path / "broken", "gpt2", model_folder)
    (folder / "tokenizer.json").write_text("{}")
    (line,) = checked(folder)
    assert line.startswith(f"model: {folder}: its tokenizer cannot be loaded: ")


def test_a_chat_template_that_refuses_a_conversation_is_told_before_the_weights_are_loaded(
    gpt2, tmp_path, model_folder
):
    folder = save_small_model(tmp_path / "chat", "gpt2", model_folder)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('not by me') }}")
    assert checked(folder, chat_template="always") == ["prompt 1 is refused by the model's chat template: not by me"]
