"""transformers on PyTorch, in this process."""
