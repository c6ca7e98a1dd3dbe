"""The configuration of an experiment: its models, and how they are loaded."""
