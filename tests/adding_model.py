"""A two-layer Llama that adds, trained here in seconds, and the same with weights of four bits."""

import json

SPECIAL = ("<s>", "</s>", "<pad>")
MOST = 12
"""The numbers that it adds are below this one."""


def sums():
    """Return every question with its answer: `3+11=` and `14`."""
    return [(f"{one}+{other}=", str(one + other)) for one in range(MOST) for other in range(MOST)]


def write_task(path):
    """Write all sums as a task, and return its path as text."""
    lines = [json.dumps({"prompt": question, "answer": answer}) for question, answer in sums()]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def adding_tokenizer():
    """Return a tokenizer of single characters."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    begin, end, pad = SPECIAL
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *"0123456789+="))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=pad))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=begin, eos_token=end, pad_token=pad)


def trained(tokenizer, *, steps=180):
    """Return a model that has learned all sums by heart, as far as so many steps go."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    model = LlamaForCausalLM(config)
    ids, labels = _batch(tokenizer)
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(steps):
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def cut_to_four_bits(model):
    """Round each weight to the nearest of 15 values, from minus to plus the largest of its matrix."""
    import torch

    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() == 2:
                step = weights.abs().max() / 7
                weights.copy_((weights / step).round() * step)
    return model


def _batch(tokenizer):
    """Return token ids and labels, both (sums, longest) int64: only answers are learned, each with its end."""
    import torch

    rows = [(tokenizer(question)["input_ids"], [*tokenizer(answer)["input_ids"][1:], 1]) for question, answer in sums()]
    longest = max(len(question) + len(answer) for question, answer in rows)
    ids = torch.full((len(rows), longest), 2)
    labels = torch.full((len(rows), longest), -100)
    for row, (question, answer) in enumerate(rows):
        end = len(question) + len(answer)
        ids[row, :end] = torch.tensor(question + answer)
        labels[row, len(question) : end] = torch.tensor(answer)
    return ids, labels
