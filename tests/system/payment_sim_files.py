"""Scenarios for `payment-sim`, and where it and its examples are."""

import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples" / "payments"
PROGRAM = Path(sys.executable).with_name("payment-sim")
SMALL = """\
simulation: {ticks_per_day: 4, num_days: 2, rng_seed: 7}
lsm_config: {enable_bilateral: true, enable_cycles: true}
deferred_crediting: true
cost_rates: {delay_cost_per_tick_per_cent: 0.2, overdraft_bps_per_tick: 100, deadline_penalty: 5}
agents:
  - id: BANK_A
    liquidity_pool: 1000
    liquidity_allocation_fraction: 0.5
    unsecured_cap: 100
    arrival_config: &stream
      rate_per_tick: 2
      amount_distribution: {type: Uniform, min: 100, max: 900}
      deadline_range: [0, 3]
  - id: BANK_B
    opening_balance: 300
    arrival_config: *stream
  - id: BANK_C
    arrival_config: *stream
scenario_events:
  - {type: DirectTransfer, from_agent: BANK_B, to_agent: BANK_C, amount: 100, schedule: {type: OneTime, tick: 1}}
"""
TIGHT = """
simulation: {ticks_per_day: 300, rng_seed: 5}
cost_rates: {delay_cost_per_tick_per_cent: 0.0001, overdraft_bps_per_tick: 1}
lsm_config: {enable_bilateral: true, enable_cycles: true}
agents:
"""
BANK = """
  - id: B{}
    opening_balance: 900
    arrival_config: {{rate_per_tick: 2, amount_distribution: {{type: Exponential, mean: 900}}, deadline_range: [1, 9]}}
"""
