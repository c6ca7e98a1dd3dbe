"""The size of the work, as far as it is known before anything is tokenised."""

from collections.abc import Sequence

from llenergymeasure.config.datasets import SyntheticDataset
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.requests import BatchSize, Prompt, Work
from llenergymeasure.workload.prompts import build_requests
from llenergymeasure.workload.synthetic import drawn_lengths


def work_of(config: ExperimentConfig, prompts: Sequence[Prompt]) -> Work:
    """Return the work of a run that sends these prompts, or synthetic ones."""
    if isinstance(config.dataset, SyntheticDataset):
        drawn = tuple(drawn_lengths(config.dataset.synthetic, config.num_prompts, config.random_seed))
        return Work((), drawn, largest_batch(config))
    return Work(tuple(build_requests(config, prompts, ())), (), largest_batch(config))


def largest_batch(config: ExperimentConfig) -> BatchSize:
    """Return the batch that holds the most tokens.

    Of texts the lengths are not known yet, and an answer may end early: only what cannot be less is counted.
    """
    size, rows = config.batch_size, min(config.batch_size, config.num_prompts)
    if not isinstance(config.dataset, SyntheticDataset):
        return BatchSize(rows, 1 + (config.output_limit if config.ignores_eos else 1))
    lengths = list(drawn_lengths(config.dataset.synthetic, config.num_prompts, config.random_seed))
    batches = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    sizes = [BatchSize(len(each), max(i for i, _ in each) + max(o for _, o in each)) for each in batches]
    return max(sizes, key=lambda batch: batch.rows * batch.tokens)
