"""The file that holds what an experiment found: how it is written, what is read back, and what is said of it."""

import json
import re
import warnings
from pathlib import Path

import pytest
from pydantic import ValidationError

from labledger.documents import OtherKindError
from labledger.errors import UnreadableFileError
from labledger.schema_versions import SchemaVersionWarning
from payment_simulator.experiments.runner import ExperimentResult

GOLDEN = Path(__file__).parents[3] / "golden"
POLICY = {"type": "Fifo", "parameters": {"initial_liquidity_fraction": 0.25}}


NEWER = (
    "unlike_draws",
    "refused_proposals",
    "first_refusal",
    "final_nash_gap_kind",
    "final_nash_gap_values",
    "resting_points",
    "one_day",
)
"""Fields that files of the first release do not have."""


def made(**changes):
    fields = {
        "experiment_id": "game-20261130-120000-0a1b2c",
        "experiment_name": "game",
        "converged": True,
        "convergence_reason": "stability",
        "num_iterations": 5,
        "final_costs": 2**40,
        "final_costs_by_agent": {"A": 2**40, "BÄNK/b": 0},
        "final_policies": {"A": POLICY, "BÄNK/b": {"version": "1", "payment_tree": {"action": "Hold"}}},
        "final_nash_gap": 3,
        "final_nash_gap_half_width": None,
        "total_duration_seconds": 1.25,
        "config": {"name": "game", "llm": None, "master_seed": 42},
    }
    return ExperimentResult(**(fields | changes))


def rewritten(path, **changes):
    """The document at `path` with some values changed, and those that are ... left out; without a seal."""
    document = json.loads(path.read_text()) | {"integrity": ...} | changes
    path.write_text(json.dumps({name: value for name, value in document.items() if value is not ...}))
    return path


def loaded_in_silence(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ExperimentResult.from_json(path)


@pytest.fixture
def saved(tmp_path):
    return made().save(tmp_path)


def test_what_is_saved_is_loaded_without_a_word_and_equal(saved):
    assert loaded_in_silence(saved) == made(result_file=saved)
    assert re.fullmatch(r"game_\d{4}-\d\d-\d\dT\d\d-\d\d", saved.parent.name)


def test_the_file_has_its_kind_first_and_its_seal_last(saved):
    document = json.loads(saved.read_text())
    names = list(document)
    assert (names[:2], document["kind"]) == (["kind", "schema_version"], "payments.experiment")
    assert names[-1] == "integrity"
    assert "result_file" not in names
    assert json.loads(made().to_json()) == {name: document[name] for name in names[:-1]}


@pytest.mark.parametrize("name", ["payments_1.0", "payments_1.0_without_kind"])
def test_files_of_1_0_load_without_a_word_and_keep_every_value(name):
    path = GOLDEN / name / "result.json"
    result = loaded_in_silence(path)
    assert (result.schema_version, result.final_costs, result.final_costs_by_agent) == (
        "1.0",
        2000,
        {"BANK_B": 2000, "BANK_A": 0},
    )
    assert (result.converged, result.final_nash_gap, result.config["master_seed"]) == (True, 0, 42)
    document = json.loads(path.read_text())
    document.pop("integrity", None)
    assert json.loads(result.to_json()) == {"kind": "payments.experiment"} | document | dict.fromkeys(NEWER)


def test_the_text_of_a_saved_file_is_read_by_pydantics_own_method_too(saved):
    assert ExperimentResult.model_validate_json(saved.read_text()) == ExperimentResult.from_json(saved).model_copy(
        update={"result_file": None}
    )
    with pytest.raises(ValidationError, match=r"its kind is llem\.result, which `llem results show` reads"):
        ExperimentResult.model_validate_json((GOLDEN / "2.0_with_kind" / "result.json").read_text())


def test_a_byte_that_was_changed_is_warned_of(saved):
    saved.write_bytes(saved.read_bytes().replace(b"1.25", b"1.26"))
    with pytest.warns(UserWarning, match=r"result\.json was changed after it was saved"):
        assert ExperimentResult.from_json(saved).total_duration_seconds == 1.26


def test_a_file_of_a_newer_version_keeps_what_is_not_understood(saved):
    with pytest.warns(SchemaVersionWarning) as caught:
        result = ExperimentResult.from_json(rewritten(saved, schema_version="2.0", converged=..., joules=3))
    assert str(caught[0].message) == (
        'Warning: Result file schema_version="2.0"; current schema is "1.0".\n'
        f"  File: {saved}\n"
        "  Missing fields: [converged] → None\n"
        "  Kept but not understood: [joules]. Upgrade labledger."
    )
    assert result.converged is None
    assert json.loads(result.to_json())["joules"] == 3


def test_the_error_for_a_file_of_another_kind_names_the_command_that_reads_it(saved):
    with pytest.raises(OtherKindError, match=r"its kind is llem\.result, which `llem results show` reads"):
        ExperimentResult.from_json(GOLDEN / "2.0_with_kind" / "result.json")
    with pytest.raises(OtherKindError, match="names no kind"):
        ExperimentResult.from_json(GOLDEN / "2.0" / "result.json")


def test_a_file_that_is_cut_or_has_a_wrong_value_is_an_error_with_its_place(saved):
    with pytest.raises(UnreadableFileError, match=r"result\.json: final_costs: "):
        ExperimentResult.from_json(rewritten(saved, final_costs="many"))
    saved.write_bytes(saved.read_bytes()[:100])
    with pytest.raises(UnreadableFileError, match=r"result\.json: not JSON: .* line \d+ column \d+"):
        ExperimentResult.from_json(saved)


def test_a_result_is_strict_when_it_is_built():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        made(final_cost=3)
    with pytest.raises(ValidationError, match="final_costs"):
        made(final_costs=None)
    with pytest.raises(ValidationError, match="frozen"):
        made().final_costs = 3


@pytest.mark.parametrize("name", ["../../away", "/etc/away", "..", ".hidden", "a\\b\n"])
def test_a_name_in_a_file_leads_nowhere_else(saved, tmp_path, name):
    foreign = ExperimentResult.from_json(rewritten(saved, experiment_name=name))
    path = foreign.save(tmp_path / "here")
    assert path.parent.parent == tmp_path / "here"
    assert not path.parent.name.startswith(".")
    assert {each.name for each in tmp_path.iterdir()} == {"here", saved.parent.name}


def test_a_save_that_fails_leaves_no_folder(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr("payment_simulator.experiments.result.write_durably", full)
    with pytest.raises(OSError, match="No space left"):
        made().save(tmp_path / "new")
    assert list(tmp_path.rglob("result.json")) == []
    assert [each for each in tmp_path.rglob("*") if each.name.startswith("game")] == []


def test_a_policy_as_deep_as_trees_may_be_is_no_reason_to_lose_a_result(tmp_path):
    deep = {"condition": {"op": "=="}}
    for _ in range(100):
        deep = {"op": "and", "conditions": [deep]}
    assert made(final_policies={"A": deep}).save(tmp_path).stat().st_size > 1000
