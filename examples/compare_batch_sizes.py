"""Is a batch of 8 cheaper per token than one of 1? Three repeats of each, and an answer with its interval."""

from llenergymeasure import ExperimentResult, compare, run_experiment


def repeats(batch_size: int) -> list[ExperimentResult]:
    """Return three results of the same configuration."""
    return [
        run_experiment(
            model="random:llama",
            precision="fp32",
            num_prompts=16,
            max_output_tokens=16,
            batch_size=batch_size,
            decoder={"ignore_eos": True},
        )
        for _ in range(3)
    ]


for row in compare(repeats(1), repeats(8), margin=0.05).rows:
    interval = f" ({row.low:.2f} to {row.high:.2f})" if row.low is not None and row.high is not None else ""
    ratio = "unknown" if row.ratio is None else f"{row.ratio:.2f}{interval}"
    print(f"{row.metric:28} {ratio:24} {row.word}  {row.note}")
