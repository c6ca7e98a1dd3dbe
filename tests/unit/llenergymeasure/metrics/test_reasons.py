"""The reasons why figures of a run are null, in its result, its raw result and its warnings."""

import pytest
from measurements import gpu_energy, make_part, measurement, merged, model_facts
from tiny import tiny_config

from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.metrics.advice import size_warnings
from llenergymeasure.metrics.summary import summarise

CHECKED = tiny_config(energy={"source": "auto", "cross_check": "zeus"})
BY_ZEUS = DeviceEnergy(device="GPU-0", kind="gpu", source="zeus", energy_j=59.0)
ELSEWHERE = "the server is on another machine (192.0.2.7): nothing here can meter it"
ON_THE_CPU = "Zeus reads GPUs, and the model ran on the CPU"
NOT_READ = "Zeus did not read every GPU of the run throughout"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"energy": {"not_used": {"zeus": ELSEWHERE}}}, ELSEWHERE),
        ({"energy": {"check": [BY_ZEUS]}}, ON_THE_CPU),
        ({"on": "cuda:0", "model": model_facts(0), "devices": [gpu_energy(0, 60.0)]}, NOT_READ),
    ],
    ids=["the server is elsewhere", "on the CPU", "it has read nothing"],
)
def test_a_cross_check_that_was_asked_for_and_is_not_there_is_told(fields, reason):
    result = summarise(measurement(config=CHECKED, **fields))
    assert result.zeus_energy_j is None
    assert result.not_known["zeus_energy_j"] == result.process_results[0].not_known["zeus_energy_j"] == reason
    assert f"energy.cross_check: {reason}: there is no cross-check." in result.measurement_warnings


def test_a_cross_check_that_is_there_or_was_not_asked_for_has_no_reason():
    on_a_gpu = {"model": model_facts(0), "devices": [gpu_energy(0, 60.0)]}
    there = summarise(measurement(config=CHECKED, energy={"check": [BY_ZEUS]}, **on_a_gpu))
    not_asked = summarise(measurement(**on_a_gpu))
    assert there.zeus_energy_j == 59.0
    for result in (there, not_asked, summarise(measurement(config=CHECKED, metered_by=0, **on_a_gpu))):
        assert "zeus_energy_j" not in result.not_known
        assert not [text for text in result.measurement_warnings if "cross_check" in text]


def test_the_reasons_of_several_processes_are_together():
    reasons = ({"peak_memory_mb": "no mark"}, {"peak_memory_mb": "no mark", "model_memory_mb": "not told"})
    both = merged(*(make_part(index, not_known=each) for index, each in enumerate(reasons)))
    assert both.not_known.items() >= {"peak_memory_mb": "no mark", "model_memory_mb": "not told"}.items()


@pytest.mark.parametrize(("duration_s", "shown"), [(0.0129, "0.013 s"), (2.41, "2.4 s"), (0.00002, "2e-05 s")])
def test_a_window_that_is_short_is_not_told_as_one_of_no_seconds(duration_s, shown):
    assert next(size_warnings(duration_s, 99)).startswith(f"The window is {shown}, under 60 s")
