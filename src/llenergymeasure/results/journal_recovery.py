"""The raw result of a killed process, recovered from its journal."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

from labledger.documents import read_document
from labledger.errors import UnreadableFileError
from labledger.regular_files import opened_to_read
from labledger.schema_versions import Record, parse_record
from llenergymeasure.domain.choices import DeviceKind
from llenergymeasure.domain.experiment import FailedRequestColumns, RawProcessResult, RequestColumns
from llenergymeasure.domain.figures import ComputeMetrics, DeviceEnergy, EnergyMetrics, InferenceMetrics, Timestamps
from llenergymeasure.domain.request_columns import OPTIONAL_COLUMNS
from llenergymeasure.metrics.arithmetic import sum_of_all
from llenergymeasure.metrics.energy import ReportedDevices, emissions_kg_co2, run_energy
from llenergymeasure.metrics.interpolation import Marks
from llenergymeasure.metrics.process_metrics import energy_metrics, inference_metrics
from llenergymeasure.results.journal import Begun, CpuTimeLine, DeviceEnergyLine, JournalEntry

OF_THE_WINDOW = ("cpu_seconds", "peak_memory_mb", "zeus_energy_j")
NOT_OF_A_KILLED = "not known of a process that was killed"

Columns = TypeVar("Columns", RequestColumns, FailedRequestColumns)


class Recovered(NamedTuple):
    """A process's result, and how many lines of its journal are broken and left out."""

    raw: RawProcessResult
    broken_lines: int


def read_journal(path: Path) -> Recovered | None:
    """The raw result that the journal holds; None where no request had ended.

    The window of its figures is from the start to the last end of a request or, where the energy is not known so long,
    as long as that is. Tokens are counted by their time, those of a request taken to come evenly between its first and
    its last; requests that had not ended are in no figure. A last line that was cut is left out.

    Raises:
        UnreadableFileError: it does not name what ran, or its values are impossible.
        OSError: it cannot be read.
    """
    with opened_to_read(path) as file:
        first = file.readline()
        entries = _Entries()
        for line in file:
            entries.take(line)
    try:
        return _recovered(path, first, entries) if first else None
    except (ArithmeticError, TypeError, ValueError) as error:  # a number that no float, or no calendar holds
        raise UnreadableFileError(f"{path}: its values are impossible: {error}") from error


def _recovered(path: Path, first: bytes, entries: "_Entries") -> Recovered | None:
    requests = entries.columns(RequestColumns)
    if not requests.start_s:
        return None
    begun, _ = read_document(Begun, first, f"{path}: line 1")
    opened = entries.opened
    if begun.raw is None or opened.opened_at is None or opened.clock_s is None:
        raise UnreadableFileError(f"{path}: it does not name what ran and when it began")
    energy = _EnergyLog(begun, entries.energy, opened.clock_s)
    ended_s = max(map(_end_s, requests.start_s, requests.e2e_ms))
    cpu = _CpuLog(entries.cpu, opened.clock_s)
    last_s = min([ended_s, *(s for s in (energy.known_until_s, cpu.known_until_s) if s > 0)])
    inference = _inference_until(requests, last_s)
    failed = entries.columns(FailedRequestColumns)
    raw = begun.raw.model_copy(
        update={
            "timestamps": Timestamps.from_times(opened.opened_at, opened.opened_at + timedelta(seconds=last_s)),
            "inference_metrics": inference,
            "energy_metrics": energy.metrics(last_s, inference.total_tokens),
            "compute_metrics": _compute(begun.raw.compute_metrics, cpu, last_s),
            "not_known": _not_known(begun.raw.not_known, cpu),
            "per_request_latencies_ms": requests.e2e_ms,
            "clock_s": opened.clock_s,
            "window_start_s": 0.0,
            "is_partial": begun.share is None or len(requests.start_s) < begun.share,
            "requests": requests,
            "failed_requests": failed if failed.kind else None,
        }
    )
    return Recovered(raw, entries.broken_lines)


