"""`llem results compare`: the differences of results, with intervals, and a gate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labledger.commands import EXIT_FAILED, reporting_errors
from labledger.json_text import dump_json
from llenergymeasure.cli.loading import load, load_all

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.results.comparison import Comparison, Group, Limit

GROUPINGS = ("config", "config_hash")


@reporting_errors
def compare(
    ctx: typer.Context,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Results, or directories of them; the others are compared with the first."),
    ] = None,
    directory: Annotated[Path, typer.Option("--dir", "-d", help="Where results were saved.")] = Path("results"),
    by: Annotated[
        str | None,
        typer.Option("--by", help="config: the groups are results of one configuration in --dir (also: config_hash)."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            help="Compare one target with its history: the earlier results in a directory. Save new results elsewhere, "
            "and move them there once the gate has let them pass.",
        ),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option("--last", min=1, help="So many nights (stretches) of the history, the last ones [default: all]."),
    ] = None,
    margin: Annotated[
        str, typer.Option("--margin", metavar="PERCENT", help="Differences up to this percentage count as the same.")
    ] = "5%",
    spread: Annotated[
        str | None,
        typer.Option(
            "--spread", metavar="PERCENT", help="Known spread: the standard deviation of the logarithm of one run."
        ),
    ] = None,
    fail_if_worse: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if-worse",
            metavar="METRIC=PERCENT",
            help="Exit 1 if a headline metric is worse by more; needs --against, --spread or runs in rounds.",
            show_default=False,
        ),
    ] = None,
    fail_if_unsure: Annotated[
        bool, typer.Option("--fail-if-unsure", help="Exit 1 also where --fail-if-worse cannot tell.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare results: for each metric, whether it is different, the same, or the data cannot tell."""
    from labledger.console import print_json
    from llenergymeasure.cli.compare_output import comparison_dict, print_comparisons
    from llenergymeasure.results.comparison import compare_with_first

    limits = [_limit(text) for text in fail_if_worse or []]
    within, known = _share(margin, "--margin"), _spread(spread)
    groups = _groups(targets or [], directory, by, against, last)
    comparisons = compare_with_first(groups, within, spread=known)
    if json:
        print_json(dump_json([comparison_dict(each) | {"last": last} for each in comparisons]))
    else:
        print_comparisons(comparisons)
    if limits:
        _judge(comparisons, limits, fail_if_unsure, has_history=against is not None or known is not None)


def _groups(
    targets: list[str], directory: Path, by: str | None, against: Path | None, last: int | None
) -> list["Group"]:
    from llenergymeasure.errors import ConfigError
    from llenergymeasure.results.comparison import Group
    from llenergymeasure.results.configurations import by_configuration

    if against is not None:
        return _with_history(targets, directory, by, against, last)
    if last is not None:
        raise ConfigError("--last is of a history: name its directory with --against")
    if by is not None:
        if by not in GROUPINGS or targets:
            raise ConfigError("--by: config is the one grouping, and takes the results of --dir, not targets")
        alike = by_configuration(result for _, result in load_all(directory))
        groups = [Group(f"config {key}", results) for key, results in alike.items()]
    else:
        groups = [_group(target, directory) for target in targets]
    if len(groups) < 2:
        found = f"only {groups[0].name}" if groups else "nothing"
        raise ConfigError(
            f"{found} to compare: name two or more results, or directories of them; or, for the "
            "configurations in one directory, --by config --dir DIRECTORY"
        )
    return groups


def _with_history(
    targets: list[str], directory: Path, by: str | None, against: Path, last: int | None
) -> list["Group"]:
    """Return the history, and the one target that is compared with it."""
    from llenergymeasure.errors import ConfigError
    from llenergymeasure.results.comparison import Group, history

    if by is not None or len(targets) != 1:
        raise ConfigError(f"--against takes one target, the new result or a directory of them; {len(targets)} named")
    new = _new(targets[0], directory)
    earlier = [result for _, result in load_all(against)]
    try:
        return [Group(f"history in {against}", *history(new.results, earlier, last)), new]
    except ConfigError as error:
        raise ConfigError(f"--against {against}: {error}") from error


def _new(target: str, directory: Path) -> "Group":
    """Return the target that is compared with its history.

    Raises:
        ConfigError: it, or a result in it, is missing or cannot be read: it is not judged without what it may hide.
    """
    from labledger.errors import UnreadableFileError
    from llenergymeasure.errors import ConfigError
    from llenergymeasure.results.catalog import find_result, result_files
    from llenergymeasure.results.comparison import Group

    path = Path(target)
    try:
        if path.is_dir():
            results = [result for file in result_files(path) if (result := _readable(file)) is not None]
        else:
            results = [load(find_result(target, directory))]
    except UnreadableFileError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"{error.filename or target}: {error.strerror or error}") from error
    if not results:
        raise ConfigError(f"{target}: no result in there")
    return Group(target, results)


def _readable(file: Path) -> "ExperimentResult | None":
    """Return a folder's result; None where it is of another kind. Raises as `load` else."""
    from labledger.documents import OtherKindError

    try:
        return load(file)
    except OtherKindError:
        return None


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


def _share(text: str, option: str) -> float:
    """Return the share that a percentage is."""
    from labledger.percentages import share_of
    from llenergymeasure.errors import ConfigError

    try:
        return share_of(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from error


def _spread(text: str | None) -> float | None:
    from llenergymeasure.errors import ConfigError

    share = None if text is None else _share(text, "--spread")
    if share == 0:
        raise ConfigError("--spread: runs without any spread there are not; 3% is a quiet machine's")
    return share


def _limit(text: str) -> "Limit":
    from labledger.yaml_files import did_you_mean
    from llenergymeasure.errors import ConfigError
    from llenergymeasure.results.comparison import HEADLINE, Limit

    name, separator, percent = text.partition("=")
    if name not in HEADLINE:
        raise ConfigError(
            f"--fail-if-worse: {name!r} is no headline metric{did_you_mean(name, list(HEADLINE))}; a gate takes "
            f"{', '.join(HEADLINE)}"
        )
    if not separator:
        raise ConfigError(f"--fail-if-worse: {text!r} is not METRIC=PERCENT, as {name}=5%")
    return Limit(name, _share(percent, f"--fail-if-worse {name}"))


def _judge(comparisons: list["Comparison"], limits: list["Limit"], fail_if_unsure: bool, *, has_history: bool) -> None:
    """Print what the gate does not let pass, or cannot tell, and exit accordingly.

    Raises:
        ConfigError: nothing shows how far one run strays from the next, so there is nothing to judge by.
    """
    from labledger.console import print_error, print_line
    from labledger.untrusted_text import clean
    from llenergymeasure.errors import ConfigError
    from llenergymeasure.results.comparison import judged, strays

    blind = [each for each in comparisons if each.method is None]
    if blind and not has_history:
        raise ConfigError(
            f"--fail-if-worse: {blind[0].why}; name a history (--against DIR --last 10) or the spread of one run "
            "(--spread 3%), or compare runs that were made in rounds"
        )
    found = [judged(each, limit) for each in comparisons for limit in limits]
    fails = {"worse", "unsure"} if fail_if_unsure else {"worse"}
    for judgement, text in found:
        if judgement in fails:
            print_error(clean(text))
        elif judgement == "unsure":
            print_line(text, to_stderr=True)
    for each in comparisons if has_history else []:
        for text in filter(None, (strays(each, limit) for limit in limits)):
            print_line(text, to_stderr=True)
    if any(judgement in fails for judgement, _ in found):
        raise typer.Exit(EXIT_FAILED)
