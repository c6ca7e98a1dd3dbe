"""Counted operations against what torch itself counts while a model generates."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from llenergymeasure.backends.pytorch.decoder_shape import (
    COUNTED_ARCHITECTURES,
    MIXTURES_OF_EXPERTS,
    decoder_shape,
    shape_of_config,
)
from llenergymeasure.domain.model import DecoderShape
from llenergymeasure.domain.requests import Batch, RequestRecord
from llenergymeasure.metrics.flops import passes_flops, total_flops

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
EXPERT_COUNTS = {"num_local_experts", "num_experts", "n_routed_experts"}
ROWS, PROMPT, STEPS = 3, 40, 6


MLA_SIZES = {
    "kv_lora_rank": 32,
    "q_lora_rank": 48,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 32,
    "v_head_dim": 24,
    "num_key_value_heads": 8,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "n_group": 2,
    "topk_group": 1,
    "moe_intermediate_size": 96,
    "first_k_dense_replace": 1,
    "num_experts_per_tok": 2,
}
OWN_SIZES = {
    "deepseek_v2": MLA_SIZES,
    "deepseek_v3": MLA_SIZES,
    "gpt_oss": {"num_local_experts": 6, "num_experts_per_tok": 2, "head_dim": 64, "sliding_window": 4096},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "olmoe": {"num_experts": 6, "num_experts_per_tok": 3},
    "qwen2_moe": {
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 96,
        "shared_expert_intermediate_size": 160,
        "mlp_only_layers": [1],
    },
    "qwen3_moe": {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 96, "head_dim": 64},
}


def configured(model_type, **changes):
    sizes = GPT2_SIZES if model_type == "gpt2" else {**SIZES, **OWN_SIZES.get(model_type, {})}
    return AutoConfig.for_model(model_type, **{**sizes, **changes})


def build(model_type, **changes):
    config = configured(model_type, **changes)
    # torch's counter does not see a grouped product; an eager loop over the experts does the same operations.
    experts = {"experts_implementation": "eager"} if model_type in MIXTURES_OF_EXPERTS else {}
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager", **experts).eval()


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


@pytest.mark.parametrize("architecture", sorted(MIXTURES_OF_EXPERTS))
def test_experts_that_are_not_chosen_are_not_counted(architecture):
    more = {name: 3 * OWN_SIZES[architecture][name] for name in EXPERT_COUNTS & OWN_SIZES[architecture].keys()}
    few, _ = decoder_shape(build(architecture))
    many, _ = decoder_shape(build(architecture, **more))
    layers_with_experts = 3 - (architecture in ("deepseek_v2", "deepseek_v3", "qwen2_moe"))
    routers = layers_with_experts * SIZES["hidden_size"] * (next(iter(more.values())) * 2 // 3)
    assert many.matmul_parameters - few.matmul_parameters == routers


WINDOWED = {
    "gpt_oss": {"sliding_window": 16},
    "mistral": {"sliding_window": 16},
    "mixtral": {"sliding_window": 43},
    "phi3": {"sliding_window": 16},
    "qwen2": {"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 1},
}


@pytest.mark.parametrize("architecture", WINDOWED)
def test_a_layer_with_a_window_attends_to_no_more_than_it_after_the_prefill(architecture):
    model = build(architecture, **WINDOWED[architecture])
    shape, _ = decoder_shape(model)
    assert shape.windowed_layers > 0
    assert total_flops(shape, [batch()], 0.0, 7.0) == pytest.approx(counted_by_torch(model), rel=1e-6)


def test_a_static_cache_beyond_an_attention_window_is_unknown():
    shape = DecoderShape(100, 10, 1, 8, attention_window=PROMPT, windowed_layers=1)
    assert total_flops(shape, [batch(PROMPT)], 0.0, 7.0) is not None
    assert total_flops(shape, [batch(PROMPT + 1)], 0.0, 7.0) is None


def test_an_architecture_that_cannot_be_counted_is_unknown_with_the_reason():
    config = AutoConfig.for_model("bloom", hidden_size=64, n_layer=1, n_head=2, vocab_size=512)
    shape, unknown = decoder_shape(AutoModelForCausalLM.from_config(config))
    assert shape is None
    assert "bloom" in unknown
    assert total_flops(shape, [batch()], 0.0, 7.0) is None


@pytest.mark.parametrize("architecture", sorted(COUNTED_ARCHITECTURES))
def test_a_config_alone_gives_the_shape_of_the_model_that_is_built_from_it(architecture, tmp_path):
    configured(architecture).save_pretrained(tmp_path)
    shape, unknown = shape_of_config(str(tmp_path))
    assert unknown is None
    assert shape == decoder_shape(build(architecture))[0]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (None, "no model can be built from its config"),
        ({"model_type": "no-such-kind"}, "no model can be built from its config"),
        ({"model_type": "bloom", "hidden_size": 64, "n_layer": 1, "n_head": 2}, "architecture 'bloom'"),
        (
            {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}},
            "no model can be built from its config",
        ),
        ({"model_type": "llama", "quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised weights"),
    ],
)
def test_a_config_that_cannot_be_counted_is_unknown_with_the_reason(tmp_path, config, problem):
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
        (tmp_path / "own.py").write_text("raise SystemExit('own code ran')")
    shape, unknown = shape_of_config(str(tmp_path))
    assert shape is None
    assert unknown.startswith("not counted: ")
    assert problem in unknown
    assert len(unknown.splitlines()) == 1


def test_only_forward_passes_within_the_window_count():
    shape = DecoderShape(matmul_parameters=100, head_parameters=10, layers=1, attention_width=8)
    first_two = total_flops(shape, [batch()], 0.0, 2.5)
    assert first_two == passes_flops(shape, ROWS, PROMPT, [PROMPT]) + passes_flops(shape, ROWS, 1, [PROMPT + 1])
    assert first_two + total_flops(shape, [batch()], 2.6, 7.0) == total_flops(shape, [batch()], 0.0, 7.0)
