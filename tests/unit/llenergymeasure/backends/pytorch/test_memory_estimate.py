"""A model that cannot fit into its device's memory is refused before it is loaded; one that may is not."""

import json
import shutil
import struct

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import TINY_SHAPE, tiny_config

from llenergymeasure.backends.pytorch.memory_estimate import memory_problems
from llenergymeasure.backends.pytorch.skeleton import build_skeleton
from llenergymeasure.domain.requests import BatchSize
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.errors import PreFlightError
from llenergymeasure.run import preflight
from llenergymeasure.workload.prompts import build_requests
from llenergymeasure.workload.size import largest_batch

BOARD_FREE = 149_000_000_000  # what the stand-in for NVIDIA's library says


def free_bytes():
    return psutil.virtual_memory().available + psutil.swap_memory().free


def sized(weight_bytes, *, size=4):
    """A shape of one layer with weights of so many bytes, nearly all of them in its MLP."""
    width = TINY_SHAPE["hidden_size"]
    return {**TINY_SHAPE, "num_hidden_layers": 1, "intermediate_size": int(weight_bytes / size / 3 / width)}


def checked(**changes):
    """Return the problems that preflight finds, a line each."""
    try:
        preflight.check(tiny_config(**changes), find_sources(), None)
    except PreFlightError as error:
        return str(error).splitlines()
    return []


def write_weights(folder, *more):
    """A file without data, of the size that its header describes: every tensor of the folder's config, and `more`."""
    shapes = {name: list(tensor.shape) for name, tensor in build_skeleton(str(folder)).named_parameters()}
    header, end = {}, 0
    for name, shape in [*shapes.items(), *more]:
        count = 1
        for length in shape:
            count *= length
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + 2 * count]}
        end += 2 * count
    text = json.dumps(header).encode()
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with path.open("r+b") as file:
        file.truncate(8 + len(text) + end)


@pytest.fixture
def folder(model_folder, tmp_path):
    """A model's folder whose shape a test may set before it writes the weights."""

    def of_shape(**shape):
        folder = shutil.copytree(model_folder, tmp_path / "Large", dirs_exist_ok=True)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **shape}))
        return folder

    return of_shape


def test_a_folder_whose_weights_exceed_the_memory_is_refused_in_one_line_with_the_figures(folder):
    free = free_bytes()
    large = folder(**sized(3 * free))
    write_weights(large)
    (line,) = checked(model=str(large), random_model=None)
    assert line.startswith(f"model: {large} needs at least ")
    gigabytes = float(line.split(" needs at least ")[1].split(" GB")[0])
    assert gigabytes == pytest.approx(3 * free / 1e9, rel=0.05)
    assert "GB in fp32 (weights " in line
    assert "and this machine has " in line
    assert line.endswith("GB free: choose a smaller precision or a smaller model")


def test_weights_count_in_the_precision_that_is_asked_for(folder):
    large = folder(**sized(1.5 * free_bytes()))
    write_weights(large)
    assert len(checked(model=str(large), random_model=None, precision="fp32")) == 1
    assert checked(model=str(large), random_model=None, precision="bf16") == []


def test_a_file_that_holds_more_than_the_model_takes_is_no_reason(folder):
    small = folder()
    write_weights(small, ("vision.tower", [int(free_bytes()), 3]))
    assert checked(model=str(small), random_model=None, pytorch={"allow_missing_weights": True}) == []


def test_a_random_model_is_refused_before_it_is_built():
    (line,) = checked(random_model=sized(2 * free_bytes()))
    assert "random:llama needs at least" in line
    assert checked(random_model=sized(0.5 * free_bytes())) == []


def test_keys_and_values_of_the_largest_batch_count():
    a_token = 2 * TINY_SHAPE["num_hidden_layers"] * TINY_SHAPE["hidden_size"] * 4
    rows = 64
    tokens = int(1.5 * free_bytes() / rows / a_token)
    lengths = {"dataset": {"synthetic": {"input_len": tokens - 10, "output_len": 10}}, "num_prompts": rows}
    lengths |= {"max_input_tokens": None, "max_output_tokens": None}
    (line,) = checked(**lengths, batch_size=rows)
    assert f"at batch_size 64 x {tokens} tokens" in line
    assert "free: lower batch_size, ask for shorter lengths, or choose a smaller precision or a smaller model" in line
    assert checked(**lengths, batch_size=rows // 2) == []


@pytest.mark.parametrize("rows", [1, 4])
def test_a_cache_that_would_be_shown_as_nothing_is_not_named(rows):
    (line,) = checked(random_model=sized(2 * free_bytes()), num_prompts=4, batch_size=rows)
    assert "KV cache" not in line
    assert line.endswith("GB free: choose a smaller precision or a smaller model")


def test_the_least_length_of_texts_is_told_as_such():
    a_token = 2 * TINY_SHAPE["num_hidden_layers"] * TINY_SHAPE["hidden_size"] * 4
    rows = int(2 * free_bytes() / a_token)
    config = tiny_config(num_prompts=rows, batch_size=rows)
    (line,) = memory_problems(config, largest_batch(config), [])
    assert f"at batch_size {rows} x 2 tokens or more" in line


@pytest.mark.parametrize(("share", "refused"), [(0.99, 0), (1.01, 1)])
def test_a_gpu_is_asked_how_much_it_has_free(gpus, share, refused):
    gpus(gpus.board(seconds=0.1))
    config = tiny_config(device="cuda", precision="bf16", random_model=sized(share * BOARD_FREE, size=2))
    found = list(memory_problems(config, BatchSize(1, 2), ["GPU-1"]))
    assert len(found) == refused
    assert all("and the GPU has 149.0 GB free: take a smaller model" in each for each in found)


def test_a_gpu_that_cannot_be_asked_has_no_memory_problem(gpus):
    gpus(gpus.board(seconds=0.1))
    config = tiny_config(device="cuda", random_model=sized(10 * BOARD_FREE))
    assert list(memory_problems(config, BatchSize(1, 2), [])) == []
    assert list(memory_problems(config, BatchSize(1, 2), ["GPU-9"])) == []


def test_a_model_that_is_not_here_has_no_memory_problem():
    config = tiny_config(model="someone/not-here", random_model=None)
    assert list(memory_problems(config, BatchSize(10**9, 10**9), [])) == []


lengths = st.one_of(st.integers(1, 30), st.just({"distribution": "uniform", "min": 1, "max": 30}))


@given(lengths, lengths, st.integers(1, 12), st.integers(1, 5))
def test_the_largest_batch_is_one_that_is_sent(input_len, output_len, count, size):
    config = tiny_config(
        dataset={"synthetic": {"input_len": input_len, "output_len": output_len}},
        num_prompts=count,
        batch_size=size,
        max_input_tokens=None,
        max_output_tokens=None,
    )
    requests = build_requests(config, [], range(3, 400))
    batches = [requests[start : start + size] for start in range(0, count, size)]
    sizes = [
        (len(each), max(len(one.token_ids) for one in each) + max(one.max_output_tokens for one in each))
        for each in batches
    ]
    largest = largest_batch(config)
    assert (largest.rows, largest.tokens) in sizes
    assert largest.rows * largest.tokens == max(rows * tokens for rows, tokens in sizes)


def test_of_texts_only_what_cannot_be_less_is_counted():
    assert largest_batch(tiny_config(num_prompts=4, batch_size=8)) == BatchSize(4, 2)
    fixed = tiny_config(num_prompts=4, batch_size=3, max_output_tokens=20, decoder={"ignore_eos": True})
    assert largest_batch(fixed) == BatchSize(3, 21)
