"""The work that is sent: prompts, datasets, synthetic lengths."""
