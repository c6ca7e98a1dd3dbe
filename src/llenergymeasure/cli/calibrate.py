"""`llem calibrate`: what the sensors of a GPU see."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labledger.commands import reporting_errors

if TYPE_CHECKING:
    from llenergymeasure.energy.calibration.bench import Bench
    from llenergymeasure.energy.calibration.meter_scale import Interval
    from llenergymeasure.energy.calibration.stored import Calibration, Hold, Scale
    from llenergymeasure.energy.sensors.nvml import Board
    from llenergymeasure.energy.sensors.nvml_models import PowerQuantity

HOLD_S, LEAST_HOLD_S, LONGEST_HOLD_S = 60.0, 10.0, 3600.0
MS = 1e3
NO_METER = "no meter's readings were given"

Facts = list[tuple[str, str]]


@reporting_errors
def calibrate(
    ctx: typer.Context,
    gpu: Annotated[
        str | None, typer.Option("--gpu", metavar="INDEX|UUID", help="The GPU; not needed where there is only one.")
    ] = None,
    field: Annotated[
        str | None,
        typer.Option("--field", help="The field of power: instant, average or draw; by default that of the runs."),
    ] = None,
    hold: Annotated[
        float | None,
        typer.Option(
            "--hold",
            metavar="SECONDS",
            help=f"How long to hold the GPU idle, and busy, for an external meter; {HOLD_S:.0f} by default, 0: not.",
        ),
    ] = None,
    meter: Annotated[
        list[str] | None,
        typer.Option(
            "--meter",
            metavar="JOULES:START:END",
            help="What an external meter read while the GPU was held; once idle, once busy.",
        ),
    ] = None,
    meter_csv: Annotated[
        Path | None,
        typer.Option("--meter-csv", metavar="FILE", help="The same as a CSV with columns time, and joules or watts."),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FOLDER", help="Keep every sample and load in a new folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Find out what a GPU's power sensor and energy counter see.

    It takes some five minutes, up to twelve, and needs the GPU alone and the
    pytorch extra. It finds how often power is published, of what time each value
    is the mean, how late it is, its noise, and if power and counter miss a part.
    What is not sure is left out. Later runs use what was found.

    Then the GPU is held idle and busy, a minute each (three minutes with what is
    before and after), and the times are printed. The joules of a meter on its
    supply in these times give the sensors' gain and offset, in a second call,
    which measures nothing anew:

    llem calibrate --meter 4260:START:END --meter 21300:START:END
    """
    from llenergymeasure.energy.calibration.procedure import choose_board, choose_field

    measured = {"--field": field, "--hold": hold, "--trace": trace}
    intervals = _checked([name for name, value in measured.items() if value is not None], meter, meter_csv)
    hold_s = _checked_hold(hold)
    board = choose_board(_boards(), gpu)
    if intervals or meter_csv is not None:
        _take_over(board, intervals, meter_csv, as_json=json)
        return
    _measure(board, choose_field(board, field), hold_s, trace, as_json=json, quiet=quiet)


def _checked(measured: list[str], meter: list[str] | None, meter_csv: Path | None) -> "list[Interval]":
    """Return the intervals of a meter that were written down; `measured` are the given options of a measurement."""
    from llenergymeasure.energy.calibration.meter_scale import parse_interval
    from llenergymeasure.errors import ConfigError

    if meter and meter_csv is not None:
        raise ConfigError("--meter and --meter-csv: give one of them")
    if measured and (meter or meter_csv is not None):
        raise ConfigError(
            f"{', '.join(measured)} beside {'--meter' if meter else '--meter-csv'}: a meter's readings belong to the "
            f"measurement before, and nothing is measured with them; measure first, and give them in a second call"
        )
    return [parse_interval(each) for each in meter or []]


def _checked_hold(hold: float | None) -> float:
    from llenergymeasure.errors import ConfigError

    seconds = HOLD_S if hold is None else hold
    if seconds != 0 and not LEAST_HOLD_S <= seconds <= LONGEST_HOLD_S:
        raise ConfigError(f"--hold {seconds:g}: expected 0, or {LEAST_HOLD_S:.0f} to {LONGEST_HOLD_S:.0f} seconds")
    return seconds


def _boards() -> "tuple[Board, ...]":
    from labledger.nvml import load_nvml
    from llenergymeasure.energy.sensors.nvml import probe
    from llenergymeasure.errors import PreFlightError

    found = probe(load_nvml())
    if not found.boards:
        raise PreFlightError(f"no GPU to calibrate: {found.unavailable}")
    return found.boards


def _measure(
    board: "Board", field: "PowerQuantity", hold: float, trace: Path | None, *, as_json: bool, quiet: bool
) -> None:
    """Measure, print and keep. What was measured is printed also if it cannot be kept, or if a hold is interrupted."""
    from labledger.console import Silent, StderrProgress
    from llenergymeasure.energy.calibration import gpu_bench
    from llenergymeasure.energy.calibration.holds import hold_board
    from llenergymeasure.energy.calibration.procedure import TracedBench, measure
    from llenergymeasure.energy.calibration.stored import Holds, save_calibration, save_holds
    from llenergymeasure.errors import PreFlightError

    shown = Silent() if quiet else StderrProgress()
    with contextlib.ExitStack() as ending:
        opened = ending.enter_context(gpu_bench.open_bench(board, field))
        ending.callback(shown.finish)
        bench: Bench = TracedBench(opened, trace) if trace is not None else opened
        calibration, found = measure(bench, board, field, shown)
        shown.finish()
        report = _Report(calibration, found.reasons)
        if as_json:
            ending.callback(report.print_json)
        else:
            report.print_facts()
        if calibration.period_s is None:
            raise PreFlightError(f"nothing to keep was found out about GPU {board.index}; what was kept before stays")
        report.path = save_calibration(calibration)
        if hold:
            report.holds = hold_board(bench, hold, shown)
            save_holds(
                Holds(
                    holds_uuid=board.uuid,
                    driver=board.driver,
                    field=field,
                    calibrated_at=calibration.measured_at,
                    holds=report.holds,
                )
            )
    if not as_json:
        report.print_next(board)


