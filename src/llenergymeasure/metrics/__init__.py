"""From records to figures: pure functions."""
