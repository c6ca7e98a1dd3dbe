"""What runs a model: one protocol, a package a backend."""
