"""The public face: a scenario, its arrivals and policies in, an outcome out."""

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from typing import Any, Literal

import numpy as np

from labledger.errors import ConfigError
from labledger.extras import install_command, missing
from labledger.notices import notify
from payment_simulator.engine.exact_costs import RATED_COLUMNS, rated_columns
from payment_simulator.engine.kernel.lowering import CompiledScenario, compile_scenario
from payment_simulator.engine.limits import Limits, find_limits
from payment_simulator.engine.outcome import HIGH, Ints, Outcome
from payment_simulator.engine.reference.run import Run
from payment_simulator.engine.vocabulary import Cost, EventColumn, Record
from payment_simulator.policy.builtin import Policy, trees_of
from payment_simulator.policy.documents import document_of
from payment_simulator.policy.fields_and_actions import REFERENCE_ACTIONS, REFERENCE_FIELDS
from payment_simulator.policy.policies import policies_of
from payment_simulator.policy.tree import names_in
from payment_simulator.scenario.arrivals import Arrivals
from payment_simulator.scenario.schema import Scenario

Engine = Literal["auto", "reference", "kernel"]
Watch = Callable[[int, int], None]

KERNEL = "payment_simulator.engine.kernel.run"
SEARCH = "payment_simulator.engine.kernel.stepping"
REFERENCE_WORK = 80_000.0
"""The work that this process may give to `reference` before it loads the kernel: about a second, see `Run.go`."""
WATCHED_WORK = 20_000.0
"""The work of `reference` between two calls of a watch: some tenths of a second."""
EVENTS_PER_PAYMENT, EVENTS_PER_BANK_TICK = 5, 2


@dataclass(frozen=True)
class Prepared:
    """A scenario and its policies, ready to be simulated often.

    `reference_only` is what they do that the kernel cannot, if anything.
    """

    scenario: Scenario
    policies: tuple[Policy, ...]
    compiled: CompiledScenario
    limits: Limits
    reference_only: str | None
    rated: tuple[tuple[int, Cost, Fraction], ...]

    def as_it_runs(self) -> Scenario:
        """Return the scenario with these policies in it, as documents where they are not its own."""
        if policies_of(self.scenario) == [*self.policies]:
            return self.scenario
        policies = dict(zip(self.scenario.agent_ids, self.policies, strict=True))
        agents = [
            agent.model_copy(update={"policy": document_of(policies[agent.id])}) for agent in self.scenario.agents
        ]
        return self.scenario.model_copy(update={"agents": agents})


def prepare(scenario: Scenario, policies: Sequence[Policy] | None = None) -> Prepared:
    """Work out what does not depend on the arrivals; `policies` None are the scenario's own.

    Raises:
        ConfigError: a policy is wrong, a sum of money or costs could pass what an int64 holds, or a rate has too many
            decimals.
    """
    chosen = tuple(policies_of(scenario) if policies is None else policies)
    limits = find_limits(scenario, chosen)
    compiled, rated = compile_scenario(scenario, chosen), tuple(rated_columns(scenario))
    return Prepared(scenario, chosen, compiled, limits, _only_reference(chosen), rated)


class NoKernelError(ConfigError):
    """The kernel cannot run what it is asked to."""


def _only_reference(policies: Sequence[Policy]) -> str | None:
    """Return what some policy does that the reference engine alone carries out; None without such a thing."""
    for policy in policies:
        if found := sorted(names_in(*trees_of(policy)) & {*REFERENCE_FIELDS, *REFERENCE_ACTIONS}):
            return found[0]
    return None


