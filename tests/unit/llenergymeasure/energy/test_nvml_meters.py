"""GPUs: which are metered, by which source, and what is found, on recorded boards."""

import contextlib
import functools
import importlib.util
import itertools
import time

import psutil
import pytest
from recorded import joules

from llenergymeasure import measure_energy
from llenergymeasure.config.models import EnergyConfig, UserConfig
from llenergymeasure.energy.sources import SOURCES, choose_meter, find_sources, nvml_counter
from warm import without_interpreter

WINDOWS_S = ((0.0, 1.7), (0.123, 1.156), (1.05, 1.65))
needs_zeus = pytest.mark.skipif(importlib.util.find_spec("zeus") is None, reason="needs Zeus")


@pytest.fixture
def quick(gpus):
    """Boards whose counters tick five times as often as NVIDIA's: whoever waits for ticks waits less."""
    gpus.board = functools.partial(gpus.board, tick_s=0.02, seconds=60.0)
    return gpus


def steady(at_s):
    return 400.0


def stepping(at_s):
    return 100.0 if at_s % 1.0 < 0.4 else 650.0


def chosen(source="auto", **fields):
    return choose_meter(EnergyConfig(source=source, **fields), UserConfig(), find_sources())


@contextlib.contextmanager
def metered(source="auto", **fields):
    with chosen(source, **fields).meter as meter:
        meter.mark()
        yield meter
        meter.mark()


def averaged(board, power_w):
    """The board as one whose power is the mean of its last second."""
    for row in board["rows"]:
        row[2] = joules(power_w, row[0] - 1.0, row[0])
    return board | {"no_instant": True}


def test_the_energy_of_any_window_is_within_its_bound_of_the_truth(gpus):
    gpus(gpus.board(steady, uuid="GPU-a"), gpus.board(stepping, uuid="GPU-b"))
    with metered("nvml_counter") as counter, metered("nvml_power") as power:
        opened_s = time.monotonic()
        time.sleep(1.7)
    began_s = opened_s - gpus.began_s
    for meter, (start_s, end_s) in itertools.product((counter, power), WINDOWS_S):
        found = meter.energy(opened_s + start_s, opened_s + end_s)
        for device, power_w in zip(found, (steady, stepping), strict=True):
            truth_j = joules(power_w, began_s + start_s, began_s + end_s)
            assert abs(device.energy_j - truth_j) <= device.edge_j + 0.01  # both sensors round


def test_the_joules_that_a_meter_publishes_rise_by_the_energy_of_the_window(gpus):
    gpus(gpus.board(steady, uuid="GPU-a"), gpus.board(stepping, uuid="GPU-b"))
    sources, published, until_s = ("nvml_counter", "nvml_power"), {}, time.monotonic() + 30.0
    with contextlib.ExitStack() as opened:
        meters = {source: opened.enter_context(chosen(source).meter) for source in sources}
        for source, meter in meters.items():
            meter.publish_to(published.setdefault(source, []).append)
            assert [reading.device for reading in published[source][0]] == ["GPU-a", "GPU-b"]
        for readings in published.values():
            while readings[-1][0].at_s < readings[0][0].at_s + 1.5 and time.monotonic() < until_s:
                time.sleep(0.05)
        time.sleep(0.2)  # so that there are ticks after the last
    for source, readings in published.items():
        for first, last in zip(readings[0], readings[-1], strict=True):
            devices = {device.device: device for device in meters[source].energy(first.at_s, last.at_s)}
            found = devices[first.device]
            assert last.energy_j - first.energy_j == pytest.approx(found.energy_j, abs=2 * found.edge_j + 65.0)
            assert (last.kind, last.source) == ("gpu", source)


def test_the_energy_of_a_power_that_is_averaged_is_within_its_bound_of_the_truth(gpus):
    def rising(at_s):
        return 100.0 if at_s < 2.1 else 600.0

    gpus(averaged(gpus.board(rising, seconds=8.0), rising))
    with metered("nvml_power") as meter:
        time.sleep(max(gpus.began_s + 3.3 - time.monotonic(), 0))
    (device,) = meter.energy(gpus.began_s + 1.0, gpus.began_s + 3.2)
    assert abs(device.energy_j - (1.1 * 100.0 + 1.1 * 600.0)) <= device.edge_j


def test_a_gpus_gain_is_13_percent_or_that_of_a_calibration(quick):
    quick(quick.board())
    with (
        measure_energy(source="nvml_counter") as published,
        measure_energy(source="nvml_counter", sensor_gain=0.02) as stated,
    ):
        time.sleep(0.3)
    assert published.energy_uncertainty.gain_j == pytest.approx(0.13 * published.energy_j)
    assert stated.energy_uncertainty.gain_j == pytest.approx(0.02 * stated.energy_j)


