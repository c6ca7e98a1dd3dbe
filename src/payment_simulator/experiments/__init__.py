"""Experiments: policies proposed, evaluated and stored, step by step."""
