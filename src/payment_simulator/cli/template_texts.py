"""Files to start from, by kind: each runs as it is."""

from payment_simulator.cli.experiment_run import TEMPLATE as EXPERIMENT

SCENARIO = """\
# A scenario: banks pay each other, tick by tick. `payment-sim run FILE` simulates it, `payment-sim validate FILE` says
# what is wrong with it, `payment-sim schema` prints every key. Money is in cents, as whole numbers: 1000000, not 1e6.
simulation:
  ticks_per_day: 100                   # how finely time is cut; a tick has no length of its own
  num_days: 1
  rng_seed: 42                         # the same seed, the same payments

deferred_crediting: false              # true: money that comes in counts from the next tick on
deadline_cap_at_eod: true              # no deadline is after its payment's day

cost_rates:
  liquidity_cost_per_tick_bps: 0.2     # basis points of what a bank borrows from its pool
  overdraft_bps_per_tick: 0.5          # of what its balance is below 0
  delay_cost_per_tick_per_cent: 0.0001 # cents per cent of every payment that waits
  deadline_penalty: 5000               # cents, once for each payment that becomes overdue
  eod_penalty_per_transaction: 10000   # cents for each payment that is unsettled at the day's end
  # overdue_delay_multiplier: 5
  # priority_delay_multipliers: {urgent_multiplier: 1.5, normal_multiplier: 1, low_multiplier: 0.5}

lsm_config:                            # liquidity-saving mechanism: offsets in the central queue
  enable_bilateral: true               # what two banks owe each other settles by its net
  enable_cycles: true                  # and what three banks or more owe in a ring

agents:
  - id: BANK_A                         # text: an id of digits goes into quotes, as "001"
    opening_balance: 2000000           # 20,000.00
    unsecured_cap: 500000              # credit without collateral
    # liquidity_pool: 1000000          # what it may borrow, and the part of it that it does
    # liquidity_allocation_fraction: 0.5
    policy: {type: Deadline, urgency_threshold: 5}     # or Fifo (default), LiquidityAware, FromJson
    # policy: {type: FromJson, json_path: policy.json}
    arrival_config:                    # the payments that it sends, drawn
      rate_per_tick: 0.8               # of them in a tick, on average
      amount_distribution: {type: LogNormal, mean: 100000, std_dev: 80000}   # or Normal, Uniform, Exponential
      deadline_range: [5, 40]          # ticks after arrival
      # priority: 5                    # 10 is the most urgent
      # counterparty_weights: {BANK_B: 2, BANK_C: 1}   # default: all other banks alike
  - id: BANK_B
    opening_balance: 1500000
    arrival_config:
      rate_per_tick: 0.6
      amount_distribution: {type: LogNormal, mean: 120000, std_dev: 80000}
      deadline_range: [5, 40]
  - id: BANK_C
    opening_balance: 800000
    arrival_config:
      rate_per_tick: 0.4
      amount_distribution: {type: Exponential, mean: 90000}
      deadline_range: [5, 40]

scenario_events:                       # what happens on the way, in ticks counted from 0
  - {type: CustomTransactionArrival, from_agent: BANK_C, to_agent: BANK_A, amount: 250000, priority: 9, deadline: 60,
     schedule: {type: OneTime, tick: 30}}
  # - {type: CollateralAdjustment, agent: BANK_B, delta: 100000, schedule: {type: OneTime, tick: 50}}
  # - {type: GlobalArrivalRateChange, multiplier: 0.5, schedule: {type: OneTime, tick: 80}}

# A day of your own, beside what is drawn or in place of it (`payment-sim template payments -o day.csv`):
# payments: {file: day.csv, clock: {open: "07:00", close: "18:00", tick: 60s}}
# agents: from_payments                # in place of the list above: a bank for each name in the file
"""
POLICY = """\
{
  "version": "1",
  "policy_id": "wait-for-cover",
  "description": "Releases what leaves the reserve, and what is about to be late; holds the rest.",
  "parameters": {"reserve": 20000, "urgent_ticks": 3},
  "payment_tree": {
    "type": "condition",
    "node_id": "late",
    "condition": {"op": "<=", "left": {"field": "ticks_to_deadline"}, "right": {"param": "urgent_ticks"}},
    "on_true": {"type": "action", "action": "Release"},
    "on_false": {
      "type": "condition",
      "node_id": "covered",
      "condition": {
        "op": ">=",
        "left": {"compute": {"op": "-", "left": {"field": "effective_liquidity"}, "right": {"field": "amount"}}},
        "right": {"param": "reserve"}
      },
      "on_true": {"type": "action", "action": "Release"},
      "on_false": {"type": "action", "action": "Hold"}
    }
  }
}
"""
PAYMENTS = """\
time,sender,receiver,amount
2026-03-02 07:05:00,BANK_A,BANK_B,12500.00
2026-03-02 07:40:12,BANK_B,BANK_C,8000.50
2026-03-02 08:15:30,BANK_C,BANK_A,4250.00
2026-03-02 09:02:00,BANK_A,BANK_C,15300.75
2026-03-02 09:59:59,BANK_B,BANK_A,22000.00
2026-03-02 11:30:00,BANK_C,BANK_B,9100.00
2026-03-02 13:45:10,BANK_A,BANK_B,3075.25
2026-03-02 15:10:00,BANK_B,BANK_C,18450.00
2026-03-02 16:55:00,BANK_C,BANK_A,27500.00
2026-03-02 17:30:45,BANK_A,BANK_C,6200.00
"""
TEMPLATES = {"scenario": SCENARIO, "experiment": EXPERIMENT, "policy": POLICY, "payments": PAYMENTS}
