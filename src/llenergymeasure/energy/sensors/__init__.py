"""Sensors: how each is found and read."""
