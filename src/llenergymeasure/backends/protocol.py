"""The one interface of every backend."""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Protocol

from llenergymeasure.domain.model import ModelFacts
from llenergymeasure.domain.requests import Batch, FailedRequest, Request


class Backend(Protocol):
    """Something that generates. The order of calls: load, prepare, then warmup and run as often as wanted, close.

    What goes wrong in it is a BackendError, and the call may be made again; after a MemoryExhaustedError, or one
    about the device, it may only be closed.
    """

    def weight_files(self) -> tuple[Path, ...]:
        """The local files that `load` will read; none where they are not known before."""

    def load(self) -> ModelFacts:
        """Bring the model to its device."""

    def prepare(self, requests: Sequence[Request]) -> list[str]:
        """Encode the requests, so that no tokenizer works inside the window; what was cut short, a line each."""

    def warmup(self) -> tuple[float, int]:
        """Run the first batch and leave its output; its latency in seconds and the number of its requests."""

    def run(self) -> Generator[Batch | FailedRequest, None, None]:
        """Generate for the prepared requests, in their order; yield each batch when it is finished, and each request
        that a server did not answer. An exception that is thrown in comes out again after what is left to hand over."""

    def remarks(self) -> list[str]:
        """What the last run was not as it should be, a line each."""

    def synchronize(self) -> None:
        """Return when the device has nothing left to do."""

    def reset_peak_memory(self) -> None:
        """Begin to watch for the peak of memory: the window is about to open."""

    def peak_memory_mb(self) -> float | None:
        """The peak since `reset_peak_memory`, weights included; None where it cannot be known."""

    def close(self) -> None:
        """Give the device's memory back; closing twice does nothing."""
