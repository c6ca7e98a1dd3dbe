"""The comparison of two groups of results: what differs in their configurations, and a row per metric."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from pydantic import JsonValue

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.comparison.answers import AnswersCompared, compared_answers
from llenergymeasure.results.comparison.conditions import condition_remarks
from llenergymeasure.results.comparison.evidence import SIDES, Evidence, Value, gathered
from llenergymeasure.results.comparison.metrics import (
    DEFAULT_MARGIN,
    Figures,
    bound_shares,
    energy_marks,
    figure,
    unsettled,
    unusable_metrics,
)
from llenergymeasure.results.comparison.rows import Row, Sensors, count_rows, weather_rows
from llenergymeasure.results.comparison.runs import InTime, Run, busy_times, disturbances, in_time
from llenergymeasure.results.configurations import by_configuration, differences
from llenergymeasure.results.flat import flat_row

OTHER_DEVICES = "it is of another device than the new one, or of an unknown one"


class Mixture(NamedTuple):
    """A side with results of several `configurations`, and the paths of the values in which these differ."""

    side: str
    configurations: int
    differing: list[str]

    def __str__(self) -> str:
        apart = f", which differ in {', '.join(self.differing)}" if self.differing else ""
        return f"{self.side} has runs of {self.configurations} configurations{apart}: its figures are of the mixture"


class LeftOut(NamedTuple):
    """A result that is in no figure, by its id (None: it has none), and the reason."""

    experiment_id: str | None
    reason: str


@dataclass(frozen=True, repr=False)
class Group:
    """Results of one side; `marks` name why its energies are not valid measurements.

    `left_out` are others of the same place, which do not count.
    """

    name: str
    results: Sequence[ExperimentResult]
    left_out: Sequence[LeftOut] = ()

    @property
    def marks(self) -> list[str]:
        """`estimate`, or the verdict where it is not `valid`."""
        return energy_marks(self.results)

    def __repr__(self) -> str:
        return f"Group({self.name!r}, {len(self.results)} results)"


@dataclass(frozen=True, repr=False)
class Comparison:
    """The second group against the first: what differs in their configurations, then one row per metric.

    Each of `rows` is of one `metric`: `first` and `second` are the sides' figures (geometric means over their
    observations), `ratio` is second over first, and `low` to `high` its interval at `level`. Its `kind` is `headline`
    (tested; all of them are one family), `exploratory` (shown, and not tested) or `count` (what no weather changes,
    compared as it is). Its `word` is `different` (the interval does not hold 1), `same` (the joint interval lies within
    `margin`) or `cannot tell`; None of what is not tested. The joint interval, `joint_low` to `joint_high` at
    `joint_level`, is the wider one of a headline metric, so that all of them hold together at 95 %. Its `counts` are
    the observations of each side, and `missing` how many of their runs have no such figure.

    `method` is what the intervals rest on: rounds, stretches of one configuration, or None where there are none, with
    `why`; `counts` are the observations of each side, rounds or stretches. `used` are the runs of each side that the
    figures are of, and `left_out` the others. `remarks` are sentences to read with the rows. `margin` is the share up
    to which a difference counts as the same, `spread` the known standard deviation of the logarithm of one run.
    `answers` are those to a task, None where neither side has one.
    `mixtures` are the sides of more than one configuration; `config_differences` are then of what is the same
    throughout each side.
    """

    first: Group
    second: Group
    config_differences: dict[str, tuple[JsonValue, JsonValue]]
    rows: list[Row] = field(default_factory=list)
    method: Literal["rounds", "stretches"] | None = None
    counts: tuple[int, int] = (0, 0)
    why: str = ""
    remarks: list[str] = field(default_factory=list)
    margin: float = DEFAULT_MARGIN
    spread: float | None = None
    used: tuple[list[ExperimentResult], list[ExperimentResult]] = field(default_factory=lambda: ([], []))
    left_out: list[LeftOut] = field(default_factory=list)
    mixtures: list[Mixture] = field(default_factory=list)
    answers: AnswersCompared | None = None

    def __repr__(self) -> str:
        words = {row.metric: row.word for row in self.rows if row.kind == "headline"}
        return f"Comparison({self.first!r}, {self.second!r}, {self.method or self.why!r}, {words})"


def compare(
    first: Group,
    second: Group,
    margin: float = DEFAULT_MARGIN,
    *,
    spread: float | None = None,
    between: Sequence[Run] = (),
) -> Comparison:
    """Compare two groups of results; `margin` is the share by which they may differ and still be the same.

    Runs that were made in rounds (AB, BA, AB, ...) are compared round by round: Student's t on the logarithm of each
    round's ratio. Others are compared stretch by stretch, Welch's t, where one side has five stretches, or where
    `spread` is known: the standard deviation of the logarithm of one run. Energies are widened by what the sensors
    leave open. The headline metrics are one family: the chance that any of equal ones is `different` is 5 % at most
    (Holm). A result that is given twice counts once. Runs `between`, of other configurations, show that a device was
    busy where both paused.
    """
    one, other, repeated, doubles = _distinct(first.results, second.results)
    ordered = in_time(one, other)
    evidence = gathered(ordered.placed, ordered.left_out, spread, between)
    figures = {id(result): flat_row(result) for result in (*one, *other)}
    runs = evidence.runs
    sides = [run.result for run in runs if run.side == 0], [run.result for run in runs if run.side == 1]
    rows = [
        *_noted(_weather_rows(evidence, sides, figures, margin), disturbances([run.result for run in runs])),
        *count_rows([figures[id(each)] for each in one], [figures[id(each)] for each in other], unsettled(one, other)),
    ]
    mixtures = [*_mixtures((first.name, one), (second.name, other))]
    mixed = {path for mixture in mixtures for path in mixture.differing}
    apart = {path: values for path, values in differences(one[0], other[0]).items() if path not in mixed}
    remarks = [
        *repeated,
        *_elsewhere(first, second),
        *ordered.reasons,
        *evidence.remarks,
        *_left_over(evidence, len(ordered.placed)),
        *map(str, mixtures),
        *_devices(runs),
        *condition_remarks(*sides),
        *([] if apart or mixtures else _unexplained(rows)),
    ]
    return Comparison(
        *(first, second, apart, rows, evidence.method, evidence.counts, evidence.why, remarks, margin, spread, sides),
        answers=compared_answers(one, other),
        left_out=[*first.left_out, *second.left_out, *doubles, *_left_out(ordered, runs)],
        mixtures=mixtures,
    )


def first_of_each(results: Iterable[ExperimentResult]) -> list[ExperimentResult]:
    """Return results without those that are given twice, by their ids; one without an id is none of the others."""
    return list(_by_identity(results).values())


def _by_identity(results: Iterable[ExperimentResult]) -> dict[str | int, ExperimentResult]:
    found: dict[str | int, ExperimentResult] = {}
    for each in results:
        found.setdefault(id(each) if each.experiment_id is None else each.experiment_id, each)
    return found


def compare_with_first(
    groups: Sequence[Group], margin: float = DEFAULT_MARGIN, *, spread: float | None = None
) -> list[Comparison]:
    """Compare each group but the first with it; the results of all show when a device was busy."""
    first, *others = groups
    busy = [busy_times(group.results) for group in others]
    return [
        compare(
            first, other, margin, spread=spread, between=[run for runs in (*busy[:at], *busy[at + 1 :]) for run in runs]
        )
        for at, other in enumerate(others)
    ]


def _distinct(
    first: Sequence[ExperimentResult], second: Sequence[ExperimentResult]
) -> tuple[list[ExperimentResult], list[ExperimentResult], list[str], list[LeftOut]]:
    """Return both sides without results that are given twice, a sentence for each kind of them, and those.

    One that is on both sides is taken from the one that has more; it stays where that has no other.
    """
    one, other = _by_identity(first), _by_identity(second)
    twice = Counter(each.experiment_id for each in (*first, *second))
    twice.subtract(each.experiment_id for each in (*one.values(), *other.values()))
    doubles = [LeftOut(each, "it is given more than once and counted once") for each in twice.elements()]
    remarks = [f"{_number_of(len(doubles), 'result')} given more than once and counted once"] if doubles else []
    if shared := one.keys() & other.keys():
        larger = max(one, other, key=len)
        if len(larger) > len(shared):
            for identity in shared:
                doubles.append(LeftOut(larger.pop(identity).experiment_id, "it counts on the other side"))
            remarks.append(f"{_number_of(len(shared), 'result')} on both sides, and counted on the smaller one")
        else:
            remarks.append("both sides are the same results")
    return list(one.values()), list(other.values()), remarks, doubles


def _left_out(ordered: InTime, used: Sequence[Run]) -> list[LeftOut]:
    """Return the runs that are in no observation."""
    shown = {id(run) for run in used}
    causes = [*zip(ordered.left_out, ordered.causes, strict=True), *((run, "not in a round") for run in ordered.placed)]
    return [LeftOut(run.result.experiment_id, cause) for run, cause in causes if id(run) not in shown]


def _elsewhere(*groups: Group) -> list[str]:
    """Return a sentence for each group of which results of other devices were left out."""
    counts = [(group.name, sum(each.reason == OTHER_DEVICES for each in group.left_out)) for group in groups]
    return [
        f"{name}: {_number_of(count, 'result')} left out, of other devices than the new one's or of unknown ones"
        for name, count in counts
        if count
    ]


def _weather_rows(
    evidence: Evidence, sides: Sequence[list[ExperimentResult]], figures: Mapping[int, Figures], margin: float
) -> list[Row]:
    def value_of(metric: str) -> Value:
        return lambda run: figure(figures[id(run.result)], metric)

    return weather_rows(evidence, value_of, Sensors(*bound_shares(*sides)), unusable_metrics(*sides), margin)


def _noted(rows: Iterable[Row], disturbed: Sequence[str]) -> list[Row]:
    """Return the rows, the disturbances of their runs in the notes of headline ones."""
    return [
        replace(row, note="; ".join([*disturbed, *([row.note] if row.note else [])])) if row.kind == "headline" else row
        for row in rows
    ]


def _left_over(evidence: Evidence, placed: int) -> list[str]:
    left = placed - len(evidence.runs)
    return [f"{left} of {placed} runs left out: not in a round"] if evidence.method == "rounds" and left else []


def _mixtures(*sides: tuple[str, Sequence[ExperimentResult]]) -> Iterator[Mixture]:
    """Yield each side that is not of one configuration."""
    for name, results in sides:
        # One of all that are written alike is read, which takes time.
        apart = {(repr(each.effective_config), each.measurement_config_hash): each for each in results}
        first, *others = [alike[0] for alike in by_configuration(apart.values()).values()]
        if others:
            differing = dict.fromkeys(path for each in others for path in differences(first, each))
            yield Mixture(name, 1 + len(others), [*differing])


def _devices(runs: Sequence[Run]) -> list[str]:
    sides = [{device for run in runs if run.side == side for device in run.devices} for side in SIDES]
    if not all(sides) or sides[0] & sides[1]:
        return []
    names = (", ".join(sorted(side)) for side in sides)
    return ["the first ran on {}, the second on {}: a difference may be the devices'".format(*names)]


def _unexplained(rows: Iterable[Row]) -> list[str]:
    apart = [row.metric for row in rows if row.word == "different"]
    return [f"nothing in the configuration explains this: {', '.join(apart)}"] if apart else []


def _number_of(count: int, what: str) -> str:
    return f"{count} {what} is" if count == 1 else f"{count} {what}s are"
