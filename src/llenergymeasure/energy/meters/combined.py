"""Several meters as one: GPU and CPU metered together, and reported apart."""

import contextlib
from collections.abc import Sequence

from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.power import DeviceWatch, PowerSample
from llenergymeasure.energy.meters.base import Listener, Meter


class CombinedMeter(Meter):
    """All of `parts`, the first of which names the source; `check` reads the same devices once more."""

    def __init__(self, parts: Sequence[Meter], check: Meter | None = None) -> None:
        self._parts = parts
        self._check = check
        self._all = [*parts, check] if check else list(parts)
        self._open = contextlib.ExitStack()
        self.source = parts[0].source
        self.measured_kinds = frozenset(kind for part in parts for kind in part.measured_kinds)

    def adopt(self, pids: frozenset[int] | None) -> None:
        """Adopt them in all."""
        for meter in self._all:
            meter.adopt(pids)

    def pids(self) -> frozenset[int]:
        """Return those of all."""
        return frozenset(pid for meter in self._all for pid in meter.pids())

    def expect_periods(self, periods_s: tuple[float, ...] | None) -> None:
        """Expect them in all."""
        for meter in self._all:
            meter.expect_periods(periods_s)

    def open(self) -> None:
        """Open all, or none."""
        with contextlib.ExitStack() as opened:
            for meter in self._all:
                opened.enter_context(meter)
            self._open = opened.pop_all()

    def mark(self, *, is_edge: bool = False) -> None:
        """Mark all."""
        for meter in self._all:
            meter.mark(is_edge=is_edge)

    def energy(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """Return the energy of the devices of all parts."""
        return [device for part in self._parts for device in part.energy(start_s, end_s)]

    def watch(self, start_s: float, end_s: float) -> list[DeviceWatch]:
        """Return how well the devices of all parts were watched."""
        return [watch for part in self._parts for watch in part.watch(start_s, end_s)]

    def samples(self, start_s: float, end_s: float) -> list[PowerSample]:
        """Return the rows of all parts."""
        rows = [row for part in self._parts for row in part.samples(start_s, end_s)]
        return sorted(rows, key=lambda row: row.timestamp_s)

    def cross_check(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """Return the energy by the check."""
        return self._check.energy(start_s, end_s) if self._check else []

    def forget(self, before_s: float) -> None:
        """Forget in all."""
        for meter in self._all:
            meter.forget(before_s)

    def publish_to(self, listener: Listener) -> None:
        """Have all parts call it, each with its own devices."""
        for part in self._parts:
            part.publish_to(listener)

    def close(self) -> None:
        """Close all."""
        self._open.close()
