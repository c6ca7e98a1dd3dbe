"""The boards of a run, set as its `gpu` section says: before anything is loaded, and put back at the end."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labledger.files import uninterrupted
from labledger.notices import notify
from llenergymeasure.config.boards import GpuConfig
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.environment import EnvironmentSnapshot, GpuInfo
from llenergymeasure.domain.model import ModelFacts
from llenergymeasure.energy.sources import Sources
from llenergymeasure.errors import BackendError, PreFlightError
from llenergymeasure.run.boards.control import LIMIT_STEP_W, BoardControl, DriverError, opened_nvml
from llenergymeasure.run.boards.left import put_back, put_back_left
from llenergymeasure.run.boards.problems import named, not_written, refused
from llenergymeasure.run.boards.records import BoardInUseError, BoardRecord, HeldBoard, new_record
from llenergymeasure.run.boards.use import boards_in_use

if TYPE_CHECKING:
    from llenergymeasure.energy.sensors.nvml import Board

UNREADABLE = "{board}: its clock cannot be read back: that gpu.clock_mhz: {clock} holds is not known."
HELD_DOWN = (
    "{board}: power or heat keep its clock at {now} MHz, below gpu.clock_mhz: {clock}; raise the power limit, lower "
    "the clock, or cool it."
)


@dataclass(frozen=True)
class BoardSettings:
    """The boards of one run while they are set; none where its configuration sets nothing."""

    gpu: GpuConfig = field(default_factory=GpuConfig)
    boards: "Mapping[Board, BoardControl]" = field(default_factory=dict)

    def require(self, model: ModelFacts) -> None:
        """Make sure that the loaded model is on boards that were set.

        Raises:
            BackendError: it is elsewhere.
        """
        if not self.gpu.is_set:
            return
        if not model.on_accelerator:
            raise BackendError(f"gpu: has no effect: the model runs on {model.device}; leave it out")
        if others := set(model.device_uuids) - {board.uuid for board in self.boards}:
            raise BackendError(
                f"gpu: {', '.join(map(named, self.boards))} was set, and the model runs on "
                f"{', '.join(sorted(others))}; name its GPU in CUDA_VISIBLE_DEVICES by its UUID"
            )

    def read_back(self, environment: EnvironmentSnapshot) -> tuple[EnvironmentSnapshot, list[str]]:
        """Return the environment with what holds on the boards now, and a line for what is not sure of it.

        It is asked right after the warm-up: a board that has nothing to do may rest below the clock that it is locked
        to.

        Raises:
            BackendError: a board is not as it was set.
        """
        if not self.gpu.is_set:
            return environment, []
        notes: list[str] = []
        found = {board.uuid: self._read_back(board, control, notes) for board, control in self.boards.items()}
        gpus = [_with(gpu, found[gpu.uuid]) if gpu.uuid in found else gpu for gpu in environment.gpus]
        known = {f"gpus[{place}].locked_clock_mhz" for place, gpu in enumerate(gpus) if gpu.locked_clock_mhz}
        reasons = {name: why for name, why in environment.not_known.items() if name not in known}
        return environment.model_copy(update={"gpus": gpus, "not_known": reasons}), notes

    def _read_back(self, board: "Board", control: BoardControl, notes: list[str]) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        if (limit_w := self.gpu.power_limit_w) is not None:
            found["power_limit_w"] = _limit_in_force(board, control, limit_w)
        if (clock := self.gpu.clock_mhz) is None:
            return found
        now = found["locked_clock_mhz"] = control.clock_held_at(clock)
        if now is None:
            notes.append(UNREADABLE.format(board=named(board), clock=clock))
        elif abs(now - clock) > control.step_mhz(clock):
            if now > clock or not control.is_held_down():
                raise BackendError(
                    f"gpu.clock_mhz: {named(board)} runs at {now} MHz after it was locked to {clock}; leave it out"
                )
            notes.append(HELD_DOWN.format(board=named(board), clock=clock, now=now))
        return found


NOTHING_SET = BoardSettings()


@contextlib.contextmanager
def set_boards(
    config: ExperimentConfig, sources: Sources, *, is_owner: bool = True, library: Any = None
) -> Iterator[BoardSettings]:
    """Set the boards of a run as its configuration says, for as long as the block lasts.

    Without `is_owner` another process of the run sets them, and this one only reads back.

    Raises:
        PreFlightError: a board cannot be set, or another run holds it; those that were set are put back.
    """
    if not config.gpu.is_set:
        yield NOTHING_SET
        return
    boards, unknown = boards_in_use(config, sources)
    if unknown is not None:
        raise PreFlightError(f"gpu: cannot be set: {unknown}")
    with contextlib.ExitStack() as stack:
        nvml = stack.enter_context(opened_nvml(library))
        controls = {}
        for board in boards:
            try:
                control = controls[board] = BoardControl(nvml, board.uuid)
                if is_owner:
                    stack.enter_context(_set(board, control, config.gpu))
            except DriverError as error:
                raise PreFlightError(refused(board, config.gpu, error)) from error
        yield BoardSettings(config.gpu, controls)


@contextlib.contextmanager
def _set(board: "Board", control: BoardControl, gpu: GpuConfig) -> Iterator[None]:
    try:
        held = HeldBoard(board.uuid)
    except BoardInUseError as error:
        raise PreFlightError(
            f"gpu: {named(board)} is set by another run, of {error}, until that ends; wait for it, or name another GPU "
            "in CUDA_VISIBLE_DEVICES"
        ) from error
    except OSError as error:
        raise PreFlightError(not_written(error)) from error
    with held:
        put_back_left(held, control)
        record = _record(board, control, gpu)
        try:
            held.write(record)
        except OSError as error:
            raise PreFlightError(not_written(error)) from error
        try:
            try:
                _apply(board, control, gpu, record)
            except DriverError:  # the clock is locked last
                record = record.model_copy(update={"locks_clock": False})
                raise
            yield
        finally:
            with uninterrupted():
                _put_back(board, held, control, record)


def _record(board: "Board", control: BoardControl, gpu: GpuConfig) -> BoardRecord:
    limit_mw = None if gpu.power_limit_w is None else round(gpu.power_limit_w * 1e3)
    before_mw = None if limit_mw is None else control.limit_mw()
    return new_record(board.uuid, board.name, before_mw, limit_mw, gpu.clock_mhz is not None)


def _apply(board: "Board", control: BoardControl, gpu: GpuConfig, record: BoardRecord) -> None:
    if record.limit_set_mw is not None and gpu.power_limit_w is not None:
        control.set_limit_mw(record.limit_set_mw)
        _limit_in_force(board, control, gpu.power_limit_w)
    if gpu.clock_mhz is not None:
        control.lock_clock(gpu.clock_mhz)
        now = control.clock_mhz()
        if now is not None and now > gpu.clock_mhz:
            now = control.clock_held_at(gpu.clock_mhz)
        if now is not None and now > gpu.clock_mhz + control.step_mhz(gpu.clock_mhz):
            raise PreFlightError(
                f"gpu.clock_mhz: {named(board)} runs at {now} MHz after it was locked to {gpu.clock_mhz}; leave it out"
            )


def _limit_in_force(board: "Board", control: BoardControl, limit_w: float) -> float | None:
    """Return the limit that is read back.

    Raises:
        BackendError: it is another one than was set.
    """
    now_w = control.limit_in_force_w()
    if now_w is None or abs(now_w - limit_w) <= LIMIT_STEP_W:
        return now_w
    raise BackendError(
        f"gpu.power_limit_w: {named(board)} has a limit of {now_w:g} W in force after {limit_w:g} W was set; something "
        "else limits or sets it"
    )


def _put_back(board: "Board", held: HeldBoard, control: BoardControl, record: BoardRecord) -> None:
    try:
        said = put_back(control, record)
    except DriverError as error:  # the result of the run is not lost for it
        notify(f"{named(board)} could not be put back ({error}): the next llem command tries again")
        return
    held.remove()
    if said is not None:
        notify(f"{named(board)}: {said}")


def _with(gpu: GpuInfo, found: Mapping[str, float | None]) -> GpuInfo:
    return gpu.model_copy(update={name: value for name, value in found.items() if value is not None})
