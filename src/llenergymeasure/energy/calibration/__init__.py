"""The calibration of a board's sensors: its bench, its analysis, and what is kept of it."""
