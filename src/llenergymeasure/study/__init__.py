"""Studies: many configurations, each run in every round, unattended, and able to go on after any ending."""
