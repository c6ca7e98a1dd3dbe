"""Windows, temperatures and throttling of several processes, on the clock of the first."""

import pytest
from measurements import LATE_S, merged, two_gpus

from llenergymeasure.domain.figures import (
    ThermalThrottleInfo,
)
from llenergymeasure.domain.power import DeviceWatch
from llenergymeasure.metrics.steady_state import Window


def steady(late_s, start_s, end_s):
    """A window within a measurement that began `late_s` after 100 s on the clock."""
    return {"late_s": late_s, "window": Window("steady_state", 100 + late_s + start_s, 100 + late_s + end_s)}


@pytest.mark.parametrize(
    ("first", "second", "window_s"),
    [
        (steady(0.0, 1.0, 3.0), steady(LATE_S, 1.0, 3.0), (1.0, 3.5)),
        (steady(LATE_S, 1.0, 3.0), steady(0.0, 1.0, 3.0), (1.0, 3.5)),
        (steady(0.0, 0.0, 4.0), steady(LATE_S, 1.0, 2.0), (0.0, 4.0)),
        (steady(0.0, 2.0, 3.0), steady(LATE_S, 1.0, 2.0), (1.5, 3.0)),
    ],
    ids=["the second later", "the first later", "one within the other", "the second's first"],
)
def test_steady_states_are_put_together_on_the_clock_of_the_process_that_began_first(first, second, window_s):
    result = merged(*two_gpus(first=first, second=second))
    assert result.steady_state_window == window_s
    assert result.measurement_methodology == "steady_state"
    assert result.total_inference_time_sec == window_s[1] - window_s[0]


@pytest.mark.parametrize("word", ["steady_state", "windowed"])
@pytest.mark.parametrize("whose", ["first", "second"])
def test_figures_of_different_kinds_of_window_are_of_the_methodology_total(whose, word):
    result = merged(*two_gpus(late_s=0.0, **{whose: {"window": Window(word, 101.0, 103.0)}}))
    assert (result.measurement_methodology, result.steady_state_window) == ("total", None)
    assert [text for text in result.measurement_warnings if "kind of window" in text] == [
        "The processes' figures are not of the same kind of window; see process_results."
    ]


@pytest.mark.parametrize("word", ["total", "steady_state", "windowed"])
def test_figures_of_one_kind_of_window_keep_its_methodology(word):
    result = merged(*two_gpus(late_s=0.0, window=Window(word, 101.0, 103.0)))
    assert result.measurement_methodology == word
    assert not any("kind of window" in text for text in result.measurement_warnings)


def test_throttling_of_any_process_is_that_of_the_run():
    found = [
        ThermalThrottleInfo(detected=True, throttled_s=1.0, share=0.25, reasons=["sw_thermal"]),
        ThermalThrottleInfo(detected=True, throttled_s=2.0, share=0.5, reasons=["hw_thermal", "sw_thermal"]),
    ]
    watches = [{"sw_thermal": 0.25}, {"hw_thermal": 0.5, "sw_thermal": 0.125}]
    parts = two_gpus(
        **{
            name: {"energy": {"watches": [DeviceWatch(f"GPU-{number}", ticks=99, throttled=watches[number])]}}
            for number, name in enumerate(("first", "second"))
        }
    )
    assert [part.thermal_throttle for part in parts] == found
    assert merged(*parts).thermal_throttle == ThermalThrottleInfo(
        detected=True, throttled_s=2.0, share=0.5, reasons=["hw_thermal", "sw_thermal"]
    )


def test_one_process_that_was_throttled_beside_a_cool_one_is_a_run_that_was():
    cool = {"energy": {"watches": [DeviceWatch("GPU-0", ticks=99, temperatures_c=((0.0, 50.0),))]}}
    hot = {"energy": {"watches": [DeviceWatch("GPU-1", ticks=99, throttled={"sw_thermal": 0.25})]}}
    assert merged(*two_gpus(first=cool, second=hot)).thermal_throttle == ThermalThrottleInfo(
        detected=True, throttled_s=1.0, share=0.25, reasons=["sw_thermal"]
    )
    assert merged(*two_gpus(first=cool)).thermal_throttle == ThermalThrottleInfo(
        detected=False, throttled_s=0.0, share=0.0, reasons=[]
    )
    assert merged(*two_gpus()).thermal_throttle is None


@pytest.mark.parametrize("late_s", [LATE_S, -LATE_S], ids=["the second later", "the first later"])
def test_the_temperatures_are_the_hottest_of_any_process_on_the_clock_of_the_one_that_began_first(late_s):
    watched = [
        {"energy": {"watches": [DeviceWatch(f"GPU-{number}", ticks=99, temperatures_c=looks)]}}
        for number, looks in enumerate([((0.25, 50.0), (1.25, 56.0)), ((0.25, 60.0), (1.25, 55.0), (2.25, 61.0))])
    ]
    result = merged(*two_gpus(first=watched[0], second={"late_s": late_s} | watched[1]))
    of_first, of_second = max(-late_s, 0.0), max(late_s, 0.0)
    assert result.thermal_time_series == [(0.25 + of_second, 60.0), (1.25 + of_first, 56.0), (2.25 + of_second, 61.0)]


def test_without_a_temperature_there_is_no_series():
    assert merged(*two_gpus()).thermal_time_series is None
