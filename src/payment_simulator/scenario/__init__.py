"""Scenarios: the YAML, its checks, and the payments that are drawn from it."""
