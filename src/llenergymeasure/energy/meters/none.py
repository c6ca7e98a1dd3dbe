"""The source of someone who does not want energy measured: it knows nothing, and says so."""

from llenergymeasure.domain.metrics import DeviceEnergy
from llenergymeasure.energy.meters.base import Meter


class NoMeter(Meter):
    """Reads nothing; every window is unknown."""

    source = "none"

    def open(self) -> None:
        """Nothing to open."""

    def mark(self) -> None:
        """Nothing to read."""

    def energy(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """No device is known."""
        return []

    def close(self) -> None:
        """Nothing to close."""
