"""The processes that share the work of one run. `ALONE` is the group of a run of one."""

from collections.abc import Sequence


class Group:
    """This process alone: it waits for nobody, and no device is another's too.

    `parallel.processes.Processes` is the group of several. What they share is metered by the first of those that use
    it: the processor by process 0, a GPU by the first of `on_same_gpu`.
    `gpu` is the UUID of the one that this process was given, where that is known. `sets_boards`: this process makes the
    settings of its GPU, and not its launcher or another one on it.
    """

    index = 0
    size = 1
    experiment_id: str | None = None
    gpu: str | None = None
    on_same_gpu: tuple[int, ...] = (0,)
    sets_boards = True

    def wait(self) -> None:
        """Return when every process has come here.

        Raises:
            ExperimentError: one has ended before.
        """

    def all_agree(self, mine: bool) -> bool:
        """Return True in each process if `mine` is True in all; the last step together before they measure."""
        return mine

    def whole_span(self, start_s: float, end_s: float, of: Sequence[int]) -> tuple[float, float]:
        """Return, once the processes `of` have ended, the start of their first window and the end of their last.

        `start_s` and `end_s` are this process's own window, on CLOCK_MONOTONIC.
        """
        return start_s, end_s


ALONE = Group()