def test_the_result_names_the_power_field_that_was_sampled(gpus):
    kinds = {
        "GPU-a": ({}, "field instant, a value every 100 ms, the mean of the last 100 ms (by published"),
        "GPU-b": ({"no_instant": True}, "field draw, a value every 100 ms, the mean of the last 1000 ms (by"),
        "GPU-c": (
            {"name": "NVIDIA B200"},
            "field instant, a value every 100 ms, the mean of the last 25 ms (assumed: no",
        ),
    }
    gpus(*(gpus.board(400.0, uuid=uuid, **further) for uuid, (further, _) in kinds.items()))
    with measure_energy(source="nvml_power") as window:
        time.sleep(0.3)
    assert [device.energy_j / window.duration_s for device in window.devices] == pytest.approx([400.0] * 3)
    for _, says in kinds.values():
        assert [warning for warning in window.warnings if says in warning]


def test_each_of_two_boards_is_metered_by_its_uuid_and_the_total_is_their_sum(quick):
    quick(quick.board(100.0, uuid="GPU-a"), quick.board(300.0, uuid="GPU-b"))
    with measure_energy(source="nvml_counter") as window:
        time.sleep(0.5)
    powers_w = {device.device: device.energy_j / window.duration_s for device in window.devices}
    assert powers_w == {"GPU-a": pytest.approx(100.0, rel=0.1), "GPU-b": pytest.approx(300.0, rel=0.1)}
    assert window.energy_j == pytest.approx(sum(device.energy_j for device in window.devices))
    assert window.peak_power_w == pytest.approx(400.0, rel=0.2)


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        ("1", ["GPU-b2"]),
        ("1,0", ["GPU-b2", "GPU-a1"]),
        (" 0 , 1", ["GPU-a1", "GPU-b2"]),
        ("GPU-b", ["GPU-b2"]),
        ("GPU-b2,GPU-a1", ["GPU-b2", "GPU-a1"]),
        ("0,7,1", ["GPU-a1"]),
        ("1,-1,0", ["GPU-b2"]),
        ("MIG-5c4e", ["GPU-a1", "GPU-b2"]),
    ],
)
def test_only_boards_that_cuda_visible_devices_names_are_metered(gpus, monkeypatch, named, seen):
    gpus(gpus.board(uuid="GPU-a1", seconds=1.0), gpus.board(uuid="GPU-b2", seconds=1.0))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert [board.uuid for board in find_sources().nvml.boards] == seen


@pytest.mark.parametrize("named", ["", "-1", "7", "GPU-c", "NoDevFiles"])
def test_where_cuda_visible_devices_leaves_no_board_the_reason_names_it(gpus, monkeypatch, named):
    gpus(gpus.board(uuid="GPU-a1", seconds=1.0))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    choice = chosen()
    assert choice.meter.source in ("rapl", "estimate")
    assert choice.not_used["nvml_counter"] == f"CUDA_VISIBLE_DEVICES={named} leaves no GPU visible"


