"""The table of NVIDIA's power sensors, by the names that NVML gives to boards."""

import pytest

from llenergymeasure.energy.sensors.nvml_models import UNKNOWN, sensor_model


def milliseconds(model):
    return round(model.period_s * 1e3), round(model.window_s * 1e3)


@pytest.mark.parametrize(
    ("name", "before_530", "at_530", "later"),
    [
        ("NVIDIA GeForce RTX 3090", (100, 1000), (100, 100), (100, 1000)),
        ("NVIDIA GeForce RTX 4090", (100, 1000), (100, 100), (100, 1000)),
        ("NVIDIA RTX A5000", (100, 1000), (100, 100), (100, 1000)),
        ("NVIDIA L40S", (100, 1000), (100, 100), (100, 1000)),
        ("NVIDIA RTX 6000 Ada Generation", (100, 1000), (100, 100), (100, 1000)),
        ("NVIDIA A100-PCIE-40GB", (100, 25), (100, 25), (100, 25)),
        ("NVIDIA A30", (100, 25), (100, 25), (100, 25)),
        ("NVIDIA GeForce RTX 2050", (100, 1000), (100, 100), (100, 1000)),
        ("NVIDIA GeForce MX570", (100, 1000), (100, 100), (100, 1000)),
        ("NVIDIA GeForce MX570 A", (100, 1000), (100, 100), (100, 1000)),
        ("NVIDIA GeForce RTX 3050 Laptop GPU", (100, 1000), (100, 100), (100, 1000)),
        ("NVIDIA GeForce RTX 3050 A Laptop GPU", (100, 1000), (100, 100), (100, 1000)),
        ("NVIDIA GeForce RTX 4050 Laptop GPU", (100, 1000), (100, 100), (100, 1000)),
        ("NVIDIA RTX A500 Laptop GPU", (100, 1000), (100, 100), (100, 1000)),
        ("NVIDIA GeForce RTX 2060 with Max-Q Design", (100, 100), (100, 100), (100, 100)),
        ("NVIDIA GeForce RTX 2070 SUPER", (100, 100), (100, 100), (100, 100)),
        ("NVIDIA GeForce RTX 2080 Ti", (100, 100), (100, 100), (100, 100)),
        ("NVIDIA GeForce GTX 1630", (100, 100), (100, 100), (100, 100)),
        ("NVIDIA GeForce GTX 1660 SUPER", (100, 100), (100, 100), (100, 100)),
        ("NVIDIA GeForce MX450", (100, 100), (100, 100), (100, 100)),
        ("NVIDIA GeForce MX550", (100, 100), (100, 100), (100, 100)),
        ("NVIDIA T1200 Laptop GPU", (100, 100), (100, 100), (100, 100)),
        ("Tesla T4", (100, 100), (100, 100), (100, 100)),
        ("Quadro RTX 5000", (100, 100), (100, 100), (100, 100)),
        ("Quadro RTX 8000", (100, 20), (100, 20), (100, 20)),
        ("Tesla V100-SXM2-16GB", (20, 10), (20, 10), (20, 10)),
        ("Tesla P100-PCIE-16GB", (20, 10), (20, 10), (20, 10)),
        ("NVIDIA TITAN X (Pascal)", (20, 10), (20, 10), (20, 10)),
        ("Tesla K40m", (15, 60), (15, 60), (15, 60)),
        ("NVIDIA GeForce GTX TITAN X", (15, 60), (15, 60), (15, 60)),
    ],
)
def test_the_plain_field_of_a_board_depends_on_its_architecture_and_driver(name, before_530, at_530, later):
    found = [sensor_model(name, "draw", driver) for driver in ("525.60.13", "530.30.02", "535.54.03")]
    assert [milliseconds(model) for model in found] == [before_530, at_530, later]
    assert {model.source for model in found} == {"table"}


@pytest.mark.parametrize("name", ["NVIDIA H100 80GB HBM3", "NVIDIA H200", "NVIDIA GH200 480GB", "NVIDIA H100 NVL"])
def test_a_hopper_averages_over_a_second_and_is_part_time_at_an_instant(name):
    assert milliseconds(sensor_model(name, "draw", "550.90")) == (100, 1000)
    assert milliseconds(sensor_model(name, "average", "550.90")) == (100, 1000)
    assert milliseconds(sensor_model(name, "instant", "550.90")) == (100, 25)


@pytest.mark.parametrize(
    ("name", "window_ms", "is_part_time"),
    [
        ("NVIDIA GeForce RTX 3090", 100, False),
        ("NVIDIA L4", 100, False),
        ("Quadro RTX 6000", 100, False),
        ("NVIDIA A100-SXM4-80GB", 25, True),
        ("Tesla V100-PCIE-32GB", 10, True),
    ],
)
def test_the_instantaneous_field_is_part_time_on_some_boards(name, window_ms, is_part_time):
    found = sensor_model(name, "instant", "570.86.15")
    assert milliseconds(found)[1] == window_ms
    assert found.is_part_time is is_part_time


def test_kepler_and_maxwell_have_a_low_pass():
    assert {sensor_model(name, "draw", None).shape for name in ("Tesla K80", "Tesla M40", "Quadro K620")} == {
        "low_pass"
    }


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA B200",
        "NVIDIA GB200",
        "NVIDIA GeForce RTX 5090",
        "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
        "NVIDIA Thor",
        "",
    ],
)
def test_a_board_that_nobody_measured_is_taken_to_see_a_quarter_of_the_time(name):
    found = sensor_model(name, "instant", "570.86.15")
    assert found == UNKNOWN
    assert (found.source, found.window_s / found.period_s) == ("assumed", 0.25)


@pytest.mark.parametrize("driver", [None, "", "unknown", "r550"])
def test_a_driver_that_cannot_be_read_counts_only_where_drivers_differ(driver):
    assert sensor_model("NVIDIA GeForce RTX 3090", "draw", driver) == UNKNOWN
    assert sensor_model("NVIDIA GeForce RTX 3090", "instant", driver).source == "table"
    assert milliseconds(sensor_model("NVIDIA A100-PCIE-40GB", "draw", driver)) == (100, 25)


def test_a_field_that_was_not_measured_on_a_board_is_unknown():
    assert sensor_model("NVIDIA A100-PCIE-40GB", "average", "535.54.03") == UNKNOWN
    assert sensor_model("NVIDIA H100 PCIe", "draw", "525.60.13") == UNKNOWN
