"""The runs that a server which was started can serve."""

from llenergymeasure.backends.load_key import key_without
from llenergymeasure.config.models import ExperimentConfig

NOT_SEEN = (
    "dataset",
    "dataset_repeat",
    "num_prompts",
    "max_output_tokens",
    "decoder",
    "warmup",
    "baseline",
    "measurement",
    "gpu",
    "load",
    "passthrough_kwargs",
    "openai.endpoint",
    "openai.limit_field",
    "openai.timeout_s",
    "openai.stall_s",
    "launch.ready_timeout_s",
)
"""The fields that its start does not see: requests have them, or the run. What is not named here is in the key."""


def load_key(config: ExperimentConfig) -> str | None:
    """Return what the start of the server sees."""
    return key_without(config, NOT_SEEN)
