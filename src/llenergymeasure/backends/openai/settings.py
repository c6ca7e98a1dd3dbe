"""From the configuration to the objects of the client, the load and the server."""

import os

from labledger.redaction import environment_keys
from llenergymeasure.backends.openai.client.request_body import RequestTemplate
from llenergymeasure.backends.openai.load.arrivals import ClosedLoop, OpenLoop, StopRule
from llenergymeasure.backends.openai.sampling import needed_fields, optional_fields, takes_generation_config
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
    server, extra = config.openai, {**needed_fields(config), **config.passthrough_kwargs}
    return RequestTemplate(
        base_url=server.base_url,
        model=model,
        endpoint=server.endpoint,
        timeout_s=server.timeout_s,
        stall_s=server.stall_s,
        limit_field=server.limit_field,
        sends_ignore_eos=not takes_generation_config(config),
        extra_body=extra,
        optional={name: value for name, value in optional_fields(config).items() if name not in extra},
    )


def strategy(load: LoadConfig, seed: int) -> ClosedLoop | OpenLoop:
    """Return when requests are sent."""
    if load.request_rate is None:
        return ClosedLoop(load.concurrency)
    return OpenLoop(load.request_rate, load.arrival, seed)


def stop_rule(load: LoadConfig) -> StopRule:
    """Return when no more requests are sent."""
    return StopRule(duration_s=load.duration_s, drain_s=load.drain_s)
