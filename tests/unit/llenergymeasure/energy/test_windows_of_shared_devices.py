"""The energy of devices that several processes share: over whose windows each is read."""

import pytest
from measurements import batch
from one_watt import ALL, KINDS, OWN_S, PROCESSOR, OneWatt, lengths_s

from llenergymeasure.domain.power import IdlePower, PowerSample
from llenergymeasure.energy.phases import Spans, read_energy
from llenergymeasure.metrics.energy import ReportedDevices

EVERYONE_S, RECORDED_S = (100.0, 104.5), (100.5, 105.0)
OF_GPU_S = (100.5, 103.5)
LOADED, BARE = IdlePower(10.0), IdlePower(8.0)
CPU, GPU = ReportedDevices(on_accelerator=False), ReportedDevices(on_accelerator=True)


def reading(meter, reported, shared=frozenset(), batches=None):
    """`shared` are kinds of device that everyone shares, or each with its span."""
    batches = [batch(100.75)] if batches is None else batches
    spans = Spans(OWN_S, shared if isinstance(shared, dict) else dict.fromkeys(shared, EVERYONE_S), RECORDED_S)
    return read_energy(meter, reported, batches, spans, (LOADED, BARE), {"zeus": "not asked"})


def watched_s(found):
    return {watch.device: watch.longest_gap_s for watch in found.watches}


def test_a_shared_device_is_read_over_all_windows_and_any_other_over_the_own_one():
    found = reading(OneWatt(*KINDS), GPU, shared=PROCESSOR)
    expected = {"GPU-0": 2.0, "package-0": 4.5, "dram-0": 4.5}
    assert lengths_s(found.devices) == watched_s(found) == expected
    assert [device.device for device in found.devices] == list(KINDS)
    assert len(found.watches) == 3


def test_a_shared_processor_beside_a_gpu_of_ones_own_leaves_the_total_to_the_own_window():
    found = reading(OneWatt(*KINDS), GPU, shared=PROCESSOR)
    assert found.span is None
    assert lengths_s(found.check)["GPU-0"] == 2.0
    assert lengths_s(found.prefill)["GPU-0"] == 0.25  # a quarter of a second of it was before the window
    assert lengths_s(found.decode)["GPU-0"] == 1.5


@pytest.mark.parametrize(("reported", "shared"), [(CPU, PROCESSOR), (GPU, ALL), (GPU, frozenset({"gpu"}))])
def test_a_total_of_shared_devices_is_of_everyones_windows_and_has_no_phases(reported, shared):
    found = reading(OneWatt(*KINDS), reported, shared=shared)
    assert found.span == EVERYONE_S
    assert (found.prefill, found.decode) == ([], [])
    assert set(lengths_s(found.check).values()) == {4.5}


EACH_ITS_OWN = dict.fromkeys(PROCESSOR, EVERYONE_S) | {"gpu": OF_GPU_S}


def test_each_kind_that_is_shared_is_of_the_windows_of_those_who_share_it():
    found = reading(OneWatt(*KINDS), GPU, shared=EACH_ITS_OWN)
    expected = {"GPU-0": 3.0, "package-0": 4.5, "dram-0": 4.5}
    assert lengths_s(found.devices) == watched_s(found) == expected
    assert [device.device for device in found.devices] == list(KINDS)
    assert len(found.watches) == 3


@pytest.mark.parametrize(("reported", "span_s", "length_s"), [(GPU, OF_GPU_S, 3.0), (CPU, EVERYONE_S, 4.5)])
def test_the_total_and_its_cross_check_are_of_the_span_of_the_devices_that_it_is_of(reported, span_s, length_s):
    found = reading(OneWatt(*KINDS), reported, shared=EACH_ITS_OWN)
    assert found.span == span_s
    assert set(lengths_s(found.check).values()) == {length_s}
    assert (found.prefill, found.decode) == ([], [])


def test_a_kind_that_is_metered_for_others_who_have_no_other_window_is_ones_own():
    found = reading(OneWatt(*KINDS), GPU, shared=dict.fromkeys(PROCESSOR, EVERYONE_S) | {"gpu": OWN_S})
    assert found.span is None
    assert lengths_s(found.devices) == {"GPU-0": 2.0, "package-0": 4.5, "dram-0": 4.5}
    assert lengths_s(found.decode)["GPU-0"] == 1.5


@pytest.mark.parametrize(("closed_s", "ends_s"), [(105.0, 105.0), (None, OWN_S[1])], ids=["ended", "cut short"])
def test_a_process_that_shares_nothing_has_one_window_and_records_all_that_it_measured(closed_s, ends_s):
    assert Spans.alone(OWN_S, 100.5, closed_s) == Spans(own=OWN_S, shared={}, recorded=(100.5, ends_s))


def test_without_shared_devices_no_window_but_ones_own_is_asked_for():
    meter = OneWatt(*KINDS)
    found = reading(meter, GPU)
    assert set(lengths_s(found.devices).values()) == set(watched_s(found).values()) == {2.0}
    assert len(found.watches) == 3
    assert found.span is None
    assert all(OWN_S[0] <= start_s <= end_s <= OWN_S[1] for start_s, end_s in meter.asked)


def test_an_estimate_is_never_shared():
    found = reading(OneWatt("package-0", source="estimate"), CPU, shared=PROCESSOR)
    assert (lengths_s(found.devices), found.span) == ({"package-0": 2.0}, None)


def test_a_reading_keeps_the_whole_measurement_and_what_else_is_known():
    found = reading(OneWatt(*KINDS), CPU, shared=PROCESSOR)
    assert found.samples == [PowerSample(RECORDED_S[1] - RECORDED_S[0])]
    assert (found.source, found.not_used) == ("recorded", {"zeus": "not asked"})
    assert (found.loaded_idle, found.bare_idle) == (LOADED, BARE)


def test_of_a_process_that_served_nothing_nothing_is_read():
    meter = OneWatt(*KINDS)
    found = reading(meter, GPU, shared=ALL, batches=[])
    assert (found.devices, found.span, found.source, meter.asked) == ([], None, "recorded", [])
