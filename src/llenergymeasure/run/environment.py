"""Capture the environment of a run in a thread, while the model loads. It never delays a run, nor fails it."""

import hashlib
import platform
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from labledger.host import git_commit, read_gpus, read_host
from llenergymeasure.backends.kept import Kept
from llenergymeasure.domain.environment import EnvironmentSnapshot, GpuInfo

NO_REVISION = "the model is no hub model in the local cache: its own folder or file, or random weights"
NOT_LOCKED = "the run has locked no clock"
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

    def result(self, model_revision: str | None, reasons: Mapping[str, str]) -> EnvironmentSnapshot:
        """Return the snapshot; wait half a second for the digest, and two more at the most for the machine's facts.

        `reasons` are those of the model's facts that are None, by their fields.
        """
        self._thread.join(GRACE_S)
        self._stop.set()
        self._thread.join(TIMEOUT_S)
        late = "the weight files were not read through before the model was loaded"
        of_model = {
            "model_revision": NO_REVISION,
            "model_weights_sha256": late if self._weight_files else "the weights are in no local folder",
            **reasons,
        }
        facts = {"model_revision": model_revision, "model_weights_sha256": self._weights_sha256}
        snapshot = self._snapshot.model_copy(update=facts)
        return snapshot.model_copy(update={"not_known": _reasons(snapshot, of_model)})

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


def of_loading(now: EnvironmentSnapshot, kept: Kept) -> EnvironmentSnapshot:
    """Return the snapshot, of a model that an earlier run has loaded with the digest of the weights of then."""
    if not kept.is_loaded or kept.environment is None:
        kept.environment = now
        return now
    name, loaded = "model_weights_sha256", kept.environment
    reasons = {field: reason for field, reason in now.not_known.items() if field != name}
    reasons |= {field: reason for field, reason in loaded.not_known.items() if field == name}
    return now.model_copy(update={name: loaded.model_weights_sha256, "not_known": reasons})


def capture(record_hostname: bool) -> EnvironmentSnapshot:
    """Return the tool, machine, GPUs and packages as they are now."""
    host, gpus = read_host(), read_gpus()
    facts = {name: value for name, value in asdict(host).items() if name in EnvironmentSnapshot.model_fields}
    no_driver = dict.fromkeys(("gpus", "driver_version", "cuda_version"), gpus.unavailable) if gpus.unavailable else {}
    boards = {
        f"gpus[{place}].{fact}": reason
        for place, gpu in enumerate(gpus.devices)
        for fact, reason in (*gpu.not_known.items(), ("locked_clock_mhz", NOT_LOCKED))
    }
    return EnvironmentSnapshot(
        **facts
        | {
            "tool_version": version("labledger"),
            "git_commit": git_commit(Path(__file__).parent),
            "gpus": [GpuInfo(**{n: v for n, v in asdict(gpu).items() if n != "not_known"}) for gpu in gpus.devices],
            "driver_version": gpus.driver_version,
            "cuda_version": gpus.cuda_version,
            "hostname": platform.node() if record_hostname else None,
            "not_known": {**host.not_known, **gpus.not_known, **no_driver, **boards},
        },
    )


def _reasons(snapshot: EnvironmentSnapshot, further: dict[str, str]) -> dict[str, str]:
    """Return the reasons that there are, and one for each fact that is None and has none yet."""
    reasons = {**snapshot.not_known}
    unread = reasons.get("environment")
    known = {
        "git_commit": "labledger runs from no git repository, or git is not installed",
        "hostname": "the user configuration has no record_hostname: true",
        **further,
    }
    for name in type(snapshot).model_fields:
        if getattr(snapshot, name) is None and name not in reasons:
            reasons[name] = further.get(name) or unread or known.get(name, "the system does not tell it")
    return reasons
