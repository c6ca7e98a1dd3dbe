"""Comparison of two groups of results, metric by metric: different, the same, or not to be told apart."""

from llenergymeasure.results.comparison.gate import Limit, judged, strays
from llenergymeasure.results.comparison.history import history
from llenergymeasure.results.comparison.metrics import DEFAULT_MARGIN, HEADLINE
from llenergymeasure.results.comparison.rows import ALPHA, Row
from llenergymeasure.results.comparison.table import Comparison, Group, compare, compare_with_first

__all__ = [
    "ALPHA",
    "DEFAULT_MARGIN",
    "HEADLINE",
    "Comparison",
    "Group",
    "Limit",
    "Row",
    "compare",
    "compare_with_first",
    "history",
    "judged",
    "strays",
]
