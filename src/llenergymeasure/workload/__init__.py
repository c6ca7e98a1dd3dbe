"""What a model is asked: prompts, datasets, synthetic lengths."""
