"""The devices of a run, and of each the processes whose joules, power and emissions count."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.domain.figures import EnergyMetrics


@dataclass(frozen=True)
class UsedDevice:
    """A device that processes ran on: the driver's index of its GPU (None of a CPU, or of several GPUs), and the
    processes that count.

    `counting` are those that metered it: of several, the one alone that knows its joules; where none or more than one
    does, all of them. `is_covered` is False where a process ran on it that nobody has metered it for.
    """

    gpu: int | None
    counting: tuple[RawProcessResult, ...]
    is_covered: bool

    @property
    def is_doubled(self) -> bool:
        """Return True where two processes metered it: a sum would count it twice."""
        return len(self.counting) > 1

    @property
    def energy(self) -> EnergyMetrics | None:
        """The energy that counts; None where it is unknown."""
        return self.counting[0].energy_metrics if self.is_covered and len(self.counting) == 1 else None

    @property
    def joules(self) -> float | None:
        """Its joules; None where they are unknown."""
        return None if self.energy is None else self.energy.total_energy_j


def used_devices(raws: Sequence[RawProcessResult]) -> list[UsedDevice]:
    """Each device once, in the order of the processes.

    Processes that name one GPU share it. One that names none and metered itself has a device of its own.
    """
    metering = {(raw.process_index, raw.gpu_id) for raw in raws if _metered_itself(raw)}
    users: dict[object, list[RawProcessResult]] = {}
    for place, raw in enumerate(raws):
        if raw.gpu_id is not None:
            users.setdefault(raw.gpu_id, []).append(raw)
        elif _is_covered(raw, metering) and not _metered_itself(raw):
            continue  # it ran on the device of the process that metered it
        else:
            users[f"process at {place}"] = [raw]
    return [_device(of_one, metering) for of_one in users.values()]


def shared_gpus(raws: Sequence[RawProcessResult]) -> Iterator[str]:
    """A warning for each GPU that several processes name."""
    gpus = Counter(raw.gpu_id for raw in raws if raw.gpu_id is not None)
    for gpu in sorted(gpu for gpu, times in gpus.items() if times > 1):
        yield f"{gpus[gpu]} processes name GPU {gpu}: its energy is known only where one of them alone has it"


def _device(users: Sequence[RawProcessResult], metering: set[tuple[int | None, int | None]]) -> UsedDevice:
    own = [raw for raw in users if _metered_itself(raw)]
    known = [raw for raw in own if raw.energy_metrics is not None and raw.energy_metrics.total_energy_j is not None]
    return UsedDevice(
        gpu=users[0].gpu_id,
        counting=tuple(known if len(known) == 1 else own),
        is_covered=all(_is_covered(raw, metering) for raw in users),
    )


def _metered_itself(raw: RawProcessResult) -> bool:
    return raw.metered_by is None or raw.metered_by == raw.process_index


def _is_covered(raw: RawProcessResult, metering: set[tuple[int | None, int | None]]) -> bool:
    return _metered_itself(raw) or (raw.metered_by, raw.gpu_id) in metering
