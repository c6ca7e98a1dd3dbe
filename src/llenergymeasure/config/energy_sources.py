"""The energy sources that a configuration can name, and what a figure from each is worth. Data only.

How each is found and read is in `llenergymeasure.energy.sources`.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

SourceName = Literal["nvml_counter", "nvml_power", "rapl", "zeus", "estimate", "none"]
SourceSetting = Literal["auto", SourceName]
Basis = Literal["sensor", "estimate", "nothing"]

SETTINGS = ("sampling_hz", "sensor_gain", "cross_check")
"""The fields of a configuration's `energy` section that a source may heed."""


class SourceFacts(NamedTuple):
    """One source: a phrase of what it is, the kinds of device that it knows (`gpu`, `cpu`, `dram`), the fields that it
    heeds."""

    summary: str
    basis: Basis
    kinds: tuple[str, ...] = ()
    heeds: tuple[str, ...] = ()


ENERGY_SOURCES: Mapping[SourceName, SourceFacts] = {
    "nvml_counter": SourceFacts("the cumulative energy counter of NVIDIA GPUs", "sensor", ("gpu",), SETTINGS),
    "nvml_power": SourceFacts("the sampled power of NVIDIA GPUs", "sensor", ("gpu",), SETTINGS),
    "rapl": SourceFacts("the counters of CPU packages and memory", "sensor", ("cpu", "dram"), ("sensor_gain",)),
    "zeus": SourceFacts("NVIDIA GPUs as the Zeus library reads them", "sensor", ("gpu",), ("sensor_gain",)),
    "estimate": SourceFacts("CPU seconds times watts per core, no sensor", "estimate", ("cpu",)),
    "none": SourceFacts("no energy", "nothing"),
}
"""Every source. Of two that know one kind of device, `auto` prefers the first."""


UNLISTED = SourceFacts("a meter of the caller's own, or a source of another version", "sensor", heeds=SETTINGS)


def facts_of(source: str | None) -> SourceFacts:
    """Return the facts of a source; a name that is not in the table is taken for a sensor's."""
    return next((facts for name, facts in ENERGY_SOURCES.items() if name == source), UNLISTED)


def basis_of(source: str | None) -> Basis:
    """Return what a figure from `source` rests on."""
    return facts_of(source).basis


def sources_of(kind: str) -> list[SourceName]:
    """Return the sources that know devices of this kind, the preferred one first."""
    return [name for name, facts in ENERGY_SOURCES.items() if kind in facts.kinds]
