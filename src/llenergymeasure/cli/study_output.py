"""A study as text for people."""

from collections.abc import Sequence

from labledger.console import print_answer, print_table, shown_warnings
from llenergymeasure.cli.compare_output import LABELS, print_text
from llenergymeasure.cli.search_output import print_searches
from llenergymeasure.domain.study_result import CellComparison, CellSummary, StudyBest, StudyFront, StudyResult
from llenergymeasure.results.study.sentences import against_words
from llenergymeasure.results.study.words import figure_words

SHOWN = {
    "energy_per_output_token_j": "J/token",
    "output_tokens_per_second": "tokens/s",
    "ttft_ms_median": "TTFT ms",
    "tpot_ms_median": "TPOT ms",
    "quality_share": "right",
    "energy_per_right_answer_j": "J/right answer",
}
"""The columns of the table; a metric that no cell has is left out."""
DECIDING = ("energy_per_output_token_j", "output_tokens_per_second")
"""The word against the first cell is of the first of these that any word or ratio is known of."""


def print_study(study: StudyResult) -> None:
    """Print a row for each cell, what to read with them, and the sentence that the study ends in."""
    figures = [{figure.metric: figure for figure in result.figures} for result in study.summary]
    shown = [metric for metric in SHOWN if any(has_mean(each.get(metric)) for each in figures)]
    deciding, against = _against_first(study)
    heads = ["cell", *(SHOWN[metric] for metric in shown), "runs", "verdict"]
    rows = []
    for cell, result, found in zip(study.cells, study.summary, figures, strict=True):
        planned = len({run.round_number for run in study.runs if run.cell == result.cell})
        runs = f"{result.done} of {planned}"
        rows.append([cell.name, *(shown_figure(found.get(metric)) for metric in shown), runs, result.verdict or ""])
    if deciding is not None:
        heads.append(f"{SHOWN[deciding]} against the first")
        rows = [[*row, against.get(number, "")] for number, row in enumerate(rows)]
    print_table(heads, rows, whole=("runs",))
    print_searches(study)
    _print_below([*_waiting(study), *study.warnings], study.sentence)


def print_best(best: StudyBest) -> None:
    """Print every cell as it stands to the best one, and the sentence."""
    head = LABELS.get(best.metric, best.metric)
    heads = ["cell", head, "against the best", "", "why"]
    rows = []
    for each in best.cells:
        figure = "unknown" if each.mean is None else figure_words(each.mean, each.half_width)
        rows.append([each.name, figure, against_words(best.metric, each), each.standing, each.note])
    if not any(each.note for each in best.cells):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    print_table(heads, rows)
    levels = sorted({each.level for each in best.cells if each.level is not None})
    if levels:
        text = f"intervals at {100 * levels[0]:.4g} %" + (f" to {100 * levels[-1]:.4g} %" if len(levels) > 1 else "")
        print_text(f"{text}: of the words on all pairs of cells any is wrong in 5 % of studies at most")
    _print_below(best.warnings, best.sentence)


def print_front(front: StudyFront) -> None:
    """Print every cell as it stands to the front, and the sentence."""
    names = {each.cell: each.name for each in front.cells}
    heads = ["cell", *(LABELS.get(metric, metric) for metric in front.metrics), "", "beaten by"]
    rows = []
    for each in front.cells:
        pairs = zip(each.means, each.half_widths, strict=True)
        figures = ["unknown" if mean is None else figure_words(mean, half) for mean, half in pairs]
        rows.append([each.name, *figures, each.standing, each.note if each.by is None else names[each.by]])
    print_table(heads, rows)
    _print_below(front.warnings, front.sentence)


def has_mean(figure: CellSummary | None) -> bool:
    """Return True of a figure that is known."""
    return figure is not None and figure.mean is not None


def shown_figure(figure: CellSummary | None) -> str:
    """Return `0.412 ± 0.009`, or `unknown`."""
    return "unknown" if figure is None or figure.mean is None else figure_words(figure.mean, figure.half_width)


def _against_first(study: StudyResult) -> tuple[str | None, dict[int, str]]:
    """Return the metric of the words against the first cell, and the words by the cells' numbers."""
    for metric in DECIDING:
        of_metric = [each for each in study.comparisons if each.metric == metric and each.ratio is not None]
        if any(each.level is not None for each in of_metric) or (of_metric and metric == DECIDING[-1]):
            return metric, {each.second: _word(each) for each in of_metric}
    return None, {}


def _word(each: CellComparison) -> str:
    return f"{100 * ((each.ratio or 1) - 1):+.1f} %: {each.equivalence}"


def _waiting(study: StudyResult) -> list[str]:
    """Return a sentence on the runs that are still to be made."""
    states = [run.state for run in study.runs]
    open_ = [state for state in states if state in ("waiting", "running", "interrupted")]
    return [f"{len(open_)} of {len(states)} runs are still to be made: this is what there is so far"] if open_ else []


def _print_below(warnings: Sequence[str], sentence: str) -> None:
    for text in shown_warnings(warnings):
        print_text(f"  ! {text}")
    if warnings:
        print_answer("")
    if sentence:
        print_text(sentence)
