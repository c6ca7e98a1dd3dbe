"""The cost of the harness: its tokens/s, times for every token on, over a bare `model.generate` of the same batch.

    python benchmarks/harness_overhead.py [--pairs 20] [--batch-size 4] [--output-len 32] [--llama-8b] [--device cpu]

Pairs are interleaved and their order alternates, so a machine that speeds up or slows down does so for both. Wanted:
a median ratio of 0.98 or more. `--llama-8b` takes the shape of Llama-3.1-8B in bf16, for a GPU.
"""

import argparse
import time
from typing import Any

from _llama import LLAMA_8B
from _report import machine, pressure, ratio_interval, spread

from labledger.console import Silent
from llenergymeasure.backends.pytorch.backend import PytorchBackend
from llenergymeasure.backends.pytorch.generation import Encoded, generation_config, padded
from llenergymeasure.backends.pytorch.loading import Loaded
from llenergymeasure.config.models import EnergyConfig, ExperimentConfig, UserConfig
from llenergymeasure.energy.sources import choose_meter, find_sources
from llenergymeasure.run import harness
from llenergymeasure.workload.prompts import build_requests, builtin_text


def through_the_harness(backend: PytorchBackend, tokens: int) -> float:
    """Output tokens a second of one measurement window, meter and token times included."""
    meter = choose_meter(EnergyConfig(), UserConfig(), find_sources()).meter
    collected = harness.MeasurementWindow()
    with meter:
        harness.collect(collected, backend, meter, Silent(), len(backend.batches))
    assert collected.closed_s is not None  # noqa: S101 - the window closed
    return tokens / (collected.closed_s - collected.opened_s)


def bare(loaded: Loaded, config: ExperimentConfig, batch: tuple[Encoded, ...], tokens: int) -> float:
    """Output tokens a second of `model.generate` alone."""
    import torch

    arguments: dict[str, Any] = padded(batch, loaded)
    settings = generation_config(batch[0].request, config, loaded, None)
    torch.manual_seed(config.random_seed)
    if loaded.device != "cpu":
        torch.cuda.synchronize()
    began_s = time.monotonic()
    with torch.inference_mode():
        loaded.model.generate(**arguments, generation_config=settings)
    if loaded.device != "cpu":
        torch.cuda.synchronize()
    return tokens / (time.monotonic() - began_s)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--input-len", type=int, default=64)
    parser.add_argument("--output-len", type=int, default=32)
    parser.add_argument("--llama-8b", action="store_true")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    config = ExperimentConfig.model_validate(
        {
            "model": "random:llama",
            "random_model": LLAMA_8B if options.llama_8b else {},
            "precision": "bf16" if options.llama_8b else "fp32",
            "device": options.device,
            "dataset": {"synthetic": {"input_len": options.input_len, "output_len": options.output_len}},
            "num_prompts": options.batch_size,
            "batch_size": options.batch_size,
        }
    )
    backend = PytorchBackend(config, builtin_text)
    facts = backend.load()
    backend.prepare(build_requests(config, [], facts.prompt_tokens))
    tokens = options.batch_size * options.output_len
    (batch,) = backend.batches

    def ours() -> float:
        return through_the_harness(backend, tokens)

    def theirs() -> float:
        return bare(backend.loaded, config, batch, tokens)

    ours(), theirs()  # warm
    pairs = []
    for number in range(options.pairs):
        first, second = (ours, theirs) if number % 2 else (theirs, ours)
        values = {first: first(), second: second()}
        pairs.append((values[ours], values[theirs]))
    print(f"{machine()}\n{facts.backend_version} on {facts.device_name}\npressure: {pressure()}")
    print(f"{options.pairs} interleaved pairs, batch {options.batch_size}, {options.output_len} output tokens each\n")
    print(f"harness:       {spread([mine for mine, _ in pairs])} output tokens/s")
    print(f"bare generate: {spread([other for _, other in pairs])} output tokens/s")
    middle, low, high = ratio_interval([mine / other for mine, other in pairs])
    print(f"harness / bare: median {middle:.4f}, 95 % interval {low:.4f} to {high:.4f}")


if __name__ == "__main__":
    main()
