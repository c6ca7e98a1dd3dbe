"""SQL over results."""

import pytest

from llenergymeasure.errors import ConfigError
from llenergymeasure.results.flat import flat_row
from llenergymeasure.results.query import query_results
from small_result import make_result


def test_a_query_sees_the_tables_and_no_variable_of_the_program(tmp_path):
    rows = [flat_row(make_result())]
    assert query_results("SELECT total_tokens FROM results", [tmp_path], rows) == (["total_tokens"], [(1000,)])
    with pytest.raises(ConfigError, match="Table with name rows does not exist"):
        query_results("SELECT * FROM rows", [tmp_path], rows)
