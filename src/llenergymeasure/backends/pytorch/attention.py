"""The attention that a model is measured with: the one asked for, else one that its class supports."""

from collections.abc import Iterator
from typing import Any

from llenergymeasure.config.models import ExperimentConfig

EAGER = "eager"


def attention_of(config: ExperimentConfig, model_class: type[Any] | None) -> str:
    """Return the implementation that a model of `model_class` (None if it is not known) is loaded with."""
    chosen = config.pytorch.attn_implementation
    return EAGER if not _is_named(config) and not _supports(model_class, chosen) else chosen


def attention_problems(config: ExperimentConfig, model_class: type[Any]) -> Iterator[str]:
    """Yield a line if the configuration names an implementation that models of this class do not have."""
    chosen = config.pytorch.attn_implementation
    if _is_named(config) and not _supports(model_class, chosen):
        yield (
            f"pytorch.attn_implementation: {chosen} is not there for {model_class.__name__}; set it to {EAGER}, or "
            "leave it out"
        )


def _is_named(config: ExperimentConfig) -> bool:
    return "attn_implementation" in config.pytorch.model_fields_set


def _supports(model_class: type[Any] | None, implementation: str) -> bool:
    return implementation != "sdpa" or bool(getattr(model_class, "_supports_sdpa", True))
