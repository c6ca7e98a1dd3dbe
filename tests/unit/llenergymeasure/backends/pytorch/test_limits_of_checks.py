"""A model whose files take any memory or time is refused before it is loaded, by a process with limits."""

import json

import psutil
import pytest
from models_checked import checked, few
from tiny import save_adapter

from llenergymeasure.backends.pytorch import model_files, safetensors_files, trial
from llenergymeasure.backends.pytorch.memory_estimate import memory_problems
from llenergymeasure.domain.requests import BatchSize
from small_models import save_small_model
from warm import without_interpreter

pytestmark = pytest.mark.usefixtures("small_heap")


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def little_time(monkeypatch):
    monkeypatch.setattr(trial, "WALL_TIMES", 0.02)


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(trial, "MEMORY_BYTES", 1 << 28)


def children():
    """The processes that are ours and end with us."""
    return without_interpreter(psutil.Process().children())


def test_a_config_that_is_built_for_long_is_given_up(model_folder, tmp_path, little_time):
    folder = save_small_model(tmp_path / "neo", "gpt_neo", model_folder)
    change(folder / "config.json", attention_types=[[["global"], 10**9]])
    (line,) = checked(folder)
    assert line.startswith(
        f"model: {folder}: its config.json and the headers of its files cannot be checked: it is not"
    )
    assert children() == []


def test_a_tokenizer_that_makes_gigabytes_of_a_prompt_is_refused(model_folder, tmp_path, little_memory):
    folder = save_small_model(tmp_path / "llama", "llama", model_folder)
    more = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 3_000}
    change(folder / "tokenizer.json", normalizer={"type": "Sequence", "normalizers": [more] * 3})
    (line,) = checked(folder)
    assert line.startswith(f"model: {folder}: the prompts with its tokenizer cannot be checked: ")
    assert "more than 256 MiB of memory" in line


def test_a_pattern_of_an_adapter_that_matches_for_ever_is_given_up(model_folder, tmp_path, little_time):
    save_adapter(model_folder, tmp_path / "adapter")
    change(tmp_path / "adapter" / "adapter_config.json", target_modules="(a|a|.)*(.*)*x$")
    (line,) = checked(model_folder, lora={"path": str(tmp_path / "adapter")})
    assert line.startswith(
        f"lora.path: {tmp_path / 'adapter'}: its adapter_config.json and its tensors cannot be checked"
    )


RANKS = {"r": {"r": 10**9}, "rank_pattern of q": {"rank_pattern": {"q": 10**9}}}


@pytest.mark.parametrize(("name", "changes"), RANKS.items(), ids=RANKS)
def test_a_rank_that_no_layer_has_is_refused(model_folder, tmp_path, name, changes):
    save_adapter(model_folder, tmp_path / "adapter")
    change(tmp_path / "adapter" / "adapter_config.json", **changes)
    (line,) = checked(model_folder, lora={"path": str(tmp_path / "adapter")})
    assert f"has {name}: 1000000000, and at most 65536 is built" in line


@pytest.mark.parametrize("name", ["num_labels", "n_positions", "max_seq_len"])
def test_a_count_of_what_is_made_one_by_one_is_limited(model_folder, tmp_path, name):
    folder = save_small_model(tmp_path / "llama", "llama", model_folder)
    change(folder / "config.json", **{name: 100_000_000})
    (line,) = checked(folder)
    assert f"config.json has {name}: 100000000, and at most 1000000 are built" in line


def many_added(folder):
    change(folder / "tokenizer.json", added_tokens=[{"id": 600 + number} for number in range(101)])
    return "tokenizer.json: lists 101 added_tokens, and at most 100 are loaded"


def many_decoded(folder):
    change(folder / "tokenizer_config.json", added_tokens_decoder={str(number): {"a": 1} for number in range(101)})
    return "tokenizer_config.json: lists 101 added_tokens_decoder, and at most 100 are loaded"


def many_values(folder):
    change(folder / "config.json", **{f"key_{number}": number for number in range(101)})
    return "values, and at most 100 are loaded"


@pytest.mark.parametrize("make", [many_added, many_decoded, many_values])
def test_more_than_any_model_has_is_refused_by_its_count(model_folder, tmp_path, monkeypatch, make):
    folder = save_small_model(tmp_path / "llama", "llama", model_folder)
    words = make(folder)
    monkeypatch.setattr(model_files, "MOST_ADDED", 100)
    for name in model_files.ADDED:
        monkeypatch.setitem(model_files.MOST_LISTED, name, 100)
    if make is many_values:
        monkeypatch.setitem(model_files.MOST_VALUES, "config.json", 100)
    assert words in "\n".join(checked(folder))


def test_a_header_of_more_tensors_than_any_model_has_is_refused(model_folder, monkeypatch):
    monkeypatch.setattr(safetensors_files, "MOST_TENSORS", 3)
    assert "its header describes over 3 tensors, and no more are read" in "\n".join(checked(model_folder))


def test_tables_that_a_model_makes_for_itself_count_as_its_memory(model_folder, tmp_path):
    folder = save_small_model(tmp_path / "gptj", "gptj", model_folder)
    change(folder / "config.json", n_positions=1_000_000)
    config = few(folder, device="cpu")
    found = trial.tried(config, None)
    assert found.problems == []
    assert found.buffer_bytes >= 2 * 1_000_000 * 8 * 4  # two layers, eight rotary dimensions, fp32
    assert [*memory_problems(config, BatchSize(1, 2), ())] == []
    (line,) = memory_problems(config, BatchSize(1, 2), (), 10**14)
    assert "needs at least 100000.0 GB" in line
