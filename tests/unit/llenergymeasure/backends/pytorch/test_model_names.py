"""A name that is no model's is refused with the reason and the way out, whatever it is."""

import os
import shutil

import pytest
from tiny import tiny_config

from llenergymeasure.backends.openai.load.tokenizer import tokenizer_place
from llenergymeasure.backends.protocol import Gpus
from llenergymeasure.backends.pytorch.checks import problems
from llenergymeasure.backends.pytorch.decoder_shape import shape_of_config
from llenergymeasure.errors import BackendError

LLAMA_CPP = (
    "which llama.cpp runs: set backend: openai, model to the file and launch: {preset: llamacpp}; or name the folder "
    "of the model's safetensors files"
)
NO_NAMES = ["gemini-2.0-flash..exp", "someone/na..me", "a--b", "model.git", "x-", "a" * 120]


def refused(model, **changes):
    return [*problems(tiny_config(model=str(model), random_model=None, **changes), Gpus())]


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_that_the_hub_does_not_take_is_refused_with_the_rule_and_the_place_that_was_looked_at(name):
    (line,) = refused(name)
    assert line.startswith(f"model: {name}: no folder here (looked for {os.getcwd()}/{name}), and no name of the hub: ")
    assert name in line.partition("no name of the hub: ")[2] or "Repo" in line


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_served_model_of_such_a_name_has_no_tokenizer_and_no_shape_here(name):
    with pytest.raises(BackendError, match="neither a folder here nor in the hub's cache"):
        tokenizer_place(name)
    shape, reason = shape_of_config(name)
    assert shape is None
    assert reason.startswith("not counted: no model can be built from its config: ")


@pytest.mark.parametrize("revision", ["a\0b", "../../x", "x" * 5000])
def test_a_revision_that_is_no_name_is_refused_in_one_line(revision, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (line,) = refused("someone/tiny", pytorch={"revision": revision})
    assert line.startswith("model: someone/tiny: no folder here, not in the local cache, and ")


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("name", ["model.gguf", "models/qwen3-8b-q4_k_m.GGUF"])
def test_a_gguf_file_is_refused_with_the_backend_that_runs_it(name, is_there, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if is_there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"GGUF")
    assert refused(name) == [f"model: {name}: is a GGUF file, {LLAMA_CPP}"]
    assert refused(tmp_path / name) == [f"model: {tmp_path / name}: is a GGUF file, {LLAMA_CPP}"]


def test_a_folder_of_gguf_files_is_refused_with_the_backend_that_runs_them(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    assert refused(tmp_path) == [f"model: {tmp_path}: holds GGUF files (a.gguf), {LLAMA_CPP}"]


def test_a_file_of_a_model_is_refused_with_its_folder(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "here")
    (line,) = refused(folder / "config.json")
    assert line == f"model: {folder / 'config.json'}: is a file; name the folder that it is in ({folder})"
