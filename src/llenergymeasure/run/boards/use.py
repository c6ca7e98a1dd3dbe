"""The boards that a run will use, as far as that is known before it loads anything."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.energy.sources import Sources

if TYPE_CHECKING:
    from llenergymeasure.energy.sensors.nvml import Board

SEVERAL_MODELS = (
    "GPUs of several models are visible, and which of them the run takes is not known; name it in CUDA_VISIBLE_DEVICES "
    "by its UUID"
)


class InUse(NamedTuple):
    """The boards that a run will use; none where `unknown` is the reason."""

    boards: "tuple[Board, ...]" = ()
    unknown: str | None = None


def boards_in_use(config: ExperimentConfig, sources: Sources, environment: Mapping[str, str] = os.environ) -> InUse:
    """Return the boards that a run of a configuration will use.

    A model in this process takes the first that is visible, and of several processes each its own; a server that is
    launched may take all that are visible to it, and one that runs already has those with its processes.
    """
    nvml = sources.nvml
    if config.device == "cpu":
        return InUse(unknown="the run is on the CPU")
    if not nvml.boards:
        return InUse(unknown=f"no GPU is seen ({nvml.unavailable})")
    if config.is_server:
        return _of_a_server(config, sources)
    if nvml.notes or not _order_is_known(nvml.boards, environment):
        return InUse(unknown=SEVERAL_MODELS)
    return InUse(nvml.boards[: config.pytorch.data_parallel])


def _order_is_known(boards: "tuple[Board, ...]", environment: Mapping[str, str]) -> bool:
    """Return True if the first board is CUDA's first: unless told otherwise, CUDA puts the fastest model first."""
    is_named = "CUDA_VISIBLE_DEVICES" in environment or environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    return is_named or len({board.name for board in boards}) == 1


def _of_a_server(config: ExperimentConfig, sources: Sources) -> InUse:
    from llenergymeasure.backends.openai.server.server import Server
    from llenergymeasure.run.server_placement import ServerPlacement

    server = Server(config, Path(), lambda: "")
    if server.is_launched:
        return InUse(sources.nvml.boards)
    placement = ServerPlacement(config, server, sources)
    if placement.elsewhere is not None:
        return InUse(unknown=placement.elsewhere.replace("meter it", "set its GPUs"))
    uuids = placement.known_boards()
    if uuids is None:
        return InUse(unknown="which processes are the server's cannot be seen from here, so its GPUs are not known")
    if not uuids:
        return InUse(unknown=f"no GPU that is seen has a process of the server at {config.openai.base_url}")
    return InUse(tuple(board for board in sources.nvml.boards if board.uuid in uuids))
