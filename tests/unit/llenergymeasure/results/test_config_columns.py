"""The fields of configurations as columns of every table: what is not default, and what differs."""

import csv
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labledger.commands import run_program
from llenergymeasure import load_results, results_table
from llenergymeasure.cli.main import app
from llenergymeasure.results.config_columns import MAX_COLUMNS, config_values
from llenergymeasure.results.flat import arrow_table, columns, flat_row
from small_result import make_result

BASE = {"model": "gpt2", "backend": "pytorch", "max_output_tokens": 128}
SAMPLED = {**BASE, "decoder": {"do_sample": True, "top_k": 50}, "passthrough_kwargs": {"note": "a", "Extra": 1}}
SERVED = {
    "model": "gpt2", "backend": "openai", "load": {"concurrency": 8}, "num_prompts": 8,
    "launch": {"preset": "vllm", "flags": {"max-num-seqs": 64, "a.b": [1, 2]}},
}  # fmt: skip
CONFIGS = {"plain": BASE, "sampled": SAMPLED, "served": SERVED}


@pytest.fixture
def folder(tmp_path):
    """Three results of three configurations in a study's folder, which is in `results`."""
    for name, config in CONFIGS.items():
        make_result(experiment_id=name, effective_config=config).save(tmp_path / "results" / "study")
    return tmp_path / "results"


