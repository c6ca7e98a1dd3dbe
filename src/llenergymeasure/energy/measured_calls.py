"""Functions of which every call is measured in a window of its own."""

import contextlib
import functools
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast

from llenergymeasure.errors import MeterError

if TYPE_CHECKING:
    from llenergymeasure.energy.window import EnergyWindow, MeteredEnergy

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
KEPT = 1000


class MeasuredFunction(Protocol[P, R_co]):
    """A function that does what it did; `measured` has the figures of its last calls, at most 1,000, the latest last.

    A call that raises is measured as well; one that still runs is not there yet.
    """

    measured: "deque[MeteredEnergy]"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function in a window of its own."""


def measured_calls(function: Callable[P, R_co], new_window: "Callable[[], EnergyWindow]") -> MeasuredFunction[P, R_co]:
    """Return `function` so that each call is measured, of a coroutine from its start to its end; a generator, from its
    first step to its end, with what its user does between the steps.

    Raises:
        TypeError: it is a class, or nothing that can be called.
    """
    if inspect.isclass(function) or not callable(function):
        raise TypeError(f"measure_energy: {function!r} is no function; decorate a function or a method")
    kept: deque[MeteredEnergy] = deque(maxlen=KEPT)

    @contextlib.contextmanager
    def window() -> Iterator[None]:
        opened = new_window()
        try:
            with opened:
                yield
        finally:
            with contextlib.suppress(MeterError):  # it could not be opened
                kept.append(opened.found)

    found = cast(Any, functools.wraps(function)(_wrapper(function, window)))
    found.measured = kept
    return cast(MeasuredFunction[P, R_co], found)


def _wrapper(function: Any, window: Callable[[], contextlib.AbstractContextManager[None]]) -> Callable[..., Any]:
    """Return a function of the same kind, so that `inspect` and event loops take it for what it is."""
    if inspect.isasyncgenfunction(function):

        async def steps_later(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            with window():
                async with contextlib.aclosing(function(*args, **kwargs)) as steps:
                    sent = None
                    with contextlib.suppress(StopAsyncIteration):
                        while True:
                            sent = yield await steps.asend(sent)

        return steps_later
    if inspect.iscoroutinefunction(function):

        async def later(*args: Any, **kwargs: Any) -> Any:
            with window():
                return await function(*args, **kwargs)

        return later
    if inspect.isgeneratorfunction(function):

        def steps(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with window():
                return (yield from function(*args, **kwargs))

        return steps

    def now(*args: Any, **kwargs: Any) -> Any:
        with window():
            return function(*args, **kwargs)

    return now
