"""SQL over results."""

import json
import os
import warnings

import pyarrow
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from llenergymeasure.cli.main import app
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
REACHING = [
    "SELECT * FROM read_text('secret.txt')",
    "FROM read_csv('secret.txt')",
    "FROM 'secret.parquet'",
    "SELECT * FROM glob('*')",
    "SELECT * FROM query('FROM read_text(''secret.txt'')')",
    "CREATE TABLE t AS SELECT 1; COPY t FROM 'secret.txt'",
    "FROM read_csv('https://127.0.0.1:9/a.csv')",
    "ATTACH 'secret.db'",
    "COPY results TO 'out.csv'",
    "PREPARE p AS COPY results TO 'out.csv'; EXECUTE p",
    "EXPORT DATABASE 'out'",
    "LOAD 'secret.duckdb_extension'",
]
CHANGING = [
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "PRAGMA profiling_output = 'out.json'",
]
WRITING = [
    "COPY (SELECT 1 AS \"to\") TO /* here */ '{}'",
    "SELECT 1; PREPARE p AS COPY results TO '{}'; EXECUTE p",
    "COPY results to '{}' (FORMAT csv)",
    "ATTACH IF NOT EXISTS '{}' AS other",
    "EXPORT DATABASE '{}'",
]


@pytest.fixture
def folders(tmp_path):
    """Three results with a timeseries of three rows each: their folders and rows."""
    source = timeseries.write_timeseries_parquet(make_samples(3), tmp_path / "source.parquet")
    saved = [make_result(experiment_id=name).save(tmp_path, timeseries_source=source).parent for name in "abc"]
    rows = [flat_row(make_result(experiment_id=name, timeseries="timeseries.parquet")) for name in "abc"]
    return list(zip(saved, rows, strict=True))


def test_a_query_sees_the_tables_and_no_variable_of_the_program(tmp_path):
    rows = [(tmp_path, flat_row(make_result()))]
    assert query_results("SELECT total_tokens FROM results", rows) == (["total_tokens"], [(1000,)])
    assert query_results("SHOW TABLES", rows)[1] == [("results",), ("timeseries",)]
    with pytest.raises(ConfigError, match="Table with name rows does not exist"):
        query_results("SELECT * FROM rows", rows)


@pytest.mark.parametrize("query", ASKING)
def test_whoever_asks_for_the_timeseries_in_any_way_gets_them_all(folders, query):
    assert query_results(query, folders)[1] == [(9,)]


def test_a_timeseries_that_its_result_does_not_name_is_in_the_table_too(folders):
    unnamed = [(folder, row | {"timeseries": None}) for folder, row in folders]
    assert query_results("SELECT count(*) FROM timeseries", unnamed)[1] == [(9,)]


@pytest.mark.parametrize("query", NOT_ASKING)
def test_a_query_that_does_not_ask_for_the_timeseries_reads_none(folders, query):
    for folder, _ in folders:
        (folder / "timeseries.parquet").write_bytes(b"damaged")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert query_results(query, folders)[1] == [(1000,)]


def test_rows_of_timeseries_are_bounded_for_a_whole_folder_and_what_is_left_out_is_named(folders, monkeypatch):
    monkeypatch.setattr(timeseries, "MAX_ROWS", 7)
    query = "SELECT experiment_id, count(*) FROM timeseries GROUP BY ALL ORDER BY ALL"
    with pytest.warns(UserWarning, match="3 rows, after 6 of other files, and at most 7 are read; left out") as caught:
        _, found = query_results(query, folders)
    assert found == [("a", 3), ("b", 3)]
    assert [str(each.message).startswith(str(folders[2][0])) for each in caught] == [True]


def test_a_timeseries_whose_power_is_a_long_text_is_left_out_and_never_written_out(folders):
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 200_000), ["1" * 1_000_000])
    folder = next(folder for folder, row in folders if row["experiment_id"] == "a")
    pyarrow.parquet.write_table(pyarrow.table({"gpu_power_w": text}), folder / "timeseries.parquet")
    with pytest.warns(UserWarning, match=r"timeseries\.parquet: other columns than a timeseries: one is of text"):
        assert query_results("SELECT count(*) FROM timeseries", folders)[1] == [(6,)]


def test_the_ids_beside_the_timeseries_are_text(folders):
    _, found = query_results("DESCRIBE timeseries", folders)
    kinds = {row[0]: row[1] for row in found}
    assert (kinds["experiment_id"], kinds["gpu_power_w"], kinds["gpu_index"]) == ("VARCHAR", "DOUBLE", "INTEGER")


