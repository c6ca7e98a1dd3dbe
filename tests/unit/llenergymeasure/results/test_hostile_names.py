"""Names that try to leave the output directory, or that no folder can have."""

import re

import pytest

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.catalog import result_files
from llenergymeasure.results.persistence import save_raw_result
from small_result import make_raw_result, make_result

HOSTILE = {
    "upwards": "../../x",
    "upwards on Windows": r"..\..\x",
    "300 characters": "x" * 300,
    "300 characters of three bytes": "模" * 300,
    "no name on Windows": ":*\\",
    "a device on Windows": "CON",
    "emoji": "🦙🔥",
    "empty": "",
    "this folder": ".",
    "the folder above": "..",
    "dots": ".....",
    "hidden": ".state",
    "NUL": "a\0b",
    "only NUL": "\0",
    "lines": "a\nb\r\n",
    "an option": "-rf",
    "a terminal's commands": "\x1b[2J",
    "written from right to left": "\u202egpt2",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_result_of_a_hostile_name_is_found_in_one_safe_folder_inside_the_output_directory(tmp_path, name):
    output = tmp_path / "results"
    result = make_result(experiment_id=name, effective_config={"model": name}, backend=name)
    path = result.save(output)
    assert set(tmp_path.rglob("*")) == {output, path.parent, path}
    assert path.parent.parent == output
    assert re.fullmatch(r"[a-z0-9_][a-zT0-9._-]{,254}", path.parent.name)
    assert list(result_files(output)) == [path]
    assert ExperimentResult.from_json(path) == result


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_process_of_an_experiment_of_a_hostile_name_keeps_its_file_in_the_state_folder(tmp_path, name):
    output = tmp_path / "results"
    path = save_raw_result(make_raw_result(name), output)
    state = output / ".state"
    assert set(tmp_path.rglob("*")) == {output, state, path.parent, path}
    assert path.parent.parent == state