@pytest.fixture
def llem(monkeypatch, capsys):
    """Return a function that runs `llem results`, and returns its exit code, stdout and stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["llem", "results", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            run_program(app)
        return (ended.value.code, *capsys.readouterr())

    return run


def by_id(rows):
    return {row["experiment_id"]: row for row in rows}


def table_of(*configs):
    return arrow_table(flat_row(make_result(effective_config=config)) for config in configs)


def test_a_table_has_a_column_for_each_field_that_is_not_default_somewhere(folder):
    table = results_table(folder, recursive=True)
    further = {field.name: field.type for field in table.schema if field.name not in columns()}
    assert further == {
        "config.model": pa.string(),
        "config.backend": pa.string(),
        "config.num_prompts": pa.int64(),
        "config.decoder.do_sample": pa.bool_(),
        "config.decoder.top_k": pa.int64(),
        "config.launch.preset": pa.string(),
        'config.launch.flags["a.b"]': pa.string(),
        "config.launch.flags.max-num-seqs": pa.int64(),
        "config.load.concurrency": pa.int64(),
        "config.passthrough_kwargs.Extra": pa.int64(),
        "config.passthrough_kwargs.note": pa.string(),
    }
    rows = by_id(table.to_pylist())
    assert [rows[name]["config.num_prompts"] for name in CONFIGS] == [100, 100, 8]
    assert [rows[name]["config.decoder.do_sample"] for name in CONFIGS] == [False, True, False]
    assert [rows[name]["config.decoder.top_k"] for name in CONFIGS] == [None, 50, None]  # greedy has none
    assert [rows[name]["config.load.concurrency"] for name in CONFIGS] == [None, None, 8]
    assert rows["served"]['config.launch.flags["a.b"]'] == "[1, 2]"


def test_results_of_default_fields_alone_have_the_model_for_a_further_column(folder):
    assert [name for name in table_of(BASE, BASE).column_names if name not in columns()] == ["config.model"]


def test_an_object_whose_keys_differ_by_case_only_is_one_json_text(llem, tmp_path):
    config = BASE | {"passthrough_kwargs": {"A": 1, "a": 2, "b": {"C": 3}}}
    make_result(experiment_id="x", effective_config=config).save(tmp_path)
    code, out, _ = llem("sql", 'SELECT "config.passthrough_kwargs" AS asked FROM results', "--dir", tmp_path, "--json")
    assert code == 0
    assert json.loads(json.loads(out)[0]["asked"]) == config["passthrough_kwargs"]


def test_sql_says_which_name_a_column_has_that_differs_by_case_only_from_another(llem, tmp_path):
    for number, key in enumerate("Aa"):
        config = BASE | {"passthrough_kwargs": {key: number}}
        make_result(experiment_id=key, effective_config=config).save(tmp_path)
    query = """SELECT "config.passthrough_kwargs.a_1" AS asked FROM results WHERE experiment_id = 'a'"""
    code, out, err = llem("sql", query, "--dir", tmp_path, "--json")
    assert (code, json.loads(out)) == (0, [{"asked": 1}])
    assert '"config.passthrough_kwargs.a" is "config.passthrough_kwargs.a_1" here: another column differs' in err


def test_values_of_several_types_are_text_and_whole_numbers_among_others_stay_numbers():
    flags = [{"a": 1, "b": True, "c": 2}, {"a": "x", "b": 1, "c": 0.5}]
    table = table_of(*({**SERVED, "launch": {"preset": "vllm", "flags": each}} for each in flags))
    found = {name: table.column(f"config.launch.flags.{name}").to_pylist() for name in "abc"}
    assert found == {"a": ["1", "x"], "b": ["true", "1"], "c": [2.0, 0.5]}


def test_every_way_out_has_the_columns(folder, llem, tmp_path):
    wanted = by_id(results_table(folder, recursive=True).to_pylist())
    for kind in ("csv", "json", "parquet"):
        path = tmp_path / f"all.{kind}"
        assert llem("export", folder, "-r", "-o", path, "--where", "config.num_prompts > 8")[0] == 0
        if kind == "csv":
            with path.open(newline="") as file:
                rows = by_id(csv.DictReader(file))
            assert rows["sampled"]["config.decoder.do_sample"] == "true"
            assert rows["plain"]["config.decoder.top_k"] == ""
        else:
            rows = by_id(json.loads(path.read_text()) if kind == "json" else pq.read_table(path).to_pylist())
            assert rows["sampled"]["config.decoder.top_k"] == wanted["sampled"]["config.decoder.top_k"] == 50
        assert list(rows) == ["plain", "sampled"]
    code, out, _ = llem("list", folder, "-r", "--json", "--sort", "-config.decoder.top_k")
    assert (code, by_id(json.loads(out))) == (0, wanted)


def test_sql_takes_a_field_in_quotes(folder, llem):
    pytest.importorskip("duckdb")
    query = 'select experiment_id from results where "config.decoder.top_k" = 50 and "config.decoder.do_sample"'
    assert json.loads(llem("sql", query, "--dir", folder, "-r", "--json")[1]) == [{"experiment_id": "sampled"}]
    assert llem("sql", "select * from results", "--dir", folder, "-r")[0] == 0


def test_list_shows_what_differs_and_show_what_is_not_default(folder, llem):
    code, out, err = llem("list", folder / "study", "--where", "experiment_id != served")
    heads = out.splitlines()[0].split()
    assert (code, err) == (0, "")
    assert heads[-4:] == ["decoder.do_sample", "decoder.top_k", "passthrough_kwargs.Extra", "passthrough_kwargs.note"]
    assert (
        llem("list", folder / "study", "--where", "config.decoder.top_k = 50")[1].splitlines()[0].split()[-1] == "when"
    )
    code, out, err = llem("list", folder / "study")
    assert "they differ also in passthrough_kwargs.Extra, passthrough_kwargs.note; --json" in err
    shown = " ".join(llem("show", "sampled", "--dir", folder / "study")[1].split())
    assert " settings decoder.do_sample true, decoder.top_k 50, passthrough_kwargs" in shown
    assert "settings" not in llem("show", "plain", "--dir", folder / "study")[1]


def test_results_further_down_are_loaded_where_that_is_asked_for(folder):
    assert load_results(folder) == []
    assert len(load_results(folder, recursive=True)) == len(load_results(folder / "study")) == 3
    assert results_table(folder).num_rows == 0


HOSTILE = {
    "ten thousand keys": {**BASE, "passthrough_kwargs": {f"key {n}": n for n in range(10_000)}},
    "odd keys": {**BASE, "passthrough_kwargs": {"a.b": 1, "\x1b[2J\n": 2, "[0]": 3, "": 4, '"': 5, "k" * 9_999: 6}},
    "odd values": {**BASE, "passthrough_kwargs": {"long": "x" * 99_999, "huge": 10**40, "none": None, "\u2028": "\r"}},
    "of another version": {"model": {"name": "gpt2"}, "backend": "warp", "warp": {"factor": 9, "x": [{"y": 1}]}},
    "deep": {**BASE, "passthrough_kwargs": {"a": json.loads('{"a":' * 80 + "1" + "}" * 80)}},
    "wide": {**BASE, "passthrough_kwargs": {a: {b: {str(c): 1 for c in range(99)} for b in "1234567"} for a in "ab"}},
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_configuration_is_a_row_like_any_other(tmp_path, llem, name):
    pytest.importorskip("duckdb")
    for config in (BASE, HOSTILE[name]):
        make_result(effective_config=config).save(tmp_path)
    values = config_values(HOSTILE[name])
    assert len(values.changes) < 700
    assert all(len(column) < 10_000 and column.isprintable() for column in values.changes)
    assert all(len(each) <= 1_000 for each in values.changes.values() if isinstance(each, str))
    for command in (
        ("list", tmp_path),
        ("sql", "select * from results", "--dir", tmp_path),
        ("list", tmp_path, "--json"),
    ):
        code, out, err = llem(*command)
        assert code == 0
        assert (out + err).replace("\n", "").isprintable()
        assert len(out) < 1_000_000


def test_texts_that_are_cut_stay_apart():
    one, other = (config_values({"model": "x" * 5_000 + end}).changes["config.model"] for end in "ab")
    assert one != other


def test_of_more_columns_than_a_table_has_room_for_the_last_are_left_out_with_a_warning():
    with pytest.warns(UserWarning, match="of 301 columns of configurations are left out"):
        table = table_of(*({**BASE, "passthrough_kwargs": {f"{n}-{k}": 1 for k in range(100)}} for n in range(3)))
    assert table.num_columns == len(columns()) + MAX_COLUMNS
