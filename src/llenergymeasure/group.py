"""The processes that share the work of one run. `ALONE` is the group of a run of one."""


class Group:
    """This process alone: it waits for nobody, and no device is another's too.

    `parallel.processes.Processes` is the group of several. Of those, process 0 meters the devices that they share.
    """

    index = 0
    size = 1
    experiment_id: str | None = None
    shares_gpu = False

    def wait(self) -> None:
        """Return when every process has come here.

        Raises:
            ExperimentError: one has ended before.
        """

    def all_agree(self, mine: bool) -> bool:
        """Whether every process says so, told to each; the last thing that they do together before they measure."""
        return mine

    def whole_span(self, start_s: float, end_s: float) -> tuple[float, float]:
        """In process 0, once the others have ended: from the first window's start to the last one's end.

        `start_s` and `end_s` are this process's own window, on CLOCK_MONOTONIC.
        """
        return start_s, end_s


ALONE = Group()
