"""The pytorch backend on small real models: tokens, times, lengths, what it refuses."""

import json
import shutil

import pytest
import torch
from tiny import tiny_config
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoTokenizer

from llenergymeasure.backends.protocol import Gpus
from llenergymeasure.backends.pytorch.backend import PytorchBackend
from llenergymeasure.backends.pytorch.checks import problems
from llenergymeasure.backends.pytorch.generation import Encoded, request_records
from llenergymeasure.domain.requests import Request
from llenergymeasure.errors import BackendError
from llenergymeasure.metrics.flops import total_flops
from llenergymeasure.workload.prompts import build_requests, builtin_text, load_prompts


def ready(config):
    """A backend that is loaded and has its requests, and what it knows of the model."""
    backend = PytorchBackend(config, builtin_text)
    facts = backend.load()
    notes = backend.prepare(build_requests(config, load_prompts(config).prompts, facts.prompt_tokens))
    return backend, facts, notes


def records(config):
    backend, _, _ = ready(config)
    return [request for batch in backend.run() for request in batch.requests]


def test_every_output_token_has_a_time_between_submission_and_the_end_of_its_batch():
    backend, _, _ = ready(tiny_config())
    for batch in backend.run():
        for request in batch.requests:
            assert len(request.token_times_s) == request.output_tokens
            assert list(request.token_times_s) == sorted(request.token_times_s)
            assert batch.start_s == request.start_s < request.first_token_s
            assert request.end_s <= batch.end_s


def test_answers_end_at_the_end_of_sequence_token_whatever_else_is_in_the_batch(model_folder, prompts_file):
    config = {"model": str(model_folder), "random_model": None, "dataset": str(prompts_file), "max_output_tokens": 40}
    alone = records(tiny_config(**config, batch_size=1))
    together = records(tiny_config(**config, batch_size=4))
    assert [each.output_tokens for each in together] == [each.output_tokens for each in alone]
    assert [each.input_tokens for each in together] == [each.input_tokens for each in alone]
    assert len({each.output_tokens for each in alone}) > 1
    assert {each.finish_reason for each in alone if each.output_tokens < 40} == {"stop"}


def test_input_tokens_are_those_of_the_datasets_prompts_without_padding(model_folder, prompts_file):
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    texts = [json.loads(line)["prompt"] for line in prompts_file.read_text().splitlines()]
    found = records(
        tiny_config(
            model=str(model_folder),
            random_model=None,
            dataset=str(prompts_file),
            max_input_tokens=None,
            batch_size=4,
        )
    )
    assert [each.input_tokens for each in found] == [len(tokenizer(text)["input_ids"]) for text in texts]


def test_ignore_eos_gives_every_answer_its_full_length(model_folder, prompts_file):
    config = tiny_config(
        model=str(model_folder),
        random_model=None,
        dataset=str(prompts_file),
        max_output_tokens=40,
        decoder={"ignore_eos": True},
    )
    assert [(each.output_tokens, each.finish_reason) for each in records(config)] == [(40, "length")] * 4


def test_synthetic_lengths_are_exact_in_tokens():
    config = tiny_config(
        dataset={"synthetic": {"input_len": 33, "output_len": 7}},
        max_input_tokens=None,
        max_output_tokens=None,
        batch_size=3,
    )
    assert [(each.input_tokens, each.output_tokens) for each in records(config)] == [(33, 7)] * 4


def test_sampling_is_repeated_by_its_seed_and_changed_by_another(model_folder, prompts_file):
    config = {
        "model": str(model_folder),
        "random_model": None,
        "dataset": str(prompts_file),
        "max_output_tokens": 40,
        "decoder": {"do_sample": True},
    }

    def lengths(seed):
        return [each.output_tokens for each in records(tiny_config(**config, random_seed=seed))]

    assert lengths(1) == lengths(1)
    assert lengths(1) != lengths(2)


def test_prompts_that_are_cut_are_reported():
    _, _, notes = ready(tiny_config(max_input_tokens=3))
    assert notes == ["4 prompts were cut to max_input_tokens = 3."]


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_operations_counted_over_batches_agree_with_torch(cache):
    config = tiny_config(pytorch={"cache": cache, "attn_implementation": "eager"}, batch_size=3)
    backend, facts, _ = ready(config)
    with FlopCounterMode(display=False) as counter:
        batches = list(backend.run())
    counted = total_flops(facts.shape, batches, batches[0].start_s, batches[-1].end_s)
    assert counted == pytest.approx(counter.get_total_flops(), rel=1e-3)


def test_peak_memory_holds_the_weights():
    backend, facts, _ = ready(tiny_config())
    backend.reset_peak_memory()
    list(backend.run())
    assert backend.peak_memory_mb() > facts.model_memory_mb > 0


def test_decoding_of_several_tokens_a_step_is_refused():
    backend, _, _ = ready(tiny_config(batch_size=1, passthrough_kwargs={"prompt_lookup_num_tokens": 3}))
    with pytest.raises(BackendError, match="passthrough_kwargs"):
        list(backend.run())


def test_a_step_that_generate_takes_in_vain_gives_no_token():
    request = Encoded(Request(0, "x", None, 5), (1, 2))
    (record,) = request_records([request], [[7, 9]], 0.0, (1.0, 2.0, 3.0), eos_ids=(9,))
    assert (record.output_tokens, record.token_times_s, record.finish_reason) == (2, (1.0, 2.0), "stop")


def test_quantised_weights_are_refused_before_they_are_loaded(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "quantised")
    config = json.loads((folder / "config.json").read_text()) | {"quantization_config": {"quant_method": "gptq"}}
    (folder / "config.json").write_text(json.dumps(config))
    (problem,) = problems(tiny_config(model=str(folder), random_model=None), Gpus())
    assert "weights are quantised" in problem


def test_a_pad_token_beyond_the_embedding_is_not_used(model_folder, prompts_file, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "padded")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "[EXTRA]"})
    tokenizer.save_pretrained(folder)
    config = tiny_config(model=str(folder), random_model=None, dataset=str(prompts_file), batch_size=4)
    assert len(records(config)) == 4


def test_shapes_that_may_compile_inside_the_window_are_reported():
    _, _, notes = ready(tiny_config(num_prompts=3, pytorch={"torch_compile": True}))
    assert "2 different shapes" in notes[-1]


def test_an_unknown_argument_of_generate_is_an_error_that_names_it():
    backend, _, _ = ready(tiny_config(passthrough_kwargs={"no_such_argument": 1}))
    with pytest.raises(BackendError, match="no_such_argument"):
        list(backend.run())


def test_closing_drops_the_model_and_twice_is_no_error():
    backend, _, _ = ready(tiny_config())
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="not loaded"):
        list(backend.run())


@pytest.mark.slow
def test_a_compiled_model_gives_the_tokens_of_one_that_is_not(model_folder, prompts_file):
    config = {"model": str(model_folder), "random_model": None, "dataset": str(prompts_file), "max_output_tokens": 12}

    def lengths(**pytorch):
        return [each.output_tokens for each in records(tiny_config(**config, pytorch=pytorch))]

    assert lengths(torch_compile=True) == lengths()
    assert lengths(torch_compile=True, cache="static") == lengths()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_auto_takes_the_cpu_where_there_is_no_gpu():
    _, facts, _ = ready(tiny_config(device="auto"))
    assert facts.device == "cpu"
