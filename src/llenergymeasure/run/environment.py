"""Capture the environment of a run in a thread, while the model loads. It never delays a run, nor fails it."""

import hashlib
import platform
import threading
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from labledger.host import git_commit, read_gpus, read_host
from llenergymeasure.domain.environment import EnvironmentSnapshot, GpuInfo

GRACE_S = 0.5
TIMEOUT_S = 2.0
HASH_CHUNK_BYTES = 1 << 22


class EnvironmentCapture:
    """Reads the machine's facts, then the digest of `weight_files`, from `start` on; `result` ends it.

    The digest is the SHA-256 over each file's name and content, in the order given; a file that is not read
    through when `result` is asked for leaves it None, with the reason.
    """

    def __init__(self, record_hostname: bool, weight_files: Sequence[Path]) -> None:
        self._record_hostname = record_hostname
        self._weight_files = weight_files
        self._snapshot = EnvironmentSnapshot(not_known={"environment": "it was not read in time"})
        self._weights_sha256: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._capture, daemon=True)

    def start(self) -> None:
        """Begin, in the background."""
        self._thread.start()

    def result(self, model_revision: str | None) -> EnvironmentSnapshot:
        """Return the snapshot; wait half a second for the digest, and two more at the most for the machine's facts."""
        self._thread.join(GRACE_S)
        self._stop.set()
        self._thread.join(TIMEOUT_S)
        not_known = dict(self._snapshot.not_known)
        if self._weights_sha256 is None:
            late = "the weight files were not read through before the model was loaded"
            not_known["model_weights_sha256"] = late if self._weight_files else "the weights are in no local folder"
        return self._snapshot.model_copy(
            update={
                "model_revision": model_revision,
                "model_weights_sha256": self._weights_sha256,
                "not_known": not_known,
            }
        )

    def _capture(self) -> None:
        try:
            self._snapshot = capture(self._record_hostname)
            self._weights_sha256 = self._hash_weights()
        except Exception as error:  # whatever a strange machine does, the run goes on
            self._snapshot = self._snapshot.model_copy(
                update={"not_known": {"environment": f"{type(error).__name__}: {error}"}}
            )

    def _hash_weights(self) -> str | None:
        digest = hashlib.sha256()
        for path in self._weight_files:
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while chunk := file.read(HASH_CHUNK_BYTES):
                    if self._stop.is_set():
                        return None
                    digest.update(chunk)
        return digest.hexdigest() if self._weight_files else None


def capture(record_hostname: bool) -> EnvironmentSnapshot:
    """Return the tool, machine, GPUs and packages as they are now."""
    host, gpus = read_host(), read_gpus()
    facts = {name: value for name, value in asdict(host).items() if name in EnvironmentSnapshot.model_fields}
    return EnvironmentSnapshot(
        **facts,
        tool_version=version("labledger"),
        git_commit=git_commit(Path(__file__).parent),
        gpus=[GpuInfo(**asdict(gpu)) for gpu in gpus.devices],
        driver_version=gpus.driver_version,
        cuda_version=gpus.cuda_version,
        hostname=platform.node() if record_hostname else None,
        not_known={"gpus": gpus.unavailable} if gpus.unavailable else {},
    )
