"""The parts of a measurement and of a result: data only."""
