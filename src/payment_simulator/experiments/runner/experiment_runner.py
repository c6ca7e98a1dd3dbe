"""One run of an experiment, from its configuration to its result."""

import asyncio
import secrets
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from labledger.errors import ConfigError, LabledgerError
from labledger.host import read_host
from labledger.written_keys import refuse_written_keys
from payment_simulator.experiments.config import KEYS_WAY, ExperimentConfig, check_same
from payment_simulator.experiments.observed_day import OneDay, one_day
from payment_simulator.experiments.output_checks import check_output
from payment_simulator.experiments.persistence import (
    DatabaseError,
    Ending,
    EventRecord,
    ExperimentRecord,
    ExperimentRepository,
)
from payment_simulator.experiments.proposers.protocol import Proposer
from payment_simulator.experiments.proposers.search import SearchProposer
from payment_simulator.experiments.result import ExperimentResult
from payment_simulator.experiments.runner.ending import ending_of, outcomes_of
from payment_simulator.experiments.runner.optimization import OptimizationLoop
from payment_simulator.experiments.runner.state import SEARCH, ExperimentState, by_iteration
from payment_simulator.experiments.runner.verbose import RunLog, VerboseConfig
from payment_simulator.experiments.setup import ExperimentSetup
from payment_simulator.experiments.stored_values import refuse_odd_values
from payment_simulator.experiments.unlike_draws import unlike_draws

EXPERIMENT_TYPE = "generic"
RUN_PATIENCE_S = 3600.0


