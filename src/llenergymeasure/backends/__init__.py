"""Backends, which run a model: one protocol, one package per backend."""
