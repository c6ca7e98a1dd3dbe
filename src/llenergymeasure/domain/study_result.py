"""The findings of a study: each cell's figures, how they compare, and which is best."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PrivateAttr

from labledger.comparison import Equivalence
from labledger.documents import Document
from labledger.schema_versions import OpenWhenRead
from llenergymeasure.domain.study import STUDY_SCHEMA_VERSION, StudyCell, StudyRecord, StudyRun

if TYPE_CHECKING:
    import pyarrow
    from matplotlib.figure import Figure

Aside = Literal["misses", "limit unsure", "no candidate"]
Standing = Literal["best", "equal", "cannot tell", "worse", Aside]
FrontStanding = Literal["front", "cannot be excluded", "off", Aside]


class CellSummary(StudyRecord):
    """One metric of one cell, over its rounds."""

    metric: str
    """A column of the flat table."""
    mean: float | None
    """Mean over rounds; None where no run has a figure."""
    half_width: float | None = None
    """Half of the interval at 95 % (Student's t over rounds); None of fewer than two rounds."""
    low: float | None = None
    """Lower end of the interval of a share of right answers: Wilson's, over questions."""
    high: float | None = None
    """Upper end of it."""
    shown: str = ""
    """A share of right answers in words, with its interval."""
    spread: float | None = None
    """Standard deviation over rounds."""
    n: int = 0
    """Rounds with a figure."""
    at_least: bool = False
    """True of a searched load where a round met the goal at each load that it tried: the mean is a lower bound, and has
    no half-width."""
    edge: float | None = None
    """The largest bound that sensors leave open in one run: edges, disagreement and coverage, in the metric's unit."""
    gain: float | None = None
    """The largest bound of the sensors' scale, in the metric's unit: common to one board, it cancels in ratios."""


class CellResult(StudyRecord):
    """The findings of one cell's runs."""

    cell: int
    """Number of the cell, from 0."""
    verdict: str | None
    """The worst verdict of its runs; None where none has a result."""
    done: int
    """Runs with a result, of a load search those of every step."""
    failed: int
    """Runs that failed, or were given up."""
    figures: list[CellSummary]
    """The headline metrics and further ones."""


class CellComparison(StudyRecord):
    """One metric of a cell against the first cell, within rounds."""

    first: int
    """Number of the cell that the ratio is against."""
    second: int
    """Number of the cell whose ratio it is."""
    metric: str
    """A column of the flat table."""
    ratio: float | None
    """Second over first, a geometric mean over rounds."""
    low: float | None = None
    """Least ratio of the interval."""
    high: float | None = None
    """Greatest ratio of the interval; None where it has no end."""
    level: float | None = None
    """Level of the interval."""
    rounds: int = 0
    """Rounds that it rests on."""
    equivalence: Annotated[Equivalence, OpenWhenRead()] = "cannot tell"
    """different, same or cannot tell; of all of a study's words together 5 % at most are wrong."""
    note: str = ""
    """A sentence to read with it."""


class SearchRound(StudyRecord):
    """One round of a cell's load search. Nothing is claimed of loads that were not tried."""

    round_number: int
    """Number of the round, from 1."""
    tried: int
    """Loads that were tried."""
    ended: bool
    """True if the search has ended; what it has found so far may still change otherwise."""
    highest_met: float | None = None
    """The highest load that met the goal, below every one that missed it; None where the least one missed it."""
    lowest_missed: float | None = None
    """The lowest load that missed it; None where the highest one met it, or the runs of the least one failed."""
    miss: str = ""
    """Reason why that one missed it, with its figures, or why its runs failed."""
    experiment_id: str | None = None
    """Id of the result at `highest_met`."""


class CellSearch(StudyRecord):
    """The load search of one cell: the highest load that meets its goal, over rounds."""

    cell: int
    """Number of the cell, from 0."""
    metric: str
    """Load that was looked for: request_rate (requests per second) or concurrency (requests in flight)."""
    goal: str
    """Conditions that a load has to meet, on columns of the flat table."""
    least: float
    """Load that is tried first: with one that misses there, the search ends."""
    most: float
    """Load that is tried second: with one that meets there, the search ends."""
    tolerance: float
    """Percent by which the lowest load that missed may be above the highest that met."""
    rounds: list[SearchRound]
    """The rounds, in their order."""
    highest: CellSummary
    """`highest_met` over rounds; without a half-width where a round met at `most`, or missed at `least`."""
    at_highest: list[CellSummary]
    """Figures of the results at `highest_met`, over rounds: joules, tokens per second, the columns of the goal."""
    sentence: str
    """The answer in words."""


class CellStanding(StudyRecord):
    """One cell among those of which the best was looked for."""

    cell: int
    """Number of the cell, from 0."""
    name: str
    """Name of the cell."""
    standing: Annotated[Standing, OpenWhenRead()]
    """best (the best mean of the cells that meet the limits), equal (the same count as it), cannot tell (nothing tells
    it from the best), worse (told), misses (a limit), limit unsure (whether it meets the limits cannot be told), or
    no candidate (it has no such figure)."""
    mean: float | None
    """Mean over rounds; None where it has none."""
    half_width: float | None = None
    """Half of the interval at 95 %; None of fewer than two rounds, and of a share of right answers."""
    shown: str = ""
    """A share of right answers in words, with its interval."""
    ratio: float | None = None
    """Its figure over the best one's, a geometric mean over rounds."""
    difference: float | None = None
    """Its figure less the best one's, of a metric that is not above 0 in all runs: it has no ratio."""
    low: float | None = None
    """Least ratio (or difference) of the interval; None where a difference has no least one."""
    high: float | None = None
    """Greatest ratio (or difference) of the interval; None where it has no end."""
    p_value: float | None = None
    """McNemar's exact p value, question by question, against the best; None but of right answers."""
    level: float | None = None
    """Level of the interval: that of its pair among all pairs of cells."""
    rounds: int = 0
    """Rounds that the ratio rests on."""
    at_least: bool = False
    """True of a searched load whose mean is a lower bound: a round met the goal at each load that it tried."""
    note: str = ""
    """Reason why it misses, or cannot be told."""


class StudyBest(StudyRecord):
    """The best of a study's cells by one metric, among those that meet the limits."""

    metric: str
    """A column of the flat table."""
    maximize: bool
    """True where the greatest is best."""
    reason: str = ""
    """Reason for this metric, where none was asked for."""
    where: str = ""
    """The limits, as they were written."""
    winner: int | None = None
    """Number of the cell with the best mean, from 0; None where no cell is known to meet the limits."""
    cells: list[CellStanding]
    """Every cell, in the study's order."""
    sentence: str
    """The answer."""
    warnings: list[str] = Field(default_factory=list)
    """Sentences to read with it."""


class FrontCell(StudyRecord):
    """One cell beside the front of two metrics."""

    cell: int
    """Number of the cell, from 0."""
    name: str
    """Name of the cell."""
    standing: Annotated[FrontStanding, OpenWhenRead()]
    """front (no cell has better means), cannot be excluded (one has, but it is not told), off (told), or misses,
    limit unsure, no candidate as in the search for the best."""
    by: int | None = None
    """Number of the cell that is better than it: told so of one that is off, else by the means."""
    alike: list[int] = Field(default_factory=list)
    """Of a cell of the front, the numbers of those others of it that nothing tells it from, in neither metric; of a
    front of over 100 cells none is looked at."""
    means: list[float | None]
    """Its mean of each metric."""
    half_widths: list[float | None]
    """Half of each interval at 95 %."""
    at_least: list[bool] = Field(default_factory=list)
    """True of each mean that is a lower bound, as in the search for the best."""
    note: str = ""
    """Reason why it misses, or is no candidate."""


class StudyFront(StudyRecord):
    """The Pareto front of two metrics, as far as it can be told: the cells that no other is told to beat in both."""

    metrics: list[str]
    """Two columns of the flat table."""
    maximize: list[bool]
    """True of each of which the greatest is best."""
    where: str = ""
    """The limits, as they were written."""
    cells: list[FrontCell]
    """Every cell, in the study's order."""
    sentence: str
    """The answer."""
    warnings: list[str] = Field(default_factory=list)
    """Sentences to read with it."""


class StudyResult(Document):
    """A study as its stored runs tell it."""

    may_lack_fields = False
    document_kind = "llem.study"
    known_by = "comparisons"

    schema_version: str | None = STUDY_SCHEMA_VERSION
    """Version of this list of fields."""
    study_name: str
    """Name of the study."""
    cells: list[StudyCell]
    """The configurations."""
    runs: list[StudyRun]
    """Every run in the order in which they are made."""
    summary: list[CellResult]
    """Findings of each cell's runs, in the order of `cells`."""
    comparisons: list[CellComparison]
    """Every cell but the first against it, in the headline metrics: a family of words of its own, at its levels."""
    metric: str = ""
    """The metric that decides which cell is best; empty where it was saved by a version that did not tell."""
    standings: list[CellStanding] = Field(default_factory=list)
    """Every cell as it stands to the best one, which is what `sentence` tells."""
    searches: list[CellSearch] = Field(default_factory=list)
    """The answers of the cells that search for the highest load under a goal; none of others."""
    warnings: list[str] = Field(default_factory=list)
    """Sentences to read with it: drift, what was left out, disturbed runs."""
    sentence: str = ""
    """Its answer: which cell is best, and which cannot be told from it."""

    _folder: Path | None = PrivateAttr(default=None)
    """The study's folder: its table and figures are of the results in there."""

    @classmethod
    def from_folder(cls, folder: Path | str) -> "StudyResult":
        """Return what the runs in a study's folder tell by now, those that are still to come left out.

        Raises:
            ConfigError: there is no study in it.
            UnreadableFileError: its manifest is none, or was damaged.
            OSError: its manifest cannot be read.
        """
        from llenergymeasure.results.study.stored import load_study_result

        found = load_study_result(Path(folder))
        found._folder = Path(folder)
        return found

    def table(self) -> "pyarrow.Table":
        """The study's runs as an Arrow table, in the order in which they are made, a row each.

        First what was planned and what came of it: `cell` (its number), `cell_name`, `changes` (JSON), `round_number`,
        `step` and `searched` of a load search, `state`, `error`, `elapsed_s`. Then the columns of `results_table`, with
        one for each field of the configurations that is not default, as `config.decoder.top_k`; a run without a result
        has those alone. The results are read anew.

        Raises:
            ConfigError: it was read from no folder, as what was built or parsed from JSON.
            UnreadableFileError: the manifest is damaged by now.
            OSError: the manifest cannot be read.
        """
        from llenergymeasure.results.study.table import study_table

        return study_table(self._stored_in("table"))

    def best(
        self, *, minimize: str | None = None, maximize: str | None = None, where: str | None = None
    ) -> "StudyBest":
        """The best cell by a metric among those that meet the limits, and where every other cell stands to it.

        `where` has the limits, as "ttft_ms_p99 <= 300 and tpot_ms_p95 <= 50", in the grammar of `llem results list
        --where`. Without a metric it is least joules a token or, where no energy is a valid measurement, most tokens/s.
        `sentence` of what is returned is the answer in words. The results are read anew.

        Raises:
            ConfigError: two metrics or an unknown one are named, a limit is none; or as `table`.
            UnreadableFileError, OSError: as `table`.
        """
        from llenergymeasure.results.study.best import best_cells
        from llenergymeasure.results.study.runs import read_study

        runs = read_study(self._stored_in("best"))
        return best_cells(runs, minimize=minimize, maximize=maximize, where=where, field_prefix="")

    def plot(self, x: str, y: str, by: str | None = None) -> "Figure":
        """A matplotlib figure of two columns of `table`, `y` over `x`: each cell's mean, 95 % interval and runs.

        The interval is Student's t over the runs. Cells of one value of `by`, a third column, have one colour. Save it
        by `.savefig("a.png")`; a notebook shows it.

        Raises:
            ConfigError: matplotlib is not installed, there is no such column, `y` is not of numbers, or no run has
                both; or as `table`.
            UnreadableFileError, OSError: as `table`.
        """
        from llenergymeasure.results.study.figure import draw_study

        return draw_study(self.study_name, self.table(), x, y, by)

    def _stored_in(self, asked: str) -> Path:
        from llenergymeasure.errors import ConfigError

        if self._folder is None:
            raise ConfigError(
                f"{asked}: needs the study's results, and this StudyResult was read from no folder; "
                "StudyResult.from_folder(DIR) reads it from one"
            )
        return self._folder