class _Entries:
    """The content of the lines, put together one by one: an entry takes ten times the memory of what it holds."""

    def __init__(self) -> None:
        self.opened = JournalEntry()
        self.energy: list[DeviceEnergyLine] = []
        self.cpu: list[CpuTimeLine] = []
        self.broken_lines = 0
        self._are_audited = False
        self._lists: dict[type[Record], dict[str, list[Any]]] = {
            kind: {name: [] for name in kind.model_fields} for kind in (RequestColumns, FailedRequestColumns)
        }

    def take(self, line: bytes) -> None:
        """Take one line. A power cut may leave holes, and a last line that was cut does not count."""
        if not line.endswith(b"\n"):
            return
        try:
            entry, _ = parse_record(JournalEntry, line, "")
        except UnreadableFileError:
            self.broken_lines += 1
            return
        if _is_ragged(entry.requests) or _is_ragged(entry.failed):
            self.broken_lines += 1
            return
        if entry.opened_at is not None and self.opened.opened_at is None:
            self.opened = entry
        self.energy += entry.energy or []
        self.cpu += [entry.cpu] if entry.cpu else []
        for columns in (entry.requests, entry.failed):
            if columns is not None:
                self._are_audited = self._are_audited or bool(getattr(columns, "counted_by", None))
                for name, values in self._lists[type(columns)].items():
                    values += getattr(columns, name) or [OPTIONAL_COLUMNS.get(name)] * len(columns.start_s)

    def columns(self, kind: type[Columns]) -> Columns:
        """The columns of all lines, one after another; optional ones that say nothing are left out."""
        lists = self._lists[kind]
        said = {name for name, values in lists.items() if any(value != OPTIONAL_COLUMNS.get(name) for value in values)}
        said |= {"counted_by"} if self._are_audited else set()
        return kind(**{name: values for name, values in lists.items() if name in said or name not in OPTIONAL_COLUMNS})


def _is_ragged(columns: RequestColumns | FailedRequestColumns | None) -> bool:
    if columns is None:
        return False
    lengths = {name: len(getattr(columns, name)) for name in type(columns).model_fields}
    return len({length for name, length in lengths.items() if length or name not in OPTIONAL_COLUMNS}) > 1


def _end_s(start_s: float, e2e_ms: float) -> float:
    return start_s + e2e_ms / 1e3


def _inference_until(requests: RequestColumns, last_s: float) -> InferenceMetrics:
    """Input tokens whose prefill had ended, output tokens, and TTFTs of what had ended, of these requests by then."""
    inputs: list[int | None] = []
    outputs: list[float | None] = []
    first_ms = []
    for input_tokens, output_tokens, start_s, ttft_ms, e2e_ms, first_tokens in zip(
        requests.input_tokens,
        requests.output_tokens,
        requests.start_s,
        requests.ttft_ms,
        requests.e2e_ms,
        requests.first_tokens,
        strict=True,
    ):
        end_s = _end_s(start_s, e2e_ms)
        first_s = end_s if ttft_ms is None else _end_s(start_s, ttft_ms)
        if first_s > last_s:
            continue
        inputs.append(input_tokens)
        share = 1.0 if end_s <= last_s else (last_s - first_s) / (end_s - first_s)
        later = None if output_tokens is None else output_tokens - first_tokens
        outputs.append(None if later is None else first_tokens + later * share)
        if ttft_ms is not None and end_s <= last_s:
            first_ms.append(ttft_ms)
    generated = sum_of_all(outputs) if outputs else 0.0
    read = sum_of_all(inputs) if inputs else 0
    return inference_metrics(read, None if generated is None else round(generated), last_s, first_ms)


