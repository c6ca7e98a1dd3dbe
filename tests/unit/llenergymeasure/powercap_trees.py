"""Powercap trees as Linux shows them, in a folder, with counters that advance at a known power."""

import os
import threading
import time
from contextlib import contextmanager

import numpy as np

RANGE_UJ = 262_143_328_850
TWO_PACKAGES = {
    "intel-rapl:0": "package-0",
    "intel-rapl:0:0": "core",
    "intel-rapl:0:1": "uncore",
    "intel-rapl:0:2": "dram",
    "intel-rapl:1": "package-1",
    "intel-rapl:1:0": "core",
    "intel-rapl:1:1": "dram",
    "intel-rapl:2": "psys",
    "intel-rapl-mmio:0": "package-0",
}


def zone(folder, name, range_uj=RANGE_UJ, **files):
    """One zone of the tree; further files by their name."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in {"name": name, "energy_uj": 1_000_000, "max_energy_range_uj": range_uj, **files}.items():
        (folder / file).write_text(f"{text}\n")
    return folder


class Processor:
    """Advances counters about once a millisecond, each exact at its ticks.

    It draws its power in the millisecond and a half before a tick: where the writer is held up, the processor rests,
    so that a counter is never further behind than RAPL's.
    """

    draws_s = 0.0015

    def __init__(self, powers_w, start_j=1.0, range_j=RANGE_UJ / 1e6):
        self._powers_w, self._range_j = powers_w, range_j
        self._energy_j = dict.fromkeys(powers_w, start_j)
        self._ticks = {counter: [] for counter in powers_w}
        self._away, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._end.set()
        self._thread.join()

    @contextmanager
    def away(self):
        """While this is open the counters are not there, and the processor works on."""
        self._away.set()
        yield
        self._away.clear()

    def wait_for(self, joules):
        """Until every counter has grown by that much."""
        wanted_j = {counter: energy_j + joules for counter, energy_j in self._energy_j.items()}
        while any(self._energy_j[counter] < wanted_j[counter] for counter in wanted_j):
            time.sleep(0.01)

    def truth(self, counter, start_s, end_s):
        """The energy in a window, and how far the writer's own delays make that unsure."""
        before_s, after_s, drawn_s, energy_j = map(np.array, zip(*self._ticks[counter], strict=True))
        corners_s = np.stack([before_s - drawn_s, before_s], axis=1).ravel()
        corners_j = np.stack([energy_j - drawn_s * self._powers_w[counter], energy_j], axis=1).ravel()
        start_j, end_j = np.interp([start_s, end_s], corners_s, corners_j)
        return end_j - start_j, 2 * self._powers_w[counter] * float((after_s - before_s).max())

    def _run(self):
        last_s = time.monotonic()
        while not self._end.is_set():
            time.sleep(0.001)
            now_s = time.monotonic()
            drawn_s, last_s = min(now_s - last_s, self.draws_s), now_s
            for counter, power_w in self._powers_w.items():
                self._energy_j[counter] += power_w * drawn_s
                before_s = time.monotonic()
                self._write(counter, round(self._energy_j[counter] % self._range_j * 1e6))
                self._ticks[counter].append((before_s, time.monotonic(), drawn_s, self._energy_j[counter]))

    def _write(self, counter, microjoules):
        if self._away.is_set():
            counter.unlink(missing_ok=True)
            return
        new = counter.with_suffix(".new")
        new.write_text(f"{microjoules}\n")
        os.replace(new, counter)


def tree(root, limit_uw=120_000_000, **options):
    """A package and its memory; the counters' paths."""
    limit = {} if limit_uw is None else {"constraint_0_power_limit_uw": limit_uw}
    folders = [zone(root / number, TWO_PACKAGES[number], **limit, **options) for number in nested_numbers()]
    return [folder / "energy_uj" for folder in folders]


def nested_numbers():
    return ("intel-rapl:0", "intel-rapl:0:2")
