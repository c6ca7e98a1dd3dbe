"""The backends by name, and the part of an experiment that each reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from llenergymeasure.config.pytorch import OWN_GENERATE_KEYS
from llenergymeasure.config.servers import OWN_BODY_KEYS

BackendName = Literal["pytorch", "openai"]


@dataclass(frozen=True)
class BackendRules:
    """The part of an experiment that one backend reads.

    `fields` of ExperimentConfig have no effect with a backend that does not list them; `advice` has an end of that
    message for fields of other backends. `own_keys` are names that `passthrough_kwargs` may not hold. `is_server`:
    requests go to a server, under a `load`.
    """

    label: str
    fields: tuple[str, ...]
    own_keys: frozenset[str]
    advice: Mapping[str, str] = field(default_factory=dict)
    is_server: bool = False


BACKEND_RULES: dict[BackendName, BackendRules] = {
    "pytorch": BackendRules(
        "in this process",
        ("pytorch", "lora", "batch_size", "max_input_tokens", "chat_template"),
        OWN_GENERATE_KEYS,
    ),
    "openai": BackendRules(
        "a server that speaks OpenAI's protocol",
        ("openai", "launch", "load"),
        OWN_BODY_KEYS,
        advice={
            **dict.fromkeys(("pytorch", "lora"), "; give it to the server"),
            "batch_size": ": a server makes its own batches; use load: {concurrency}",
            "max_input_tokens": ": prompts are sent whole",
            "chat_template": ": endpoint: chat renders every prompt, and endpoint: completions none",
        },
        is_server=True,
    ),
}
"""Each backend's rules; `backends.registry` has what runs it."""


def fields_of_others(backend: BackendName) -> dict[str, str]:
    """Return the fields that have no effect with `backend`, each with the reason."""
    own = BACKEND_RULES[backend]
    return {
        field: f"with backend: {backend}{own.advice.get(field, f'; set backend: {other}')}"
        for other, rules in BACKEND_RULES.items()
        for field in rules.fields
        if field not in own.fields
    }
