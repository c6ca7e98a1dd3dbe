"""The attention that a model is measured with: the one asked for, else one that its class supports."""

from typing import Any

from llenergymeasure.config.models import ExperimentConfig

EAGER = "eager"


def attention_of(config: ExperimentConfig, model_class: type[Any] | None) -> str:
    """Return the implementation that a model of `model_class` (None if it is not known) is loaded with."""
    chosen = config.pytorch.attn_implementation
    return EAGER if not _is_named(config) and not _supports(model_class, chosen) else chosen


def attention_problem(config: ExperimentConfig, model_class: type[Any] | None, model_config: Any) -> str | None:
    """Return why a model of this class and this transformers config does not have the attention that is configured."""
    chosen = config.pytorch.attn_implementation
    if model_class is not None and _is_named(config) and not _supports(model_class, chosen):
        return (
            f"pytorch.attn_implementation: {chosen} is not there for {model_class.__name__}; set it to {EAGER}, or "
            "leave it out"
        )
    if getattr(model_config, "output_attentions", False) and attention_of(config, model_class) != EAGER:
        return (
            f"config.json has output_attentions, which {chosen} does not give; remove it, or set pytorch: "
            f"{{attn_implementation: {EAGER}}}"
        )
    return None


def class_of(model_config: Any) -> type[Any] | None:
    """Return the class that transformers has for models of its config; None where it has none."""
    from transformers import AutoModelForCausalLM

    mapping = AutoModelForCausalLM._model_mapping
    if type(model_config) not in mapping:
        return None
    found: Any = mapping[type(model_config)]
    model_class: type[Any] = found[0] if isinstance(found, tuple) else found
    return model_class


def attention_failure(error: Exception, config: ExperimentConfig) -> str | None:
    """Return what to do where a model's own code does not have the attention that it was loaded with.

    transformers says it of a class that it does not know, with an example of another model.
    """
    if "does not support an attention implementation" not in str(error):
        return None
    chosen = config.pytorch.attn_implementation
    return f"its class does not have {chosen} attention; set pytorch: {{attn_implementation: {EAGER}}}"


def _is_named(config: ExperimentConfig) -> bool:
    return "attn_implementation" in config.pytorch.model_fields_set


def _supports(model_class: type[Any] | None, implementation: str) -> bool:
    return implementation != "sdpa" or bool(getattr(model_class, "_supports_sdpa", True))
