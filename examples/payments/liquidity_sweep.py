"""The mean cost of a day at eleven fractions of the pool, over 200 draws of payments."""

from payment_simulator import draw_arrivals, load_scenario, simulate_batch

FRACTION = "agents.{}.policy.parameters.initial_liquidity_fraction={}"

for percent in range(0, 101, 10):
    changes = [FRACTION.format(bank, percent / 100) for bank in ("BANK_A", "BANK_B")]
    scenario = load_scenario("examples/payments/castro_exp2.yaml", changes)
    outcome = simulate_batch(scenario, draw_arrivals(scenario, seed=42, samples=200))
    print(f"{percent:3} % borrowed: mean cost {outcome.total_cost.mean():12,.0f} cents")
