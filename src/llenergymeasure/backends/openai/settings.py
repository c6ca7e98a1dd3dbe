"""From the configuration to the objects of the client, the load and the server."""

import json
import os

from pydantic import JsonValue

from labledger.redaction import environment_keys
from llenergymeasure.backends.openai.client.request_body import RequestTemplate
from llenergymeasure.backends.openai.load.arrivals import ClosedLoop, OpenLoop, StopRule
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.servers import LoadConfig


def api_key(config: ExperimentConfig) -> str | None:
    """Return the key in the variable that is named; None where none is named, or it is not set."""
    name = config.openai.api_key_env
    return (os.environ.get(name) or None) if name is not None else None


def run_keys(config: ExperimentConfig) -> dict[str, str]:
    """Return the keys that a run knows, by their variables: the server's, and those that a launched one inherits."""
    name, key = config.openai.api_key_env, api_key(config)
    return environment_keys() | ({name: key} if name and key else {})


def request_template(config: ExperimentConfig, model: str) -> RequestTemplate:
    """Return the URL, the model and the fields that all requests have in common."""
    server = config.openai
    return RequestTemplate(
        base_url=server.base_url,
        model=model,
        endpoint=server.endpoint,
        timeout_s=server.timeout_s,
        stall_s=server.stall_s,
        limit_field=server.limit_field,
        sends_ignore_eos=not _takes_generation_config(config),
        extra_body={**_sampling(config), **config.passthrough_kwargs},
    )


def _takes_generation_config(config: ExperimentConfig) -> bool:
    """Return True if the server refuses extra fields, and takes them in a `generation_config` field."""
    return config.launch is not None and config.launch.preset == "transformers"


def _sampling(config: ExperimentConfig) -> dict[str, JsonValue]:
    """Return the body fields of the decoder; those that not every server knows only where they do something."""
    decoder = config.decoder
    if _takes_generation_config(config):
        own = decoder.model_dump(exclude={"ignore_eos"} | (set() if decoder.do_sample else set(decoder.without_effect)))
        own |= {"eos_token_id": []} if config.ignores_eos else {}
        seed = {"seed": config.random_seed} if decoder.do_sample else {}
        return {"generation_config": json.dumps(own), **seed}
    fields: dict[str, JsonValue] = {"temperature": decoder.temperature if decoder.do_sample else 0}
    if decoder.do_sample:
        fields |= {"seed": config.random_seed}
    neutral = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    named = {name: getattr(decoder, name) for name in neutral}
    return fields | {name: value for name, value in named.items() if value != neutral[name]}


def strategy(load: LoadConfig, seed: int) -> ClosedLoop | OpenLoop:
    """Return when requests are sent."""
    if load.request_rate is None:
        return ClosedLoop(load.concurrency)
    return OpenLoop(load.request_rate, load.arrival, seed)


def stop_rule(load: LoadConfig) -> StopRule:
    """Return when no more requests are sent."""
    return StopRule(duration_s=load.duration_s, drain_s=load.drain_s)
