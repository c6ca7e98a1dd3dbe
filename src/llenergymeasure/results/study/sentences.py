"""The sentence in which a search for the best cell ends."""

from collections.abc import Sequence

from llenergymeasure.domain.study_result import CellStanding, StudyBest
from llenergymeasure.results.study.words import (
    MOST_DETAILED,
    NAMES,
    cell_words,
    cells,
    change_words,
    detailed,
    difference_words,
    is_anything,
    named,
    unit_of,
)

LIMITED = ("misses", "limit unsure")


def best_sentence(best: StudyBest, is_any_told: bool) -> str:
    """Return `least joules that meets them: batch_size 8: 0.412 ± 0.009 J/token; ...`.

    `is_any_told` is True where any two of the cells that meet the limits are told apart.
    """
    winner = next((each for each in best.cells if each.standing == "best"), None)
    parts = [_nobody(best)] if winner is None else _somebody(best, winner, is_any_told)
    return "; ".join(part for part in (*parts, *_others(best, winner is not None), best.reason) if part)


def superlative(metric: str, maximize: bool) -> str:
    """Return `least joules`, `most tokens/s`."""
    return f"{'most' if maximize else 'least'} {NAMES.get(metric, metric)}"


def _somebody(best: StudyBest, winner: CellStanding, is_any_told: bool) -> list[str]:
    rivals = [each for each in best.cells if each.standing in ("equal", "cannot tell", "worse")]
    told = [each for each in rivals if each.standing == "worse"]
    open_ = [each for each in rivals if each.standing != "worse"]
    of = superlative(best.metric, best.maximize) + (" that meets them" if best.where else "")
    lead = f"{of}: {_shown(best, winner)}"
    if not rivals:
        return [lead]
    if not told and not is_any_told:
        return [_none_told(best, winner, open_)]
    return [lead, *_cannot_tell(best, open_), _worse(best, told) if told else ""]


def _none_told(best: StudyBest, winner: CellStanding, rivals: Sequence[CellStanding]) -> str:
    """Return the sentence where nothing tells any cell from that with the best mean."""
    count = len(rivals) + 1
    of = f"{cells(count)} that meet them" if best.where else cells(count)
    if all(each.standing == "equal" for each in rivals):
        return f"all {of} have the same {best.metric}: {_figure(best, winner)}"
    whys = list(dict.fromkeys(each.note for each in rivals if each.note))
    why = f", for {whys[0]}" if whys else ""
    mean = f"{superlative(best.metric, best.maximize)} in the mean: {_shown(best, winner)}"
    found = f"none of the {of} can be told apart{why}; {mean}"
    return found if len(rivals) > MOST_DETAILED else f"{found}; {_listed(best, rivals)}"


def _cannot_tell(best: StudyBest, rivals: Sequence[CellStanding]) -> list[str]:
    unsure = [each for each in rivals if each.standing == "cannot tell"]
    equal = [each.name for each in rivals if each.standing == "equal"]
    found = [f"{named(equal)} {'has' if len(equal) == 1 else 'have'} the same"] if equal else []
    if len(unsure) == 1:
        return [*found, f"{unsure[0].name} cannot be told from it{_in_brackets(best, unsure[0])}"]
    return [*found, f"cannot be told from it: {_listed(best, unsure)}"] if unsure else found


def _worse(best: StudyBest, told: Sequence[CellStanding]) -> str:
    """Return how many are told to be worse, and by how much the nearest of them is."""

    def apart(each: CellStanding) -> float:
        return abs(each.ratio - 1 if each.ratio is not None else each.difference or 0.0)

    nearest = min(told, key=apart)
    if len(told) == 1:
        return f"{nearest.name} is worse{_in_brackets(best, nearest)}"
    return f"{len(told)} are worse, the nearest of them {nearest.name}{_in_brackets(best, nearest)}"


def _others(best: StudyBest, has_winner: bool) -> list[str]:
    """Return how many cells miss the limits, of how many it cannot be told, and how many are no candidates."""
    total, found = len(best.cells), []
    misses = [each for each in best.cells if each.standing == "misses"]
    unsure = [each for each in best.cells if each.standing == "limit unsure"]
    without = [each for each in best.cells if each.standing == "no candidate"]
    if misses and (has_winner or unsure):
        found.append(f"{len(misses)} of {cells(total)} {'misses' if len(misses) == 1 else 'miss'} the limits")
    if unsure:
        cannot = f"of {len(unsure)} of {cells(total)} it cannot be told" if has_winner else "it cannot be told"
        which = detailed([each.name for each in unsure], [each.note for each in unsure])
        found.append(f"{cannot} whether they meet the limits: {which}")
    if without and len(without) < total:
        kinds = list(dict.fromkeys(each.note for each in without))
        found.append(f"{len(without)} of {cells(total)} cannot enter: {named(kinds, 3)}")
    return found


def _nobody(best: StudyBest) -> str:
    """Return the sentence where no cell is known to meet the limits, or none can enter."""
    total = len(best.cells)
    without = [each for each in best.cells if each.standing == "no candidate"]
    if len(without) == total:
        kinds = list(dict.fromkeys(each.note for each in without))
        return f"{superlative(best.metric, best.maximize)}: no cell can enter: {named(kinds, 3)}"
    verb = "is known to meet" if any(each.standing == "limit unsure" for each in best.cells) else "meets"
    of = f"none of the {cells(total - len(without))}{' that can enter' if without else ''}"
    if total - len(without) == 1:
        of = "the one cell that can enter" if without else "the one cell"
        verb = "is not known to meet" if verb != "meets" else "does not meet"
    return f"{superlative(best.metric, best.maximize)}: {of} {verb} {best.where}"


def _shown(best: StudyBest, each: CellStanding) -> str:
    return f"{each.name}: {_figure(best, each)}"


def _figure(best: StudyBest, each: CellStanding) -> str:
    if each.shown or each.mean is None:
        return each.shown or "unknown"
    return cell_words(best.metric, each.mean, each.half_width, each.at_least) + unit_of(best.metric)


def _listed(best: StudyBest, some: Sequence[CellStanding]) -> str:
    return detailed([each.name for each in some], [against_words(best.metric, each) for each in some])


def _in_brackets(best: StudyBest, each: CellStanding) -> str:
    words = against_words(best.metric, each)
    return f" ({words})" if words else ""


def against_words(metric: str, each: CellStanding, *, has_interval: bool = True) -> str:
    """Return `+1.1 %, -0.9 to 3.2`: a cell against the best one; nothing of one without.

    Without its interval a ratio that may be anything is nothing.
    """
    low, high = (each.low, each.high) if has_interval else (None, None)
    if each.ratio is not None:
        is_open = is_anything(each.low, each.high)
        return ("ratio unknown" if has_interval else "") if is_open else change_words(each.ratio, low, high)
    if each.difference is not None and each.p_value is not None:
        return f"{100 * each.difference:+.3g} points, p = {each.p_value:.2g}"
    if each.difference is not None:
        return difference_words(each.difference, low, high, unit_of(metric))
    return ""
