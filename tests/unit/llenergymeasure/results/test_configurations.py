"""Results that are grouped by their configuration itself. The stored ten are never written anew."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure import ExperimentConfig, ExperimentResult
from llenergymeasure.results.configurations import by_configuration, configuration_key
from properties import examples
from small_result import make_result

GOLDEN = Path(__file__).parents[3] / "golden"
STORED = json.loads((GOLDEN / "configurations.json").read_text(encoding="utf-8"))
EACH_STORED = pytest.mark.parametrize("stored", STORED, ids=lambda stored: stored["measurement_config_hash"])


def of_stored(stored, effective=None):
    """A result of a configuration, with the hash that it had when it was stored."""
    return make_result(
        effective_config=effective or stored["effective_config"],
        measurement_config_hash=stored["measurement_config_hash"],
    )


def of_today(stored, **changes):
    """A result of the same YAML as this version runs it, with another hash."""
    config = ExperimentConfig.model_validate(stored["written"])
    energy = config.energy.model_copy(update={"source": stored["energy_source"]}).in_effect()
    effective = {**config.in_effect(), "device": stored["device"], "energy": energy, **changes}
    return make_result(effective_config=effective, measurement_config_hash="0" * 16)


def test_ten_stored_configurations_group_with_their_equals_of_this_version_and_with_no_other():
    results = [result for stored in STORED for result in (of_stored(stored), of_today(stored))]
    groups = by_configuration(reversed(results))
    assert len(STORED) == len({stored["measurement_config_hash"] for stored in STORED}) == 10
    assert list(groups.values()) == [results[2 * n : 2 * n + 2][::-1] for n in reversed(range(10))]


def without_each_key(document, written, path=()):
    """Yield the path and the document without it, for each key at any depth that nobody wrote into the YAML."""
    for key, value in document.items():
        below = written.get(key) if isinstance(written, dict) else None
        if below is None:
            yield (*path, key), {name: each for name, each in document.items() if name != key}
        if isinstance(value, dict) and key != "dataset":
            inner = without_each_key(value, {} if below is None else below, (*path, key))
            yield from ((where, {**document, key: less}) for where, less in inner)


@EACH_STORED
def test_a_key_that_came_after_a_result_was_saved_is_its_default_there(stored):
    taken = {("device",), ("energy",), ("energy", "source")}  # the run's own
    if isinstance(stored["written"].get("launch"), list):
        taken.add(("launch", "command"))  # written as the list alone
    older = {
        path: configuration_key(of_stored(stored, less))
        for path, less in without_each_key(stored["effective_config"], stored["written"])
        if path not in taken
    }
    assert len(older) > 10
    assert [path for path, key in older.items() if key != configuration_key(of_stored(stored))] == []


def test_a_result_of_an_older_version_groups_with_the_same_configuration_of_this_one():
    older, also = (ExperimentResult.from_json(GOLDEN / name / "result.json") for name in ("2.0", "2.0_with_kind"))
    assert "data_parallel" not in older.effective_config["pytorch"]
    now = {**older.effective_config, "pytorch": {**older.effective_config["pytorch"], "data_parallel": 1}}
    today = make_result(effective_config=now, measurement_config_hash="0" * 16)
    assert configuration_key(older) == configuration_key(also) == configuration_key(today)


@EACH_STORED
@pytest.mark.parametrize("changed", [{"random_seed": 43}, {"num_prompts": 99}, {"device": "other"}], ids=str)
def test_another_value_of_a_setting_is_another_configuration(stored, changed):
    assert configuration_key(of_today(stored, **changed)) != configuration_key(of_stored(stored))


def test_a_configuration_with_a_key_of_a_newer_version_groups_with_itself_alone():
    newer = copy.deepcopy(STORED[0]["effective_config"])
    newer["decoder"]["speculation"] = 3
    one, same = (of_stored(STORED[0], newer) for _ in range(2))
    assert configuration_key(one) == configuration_key(same) != configuration_key(of_stored(STORED[0]))


def test_configurations_stand_in_the_order_of_their_first_runs_and_those_of_unknown_times_last():
    day = datetime(2026, 11, 30)
    starts = {"d": None, "c": datetime(2026, 11, 30, 2, tzinfo=UTC), "b": datetime(2026, 11, 30, 1), "a": day}
    results = [
        make_result(effective_config={"model": name}).model_copy(update={"start_time": start})
        for name, start in starts.items()
    ]
    ordered = by_configuration([*results, results[3]]).values()
    assert [[result.effective_config["model"] for result in group] for group in ordered] == [
        ["a", "a"],
        ["b"],
        ["c"],
        ["d"],
    ]


def test_without_a_configuration_the_hash_counts_and_without_either_each_stands_alone():
    bare = [make_result(effective_config={}, measurement_config_hash=text * 16) for text in "aab"]
    unknown = [
        make_result(experiment_id=name, effective_config={"model": "gpt2"}, measurement_config_hash="unknown")
        for name in ("one", "two")
    ]
    assert [len(group) for group in by_configuration([*bare, *unknown]).values()] == [2, 1, 1, 1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@examples(30)
@given(fields=st.dictionaries(st.sampled_from([*ExperimentConfig.model_fields, "x"]), JSON, max_size=5))
def test_no_configuration_that_a_file_can_hold_is_an_error(fields):
    key = configuration_key(make_result(effective_config=fields))
    assert key == configuration_key(make_result(effective_config=dict(reversed(fields.items()))))
