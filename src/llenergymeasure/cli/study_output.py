"""A study as text for people."""

from collections.abc import Sequence

from labledger.console import fits_whole, print_answer, print_table, shown_warnings
from llenergymeasure.cli.compare_output import LABELS, print_text
from llenergymeasure.cli.search_output import print_searches
from llenergymeasure.domain.study_result import CellStanding, CellSummary, StudyBest, StudyFront, StudyResult
from llenergymeasure.results.study.sentences import against_words
from llenergymeasure.results.study.words import cell_words, figure_words

SHOWN = {
    "energy_per_output_token_j": "J/token",
    "output_tokens_per_second": "tokens/s",
    "ttft_ms_median": "TTFT ms",
    "tpot_ms_median": "TPOT ms",
    "quality_share": "right",
    "energy_per_right_answer_j": "J/right answer",
}
"""The columns of the table; a metric that no cell has is left out."""
AGAINST = "against the best"
Column = tuple[str, Sequence[str]]
"""The head of a column, and its text for each cell."""
WHOLE = ("cell", "no.", "runs", "beaten by")
"""The columns in which nothing is folded."""


def print_study(study: StudyResult) -> None:
    """Print a row for each cell, what to read with them, and the sentence that the study ends in."""
    figures = [{figure.metric: figure for figure in result.figures} for result in study.summary]
    shown = [metric for metric in SHOWN if any(has_mean(each.get(metric)) for each in figures)]
    columns = [(SHOWN[metric], [shown_figure(each.get(metric)) for each in figures]) for metric in shown]
    if study.standings and len(study.cells) > 1:
        is_shown = study.metric in shown
        head = AGAINST if is_shown else _against_head(study.metric)
        place = shown.index(study.metric) + 1 if is_shown else len(columns)
        columns.insert(place, (head, [_word(study.metric, each) for each in study.standings]))
    planned = [sum(run.cell == number for run in study.runs) for number in range(len(study.cells))]
    done = [f"{result.done} of {count}" for result, count in zip(study.summary, planned, strict=True)]
    columns += [("runs", done), ("verdict", [result.verdict or "" for result in study.summary])]
    _print_cells([cell.name for cell in study.cells], columns)
    print_searches(study)
    if len(study.cells) > 1:
        _print_levels(study.metric, study.standings)
    _print_below(study.warnings, study.sentence)


def print_best(best: StudyBest) -> None:
    """Print every cell as it stands to the best one, and the sentence."""
    figures = [each.shown or cell_words(best.metric, each.mean, each.half_width, each.at_least) for each in best.cells]
    columns = [(LABELS.get(best.metric, best.metric), figures)]
    against = [against_words(best.metric, each) for each in best.cells]
    standings, notes = [str(each.standing) for each in best.cells], [each.note for each in best.cells]
    columns += [(head, texts) for head, texts in ((AGAINST, against), ("", standings), ("why", notes)) if any(texts)]
    _print_cells([each.name for each in best.cells], columns)
    _print_levels(best.metric, best.cells)
    _print_below(best.warnings, best.sentence)


def print_front(front: StudyFront) -> None:
    """Print every cell as it stands to the front, and the sentence."""
    columns = [
        (
            LABELS.get(metric, metric),
            [
                cell_words(metric, each.means[place], each.half_widths[place], each.at_least[place])
                for each in front.cells
            ],
        )
        for place, metric in enumerate(front.metrics)
    ]
    columns.append(("", [each.standing for each in front.cells]))
    names = {each.cell: each.name for each in front.cells}
    beaten = ["" if each.by is None else names[each.by] for each in front.cells]
    notes = [each.note for each in front.cells]
    columns += [(head, texts) for head, texts in (("beaten by", beaten), ("why", notes)) if any(texts)]
    _print_cells([*names.values()], columns)
    if len(front.cells) > 1:
        print_text("told: by intervals of all pairs of cells in both metrics, which hold together in 95 % of studies")
    _print_below(front.warnings, front.sentence)


def has_mean(figure: CellSummary | None) -> bool:
    """Return True of a figure that is known."""
    return figure is not None and figure.mean is not None


def shown_figure(figure: CellSummary | None) -> str:
    """Return `0.412 ± 0.009`, or `unknown`."""
    if figure is None or figure.mean is None:
        return "unknown"
    return figure.shown or figure_words(figure.mean, figure.half_width)


def _print_cells(names: Sequence[str], columns: Sequence[Column]) -> None:
    """Print a row for each cell.

    Where a terminal has no room for that, columns that are the same for all cells are a line below; where it has none
    for the names even then, cells have their numbers in a list, also in a column that names another one.
    """
    numbers = {name: str(number) for number, name in enumerate(names, 1)}
    numbered = [(head, [numbers.get(text, text) for text in texts]) for head, texts in columns]
    differing = [each for each in columns if not _is_same(each)]
    layouts = [[("cell", names), *columns], [("cell", names), *differing]]
    layouts += [[("no.", [*numbers.values()]), *(each for each in numbered if not _is_same(each))]]
    layout = next((each for each in layouts if fits_whole(*_header_and_rows(each), whole=WHOLE)), layouts[-1])
    if layout is layouts[-1]:
        print_table(*_header_and_rows([("no.", [*numbers.values()]), ("cell", names)]))
    print_table(*_header_and_rows(layout), whole=WHOLE)
    if layout is not layouts[0]:
        for head, texts in filter(_is_same, columns):
            print_text(f"{head}: {texts[0]} in each cell")


def _header_and_rows(columns: Sequence[Column]) -> tuple[list[str], list[list[str]]]:
    return [head for head, _ in columns], [[*row] for row in zip(*(texts for _, texts in columns), strict=True)]


def _is_same(column: Column) -> bool:
    head, texts = column
    return bool(head) and bool(texts[0]) and len(set(texts)) == 1


def _against_head(metric: str) -> str:
    return f"{SHOWN.get(metric, LABELS.get(metric, metric))} {AGAINST}"


def _word(metric: str, each: CellStanding) -> str:
    """Return `best`, `+1.1 %: cannot tell`, or why a cell is not compared; without a ratio that may be anything."""
    change = against_words(metric, each, has_interval=False)
    return f"{change}: {each.standing}" if change else each.standing


def _print_levels(metric: str, standings: Sequence[CellStanding]) -> None:
    """Print what the ratios to the best cell are, and their level; nothing where no cell has an interval."""
    levels = sorted({each.level for each in standings if each.level is not None})
    if not levels:
        return
    is_ratio = any(each.ratio is not None for each in standings)
    what = "geometric mean of the ratios within rounds" if is_ratio else "mean difference within rounds"
    which = f"{100 * levels[0]:.4g} %" + (f" to {100 * levels[-1]:.4g} %" if len(levels) > 1 else "")
    hold = "all words on pairs of cells hold together: any is wrong in 5 % of studies at most"
    print_text(f"{_against_head(metric)}: {what}, interval at {which}; {hold}")


def _print_below(warnings: Sequence[str], sentence: str) -> None:
    for text in shown_warnings(warnings):
        print_text(f"  ! {text}")
    if warnings:
        print_answer("")
    if sentence:
        print_text(sentence)