@pytest.mark.parametrize("query", REACHING)
def test_a_query_reads_and_writes_no_file_and_the_message_names_the_flag(tmp_path, monkeypatch, query):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.txt").write_text("secret")
    with pytest.raises(ConfigError, match=r"sql: a query reads the tables results and timeseries alone.*--allow-write"):
        query_results(query, [(tmp_path, flat_row(make_result()))])
    assert os.listdir(tmp_path) == ["secret.txt"]


@pytest.mark.parametrize("query", CHANGING)
def test_a_query_changes_no_setting_with_which_it_could_reach_a_file(tmp_path, monkeypatch, query):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="configuration has been locked"):
        query_results(query, [(tmp_path, flat_row(make_result()))])
    assert os.listdir(tmp_path) == []


def test_a_query_does_not_see_the_variables_of_the_environment(tmp_path):
    with pytest.raises(ConfigError, match="getenv"):
        query_results("SELECT getenv('HOME')", [(tmp_path, flat_row(make_result()))])


def test_a_query_that_may_write_writes_the_file_that_it_names_and_loads_no_extension(tmp_path):
    out = tmp_path / "out.csv"
    rows = [(tmp_path, flat_row(make_result()))]
    copy = f"COPY (SELECT total_tokens FROM results) TO '{out}'"  # noqa: S608 - the test's own path
    query_results(copy, rows, allow_write=True)
    assert out.read_text() == "total_tokens\n1000\n"
    assert query_results(f"FROM '{out}'", rows, allow_write=True)[1] == [(1000,)]
    with pytest.raises(ConfigError, match="locked"):
        query_results("SET autoload_known_extensions = true", rows, allow_write=True)


@pytest.mark.parametrize("query", ["", " ", ";", "/* nothing */", "-- nothing"])
def test_an_empty_query_is_told_before_the_results_are_read(query):
    with pytest.raises(ConfigError, match="sql: the query is empty"):
        query_results(query, iter(lambda: pytest.fail("read"), None))


@pytest.mark.parametrize(
    "query",
    [
        "CALL enable_logging(storage='file', storage_path='log'); SELECT 1",
        "FROM system.main.\"Enable_Logging\"(storage='stdout')",
        "FROM query('FROM enable_lo' || 'gging()')",
        "FROM query('FROM ' || reverse('(gniggol_elbane') || 'storage=''stdout'')')",
    ],
)
@pytest.mark.parametrize("allow_write", [False, True])
def test_a_query_starts_no_log_of_the_database(tmp_path, monkeypatch, capfd, query, allow_write):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"enable_?logging|starts no log"):
        query_results(query, [(tmp_path, flat_row(make_result()))], allow_write=allow_write)
    assert (os.listdir(tmp_path), capfd.readouterr().out) == ([], "")


@pytest.mark.parametrize("place", ["a/result.json", "a/timeseries.parquet", "link", "pipe", "a", "."])
def test_a_query_that_may_write_harms_no_result_and_opens_no_pipe(folders, tmp_path, place):
    folder = folders[0][0].rename(tmp_path / "a")
    (tmp_path / "link").symlink_to(folder / "result.json")
    os.mkfifo(tmp_path / "pipe")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for query in WRITING:
        with pytest.raises(ConfigError, match=r"saved result|holds results|named pipe"):
            query_results(query.format(tmp_path / place), folders[1:], allow_write=True, source=tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_file_whose_name_is_worked_out_is_not_written(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="write the name of the file in single quotes"):
        query_results("COPY results TO ('a' || '/result.json')", folders, allow_write=True)


def test_the_command_writes_only_with_its_flag(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_result().save(tmp_path / "results")
    words = ["results", "sql", "COPY results TO 'out.csv'"]
    refused, done = CliRunner().invoke(app, words), CliRunner().invoke(app, [*words, "--allow-write"])
    assert (refused.exit_code, "--allow-write" in refused.output, done.exit_code) == (2, True, 0)
    assert (tmp_path / "out.csv").is_file()


def test_columns_of_one_name_are_all_in_the_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_result().save(tmp_path / "results")
    ended = CliRunner().invoke(app, ["results", "sql", "--json", "SELECT 1 AS a, 2 AS a, 3 AS a_1"])
    assert json.loads(ended.stdout) == [{"a": 1, "a_1": 2, "a_1_1": 3}]


def test_a_column_with_dots_without_quotes_is_refused_with_the_quotes_it_needs(folders):
    for query in ("SELECT 1 FROM results WHERE config.batch_size = 8", 'SELECT "a", config.batch_size FROM results'):
        with pytest.raises(ConfigError, match=r'stands in double quotes: "config\.batch_size"$'):
            query_results(query, folders)
    with pytest.raises(ConfigError) as refused:
        query_results("SELECT nothing FROM results", folders)
    assert "double quotes" not in str(refused.value)