class _CpuLog:
    """The CPU seconds that a journal knows; times count from the start of the measurement."""

    def __init__(self, readings: Sequence[CpuTimeLine], clock_s: float) -> None:
        self._marks = Marks()
        self.resolution_s = max((each.resolution_s or 0.0 for each in readings), default=0.0) or None
        for at_s, cpu_s in sorted((e.at_s, e.cpu_s) for e in readings if e.at_s is not None and e.cpu_s is not None):
            self._marks.add(at_s - clock_s, cpu_s)
            self._first_s = min(self._first_s, at_s - clock_s)

    _first_s = inf

    @property
    def known_until_s(self) -> float:
        """The last moment of which they are known; -inf where they never were, or not from the start."""
        return self._marks.last[0] if self._first_s <= 0 else -inf

    def grown(self, last_s: float) -> float | None:
        """The CPU seconds from the start to `last_s`; None where they are not known."""
        return self._marks.grown(0.0, last_s) if self.known_until_s >= last_s else None


def _compute(known: ComputeMetrics | None, cpu: _CpuLog, last_s: float) -> ComputeMetrics | None:
    """CPU seconds, without operations: these need the length of each batch, which no column has."""
    spent_s = cpu.grown(last_s)
    changes = {
        "flops_total": None,
        "flops_method": NOT_OF_A_KILLED,
        "flops_confidence": None,
        "cpu_seconds": spent_s,
        "cpu_seconds_resolution_s": None if spent_s is None else cpu.resolution_s,
    }
    return known and known.model_copy(update=changes)


def _not_known(reasons: dict[str, str], cpu: _CpuLog) -> dict[str, str]:
    """The reasons of the run as it began, without those of what was measured since."""
    kept = {name: reason for name, reason in reasons.items() if name not in OF_THE_WINDOW}
    lost = ["peak_memory_mb"]
    lost += ["cpu_seconds"] if cpu.known_until_s < 0 else []
    lost += ["zeus_energy_j"] if "zeus_energy_j" in reasons else []
    return kept | dict.fromkeys(lost, NOT_OF_A_KILLED)


class _EnergyLog:
    """The joules that a journal knows; times count from the start of the measurement. Between two readings they are
    taken to grow evenly."""

    def __init__(self, begun: Begun, readings: Sequence[DeviceEnergyLine], clock_s: float) -> None:
        self._begun = begun
        self._reported = ReportedDevices(bool(begun.on_accelerator), tuple(begun.device_uuids or ()))
        self._devices: dict[str, DeviceEnergy] = {}
        self._marks: dict[str, Marks] = defaultdict(Marks)
        for reading in sorted(readings, key=lambda reading: reading.at_s or 0.0):
            if reading.device is None or reading.at_s is None or reading.kind not in get_args(DeviceKind):
                continue
            self._devices[reading.device] = DeviceEnergy(
                device=reading.device, kind=reading.kind, source=reading.source, energy_j=None
            )
            if reading.energy_j is not None:
                self._marks[reading.device].add(reading.at_s - clock_s, reading.energy_j)

    @property
    def known_until_s(self) -> float:
        """The last moment at which every device of the total was read; -inf where one never was, or there is none."""
        of_total = [name for name, device in self._devices.items() if self._reported.covers(device)]
        if not of_total or self._begun.unmetered is not None:
            return -inf
        return min(self._marks[name].last[0] if name in self._marks else -inf for name in of_total)

    def metrics(self, last_s: float, tokens: int | None) -> EnergyMetrics:
        """Energy from the start to `last_s`; unknown of a device that was not read before and after."""
        begun = self._begun
        devices = [
            device.model_copy(update={"energy_j": self._grown_j(name, last_s)})
            for name, device in self._devices.items()
        ]
        energy = run_energy([] if begun.unmetered else devices, self._reported, begun.source or "none")
        return energy_metrics(
            energy,
            devices,
            on_accelerator=self._reported.on_accelerator,
            duration_s=last_s,
            tokens=tokens,
            emissions_kg_co2=emissions_kg_co2(energy.total_j, begun.grid_carbon_intensity, begun.datacenter_pue or 1.0),
        )

    def _grown_j(self, name: str, last_s: float) -> float | None:
        try:
            return self._marks[name].grown(0.0, last_s)
        except ValueError:  # it was not watched so long
            return None
