"""Problems that keep a run from setting its boards, found before anything is changed."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llenergymeasure.config.boards import GpuConfig
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.energy.sources import Sources
from llenergymeasure.run.boards.control import BoardControl, DriverError, opened_nvml
from llenergymeasure.run.boards.records import free_board
from llenergymeasure.run.boards.use import boards_in_use

if TYPE_CHECKING:
    from llenergymeasure.energy.sensors.nvml import Board


def board_problems(config: ExperimentConfig, sources: Sources, library: Any = None) -> Iterator[str]:
    """Yield each reason why the boards of a run cannot be set as its `gpu` section says, a line each."""
    if not config.gpu.is_set:
        return
    boards, unknown = boards_in_use(config, sources)
    if unknown is not None:
        yield f"gpu: cannot be set: {unknown}"
        return
    with opened_nvml(library) as nvml:
        for board in boards:
            try:
                yield from _problems_of(board, BoardControl(nvml, board.uuid), config.gpu)
            except DriverError as error:
                yield refused(board, config.gpu, error)
            except OSError as error:
                yield not_written(error)


def named(board: "Board") -> str:
    """Return a board in words."""
    return f"GPU {board.index} ({board.name}, {board.uuid})"


def settable(board: "Board", library: Any = None) -> str:
    """Return what an experiment's `gpu` section may set a board to. Nothing is set to find that out."""
    try:
        with opened_nvml(library) as nvml:
            control = BoardControl(nvml, board.uuid)
            limits_w, clocks = control.limits_w(), control.clocks_mhz()
    except DriverError as error:
        return f"unknown ({error})"
    parts = [f"power limit {limits_w[0]:g} to {limits_w[1]:g} W"] if limits_w is not None else []
    parts += [f"graphics clock {clocks[0]} to {clocks[-1]} MHz"] if clocks else []
    if board.mig_enabled or not parts:
        return f"none can be set ({'it is cut into MIG slices' if board.mig_enabled else 'the driver lists none'})"
    who = "this user is root, who may set them" if os.geteuid() == 0 else "root alone may set them"
    return f"gpu: {', '.join(parts)}; {who}"


def not_written(error: OSError) -> str:
    """Return the line of a user whose state folder cannot be written to."""
    return (
        f"gpu: {error.filename}: {error.strerror}: what a board was set to before the run has to be written down "
        "there, so that it can be put back after a kill"
    )


def refused(board: "Board", gpu: GpuConfig, error: DriverError) -> str:
    """Return the line of an error of the driver; of a user who may not set a board, with what to do."""
    if not error.is_for_root:
        return f"gpu: {named(board)} cannot be set: {error}"
    by_hand = [*(["-pl WATTS"] if gpu.power_limit_w is not None else []), *(["-lgc MHZ"] if gpu.clock_mhz else [])]
    return (
        f"gpu: {named(board)}: this user may not set it ({error}); run llem as root, or leave gpu out and set it by "
        f"hand: sudo nvidia-smi -i {board.uuid} {' and '.join(by_hand)}"
    )


def _problems_of(board: "Board", control: BoardControl, gpu: GpuConfig) -> Iterator[str]:
    if board.mig_enabled:
        yield f"gpu: {named(board)} is cut into MIG slices, which share its power limit and clock; leave gpu out"
        return
    found = [*_limit_problems(board, control, gpu.power_limit_w), *_clock_problems(board, control, gpu.clock_mhz)]
    yield from found
    if not found:
        with free_board(board.uuid) as is_free:  # while another run holds it, this one is refused as it begins
            if is_free:
                control.probe()


def _limit_problems(board: "Board", control: BoardControl, limit_w: float | None) -> Iterator[str]:
    if limit_w is None:
        return
    limits_w = control.limits_w()
    if limits_w is None or control.limit_mw() is None:
        yield f"gpu.power_limit_w: {named(board)} has no power limit that can be set; leave it out"
    elif not limits_w[0] <= limit_w <= limits_w[1]:
        yield f"gpu.power_limit_w: {named(board)} takes {limits_w[0]:g} to {limits_w[1]:g} W, not {limit_w:g}"


def _clock_problems(board: "Board", control: BoardControl, clock_mhz: int | None) -> Iterator[str]:
    if clock_mhz is None:
        return
    clocks = control.clocks_mhz()
    if not clocks:
        yield f"gpu.clock_mhz: {named(board)} lists no clocks that it could be locked to; leave it out"
    elif not clocks[0] <= clock_mhz <= clocks[-1]:
        yield f"gpu.clock_mhz: {named(board)} takes {clocks[0]} to {clocks[-1]} MHz, not {clock_mhz}"
