"""`llem doctor` on machines with GPUs, without NVIDIA's library, and in a container."""

import os
from pathlib import Path

import pytest

from llenergymeasure.energy.sources import find_sources

STANDIN = Path(__file__).parents[1] / "standins" / "nvml"
CONTAINER = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
IN_A_CONTAINER = "in a container a GPU of the host is seen only if"
CPU_SENSOR = find_sources().rapl.unavailable


@pytest.fixture
def doctor(user):
    """Return the output of `llem doctor`, without its line breaks."""

    def shown(**environment):
        ended = user.llem("doctor", **environment)
        assert (ended.code, ended.stderr) == (0, "")
        return " ".join(ended.stdout.split())

    return shown


@pytest.fixture
def boards(gpus):
    def environment(*recorded):
        gpus(*recorded)
        return {name: os.environ[name] for name in ("NVML_STANDIN", "PYTHONPATH")}

    return environment


def test_gpus_and_the_sources_that_read_them_are_shown(doctor, gpus, boards):
    shown = doctor(**boards(gpus.board(uuid="GPU-a", seconds=1.0), gpus.board(uuid="GPU-b", seconds=1.0)), **CONTAINER)
    assert "NVIDIA driver 580.00, CUDA 13.0" in shown
    assert "GPU 0 NVIDIA L40S," in shown
    assert "limit 700 W, GPU-a" in shown
    assert "limit 700 W, GPU-b" in shown
    assert "nvml_counter available: 2 GPU(s), bound on the gain ±13%" in shown
    assert "nvml_power available: 2 GPU(s), bound on the gain ±13% and 20 W" in shown
    sees = "field instant, a value every 100 ms, the mean of the last 100 ms (by published measurements of such boards)"
    assert f"power of GPU 1 {sees}" in shown
    assert "not calibrated; llem calibrate --gpu 1 finds its sensors out" in shown
    assert "in kubernetes" in shown
    assert IN_A_CONTAINER not in shown
    if CPU_SENSOR is not None:
        assert f"rapl not available: {CPU_SENSOR}" in shown
        assert "without a CPU sensor the CPU's energy is an estimate; a GPU's total does not depend on it" in shown


def test_the_settings_that_a_board_takes_are_shown_and_nothing_is_set_to_find_them(doctor, gpus, boards):
    settable = {"power_limits_w": [100, 700], "clocks_mhz": [210, 1980]}
    shown = doctor(**boards(gpus.board(seconds=1.0, **settable), gpus.board(uuid="GPU-2", seconds=1.0)))
    assert "settings of GPU 0 gpu: power limit 100 to 700 W, graphics clock 210 to 1980 MHz; " in shown
    assert "root" in shown
    assert "settings of GPU 1 none can be set (the driver lists none)" in shown
    assert not Path(os.environ["NVML_STANDIN"] + ".set").exists()


def test_a_board_that_lacks_a_sensor_is_named(doctor, gpus, boards):
    old = gpus.board(name="Tesla P100", seconds=1.0, no_counter=True, no_instant=True)
    shown = doctor(**boards(old))
    assert "nvml_counter not available: Tesla P100 has no energy counter (Volta and later have one)" in shown
    assert "power of GPU 0 field draw, a value every 20 ms, the mean of the last 10 ms (by published" in shown


def test_without_nvidias_library_every_gpu_source_says_so_and_in_a_container_what_to_do(doctor):
    shown = doctor(PYTHONPATH=str(STANDIN), **CONTAINER)
    assert "GPUs none seen (NVML: NVML Shared Library Not Found)" in shown
    for source in ("nvml_counter", "nvml_power", "zeus"):
        assert f"{source} not available: NVML cannot be used: NVML Shared Library Not Found" in shown
    assert IN_A_CONTAINER in shown
    assert "docker run --gpus all" in shown
    assert "estimate available: CPU seconds of the run" in shown
    if CPU_SENSOR is not None:
        assert "without a sensor energy is an estimate, and its verdict is not_measured" in shown


def test_gpus_that_cuda_visible_devices_hides_are_not_put_down_to_the_container(doctor, gpus, boards):
    shown = doctor(**boards(gpus.board(seconds=1.0)), **CONTAINER, CUDA_VISIBLE_DEVICES="")
    assert "nvml_counter not available: CUDA_VISIBLE_DEVICES= leaves no GPU visible" in shown
    assert IN_A_CONTAINER not in shown
