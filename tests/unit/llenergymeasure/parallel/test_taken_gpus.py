"""The GPU that each process of a run takes."""

import os

import pytest

from llenergymeasure.config.ranks import Rank
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.parallel.member import take_gpu


def visible():
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize(
    ("listed", "boards", "taken", "names"),
    [
        (None, 2, ["0", "1"], ["GPU-0", "GPU-1"]),
        (None, 3, ["0", "1"], ["GPU-0", "GPU-1"]),
        (None, 1, ["0", "0"], ["GPU-0", "GPU-0"]),
        (None, 2, ["0", "1", "0", "1"], ["GPU-0", "GPU-1", "GPU-0", "GPU-1"]),
        ("1,0", 2, ["1", "0"], ["GPU-1", "GPU-0"]),
        (" 0 , 1 ,", 2, ["0", "1"], ["GPU-0", "GPU-1"]),
        ("1", 2, ["1", "1"], ["GPU-1", "GPU-1"]),
        ("GPU-1,GPU-0", 2, ["GPU-1", "GPU-0"], ["GPU-1", "GPU-0"]),
        ("GPU-1,0", 2, ["GPU-1", "0"], ["GPU-1", "GPU-0"]),
        ("0,7", 1, ["0", "0"], ["GPU-0", "GPU-0"]),
        ("0,7,1", 2, ["0", "0", "0"], ["GPU-0", "GPU-0", "GPU-0"]),
        ("1,0,7", 2, ["1", "0", "1"], ["GPU-1", "GPU-0", "GPU-1"]),
        ("7", 1, ["7", "7"], ["7", "7"]),
    ],
)
def test_each_process_takes_one_gpu_its_own_while_there_are_enough(
    gpus, cuda_visible_devices, listed, boards, taken, names
):
    gpus(*(gpus.board(uuid=f"GPU-{number}", seconds=1.0) for number in range(boards)))
    for index, name in enumerate(names):
        cuda_visible_devices(listed)
        assert take_gpu("auto", Rank(index, len(names))) == name
        assert visible() == taken[index]


def test_boards_of_different_models_are_numbered_as_the_driver_numbers_them(gpus, cuda_visible_devices):
    gpus(gpus.board(uuid="GPU-0", seconds=1.0), gpus.board(uuid="GPU-1", seconds=1.0, name="NVIDIA T4"))
    for index in range(2):
        cuda_visible_devices(None)
        assert take_gpu("auto", Rank(index, 2)) == f"GPU-{index}"
        assert (visible(), os.environ["CUDA_DEVICE_ORDER"]) == (str(index), "PCI_BUS_ID")


def test_numbers_that_may_mean_any_board_are_all_taken_and_have_no_other_name(gpus, cuda_visible_devices):
    gpus(gpus.board(uuid="GPU-0", seconds=1.0), gpus.board(uuid="GPU-1", seconds=1.0, name="NVIDIA T4"))
    for index, name in enumerate(["1", "0", "1"]):
        cuda_visible_devices("1,0")
        assert take_gpu("auto", Rank(index, 3)) == visible() == name
        assert "CUDA_DEVICE_ORDER" not in os.environ


@pytest.mark.parametrize("listed", ["0,2", "0,7", "0,7,1"])
def test_a_number_that_means_no_board_is_taken_by_nobody_where_the_others_may_mean_any(
    gpus, cuda_visible_devices, listed
):
    gpus(gpus.board(uuid="GPU-0", seconds=1.0), gpus.board(uuid="GPU-1", seconds=1.0, name="NVIDIA T4"))
    for index in range(2):
        cuda_visible_devices(listed)
        assert take_gpu("auto", Rank(index, 2)) == visible() == "0"


def test_slices_of_mig_are_told_apart_by_cuda_and_have_one_name_as_their_sensors_have(gpus, cuda_visible_devices):
    gpus(gpus.board(uuid="GPU-0", seconds=1.0))
    for index, name in enumerate(["MIG-5c4e", "MIG-77aa"]):
        cuda_visible_devices("MIG-5c4e,MIG-77aa")
        assert take_gpu("auto", Rank(index, 2)) == "MIG"
        assert visible() == name


@pytest.mark.parametrize(("listed", "boards"), [(None, 0), ("", 2), (" , ", 2)])
def test_where_no_gpu_is_visible_none_is_taken(gpus, cuda_visible_devices, listed, boards):
    gpus(*(gpus.board(uuid=f"GPU-{number}", seconds=1.0) for number in range(boards)))
    cuda_visible_devices(listed)
    assert take_gpu("auto", Rank(0, 2)) is None
    assert visible() == listed


@pytest.mark.parametrize("listed", [None, "1,0"])
def test_a_run_on_the_cpu_takes_no_gpu(gpus, cuda_visible_devices, listed):
    gpus(gpus.board(seconds=1.0))
    cuda_visible_devices(listed)
    assert take_gpu("cpu", Rank(0, 2)) is None
    assert visible() == listed


def test_the_gpu_that_is_taken_is_the_one_that_is_metered(gpus, cuda_visible_devices):
    gpus(gpus.board(uuid="GPU-0", seconds=1.0), gpus.board(uuid="GPU-1", seconds=1.0))
    cuda_visible_devices(None)
    take_gpu("cuda", Rank(1, 2))
    assert [board.uuid for board in find_sources().nvml.boards] == ["GPU-1"]
