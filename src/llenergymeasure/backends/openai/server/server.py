"""The server of a run: one that was there before, or one that is started for it and ends with it."""

import ipaddress
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from llenergymeasure.backends.kept import Kept
from llenergymeasure.backends.openai.server.launch import LaunchedServer
from llenergymeasure.backends.openai.server.model_folder import random_model_folder
from llenergymeasure.backends.openai.server.presets import PRESETS, expand, preset_command, request_name
from llenergymeasure.backends.openai.settings import run_keys
from llenergymeasure.config.models import RANDOM_LLAMA, ExperimentConfig
from llenergymeasure.config.paths import local_folder
from llenergymeasure.errors import BackendError
from llenergymeasure.process_tree import CpuSpent

HEALTHY_WITHIN_S = 10.0
"""Seconds within which a server that was kept has to answer."""
FORWARDERS = ("docker-proxy", "rootlessport")
"""They listen in the place of a container's processes."""


@dataclass(frozen=True)
class KeptServer:
    """A launched server between two runs: see `backends.kept.Keepable`. `model` is as it was given it."""

    launched: LaunchedServer
    model: str
    log: Path

    def problem(self) -> str | None:
        """Return why it does not answer any more; None where it does."""
        try:
            self.launched.wait_until_ready(HEALTHY_WITHIN_S)
        except BackendError as error:
            return str(error)
        return None

    def close(self) -> None:
        """Stop it with all of its processes."""
        self.launched.close()


class Server:
    """The server of a run: its address, its processes, and how it has ended.

    `log` takes what a launched one prints; `corpus` is the text for a random model's tokenizer. `taken` was started by
    an earlier run.
    """

    def __init__(
        self, config: ExperimentConfig, log: Path, corpus: Callable[[], str], taken: KeptServer | None = None
    ) -> None:
        self._config = config
        self._log = taken.log if taken else log
        self._corpus = corpus
        self._launched = taken.launched if taken else None
        self._cpu = CpuSpent(0.0, 0)
        self._model = taken.model if taken else _given_name(config.model)

    @property
    def is_launched(self) -> bool:
        """True if it is started here."""
        return self._config.launch is not None

    @property
    def model_name(self) -> str:
        """The model, as requests name it."""
        named, launch = self._config.openai.model, self._config.launch
        if launch is not None and launch.preset is not None:
            return request_name(launch.preset, model=self._model, served_name=named or self._config.model)
        return named or (self._model if launch is not None else self._config.model)

    @property
    def model(self) -> str:
        """The model's folder, file or hub id."""
        return self._model

    def start(self, waited: Callable[[float], None] | None = None) -> None:
        """Start it where it is to be launched and was not, and wait until it answers.

        Raises:
            BackendError: it does not start, ends, or does not answer in time; the message names and quotes its log.
        """
        launch = self._config.launch
        if launch is None or self._launched is not None:
            return
        if self._config.model == RANDOM_LLAMA:
            self._model = str(random_model_folder(self._config, self._corpus))
        url, keys = self._config.openai.base_url, [*run_keys(self._config).values()]
        self._launched = LaunchedServer(self._command(), base_url=url, log=self._log, keys=keys)
        self._launched.wait_until_ready(launch.ready_timeout_s, waited)

    def problem(self) -> str | None:
        """Return how a launched server has ended; None while it runs, and of one that was there before."""
        return self._launched.problem() if self._launched is not None else None

    def log_note(self) -> str:
        """Return the place of a launched server's log, to end an error with."""
        return f"; its log is {self._log}" if self._launched is not None else ""

    def pids(self) -> frozenset[int] | None:
        """Return its processes on this machine: None where they are unknown, none of a server elsewhere."""
        if self._launched is not None:
            return frozenset(self._launched.pids())
        host, port = self._config.openai.address
        return listeners(port) if is_here(host) else frozenset()

    def cpu_spent(self) -> CpuSpent:
        """Return the CPU time that a launched server has spent so far; 0 before it is started."""
        if self._launched is not None:
            self._cpu = self._launched.cpu_spent()
        return self._cpu

    def keep(self, kept: Kept) -> None:
        """Leave a launched server to the next run, if it is kept; `close` does not stop it then."""
        if self._launched is not None and kept.keep(KeptServer(self._launched, self._model, self._log)):
            self.cpu_spent()
            self._launched = None

    def close(self) -> None:
        """Stop a launched server with all of its processes, if it is not kept."""
        if self._launched is not None:
            self.cpu_spent()
            self._launched.close()

    def _command(self) -> list[str]:
        config, launch = self._config, self._config.launch
        assert launch is not None  # noqa: S101 - the caller has looked
        host, port = config.openai.address
        if launch.command is not None:
            return expand(launch.command, model=self._model, host=host, port=port)
        assert launch.preset is not None  # noqa: S101 - the configuration has one of both
        return preset_command(
            launch.preset,
            model=self._model,
            host=host,
            port=port,
            served_name=config.openai.model or config.model,
            seed=config.random_seed if PRESETS[launch.preset].seed is not None else None,
            precision=None if "precision" in config.without_effect else config.precision,
            flags=launch.flags,
        )


def is_here(host: str) -> bool:
    """Return True if a host is this machine; False of an unknown name."""
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    own = {address.address.partition("%")[0] for each in psutil.net_if_addrs().values() for address in each}
    return any(_is_of_every_machine(address) or address in own for address in found)


def listeners(port: int) -> frozenset[int] | None:
    """Return the processes that listen on a port, with their descendants; None where they cannot be seen, as those of
    another user or a container."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return None
    listening = [each for each in connections if each.status == psutil.CONN_LISTEN and each.laddr]
    pids = {each.pid for each in listening if tuple(each.laddr)[-1] == port}
    if not pids or None in pids:
        return None
    found = {pid for pid in pids if pid is not None}
    for pid in list(found):
        try:
            process = psutil.Process(pid)
            if process.name() in FORWARDERS:
                return None
            found |= {child.pid for child in process.children(recursive=True)}
        except psutil.Error:
            continue
    return frozenset(found)


def _is_of_every_machine(address: str) -> bool:
    """Return True if every machine means itself by this address: 127.0.0.1, ::1, and 0.0.0.0."""
    found = ipaddress.ip_address(address)
    found = getattr(found, "ipv4_mapped", None) or found
    return found.is_loopback or found.is_unspecified


def _given_name(model: str) -> str:
    """Return the model as a server is given it: a folder's or file's whole path, or a hub id as it is."""
    folder = local_folder(model)
    if folder is not None:
        return str(folder.absolute())
    return os.path.abspath(model) if os.path.isfile(model) else model
