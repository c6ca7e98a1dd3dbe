"""The adapter, the dataset and its lengths as rows for people, of whatever a result's configuration holds."""

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

Row = tuple[str, str]


def adapter_rows(config: Mapping[str, JsonValue]) -> list[Row]:
    """Return the row of a run's adapter; none without one."""
    lora = config.get("lora")
    if not isinstance(lora, dict) or "path" not in lora:
        return []
    return [("adapter", f"{lora['path']}{', merged into the weights' if lora.get('merge') is True else ''}")]


def dataset_rows(config: Mapping[str, JsonValue]) -> Iterator[Row]:
    """Yield the rows of the dataset and of the lengths in tokens that were asked for, as far as they are known."""
    dataset, prompts = config.get("dataset"), config.get("num_prompts")
    quality = config.get("quality")
    if dataset is None and isinstance(quality, dict) and quality.get("task") is not None:
        yield "task", str(quality["task"]) if prompts is None else f"{quality['task']}, {prompts} questions"
    synthetic = dataset.get("synthetic") if isinstance(dataset, dict) else None
    if dataset is not None:
        name = "synthetic" if synthetic is not None else str(dataset)
        yield "dataset", name if prompts is None else f"{name}, {prompts} prompts"
    lengths = _drawn(synthetic) if isinstance(synthetic, dict) else _limits(config)
    if lengths:
        yield "lengths in tokens", lengths


def _drawn(synthetic: Mapping[str, JsonValue]) -> str:
    shared = synthetic.get("shared_prefix")
    prefix = f" ({shared:.0%} of it the same in all)" if isinstance(shared, float | int) and shared else ""
    return f"input {_length(synthetic.get('input_len'))}{prefix}, output {_length(synthetic.get('output_len'))}"


def _length(length: JsonValue) -> str:
    """Return `8`, or `lognormal of mean 512 and stdev 300, 16 to 2048`."""
    if not isinstance(length, dict):
        return "unknown" if length is None else str(length)
    shape = f" of mean {length['mean']} and stdev {length.get('stdev')}" if "mean" in length else ""
    return f"{length.get('distribution')}{shape}, {length.get('min')} to {length.get('max')}"


def _limits(config: Mapping[str, JsonValue]) -> str:
    cut, most, decoder = config.get("max_input_tokens"), config.get("max_output_tokens"), config.get("decoder")
    exactly = isinstance(decoder, dict) and decoder.get("ignore_eos") is True
    parts = [] if cut is None else [f"input cut to {cut}"]
    parts += [] if most is None else [f"output {'exactly' if exactly else 'up to'} {most}"]
    return ", ".join(parts)