def simulate(
    scenario: Scenario | Prepared,
    arrivals: Arrivals,
    policies: Sequence[Policy] | None = None,
    *,
    record_events: Record = False,
    engine: Engine = "auto",
    watch: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Run one sample; `policies` (one per bank, in the order of ids) None are the scenario's own.

    `record_events` True keeps every event for the outcome's tables, "settlements" what its indicators need: less memory
    and time. `watch` is called with the ticks that are done and the ticks of the run, every second or so; the kernel
    does not.

    Raises:
        ConfigError: a policy is wrong, a sum of money or costs could pass what an int64 holds, or the kernel that was
            asked for is not installed.
    """
    prepared = _prepared(scenario, policies)
    if arrivals.samples != 1:
        raise ValueError(f"simulate runs one sample, and these are {arrivals.samples}: take simulate_batch")
    prepared.limits.check(prepared.scenario, arrivals)
    if begins_with_kernel(engine, prepared, arrivals):
        return _by_kernel(prepared, arrivals, record_events)
    found = _by_reference(prepared, arrivals, record_events, engine, watch)
    return found or _by_kernel(prepared, arrivals, record_events)


def simulate_batch(
    scenario: Scenario | Prepared,
    arrivals: Arrivals,
    policies: Sequence[Policy] | None = None,
    *,
    engine: Engine = "auto",
    threads: int | None = None,
) -> Outcome:
    """Run every sample of `arrivals`, over `threads` cores (None: all that this process may use).

    Each array of the outcome has a row per sample; it is the same on any number of threads.
    """
    prepared = _prepared(scenario, policies)
    if arrivals.samples < 1:
        raise ValueError("there is no sample to simulate")
    prepared.limits.check(prepared.scenario, arrivals)
    if not begins_with_kernel(engine, prepared, arrivals):
        found: list[Outcome] = []
        for index in range(arrivals.samples):
            if (outcome := _by_reference(prepared, arrivals.sample(index), False, engine)) is None:
                break
            found.append(outcome)
        else:
            return _stacked(found)
    from labledger.executor import available_cores  # here, for it imports what starts processes

    return _batch_by_kernel(prepared, arrivals, threads or available_cores())


def _prepared(scenario: Scenario | Prepared, policies: Sequence[Policy] | None) -> Prepared:
    if not isinstance(scenario, Prepared):
        return prepare(scenario, policies)
    if policies is not None:
        raise ValueError("a prepared scenario has its policies: prepare it with others")
    return scenario


_work_budget = REFERENCE_WORK
_problem_of_numba = ""


def is_compiling() -> bool:
    """True while the kernel is being compiled, which takes 10 to 40 s, once for each version of it."""
    homes = {"run": KERNEL, "run_samples": KERNEL, "search": SEARCH}
    loaded = {name: sys.modules.get(home) for name, home in homes.items()}
    entries = [getattr(home, name) for name, home in loaded.items() if hasattr(home, name)]
    return any(sum(each.stats.cache_misses.values()) > len(each.signatures) for each in entries)


def is_kernel_loaded() -> bool:
    """True where the kernel was loaded in this process, and so runs whatever may be run by it."""
    return KERNEL in sys.modules and has_kernel()


def has_kernel() -> bool:
    """True where numba is installed, and has not failed to be imported."""
    return not missing("numba") and not _problem_of_numba


def _loads_numba() -> bool:
    """Import numba; False where it is missing or cannot be imported: a notice says so once, and the reference runs."""
    global _problem_of_numba
    if _problem_of_numba:
        return False
    try:
        import_module("numba")
    except Exception as error:  # any: numba and llvmlite refuse a numpy or each other, or a file of theirs is broken
        is_broken = not missing("numba")
        reason = f"installed and cannot be imported ({type(error).__name__}: {error})" if is_broken else "not installed"
        _problem_of_numba = f"numba is {reason}"
        notify(f"{_problem_of_numba}, and without it this takes long; run {install_command('payments')}")
    return not _problem_of_numba


def _least_work(scenario: Scenario, arrivals: Arrivals) -> int:
    return len(scenario.agents) * scenario.simulation.ticks * arrivals.samples + len(arrivals)


def begins_with_kernel(engine: Engine, prepared: Prepared, arrivals: Arrivals) -> bool:
    """True where the kernel runs it from the start: it is asked for, or loaded, or the work is seen to be large.

    Raises:
        ConfigError: the kernel that was asked for is not installed, cannot be imported, or cannot run it.
    """
    if prepared.reference_only is not None:
        if engine == "kernel":
            raise NoKernelError(f"engine: kernel has no {prepared.reference_only}; take reference, or auto")
        return False
    if engine == "kernel" and missing("numba"):
        raise ConfigError(f"engine: kernel needs numba; run {install_command('payments')}")
    if engine == "kernel" and not _loads_numba():
        raise ConfigError(f"engine: kernel: {_problem_of_numba}; run {install_command('payments')}")
    if engine != "auto":
        return engine == "kernel"
    is_large = KERNEL in sys.modules or _least_work(prepared.scenario, arrivals) > _work_budget
    return is_large and _loads_numba()


def _by_kernel(prepared: Prepared, arrivals: Arrivals, record: Record) -> Outcome:
    from payment_simulator.engine.kernel import layout, run
    from payment_simulator.engine.kernel.jit import call

    compiled, table, count = prepared.compiled, arrivals.table, len(arrivals)
    is_partial = record == "settlements"
    room = count + 100 if is_partial else _room(compiled, count) if record else -1
    while True:
        w = np.empty(_size(compiled, count, room), dtype=np.int64)
        found = call(
            run.run,
            w,
            compiled.template,
            compiled.events,
            compiled.code,
            compiled.numbers.copy(),
            table,
            0,
            count,
            compiled.ticks,
            room,
            int(is_partial),
        )
        if found <= room or not record:
            break
        room = found  # now that it is known, the same once more
    kept, rows = w[: _kept(compiled)].copy(), None
    if record:
        begin = int(w[layout.ROWS_AT])
        w.resize(begin + found * layout.ROW_WIDTH, refcheck=False)  # gives back what is behind them; copies nothing
        rows = w[begin:].reshape(-1, layout.ROW_WIDTH)
    return _outcome(prepared, kept, rows, arrivals, has_all_events=not is_partial)


def _room(compiled: CompiledScenario, payments: int) -> int:
    return EVENTS_PER_PAYMENT * payments + EVENTS_PER_BANK_TICK * compiled.banks * compiled.ticks + 100


def _batch_by_kernel(prepared: Prepared, arrivals: Arrivals, threads: int) -> Outcome:
    from payment_simulator.engine.kernel import run
    from payment_simulator.engine.kernel.jit import call, compile_for

    compiled, table, samples = prepared.compiled, arrivals.table, arrivals.samples
    found = np.empty((samples, _kept(compiled)), dtype=np.int64)
    largest = int(np.diff(arrivals.bounds).max(initial=0))
    edges = np.linspace(0, samples, min(threads, samples) + 1).astype(int).tolist()

    def arguments(begin: int, end: int) -> tuple[Any, ...]:
        return (
            np.empty(_size(compiled, largest, -1), dtype=np.int64),
            compiled.template,
            compiled.events,
            compiled.code,
            compiled.numbers.copy(),
            table,
            arrivals.bounds,
            begin,
            end,
            compiled.ticks,
            found,
        )

    def part(begin: int, end: int) -> None:
        call(run.run_samples, *arguments(begin, end))

    if len(edges) == 2:
        part(*edges)
    else:
        compile_for(run.run_samples, *arguments(0, 0))  # in this thread, where signals can be made to wait
        with ThreadPoolExecutor(len(edges) - 1) as pool:
            list(pool.map(part, edges[:-1], edges[1:]))
    return _outcome(prepared, found, None, arrivals)


def _size(compiled: CompiledScenario, payments: int, room: int) -> int:
    from payment_simulator.engine.kernel import workspace

    return workspace.workspace_size(compiled, payments, room)


def _kept(compiled: CompiledScenario) -> int:
    """The head and the rows of the banks: what comes of a run."""
    from payment_simulator.engine.kernel import layout

    return int(layout.HEAD + compiled.banks * layout.BANK_COLUMNS)


def _outcome(prepared: Prepared, found: Any, rows: Any, arrivals: Arrivals, *, has_all_events: bool = True) -> Outcome:
    """From the head and the rows of the banks, of one run or of each sample."""
    from payment_simulator.engine.kernel import layout

    banks = found[..., layout.HEAD :].reshape(*found.shape[:-1], -1, layout.BANK_COLUMNS)
    return Outcome(
        agent_ids=tuple(prepared.scenario.agent_ids),
        costs=banks[..., layout.COSTS :],
        arrived=banks[..., layout.ARRIVED],
        settled=banks[..., layout.SETTLED_COUNT],
        delay_ticks=banks[..., layout.DELAY_TICKS],
        final_balance=banks[..., layout.BALANCE],
        liquidity_used=banks[..., layout.LIQUIDITY_USED],
        peak_credit=banks[..., layout.PEAK_CREDIT],
        peak_queue1=banks[..., layout.PEAK_QUEUE1],
        peak_queue2=banks[..., layout.PEAK_QUEUE2],
        final_queue1=banks[..., layout.QUEUE1_SIZE],
        final_queue2=banks[..., layout.QUEUE2_SIZE],
        settled_value=found[..., layout.SETTLED_VALUE],
        lsm_value=found[..., layout.LSM_VALUE],
        policy_faults=found[..., layout.FAULTS],
        cycle_search_cuts=found[..., layout.CUTS],
        charged_on=banks[..., layout.CHARGED_ON : layout.COSTS],
        engine="kernel",
        rated=prepared.rated,
        rows=rows,
        arrivals=None if rows is None else arrivals,
        scenario=None if rows is None else prepared.as_it_runs(),
        has_all_events=has_all_events,
    )


def carry_out(run: Run, engine: Engine, watch: Watch | None = None) -> bool:
    """Make a run of `reference`; False where that is much work, and the kernel may start over: it gives the same."""
    global _work_budget
    if engine == "auto":
        _work_budget = run.go(_work_budget)
        if _work_budget < 0 and _loads_numba():
            return False
    while run.ticks_done < run.scenario.simulation.ticks:
        run.go(WATCHED_WORK)
        if watch is not None:
            watch(run.ticks_done, run.scenario.simulation.ticks)
    return True


def _by_reference(
    prepared: Prepared, arrivals: Arrivals, record: Record, engine: Engine, watch: Watch | None = None
) -> Outcome | None:
    """None where it is given up."""
    scenario = prepared.scenario
    run = Run(scenario, arrivals, prepared.policies, record=record)
    if not carry_out(run, "reference" if prepared.reference_only else engine, watch):
        return None
    senders = [item.payment.sender for item in run.queue2]

    def each(name: str) -> Any:
        return np.array([getattr(bank, name) for bank in run.banks], dtype=np.int64)

    return Outcome(
        agent_ids=tuple(scenario.agent_ids),
        costs=each("costs"),
        arrived=each("arrived"),
        settled=each("settled"),
        delay_ticks=each("delay_ticks"),
        final_balance=each("balance"),
        liquidity_used=each("liquidity_used"),
        peak_credit=each("peak_credit"),
        peak_queue1=each("peak_queue1"),
        peak_queue2=each("peak_queue2"),
        final_queue1=np.array([len(bank.queue1) for bank in run.banks], dtype=np.int64),
        final_queue2=np.bincount(senders, minlength=len(run.banks)).astype(np.int64),
        settled_value=np.array(run.settled_value, dtype=np.int64),
        lsm_value=np.array(run.lsm_value, dtype=np.int64),
        policy_faults=np.array(run.faults.count, dtype=np.int64),
        cycle_search_cuts=np.array(run.cycle_search_cuts, dtype=np.int64),
        charged_on=np.array([_sums(prepared, bank.charged_on) for bank in run.banks], dtype=np.int64),
        engine="reference",
        rated=prepared.rated,
        rows=np.array(run.rows, dtype=np.int64).reshape(-1, len(EventColumn)) if record else None,
        arrivals=arrivals if record else None,
        scenario=prepared.as_it_runs() if record else None,
        has_all_events=record != "settlements",
    )


def _sums(prepared: Prepared, charged_on: Sequence[Mapping[Fraction, int]]) -> list[int]:
    """The row of `Outcome.charged_on` of one bank."""
    sums = [0] * RATED_COLUMNS
    for place, kind, rate in prepared.rated:
        sums[place] = charged_on[kind][rate]
    return [part for each in sums for part in divmod(each, HIGH)]


def _stacked(outcomes: Sequence[Outcome]) -> Outcome:
    names = [name for name, kind in Outcome.__annotations__.items() if kind is Ints]
    names.append("charged_on")
    arrays: dict[str, Any] = {name: np.stack([getattr(each, name) for each in outcomes]) for name in names}
    return Outcome(agent_ids=outcomes[0].agent_ids, engine="reference", rated=outcomes[0].rated, **arrays)
