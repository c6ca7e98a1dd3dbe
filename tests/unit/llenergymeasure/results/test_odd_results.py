"""A result that was saved with an absurd number is named, and stops no other from being listed, queried or exported."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llenergymeasure.cli.main import app
from llenergymeasure.results.catalog import results_table
from llenergymeasure.results.flat import CONFIG_COLUMNS, LOAD_COLUMNS

GOOD = json.loads((Path(__file__).parents[3] / "golden" / "3.0" / "result.json").read_text())
ODD = {"huge": 10**30, "negative": -(10**30), "boolean": True}
CONFIG_FIELDS = [
    *(("effective_config", name) for name in CONFIG_COLUMNS),
    *(("effective_config", "load", name) for name in LOAD_COLUMNS),
]
FIELDS = [*CONFIG_FIELDS, *((name,) for name, value in GOOD.items() if isinstance(value, int | float))]


def odd(value: object, fields: list[tuple[str, ...]]) -> dict:
    found = json.loads(json.dumps(GOOD))
    for location in fields:
        section = found
        for name in location[:-1]:
            section = section.setdefault(name, {})
        section[location[-1]] = value
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two good results, one with every number odd for each way of that, and some with one odd number."""
    folder = tmp_path_factory.mktemp("results")
    documents = {"good_1": GOOD, "good_2": GOOD, "tokens": odd(10**30, [("total_tokens",)])}
    documents |= {"joules": odd(10**30, [("total_energy_j",), ("energy_per_output_token_j",)])}
    documents |= {name: odd(value, FIELDS if name != "boolean" else CONFIG_FIELDS) for name, value in ODD.items()}
    for name, document in documents.items():
        (folder / name).mkdir()
        (folder / name / "result.json").write_text(json.dumps(document))
    return folder


def results(*arguments: str | Path) -> str:
    ended = CliRunner().invoke(app, ["results", *map(str, arguments)])
    assert ended.exit_code == 0, ended.output[-500:]
    return ended.output


def test_every_table_holds_the_good_results_and_names_the_odd_ones(folder, tmp_path):
    assert "good_1" in results("list", folder, "--json")
    for form in ("csv", "json", "parquet"):
        said = results("export", folder, "-f", form, "-o", tmp_path / f"all.{form}")
    assert f"{folder}/huge: total_tokens: 1000000000000" in said.replace("\n", "")
    assert "does not fit into 64 bits" in said
    count = "select count(*) as n, count(total_tokens) as known from results where folder like '%good%'"
    assert '"n": 2,\n    "known": 2' in results("sql", count, "-d", folder, "--json")
    with pytest.warns(UserWarning, match="huge: total_tokens"):
        assert results_table(folder).num_rows >= 4


@pytest.mark.parametrize("name", ["tokens", "joules", "boolean"])
def test_an_odd_result_is_compared_with_a_good_one(folder, name):
    for one, other in ((name, "good_1"), ("good_1", name)):
        results("compare", folder / one, folder / other)
