"""A comparison as a table that has room on 80 columns, and as JSON."""

import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llenergymeasure.results.comparison import Comparison, Row

ADVISED_ROUNDS = 6
LABELS = {
    "energy_per_output_token_j": "J/output token",
    "output_tokens_per_second": "tokens/s",
    "ttft_ms_median": "TTFT median ms",
    "tpot_ms_median": "TPOT median ms",
    "energy_per_request_j": "J/request",
    "total_energy_j": "J",
    "requests_per_second": "requests/s",
    "ttft_ms_mean": "TTFT mean ms",
    "tpot_ms_mean": "TPOT mean ms",
    "e2e_ms_mean": "E2E mean ms",
    "e2e_ms_median": "E2E median ms",
    "peak_memory_mb": "peak memory MB",
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
        "metrics": [asdict(row) | {"worse_by": row.worse_by} for row in comparison.rows],
    }


def print_comparison(comparison: "Comparison") -> None:
    """Print what differs in the configurations, a row per metric, and what to read with it."""
    from labledger.console import print_answer, print_table

    groups = {"first": comparison.first, "second": comparison.second}
    for side, group in groups.items():
        _print_text(f"{side}: {group.name}")
    print_answer("")
    if comparison.config_differences:
        rows = [[name, str(one), str(other)] for name, (one, other) in comparison.config_differences.items()]
        print_table(["configuration", *groups], rows)
    else:
        print_answer("the configurations are the same")
    _print_text(_basis(comparison))
    unit = comparison.method or "stretches"
    print_table(["metric", *groups, "ratio", "interval", "", "level", unit], map(_row_cells, comparison.rows))
    for text in (*_meaning(comparison), *_notes(comparison.rows)):
        _print_text(text)
    for remark in comparison.remarks:
        _print_text(f"  ! {remark}")
    for side, group in groups.items():
        for warning in folded_warnings([result.measurement_warnings for result in group.results]):
            _print_text(f"  ! {side}: {warning}")


def folded_warnings(runs: Sequence[Sequence[str]]) -> list[str]:
    """Return the warnings of several runs, those that differ only in numbers once, with how many runs have them."""
    if len(runs) == 1:
        return list(dict.fromkeys(runs[0]))
    alike: dict[str, dict[int, str]] = {}
    for number, warnings in enumerate(runs):
        for warning in warnings:
            alike.setdefault(NUMBER.sub("0", warning), {}).setdefault(number, warning)
    return [
        f"{len(same)} of {len(runs)} runs{'' if len(set(same.values())) == 1 else ', with other numbers'}: "
        f"{next(iter(same.values()))}"
        for same in alike.values()
    ]


def _print_text(text: str) -> None:
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


def _row_cells(row: "Row") -> list[str]:
    from llenergymeasure.cli.presentation import number

    ratio = "" if row.ratio is None else f"{row.ratio:.4f}"
    high = "no end" if row.high is None else f"{row.high:.4f}"
    interval = "" if row.low is None else f"{row.low:.4f} to {high}"
    level = "" if row.level is None else f"{row.level * 100:.4g} %"
    label = LABELS.get(row.metric, row.metric)
    return [label, number(row.first), number(row.second), ratio, interval, row.word or "", level, _count(row)]


def _count(row: "Row") -> str:
    if row.counts is None or row.kind == "count":
        return ""
    one, other = row.counts
    return str(one) if one == other else f"{one} + {other}"
