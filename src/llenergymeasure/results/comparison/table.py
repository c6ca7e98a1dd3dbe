"""The comparison of two groups of results: what differs in their configurations, and a row per metric."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import JsonValue

from labledger.comparison import diff
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.comparison.evidence import SIDES, Evidence, Value, gathered
from llenergymeasure.results.comparison.metrics import DEFAULT_MARGIN, Figures, bound_shares, energy_marks, figure
from llenergymeasure.results.comparison.rows import Row, Sensors, count_rows, weather_rows
from llenergymeasure.results.comparison.runs import Run, disturbances, in_time
from llenergymeasure.results.configurations import by_configuration, configuration_key
from llenergymeasure.results.flat import flat_row


@dataclass(frozen=True)
class Group:
    """Results of one side; `marks` name why its energies are not valid measurements."""

    name: str
    results: Sequence[ExperimentResult]

    @property
    def marks(self) -> list[str]:
        """`estimate`, or the verdict where it is not `valid`."""
        return energy_marks(self.results)


@dataclass(frozen=True)
class Comparison:
    """The second group against the first: what differs in their configurations, then one row per metric.

    `method` is what the intervals rest on: rounds, stretches of one configuration, or None where there are none, with
    `why`; `counts` are the observations of each side. `remarks` are sentences to read with the rows.
    """

    first: Group
    second: Group
    config_differences: dict[str, tuple[JsonValue, JsonValue]]
    rows: list[Row] = field(default_factory=list)
    method: Literal["rounds", "stretches"] | None = None
    counts: tuple[int, int] = (0, 0)
    why: str = ""
    remarks: list[str] = field(default_factory=list)


def compare(first: Group, second: Group, margin: float = DEFAULT_MARGIN, *, spread: float | None = None) -> Comparison:
    """Compare two groups of results; `margin` is the share by which they may differ and still be the same.

    Runs that were made in rounds (AB, BA, AB, ...) are compared round by round: Student's t on the logarithm of each
    round's ratio. Others are compared stretch by stretch, Welch's t, where one side has five stretches, or where
    `spread` is known: the standard deviation of the logarithm of one run. Energies are widened by what the sensors
    leave open. The headline metrics are one family: the chance that any of equal ones is `different` is 5 % at most
    (Holm). A result that is given twice counts once.
    """
    one, other, repeated = _distinct(first.results, second.results)
    ordered = in_time(one, other)
    evidence = gathered(ordered.placed, ordered.left_out, spread)
    figures = {id(result): flat_row(result) for result in (*one, *other)}
    runs = evidence.runs
    sides = [[run.result for run in runs if run.side == side] for side in SIDES]
    rows = [
        *_noted(_weather_rows(evidence, sides, figures, margin), disturbances([run.result for run in runs])),
        *count_rows([figures[id(each)] for each in one], [figures[id(each)] for each in other], _unsettled(one, other)),
    ]
    differences = _config_differences(one[0], other[0])
    remarks = [
        *repeated,
        *ordered.reasons,
        *_left_over(evidence, len(ordered.placed)),
        *_mixtures((first.name, one), (second.name, other)),
        *_devices(runs),
        *_unexplained(differences, rows),
    ]
    return Comparison(first, second, differences, rows, evidence.method, evidence.counts, evidence.why, remarks)


def _distinct(
    first: Sequence[ExperimentResult], second: Sequence[ExperimentResult]
) -> tuple[list[ExperimentResult], list[ExperimentResult], list[str]]:
    """Return both sides without results that are given twice, and a sentence for each kind of them.

    One that is on both sides is taken from the one that has more; it stays where that has no other.
    """
    one, other = ({_identity(result): result for result in results} for results in (first, second))
    remarks = []
    twice = len(first) + len(second) - len(one) - len(other)
    if twice:
        remarks.append(f"{_number_of(twice, 'result')} given more than once and counted once")
    if shared := one.keys() & other.keys():
        larger = max(one, other, key=len)
        if len(larger) > len(shared):
            for identity in shared:
                del larger[identity]
            remarks.append(f"{_number_of(len(shared), 'result')} on both sides, and counted on the smaller one")
        else:
            remarks.append("both sides are the same results")
    return list(one.values()), list(other.values()), remarks


def _identity(result: ExperimentResult) -> str | int:
    return result.experiment_id if result.experiment_id is not None else id(result)


def _weather_rows(
    evidence: Evidence, sides: Sequence[list[ExperimentResult]], figures: Mapping[int, Figures], margin: float
) -> list[Row]:
    marks = energy_marks([*sides[0], *sides[1]])
    unusable = f"energy is not a valid measurement: {', '.join(marks)}" if marks else ""

    def value_of(metric: str) -> Value:
        return lambda run: figure(figures[id(run.result)], metric)

    return weather_rows(evidence, value_of, Sensors(*bound_shares(*sides)), unusable, margin)


def _config_differences(first: ExperimentResult, second: ExperimentResult) -> dict[str, tuple[JsonValue, JsonValue]]:
    if first.effective_config == second.effective_config or configuration_key(first) == configuration_key(second):
        return {}
    return diff(first.effective_config, second.effective_config)


def _noted(rows: Iterable[Row], disturbed: Sequence[str]) -> list[Row]:
    """Return the rows, the disturbances of their runs in the notes of headline ones."""
    return [
        replace(row, note="; ".join([*disturbed, *([row.note] if row.note else [])])) if row.kind == "headline" else row
        for row in rows
    ]


def _unsettled(one: Sequence[ExperimentResult], other: Sequence[ExperimentResult]) -> str:
    """Return why counts are of the weather; nothing where each window holds a work that was set beforehand."""
    results = [*one, *other]
    loads = [load for result in results if isinstance(load := result.effective_config.get("load"), dict)]
    if any(result.measurement_methodology != "total" for result in results) or any(
        load.get("duration_s") for load in loads
    ):
        return "as many as the window has room for"
    if loads and min(len(one), len(other)) < 2:
        return "a server's may change from run to run, and of one side there is one"
    return ""


def _left_over(evidence: Evidence, placed: int) -> list[str]:
    left = placed - len(evidence.runs)
    return [f"{left} of {placed} runs left out: not in a round"] if evidence.method == "rounds" and left else []


def _mixtures(*sides: tuple[str, Sequence[ExperimentResult]]) -> list[str]:
    """Return a sentence for each side that is not of one configuration."""
    return [
        f"{name} has runs of {count} configurations: its figures are of the mixture"
        for name, results in sides
        if (count := _configurations(results)) > 1
    ]


def _configurations(results: Iterable[ExperimentResult]) -> int:
    """Return how many configurations results have; one of all that are written alike is read, which takes time."""
    apart = {(repr(each.effective_config), each.measurement_config_hash): each for each in results}
    return len(by_configuration(apart.values())) if len(apart) > 1 else 1


def _devices(runs: Sequence[Run]) -> list[str]:
    sides = [{device for run in runs if run.side == side for device in run.devices} for side in SIDES]
    if not all(sides) or sides[0] & sides[1]:
        return []
    names = (", ".join(sorted(side)) for side in sides)
    return ["the first ran on {}, the second on {}: a difference may be the devices'".format(*names)]


def _unexplained(differences: Mapping[str, object], rows: Iterable[Row]) -> list[str]:
    apart = [row.metric for row in rows if row.word == "different"]
    return [f"nothing in the configuration explains this: {', '.join(apart)}"] if apart and not differences else []


def _number_of(count: int, what: str) -> str:
    return f"{count} {what} is" if count == 1 else f"{count} {what}s are"
