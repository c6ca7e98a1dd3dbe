"""A server that is launched for the run and ended after it."""
