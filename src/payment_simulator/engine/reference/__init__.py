"""The engine in plain Python: the definition that the compiled one must equal."""
