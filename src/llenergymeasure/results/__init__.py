"""Results on disk: written durably, read tolerantly."""