class GenericExperimentRunner:
    """Runs an experiment once.

    The constructor makes the output directory and the database; it loads no scenario. `config_dir` is where the
    configuration's paths begin (default: its own file's folder, else the working directory). `proposer` takes the place
    of the one that the configuration names. While another program keeps the database, it waits for `patience_s`. The
    steps of `gather_s` seconds are stored together.

    Raises:
        ConfigError: DuckDB is not installed, a key is written in the configuration, which would be stored, or its
            `output` cannot be made; then nothing is.
        DatabaseError: the database cannot be made or used.
        OSError: the output directory cannot be made.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        verbose_config: VerboseConfig | None = None,
        run_id: str | None = None,
        config_dir: Path | None = None,
        *,
        proposer: Proposer | None = None,
        patience_s: float = RUN_PATIENCE_S,
        gather_s: float = 0.0,
    ) -> None:
        refuse_written_keys(config.to_dict(), KEYS_WAY)
        check_output(config, config_dir)
        self._config = config
        self._verbose = verbose_config or VerboseConfig()
        self._config_dir = config_dir
        self._run_id = run_id or new_run_id(config.name)
        self._llm_client = proposer
        self._repository: ExperimentRepository | None = None
        self._directory: Path | None = None
        self._began_s = 0.0
        self._is_stored = False
        output = config.output
        if output is not None and (output.directory is not None or output.database is not None):
            self._directory = Path(output.directory or ".")
            self._directory.mkdir(parents=True, exist_ok=True)
            if output.database_path is not None:
                self._repository = ExperimentRepository(output.database_path, patience_s=patience_s, gather_s=gather_s)

    @property
    def run_id(self) -> str:
        """The id of its run."""
        return self._run_id

    @property
    def database(self) -> Path | None:
        """The path of its database; None without one."""
        return None if self._repository is None else self._repository.path

    def close(self) -> None:
        """Give the database back to others now, where else that takes a moment."""
        if self._repository is not None:
            self._repository.close()

    @property
    def is_resumable(self) -> bool:
        """True if the run has begun and is stored, so that it can be resumed."""
        return self._is_stored

    async def run(self) -> ExperimentResult:
        """Run it from the start.

        Raises:
            ConfigError: what the configuration names cannot be read or used; nothing is stored.
            LabledgerError: it failed, and is stored as failed: the model's server, a policy's evaluation, the database.
            KeyboardInterrupt, asyncio.CancelledError: it was interrupted, and is stored as interrupted.
        """
        setup = ExperimentSetup.load(self._config, self._config_dir, own_proposer=self._llm_client is not None)
        started_at, started = _now(), {"name": self._config.name, "proposer": self._proposer_name}
        if self._repository is not None:
            record = ExperimentRecord(
                experiment_id=self._run_id,
                experiment_name=self._config.name,
                experiment_type=EXPERIMENT_TYPE,
                config=self._config.to_dict(),
                started_at=started_at,
                scenario=setup.to_dict(),
                environment=asdict(read_host()),
            )
            with self._repository.transaction() as step:
                step.save_experiment(record)
                step.save_event(self._event("experiment_started", started, 0))
        state = ExperimentState.of_start(self._config, setup)
        state.note("experiment_started", started)
        return await self._go(setup, state)

    async def resume(self) -> ExperimentResult:
        """Go on with the run `run_id` where it was left; it ends as one that was left alone.

        Raises:
            ConfigError: there is no database, or the configuration is not the one that the run began with.
            RecordError: there is no such run, it is completed, or it still runs.
            UnreadableFileError: a value in it is one that no run stores.
            LabledgerError, KeyboardInterrupt, asyncio.CancelledError: as `run`.
        """
        if self._repository is None:
            raise ConfigError("output.database: nothing was stored that could be resumed")
        stored = self._repository.load_experiment(self._run_id)
        check_same(stored.config, self._config)
        setup = ExperimentSetup.from_dict(stored.scenario or {})
        events, iterations = self._repository.get_events(self._run_id), self._repository.get_iterations(self._run_id)
        refuse_odd_values(stored, iterations, events)
        with self._repository.transaction() as step:
            step.take_over(self._run_id, self._config.to_dict())
            resumed = {"proposer": self._proposer_name, **_new_budget(stored.config, self._config)}
            step.save_event(self._event("experiment_resumed", resumed, stored.num_iterations or 0))
        all_events = self._repository.get_events(self._run_id)
        state, events_of = ExperimentState.of_start(self._config, setup, all_events), by_iteration(all_events)
        for iteration in self._repository.get_iterations(self._run_id):
            state.begin(iteration.iteration_number)
            for event in events_of.get(iteration.iteration_number, ()):
                state.note(event.event_type, event.event_data)
        return await self._go(setup, state)

    async def _go(self, setup: ExperimentSetup, state: ExperimentState) -> ExperimentResult:
        self._began_s = time.monotonic()
        self._is_stored = self._repository is not None
        llm = self._config.llm
        budget = (None, None) if llm is None else (llm.price, llm.max_total_tokens)
        log = RunLog(self._verbose, self._config.convergence, *budget)
        try:
            day = one_day(self._config, setup)
            log.day(day)
            loop = OptimizationLoop(
                self._config,
                setup,
                self._made_proposer(log),
                state,
                self._repository,
                self._run_id,
                log,
            )
            await loop.run()
            return await self._complete(setup, state, day)
        except (KeyboardInterrupt, asyncio.CancelledError) as error:
            self._end_early(state, "interrupted", error)
            raise
        except Exception as error:
            self._end_early(state, "failed", error)
            raise

    @property
    def _proposer_name(self) -> str:
        """The configuration's word for the proposer, or the class of one that takes its place."""
        if isinstance(self._llm_client, SearchProposer):
            return SEARCH
        return self._config.proposer if self._llm_client is None else type(self._llm_client).__name__

    def _made_proposer(self, log: RunLog) -> Proposer:
        if self._llm_client is not None:
            return self._llm_client
        if self._config.proposer == "search" or self._config.llm is None:
            return SearchProposer()
        from payment_simulator.experiments.proposers.llm import LlmProposer

        return LlmProposer(self._config.llm, log.tell)

    async def _complete(self, setup: ExperimentSetup, state: ExperimentState, day: OneDay | None) -> ExperimentResult:
        """Score the outcome of each start, and store what was found."""
        found = []
        with_gap = self._config.nash_gap != "off"
        for outcome in outcomes_of(self._config, setup.evaluator(self._config), state, with_gap=with_gap):
            found.append(outcome)
            await asyncio.sleep(0)  # here an interrupt is heard
        ending = ending_of(self._config, state, found)
        unlike = unlike_draws(setup.evaluator(self._config), ending.final_policies or {})
        ending = replace(ending, completed_at=_now(), total_duration_seconds=time.monotonic() - self._began_s)
        about = self._run_id, self._config.name, self._config.to_dict()
        result = ExperimentResult.from_ending(ending, *about, day, unlike)
        if self._directory is not None:
            result = result.model_copy(update={"result_file": result.save(self._directory)})
        if self._repository is not None:
            with self._repository.transaction() as step:
                if ending.converged:
                    step.save_event(self._event("converged", {"reason": ending.convergence_reason}, state.iteration))
                file = None if result.result_file is None else str(result.result_file)
                completed = {"result_file": file, "unlike_draws": unlike}
                step.save_event(self._event("experiment_completed", completed, state.iteration))
                step.save_ending(self._run_id, "completed", ending)
        return result

    def _end_early(
        self, state: ExperimentState, status: Literal["failed", "interrupted"], error: BaseException
    ) -> None:
        """Store that it ended and why; what was stored before stays, and the first error is the one reported."""
        if self._repository is None:
            return
        if status == "interrupted" or isinstance(error, DatabaseError):
            self._repository.hurry()  # a run whose process has gone is an interrupted one, stored or not
        words = str(error) if isinstance(error, LabledgerError) else repr(error)
        message = {"message": status if status == "interrupted" else words}
        ending = Ending(
            completed_at=_now(),
            converged=False,
            convergence_reason=status,
            num_iterations=state.iteration,
            refused_proposals=state.refused,
            first_refusal=state.first_refusal,
            total_duration_seconds=time.monotonic() - self._began_s,
        )
        try:
            with self._repository.transaction() as step:
                step.save_event(self._event(f"experiment_{status}", message, state.iteration))
                step.save_ending(self._run_id, status, ending)
        except LabledgerError as second:
            error.add_note(f"the ending of the run could not be stored: {second}")

    def _event(self, kind: str, data: dict[str, Any], iteration: int) -> EventRecord:
        return EventRecord(self._run_id, iteration, kind, data, _now())


ExperimentRunner = GenericExperimentRunner


def new_run_id(name: str) -> str:
    """Return the id of a new run: the experiment's name, this moment, and random digits."""
    return f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _new_budget(before: dict[str, Any], now: ExperimentConfig) -> dict[str, int | None]:
    """Return the budget of a model's tokens before and after it was changed, for an event; empty if it was not."""
    old = (before.get("llm") or {}).get("max_total_tokens")
    new = None if now.llm is None else now.llm.max_total_tokens
    return {} if old == new else {"max_total_tokens_before": old, "max_total_tokens": new}


def _now() -> datetime:
    return datetime.now(UTC)
