"""The runs that a model which is loaded in this process can serve."""

from llenergymeasure.backends.load_key import key_without
from llenergymeasure.config.models import ExperimentConfig

NOT_SEEN = (
    "dataset",
    "dataset_repeat",
    "chat_template",
    "num_prompts",
    "max_input_tokens",
    "max_output_tokens",
    "batch_size",
    "decoder",
    "warmup",
    "baseline",
    "measurement",
    "gpu",
)
"""The fields that loading does not see: each is read anew by every run. What is not named here is in the key."""


def load_key(config: ExperimentConfig) -> str | None:
    """Return what loading sees; None of a model that remembers its runs, or is loaded by other processes.

    Compiled code and a static cache are made for the lengths that came first, and code of the model's own may keep
    anything.
    """
    own = config.pytorch
    if own.torch_compile or own.cache == "static" or own.trust_remote_code or own.data_parallel > 1:
        return None
    return key_without(config, NOT_SEEN)
