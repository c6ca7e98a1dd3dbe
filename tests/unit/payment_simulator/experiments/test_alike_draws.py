"""Draws that are all alike prove nothing of what is rare: a saving on them has no interval, and the words say so."""

import pytest
import yaml
from scripted import FIVE, Scripted, borrow, config_of, run_config
from typer.testing import CliRunner

from payment_simulator.cli.main import app

FEW = {"policy_constraints": {"allowed_parameters": FIVE}}
RARE = {
    "simulation": {"ticks_per_day": 3},
    "cost_rates": {"liquidity_cost_per_tick_bps": 333, "delay_cost_per_tick_per_cent": 100},
    "agents": [
        {
            "id": "BANK_A",
            "liquidity_pool": 100_000,
            "liquidity_allocation_fraction": 0.5,
            "arrival_config": {
                "rate_per_tick": 0.001,
                "amount_distribution": {"type": "Uniform", "min": 50_000, "max": 50_000},
                "deadline_range": [2, 2],
            },
        },
        {"id": "BANK_B"},
    ],
}
"""BANK_A has a payment in one day of 333, and waiting costs it far more than the liquidity of all other days."""


@pytest.fixture
def rare(tmp_path):
    path = tmp_path / "rare.yaml"
    path.write_text(yaml.safe_dump(RARE))
    return path


def sampled(samples, nash_gap="every", **further):
    return {"evaluation": {"mode": "monte_carlo", "num_samples": samples, "nash_gap": nash_gap}, **further}


def events_of(events, *kinds):
    return [each.event_data for each in events if each.event_type in kinds]


def test_a_gap_of_draws_that_are_all_alike_has_no_interval(rare, tmp_path):
    config = config_of(tmp_path, rare, 1, 1, **sampled(20, **FEW, optimized_agents=["BANK_A"]))
    result, iterations, events = run_config(config)
    assert (iterations[0].nash_gap_kind, iterations[0].nash_gap_half_width) == ("estimated", None)
    (verdict, *_) = events_of(events, "policy_accepted", "policy_rejected")
    assert verdict["reason"].startswith("saves 4,995 cents on each of 20 draws alike")
    assert verdict["saving_interval"] is None
    assert result.final_nash_gap_half_width is None
    command = ["experiment", "chart", "latest", "--db", str(tmp_path / "runs.db"), "-o", str(tmp_path / "gap.svg")]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert "estimated, alike on all draws: no interval" in (tmp_path / "gap.svg").read_text()
    assert "with its interval" not in (tmp_path / "gap.svg").read_text()


def test_a_saving_that_is_alike_on_all_draws_contradicts_that_the_run_has_converged(rare, tmp_path):
    config = config_of(tmp_path, rare, 2, 1, **sampled(4, **FEW, optimized_agents=["BANK_A"]))
    result, *_ = run_config(config, Scripted(BANK_A=[borrow(1)]))
    assert result.converged is False
    assert "could still save" in result.convergence_reason
    assert "(estimated, alike on all draws)" in result.convergence_reason


def test_draws_without_anything_drawn_are_alike_for_sure_and_keep_their_interval_of_one_value(tmp_path):
    config = config_of(tmp_path, "castro_exp1.yaml", 1, 1, **sampled(4, **FEW))
    _, iterations, events = run_config(config)
    assert iterations[0].nash_gap_half_width == 0
    assert "95% interval" in events_of(events, "policy_accepted")[0]["reason"]


def test_a_run_says_that_its_final_draws_saw_days_that_those_of_its_evaluation_did_not(rare, tmp_path):
    config = config_of(tmp_path, rare, 1, 1, **sampled(20, "off"), master_seed=45)
    result, *_ = run_config(config, Scripted(BANK_A=[borrow(0)], BANK_B=[borrow(0)]))
    assert "raise num_samples" in result.unlike_draws
    shown = CliRunner().invoke(app, ["experiment", "show", "latest", "--db", str(tmp_path / "runs.db")])
    assert "one saw no days like the other's" in " ".join(shown.output.split())


def test_two_runs_whose_costs_differ_alike_on_all_draws_cannot_be_told_apart(rare, tmp_path):
    for fraction in (0.9, 0.8):
        limits = sampled(4, "off", optimized_agents=["BANK_A"])
        text = yaml.safe_dump(
            {**RARE, "agents": [{**RARE["agents"][0], "liquidity_allocation_fraction": fraction}, RARE["agents"][1]]}
        )
        rare.write_text(text)
        config = config_of(tmp_path, rare, 1, 1, name=f"run{int(fraction * 10)}", **limits)
        run_config(config, Scripted(BANK_A=[borrow(1.0)]))
    command = ["experiment", "compare", "run9", "run8", "--db", str(tmp_path / "runs.db")]
    output = CliRunner().invoke(app, command).output
    assert "alike on all draws" in output
    assert "cannot tell" in output
    same = CliRunner().invoke(app, [*command[:2], "run9", "run9", *command[4:]]).output
    assert "cannot tell" not in same
    assert "These are one run; name two" in same
    assert "These are one run" not in output


@pytest.mark.parametrize(("threshold", "converged"), [(0.7, False), (0.0, True)])
def test_a_saving_that_only_improvement_threshold_refused_is_no_convergence(threshold, converged, tmp_path):
    config = config_of(None, window=2, iterations=10, convergence={"improvement_threshold": threshold})
    result, *_ = run_config(config)
    assert result.converged is converged
    assert (
        "for improvement_threshold refused what BANK_B would have saved" in result.convergence_reason
    ) is not converged
