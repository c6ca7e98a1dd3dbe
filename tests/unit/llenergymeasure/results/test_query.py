"""SQL over results."""

import warnings

import pytest

from llenergymeasure.errors import ConfigError
from llenergymeasure.results import timeseries
from llenergymeasure.results.flat import flat_row
from llenergymeasure.results.query import query_results
from small_result import make_result, make_samples

ASKING = [
    "FROM timeseries SELECT count(*)",
    'SELECT (SELECT count(*) FROM main."TimeSeries") FROM results LIMIT 1',
    "SELECT count(*) FROM results JOIN timeseries USING (experiment_id)",
    "SELECT count(*) FROM query('FROM time' || 'series')",
    "SELECT 1; CREATE VIEW v AS FROM timeseries; SELECT count(*) FROM v",
]
NOT_ASKING = [
    "SELECT total_tokens FROM results WHERE 'timeseries' <> model LIMIT 1",
    "WITH timeseries AS (SELECT 1000) FROM timeseries",
]


@pytest.fixture
def folders(tmp_path):
    """Three results with a timeseries of three rows each, and their rows."""
    source = timeseries.write_timeseries_parquet(make_samples(3), tmp_path / "source.parquet")
    saved = [make_result(experiment_id=name).save(tmp_path, timeseries_source=source).parent for name in "abc"]
    rows = [flat_row(make_result(experiment_id=name, timeseries="timeseries.parquet")) for name in "abc"]
    return saved, rows


def test_a_query_sees_the_tables_and_no_variable_of_the_program(tmp_path):
    rows = [flat_row(make_result())]
    assert query_results("SELECT total_tokens FROM results", [tmp_path], rows) == (["total_tokens"], [(1000,)])
    assert query_results("SHOW TABLES", [tmp_path], rows)[1] == [("results",), ("timeseries",)]
    with pytest.raises(ConfigError, match="Table with name rows does not exist"):
        query_results("SELECT * FROM rows", [tmp_path], rows)


@pytest.mark.parametrize("query", ASKING)
def test_whoever_asks_for_the_timeseries_in_any_way_gets_them_all(folders, query):
    assert query_results(query, *folders)[1] == [(9,)]


@pytest.mark.parametrize("query", NOT_ASKING)
def test_a_query_that_does_not_ask_for_the_timeseries_reads_none(folders, query):
    for folder in folders[0]:
        (folder / "timeseries.parquet").write_bytes(b"damaged")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert query_results(query, *folders)[1] == [(1000,)]


def test_rows_of_timeseries_are_bounded_for_a_whole_folder_and_what_is_left_out_is_named(folders, monkeypatch):
    monkeypatch.setattr(timeseries, "MAX_ROWS", 7)
    query = "SELECT experiment_id, count(*) FROM timeseries GROUP BY ALL ORDER BY ALL"
    with pytest.warns(UserWarning, match="3 rows, after 6 of other files, and at most 7 are read; left out") as caught:
        _, found = query_results(query, *folders)
    assert found == [("a", 3), ("b", 3)]
    assert [str(each.message).startswith(str(folders[0][2])) for each in caught] == [True]


def test_the_ids_beside_the_timeseries_are_text(folders):
    _, found = query_results("DESCRIBE timeseries", *folders)
    kinds = {row[0]: row[1] for row in found}
    assert (kinds["experiment_id"], kinds["gpu_power_w"], kinds["gpu_index"]) == ("VARCHAR", "DOUBLE", "INTEGER")