def _take_over(board: "Board", intervals: "list[Interval]", meter_csv: Path | None, *, as_json: bool) -> None:
    from llenergymeasure.energy.calibration.meter_log import intervals_in_csv
    from llenergymeasure.energy.calibration.procedure import kept_holds, with_scales
    from llenergymeasure.energy.calibration.stored import save_calibration

    holds = kept_holds(board)
    read = intervals if meter_csv is None else intervals_in_csv(meter_csv, holds.holds)
    report = _Report(with_scales(board, holds, read), {})
    report.path = save_calibration(report.calibration)
    if as_json:
        report.print_json()
    else:
        report.print_facts()
        report.print_next(board)


class _Report:
    """The printed report: a calibration, the reason for each figure that was not found, and where it is kept."""

    def __init__(self, calibration: "Calibration", reasons: dict[str, str]) -> None:
        self.calibration, self._reasons = calibration, reasons
        self.path: Path | None = None
        self.holds: list[Hold] = []

    def print_json(self) -> None:
        """Print all of it as JSON."""
        from labledger.console import print_json
        from labledger.documents import document_dict
        from labledger.json_text import dump_json

        more = {
            "not_found": self._reasons,
            "holds": [each.model_dump(mode="json", include={"state", "start", "end"}) for each in self.holds],
            "path": None if self.path is None else str(self.path),
        }
        print_json(dump_json(document_dict(self.calibration) | more))

    def print_facts(self) -> None:
        """Print what was found, and what was not."""
        from labledger.console import print_facts

        print_facts("", _facts(self.calibration, self._reasons))

    def print_next(self, board: "Board") -> None:
        """Print where it is kept, and what a meter's readings are wanted of."""
        from labledger.console import print_line
        from llenergymeasure.energy.calibration.holds import CLOCK_S
        from llenergymeasure.energy.calibration.meter_scale import describe_hold

        print_line(f"kept in {self.path}")
        if self.holds:
            print_line(f"The GPU was held {'; '.join(map(describe_hold, self.holds))}.")
            print_line("With a meter on its supply, give the joules that it read within each, for gain and offset")
            print_line(f"(its clock may be off by {CLOCK_S:.0f} s: so much longer on both sides the GPU was held):")
            print_line(f"  llem calibrate --gpu {board.index} --meter JOULES:START:END --meter JOULES:START:END")


def _facts(calibration: "Calibration", reasons: dict[str, str]) -> Facts:
    from llenergymeasure.cli.presentation import number

    def missing(name: str) -> str:
        return f"not found: {reasons[name]}" if name in reasons else "not found"

    period_s, noise_w, lag_s = calibration.period_s, calibration.idle_noise_w, calibration.lag_s
    return [
        ("GPU", f"{calibration.board} ({calibration.uuid}), driver {calibration.driver or 'unknown'}"),
        ("power", f"field {calibration.field}"),
        ("a new value", missing("period_s") if period_s is None else f"every {period_s * MS:.1f} ms"),
        ("each value", _window(calibration) or missing("window_s")),
        ("late by", missing("lag_s") if lag_s is None else f"{lag_s * MS:.0f} ms"),
        ("power sees", _power(calibration) or missing("power_is_part_time")),
        ("counter sees", _counter(calibration) or missing("counter_is_part_time")),
        ("noise, idle", missing("idle_noise_w") if noise_w is None else f"{number(noise_w)} W"),
        ("power, by a meter", _scale(calibration.power_scale, reasons.get("power_scale"))),
        ("counter, by a meter", _scale(calibration.counter_scale, reasons.get("counter_scale"))),
    ]


def _window(calibration: "Calibration") -> str | None:
    if calibration.window_s is None:
        return "a low-pass of the power, its time constant not sure" if calibration.shape == "low_pass" else None
    length = f"{calibration.window_s * MS:.1f} ms"
    return f"a low-pass of {length}" if calibration.shape == "low_pass" else f"the mean of the last {length}"


def _power(calibration: "Calibration") -> str | None:
    from llenergymeasure.energy.power_sensors import as_figures

    if calibration.power_is_part_time is None:
        return None
    if not calibration.power_is_part_time:
        return "all of the time"
    sensor = calibration.sensor
    return "a part of the time" if sensor is None else as_figures(sensor).seen


def _counter(calibration: "Calibration") -> str | None:
    if calibration.counter_is_part_time is None:
        return None
    if calibration.counter_is_part_time:
        return "a part of the time: it aliases with a load of the sensor's period, as the power does"
    return "all of the time: it does not alias"


def _scale(scale: "Scale | None", dropped: str | None) -> str:
    if scale is None:
        return f"no gain and offset: {dropped or NO_METER}"
    return (
        f"{scale.gain:.4f} x its watts {scale.offset_w:+.1f} W, "
        f"± {scale.gain_error:.1%} and ± {scale.offset_error_w:.1f} W"
    )
