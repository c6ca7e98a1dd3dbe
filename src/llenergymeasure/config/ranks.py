"""The rank of this process among several: the environment variables of torchrun."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from llenergymeasure.errors import ConfigError

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Rank:
    """Process `index` of `size`, all on one machine."""

    index: int
    size: int


def has_siblings(environment: Mapping[str, str] = os.environ) -> bool:
    """Return True if this process's parent may have started others of the same run."""
    return all(name in environment for name in VARIABLES)


def this_rank(environment: Mapping[str, str] = os.environ) -> Rank | None:
    """Return this process's rank; None unless all of torchrun's variables are there and say that there are others.

    Raises:
        ConfigError: the processes are on several machines.
    """
    if not has_siblings(environment) or environment["WORLD_SIZE"] == "1":
        return None
    if environment["WORLD_SIZE"] != environment["LOCAL_WORLD_SIZE"]:
        raise ConfigError(
            f"{environment['WORLD_SIZE']} processes, {environment['LOCAL_WORLD_SIZE']} of them on this machine: a run "
            "is measured on one machine; start torchrun with --nnodes 1"
        )
    return Rank(int(environment["RANK"]), int(environment["WORLD_SIZE"]))


def is_first_process() -> bool:
    """Return True if this process is the one that reports a run: the only one, or the first."""
    rank = this_rank()
    return rank is None or rank.index == 0
