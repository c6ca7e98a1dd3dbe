"""`payment-sim`: parse, call, print."""
