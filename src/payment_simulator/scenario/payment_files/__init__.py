"""Files of payments, read into a scenario: what a user calls columns, amounts and times, and what is refused."""
