"""`random:llama`: a Llama built from its configuration with seeded random weights, and a tokenizer made on the spot.

It costs no download and computes what a trained model of its shape computes; only its text means nothing.
"""

import json
from typing import Any

from llenergymeasure.config.models import RandomModelConfig

SPECIAL_TOKENS = ("<s>", "</s>", "<pad>")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def build_tokenizer(corpus: str, vocab_size: int) -> Any:
    """A byte-level BPE tokenizer of at most `vocab_size` ids, trained on `corpus`, a prompt in JSON a line.

    The same corpus and size give the same tokenizer.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    begin, end, pad = SPECIAL_TOKENS
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((json.loads(line)["prompt"] for line in corpus.splitlines()), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=begin, eos_token=end, pad_token=pad, chat_template=CHAT_TEMPLATE
    )


def weight_count(shape: RandomModelConfig) -> int:
    """The model's weights without its norms, which are few."""
    keys = shape.hidden_size // shape.num_attention_heads * (shape.num_key_value_heads or shape.num_attention_heads)
    layer = shape.hidden_size * (2 * shape.hidden_size + 2 * keys + 3 * shape.intermediate_size)
    embeddings = shape.vocab_size * shape.hidden_size * (1 if shape.tie_word_embeddings else 2)
    return shape.num_hidden_layers * layer + embeddings


def build_model(shape: RandomModelConfig, tokenizer: Any, *, seed: int, device: str, dtype: Any, attention: str) -> Any:
    """The model, made where it will run: a large one never passes through the CPU's memory."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        **shape.model_dump(),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)


def random_skeleton(shape: RandomModelConfig) -> Any:
    """The model without its weights, on torch's meta device."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(LlamaConfig(**shape.model_dump()))
