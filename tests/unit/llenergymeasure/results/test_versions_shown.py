"""Commands tell of files of other schema versions: one file with its fields, many by a line a version."""

import json
import warnings

import pytest
from hostile_folders import llem

from llenergymeasure import load_results, results_table
from llenergymeasure.domain.experiment import ExperimentResult

RERUN = "To rerun with updated schema: llem run experiment.yaml"
OLD, NEW = [f"old_{number}" for number in range(9)], ["new_0", "new_1"]


@pytest.fixture
def folder(golden_result, tmp_path):
    """Nine results of an older version, two of a newer one, one of this one, one with the first version's number."""
    for name in (*OLD, *NEW, "same", "first"):
        document = golden_result | {"experiment_id": name, "schema_version": "1.0"}
        if name in NEW:
            document |= {"schema_version": "3.1", "of_the_future": 1}
        elif name in ("same", "first"):
            document["schema_version"] = {"same": "2.0", "first": "2.0.0"}[name]
        else:
            del document["total_flops"], document["backend"]
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(document))
    return tmp_path


@pytest.fixture
def golden_result(pytestconfig):
    document = json.loads((pytestconfig.rootpath / "tests/golden/2.0_with_kind/result.json").read_text())
    del document["integrity"], document["timeseries"]
    return json.loads(ExperimentResult.model_validate_json(json.dumps(document)).to_json())


def lines_of_versions(folder):
    return [
        f'Warning: 2 result files with schema_version="3.1", the first {folder}/new_0/result.json; current schema is '
        '"2.0": up to 1 are kept but not understood. Upgrade labledger.',
        f'Warning: 9 result files with schema_version="1.0", the first {folder}/old_0/result.json; current schema is '
        f'"2.0": up to 2 fields are None. {RERUN}',
    ]


def warned(shown):
    return [line for line in shown.splitlines() if "arning: " in line]


@pytest.mark.parametrize(
    "command",
    [
        ["list", "{}"],
        ["export", "{}", "-o", "{}/all.csv"],
        ["compare", "{}", "{}/same"],
        ["compare", "--by", "config", "--dir", "{}"],
        ["compare", "{}/same", "{}/new_0", "{}/new_1", *(f"{{}}/{name}" for name in OLD)],
    ],
    ids=" ".join,
)
def test_many_files_of_other_versions_are_one_line_for_each_version(folder, command):
    _, shown = llem("results", *(word.format(folder) for word in command))
    assert warned(shown) == lines_of_versions(folder)
    assert "error: Warning" not in shown


def test_one_file_is_told_with_its_name_and_its_fields_and_once(folder):
    _, shown = llem("results", "show", folder / "old_3")
    assert (
        'Warning: Result file schema_version="1.0"; current schema is "2.0".\n'
        f"  File: {folder}/old_3/result.json\n"
        "  Missing fields: [backend], [total_flops] → None\n"
        f"  {RERUN}\n"
    ) in shown
    assert len(warned(shown)) == 1


def test_a_result_that_is_found_by_its_id_is_told_of_alone(folder):
    _, shown = llem("results", "show", "new_1", "--dir", folder)
    assert warned(shown) == ['Warning: Result file schema_version="3.1"; current schema is "2.0".']
    assert f"File: {folder}/new_1/result.json" in shown
    assert warned(llem("results", "show", "first", "--dir", folder)[1]) == []


@pytest.mark.parametrize("read", [load_results, results_table])
def test_python_is_warned_once_for_each_version(folder, read):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(read(folder)) == 13
    assert [str(each.message) for each in caught] == lines_of_versions(folder)
    assert {each.filename for each in caught} == {__file__}
