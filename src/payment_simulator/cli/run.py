"""`payment-sim run`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.json_text import dump_json

if TYPE_CHECKING:
    from payment_simulator.engine.outcome import Outcome
    from payment_simulator.scenario.schema import Scenario


@reporting_errors
def run(
    ctx: typer.Context,
    scenario: Annotated[Path, typer.Argument(help="YAML file of the scenario.", show_default=False)],
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="In place of the scenario's rng_seed.", show_default=False)
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="PATH=VALUE over the scenario, as in agents.BANK_A.unsecured_cap=5.", show_default=False
        ),
    ] = None,
    events: Annotated[
        Path | None, typer.Option("--events", help="Write every event to this Parquet file.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw balances, queues and costs: .png or .svg.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Simulate a scenario once, and print the costs of each bank."""
    import time

    from labledger.console import print_answer, print_json
    from payment_simulator.cli.waiting import shown_progress
    from payment_simulator.engine.simulate import prepare, simulate
    from payment_simulator.policy.policies import read_with_policies
    from payment_simulator.scenario.arrivals import draw_arrivals

    _check_outputs(events, plot)
    began_s = time.perf_counter()
    loaded, policies = read_with_policies(scenario, changes or [])
    _check_apart([scenario, *loaded.policy_files.values()], events, plot)
    prepared = prepare(loaded.scenario, policies)
    read_s = time.perf_counter()
    used_seed = loaded.scenario.simulation.rng_seed if seed is None else seed
    with shown_progress() as progress:
        progress.phase("drawing payments")
        arrivals = draw_arrivals(loaded.scenario, used_seed)
        drawn_s = time.perf_counter()
        progress.phase(f"simulating {loaded.scenario.simulation.ticks:,} ticks, {len(arrivals):,} payments")
        record = events is not None or plot is not None
        outcome = simulate(prepared, arrivals, record_events=record, watch=progress.update)
    done_s = time.perf_counter()
    timing = {"read_s": read_s - began_s, "draw_s": drawn_s - read_s, "simulate_s": done_s - drawn_s}
    report = _report(scenario, used_seed, outcome, loaded.scenario.simulation.ticks, timing)
    try:
        if json:
            print_json(dump_json(report))
        else:
            _print(report)
    finally:  # files are kept even if nobody reads the answer to its end
        _write(outcome, loaded.scenario, scenario.stem, events, plot)
    for path in (events, plot):
        if path is not None:
            print_answer(f"written: {path}", to_stderr=json)


def _write(outcome: "Outcome", scenario: "Scenario", name: str, events: Path | None, plot: Path | None) -> None:
    if events is not None:
        from payment_simulator.engine.events import write_events

        write_events(outcome.events(), scenario, events)
    if plot is not None:
        from payment_simulator.plotting.run import draw

        draw(outcome, scenario, name, plot)


def _check_outputs(events: Path | None, plot: Path | None) -> None:
    """Check output paths before anything is computed: one that cannot be written would cost the run."""
    from labledger.errors import ConfigError
    from payment_simulator.cli.outputs import check_picture, check_place

    if plot is not None:
        check_picture("--plot", plot, (".png", ".svg"))
    if events is not None and events.suffix.lower() != ".parquet":
        raise ConfigError(f"--events: {events} does not end in .parquet")
    for name, path in (("--events", events), ("--plot", plot)):
        if path is not None:
            check_place(name, path)


def _check_apart(inputs: Sequence[Path], events: Path | None, plot: Path | None) -> None:
    """Refuse to write over a file that was read, or both outputs to one file."""
    from labledger.errors import ConfigError
    from labledger.files import is_same
    from payment_simulator.cli.outputs import check_apart

    if events is not None and plot is not None and is_same(events, plot):
        raise ConfigError(f"--plot: {plot} is the file of --events; name another")
    for name, path in (("--events", events), ("--plot", plot)):
        if path is not None:
            check_apart(name, path, inputs)


def _report(scenario: Path, seed: int, outcome: "Outcome", ticks: int, timing: dict[str, float]) -> dict[str, Any]:
    agents = outcome.agents()
    arrived, settled = int(outcome.arrived.sum()), int(outcome.settled.sum())
    return {
        "scenario": str(scenario),
        "seed": seed,
        "agents": agents,
        "total_cost": sum(agent["total_cost"] for agent in agents.values()),
        "arrived": arrived,
        "settled": settled,
        "settlement_rate": settled / arrived if arrived else None,
        "settled_value": int(outcome.settled_value),
        "lsm_share": outcome.lsm_share,
        "liquidity_used": int(outcome.liquidity_used.sum()),
        "policy_faults": int(outcome.policy_faults),
        "ticks": ticks,
        "engine": outcome.engine,
        "timing": timing,
    }


def _print(report: dict[str, Any]) -> None:
    from labledger.console import print_answer, print_facts, print_table
    from payment_simulator.engine.vocabulary import COSTS

    charged = [kind for kind in COSTS if any(agent["costs"][kind] for agent in report["agents"].values())]
    header = (
        "bank",
        "total cost",
        *(kind.replace("_", " ") for kind in charged),
        "settled",
        "mean delay",
        "liquidity used",
    )
    rows = [
        (
            name,
            f"{agent['total_cost']:,}",
            *(f"{agent['costs'][kind]:,}" for kind in charged),
            f"{agent['settled']:,} of {agent['arrived']:,}",
            "" if agent["mean_delay_ticks"] is None else f"{agent['mean_delay_ticks']:.2f} ticks",
            f"{agent['liquidity_used']:,}",
        )
        for name, agent in report["agents"].items()
    ]
    print_answer(f"{report['scenario']}, seed {report['seed']}: cents")
    print_table(header, rows)
    rate, share = report["settlement_rate"], report["lsm_share"]
    seconds = sum(report["timing"].values())
    facts = [
        ("total cost", f"{report['total_cost']:,}"),
        ("settled", "no payment arrived" if rate is None else f"{rate:.1%} of {report['arrived']:,} payments"),
        (
            "settled value",
            f"{report['settled_value']:,}" + ("" if not share else f", {share:.1%} by offsets (LSM)"),
        ),
        ("liquidity used", f"{report['liquidity_used']:,}"),
        ("ran", f"{report['ticks']:,} ticks in {seconds:.2f} s ({report['engine']})"),
    ]
    if report["policy_faults"]:
        faults = f"{report['policy_faults']:,} operations in trees without an answer (x / 0, inf - inf), taken as 0"
        facts.append(("policy faults", faults))
    print_facts("", facts)
