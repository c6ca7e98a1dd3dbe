"""The settlement of a scenario: a definition in plain Python, and the same in compiled code."""
