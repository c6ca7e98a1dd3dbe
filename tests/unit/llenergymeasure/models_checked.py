"""The verdict of the check before a run, and how the run ends."""

from tiny import tiny_config

from llenergymeasure.backends.pytorch.backend import PytorchBackend
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.errors import LabledgerError
from llenergymeasure.run import preflight
from llenergymeasure.workload.prompts import build_requests, builtin_text, load_prompts

FEW = {"num_prompts": 2, "batch_size": 2, "max_output_tokens": 3}


def few(folder, **changes):
    """Return a configuration of two prompts of a model's folder."""
    return tiny_config(**{**FEW, "model": str(folder), "random_model": None, **changes})


def checked(folder, **changes):
    """Return the lines of the check's refusal; none where the model can run."""
    try:
        preflight.check(few(folder, **changes), find_sources(), None)
    except LabledgerError as error:
        return str(error).splitlines()
    return []


def ended(folder, **changes):
    """Load and generate, unchecked; return the words of the error, None where there is none."""
    config = few(folder, **changes)
    backend = PytorchBackend(config, builtin_text)
    try:
        facts = backend.load()
        backend.prepare(build_requests(config, load_prompts(config).prompts, facts.prompt_tokens))
        list(backend.run())
    except LabledgerError as error:
        return str(error)
    finally:
        backend.close()
    return None


def outcome(folder, **changes):
    """Return the lines of the check's refusal, and the words of the error that the run ends with."""
    return checked(folder, **changes), ended(folder, **changes)
