"""Of a model's generation_config.json the tokens that end a sequence are used, and nothing else."""

import json
import shutil

import pytest
from models_checked import few, outcome

from llenergymeasure.backends.pytorch.loading import load
from llenergymeasure.workload.prompts import builtin_text

pytestmark = pytest.mark.usefixtures("small_heap")
FILE = "generation_config.json"


@pytest.fixture
def with_file(model_folder, tmp_path):
    """Return a copy of a model's folder with this text in its generation_config.json."""

    def write(text):
        folder = shutil.copytree(model_folder, tmp_path / "written")
        (folder / FILE).write_text(text)
        return folder

    return write


NO_FILES = {
    "a list": ("[]", "it holds no object"),
    "a number": ("5", "it holds no object"),
    "cut off": ('{"eos_token_id": ', "Expecting value"),
    "nested 200,000 deep": ("[" * 200_000, "nested over 100 deep"),
    "a word for a token": ('{"eos_token_id": "x"}', "eos_token_id: x, and a token's id is a whole number"),
    "lists in a list": ('{"eos_token_id": [[2]]}', "eos_token_id: [[2]], and a token's id is a whole number"),
    "an object": ('{"eos_token_id": {}}', "eos_token_id: {}, and a token's id is a whole number"),
    "beyond 64 bits": ('{"eos_token_id": 100000000000000000000}', "and a token's id is a whole number"),
}


@pytest.mark.parametrize(("text", "words"), NO_FILES.values(), ids=NO_FILES)
def test_a_file_whose_end_tokens_cannot_be_known_is_refused_by_check_and_run_alike(with_file, text, words):
    folder = with_file(text)
    (line,), ended = outcome(folder)
    assert line == ended
    assert line.startswith(f"model: {folder / FILE}: cannot be used: ")
    assert words in line


OVERRIDDEN = (
    {"num_return_sequences": 4, "do_sample": True},
    {"num_return_sequences": 4, "cache_implementation": "banana", "compile_config": {"fullgraph": True}},
    {"num_beams": 4, "max_new_tokens": -3, "pad_token_id": "x", "watermarking_config": {"banana": 1}},
)


@pytest.mark.parametrize("settings", OVERRIDDEN, ids=str)
def test_what_our_settings_replace_keeps_no_model_from_running(with_file, settings):
    assert outcome(with_file(json.dumps(settings))) == ([], None)


@pytest.mark.parametrize(
    ("settings", "ends"), [({"eos_token_id": 7}, (7,)), ({"eos_token_id": [3, 5]}, (3, 5)), ({"eos_token_id": []}, ())]
)
def test_the_end_tokens_are_those_of_the_file_and_where_it_has_none_the_tokenizers(with_file, settings, ends):
    folder = with_file(json.dumps(settings))
    assert load(few(folder), builtin_text).eos_ids == ends
    (folder / FILE).write_text("{}")
    own = load(few(folder), builtin_text)
    assert own.eos_ids == (own.tokenizer.eos_token_id,)
