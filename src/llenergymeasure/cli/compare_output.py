"""A comparison as a table that has room on 80 columns, and as JSON."""

import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llenergymeasure.results.comparison import Comparison, Row
    from llenergymeasure.results.comparison.answers import AnswersCompared

ADVISED_ROUNDS = 6
LABELS = {
    "energy_per_output_token_j": "J/output token",
    "output_tokens_per_second": "tokens/s",
    "ttft_ms_median": "TTFT median ms",
    "tpot_ms_median": "TPOT median ms",
    "energy_per_request_j": "J/request",
    "total_energy_j": "J",
    "cpu_seconds_per_output_token": "CPU s/token",
    "requests_per_second": "requests/s",
    "ttft_ms_mean": "TTFT mean ms",
    "tpot_ms_mean": "TPOT mean ms",
    "e2e_ms_mean": "E2E mean ms",
    "e2e_ms_median": "E2E median ms",
    "peak_memory_mb": "peak memory MB",
    "energy_per_right_answer_j": "J/right answer",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "total_flops": "FLOPs",
    "energy_uncertainty_edge_j": "J edge bound",
}
"""Short names of metrics, with their units."""
MOST_COLUMNS = 100
NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


def comparison_dict(comparison: "Comparison") -> dict[str, Any]:
    """Return a comparison as a JSON document has it: with its settings, and the results that it is made of."""
    from dataclasses import asdict

    from llenergymeasure.results.comparison import ALPHA

    groups = (comparison.first, comparison.second)
    return {
        "first": comparison.first.name,
        "second": comparison.second.name,
        "marks": {group.name: group.marks for group in groups},
        "margin": comparison.margin,
        "spread": comparison.spread,
        "level": 1 - ALPHA,
        "config_differences": comparison.config_differences,
        "method": comparison.method,
        "counts": comparison.counts,
        "why": comparison.why,
        "used": [[result.experiment_id for result in side] for side in comparison.used],
        "left_out": [each._asdict() for each in comparison.left_out],
        "remarks": comparison.remarks,
        "warnings": [
            list(dict.fromkeys(warning for result in group.results for warning in result.measurement_warnings))
            for group in groups
        ],
        "answers": asdict(comparison.answers) if comparison.answers is not None else None,
        "metrics": [asdict(row) | {"worse_by": row.worse_by} for row in comparison.rows],
    }


def print_comparisons(comparisons: "Sequence[Comparison]") -> None:
    """Print each comparison and then, once for all, the warnings of the results that are compared."""
    from labledger.console import shown_warnings

    for each in comparisons:
        print_comparison(each)
    first, *others = comparisons
    if others:
        groups = {each.name: each for each in (first.first, *(comparison.second for comparison in comparisons))}
    else:
        groups = {"first": first.first, "second": first.second}
    runs = {name: [result.measurement_warnings for result in group.results] for name, group in groups.items()}
    for text in shown_warnings(folded_warnings(runs)):
        print_text(f"  ! {text}")


def print_comparison(comparison: "Comparison") -> None:
    """Print what differs in the configurations, a row per metric, and what to read with it."""
    from labledger.console import print_answer, print_table

    groups = {"first": comparison.first, "second": comparison.second}
    for side, group in groups.items():
        print_text(f"{side}: {group.name}")
    mixtures = [*map(str, comparison.mixtures)]
    for text in mixtures:
        print_text(f"! {text}")
    print_answer("")
    if comparison.config_differences:
        rows = [[name, str(one), str(other)] for name, (one, other) in comparison.config_differences.items()]
        print_table(["configuration", *groups], rows)
    elif not mixtures:
        print_answer("the configurations are the same")
    print_text(_basis(comparison))
    print_table(["metric", *groups, "ratio", "interval", ""], map(_row_cells, comparison.rows))
    for text in (*_levels(comparison.rows), *_meaning(comparison), *_counts(comparison), *_notes(comparison.rows)):
        print_text(text)
    if comparison.answers is not None:
        print_text(answers_compared(comparison.answers))
    for remark in dict.fromkeys(comparison.remarks):
        if remark not in mixtures:
            print_text(f"  ! {remark}")


def answers_compared(answers: "AnswersCompared") -> str:
    """Return how many questions each side has right, and whether they can be told apart."""
    from llenergymeasure.cli.presentation import number

    if answers.word is None:
        return f"right answers: not compared: {answers.note}"
    sides = f"{answers.first_right} of {answers.questions} against {answers.second_right}"
    apart = f"{answers.only_first} right in the first alone, {answers.only_second} in the second alone"
    note = f"; {answers.note}" if answers.note else ""
    return f"right answers: {sides}: {answers.word} ({apart}: exact McNemar, p = {number(answers.p_value)}){note}"


