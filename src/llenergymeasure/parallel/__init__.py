"""A run of several processes: each holds the model and serves a share of the batches."""
