"""The rank of a process among those that torchrun has started."""

import itertools

import pytest
from run_processes import SECOND_OF_THREE

from llenergymeasure.config.ranks import Rank, is_first_process, this_rank
from llenergymeasure.errors import ConfigError


def subsets(names):
    return itertools.chain.from_iterable(itertools.combinations(names, count) for count in range(len(names)))


def test_a_process_is_one_of_several_only_where_all_of_torchruns_variables_say_so():
    assert this_rank(SECOND_OF_THREE) == Rank(index=1, size=3)
    for present in subsets(SECOND_OF_THREE):
        assert this_rank({name: SECOND_OF_THREE[name] for name in present}) is None


def test_a_process_that_torchrun_started_alone_is_alone():
    assert this_rank(SECOND_OF_THREE | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}) is None


def test_processes_on_several_machines_are_refused_with_what_to_do():
    with pytest.raises(ConfigError, match=r"6 processes, 3 of them on this machine.*--nnodes 1"):
        this_rank(SECOND_OF_THREE | {"WORLD_SIZE": "6"})


@pytest.mark.parametrize(
    ("changes", "is_first"), [({}, False), ({"RANK": "0"}, True), ({"WORLD_SIZE": "1"}, True), (None, True)]
)
def test_the_first_process_and_one_alone_speak_for_the_run(monkeypatch, changes, is_first):
    for name, value in SECOND_OF_THREE.items():
        monkeypatch.setenv(name, value)
    if changes is None:
        monkeypatch.delenv("RANK")
    for name, value in (changes or {}).items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == is_first
