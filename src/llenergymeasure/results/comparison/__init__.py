"""Comparison of two groups of results, metric by metric: different, the same, or not to be told apart."""

from llenergymeasure.results.comparison.gate import Limit, judged
from llenergymeasure.results.comparison.history import history
from llenergymeasure.results.comparison.metrics import DEFAULT_MARGIN, HEADLINE
from llenergymeasure.results.comparison.rows import Row
from llenergymeasure.results.comparison.table import Comparison, Group, compare

__all__ = ["DEFAULT_MARGIN", "HEADLINE", "Comparison", "Group", "Limit", "Row", "compare", "history", "judged"]
