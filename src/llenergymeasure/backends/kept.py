"""The thing that one run of a process leaves for the next: a loaded model, or a server that was started."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from llenergymeasure.backends.registry import BACKENDS
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.environment import EnvironmentSnapshot


class Keepable(Protocol):
    """Something that may be kept."""

    def problem(self) -> str | None:
        """Return why it is of no use any more; None where it is."""

    def close(self) -> None:
        """Give back what it takes; closing twice does nothing."""


Kind = TypeVar("Kind", bound=Keepable)


class Kept:
    """At most one such thing, under the load key of the run that has left it; a context manager, which closes it.

    The order of calls: `begin` a run, `take` what there is for it, and `keep` that, or what took its place, once the
    run has its result. After a run without one nothing is kept.
    """

    def __init__(self) -> None:
        self._key: str | None = None
        self._thing: Keepable | None = None
        self.is_loaded = False
        """True if the run that has begun found something."""
        self.environment: EnvironmentSnapshot | None = None
        """The environment in which it was loaded: its weights are those of then."""
        self.boards: Mapping[str, Any] = {}
        """The use of each GPU before a server was started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self, config: ExperimentConfig) -> bool:
        """Return True if something is kept that a run of `config` can take; close it if not."""
        key = BACKENDS[config.backend].load_key(config)
        thing = self._thing
        if thing is not None and (key is None or key != self._key or thing.problem() is not None):
            self.close()
        self._key, self.is_loaded = key, self._thing is not None
        return self.is_loaded

    def take(self, kind: type[Kind]) -> Kind | None:
        """Return what is kept, of this kind; it is the caller's to close from now on."""
        thing = self._thing
        if not isinstance(thing, kind):
            return None
        self._thing = None
        return thing

    def keep(self, thing: Keepable) -> bool:
        """Keep it for the next run; False if nothing of this run is kept, and it is still the caller's."""
        if self._key is None:
            return False
        self._thing = thing
        return True

    def close(self) -> None:
        """Close what is kept."""
        thing, self._thing = self._thing, None
        self.environment, self.boards = None, {}
        if thing is not None:
            thing.close()
