"""The joules of a window whose powers are shown while it is open."""

import time

import pytest

from llenergymeasure import MeterError, measure_energy
from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.energy.live_power import LivePower
from llenergymeasure.energy.meters.base import NoMeter


class Played(NoMeter):
    """Gives these energies, one after another, and knows from when on its samples are kept."""

    def __init__(self, *energies):
        self._energies, self.kept_from_s = iter(energies), None

    def energy(self, start_s, end_s):
        return [next(self._energies)]

    def forget(self, before_s):
        self.kept_from_s = before_s


def stretch(energy_j, edge_j=None, **parts):
    return DeviceEnergy(device="GPU-1", kind="gpu", source="played", energy_j=energy_j, edge_j=edge_j, **parts)


def lived(*stretches):
    live = LivePower(Played(*stretches), time.monotonic())
    for _ in stretches:
        live.step()
    return live


def test_joules_add_up_and_the_edges_are_those_of_the_first_stretch_and_the_last():
    (device,) = lived(*(stretch(100.0, edge_j, coverage_j=2.0, gain_j=13.0) for edge_j in (5.0, 50.0, 7.0))).devices
    assert (device.energy_j, device.edge_j, device.coverage_j, device.gain_j) == (300.0, 12.0, 6.0, 39.0)


def test_one_stretch_has_its_own_bound_and_none_has_no_device():
    (device,) = lived(stretch(100.0, 5.0)).devices
    assert (device.energy_j, device.edge_j) == (100.0, 5.0)
    assert lived().devices == []


def test_joules_are_unknown_once_those_of_a_stretch_are():
    (device,) = lived(stretch(100.0, 5.0), stretch(None), stretch(100.0, 5.0)).devices
    assert device.energy_j is None


def test_samples_before_the_last_stretch_are_given_up():
    meter = Played(stretch(1.0), stretch(1.0))
    live = LivePower(meter, 0.0)
    live.step()
    first_end_s = live.last_s
    live.step()
    assert meter.kept_from_s == first_end_s
    assert live.duration_s == live.last_s


def test_a_window_whose_powers_were_read_has_its_joules_there_and_no_other_figures():
    with measure_energy(source="estimate") as window:
        powers = window.powers(0.0)
        stretches = [next(powers) for _ in range(3)]
    (device,) = window.live.devices
    assert device.energy_j == pytest.approx(sum(each.energy_j for ((each, _),) in stretches))
    assert window.live.duration_s == pytest.approx(sum(seconds for ((_, seconds),) in stretches))
    with pytest.raises(MeterError, match="`live` has its joules"):
        _ = window.energy_j