def folded_warnings(groups: Mapping[str, Sequence[Sequence[str]]]) -> list[str]:
    """Return the warnings of each group's runs, equal ones as one line that says whose they are and of how many runs.

    Where a group has several runs, those that differ only in numbers count as equal.
    """
    are_single = all(len(runs) == 1 for runs in groups.values())
    alike: dict[str, dict[tuple[str, int], str]] = {}
    for name, runs in groups.items():
        for number, warnings in enumerate(runs):
            for warning in warnings:
                key = warning if are_single else NUMBER.sub("0", warning)
                alike.setdefault(key, {}).setdefault((name, number), warning)
    return [_folded(groups, same) for same in alike.values()]


def _folded(groups: Mapping[str, Sequence[Sequence[str]]], same: Mapping[tuple[str, int], str]) -> str:
    """Return the line of one warning; `same` has its text in each run that has it."""
    names = list(dict.fromkeys(name for name, _ in same))
    whose = ", ".join(names) if len(names) < len(groups) else "both" if len(groups) == 2 else "all"
    total = sum(len(groups[name]) for name in names)
    count = f" {len(same)} of {total} runs" if total > len(names) else ""
    other = ", with other numbers" if len(set(same.values())) > 1 else ""
    return f"{whose}{':' if count else ''}{count}{other}: {next(iter(same.values()))}"


def print_text(text: str) -> None:
    """Print a sentence in lines that the terminal has room for, folded between words."""
    from labledger.console import print_line
    from labledger.untrusted_text import clean

    width = max(min(shutil.get_terminal_size().columns, MOST_COLUMNS), 20)
    indent = "    " if text.startswith("  ") else ""
    for line in textwrap.wrap(
        clean(text), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ):
        print_line(line)


def _basis(comparison: "Comparison") -> str:
    """Return what the intervals rest on or, where there are none, what would give some."""
    one, other = comparison.counts
    if comparison.method is None:
        return (
            f"times and joules: cannot tell, for {comparison.why}. What would tell: rounds (`llem run FIRST.yaml "
            f"SECOND.yaml --repeat {ADVISED_ROUNDS}`), five stretches of one side, or the known spread of one run "
            "(--spread 3%)"
        )
    if comparison.method == "rounds":
        advised = "" if one >= ADVISED_ROUNDS else f" ({ADVISED_ROUNDS} are advised)"
        return f"{one} rounds of both, in an order that alternates{advised}"
    return f"{one} stretches against {other}"


def _meaning(comparison: "Comparison") -> list[str]:
    """Return what the words mean, where intervals decide them."""
    if comparison.method is None:
        return []
    most = 1 + comparison.margin
    return [
        f"different: the ratio's interval does not hold 1; same: it lies from {1 / most:.4g} to {most:.4g} (--margin "
        f"{100 * comparison.margin:.4g}%); cannot tell: neither, which does not make them equal.",
        "If nothing differed, any headline metric would be `different` in 5 % of comparisons at most.",
    ]


def _notes(rows: Iterable["Row"]) -> list[str]:
    """Return each note once, with the metrics that it is of."""
    labels: dict[str, list[str]] = {}
    for row in rows:
        for note in filter(None, row.note.split("; ")):
            labels.setdefault(note, []).append(LABELS.get(row.metric, row.metric))
    return [f"  {', '.join(names)}: {note}" for note, names in labels.items()]


def _levels(rows: Iterable["Row"]) -> list[str]:
    """Return the levels of the intervals, with the metrics of all but the commonest; none without intervals."""
    metrics: dict[float, list[str]] = {}
    for row in rows:
        if row.level is not None:
            metrics.setdefault(row.level, []).append(LABELS.get(row.metric, row.metric))
    if not metrics:
        return []
    usual = max(metrics, key=lambda level: len(metrics[level]))
    others = [f"of {', '.join(names)} at {level * 100:.4g} %" for level, names in metrics.items() if level != usual]
    return ["; ".join([f"intervals at {usual * 100:.4g} %", *others])]


def _counts(comparison: "Comparison") -> list[str]:
    """Return the metrics of which fewer observations are known than the comparison has."""
    metrics: dict[tuple[int, int], list[str]] = {}
    for row in comparison.rows:
        if row.counts is not None and row.kind != "count" and row.counts != comparison.counts:
            metrics.setdefault(row.counts, []).append(LABELS.get(row.metric, row.metric))
    unit = comparison.method or "stretches"
    return [
        f"  {', '.join(names)}: {one if one == other else f'{one} + {other}'} {unit}"
        for (one, other), names in metrics.items()
    ]


def _row_cells(row: "Row") -> list[str]:
    from llenergymeasure.cli.presentation import number

    high = "no end" if row.high is None else _ratio(row.high)
    interval = "" if row.low is None else f"{_ratio(row.low)} to {high}"
    label = LABELS.get(row.metric, row.metric)
    ratio = "" if row.ratio is None else _ratio(row.ratio)
    return [label, number(row.first), number(row.second), ratio, interval, row.word or ""]


def _ratio(value: float) -> str:
    """Return a ratio with four decimals, a large one with five digits: a row has room on 80 columns."""
    return f"{value:.4f}" if value < 10 else f"{value:.5g}"
