"""Experiments: policies proposed, priced and kept, step by step."""
