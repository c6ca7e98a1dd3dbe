"""Policies by which banks decide when to pay: built-in ones, and decision trees."""
