"""The processes in which the runs of a study are made."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llenergymeasure.backends.registry import BACKENDS
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.domain.beginnings import PROMPT_MARKS
from llenergymeasure.parallel.messages import RunTask
from llenergymeasure.parallel.run_process import RunProcess, Separate


@dataclass(frozen=True)
class RunOptions:
    """Options that the processes of all runs are given. `command` is what the user wrote after `llem`."""

    command: Sequence[str] = ()
    quiet: bool = True
    verbose: bool = False
    debug: bool = False
    timeout_s: float | None = None


class Workers:
    """Makes runs one after another: each in a process of its own, or in that of the run before if it takes over what
    that one has loaded: the server that it has started or, if `is_shared`, its model."""

    def __init__(self, user: UserConfig, folder: Path, options: RunOptions, *, is_shared: bool = False) -> None:
        self._user, self._folder, self._options, self._is_shared = user, folder, options, is_shared
        self._process: RunProcess | None = None
        self._key: str | None = None
        self._marks: set[int] = set()

    def run(self, config: ExperimentConfig, round_number: int) -> Separate:
        """Make one run, of which the result is saved in the study's folder.

        Raises:
            OSError: no process can be started.
            KeyboardInterrupt: the run was stopped as well, and has kept what it had.
        """
        key = self._key_of(config)
        if self._process is not None and (key is None or key != self._key or not self._process.is_alive):
            self.close()
        process = self._process = self._process or self._started()
        self._key = key
        mark = self._next_mark() if config.is_server and config.task is None else None
        task = RunTask(config=config, user=self._user, keeps=key is not None, prompt_mark=mark)
        ended = process.run(task, self._options.timeout_s)
        if key is None or ended.path is None:
            self.close()
        return ended

    def close(self) -> None:
        """End what is still there: a kept model or server."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def _key_of(self, config: ExperimentConfig) -> str | None:
        """Return the load key of a run that keeps what it loads; None of others.

        The questions of a task stay as they are written, so that a server whose cache may know them is not kept.
        """
        is_kept = (self._is_shared or config.launch is not None) and not (config.is_server and config.task is not None)
        return BACKENDS[config.backend].load_key(config) if is_kept else None

    def _started(self) -> RunProcess:
        how = self._options
        shows = how.verbose or how.debug or not how.quiet
        return RunProcess(
            self._folder,
            how.command,
            quiet=how.quiet,
            verbose=how.verbose,
            debug=how.debug,
            keeps_words=not shows,
        )

    def _next_mark(self) -> int:
        """Return a mark that no run had before: drawn, so that a server that runs for long has not met it either."""
        while (mark := secrets.randbelow(PROMPT_MARKS)) in self._marks and len(self._marks) < PROMPT_MARKS:
            pass
        self._marks.add(mark)
        return mark
