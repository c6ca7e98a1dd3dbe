"""Files of a run in `.state/` have a kind; those from before there were kinds are recovered too."""

import json
import re

import pytest
from measurements import make_part

from llenergymeasure.results import recovery
from llenergymeasure.results.aggregation import expect_processes
from llenergymeasure.results.journal import Begun, open_journal
from llenergymeasure.results.parts import save_part
from llenergymeasure.results.persistence import load_result

KINDS = {
    "part_0.json": "llem.result",
    "part_1.json": "llem.result",
    "process_0.json": "llem.raw_result",
    "process_1.json": "llem.raw_result",
    "process_2.jsonl": "llem.journal",
}


@pytest.fixture
def state(tmp_path):
    """The folder of a run of two processes that were killed as they had finished, and the journal of a third."""
    expect_processes("e1", 2, tmp_path)
    parts = [make_part(index, late_s=0.1 * index) for index in range(2)]
    for part in parts:
        save_part(part, [], tmp_path)
    third = parts[0].process_results[0].model_copy(update={"process_index": 2, "requests": None})
    begun = Begun(raw=third, share=1, on_accelerator=False, device_uuids=[], source="none")
    open_journal(tmp_path, begun).close()
    return tmp_path / ".state" / "e1"


def test_every_file_of_a_run_begins_with_its_kind(state):
    found = {path.name: path.read_text().splitlines() for path in state.iterdir() if path.suffix.startswith(".json")}
    assert set(found) == set(KINDS)
    for name, lines in found.items():
        assert re.match(rf'{{\s*"kind": ?"{KINDS[name]}",', "".join(lines))


@pytest.mark.parametrize("are_old", [False, True], ids=["", "from before there was a kind"])
def test_a_run_is_made_a_result_of(state, tmp_path, are_old):
    if are_old:
        for name in KINDS:
            text = (state / name).read_text()
            (state / name).write_text(re.sub(r'"kind": ?"llem\.[a-z_]+",\s*', "", text, count=1))
            assert "llem." not in (state / name).read_text()
    (leftover,) = recovery.find_leftovers(tmp_path)
    assert leftover.complete, leftover.what
    result = load_result(recovery.aggregate(leftover, tmp_path))
    assert (result.experiment_id, len(result.process_results)) == ("e1", 2)
    assert [raw.model_dump().get("kind") for raw in result.process_results] == [None, None]


def test_a_file_of_another_kind_in_the_place_of_a_raw_result_is_named_as_broken(state, tmp_path):
    document = json.loads((state / "process_1.json").read_text())
    (state / "process_1.json").write_text(json.dumps(document | {"kind": "payments.experiment"}))
    (leftover,) = recovery.find_leftovers(tmp_path)
    assert not leftover.complete
    assert "broken: " in leftover.what
    assert "process_1.json: is no llem.raw_result: its kind is payments.experiment" in leftover.what
