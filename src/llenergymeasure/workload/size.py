"""The size of the work, as far as it is known before anything is tokenised."""

from llenergymeasure.config.datasets import SyntheticDataset
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.requests import BatchSize
from llenergymeasure.workload.synthetic import drawn_lengths


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
