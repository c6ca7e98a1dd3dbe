"""The steps of `llem calibrate`: which board and field, the measurement, and what becomes of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from labledger.console import Progress
from labledger.errors import UnreadableFileError
from labledger.files import write_durably
from labledger.json_text import dump_json
from llenergymeasure.energy.calibration.bench import Bench, LoadTrace
from llenergymeasure.energy.calibration.examination import examine
from llenergymeasure.energy.calibration.findings import Findings
from llenergymeasure.energy.calibration.meter_scale import Interval, scales
from llenergymeasure.energy.calibration.stored import Calibration, Holds, Scale, load_calibration, load_holds
from llenergymeasure.energy.power_sensors import field_sensors, sensor_beside_counter
from llenergymeasure.energy.samples import Recording, write_trace
from llenergymeasure.energy.sensors.nvml import Board
from llenergymeasure.energy.sensors.nvml_models import PowerQuantity
from llenergymeasure.errors import ConfigError, PreFlightError


def choose_board(boards: Sequence[Board], wanted: str | None) -> Board:
    """Return the board with the index or UUID `wanted`; None is the only one.

    Raises:
        ConfigError: there are several, or none is called so.
    """
    names = "; ".join(f"{board.index} ({board.name}, {board.uuid})" for board in boards)
    if wanted is None:
        if len(boards) > 1:
            raise ConfigError(f"{len(boards)} GPUs: choose one with --gpu INDEX or UUID: {names}")
        return boards[0]
    found = [board for board in boards if wanted in (str(board.index), board.uuid)]
    if not found:
        raise ConfigError(f"--gpu {wanted}: no such GPU; there are {names}")
    return found[0]


def choose_field(board: Board, wanted: str | None) -> PowerQuantity:
    """Return the field of power `wanted`; None is the one that runs read: the instantaneous one beside a counter, and
    without either the one that sees most.

    Raises:
        ConfigError: the board does not have it.
        PreFlightError: it has none.
    """
    if not board.power_fields:
        raise PreFlightError(f"GPU {board.index} ({board.name}) reports no power: there is nothing to calibrate")
    if wanted is None:
        beside = sensor_beside_counter(board, None) if board.has_counter else None
        return (beside or field_sensors(board, None)[0]).field
    found = [field for field in board.power_fields if field == wanted]
    if not found:
        raise ConfigError(f"--field {wanted}: GPU {board.index} has {', '.join(board.power_fields)}")
    return found[0]


def measure(bench: Bench, board: Board, field: PowerQuantity, progress: Progress) -> tuple[Calibration, Findings]:
    """Return the calibration of a board, and all that was found.

    Gain and offset of an earlier one are taken over: the counter's where the driver is the same, the power sensor's
    where the field is too. What is dropped has its reason in the findings.
    """
    found = examine(bench, progress)
    before = _before(board.uuid)
    kept, dropped = _kept_scales(before, board, field)
    calibration = Calibration(
        calibration_uuid=board.uuid,
        measured_at=datetime.now(UTC),
        board=board.name,
        driver=board.driver,
        field=field,
        period_s=found.period_s,
        window_s=found.window_s,
        lag_s=found.lag_s,
        shape=found.shape,
        power_is_part_time=found.power_is_part_time,
        counter_is_part_time=found.counter_is_part_time,
        idle_noise_w=found.idle_noise_w,
        power_scale=kept.get("power_scale"),
        counter_scale=kept.get("counter_scale"),
    )
    return calibration, replace(found, reasons=found.reasons | dropped)


def _before(uuid: str) -> Calibration | None:
    try:
        return load_calibration(uuid)
    except UnreadableFileError:  # a new one takes its place
        return None


def _kept_scales(
    before: Calibration | None, board: Board, field: PowerQuantity
) -> tuple[dict[str, Scale], dict[str, str]]:
    """Return the scales of an earlier calibration that hold for a new one, and why others do not."""
    if before is None:
        return {}, {}
    scales_before = {"power_scale": before.power_scale, "counter_scale": before.counter_scale}
    found = {name: scale for name, scale in scales_before.items() if scale is not None}
    if before.driver != board.driver:
        reason = f"the meter read with driver {before.driver or 'unknown'}, and now it is {board.driver or 'unknown'}"
        return {}, dict.fromkeys(found, reason)
    if before.field != field and "power_scale" in found:
        del found["power_scale"]
        return found, {"power_scale": f"the meter read beside field {before.field or 'unknown'}, and this is {field}"}
    return found, {}


def kept_holds(board: Board) -> Holds:
    """Return what the sensors of a board read when it was last held.

    Raises:
        ConfigError: it never was, or another driver is there since.
        UnreadableFileError: the file is broken.
    """
    holds = load_holds(board.uuid)
    again = f"run llem calibrate --gpu {board.index} with the meter connected, and then give its readings"
    if holds is None or not holds.holds:
        raise ConfigError(f"GPU {board.index} was not held yet beside a meter: {again}")
    if holds.driver != board.driver:
        raise ConfigError(f"GPU {board.index} was held with driver {holds.driver}, and now has {board.driver}: {again}")
    return holds


def with_scales(board: Board, holds: Holds, intervals: Sequence[Interval]) -> Calibration:
    """Return the calibration of a board, gain and offset by the readings of a meter.

    Raises:
        ConfigError: as `scales`, there is no calibration of the field that was read, or a later one than the holds.
        UnreadableFileError: its calibration is broken.
    """
    calibration = load_calibration(board.uuid)
    if calibration is None or calibration.field != holds.field:
        raise ConfigError(f"GPU {board.index} has no calibration of its field {holds.field}: run llem calibrate first")
    if calibration.measured_at is None or calibration.measured_at != holds.calibrated_at:
        raise ConfigError(
            f"GPU {board.index} was calibrated again since it was held beside a meter: run llem calibrate --gpu "
            f"{board.index} with the meter connected, to the end, and then give its readings"
        )
    power, counter = scales(holds, intervals)
    return calibration.model_copy(update={"power_scale": power, "counter_scale": counter})


class TracedBench:
    """A bench that keeps each record in a new folder: its samples (Parquet), and its times and loads (JSON).

    Raises:
        ConfigError: there is such a folder already, or it cannot be made.
    """

    def __init__(self, bench: Bench, folder: Path) -> None:
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise ConfigError(f"--trace {folder}: cannot be made: {error.strerror}; name a new folder") from error
        self._bench, self._folder = bench, folder
        self._count = 0

    @property
    def uuid(self) -> str:
        """The board's UUID."""
        return self._bench.uuid

    @property
    def limit_w(self) -> float | None:
        """The power limit in force; None where it is not known."""
        return self._bench.limit_w

    def record(self, seconds: float, busy: Sequence[tuple[float, float]] = ()) -> LoadTrace:
        """Record, and keep it.

        Raises:
            OSError: it cannot be written.
        """
        trace = self._bench.record(seconds, busy)
        self._count += 1
        times = {"start_s": trace.start_s, "end_s": trace.end_s, "asked": list(busy), "busy": trace.busy}
        write_durably(self._folder / f"{self._count:02d}.json", dump_json(times, indent=None).encode())
        write_trace(Recording(trace.samples), self._folder / f"{self._count:02d}.parquet")
        return trace
