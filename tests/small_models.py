"""Small models with random weights, of any kind that transformers has a causal language model for."""

import shutil
from functools import cache
from pathlib import Path

MOST_WEIGHTS = 30_000_000
POSITIONS = 128
SIZES = {
    64: "hidden_size d_model n_embd dim emb_dim embedding_size word_embed_proj_dim n_embed lru_width "
    "attention_hidden_size",
    2: "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_decoder_layers "
    "num_encoder_layers num_key_value_heads num_experts_per_tok num_experts_per_token moe_k linear_num_key_heads "
    "index_n_heads num_global_key_value_heads",
    4: "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads num_experts "
    "num_local_experts n_routed_experts moe_num_experts linear_num_value_heads",
    96: "intermediate_size d_ff encoder_ffn_dim decoder_ffn_dim ffn_dim dff n_inner ffn_hidden_size feed_forward_size",
    32: "moe_intermediate_size shared_expert_intermediate_size sliding_window image_size",
    1: "n_group topk_group mamba_n_groups n_groups num_mem_blocks",
    16: "head_dim q_lora_rank kv_lora_rank v_head_dim qk_head_dim mamba_d_head mamba_chunk_size chunk_size "
    "index_head_dim index_topk linear_key_head_dim linear_value_head_dim global_head_dim kv_channels",
    8: "qk_rope_head_dim qk_nope_head_dim state_size mamba_d_state mamba_n_heads mamba_dt_rank time_step_rank "
    "rotary_dim hidden_size_per_layer_input patch_size",
    512: "vocab_size vocab_size_per_layer_input",
    POSITIONS: "max_position_embeddings n_positions n_ctx max_seq_len max_sequence_length",
}
SMALL = {name: size for size, names in SIZES.items() for name in names.split()}
TOKENS = {
    **{"pad_token_id": 2, "bos_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "sep_token_id": 1},
    **{"image_token_id": 5, "audio_token_id": 6, "image_token_index": 5, "boi_token_id": 7, "eoi_token_id": 8},
    **{"video_token_id": 9, "forced_eos_token_id": None, "forced_bos_token_id": None},
    **{"begin_suppress_tokens": None, "suppress_tokens": None},
}
ONE_OF_EACH = {"layer_types": ["linear_attention", "full_attention"]}
FOUR_LAYERS = {"num_hidden_layers": 4}
LATENT_ATTENTION = {"head_dim": 8, "num_key_value_heads": 4}
ALL_HEADS = {"num_key_value_heads": 4}
HEADS = {"head_dim": 16, "num_key_value_heads": 2}
OF_KIND = {
    **dict.fromkeys(("lfm3", "recurrent_gemma", "qwen3_next", "olmo_hybrid", "nemotron_h"), FOUR_LAYERS),
    **dict.fromkeys(("axk1", "deepseek_v3", "youtu", "deepseek_v2"), LATENT_ATTENTION),
    **dict.fromkeys(("nemotron", "ministral", "hunyuan_v1_dense"), HEADS),
    **dict.fromkeys(("qwen3_5_moe_text", "qwen3_5_text"), ONE_OF_EACH),
    **dict.fromkeys(("glm4_moe_lite", "minicpm3", "dots3_note_text"), ALL_HEADS),
    "kimi_linear": {**ONE_OF_EACH, **ALL_HEADS},
    "bamba": {"attn_layer_indices": [1]},
    "falcon_h1": {"mamba_d_ssm": 128, "mamba_n_heads": 8, "mamba_d_head": 16},
    "gemma3n_text": {
        "num_kv_shared_layers": 0,
        "layer_types": ["sliding_attention", "full_attention"],
        "activation_sparsity_pattern": [0.0, 0.0],
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 32},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "hunyuan_v1_moe": {"head_dim": 16, "num_experts": 4, "moe_topk": 2},
    "jamba": {"num_hidden_layers": 8},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "mamba2": {"num_heads": 8, "head_dim": 16},
}
"""What a kind asks for besides, so that its small model computes."""


def small_config(kind, **changes):
    """Return transformers' config of a kind with small sizes, and `changes`.

    Raises:
        Exception: its defaults and these sizes do not go together.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config_class = CONFIG_MAPPING[kind]
    return config_class(**{**_shrunk(config_class().to_dict()), **OF_KIND.get(kind, {}), **changes})


def save_small_model(folder, kind, tokenizer_folder, *, model_class=None, **changes):
    """Save a small model of a kind, as transformers saves it, with a tokenizer of 512 tokens; return the folder.

    Raises:
        Exception: it does not build with small sizes.
    """
    import torch
    import transformers

    config = small_config(kind, **changes)
    build = getattr(transformers, model_class) if model_class else transformers.AutoModelForCausalLM.from_config
    with torch.device("meta"):
        if sum(each.numel() for each in build(config).parameters()) > MOST_WEIGHTS:
            raise ValueError(f"{kind} has more weights than are small")
    torch.manual_seed(0)
    build(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(tokenizer_folder) / name, folder)
    return folder


@cache
def causal_kinds():
    """Return the kinds that transformers loads as causal language models."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def _shrunk(settings):
    small = {}
    for name, value in settings.items():
        if isinstance(value, dict) and name.endswith("_config") and value:
            small[name] = {**_shrunk(value), **{key: value[key] for key in ("model_type",) if key in value}}
        elif name in TOKENS:
            small[name] = TOKENS[name]
        elif name in SMALL and isinstance(value, int) and not isinstance(value, bool):
            small[name] = SMALL[name] if name.startswith("vocab") else min(SMALL[name], value)
        elif name in SMALL and isinstance(value, list) and value and all(isinstance(each, int) for each in value):
            small[name] = [min(SMALL[name], each) for each in value][:2]
        elif name.startswith("rope_"):
            small[name] = value
    return small