@pytest.mark.parametrize(("order", "seen"), [(None, 2), ("FASTEST_FIRST", 2), ("PCI_BUS_ID", 1)])
def test_a_number_identifies_boards_of_different_models_only_in_the_order_of_the_bus(gpus, monkeypatch, order, seen):
    gpus(gpus.board(uuid="GPU-a", seconds=1.0), gpus.board(uuid="GPU-b", seconds=1.0, name="NVIDIA T4"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    if order is not None:
        monkeypatch.setenv("CUDA_DEVICE_ORDER", order)
    assert len(find_sources().nvml.boards) == seen


def test_boards_of_different_models_are_identified_by_uuid(gpus, monkeypatch):
    gpus(gpus.board(uuid="GPU-a", seconds=1.0), gpus.board(uuid="GPU-b", seconds=1.0, name="NVIDIA T4"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert [board.uuid for board in find_sources().nvml.boards] == ["GPU-b"]


@pytest.fixture
def powercap(tmp_path):
    """A machine with one package whose counter can be read."""
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    for file, text in {"name": "package-0", "energy_uj": "5", "max_energy_range_uj": "262143328850"}.items():
        (zone / file).write_text(text)
    return zone.parent


@pytest.mark.parametrize(
    ("board", "with_rapl", "taken"),
    [
        ({}, True, {"nvml_counter", "rapl"}),
        ({}, False, {"nvml_counter", "estimate"}),
        ({"no_counter": True}, True, {"nvml_power", "rapl"}),
        ({"gone": [[0.0, 1e9]]}, True, {"rapl"}),
        ({"gone": [[0.0, 1e9]]}, False, {"estimate"}),
    ],
    ids=["counter, rapl", "counter", "power, rapl", "rapl", "nothing"],
)
def test_auto_takes_the_best_gpu_source_and_the_best_cpu_source(gpus, powercap, tmp_path, board, with_rapl, taken):
    gpus(gpus.board(seconds=1.0, **board))
    sources = find_sources(powercap=powercap if with_rapl else tmp_path / "none")
    choice = choose_meter(EnergyConfig(), UserConfig(), sources)
    assert set(SOURCES) - {"none"} - set(choice.not_used) == taken


@pytest.mark.parametrize("source", ["auto", "nvml_counter", "nvml_power", "estimate", "none"])
def test_every_source_that_is_not_taken_has_a_reason(gpus, source):
    gpus(gpus.board(seconds=1.0))
    not_used = chosen(source).not_used
    assert set(not_used) | {source, "nvml_counter", "rapl", "estimate"} >= set(SOURCES) - {"none"}
    assert source not in not_used
    assert [why for why in not_used.values() if not why or "\n" in why] == []


def test_a_board_without_a_counter_has_its_power_sampled_and_the_result_says_why(quick):
    quick(quick.board(uuid="GPU-a"), quick.board(uuid="GPU-b", name="Tesla P100", no_counter=True))
    with measure_energy() as window:
        time.sleep(0.3)
    assert window.energy_source == "nvml_power"
    assert window.sources_not_used["nvml_counter"] == "Tesla P100 has no energy counter (Volta and later have one)"


def test_without_a_power_limit_the_result_says_what_the_bound_takes_instead(quick):
    quick(quick.board(limit_w=None))
    with measure_energy(source="nvml_counter") as window:
        time.sleep(0.5)
    (said,) = [warning for warning in window.warnings if "power limit" in warning]
    assert "4 times the highest mean power" in said


def test_the_rows_of_a_window_sum_to_its_counter_and_have_temperature_and_board(gpus):
    gpus(gpus.board(stepping, temperature_c=51.0))
    with metered("nvml_counter") as meter:
        start_s = time.monotonic()
        time.sleep(1.0)
        end_s = time.monotonic()
    first, *rows = meter.samples(start_s, end_s)
    moments_s = [start_s + row.timestamp_s for row in (first, *rows)]
    assert moments_s[0] <= start_s < end_s <= moments_s[-1]
    integral_j = sum(
        row.gpu_power_w * (after_s - before_s)
        for row, before_s, after_s in zip(rows, moments_s, moments_s[1:], strict=False)
    )
    (device,) = meter.energy(moments_s[0], moments_s[-1])
    assert first.gpu_power_w is None
    assert integral_j == pytest.approx(device.energy_j, abs=device.edge_j)
    assert {(row.gpu_temperature_c, row.gpu_index, row.cpu_power_w) for row in rows} == {(51.0, 0, None)}


@needs_zeus
@pytest.mark.filterwarnings("ignore:The energy consumption of one or more GPUs was measured as zero")
@pytest.mark.parametrize("visible", ["1,0", "1"])
def test_zeus_finds_the_same_joules_within_a_tick(quick, monkeypatch, visible):
    quick(quick.board(100.0, uuid="GPU-a"), quick.board(400.0, uuid="GPU-b"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with metered("nvml_counter", cross_check="zeus") as meter:
        start_s = time.monotonic()
        time.sleep(0.4)
        end_s = time.monotonic()
        meter.mark()
        found = {device.device: device for device in meter.energy(start_s, end_s)}
        zeus = {device.device: device for device in meter.cross_check(start_s, end_s)}
    tick_j = {"GPU-a": 10.0, "GPU-b": 40.0}
    assert set(zeus) == set(found)
    for name, device in found.items():
        assert zeus[name].energy_j == pytest.approx(device.energy_j, abs=tick_j[name] + device.edge_j)
        assert zeus[name].source == "zeus"


def test_a_sampler_that_is_held_up_for_a_while_goes_on(quick):
    quick(quick.board())
    (board,) = find_sources().nvml.boards
    with nvml_counter([board], sampling_hz=10.0) as meter:
        (sampler,) = without_interpreter(psutil.Process().children())
        sampler.suspend()
        held_s = time.monotonic()
        (held,) = meter.energy(held_s, held_s + 0.1)
        sampler.resume()
        start_s = time.monotonic()
        while time.monotonic() < start_s + 0.5:
            meter.energy(start_s, time.monotonic())
        end_s = time.monotonic()
        (device,) = meter.energy(start_s, end_s)
    assert held.energy_j is None
    assert device.energy_j == pytest.approx(400.0 * (end_s - start_s), abs=device.edge_j)
