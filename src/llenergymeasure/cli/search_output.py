"""The answers of load searches as text for people."""

from labledger.console import print_answer, print_line, print_table
from llenergymeasure.domain.study_result import SearchRound, StudyResult
from llenergymeasure.results.study.words import load_words

HEADS = ("round", "met at", "missed at", "loads tried", "why it missed there")


def print_searches(study: StudyResult) -> None:
    """Print a row for each round of each search, and the answer in a sentence."""
    for search in study.searches:
        if len(study.cells) > 1:
            print_line(f"{study.cells[search.cell].name}:")
        print_table(HEADS, [_row(each) for each in search.rounds])
        print_line(search.sentence)
        print_answer("")


def _row(found: SearchRound) -> list[str]:
    met = "none" if found.highest_met is None else load_words(found.highest_met)
    missed = "none" if found.lowest_missed is None else load_words(found.lowest_missed)
    tried = str(found.tried) if found.ended else f"{found.tried}, not ended"
    return [str(found.round_number), met, missed, tried, found.miss]
