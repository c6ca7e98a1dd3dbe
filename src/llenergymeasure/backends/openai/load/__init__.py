"""Requests sent at their times, and the tokens that arrive."""
