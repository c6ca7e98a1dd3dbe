"""The fields of a request's body that say how tokens are chosen, by the names and values that each server knows.

A server that is not told takes the model's own `generation_config.json`, or a default of its own: what was meant is
said, even where it does nothing. Fields of OpenAI's own schema go to every server, others to those that document them.
"""

import json
from typing import NamedTuple

from pydantic import JsonValue

from llenergymeasure.config.models import ExperimentConfig

NEUTRAL: dict[str, JsonValue] = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
"""Our own fields that may do nothing, each with the value at which it does nothing."""

SCHEMA: dict[str, JsonValue] = {"top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0, "n": 1}
"""Fields of OpenAI's own schema, each with the value at which it does nothing."""


class Spelling(NamedTuple):
    """A server's own name of one of our fields, and its own value at which it does nothing."""

    name: str
    neutral: JsonValue


SPELLINGS: dict[str, dict[str, Spelling]] = {
    "vllm": {
        "top_k": Spelling("top_k", -1),
        "min_p": Spelling("min_p", 0.0),
        "repetition_penalty": Spelling("repetition_penalty", 1.0),
    },
    "sglang": {
        "top_k": Spelling("top_k", -1),
        "min_p": Spelling("min_p", 0.0),
        "repetition_penalty": Spelling("repetition_penalty", 1.0),
    },
    "tensorrt": {
        "top_k": Spelling("top_k", 0),
        "min_p": Spelling("min_p", 0.0),
        "repetition_penalty": Spelling("repetition_penalty", 1.0),
    },
    "llamacpp": {
        "top_k": Spelling("top_k", 0),
        "min_p": Spelling("min_p", 0.0),
        "repetition_penalty": Spelling("repeat_penalty", 1.0),
    },
}
"""Fields beyond OpenAI's schema that the servers of presets document."""

COUNT_EACH_CHUNK = ("vllm", "sglang")
"""The presets whose server counts the tokens up to each chunk where it is asked to."""


def takes_generation_config(config: ExperimentConfig) -> bool:
    """Return True if the server refuses extra fields, and takes all of them in a `generation_config` field."""
    return _preset(config) == "transformers"


def needed_fields(config: ExperimentConfig) -> dict[str, JsonValue]:
    """Return the fields that do something: without them it would be another measurement."""
    decoder = config.decoder
    seed: dict[str, JsonValue] = {"seed": config.random_seed} if decoder.do_sample else {}
    if takes_generation_config(config):
        own = decoder.model_dump(exclude={"ignore_eos"} | (set() if decoder.do_sample else set(decoder.without_effect)))
        own |= {"eos_token_id": []} if config.ignores_eos else {}
        return {"generation_config": json.dumps(own), **seed}
    named = {name: getattr(decoder, name) for name in NEUTRAL}
    spelled = SPELLINGS.get(_preset(config) or "", {})
    return {
        "temperature": decoder.temperature if decoder.do_sample else 0,
        **seed,
        **{_name(spelled, name): value for name, value in named.items() if value != NEUTRAL[name]},
    }


def optional_fields(config: ExperimentConfig) -> dict[str, JsonValue]:
    """Return the fields that a server may be asked without where it refuses them.

    They ask for token counts, and say that what was not configured is to do nothing.
    """
    preset = _preset(config)
    counts: dict[str, JsonValue] = {"include_usage": True}
    if preset in COUNT_EACH_CHUNK:
        counts["continuous_usage_stats"] = True
    if takes_generation_config(config):
        return {"stream_options": counts}
    further = {each.name: each.neutral for each in SPELLINGS.get(preset or "", {}).values()}
    return {"stream_options": counts, **SCHEMA, **further}


def _preset(config: ExperimentConfig) -> str | None:
    return config.launch.preset if config.launch is not None else None


def _name(spelled: dict[str, Spelling], name: str) -> str:
    return spelled[name].name if name in spelled else name
