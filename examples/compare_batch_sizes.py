"""Is a batch of 8 cheaper per token than one of 1? Six rounds of both, and an answer with its interval."""

from llenergymeasure import ExperimentResult, compare, run_experiment

results: dict[int, list[ExperimentResult]] = {1: [], 8: []}
for number in range(6):
    for batch_size in sorted(results, reverse=number % 2 == 1):  # 1 8, 8 1, 1 8, ...: drift favours neither
        result = run_experiment(
            model="random:llama",
            precision="fp32",
            num_prompts=8,
            max_output_tokens=16,
            batch_size=batch_size,
            decoder={"ignore_eos": True},
        )
        results[batch_size].append(result)

for row in compare(results[1], results[8], margin=0.05).rows:
    interval = f" ({row.low:.2f} to {row.high:.2f})" if row.low is not None and row.high is not None else ""
    ratio = "unknown" if row.ratio is None else f"{row.ratio:.2f}{interval}"
    print(f"{row.metric:28} {ratio:24} {row.word or ''}  {row.note}")
