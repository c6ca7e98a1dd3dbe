"""What is left of a run that did not end, as text for people: its processes' figures, and one of them in full."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from labledger.console import print_facts, print_line
from llenergymeasure.cli.loading import load
from llenergymeasure.cli.presentation import count, cpu_rows, flops_words, mean_and_p99, number, seconds
from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.domain.quality import NOT_ASKED, RIGHT, UNANSWERED
from llenergymeasure.metrics.latency import latency_stats_of, served
from llenergymeasure.results.raw_results import ProcessFigures, figures_of
from llenergymeasure.results.recovery import KeptProcess

NO_RESULT = (
    "This is what one process of a run that did not end has kept, not a result: it has no bounds, no verdict and no "
    "environment, and stands in no list and no comparison."
)


def print_processes(processes: Sequence[KeptProcess], *, are_gone: bool = False) -> None:
    """Print a line for each process of a run: its figures, and the command that shows it unless its file is gone."""
    for figures, path in processes:
        if are_gone:
            where = ""
        elif path is None:
            where = "; its raw result could not be written beside its journal"
        else:
            where = f": {_show_command(path)}"
        print_line(f"  process {figures.process}: {_in_short(figures)}{where}")


def print_saved(path: Path) -> None:
    """Print the figures of a result that was saved, and the command that shows it."""
    result = load(path)
    figures = ProcessFigures(
        process=0,
        requests=sum(len(each.per_request_latencies_ms) for each in result.process_results),
        output_tokens_per_second=result.output_tokens_per_second,
        energy_j=result.total_energy_j,
        energy_per_output_token_j=result.energy_per_output_token_j,
        is_estimate=result.energy_source == "estimate",
    )
    print_line(f"  {_in_short(figures)}: {_show_command(path.parent)}")


def _in_short(figures: ProcessFigures) -> str:
    rate = figures.output_tokens_per_second
    tokens = "output tokens/s unknown" if rate is None else f"{number(rate)} output tokens/s"
    return f"{count(figures.requests)} requests, {tokens}, {_joules(figures)}"


def _joules(figures: ProcessFigures) -> str:
    if figures.energy_j is None:
        return "joules unknown"
    return f"{number(figures.energy_j)} J" + (" (an estimate)" if figures.is_estimate else "")


def _show_command(path: Path) -> str:
    return f"llem results show {shlex.quote(str(path))}"


def print_raw_result(raw: RawProcessResult, path: Path) -> None:
    """Print what one process has measured, and that it is no result.

    Raises:
        ExperimentError: the columns of its requests are not of the same requests.
    """
    figures, latency = figures_of(raw), latency_stats_of(served(raw))
    tokens, compute, times = raw.inference_metrics, raw.compute_metrics, raw.timestamps
    per_token = figures.energy_per_output_token_j
    facts = [
        ("run", f"{raw.experiment_id}, process {raw.process_index}"),
        ("model", str(raw.model_name)),
        ("device", "unknown, or the CPU" if raw.gpu_id is None else f"GPU {raw.gpu_id}"),
        ("requests", "; ".join(_requests(raw, figures))),
        *_right_answers(raw),
        ("tokens", "unknown" if tokens is None else _tokens(tokens.input_tokens, tokens.output_tokens)),
        ("duration", seconds(tokens.inference_time_sec if tokens else None)),
        *([("began", f"{times.start:%Y-%m-%d %H:%M:%S}")] if times and times.start else []),
        ("output tokens/s", number(figures.output_tokens_per_second)),
        ("TTFT", mean_and_p99(latency.ttft_ms)),
        ("TPOT", mean_and_p99(latency.tpot_ms)),
        ("energy", _joules(figures).removeprefix("joules ")),
        ("energy/output token", "unknown" if per_token is None else f"{number(per_token)} J/token, bound unknown"),
        (
            "FLOPs",
            flops_words(compute.flops_total if compute else None, tokens.total_tokens if tokens else None, compute),
        ),
        *(
            cpu_rows(compute.cpu_seconds, compute.cpu_seconds_resolution_s, raw.not_known.get("cpu_seconds"))
            if compute
            else []
        ),
        *([("peak memory", f"{number(compute.peak_memory_mb)} MB")] if compute and compute.peak_memory_mb else []),
    ]
    print_facts("", facts)
    print_line(f"  ! {NO_RESULT}")
    print_line(f"kept in {path}")


def _right_answers(raw: RawProcessResult) -> Iterable[tuple[str, str]]:
    """Yield the row of the right answers, of those that came."""
    outcomes = raw.scored_answers.outcomes if raw.scored_answers is not None else None
    if outcomes is not None:
        came = len(outcomes) - outcomes.count(NOT_ASKED) - outcomes.count(UNANSWERED)
        yield "right answers", f"{outcomes.count(RIGHT)} of the {came} that came"


def _requests(raw: RawProcessResult, figures: ProcessFigures) -> Iterable[str]:
    yield f"{count(figures.requests)} finished"
    if raw.failed_requests is not None:
        kinds = Counter(raw.failed_requests.kind)
        yield f"{sum(kinds.values())} failed ({', '.join(f'{number} {kind}' for kind, number in kinds.items())})"
    if raw.is_partial:
        yield "it was stopped before it had served all of them"


def _tokens(read: int | None, generated: int | None) -> str:
    return f"{count(read)} in, {count(generated)} out"
