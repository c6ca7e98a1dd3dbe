"""The answers of a study's stored runs: each cell's figures, which differ, and which is best."""
