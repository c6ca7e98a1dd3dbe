"""The kinds of models that are measured: those that go on with their prompt, token by token.

transformers loads others as language models, too. An encoder (BERT) sees each token's future, and what it generates is
none of its work; of an encoder-decoder model (T5) it loads what it has a class for, if any.
"""

from typing import Any, NamedTuple

from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.backends.limited_process import raise_if_exhausted
from llenergymeasure.backends.pytorch.attention import attention_of, attention_problem, class_of
from llenergymeasure.backends.pytorch.folders import model_folder, runs_own_code
from llenergymeasure.backends.pytorch.skeleton import is_of_meta, read_config, saved_config, skeleton_of
from llenergymeasure.backends.pytorch.weights import first_line
from llenergymeasure.config.models import RANDOM_LLAMA, ExperimentConfig

MEASURED = "only decoder-only language models are measured"
CANNOT_GO_ON = frozenset({"prophetnet"})
"""Decoders that transformers loads, and whose second token it fails to compute."""


class Described(NamedTuple):
    """A model without its weights, and why it cannot be measured; neither where nobody has built it."""

    skeleton: Any | None = None
    problem: str | None = None


def described(config: ExperimentConfig) -> Described:
    """Return the model that its config.json describes, as far as it is here and runs no code of its own."""
    folder = model_folder(config)
    if config.model == RANDOM_LLAMA or folder is None:
        return Described()
    if runs_own_code(config):
        is_other = saved_config(folder).get("is_encoder_decoder") is True
        return Described(problem=f"is an encoder-decoder model, and {MEASURED}" if is_other else None)
    from transformers import __version__

    try:
        own = read_config(config.model, config.pytorch.revision)
        if problem := architecture_problem(own) or attention_problem(config, class_of(own), own):
            return Described(problem=problem)
        attention = attention_of(config, class_of(own))
        skeleton = skeleton_of(
            read_config(config.model, config.pytorch.revision, precision=config.precision, attention=attention)
        )
    except Exception as error:  # transformers raises whatever its parts raise
        raise_if_exhausted(error)
        return Described(
            problem=f"transformers {__version__} does not build it from its config.json: {first_line(error)}"
        )
    problem = encoder_problem(skeleton) or shape_problem(skeleton)
    if problem is None and config.pytorch.cache == "static":
        problem = static_cache_problem(skeleton)
    return Described(skeleton, problem)


def architecture_problem(config: Any) -> str | None:
    """Return why a model of this transformers config is none that is measured; None if it may be one."""
    from transformers import AutoModelForCausalLM, __version__
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        MODEL_FOR_MASKED_LM_MAPPING,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    )

    kind, name = type(config), clean(str(config.model_type), SHOWN)
    if getattr(config, "is_encoder_decoder", False):
        return f"is an encoder-decoder model ({name}), and {MEASURED}"
    if config.model_type in CANNOT_GO_ON:
        return f"is a decoder ({name}) that transformers {__version__} does not generate with"
    if kind in AutoModelForCausalLM._model_mapping:
        return None
    if kind in MODEL_FOR_MASKED_LM_MAPPING:
        return f"is an encoder-only model ({name}), and {MEASURED}"
    if kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        return f"is an encoder-decoder model ({name}), and {MEASURED}"
    if kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return f"is a model of images and text ({name}), and {MEASURED}"
    return f"is of a kind ({name}) that transformers {__version__} has no causal language model for"


def encoder_problem(model: Any) -> str | None:
    """Return why a model that transformers builds as a language model is refused: its tokens see those after them."""
    config = model.config
    looks_ahead = getattr(config, "causal", True) is False  # XLM's word for it
    if getattr(config, "is_decoder", None) is False:  # GPT-NeoX, which is one, has this field as well and no use for it
        looks_ahead = any(getattr(module, "is_decoder", None) is False for module in model.modules())
    if not looks_ahead:
        return None
    name = clean(str(config.model_type), SHOWN)
    return (
        f"is an encoder-only model ({name}: is_decoder is not set in config.json, so each token sees those after it), "
        f"and {MEASURED}"
    )


def shape_problem(skeleton: Any) -> str | None:
    """Return why a model cannot compute, whatever its weights: the sizes in its config.json do not go together.

    It is run on torch's meta device, where tensors have shapes alone. What cannot be known there is no reason.
    """
    error = _failure(skeleton)
    if error is None or is_of_meta(error):
        return None
    return f"cannot compute as its config.json describes it: {first_line(error)}"


def static_cache_problem(skeleton: Any) -> str | None:
    """Return why a model that computes does not do so with a static cache; None if it does, or that is not known."""
    from transformers import StaticCache

    try:
        cache = StaticCache(config=skeleton.config.get_text_config(decoder=True), max_cache_len=8)
    except KeyError as error:  # it has no static kind of one of the model's layers
        failed: Exception | None = error
    else:
        failed = _failure(skeleton, past_key_values=cache)
    if failed is None or is_of_meta(failed):
        return None
    return f"does not compute with pytorch.cache: static; set it to dynamic, or leave it out ({first_line(failed)})"


def _failure(skeleton: Any, **more: Any) -> Exception | None:
    """Return the error of two steps on the meta device, over a few tokens and the next one; None if there is none.

    A model that prepares its steps in a way of its own is not asked for the second.
    """
    import torch
    from transformers import GenerationMixin

    is_plain = type(skeleton).prepare_inputs_for_generation is GenerationMixin.prepare_inputs_for_generation
    try:
        with torch.inference_mode(), torch.device("meta"):
            tokens = torch.zeros((2, 3), dtype=torch.long)
            first = skeleton.eval()(input_ids=tokens, use_cache=True, **more)
            cache = getattr(first, "past_key_values", None)
            if cache is not None and is_plain:
                skeleton(input_ids=tokens[:, :1], use_cache=True, past_key_values=cache)
    except Exception as error:  # transformers raises whatever its parts raise
        raise_if_exhausted(error)
        return error
    return None
