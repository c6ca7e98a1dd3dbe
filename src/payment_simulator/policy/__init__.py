"""When a bank pays: built-in policies, and decision trees."""
