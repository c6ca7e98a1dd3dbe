"""The GPU boards that a run uses: their power limit and clock while it lasts, and what a killed run has left set."""
