"""Sensors that another process of the run reads are left to it, and so is the cross-check by Zeus."""

import pytest
from one_watt import ALL, OWN_S, PROCESSOR, OneWatt, lengths_s
from powercap_trees import tree

from llenergymeasure.config.models import EnergyConfig, UserConfig
from llenergymeasure.energy import sources as energy_sources
from llenergymeasure.energy.sources import choose_meter, find_sources


@pytest.fixture
def sources(gpus, tmp_path):
    """Two GPUs, and a processor whose counters can be read or not."""

    def look(with_rapl=True, **board):
        gpus(*(gpus.board(uuid=f"GPU-{letter}", seconds=1.0, **board) for letter in "ab"))
        if with_rapl:
            tree(tmp_path / "powercap")
        return find_sources(powercap=tmp_path / "powercap")

    return look


@pytest.mark.parametrize(
    ("board", "with_rapl", "source", "others", "remains", "kinds", "left"),
    [
        ({}, True, "auto", PROCESSOR, "nvml_counter", {"gpu"}, PROCESSOR),
        ({}, True, "auto", ALL, "none", set(), ALL),
        ({}, True, "auto", {"gpu"}, "rapl", PROCESSOR, {"gpu"}),
        ({}, True, "auto", (), "nvml_counter", ALL, ()),
        ({}, False, "auto", PROCESSOR, "nvml_counter", {"gpu"}, ()),
        ({}, False, "auto", ALL, "estimate", set(), {"gpu"}),
        ({"no_counter": True}, True, "auto", ALL, "none", set(), ALL),
        ({}, True, "rapl", PROCESSOR, "none", set(), PROCESSOR),
        ({}, True, "estimate", ALL, "estimate", set(), ()),
        ({}, True, "nvml_power", PROCESSOR, "nvml_power", {"gpu"}, ()),
        ({}, True, "none", ALL, "none", set(), ()),
    ],
)
def test_sensors_that_another_process_reads_are_left_to_it(
    sources, board, with_rapl, source, others, remains, kinds, left
):
    found = sources(with_rapl=with_rapl, **board)
    choice = choose_meter(EnergyConfig(source=source), UserConfig(), found, others_meter=frozenset(others))
    assert (choice.meter.source, choice.meter.measured_kinds, choice.delegated_kinds) == (remains, kinds, set(left))


def test_what_is_left_to_another_process_is_not_said_to_be_unused(sources):
    found = sources()
    alone = choose_meter(EnergyConfig(), UserConfig(), found)
    beside = choose_meter(EnergyConfig(), UserConfig(), found, others_meter=ALL)
    assert set(alone.not_used) == {"nvml_power", "estimate", "zeus"}
    assert beside.not_used == alone.not_used


@pytest.fixture
def checked(sources, monkeypatch):
    """The meter of a process that asks for Zeus beside what others do not meter."""
    monkeypatch.setattr(energy_sources, "Zeus", lambda *_: OneWatt("GPU-0", source="zeus"))
    monkeypatch.setattr(energy_sources, "find_spec", lambda _: True)

    def choose(others, **look):
        config = EnergyConfig(cross_check="zeus")
        return choose_meter(config, UserConfig(), sources(**look), others_meter=frozenset(others)).meter

    return choose


def test_a_gpu_that_another_process_meters_is_not_read_by_zeus_here(checked):
    assert checked(ALL).cross_check(*OWN_S) == []
    assert checked(ALL, with_rapl=False).cross_check(*OWN_S) == []


def test_a_gpu_that_another_process_meters_beside_a_processor_of_ones_own_is_not_read_by_zeus_here(checked):
    assert checked({"gpu"}).cross_check(*OWN_S) == []
    assert checked({"gpu"}).measured_kinds == PROCESSOR


def test_a_gpu_of_ones_own_is_read_by_zeus_too(checked):
    assert lengths_s(checked(PROCESSOR, with_rapl=False).cross_check(*OWN_S)) == {"GPU-0": 2.0}


def test_a_gpu_of_ones_own_is_read_by_zeus_beside_a_processor_that_another_process_meters(checked):
    assert lengths_s(checked(PROCESSOR).cross_check(*OWN_S)) == {"GPU-0": 2.0}
