"""The processes of one run, on one machine.

They wait for each other until all begin to measure. From then on they do not need each other, so that one which is
killed takes nobody with it; files in `.state/` show who has finished, and the process table who has ended.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from labledger.files import joined_directory
from llenergymeasure.config.ranks import Rank
from llenergymeasure.parallel.meeting import Meeting
from llenergymeasure.results.aggregation import expect_processes, is_marked
from llenergymeasure.results.persistence import state_folder
from llenergymeasure.results.raw_results import load_raw_results
from llenergymeasure.run.harness import new_experiment_id
from llenergymeasure.run.peers import Group

LOOK_EVERY_S = 0.1


class Processes(Group):
    """This process and its peers; `folder` is where they leave what they have measured, once `all_measure`.

    Raises:
        PeerEndedError: one has ended.
        OSError: the folder could not be made.
    """

    def __init__(self, rank: Rank, output_dir: Path, *, gpu: str | None, experiment_id: str | None) -> None:
        self.index, self.size, self.gpu = rank.index, rank.size, gpu
        self.all_measure = False
        with contextlib.ExitStack() as opened:
            self._meeting = opened.enter_context(contextlib.closing(Meeting(rank)))
            mine = experiment_id or new_experiment_id(datetime.now(UTC))
            messages = self._meeting.exchange((mine, gpu))
            self.experiment_id = messages[0][0]
            self.on_same_gpu = tuple(index for index, (_, name) in enumerate(messages) if name == gpu)
            self.sets_boards = experiment_id is None and self.index == self.on_same_gpu[0]  # a launcher has an id
            self.folder = state_folder(output_dir, self.experiment_id)
            opened.enter_context(joined_directory(self.folder, within=output_dir))
            if self.index == 0:
                expect_processes(str(self.experiment_id), self.size, output_dir)
            self._opened = opened.pop_all()

    def wait(self) -> None:
        """Return when every process has come here."""
        self._meeting.exchange(None)

    def all_agree(self, mine: bool) -> bool:
        """Return True if `mine` is True in every process."""
        agreed = all(self._meeting.exchange(mine))
        self.all_measure = True
        return agreed

    def whole_span(self, start_s: float, end_s: float, of: Sequence[int]) -> tuple[float, float]:
        """The span of the windows of these processes, `of`, and of this one, once the others have finished or ended."""
        self.wait_for(of)
        spans = [(start_s, end_s), *self._windows(of)]
        return min(first for first, _ in spans), max(last for _, last in spans)

    def wait_for(self, others: Sequence[int]) -> None:
        """Return when each of `others` has written everything, or has ended."""
        for index in others:
            while index != self.index and not is_marked(self.folder, index) and self._meeting.is_running(index):
                time.sleep(LOOK_EVERY_S)

    def close(self) -> None:
        """Let go of the folder and the peers."""
        self._opened.close()

    def _windows(self, of: Sequence[int]) -> Iterator[tuple[float, float]]:
        for raw in load_raw_results(self.folder):
            lasted_s = raw.inference_metrics.inference_time_sec if raw.inference_metrics else None
            known = raw.clock_s is not None and raw.window_start_s is not None and lasted_s is not None
            if raw.process_index in of and known:
                start_s = (raw.clock_s or 0.0) + (raw.window_start_s or 0.0)
                yield start_s, start_s + (lasted_s or 0.0)
