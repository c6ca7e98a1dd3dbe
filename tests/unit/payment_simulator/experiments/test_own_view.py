"""What a bank sees of its own day, worked by hand."""

import pytest
from contexts import make_context
from scenarios import make_scenario, pay

from payment_simulator.experiments.config import Evaluation
from payment_simulator.experiments.evaluator import Evaluator, Purpose
from payment_simulator.experiments.proposers.own_view import MAX_DRAWS, own_view
from payment_simulator.experiments.proposers.prompt import MAX_TICKS, prompt_for

FIFO = {"type": "Fifo", "parameters": {"initial_liquidity_fraction": 0.5}}


def seen(scenario, bank="A", **evaluation):
    return own_view(Evaluator(scenario, Evaluation(**evaluation), 7), dict.fromkeys(scenario.agent_ids, FIFO), bank)


def test_a_bank_sees_its_flows_queue_delay_and_liquidity_to_the_cent():
    """A begins with 3,000 + 1,000 of its pool, pays 3,000, lacks 8,000 for 9,000, gets 8,500, and pays them."""
    scenario = make_scenario(
        {"A": {"opening_balance": 3_000, "liquidity_pool": 2_000}, "B": {"opening_balance": 9_000}, "C": {}},
        pay("A", "B", 3_000),
        pay("A", "B", 9_000, tick=1),
        pay("B", "A", 8_500, tick=2),
        pay("B", "C", 77, tick=2),
        ticks=4,
    )
    view = seen(scenario)
    assert (view.value_out, view.value_in) == ((3_000, 0, 9_000, 0), (0, 0, 8_500, 0))
    assert (view.waiting_value, view.waiting) == ((0, 9_000, 0, 0), (0, 1, 0, 0))
    assert (view.peak_liquidity, view.most_peak_liquidity) == (3_500, 3_500)
    assert (view.mean_delay, view.unsettled_value, view.draws) == (0.5, 0, 1)
    assert (view.fields["balance"], view.fields["effective_liquidity"]) == (4_000, 4_000)
    text = prompt_for(make_context(scenario=scenario, own_view=lambda: view), {})
    assert "- 1: 0; 0; 9000; 1\n- 2: 9000; 8500; 0; 0\n" in text
    assert "77" not in text.partition("# What your bank has and sees")[2].partition("\n# ")[0]


def test_a_bank_whose_payments_never_settle_has_no_mean_delay():
    view = seen(make_scenario({"A": {}, "B": {}}, pay("A", "B", 10), ticks=2))
    assert (view.mean_delay, view.unsettled_value, view.waiting) == (None, 10, (1, 1))


def test_of_drawn_payments_the_figures_are_means_over_the_first_draws():
    arrivals = {
        "rate_per_tick": 2,
        "amount_distribution": {"type": "Uniform", "min": 1, "max": 9},
        "deadline_range": [1, 3],
    }
    agents = {"A": {"opening_balance": 10**6, "arrival_config": arrivals}, "B": {}}
    scenario = make_scenario(agents, ticks=3)
    evaluator = Evaluator(scenario, Evaluation(mode="monte_carlo", num_samples=30), 7)
    view = own_view(evaluator, dict.fromkeys(scenario.agent_ids, FIFO), "A")
    drawn = [evaluator.arrivals(Purpose.EVALUATION).sample(number) for number in range(MAX_DRAWS)]
    sent = [int(each.amount[each.tick == 1].sum()) for each in drawn]
    assert (view.draws, view.of_draws) == (MAX_DRAWS, 30)
    assert view.value_out[1] == (2 * sum(sent) + MAX_DRAWS) // (2 * MAX_DRAWS)
    assert view.most_peak_liquidity == max(int(each.amount.sum()) for each in drawn)


@pytest.mark.parametrize("ticks", [MAX_TICKS, 10 * MAX_TICKS + 1])
def test_the_prompt_stays_short_however_many_ticks_there_are(ticks):
    scenario = make_scenario({"A": {"opening_balance": 10**6}, "B": {}}, pay("A", "B", 5, tick=ticks - 1), ticks=ticks)
    view = seen(scenario)
    text = prompt_for(make_context(scenario=scenario, own_view=lambda: view), {})
    part = text.partition("# What your bank has and sees")[2].partition("\n# ")[0]
    assert "; 0; 0; 0\n" in part
    assert ": 5; 0; 0; 0" in part
    assert len(part.splitlines()) < MAX_TICKS + 10
