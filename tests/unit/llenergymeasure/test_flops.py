"""Counted operations against what torch itself counts while a model generates."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from llenergymeasure.backends.pytorch.counting import COUNTED_ARCHITECTURES, decoder_shape
from llenergymeasure.domain.model import DecoderShape
from llenergymeasure.domain.requests import Batch, RequestRecord
from llenergymeasure.metrics.flops import pass_flops, total_flops

SIZES = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 1024,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT2_SIZES = {"n_embd": 256, "n_layer": 3, "n_head": 8, "vocab_size": 1024, "n_positions": 512}
ROWS, PROMPT, STEPS = 3, 40, 6


def build(model_type, **changes):
    sizes = GPT2_SIZES if model_type == "gpt2" else SIZES
    config = AutoConfig.for_model(model_type, **{**sizes, **changes})
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def counted_by_torch(model, **generation):
    ids = torch.randint(3, 1000, (ROWS, PROMPT))
    settings = GenerationConfig(
        max_new_tokens=STEPS,
        min_new_tokens=STEPS,
        eos_token_id=None,
        pad_token_id=0,
        disable_compile=True,
        **generation,
    )
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    return counter.get_total_flops()


def batch(attended_tokens=None):
    times = tuple(float(step) for step in range(1, STEPS + 1))
    request = RequestRecord(0, PROMPT, STEPS, 0.0, times, "length")
    return Batch(0.0, 7.0, (request,) * ROWS, PROMPT, times, True, attended_tokens)


@pytest.mark.parametrize("architecture", sorted(COUNTED_ARCHITECTURES))
def test_operations_of_every_counted_architecture_agree_with_torch_to_the_last_digit(architecture):
    model = build(architecture)
    shape, unknown = decoder_shape(model)
    assert unknown is None
    assert total_flops(shape, [batch()], 0.0, 7.0) == pytest.approx(counted_by_torch(model), rel=1e-6)


def test_tied_heads_are_counted_once():
    model = build("llama", tie_word_embeddings=True)
    shape, _ = decoder_shape(model)
    assert total_flops(shape, [batch()], 0.0, 7.0) == pytest.approx(counted_by_torch(model), rel=1e-6)


def test_a_static_cache_is_attended_to_over_its_whole_length():
    model = build("llama")
    shape, _ = decoder_shape(model)
    counted = counted_by_torch(model, cache_implementation="static")
    assert total_flops(shape, [batch(PROMPT + STEPS - 1)], 0.0, 7.0) == pytest.approx(counted, rel=1e-6)


def test_an_architecture_that_cannot_be_counted_is_unknown_with_the_reason():
    config = AutoConfig.for_model("mixtral", **SIZES, num_local_experts=2)
    shape, unknown = decoder_shape(AutoModelForCausalLM.from_config(config))
    assert shape is None
    assert "mixtral" in unknown
    assert total_flops(shape, [batch()], 0.0, 7.0) is None


def test_lengths_beyond_an_attention_window_are_unknown():
    shape = DecoderShape(100, 10, 1, 8, attention_window=PROMPT)
    assert total_flops(shape, [batch()], 0.0, 7.0) is None


def test_only_forward_passes_within_the_window_count():
    shape = DecoderShape(matmul_parameters=100, head_parameters=10, layers=1, attention_width=8)
    first_two = total_flops(shape, [batch()], 0.0, 2.5)
    assert first_two == pass_flops(shape, ROWS, PROMPT, PROMPT) + pass_flops(shape, ROWS, 1, PROMPT + 1)
    assert first_two + total_flops(shape, [batch()], 2.6, 7.0) == total_flops(shape, [batch()], 0.0, 7.0)
