"""The interfaces of every backend: its checks before a run, and the run."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from labledger.console import Progress
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.model import ModelFacts
from llenergymeasure.domain.requests import Batch, FailedRequest, Prompt, Request, Work

if TYPE_CHECKING:
    from llenergymeasure.backends.kept import Kept
    from llenergymeasure.backends.openai.server.server import Server


@dataclass(frozen=True)
class RunContext:
    """The input of a backend besides the configuration.

    `corpus` returns the text that a random model's tokenizer is trained on. `progress` shows how long a start takes.
    `log` takes the output of a server that is launched. This process is `process_index` of `processes` that share the
    work. `kept`: what this run can take from the one before it, and leave for the next; None keeps nothing.
    """

    corpus: Callable[[], str]
    progress: Progress
    log: Path
    process_index: int = 0
    processes: int = 1
    kept: "Kept | None" = None


class Gpus(NamedTuple):
    """The UUIDs of the GPUs that the driver shows; where there are none, `unavailable` is the reason."""

    uuids: tuple[str, ...] = ()
    unavailable: str | None = None


class Checks(Protocol):
    """The functions of a `checks` module; no model is loaded. A problem is one line: where, what, what to do."""

    def facts(self) -> list[str]:
        """Return lines for `llem doctor`; the first says whether the backend is available, or what to install."""

    def problems(self, config: ExperimentConfig, gpus: Gpus) -> Iterable[str]:
        """Yield what keeps this configuration from running.

        Raises:
            ConfigError: packages are not installed, without which nothing else can be checked.
        """

    def prompt_problems(self, config: ExperimentConfig, prompts: Sequence[Prompt]) -> Iterable[str]:
        """Yield what keeps these prompts from being run."""

    def size_problems(self, config: ExperimentConfig, work: Work, gpus: Gpus) -> Iterable[str]:
        """Yield what does not fit: weights that are not the model's, requests that are too long for it, or more memory
        than there is.

        It is asked last, where no other problem was found.
        """

    def remarks(self, config: ExperimentConfig, work: Work) -> Iterable[str]:
        """Yield the warnings that a run of this configuration will have, as far as they are known before it."""


class Backend(Protocol):
    """Something that generates. The order of calls: load, prepare, then warmup and run as often as wanted, close.

    What goes wrong in it is a BackendError, and the call may be made again; after a MemoryExhaustedError, or one
    about the device, it may only be closed.
    """

    @property
    def server(self) -> "Server | None":
        """The server that is measured; None where the model runs in this process."""

    def weight_files(self) -> tuple[Path, ...]:
        """Return the local files that `load` will read; none where they are not known before."""

    def load(self) -> ModelFacts:
        """Bring the model to its device and return its facts."""

    def prepare(self, requests: Sequence[Request]) -> list[str]:
        """Encode the requests, so that no tokenizer works inside the window; return a line for what was cut short."""

    def warmup(self) -> tuple[float, int]:
        """Run the first batch and leave its output; return its latency in seconds and the number of its requests."""

    def run(self) -> Generator[Batch | FailedRequest, None, None]:
        """Generate for the prepared requests, in their order; yield each batch when it is finished, and each request
        that a server did not answer. An exception that is thrown in comes out again after what is left to hand over."""

    def recounted(self, batches: Sequence[Batch]) -> tuple[Sequence[Batch], str | None]:
        """Return the batches of the last run with their tokens checked, now that nothing is measured; and the reason
        why some could not be held against the model's tokenizer, None where all were or need not be."""

    def answers(self) -> Mapping[int, str]:
        """Return the text of each answer of the last run that was finished, by its request's number, without special
        tokens and without reasoning that came apart; of a configuration with a task alone: no other keeps them.

        Raises:
            BackendError: they cannot be had, with the reason.
        """

    def remarks(self) -> list[str]:
        """Return a line for each way in which the last run was not as it should be."""

    def synchronize(self) -> None:
        """Return when the device has nothing left to do."""

    def reset_peak_memory(self) -> None:
        """Begin to watch for the peak of memory: the window is about to open."""

    def peak_memory_mb(self) -> float | None:
        """Return the peak since `reset_peak_memory`, weights included; None where it cannot be known."""

    def keep(self) -> None:
        """Leave the model, or the server, to the next run if something keeps it; only `close` may follow."""

    def close(self) -> None:
        """Give the device's memory back, but for what is kept; closing twice does nothing."""
