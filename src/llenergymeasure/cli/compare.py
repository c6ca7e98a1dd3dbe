"""`llem results compare`: the differences of results, with intervals and a gate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import EXIT_FAILED, reporting_errors
from labledger.json_text import dump_json
from llenergymeasure.cli.loading import load, load_all

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.results.comparison import Comparison, Group, Row


@reporting_errors
def compare(
    ctx: typer.Context,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Results, or directories of repeats; the others are compared with the first."),
    ] = None,
    directory: Annotated[Path, typer.Option("--dir", "-d", help="Where results were saved.")] = Path("results"),
    by: Annotated[
        str | None, typer.Option("--by", help="config_hash: the groups are results of one configuration in --dir.")
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", min=0.0, help="Differences up to this percentage count as the same.")
    ] = 5.0,
    fail_if_worse: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if-worse", metavar="METRIC=PERCENT", help="Exit 1 if a metric is worse by more.", show_default=False
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare results: for each metric, whether it is different, the same, or the data cannot tell."""
    from labledger.console import print_error, print_json
    from labledger.untrusted_text import clean
    from llenergymeasure.results.comparison import compare as compare_groups

    limits = [_limit(text) for text in fail_if_worse or []]
    first, *others = _groups(targets or [], directory, by)
    comparisons = [compare_groups(first, other, margin / 100) for other in others]
    if json:
        print_json(dump_json([_comparison_dict(each) for each in comparisons]))
    else:
        for each in comparisons:
            _print_comparison(each)
    failures = [text for each in comparisons for limit in limits if (text := _failure(each, *limit))]
    for text in failures:
        print_error(clean(text))
    if failures:
        raise typer.Exit(EXIT_FAILED)


def _groups(targets: list[str], directory: Path, by: str | None) -> list["Group"]:
    from llenergymeasure.errors import ConfigError
    from llenergymeasure.results.comparison import Group

    if by is not None:
        if by != "config_hash" or targets:
            raise ConfigError("--by: config_hash is the one grouping, and takes the results of --dir, not targets")
        hashed: dict[str, list[ExperimentResult]] = {}
        for _, result in load_all(directory):
            hashed.setdefault(str(result.measurement_config_hash), []).append(result)
        groups = [Group(f"config {name}", results) for name, results in hashed.items()]
    else:
        groups = [_group(target, directory) for target in targets]
    if len(groups) < 2:
        raise ConfigError(f"{len(groups)} group(s) to compare: name two or more results, or directories of repeats")
    return groups


def _group(target: str, directory: Path) -> "Group":
    from llenergymeasure.errors import ConfigError
    from llenergymeasure.results.catalog import find_result
    from llenergymeasure.results.comparison import Group
    from llenergymeasure.results.persistence import RESULT_FILE

    path = Path(target)
    if path.is_dir() and not (path / RESULT_FILE).is_file():
        results = [result for _, result in load_all(path)]
        if not results:
            raise ConfigError(f"{target}: no result in there")
        return Group(target, results)
    return Group(target, [load(find_result(target, directory))])


def _limit(text: str) -> tuple[str, float]:
    from labledger.yaml_files import did_you_mean
    from llenergymeasure.errors import ConfigError
    from llenergymeasure.results.comparison import METRICS

    name, _, percent = text.partition("=")
    if name not in METRICS:
        raise ConfigError(
            f"--fail-if-worse: unknown metric {name!r}{did_you_mean(name, list(METRICS))}; one of {', '.join(METRICS)}"
        )
    try:
        return name, float(percent.removesuffix("%")) / 100
    except ValueError as error:
        raise ConfigError(f"--fail-if-worse: {text!r} is not METRIC=PERCENT, as {name}=5%") from error


def _failure(comparison: "Comparison", metric: str, limit: float) -> str | None:
    """Return why the gate fails, None where it passes; an unknown value fails it too."""
    row = next(row for row in comparison.rows if row.metric == metric)
    if row.worse_by is None:
        return f"{metric}: {comparison.second.name}: {row.note}, so it may be worse"
    if row.worse_by <= limit:
        return None
    return f"{metric}: {comparison.second.name} is {row.worse_by:.1%} worse, over {limit:.1%} ({row.word})"


def _comparison_dict(comparison: "Comparison") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "first": comparison.first.name,
        "second": comparison.second.name,
        "marks": {group.name: group.marks for group in (comparison.first, comparison.second)},
        "config_differences": comparison.config_differences,
        "metrics": [asdict(row) for row in comparison.rows],
    }


def _print_comparison(comparison: "Comparison") -> None:
    from labledger.console import print_answer, print_line, print_table

    first, second = comparison.first, comparison.second
    if comparison.config_differences:
        rows = [[name, str(one), str(other)] for name, (one, other) in comparison.config_differences.items()]
        print_table(["configuration", first.name, second.name], rows)
    else:
        print_answer("the configurations are the same")
    print_table(["metric", first.name, second.name, "ratio", "95 % interval", "", ""], map(_row_cells, comparison.rows))
    for group in (first, second):
        for warning in dict.fromkeys(w for result in group.results for w in result.measurement_warnings):
            print_line(f"  ! {group.name}: {warning}")


def _row_cells(row: "Row") -> list[str]:
    from llenergymeasure.cli.presentation import number

    ratio = "" if row.ratio is None else f"{row.ratio:.4f}"
    high = "no end" if row.high is None else f"{row.high:.4f}"
    interval = "" if row.low is None else f"{row.low:.4f} to {high}"
    return [row.metric, number(row.first), number(row.second), ratio, interval, row.word, row.note]
